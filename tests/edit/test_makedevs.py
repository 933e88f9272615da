"""Device tables of makedevs give what its own description says."""

from __future__ import annotations

import ctypes
import os
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
    Node,
    RegularFile,
    SourceError,
    Symlink,
    Tree,
)
from ext4writer.edit.capabilities import XATTR, capability_value
from ext4writer.edit.names import read_names
from ext4writer.edit.rules_makedevs import MakedevsTable
from tests.builder.command import assert_one_line, run
from tests.conftest import MakeImage
from tests.judges import debugfs
from tests.makers.strategies import tables

USAGE = b"""\
#<name>  <type> <mode> <uid> <gid> <major> <minor> <start> <inc> <count>
/dev         d    755    0    0     -       -       -       -     -
/dev/console c    666    0    0     5       1       -       -     -
/dev/null    c    666    0    0     1       3       0       0     -
/dev/zero    c    666    0    0     1       5       0       0     -
/dev/hda     b    640    0    0     3       0       0       0     -
/dev/hda     b    640    0    0     3       1       1       1     15
/dev/rtp     b    640    0    0     250     0       0       1     5
/dev/gps     b    640    0    0     251     0       1       1     5
/dev/uio     b    640    0    0     252     0       1       2     5
/dev/uio     b    640    0    0     252     1       6       2     5
"""
"""The example that makedevs prints with its usage."""


def apply(text: bytes, tree: Tree) -> Tree:
    MakedevsTable(text, "table").apply(tree)
    return tree


def test_the_example_of_its_usage(make_image: MakeImage) -> None:
    tree = apply(USAGE, Tree())
    found = {
        os.fsdecode(path): (node.major, node.minor)
        for path, node in tree.walk()
        if isinstance(node, Device)
    }
    wanted = {"/dev/console": (5, 1), "/dev/null": (1, 3), "/dev/zero": (1, 5), "/dev/hda": (3, 0)}
    wanted |= {f"/dev/hda{number}": (3, number) for number in range(1, 16)}
    wanted |= {f"/dev/rtp{number}": (250, number) for number in range(5)}
    wanted |= {f"/dev/gps{number + 1}": (251, number) for number in range(5)}
    wanted |= {f"/dev/uio{number + 1}": (252, number * 2) for number in range(5)}
    wanted |= {f"/dev/uio{number + 6}": (252, number * 2 + 1) for number in range(5)}
    assert found == wanted
    assert type(tree["/dev/null"]) is CharacterDevice and type(tree["/dev/hda"]) is BlockDevice
    make_image(tree)


def test_a_count_of_one_adds_no_number_to_the_name() -> None:
    tree = apply(b"/a c 600 1 2 4 5 7 1 1\n/b p\n/c c 644 0 0 1 - - - -", Tree())
    assert sorted(tree.root.children) == [b"a", b"b", b"c"]
    first, second = tree["/a"], tree["/b"]
    assert isinstance(first, Device) and (first.major, first.minor, first.uid) == (4, 5, 1)
    assert isinstance(second, Fifo) and (second.mode, second.uid, second.gid) == (0o755, 0, 0)


def system() -> Tree:
    tree = Tree()
    tree.directory("/etc")
    tree.file("/etc/passwd", b"root:x:0:0::/:\nwww:x:33:44::/:\n")
    tree.file("/etc/group", b"root:x:0:\nweb:x:55:www\n")
    tree.directory("/srv/app", parents=True, mode=0o700)
    tree.file("/srv/app/run", b"x", mode=0o600, uid=9)
    tree.symlink("/srv/app/link", "run")
    return tree


def test_names_come_from_the_image() -> None:
    tree = apply(b"/srv/app/run f 4755 www web", system())
    node = tree["/srv/app/run"]
    assert (node.mode, node.uid, node.gid) == (0o4755, 33, 55)
    for line, problem in {
        b"/srv d 755 nobody web": "/etc/passwd of the image does not have b'nobody'",
        b"/srv d 755 www www": "/etc/group of the image does not have b'www'",
    }.items():
        with pytest.raises(SourceError, match=problem):
            apply(line, system())
    with pytest.raises(SourceError, match="line 1: there is no file /etc/passwd"):
        apply(b"/srv d 755 www www", Tree())
    tree = system()
    tree.remove("/etc/passwd")
    tree.file("/usr/lib/passwd", b"nonsense\n+::::::\n# www:x:1:1:::\n  www:x:34:1", parents=True)
    tree.symlink("/etc/passwd", "/usr/lib/passwd")
    assert apply(b"/srv d 755 www web", tree)["/srv"].uid == 34


def test_a_folder_and_all_below() -> None:
    tree = apply(b"/srv r -1 1 2\n/srv/app r 750 3 4", system())
    assert (tree["/srv"].mode, tree["/srv"].uid) == (0o700, 1)
    for path, mode in {"/srv/app": 0o750, "/srv/app/run": 0o750, "/srv/app/link": 0o777}.items():
        node = tree[path]
        assert (node.mode, node.uid, node.gid) == (mode, 3, 4)


