"""Two images differ in what was changed between them, and in nothing else."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext4writer import Override, Spec, Tree, policy, write_image
from ext4writer.errors import DamageError, ImageError
from ext4writer.inspection.diff import BYTES, PATH, Differences, compare_images
from ext4writer.read import open_image
from tests.builder.command import run
from tests.judges.tools import require
from tests.judges.watch import Watch

SPEC = Spec(block_size=1024, free=0)
BIG = b"".join(bytes([number % 250 + 1]) * 1024 for number in range(300))


def make_tree(change: Callable[[Tree], Any] | None = None, **changed: bytes) -> Tree:
    tree = Tree()
    content = {"log": b"built at 12:34\n", "big": BIG, "zeros": b"a" * 1024 + bytes(64 << 10)}
    for name, data in (content | changed).items():
        tree.file(f"/{name}", data)
    for number in range(60):
        tree.file(f"/many/{number:02}", b"%d" % number, parents=True)
    tree.symlink("/link", "log")
    tree.device("/null", "c", 1, 3)
    tree.file("/x", b"x", xattrs={b"user.a": b"1"})
    if change is None or change(tree) is not False:
        tree.link("/y", "/x")
    return tree


def image(tree: Tree, path: Path, spec: Spec = SPEC, **keywords: Any) -> Path:
    write_image(tree, path, spec, **keywords)
    return path


def compared(a: Path | bytes, b: Path | bytes, **keywords: Any) -> Differences:
    def hear(_: DamageError) -> None:
        pass

    with open_image(a, on_damage=hear) as first, open_image(b, on_damage=hear) as second:
        return compare_images(first, second, **keywords)


def told(found: Differences, level: str) -> dict[str, list[str]]:
    return {what: [each.where for each in kept] for what, _, kept in found.of_level(level)}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return image(make_tree(), tmp_path_factory.mktemp("diff") / "base")


def test_equal(base: Path, tmp_path: Path) -> None:
    found = compared(base, image(make_tree(), tmp_path / "other"))
    assert found.are_equal, found.counts


CHANGES: dict[str, tuple[Callable[[Tree], Any], dict[str, list[str]]]] = {
    "added": (lambda tree: tree.file("/many/new", b"n"), {"added": ["/many/new"]}),
    "directory": (lambda tree: tree.file("/d/e/f", b"", parents=True), {"added": ["/d"]}),
    "mode": (lambda tree: tree.file("/log2", b"", mode=0o600), {"added": ["/log2"]}),
    "no link": (
        lambda tree: tree.file("/y", b"x", xattrs={b"user.a": b"1"}) and False,
        {"links": ["/x", "/y"], "hard link": ["/y"]},
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_names(name: str, base: Path, tmp_path: Path) -> None:
    change, expected = CHANGES[name]
    found = told(compared(base, image(make_tree(change), tmp_path / "other")), PATH)
    found.pop("links", None) if "links" not in expected else None
    assert found == expected


def test_names_the_other_way(base: Path, tmp_path: Path) -> None:
    other = image(make_tree(CHANGES["directory"][0]), tmp_path / "other")
    found = compared(other, base)
    (removed,) = found.kept[PATH, "removed"]
    assert (removed.where, removed.a, removed.b) == ("/d", {"kind": "directory", "below": 2}, None)


ATTRIBUTES = [
    ("mode", {"mode": 0o604}, {"mode": 0o640}),
    ("uid", {"uid": 70000}, {"uid": 7}),
    ("gid", {"gid": 1}, {"gid": 2}),
    ("mtime", {"mtime_ns": 5}, {"mtime_ns": 6}),
    ("xattr", {"xattrs": {b"user.n": b"1"}}, {"xattrs": {b"user.n": b"2"}}),
    ("xattr", {"xattrs": {b"user.n": b"1" * 500}}, {"xattrs": {b"user.n": b"2" * 500}}),
    ("xattr", {"xattrs": {b"user.n": b"1"}}, {}),
]


@pytest.mark.parametrize(("what", "one", "other"), ATTRIBUTES)
def test_attributes(what: str, one: dict[str, Any], other: dict[str, Any], tmp_path: Path) -> None:
    paths = []
    for side, attributes in (("a", one), ("b", other)):
        tree = Tree()
        tree.file("/f", b"f", **attributes)
        paths.append(image(tree, tmp_path / side))
    found = told(compared(*paths), PATH)
    times = {name for name in ("atime", "ctime", "crtime") if what == "mtime"}
    assert found.keys() - times == {what}
    assert found[what] == ["/f user.n" if what == "xattr" else "/f"]


def test_content_byte_by_byte(base: Path, tmp_path: Path) -> None:
    changed = bytearray(BIG)
    for place in (7, 5000, 5001, 5003, 300 * 1024 - 1):
        changed[place] ^= 255
    found = compared(base, image(make_tree(big=bytes(changed)), tmp_path / "other"))
    assert told(found, PATH) == {"content": ["/big"]}
    (content,) = found.kept[PATH, "content"]
    assert content.a["ranges"] == [[7, 8], [5000, 5004], [300 * 1024 - 1, 300 * 1024]]
    assert (content.a["bytes_changed"], content.a["places"]) == (5, 3)
    assert bytes.fromhex(content.a["first"]) == BIG[7:8]
    assert bytes.fromhex(content.b["first"]) == bytes(changed[7:8])


def test_holes(base: Path, tmp_path: Path) -> None:
    dense = image(make_tree(), tmp_path / "dense", Spec(block_size=1024, free=0, hole_size=0))
    found = compared(base, dense)
    assert told(found, PATH) == {"holes": ["/zeros"]}
    (holes,) = found.kept[PATH, "holes"]
    assert (holes.a, holes.b) == ({"bytes_of_holes": 64 << 10}, {"bytes_of_holes": 0})


@pytest.mark.parametrize(
    ("override", "what"),
    [
        ("superblock.s_max_mnt_count=7", "superblock.s_max_mnt_count"),
        ("superblock.s_last_mounted=text:/m", "superblock.s_last_mounted"),
        ("superblock[1].s_mnt_count=9", "backup superblock.s_mnt_count"),
        ("group_desc[0].bg_used_dirs_count=1", "group_desc.bg_used_dirs_count"),
        ("inode[/log].i_generation=5", "inode.i_generation"),
        ("inode[/log].i_version=0x100000001", "inode.i_version"),
    ],
)
def test_fields(override: str, what: str, tmp_path: Path) -> None:
    spec = Spec(block_size=1024, size=20 << 20)
    a = image(make_tree(), tmp_path / "a", spec)
    b = image(make_tree(), tmp_path / "b", spec, overrides=[Override.parse(override)])
    found = compared(a, b)
    assert set(told(found, "field")) == {what}
    assert not told(found, PATH)
    assert set(told(found, "place")) == {BYTES}


def test_moved_content_is_not_a_difference(tmp_path: Path) -> None:
    specs = [Spec(block_size=1024, size="16M", policy=policy(f"random:{seed}")) for seed in (1, 2)]
    a, b = (image(make_tree(), tmp_path / f"{n}", spec) for n, spec in enumerate(specs))
    found = compared(a, b)
    assert not told(found, PATH)
    assert "/big" in told(found, "place")["blocks"]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_byte_differs_unseen(base: Path, data: st.DataObject) -> None:
    whole = base.read_bytes()
    changed = bytearray(whole)
    place = data.draw(st.integers(0, len(whole) - 1))
    changed[place] ^= data.draw(st.integers(1, 255))
    with suppress(DamageError, ImageError):  # unreadable data is an error with its position
        assert not compared(whole, bytes(changed)).are_equal


def test_a_folder_made_by_mke2fs_and_by_us(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "many").mkdir(parents=True)
    for number in range(50):
        (folder / "many" / f"{number}").write_bytes(b"%d" % number * number)
    (folder / "sparse").write_bytes(b"a" + bytes(1 << 20) + b"b")
    (folder / "log").symlink_to("many/1")
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    options = ["-q", "-F", "-t", "ext4", "-E", "root_owner=0:0", "-d"]
    subprocess.run(
        [require("mke2fs"), *options, folder, theirs, "16M"], check=True, capture_output=True
    )
    assert run("build", folder, "-o", ours, "--quiet", "--owner", "0:0").returncode == 0
    found = told(compared(theirs, ours), PATH)
    assert found.keys() <= {
        *("removed", "links", "holes", "mtime", "atime", "ctime", "crtime", "uid", "gid"),
    }
    assert found.get("removed", ["/lost+found"]) == ["/lost+found"]


# -- the command -----------------------------------------------------------------------------------


def test_the_command(base: Path, tmp_path: Path) -> None:
    same = run("diff", base, base)
    assert (same.returncode, same.stdout) == (0, "equal: paths, fields, places\n")
    other = image(make_tree(log=b"built at 12:35\n"), tmp_path / "other")
    done = run("diff", base, other, "--paths")
    assert done.returncode == 1
    assert done.stdout == (
        "what users see:\n  content: /log: 1 byte differs, at byte 13 '4' -> '5'\n"
    )
    report = json.loads(run("diff", base, other, "--json").stdout)
    assert not report["equal"]
    (content,) = (each for each in report["differences"] if each["what"] == "content")
    assert content["examples"][0]["where"] == "/log"
    # Derived UUIDs do not depend on content.
    assert run("diff", base, other, "--fields").returncode == 0


def test_one_screen(base: Path, tmp_path: Path) -> None:
    tree = Tree()
    for number in range(300):
        tree.file(f"/many/{number:02}", b"else %d" % number, parents=True, uid=5, mtime_ns=9)
    other = image(tree, tmp_path / "other", Spec(label="other", free="4M"))
    done = run("diff", base, other)
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) <= 60
    assert "and 239 more" in done.stdout


def test_images_inside_of_files(base: Path, tmp_path: Path) -> None:
    disks = []
    for name, log in (("a", b"1"), ("b", b"2")):
        inner = image(make_tree(log=log), tmp_path / f"{name}.img")
        disks.append(tmp_path / name)
        disks[-1].write_bytes(bytes(1 << 20) + inner.read_bytes())
    done = run("diff", *disks, "--offset", "1M", "--paths")
    assert (done.returncode, done.stdout.count("/log")) == (1, 1)
    assert run("diff", base, disks[0]).returncode != 0


def test_the_readable_part_of_a_damaged_image_is_compared(
    base: Path, tmp_path: Path, watch: Watch
) -> None:
    cut = tmp_path / "cut"
    watch.damaged(cut)
    whole = base.read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    done = run("diff", base, cut)
    assert done.returncode == 1 and "damaged: superblock.s_blocks_count_lo" in done.stderr
    assert "content of 64 damaged files was not compared" in done.stdout
    told = json.loads(run("diff", cut, base, "--json").stdout)
    assert told["equal"] is False and told["content_left_out"] == 64


def test_features_are_named_and_empty_texts_are_omitted(tmp_path: Path) -> None:
    a = image(make_tree(), tmp_path / "a.img", Spec(block_size=1024, free=0))
    b = image(make_tree(), tmp_path / "b.img", Spec(block_size=1024, free=0, features="^dir_nlink"))
    c = image(make_tree(), tmp_path / "c.img", Spec(block_size=1024, free=0, label="root"))
    (words,) = compared(a, b).kept["field", "superblock.s_feature_ro_compat"]
    listed = [set(str(value).partition("(")[2].strip(")").split(", ")) for value in words[3:]]
    assert listed[0] - listed[1] == {"dir_nlink"} and not listed[1] - listed[0]
    printed = run("diff", a, b).stdout
    assert "dir_nlink" in printed
    (label,) = compared(a, c).kept["field", "superblock.s_volume_name"]
    assert (label.a, label.b) == (None, "root")
    shown = run("show", a, "superblock").stdout
    dumpe2fs = subprocess.run(["dumpe2fs", "-h", a], capture_output=True, text=True).stdout
    features = next(line for line in dumpe2fs.splitlines() if "features:" in line).split()[2:]
    assert len(features) > 8
    rows = [line.split(None, 3) for line in shown.splitlines() if ".s_feature_" in line]
    named = [name for row in rows for name in row[3].split(", ")]
    assert sorted(named) == sorted(features)


def test_files_that_go_on_after_the_file_system(tmp_path: Path, watch: Watch) -> None:
    """Appended data, such as a hash tree, makes two builds differ as well."""
    data = image(make_tree(), tmp_path / "a.img").read_bytes()
    longer = data + b"x" * 5000
    found = compared(data, longer)
    assert found.counts == {("place", "size of the file"): 1} and not found.are_equal
    assert not compared(data, longer, levels=(PATH,)).counts
    other = data + b"x" * 4999 + b"y"
    (after,) = compared(longer, other).kept["place", BYTES]
    assert (after.where, after.a["blocks"]) == ("after the file system", 1)
    short = data[: -(2 << 10)]
    assert compared(data, short).counts["place", "size of the file"] == 1
    assert compared(longer, bytes(longer)).are_equal
    # In a partition, anything may follow.
    with open_image(b"12" * 512 + longer, offset=1024) as window, open_image(data) as whole:
        assert compare_images(window, whole).are_equal
    for name, content in (("b.img", longer), ("c.img", other)):
        (tmp_path / name).write_bytes(content)
    done = run("diff", tmp_path / "b.img", tmp_path / "c.img")
    assert (done.returncode, done.stdout.count("after the file system 1")) == (1, 1)
    done = run("diff", tmp_path / "a.img", tmp_path / "b.img")
    assert done.returncode == 1
    assert f"size of the file: in bytes: {len(data)} -> {len(longer)}" in done.stdout
    # What is missing in both cannot be called equal.
    cut = tmp_path / "cut-a.img", tmp_path / "cut-b.img"
    for path in cut:
        watch.damaged(path)
        path.write_bytes(short)
    done = run("diff", *cut)
    assert done.returncode == 1 and "s_blocks_count_lo" in done.stderr
    assert done.stdout == "no difference in what can be read: paths, fields, places\n"
