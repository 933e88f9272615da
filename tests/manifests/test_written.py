"""Manifests as output: they build the same image again, and the other programs read them."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ext4writer
from ext4writer import (
    Directory,
    Loss,
    Socket,
    SourceError,
    Tree,
    TreeError,
    manifests,
    sources,
)
from ext4writer.content import Content
from ext4writer.streamed import CallableContent
from tests.builder.command import assert_one_line
from tests.builder.command import run as command
from tests.judges import tools
from tests.judges.kernel import mounted
from tests.judges.tools import run
from tests.makers.host_tree import adapted, materialise
from tests.makers.manifests import FIXTURES, load

pytestmark = pytest.mark.judged("quick")


def written(tree: Tree, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    write = manifests.write_mtree if kind == "mtree" else manifests.write_dump
    write(tree, stream, **options)  # type: ignore[operator]
    return stream.getvalue()


def image(tree: Tree) -> bytes:
    data = bytearray()
    ext4writer.write_image(tree, data)
    return bytes(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of ``fixtures/host.toml`` in a directory, with a few more awkward entries."""
    path = tmp_path_factory.mktemp("written") / "tree"
    tree = adapted(load(FIXTURES / "host.toml").tree)
    materialise(tree, path)
    extra = path / "extra"
    (extra / "b").mkdir(parents=True)
    (extra / "z").write_bytes(b"linked")
    os.link(extra / "z", extra / "b" / "a")
    os.setxattr(extra / "z", "user.odd=:,\\", b"\0\xff,: =\\\n#")
    os.symlink("-", extra / "dash")
    for name in (b"a b", b"*?[]#", b"\\x41", b"\xff\xfe", b"-", b"new\nline", b"=", b"a,b:c"):
        (extra / os.fsdecode(name)).write_bytes(name)
    for each in (extra / "b", extra):
        os.utime(each, ns=(-1, -1))
    return path


@pytest.mark.parametrize("kind", ["mtree", "dump"])
def test_a_written_manifest_builds_the_same_image(kind: str, folder: Path, tmp_path: Path) -> None:
    tree = sources.directory(folder)
    text = written(tree, kind, root=folder)
    again = sources.manifest(text, root=folder)
    assert again.losses == []
    assert image(again) == image(tree)
    assert written(again, kind, root=folder) == text
    if kind == "mtree":
        assert b"contents=" not in text


def test_one_image_of_the_directory_and_all_manifests_of_it(folder: Path, tmp_path: Path) -> None:
    """As a directory, as bsdtar's mtree, as our mtree and dump, and each converted to another."""
    tree = sources.directory(folder, xattrs=False)
    listing = tmp_path / "bsdtar.mtree"
    run(["bsdtar", "-cf", listing, "--format=mtree", "--options=all", "-C", folder, "."])
    found = {
        "directory": tree,
        "bsdtar": sources.manifest(listing, root=folder),
        "mtree": sources.manifest(written(tree, "mtree", root=folder), root=folder),
        "dump": sources.manifest(written(tree, "dump", root="/"), root="/"),
    }
    found["dump of mtree"] = sources.manifest(written(found["mtree"], "dump", root="/"), root="/")
    found["mtree of bsdtar"] = sources.manifest(
        written(found["bsdtar"], "mtree", root=folder), root=folder
    )
    images = {name: image(each) for name, each in found.items()}
    assert len(set(images.values())) == 1, list(images)


def test_all_four_times_and_attributes_are_restored() -> None:
    tree = Tree(Directory(0o700, uid=5, mtime_ns=3, xattrs={b"user.a": b""}))
    tree.fifo("/p", mtime_ns=-1, atime_ns=5, ctime_ns=-2_000_000_001, crtime_ns=7 * 10**9)
    tree["/p"].xattrs = {b"user.a:b=c,d": bytes(range(256)), b"trusted.x": b"y"}
    again = sources.manifest(written(tree, "mtree"))
    for path, node in tree.walk():
        other = again[path]
        for name in ("mode", "uid", "gid", "mtime_ns", "atime_ns", "ctime_ns", "crtime_ns"):
            assert getattr(other, name) == getattr(node, name), (path, name)
        assert other.xattrs == node.xattrs


