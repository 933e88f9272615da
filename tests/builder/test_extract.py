"""extract writes what the kernel's mount shows, and never outside its directory."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
from pathlib import Path
from uuid import UUID

import pytest

from ext4writer import Override, Spec, Tree, sources, write_image
from ext4writer.inspection.extract import extract
from ext4writer.inspection.tar_output import write_tar
from ext4writer.ondisk.dirent import DIR_ENTRY_2
from ext4writer.ondisk.inode import INODE
from ext4writer.read import open_image
from tests.judges.compare import assert_dirs_equal
from tests.judges.kernel import mounted
from tests.judges.tools import require
from tests.judges.watch import Watch

from .command import command, run

SPEC = Spec(epoch=1_700_000_000, uuid=UUID(int=7), hash_seed=UUID(int=8))


def some_tree() -> Tree:
    tree = Tree()
    tree["/"].mtime_ns = 1_600_000_000_000_000_001
    tree.directory("/etc", mode=0o750, uid=3, gid=4, mtime_ns=1_700_000_000_123_456_789)
    tree.file("/etc/a", b"text", mode=0o4751, uid=70000, gid=80000, mtime_ns=5)
    tree.link("/b", "/etc/a")
    tree.file("/sparse", bytes(1 << 20) + b"x" * 5000 + bytes(3 << 20) + b"end", mode=0o400)
    tree.file("/hole", bytes(1 << 20))
    tree.file("/empty", b"")
    tree.symlink("/etc/link", "../../../../etc/passwd", uid=9, gid=9)
    tree.device("/null", "c", 1, 3, mode=0o666)
    tree.fifo("/fifo", mode=0o622)
    tree.socket("/socket")
    tree.file("/noted", b"n", xattrs={b"user.a": b"\xff\0b", b"trusted.t": b"1"})
    tree.file("/long" + "n" * 240, b"l")
    tree.file("/\xff odd".encode("latin-1"), b"o")
    deep = b""
    for _ in range(40):
        deep += b"/d"
        tree.directory(deep)
    for number in range(300):
        tree.file(f"/many/{number}", b"%d" % number, parents=True)
    return tree


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("extract") / "image"
    write_image(some_tree(), path, SPEC)
    return path


@pytest.mark.root
def test_extracted_files_match_the_kernel_and_give_the_same_image(
    image: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = run("extract", image, "-C", out)
    assert (done.returncode, done.stderr) == (0, "")
    with mounted(image) as point:
        assert_dirs_equal(point, out)
    again = tmp_path / "again"
    tree = sources.directory(out)
    tree.remove("/lost+found")  # the writer adds its own
    tree.root.mtime_ns = 1_600_000_000_000_000_001
    write_image(tree, again, SPEC)
    assert again.read_bytes() == image.read_bytes()
    assert (out / "sparse").stat().st_blocks * 512 < 1 << 20


@pytest.mark.root
def test_tar_archives(image: Path, tmp_path: Path) -> None:
    archive, again = tmp_path / "a.tar", tmp_path / "again"
    assert run("extract", image, "--tar", archive).stderr.splitlines() == [
        "not kept exactly: /socket: is a socket, which no archive can hold"
    ]
    first = archive.read_bytes()
    assert len(first) < 3 << 20
    done = subprocess.run([*command("extract", image, "-q", "--tar", "-")], capture_output=True)
    assert done.stdout == first
    tree, wanted = sources.tar(archive), some_tree()
    tree.remove("/lost+found")
    wanted.remove("/socket")
    write_image(wanted, tmp_path / "wanted", SPEC)
    write_image(tree, again, SPEC)
    assert again.read_bytes() == (tmp_path / "wanted").read_bytes()
    out = tmp_path / "out"
    out.mkdir()
    options = ["--xattrs", "--xattrs-include=*"]
    subprocess.run([require("tar"), "-xf", archive, "-C", out, *options], check=True)
    with mounted(tmp_path / "wanted") as point:
        assert_dirs_equal(point, out)
    assert "exists already" in run("extract", image, "--tar", archive).stderr
    assert archive.read_bytes() == first


def test_some_paths(image: Path, tmp_path: Path) -> None:
    run("extract", image, "/etc/a", "/many", "-C", tmp_path / "out")
    assert sorted(os.listdir(tmp_path / "out")) == ["etc", "many"]
    assert os.listdir(tmp_path / "out/etc") == ["a"]
    assert len(os.listdir(tmp_path / "out/many")) == 300
    for path, words in (
        ("/nothing", "no such file"),
        ("/etc/link/x", "no such file"),
        ("/etc/..", "must be a path without '..'"),
    ):
        done = run("extract", image, path, "-C", tmp_path / "other")
        assert done.returncode == 1, path
        assert words in done.stderr and "Traceback" not in done.stderr


def test_existing_files_are_not_replaced(image: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "etc").mkdir(parents=True)
    (out / "etc/a").write_text("mine")
    (out / "sparse").symlink_to(tmp_path / "outside")
    mode = (out / "etc").stat().st_mode
    done = run("extract", image, "-C", out)
    assert done.returncode == 0
    assert "/etc/a: already exists and is not changed (and 1 more)" in done.stderr
    assert (out / "etc/a").read_text() == "mine"
    assert (out / "etc").stat().st_mode == mode
    assert not (tmp_path / "outside").exists()
    assert run("extract", image, "-C", out, "--strict", "-q").returncode == 1
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/many").symlink_to(tmp_path)
    done = run("extract", image, "-C", tmp_path / "linked")
    assert done.returncode == 0 and "/many: already exists and is not a dir" in done.stderr
    assert not (tmp_path / "7").exists() and (tmp_path / "linked/etc/a").exists()
    assert run("extract", image, "-C", tmp_path / "linked", "--strict", "-q").returncode == 1


@pytest.mark.root
def test_extraction_by_an_ordinary_user(image: Path, tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o777)
    for folder in tmp_path.parents:
        if folder.stat().st_uid == os.getuid() and not folder.stat().st_mode & 1:
            os.chmod(folder, folder.stat().st_mode | 0o111)
    copy = tmp_path / "image"
    copy.write_bytes(image.read_bytes())
    os.chmod(copy, 0o644)
    done = run(
        *("extract", copy, "-C", tmp_path / "out"),
        prefix=("setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"),
    )
    assert "Traceback" not in done.stderr and done.returncode == 0, done.stderr
    assert "its owner is not kept" in done.stderr
    assert "setuid" in done.stderr and "/null: cannot be created" in done.stderr
    assert not (tmp_path / "out/etc/a").stat().st_mode & stat.S_ISUID
    assert (tmp_path / "out/etc/a").read_bytes() == b"text"


HOSTILE = [b"../x", b"../../x", b"/tmp/xyz", b"..", b"./", b"/x", b"a/", b"\0x", b".", b"x\0"]


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(name: bytes, encrypted: bool, tmp_path: Path, watch: Watch) -> None:
    tree = Tree()
    plain = b"Q" * len(name) if len(name) > 1 else b"Q"
    tree.directory(b"/in/" + plain, parents=True)
    tree.file(b"/in/" + plain + b"/pwned", b"x")
    tree.file(b"/in/z", b"z")
    data = bytearray()
    lies = [Override.parse("inode[/in].i_flags=0x80800")] if encrypted else []
    write_image(tree, data, Spec(lost_and_found=False), overrides=lies)
    header = DIR_ENTRY_2.size
    with open_image(bytes(data)) as image:
        entry = next(e for e in image.entries(image.lookup("/in")) if e.name == plain)
    data[entry.offset + header : entry.offset + header + len(name)] = name
    path = tmp_path / "image"
    watch.damaged(path)
    path.write_bytes(data)
    base = tmp_path / "base"
    (base / "out").mkdir(parents=True)
    done = run("extract", path, "-C", base / "out")
    assert "Traceback" not in done.stderr and done.returncode == 1
    assert os.listdir(base) == ["out"]
    assert sorted(os.listdir(tmp_path)) == ["base", "image"]
    assert (base / "out/in/z").read_bytes() == b"z"
    found = [os.path.join(root, f) for root, _, files in os.walk(base) for f in files]
    assert all(f.startswith(str(base / "out/in")) for f in found)


def test_hostile_links_and_sizes(tmp_path: Path, watch: Watch) -> None:
    tree = Tree()
    tree.symlink("/a", "/tmp")
    tree.symlink("/up", "../..")
    tree.directory("/b")
    tree.file("/b/file", b"x" * 5000)
    tree.file("/huge", b"h" * 5000)
    tree.symlink("/loop", "loop")
    data = bytearray()
    overrides = [
        Override.parse("inode[/huge].i_size=0x7fffffffffffffff"),
        # A second name of a directory, and a file that claims to be the parent directory.
        Override.parse("dir_entry_2[/b/file].inode=2"),
    ]
    write_image(tree, data, Spec(lost_and_found=False), overrides=overrides)
    path = tmp_path / "image"
    watch.damaged(path)
    path.write_bytes(data)
    (tmp_path / "base").mkdir()
    done = run("extract", path, "-C", tmp_path / "base/out")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "a directory that already has a name" in done.stderr
    assert os.listdir(tmp_path / "base") == ["out"]
    assert os.readlink(tmp_path / "base/out/up") == "../.."


def test_a_file_that_names_one_block_many_times(tmp_path: Path) -> None:
    tree = Tree()
    tree.file("/bomb", b"".join(bytes([n % 250 + 1]) * 1024 + bytes(1024) for n in range(4000)))
    data = bytearray()
    write_image(tree, data, Spec(block_size=1024, hole_size=0, lost_and_found=False))
    heard: list[object] = []
    with open_image(bytes(data), on_damage=heard.append) as image:
        inode = image.lookup("/bomb")
        assert inode.offset + INODE.size < len(data)
        result = extract(image, tmp_path / "out", max_bytes=10 << 20)
        assert result.bytes_written == 8000 * 1024
        with pytest.raises(Exception, match="holds more than"):
            extract(image, tmp_path / "less", max_bytes=1000)


@pytest.mark.root
def test_inode_flags_and_projects(tmp_path: Path) -> None:
    """As many as the host's file system supports; flags that seal a file come last."""
    tree = Tree()
    tree.file("/sealed", b"s" * 5000, flags="immutable,noatime", mtime_ns=7)
    tree.link("/also sealed", "/sealed")
    tree.file("/log", b"l", flags="append,nodump")
    tree.directory("/d", flags="immutable,dirsync,topdir")
    tree.file("/d/file", b"f", mtime_ns=9)
    tree.fifo("/fifo", flags="nodump")
    image, host = tmp_path / "image", tmp_path / "host"
    write_image(tree, image, SPEC)
    subprocess.run([require("mke2fs"), "-q", "-t", "ext4", host, "16M"], check=True)
    with mounted(host, rw=True) as point:
        done = run("extract", image, "-C", point / "out")
        out = point / "out"
        assert done.returncode == 0
        assert done.stderr == "not kept exactly: /fifo: its inode flags nodump are not kept\n"
        listed = subprocess.run(["lsattr", "-dR", out], capture_output=True, text=True).stdout
        listed += subprocess.run(["lsattr", "-R", out], capture_output=True, text=True).stdout
        flags = {line.split()[1][len(str(out)) :]: line.split()[0] for line in listed.split("\n")
                 if " " in line and "also" not in line}  # fmt: skip
        assert set("iA") <= set(flags["/sealed"]) and "i" not in flags["/d/file"]
        assert set("ad") <= set(flags["/log"])
        assert set("iDT") <= set(flags["/d"])
        assert (out / "sealed").stat().st_ino == (out / "also sealed").stat().st_ino
        assert (out / "sealed").stat().st_mtime_ns == 7
    archive = tmp_path / "a.tar"
    run("extract", image, "--tar", archive)
    again = sources.tar(archive)
    wanted = {path: node.flags_and_project for path, node in tree.walk()}
    assert {p: n.flags_and_project for p, n in again.walk() if p in wanted} == wanted


