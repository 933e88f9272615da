"""An image as a source gives the original tree, and from it the same image."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from ext4writer import (
    DamageError,
    ImageError,
    RegularFile,
    SizeError,
    Spec,
    SpecError,
    Tree,
    manifests,
    plan,
    sources,
    write_image,
)
from ext4writer.read import open_image
from tests.builder.command import report
from tests.builder.command import run as command
from tests.judges.compare import assert_tree_equal
from tests.judges.kernel import mounted
from tests.judges.tools import require, run
from tests.makers.strategies import specs, trees

from .foreign_images import MAKERS, make


def written(tree: Tree, spec: Spec | None = None) -> bytearray:
    image = bytearray()
    write_image(tree, image, spec or FIXED)
    return image


FIXED = Spec(epoch=1_700_000_000, uuid=UUID(int=7), hash_seed=UUID(int=8))
"""The identity depends on the tree and on which of its times are given, so it is fixed here."""


def without_own_folder(again: Tree, tree: Tree) -> Tree:
    """``again`` without the ``lost+found`` that the image has and its tree lacked."""
    if b"lost+found" in again.root.children and "/lost+found" not in tree:
        again.remove("/lost+found")
    return again


def read_again(*arguments: Any, **options: Any) -> Tree:
    return without_own_folder(sources.image(*arguments, keep_times=True, **options), Tree())


# Entire images are compared, so reducing a failing example takes too long.
@settings(deadline=None, max_examples=25, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(trees(), specs())
def test_the_tree_of_an_image_makes_the_same_image(tree: Tree, spec: Spec) -> None:
    spec = replace(spec, epoch=1_700_000_000, uuid=UUID(int=7), hash_seed=UUID(int=8))
    try:
        layout = plan(tree, spec)
    except (SpecError, SizeError):
        assume(False)
    assume(layout.size_bytes < 32 << 20)
    first = written(tree, spec)
    again = sources.image(bytes(first), keep_times=True)
    assert not again.losses
    assert written(without_own_folder(again, tree), spec) == first


def big_tree() -> Tree:
    tree = Tree()
    for number in range(3000):
        tree.file(f"/many/{number:05}", b"%d" % number, parents=True)
    tree.file("/big", os.urandom(1 << 20) + bytes(5 << 20) + b"end")
    tree.file("/hole", bytes(3 << 20))
    tree.file("/hole-first", bytes(1 << 20) + b"end")
    tree.file("/a", b"text", xattrs={b"user.a": b"b" * 900, b"user.big": b"c" * 2000})
    tree.link("/b", "/a")
    tree.symlink("/l", "t" * 300)
    return tree


def test_from_a_file_by_all_ways_of_copying(tmp_path: Path) -> None:
    first = tmp_path / "first.img"
    spec = FIXED
    write_image(big_tree(), first, spec)
    wanted = first.read_bytes()
    for options in ({}, {"workers": 3}, {"processes": 2}):
        again = read_again(first)
        second = tmp_path / "second.img"
        write_image(again, second, spec, **options)
        assert second.read_bytes() == wanted
    with open(first, "rb") as stream:
        assert written(read_again(stream), spec) == wanted


def test_places_of_an_image(tmp_path: Path) -> None:
    image = written(big_tree())
    offset = 3 << 20
    disk = bytes(offset) + bytes(image) + bytes(512)
    assert written(read_again(disk, offset=offset)) == image
    path = tmp_path / "disk"
    path.write_bytes(disk)
    assert written(read_again(path, offset=offset)) == image

    class Pread:
        size = len(disk)

        def pread(self, count: int, offset: int) -> bytes:
            return disk[offset : offset + count]

    assert written(read_again(Pread(), offset=offset)) == image
    assert written(read_again(io.BytesIO(image))) == image
    for wrong in (0, 1 << 20, len(disk) - 100, len(disk) + 5):
        with pytest.raises(ImageError):
            sources.image(disk, offset=wrong)


@pytest.mark.parametrize("table", ["gpt", "dos"])
def test_partitions(table: str, tmp_path: Path) -> None:
    image = written(big_tree())
    sectors = len(image) // 512
    disk = tmp_path / "disk.img"
    with open(disk, "wb") as file:
        file.truncate(len(image) * 2 + (8 << 20))
    # The second of two logical partitions, if there are any.
    script = f"label: {table}\nsize=2048\n"
    if table == "dos":
        script += "type=5\nsize=2048\n"
        number = 6
    else:
        number = 2
    script += f"size={sectors}\n"
    subprocess.run([require("sfdisk"), "--quiet", disk], input=script.encode(), check=True)
    said = run([require("sfdisk"), "--json", str(disk)]).stdout
    rows = json.loads(said)["partitiontable"]["partitions"]
    start = next(row["start"] for row in rows if row["node"].endswith(f"img{number}"))
    with open(disk, "r+b") as file:
        file.seek(start * 512)
        file.write(image)
    again = read_again(disk, partition=number)
    assert written(again) == image
    with pytest.raises(ImageError, match="there are 1, "):
        sources.image(disk, partition=9)
    with pytest.raises(ImageError, match=f"partitions 1, .*{number}: name one"):
        sources.image(disk)
    with pytest.raises(ImageError, match="no partition table"):
        sources.image(bytes(image), partition=1)


@pytest.mark.root
@pytest.mark.parametrize("name", ["block-map", "inline-data", "bigalloc-1k", "ea-inode"])
def test_a_foreign_image_can_be_rebuilt(name: str, tmp_path: Path) -> None:
    image = make(name, tmp_path / "old.img", far=40 << 20)
    tree = sources.image(image, keep_times=True)
    if name == "ea-inode":
        node = tree["/empty"]
        assert node.xattrs and node.xattrs[b"user.huge"] == bytes(range(250)) * 200
        node.xattrs = {}
    new = tmp_path / "new.img"
    write_image(tree, new)
    with mounted(new) as point:
        assert_tree_equal(tree, point, Spec())
    assert MAKERS[name]


def test_damage_is_named(tmp_path: Path) -> None:
    image = written(big_tree())
    with open_image(bytes(image)) as opened:
        inode = opened.lookup("/big")
        offset = inode.offset
    image[offset + 0x28] ^= 0xFF
    with pytest.raises(DamageError) as caught:
        sources.image(bytes(image))
    assert (caught.value.record, caught.value.field) == ("inode", "l_i_checksum_lo")
    heard: list[DamageError] = []
    tree = sources.image(bytes(image), on_damage=heard.append)
    assert {(error.record, error.field) for error in heard} == {
        ("inode", "l_i_checksum_lo"),
        ("extent_header", "eh_magic"),
    }
    node = tree["/big"]
    assert isinstance(node, RegularFile) and node.content.size == (6 << 20) + 3


@settings(deadline=None, max_examples=30)
@given(st.binary(max_size=4000))
def test_files_that_are_not_images_are_refused(data: bytes) -> None:
    with pytest.raises(ImageError):
        sources.image(data)


def test_the_command_accepts_images(tmp_path: Path) -> None:
    old, new = tmp_path / "old.img", tmp_path / "new.img"
    (tmp_path / "overlay/many").mkdir(parents=True)
    (tmp_path / "overlay/many/00007").write_bytes(b"other")
    write_image(big_tree(), old)
    told = report("build", old, tmp_path / "overlay", "-o", new, "--exclude", "hole*")
    assert told["sources"][0]["kind"] == "ext4 image"
    with open_image(new) as image:
        assert image.open("/many/00007").read() == b"other"
        assert image.open("/many/00008").read() == b"8"
        names = {found.path for found in image.walk()}
    assert b"/hole" not in names and b"/big" in names
    failed = command("build", f"image:{old}:2", "-o", new)
    assert failed.returncode == 1
    assert "no partition table" in failed.stderr


def test_a_manifest_of_an_image_is_that_of_its_source(tmp_path: Path) -> None:
    source, image = tmp_path / "source", tmp_path / "image"
    (source / "many").mkdir(parents=True)
    for number in range(50):
        (source / f"many/{number}").write_bytes(b"%d" % number)
    os.link(source / "many/1", source / "link")
    (source / "soft").symlink_to("many/2")
    tree = sources.directory(source)
    write_image(tree, image)
    held = []
    for each in (tree, without_own_folder(sources.image(image), tree)):
        text = io.BytesIO()
        manifests.write_mtree(each, text, digest="sha256", unpacked=True)
        lines = text.getvalue().splitlines()
        held.append([re.sub(rb" contents=\S+", b"", line) for line in lines])
    assert held[0] == held[1] and len(held[0]) > 50
    done = command("manifest", image, "--digest", "sha256", "-q")
    assert done.returncode == 0 and "many/49" in done.stdout


def test_manifests_of_a_folder_and_of_its_image_are_equal(tmp_path: Path) -> None:
    source, image = tmp_path / "source", tmp_path / "image"
    (source / "folder").mkdir(parents=True)
    (source / "folder/file").write_bytes(b"content")
    os.link(source / "folder/file", source / "link")
    (source / "soft").symlink_to("folder")
    held = []
    for each in (source, image):
        if each is image:
            assert command("build", source, "-o", image, "-q").returncode == 0
        options = ("--relative-to", source, "--digest", "sha256", "--exclude", "lost+found", "-q")
        done = command("manifest", each, *options)
        assert done.returncode == 0, done.stderr
        held.append(done.stdout)
    assert held[0] == held[1] and "sha256" in held[0]
