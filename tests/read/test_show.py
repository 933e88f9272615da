"""Every byte of every unit is explained once, consistent with the declarations and debugfs."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ext4writer import Override, Spec, write_image
from ext4writer.inspection.show import explain
from ext4writer.ondisk.units import UnitKind
from ext4writer.read import open_image
from tests.builder.command import run

from . import fuzz


@pytest.mark.parametrize("seed", fuzz.seeds(), ids=lambda seed: seed.name)
def test_every_byte_is_explained_once(seed: fuzz.Seed) -> None:
    kinds = set()
    with open_image(seed.data) as image:
        for unit in seed.units:
            rows = explain(image, unit)
            assert rows[0].offset == unit.offset
            for before, after in pairwise(rows):
                assert before.offset + before.size == after.offset, (unit, before, after)
            assert rows[-1].offset + rows[-1].size == unit.offset + unit.size
            data = image.read(unit.offset, unit.size)
            for row in rows:
                if row.name == "unused":
                    at = row.offset - unit.offset
                    rest = data[at : at + row.size]
                    wanted = "zeros" if not any(rest) else ""
                    assert row.means == wanted
            wrong = [row for row in rows if row.means.startswith("wrong")]
            assert not wrong or (unit.kind is UnitKind.GROUP_DESC and unit.owner), (unit, wrong)
            kinds.add(unit.kind)
    assert len(kinds) > 5


def shown(*arguments: Any) -> Any:
    done = run("show", *map(str, arguments), "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("show") / "image"
    write_image(fuzz.small_tree(), path, Spec(block_size=1024, free=8 << 20))
    return path


def values(section: Any) -> dict[str, Any]:
    return {row["name"]: row["value"] for row in section["rows"]}


def test_the_command(path: Path) -> None:
    (superblock,) = shown(path, "superblock")
    assert superblock["offset"] == 1024
    assert values(superblock)["superblock.s_magic"] == 0xEF53
    inode, *_ = shown(path, "/a")
    with open_image(path) as image:
        found = image.lookup("/a")
        assert (inode["owner"], inode["offset"]) == (found.ino, found.offset)
        assert values(inode)["inode.i_size_lo"] == found.size == 4
        many = image.lookup("/many")
        block = next(many.runs()).physical
    assert shown(path, "inode", found.ino)[0]["rows"] == inode["rows"]
    directory = shown(path, "directory", "/many")
    assert {section["kind"] for section in directory} == {"dx_root", "dir_block"}
    assert shown(path, "block", block)[0]["kind"] == "dx_root"
    assert shown(path, "journal")[0]["kind"] == "journal_superblock"
    with open_image(path) as image:
        content = next(image.lookup("/holes").runs()).physical
    assert shown(path, "block", content)[0]["paths"] == ["/holes"]
    assert "/holes" in run("show", path, "block", str(content)).stdout
    assert run("show", path, "block", "8000").stdout == "free\n"
    assert "no transactions to recover" in run("show", path, "journal").stdout
    assert [section["kind"] for section in shown(path, "group", 0)] == [
        *("group_desc", "block_bitmap", "inode_bitmap"),
    ]
    units = shown(path, "units")
    assert {unit["kind"] for unit in units} > {"superblock", "inode", "extent_block"}
    text = run("show", path, "/a", "--annotate").stdout
    assert "inode.i_size_lo" in text and "right" in text and "zeros" in text
    for wrong in (["nothing"], ["group"], ["group", "x"], ["block", "99999999"], ["inode"]):
        done = run("show", path, *wrong)
        assert done.returncode == 2 and "Traceback" not in done.stderr, wrong
    assert run("show", path, "inode", "99999999").returncode == 1


def test_a_stale_checksum_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "image"
    corruption = Override.parse("inode[/a].i_gid=5", reseal=False)
    write_image(fuzz.small_tree(), path, overrides=[corruption])
    done = run("show", path, "/a")
    assert "inode.i_gid" in done.stdout and "wrong: 0x" in done.stdout