def of_many_names(count: int, links: int, *, last: bool = False) -> bytes:
    """An image with all names but one for the same file, which comes first or last."""
    tree = Tree()
    for number in range(count):
        tree.file(b"/%06d" % number, b"text" if number in (0, count - 1) else b"")
    data = bytearray()
    write_image(tree, data, Spec(lost_and_found=False))
    with open_image(bytes(data), on_damage=lambda error: None) as image:
        entries = list(image.entries(image.root))
        target = image.lookup(b"/%06d" % ((count - 1) * last))
        offset = target.offset + INODE.offset("i_links_count")
    data[offset : offset + 2] = links.to_bytes(2, "little")
    for entry in entries[2:]:
        data[entry.offset : entry.offset + 4] = target.ino.to_bytes(4, "little")
    return bytes(data)


def test_countless_names_of_one_file(tmp_path: Path) -> None:
    """It has more links than the host allows and than the inode counts; extraction ends."""
    count = 70_000
    with open_image(of_many_names(count, 0xFFFF), on_damage=lambda error: None) as image:
        result = extract(image, tmp_path / "out")
    assert result.entries == count == len(os.listdir(tmp_path / "out"))
    assert (tmp_path / "out/000001").stat().st_nlink > 1000


@pytest.mark.parametrize("links", [1, 2, 300, 0xFFFF])
def test_names_of_one_file_are_links_whatever_its_link_count(links: int, tmp_path: Path) -> None:
    count = 300
    with open_image(of_many_names(count, links), on_damage=lambda error: None) as image:
        result, held = extract(image, tmp_path / "out"), io.BytesIO()
        assert not write_tar(image, held)
    assert result.bytes_written == 4 and not result.losses
    assert {each.stat().st_nlink for each in (tmp_path / "out").iterdir()} == {count}
    with tarfile.open(fileobj=io.BytesIO(held.getvalue())) as archive:
        members = archive.getmembers()[1:]
    assert [each.islnk() for each in members] == [False] + [True] * (count - 1)
    assert {each.linkname for each in members[1:]} == {members[0].name}
    tree = sources.image(of_many_names(count, links), on_damage=lambda error: None)
    assert len(set(tree.root.children.values())) == 1