def test_a_dump_reports_times_for_which_it_has_no_field() -> None:
    tree = Tree()
    tree.fifo("/p", mtime_ns=1, atime_ns=1, ctime_ns=2)
    assert manifests.write_dump(tree, io.BytesIO()) == [Loss(b"/p", "ctime has no field in a dump")]


class TestContent:
    def test_names_are_from_the_root_or_whole(self, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "f").write_bytes(b"1")
        (tmp_path / "out").write_bytes(b"2")
        tree = Tree()
        tree.file("/f", tmp_path / "in" / "f")
        tree.file("/g", tmp_path / "in" / "f")
        tree.file("/h", tmp_path / "out")
        text = written(tree, "mtree", root=tmp_path / "in").decode()
        assert "./f type=file mode=0644 uid=0 gid=0 time=0.000000000 size=1\n" in text
        assert "./g type=file mode=0644 uid=0 gid=0 time=0.000000000 size=1 contents=f\n" in text
        assert f"size=1 contents={tmp_path}/out\n" in text
        text = written(tree, "dump").decode()
        assert f" {tmp_path}/in/f - -\n" in text and f" {tmp_path}/out - -\n" in text
        assert image(sources.manifest(text.encode(), root="/")) == image(tree)

    def test_content_that_is_not_in_a_file(self, tmp_path: Path) -> None:
        tree = Tree()
        tree.file("/empty", b"")
        tree.file("/small", b"-")
        text = written(tree, "dump")
        assert image(sources.manifest(text)) == image(tree)
        with pytest.raises(TreeError, match="/small: its 1 bytes are not a file of the host"):
            written(tree, "mtree")
        tree.file("/large", bytes(5001))
        with pytest.raises(TreeError, match="/large: its 5,001 bytes are not a file of the host"):
            written(tree, "dump")
        asked: list[bytes] = []

        def store(path: bytes, content: Content) -> bytes:
            asked.append(path)
            data = bytearray(content.size)
            content.read_whole(memoryview(data))
            place = tmp_path / f"{len(asked)}"
            place.write_bytes(data)
            return os.fsencode(place)

        for kind in ("mtree", "dump"):
            text = written(tree, kind, root=tmp_path, store=store)
            assert image(sources.manifest(text, root=tmp_path)) == image(tree)
        assert asked == [b"/large", b"/small", b"/large"]

    def test_digests_are_checked_when_it_is_built(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(b"12345")
        tree = sources.directory(tmp_path)
        text = written(tree, "mtree", root=tmp_path, digest="sha512")
        assert image(sources.manifest(text, root=tmp_path)) == image(tree)
        (tmp_path / "f").write_bytes(b"12346")
        with pytest.raises(SourceError, match="/f: has the sha512"):
            image(sources.manifest(text, root=tmp_path))

    def test_which_name_a_scan_met_first_does_not_matter(self, tmp_path: Path) -> None:
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "a").write_bytes(b"x")
        os.link(tmp_path / "b" / "a", tmp_path / "z")
        texts = set()
        for first, second in (("b/a", "z"), ("z", "b/a")):
            tree = Tree()
            tree.directory("/b")
            tree.file(first, tmp_path / first)
            tree.link(second, first)
            texts.add(written(tree, "mtree", root=tmp_path) + written(tree, "dump", root=tmp_path))
        assert len(texts) == 1

    def test_the_reading_may_fail(self) -> None:
        tree = Tree()
        tree.file("/f", CallableContent(lambda: io.BytesIO(b"12"), 3, b"/f"))
        with pytest.raises(ext4writer.DeclaredSizeError):
            written(tree, "dump")


