"""Foreign readers of ext4, each of which reads all of an image: ``python -m ... READER IMAGE``.

A reader runs in a separate process, where it may crash or hang. An exception is a normal answer,
because readers raise exceptions for corruption; only a crash or a hang is a finding. The walk is
limited in depth, names and bytes, so that it does not hang by itself.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

DEPTH = 9
MOST = 500
"""Most entries to visit."""
PIECE = 1 << 18
"""Bytes to read from each file."""


class Walk:
    """A bounded walk through a tree."""

    def __init__(self) -> None:
        self.left = MOST

    def children(self, names: Iterable[Any]) -> Iterable[Any]:
        """Yield ``names`` until the limit of the walk is reached."""
        for name in names:
            if self.left <= 0:
                return
            self.left -= 1
            yield name


def pytsk3(image: str) -> None:
    """Read an image with The Sleuth Kit."""
    import pytsk3

    walk = Walk()

    def go(directory: Any, depth: int) -> None:
        for entry in walk.children(directory):
            meta, name = entry.info.meta, bytes(entry.info.name.name)
            if meta is None or name in (b".", b".."):
                continue
            if meta.type == pytsk3.TSK_FS_META_TYPE_DIR and depth < DEPTH:
                with suppress(OSError):
                    go(entry.as_directory(), depth + 1)
                continue
            with suppress(OSError):
                for attribute in entry:
                    str(attribute.info.name)
                if meta.size > 0:
                    entry.read_random(0, min(meta.size, PIECE))

    go(pytsk3.FS_Info(pytsk3.Img_Info(image)).open_dir("/"), 0)


def dissect(image: str) -> None:
    """Read an image with dissect.extfs."""
    from dissect.extfs import ExtFS

    walk = Walk()

    def go(inode: Any, depth: int) -> None:
        for name, child in walk.children(inode.listdir().items()):
            if name in (".", ".."):
                continue
            if stat.S_ISDIR(child.filetype):
                if depth < DEPTH:
                    go(child, depth + 1)
            elif stat.S_ISREG(child.filetype):
                child.open().read(PIECE)
            elif stat.S_ISLNK(child.filetype):
                str(child.link)
            list(child.xattr)

    with open(image, "rb") as file:
        go(ExtFS(file).root, 0)


def ext4(image: str) -> None:
    """Read an image with the package ext4."""
    import ext4

    walk = Walk()

    def go(directory: Any, depth: int) -> None:
        for entry, _ in walk.children(directory.opendir()):
            if bytes(entry.name_bytes) in (b".", b".."):
                continue
            inode = directory.volume.inodes[entry.inode]
            if stat.S_ISDIR(inode.i_mode):
                if depth < DEPTH:
                    go(inode, depth + 1)
            elif stat.S_ISREG(inode.i_mode):
                inode.open().read(PIECE)
            elif stat.S_ISLNK(inode.i_mode):
                inode.readlink()
            list(inode.xattrs)

    with open(image, "rb") as file:
        go(ext4.Volume(file).root, 0)


def fsext(image: str) -> None:
    """Read an image with libfsext."""
    import pyfsext

    walk = Walk()

    def go(entry: Any, depth: int) -> None:
        for child in walk.children(entry.sub_file_entries):
            with suppress(OSError):
                if stat.S_ISLNK(child.file_mode):
                    str(child.symbolic_link_target)
                elif stat.S_ISREG(child.file_mode) and child.size:
                    child.read_buffer(PIECE)
                for number in range(min(child.number_of_extended_attributes, 20)):
                    child.get_extended_attribute(number).read_buffer(PIECE)
                if stat.S_ISDIR(child.file_mode) and depth < DEPTH:
                    go(child, depth + 1)

    volume = pyfsext.volume()
    volume.open(image)
    go(volume.get_root_directory(), 0)
    volume.close()


def grub(image: str) -> None:
    """List each directory and read the beginning of each file with grub-fstest."""
    walk = Walk()
    walk.left = 40  # each one starts a process

    def ask(*words: str) -> bytes:
        done = subprocess.run(  # noqa: S603
            ["grub-fstest", image, *words],  # noqa: S607
            check=False,
            capture_output=True,
        )
        if done.returncode < 0:
            _end_like(done.returncode)
        return done.stdout

    def go(path: str, depth: int) -> None:
        for name in walk.children(ask("ls", f"(loop0){path}").split()):
            text = name.decode("utf-8", "replace")
            if text.endswith("/"):
                if depth < DEPTH and text not in ("./", "../"):
                    go(path + text, depth + 1)
            else:
                ask("-n", str(PIECE), "cat", f"(loop0){path}{text}")

    ask("ls", "-l", "(loop0)/")
    go("/", 0)


def fuse2fs(image: str) -> None:
    """Read, then write through fuse2fs in a mount namespace that ends with this process."""
    with tempfile.TemporaryDirectory(prefix="ext4writer-fuse-") as scratch:
        copy, point = Path(scratch, "copy"), Path(scratch, "point")
        copy.write_bytes(Path(image).read_bytes())
        point.mkdir()
        for options, visit in (("ro", read_all), ("rw,fakeroot", write_some)):
            driver = subprocess.Popen(  # noqa: S603
                ["fuse2fs", "-f", str(copy), str(point), "-o", options],  # noqa: S607
                stdin=subprocess.DEVNULL,
            )
            try:
                while driver.poll() is None and not _is_mounted(point):
                    time.sleep(0.01)
                if driver.poll() is None:
                    visit(point)
                    subprocess.run(["umount", str(point)], check=False)  # noqa: S603, S607
                status = driver.wait()
            except BaseException:
                driver.kill()
                driver.wait()
                raise
            if status < 0:
                _end_like(status)
            if status:
                raise SystemExit(f"fuse2fs -o {options} ended with {status}")


def _is_mounted(point: Path) -> bool:
    """Whether it is in the mount table; ``os.path.ismount`` fails if the root is unreadable."""
    return f" {point} " in Path("/proc/self/mounts").read_text()


def read_all(folder: Path) -> None:
    """Walk over a mounted file system and read it; ignore calls that fail because of corruption."""
    walk = Walk()

    def go(path: Path, depth: int) -> None:
        for entry in walk.children(sorted(os.scandir(path), key=lambda entry: entry.name)):
            with suppress(OSError):
                os.listxattr(entry.path, follow_symlinks=False)
                if entry.is_symlink():
                    os.readlink(entry.path)
                elif entry.is_file():
                    with open(entry.path, "rb") as file:
                        file.read(PIECE)
                elif entry.is_dir() and depth < DEPTH:
                    go(Path(entry.path), depth + 1)

    with suppress(OSError):
        go(folder, 0)


def write_some(folder: Path) -> None:
    """Create, change and remove files in a mounted file system."""
    read_all(folder)
    with suppress(OSError):
        for name in os.listdir(folder)[:20]:
            with suppress(OSError), open(folder / name, "r+b") as file:
                file.seek(0, os.SEEK_END)
                file.write(b"more")
    with suppress(OSError):
        for name in sorted(os.listdir(folder))[:20]:
            with suppress(OSError):
                os.unlink(folder / name)
    with suppress(OSError):
        new = folder / "ext4writer.new"
        new.mkdir()
        for number in range(20):
            (new / f"{number}").write_bytes(b"new" * 1000)
        (new / "0").rename(new / "moved")
        (new / "1").unlink()
        os.truncate(new / "2", 5)


def _end_like(status: int) -> None:
    """End this process by the signal that ended a reader; with status 125 if that fails."""
    number = -status
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    raise SystemExit(125)


READERS: dict[str, Callable[[str], None]] = {
    reader.__name__: reader for reader in (pytsk3, dissect, ext4, fsext, grub, fuse2fs)
}

if __name__ == "__main__":
    READERS[sys.argv[1]](sys.argv[2])
