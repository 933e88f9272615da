"""Creates, reads and removes the trees and files of the workloads."""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .generator import Bytes, Numbers

MTIME = 1_700_000_000
STORE_LETTERS = "0123456789abcdfghijklmnpqrsvwxyz"
LETTERS = "abcdefghijklmnopqrstuvwxyz"

# (percent, least, most) bytes of a file
SOURCE_FILES = ((60, 100, 2_000), (30, 2_000, 8_000), (9, 8_000, 40_000), (1, 40_000, 200_000))
STORE_FILES = (
    (60, 200, 4_000),
    (30, 4_000, 30_000),
    (9, 30_000, 200_000),
    (1, 200_000, 2_000_000),
)
SOURCE_FOLDERS = ("lib", "lib/internal", "lib/internal/helpers", "dist", "dist/esm", "dist/cjs/es5")
STORE_FOLDERS = ("bin", "lib", "lib/pkgconfig", "share/doc", "share/man/man1", "include")

FILES_TO_REMOVE = 1_000
"""So few files can be removed without slowing down later runs."""


class NotMadeError(Exception):
    """A tree cannot be made here, or not within its time limit."""


def node_modules(path: Path, files: int) -> None:
    """Make packages of many small files, with nested packages up to six levels deep."""
    numbers, content = Numbers(1), Bytes(2)
    homes = [(path / "node_modules", 1)]
    made = package = 0
    while made < files:
        home, depth = homes[0] if numbers.chance(40) else homes[numbers.below(len(homes))]
        scope = f"@{numbers.word(LETTERS, 5)}/" if numbers.chance(20) else ""
        folder = home / f"{scope}{numbers.word(LETTERS, numbers.between(3, 14))}-{package}"
        package += 1
        for folder_name in ("", *SOURCE_FOLDERS[: numbers.between(1, len(SOURCE_FOLDERS))]):
            inner = folder / folder_name
            inner.mkdir(parents=True, exist_ok=True)
            for number in range(numbers.between(1, 9)):
                if made < files:
                    name = f"{numbers.word(LETTERS, numbers.between(3, 20))}{number}.js"
                    (inner / name).write_bytes(content.take(numbers.pick(SOURCE_FILES)))
                    made += 1
        if depth < 6 and numbers.chance(25):
            homes.append((folder / "node_modules", depth + 1))
    normalize(path, MTIME)


