"""Device tables for makedevs of Buildroot and BusyBox.

A line is ``name type mode user group major minor start inc count``, as for genext2fs. But a count
above one is the number of names: their numbers begin with start, and the minor number of each is
that of the previous one plus inc. Users and groups may be names, and a line
``|xattr CAPABILITIES`` applies to the file in the previous line (Buildroot's
package/makedevs/makedevs.c). The system calls of makedevs follow symbolic links in the directories
of a path; for directories and files, they also follow a link at its end. Here, links are resolved
inside the image.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..arguments import ID_MOST
from ..errors import SourceError, TreeError, short_path
from ..late_dataclasses import dataclass, field
from ..resolution import Place, directory_at, resolve
from ..tree import (
    BlockDevice,
    CharacterDevice,
    Device,
    Directory,
    Fifo,
    Node,
    RegularFile,
    Symlink,
    Tree,
    check_name,
    components,
)
from ..walking import nodes
from .capabilities import XATTR, capability_value
from .names import read_names
from .rules_devices import NAMES_MOST

FIELDS = 10
KINDS: dict[str, type[Node]] = {"b": BlockDevice, "c": CharacterDevice, "p": Fifo}
"""Types that a line creates, once or count times. The others are ``d``, a directory with its
parents; ``f``, a file; ``F``, a file if it exists; ``r``, an entry and everything below it."""
TYPES = "bcdfFpr"
NUMBER_MOST = 0xFFFFF
PASSWD, GROUP = "/etc/passwd", "/etc/group"
NAMES_BYTES = 16 << 20
"""Most bytes of ``/etc/passwd`` or ``/etc/group``."""


@dataclass(slots=True)
class _Line:
    number: int
    path: bytes
    kind: str
    mode: int | None
    """None keeps the mode."""
    user: bytes
    group: bytes
    major: int = 0
    minor: int = 0
    start: int = 0
    increment: int = 0
    count: int = 0
    capabilities: list[str] = field(default_factory=list)

    def names(self) -> Iterator[tuple[bytes, int]]:
        """Yield the paths of the line, and the minor number of each."""
        if self.count <= 1:
            yield self.path, self.minor
            return
        for step in range(self.count):
            yield b"%b%d" % (self.path, self.start + step), self.minor + step * self.increment


class MakedevsTable:
    """Creates the devices, directories and pipes of a table; sets modes, owners and capabilities.

    An existing entry keeps everything else. A new one has time 0; missing parents of a directory
    get mode 755 and owner 0:0. Names of users and groups are looked up in ``/etc/passwd`` and
    ``/etc/group`` of the tree.
    """

    def __init__(self, text: bytes, name: str | bytes) -> None:
        """Parse ``text``; raises :class:`SourceError` with ``name`` and line if it is invalid."""
        self._name = name
        self._lines: list[_Line] = []
        names = 0
        for number, line in enumerate(text.split(b"\n"), 1):
            words = line.split()
            if not words or words[0].startswith(b"#"):
                continue
            if words[0].startswith(b"|"):
                self._take_xattr(number, words)
            else:
                self._lines.append(self._parse(number, words))
                names += max(self._lines[-1].count, 1)
                if names > NAMES_MOST:
                    raise self._error(number, f"the table has more than {NAMES_MOST:,} names")

    def apply(self, tree: Tree) -> None:
        """Change ``tree``; raises :class:`SourceError` for a line that cannot be applied."""
        numbers: dict[str, dict[bytes, int]] = {}
        for line in self._lines:
            uid = self._owner(tree, line, line.user, PASSWD, numbers)
            gid = self._owner(tree, line, line.group, GROUP, numbers)
            for path, minor in line.names():
                for node in self._nodes(tree, line, path, minor):
                    node.uid, node.gid = uid, gid
                    if isinstance(node, Directory):
                        node.implied = False
                    if line.mode is not None and not isinstance(node, Symlink):
                        node.mode = line.mode
                    if line.capabilities:
                        self._set_capabilities(line, node)

    # -- parsing -----------------------------------------------------------------------------

    def _error(self, number: int, problem: str) -> SourceError:
        return SourceError(self._name, f"line {number}: {problem}")

    def _parse(self, number: int, words: list[bytes]) -> _Line:
        if len(words) < 2 or any(not word.startswith(b"#") for word in words[FIELDS : FIELDS + 1]):
            raise self._error(
                number, "it is not name type mode user group major minor start inc count"
            )
        path, kind = words[0], words[1].decode("ascii", "replace")
        if kind not in TYPES or len(kind) != 1:
            raise self._error(number, f"{kind!r} is not one of the types {', '.join(TYPES)}")
        names = components(path)
        if not names and kind in KINDS:
            raise self._error(number, "the root is a directory")
        try:
            for name in names:
                check_name(name, path)
        except TreeError as error:
            raise self._error(number, error.problem) from None
        more = [*words[2:FIELDS], *[b"-"] * (FIELDS - len(words))]
        line = _Line(number, path, kind, self._mode(number, kind, more[0]), more[1], more[2])
        skipped = False
        for key, word in zip(("major", "minor", "start", "increment", "count"), more[3:]):  # noqa: B905
            if word == b"-":
                skipped = True
                continue
            if skipped:
                shown = word[:40]
                raise self._error(number, f"nothing after a '-' is read, but {shown!r} follows")
            digits = word.lstrip(b"0") or b"0"
            if not word.isdigit() or len(digits) > 7 or int(digits) > NUMBER_MOST:
                raise self._error(
                    number, f"{key} {word[:40]!r} is not a number up to {NUMBER_MOST}"
                )
            setattr(line, key, int(digits))
        if line.minor + max(line.count - 1, 0) * line.increment >= 1 << 32:
            raise self._error(number, "its minor numbers are out of range")
        return line

    def _mode(self, number: int, kind: str, word: bytes) -> int | None:
        if word == b"-1" and kind not in KINDS:
            return None
        if word == b"-":
            return 0o755
        if len(word) > 6 or word.strip(b"01234567") or int(word, 8) > 0o7777:
            raise self._error(number, f"{word[:40]!r} is not a mode in octal digits")
        return int(word, 8)

    def _take_xattr(self, number: int, words: list[bytes]) -> None:
        if words[0] != b"|xattr" or len(words) != 2:
            raise self._error(number, "it is not |xattr and one word of capabilities")
        if not self._lines or self._lines[-1].kind not in "fF":
            raise self._error(number, "the line above it is not that of a file")
        texts = self._lines[-1].capabilities
        texts.append(words[1].decode("ascii", "replace"))
        try:
            capability_value(" ".join(texts))
        except ValueError as error:
            raise self._error(number, str(error)) from None

    # -- applying ----------------------------------------------------------------------------

    def _owner(
        self, tree: Tree, line: _Line, word: bytes, path: str, numbers: dict[str, dict[bytes, int]]
    ) -> int:
        """The number ``word``, or the number of the name ``word`` in the file ``path``."""
        if word == b"-":
            return 0
        if word.isdigit():
            digits = word.lstrip(b"0") or b"0"
            if len(digits) > 10 or int(digits) > ID_MOST:
                raise self._error(line.number, f"a user or group above {ID_MOST}")
            return int(digits)
        if path not in numbers:
            numbers[path] = self._read_names(tree, line, word, path)
        if word not in numbers[path]:
            raise self._error(line.number, f"{path} of the image does not have {word[:40]!r}")
        number = numbers[path][word]
        if number > ID_MOST:
            raise self._error(
                line.number, f"{word[:40]!r} has no number up to {ID_MOST} in {path} of the image"
            )
        return number

    def _read_names(self, tree: Tree, line: _Line, word: bytes, path: str) -> dict[bytes, int]:
        node = resolve(components(path), [tree.root], follow_last=True).node
        if not isinstance(node, RegularFile) or node.content.size > NAMES_BYTES:
            raise self._error(
                line.number, f"there is no file {path} in the image to look up {word[:40]!r}"
            )
        return read_names(node.content.read_bytes(), has_group=path == PASSWD)

    def _nodes(self, tree: Tree, line: _Line, path: bytes, minor: int) -> Iterator[Node]:
        """Yield the nodes to which the line applies at ``path``; creates missing ones."""
        if line.kind == "d":
            yield self._folder(tree, line, path)
        elif line.kind in KINDS:
            yield self._created(tree, line, path, minor)
        elif line.kind == "r":
            # As in nftw(3) with FTW_PHYS, a link at the end of the path is not followed.
            place = resolve(components(path), [tree.root])
            if place.node is None:
                raise self._missing(line, path, place)
            yield from nodes(place.node)
        else:
            place = resolve(components(path), [tree.root], follow_last=True)
            if isinstance(place.node, RegularFile) and not place.is_endless:
                yield place.node
            elif line.kind != "F":
                raise self._missing(line, path, place)

    def _missing(self, line: _Line, path: bytes, place: Place) -> SourceError:
        problem = "is not in the image"
        if place.node is not None and not place.is_endless:
            problem = "is not a regular file"
        elif place.links:
            problem += f": {place.problem}"
        return self._error(line.number, f"{short_path(path)} {problem}")

    def _folder(self, tree: Tree, line: _Line, path: bytes) -> Directory:
        place = directory_at(tree.root, components(path), lambda: Directory(implied=True))
        if not isinstance(place.node, Directory):
            raise self._error(line.number, f"{short_path(path)} is not a folder: {place.problem}")
        return place.node

    def _created(self, tree: Tree, line: _Line, path: bytes, minor: int) -> Node:
        kind = KINDS[line.kind]
        *above, name = components(path)
        place = directory_at(tree.root, above)
        if not isinstance(place.node, Directory):
            raise self._error(
                line.number,
                f"{short_path(path)} has no folder to be in; put a line for that before it: "
                + place.problem,
            )
        children = place.node.children
        node = children.get(name)
        if node is None:
            node = kind(line.major, minor) if issubclass(kind, Device) else kind(0)
            try:
                check_name(name, path)
            except TreeError as error:
                raise self._error(line.number, f"{short_path(path)}: {error.problem}") from None
            children[name] = node
        elif type(node) is not kind:
            raise self._error(line.number, f"{short_path(path)} exists with another type")
        return node

    def _set_capabilities(self, line: _Line, node: Node) -> None:
        node.xattrs = {**(node.xattrs or {}), XATTR: capability_value(" ".join(line.capabilities))}
