"""The inputs of an image are never its output, by whatever name."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ext4writer import (
    Content,
    OutputError,
    PathContent,
    PathSliceContent,
    Tree,
    iter_image,
    sources,
    write_image,
)
from tests.judges.devices import contents, loop_device
from tests.makers.containers import Entry, Layout, docker_archive, layer_tar

REFUSED = "does not overwrite its inputs"


def make_tar(path: Path, compression: str = "") -> Path:
    with tarfile.open(path, f"w:{compression}") as archive:  # type: ignore[call-overload]
        info = tarfile.TarInfo("file")
        info.size = 50_000
        archive.addfile(info, io.BytesIO(b"x" * 50_000))
        archive.addfile(tarfile.TarInfo("empty"))
    return path


def same(path: Path, folder: Path) -> Path:
    return path


def through_a_link(path: Path, folder: Path) -> Path:
    (folder / "link").symlink_to(path)
    return folder / "link"


def by_another_name(path: Path, folder: Path) -> Path:
    os.link(path, folder / "other")
    return folder / "other"


def through_a_folder(path: Path, folder: Path) -> Path:
    (folder / "way").symlink_to(path.parent)
    return folder / "way" / path.name


NAMES = [same, through_a_link, by_another_name, through_a_folder]


def assert_refused(tree: Tree, output: Path, precious: Path) -> None:
    """Assert that it is refused by its path, as a region, and as an open file."""
    before = precious.read_bytes()
    for options in ({}, {"raw": True}, {"offset": 0}):
        with pytest.raises(OutputError, match=REFUSED):
            write_image(tree, output, **options)  # type: ignore[arg-type]
    with open(output, "r+b") as file, pytest.raises(OutputError, match=REFUSED):
        write_image(tree, file)
    with open(output, "ab") as file, pytest.raises(OutputError, match=REFUSED):
        write_image(tree, file)
    assert precious.read_bytes() == before


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("compression", ["", "gz", "xz"])
def test_an_archive(tmp_path: Path, compression: str, name: Callable[[Path, Path], Path]) -> None:
    archive = make_tar(tmp_path / "a", compression)
    tree = sources.tar(archive)
    assert_refused(tree, name(archive, tmp_path), archive)
    assert_refused(Tree().overlay(tree, "/below"), archive, archive)
    assert_refused(tree.subtree("/"), archive, archive)


def test_an_archive_of_which_nothing_is_kept(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a", "w") as archive:
        archive.addfile(tarfile.TarInfo("empty"))
    assert_refused(sources.tar(tmp_path / "a"), tmp_path / "a", tmp_path / "a")


def test_an_archive_that_was_given_open(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "a", "gz")
    with archive.open("rb") as file:
        assert_refused(sources.tar(file), archive, archive)


@pytest.mark.parametrize("name", [same, through_a_link, through_a_folder])
@pytest.mark.parametrize("size", [0, 5, 200_000])
def test_a_file_of_a_folder(tmp_path: Path, size: int, name: Callable[[Path, Path], Path]) -> None:
    (tmp_path / "source/deep").mkdir(parents=True)
    for each in ("one", "two", "three"):
        (tmp_path / "source/deep" / each).write_bytes(b"x" * size)
    tree = sources.directory(tmp_path / "source")
    two = tmp_path / "source/deep/two"
    assert_refused(tree, name(two, tmp_path), two)
    tree.move("/deep/two", "/renamed")
    assert_refused(tree, two, two)


def test_another_name_of_a_file_may_be_replaced_and_not_written_to(tmp_path: Path) -> None:
    """The name in the folder is unchanged, because a new file replaces the other name."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source/file").write_bytes(b"x" * 70_000)
    os.link(tmp_path / "source/file", tmp_path / "image")
    tree = sources.directory(tmp_path / "source")
    with pytest.raises(OutputError, match=REFUSED):
        write_image(tree, tmp_path / "image", offset=0)
    with (tmp_path / "image").open("r+b") as file, pytest.raises(OutputError, match=REFUSED):
        write_image(tree, file)
    write_image(tree, tmp_path / "image")
    assert (tmp_path / "source/file").read_bytes() == b"x" * 70_000


