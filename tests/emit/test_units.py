"""The units of a planned image contain all metadata, and one function computes every checksum."""

from __future__ import annotations

import random
from collections import Counter
from functools import cache

import pytest

import ext4writer
from ext4writer import DEFAULT_FEATURES, FeatureSet, Layout, RandomPolicy, Spec, Tree
from ext4writer.emit.data import copy_jobs
from ext4writer.emit.units import PlannedUnits
from ext4writer.layout import plan_of
from ext4writer.ondisk.group_desc import GROUP_DESC, GROUP_DESC_32
from ext4writer.ondisk.units import UnitKind, checksum_unit

MIB = 1 << 20

RARE = {
    *(UnitKind.MMP, UnitKind.ORPHAN_BLOCK, UnitKind.QUOTA_BLOCK, UnitKind.VERITY_BLOCK),
    UnitKind.XATTR_VALUE,
    *(UnitKind.JOURNAL_DESCRIPTOR, UnitKind.JOURNAL_REVOKE, UnitKind.JOURNAL_COMMIT),
    *(UnitKind.JOURNAL_BLOCK, UnitKind.FAST_COMMIT),
}
"""Units of features that these images do not have."""

SPECS = {
    "default": Spec(),
    "1 KiB, policy": Spec(block_size=1024, free=300 * MIB, policy=RandomPolicy(6)),
    "128-byte inodes": Spec(inode_size=128, block_size=2048),
    "crc16": Spec(features=FeatureSet.parse("^metadata_csum,uninit_bg", DEFAULT_FEATURES)),
    "no checksums": Spec(features=FeatureSet.parse("^metadata_csum,^64bit", DEFAULT_FEATURES)),
    "stored seed": Spec(features=FeatureSet.parse("metadata_csum_seed", DEFAULT_FEATURES)),
}


def tree() -> Tree:
    """A tree that needs every kind of unit, with an index of two levels at 1 KiB."""
    noise = random.Random(0).randbytes
    tree = Tree()
    for number in range(2000):
        path = f"many/{number:04}{'n' * (50 + number % 50)}"
        tree.file(path, b"", parents=True, xattrs={b"user.a": b"%400d" % (number % 99)})
    for number in range(40):
        tree.directory(f"folder {number}")
    tree.file("holes", b"".join(noise(4096) + bytes(4096) for _ in range(60)))
    tree.symlink("link", "t" * 300)
    return tree


@cache
def built(name: str) -> tuple[Layout, bytes]:
    image = bytearray()
    layout = ext4writer.write_image(tree(), image, SPECS[name])
    return layout, bytes(image)


@pytest.mark.parametrize("name", SPECS)
def test_units_contain_all_metadata(name: str) -> None:
    layout, image = built(name)
    end = 0
    rest = bytearray(image)
    for run in PlannedUnits(plan_of(layout)).written():
        assert run.offset >= end
        end = run.offset + run.count * run.size
        assert run.make is not None
        made = bytes(run.make())
        # Descriptors and inode tables are written in whole blocks.
        assert len(made) >= run.count * run.size and not any(made[run.count * run.size :])
        assert image[run.offset : run.offset + len(made)] == made
        rest[run.offset : run.offset + len(made)] = bytes(len(made))
    for offset, _, _, length in copy_jobs(plan_of(layout)):
        rest[offset : offset + length] = bytes(length)
    assert not any(rest)


@pytest.mark.parametrize("name", SPECS)
def test_one_function_makes_the_checksum_of_every_unit(name: str) -> None:
    """It computes the checksum that is stored, and a different one for other bytes."""
    layout, image = built(name)
    fmt = plan_of(layout).format
    seen: Counter[UnitKind] = Counter()
    sums: dict[tuple[UnitKind, int], int] = {}
    for run in PlannedUnits(plan_of(layout)).written():
        last = run.unit(run.count - 1)
        assert last.make is not None
        assert bytes(last.make()) == image[last.offset : last.offset + last.size]
        for unit in run.units():
            data = bytearray(image[unit.offset : unit.offset + unit.size])
            if unit.kind is UnitKind.INODE and not any(data):
                continue
            seen[unit.kind] += 1
            found = checksum_unit(fmt, unit, data)
            assert data == image[unit.offset : unit.offset + unit.size], unit
            expected = unit.kind is UnitKind.GROUP_DESC and fmt.has_uninit_groups
            if unit.kind in (UnitKind.INDIRECT_BLOCK, UnitKind.SYMLINK_BLOCK):
                assert found is None
            elif unit.kind is not UnitKind.JOURNAL_SUPERBLOCK:
                assert (found is not None) is (expected or fmt.metadata_csum)
            if found is not None:
                data[-24] ^= 1  # not in any checksum or tail
                if unit.kind not in (UnitKind.INODE_BITMAP, UnitKind.DX_ROOT, UnitKind.DX_NODE):
                    assert checksum_unit(fmt, unit, data) != found
                sums[unit.kind, unit.owner] = found
    expected_kinds = set(UnitKind) - RARE
    if layout.block_size > 1024:
        expected_kinds.discard(UnitKind.DX_NODE)
    assert set(seen) == expected_kinds
    if not fmt.metadata_csum:
        return
    record = GROUP_DESC if fmt.is_64bit else GROUP_DESC_32
    units = PlannedUnits(plan_of(layout))
    for kind, field in (
        (UnitKind.BLOCK_BITMAP, "bg_block_bitmap_csum"),
        (UnitKind.INODE_BITMAP, "bg_inode_bitmap_csum"),
    ):
        for group in range(plan_of(layout).geometry.groups):
            desc = units.find(UnitKind.GROUP_DESC, 0, group)
            assert desc is not None
            assert record.number(image, desc.offset, field) == sums.get((kind, group), 0)


def test_units_are_found_by_owner_and_number() -> None:
    layout, image = built("1 KiB, policy")
    units = PlannedUnits(plan_of(layout))
    last = units.find(UnitKind.INODE, layout.inodes_count)
    assert last is not None and last.make is None
    assert not any(image[last.offset : last.offset + last.size])
    assert units.find(UnitKind.INODE, layout.inodes_count + 1) is None
    assert units.find(UnitKind.GROUP_DESC, 2, 0) is None
    uninit = [run for run in units.runs_of(UnitKind.BLOCK_BITMAP) if run.make is None]
    assert uninit and all(run.find(run.unit(0).owner) for run in uninit)
    many = plan_of(layout).table.inos[plan_of(layout).table.child(0, b"many")]
    kinds = (UnitKind.DX_ROOT, UnitKind.DX_NODE, UnitKind.DIR_BLOCK)
    numbers = sorted(unit.number for unit in units.of_owner(kinds, many))
    assert numbers == list(range(len(numbers))) and len(numbers) > 150
