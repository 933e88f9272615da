"""Disks of qemu-img are read; damaged ones and those that need other files are refused."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import ext4writer
from ext4writer import Ext4WriterError, ImageError, Spec, Tree
from ext4writer.inspection.check import check_image
from ext4writer.read import open_image
from tests.builder.command import run as run_command
from tests.judges.tools import require, run

MIB = 1 << 20
NOISE = random.Random(3).randbytes(3 * MIB)
NOTES = b"the same line again\n" * 50_000

pytestmark = pytest.mark.judged("quick")


@pytest.fixture(scope="module", name="raw")
def _raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = Tree()
    tree.file("/noise", NOISE)
    tree.file("/notes", NOTES)
    path = tmp_path_factory.mktemp("raw") / "image"
    ext4writer.write_image(tree, path, Spec(size="80M", journal="none"))
    return path


def converted(raw: Path, path: Path, *options: str) -> Path:
    require("qemu-img")
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, raw, path])
    return path


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-c",),
        ("-o", "cluster_size=512"),
        ("-o", "cluster_size=2M"),
        ("-c", "-o", "cluster_size=4k"),
        ("-o", "compat=0.10"),
        ("-o", "preallocation=metadata"),
    ],
    ids=" ".join,
)
def test_disks_of_qemu(raw: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    data = raw.read_bytes()
    with open_image(converted(raw, tmp_path / "disk", *options)) as image:
        assert image.open("/noise").read() == NOISE
        assert image.open("/notes").read() == NOTES
        assert check_image(image, data=True).is_clean
        store = image.store
        assert store.size == len(data) and store.read(0, len(data)) == data
        chance = random.Random(1)
        for _ in range(50):
            start = chance.randrange(len(data))
            count = chance.randrange(min(200_000, len(data) - start))
            assert store.read(start, count) == data[start : start + count]
        position = 0
        for low, high in (*store.stored(0, len(data)), (len(data), len(data))):
            assert not data[position:low].strip(b"\0")
            position = high


def test_every_command_reads_them(raw: Path, tmp_path: Path) -> None:
    disk = converted(raw, tmp_path / "a.qcow2", "-c")
    assert run_command("cat", disk, "/notes").stdout == NOTES.decode()
    assert run_command("check", disk).returncode == 0
    assert run_command("build", disk, "-o", tmp_path / "again").returncode == 0
    with open_image(tmp_path / "again") as image:
        assert image.open("/noise").read() == NOISE


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("-o", "compression_type=zstd"), "incompatible features 0x8"),
        (("-o", "extended_l2=on"), "incompatible features 0x10"),
    ],
)
def test_unsupported_disks_are_refused(
    raw: Path, tmp_path: Path, options: tuple[str, ...], problem: str
) -> None:
    with pytest.raises(ImageError, match=problem):
        open_image(converted(raw, tmp_path / "disk", *options))


def test_no_other_file_is_opened(raw: Path, tmp_path: Path) -> None:
    require("qemu-img")
    disk = tmp_path / "disk"
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", raw, "-F", "raw", disk])
    with pytest.raises(ImageError, match="a backing file, which is not followed"):
        open_image(disk)


@pytest.mark.parametrize("options", [(), ("-c",)], ids=["plain", "compressed"])
def test_damage_is_an_error_of_ours(raw: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    """Whatever its tables contain, reading ends, and nothing outside the file is read."""
    whole = converted(raw, tmp_path / "disk", *options).read_bytes()
    chance = random.Random(8)
    for _ in range(150):
        data = bytearray(whole[: chance.choice([len(whole), chance.randrange(len(whole))])])
        for _ in range(chance.randrange(1, 5)):
            # The header, and the tables, which begin in the fourth cluster.
            at = chance.choice([chance.randrange(4, 112), chance.randrange(3 << 16, 5 << 16)])
            if at < len(data):
                data[at] = chance.randrange(256)
        try:
            with open_image(bytes(data)) as image:
                check_image(image)
                image.open("/notes").read()
        except Ext4WriterError:
            pass
