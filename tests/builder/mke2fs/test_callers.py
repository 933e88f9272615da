"""Programs that call mke2fs create the same disks when ours comes first in PATH.

The command lines of Buildroot, Yocto and nixpkgs are from their sources: fs/ext2/ext2.mk,
meta/classes-recipe/image_types.bbclass and scripts/lib/wic/partition.py, and
nixos/lib/make-ext4-fs.nix.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builder.command import environment
from tests.judges import kernel
from tests.judges.tools import require, require_loop_mount
from tests.judges.watch import Watch

MIB = 1 << 20
NAMES = ("mke2fs", "mkfs.ext2", "mkfs.ext3", "mkfs.ext4")


@pytest.fixture(name="root", scope="module")
def _root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with files, links, devices, attributes, holes and a directory of many names."""
    root = tmp_path_factory.mktemp("root")
    for folder in ("bin", "dev", "etc/many", "lib"):
        (root / folder).mkdir(parents=True)
    (root / "etc/hostname").write_text("box\n")
    (root / "bin/tool").write_bytes(os.urandom(300_000))
    (root / "bin/tool").chmod(0o4755)
    os.link(root / "bin/tool", root / "lib/same")
    (root / "etc/link").symlink_to("hostname")
    (root / "lib/long").symlink_to("x" * 200)
    for number in range(400):
        (root / f"etc/many/name{number:05d}").write_text(str(number))
    with open(root / "lib/sparse", "wb") as file:
        file.write(b"head" * 1024)
        file.truncate(3 * MIB)
    if os.getuid() == 0:
        os.mknod(root / "dev/null", 0o20666, os.makedev(1, 3))
        os.mkfifo(root / "dev/pipe")
        os.chown(root / "etc/hostname", 1000, 100)
        os.setxattr(root / "etc/hostname", "user.note", b"kept")
    return root


