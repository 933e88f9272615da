"""The common part of both manifest readers: lines, numbers, and parents of entries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from ..arguments import id_of
from ..bits import MASK_32
from ..content import BytesContent
from ..errors import SourceError, TreeError, display_path
from ..progress import REPORT_EVERY, Cancel, Progress, ProgressCallback, check_cancelled
from ..tree import (
    SYMLINK_MAX,
    Directory,
    Loss,
    LossCode,
    Node,
    RegularFile,
    Symlink,
    Tree,
    Xattrs,
    check_name,
)
from ..units import NANOSECONDS

LINE_MOST = 1 << 20
"""Most bytes of one line, including continuations."""
PATH_MOST = 1 << 15
"""Most bytes of a path. A walk builds every path, and this limits the cost of a deep tree."""
IMPLIED_MOST, IMPLIED_EACH = 100_000, 8
"""How many directories a manifest may omit, plus how many more for each of its entries."""

EMPTY = BytesContent(b"")

_NUMBER = re.compile(rb"[0-9]{1,20}")
_TIME = re.compile(rb"(-?[0-9]{1,20})(?:\.([0-9]{1,9}))?")


class ManifestReader:
    """Base class of the readers: the tree under construction, and errors with file and line."""

    def __init__(
        self,
        name: bytes,
        stream: BinaryIO,
        *,
        progress: ProgressCallback | None,
        cancel: Cancel | None,
    ) -> None:
        self.name = name
        self.tree = Tree(Directory(implied=True))
        self.line_number = 0
        self._stream = stream
        self._progress = progress
        self._cancel = cancel
        self._entries = 0
        self._implied = 0
        """Number of directories that are not listed but have entries below them."""
        self._bytes = 0
        self._parent: tuple[bytes, Directory] = (b"", self.tree.root)
        self._xattrs: dict[tuple[tuple[bytes, bytes], ...], Xattrs] = {}

    def error(self, problem: object, path: bytes | None = None) -> SourceError:
        """The error for the last line read, with the entry's ``path`` if given."""
        where = "" if path is None else f"{display_path(path)}: "
        return SourceError(self.name, f"line {self.line_number}: {where}{problem}")

    def add_loss(self, path: bytes, what: str, code: LossCode) -> None:
        """Record that something of the entry at ``path`` is not kept."""
        self.tree.losses.append(Loss(path, what, code))

    def physical_lines(self) -> Iterator[bytes]:
        """Yield the lines without their newlines."""
        while line := self._stream.readline(LINE_MOST + 1):
            self.line_number += 1
            if len(line) > LINE_MOST:
                raise self.error(f"it is longer than {LINE_MOST:,} bytes")
            yield line[:-1] if line.endswith(b"\n") else line

    def count(self, node: Node) -> None:
        """Count one entry; report progress every ``REPORT_EVERY`` entries."""
        self._entries += 1
        if isinstance(node, RegularFile):
            self._bytes += node.content.size
        if self._entries % REPORT_EVERY == 0:
            self.report()

    def report(self) -> None:
        """Report progress; raises :class:`CancelledError`."""
        check_cancelled(self._cancel)
        if self._progress is not None:
            self._progress(Progress("scan", self._entries, 0, self._bytes, 0, self._bytes))

    def shared(self, xattrs: dict[bytes, bytes]) -> Xattrs:
        """An equal dictionary that was passed earlier, or this one."""
        return self._xattrs.setdefault(tuple(sorted(xattrs.items())), xattrs)

    def owner(self, word: bytes, what: str, path: bytes) -> int:
        """The number of a user or group of the entry at ``path``."""
        try:
            return id_of(self.number(word, what, MASK_32))
        except ValueError as error:
            raise self.error(f"{what} {error}", path) from None

    def number(self, word: bytes, what: str, most: int, base: int = 10) -> int:
        """The value of ``word``; :class:`SourceError` if it is not a number or above ``most``."""
        try:
            if not _NUMBER.fullmatch(word):
                raise ValueError
            value = int(word, base)
        except ValueError:
            raise self.error(f"{what} {_shown(word)} is not a number") from None
        if value > most:
            raise self.error(f"{what} {value:o}" if base == 8 else f"{what} {value}, above {most}")
        return value

    def time(self, word: bytes) -> int:
        """``seconds.nanoseconds`` in nanoseconds; the second part is an integer in both formats."""
        found = _TIME.fullmatch(word)
        if found is None:
            raise self.error(f"the time {_shown(word)} is not seconds.nanoseconds")
        return int(found[1]) * NANOSECONDS + int(found[2] or 0)

    def parent_of(self, path: bytes, *, make: bool) -> Directory:
        """The parent directory of the absolute ``path``, which has no empty components.

        ``make`` creates missing directories as implied ones. Raises :class:`SourceError` for a
        missing directory otherwise, and for a component that is not a valid name.
        """
        above = path[: path.rindex(b"/")]
        known, directory = self._parent
        if above == known:
            return directory
        if len(path) > PATH_MOST:
            raise self.error(f"its path has {len(path):,} bytes; {PATH_MOST:,} is the most")
        directory = self.tree.root
        for name in above.split(b"/")[1:]:
            node = directory.children.get(name)
            if node is None:
                if not make:
                    raise self.error("its folder is not in the manifest before it", path)
                self._implied += 1
                if self._implied > IMPLIED_MOST + IMPLIED_EACH * self._entries:
                    raise self.error(
                        f"more than {IMPLIED_MOST:,} folders, and {IMPLIED_EACH} for each entry, "
                        "are not in the manifest",
                        path,
                    )
                self.check_name(name, path)
                node = directory.children[name] = Directory(implied=True)
            if not isinstance(node, Directory):
                raise self.error("is below something that is not a directory", path)
            directory = node
        self._parent = (above, directory)
        return directory

    def check_name(self, name: bytes, path: bytes) -> None:
        """Raise :class:`SourceError` for a name that a directory cannot contain."""
        try:
            check_name(name, path)
        except TreeError as error:
            raise self.error(error.problem, path) from None

    def symlink(self, target: bytes, path: bytes) -> Symlink:
        """A symbolic link to ``target``; raises :class:`SourceError` for an invalid target."""
        if not target or b"\0" in target:
            raise self.error("is a symbolic link without a target, or with a NUL byte in it", path)
        if len(target) > SYMLINK_MAX:
            raise self.error(f"its target has {len(target)} bytes; {SYMLINK_MAX} is the most", path)
        return Symlink(target)


def _shown(word: bytes) -> str:
    return repr(word[:40])[1:]


def split_device(number: int) -> tuple[int, int]:
    """Major and minor number of a ``dev_t`` as packed by glibc (gnu_dev_major(3))."""
    major = (number >> 8 & 0xFFF) | (number >> 32 & ~0xFFF)
    minor = (number & 0xFF) | (number >> 12 & 0xFFFFFF00)
    return major, minor


def pack_device(major: int, minor: int) -> int:
    """The ``dev_t`` of a major and a minor number; the inverse of :func:`split_device`."""
    return (
        (minor & 0xFF)
        | (major & 0xFFF) << 8
        | (minor & 0xFFFFFF00) << 12
        | (major & 0xFFFFF000) << 32
    )
