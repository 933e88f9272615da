"""Independent readers of ext4, from boot loaders, archivers and forensic tools."""

from __future__ import annotations

import gc
import hashlib
import os
import pickle
import re
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ext4writer import RegularFile, Spec, Symlink, Tree

from .tools import missing, require, require_importable, require_module, require_root, run

CHUNK = 1 << 20


class Entry(NamedTuple):
    """What every reader reports about one name."""

    mode: int
    """``st_mode``, with the file type."""
    size: int
    """Bytes of a file or of a link target; 0 for all other kinds."""
    digest: str
    """SHA-256 of these bytes."""


Listing = dict[bytes, Entry]
"""Absolute path -> entry, without the root itself."""

NOTHING = hashlib.sha256().hexdigest()


def _entry(mode: int, pieces: Iterator[bytes] | bytes = b"") -> Entry:
    digest = hashlib.sha256()
    size = 0
    for piece in [pieces] if isinstance(pieces, bytes) else pieces:
        digest.update(piece)
        size += len(piece)
    return Entry(mode, size, digest.hexdigest())


def _chunks(stream: Any) -> Iterator[bytes]:
    while piece := stream.read(CHUNK):
        yield bytes(piece)


def tree_listing(tree: Tree, spec: Spec | None = None) -> Listing:
    """The listing that a reader should return for an image of ``tree``."""
    listing: Listing = {}
    if (spec or Spec()).lost_and_found:
        listing[b"/lost+found"] = Entry(stat.S_IFDIR | 0o700, 0, NOTHING)
    for path, node in tree.walk():
        mode = node.file_type | node.mode
        if isinstance(node, RegularFile):
            content = bytearray(node.content.size)
            node.content.read_whole(memoryview(content))
            listing[path] = _entry(mode, bytes(content))
        elif isinstance(node, Symlink):
            listing[path] = _entry(mode, node.target)
        else:
            listing[path] = Entry(mode, 0, NOTHING)
    del listing[b"/"]
    return listing


def directory_listing(root: Path) -> Listing:
    """The listing of a real directory, such as a mount."""
    listing: Listing = {}
    top = os.fsencode(root)
    for folder, directories, files in os.walk(top):
        for name in directories + files:
            path = os.path.join(folder, name)
            mode = os.lstat(path).st_mode
            shown = b"/" + os.path.relpath(path, top)
            if stat.S_ISREG(mode):
                with open(path, "rb") as file:
                    listing[shown] = _entry(mode, _chunks(file))
            elif stat.S_ISLNK(mode):
                listing[shown] = _entry(mode, os.readlink(path))
            else:
                listing[shown] = Entry(mode, 0, NOTHING)
    return listing


def list_dissect(image: Path) -> Listing:
    """List with dissect.extfs, which is pure Python."""
    extfs = require_module("dissect.extfs", "dissect.extfs")
    listing: Listing = {}

    def walk(prefix: bytes, directory: Any) -> None:
        for name, inode in directory.listdir().items():
            if name in (".", ".."):
                continue
            path = prefix + name.encode("utf-8", "surrogateescape")
            mode = int(inode.inode.i_mode)
            if stat.S_ISREG(mode):
                with inode.open() as stream:
                    listing[path] = _entry(mode, _chunks(stream))
            elif stat.S_ISLNK(mode):
                target = inode.link.encode("utf-8", "surrogateescape")
                listing[path] = _entry(mode, target)
            else:
                listing[path] = Entry(mode, 0, NOTHING)
                if stat.S_ISDIR(mode):
                    walk(path + b"/", inode)

    with open(image, "rb") as file:
        walk(b"/", extfs.ExtFS(file).root)
    return listing


def list_ext4(image: Path) -> Listing:
    """List with the package ext4, which is compiled Python."""
    return _in_another_process("ext4", "ext4", "_list_ext4", image)


