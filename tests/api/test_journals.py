"""External journals, and journal features that are set before the first mount."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import ext4writer
from ext4writer import DamageError, ImageError, OutputError, Spec, SpecError, Tree
from ext4writer.inspection.check import check_image
from ext4writer.inspection.show import explain, superblock_units
from ext4writer.ondisk.journal import JOURNAL_SUPERBLOCK
from ext4writer.ondisk.superblock import SUPERBLOCK
from ext4writer.read import open_image
from tests.builder.command import run as command
from tests.judges import debugfs, raw
from tests.judges.compare import assert_tree_equal
from tests.judges.fsck import judge
from tests.judges.kernel import mounted
from tests.judges.tools import require_root, run

pytestmark = pytest.mark.judged("quick")

MIB = 1 << 20


def sample() -> Tree:
    noise = random.Random(5).randbytes
    tree = Tree()
    for number in range(40):
        tree.file(f"d/{number}", noise(number * 3000), parents=True)
    return tree


def judge_with_journal(image: Path, journal: Path) -> None:
    """Run e2fsck and our own check on both."""
    assert raw.journal_beside(image) == journal
    judge(image, "quick")
    with open_image(image) as opened, open_image(journal) as device:
        assert check_image(opened, journal=device).is_clean


DEVICES: dict[str, dict[str, Any]] = {
    "usual": {},
    "1 KiB": {"block_size": 1024, "journal": 3 * MIB, "free": 4 * MIB},
    "tiny": {"free": 0, "features": "orphan_file,fast_commit"},
    "ext3": {"type": "ext3", "journal_features": "checksum"},
    "checksums": {"journal_features": "64bit,checksum_v3", "size": 32 * MIB},
    "a whole disk": {"journal": 60 << 30},
}


@pytest.mark.parametrize("name", DEVICES)
def test_an_image_with_an_external_journal(tmp_path: Path, name: str) -> None:
    image, journal = tmp_path / "image", tmp_path / "journal"
    spec = Spec(journal_device=True, journal_dev="8:17", **DEVICES[name])
    layout = ext4writer.write_image(sample(), image, spec, journal=journal)
    assert journal.stat().st_size == layout.journal_bytes >= 1024 * spec.block_size
    assert not layout.space["journal"] and not layout.losses
    if isinstance(spec.journal, int):
        assert layout.journal_bytes == spec.journal
    judge_with_journal(image, journal)
    told = debugfs.superblock(image)
    assert UUID(told["Journal UUID"]) == layout.journal_uuid
    assert told["Journal device"] == "0x0811"
    of_journal = debugfs.superblock(journal)
    assert UUID(of_journal["Filesystem UUID"]) == layout.journal_uuid != layout.uuid
    assert of_journal["Journal users"] == str(layout.uuid)
    assert int(of_journal["Total journal blocks"]) == layout.journal_bytes // spec.block_size
    with open_image(journal) as opened:
        units = list(superblock_units(opened))
        assert all(explain(opened, unit) for unit in units) and len(units) == 2
    done = command("info", str(journal))
    assert done.returncode == 0 and "external journal" in done.stdout


def test_a_wrong_device_is_found(tmp_path: Path) -> None:
    """This tries each wrong byte of the journal's superblock, another journal, and none."""
    image, journal = tmp_path / "image", tmp_path / "journal"
    spec = Spec(journal_device=True, journal_features="checksum_v3")
    ext4writer.write_image(Tree(), image, spec, journal=journal)
    good = journal.read_bytes()

    def found() -> str:
        try:
            with open_image(image) as opened, open_image(journal) as device:
                return " ".join(each.line for each in check_image(opened, journal=device).problems)
        except DamageError as error:
            return str(error)

    for place, byte, code in (
        (4096 + 0x43, 0, "PR_0_JOURNAL_UNSUPP_MULTIFS"),
        (4096 + 0x43, 2, "PR_0_JOURNAL_UNSUPP_MULTIFS"),
        (4096 + 0x12, 9, "s_maxlen"),
        (4096 + 0xFF, good[4096 + 0xFF] ^ 1, "s_checksum"),
        (4096 + 0x1F, 3, "PR_0_JOURNAL_RECOVER_SET"),
        (1024 + 0x68, good[1024 + 0x68] ^ 1, "PR_0_JOURNAL_BAD_UUID"),
        (1024 + 0x60, 0, "s_inodes_per_group"),
    ):
        journal.write_bytes(good[:place] + bytes([byte]) + good[place + 1 :])
        assert code in found(), hex(place)
    journal.write_bytes(good)
    assert found() == ""
    done = command("check", str(image), "-j", str(image))
    assert done.returncode == 4 and "PR_0_EXT_JOURNAL_BAD_SUPER" in done.stdout
    ext4writer.write_image(Tree(), tmp_path / "inside")
    with (
        open_image(tmp_path / "inside") as opened,
        open_image(journal) as device,
        pytest.raises(ImageError, match="contains its journal"),
    ):
        check_image(opened, journal=device)