@pytest.mark.parametrize(
    "content",
    [PathContent, lambda path: PathSliceContent(path, 5, 70), lambda path: path],
)
def test_a_file_that_was_added_by_hand(
    tmp_path: Path, content: Callable[[Path], Content | Path]
) -> None:
    (tmp_path / "file").write_bytes(b"x" * 90)
    tree = Tree()
    tree.file("a", content(tmp_path / "file"))
    assert_refused(tree, tmp_path / "file", tmp_path / "file")


@pytest.mark.parametrize("kind", ["mtree", "dump"])
def test_a_manifest_and_what_it_names(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_bytes(b"x" * 90)
    if kind == "mtree":
        text = "#mtree\n. type=dir\n    ./file type=file size=90 contents=file\n"
    else:
        text = "/ 0 40755 2 0 0 0 0.0 - - -\n/file 90 100644 1 0 0 0 0.0 file - -\n"
    (tmp_path / "manifest").write_text(text)
    tree = sources.manifest(tmp_path / "manifest")
    for name in ("manifest", "file"):
        assert_refused(tree, tmp_path / name, tmp_path / name)


@pytest.mark.parametrize("name", ["index.json", "oci-layout", "blobs"])
def test_a_layout_and_all_its_blobs(tmp_path: Path, name: str) -> None:
    layout = Layout(tmp_path / "layout")
    tree = Tree()
    tree.file("a", b"a" * 5000)
    image = layout.image([layer_tar([Entry(b"a", tree["/a"])])])
    layout.blob(b"of another image", "text/plain")
    layout.index([image])
    read = sources.oci(layout.folder).tree
    files = sorted((layout.folder / "blobs").rglob("*")) if name == "blobs" else []
    for path in files or [layout.folder / name]:
        if path.is_file():
            assert_refused(read, path, path)
    write_image(read, layout.folder / "root.img")
    write_image(read, layout.folder / "root.img")


def test_an_archive_of_docker(tmp_path: Path) -> None:
    docker_archive(tmp_path / "a.tar", [layer_tar([])])
    tree = sources.docker_archive(tmp_path / "a.tar").tree
    assert_refused(tree, tmp_path / "a.tar", tmp_path / "a.tar")


def test_an_image_that_is_a_source(tmp_path: Path) -> None:
    for size in (0, 90_000):
        tree = Tree()
        tree.file("data", b"x" * size)
        write_image(tree, tmp_path / "image")
        read = sources.image(tmp_path / "image")
        assert_refused(read, tmp_path / "image", tmp_path / "image")


@pytest.mark.root
def test_a_device(tmp_path: Path) -> None:
    """An archive on a device that has further device nodes."""
    make_tar(tmp_path / "a.tar")
    os.truncate(tmp_path / "a.tar", 64 << 20)
    with loop_device(tmp_path / "a.tar") as device:
        tree = sources.tar(device)
        os.mknod(tmp_path / "node", 0o060600, os.stat(device).st_rdev)
        before = contents(device)
        for path in (device, tmp_path / "node"):
            with pytest.raises(OutputError, match=REFUSED):
                write_image(tree, path)
        assert contents(device) == before


def test_similar_files_are_not_sources(tmp_path: Path) -> None:
    """A copy, a file of equal size, and an archive that another one replaced."""
    archive = make_tar(tmp_path / "a")
    (tmp_path / "copy").write_bytes(archive.read_bytes())
    (tmp_path / "source").mkdir()
    (tmp_path / "source/file").write_bytes(b"x" * 90)
    (tmp_path / "alike").write_bytes(b"y" * 90)
    write_image(sources.tar(archive), tmp_path / "copy")
    write_image(sources.directory(tmp_path / "source"), tmp_path / "alike")
    assert b"".join(iter_image(sources.tar(archive))) == (tmp_path / "copy").read_bytes()
