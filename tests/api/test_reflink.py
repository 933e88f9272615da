"""If the host's file system can share blocks, an image shares them with its source."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import ext4writer
from ext4writer import Progress, Spec, Tree, sources
from ext4writer.planning.spec import KIB, MIB
from tests.judges.compare import assert_tree_equal
from tests.judges.fsck import assert_clean
from tests.judges.kernel import mounted
from tests.judges.tools import require, require_loop_mount, run

CONTENT = 64 * MIB


@contextmanager
def file_system(kind: str, folder: Path) -> Iterator[Path]:
    """Create an empty file system of ``kind`` in a file, and mount it."""
    require_loop_mount()
    backing = folder / "backing"
    with backing.open("wb") as file:
        file.truncate(600 * MIB)
    run([require(f"mkfs.{kind}"), backing])
    point = folder / kind
    point.mkdir()
    run(["mount", "-o", "loop", backing, point])
    try:
        yield point
    finally:
        run(["umount", point])
        backing.unlink()


def used_bytes(point: Path) -> int:
    os.sync()
    status = os.statvfs(point)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def source_tree(source: Path) -> Tree:
    source.mkdir()
    for number in range(3):
        (source / f"large {number}").write_bytes(
            random.Random(number).randbytes(CONTENT) + b"a part of a block" * number
        )
    (source / "small").write_bytes(b"small")
    return sources.directory(source)


@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_blocks_are_shared_with_the_source(tmp_path: Path, kind: str) -> None:
    with file_system(kind, tmp_path) as point:
        tree = source_tree(point / "source")
        before = used_bytes(point)
        image = point / "image"
        reports: list[Progress] = []
        layout = ext4writer.write_image(
            tree, image, Spec(free=MIB), workers=2, progress=reports.append
        )
        assert layout.content_bytes >= 3 * CONTENT
        # A rate does not count what is not copied.
        assert reports[-1].bytes_done == layout.content_bytes
        assert 3 * CONTENT - MIB <= reports[-1].bytes_unmoved < layout.content_bytes
        assert used_bytes(point) - before < 4 * MIB
        assert_clean(image)
        with mounted(image) as mount:
            assert_tree_equal(tree, mount)


@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_small_blocks_are_copied(tmp_path: Path, kind: str) -> None:
    """Blocks of 1 KiB are not aligned for sharing."""
    with file_system(kind, tmp_path) as point:
        tree = source_tree(point / "source")
        image = point / "image"
        ext4writer.write_image(tree, image, Spec(block_size=KIB, free=MIB))
        assert_clean(image)
        with mounted(image) as mount:
            assert_tree_equal(tree, mount)
