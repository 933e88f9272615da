"""Directories and files of the host, found again later by as little as possible.

A path as long as the system takes is used as it is. Below that, paths hang from an anchor, a
directory that can be named, and are opened step by step with descriptors.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from typing import Self

from ..content import (
    O_BINARY,
    O_CLOEXEC,
    O_NOFOLLOW,
    O_NONBLOCK,
    Content,
    DescriptorReader,
    FileId,
    Reader,
    changed_size,
    file_id,
    open_failure,
)
from ..errors import SourceChangedError, SourceError

LONGEST_PATH = 3800 if sys.platform == "linux" else 700
"""Bytes of a path that leave room for one more name under PATH_MAX."""

O_NOCTTY = getattr(os, "O_NOCTTY", 0)
O_DIRECTORY = getattr(os, "O_DIRECTORY", 0)

FILE_FLAGS = os.O_RDONLY | O_CLOEXEC | O_BINARY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY
FOLDER_FLAGS = os.O_RDONLY | O_CLOEXEC | O_DIRECTORY

_beyond = bytearray(1)
"""Takes the byte after the planned end, if a file grew. What it holds is of no interest."""


class HostDirectory:
    """One directory of the host; ``path`` is relative to ``anchor`` where there is one."""

    __slots__ = ("anchor", "path")

    def __init__(self, path: bytes, anchor: HostDirectory | None = None) -> None:
        self.path = path
        self.anchor = anchor

    def __reduce__(self) -> tuple[object, ...]:
        # Anchors one in the other would be pickled by recursion, and there may be thousands.
        return _host_directory, tuple(step.path for step in self._steps())

    def child(self, name: bytes) -> HostDirectory:
        """The directory ``name`` in this one."""
        if len(self.path) + len(name) < LONGEST_PATH:
            return HostDirectory(join(self.path, name), self.anchor)
        return HostDirectory(name, self)

    def full_path(self) -> bytes:
        """The whole path, which may be longer than the system takes."""
        return b"/".join([step.path for step in self._steps()]) or b"/"

    def open(self) -> int:
        """Return a descriptor of the directory; raises ``OSError``."""
        fd: int | None = None
        flags = FOLDER_FLAGS
        for step in self._steps():
            above = fd
            try:
                fd = os.open(step.path, flags, dir_fd=above)
            finally:
                if above is not None:
                    os.close(above)
            flags = FOLDER_FLAGS | O_NOFOLLOW
        assert fd is not None
        return fd

    def _steps(self) -> list[HostDirectory]:
        steps = [self]
        while (anchor := steps[-1].anchor) is not None:
            steps.append(anchor)
        steps.reverse()
        return steps


def _host_directory(*paths: bytes) -> HostDirectory:
    """The directory at the last of ``paths``, each of which is relative to the one before it."""
    found = HostDirectory(paths[0])
    for path in paths[1:]:
        found = HostDirectory(path, found)
    return found


def join(folder: bytes, name: bytes) -> bytes:
    """``folder/name``, without a second slash after ``/``."""
    return folder + name if folder.endswith(b"/") else b"%b/%b" % (folder, name)


class HostFile(Content):
    """A regular file of the host as a scan saw it; a symbolic link in its place is refused."""

    __slots__ = ("folder", "name")
    random_access = True
    first_crew = 0

    def __init__(self, folder: HostDirectory, name: bytes, size: int) -> None:
        self.folder = folder
        self.name = name
        self.size = size

    def __reduce__(self) -> tuple[object, ...]:
        return HostFile, (self.folder, self.name, self.size)

    @classmethod
    def packed(cls, contents: list[Self]) -> object:
        return (
            [one.folder for one in contents],
            [one.name for one in contents],
            [one.size for one in contents],
        )

    @classmethod
    def unpacked(cls, packed: tuple[list[HostDirectory], list[bytes], list[int]]) -> list[Self]:
        return list(map(cls, *packed))

    def path(self) -> bytes:
        """The whole path on the host."""
        return join(self.folder.full_path(), self.name)

    def file_id(self) -> FileId | None:
        try:
            fd = self._open()
        except SourceError:
            return None
        try:
            return file_id(os.fstat(fd))
        finally:
            os.close(fd)

    def host_path(self) -> bytes:
        return self.path()

    def open(self) -> Reader:
        fd = self._open()
        try:
            self._check_regular(fd)
        except BaseException:
            os.close(fd)
            raise
        return DescriptorReader(fd, self.path, self.size)

    def read_whole(self, view: memoryview) -> None:
        fd = self._open()
        try:
            # The byte beyond makes one call find out about both growth and shrinkage.
            count = os.readv(fd, (view, _beyond)) if _HAS_READV else _read_into(fd, view)
            if count != self.size:
                self._read_rest(fd, view, count)
        except OSError as error:
            raise SourceError(self.path(), f"cannot be read: {error.strerror}") from error
        finally:
            os.close(fd)

    @classmethod
    def read_side_by_side(
        cls, contents: Sequence[Content], buffer: memoryview, block_size: int
    ) -> int:
        """The hot loop of a copy: what is odd about a file is left to :meth:`read_whole`."""
        if not _HAS_READV:
            return super().read_side_by_side(contents, buffer, block_size)
        start = end = 0
        zeros = bytes(block_size)
        for content in contents:
            assert isinstance(content, HostFile)
            if end < start:
                buffer[end:start] = zeros[: start - end]
            size, folder = content.size, content.folder
            end = start + size
            view = buffer[start:end]
            count = -1
            if folder.anchor is None:
                try:
                    fd = os.open(b"%b/%b" % (folder.path, content.name), FILE_FLAGS)
                    try:
                        count = os.readv(fd, (view, _beyond))
                    finally:
                        os.close(fd)
                except OSError:
                    count = -1
            if count != size:
                content.read_whole(view)
            start = -(-end // block_size) * block_size
        return end

    def _open(self) -> int:
        folder = self.folder
        try:
            if folder.anchor is None:
                return os.open(b"%b/%b" % (folder.path, self.name), FILE_FLAGS)
            folder_fd = folder.open()
            try:
                return os.open(self.name, FILE_FLAGS, dir_fd=folder_fd)
            finally:
                os.close(folder_fd)
        except OSError as error:
            raise open_failure(self.path(), error) from error

    def _check_regular(self, fd: int) -> None:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise SourceChangedError(
                self.path(), "was a regular file when it was scanned and is none now"
            )

    def _read_rest(self, fd: int, view: memoryview, count: int) -> None:
        """Finish a read that came back short, as some file systems do, or raise."""
        self._check_regular(fd)
        while count < self.size:
            data = os.read(fd, self.size - count)
            if not data:
                raise changed_size(self.path(), self.size, count)
            view[count : count + len(data)] = data
            count += len(data)
        if count > self.size or os.read(fd, 1):
            raise changed_size(self.path(), self.size, os.fstat(fd).st_size)


_HAS_READV = hasattr(os, "readv")


def _read_into(fd: int, view: memoryview) -> int:
    data = os.read(fd, len(view) + 1)
    kept = min(len(data), len(view))
    view[:kept] = data[:kept]
    return len(data)
