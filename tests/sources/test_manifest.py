"""Manifests as sources: those of the programs that define the formats, and malformed ones."""

from __future__ import annotations

import hashlib
import io
import os
import random
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ext4writer
from ext4writer import (
    CancelledError,
    Device,
    Directory,
    Fifo,
    Loss,
    Progress,
    RegularFile,
    Socket,
    SourceChangedError,
    SourceError,
    Symlink,
    Tree,
    sources,
)
from ext4writer.content import Content
from tests.judges import tools
from tests.judges.cost import assert_linear, cpu_seconds
from tests.judges.tools import run
from tests.makers.host_tree import privileged

NAMES = {b"root": 0, b"wheel": 7}
SPECIAL = b"a b\xff\n#*[?]=\\\xc3\xa9,:"


def read(text: str | bytes, **options: object) -> Tree:
    data = text.encode() if isinstance(text, str) else text
    return sources.manifest(data, **options)  # type: ignore[arg-type]


def whole(content: Content) -> bytes:
    data = bytearray(content.size)
    content.read_whole(memoryview(data))
    return bytes(data)


def in_pieces(content: Content) -> bytes:
    reader = content.open()
    try:
        data = bytearray(content.size)
        assert reader.readinto(memoryview(data), 0) == len(data)
        reader.check_unchanged()
        return bytes(data)
    finally:
        reader.close()


def content_at(tree: Tree, path: str | bytes) -> Content:
    node = tree[path]
    assert isinstance(node, RegularFile)
    return node.content