@pytest.fixture(name="ours_first", scope="module")
def _ours_first(tmp_path_factory: pytest.TempPathFactory) -> str:
    """PATH with ours under each name of theirs, by scripts that start this working copy."""
    folder = tmp_path_factory.mktemp("names")
    for name in NAMES:
        script = folder / name
        script.write_text(
            f'#!/bin/sh\nexec {sys.executable} -c \'import sys; sys.argv[0] = "{name}"; '
            'from ext4writer_cli.__main__ import main; main()\' "$@"\n'
        )
        script.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def both(ours_first: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The environments in which mke2fs is ours and theirs."""
    usual = {name: value for name, value in environment().items() if name != "SOURCE_DATE_EPOCH"}
    yield "ours", {**usual, "PATH": ours_first}
    yield "theirs", {**usual, "PATH": os.environ["PATH"] + ":/sbin:/usr/sbin"}


def run(command: list[str | Path] | str, env: dict[str, str], cwd: Path) -> str:
    """Run a program or a shell script; it must succeed."""
    done = subprocess.run(
        command,
        env=env,
        cwd=cwd,
        shell=isinstance(command, str),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def content(image: Path) -> dict[str, tuple[object, ...]]:
    """All content of a mounted image by path, except the root and lost+found."""
    found: dict[str, tuple[object, ...]] = {}
    with kernel.mounted(image) as point:
        for folder, folders, files in os.walk(point):
            for name in (*folders, *files):
                path = Path(folder, name)
                status = path.lstat()
                what: object = None
                if path.is_symlink():
                    what = os.readlink(path)
                elif path.is_file():
                    what = hashlib.sha256(path.read_bytes()).hexdigest()
                attributes = {
                    each: os.getxattr(path, each, follow_symlinks=False)
                    for each in os.listxattr(path, follow_symlinks=False)
                }
                found[os.path.relpath(path, point)] = (
                    *(status.st_mode, status.st_uid, status.st_gid, int(status.st_mtime)),
                    *(status.st_rdev, 0 if path.is_dir() else status.st_size, what),
                    tuple(sorted(attributes.items())),
                )
    found.pop("lost+found", None)
    return found


def judge(image: Path) -> None:
    done = subprocess.run(["e2fsck", "-fn", image], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def compare(images: list[Path], root: Path) -> None:
    """Assert that the images are clean, equal, and hold the content of ``root``."""
    require_loop_mount()
    for image in images:
        judge(image)
    ours, theirs = map(content, images)
    assert ours == theirs
    assert len(ours) >= sum(1 for _ in root.rglob("*"))


def partition(disk: Path, number: int = 0) -> Path:
    """A copy of one partition of a disk."""
    listed = subprocess.run(["sfdisk", "-J", disk], capture_output=True, check=True).stdout
    row = json.loads(listed)["partitiontable"]["partitions"][number]
    part = disk.with_suffix(".part")
    with open(disk, "rb") as source:
        source.seek(row["start"] * 512)
        part.write_bytes(source.read(row["size"] * 512))
    return part


CALLS = {
    "buildroot": "rm -f IMAGE; mkfs.ext4 -d ROOT -r 1 -N 0 -m 5 -L rootfs -I 256 -O ^64bit "
    'IMAGE "60M"',
    "buildroot ext2": 'rm -f IMAGE; mkfs.ext2 -d ROOT -r 1 -N 0 -m 5 -L "" -I 256 IMAGE "60M"',
    "buildroot of today": 'rm -f IMAGE; mkfs.ext4 -d ROOT -N 0 -m 5 -L "rootfs" -I 256 -O ^64bit '
    'IMAGE "60M"',
    "yocto of today": """
      export SOURCE_DATE_EPOCH=1900000000 E2FSPROGS_FAKE_TIME=1900000000
      dd if=/dev/zero of=IMAGE seek=40000 count=0 bs=1024
      mkfs.ext4 -F -i 4096 -E hash_seed=86ca73ff-7379-40bd-a098-fcb03a6e719d IMAGE -d ROOT
      fsck.ext4 -pvfD IMAGE || [ $? -le 3 ]
      printf '%s\\n' "set_super_value mkfs_time @$SOURCE_DATE_EPOCH" \
        "set_super_value wtime @$SOURCE_DATE_EPOCH" \
        "set_super_value lastcheck @$SOURCE_DATE_EPOCH" | debugfs -w -f - IMAGE""",
    "yocto": "dd if=/dev/zero of=IMAGE seek=40000 count=0 bs=1024; "
    "mkfs.ext4 -F -i 4096 IMAGE -d ROOT; fsck.ext4 -pvfD IMAGE || [ $? -le 3 ]",
    "yocto ext3": "dd if=/dev/zero of=IMAGE seek=40000 count=0 bs=1024; "
    "mkfs.ext3 -F -i 4096 IMAGE -d ROOT; fsck.ext3 -pvfD IMAGE || [ $? -le 3 ]",
    "wic": "truncate -s 50M IMAGE; mkfs.ext4 -F -i 8192 IMAGE -L root -d ROOT",
    "nixpkgs": """
      numInodes=$(find ROOT | wc -l)
      numDataBlocks=$(du -s -c -B 4096 --apparent-size ROOT | tail -1 |
        awk '{ print int($1 * 1.20) }')
      bytes=$((2 * 4096 * $numInodes + 4096 * $numDataBlocks))
      mebibyte=$(( 1024 * 1024 ))
      bytes=$(( ( bytes + mebibyte - 1 ) / mebibyte * mebibyte ))
      truncate -s $bytes IMAGE
      mkfs.ext4 -L NIXOS_SD -U 44444444-4444-4444-8888-888888888888 -d ROOT IMAGE
      export EXT2FS_NO_MTAB_OK=yes
      fsck.ext4 -n -f IMAGE || exit 1
      resize2fs -M IMAGE
      new_size=$(dumpe2fs -h IMAGE | awk -F: '/Block count/{count=$2} /Block size/{size=$2}
        END{print (count*size+16*2**20)/size}')
      resize2fs IMAGE $new_size""",
}


@pytest.mark.root
@pytest.mark.parametrize("name", CALLS)
def test_the_calls_in_the_sources_of_other_programs(
    name: str, root: Path, ours_first: str, tmp_path: Path, watch: Watch
) -> None:
    images = []
    for who, env in both(ours_first):
        image = tmp_path / who
        watch.damaged(image)  # other programs changed it
        run(CALLS[name].replace("IMAGE", str(image)).replace("ROOT", str(root)), env, tmp_path)
        images.append(image)
    compare(images, root)
    sizes = {image.stat().st_size for image in images}
    assert len(sizes) == 1 or name == "nixpkgs"


@pytest.mark.root
def test_genimage(root: Path, ours_first: str, tmp_path: Path, watch: Watch) -> None:
    require("genimage")
    (tmp_path / "input").mkdir()
    (tmp_path / "config").write_text(
        'image root.ext4 { ext4 { label = "root" use-mke2fs = true } size = 48M }\n'
        "image disk.img { hdimage { }\n"
        '  partition root { partition-type = 0x83 image = "root.ext4" } }\n'
    )
    images = []
    for who, env in both(ours_first):
        said = run(
            [
                *("genimage", "--config", "config", "--rootpath", root),
                *("--tmppath", f"tmp-{who}", "--inputpath", "input", "--outputpath", who),
            ],
            env,
            tmp_path,
        )
        assert ("ext4writer" in said) is (who == "ours")
        for made in (tmp_path / who).iterdir():
            watch.damaged(made)
        images.append(partition(tmp_path / who / "disk.img"))
        watch.damaged(images[-1])
    compare(images, root)


@pytest.mark.root
def test_systemd_repart(root: Path, ours_first: str, tmp_path: Path, watch: Watch) -> None:
    require("systemd-repart")
    require_loop_mount()
    (tmp_path / "definitions").mkdir()
    (tmp_path / "definitions/10-root.conf").write_text(
        f"[Partition]\nType=linux-generic\nFormat=ext4\nCopyFiles={root}:/\n"
        "SizeMinBytes=48M\nSizeMaxBytes=48M\n"
    )
    images = []
    for who, env in both(ours_first):
        disk = tmp_path / f"{who}.raw"
        run(
            [
                *("systemd-repart", "--empty=create", "--size=64M", "--dry-run=no"),
                *("--definitions=definitions", f"--seed={'0123456789abcdef' * 2}", disk),
            ],
            env,
            tmp_path,
        )
        images.append(partition(disk))
        watch.damaged(images[-1])
    compare(images, root)