def _list_ext4(image: Path) -> Listing:
    ext4 = require_module("ext4", "ext4")
    listing: Listing = {}

    def walk(prefix: bytes, directory: Any) -> None:
        for entry, _ in directory.opendir():
            name = bytes(entry.name_bytes)
            if name in (b".", b".."):
                continue
            path = prefix + name
            inode = directory.volume.inodes[entry.inode]
            mode = int(inode.i_mode)
            if stat.S_ISREG(mode):
                stream = inode.open()
                listing[path] = _entry(mode, _chunks(stream))
            elif stat.S_ISLNK(mode):
                listing[path] = _entry(mode, bytes(inode.readlink()))
            else:
                listing[path] = Entry(mode, 0, NOTHING)
                if stat.S_ISDIR(mode):
                    walk(path + b"/", inode)

    with open(image, "rb") as file:
        walk(b"/", ext4.Volume(file).root)
    return listing


def list_tsk(image: Path) -> Listing:
    """List with The Sleuth Kit."""
    return _in_another_process("pytsk3", "pytsk3", "_list_tsk", image)


def list_fsext(image: Path) -> Listing:
    """List with libfsext, which supports only names in UTF-8."""
    return _in_another_process("pyfsext", "libfsext-python", "_list_fsext", image)


def _in_another_process(module: str, distribution: str, function: str, image: Path) -> Listing:
    """Call a native-code reader in another process, where a crash does not end the tests."""
    require_importable(module, distribution)
    with tempfile.TemporaryDirectory(prefix="ext4writer-reader-") as scratch:
        answer = Path(scratch, "answer")
        arguments = [sys.executable, "-m", __name__, function, str(image.absolute()), str(answer)]
        done = subprocess.run(
            arguments, capture_output=True, cwd=Path(__file__).parents[2], timeout=600
        )
        if not answer.exists():
            said = done.stderr.decode("utf-8", "backslashreplace")
            raise AssertionError(f"{distribution} ended with {done.returncode}\n{said}")
        found = pickle.loads(answer.read_bytes())
        return {path: Entry(*entry) for path, entry in found.items()}


def _answer(function: str, image: str, answer: str) -> None:
    """Run in the other process, and leave it before a destructor can crash."""
    gc.disable()
    listing = globals()[function](Path(image))
    unfinished = Path(answer + ".new")
    unfinished.write_bytes(pickle.dumps({path: tuple(entry) for path, entry in listing.items()}))
    unfinished.rename(answer)
    os._exit(0)


def _list_tsk(image: Path) -> Listing:
    tsk = require_module("pytsk3", "pytsk3")
    listing: Listing = {}

    def content(file: Any, size: int) -> Iterator[bytes]:
        position = 0
        while position < size:
            piece = file.read_random(position, min(CHUNK, size - position))
            if not piece:
                return
            yield piece
            position += len(piece)

    kinds = {
        int(tsk.TSK_FS_META_TYPE_REG): stat.S_IFREG,
        int(tsk.TSK_FS_META_TYPE_DIR): stat.S_IFDIR,
        int(tsk.TSK_FS_META_TYPE_FIFO): stat.S_IFIFO,
        int(tsk.TSK_FS_META_TYPE_CHR): stat.S_IFCHR,
        int(tsk.TSK_FS_META_TYPE_BLK): stat.S_IFBLK,
        int(tsk.TSK_FS_META_TYPE_LNK): stat.S_IFLNK,
        int(tsk.TSK_FS_META_TYPE_SOCK): stat.S_IFSOCK,
    }

    unallocated = int(tsk.TSK_FS_NAME_FLAG_UNALLOC)

    def walk(prefix: bytes, directory: Any) -> None:
        for file in directory:
            name = bytes(file.info.name.name)
            meta = file.info.meta
            if name in (b".", b"..") or (prefix == b"/" and name == b"$OrphanFiles"):
                continue
            if int(file.info.name.flags) & unallocated:
                continue  # it treats the index of a directory as possible deleted names
            path = prefix + name
            kind = kinds[int(meta.type)]
            mode = kind | int(meta.mode)
            if stat.S_ISREG(mode):
                listing[path] = _entry(mode, content(file, meta.size))
            elif stat.S_ISLNK(mode):
                # It treats a target in a block of its own as content.
                in_block = meta.link is None
                target = content(file, meta.size) if in_block else _as_bytes(meta.link)
                listing[path] = _entry(mode, target)
            else:
                listing[path] = Entry(mode, 0, NOTHING)
                if stat.S_ISDIR(mode):
                    walk(path + b"/", file.as_directory())

    system = tsk.FS_Info(tsk.Img_Info(str(image)))
    walk(b"/", system.open_dir("/"))
    return listing


