"""info, ls, tree, cat, stat and find, compared with dumpe2fs, debugfs and the tree."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ext4writer import Override, Spec, Tree, write_image
from tests.judges.debugfs import debugfs, ex
from tests.judges.tools import require
from tests.judges.tools import run as tool
from tests.judges.watch import Watch

from .command import run

LABEL = b"system_u:object_r:etc_t:s0\0"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = Tree()
    tree.directory("/etc", mtime_ns=1_700_000_000_123_456_789)
    tree.file("/etc/hostname", b"box\n", mode=0o4750, uid=7, gid=8)
    tree["/etc/hostname"].xattrs = {b"security.selinux": LABEL, b"user.note": b"\xff text"}
    tree.symlink("/etc/link", "hostname")
    tree.symlink("/link", "etc/./link")
    tree.symlink("/dangling", "nowhere")
    tree.file("/big", bytes(range(256)) * 4096)
    tree.file("/etc/\x1b[31mred\n", b"")
    for number in range(600):
        tree.file(f"/many/{number}", b"", parents=True)
    tree.device("/null", "c", 1, 3, mode=0o666)
    path: Path = tmp_path_factory.mktemp("commands") / "image"
    write_image(tree, path, Spec(label=b"data"))
    return path


def said(*arguments: Any, status: int = 0) -> str:
    done = run(*map(str, arguments))
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if status == 0 else done.stderr


def told(*arguments: Any) -> Any:
    return json.loads(said(*arguments, "--json"))


def test_info_says_what_dumpe2fs_says(image: Path) -> None:
    facts = told("info", image)
    text = tool([require("dumpe2fs"), "-h", str(image)]).stdout
    words = dict(re.findall(r"^([A-Z][^:]*): +(.*)$", text, re.MULTILINE))
    assert facts["kind"] == "ext4" and facts["label"] == "data" == words["Filesystem volume name"]
    assert facts["uuid"] == words["Filesystem UUID"]
    assert facts["features"] == words["Filesystem features"].split()
    assert facts["blocks"] == int(words["Block count"])
    assert facts["free_blocks"] == int(words["Free blocks"])
    assert facts["free_inodes"] == int(words["Free inodes"])
    assert facts["inodes_per_group"] == int(words["Inodes per group"])
    assert facts["hash"] == words["Default directory hash"]
    assert "label              data" in said("info", image)
    blkid = tool([require("blkid"), "-p", "-o", "value", "-s", "TYPE", str(image)]).stdout
    assert blkid.strip() == facts["kind"]


def test_ls(image: Path) -> None:
    assert said("ls", image).split() == [
        *("big", "dangling", "etc", "link", "lost+found", "many", "null"),
    ]
    lines = said("ls", "-l", image, "/etc").splitlines()
    assert lines[0].endswith("\\x1b[31mred\\x0a")
    assert re.fullmatch(r"-rwsr-x---   1 +7 +8 +4 1970-01-01 00:00:00 hostname", lines[1])
    assert lines[2].endswith("link -> hostname")
    assert "system_u:object_r:etc_t:s0 hostname" in said("ls", "-Z", image, "/etc")
    assert said("ls", image, "/etc/hostname") == "/etc/hostname\n"
    assert "1, 3" in said("ls", "-l", image, "/null")
    recursive = said("ls", "-R", image)
    assert "/many:\n" in recursive and "599\n" in recursive
    rows = told("ls", "-R", image)
    assert len(rows) == 7 + 3 + 600
    assert "no such file" in said("ls", image, "/nothing", status=1)
    assert "is looked up in a file" in said("ls", image, "/big/x", status=1)


def test_cat_follows_links(image: Path) -> None:
    assert said("cat", image, "/link", "/etc/hostname") == "box\nbox\n"
    done = run("cat", image, "/big", text=False)
    assert done.stdout == bytes(range(256)) * 4096
    assert "is a directory" in said("cat", image, "/etc", status=1)
    assert "no such file" in said("cat", image, "/dangling", status=1)


def test_stat(image: Path) -> None:
    one, two = told("stat", image, "/etc/hostname", "/link")
    inode = debugfs(image, "stat /etc/hostname")
    assert one["inode"] == int(re.search(r"Inode: (\d+)", inode)[1])
    assert one["mode"] == "4750" and one["size"] == 4
    assert one["xattrs"] == {"security.selinux": LABEL.hex(), "user.note": b"\xff text".hex()}
    assert two["target"] == "etc/./link"
    (big,) = told("stat", image, "/big")
    assert [
        (run["logical"], run["logical"] + run["length"] - 1, run["physical"]) for run in big["runs"]
    ] == [
        (extent.first, extent.last, extent.physical)
        for extent in ex(image, "/big")
        if extent.level == extent.depth
    ]
    (etc,) = told("stat", image, f"<{told('stat', image, '/etc')[0]['inode']}>")
    assert etc["mtime"] == "2023-11-14T22:13:20.123456789Z"
    assert "\\xff text" in said("stat", image, "/etc/hostname")


def test_find(image: Path) -> None:
    assert said("find", image, "--name", "h*e").split() == ["/etc/hostname"]
    assert said("find", image, "/many", "--name", "[!0-5]?9").split() == []
    assert len(said("find", image, "/many", "--name", "[0-5]?9").split()) == 50
    assert set(said("find", image, "--type", "l").split()) == {"/link", "/dangling", "/etc/link"}
    assert said("find", image, "--larger", "100k", "--type", "f").split() == ["/big"]
    (big,) = told("stat", image, "/big")
    assert said("find", image, "--inode", big["inode"]).split() == ["/big"]
    block = big["runs"][0]["physical"] + 5
    assert "/big" in said("find", image, "--block", block)
    owner = debugfs(image, f"icheck {block}").split()
    assert told("find", image, "--block", block) == [
        {"kind": "data", "block_of_file": 5, "inode": int(owner[-1]), "paths": ["/big"]}
    ]
    assert said("find", image, "--block", 0).startswith("group 0: superblock")
    free = debugfs(image, "ffb 1").split()[-1]
    assert told("find", image, "--block", free) == [{"kind": "free"}]
    assert said("find", image, "--block", free) == "free\n"
    assert said("find", image, "--block", 1 << 40, status=2)


def test_tree(image: Path) -> None:
    lines = said("tree", image, "/etc").splitlines()
    assert lines[0] == "/etc" and lines[3] == "└── link -> hostname"
    assert lines[-1] == "0 directories, 3 other files"


def test_tree_counts_one_of_each(tmp_path: Path) -> None:
    tree = Tree()
    tree.file("/a/b", b"", parents=True)
    write_image(tree, tmp_path / "one.img")
    assert said("tree", tmp_path / "one.img", "/").endswith("\n2 directories, 1 other file\n")
    assert said("tree", tmp_path / "one.img", "/a").endswith("\n0 directories, 1 other file\n")


def test_damage_is_reported_and_the_rest_is_shown(tmp_path: Path) -> None:
    tree = Tree()
    tree.file("/a", b"a")
    tree.file("/b", b"b")
    wrong = tmp_path / "wrong"
    overrides = [Override.parse("inode[/a].i_gid=5", reseal=False)]
    write_image(tree, wrong, overrides=overrides)
    done = run("ls", "-l", wrong)
    assert done.returncode == 1
    assert "inode.l_i_checksum_lo of inode" in done.stderr
    assert [line.split()[-1] for line in done.stdout.splitlines()] == ["a", "b", "lost+found"]
    assert run("cat", wrong, "/b").returncode == 0


def test_the_rest_of_a_truncated_image_is_shown(tmp_path: Path, watch: Watch) -> None:
    tree = Tree()
    for number in range(60):
        tree.file(f"/d{number}/f", bytes([number + 1]) * 20000, parents=True)
    tree.symlink("/zz", "t" * 100)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    write_image(tree, whole, Spec(free=0, journal="none"))
    watch.damaged(cut)
    data = whole.read_bytes()
    (whole_size, used) = len(data), len(data.rstrip(b"\0"))
    cut.write_bytes(data[: used - 600_000])
    assert len(data) == whole_size
    done = run("ls", "-R", "-l", cut)
    assert done.returncode == 1 and "the image has 9" in done.stderr
    assert done.stdout.count(" f\n") == 60
    out = tmp_path / "out"
    done = run("extract", cut, "-C", out)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "cannot be read completely" in done.stderr
    whole_files = [n for n in range(60) if (out / f"d{n}/f").read_bytes() == bytes([n + 1]) * 20000]
    assert 10 < len(whole_files) < 60


def test_a_backup_of_the_superblock(tmp_path: Path, watch: Watch) -> None:
    path = tmp_path / "image"
    watch.damaged(path)
    subprocess.run(
        [require("mke2fs"), "-q", "-F", "-t", "ext4", "-b", "1024", path, "32M"], check=True
    )
    with open(path, "r+b") as file:
        file.seek(1024)
        file.write(bytes(1024))
    assert "no magic" in said("info", path, status=1)
    assert told("info", path, "--superblock", 8193 * 1024)["blocks"] == 32768


def test_external_journal(tmp_path: Path, watch: Watch) -> None:
    path = tmp_path / "journal"
    watch.damaged(path)
    subprocess.run(
        [require("mke2fs"), "-q", "-F", "-O", "journal_dev", "-b", "4096", path, "16M"], check=True
    )
    assert told("info", path)["kind"] == "external journal"


@pytest.mark.judged("quick")
def test_the_device_of_a_journal(tmp_path: Path) -> None:
    """Each command succeeds, or says that there are no files, groups or journals."""
    image, device, other = tmp_path / "image", tmp_path / "journal", tmp_path / "other"
    spec = Spec(journal_device=True, block_size=1024)
    write_image(Tree(), image, spec, journal=device)
    write_image(Tree(), other, Spec(type="ext2"))
    for words, told in (
        (("show", device, "journal"), "no transactions to recover"),
        (("show", image, "--journal", device, "journal"), "no transactions to recover"),
        (("show", device, "superblock"), "journal_superblock of 0 at byte 2048"),
        (("show", device, "block", 0), "boot block"),
        (("show", device, "block", 2), "journal_superblock of 0 at byte 2048"),
        (("show", device, "block", 9), "journal"),
        (("show", device, "units"), "journal_superblock"),
        (("find", device, "--block", 1), "superblock"),
        (("find", device, "--block", 9), "journal"),
        (("info", device), "external journal"),
        (("map", device, "-o", "-"), "an external journal"),
    ):
        done = run(*map(str, words))
        assert done.returncode == 0 and told in done.stdout, (words, done.stdout, done.stderr)
    for words, told in (
        (("show", image, "journal"), "name it with --journal"),
        (("show", other, "journal"), "has no journal"),
        (("show", image, "--journal", other, "journal"), "is no external journal"),
        (("show", other, "--journal", device, "journal"), "of another file system"),
        (("show", device, "superblock", 1), "has no groups"),
        (("show", other, "superblock", 1), "has no group 1; there are 0 to 0"),
        (("show", device, "group", 0), "has no groups"),
        (("show", device, "inode", 8), "holds no files"),
        (("ls", device), "holds no files"),
        (("find", device), "holds no files"),
        (("diff", device, device), "holds no files"),
        (("extract", device, "-C", tmp_path / "out"), "holds no files"),
        (("manifest", device), "holds no files"),
        (("check", device), "check the file system that uses it"),
    ):
        done = run(*map(str, words))
        assert done.returncode and told in done.stderr, (words, done.stdout, done.stderr)
        assert len(done.stderr.splitlines()) == 1
