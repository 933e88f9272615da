"""Tar archives from other programs give the same image as their directory."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from ext4writer import Tree, sources, write_image
from tests.judges import tools


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    (path / "folder").mkdir(parents=True)
    (path / "folder" / "file").write_bytes(b"content\n" * 1000)
    (path / "empty").touch()
    (path / "link").symlink_to("folder/file")
    (path / "second").hardlink_to(path / "folder" / "file")
    for below in (path, *path.rglob("*")):
        os.utime(below, (1_700_000_000, 1_700_000_000), follow_symlinks=False)
    return path


def image(tree: Tree) -> bytes:
    made = bytearray()
    write_image(tree, made)
    return bytes(made)


@pytest.mark.parametrize("option", ["", "--gzip", "--bzip2", "--xz", "--zstd"])
def test_gnu_tar_posix(root: Path, tmp_path: Path, option: str) -> None:
    archive = tmp_path / "archive"
    compress = [option] if option else []
    if option:
        tools.require(option.removeprefix("--"))
    tools.run(["tar", "-C", root, "--format=posix", *compress, "-cf", archive, "."])
    with open(tmp_path / "spool", "w+b") as spool:
        tree = sources.tar(archive, spool=spool)
    assert image(tree) == image(sources.directory(root))
    assert tree.losses == []


def test_python_from_memory(root: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.add(root, ".")
    stream.seek(0)
    assert image(sources.tar(stream)) == image(sources.directory(root))
