"""Device tables for genext2fs -D; those for makedevs are in ``rules_makedevs``.

A line is ``name type mode uid gid major minor start inc count``. Numbers are computed as in
genext2fs.c:add2fs_from_file: with a count, names end in the numbers from start to count - 1, and
the minor number of each is minor + number * inc - start.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..arguments import ID_MOST
from ..bits import MASK_32
from ..errors import SourceError, TreeError
from ..late_dataclasses import dataclass
from ..tree import (
    BlockDevice,
    CharacterDevice,
    Device,
    Directory,
    Fifo,
    Loss,
    Node,
    RegularFile,
    Socket,
    Symlink,
    Tree,
    check_name,
    components,
)

FIELDS = 10
KINDS: dict[str, type[Node]] = {
    "b": BlockDevice,
    "c": CharacterDevice,
    "d": Directory,
    "f": RegularFile,
    "l": Symlink,
    "p": Fifo,
    "s": Socket,
}
CREATED = ("b", "c", "d", "p", "s")
"""Types that a line creates if missing; files and links must exist already."""
NAMES_MOST = 1 << 20
"""Most names that one table may create."""


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    path: bytes
    kind: str
    mode: int
    uid: int
    gid: int
    major: int
    minor: int
    start: int
    increment: int
    count: int

    def names(self) -> Iterator[tuple[bytes, int]]:
        """Yield the paths of the line, and the minor number of each."""
        if not self.count:
            yield self.path, self.minor
        for at in range(self.start, self.count):
            yield b"%b%d" % (self.path, at), self.minor_at(at)

    def minor_at(self, at: int) -> int:
        """The minor number of the name that ends in ``at``."""
        return self.minor + at * self.increment - self.start


class DeviceTable:
    """Creates the devices, directories, pipes and sockets of a table, and sets modes and owners.

    An existing entry keeps everything except mode, owner and group. A new one has time 0.
    """

    def __init__(self, text: bytes, name: str | bytes) -> None:
        """Parse ``text``; raises :class:`SourceError` with ``name`` and line if it is invalid."""
        self._name = name
        self._names = 0
        self._lines = [
            self._parse(number, words)
            for number, line in enumerate(text.split(b"\n"), 1)
            if (words := line.partition(b"#")[0].split())
        ]

    def apply(self, tree: Tree) -> None:
        """Raises :class:`SourceError` for an entry of another kind or without a directory."""
        for line in self._lines:
            for path, minor in line.names():
                self._take(tree, line, path, minor)

    def _error(self, number: int, problem: str) -> SourceError:
        return SourceError(self._name, f"line {number}: {problem}")

    def _parse(self, number: int, words: list[bytes]) -> _Line:
        if not 3 <= len(words) <= FIELDS:
            raise self._error(
                number, "it is not name type mode uid gid major minor start inc count"
            )
        path, kind = words[0], words[1].decode("ascii", "replace")
        if not path.startswith(b"/"):
            raise self._error(number, f"{path[:40]!r} does not begin with a slash")
        if kind not in KINDS:
            hint = "; it is one of makedevs, which counts differently" if kind in ("F", "r") else ""
            raise self._error(number, f"{kind!r} is not one of the types {', '.join(KINDS)}{hint}")
        if not re.fullmatch(rb"[0-7]{1,6}", words[2]) or int(words[2], 8) > 0o7777:
            raise self._error(number, f"{words[2][:40]!r} is not a mode in octal digits")
        defaults = {"increment": 1}
        values = {}
        fields = ("uid", "gid", "major", "minor", "start", "increment", "count")
        rest = [*words[3:], *[b"-"] * (FIELDS - len(words))]
        for field, word in zip(fields, rest, strict=True):
            if word == b"-":
                values[field] = defaults.get(field, 0)
            elif re.fullmatch(rb"[0-9]{1,10}", word) and int(word) <= MASK_32:
                values[field] = int(word)
            else:
                raise self._error(number, f"{field} {word[:40]!r} is not a number")
        if max(values["uid"], values["gid"]) > ID_MOST:
            raise self._error(number, f"a user or group above {ID_MOST}")
        line = _Line(number, path, kind, int(words[2], 8), **values)
        self._names += max(line.count - line.start, 1)
        if self._names > NAMES_MOST:
            raise self._error(number, f"the table has more than {NAMES_MOST:,} names")
        if line.count and line.count <= line.start:
            raise self._error(number, "its count is not above its start, so it names nothing")
        ends = (line.start, line.count - 1) if line.count else (0,)
        minors = [line.minor_at(at) if line.count else line.minor for at in ends]
        if min(minors) < 0 or max(minors) > MASK_32:
            raise self._error(number, "its minor numbers are out of range")
        return line

    def _take(self, tree: Tree, line: _Line, path: bytes, minor: int) -> None:
        node = self._find(tree, line, path, minor)
        if node is None:
            tree.losses.append(
                Loss(
                    b"/" + b"/".join(components(path)),
                    "is in a device table and not in the tree",
                    "unmatched",
                )
            )
            return
        if not isinstance(node, Symlink):
            node.mode = line.mode
        node.uid, node.gid = line.uid, line.gid
        if isinstance(node, Directory):
            node.implied = False

    def _find(self, tree: Tree, line: _Line, path: bytes, minor: int) -> Node | None:
        """The node at ``path``, created if it is missing and of a type in ``CREATED``."""
        names = components(path)
        if not names:
            if line.kind != "d":
                raise self._error(line.number, "the root is a directory")
            return tree.root
        folder: Node | None = tree.root
        for name in names[:-1]:
            folder = folder.children.get(name) if isinstance(folder, Directory) else None
        if not isinstance(folder, Directory):
            if line.kind in CREATED:
                raise self._error(
                    line.number, f"there is no folder for {path!r}; put a line for that before it"
                )
            return None
        node = folder.children.get(names[-1])
        if node is None and line.kind in CREATED:
            try:
                check_name(names[-1], path)
            except TreeError as error:
                raise self._error(line.number, error.problem) from None
            node = folder.children[names[-1]] = self._make(line, minor)
        if node is not None and type(node) is not KINDS[line.kind]:
            raise self._error(line.number, f"{path!r} exists with another type")
        return node

    def _make(self, line: _Line, minor: int) -> Node:
        kind = KINDS[line.kind]
        return kind(line.major, minor) if issubclass(kind, Device) else kind(line.mode)
