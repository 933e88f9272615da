"""Damages images and reads all of them: ``python -m tests.read.fuzz [COUNT [SEED]]``.

A mutation changes bytes or entire fields of metadata, and usually corrects the checksums over them;
sometimes the image is cut off. Readers may only end with a deliberate error, and must end soon.
Each image is checked, and read in two further ways. A mutated image is the intact one with a few
ranges replaced, so creating it costs almost nothing.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ext4writer import (
    DEFAULT_FEATURES,
    Ext4WriterError,
    RandomPolicy,
    Spec,
    Tree,
    manifests,
    sources,
    write_image,
)
from ext4writer.inspection import info, listing, show
from ext4writer.inspection.check import check_opened
from ext4writer.inspection.diff import compare_images
from ext4writer.inspection.extract import extract
from ext4writer.inspection.host_flags import set_flags
from ext4writer.inspection.map import COLOURS, draw_html, draw_svg
from ext4writer.inspection.tar_output import write_tar
from ext4writer.ondisk.checksum import crc32c, set_journal_superblock_checksum
from ext4writer.ondisk.extent import EXTENT
from ext4writer.ondisk.fast_commit import (
    EXT4_FC_TAG_ADD_RANGE,
    EXT4_FC_TAG_CREAT,
    EXT4_FC_TAG_DEL_RANGE,
    EXT4_FC_TAG_HEAD,
    EXT4_FC_TAG_INODE,
    EXT4_FC_TAG_LINK,
    EXT4_FC_TAG_TAIL,
    EXT4_FC_TAG_UNLINK,
)
from ext4writer.ondisk.format import Format
from ext4writer.ondisk.journal import JBD2_FEATURE_INCOMPAT_FAST_COMMIT, JOURNAL_SUPERBLOCK
from ext4writer.ondisk.units import Unit, UnitKind, checksum_unit
from ext4writer.read import Image, open_image
from ext4writer.read.journal import Journal
from ext4writer.read.xattrs import encryption_context
from tests.judges.tools import find

SECONDS_MAX = 20
CONTENT_MAX = 64 << 10
FILES, FEW_FILES = 120, 24
"""Files per directory in the seed images: by default, and for long runs."""
EXTRACT_MAX = 1 << 20

MKE2FS = {
    "ext2": "-t ext2 -b 1024 -I 128",
    "ext3": "-t ext3 -b 1024",
    "rev0": "-t ext2 -r 0 -b 1024",
    "inline": "-t ext4 -b 1024 -O inline_data,^has_journal",
    "bigalloc": "-t ext4 -b 1024 -C 4096 -O bigalloc,^has_journal",
    "meta-bg": "-t ext4 -b 1024 -g 1024 -O meta_bg,^resize_inode,^has_journal",
    "rest": "-t ext4 -b 1024 -O orphan_file,ea_inode,mmp,large_dir,metadata_csum_seed,quota",
    "casefold": "-t ext4 -b 1024 -O casefold,^has_journal",
    "no-checksums": "-t ext4 -b 1024 -O ^metadata_csum,sparse_super2,^resize_inode",
    "log": "-t ext4 -b 1024 -O ^metadata_csum",
    "log-checksums": "-t ext4 -b 1024",
    "log-fast": "-t ext4 -b 1024 -O fast_commit",
}


OUR_FEATURES = DEFAULT_FEATURES.with_(
    *("inline_data", "casefold", "quota", "project", "orphan_file", "metadata_csum_seed", "mmp"),
)


class Seed(NamedTuple):
    """An intact image, and its units."""

    name: str
    data: bytes
    units: list[Unit]


class Mutant:
    """The bytes of a seed with some ranges replaced, and perhaps cut off."""

    name = "mutant"

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)
        self._patches: list[tuple[int, bytes]] = []

    def patch(self, offset: int, data: bytes) -> None:
        self._patches.append((offset, data[: max(self.size - offset, 0)]))

    def pread(self, count: int, offset: int) -> bytes:
        end = min(offset + count, self.size)
        data = self._data[offset:end]
        for at, new in self._patches:
            low, high = max(at, offset), min(at + len(new), end)
            if low < high:
                changed = bytearray(data)
                changed[low - offset : high - offset] = new[low - at : high - at]
                data = bytes(changed)
        return data

    def whole(self) -> bytes:
        """All bytes."""
        return self.pread(self.size, 0)


def small_tree(files: int = FILES) -> Tree:
    """A tree with every kind of content; with fewer files, the names are longer."""
    tree, step = Tree(), FILES // files
    for number in range(files):
        name = f"{number:03}{'n' * (number * step % (40 * step))}"
        tree.file(f"/many/{name}", b"%d" % number, parents=True)
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
def seeds(files: int = FILES) -> list[Seed]:
    """All intact images, with ``files`` files in each directory.

    They include images of mke2fs where it can be run.
    """
    found = []
    for name, spec in {
        "ours": Spec(block_size=1024, journal="none", hole_size=1024, free=0),
        "ours-scattered": Spec(block_size=1024, policy=RandomPolicy(4), hole_size=1024, free=0),
        "ours-4k": Spec(journal="none", inode_size=512, free=0),
        "ours-rest": Spec(block_size=1024, features=OUR_FEATURES, free=0),
    }.items():
        data = bytearray()
        write_image(small_tree(files), data, spec)
        found.append((name, bytes(data)))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        (source / "many").mkdir(parents=True)
        for number in range(files * 3 // 4):
            name = f"{number}{'n' * min(40 * FILES // files, 200)}"
            (source / "many" / name).write_bytes(b"x" * number)
        (source / "big").write_bytes(bytes(range(256)) * 400)
        (source / "link").symlink_to("t" * 200)
        (source / "short").symlink_to("many/3")
        for name, options in MKE2FS.items() if find("mke2fs") else ():
            image = Path(folder, name)
            command = ["mke2fs", "-q", "-F", *options.split(), "-d", str(source), str(image), "4M"]
            subprocess.run(command, check=True, capture_output=True)
            if name.startswith("log"):
                _write_log(image)
            found.append((name, image.read_bytes()))
    return [Seed(name, data, _units(data)) for name, data in found]


def _write_log(image: Path) -> None:
    """Write transactions into the journal that need recovery."""
    data = image.with_suffix(".data")
    data.write_bytes((b"\xc0\x3b\x39\x98" + b"escaped " * 127 + b"    ") * 3)
    script = f"jo\njw -b 3000,3001,3002 {data}\njw -r 3001\njw -b 3001,3003 {data}\njc\n"
    subprocess.run(
        ["debugfs", "-w", "-f", "/dev/stdin", str(image)],
        input=script.encode(), check=True, capture_output=True,
    )  # fmt: skip
    if image.name == "log-fast":
        _write_fast_commit(image)


def _write_fast_commit(image: Path) -> None:
    """Append one fast commit: a file is created, one is removed, one grows."""
    with open_image(image) as opened:
        at = Journal(opened).offset
        head = bytearray(opened.read(at, 1024))
    incompat = JOURNAL_SUPERBLOCK.number(head, 0, "s_feature_incompat")
    flags = incompat | JBD2_FEATURE_INCOMPAT_FAST_COMMIT
    JOURNAL_SUPERBLOCK.set(head, 0, "s_feature_incompat", flags)
    set_journal_superblock_checksum(head, 0)
    with open(image, "r+b") as file:
        file.seek(at)
        file.write(head)
    with open_image(image) as opened:
        journal = Journal(opened)
        big, many = opened.lookup("/big"), opened.lookup("/many").ino
        sequence = journal.sequence_after(journal.transactions())
        place = journal.place(journal.fast_commit_blocks()[0]) * opened.block_size
    extent = EXTENT.pack({"ee_block": 200, "ee_len": 3, "ee_start_hi": 0, "ee_start_lo": 2000})
    words = [
        (EXT4_FC_TAG_HEAD, struct.pack("<II", 0, sequence)),
        (EXT4_FC_TAG_INODE, struct.pack("<I", 500) + big.raw[:160]),
        (EXT4_FC_TAG_ADD_RANGE, struct.pack("<I", 500) + extent),
        (EXT4_FC_TAG_CREAT, struct.pack("<II", many, 500) + b"new"),
        (EXT4_FC_TAG_UNLINK, struct.pack("<II", 2, big.ino) + b"big"),
        (EXT4_FC_TAG_LINK, struct.pack("<II", many, big.ino) + b"moved"),
        (EXT4_FC_TAG_DEL_RANGE, struct.pack("<III", big.ino, 3, 5)),
    ]
    data = b"".join(struct.pack("<HH", tag, len(value)) + value for tag, value in words)
    data += struct.pack("<HHI", EXT4_FC_TAG_TAIL, 1024 - len(data) - 4, sequence)
    data += struct.pack("<I", crc32c(0, data))
    with open(image, "r+b") as file:
        file.seek(place)
        file.write(data.ljust(1024, b"\0"))


def _units(data: bytes) -> list[Unit]:
    with open_image(data) as image:
        units = [unit for unit in image.units() if unit.kind is not UnitKind.INODE]
        units += [
            Unit(UnitKind.INODE, inode.ino, 0, inode.offset, len(inode.raw))
            for inode in image.inodes()
        ]
        if image.format.needs_recovery:
            # The log itself is not a unit: add its first blocks several times.
            journal = Journal(image)
            places = [*range(12), 0, 1, 5, *list(journal.fast_commit_blocks())[:1] * 20]
            units += [
                Unit(UnitKind.SYMLINK_BLOCK, 8, 0, journal.place(place) * image.block_size, 256)
                for place in places
            ] * 3
    return units


def damaged(seed: Seed, chance: random.Random) -> Mutant:
    """Return an image with up to six changes."""
    mutant = Mutant(seed.data)
    size = len(seed.data)
    touched = []
    if chance.random() < 0.04:
        mutant.size = chance.choice((size // 2, size - 1024, chance.randrange(4096, size)))
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        unit = chance.choice(seed.units)
        if chance.random() < 0.3:
            unit = next(u for u in seed.units if u.kind is UnitKind.SUPERBLOCK)
        place = unit.offset + chance.randrange(min(unit.size, chance.choice((64, 256, 4096))))
        width = chance.choice((1, 1, 2, 4, 4, 8))
        old = int.from_bytes(mutant.pread(width, place), "little")
        top = (1 << 8 * width) - 1
        new = chance.choice(
            (
                *(0, top, 1, top >> 1, old + 1, old - 1, old << 1, old ^ 1 << chance.randrange(8)),
                *(chance.getrandbits(8 * width), chance.getrandbits(16), size // 1024),
            )
        )
        mutant.patch(place, (new & top).to_bytes(width, "little"))
        touched.append(unit)
    if chance.random() < 0.6:
        fmt = Format.of_superblock(seed.data[1024:2048])
        for unit in touched:
            part = bytearray(mutant.pread(unit.size, unit.offset))
            if len(part) < unit.size:
                continue  # past the end
            try:
                checksum_unit(fmt, unit, part)
            except ValueError:
                continue
            mutant.patch(unit.offset, bytes(part))
    return mutant


Step = Callable[[Image, Mutant], None]


def read_everything(
    data: Mutant, heard: list[Ext4WriterError], *, steps: tuple[Step, ...] | None = None
) -> None:
    """Use an image in many ways; the only exception allowed is Ext4WriterError."""
    with open_image(data, on_damage=heard.append) as image:
        info.facts(image)
        replay = image.format.needs_recovery
        for step in STEPS if steps is None else steps:
            try:
                step(image, data)
            except Ext4WriterError as error:
                heard.append(error)
    if replay:
        with open_image(data, on_damage=heard.append, replay=True) as image:
            _check(image, data)
            _walk(image, data)


def _check(image: Image, data: Mutant) -> None:
    for problem in check_opened(image, [], data=True).problems:
        assert problem.line


def _walk(image: Image, data: Mutant) -> None:
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


def _inodes(image: Image, data: Mutant) -> None:
    for inode in image.inodes():
        inode.expected_checksum()


def _units_of(image: Image, data: Mutant) -> None:
    for number, run in enumerate(image.unit_runs()):
        unit = run.unit(number % run.count)
        rows = show.explain(image, unit)
        assert sum(row.size for row in rows) == unit.size


def _find(image: Image, data: Mutant) -> None:
    for path in ("/many/5" + "n" * 40, "/many/007nnnnnnn", "/s/../holes", "/nothing", "/l"):
        try:
            image.lookup(path)
        except Ext4WriterError:
            continue
    list(listing.owners(image, 100))


def _build(image: Image, data: Mutant) -> None:
    tree = sources.image(data, on_damage=lambda error: None)
    for _, node in tree.walk():
        content = getattr(node, "content", None)
        if content is not None and content.size < CONTENT_MAX:
            content.read_whole(memoryview(bytearray(content.size)))


def _manifest(image: Image, data: Mutant) -> None:
    tree = sources.image(data, on_damage=lambda error: None)
    manifests.write_mtree(tree, io.BytesIO(), unpacked=True)


def _diff(image: Image, data: Mutant) -> None:
    with open_image(data._data, on_damage=lambda error: None) as whole:
        compare_images(whole, image, most=20)


def _map(image: Image, data: Mutant) -> None:
    draw_svg(image, by=COLOURS[data.size % len(COLOURS)])


def _page(image: Image, data: Mutant) -> None:
    draw_html(image)


def _extract(image: Image, data: Mutant) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            extract(image, Path(folder, "into"), max_bytes=EXTRACT_MAX)
        finally:
            assert [each.name for each in Path(folder).iterdir()] in ([], ["into"])
            unsealed(folder)


def unsealed(folder: str) -> None:
    """Make files removable that damage made immutable."""
    for root, folders, files in os.walk(folder):
        for name in (".", *folders, *files):
            path = os.path.join(root, name)
            if os.path.isdir(path) or os.path.isfile(path):
                with contextlib.suppress(OSError):
                    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                    try:
                        set_flags(fd, 0, 0x30)
                    finally:
                        os.close(fd)


def _tar(image: Image, data: Mutant) -> None:
    write_tar(image, io.BytesIO(), max_bytes=EXTRACT_MAX)


STEPS: tuple[Step, ...] = (
    *(_check, _walk, _inodes, _units_of, _find, _build, _manifest, _diff, _map, _page, _extract),
    _tar,
)
# How often each further step is chosen: cheap steps that read a lot come most often.
_OFTEN: tuple[Step, ...] = (
    *(_walk, _walk, _units_of, _find, _find, _build, _tar, _inodes, _manifest) * 2,
    *(_diff, _map, _page, _extract),
)


FULL_EVERY = 40
"""In a long run, one in this number of images has all files."""


def run(
    count: int, first: int = 0, *, every_step: bool = False, files: int = FILES
) -> Counter[str]:
    """Read ``count`` damaged images; raise AssertionError with the seed of a failure."""
    seen: Counter[str] = Counter()
    for number in range(first, first + count):
        chance = random.Random(number)
        seed = chance.choice(seeds(files))
        data = damaged(seed, chance)
        steps = None if every_step else (_check, chance.choice(_OFTEN))
        heard: list[Ext4WriterError] = []
        start = time.process_time()
        try:
            read_everything(data, heard, steps=steps)
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
    slowest = (0.0, 0)
    for at in range(begin, begin + wanted):
        started = time.process_time()
        try:
            run(1, at, files=FILES if not at % FULL_EVERY else FEW_FILES)
        except AssertionError as error:
            failed += 1
            print(error, flush=True)
        slowest = max(slowest, (time.process_time() - started, at))
        if (at - begin) % 10_000 == 9_999:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            done = at - begin + 1
            print(f"{done} images, {failed} failures, {peak} MiB, slowest {slowest}", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{wanted} images, {failed} failures, {peak} MiB at most, slowest {slowest}")
