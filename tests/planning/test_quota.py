"""Quota files record the usage, as e2fsck, debugfs and a kernel that updates it confirm."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ext4writer
from ext4writer import QuotaGrace, QuotaLimit, RandomPolicy, Spec, SpecError, Tree, TreeError
from ext4writer.inspection.check import check_image
from ext4writer.inspection.show import explain, units_of_inode
from ext4writer.ondisk.inode import EXT4_IMMUTABLE_FL
from ext4writer.read import open_image
from tests.builder.command import run as command
from tests.guest import run_guest
from tests.judges import debugfs
from tests.judges.fsck import judge
from tests.judges.tools import run

MIB = 1 << 20

pytestmark = pytest.mark.judged("quick")


def sample(projects: bool = False) -> Tree:
    """Owners of files, holes, long links and shared attribute blocks."""
    noise = random.Random(4).randbytes
    tree = Tree()
    for number in range(120):
        owner = {"uid": 1000 + number * 997 % 3000, "gid": number % 3 * 70_000}
        tree.file(f"d{number % 7}/f{number}", noise(number * 700), parents=True, **owner)
    tree.file("holes", b"".join(noise(4096) + bytes(8192) for _ in range(400)), uid=5)
    attributes = {b"user.a": noise(700)}
    tree.file("one", b"x", uid=5, xattrs=attributes)
    tree.file("two", b"x", uid=6, xattrs=attributes)
    tree.symlink("link", "x" * 200, uid=9)
    tree.fifo("pipe", uid=(1 << 32) - 2)
    if projects:
        tree.directory("p", project=77, flags="projinherit")
        tree.file("p/a", noise(50_000), project=77)
        tree.symlink("p/link", "a", project=(1 << 32) - 2)
    return tree


def used(image: Path, kind: str) -> dict[int, list[int]]:
    """id -> [bytes, block soft, block hard, inodes, inode soft, inode hard], from debugfs."""
    rows = re.findall(r"^ *\d[\d ]*$", debugfs.debugfs(image, f"list_quota {kind}"), re.MULTILINE)
    return {int(row.split()[0]): [int(word) for word in row.split()[1:]] for row in rows}


def assert_right(image: Path) -> None:
    judge(image, "quick")
    with open_image(image) as opened:
        assert check_image(opened).is_clean


SPECS: dict[str, dict[str, Any]] = {
    "usual": {"features": "quota"},
    "projects, orphan file": {"features": "quota,project,orphan_file"},
    "1 KiB, random": {"features": "quota,project", "block_size": 1024, "policy": RandomPolicy(3)},
    "64 KiB": {"features": "quota,project", "block_size": 65536},
    "too small for a journal": {"features": "quota,project,orphan_file", "free": 0},
    "ext2, groups": {"type": "ext2", "features": "quota", "quotatype": "grp", "inode_size": 128},
    "clusters": {"features": "quota,project,bigalloc", "block_size": 1024},
    "inline": {"features": "quota,project,inline_data", "lost_and_found": False},
    "a given size": {"features": "quota", "size": 64 * MIB, "lost_and_found": False},
}


@pytest.mark.parametrize("name", SPECS)
def test_use_is_counted(tmp_path: Path, name: str) -> None:
    image = tmp_path / "image"
    spec = Spec(**SPECS[name])
    projects = "project" in spec.features
    tree = Tree() if name == "too small for a journal" else sample(projects)
    layout = ext4writer.write_image(tree, image, spec)
    assert_right(image)
    if spec.size is None:
        assert layout.available_bytes >= spec.fitted_free
    told = debugfs.superblock(image)
    inos = [
        int(told[key])
        for key in ("User quota inode", "Group quota inode", "Project quota inode")
        if key in told
    ]
    of_projects = 11 + spec.lost_and_found
    assert inos == ([4] if spec.quotatype else [3, 4, of_projects][: 2 + projects])
    blocks = 0
    for ino in inos:
        found = debugfs.inode(image, ino)
        assert found.flags & EXT4_IMMUTABLE_FL and found.mode == 0o600
        blocks += found.blockcount
    assert layout.space["quota"] == blocks * 512
    if spec.type == "ext4" and spec.free != 0:
        use = used(image, "user")
        assert set(use) >= {0, 5, 6, 9, (1 << 32) - 2}
        assert use[5][3] == 2
        sectors = [debugfs.inode(image, path).blockcount for path in ("holes", "one")]
        assert use[5][0] == sum(sectors) * 512
        assert use[(1 << 32) - 2] == [0, 0, 0, 1, 0, 0]
    if projects and spec.free != 0:
        assert used(image, "project")[77][3] == 2


def test_a_wrong_number_is_found(tmp_path: Path) -> None:
    """This shows that e2fsck does check the numbers."""
    image = tmp_path / "image"
    ext4writer.write_image(sample(), image, Spec(features="quota"))
    with open_image(image) as opened:
        rows = [row for unit in units_of_inode(opened.inode(3)) for row in explain(opened, unit)]
    place = next(row for row in rows if row.name == "quota_entry[0].dqb_curinodes").offset
    with image.open("r+b") as file:
        file.seek(place)
        file.write(b"\x63")
    assert "QUOTA WARNING" in run(["e2fsck", "-fn", image], check=False).stdout
    with open_image(image) as opened:
        [problem] = check_image(opened).problems
        assert problem.code == "PR_6_UPDATE_QUOTAS"
    image.unlink()


def test_limits_and_grace(tmp_path: Path) -> None:
    image = tmp_path / "image"
    spec = Spec(
        features="quota,project",
        quota_limits=["usr:1000:1M:2G:10:20", "prj:9::1500", QuotaLimit("group", 1, inode_hard=7)],
        quota_grace=["user:1d:2h", QuotaGrace("group", 60, 61)],
    )
    assert spec == Spec(
        features="quota,project",
        quota_limits=[*spec.quota_limits[::-1]],
        quota_grace=[*spec.quota_grace],
    )
    ext4writer.write_image(sample(projects=True), image, spec)
    assert_right(image)
    assert used(image, "user")[1000][1:3] + used(image, "user")[1000][4:] == [1024, 2 << 20, 10, 20]
    assert used(image, "project")[9] == [0, 0, 2, 0, 0, 0]
    assert used(image, "group")[1] == [0, 0, 0, 0, 0, 7]
    with open_image(image) as opened:
        grace = {
            ino: [
                row.value
                for row in explain(opened, next(units_of_inode(opened.inode(ino))))
                if row.name.endswith("grace")
            ]
            for ino in (3, 4, 12)
        }
    assert grace == {3: [86400, 7200], 4: [60, 61], 12: [604800, 604800]}


def test_the_command_has_all_quota_options(tmp_path: Path) -> None:
    image, folder = tmp_path / "image", tmp_path / "folder"
    folder.mkdir()
    (folder / "file").write_bytes(b"text")
    options = [
        *("-O", "quota,project", "--quotatype", "usr:prj", "--set", "file: uid=1000 project=7"),
        *("--quota-limit", "user:1000:1G:2G", "--quota-limit", "project:7:::0:5000"),
        *("--quota-grace", "14d"),
    ]
    done = command("build", str(folder), "-o", str(image), "--owner", "0:0", *options)
    assert done.returncode == 0, done.stderr
    assert_right(image)
    assert used(image, "user")[1000] == [4096, 1 << 20, 2 << 20, 1, 0, 0]
    assert used(image, "project")[7] == [4096, 0, 0, 1, 0, 5000]
    assert "Project:     7" in debugfs.inode(image, "file").text


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"quotatype": "usr"}, "quotatype: needs the feature quota"),
        ({"features": "quota", "quotatype": "prj"}, "needs the feature project"),
        ({"features": "quota", "quotatype": "users"}, "'users' is not one of usr, grp, prj"),
        ({"features": "project", "inode_size": 128}, "inode_size: 128 bytes have no room"),
        ({"quota_limits": "user:1:1G"}, "keeps no user quota; add quota"),
        ({"features": "quota", "quota_limits": "project:1:1G"}, "no project quota"),
        ({"features": "quota", "quota_limits": "user:1"}, "is not KIND:ID"),
        ({"features": "quota", "quota_limits": "user:-1:1G"}, "quota_limits: "),
        ({"features": "quota", "quota_limits": "user:1:2G:1G"}, "soft limit of user 1 is above"),
        ({"features": "quota", "quota_limits": ["user:1:1G", "usr:1::2G"]}, "has limits twice"),
        ({"features": "quota", "quota_limits": 5}, "5 is not a list"),
        ({"features": "quota", "quota_grace": "soon"}, "'soon' is not a time"),
        ({"features": "quota", "quota_grace": "user:0d"}, "between 1 and"),
        ({"features": "quota", "quota_grace": "project:1d"}, "no project quota"),
        ({"features": "quota", "quota_grace": ["1d", "user:1d"]}, "given twice"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(SpecError, match=re.escape(match)):
        Spec(**options)


def test_projects_need_the_feature() -> None:
    with pytest.raises(TreeError, match="/p.*needs the feature project; add it"):
        ext4writer.plan(sample(projects=True), Spec(features="quota"))


IDS = st.one_of(
    st.integers(0, 40), st.integers(0, (1 << 32) - 2), st.sampled_from([255, 256, 65535, 65536])
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(owners=st.lists(st.tuples(IDS, IDS), max_size=60), limited=st.sets(IDS, max_size=20))
def test_any_owners(
    tmp_path_factory: pytest.TempPathFactory, owners: list[tuple[int, int]], limited: set[int]
) -> None:
    image = tmp_path_factory.mktemp("quota") / "image"
    tree = Tree()
    for number, (uid, project) in enumerate(owners):
        tree.file(f"{number}", b"x" * number * 100, uid=uid, project=project)
    limits = [QuotaLimit("user", owner, 0, 4096) for owner in limited]
    spec = Spec(features="quota,project", free=MIB, quotatype="usr", quota_limits=limits)
    layout = ext4writer.write_image(tree, image, spec)
    assert_right(image)
    assert layout.available_bytes >= MIB
    assert set(used(image, "user")) == {0, *limited, *(uid for uid, _ in owners)}


COUNTED = """
mount -t ext4 -o usrquota,prjquota /dev/vda /mnt
repquota -u -n -v /mnt
repquota -P -n -v /mnt
# What the kernel counts, and what it refuses.
i=0
while [ $i -lt 40 ]; do echo $i > /mnt/open/$i; i=$((i+1)); done
chown 1234 /mnt/open/7
chown 70000 /mnt/d1/f1
rm -r /mnt/d2
if su member -c "dd if=/dev/zero of=/mnt/open/large bs=4k count=9000" 2>&1; then exit 9; fi
dd if=/dev/zero of=/mnt/p/more bs=1k count=100 2>&1
repquota -u -n -v /mnt
repquota -P -n -v /mnt
umount /mnt
# Other ways to keep files, and growth while quotas are counted.
for drive in vdb vdc; do
  mount -t ext4 -o usrquota,grpquota /dev/$drive /mnt
  resize2fs /dev/$drive
  mkdir /mnt/new
  i=0
  while [ $i -lt 60 ]; do echo $i > /mnt/new/$i; i=$((i+1)); done
  chown -R 4321 /mnt/new
  dd if=/dev/zero of=/mnt/new/large bs=1M count=40 2>&1
  rm -r /mnt/d3 /mnt/two
  umount /mnt