class TestWhoElseReadsIt:
    def test_bsdtar_reads_the_same_tree(self, folder: Path, tmp_path: Path) -> None:
        """bsdtar lists our mtree like the directory itself; it cannot read sockets."""
        listing = tmp_path / "x.mtree"
        tree = sources.directory(folder)
        left_out = [os.fsdecode(path) for path, node in tree.walk() if isinstance(node, Socket)]
        for path in left_out:
            tree.remove(path)
        listing.write_bytes(written(tree, "mtree", root=folder))
        shown = []
        excluded = [f"--exclude=.{path}" for path in left_out]
        for arguments in ([f"@{listing}"], ["-C", folder, *excluded, "."]):
            form = "--options=!all,type,mode,uid,gid,time,size,link,device"
            out = run(["bsdtar", "-cf", "-", "--format=mtree", form, *arguments], cwd=folder)
            shown.append(sorted(out.stdout.splitlines()))
        assert len(shown[0]) > 15
        assert shown[0] == shown[1]

    def test_mtree_finds_nothing_wrong_with_the_directory(
        self, folder: Path, tmp_path: Path
    ) -> None:
        listing = tmp_path / "x.mtree"
        listing.write_bytes(
            written(sources.directory(folder), "mtree", root=folder, digest="sha256")
        )
        assert run(["mtree", "-p", folder, "-f", listing]).stdout == ""
        wrong = listing.read_bytes().replace(b"mode=0", b"mode=1", 1)
        listing.write_bytes(wrong)
        assert run(["mtree", "-p", folder, "-f", listing], check=False).returncode == 2

    def test_mtree_finds_nothing_wrong_with_the_mounted_image(
        self, folder: Path, tmp_path: Path, make_image
    ) -> None:
        listing = tmp_path / "x.mtree"
        tree = sources.directory(folder)
        listing.write_bytes(written(tree, "mtree", root=folder, digest="sha1"))
        with mounted(make_image(tree)) as point:
            said = run(["mtree", "-p", point, "-f", listing], check=False).stdout
        # The image also has lost+found.
        assert said in ("", "extra: lost+found\n")

    def test_composefs_reads_and_writes_the_same_dump(self, folder: Path, tmp_path: Path) -> None:
        """mkcomposefs is in Debian since release 13."""
        if tools.find("mkcomposefs") is None or tools.find("composefs-info") is None:
            message = "mkcomposefs is not here to compare with; apt-get install composefs"
            tools.missing_oracles.add(message)
            pytest.skip(message)
        listing, packed = tmp_path / "x.dump", tmp_path / "x.cfs"
        listing.write_bytes(written(sources.directory(folder), "dump", root=folder))
        run(["mkcomposefs", "--from-file", listing, packed])
        done = subprocess.run(
            [tools.require("composefs-info"), "dump", packed], capture_output=True, check=True
        )
        theirs = [line.split(b" ") for line in sorted(done.stdout.splitlines())]
        ours = [line.split(b" ") for line in sorted(listing.read_bytes().splitlines())]
        assert len(theirs) == len(ours) > 15
        for their, our in zip(theirs, ours, strict=True):
            if our[2].startswith(b"40"):
                # composefs-dump(5) ignores the sizes of directories.
                their[1] = our[1]
            if our[2].startswith(b"10") and their[8].startswith(our[8]):
                # composefs 1.0.8 reads two bytes too many of a payload.
                their[8] = our[8]
            assert their == our