def _as_bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")


def _list_fsext(image: Path) -> Listing:
    fsext = require_module("pyfsext", "libfsext-python")
    listing: Listing = {}

    def content(file: Any) -> Iterator[bytes]:
        while piece := file.read_buffer(CHUNK):
            yield piece

    def walk(prefix: bytes, directory: Any) -> None:
        for file in directory.sub_file_entries:
            path = prefix + file.name.encode()
            mode = file.file_mode
            if stat.S_ISREG(mode):
                listing[path] = _entry(mode, content(file) if file.size else b"")
            elif stat.S_ISLNK(mode):
                listing[path] = _entry(mode, file.symbolic_link_target.encode())
            else:
                listing[path] = Entry(mode, 0, NOTHING)
                if stat.S_ISDIR(mode):
                    walk(path + b"/", file)

    volume = fsext.volume()
    volume.open(str(image))
    try:
        walk(b"/", volume.get_root_directory())
    finally:
        volume.close()
    return listing


@contextmanager
def fuse_mounted(image: Path, *, options: str = "ro") -> Iterator[Path]:
    """Mount ``image`` with fuse2fs, e2fsprogs' own driver, and yield the mount point."""
    require("fuse2fs")
    require_root()
    if not os.path.exists("/dev/fuse"):
        missing("/dev/fuse", "run with a kernel that has FUSE")
    with tempfile.TemporaryDirectory(prefix="ext4writer-fuse-") as scratch:
        point = Path(scratch, "point")
        point.mkdir()
        run(["fuse2fs", image, point, "-o", options])
        try:
            yield point
        finally:
            run(["umount", point])


def list_fuse2fs(image: Path) -> Listing:
    """List a mount by fuse2fs."""
    with fuse_mounted(image) as point:
        return directory_listing(point)


READERS: dict[str, Callable[[Path], Listing]] = {
    "dissect": list_dissect,
    "ext4": list_ext4,
    "tsk": list_tsk,
    "fsext": list_fsext,
    "fuse2fs": list_fuse2fs,
}
"""Every reader that can list an entire image."""


def assert_listing_equal(found: Listing, expected: Listing) -> None:
    """Assert that a reader found the expected entries, showing the first differences."""
    problems = [f"{path!r} is missing" for path in sorted(expected.keys() - found.keys())]
    problems += [f"{path!r} is too much" for path in sorted(found.keys() - expected.keys())]
    problems += [
        f"{path!r} is {found[path]}, expected {expected[path]}"
        for path in sorted(expected.keys() & found.keys())
        if found[path] != expected[path]
    ]
    if problems:
        raise AssertionError(f"{len(problems)} differences\n" + "\n".join(problems[:20]))


def assert_grub_reads(image: Path, path: str, content: bytes) -> None:
    """Assert that GRUB finds ``content`` in the file at ``path``."""
    with tempfile.TemporaryDirectory(prefix="ext4writer-grub-") as scratch:
        host_file = Path(scratch, "file")
        host_file.write_bytes(content)
        run(["grub-fstest", image.absolute(), "cmp", f"(loop0){path}", host_file])


def grub_names(image: Path, path: str) -> set[str]:
    """The names that GRUB lists in a directory; those of directories end with a slash."""
    output = run(["grub-fstest", image.absolute(), "ls", f"(loop0){path.rstrip('/')}/"]).stdout
    return set(output.split())


class SevenZipTotals(NamedTuple):
    """The counts of ``7zz t``. It counts a journal as a file in a separate folder."""

    folders: int
    files: int
    size: int


def seven_zip_test(image: Path) -> SevenZipTotals:
    """Have 7-Zip read all of an image; raise AssertionError if it reports any problem."""
    output = run(["7zz", "t", image]).stdout
    assert "Everything is Ok" in output and "WARNING" not in output, output
    return SevenZipTotals(
        *(
            int(match[1]) if (match := re.search(rf"(?m)^{word}: +(\d+)", output)) else 0
            for word in ("Folders", "Files", "Size")
        )
    )


if __name__ == "__main__":
    _answer(*sys.argv[1:])
