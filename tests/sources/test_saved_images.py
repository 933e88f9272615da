"""A saved container image is recognised when it is given without a prefix."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from ext4writer import ArchiveError, Loss, sources
from tests.builder.command import assert_one_line, report, run
from tests.makers.containers import Layout, docker_archive, docker_save, layer_tar


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "layout")
    layout.index([layout.image([layer_tar([])])])
    return layout


def packed(folder: Path, path: Path, top: str = ".") -> Path:
    with tarfile.open(path, "w") as archive:
        archive.add(folder, top)
    return path


def noted(losses: list[Loss], prefix: str) -> bool:
    found = [loss for loss in losses if loss.code == "saved-image"]
    assert len(found) <= 1
    return bool(found) and f"write {prefix} before its name" in found[0].what


def test_archives_of_docker_save(tmp_path: Path, layout: Layout) -> None:
    old, new, folder = tmp_path / "old.tar", tmp_path / "new.tar", tmp_path / "folder"
    docker_archive(old, [layer_tar([])])
    docker_save(new, layout, {layout.image([layer_tar([])]): ["a:1"]})
    for path in (old, new):
        assert noted(sources.tar(path).losses, "docker-archive:")
        compressed = io.BytesIO(gzip.compress(path.read_bytes()))
        assert noted(sources.tar(compressed).losses, "docker-archive:")
    with tarfile.open(old) as archive:
        # Python 3.11.2 of Debian 12 has no filters yet.
        archive.extractall(
            folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {})
        )
    assert noted(sources.directory(folder).losses, "docker-archive:")
    assert sources.directory(folder, names=["manifest.json"]).losses == []


def test_layouts(tmp_path: Path, layout: Layout) -> None:
    assert noted(sources.directory(layout.folder).losses, "oci:")
    for top in (".", "/"):
        path = packed(layout.folder, tmp_path / "layout.tar", top)
        assert noted(sources.tar(path).losses, "oci:")


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "[]", "[{}]", "[1]", "no json", '{"Config": 1, "Layers": 2}', "[" * 100_000),
        json.dumps([{"name": "an application", "icons": []}]),
        json.dumps([{"Config": "c", "Layers": []}, {"Config": "c"}]),
    ],
)
def test_other_files_of_these_names(text: str, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "manifest.json").write_text(text)
    (tmp_path / "root" / "index.json").write_text(text)
    (tmp_path / "root" / "blobs").mkdir()
    assert sources.directory(tmp_path / "root").losses == []
    assert sources.tar(packed(tmp_path / "root", tmp_path / "root.tar")).losses == []


def test_an_image_below_the_root_is_meant_as_files(tmp_path: Path, layout: Layout) -> None:
    (tmp_path / "root").mkdir()
    layout.folder.rename(tmp_path / "root" / "layout")
    assert sources.directory(tmp_path / "root").losses == []


def test_the_command_reports_the_kind_of_image(tmp_path: Path, layout: Layout) -> None:
    codes = [loss["code"] for loss in report("plan", layout.folder)["losses"]]
    assert codes == ["saved-image"]
    assert_one_line(run("plan", layout.folder, "--strict"), 1, "write oci: before its name")
    assert report("plan", f"{layout.folder}::/var/lib/image", "--strict")["losses"] == []


def test_the_other_prefix_is_named(tmp_path: Path, layout: Layout) -> None:
    with pytest.raises(ArchiveError, match="has no manifest.json; oci: reads it"):
        sources.docker_archive(layout.folder)
    docker_archive(tmp_path / "saved.tar", [layer_tar([])])
    with pytest.raises(ArchiveError, match="has no file oci-layout; docker-archive: may read it"):
        sources.oci(tmp_path / "saved.tar")
