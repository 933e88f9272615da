"""Images created by other programs, with all features of the format."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.judges.kernel import mounted
from tests.judges.tools import require, require_root


class Maker(NamedTuple):
    """How mke2fs creates an image; ``kernel``: this machine's kernel writes to it."""

    options: str
    size: str = "48M"
    kernel: bool = True


MAKERS = {
    "ext4": Maker(""),
    "ext4-1k": Maker("-b 1024"),
    "ext4-2k-inode-512": Maker("-b 2048 -I 512"),
    "ext2": Maker("-t ext2"),
    "ext2-1k": Maker("-t ext2 -b 1024 -I 128"),
    "ext3": Maker("-t ext3 -b 1024"),
    "rev0": Maker("-t ext2 -r 0 -b 1024"),
    "no-filetype": Maker("-O ^filetype"),
    "no-dir-index": Maker("-O ^dir_index"),
    "block-map": Maker("-O ^extent,^64bit,^flex_bg -b 1024"),
    "uninit-bg": Maker("-O ^metadata_csum,uninit_bg"),
    "no-checksums": Maker("-O ^metadata_csum,^uninit_bg"),
    "meta-bg": Maker("-O meta_bg,^resize_inode -b 1024", "200M"),
    "sparse-super2": Maker("-O sparse_super2,^resize_inode -b 1024"),
    "bigalloc": Maker("-O bigalloc -C 16384"),
    "bigalloc-1k": Maker("-O bigalloc -b 1024 -C 8192"),
    "inline-data": Maker("-O inline_data -I 256"),
    "inline-data-1k-inode": Maker("-O inline_data -I 1024"),
    "ea-inode": Maker("-O ea_inode"),
    "csum-seed": Maker("-O metadata_csum_seed"),
    "quota": Maker("-O quota,project", kernel=False),
    "orphan-file": Maker("-O orphan_file"),
    "large-dir": Maker("-O large_dir -b 1024 -N 20000"),
    "mmp": Maker("-O mmp"),
    "16k": Maker("-b 16384", "128M", kernel=False),
    "64k": Maker("-b 65536", "400M", kernel=False),
    "64k-inode-4096": Maker("-b 65536 -I 4096", "400M", kernel=False),
}


@cache
def source_tree(folder: Path) -> Path:
    """A tree with every kind of content, on this machine's disk."""
    root = folder / "source"
    root.mkdir()
    _fill(root, many=400, far=50 << 20)
    return root


def _fill(root: Path, many: int, far: int) -> None:
    (root / "empty").write_bytes(b"")
    (root / "small").write_bytes(b"small content\n")
    (root / "inline-59").write_bytes(b"i" * 59)
    (root / "inline-120").write_bytes(b"j" * 120)
    (root / "block").write_bytes(bytes(range(256)) * 16)
    (root / "medium").write_bytes(os.urandom(0) + bytes(range(251)) * 3000)
    with open(root / "sparse", "wb") as file:
        for place in range(0, 40 << 16, 1 << 16):
            file.seek(place)
            file.write(place.to_bytes(4, "big") * 300)
        file.truncate((40 << 16) + 77)
    with open(root / "far", "wb") as file:
        file.seek(far)
        file.write(b"far away")
    os.symlink("small", root / "short link")
    os.symlink("d/" * 40 + "x", root / "long link")
    os.symlink("/many/name 7", root / "absolute")
    os.symlink("loop", root / "loop")
    os.link(root / "small", root / "hard link")
    os.mkfifo(root / "fifo")
    os.mknod(root / "null", 0o020666, os.makedev(1, 3))
    os.mknod(root / "disk", 0o060640, os.makedev(259, 70000))
    os.chmod(root / "block", 0o4755)
    os.chown(root / "block", 70000, 80000)
    deep = root / "d"
    for _ in range(12):
        deep.mkdir()
        (deep / "f").write_bytes(b"deep")
        deep /= "d"
    several = root / "several"
    several.mkdir()
    for number in range(4):
        (several / f"f{number}").write_bytes(b"x" * number)
    folder = root / "many"
    folder.mkdir()
    for number in range(many):
        (folder / f"name {number}").write_bytes(b"%d" % number)
    (folder / ("n" * 255)).write_bytes(b"long name")
    for number in range(0, many, 5):
        (folder / f"name {number}").unlink()
    odd = root / b"\xff\xfe\n odd".decode("utf-8", "surrogateescape")
    odd.write_bytes(b"odd")
    os.utime(root / "empty", ns=(123, -(10**9) - 5))
    os.utime(root / "small", ns=(2_000_000_000_000_000_001, 1_500_000_000_123_456_789))


def _attributes(root: Path) -> None:
    """Extended attributes, which some host file systems do not support."""
    os.setxattr(root / "small", b"user.note", b"text")
    os.setxattr(root / "small", b"trusted.empty", b"")
    for number in range(12):
        os.setxattr(root / "block", b"user.n%d" % number, b"v" * number)
    os.setxattr(root / "several", b"security.selinux", b"system_u:object_r:etc_t:s0\0")
    acl = bytes.fromhex("02000000 0100 0600 ffffffff 0200 0700 e8030000 0400 0400 ffffffff")
    acl += bytes.fromhex("1000 0700 ffffffff 2000 0400 ffffffff")
    os.setxattr(root / "several", b"system.posix_acl_default", acl)


def make(name: str, image: Path, far: int = 5 << 30) -> Path:
    """Create the image of one maker at ``image``; the kernel fills it where it can."""
    require_root()  # for devices, and files of other users
    maker = MAKERS[name]
    mke2fs = require("mke2fs")
    command = [mke2fs, "-q", "-F", "-E", "root_owner=0:0"]
    command += maker.options.split()
    if "-t" not in command:
        command += ["-t", "ext4"]
    if not maker.kernel:
        command += ["-d", str(source_tree(image.parent))]
    subprocess.run([*command, str(image), maker.size], check=True, capture_output=True)
    if maker.kernel:
        old = "-t ext2" in maker.options or "-r 0" in maker.options
        with mounted(image, rw=True, quiet=not old) as point:
            _fill(point, many=400, far=far)
            if "-r 0" not in maker.options:
                _attributes(point)
            if "ea_inode" in maker.options:
                os.setxattr(point / "empty", b"user.huge", bytes(range(250)) * 200)
    return image


def makers(*names: str) -> Iterator[str]:
    """The names of all makers, or the given ones."""
    return iter(names or MAKERS)
