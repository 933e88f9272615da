"""A reader finds the units that the writer planned; the two lists are built independently."""

from __future__ import annotations

import pytest

from ext4writer import RandomPolicy, Spec, Tree, write_image
from ext4writer.emit.units import PlannedUnits
from ext4writer.layout import plan_of
from ext4writer.ondisk.units import Unit, UnitKind
from ext4writer.read import open_image
from tests.emit.test_units import SPECS, tree


def bare(unit: Unit) -> Unit:
    """Only what both lists contain; they number the resize inode's map differently.

    Planned runs have no generations of owners: these are in the inodes.
    """
    number = 0 if unit.kind is UnitKind.INDIRECT_BLOCK else unit.number
    return unit._replace(make=None, number=number, generation=0)


@pytest.mark.parametrize("name", SPECS)
def test_the_units_that_were_planned_are_found(name: str) -> None:
    data = bytearray()
    layout = write_image(tree(), data, SPECS[name])
    planned = PlannedUnits(plan_of(layout))
    wanted = {
        bare(unit) for kind in UnitKind for run in planned.runs_of(kind) for unit in run.units()
    }
    with open_image(bytes(data)) as image:
        found = list(map(bare, image.units()))
    assert len(found) == len(set(found))
    assert not wanted - set(found)
    # Reserved blocks without a backup are empty, so the plan need not list them.
    for unit in set(found) - wanted:
        assert (unit.kind, unit.owner) == (UnitKind.INDIRECT_BLOCK, 7)
        assert not any(data[unit.offset : unit.offset + unit.size])


def test_trees_of_verity() -> None:
    large = Tree()
    for number, size in enumerate((0, 70_000, 3_000_000)):
        large.file(f"/{number}", bytes(range(250)) * (size // 250), flags="verity")
    data = bytearray()
    layout = write_image(large, data, Spec(features="verity", policy=RandomPolicy(3)))
    wanted = {
        bare(unit): bytes(unit.make() if unit.make else b"")
        for run in PlannedUnits(plan_of(layout)).runs_of(UnitKind.VERITY_BLOCK)
        for unit in run.units()
    }
    with open_image(bytes(data)) as image:
        found = {bare(u) for u in image.units() if u.kind is UnitKind.VERITY_BLOCK}
    assert found == set(wanted) and len(found) > 6
    for unit, made in wanted.items():
        assert made == data[unit.offset : unit.offset + unit.size]


def test_scattered_files() -> None:
    content = b"".join(bytes([n % 250 + 1]) * 1024 + bytes(1024) for n in range(9000))
    scattered = Tree()
    scattered.file("/f", content)
    data = bytearray()
    spec = Spec(block_size=1024, hole_size=0, policy=RandomPolicy(3))
    layout = write_image(scattered, data, spec)
    planned = PlannedUnits(plan_of(layout))
    with open_image(bytes(data)) as image:
        blocks = {bare(u) for u in image.units() if u.kind is UnitKind.EXTENT_BLOCK}
        assert image.open("/f").read() == content
    assert len(blocks) > 100
    runs = planned.runs_of(UnitKind.EXTENT_BLOCK)
    assert blocks == {bare(unit) for run in runs for unit in run.units()}
