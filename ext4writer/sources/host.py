"""Directories and files of the host: compact names, with which they can be reopened later.

A directory is identified by its path if the system accepts paths of that length. Deeper
directories are relative to such a directory, their anchor. Everything below the root of a source
is opened component by component with descriptors, so that no link is followed.
"""

from __future__ import annotations

import os
import stat
import sys
import threading
from itertools import groupby, islice, repeat
from typing import Any, Self

from ..content import (
    O_BINARY,
    O_CLOEXEC,
    O_NOCTTY,
    O_NOFOLLOW,
    O_NONBLOCK,
    Content,
    DescriptorReader,
    FileId,
    Reader,
    Stamp,
    changed_content,
    changed_size,
    file_id,
    keep_until_closed,
    open_failure,
    stamp_of,
)
from ..errors import SourceChangedError, SourceError

LONGEST_PATH = 3800 if sys.platform == "linux" else 700
"""Bytes of the longest path to which a name can be added without exceeding PATH_MAX."""

O_DIRECTORY = getattr(os, "O_DIRECTORY", 0)

FILE_FLAGS = os.O_RDONLY | O_CLOEXEC | O_BINARY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY
FOLDER_FLAGS = os.O_RDONLY | O_CLOEXEC | O_DIRECTORY
HOLD_FLAGS = getattr(os, "O_PATH", os.O_RDONLY) | O_CLOEXEC | O_DIRECTORY
"""A directory that is only traversed needs no read permission."""
FOLDERS_HELD = 64
"""Most open directories on one path; a tree may be deeper than the limit of open files."""

HAS_DIR_FD = os.open in os.supports_dir_fd
"""False on Windows."""

_extra_byte = bytearray(1)
"""Receives the byte after the planned end if a file grew. Its value is not used."""


class HostDirectory:
    """One directory of the host; ``path`` is relative to ``anchor`` if there is one.

    Without an anchor, the first ``top`` bytes of the path are the root of the source. The names
    below it are opened one by one without following links: a directory that was scanned may have
    been replaced by a symbolic link before its files are read.
    """

    __slots__ = ("anchor", "path", "top")

    def __init__(
        self, path: bytes, anchor: HostDirectory | None = None, top: int | None = None
    ) -> None:
        self.path = path
        self.anchor = anchor
        self.top = len(path) if top is None else top

    def __reduce__(self) -> tuple[object, ...]:
        return host_directory, self.place()

    def child(self, name: bytes) -> HostDirectory:
        """The subdirectory ``name``."""
        if len(self.path) + len(name) < LONGEST_PATH:
            return HostDirectory(join(self.path, name), self.anchor, self.top)
        return HostDirectory(name, self, 0)

    def full_path(self) -> bytes:
        """The absolute path, which may be longer than the system accepts."""
        return b"/".join([step.path for step in self.steps()]) or b"/"

    def place(self) -> Place:
        """The arguments with which :func:`host_directory` creates an equal directory."""
        if self.anchor is None:
            return self.top, self.path
        # Pickling nested anchors would recurse, and there may be thousands.
        return self.top_of_all(), *(step.path for step in self.steps())

    def top_of_all(self) -> int:
        """Length in bytes of the root of the source, with which the full path begins."""
        return self.steps()[0].top

    def steps(self) -> list[HostDirectory]:
        """This directory and its anchors, topmost first; their joined paths are the full path."""
        steps = [self]
        while (anchor := steps[-1].anchor) is not None:
            steps.append(anchor)
        steps.reverse()
        return steps


def host_directory(top: int, *paths: bytes) -> HostDirectory:
    """The directory at the last of ``paths``; each path is relative to the previous one."""
    found = HostDirectory(paths[0], None, top)
    for path in paths[1:]:
        found = HostDirectory(path, found, 0)
    return found


Place = tuple[int, *tuple[bytes, ...]]
"""Length of the root in the first path in bytes, and paths, each relative to the previous one."""