def image(tree: Tree) -> bytes:
    data = bytearray()
    ext4writer.write_image(tree, data)
    return bytes(data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tree with every kind of file that this user can create; names and times need escapes."""
    root = tmp_path / "tree"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "sub" / "f").write_bytes(b"text\n" * 3000)
    (root / "empty").write_bytes(b"")
    os.link(root / "sub" / "f", root / "sub" / "deep" / "other")
    (Path(os.fsdecode(os.fsencode(root) + b"/" + SPECIAL))).write_bytes(b"odd")
    os.symlink(b"to a\xff\\place", root / "link")
    os.mkfifo(root / "pipe")
    if privileged():
        os.mknod(root / "char", 0o020640, os.makedev(300, 70000))
        os.mknod(root / "block", 0o060600, os.makedev(8, 1))
    times = [-5_250_000_000, 1_000_000_001, 1_600_000_000_000_000_000, 1_700_000_000_500_000_000]
    places = [*sorted(root.rglob("*")), root]
    for number, path in enumerate(reversed(places)):
        stamp = times[number % len(times)]
        if not path.is_symlink() and not path.is_fifo():
            path.chmod(0o700 + number)
        os.utime(path, ns=(stamp, stamp), follow_symlinks=False)
    return root


class TestWhatBsdtarWrites:
    def test_the_image_is_that_of_the_directory(self, folder: Path, tmp_path: Path) -> None:
        listing = tmp_path / "x.mtree"
        run(["bsdtar", "-cf", listing, "--format=mtree", "--options=all", "-C", folder, "."])
        assert b"sha256digest=" in listing.read_bytes()
        tree = sources.manifest(listing, root=folder)
        assert tree.losses == []
        assert tree["/sub/f"] is tree["/sub/deep/other"]
        assert image(tree) == image(sources.directory(folder, xattrs=False))

    def test_missing_link_information_is_reported(self, folder: Path, tmp_path: Path) -> None:
        listing = tmp_path / "x.mtree"
        run(["bsdtar", "-cf", listing, "--format=mtree", "-C", folder, "."])
        tree = sources.manifest(listing, root=folder)
        assert [loss.path for loss in tree.losses] == [b"/sub/f", b"/sub/deep/other"]
        assert "has 2 names and no inode=" in tree.losses[0].what

    def test_other_forms_of_mtree_are_equivalent(self, folder: Path, tmp_path: Path) -> None:
        """With /set, and with indented lines continued by a backslash."""
        expected = image(sources.directory(folder, xattrs=False))
        for options in ("all,use-set", "all,indent", "all,use-set,indent", "all,!uname,!gname"):
            listing = tmp_path / "x.mtree"
            listing.unlink(missing_ok=True)
            form = f"--options={options}"
            run(["bsdtar", "-cf", listing, "--format=mtree", form, "-C", folder, "."])
            assert image(sources.manifest(listing, root=folder)) == expected

    def test_the_classic_form(self, folder: Path, tmp_path: Path) -> None:
        listing = tmp_path / "x.mtree"
        form = "--format=mtree-classic"
        run(["bsdtar", "-cf", listing, form, "--options=all,use-set", "-C", folder, "."])
        assert b"\n..\n" in listing.read_bytes()
        expected = image(sources.directory(folder, xattrs=False))
        assert image(sources.manifest(listing, root=folder)) == expected


class TestWhatNetbsdWrites:
    def test_the_tree_is_that_of_the_directory(self, folder: Path) -> None:
        """This format does not record which names are links of each other."""
        (folder / "sub" / "deep" / "other").unlink()
        stamp = 1_500_000_000_000_000_007
        os.utime(folder / "sub" / "deep", ns=(stamp, stamp))
        text = run(
            [
                "mtree",
                "-c",
                "-k",
                "gid,uid,link,mode,nlink,size,time,device,cksum,sha256",
                "-p",
                folder,
            ]
        ).stdout
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
        assert "\n/set " in text and "\n..\n" in text and "\\M" in text
        tree = read(text.encode("utf-8", "surrogateescape"), root=folder)
        assert tree.losses == []
        assert image(tree) == image(sources.directory(folder, xattrs=False))

    def test_a_rewritten_specification_has_the_same_digest(self) -> None:
        """Symbolic modes, full and relative paths: compared by its own specification digest."""
        text = (
            ". type=dir mode=u=rwx,go=rx\nsub type=dir mode=01777\n"
            "f type=file mode=u=rwxs,go+rX,u-r\n..\n"
            "g type=fifo mode=ug=rw,o=u\nh type=socket mode=a+t,u+s,g+s\n..\n"
            "./sub/deep type=dir\n./sub/deep/x type=fifo mode=+x\n"
        )
        printed = run(["mtree", "-C", "-k", "mode"], stdin=text.encode()).stdout
        ours = read(text.replace("type=file", "type=file size=0"))
        theirs = read(printed.replace("type=file", "type=file size=0"))
        shown = [(path, type(node), oct(node.mode)) for path, node in ours.walk()]
        assert len(shown) == 7
        stated = {path.split()[0]: path.split() for path in printed.splitlines() if "mode=" in path}
        assert len(stated) >= 5
        for path, node in ours.walk():
            words = stated.get("." + os.fsdecode(path).rstrip("/"))
            if words:
                assert f"mode=0{node.mode:o}" in words, (path, words)
        assert [path for path, _ in theirs.walk()] == [path for path, _ in ours.walk()]


@settings(max_examples=25, deadline=None)
@given(words=st.lists(st.sampled_from(["d", "f", "..", "d/", "./d", "d/e/", "d/f", "./"])))
def test_paths_are_resolved_as_by_bsdtar(words: list[str]) -> None:
    """A word with a slash does not change the folder of the following names."""
    lines, depth = [], 0
    for number, word in enumerate(words):
        if word == "..":
            depth -= 1
            if depth < 0:
                break
            lines.append(word)
            continue
        # Unique names.
        named = word.replace("d", f"d{number}").replace("f", f"f{number}")
        is_folder = word[-1] in "/de"
        depth += word == "d"
        lines.append(f"{named} type={'dir' if is_folder else 'fifo'}")
    text = "\n".join(["#mtree", *lines, ""])
    listed = run(["bsdtar", "-tf", "-"], stdin=text.encode()).stdout.split()
    theirs = {os.path.normpath("/" + path) for path in listed}
    ours = {os.fsdecode(path) for path, _ in read(text).walk()}
    implied = {path.rpartition("/")[0] or "/" for path in ours}
    assert theirs <= ours and ours - theirs <= implied


class TestGrowsWithItsLength:
    """The settings of /set are not processed for each entry."""

    @pytest.mark.parametrize(
        ("line", "entry"),
        [
            ("/set k%d=1", "f%d type=fifo"),
            ("/set type=fifo\n/set tags=ext4writer.x%d:1", "f%d"),
        ],
    )
    def test_many_lines(self, line: str, entry: str) -> None:
        def reading(count: int) -> Callable[[], object]:
            lines = [line.replace("%d", str(at)) for at in range(count)]
            entries = [entry.replace("%d", str(at)) for at in range(count)]
            return lambda: read("\n".join(["#mtree", *lines, *entries, ""]))

        assert_linear(reading, 1500)

    @pytest.mark.parametrize(
        "word",
        [
            "type=fifo tags=" + ",".join(f"ext4writer.xattr.user.a{at}:x" for at in range(9999)),
            "type=fifo tags=" + ",".join(f"ext4writer.t{at}:x" for at in range(9999)),
            "type=fifo flags=" + "x" * 500_000,
            "type=fifo uname=r" + r"\$" * 250_000,
            "type=char device=" + "x" * 90 + ",1,3",
        ],
        ids=["attributes", "unknown tags", "flags", "name", "device"],
    )
    def test_one_long_line(self, word: str) -> None:
        text = "\n".join(["#mtree", f"/set {word}", *(f"f{at}" for at in range(3000)), ""])
        tree = Tree()

        def work() -> None:
            nonlocal tree
            tree = sources.manifest(text.encode(), users={b"r": 7})

        assert cpu_seconds(work) < 2
        assert len(tree.root.children) == 3000

    def test_unknown_keywords_are_counted(self) -> None:
        tree = read(
            "#mtree\n/set type=fifo k=1 tags=ext4writer.x:1\na\nb k=2\n/unset k\nc k=3\n"
            "/set k=4 all=5\nd tags=other\n/set k=5\ne\n/unset all\nf type=fifo\n"
        )
        unknown = "is unknown, and its value is not kept"
        assert [(loss.path, loss.what) for loss in tree.losses] == [
            (b"/a", f"the keyword k {unknown} (4 more entries)"),
            (b"/a", "the tag ext4writer.x is unknown (3 more entries)"),
            (b"/d", f"the keyword all {unknown} (1 more entries)"),
        ]

    def test_a_long_content_name_is_refused_immediately(self, tmp_path: Path) -> None:
        for name in (b"a/" * 400_000 + b"x", b"n" * 5000):
            with pytest.raises(SourceError, match="4095 is the most") as caught:
                sources.manifest(b"#mtree\nf type=file contents=" + name + b"\n", root=tmp_path)
            assert len(str(caught.value)) < 400
        with pytest.raises(SourceError, match="4095 is the most"):
            sources.manifest(b"#mtree\nl type=link link=" + b"n" * 4096 + b"\n", root=tmp_path)
        with pytest.raises(SourceError, match="has a sha256 of 200 digits"):
            sources.manifest(b"#mtree\nf type=file size=0 sha256=" + b"0" * 200 + b"\n")


class TestMtree:
    def test_every_keyword_that_counts(self) -> None:
        tree = read(
            "#mtree\n"
            "/set type=file uid=5 gid=6 mode=0640 time=1.5\n"
            ". type=dir mode=755\n"
            "  a size=0 # a comment\n"
            "\tb size=0 mode=4755 uid=70000 gid=4294967294 time=-2.000000003 \\\n"
            "   flags=none optional\n"
            "/unset mode uid\n"
            "c size=0\n"
            "/unset all\n"
            "d type=dir ignore\n"
            "l type=link link=../x\\040y mode=0777\n"
            "n type=char device=native,1,3\n"
            "o type=block device=linux,0x8,010\n"
            "p type=char device=0x11112c70\n"
            "q type=fifo nochange\n"
            "r type=socket tags=any,thing\n"
            "..\n"
        )
        assert tree.losses == []
        a, b, c = tree["/a"], tree["/b"], tree["/c"]
        assert (a.uid, a.gid, a.mode, a.mtime_ns) == (5, 6, 0o640, 1_000_000_005)
        assert (b.uid, b.gid, b.mode, b.mtime_ns) == (70000, 4294967294, 0o4755, -1_999_999_997)
        assert (c.uid, c.gid, c.mode, c.mtime_ns) == (0, 6, 0o644, 1_000_000_005)
        link = tree["/d/l"]
        assert isinstance(link, Symlink) and link.target == b"../x y"
        numbers = [
            (node.major, node.minor)
            for name in "nop"
            if isinstance(node := tree[f"/d/{name}"], Device)
        ]
        assert numbers == [(1, 3), (8, 8), (300, 70000)]
        assert isinstance(tree["/d/q"], Fifo)
        assert isinstance(tree["/d/r"], Socket)
        assert isinstance(tree["/d"], Directory)

    def test_names_are_unescaped(self) -> None:
        tree = read(b". type=dir\n./a\\040b\\012\\s\\t\\M-C\\M-)\\M^?\\^A\\\\\\# type=fifo\n")
        assert list(tree.root.children) == [b"a b\n \t\xc3\xa9\xff\x01\\#"]

    def test_parents_that_no_line_states_are_implied(self) -> None:
        tree = read("x/y/z type=fifo uid=3\n./x type=dir uid=4\n")
        folder, inner = tree["/x"], tree["/x/y"]
        assert isinstance(folder, Directory) and isinstance(inner, Directory)
        assert (folder.uid, folder.implied) == (4, False)
        assert (inner.uid, inner.mode, inner.implied) == (0, 0o755, True)
        assert tree.root.implied

    def test_lines_of_one_path_add_up(self) -> None:
        tree = read(". type=dir\n./a type=fifo uid=3\n./a gid=4\n./a type=fifo uid=5\n")
        assert (tree["/a"].uid, tree["/a"].gid) == (5, 4)

    def test_content(self, tmp_path: Path) -> None:
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "f").write_bytes(b"one")
        (tmp_path / "else where").write_bytes(b"other")
        (tmp_path / "m").write_text(
            ". type=dir\n./sub type=dir\n./sub/f type=file size=3\n"
            "./g type=file contents=else\\swhere\n"
            f"./h type=file contents={tmp_path}/sub/f\n./i type=file size=0\n"
            "./gone type=file optional size=3\n"
        )
        tree = sources.manifest(tmp_path / "m")
        assert whole(content_at(tree, "/sub/f")) == b"one"
        assert whole(content_at(tree, "/g")) == b"other"
        assert whole(content_at(tree, "/h")) == b"one"
        assert content_at(tree, "/i").size == 0
        assert "/gone" not in tree
        [loss] = tree.losses
        assert loss.path == b"/gone" and "optional" in loss.what

    def test_hard_links(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"x")
        tree = read(
            ". type=dir\n"
            "./a type=file size=1 nlink=2 inode=7 resdevice=native,1,2\n"
            "./b type=file size=1 nlink=2 inode=7 resdevice=native,1,2\n"
            "./c type=fifo nlink=1 inode=7 resdevice=native,1,2\n"
            "./d type=fifo inode=7 resdevice=native,1,3\n"
            "./e type=fifo inode=7 resdevice=native,1,3\n",
            root=tmp_path,
        )
        assert tree["/a"] is tree["/b"]
        assert tree["/d"] is tree["/e"]
        assert tree["/c"] is not tree["/d"]
        assert tree.losses == []

    def test_owners_by_name(self) -> None:
        text = ". type=dir uname=root gname=wheel\n./a type=fifo uid=5 uname=nobody gname=wheel\n"
        tree = read(text, users=NAMES, groups=NAMES)
        assert (tree.root.uid, tree.root.gid, tree["/a"].uid) == (0, 7, 5)
        with pytest.raises(SourceError, match="line 1: /: belongs to the user b'root'.*uid="):
            read(text)
        with pytest.raises(SourceError, match="line 1: /: belongs to the group b'wheel'"):
            read(text, users=NAMES)

    def test_ignored_keywords_are_reported_once(self) -> None:
        entries = "".join(f"./{n} type=fifo what=x flags=uchg,nodump\n" for n in range(5))
        tree = read(". type=dir\n" + entries)
        assert tree.losses == [
            Loss(b"/0", "the file flags uchg are not kept (4 more entries)"),
            Loss(
                b"/0",
                "the keyword what is unknown, and its value is not kept (4 more entries)",
            ),
        ]

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("./a type=fifo\n./a type=dir", "line 2: /a: is in the manifest already, with an"),
            ("./a type=door", "line 1: /a: has the unknown type b'door'"),
            ("./a", "/a: has no type="),
            ("./a type", "b'type' is not KEYWORD=VALUE"),
            ("./a type=link", "is a link without link="),
            ("./a type=link link=", "is a symbolic link without a target"),
            ("./a type=char", "is a device without device="),
            ("./a type=char device=native,1", "write native,MAJOR,MINOR"),
            ("./a type=char device=native,1,x", ", not a number"),
            ("./a type=char device=native,1,2,3", "write native,MAJOR,MINOR"),
            ("./a type=fifo uid=-1", "uid '-1' is not a number"),
            ("./a type=fifo uid=4294967296", "uid 4294967296, above"),
            ("./a type=fifo mode=99", "has the invalid mode b'99'"),
            ("./a type=fifo mode=17777", "has the invalid mode"),
            ("./a type=fifo mode=u", "has the invalid mode"),
            ("./a type=fifo time=yesterday", "is not seconds.nanoseconds"),
            ("./a type=fifo time=1.1234567890", "is not seconds.nanoseconds"),
            ("./a type=file size=99999999999999999999", "above"),
            ("./a type=file size=5", "its content: a: is named as content, but no root"),
            ("./a type=fifo\n./a/b type=fifo", "is below something that is not a directory"),
            ("..\n..", "leads out of the tree"),
            (". type=dir\na type=dir\n..\n..\n..", "line 5: '..' leads out of the tree"),
            ("./a/../b type=fifo", "'..' cannot be the name"),
            ("a/.. type=fifo", "'..' cannot be the name"),
            ("./\\056\\056/x type=fifo", "'..' cannot be the name"),
            ("./a\\057b type=fifo", "cannot hold a slash"),
            ("./a\\000b type=fifo", "cannot hold a slash or a NUL"),
            ("/etc/passwd type=fifo", "is neither /set nor /unset"),
            ("./" + "x" * 256 + " type=fifo", "its name has 256 bytes"),
            ("./\\q type=fifo", "escape"),
            ("./\\777 type=fifo", "is not a byte"),
            (". type=file", "must be a directory"),
            ("./a type=fifo inode=1\n./b type=char device=1 inode=1", "of another type"),
            ("./a type=fifo \\", "ends after a line that is to be continued"),
            ("./a type=fifo\0", "NUL"),
            ("x" * 300 + " type=fifo", "its name has 300 bytes"),
        ],
    )
    def test_errors_name_the_line(self, text: str, problem: str) -> None:
        with pytest.raises(SourceError) as caught:
            read(text, format="mtree")
        assert problem in str(caught.value)
        assert str(caught.value).startswith("(manifest in memory): line ")


class TestDigests:
    DATA = bytes(range(256)) * 700

    @pytest.mark.parametrize("kind", ["cksum", "md5", "sha1", "sha256", "sha384", "sha512"])
    def test_each_kind_is_that_of_the_programs(self, kind: str, tmp_path: Path) -> None:
        for size in (0, 1, 255, 256, 65536, 70000):
            data = self.DATA[:size]
            (tmp_path / "f").write_bytes(data)
            program = "cksum" if kind == "cksum" else f"{kind}sum"
            digest = run([program, tmp_path / "f"]).stdout.split()[0]
            text = f"./f type=file size={size} {kind}={digest}\n"
            content = content_at(read(text, root=tmp_path), "/f")
            assert whole(content) == data
            assert in_pieces(content) == data

    def test_another_digest_is_an_error_when_it_is_read(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(self.DATA)
        wrong = hashlib.sha256(b"").hexdigest()
        text = f"./f type=file size={len(self.DATA)} sha256digest={wrong}\n"
        tree = read(text, root=tmp_path)
        for take in (whole, in_pieces):
            with pytest.raises(SourceChangedError, match="/f: has the sha256 .* manifest says e3b"):
                take(content_at(tree, "/f"))
        with pytest.raises(SourceChangedError, match="sha256"):
            ext4writer.write_image(tree, bytearray())
        ext4writer.write_image(read(text, root=tmp_path, verify=False), bytearray())

    def test_holes_are_part_of_the_digest(self, tmp_path: Path) -> None:
        """The writer does not read known holes."""
        data = b"a" * 5000 + bytes(1 << 20) + b"b" * 5000 + bytes(3 << 20)
        (tmp_path / "f").write_bytes(data)
        good = hashlib.sha512(data).hexdigest()
        bad = hashlib.sha512(data[:-1] + b"\1").hexdigest()
        tree = read(f"./f type=file sha512={good}", root=tmp_path)
        memory = bytearray()
        ext4writer.write_image(tree, memory, workers=3)
        with pytest.raises(SourceChangedError, match="sha512"):
            ext4writer.write_image(read(f"./f type=file sha512={bad}", root=tmp_path), bytearray())

    def test_the_digest_of_an_empty_file_is_checked_immediately(self) -> None:
        with pytest.raises(SourceError, match="/f: has the md5 d41d8"):
            read("./f type=file size=0 md5=00000000000000000000000000000000")

    def test_an_unknown_kind_is_reported(self) -> None:
        [loss] = read("./f type=file size=0 rmd160=aa").losses
        assert "rmd160, which is not checked" in loss.what


DUMP_ROOT = "/ 4096 40755 2 0 0 0 0.0 - - -\n"


class TestDump:
    def test_the_example_of_the_page(self, tmp_path: Path) -> None:
        (tmp_path / "35").mkdir()
        (tmp_path / "35" / "d02f").write_bytes(b"x" * 259)
        tree = read(
            "/ 4096 40755 4 1000 1000 0 1695372970.944925700 - - - "
            "security.selinux=unconfined_u:object_r:unlabeled_t:s0\\x00\n"
            "/a\\x20dir\\x20w\\x20space 27 40755 2 1000 1000 0 1694598852.869646118 - - -\n"
            "/a-dir 45 40755 2 1000 1000 0 1674041780.601887980 - - -\n"
            "/a-hardlink 259 @100644 1 1000 1000 0 1695368732.385062094 /a-dir/a-file - -\n"
            "/a-dir/a-file 259 100644 1 1000 1000 0 1695368732.385062094 35/d02f - "
            "35d02f81325122d77ec1d11baba655bc9bf8a891ab26119a41c50fa03ddfb408 user.a\\x3db=\\xff=\n"
            "/inline.txt 10 100644 1 1000 1000 0 1.1 - some-text\\n -\n"
            "/dash 1 100600 1 0 0 0 0.0 - \\x2d -\n"
            "/link 1 120777 1 0 0 0 0.0 \\x2d - -\n"
            "/dev 0 20666 1 0 0 286338160 0.0 - - -\n"
            "/sock 0 140755 1 0 0 0 0.0 - - -\n"
            "/pipe 7 10644 1 0 0 9 -1.999999999 - - -",
            root=tmp_path,
        )
        assert tree.losses == []
        assert tree.root.xattrs == {b"security.selinux": b"unconfined_u:object_r:unlabeled_t:s0\0"}
        assert tree.root.mtime_ns == 1695372970_944925700
        assert "/a dir w space" in tree
        assert tree["/a-hardlink"] is tree["/a-dir/a-file"]
        assert tree["/a-hardlink"].xattrs == {b"user.a=b": b"\xff="}
        assert whole(content_at(tree, "/a-hardlink")) == b"x" * 259
        assert whole(content_at(tree, "/inline.txt")) == b"some-text\n"
        assert tree["/inline.txt"].mtime_ns == 1_000_000_001
        assert whole(content_at(tree, "/dash")) == b"-"
        link, device = tree["/link"], tree["/dev"]
        assert isinstance(link, Symlink) and link.target == b"-"
        assert isinstance(device, Device) and (device.major, device.minor) == (300, 70000)
        assert isinstance(tree["/sock"], Socket) and isinstance(tree["/pipe"], Fifo)
        assert tree["/pipe"].mtime_ns == -1

    @pytest.mark.parametrize(
        ("line", "problem"),
        [
            ("/a 0 100644 1 0 0 0 0.0 - -", "it has 10 fields"),
            ("a 0 100644 1 0 0 0 0.0 - - -", "does not begin with a slash"),
            ("/ 0 40755 1 0 0 0 0.0 - - -", "must be one directory"),
            ("/a/ 0 40755 1 0 0 0 0.0 - - -", "an empty component"),
            ("//a 0 40755 1 0 0 0 0.0 - - -", "an empty component"),
            ("/. 0 40755 1 0 0 0 0.0 - - -", "'.' cannot be the name"),
            ("/.. 0 40755 1 0 0 0 0.0 - - -", "'..' cannot be the name"),
            ("/a/b 0 40755 1 0 0 0 0.0 - - -", "its folder is not in the manifest before it"),
            ("/a 0 644 1 0 0 0 0.0 - - -", "its mode has no kind of file"),
            ("/a 0 1000000 1 0 0 0 0.0 - - -", "mode"),
            ("/a 0 10x 1 0 0 0 0.0 - - -", "is not a number"),
            ("/a -1 100644 1 0 0 0 0.0 - - -", "size '-1' is not a number"),
            ("/a 5 100644 1 0 0 0 0.0 - abc -", "has 3 bytes of content but the size 5"),
            ("/a 5 100644 1 0 0 0 0.0 - - -", "neither payload nor content"),
            ("/a 5 100644 1 0 0 0 0.0 x - -", "no root was given"),
            ("/a 5 120777 1 0 0 0 0.0 - - -", "without a target"),
            ("/a 5 120777 1 0 0 0 0.0 a\\x00b - -", "without a target, or with a NUL"),
            ("/a 0 100644 1 0 0 0 0.0 - - - =x", "is not NAME=VALUE"),
            ("/a 0 100644 1 0 0 0 0.0 - - - user.x", "is not NAME=VALUE"),
            ("/a 0 100644 1 0 0 0 0.0 - - - user.x=1 user.x=2", "occurs twice"),
            ("/a 0 100644 1 0 0 0 0 - - - \\", "escape"),
            ("/a\\q 0 100644 1 0 0 0 0.0 - - -", "escape"),
            ("/a\\x0 0 100644 1 0 0 0 0.0 - - -", "escape"),
            ("/a 0 @40755 1 0 0 0 0.0 / - -", "is a directory, which cannot"),
            ("/a 0 @100644 1 0 0 0 0.0 / - -", "is a directory"),
            ("/a 0 @100644 1 0 0 0 0.0 - - -", "is a hard link without a target"),
            ("/a 0 @100644 1 0 0 0 0.0 /a - -", "is itself a hard link"),
            ("/a 0 @100644 1 0 0 0 0.0 /b - -", "is not in the manifest"),
            ("/" + "x" * 256 + " 0 10644 1 0 0 0 0.0 - - -", "its name has 256 bytes"),
            ("/a 0 10644 1 0 0 0 0.x - - -", "is not seconds"),
        ],
    )
    def test_errors_name_the_line(self, line: str, problem: str) -> None:
        with pytest.raises(SourceError) as caught:
            read(DUMP_ROOT + line + "\n")
        assert problem in str(caught.value)
        assert str(caught.value).startswith("(manifest in memory): line 2: ")

    def test_the_root_comes_first(self) -> None:
        with pytest.raises(SourceError, match="line 1: /a: the root / is not in the manifest"):
            read("/a 0 10644 1 0 0 0 0.0 - - -\n")

    def test_a_path_comes_once(self) -> None:
        line = "/a 0 10644 1 0 0 0 0.0 - - -\n"
        with pytest.raises(SourceError, match="line 3: /a: is in the manifest already"):
            read(DUMP_ROOT + line + line)


class TestStrangers:
    """An untrusted manifest reads no file outside its root, and ends in bounded time."""

    @pytest.mark.parametrize("form", ["mtree", "dump"])
    @pytest.mark.parametrize(
        "name", ["../secret", "sub/../../secret", "{outside}/secret", "way/secret", "final"]
    )
    def test_nothing_outside_of_the_root_is_read(
        self, name: str, form: str, tmp_path: Path
    ) -> None:
        inside, outside = tmp_path / "in", tmp_path / "out"
        (inside / "sub").mkdir(parents=True)
        outside.mkdir()
        for place in (outside, tmp_path):
            (place / "secret").write_bytes(b"secret")
        (inside / "way").symlink_to(outside)
        (inside / "final").symlink_to(outside / "secret")
        name = name.format(outside=outside)
        text = (
            f"./f type=file size=6 contents={name}\n"
            if form == "mtree"
            else f"{DUMP_ROOT}/f 6 100644 1 0 0 0 0.0 {name} - -\n"
        )
        with pytest.raises(SourceError, match="/f: its (content|payload)"):
            read(text, root=inside)

    def test_a_wider_root_allows_more(self, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "out").write_bytes(b"secret")
        text = f"./f type=file contents={tmp_path}/out\n"
        with pytest.raises(SourceError, match="is outside the root .*/in"):
            read(text, root=tmp_path / "in")
        assert content_at(read(text, root="/"), "/f").size == 6

    def test_a_host_link_is_not_content(self, tmp_path: Path) -> None:
        (tmp_path / "f").symlink_to("/etc/passwd")
        with pytest.raises(SourceError, match="is not a regular file"):
            read("./f type=file\n", root=tmp_path)

    def test_content_that_is_not_a_file(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "f")
        with pytest.raises(SourceError, match="is not a regular file"):
            read("./f type=file\n", root=tmp_path)

    def test_content_of_another_size(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(b"1234")
        with pytest.raises(SourceError, match="has 4 bytes, and the manifest says 3"):
            read("./f type=file size=3\n", root=tmp_path)

    def test_missing_content(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="/f: its content .* does not exist"):
            read("./f type=file size=3\n", root=tmp_path)
        with pytest.raises(SourceError, match="/f: its payload .* does not exist"):
            read(f"{DUMP_ROOT}/f 6 100644 1 0 0 0 0.0 x - -\n", root=tmp_path)

    def test_a_million_nested_folders(self) -> None:
        began = time.process_time()
        with pytest.raises(SourceError, match="its path has more than 32,768 bytes"):
            read(b". type=dir\n" + b"d type=dir\n" * 1_000_000)
        with pytest.raises(SourceError, match="its path has 100,002 bytes"):
            read(b"./" + b"d/" * 50_000 + b"f type=fifo\n")
        lines = [DUMP_ROOT.encode()]
        lines += [b"/d" * n + b" 0 40755 1 0 0 0 0.0 - - -\n" for n in range(1, 4000)]
        assert len(list(read(b"".join(lines)).walk())) == 4000
        assert time.process_time() - began < 20

    def test_a_line_without_end(self) -> None:
        with pytest.raises(SourceError, match="line 1: it is longer than 1,048,576 bytes"):
            read(b"x" * (2 << 20))
        with pytest.raises(SourceError, match="with its continuation lines"):
            read(b"./x type=fifo " + b"a=b \\\n" * 300_000)

    def test_a_path_by_the_million(self) -> None:
        tree = read(b". type=dir\n" + b"./a type=fifo uid=3 strange=x\n" * 300_000)
        assert len(tree.root.children) == 1
        assert len(tree.losses) == 1


class TestHowItIsRead:
    def test_the_format_shows_at_the_beginning(self) -> None:
        assert read(DUMP_ROOT).root.mode == 0o755
        assert read("\n# comment\n. type=dir mode=700").root.mode == 0o700
        with pytest.raises(SourceError, match="neither /set"):
            read(DUMP_ROOT, format="mtree")
        with pytest.raises(SourceError, match="fields"):
            read(". type=dir", format="dump")

    def test_nothing_is_an_empty_tree(self) -> None:
        tree = read(b"")
        assert [path for path, _ in tree.walk()] == [b"/"]

    def test_a_stream_is_read_and_left_open(self) -> None:
        for stream in (
            io.BytesIO(DUMP_ROOT.encode()),
            io.BufferedReader(io.BytesIO(DUMP_ROOT.encode())),
        ):
            assert sources.manifest(stream).root.mode == 0o755
            assert not stream.closed

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="No such file"):
            sources.manifest(tmp_path / "none")
        with pytest.raises(SourceError, match="directory"):
            sources.manifest(tmp_path)

    def test_progress_and_cancelling(self) -> None:
        text = ". type=dir\n" + "".join(f"./{n} type=fifo\n" for n in range(3000))
        seen: list[Progress] = []
        read(text, progress=seen.append)
        assert [report.entries for report in seen] == [1024, 2048, 3001]

        class Stop:
            def is_set(self) -> bool:
                return True

        with pytest.raises(CancelledError):
            read(text, cancel=Stop())

    def test_windows_line_ends(self) -> None:
        tree = read(b"#mtree\r\n. type=dir\r\n./a type=fifo \\\r\n  uid=4\r\n")
        assert tree["/a"].uid == 4


WORDS = st.sampled_from(
    [
        *(b"type=dir type=file type=link type=fifo type=char type=block type=socket".split()),
        *(b"mode=755 mode=u+x uid=0 uid=99999999999 gid=5 uname=root time=1.5 time=-1".split()),
        *(b"size=0 size=3 link=x device=native,1,2 device=5 nlink=2 inode=1 optional".split()),
        *(b"contents=f contents=../f sha256=00 cksum=0 flags=uchg ignore unknown=1 =".split()),
        *(b"tags=ext4writer.xattr.user.a:b tags=ext4writer.inode:2,ext4writer.atime:1".split()),
        *(b"tags=ext4writer.atime:x tags=ext4writer.zzz \\ \\\n # \0 \xff".split(b" ")),
    ]
)
PATHS = st.sampled_from(
    [*(b". .. ./ a b ./a ./a/b ./a/b/c a/../b /set /unset /x # \\056\\056 \\000 f".split())]
)
MTREE = st.lists(
    st.builds(lambda path, words: b" ".join([path, *words]), PATHS, st.lists(WORDS, max_size=6)),
    max_size=12,
).map(b"\n".join)
FIELDS = st.sampled_from(
    [
        *(b"/ /a /a/b /b /. a - @100644 100644 40755 120777 20666 10644 140755 0 1 3 -1".split()),
        *(b"0.0 1.5 1.x f ../f \\x2d \\x0 abc user.a=b =x \\ 99999999999999999999".split()),
    ]
)
GOOD = (b"0", b"40755", b"2", b"0", b"0", b"0", b"0.0", b"-", b"-", b"-")
DUMP_LINES = st.one_of(
    st.lists(FIELDS, max_size=14).map(b" ".join),
    st.tuples(FIELDS, st.integers(0, 9), FIELDS).map(
        lambda three: b" ".join([three[0], *GOOD[: three[1]], three[2], *GOOD[three[1] + 1 :]])
    ),
)
DUMP = st.lists(DUMP_LINES, max_size=10).map(
    lambda lines: b"\n".join([DUMP_ROOT.encode().rstrip(), *lines])
)


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    text=st.one_of(st.binary(max_size=300), MTREE, DUMP),
    form=st.sampled_from([None, "mtree", "dump"]),
)
def test_any_text_is_a_tree_or_an_error(
    text: bytes, form: str | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = fuzz_root(tmp_path_factory)
    try:
        tree = read(text, root=root, format=form)
    except ext4writer.Ext4WriterError as error:
        assert "\n" not in str(error)
        return
    for path, node in tree.walk():
        assert b"\0" not in path and b"//" not in path
        assert not {b".", b".."} & set(path.split(b"/"))
        assert 0 <= node.mode <= 0o7777
        if isinstance(node, RegularFile):
            assert node.content.size in (0, 3)


_fuzz_root: list[Path] = []


def fuzz_root(factory: pytest.TempPathFactory) -> Path:
    if not _fuzz_root:
        root = factory.mktemp("fuzz")
        (root / "f").write_bytes(b"abc")
        (root / "a").write_bytes(b"abc")
        _fuzz_root.append(root)
    return _fuzz_root[0]


def test_a_damaged_manifest_is_an_error_or_a_tree(folder: Path, tmp_path: Path) -> None:
    """Bytes are changed, lost and doubled in a manifest that a program wrote."""
    listing = tmp_path / "x.mtree"
    run(["bsdtar", "-cf", listing, "--format=mtree", "--options=all", "-C", folder, "."])
    text = listing.read_bytes()
    rng = random.Random(7)
    errors = 0
    for _ in range(400):
        data = bytearray(text)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(data))
            match rng.randrange(3):
                case 0:
                    data[at] = rng.randrange(256)
                case 1:
                    del data[at : at + rng.randrange(1, 40)]
                case _:
                    data[at:at] = data[at : at + rng.randrange(1, 40)]
        try:
            read(bytes(data), root=folder)
        except ext4writer.Ext4WriterError:
            errors += 1
    assert errors > 50


@pytest.mark.slow
def test_a_manifest_is_read_about_as_fast_as_a_directory(tmp_path: Path) -> None:
    """30,000 files; the bound is generous because machines are busy."""
    root = tmp_path / "many"
    for number in range(30):
        (root / str(number)).mkdir(parents=True)
        for name in range(1000):
            (root / str(number) / f"f{name}").touch()
    for path in (root, *root.iterdir()):
        os.utime(path, (1, 1))
    began = time.process_time()
    tree = sources.directory(root, xattrs=False)
    scan = time.process_time() - began
    text = io.BytesIO()
    ext4writer.manifests.write_mtree(tree, text, root=root)
    began = time.process_time()
    again = sources.manifest(text.getvalue(), root=root)
    assert sum(1 for _ in again.walk()) == 30_031
    assert time.process_time() - began < 6 * scan + 1


def test_sockets_of_the_host(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("needs Linux")
    tools.require("mtree")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        text = run(["mtree", "-c", "-k", "uid,gid,mode", "-p", tmp_path]).stdout
    assert isinstance(read(text)["/s"], Socket)


def test_folders_that_a_manifest_leaves_out_have_a_bound() -> None:
    """Two bytes of a path create a directory."""
    lines = [b"%d" % number + b"/d" * 15_000 + b" type=dir" for number in range(8)]
    text = b"#mtree\n" + b"\n".join(lines) + b"\n"
    with pytest.raises(SourceError, match="line 8: .*more than 100,000 folders"):
        sources.manifest(text)
    few = b"#mtree\n" + b"\n".join(lines[:6]) + b"\n"
    assert len(sources.manifest(few).root.children) == 6
