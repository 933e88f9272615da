"""Nix archives (NAR): an archive becomes a node; its files are slices of the archive.

Only the canonical form that Nix itself writes is accepted. A tree has exactly one such archive, so
writing it again yields the same hash.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from ..checked import checked
from ..content import (
    O_BINARY,
    O_CLOEXEC,
    O_NONBLOCK,
    Content,
    DescriptorReader,
    FileId,
    Reader,
    Stamp,
    changed_size,
    id_at,
    open_source,
    stamp_of,
)
from ..errors import ArchiveError, LimitError, SourceChangedError, SourceError, display_path
from ..tree import NAME_MAX, SYMLINK_MAX, Directory, Node, RegularFile, Symlink
from .inputs import check_input
from .nar_format import (
    CLOSE,
    CONTENTS,
    DIRECTORY,
    DIRECTORY_MODE,
    ENTRY,
    ENTRY_NODE,
    EXECUTABLE_MARK,
    EXECUTABLE_MODE,
    FILE_MODE,
    LENGTH_BYTES,
    MAGIC,
    NODE,
    REGULAR,
    SYMLINK,
    SYMLINK_MODE,
    padding,
)
from .tar_archive.limits import DEFAULT_LIMITS, Limits, Usage

DEPTH_MAX = 2048
"""Most levels of directories; no program could open the path of anything deeper."""
WINDOW_BYTES = 64 << 10

ReadAt = Callable[[int, int], bytes]
"""(offset, count), both in bytes -> that many bytes; fewer only at the end of the archive."""

MakeContent = Callable[[int, int], Content]
"""(offset, size), both in bytes -> the content stored there in the archive."""


@checked("path")
def nar(path: str | bytes | os.PathLike[str], *, limits: Limits = DEFAULT_LIMITS) -> Node:
    """Read the archive in the file ``path``: a directory, a regular file or a symbolic link.

    The modes are those of a store, the owner is 0:0, the times are 0. Content stays in the file.
    Raises :class:`SourceError` for a file that cannot be read; :class:`ArchiveError`, with the byte
    offset, for one that is not an archive in the form Nix writes; and :class:`LimitError` for more
    ``members``, ``metadata_bytes`` (link targets) or ``content_bytes`` than ``limits`` allow.
    """
    check_input(path, streams=False)
    name = os.fsencode(path)
    return read_nar_file(name, Usage(name, limits))


def read_nar_file(name: bytes, usage: Usage) -> Node:
    """Read the archive in the file ``name``; see :func:`nar`."""
    try:
        fd = os.open(name, os.O_RDONLY | O_CLOEXEC | O_BINARY | O_NONBLOCK)
    except OSError as error:
        raise SourceError(name, f"cannot be read: {error.strerror}") from error
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(name, "is not a regular file, so it cannot be a Nix archive")
        size, stamp = status.st_size, stamp_of(status)

        def read_at(offset: int, count: int) -> bytes:
            try:
                os.lseek(fd, offset, os.SEEK_SET)
                return os.read(fd, count)
            except OSError as error:
                raise SourceError(name, f"cannot be read: {error.strerror}") from error

        def make_content(offset: int, length: int) -> Content:
            return NarFile(name, size, stamp, offset, length)

        return read_nar(read_at, size, make_content, name, usage)
    finally:
        os.close(fd)


def read_nar(
    read_at: ReadAt,
    size: int,
    make_content: MakeContent,
    name: bytes,
    usage: Usage | None = None,
) -> Node:
    """Read an archive of ``size`` bytes; ``name`` is its name in errors. See :func:`nar`."""
    usage = usage or Usage(name, DEFAULT_LIMITS)
    return _Parser(read_at, size, make_content, name, usage).parse()


class _Parser:
    def __init__(
        self,
        read_at: ReadAt,
        size: int,
        make_content: MakeContent,
        name: bytes,
        usage: Usage,
    ) -> None:
        self._usage = usage
        self._read_at = read_at
        self._size = size
        self._make_content = make_content
        self._name = name
        self._window = b""
        self._base = 0
        """Offset of the window in the archive, in bytes."""
        self._at = 0
        """Number of bytes of the window consumed so far."""
        self._names: list[bytes] = []
        """Components of the path of the entry being read."""

    def parse(self) -> Node:
        self._expect(MAGIC, "is not a Nix archive")
        root = self._node()
        if isinstance(root, Directory):
            self._entries(root)
        self._expect(CLOSE, "the archive is not closed by a parenthesis")
        if self._base + self._at != self._size:
            raise self._error("something follows the end of the archive")
        return root

    def _entries(self, root: Directory) -> None:
        """Read all entries below ``root``, without recursion."""
        directory, last = root, b""
        above: list[tuple[Directory, bytes]] = []
        while True:
            if self._take(ENTRY):
                name = self._entry_name(last)
                self._names.append(name)
                self._expect(ENTRY_NODE, "an entry has no node")
                node = self._node()
                directory.children[name] = last_node = node
                if isinstance(last_node, Directory):
                    above.append((directory, name))
                    if len(above) >= DEPTH_MAX:
                        raise self._error(f"more than {DEPTH_MAX} directories are nested")
                    directory, last = last_node, b""
                    continue
                last = name
            elif above:
                directory, last = above.pop()
            else:
                return
            self._names.pop()
            self._expect(CLOSE, "a node is not closed by a parenthesis")
            self._expect(CLOSE, "an entry is not closed by a parenthesis")

    def _node(self) -> Node:
        """Read a node up to its closing parenthesis; of a directory, only the start."""
        self._count_entry()
        self._expect(NODE, "a node has no type")
        if self._take(REGULAR):
            mode = EXECUTABLE_MODE if self._take(EXECUTABLE_MARK) else FILE_MODE
            self._expect(CONTENTS, "a regular file has no contents")
            length = self._length()
            offset = self._base + self._at
            if length > self._size - offset:
                raise self._error(
                    f"the archive is cut short: a file of {length} bytes begins, but only "
                    f"{self._size - offset} bytes are left"
                )
            self._count_content(length)
            self._skip(length)
            self._padding(length)
            return RegularFile(self._make_content(offset, length), mode)
        if self._take(DIRECTORY):
            return Directory(DIRECTORY_MODE)
        if self._take(SYMLINK):
            target = self._text(SYMLINK_MAX, "the target of a symbolic link")
            if b"\0" in target:
                raise self._error("the target of a symbolic link holds a NUL byte")
            self._usage.metadata_bytes += len(target)
            if self._usage.metadata_bytes > self._usage.limits.metadata_bytes:
                self._usage.keep(0, self._member())
            return Symlink(target, SYMLINK_MODE)
        raise self._error("a node has an unknown type")

    def _count_entry(self) -> None:
        usage = self._usage
        usage.entries += 1
        if usage.entries > usage.limits.members:
            raise self._over("members", f"has more than {usage.limits.members} entries")

    def _count_content(self, length: int) -> None:
        usage = self._usage
        usage.content_bytes += length
        most = usage.limits.content_bytes
        if usage.content_bytes > most:
            raise self._over("content_bytes", f"its files have more than {most} bytes")

    def _entry_name(self, last: bytes) -> bytes:
        name = self._text(NAME_MAX, "a name")
        shown = display_path(name)
        if name in (b".", b".."):
            raise self._error(f"{shown!r} cannot be the name of an entry")
        if b"/" in name or b"\0" in name:
            raise self._error(f"the name {shown!r} holds a slash or a NUL byte")
        if name <= last:
            how = "occurs twice" if name == last else "is not in the order of the names"
            raise self._error(f"the name {shown!r} {how}")
        return name

    def _text(self, most: int, what: str) -> bytes:
        length = self._length()
        if not 0 < length <= most:
            raise self._error(f"{what} has {length} bytes, which is not between 1 and {most}")
        text = self._bytes(length)
        self._padding(length)
        return text

    def _length(self) -> int:
        return int.from_bytes(self._bytes(LENGTH_BYTES), "little")

    def _padding(self, length: int) -> None:
        count = padding(length)
        if count and any(self._bytes(count)):
            raise self._error("the padding of a string is not zeros")

    def _expect(self, words: bytes, problem: str) -> None:
        if not self._take(words):
            raise self._error(problem)

    def _take(self, words: bytes) -> bool:
        """Consume ``words`` if they are next; return whether they were."""
        if self._at + len(words) > len(self._window):
            self._fill()
        if self._window.startswith(words, self._at):
            self._at += len(words)
            return True
        if words.startswith(self._window[self._at :]):
            raise self._error("the archive is cut short")
        return False

    def _bytes(self, count: int) -> bytes:
        if self._at + count > len(self._window):
            self._fill()
        data = self._window[self._at : self._at + count]
        if len(data) < count:
            raise self._error("the archive is cut short")
        self._at += count
        return data

    def _skip(self, count: int) -> None:
        self._at += count
        if self._at > len(self._window):
            self._base += self._at
            self._window, self._at = b"", 0

    def _fill(self) -> None:
        """Move the window to the current offset. It is longer than any string read from it."""
        self._base += self._at
        left = self._window[self._at :]
        size = min(WINDOW_BYTES, self._size - self._base)
        while len(left) < size:
            more = self._read_at(self._base + len(left), size - len(left))
            if not more:
                raise SourceChangedError(self._name, "became shorter while it was read")
            left += more
        self._window, self._at = left, 0

    def _member(self) -> bytes | None:
        return b"/".join(self._names) or None

    def _error(self, problem: str) -> ArchiveError:
        offset = self._base + self._at
        return ArchiveError(self._name, problem, member=self._member(), offset=offset)

    def _over(self, limit: str, problem: str) -> LimitError:
        offset = self._base + self._at
        return LimitError(self._name, limit, problem, member=self._member(), offset=offset)


class NarFile(Content):
    """The content of one file in an archive that is a file of the host."""

    __slots__ = ("archive", "archive_size", "archive_stamp", "offset")
    random_access = True
    within_file = True
    first_generation = 0

    def __init__(
        self, archive: bytes, archive_size: int, archive_stamp: Stamp, offset: int, size: int
    ) -> None:
        self.archive = archive
        self.archive_size = archive_size
        self.archive_stamp = archive_stamp
        self.offset = offset
        self.size = size

    def container(self) -> object:
        return self.archive

    def file_id(self) -> FileId | None:
        return id_at(self.archive)

    def open(self) -> Reader:
        return _SliceReader(self)


class _SliceReader(DescriptorReader):
    """Reads one byte range of the archive through a descriptor of the archive."""

    def __init__(self, content: NarFile) -> None:
        super().__init__(
            open_source(content.archive),
            content.archive,
            content.archive_size,
            stamp=content.archive_stamp,
        )
        self.fd_offset = content.offset
        self._length = content.size

    def readinto(self, view: memoryview, offset: int) -> int:
        available = max(0, min(len(view), self._length - offset))
        count = super().readinto(view[:available], self.fd_offset + offset)
        if count < available:
            raise changed_size(self.path, self._size, self.fd_offset + offset + count)
        return count