class OpenFolders:
    """Keeps the last requested directory and those above it open, so that no link is followed.

    This is fast because consecutive requests mostly name the same directory or a sibling.
    """

    def __init__(self) -> None:
        self._folder: HostDirectory | None = None
        self._top = -1
        """Length in bytes of the path of the root; -1 for none."""
        self._fds: list[int] = []
        """Descriptors of consecutive directories on one path, topmost first."""
        self._paths: list[bytes] = []
        """Full paths of the same directories."""

    def fd_of(self, folder: HostDirectory) -> int:
        """A descriptor of ``folder``, valid until the next call. Raises ``OSError``."""
        if folder is not self._folder:
            self._folder = None
            if folder.anchor is None:
                self.fd_at(folder.path, folder.top)
            else:
                self.fd_at(folder.full_path(), folder.top_of_all())
            self._folder = folder
        return self._fds[-1]

    def fd_at(self, path: bytes, top: int) -> int:
        """Like :meth:`fd_of`, for a full path that begins with the ``top`` bytes of the root."""
        self._folder = None
        fds, paths = self._fds, self._paths
        if top != self._top:
            self._close_from(0)
        while paths:
            above = paths[-1]
            if path.startswith(above):
                below = path[len(above) :]
                if not below:
                    return fds[-1]
                if below.startswith(b"/"):
                    break
            os.close(fds.pop())
            paths.pop()
        else:
            above, below = path[:top], path[top:]
            fds.append(os.open(above or b"/", HOLD_FLAGS))
            paths.append(above.rstrip(b"/"))
            self._top = top
        above = paths[-1]
        for name in below.split(b"/"):
            if name:
                above = b"%b/%b" % (above, name)
                self._enter(name, above)
        return fds[-1]

    def open(self, folder: HostDirectory) -> int:
        """Return a descriptor to list ``folder``; the caller closes it. Raises ``OSError``."""
        return os.open(b".", FOLDER_FLAGS, dir_fd=self.fd_of(folder))

    def close(self) -> None:
        """Close all directories."""
        self._folder = None
        self._close_from(0)

    def _enter(self, name: bytes, path: bytes) -> None:
        self._fds.append(os.open(name, HOLD_FLAGS | O_NOFOLLOW, dir_fd=self._fds[-1]))
        self._paths.append(path)
        if len(self._fds) > FOLDERS_HELD:
            os.close(self._fds.pop(0))
            del self._paths[0]

    def _close_from(self, depth: int) -> None:
        for fd in self._fds[depth:]:
            os.close(fd)
        del self._fds[depth:], self._paths[depth:]


class _ThreadState(threading.local):
    folders: OpenFolders | None = None


_thread_state = _ThreadState()


def _open_folders() -> tuple[OpenFolders, bool]:
    """The open folders of this thread, and whether they stay open for the next call."""
    if _thread_state.folders is not None:
        return _thread_state.folders, True
    folders = OpenFolders()

    def close() -> None:
        _thread_state.folders = None
        folders.close()

    if not keep_until_closed(close):
        return folders, False
    _thread_state.folders = folders
    return folders, True


def join(folder: bytes, name: bytes) -> bytes:
    """``folder/name``, without a double slash if ``folder`` is ``/``."""
    return folder + name if folder.endswith(b"/") else b"%b/%b" % (folder, name)


