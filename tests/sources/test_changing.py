"""Files and folders of the host that change after the scan."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ext4writer import (
    Layout,
    RegularFile,
    SourceChangedError,
    SourceError,
    Tree,
    holes,
    plan,
    sources,
    write_image,
    write_layout,
)
from ext4writer.content import PathContent
from ext4writer.sources.nar_dump import dump_nar
from tests.builder.command import assert_one_line, run
from tests.judges import tools
from tests.makers import archives

SMALL, LARGE = 5000, 3 << 20


def rewrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"y")


def rewrite_and_set_times_back(path: Path) -> None:
    before = path.stat()
    rewrite(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def put_another_in_its_place(path: Path) -> None:
    before = path.stat()
    other = path.with_name("other")
    other.write_bytes(b"z" * before.st_size)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


def put_a_link_in_its_place(path: Path) -> None:
    other = path.with_name("other")
    shutil.copy2(path, other)
    path.unlink()
    path.symlink_to("other")


CHANGES = [rewrite, rewrite_and_set_times_back, put_another_in_its_place, put_a_link_in_its_place]


def scanned(tmp_path: Path, size: int) -> tuple[Layout, Path]:
    source = tmp_path / "source"
    (source / "a/b").mkdir(parents=True)
    for number in range(3):
        (source / f"a/b/{number}").write_bytes(b"x" * size)
    return plan(sources.directory(source)), source / "a/b/1"


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_keeps_its_size(
    tmp_path: Path, change: Callable[[Path], None], size: int, processes: int
) -> None:
    layout, path = scanned(tmp_path, size)
    change(path)
    with pytest.raises(SourceChangedError, match="/a/b/1: (changed after|became a symbolic link)"):
        write_layout(layout, tmp_path / "image", processes=processes)
    assert not (tmp_path / "image").exists()


def test_a_file_added_to_a_tree_by_path(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * SMALL)
    tree = Tree()
    tree.file("/f", path)
    layout = plan(tree)
    rewrite_and_set_times_back(path)
    with pytest.raises(SourceChangedError, match="file: changed after"):
        write_layout(layout, tmp_path / "image")


def tar_at(path: Path, size: int) -> Tree:
    with tarfile.open(path, "w") as archive:
        for number in range(3):
            member = tarfile.TarInfo(f"a/{number}")
            member.size = size
            archive.addfile(member, io.BytesIO(b"x" * size))
    return sources.tar(path)


def sparse_tar_at(path: Path, size: int) -> Tree:
    size += -size % archives.BLOCK
    data = archives.padded(b"1\n0\n%d\n" % size) + b"x" * size
    records = {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0"}
    records |= {b"GNU.sparse.name": b"a", b"GNU.sparse.realsize": b"%d" % (2 * size)}
    path.write_bytes(archives.pax(records) + archives.member(b"a", data) + archives.END)
    return sources.tar(path)


def nar_at(path: Path, size: int) -> Tree:
    tree = Tree()
    tree.file("/a", b"x" * size)
    with path.open("wb") as file:
        dump_nar(tree.root, file.write)
    read = Tree()
    read.add("/top", sources.nar(path))
    return read


def image_at(path: Path, size: int) -> Tree:
    tree = Tree()
    for number in range(3):
        tree.file(f"/{number}", b"x" * size)
    write_image(tree, path)
    return sources.image(path)


CONTAINERS = [tar_at, sparse_tar_at, nar_at, image_at]


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("change", CHANGES[:2])
@pytest.mark.parametrize("make", CONTAINERS)
def test_an_archive_that_keeps_its_size(
    tmp_path: Path,
    make: Callable[[Path, int], Tree],
    change: Callable[[Path], None],
    size: int,
    processes: int,
) -> None:
    path = tmp_path / "larger"
    layout = plan(make(path, size))
    change(path)
    with pytest.raises(SourceChangedError, match="larger: changed after"):
        write_layout(layout, tmp_path / "image", processes=processes)
    assert not (tmp_path / "image").exists()


@pytest.mark.parametrize("make", [tar_at, image_at])
def test_an_archive_that_is_open_may_lose_its_name(
    tmp_path: Path, make: Callable[[Path, int], Tree]
) -> None:
    layout = plan(make(tmp_path / "larger", SMALL))
    (tmp_path / "larger").unlink()
    write_layout(layout, tmp_path / "image")


@pytest.mark.parametrize("make", CONTAINERS)
def test_a_part_of_an_archive_is_read_as_it_was(
    tmp_path: Path, make: Callable[[Path, int], Tree]
) -> None:
    """The digest of a part, as in manifests and stores, is right, or an error is raised."""
    tree = make(tmp_path / "larger", SMALL)
    rewrite_and_set_times_back(tmp_path / "larger")
    [content, *_] = [node.content for _, node in tree.walk() if isinstance(node, RegularFile)]
    for read in (content.read_bytes, lambda: list(content.read_pieces(memoryview(bytearray(99))))):
        with pytest.raises(SourceChangedError, match="larger: changed after"):
            read()


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_folder_that_becomes_a_link(tmp_path: Path, depth: int, size: int) -> None:
    layout, path = scanned(tmp_path, size)
    folder = path.parents[depth - 1]
    other = tmp_path / "secret"
    folder.rename(other)
    folder.symlink_to(other)
    with pytest.raises(SourceChangedError, match="/a/b/"):
        write_layout(layout, tmp_path / "image")
    assert not (tmp_path / "image").exists()


def test_the_source_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real/d").mkdir(parents=True)
    (tmp_path / "real/d/f").write_bytes(b"x" * SMALL)
    (tmp_path / "source").symlink_to("real")
    write_layout(plan(sources.directory(tmp_path / "source")), tmp_path / "image")


def test_no_file_stays_open(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    layout, path = scanned(tmp_path, SMALL)
    write_layout(layout, tmp_path / "image")
    rewrite(path)
    with pytest.raises(SourceChangedError):
        write_layout(layout, tmp_path / "image")
    assert set(os.listdir("/proc/self/fd")) == before


def test_folders_are_opened_in_any_order_of_files(tmp_path: Path) -> None:
    paths = ["a/f", "a/b/c/f", "a/b/f", "d/e/f", "d/f", "a/b/c/g/h/f", "f", "a/x/c/f"]
    for number, name in enumerate(paths):
        (tmp_path / "s" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "s" / name).write_bytes(b"%d" % number)
    tree = sources.directory(tmp_path / "s")
    for number, name in enumerate([*paths, *reversed(paths)]):
        node = tree[name]
        data = bytearray(1)
        node.content.read_whole(memoryview(data))  # type: ignore[attr-defined]
        assert data == b"%d" % (number if number < len(paths) else 2 * len(paths) - 1 - number)


def test_a_short_read_hides_no_hole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems return less than requested; holes follow from content all the same."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * (1 << 20) + bytes(1 << 20) + b"x" * (1 << 20))
    whole = holes.data_ranges(PathContent(path), 4096, 65536)
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, count, at: pread(fd, min(count, 3), at))
    assert holes.data_ranges(PathContent(path), 4096, 65536) == whole != None  # noqa: E711


@pytest.mark.parametrize("kind", ["proc", "sysfs"])
def test_a_mounted_pseudo_file_system(tmp_path: Path, kind: str) -> None:
    tools.require_root()
    (tmp_path / "s/etc").mkdir(parents=True)
    (tmp_path / "s/run/pseudo").mkdir(parents=True)
    if tools.run(["mount", "-t", kind, kind, tmp_path / "s/run/pseudo"], check=False).returncode:
        pytest.skip(f"{kind} cannot be mounted here")
    try:
        for processes in (1, 2):
            with pytest.raises(SourceError, match=rf"/run/pseudo: is a mounted {kind}.*--one-file"):
                sources.directory(tmp_path / "s", processes=processes)
        done = run("plan", tmp_path / "s")
        assert_one_line(done, 1, "run/pseudo", f"mounted {kind}", "--one-file-system")
        kept = sources.directory(tmp_path / "s", one_file_system=True)
        assert [path for path, _ in kept.walk()] == [b"/", b"/etc", b"/run", b"/run/pseudo"]
        kept = sources.directory(tmp_path / "s", exclude=["run/pseudo"])
        assert "/run" in kept and "/run/pseudo" not in kept
    finally:
        tools.run(["umount", tmp_path / "s/run/pseudo"])