def test_folders_above_a_folder_are_made() -> None:
    tree = apply(b"/a/b/c d 1777 5 6", Tree())
    made, above = tree["/a/b/c"], tree["/a/b"]
    assert isinstance(made, Directory) and isinstance(above, Directory)
    assert (made.mode, made.uid, made.implied) == (0o1777, 5, False)
    assert (above.mode, above.uid, above.mtime_ns) == (0o755, 0, 0)


def merged_usr() -> Tree:
    tree = Tree()
    tree.directory("/usr/bin", parents=True)
    tree.file("/usr/bin/busybox", b"x", mode=0o755)
    tree.directory("/run")
    for path, target in (
        *(("/bin", "usr/bin"), ("/usr/bin/su", "busybox"), ("/var", "../../run/.")),
        *(("/gone", "nothing"), ("/round", "round"), ("/toy", "/bin/su")),
    ):
        tree.symlink(path, target)
    return tree


@pytest.mark.parametrize(
    ("line", "place", "kind"),
    [
        ("/bin/busybox f 4711 1 2", "/usr/bin/busybox", RegularFile),
        ("/bin/su f 4711 1 2", "/usr/bin/busybox", RegularFile),
        ("/toy F 4711 1 2", "/usr/bin/busybox", RegularFile),
        ("/bin d 4711 1 2", "/usr/bin", Directory),
        ("/bin/a/b d 4711 1 2", "/usr/bin/a/b", Directory),
        ("/bin/null c 4711 1 2 1 3 - - -", "/usr/bin/null", CharacterDevice),
        ("/var/pipe p 4711 1 2", "/run/pipe", Fifo),
        ("/bin/busybox r 4711 1 2", "/usr/bin/busybox", RegularFile),
    ],
)
def test_paths_go_through_links(line: str, place: str, kind: type[Node]) -> None:
    tree = apply(line.encode(), merged_usr())
    node = tree[place]
    assert type(node) is kind
    assert (node.mode, node.uid, node.gid) == (0o4711, 1, 2)
    assert isinstance(tree["/bin"], Symlink)


def test_a_rule_for_a_link_does_not_change_its_target() -> None:
    tree = apply(b"/bin r 700 1 2", merged_usr())
    assert (tree["/bin"].uid, tree["/bin"].mode) == (1, 0o777)
    assert tree["/usr/bin"].uid == 0


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("/none f 755 0 0", "/none is not in the image"),
        ("/bin/none f 755 0 0", "/none is not in the image: /usr/bin/none, reached through"),
        ("/gone f 755 0 0", "/gone is not in the image: /nothing, reached through the sym"),
        ("/round f 755 0 0", "/round is not in the image: the symbolic link /round to round leads"),
        ("/usr f 755 0 0", "/usr is not a regular file"),
        ("/none r 755 0 0", "/none is not in the image"),
        ("/gone d 755 0 0", "/gone is not a folder: /nothing, reached through"),
        (
            "/toy/x p 755 0 0",
            "/toy/x has no folder to be in; put a line for that before it: /u",
        ),
        ("/bin p 755 0 0", "/bin exists with another type"),
    ],
)
def test_a_dangling_path_is_an_error(line: str, problem: str) -> None:
    with pytest.raises(SourceError, match=f"line 1: .*{problem}"):
        apply(line.encode(), merged_usr())


def test_numbers_of_any_length() -> None:
    tree = apply(b"/a c 644 %b1 0 1 0 0 1 %b2" % (b"0" * 5000, b"0" * 5000), Tree())
    assert sorted(tree.root.children) == [b"a0", b"a1"] and tree["/a0"].uid == 1
    for count in (b"00000000999999999", b"9" * 5000):
        with pytest.raises(SourceError, match="count .* is not a number up to"):
            apply(b"/a c 644 0 0 1 0 0 1 " + count, Tree())
    with pytest.raises(SourceError, match="a user or group above"):
        apply(b"/a c 644 " + b"9" * 5000, Tree())


def test_the_names_of_a_table_are_bounded() -> None:
    many = b"".join(b"/n%d F 644 0 0 0 0 0 0 1048575\n" % number for number in range(3))
    with pytest.raises(SourceError, match=r"line 2: the table has more than 1,048,576 names"):
        apply(many, Tree())


PARTS = st.sampled_from(
    [
        *("", "root", "www", "+", "-", "+nis", "-x", "#", "x", "0", "007", "12", " 5", "+6", "-1"),
        *("5x", "4294967295", "4294967296", "99999999999999999999999", ":", "\t", " ", "1 "),
    ]
)


