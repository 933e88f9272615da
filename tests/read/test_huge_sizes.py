"""Impossible file sizes, and sizes that only sparse files have: everything ends soon, clearly."""

from __future__ import annotations

import io
import os
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ext4writer import DamageError, Override, Spec, Tree, sources, write_image
from ext4writer.inspection.check import check_image
from ext4writer.inspection.diff import compare_images
from ext4writer.inspection.extract import extract
from ext4writer.inspection.tar_output import write_tar
from ext4writer.read import open_image
from tests.builder.command import run
from tests.judges.fsck import problems

pytestmark = pytest.mark.damaged

TEXT = b"text" * 2000
IMPOSSIBLE = (1 << 63, (1 << 63) - 1, (1 << 64) - 1, 1 << 62, (1 << 44) + 1)
SPARSE = 15 << 40
"""A possible size for a file of 4 KiB blocks that is almost entirely a hole."""
KINDS = {"extents": Spec(), "map": Spec(type="ext3"), "inline": Spec(features="inline_data")}


def damaged(size: int, kind: str) -> bytes:
    tree, data = Tree(), bytearray()
    tree.file("/huge", TEXT if kind != "inline" else b"text")
    tree.file("/other", b"other")
    override = Override.parse(f"inode[/huge].i_size={size}")
    write_image(tree, data, KINDS[kind], overrides=[override])
    return bytes(data)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", IMPOSSIBLE)
def test_impossible_file_sizes(size: int, kind: str, tmp_path: Path) -> None:
    data = damaged(size, kind)
    heard: list[DamageError] = []
    with open_image(data, on_damage=heard.append) as image:
        reader = image.open("/huge")
        content = reader.read()
        assert content.rstrip(b"\0") == (TEXT if kind != "inline" else b"text")
        assert len(content) <= 8192 and reader.size == len(content)
        assert [(error.record, error.field[:6]) for error in heard] == [("inode", "i_size")]
        extract(image, tmp_path / "out")
        held = io.BytesIO()
        write_tar(image, held)
        assert compare_images(image, image).are_equal
        for with_data in (False, True):
            found = check_image(image, data=with_data).problems
            # Content in the inode is counted only where it is read.
            wanted = 1 + (with_data and kind == "inline")
            assert sum(problem.field.startswith("i_size") for problem in found) == wanted
    assert (tmp_path / "out/huge").read_bytes() == content
    assert (tmp_path / "out/other").read_bytes() == b"other"
    assert len(held.getvalue()) < 1 << 20
    with tarfile.open(fileobj=io.BytesIO(held.getvalue())) as archive:
        assert archive.getmember("./huge").size == len(content)
    with pytest.raises(DamageError, match=r"inode\.i_size"):
        sources.image(data)
    tree, again = sources.image(data, on_damage=heard.append), tmp_path / "again"
    write_image(tree, again)
    assert not problems(again) and tree["/huge"].content.size == len(content)


def test_a_sparse_file_of_terabytes(tmp_path: Path) -> None:
    path, again, archive = tmp_path / "image", tmp_path / "again", tmp_path / "a.tar"
    path.write_bytes(damaged(SPARSE, "extents"))
    assert not problems(path)
    started = time.process_time()
    for words in (
        *(("check", path, "--data"), ("extract", path, "-C", tmp_path / "out")),
        *(("extract", path, "--tar", archive), ("diff", path, path)),
        *(("manifest", f"image:{path}"), ("build", path, "-o", again), ("stat", path, "/huge")),
    ):
        done = run(*words)
        assert done.returncode == 0, (words, done.stderr)
    assert time.process_time() - started < 20
    assert archive.stat().st_size < 1 << 20
    out = tmp_path / "out/huge"
    if out.exists():  # not every host can store it
        assert out.stat().st_size == SPARSE and out.stat().st_blocks < 1 << 10
        with out.open("rb") as file:
            assert os.pread(file.fileno(), 9000, 0) == TEXT.ljust(9000, b"\0")
    assert not problems(again)
    with open_image(again) as image:
        assert image.lookup("/huge").size == SPARSE


@pytest.mark.parametrize("words", ["cat /huge", "stat /huge", "ls -l", "manifest", "build"])
def test_commands_end_and_say_what_is_wrong(words: str, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(damaged(1 << 63, "extents"))
    name, *rest = words.split()
    place = f"image:{path}" if name in ("manifest", "build") else path
    done = run(name, place, *rest, *(("-o", tmp_path / "again") if name == "build" else ()))
    if name in ("cat", "manifest", "build"):
        assert done.returncode == 1 and "i_size_high" in done.stderr
        assert "are possible; 8192 are mapped" in done.stderr
    assert len(done.stdout) < 100_000 and "Traceback" not in done.stderr


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block_size", [1024, 65536])
def test_the_largest_size_is_that_of_e2fsck(kind: str, block_size: int, tmp_path: Path) -> None:
    path = tmp_path / "image"
    tree, pointers = Tree(), block_size // 4
    tree.file("/huge", b"text")
    spec = replace(KINDS[kind], block_size=block_size)
    mapped = (12 + pointers + pointers**2 + pointers**3) * block_size
    for size in ((block_size << 32) - 1, block_size << 32, mapped, mapped + 1):
        override = Override.parse(f"inode[/huge].i_size={size}")
        write_image(tree, path, spec, overrides=[override])
        with open_image(path) as image:
            assert check_image(image).is_clean is (not problems(path)), size
        path.unlink()