class HostFile(Content):
    """A regular file of the host as it was scanned; a symbolic link in its place is refused."""

    __slots__ = ("folder", "name", "stamp")
    random_access = True
    first_generation = 0

    def __init__(
        self, folder: HostDirectory, name: bytes, size: int, stamp: Stamp | None = None
    ) -> None:
        """``size`` in bytes and ``stamp`` (:func:`~ext4writer.content.stamp_of`) when scanned."""
        self.folder = folder
        self.name = name
        self.size = size
        self.stamp = stamp

    def __reduce__(self) -> tuple[object, ...]:
        return HostFile, (self.folder, self.name, self.size, self.stamp)

    @classmethod
    def packed(cls, contents: list[Self]) -> _Columns:
        folders = [one.folder for one in contents]
        if folders.count(folders[0]) == len(folders):
            places = [(folders[0].place(), len(folders))]
        else:
            places = [(folder.place(), len(list(run))) for folder, run in groupby(folders)]
        return (
            places,
            [one.name for one in contents],
            [one.size for one in contents],
            [one.stamp for one in contents],
        )

    @classmethod
    def unpacked(cls, packed: _Columns) -> list[Self]:
        places, *columns = packed
        folders: list[HostDirectory] = []
        for place, count in places:
            folders += repeat(host_directory(*place), count)
        return list(map(cls, folders, *columns))

    def path(self) -> bytes:
        """The full path on the host."""
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
        return DescriptorReader(fd, self.path, self.size, stamp=self.stamp)

    def read_whole(self, view: memoryview) -> None:
        fd = self._open()
        try:
            # With one byte past the end, a single call detects both growth and shrinkage.
            count = os.readv(fd, (view, _extra_byte)) if _HAS_READV else _read_into(fd, view)
            if count != self.size:
                self._read_rest(fd, view, count)
            if self.stamp is not None and stamp_of(os.fstat(fd)) != self.stamp:
                raise changed_content(self.path())
        except OSError as error:
            raise SourceError(self.path(), f"cannot be read: {error.strerror}") from error
        finally:
            os.close(fd)

    @classmethod
    def read_side_by_side(cls, packed: Any, buffer: memoryview, block_size: int) -> int:
        """Read many files given as columns; :meth:`read_whole` handles every unusual case."""
        if not (_HAS_READV and HAS_DIR_FD):
            return super().read_side_by_side(packed, buffer, block_size)
        folders, stay_open = _open_folders()
        try:
            return cls._read_in(folders, packed, buffer, block_size)
        finally:
            if not stay_open:
                folders.close()

    @classmethod
    def _read_in(
        cls, folders: OpenFolders, packed: _Columns, buffer: memoryview, block_size: int
    ) -> int:
        """The hot loop of a copy."""
        start = end = 0
        mask, zeros = block_size - 1, memoryview(bytes(block_size))
        flags = FILE_FLAGS
        open_file, read, close, look_at = os.open, os.readv, os.close, os.fstat
        places, *columns = packed
        files = zip(*columns, strict=True)
        for place, count in places:
            folder_fd = _fd_at(folders, place)
            for name, size, stamp in islice(files, count):
                if end < start:
                    buffer[end:start] = zeros[: start - end]
                end = start + size
                view = buffer[start:end]
                start = (end + mask) & ~mask
                try:
                    fd = open_file(name, flags, dir_fd=folder_fd)
                    try:
                        if stamp is None:
                            is_good = read(fd, (view, _extra_byte)) == size
                        elif read(fd, (view,)) == size:
                            now = look_at(fd)
                            # stamp_of, inlined for speed. The stamp also changes with the size.
                            is_good = stamp == now.st_ctime_ns + now.st_mtime_ns + now.st_ino
                        else:
                            is_good = False
                    finally:
                        close(fd)
                except OSError:
                    is_good = False
                if not is_good:
                    cls(host_directory(*place), name, size, stamp).read_whole(view)
                    folder_fd = _fd_at(folders, place)
        return end

    def _open(self) -> int:
        try:
            if not HAS_DIR_FD:
                return os.open(join(self.folder.path, self.name), FILE_FLAGS)
            folders, stay_open = _open_folders()
            try:
                return os.open(self.name, FILE_FLAGS, dir_fd=folders.fd_of(self.folder))
            finally:
                if not stay_open:
                    folders.close()
        except OSError as error:
            raise open_failure(self.path(), error) from error

    def _check_regular(self, fd: int) -> None:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise SourceChangedError(
                self.path(), "was a regular file when it was scanned, but is not one now"
            )

    def _read_rest(self, fd: int, view: memoryview, count: int) -> None:
        """Complete a short read, as some file systems return; raise if the size changed."""
        self._check_regular(fd)
        while count < self.size:
            data = os.read(fd, self.size - count)
            if not data:
                raise changed_size(self.path(), self.size, count)
            view[count : count + len(data)] = data
            count += len(data)
        if count > self.size or os.read(fd, 1):
            raise changed_size(self.path(), self.size, os.fstat(fd).st_size)


_Columns = tuple[list[tuple[Place, int]], list[bytes], list[int], list["Stamp | None"]]
"""Many files: directories with the number of files in each, and name, size and stamp of each."""

CLOSED = -1
"""An invalid descriptor; system calls with it fail."""


def _fd_at(folders: OpenFolders, place: Place) -> int:
    """A descriptor of the directory at ``place``; ``CLOSED`` if it cannot be opened."""
    try:
        if len(place) == 2:
            return folders.fd_at(place[1], place[0])
        return folders.fd_of(host_directory(*place))
    except OSError:
        return CLOSED


_HAS_READV = hasattr(os, "readv")


def _read_into(fd: int, view: memoryview) -> int:
    data = os.read(fd, len(view) + 1)
    kept = min(len(data), len(view))
    view[:kept] = data[:kept]
    return len(data)
