"""An image on a block device is complete, changes nothing else, and a failure leaves none."""

from __future__ import annotations

import io
import os
import random
import struct
import subprocess
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ext4writer import (
    Ext4WriterError,
    OutputError,
    Spec,
    SpecError,
    Tree,
    plan,
    write_image,
    write_layout,
)
from ext4writer.output import zeros
from ext4writer.output.disk_facts import FreeBlocks, OldBytes
from ext4writer.output.opening import open_sink
from ext4writer.spans import Span
from tests.judges import fsck
from tests.judges.devices import contents, loop_device, signatures
from tests.judges.kernel import mounted
from tests.judges.tools import require, require_loop_mount, run

pytestmark = pytest.mark.root

MIB = 1 << 20
SECTORS = [512, 4096]


def some_files() -> Tree:
    tree = Tree()
    for number in range(30):
        tree.file(f"file-{number}", random.Random(number).randbytes(10_000 * number))
    return tree


def image_of(tree: Tree, spec: Spec) -> bytes:
    image = bytearray()
    write_image(tree, image, spec)
    return bytes(image)


def old_bytes(size: int) -> bytes:
    return random.Random(size).randbytes(1 << 16) * (size >> 16) + bytes([255]) * (size & 0xFFFF)


@pytest.fixture(params=SECTORS)
def device(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A device of 40 MiB filled with old bytes."""
    (tmp_path / "disk").write_bytes(old_bytes(40 * MIB))
    with loop_device(tmp_path / "disk", sector_size=request.param) as made:
        yield made


@pytest.mark.parametrize("workers", [1, 3])
def test_the_image_is_written_and_the_rest_is_unchanged(device: Path, workers: int) -> None:
    spec = Spec(size=24 * MIB)
    write_image(some_files(), device, spec, workers=workers)
    found = contents(device)
    assert found[: 24 * MIB] == image_of(some_files(), spec)
    assert found[24 * MIB :] == old_bytes(40 * MIB)[24 * MIB :]
    fsck.assert_clean(device)
    require_loop_mount()
    with mounted(device) as point:
        assert (point / "file-9").read_bytes() == random.Random(9).randbytes(90_000)


def test_an_open_device_is_written_from_its_position_on(device: Path) -> None:
    spec = Spec(size=10 * MIB)
    with open(device, "r+b") as file:
        file.seek(4 * MIB)
        write_image(some_files(), file, spec)
        assert file.tell() == 14 * MIB
        with pytest.raises(OutputError, match="sectors"):
            write_image(some_files(), file, spec, offset=4 * MIB + 100)
    found, before = contents(device), old_bytes(40 * MIB)
    assert found[4 * MIB : 14 * MIB] == image_of(some_files(), spec)
    assert found[: 4 * MIB] == before[: 4 * MIB]
    assert found[14 * MIB :] == before[14 * MIB :]


@pytest.mark.parametrize("sector_size", SECTORS)
def test_holes_take_no_space_in_the_file_of_a_device(tmp_path: Path, sector_size: int) -> None:
    (tmp_path / "disk").write_bytes(old_bytes(64 * MIB))
    with loop_device(tmp_path / "disk", sector_size=sector_size) as device:
        write_image(some_files(), device, Spec(size=64 * MIB))
        run(["sync", device])
        assert (tmp_path / "disk").stat().st_blocks * 512 < 12 * MIB
        assert contents(device) == image_of(some_files(), Spec(size=64 * MIB))


@pytest.mark.parametrize("refused", ["punching", "any call"])
def test_a_device_that_cannot_discard(
    device: Path, refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zeros, "_fallocate", lambda: lambda *_: False)
    if refused == "any call":
        monkeypatch.setattr(zeros, "fcntl", None)
    write_image(some_files(), device, Spec(size=16 * MIB))
    assert contents(device)[: 16 * MIB] == image_of(some_files(), Spec(size=16 * MIB))


def spans_of(size: int, spans: Iterable[tuple[int, int]]) -> set[int]:
    """The 4 KiB blocks that lie entirely in ``spans``."""
    return {
        block for start, end in spans for block in range(-(-start // 4096), min(end, size) // 4096)
    }


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("refused", ["", "punching", "any call"])
def test_free_blocks_that_are_kept(
    lazy: bool, refused: str, device: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old bytes stay in free blocks and unused inodes, except at both ends; the rest is written."""
    if refused:
        monkeypatch.setattr(zeros, "_fallocate", lambda: lambda *_: False)
    if refused == "any call":
        monkeypatch.setattr(zeros, "fcntl", None)
    spec = Spec(size=36 * MIB, lazy_itable_init=lazy, inodes=30_000, inode_size=512)
    layout = plan(some_files(), spec)
    write_layout(layout, device, offset=MIB, free_blocks="keep")
    found, before, image = contents(device), old_bytes(40 * MIB), image_of(some_files(), spec)
    assert found[:MIB] == before[:MIB] and found[37 * MIB :] == before[37 * MIB :]
    free = spans_of(36 * MIB, layout.unused)
    ends = {*range(8 * MIB // 4096), *range(34 * MIB // 4096, 36 * MIB // 4096)}
    kept = set()
    for block in range(36 * MIB // 4096):
        at = block * 4096
        if found[MIB + at : MIB + at + 4096] != image[at : at + 4096]:
            assert found[MIB + at : MIB + at + 4096] == before[MIB + at : MIB + at + 4096]
            kept.add(block)
    assert free - ends <= kept and not kept & ends
    # The 15 MiB of inode tables begin in the first MiB and extend beyond it.
    assert bool(kept - free) == lazy
    part = tmp_path / "part"
    part.write_bytes(found[MIB : 37 * MIB])
    fsck.assert_clean(part)
    require_loop_mount()
    with mounted(part) as point:
        assert (point / "file-9").read_bytes() == random.Random(9).randbytes(90_000)


@pytest.mark.parametrize("as_file", [False, True])
def test_free_blocks_that_are_discarded(as_file: bool, tmp_path: Path) -> None:
    """A loop device turns discarded blocks into holes."""
    (tmp_path / "disk").write_bytes(old_bytes(64 * MIB))
    with loop_device(tmp_path / "disk") as device:
        if as_file:
            with open(device, "r+b") as file:
                write_image(some_files(), file, Spec(size=48 * MIB), free_blocks="discard")
        else:
            write_image(some_files(), device, Spec(size=48 * MIB), free_blocks="discard")
        run(["sync", device])
        assert (tmp_path / "disk").stat().st_blocks * 512 < 28 * MIB
        found = contents(device)
        assert found[: 48 * MIB] == image_of(some_files(), Spec(size=48 * MIB))
        assert found[48 * MIB :] == old_bytes(64 * MIB)[48 * MIB :]


def test_a_device_that_is_promised_to_be_zeros(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disk").touch()
    os.truncate(tmp_path / "disk", 128 * MIB)
    zeroed: list[int] = []
    original = zeros.zero_device

    def counted(fd: int, start: int, length: int, sector_size: int) -> None:
        zeroed.append(length)
        original(fd, start, length, sector_size)

    monkeypatch.setattr("ext4writer.output.region.zero_device", counted)
    spec = Spec(size=128 * MIB)
    with loop_device(tmp_path / "disk") as device:
        write_image(some_files(), device, spec, free_blocks="prezeroed")
        assert sum(zeroed) <= 10 * MIB, "both ends"
        assert contents(device) == image_of(some_files(), spec)
        fsck.assert_clean(device)


def test_discards_go_in_steps_to_the_region_alone(
    device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wiped ranges, which could be read again, are not discarded. A refusal ends discarding."""
    asked: list[tuple[int, int]] = []
    ioctl = zeros.fcntl.ioctl

    def noted(fd: int, request: int, argument: Any) -> Any:
        if request == zeros.BLKDISCARD:
            asked.append(struct.unpack("=QQ", argument))
            if len(asked) == 3:
                raise OSError(95, "Operation not supported")
        return ioctl(fd, request, argument)

    monkeypatch.setattr(zeros.fcntl, "ioctl", noted)
    monkeypatch.setattr(zeros, "DISCARDED_BYTES", 5 * MIB)
    write_image(some_files(), device, Spec(size=24 * MIB), offset=4 * MIB, free_blocks="discard")
    assert asked == [(start * MIB, 5 * MIB) for start in (5, 10, 15)]
    fsck_part = contents(device)[4 * MIB : 28 * MIB]
    fsck.judge_bytes(fsck_part)


@pytest.mark.parametrize(
    ("at", "signature", "kind"),
    [
        (2 * MIB, b"\x5e\xf1\xab\x2f", "VMFS"),
        (4 * MIB, b"SKUL\xba\xbe\x00\x01", "crypto_LUKS"),
        (-3087 * 512, b"Promise Technology, Inc.", "promise_fasttrack_raid_member"),
        (-63 * 512, b"Promise Technology, Inc.", "promise_fasttrack_raid_member"),
    ],
)
def test_signatures_in_free_blocks(at: int, signature: bytes, kind: str, device: Path) -> None:
    with open(device, "r+b") as file:
        file.seek(at, os.SEEK_END if at < 0 else os.SEEK_SET)
        file.write(signature)
    assert signatures(device) == [kind]
    write_image(Tree(), device, Spec(size=40 * MIB, journal="none"), free_blocks="keep")
    assert signatures(device) == ["ext4"]


def test_outputs_whose_free_blocks_are_zeros(device: Path, tmp_path: Path) -> None:
    """Files, parts of files, memory, streams and digests are refused before any write."""
    (tmp_path / "file").write_bytes(b"\xaa" * (8 * MIB))
    layout = plan(Tree(), Spec(size=4 * MIB))
    memory = bytearray(b"old")
    with open(tmp_path / "file", "r+b") as file:
        outputs: list[Any] = [tmp_path / "new.img", tmp_path / "file", file, memory, io.BytesIO()]
        for output in outputs:
            for offset in (None, 0):
                with pytest.raises(OutputError, match="is not a block device"):
                    write_layout(layout, output, offset=offset, free_blocks="keep")
    with open(device, "ab") as file, pytest.raises(OutputError, match="is not a block device"):
        write_layout(layout, file, free_blocks="keep")
    with pytest.raises(OutputError, match="is not a block device"):
        write_layout(layout, device, free_blocks="keep", format="qcow2")
    with pytest.raises(SpecError, match="free_blocks"):
        write_layout(layout, device, free_blocks="keep", watch=len)
    with pytest.raises(SpecError, match="'none' is none of zero, keep, discard, prezeroed"):
        write_layout(layout, device, free_blocks="none")  # type: ignore[arg-type]
    assert contents(device) == old_bytes(40 * MIB)
    assert memory == b"old" and set((tmp_path / "file").read_bytes()) == {0xAA}
    assert [path.name for path in tmp_path.glob("*img*")] == []


def test_old_bytes_between_any_pieces(device: Path) -> None:
    """A sink alone, with written and kept ranges that begin and end anywhere."""
    generator, size = random.Random(5), 14 * MIB
    before, expected = old_bytes(40 * MIB), bytearray(14 * MIB)
    bounds = sorted(generator.sample(range(6 * MIB, size), 80))
    kept = [Span(*pair) for pair in zip(bounds[::2], bounds[1::2], strict=True)]
    sink = open_sink(device, size, old=OldBytes(kept, False))
    for start, end in kept:
        start, end = max(start, 8 * MIB), min(end, 12 * MIB)
        if start < end:
            expected[start:end] = before[start:end]
    for _ in range(80):
        at, count = generator.randrange(0, size - 90_000), generator.randrange(1, 90_000)
        expected[at : at + count] = data = generator.randbytes(count)
        sink.write_at(at, data)
    sink.finish()
    assert contents(device)[:size] == expected


def test_one_call_for_each_range_of_zeros(device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []
    original = zeros.zero_device

    def counted(fd: int, start: int, length: int, sector_size: int) -> None:
        calls.append((start, start + length))
        original(fd, start, length, sector_size)

    monkeypatch.setattr("ext4writer.output.region.zero_device", counted)
    write_image(Tree(), device, Spec(size=32 * MIB))
    assert len(calls) < 20
    assert all(end < start for (_, end), (start, _) in pairwise(calls)), (
        "adjacent ranges are one call"
    )
    assert contents(device)[: 32 * MIB] == image_of(Tree(), Spec(size=32 * MIB))


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (["mke2fs", "-q", "-F"], "ext2"),
        (["mkfs.xfs", "-q", "-f"], "xfs"),
        (["mkfs.btrfs", "-q", "-f"], "btrfs"),
        (["mkswap", "-q"], "swap"),
        (["sh", "-c", 'printf "label: gpt\\n,,L" | sfdisk -q "$0"'], "gpt"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("free_blocks", ["zero", "keep"])
def test_signatures_of_an_older_file_system_are_erased(
    make: list[str], kind: str, free_blocks: FreeBlocks, tmp_path: Path
) -> None:
    require(make[0])
    (tmp_path / "disk").touch()
    os.truncate(tmp_path / "disk", 320 * MIB)
    with loop_device(tmp_path / "disk") as device:
        run([*make, device])
        assert kind in signatures(device)
        write_image(some_files(), device, Spec(size=320 * MIB), free_blocks=free_blocks)
        assert signatures(device) == ["ext4"]
        run([*make, device])
        with pytest.raises(Ext4WriterError):
            write_image(broken(), device, Spec(size=320 * MIB), free_blocks=free_blocks)
        assert "ext4" not in signatures(device)
        assert not {"ext2", "xfs", "btrfs", "swap"} & set(signatures(device))


def broken(*, last: bool = True) -> Tree:
    """A tree with an unreadable file, as the last or the first one."""

    def fail() -> Any:
        raise OSError(5, "Input/output error")

    tree = some_files()
    # It is so small that planning does not search it for holes.
    tree.file("zzz" if last else "aaa", fail, size=5000)
    return tree


@pytest.mark.parametrize("last", [False, True])
def test_after_a_failure_there_is_no_file_system(device: Path, last: bool) -> None:
    write_image(some_files(), device, Spec(size=24 * MIB))
    assert signatures(device) == ["ext4"]
    with pytest.raises(Ext4WriterError):
        write_image(broken(last=last), device, Spec(size=30 * MIB))
    assert signatures(device) == []
    assert contents(device)[30 * MIB :] == old_bytes(40 * MIB)[30 * MIB :]


def test_a_flush_that_fails_is_an_error(tmp_path: Path) -> None:
    """A loop device over a full file system: only fsync reports the error."""
    require_loop_mount()
    (tmp_path / "small").mkdir()
    run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", tmp_path / "small"])
    try:
        (tmp_path / "small/disk").touch()
        os.truncate(tmp_path / "small/disk", 64 * MIB)
        tree = Tree()
        tree.file("data", random.Random(1).randbytes(20 * MIB))
        with loop_device(tmp_path / "small/disk") as device:
            with pytest.raises(OutputError, match="Input/output error|No space"):
                write_image(tree, device, Spec(size=48 * MIB))
            assert signatures(device) == []
    finally:
        # The loop device is released slightly later.
        subprocess.run(["umount", "--lazy", tmp_path / "small"], check=True)


def test_the_superblock_comes_last(device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Record the order of writes and flushes."""
    said: list[str] = []
    pwrite, fsync = os.pwrite, os.fsync

    def note_write(fd: int, data: Any, offset: int) -> int:
        is_superblock = offset == 0 and bytes(memoryview(data)[1080:1082]) == b"\x53\xef"
        said.append("superblock" if is_superblock else "other")
        return pwrite(fd, data, offset)

    def note_flush(fd: int) -> None:
        said.append("flush")
        fsync(fd)

    monkeypatch.setattr(os, "pwrite", note_write)
    monkeypatch.setattr(os, "fsync", note_flush)
    write_image(some_files(), device, Spec(size=16 * MIB))
    assert said[:2] == ["other", "flush"]
    assert said[-3:] == ["flush", "superblock", "flush"]
    assert said.count("superblock") == 1


def test_blocks_smaller_than_sectors_are_refused(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(old_bytes(16 * MIB))
    with loop_device(tmp_path / "disk", sector_size=4096) as device:
        for block_size in (1024, 2048):
            with pytest.raises(OutputError, match=f"sectors of 4096 .*not {block_size}"):
                write_image(Tree(), device, Spec(size=8 * MIB, block_size=block_size))
        with pytest.raises(OutputError, match="the offset 512 is not a multiple"):
            write_image(Tree(), device, Spec(size=8 * MIB), offset=512)
        assert contents(device) == old_bytes(16 * MIB)
    with loop_device(tmp_path / "disk", sector_size=512) as device:
        write_image(Tree(), device, Spec(size=8 * MIB, block_size=1024), offset=512)
        assert contents(device)[512 : 512 + 8 * MIB] == image_of(
            Tree(), Spec(size=8 * MIB, block_size=1024)
        )


def test_devices_that_are_refused(tmp_path: Path) -> None:
    """They are too small, read-only, mounted, or part of another device."""
    (tmp_path / "disk").write_bytes(old_bytes(16 * MIB))
    with loop_device(tmp_path / "disk") as device:
        with pytest.raises(OutputError, match=f"has {16 * MIB} bytes; the image needs {17 * MIB}"):
            write_image(Tree(), device, Spec(size=17 * MIB))
        with pytest.raises(OutputError, match=f"has {12 * MIB} bytes after offset {4 * MIB}"):
            write_image(Tree(), device, Spec(size=13 * MIB), offset=4 * MIB)
        assert contents(device) == old_bytes(16 * MIB)
        write_image(Tree(), device, Spec(size=16 * MIB))
        require_loop_mount()
        (tmp_path / "point").mkdir()
        run(["mount", device, tmp_path / "point"])
        try:
            for output in (device, open(device, "r+b")):  # noqa: SIM115
                with pytest.raises(OutputError, match="is in use, perhaps mounted"):
                    write_image(some_files(), output, Spec(size=16 * MIB))
                if not isinstance(output, Path):
                    output.close()
        finally:
            run(["umount", tmp_path / "point"])
    fsck.assert_clean(tmp_path / "disk")
    before = (tmp_path / "disk").read_bytes()
    with (
        loop_device(tmp_path / "disk", "--read-only") as device,
        pytest.raises(OutputError, match="is a read-only device"),
    ):
        write_image(Tree(), device, Spec(size=8 * MIB))
    assert (tmp_path / "disk").read_bytes() == before


@pytest.mark.parametrize(
    "path", ["/dev/sdz99", "/dev/disk/by-label/none", "/dev/../dev/sdz99", "/dev/mapper/none"]
)
def test_a_missing_device_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"does not exist as a device|folder does not exist"):
        write_image(Tree(), path)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(OutputError, match="is a link to /dev/"):
        write_image(Tree(), tmp_path / "link")
    (tmp_path / "folder").symlink_to("/dev")
    with pytest.raises(OutputError, match="does not exist as a device"):
        write_image(Tree(), tmp_path / "folder/sdz99")
    assert not os.path.lexists("/dev/sdz99")


def test_shared_memory_is_a_place_for_files() -> None:
    if os.stat("/dev/shm").st_dev == os.stat("/dev").st_dev:
        pytest.skip("/dev/shm is not a separate file system")
    path = Path(f"/dev/shm/ext4writer-test-{os.getpid()}.img")
    try:
        write_image(Tree(), path, Spec(free=0))
        fsck.assert_clean(path)
    finally:
        path.unlink(missing_ok=True)


def test_a_link_to_a_device_is_followed(device: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(device)
    write_image(some_files(), tmp_path / "link", Spec(size=16 * MIB))
    assert (tmp_path / "link").is_symlink()
    assert signatures(device) == ["ext4"]


@pytest.mark.parametrize("sector_size", SECTORS)
def test_any_offset_and_any_old_bytes(sector_size: int, tmp_path: Path) -> None:
    """Nothing outside the region changes, and the region equals a file."""
    size = 6 * MIB
    (tmp_path / "disk").touch()
    os.truncate(tmp_path / "disk", size)
    layout = plan(some_small_files(), Spec(free=0, free_inodes=0))
    image = bytearray()
    write_layout(layout, image)
    with loop_device(tmp_path / "disk", sector_size=sector_size) as device:

        @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(
            sectors=st.integers(0, (size - len(image)) // sector_size + 3),
            seed=st.integers(0, 255),
            as_file=st.booleans(),
        )
        def check(sectors: int, seed: int, as_file: bool) -> None:
            before = random.Random(seed).randbytes(4096) * (size // 4096)
            device.write_bytes(before)
            offset = sectors * sector_size
            fits = offset + len(image) <= size
            try:
                if as_file:
                    with open(device, "r+b") as file:
                        file.seek(offset)
                        write_layout(layout, file)
                else:
                    write_layout(layout, device, offset=offset)
            except OutputError:
                assert not fits
            else:
                assert fits
                before = before[:offset] + image + before[offset + len(image) :]
            assert contents(device) == before

        check()


def some_small_files() -> Tree:
    tree = Tree()
    tree.file("small", b"small")
    tree.file("sparse", b"x" * 5000 + bytes(200_000) + b"y" * 300_000)
    return tree


def test_writes_at_any_place_leave_zeros_between(device: Path) -> None:
    """A sink alone, with pieces that end anywhere."""
    sink = open_sink(device, 4 * MIB)
    expected = bytearray(4 * MIB)
    generator = random.Random(4)
    for _ in range(40):
        at, count = generator.randrange(0, 4 * MIB - 9000), generator.randrange(1, 9000)
        expected[at : at + count] = data = generator.randbytes(count)
        sink.write_at(at, data)
    sink.finish()
    sink.abort()
    assert contents(device)[: 4 * MIB] == expected
