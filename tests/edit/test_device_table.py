"""Device tables give the same nodes as genext2fs."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ext4writer
from ext4writer import (
    BlockDevice,
    CharacterDevice,
    Device,
    Directory,
    Fifo,
    Loss,
    Node,
    RegularFile,
    Socket,
    SourceError,
    Tree,
    sources,
)
from ext4writer.edit.rules_devices import DeviceTable
from tests.judges.tools import run
from tests.makers.strategies import tables

TABLE = """\
# name     type mode uid gid major minor start inc count
/dev        d  755  0    0    -    -    -    -    -
/dev/mem    c  640  0    9    1    1    0    0    -
/dev/tty    c  666  0    5    5    0    0    0    -
/dev/tty    c  666  0    5    4    0    0    1    6
/dev/loop   b  640  0    6    7    0    0    1    2
/dev/hda    b  640  0    6    3    0    0    0    -
/dev/hda    b  640  0    6    3    1    1    1    16   # hda1 to hda15
/dev/ram    b  640  1    6    1    0    2    3    5
/dev/log    s  666  0    0    -    -    -    -    -
/dev/pipe   p  600  7    8
/bin/su     f  4755 0    0    -    -    -    -    -
/           d  711  3    4    -    -    -    -    -
"""


KINDS: dict[type[Node], str] = {
    Directory: "directory",
    RegularFile: "regular",
    CharacterDevice: "character special",
    BlockDevice: "block special",
    Fifo: "FIFO",
    Socket: "socket",
}
"""debugfs' names of the kinds."""


def base(root: Path) -> Path:
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "su").write_text("x")
    return root


def test_genext2fs_makes_the_same(tmp_path: Path) -> None:
    root = base(tmp_path / "tree")
    table, image = tmp_path / "table", tmp_path / "image.ext2"
    table.write_text(TABLE)
    run(["genext2fs", "-U", "-b", "2048", "-N", "100", "-d", root, "-D", table, image])
    tree = sources.directory(root)
    for _, node in tree.walk():
        node.uid = node.gid = 0
    DeviceTable(table.read_bytes(), "table").apply(tree)
    assert tree.losses == []
    compared = 0
    for path, node in tree.walk():
        shown = run(["debugfs", "-R", f"stat {os.fsdecode(path)}", image]).stdout
        mode = re.search(r"Mode:\s+(\d+)", shown)
        owner = re.search(r"User:\s+(\d+)\s+Group:\s+(\d+)", shown)
        assert mode is not None and owner is not None, shown
        found = (int(mode[1], 8) & 0o7777, int(owner[1]), int(owner[2]))
        assert found == (node.mode, node.uid, node.gid), path
        assert re.search(rf"Type: {KINDS[type(node)]}\b", shown), shown
        if isinstance(node, Device):
            number = re.search(r"Device major/minor number: (\d+):(\d+)", shown)
            assert number is not None, shown
            assert (int(number[1]), int(number[2])) == (node.major, node.minor), path
        compared += 1
    listed = run(["debugfs", "-R", "ls -l /dev", image]).stdout
    assert len(re.findall(r"^ +\d+ ", listed, re.MULTILINE)) - 2 == len(
        [path for path, _ in tree.walk() if path.startswith(b"/dev/")]
    )
    assert compared > 30


def test_nodes_of_a_device_table() -> None:
    tree = Tree()
    tree.directory("/bin")
    tree.file("/bin/su", b"")
    DeviceTable(TABLE.encode(), "table").apply(tree)
    assert isinstance(tree["/dev/log"], Socket) and isinstance(tree["/dev/pipe"], Fifo)
    numbers = {
        os.fsdecode(path): (node.major, node.minor)
        for path, node in tree.walk()
        if isinstance(node, Device)
    }
    assert numbers["/dev/tty"] == (5, 0) and numbers["/dev/tty5"] == (4, 5)
    assert "/dev/tty6" not in numbers and "/dev/hda0" not in numbers
    assert numbers["/dev/hda15"] == (3, 15)
    assert [numbers[f"/dev/ram{n}"] for n in (2, 3, 4)] == [(1, 4), (1, 7), (1, 10)]
    assert (tree["/bin/su"].mode, tree.root.mode, tree.root.uid) == (0o4755, 0o711, 3)


def test_existing_nodes_keep_other_attributes() -> None:
    tree = Tree()
    tree.device("/null", "c", 9, 9, mtime_ns=5)
    DeviceTable(b"/null c 666 1 2 1 3", "table").apply(tree)
    node = tree["/null"]
    assert isinstance(node, Device)
    assert (node.major, node.minor, node.mode, node.uid, node.mtime_ns) == (9, 9, 0o666, 1, 5)


def test_a_missing_file_is_reported() -> None:
    tree = Tree()
    DeviceTable(b"/bin/su f 4755 0 0\n/l l 777 0 0", "table").apply(tree)
    assert tree.losses == [
        Loss(b"/bin/su", "is in a device table and not in the tree"),
        Loss(b"/l", "is in a device table and not in the tree"),
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("/a d", "it is not name type mode"),
        ("/a d 755 0 0 0 0 0 0 0 0", "it is not name type mode"),
        ("a d 755", "does not begin with a slash"),
        ("/a x 755", "'x' is not one of the types"),
        ("/a d 999", "is not a mode in octal"),
        ("/a d 10000", "is not a mode in octal"),
        ("/a d 755 me", "uid b'me' is not a number"),
        ("/a d 755 4294967295", "above"),
        ("/a c 600 0 0 1 -1", "minor b'-1' is not a number"),
        ("/a c 600 0 0 1 0 5 1 5", "its count is not above its start"),
        ("/a c 600 0 0 1 0 0 1 99999999", "more than 1,048,576 names"),
        ("/a c 600 0 0 1 4294967295 0 1 5", "minor numbers are out of range"),
        ("/a c 600 0 0 1 0 9 0 12", "minor numbers are out of range"),
        ("/ c 600", "the root is a directory"),
        ("/x/y c 600", "there is no folder for"),
        ("/f d 755", "exists with another type"),
        ("/f/x c 600", "there is no folder for"),
        ("/.. p 600", "cannot be the name"),
        ("/" + "n" * 300 + " p 600", "has 300 bytes"),
    ],
)
def test_errors_name_the_line(line: str, problem: str) -> None:
    tree = Tree()
    tree.file("/f", b"")
    with pytest.raises(SourceError) as caught:
        DeviceTable(b"# x\n" + line.encode(), "table").apply(tree)
    assert str(caught.value).startswith("table: line 2: ")
    assert problem in str(caught.value)


WORDS = st.sampled_from(
    [
        *("/a", "/b", "/a/b", "/", ".", "/..", "d", "f", "c", "b", "p", "s", "l", "x"),
        *("755", "0", "1", "7", "-1", "-", "99999", "#"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(text=tables(WORDS))
def test_any_text_is_a_table_or_an_error(text: bytes) -> None:
    tree = Tree()
    tree.file("/a", b"")
    try:
        DeviceTable(text, "table").apply(tree)
    except ext4writer.Ext4WriterError as error:
        assert str(error).startswith("table: line ")