def test_image_and_journal_equal_those_of_mke2fs(tmp_path: Path) -> None:
    """The bytes are equal, except times, the hash seed and what depends on the device."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    layout = ext4writer.plan(Tree(), Spec(journal_device=True, journal=8 * MIB))
    assert layout.journal_uuid is not None
    ext4writer.write_journal(layout, ours)
    uuid = str(layout.journal_uuid)
    run(["mke2fs", "-q", "-O", "journal_dev", "-b", "4096", "-U", uuid, theirs, "8M"])
    data = [path.read_bytes() for path in (ours, theirs)]
    first, second = (SUPERBLOCK.parse(each, 1024) for each in data)
    differing = {name for name in first if first[name] != second[name]}
    assert differing <= {"s_wtime", "s_mkfs_time", "s_lastcheck", "s_hash_seed"}
    first, second = (JOURNAL_SUPERBLOCK.parse(each, 4096) for each in data)
    assert {name for name in first if first[name] != second[name]} == {"s_nr_users", "s_users"}
    assert data[0][8192:] == data[1][8192:]


@contextmanager
def loop(path: Path) -> Iterator[str]:
    device = run(["losetup", "--find", "--show", path]).stdout.strip()
    try:
        yield device
    finally:
        run(["losetup", "--detach", device])


@pytest.mark.parametrize(
    "options",
    [{}, {"block_size": 1024, "features": "fast_commit,orphan_file,^metadata_csum"}],
    ids=["usual", "1 KiB, fast commits"],
)
def test_the_kernel_writes_to_both(tmp_path: Path, options: dict[str, Any]) -> None:
    require_root()
    image, journal = tmp_path / "image", tmp_path / "journal"
    spec = Spec(journal_device=True, free=20 * MIB, **options)
    ext4writer.write_image(sample(), image, spec, journal=journal)
    before = journal.read_bytes()
    with (
        loop(journal) as device,
        mounted(image, rw=True, options=f"journal_path={device}", quiet=False) as point,
    ):
        assert_tree_equal(sample(), point, spec)
        for number in range(200):
            (point / f"new-{number}").write_bytes(b"n" * number * 100)
        (point / "d" / "7").unlink()
    assert journal.read_bytes() != before
    judge_with_journal(image, journal)


FEATURES = {
    "64bit": {"journal_features": "journal_64bit"},
    "v1": {"journal_features": "journal_checksum", "features": "^metadata_csum,uninit_bg"},
    "v2": {"journal_features": ["journal_checksum_v2", "journal_64bit"]},
    "v3, async": {"journal_features": "checksum_v3,async_commit,incompat_revoke"},
    "ext3, v3": {"journal_features": "checksum_v3", "type": "ext3"},
}


@pytest.mark.parametrize("name", FEATURES)
def test_features_before_the_first_mount(tmp_path: Path, name: str) -> None:
    image = tmp_path / "image"
    spec = Spec(free=8 * MIB, **FEATURES[name])  # type: ignore[arg-type]
    ext4writer.write_image(sample(), image, spec)
    judge(image, "quick")
    with open_image(image) as opened:
        assert check_image(opened).is_clean
    told = run(["dumpe2fs", "-h", image]).stdout
    named = re.search(r"^Journal features: +(.*)$", told, re.MULTILINE)
    assert named is not None and set(named[1].split()) == set(spec.journal_features)
    require_root()
    with mounted(image, rw=True) as point:
        assert_tree_equal(sample(), point, spec)
        for number in range(50):
            (point / f"new-{number}").write_bytes(b"n" * number * 100)
    judge(image, "quick")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"journal_device": True, "journal": "none"}, "journal_device: is for a journal"),
        ({"journal_device": True, "type": "ext2"}, "journal_device: is for a journal"),
        ({"journal_device": True, "journal_location": 0, "size": MIB * 64}, "journal_location"),
        ({"journal_dev": "8:1"}, "journal_dev: needs journal_device"),
        ({"journal_device": True, "journal_dev": "5000:1"}, "not a device number of Linux"),
        ({"journal_features": "csum"}, "'csum' is not one of"),
        ({"journal_features": "checksum_v2,checksum_v3"}, "exclude each other"),
        ({"journal_features": "async_commit"}, "needs a checksum"),
        ({"journal_features": "64bit", "journal": "none"}, "are for a journal"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(SpecError, match=match):
        Spec(**options)


def test_a_device_has_room_for_its_superblocks() -> None:
    with pytest.raises(SpecError, match=f"journal: .* at least {1025 * 4096} are needed"):
        ext4writer.plan(Tree(), Spec(journal_device=True, journal=4 * MIB))


def test_outputs_that_are_refused(tmp_path: Path) -> None:
    image = tmp_path / "image"
    layout = ext4writer.plan(Tree(), Spec(journal_device=True))
    with pytest.raises(OutputError, match="is the image itself"):
        ext4writer.write_layout(layout, image, journal=tmp_path / "." / "image")
    with pytest.raises(SpecError, match="journal: cannot have an output without"):
        ext4writer.write_image(Tree(), image, journal=tmp_path / "journal")
    with pytest.raises(OutputError):
        ext4writer.write_layout(layout, image, journal=tmp_path / "missing" / "journal")
    assert list(tmp_path.iterdir()) == []


def test_the_command(tmp_path: Path) -> None:
    image, journal = tmp_path / "image", tmp_path / "journal"
    done = command(
        *("build", "-o", str(image), "--journal-device", str(journal), "--journal", "16M"),
        *("--journal-features", "journal_checksum_v3"),
    )
    assert done.returncode == 0, done.stderr
    assert journal.stat().st_size == 16 * MIB
    judge_with_journal(image, journal)
    assert "journal" in done.stdout and "16.0 MiB on a separate device, UUID" in done.stdout
    both = [path.read_bytes() for path in (image, journal)]
    saved = str(tmp_path / "saved.plan")
    any_device = ("--journal-device", "any", "--journal", "16M")
    done = command("plan", "--save", saved, *any_device, "--json")
    told = json.loads(done.stdout)["journal_device"]
    assert told["size"] == 16 * MIB and UUID(told["uuid"])
    done = command("build", "--plan", saved, "-o", str(image))
    assert done.returncode and "name it with --journal-device" in done.stderr
    done = command("build", "--plan", saved, "-o", str(image), "--journal-device", str(journal))
    assert done.returncode == 0, done.stderr
    judge_with_journal(image, journal)
    done = command(
        *("build", "-o", str(tmp_path / "part"), "--part", "1/1"),
        *("--journal-device", str(tmp_path / "other"), "--journal", "16M"),
        *("--journal-features", "journal_checksum_v3"),
    )
    assert done.returncode == 0, done.stderr
    assert both == [path.read_bytes() for path in (tmp_path / "part", tmp_path / "other")]
    nix = ("nix", "--closure", str(tmp_path), "-o", str(image))
    done = command(*nix, "--journal-device", str(journal))
    assert done.returncode and "--journal-device is for the command build" in done.stderr
    done = command("build", "-o", str(image), "--journal-device", str(image))
    assert done.returncode and "is the image itself" in done.stderr