done
"""


@pytest.mark.qemu
def test_the_kernel_counts_on(tmp_path: Path) -> None:
    image = tmp_path / "image"
    tree = sample(projects=True)
    tree.directory("open", mode=0o777)
    spec = Spec(features="quota,project", free=32 * MIB, quota_limits="user:5000:1M:4M")
    ext4writer.write_image(tree, image, spec)
    before = used(image, "user")
    passwd = {"/etc/passwd": b"member:x:5000:5000::/:/bin/sh\n"}
    others = [tmp_path / "inline", tmp_path / "clusters"]
    for path, features in zip(
        others, ("inline_data,ea_inode", "bigalloc,orphan_file"), strict=True
    ):
        more = Spec(features=f"quota,project,{features}", free=24 * MIB)
        ext4writer.write_image(sample(projects=True), path, more)
        os.truncate(path, 160 * MIB)
    programs = ["repquota", "resize2fs"]
    console = run_guest(COUNTED, [image, *others], programs=programs, files=passwd)
    assert "Disk quota exceeded" in console
    first = console.partition("project quotas")[0]
    rows = re.findall(r"^#(\d+) +-- +(\d+) +(\d+) +(\d+) +(\d+) ", first, re.MULTILINE)
    reported = {int(row[0]): [int(word) for word in row[1:]] for row in rows}
    assert reported == {
        owner: [use[0] // 1024, use[1], use[2], use[3]] for owner, use in before.items()
    }
    for path in (image, *others):
        assert_right(path)
    for path in others:
        assert used(path, "user")[4321][3] == 61
        assert int(debugfs.superblock(path)["Block count"]) * 4096 > 150 * MIB
    after = used(image, "user")
    assert after[5000][0] == 4 * MIB and after[5000][3] == 1
    assert after[1234][3] == before.get(1234, [0] * 6)[3] + 1
    assert used(image, "project")[77][3] == 3
