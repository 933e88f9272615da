"""Damages images and reads all of them: ``python -m tests.read.fuzz [COUNT [SEED]]``.

A mutation changes bytes or whole fields of metadata, and half of the time makes the checksums over
them right again. Reading may end in a deliberate error and in nothing else, and has to end soon.
"""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ext4writer import Ext4WriterError, RandomPolicy, Spec, Tree, sources, write_image
from ext4writer.inspection import info, listing, show
from ext4writer.ondisk.format import Format
from ext4writer.ondisk.units import Unit, UnitKind, checksum_unit
from ext4writer.read import Image, open_image
from ext4writer.read.xattrs import encryption_context

SECONDS_MAX = 20
CONTENT_MAX = 64 << 10

MKE2FS = {
    "ext2": "-t ext2 -b 1024 -I 128",
    "ext3": "-t ext3 -b 1024",
    "inline": "-t ext4 -b 1024 -O inline_data,^has_journal",
    "bigalloc": "-t ext4 -b 1024 -C 4096 -O bigalloc,^has_journal",
    "meta-bg": "-t ext4 -b 1024 -g 1024 -O meta_bg,^resize_inode,^has_journal",
    "rest": "-t ext4 -b 1024 -O orphan_file,ea_inode,mmp,large_dir,metadata_csum_seed,quota",
    "casefold": "-t ext4 -b 1024 -O casefold,^has_journal",
}


class Seed(NamedTuple):
    """An image that is whole, and its units."""

    name: str
    data: bytes
    units: list[Unit]


def small_tree() -> Tree:
    tree = Tree()
    for number in range(120):
        tree.file(f"/many/{number:03}{'n' * (number % 40)}", b"%d" % number, parents=True)
    tree.file("/holes", b"".join(bytes([n % 250 + 1]) * 1024 + bytes(1024) for n in range(100)))
    tree.file("/a", b"text", xattrs={b"user.a": b"b" * 600, b"user.c": b"d"})
    tree.link("/b", "/a")
    tree.symlink("/l", "t" * 300)
    tree.symlink("/s", "many")
    tree.device("/null", "c", 1, 3)
    acl = bytes.fromhex("02000000 0100 0600 ffffffff 0200 0700 e8030000 0400 0400 ffffffff")
    acl += bytes.fromhex("1000 0700 ffffffff 2000 0400 ffffffff")
    tree.directory("/acl", xattrs={b"system.posix_acl_default": acl})
    return tree


@cache
def seeds() -> list[Seed]:
    """All images from which damage starts."""
    found = []
    for name, spec in {
        "ours": Spec(block_size=1024, journal="none", hole_size=1024),
        "ours-scattered": Spec(block_size=1024, policy=RandomPolicy(4), hole_size=1024),
        "ours-4k": Spec(journal="none", inode_size=512),
    }.items():
        data = bytearray()
        write_image(small_tree(), data, spec)
        found.append((name, bytes(data)))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        (source / "many").mkdir(parents=True)
        for number in range(90):
            (source / f"many/{number}{'n' * 40}").write_bytes(b"x" * number)
        (source / "big").write_bytes(bytes(range(256)) * 400)
        (source / "link").symlink_to("t" * 200)
        (source / "short").symlink_to("many/3")
        for name, options in MKE2FS.items():
            image = Path(folder, name)
            command = ["mke2fs", "-q", "-F", *options.split(), "-d", str(source), str(image), "4M"]
            subprocess.run(command, check=True, capture_output=True)
            found.append((name, image.read_bytes()))
    return [Seed(name, data, _units(data)) for name, data in found]


def _units(data: bytes) -> list[Unit]:
    with open_image(data) as image:
        units = [unit for unit in image.units() if unit.kind is not UnitKind.INODE]
        units += [
            Unit(UnitKind.INODE, inode.ino, 0, inode.offset, len(inode.raw))
            for inode in image.inodes()
        ]
    return units


