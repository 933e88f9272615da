"""One pool of processes for all stages: the same bytes, whatever the workers can read."""

from __future__ import annotations

import io
import os
import pickle
import random
import tarfile
from inspect import unwrap
from pathlib import Path

import pytest

from ext4writer import (
    PathContent,
    ProcessPool,
    SourceChangedError,
    Spec,
    Tree,
    api,
    sources,
    write_image,
)
from ext4writer.emit import batches
from ext4writer.forked import can_fork
from ext4writer.planning import hole_search
from ext4writer.sources import directory
from ext4writer.sources.host import HostDirectory
from tests.judges.fsck import assert_clean

pytestmark = pytest.mark.skipif(not can_fork, reason="this system has no fork")

SPEC = Spec(epoch=1_700_000_000)


@pytest.fixture(autouse=True)
def _share_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "LEAST_BYTES_TO_SHARE", 0)
    monkeypatch.setattr(hole_search, "LEAST_COST_TO_SHARE", 0)
    monkeypatch.setitem(unwrap(directory).__globals__, "ENTRIES_TO_FORK", 0)
    monkeypatch.setattr(batches, "TASK_BYTES", 100_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Some 300 files, with holes, and of every size class that is copied differently."""
    source = tmp_path / "source"
    numbers = random.Random(5)
    for number in range(300):
        place = source / f"{number % 7}" / f"{number % 5}"
        place.mkdir(parents=True, exist_ok=True)
        size = numbers.choice((0, 100, 5_000, 60_000, 300_000))
        data = numbers.randbytes(size // 2) + bytes(size // 4) + numbers.randbytes(size // 4)
        (place / f"file {number}").write_bytes(data)
    return source


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "more.tar"
    with tarfile.open(path, "w") as tar:
        for number in range(50):
            data = random.Random(number).randbytes(number * 3_000)
            member = tarfile.TarInfo(f"more/{number}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def both(folder: Path, archive: Path, processes: int | ProcessPool) -> Tree:
    """The archive is opened when the pool, if there is one, has been forked for the folder."""
    tree = sources.directory(folder, processes=processes)
    return tree.overlay(sources.tar(archive))


def test_archives_opened_after_the_fork_are_read_here(
    tmp_path: Path, folder: Path, archive: Path
) -> None:
    write_image(both(folder, archive, 1), tmp_path / "alone.img", SPEC)
    with ProcessPool(3) as pool:
        tree = both(folder, archive, pool)
        assert pool.generation < 1 << 32  # it has been forked
        write_image(tree, tmp_path / "pool.img", SPEC, processes=pool)
    assert (tmp_path / "pool.img").read_bytes() == (tmp_path / "alone.img").read_bytes()
    assert_clean(tmp_path / "pool.img")


def test_files_opened_after_the_fork_are_written_here(tmp_path: Path, folder: Path) -> None:
    memory = bytearray()
    write_image(sources.directory(folder), memory, SPEC)
    with ProcessPool(3) as pool:
        tree = sources.directory(folder, processes=pool)
        with (tmp_path / "opened.img").open("w+b") as file:
            write_image(tree, file, SPEC, processes=pool)
    assert (tmp_path / "opened.img").read_bytes() == memory
    with (tmp_path / "before.img").open("w+b") as file, ProcessPool(3) as pool:
        write_image(sources.directory(folder, processes=pool), file, SPEC, processes=pool)
    assert (tmp_path / "before.img").read_bytes() == memory


def test_relative_paths(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The workers change directory, and return."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").write_bytes(b"read by a relative path" * 10_000)

    def tree_of(processes: int | ProcessPool) -> Tree:
        tree = sources.directory("source", processes=processes)
        tree.file("/here", PathContent("here"))
        return tree

    write_image(tree_of(1), "alone.img", SPEC)
    with ProcessPool(3) as pool:
        write_image(tree_of(pool), "pool.img", SPEC, processes=pool)
    assert (tmp_path / "pool.img").read_bytes() == (tmp_path / "alone.img").read_bytes()
    assert sorted(os.listdir()) == ["alone.img", "here", "pool.img", "source"]


def test_one_pool_for_several_images(tmp_path: Path, folder: Path) -> None:
    with ProcessPool(2) as pool:
        tree = sources.directory(folder, processes=pool)
        for number in range(3):
            write_image(tree, tmp_path / f"{number}.img", SPEC, processes=pool)
    images = {(tmp_path / f"{number}.img").read_bytes() for number in range(3)}
    assert len(images) == 1


def test_after_an_error_the_pool_has_no_workers(tmp_path: Path, folder: Path) -> None:
    with ProcessPool(3) as pool:
        tree = sources.directory(folder, processes=pool)
        gone = next(path for path in sorted(folder.rglob("file*")) if path.stat().st_size > 50_000)
        data = gone.read_bytes()
        gone.unlink()
        with pytest.raises(SourceChangedError, match="vanished after it was scanned"):
            write_image(tree, tmp_path / "image", SPEC, processes=pool)
        assert not pool.can_share
        gone.write_bytes(data)
        tree = sources.directory(folder)
        write_image(tree, tmp_path / "image", SPEC, processes=pool)
    memory = bytearray()
    write_image(tree, memory, SPEC)
    assert (tmp_path / "image").read_bytes() == memory


@pytest.mark.parametrize(("files", "is_shared"), [(10, False), (3_000, True)])
def test_many_small_files_are_worth_sharing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int, is_shared: bool
) -> None:
    """They hold few bytes, but take as long as many."""
    monkeypatch.undo()
    source = tmp_path / "source"
    source.mkdir()
    for number in range(files):
        (source / str(number)).write_bytes(b"%d" % number)
    tree = sources.directory(source)
    write_image(tree, tmp_path / "alone.img", SPEC)
    with ProcessPool(2) as pool:
        write_image(tree, tmp_path / "pool.img", SPEC, processes=pool)
        assert (pool.generation < 1 << 32) is is_shared
    assert (tmp_path / "pool.img").read_bytes() == (tmp_path / "alone.img").read_bytes()
    assert_clean(tmp_path / "pool.img")


def test_a_folder_of_any_depth_reaches_other_processes() -> None:
    """Each 4,000 bytes of its path are a separate step."""
    folder = HostDirectory(b"/top")
    for number in range(20_000):
        folder = folder.child(b"%0250d" % number)
    again = pickle.loads(pickle.dumps(folder))
    assert again.full_path() == folder.full_path()
    assert len(folder.full_path()) > 5_000_000
    near = HostDirectory(b"/top").child(b"a")
    assert pickle.loads(pickle.dumps(near)).full_path() == b"/top/a"