NAMES = st.binary(min_size=1, max_size=12).filter(
    lambda name: (
        not {b"/", b"\0"} & {name[i : i + 1] for i in range(len(name))}
        and name not in (b".", b"..")
    )
)
XATTRS = st.dictionaries(
    st.binary(min_size=1, max_size=8)
    .filter(lambda name: b"\0" not in name)
    .map(lambda name: b"user." + name),
    st.binary(max_size=20),
    max_size=2,
)
TIMES = st.integers(-(10**19), 10**19)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Small trees of every kind, with awkward names, times and attributes."""
    tree = Tree()
    folders: list[Directory] = [tree.root]
    files = []
    for name in draw(st.lists(NAMES, max_size=8, unique=True)):
        folder = draw(st.sampled_from(folders))
        common = {
            "mode": draw(st.integers(0, 0o7777)),
            "uid": draw(st.integers(0, (1 << 32) - 2)),
            "gid": draw(st.integers(0, (1 << 32) - 2)),
            "mtime_ns": draw(TIMES),
            "xattrs": draw(XATTRS) or None,
        }
        match draw(st.integers(0, 6)):
            case 0:
                node = Directory(**common)
                folders.append(node)
            case 1:
                data = draw(st.binary(max_size=30))
                node = ext4writer.RegularFile(ext4writer.BytesContent(data), **common)
                files.append(node)
            case 2:
                target = draw(st.binary(min_size=1, max_size=20).filter(lambda t: b"\0" not in t))
                node = ext4writer.Symlink(target, **common)
            case 3:
                major, minor = draw(st.integers(0, 4095)), draw(st.integers(0, (1 << 20) - 1))
                node = ext4writer.CharacterDevice(major, minor, **common)
            case 4:
                node = ext4writer.Fifo(**common)
            case 5:
                node = Socket(**common)
            case _:
                node = draw(st.sampled_from(files)) if files else ext4writer.Fifo(**common)
        folder.children[name] = node
    return tree


def facts(tree: Tree) -> list[tuple[object, ...]]:
    numbers: dict[object, int] = {}
    found = []
    for path, node in tree.walk():
        data = b""
        if isinstance(node, ext4writer.RegularFile):
            buffer = bytearray(node.content.size)
            node.content.read_whole(memoryview(buffer))
            data = bytes(buffer)
        kind = [getattr(node, name, None) for name in ("target", "major", "minor")]
        number = numbers.setdefault(node, len(numbers))
        common = (node.mode, node.uid, node.gid, node.mtime_ns, dict(node.xattrs or {}))
        found.append((path, type(node), number, data, *kind, *common))
    return found


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(tree=trees())
def test_any_tree_survives_a_manifest(tree: Tree, tmp_path: Path) -> None:
    assert facts(sources.manifest(written(tree, "dump"))) == facts(tree)

    def store(path: bytes, content: Content) -> bytes:
        place = tmp_path / f"{len(os.listdir(tmp_path))}"
        data = bytearray(content.size)
        content.read_whole(memoryview(data))
        place.write_bytes(data)
        return os.fsencode(place)

    text = written(tree, "mtree", root=tmp_path, store=store)
    assert facts(sources.manifest(text, root=tmp_path)) == facts(tree)


class TestTheCommand:
    def test_the_round_trip(self, folder: Path, tmp_path: Path) -> None:
        images = {}
        command("build", folder, "-o", tmp_path / "0.img", "-q")
        for kind in ("mtree", "dump"):
            text = tmp_path / f"x.{kind}"
            done = command("manifest", folder, "--format", kind, "-o", text)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
            place = tmp_path / f"{kind}.img"
            arguments = (f"manifest:{text}", "-o", place, "-q", "--content-root", "/")
            assert command("build", *arguments).returncode == 0
            images[kind] = place.read_bytes()
        assert set(images.values()) == {(tmp_path / "0.img").read_bytes()}

    def test_a_manifest_next_to_the_tree_needs_no_option(self, tmp_path: Path) -> None:
        (tmp_path / "tree").mkdir()
        (tmp_path / "tree" / "f").write_text("x")
        printed = command("manifest", "tree", cwd=tmp_path).stdout
        assert command("manifest", "tree", "-o", "m", cwd=tmp_path).returncode == 0
        assert (tmp_path / "m").read_text() == printed
        assert "contents=tree/f" in printed
        assert command("build", "manifest:m", "-o", "1.img", "-q", cwd=tmp_path).returncode == 0
        assert command("build", "tree", "-o", "2.img", "-q", cwd=tmp_path).returncode == 0
        assert (tmp_path / "1.img").read_bytes() == (tmp_path / "2.img").read_bytes()

    def test_rules_and_archives(self, tmp_path: Path) -> None:
        (tmp_path / "tree").mkdir()
        (tmp_path / "tree" / "f").write_text("x" * 6000)
        run(["tar", "-cf", tmp_path / "t.tar", "-C", tmp_path / "tree", "."])
        rules = ("--owner", "5:6", "--set", "f: mode=600")
        store = ("--store", tmp_path / "store", "-o", tmp_path / "m")
        done = command("manifest", tmp_path / "t.tar", *rules, *store)
        assert (done.returncode, done.stderr) == (0, "")
        assert "./f type=file mode=0600 uid=5 gid=6" in (tmp_path / "m").read_text()
        for source, place, more in (
            (tmp_path / "t.tar", "1.img", rules),
            (f"manifest:{tmp_path}/m", "2.img", ()),
        ):
            done = command("build", source, "-o", tmp_path / place, "-q", *more)
            assert (done.returncode, done.stderr) == (0, "")
        assert (tmp_path / "1.img").read_bytes() == (tmp_path / "2.img").read_bytes()

    @pytest.mark.parametrize("kind", ["mtree", "dump"])
    def test_an_archive_to_be_unpacked(self, kind: str, tmp_path: Path) -> None:
        (tmp_path / "tree" / "d").mkdir(parents=True)
        (tmp_path / "tree" / "d" / "f").write_text("x" * 6000)
        os.link(tmp_path / "tree" / "d" / "f", tmp_path / "tree" / "d" / "g")
        (tmp_path / "tree" / "empty").touch()
        run(["tar", "--format=posix", "-cf", tmp_path / "t.tar", "-C", tmp_path / "tree", "."])
        words = ("manifest", tmp_path / "t.tar", "--format", kind, "-o", tmp_path / "m")
        told = "/: the content of one file does not exist until the tree is unpacked"
        assert_one_line(command(*words, "--strict"), 1, told)
        assert not (tmp_path / "m").exists()
        done = command(*words)
        assert (done.returncode, done.stderr) == (0, f"not kept exactly: {told}\n")
        done = command("build", f"manifest:{tmp_path}/m", "-o", tmp_path / "1.img")
        assert_one_line(done, 1, "/d/f: ", "does not exist")
        unpacked = (f"manifest:{tmp_path}/m", "--content-root", tmp_path / "tree")
        for words, place in ((unpacked, "1.img"), ((tmp_path / "t.tar",), "2.img")):
            done = command("build", *words, "-o", tmp_path / place, "-q")
            assert (done.returncode, done.stderr) == (0, "")
        assert (tmp_path / "1.img").read_bytes() == (tmp_path / "2.img").read_bytes()

    def test_a_path_that_no_manifest_may_have(self, tmp_path: Path) -> None:
        """The paths before it are not checked name by name, which would take minutes."""
        name = "a/" * 16_380 + "long name"
        with tarfile.open(tmp_path / "t.tar", "w", format=tarfile.PAX_FORMAT) as archive:
            archive.addfile(tarfile.TarInfo(name))
        for kind in ("mtree", "dump"):
            done = command("manifest", tmp_path / "t.tar", "--format", kind)
            assert_one_line(done, 1, "its path has 32,770 bytes; 32,768 is the most in a manifest")

    def test_standard_input_and_output(self, tmp_path: Path) -> None:
        text = b"#mtree\n. type=dir uname=me\n"
        (tmp_path / "passwd").write_text("root:x:0:0::/:\nme:x:77:0::/:\n")
        done = command(
            "manifest", "manifest:-", "--users", tmp_path / "passwd", text=False, input=text
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"uid=77" in done.stdout  # type: ignore[operator]

    def test_losses_are_reported_or_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "m").write_text(". type=dir flags=uchg\n")
        done = command("manifest", f"manifest:{tmp_path}/m")
        assert done.returncode == 0
        assert done.stderr == "not kept exactly: /: the file flags uchg are not kept\n"
        out = tmp_path / "out"
        done = command("manifest", f"manifest:{tmp_path}/m", "--strict", "-o", out)
        assert_one_line(done, 1, "--strict: /: the file flags uchg are not kept")
        assert not out.exists()
        assert command("manifest", f"manifest:{tmp_path}/m", "--quiet").stderr == ""

    def test_failures_are_one_line(self, tmp_path: Path) -> None:
        (tmp_path / "m").write_text("./x\n")
        assert_one_line(command("manifest", f"manifest:{tmp_path}/m"), 1, "line 1: /x: has no type")
        assert_one_line(command("manifest", tmp_path / "none"), 1, "No such file")
        wrong = ("--format", "dump", "--digest", "md5")
        assert_one_line(command("manifest", tmp_path, *wrong), 2, "--digest is for mtree")
        done = command("manifest", tmp_path, "-o", tmp_path / "no" / "where")
        assert_one_line(done, 1, "does not exist")
        assert sorted(os.listdir(tmp_path)) == ["m"]


@pytest.mark.parametrize("kind", ["mtree", "dump"])
def test_a_stream_that_returns_no_count_has_accepted_everything(kind: str) -> None:
    class Uncounted:
        def __init__(self) -> None:
            self.data = b""

        def write(self, data: memoryview) -> None:
            assert data
            self.data += data

    tree = Tree()
    tree.directory("/etc")
    stream = Uncounted()
    write = manifests.write_mtree if kind == "mtree" else manifests.write_dump
    write(tree, stream)  # type: ignore[arg-type]
    assert stream.data == written(tree, kind)
