"""Counts how often checker and e2fsck agree: ``python -m tests.inspection.agreement COUNT SEED``.

Images of every kind get a changed field of metadata, a changed byte, or an edit by debugfs. Then
both programs decide whether the image is clean. The fields are those that ``show`` names.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ext4writer import DEFAULT_FEATURES, Spec, policy, write_image
from ext4writer.errors import DamageError, Ext4WriterError, ImageError
from ext4writer.inspection.check import Result, check_opened
from ext4writer.inspection.show import explain
from ext4writer.ondisk.units import Unit, UnitKind, checksum_unit
from ext4writer.read import open_image
from tests.judges.fsck import problems
from tests.judges.kernel import mounted
from tests.read.fuzz import OUR_FEATURES, small_tree

MKE2FS = {
    "ext4": "-t ext4 -b 1024",
    "ext4-4k": "-t ext4",
    "plain": "-t ext4 -b 1024 -O ^metadata_csum,^resize_inode",
    "uninit": "-t ext4 -b 1024 -O ^metadata_csum,uninit_bg -g 1024",
    "ext2": "-t ext2 -b 1024 -I 128",
    "ext3": "-t ext3 -b 1024",
    "rev0": "-t ext2 -r 0 -b 1024",
    "inline": "-t ext4 -b 1024 -O inline_data,ea_inode",
    "bigalloc": "-t ext4 -b 1024 -C 4096 -O bigalloc",
    "meta-bg": "-t ext4 -b 1024 -g 1024 -O meta_bg,^resize_inode",
    "rest": "-t ext4 -b 1024 -O orphan_file,mmp,large_dir,metadata_csum_seed,casefold",
    "32-bit": "-t ext4 -b 1024 -O ^64bit,sparse_super2,^resize_inode",
}
KERNEL = ("ext4", "ext2", "bigalloc", "inline", "plain")
OURS = {
    "ours": Spec(block_size=1024, hole_size=1024),
    "ours-random": Spec(block_size=1024, policy=policy("random:3"), hole_size=1024, free=0),
    "ours-4k": Spec(inode_size=512, journal="none"),
    "ours-rest": Spec(block_size=1024, features=OUR_FEATURES, free=0),
    "ours-clusters": Spec(
        block_size=1024,
        cluster_size=4096,
        features=DEFAULT_FEATURES.with_("bigalloc", "ea_inode", "large_dir").without(
            "resize_inode"
        ),
        free=0,
    ),
    "ours-meta-bg": Spec(
        block_size=1024,
        blocks_per_group=1024,
        features=DEFAULT_FEATURES.with_("meta_bg").without("resize_inode"),
    ),
    "ours-ext3": Spec(type="ext3", block_size=1024, free=0),
    "ours-quota": Spec(
        block_size=1024,
        features=DEFAULT_FEATURES.with_("quota", "project", "fast_commit", "sparse_super2").without(
            "resize_inode"
        ),
        free=0,
    ),
}
# e2fsck compares these with the clock; the checker uses no clock.
CLOCK = {
    *("s_mtime", "s_wtime", "s_lastcheck", "s_mtime_hi", "s_wtime_hi", "s_lastcheck_hi"),
}
DEBUGFS = (
    *("freei <{ino}>", "seti <{ino}>", "freeb {block} 3", "setb {block} 3", "clri <{ino}>"),
    *("unlink /d/{name}", "unlink /big", "unlink /d/e", "unlink /link", "unlink /d"),
    *("link /big /again", "link <{ino}> /again", "kill_file /big", "punch /big 3 9"),
    *("set_inode_field <{ino}> block[{small}] {block}", "rm /big", "rmdir /d/e"),
    *("set_bg 0 {group} {value}",) * 2,
    *(
        "zap_block {block}",
        "zap_block -f /big {small}",
        "zap_block -f /d -o 40 -l 4 -p 255 {small}",
    ),
    *("mknod /new p", "mknod /new c 4 5", "mkdir /new", "symlink /new /target"),
    *("fallocate /pieces {small} 90", "ea_set /big user.x {name}", "ea_rm /d user.long"),
    *("set_inode_field <{reserved}> {field} {value}", "expand_dir /d", "dirty"),
    *("set_inode_field <{ino}> {field} {value}",) * 6,
    *("set_super_value {super} {value}",) * 2,
)
INODE_FIELDS = (
    *("mode", "uid", "size", "dtime", "links_count", "blocks", "flags", "generation", "file_acl"),
    *("size_high", "extra_isize", "atime", "version", "block[0]", "block[1]", "block[2]"),
    *("block[3]", "block[5]", "block[IND]", "block[DIND]", "projid", "faddr", "uid_high"),
    *("file_acl_high", "blocks_high", "checksum", "ctime_extra", "mtime_extra", "crtime"),
)
SUPER_FIELDS = (
    *("inodes_count", "blocks_count", "r_blocks_count", "free_blocks_count", "free_inodes_count"),
    *("first_ino", "inode_size", "journal_inum", "reserved_gdt_blocks", "min_extra_isize"),
    *("want_extra_isize", "desc_size", "log_groups_per_flex", "last_orphan", "errors", "state"),
    *("creator_os", "rev_level", "def_resuid", "block_group_nr", "feature_compat", "flags"),
    *("feature_incompat", "feature_ro_compat", "default_mount_opts", "first_meta_bg"),
    *("first_data_block", "log_block_size", "log_cluster_size", "blocks_per_group", "mmp_block"),
    *("clusters_per_group", "inodes_per_group", "usr_quota_inum", "prj_quota_inum", "lpf_ino"),
    *("jnl_backup_type", "checksum_type", "checksum_seed", "encoding", "orphan_file_inum"),
)
GROUP_FIELDS = (
    *("block_bitmap", "inode_bitmap", "inode_table", "free_blocks_count", "free_inodes_count"),
    *("used_dirs_count", "flags", "block_bitmap_csum", "inode_bitmap_csum", "itable_unused"),
    "checksum",
)
VALUES = (0, 1, 2, 11, 12, 13, 100, 500, 0x1000, 0x4000, 0x81A4, 0x41ED, 0xA1FF, 0xFFFF, 0x80000,
          0x7FFFFFFF, 0xFFFFFFFF)  # fmt: skip


class Base(NamedTuple):
    """An image without a fault, and the metadata to be damaged."""

    name: str
    data: bytes
    units: list[Unit]


class Case(NamedTuple):
    """One damaged image; ``what`` describes the damage."""

    base: str
    what: str
    data: bytes


def files(folder: Path, *, names: int, large: int, pieces: int) -> Path:
    """A tree of the host with every kind of content, except attributes.

    It has ``names`` files in a directory, a file of ``large`` times 256 bytes, and one with
    ``pieces`` extents.
    """
    source = folder / "source"
    (source / "d" / "e").mkdir(parents=True)
    for number in range(names):
        (source / "d" / f"a long name of number {number:04}").write_bytes(b"%d" % number * number)
    (source / "big").write_bytes(bytes(range(256)) * large)
    with (source / "pieces").open("wb") as file:
        for number in range(pieces):
            file.seek(number * 8192)
            file.write(b"piece")
    (source / "link").symlink_to("x" * 100)
    (source / "short").symlink_to("d/e")
    os.link(source / "big", source / "hard")
    os.mkfifo(source / "fifo")
    return source


def sources(folder: Path) -> Path:
    """The same with attributes, if the host supports them."""
    source = files(folder, names=120, large=4000, pieces=40)
    with suppress(OSError):
        os.setxattr(source / "big", b"user.short", b"text")
        os.setxattr(source / "big", b"user.long", b"text" * 150)
        os.setxattr(source / "d", b"user.long", b"text" * 150)
    return source


def bases(folder: Path, *, kernel: bool = False) -> Iterator[Base]:
    """Images of mke2fs and of ours; with ``kernel`` also some that the kernel wrote to."""
    source = sources(folder)
    for name, options in MKE2FS.items():
        image = folder / name
        command = ["mke2fs", "-q", "-F", "-d", str(source), *options.split(), str(image), "8M"]
        subprocess.run(command, check=True, capture_output=True)
        subprocess.run(["e2fsck", "-fyD", image], capture_output=True)
        yield base(name, image)
    for name, spec in OURS.items():
        image = folder / name
        write_image(small_tree(), image, spec)
        yield base(name, image)
    for name in KERNEL if kernel else ():
        image = folder / f"kernel-{name}"
        command = ["mke2fs", "-q", "-F", *MKE2FS[name].split(), str(image), "8M"]
        subprocess.run(command, check=True, capture_output=True)
        with mounted(image, rw=True, quiet=False) as point:
            subprocess.run(["cp", "-a", f"{source}/.", point], check=True)
            os.setxattr(point / "big", b"trusted.long", b"text" * 20)
            for number in range(0, 120, 3):
                (point / "d" / f"a long name of number {number:04}").unlink()
        yield base(image.name, image)


def base(name: str, image: Path) -> Base:
    assert not problems(image), (name, problems(image))
    with open_image(image) as opened:
        units = [unit for unit in opened.units() if unit.kind is not UnitKind.INODE]
        units += [
            Unit(UnitKind.INODE, inode.ino, 0, inode.offset, len(inode.raw))
            for inode in opened.inodes()
        ]
    return Base(name, image.read_bytes(), units)


def cases(found: list[Base], count: int, seed: int, scratch: Path) -> Iterator[Case]:
    """Yield damaged images, each with one change."""
    chance = random.Random(seed)
    for _ in range(count):
        start = chance.choice(found)
        kind = chance.random()
        if kind < 0.25:
            yield _with_debugfs(start, chance, scratch)
        else:
            yield _changed(start, chance, by_field=kind < 0.8)


def _changed(start: Base, chance: random.Random, *, by_field: bool) -> Case:
    data = bytearray(start.data)
    kinds = sorted({unit.kind for unit in start.units}, key=lambda each: each.value)
    while True:
        kind = chance.choice(kinds)
        unit = chance.choice([unit for unit in start.units if unit.kind is kind])
        with open_image(start.data) as image:
            rows = [row for row in explain(image, unit) if row.name != "unused"]
            fmt = image.format
        if not rows:
            continue  # nothing in it has a meaning
        row = chance.choice(rows)
        name = row.name.rpartition(".")[2]
        if name in CLOCK:
            continue
        if by_field and row.size <= 8:
            at, size = row.offset, row.size
        else:
            size = chance.choice((1, 1, 2, 4)) if row.size >= 4 else 1
            at = row.offset + chance.randrange(row.size - size + 1)
        old = int.from_bytes(data[at : at + size], "little")
        top = (1 << 8 * size) - 1
        new = chance.choice(
            (
                *(0, top, 1, top >> 1, old + 1, old - 1, old << 1, old >> 1),
                *(old ^ 1 << chance.randrange(8 * size), old ^ 1 << chance.randrange(8 * size)),
                *(chance.getrandbits(8 * size), chance.randrange(256), len(data) // 1024),
            )
        ) & top  # fmt: skip
        if new == old:
            continue
        data[at : at + size] = new.to_bytes(size, "little")
        is_right = chance.random() < 0.75
        if is_right:
            part = bytearray(data[unit.offset : unit.offset + unit.size])
            with suppress(ValueError):
                checksum_unit(fmt, unit, part)
            data[unit.offset : unit.offset + unit.size] = part
        where = f"{unit.kind.value} of {unit.owner} number {unit.number}: {row.name}"
        text = f"{where} byte {at}+{size}: {old:#x} -> {new:#x}, "
        text += f"sum {'right' if is_right else 'stale'}"
        return Case(start.name, text, bytes(data))


def _with_debugfs(start: Base, chance: random.Random, scratch: Path) -> Case:
    inos = [unit.owner for unit in start.units if unit.kind is UnitKind.INODE]
    request = chance.choice(DEBUGFS).format(
        ino=chance.choice(inos),
        block=chance.randrange(1, len(start.data) // 1024),
        small=chance.randrange(12),
        name=f'"a long name of number {chance.randrange(120):04}"',
        field=chance.choice(INODE_FIELDS),
        super=chance.choice(SUPER_FIELDS),
        group=chance.choice(GROUP_FIELDS),
        reserved=chance.randrange(1, 12),
        value=chance.choice(VALUES),
    )
    image = scratch / "edited"
    image.write_bytes(start.data)
    subprocess.run(["debugfs", "-w", "-R", request, image], capture_output=True)
    return Case(start.name, request, image.read_bytes())


def checked(data: bytes) -> Result | None:
    """The codes that the checker reports; None for an unreadable image."""
    met: list[DamageError] = []
    try:
        with open_image(data, on_damage=met.append) as image:
            return check_opened(image, met)
    except (DamageError, ImageError):
        return None


def verdicts(case: Case, scratch: Path) -> tuple[list[str], list[str]]:
    """(codes of e2fsck, codes of the checker); both empty for a clean image."""
    image = scratch / "damaged"
    image.write_bytes(case.data)
    theirs = problems(image)
    try:
        result = checked(case.data)
    except Ext4WriterError as error:
        return theirs, [f"not readable: {error}"]
    if result is None:
        return theirs, ["not readable"]
    return theirs, [problem.line for problem in result.problems if not problem.is_warning]


def main(count: int, seed: int) -> None:
    agreed: Counter[bool] = Counter()
    clean: Counter[bool] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        found = list(bases(scratch, kernel=True))
        for case in cases(found, count, seed, scratch):
            theirs, ours = verdicts(case, scratch)
            same = bool(theirs) is bool(ours)
            agreed[same] += 1
            clean[bool(theirs)] += 1
            if not same:
                print(
                    f"{case.base}: {case.what}\n    e2fsck {theirs}\n    ours   {ours[:3]}",
                    flush=True,
                )
    part = 100 * agreed[True] / count
    print(f"{agreed[True]} of {count} agree, {part:.1f}%; e2fsck calls {clean[False]} clean")


if __name__ == "__main__":
    main(*(int(word) for word in [*sys.argv[1:], *("600", "1")[len(sys.argv) - 1 :]]))
