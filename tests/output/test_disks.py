"""Virtual disks hold the image."""

from __future__ import annotations

import io
import random
import shutil
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ext4writer
from ext4writer import Layout, OutputError, SpecError
from ext4writer.output.disks import DiskFacts, open_disk
from tests.judges.tools import require, run
from tests.makers.layouts import plan_of_noise

MIB = 1 << 20
UUID_OF_TREE = UUID("11111111-2222-3333-4444-555555555555")

# The content of the disks is compared with an image that was judged.
pytestmark = pytest.mark.judged("quick")


@pytest.fixture(scope="module", name="layout")
def _layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return plan_of_noise(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module", name="image")
def _image(layout: Layout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("written") / "image"
    ext4writer.write_layout(layout, path)
    return path


@pytest.mark.parametrize(
    ("name", "kind", "driver"),
    [
        ("disk.qcow2", None, "qcow2"),
        ("disk", "qcow2", "qcow2"),
        ("disk.qcow2", "qcow2-compressed", "qcow2"),
        ("disk.vhd", None, "vpc"),
        ("disk.qcow2", "raw", "raw"),
        ("disk.zst", "vhd", "vpc"),
    ],
)
def test_qemu_finds_the_image(
    layout: Layout, image: Path, tmp_path: Path, name: str, kind: str | None, driver: str
) -> None:
    require("qemu-img")
    disk = tmp_path / name
    ext4writer.write_layout(layout, disk, format=kind)  # type: ignore[arg-type]
    told = run(["qemu-img", "compare", "-f", "raw", "-F", driver, image, disk]).stdout
    assert "identical" in told
    if driver == "qcow2":
        assert "No errors" in run(["qemu-img", "check", "-f", "qcow2", disk]).stdout
        assert disk.stat().st_size < 4 * MIB + layout.content_bytes
    if kind == "qcow2-compressed":
        assert disk.stat().st_size < layout.content_bytes


def test_simg2img_makes_the_image(layout: Layout, image: Path, tmp_path: Path) -> None:
    require("simg2img")
    disk, back = tmp_path / "disk.simg", tmp_path / "back.img"
    ext4writer.write_layout(layout, disk)
    run(["simg2img", disk, back])
    assert back.read_bytes() == image.read_bytes()
    theirs = tmp_path / "theirs.simg"
    run(["img2simg", image, theirs])
    assert disk.stat().st_size <= theirs.stat().st_size + 64 * 1024


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    kind=st.sampled_from(["qcow2", "qcow2-compressed", "simg", "vhd"]),
)
def test_any_writes_in_ascending_order(
    seed: int, kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Pieces of any length at any offset, with zeros inside and between."""
    require("qemu-img")
    require("simg2img")
    chance = random.Random(seed)
    size = 1024 * chance.randrange(1, 400)
    folder = tmp_path_factory.mktemp("disk")
    path, expected, position = folder / "disk", bytearray(size), 0
    name, _, packed = kind.partition("-")
    facts = DiskFacts(bytes(16), 0, (), bool(packed))
    with open_disk(name, bytes(path), size, facts, sync=False) as sink:
        while position < size:
            position += chance.choice([0, 1, 4096, chance.randrange(200_000)])
            length = min(chance.choice([1, 4096, chance.randrange(1, 100_000)]), size - position)
            if length <= 0:
                break
            piece = chance.choice([b"\0", b"\1\0\0\0", b"abcdefg", chance.randbytes(50)]) * length
            sink.write_at(position, piece[:length])
            expected[position : position + length] = piece[:length]
            position += length
        sink.finish()
    back = folder / "back"
    if name == "simg":
        run(["simg2img", path, back])
    else:
        driver = "vpc" if name == "vhd" else name
        run(["qemu-img", "convert", "-f", driver, "-O", "raw", path, back])
    assert back.read_bytes() == expected
    shutil.rmtree(folder)


def test_disks_that_cannot_be_written_are_refused(layout: Layout, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        ext4writer.write_layout(layout, tmp_path / "disk.vmdk")
    with pytest.raises(OutputError, match="new file"):
        ext4writer.write_layout(layout, io.BytesIO(), format="qcow2")
    with pytest.raises(OutputError, match="inside another"):
        ext4writer.write_layout(layout, tmp_path / "disk", format="vhd", offset=512)
    with pytest.raises(SpecError, match="none of raw"):
        ext4writer.write_layout(layout, tmp_path / "disk", format="vdi")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "kind,most", [("vhd", 2040 << 30), ("simg", (1 << 44) - 4096), ("qcow2", 1 << 51)]
)
def test_disks_that_are_too_large_for_their_format(tmp_path: Path, kind: str, most: int) -> None:
    path, facts = bytes(tmp_path / "disk"), DiskFacts(bytes(16), 0, ())
    open_disk(kind, path, most, facts, sync=False).abort()
    with pytest.raises(OutputError, match=f"holds at most {most} bytes"):
        open_disk(kind, path, most + 4096, facts, sync=False)
    assert not list(tmp_path.iterdir())


# -- hashes ----------------------------------------------------------------------------------------
