"""A journal is applied while reading, as the kernel and e2fsck replay it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ext4writer import DamageError, ImageError, NotFoundError, Spec, sources
from ext4writer.inspection.check import check_image
from ext4writer.inspection.show import explain
from ext4writer.ondisk.crc32 import crc32_be
from ext4writer.ondisk.fast_commit import TAGS
from ext4writer.ondisk.units import UnitKind
from ext4writer.read import open_image
from ext4writer.read.fast_commits import tags
from ext4writer.read.journal import Journal
from tests.builder.command import run as command
from tests.judges.compare import assert_tree_equal
from tests.judges.kernel import mounted
from tests.judges.tools import require, run
from tests.judges.watch import Watch

from .test_foreign import compare

MAGIC = b"\xc0\x3b\x39\x98"

KINDS = {
    "csum v3": ("", "data=ordered"),
    "no checksums": ("-O ^metadata_csum", "data=ordered"),
    "32 bit": ("-O ^64bit,^metadata_csum -b 1024", "data=ordered"),
    "old checksum": ("-O ^metadata_csum", "journal_checksum"),
    "data journal": ("-b 1024", "data=journal"),
    "ext3": ("-t ext3 -b 1024", "data=journal"),
}


def crashed(path: Path, options: str, mount: str) -> Path:
    """An image as it is on a disk after a power failure that followed a commit."""
    base = [require("mke2fs"), "-q", "-F", *options.split(), "-J", "size=4"]
    if "-t" not in base:
        base += ["-t", "ext4"]
    live = path.with_suffix(".live")
    subprocess.run([*base, str(live), "24M"], check=True, capture_output=True)
    # Commits are rare, and none of the first ones is checkpointed before the copy.
    with mounted(live, rw=True, options=f"commit=300,{mount}", quiet=False) as point:
        for number in range(60):
            (point / f"d{number}").mkdir()
            (point / f"d{number}/f").write_bytes(b"%d" % number * 300)
        _commit(point)
        for number in range(0, 60, 2):
            shutil.rmtree(point / f"d{number}")
        _commit(point)
        for number in range(40):
            (point / f"file {number}").write_bytes(MAGIC + b"escaped %d" % number + MAGIC * 600)
            _commit(point / f"file {number}")
            (point / f"e{number}").mkdir()
        os.symlink("x" * 200, point / "link")
        _commit(point)
        (point / "never committed").write_bytes(b"lost")
        shutil.copyfile(live, path)
    live.unlink()
    return path


def _commit(point: Path) -> None:
    fd = os.open(point, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


@pytest.mark.root
@pytest.mark.parametrize("kind", KINDS)
def test_a_journal_is_read_through_as_the_kernel_replays_it(
    kind: str, tmp_path: Path, watch: Watch
) -> None:
    path, twin = tmp_path / "image", tmp_path / "twin"
    watch.damaged(path)
    watch.damaged(twin)
    crashed(path, *KINDS[kind])
    before = path.read_bytes()
    with open_image(path) as image:
        assert image.format.needs_recovery
        journal = Journal(image)
        transactions = journal.transactions()
        assert len(transactions) >= 2
        tags = [tag for each in transactions for tag, _ in each.blocks]
        if "data=journal" in KINDS[kind][1]:
            assert any(tag.flags & 1 for tag in tags)
        if KINDS[kind][1] == "data=ordered":
            assert any(each.revoked for each in transactions)
    shutil.copyfile(path, twin)
    run([require("e2fsck"), "-fy", str(twin)], check=False)
    with open_image(path, replay=True) as image, mounted(twin) as point:
        found = compare(image, point, times="data" in KINDS[kind][1])
        assert found > 100
        if "data" in KINDS[kind][1]:
            tree = sources.image(path, replay=True, keep_times=True)
            assert_tree_equal(tree, point, Spec())
    assert [loss.code for loss in sources.image(path).losses] == ["recovery-left-out"]
    assert path.read_bytes() == before
    told = json.loads(command("show", path, "journal", "--json").stdout)
    shown = [each["transaction"] for each in told if "transaction" in each]
    assert shown == [each.sequence for each in transactions]
    kinds = [each.get("kind") for each in told]
    assert kinds[0] == "journal_superblock" and "journal_descriptor" in kinds
    assert kinds.count("journal_commit") == len(transactions)
    assert "transaction" in command("show", path, "journal").stdout
    done = command("ls", path)
    assert "needs recovery" in done.stderr
    done = command("ls", path, "--replay")
    assert (done.returncode, done.stderr) == (0, "")
    assert "e39" in done.stdout


def fast_commits(path: Path) -> Path:
    """An image as on a disk after a power failure that followed fast commits of every kind."""
    live = path.with_suffix(".live")
    mke2fs = [require("mke2fs"), "-q", "-F", "-t", "ext4", "-b", "1024", "-O", "fast_commit"]
    run([*mke2fs, "-J", "size=8", str(live), "32M"])
    with mounted(live, rw=True, options="commit=300", quiet=False) as point:
        (point / "d").mkdir()
        for number in range(20):
            (point / f"d/f{number}").write_bytes(b"%d" % number * 3000)
        for name in ("gone", "grows", "cut"):
            (point / name).write_bytes(name.encode() * 5000)
        os.sync()
        _commit(point)
        (point / "new").write_bytes(b"new" * 5000)
        _commit(point / "new")
        with open(point / "grows", "ab") as file:
            file.write(b"more" * 5000)
        os.chmod(point / "grows", 0o640)
        _commit(point / "grows")
        os.link(point / "new", point / "d/link")
        _commit(point / "new")
        os.unlink(point / "gone")
        (point / "after").write_bytes(b"after")
        _commit(point / "after")
        os.truncate(point / "cut", 1234)
        _commit(point / "cut")
        with open(point / "sparse", "wb") as file:
            for number in range(12):
                file.seek(number * 9000)
                file.write(b"x" * 100)
        _commit(point / "sparse")
        os.rename(point / "d/f3", point / "renamed")
        _commit(point / "renamed")
        (point / "sub").mkdir()
        (point / "sub/file").write_bytes(b"in sub")
        _commit(point / "sub/file")
        (point / "never committed").write_bytes(b"lost")
        shutil.copyfile(live, path)
    live.unlink()
    return path


@pytest.mark.root
def test_fast_commits_are_read_through_as_the_kernel_replays_them(
    tmp_path: Path, watch: Watch
) -> None:
    path, twin = tmp_path / "image", tmp_path / "twin"
    watch.damaged(path)
    watch.damaged(twin)
    fast_commits(path)
    with open_image(path) as image:
        journal = Journal(image)
        found = tags(journal, journal.sequence_after(journal.transactions()))
        assert {tag.name for tag in found} >= set(TAGS.values()) - {"PAD"}
        last = found[-1].offset
    shutil.copyfile(path, twin)
    with mounted(twin, rw=True, quiet=False):
        pass  # for recovery
    with open_image(path, replay=True) as image, mounted(twin) as point:
        assert compare(image, point, times=False) > 30
        assert {found.path for found in image.walk()} > {b"/sub/file", b"/renamed", b"/d/link"}
        assert sum(1 for _ in image.unit_runs()) > 10
        result = check_image(image)
        assert result.is_clean
        known = {"FAST_COMMITS", "COUNTS_NOT_WRITTEN"}
        assert {problem.code for problem in result.problems} == known
    told = json.loads(command("show", path, "journal", "--json").stdout)
    assert [each["tag"] for each in told if "tag" in each] == [tag.name for tag in found]
    # An incomplete tag is ignored, and so is everything after it.
    with open(path, "r+b") as file:
        file.seek(last + 6)
        file.write(b"\xff")
    with open_image(path, replay=True) as image:
        assert image.lookup("/renamed").is_file
        with pytest.raises(NotFoundError):
            image.lookup("/sub")


@pytest.mark.root
def test_an_external_journal(tmp_path: Path, watch: Watch) -> None:
    """The kernel writes to the file system; e2fsck replays it, and a mount shows the result."""
    path, device = tmp_path / "image", tmp_path / "device"
    twin, twin_device = tmp_path / "twin", tmp_path / "twin-device"
    for each in (path, device, twin, twin_device):
        watch.damaged(each)
    loops: list[str] = []

    def attach(file: Path) -> str:
        loops.append(run(["losetup", "--find", "--show", str(file)]).stdout.strip())
        return loops[-1]

    live, live_device = tmp_path / "live", tmp_path / "live-device"
    try:
        mke2fs = [require("mke2fs"), "-q", "-F", "-b", "1024"]
        run([*mke2fs, "-O", "journal_dev", str(live_device), "8M"])
        outside = attach(live_device)
        run([*mke2fs, "-t", "ext4", "-J", f"device={outside}", str(live), "24M"])
        with mounted(live, rw=True, options="commit=300", quiet=False) as point:
            for number in range(50):
                (point / f"d{number}").mkdir()
                (point / f"d{number}/f").write_bytes(b"%d" % number * 300)
            _commit(point)
            for number in range(0, 50, 2):
                shutil.rmtree(point / f"d{number}")
            _commit(point)
            shutil.copyfile(live, path)
            shutil.copyfile(live_device, device)
        live.unlink()
        live_device.unlink()
        _assert_log_is_shown(path, device)
        shutil.copyfile(path, twin)
        shutil.copyfile(device, twin_device)
        outside = attach(twin_device)
        run([require("e2fsck"), "-fy", "-j", outside, str(twin)], check=False)
        # Without the journal's device it could not be mounted.
        run([require("tune2fs"), "-f", "-O", "^has_journal", str(twin)])
        with open_image(path, replay=True, journal=device) as image, mounted(twin) as point:
            assert compare(image, point) == 52
        with pytest.raises(ImageError, match="no journal inside"):
            open_image(path, replay=True)
        assert "d49" in command("ls", path, "--journal", device).stdout
        with pytest.raises(ImageError, match="is no external journal"):
            open_image(path, replay=True, journal=path)
    finally:
        for loop in loops:
            run(["losetup", "--detach", loop], check=False)
        for each in (live, live_device):
            each.unlink(missing_ok=True)


def _assert_log_is_shown(path: Path, device: Path) -> None:
    """The log of an external journal is shown as by debugfs, with its image and alone."""
    beside = command("show", path, "--journal", device, "journal", "--json")
    alone = command("show", device, "journal", "--json")
    assert (beside.returncode, alone.returncode) == (0, 0), (beside.stderr, alone.stderr)
    sections = json.loads(alone.stdout)
    assert json.loads(beside.stdout) == sections
    dumped = run([require("debugfs"), "-R", f"logdump -f {device}", str(path)]).stdout
    commits = re.findall(r"sequence (\d+), type 2 \(commit block\)", dumped)
    assert commits == [str(each["transaction"]) for each in sections if "transaction" in each]
    for sort, kind in ((1, "journal_descriptor"), (5, "journal_revoke")):
        blocks = re.findall(rf"type {sort} \([a-z ]+\) at block (\d+)", dumped)
        assert blocks == [str(each["number"]) for each in sections if each.get("kind") == kind]
        assert blocks
    with open_image(device) as opened:
        units = list(opened.units())
        for unit in units:
            rows = explain(opened, unit)
            assert sum(row.size for row in rows) == unit.size
    copied = next(unit for unit in units if unit.kind is UnitKind.JOURNAL_BLOCK)
    assert (
        f"journal_block of 0 number {copied.number}"
        in command("show", device, "block", str(copied.number)).stdout
    )
    shown = command("show", path, "journal")
    assert shown.returncode and "name it with --journal" in shown.stderr


def test_crc32_of_the_old_checksum() -> None:
    # It is CRC-32/MPEG-2 in the catalogue of CRCs.
    assert crc32_be(0xFFFFFFFF, b"123456789") == 0x0376E6E7


@pytest.mark.root
def test_an_old_checksum_ends_the_log(tmp_path: Path, watch: Watch) -> None:
    path = tmp_path / "image"
    watch.damaged(path)
    crashed(path, *KINDS["old checksum"])
    with open_image(path) as image:
        journal = Journal(image)
        assert journal.csum_v1
        whole = journal.transactions()
        place = journal.place(whole[1].blocks[0][1]) * image.block_size
    with open(path, "r+b") as file:
        file.seek(place + 50)
        file.write(b"\xff\xfe\xfd")
    with open_image(path) as image:
        assert len(Journal(image).transactions()) == 1 < len(whole)


@pytest.mark.root
def test_a_block_that_fails_its_checksum_is_named(tmp_path: Path, watch: Watch) -> None:
    path = tmp_path / "image"
    watch.damaged(path)
    crashed(path, *KINDS["csum v3"])
    with open_image(path) as image:
        journal = Journal(image)
        tag, position = journal.transactions()[0].blocks[0]
        offset = journal.place(position) * image.block_size
    with open(path, "r+b") as file:
        file.seek(offset + 100)
        file.write(b"\xff\xfe\xfd")
    with pytest.raises(DamageError, match="journal_block_tag.t_checksum") as caught:
        open_image(path, replay=True)
    assert caught.value.offset == offset
    assert str(tag.block) in caught.value.problem