@pytest.mark.parametrize("function", ["fgetpwent", "fgetgrent"])
def test_names_are_read_as_the_c_library_reads_them(function: str, tmp_path: Path) -> None:
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        pytest.skip("needs the GNU C library")
    libc.fopen.restype = ctypes.c_void_p
    libc.fclose.argtypes = [ctypes.c_void_p]
    read = getattr(libc, function)
    read.argtypes, read.restype = [ctypes.c_void_p], ctypes.POINTER(Entry)

    @settings(max_examples=400, deadline=None)
    @given(st.lists(st.lists(PARTS, max_size=8).map(":".join), max_size=6))
    def check(lines: list[str]) -> None:
        text = "\n".join(lines).encode()
        # glibc 2.36 drops leading blanks with a memmove that omits the final NUL (nss_readline.c),
        # so it repeats the end of such a line.
        (tmp_path / "names").write_text("\n".join(line.lstrip() for line in lines))
        stream = libc.fopen(os.fsencode(tmp_path / "names"), b"r")
        wanted: dict[bytes, int] = {}
        while entry := read(stream):
            wanted.setdefault(entry.contents.name, entry.contents.number)
        libc.fclose(stream)
        assert read_names(text, has_group=function == "fgetpwent") == wanted

    check()


class Entry(ctypes.Structure):
    """The first members of struct passwd and struct group, which are alike."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("password", ctypes.c_char_p),
        ("number", ctypes.c_uint32),
    )


def test_files_that_may_be_missing() -> None:
    tree = apply(b"/none F 755 0 0\n|xattr cap_kill+ep\n/srv F 700 7 7", system())
    assert tree.losses == [] and tree["/srv"].uid == 0


def test_capabilities(make_image: MakeImage) -> None:
    text = b"/srv/app/run f -1 0 0 - - - - -\n|xattr cap_sys_admin+eip\n |xattr cap_net_admin+eip"
    tree = apply(text, system())
    node = tree["/srv/app/run"]
    assert node.xattrs == {XATTR: capability_value("cap_sys_admin,cap_net_admin+eip")}
    assert node.mode == 0o600
    image = make_image(tree)
    assert "security.capability" in debugfs.debugfs(image, "ea_list /srv/app/run")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("/a", "it is not name type mode"),
        ("/a d 755 0 0 0 0 0 0 0 0", "it is not name type mode"),
        ("/a s 755", "'s' is not one of the types"),
        ("/a dd 755", "'dd' is not one of the types"),
        ("/a d 999", "is not a mode in octal"),
        ("/a c -1", "is not a mode in octal"),
        ("/a d 10000", "is not a mode in octal"),
        ("/a d 755 4294967295 0", "above"),
        ("/a c 600 0 0 1 -1", "minor b'-1' is not a number"),
        ("/a c 600 0 0 1 1048576", "is not a number up to 1048575"),
        ("/a c 600 0 0 1 0 1 - 5", "nothing after a '-' is read"),
        ("/a c 600 0 0 1 0 0 1048575 1048575", "minor numbers are out of range"),
        ("/ c 600", "the root is a directory"),
        ("/x/y c 600", "/x/y has no folder to be in"),
        ("/f/x d 600", "/f/x is not a folder: /f is not a directory"),
        ("/f c 600", "exists with another type"),
        ("/../x d 600", "cannot be the name"),
        ("/" + "n" * 300 + " p 600", "has 300 bytes"),
        ("|xattr cap_kill+ep", "not that of a file"),
        ("|xattr", "not |xattr and one word"),
        ("|flags x", "not |xattr and one word"),
    ],
)
def test_errors_name_the_line(line: str, problem: str) -> None:
    tree = Tree()
    tree.file("/f", b"")
    with pytest.raises(SourceError) as caught:
        apply(b"# x\n" + line.encode(), tree)
    assert str(caught.value).startswith("table: line 2: ")
    assert problem in str(caught.value)
    with pytest.raises(SourceError, match="line 2: .*cap_x"):
        apply(b"/f f 755\n|xattr cap_x+ep", tree)


WORDS = st.sampled_from(
    [
        *("/a", "/b", "/a/b", "/", ".", "/..", "d", "f", "c", "b", "p", "F", "r", "s"),
        *("755", "0", "1", "7", "-1", "-", "99999", "#", "www", "|xattr", "cap_kill+ep"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(text=tables(WORDS))
def test_any_text_is_a_table_or_an_error(text: bytes) -> None:
    tree = Tree()
    tree.file("/a", b"")
    try:
        apply(text, tree)
    except ext4writer.Ext4WriterError as error:
        assert str(error).startswith("table: line ")


def test_the_command(tmp_path: Path) -> None:
    table, image = tmp_path / "table", tmp_path / "image"
    table.write_bytes(USAGE)
    done = run("build", "--makedevs", table, "-o", image)
    assert done.returncode == 0, done.stderr
    assert "/dev/hda15" not in debugfs.debugfs(image, "stat /dev/hda16")
    assert "03:0f" in debugfs.debugfs(image, "stat /dev/hda15")
    table.write_bytes(b"/dev r 755")
    done = run("build", "-D", table, "-o", image)
    assert_one_line(done, 1, f"{table}: line 1: 'r' is not one of", "it is one of makedevs")
