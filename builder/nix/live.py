"""Store objects that lie in a store of the host."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from ext4writer import Node, RegularFile, Symlink, sources
from ext4writer.progress import Cancel, Progress, ProgressCallback, check_cancelled
from ext4writer.sources.host import HostDirectory, HostFile

from . import STORE
from .errors import NixError
from .store_paths import full_path


def read_objects(
    names: Iterable[str],
    store_dir: str = STORE,
    *,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> dict[str, Node]:
    """Scan each object ``names`` of the store that lies at ``store_dir``.

    Neither attributes nor hard links of the host are taken. Raises ``NixError`` for an object that
    is missing or of no kind that a store has, and what :func:`ext4writer.sources.directory` raises.
    """
    folder = HostDirectory(os.path.abspath(os.fsencode(store_dir)).rstrip(b"/"))
    scan = _Scan(folder, progress, cancel)
    return {name: scan.read(name) for name in names}


class _Scan:
    def __init__(
        self, folder: HostDirectory, progress: ProgressCallback | None, cancel: Cancel | None
    ) -> None:
        self._folder = folder
        self._progress = progress
        self._cancel = cancel
        self._entries = self._bytes = 0

    def read(self, name: str) -> Node:
        """The object ``name``."""
        path = self._folder.child(name.encode()).full_path()
        try:
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                return Symlink(os.readlink(path))
        except (FileNotFoundError, NotADirectoryError):
            folder = os.fsdecode(self._folder.full_path())
            raise NixError(full_path(name), f"is missing; {folder} does not have it") from None
        except OSError as error:
            raise NixError(os.fsdecode(path), f"cannot be read: {error.strerror}") from error
        if stat.S_ISREG(status.st_mode):
            content = HostFile(self._folder, name.encode(), status.st_size)
            return RegularFile(content, status.st_mode & 0o777)
        if not stat.S_ISDIR(status.st_mode):
            raise NixError(full_path(name), "is neither a file, a directory nor a symbolic link")
        return self._directory(path)

    def _directory(self, path: bytes) -> Node:
        entries, count = self._entries, self._bytes

        def progress(report: Progress) -> None:
            self._entries, self._bytes = entries + report.entries, count + report.bytes_done
            if self._progress is not None:
                self._progress(Progress("scan", self._entries, 0, self._bytes, 0))

        check_cancelled(self._cancel)
        tree = sources.directory(
            path, xattrs=False, hard_links=False, progress=progress, cancel=self._cancel
        )
        for loss in tree.losses:
            raise NixError(os.fsdecode(path + loss.path), loss.what)
        return tree.root