def packed_node_modules(path: Path, files: int) -> None:
    """Make the tree of :func:`node_modules` as the folder ``tree`` and the archive ``tree.tar``."""
    node_modules(path / "tree", files)
    with tarfile.open(path / "tree.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        archive.add(path / "tree", ".")


def closure(path: Path, entries: int) -> None:
    """Make a store of packages like Nix's: long names, nothing writable, all times 1."""
    numbers, content = Numbers(3), Bytes(4)
    store = path / "nix" / "store"
    store.mkdir(parents=True)
    made, packages = 3, []
    while made < entries:
        version = f"{numbers.below(9)}.{numbers.below(20)}.{numbers.below(20)}"
        stem = numbers.word(LETTERS, numbers.between(3, 18))
        package = f"{numbers.word(STORE_LETTERS, 32)}-{stem}-{version}"
        packages.append(package)
        for folder_name in STORE_FOLDERS[: numbers.between(1, len(STORE_FOLDERS))]:
            folder = store / package / folder_name
            if made < entries:
                made += _make_folders(folder)
            for number in range(numbers.between(1, 12)):
                if made >= entries:
                    break
                name = folder / f"{numbers.word(LETTERS, numbers.between(3, 24))}{number}"
                if numbers.chance(25):
                    target = packages[numbers.below(len(packages))]
                    name.symlink_to(f"/nix/store/{target}/lib/{numbers.word(LETTERS, 12)}")
                else:
                    name.write_bytes(content.take(numbers.pick(STORE_FILES)))
                    name.chmod(0o555 if folder_name == "bin" else 0o444)
                made += 1
    normalize(path, 1, folder_mode=0o555)


def _make_folders(folder: Path) -> int:
    """Create ``folder`` and its missing parents; return how many were created."""
    if folder.is_dir():
        return 0
    made = _make_folders(folder.parent)
    folder.mkdir()
    return made + 1


def names(path: Path, count: int, seconds: float = float("inf")) -> None:
    """Make empty files in one directory.

    Raises :class:`NotMadeError` if that takes more than ``seconds``, or if the disk has too few
    free inodes.
    """
    path.mkdir(parents=True)
    room = os.statvfs(path)
    if room.f_files and room.f_favail < count:
        raise NotMadeError(f"the disk has {room.f_favail:,} inodes left")
    numbers = Numbers(5)
    end = time.monotonic() + seconds
    folder = os.open(path, os.O_RDONLY)
    try:
        for number in range(count):
            os.mknod(f"entry-{numbers.next():016x}", 0o644 | stat.S_IFREG, dir_fd=folder)
            if number % 4096 == 0 and time.monotonic() > end:
                raise NotMadeError(f"{count:,} files took more than {seconds:.0f} s to make")
    finally:
        os.close(folder)


def large_files(path: Path, size: int) -> None:
    """Make four files of a half, a quarter and two eighths of ``size`` bytes."""
    content = Bytes(6)
    path.mkdir(parents=True)
    for name, part in (("disk", 2), ("video", 4), ("archive", 8), ("model", 8)):
        with open(path / name, "wb") as file:
            file.writelines(content.take(1 << 20) for _ in range(size // part >> 20))
    normalize(path, MTIME)


def sparse_file(path: Path, size: int, pieces: int = 256) -> None:
    """Make one file of ``size`` bytes with ``pieces`` of 64 KiB of data, and holes."""
    numbers, content = Numbers(7), Bytes(8)
    path.mkdir(parents=True)
    with open(path / "sparse", "wb") as file:
        file.truncate(size)
        for _ in range(pieces):
            file.seek(numbers.below(size // 65536) * 65536)
            file.write(content.take(65536))
    normalize(path, MTIME)


def normalize(path: Path, mtime: int, folder_mode: int = 0o755) -> None:
    """Give everything below ``path`` the same time, and all directories the same mode."""
    for folder, _, files in os.walk(path, topdown=False):
        for name in files:
            os.utime(os.path.join(folder, name), (mtime, mtime), follow_symlinks=False)
        os.chmod(folder, folder_mode)
    for folder, _, _ in os.walk(path):
        os.utime(folder, (mtime, mtime))


def remove(path: Path) -> None:
    """Remove a file or an entire tree, even with read-only directories."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        if os.geteuid() != 0:
            for folder, _, _ in os.walk(path):
                os.chmod(folder, 0o700)
        shutil.rmtree(path)


def put_away(path: Path, attic: Path) -> None:
    """Free the disk space of a tree; if it has many files, truncate them and move it to ``attic``.

    After many files were removed, ext4 creates new ones ten times as slowly: for each one it checks
    all inodes that were freed in the last minutes (fs/ext4/ialloc.c, recently_deleted).
    """
    if sum(len(files) for _, _, files in os.walk(path)) <= FILES_TO_REMOVE:
        remove(path)
        return
    for folder, _, files in os.walk(path):
        for name in files:
            file = os.path.join(folder, name)
            if stat.S_ISREG(os.lstat(file).st_mode):
                if os.geteuid() != 0:
                    os.chmod(file, 0o600)
                os.truncate(file, 0)
    attic.mkdir(exist_ok=True)
    path.rename(tempfile.mkdtemp(dir=attic))


@dataclass(frozen=True)
class Survey:
    """The contents of a tree, in numbers."""

    entries: int
    content_bytes: int
    disk_bytes: int
    mount_points: int
    """Directories inside it that are on other file systems."""


def read_all(path: Path) -> Survey:
    """Read everything below ``path`` on its file system, so that it is in the page cache."""
    entries = content = disk = mounts = 0
    view = memoryview(bytearray(1 << 20))
    device = path.lstat().st_dev
    for entry in _walk(os.fspath(path)):
        entries += 1
        status = entry.stat(follow_symlinks=False)
        if status.st_dev != device:
            mounts += 1
        elif entry.is_symlink():
            os.readlink(entry.path)
        elif entry.is_file():
            content += status.st_size
            disk += status.st_blocks * 512
            _read_data(entry.path, view)
    return Survey(entries, content, disk, mounts)


def _walk(root: str) -> Iterator[os.DirEntry[str]]:
    device = os.lstat(root).st_dev
    pending = [root]
    while pending:
        with os.scandir(pending.pop()) as inside:
            for entry in inside:
                yield entry
                if not entry.is_dir(follow_symlinks=False):
                    continue
                if entry.stat(follow_symlinks=False).st_dev == device:
                    pending.append(entry.path)


def _read_data(path: str, view: memoryview) -> None:
    """Read a file without its holes; skip an unreadable file, which the tools will report."""
    if not os.access(path, os.R_OK):
        return
    with open(path, "rb", buffering=0) as file:
        start = 0
        while True:
            try:
                start = file.seek(start, os.SEEK_DATA)
                end = file.seek(start, os.SEEK_HOLE)
            except OSError:
                return
            file.seek(start)
            while start < end:
                count = file.readinto(view[: min(len(view), end - start)])
                if not count:
                    return
                start += count


def disk_bytes(path: Path) -> int:
    """Bytes on the disk that everything below a directory uses."""
    total = 0
    seen: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            status = os.lstat(os.path.join(folder, name))
            if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                identity = (status.st_dev, status.st_ino)
                if identity in seen:
                    continue
                seen.add(identity)
            total += status.st_blocks * 512
    return total
