"""Options that are superblock fields: what tune2fs shows of them, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import ext4writer
from ext4writer import DEFAULT_FEATURES, FeatureSet, Spec, SpecError, Tree
from ext4writer.ondisk.superblock import SYSTEMS
from tests.judges.debugfs import inode
from tests.judges.fsck import e2fsck, judge
from tests.judges.kernel import mounted
from tests.judges.tools import require_root, run
from tests.judges.watch import Watch

MIB = 1 << 20


def tune2fs(image: Path) -> dict[str, str]:
    """What ``tune2fs -l`` shows, by name."""
    lines = run(["tune2fs", "-l", str(image)]).stdout.splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


SHOWN: list[tuple[dict[str, Any], dict[str, str]]] = [
    (
        {"raid_stride": 16, "raid_stripe_width": 64, "errors": "remount-ro"},
        {"RAID stride": "16", "RAID stripe width": "64", "Errors behavior": "Remount read-only"},
    ),
    (
        {"reserved_blocks": 77, "reserved_uid": 1000, "reserved_gid": 50, "errors": "panic"},
        {
            "Reserved block count": "77",
            "Reserved blocks uid": "1000 (",
            "Reserved blocks gid": "50 (",
            "Errors behavior": "Panic",
        },
    ),
    (
        {"default_mntopts": "journal_data_writeback,^acl,nobarrier", "mount_opts": "data=ordered"},
        {
            "Default mount options": "journal_data_writeback user_xattr nobarrier",
            "Mount options": "data=ordered",
        },
    ),
    (
        {"last_mounted": "/srv/daten", "max_mount_count": 30, "check_interval": 86400 * 180},
        {
            "Last mounted on": "/srv/daten",
            "Maximum mount count": "30",
            "Check interval": "15552000 (6 months)",
        },
    ),
    (
        {"creator_os": "FreeBSD", "groups_per_flex": 4, "features": "^metadata_csum"},
        {"Filesystem OS type": "FreeBSD", "Flex block group size": "4"},
    ),
    (
        {"blocks_per_group": 1024, "block_size": 1024, "reserved_gdt_blocks": 3, "size": 20 * MIB},
        {"Blocks per group": "1024", "Reserved GDT blocks": "3", "Block count": "20480"},
    ),
    (
        {"creator_os": "Hurd", "type": "ext2", "features": "^filetype", "inode_size": 128},
        {"Filesystem OS type": "Hurd"},
    ),
    (
        {"revision": 0, "features": "none", "inode_size": 128, "journal": "none"},
        {"Filesystem revision #": "0 (original)"},
    ),
]


@pytest.mark.parametrize(("options", "shown"), SHOWN)
def test_tune2fs_shows_them(options: dict[str, Any], shown: dict[str, str], tmp_path: Path) -> None:
    image, tree = tmp_path / "image", Tree()
    tree.file("/file", bytes(100_000))
    ext4writer.write_image(tree, image, Spec(**{"free": 4 * MIB, **options}))
    judge(image)
    found = tune2fs(image)
    for name, value in shown.items():
        assert found[name] == value or (found[name].startswith(value) and value.endswith("("))


@pytest.mark.parametrize("text", ["30d", "4w", "6M", "7200s", "0"])
def test_an_interval_has_the_units_of_tune2fs(text: str, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ext4writer.write_image(Tree(), ours, Spec(check_interval=text))
    ext4writer.write_image(Tree(), theirs)
    run(["tune2fs", "-i", text, str(theirs)])
    judge(ours)
    assert tune2fs(ours)["Check interval"] == tune2fs(theirs)["Check interval"]


@pytest.mark.parametrize("name", ["LINUX", "gnu", "hurd", "FreeBSD", "lites", "1", "2"])
def test_creator_systems_have_the_names_of_mke2fs(name: str, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ext4writer.write_image(
        Tree(), ours, Spec(type="ext2", features="^filetype", inode_size=128, creator_os=name)
    )
    run(["mke2fs", "-q", "-t", "ext2", "-O", "^filetype", "-I128", "-o", name, str(theirs), "8M"])
    judge(ours)
    assert tune2fs(ours)["Filesystem OS type"] == tune2fs(theirs)["Filesystem OS type"]


@pytest.mark.parametrize(
    ("given", "same"),
    [
        ({"max_mount_count": -1}, {"max_mount_count": 0}),
        ({"max_mount_count": "-1"}, {"max_mount_count": 0}),
        ({"features": "mmp", "mmp_update_interval": 0}, {"features": "mmp"}),
        ({"check_interval": "1W"}, {"check_interval": 7 * 86400}),
        ({"check_interval": "86,400"}, {"check_interval": 86400}),
        ({"uuid": "Clear"}, {"uuid": bytes(16)}),
        ({"uuid": "null"}, {"uuid": bytes(16)}),
        ({"features": "quota", "quotatype": "usr,grp,^usr"}, {"quotatype": "grp"}),
        ({"features": "quota", "quotatype": "usrquota::grpquota"}, {"features": "quota"}),
    ],
)
def test_equivalent_values_of_options(given: dict[str, Any], same: dict[str, Any]) -> None:
    if "quotatype" in given:
        same = {"quotatype": "usr:grp", **same}
    assert Spec(**given) == Spec(**{"features": given.get("features", ""), **same})


@pytest.mark.judged("quick")
@pytest.mark.parametrize("system", SYSTEMS)
def test_the_kernel_writes_to_what_other_systems_made(system: Any, tmp_path: Path) -> None:
    require_root()
    image, tree = tmp_path / "image", Tree()
    tree.file("/file", bytes(100_000), uid=70_000, gid=70_001)
    features = "^filetype,^huge_file,^64bit" if system == "Hurd" else ""
    if system != "Linux":
        features += ",^metadata_csum"
    ext4writer.write_image(tree, image, Spec(creator_os=system, features=features, free=MIB))
    judge(image, "quick")
    with mounted(image, rw=True) as point:
        status = (point / "file").stat()
        assert (status.st_uid, status.st_gid) == (70_000, 70_001)
        for number in range(20):
            (point / f"{number}").write_bytes(b"n" * 5000)
        (point / "file").unlink()
    judge(image, "quick")


def test_the_flag_of_test_file_systems_is_set(watch: Watch, tmp_path: Path) -> None:
    """e2fsck removes the flag if the kernel is stable, and finds nothing else."""
    image = tmp_path / "image"
    watch.damaged(image)
    ext4writer.write_image(Tree(), image, Spec(test_fs=True))
    assert tune2fs(image)["Filesystem flags"] == "signed_directory_hash test_filesystem"
    assert [problem["code"] for problem in e2fsck(image, "-n").found] in ([], ["0x00003b"])


def test_a_default_changes_nothing() -> None:
    """Neither the default nor its textual form is part of the identity."""
    usual = ext4writer.plan(Tree())
    for options in ({"default_mntopts": "acl,user_xattr"}, {"errors": "continue"}):
        assert ext4writer.plan(Tree(), Spec(**options)).uuid == usual.uuid  # type: ignore[arg-type]
    assert ext4writer.plan(Tree(), Spec(errors="panic")).uuid != usual.uuid


def test_no_more_than_half_is_kept_for_the_superuser(tmp_path: Path) -> None:
    layout = ext4writer.write_image(
        Tree(), tmp_path / "image", Spec(free=MIB, reserved_blocks=9000)
    )
    assert layout.reserved_blocks == 9000 <= layout.blocks_count // 2
    judge(tmp_path / "image", "quick")
    with pytest.raises(SpecError, match=r"reserved_blocks.* more than half"):
        ext4writer.plan(Tree(), Spec(size=32 * MIB, reserved_blocks=4097))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"errors": "ignore"}, "errors.*continue, remount-ro, panic"),
        ({"creator_os": "Plan9"}, "creator_os.*Linux"),
        ({"creator_os": "5"}, "creator_os.*Linux"),
        ({"check_interval": "30y"}, "check_interval.*30d"),
        ({"check_interval": "d"}, "check_interval.*30d"),
        ({"check_interval": "2000m"}, "check_interval.*4294967295"),
        ({"max_mount_count": "random"}, "max_mount_count.*each time"),
        ({"max_mount_count": -2}, "max_mount_count"),
        ({"creator_os": "Hurd"}, "creator_os: Hurd and filetype exclude.*since.*add .filetype"),
        (
            {"creator_os": "Hurd", "features": "^filetype,^huge_file,^metadata_csum"},
            "Hurd and 64bit exclude each other, since Linux does not mount it; add .64bit",
        ),
        (
            {"creator_os": "Lites"},
            "Lites and metadata_csum exclude.*without their checksums; add .metadata_csum",
        ),
        (
            {"creator_os": "FreeBSD", "features": "metadata_csum"},
            "without their checksums; leave out metadata_csum",
        ),
        (
            {"features": "bigalloc", "block_size": 1024, "cluster_size": 1024},
            "cluster_size.*1024.*cannot be mounted",
        ),
        ({"raid_stride": 65536}, "raid_stride.*65535"),
        ({"mount_opts": "x" * 64}, "mount_opts.*63"),
        ({"last_mounted": b"/a\0b"}, "last_mounted.*NUL"),
        ({"max_mount_count": 65535}, "max_mount_count"),
        ({"default_mntopts": "acl,fast"}, "default_mntopts.*'fast'.*user_xattr"),
        ({"revision": 0}, "revision.*none"),
        ({"blocks_per_group": 1020}, "blocks_per_group.*multiple of 8"),
        ({"reserved_blocks": 5, "reserved_percent": 5}, "reserved_blocks.*give one"),
        ({"reserved_gdt_blocks": 5, "grow_to": MIB}, "reserved_gdt_blocks.*give one"),
        ({"reserved_gdt_blocks": 1025}, "reserved_gdt_blocks.*1024"),
        ({"reserved_uid": 2**32 - 1}, "reserved_uid"),
        (
            {"reserved_gdt_blocks": 5, "features": DEFAULT_FEATURES.without("resize_inode")},
            "resize_inode",
        ),
    ],
)
def test_impossible_superblock_options_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        Spec(**options)
    assert re.search(problem, str(caught.value)), caught.value


def test_revision_0_has_no_features() -> None:
    assert Spec(revision=0, features="none", inode_size=128).features == FeatureSet()


@pytest.mark.parametrize(("size", "blocks"), [("16K", 16), ("12K", 12), ("1", 2), ("20000", 20)])
def test_lost_and_found_is_a_multiple_of_blocks(size: str, blocks: int, tmp_path: Path) -> None:
    spec = Spec(size=4 * MIB, block_size=1024, lost_and_found_size=size)
    ext4writer.write_image(Tree(), tmp_path / "image", spec)
    judge(tmp_path / "image", "quick")
    assert inode(tmp_path / "image", "/lost+found").size == blocks * 1024


def test_sizes_of_system_files(tmp_path: Path) -> None:
    image = tmp_path / "image"
    spec = Spec(
        features="orphan_file,fast_commit",
        orphan_file_size="60K",
        fast_commit_size="1M",
        journal="8M",
    )
    ext4writer.write_image(Tree(), image, spec)
    judge(image)
    shown = run(["dumpe2fs", "-h", str(image)]).stdout
    assert re.search(r"Total journal size: +9M\n", shown)
    assert re.search(r"Fast commit length: +256\n", shown)
    assert inode(image, 12).size == 60 << 10


def test_the_interval_of_mmp(watch: Watch, tmp_path: Path) -> None:
    image = tmp_path / "image"
    watch.damaged(image)  # e2fsck waits for some intervals each time
    ext4writer.write_image(Tree(), image, Spec(features="mmp", mmp_update_interval=17))
    assert tune2fs(image)["MMP update interval"] == "17"
    assert "mmp_check_interval: 17" in run(["dumpe2fs", "-h", str(image)]).stdout


@pytest.mark.parametrize(
    "options",
    [
        {"orphan_file_size": 4096},
        {"fast_commit_size": 4096},
        {"mmp_update_interval": 6},
        {"features": "mmp", "mmp_update_interval": 301},
        {"features": "orphan_file", "orphan_file_size": 513 * 4096},
        {"features": "fast_commit", "fast_commit_size": 0},
    ],
)
def test_impossible_sizes_and_intervals_are_refused(options: dict[str, Any]) -> None:
    name = next(name for name in options if name != "features")
    with pytest.raises(SpecError, match=name):
        Spec(**options)