def test_links_lead_to_extracted_files_and_not_to_existing_ones(tmp_path: Path) -> None:
    """The first names of an inode with a link count of one are files; the rest are links."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "000000").write_text("mine")
    (out / "000002").write_text("also mine")
    with open_image(of_many_names(6, 1, last=True), on_damage=lambda error: None) as image:
        result = extract(image, out)
    assert result.bytes_written == 4
    assert (out / "000000").read_text() == "mine" and (out / "000000").stat().st_nlink == 1
    assert {(out / f"{number:06}").stat().st_ino for number in (3, 4, 5)} == {
        (out / "000001").stat().st_ino
    }


def test_archives_equal_those_of_the_standard_library(image: Path) -> None:
    """Each header equals the one that tarfile writes, and GNU tar reads them."""
    held = io.BytesIO()
    with open_image(image) as opened:
        write_tar(opened, held)
    data = held.getvalue()
    assert len(data) % tarfile.RECORDSIZE == 0 and data.endswith(bytes(2 * tarfile.BLOCKSIZE))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            if member.pax_headers:
                continue
            header = member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
            assert data[member.offset : member.offset_data] == header, member.name
    listed = subprocess.run([require("tar"), "-tf", "-"], input=data, capture_output=True)
    assert listed.returncode == 0
    assert b"./etc/a\n" in listed.stdout


def test_a_file_partly_past_the_end_is_extracted_in_part(tmp_path: Path) -> None:
    tree = Tree()
    tree.file("/first", b"1" * 5000)
    whole = b"".join(b"%07d\n" % number for number in range(400_000))
    tree.file("/long", whole)
    data = bytearray()
    write_image(tree, data, Spec(lost_and_found=False, journal="none"))
    with open_image(bytes(data)) as image:
        run = next(image.lookup("/long").runs())
        size = image.block_size
    end = (run.physical + run.length - 300) * size
    with open_image(bytes(data[:end]), on_damage=lambda error: None) as image:
        result, held = extract(image, tmp_path / "out"), io.BytesIO()
        losses = write_tar(image, held)
    said = "cannot be read completely; the rest is zeros"
    assert [loss.what for loss in result.losses] == [loss.what for loss in losses] == [said]
    wanted = whole[: (run.length - 300) * size].ljust(len(whole), b"\0")
    assert (tmp_path / "out/long").read_bytes() == wanted
    with tarfile.open(fileobj=io.BytesIO(held.getvalue())) as archive:
        member = archive.extractfile("./long")
        assert member is not None and member.read() == wanted


@pytest.mark.root
def test_an_extracted_tree_gives_the_same_image(tmp_path: Path) -> None:
    """The lost+found of the image is treated like one that is added again."""
    source = tmp_path / "source"
    (source / "d").mkdir(parents=True)
    (source / "d/file").write_bytes(b"text" * 5000)
    (source / "link").symlink_to("d/file")
    first, again, third = tmp_path / "first", tmp_path / "again", tmp_path / "third"
    assert run("build", source, "-o", first).returncode == 0
    assert run("extract", first, "-C", tmp_path / "out").returncode == 0
    assert (tmp_path / "out/lost+found").is_dir()
    assert run("build", tmp_path / "out", "-o", again).returncode == 0
    assert run("build", first, "-o", third).returncode == 0
    assert again.read_bytes() == first.read_bytes() == third.read_bytes()
    assert run("diff", first, again).returncode == 0
    # One that differs is kept.
    os.utime(tmp_path / "out/lost+found", (5, 5))
    run("build", tmp_path / "out", "-o", tmp_path / "other")
    with open_image(tmp_path / "other") as image:
        assert image.lookup("/lost+found").mtime_ns == 5 * 10**9