def damaged(seed: Seed, chance: random.Random) -> bytearray:
    """Return a copy of an image with up to six changes."""
    data = bytearray(seed.data)
    touched = []
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        unit = chance.choice(seed.units)
        if chance.random() < 0.3:
            unit = next(u for u in seed.units if u.kind is UnitKind.SUPERBLOCK)
        place = unit.offset + chance.randrange(min(unit.size, chance.choice((64, 256, 4096))))
        width = chance.choice((1, 1, 2, 4, 4, 8))
        old = int.from_bytes(data[place : place + width], "little")
        top = (1 << 8 * width) - 1
        new = chance.choice(
            (
                *(0, top, 1, top >> 1, old + 1, old - 1, old << 1, old ^ 1 << chance.randrange(8)),
                *(chance.getrandbits(8 * width), chance.getrandbits(16), len(data) // 1024),
            )
        )
        data[place : place + width] = (new & top).to_bytes(width, "little")
        touched.append(unit)
    if chance.random() < 0.6:
        fmt = Format.of_superblock(seed.data[1024:2048])
        for unit in touched:
            part = bytearray(data[unit.offset : unit.offset + unit.size])
            try:
                checksum_unit(fmt, unit, part)
            except ValueError:
                continue
            data[unit.offset : unit.offset + unit.size] = part
    return data


def read_everything(data: bytes, heard: list[Ext4WriterError]) -> None:
    """Do all that reading can do; Ext4WriterError is the only way not to."""
    with open_image(data, on_damage=heard.append) as image:
        info.facts(image)
        for step in (_walk, _inodes, _units_of, _find, _build):
            try:
                step(image, data)
            except Ext4WriterError as error:
                heard.append(error)


def _walk(image: Image, data: bytes) -> None:
    image.root.check()
    for found in image.walk():
        try:
            listing.facts(found.inode, path=found.path, close=True)
            listing.long_line(found.name, found.inode, label=True)
            if found.inode.is_file or found.inode.is_symlink:
                with image.open(found.inode) as reader:
                    reader.read_at(0, CONTENT_MAX)
                    reader.read_at(max(reader.size - 100, 0), 200)
            encryption_context(found.inode)
        except Ext4WriterError:
            continue


def _inodes(image: Image, data: bytes) -> None:
    for inode in image.inodes():
        inode.expected_checksum()


def _units_of(image: Image, data: bytes) -> None:
    for number, run in enumerate(image.unit_runs()):
        unit = run.unit(number % run.count)
        rows = show.explain(image, unit)
        assert sum(row.size for row in rows) == unit.size


def _find(image: Image, data: bytes) -> None:
    for path in ("/many/5" + "n" * 40, "/many/007nnnnnnn", "/s/../holes", "/nothing", "/l"):
        try:
            image.lookup(path)
        except Ext4WriterError:
            continue
    list(listing.owners(image, 100))


def _build(image: Image, data: bytes) -> None:
    tree = sources.image(data, on_damage=lambda error: None)
    for _, node in tree.walk():
        content = getattr(node, "content", None)
        if content is not None and content.size < CONTENT_MAX:
            content.read_whole(memoryview(bytearray(content.size)))


def run(count: int, first: int = 0) -> Counter[str]:
    """Read ``count`` damaged images; raise AssertionError that names the seed of a failure."""
    seen: Counter[str] = Counter()
    for number in range(first, first + count):
        chance = random.Random(number)
        seed = chance.choice(seeds())
        data = damaged(seed, chance)
        heard: list[Ext4WriterError] = []
        start = time.process_time()
        try:
            read_everything(bytes(data), heard)
        except Ext4WriterError as error:
            seen[type(error).__name__] += 1
        except Exception:
            raise AssertionError(f"seed {number}, {seed.name}:\n{traceback.format_exc()}") from None
        took = time.process_time() - start
        assert took < SECONDS_MAX, f"seed {number}, {seed.name}: {took:.1f} s"
        seen["damage heard" if heard else "nothing heard"] += 1
    return seen


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    begin = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    failed = 0
    for at in range(begin, begin + wanted):
        try:
            run(1, at)
        except AssertionError as error:
            failed += 1
            print(error, flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{wanted} images, {failed} failures, {peak} MiB at most, pid {os.getpid()}")
