"""The scan of a directory: every kind of file, all its failures, and what it leaves out."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from ext4writer.edit.rules_select import Selection
from ext4writer.errors import CancelledError, SourceChangedError, SourceError, SpecError
from ext4writer.progress import Progress
from ext4writer.sources import directory, listing
from ext4writer.tree import (
    BlockDevice,
    CharacterDevice,
    Directory,
    Fifo,
    Loss,
    RegularFile,
    Socket,
    Symlink,
    Tree,
)
from tests.judges.tools import require_root

NOBODY = 65534
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


@pytest.fixture(params=["alone", "processes"], autouse=True)
def _who_lists(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one process list everything, or several with the smallest possible tasks."""
    if request.param == "processes":
        monkeypatch.setattr(sys.modules[directory.__module__], "ENTRIES_TO_FORK", 0)
        monkeypatch.setattr(sys.modules[__name__], "directory", partial(directory, processes=3))
        monkeypatch.setattr(listing, "TASK_ENTRIES", 3)
        monkeypatch.setattr(listing, "BATCH_ENTRIES", 2)
        monkeypatch.setattr(listing, "PART_NAMES", 4)


def names(tree: Tree) -> list[str]:
    return [os.fsdecode(path) for path, _ in tree.walk()]


def content_of(tree: Tree, path: str) -> bytes:
    node = tree[path]
    assert isinstance(node, RegularFile)
    buffer = bytearray(node.content.size)
    node.content.read_whole(memoryview(buffer))
    return bytes(buffer)


def read_large(tree: Tree, path: str) -> bytes:
    """Like :func:`content_of`, the way large files are read."""
    node = tree[path]
    assert isinstance(node, RegularFile)
    reader = node.content.open()
    try:
        buffer = bytearray(node.content.size)
        assert reader.readinto(memoryview(buffer), 0) == len(buffer)
        reader.check_unchanged()
    finally:
        reader.close()
    return bytes(buffer)


def make_files(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(path.encode())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.mkdir()
    return path


class TestWhatIsTaken:
    def test_every_kind_of_file(self, root: Path) -> None:
        make_files(root, "folder/file")
        (root / "folder/file").chmod(0o4751)
        (root / "folder").chmod(0o1770)
        os.symlink(b"to\xffnowhere", root / "link")
        os.mkfifo(root / "fifo", 0o600)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(root / "socket"))
        os.utime(root / "folder/file", ns=(5, 1_600_000_000_123_456_789))
        tree = directory(root)
        file = tree["/folder/file"]
        assert isinstance(file, RegularFile)
        assert (file.mode, file.content.size) == (0o4751, 11)
        assert (file.uid, file.gid) == (os.geteuid(), os.getegid())
        assert file.mtime_ns == 1_600_000_000_123_456_789
        assert (file.atime_ns, file.ctime_ns, file.crtime_ns) == (None, None, None)
        assert isinstance(tree["/folder"], Directory)
        assert tree["/folder"].mode == 0o1770
        link = tree["/link"]
        assert isinstance(link, Symlink)
        assert link.target == b"to\xffnowhere"
        assert isinstance(tree["/fifo"], Fifo)
        assert isinstance(tree["/socket"], Socket)
        assert content_of(tree, "/folder/file") == b"folder/file"
        assert tree.losses == []

    def test_devices(self, root: Path) -> None:
        require_root()
        os.mknod(root / "c", stat.S_IFCHR | 0o600, os.makedev(300, 70000))
        os.mknod(root / "b", stat.S_IFBLK | 0o640, os.makedev(8, 1))
        tree = directory(root)
        character, block = tree["/c"], tree["/b"]
        assert isinstance(character, CharacterDevice)
        assert isinstance(block, BlockDevice)
        assert (character.major, character.minor, character.mode) == (300, 70000, 0o600)
        assert (block.major, block.minor, block.mode) == (8, 1, 0o640)

    def test_the_root_brings_its_own_attributes(self, root: Path) -> None:
        root.chmod(0o2751)
        os.utime(root, ns=(1, 77))
        tree = directory(root)
        assert (tree.root.mode, tree.root.mtime_ns) == (0o2751, 77)

    def test_keep_times(self, root: Path) -> None:
        make_files(root, "file")
        os.utime(root / "file", ns=(11, 22))
        status = (root / "file").stat()
        node = directory(root, keep_times=True)["/file"]
        assert (node.atime_ns, node.mtime_ns, node.ctime_ns) == (11, 22, status.st_ctime_ns)
        assert directory(root, keep_times=True).root.ctime_ns == root.stat().st_ctime_ns

    def test_one_node_for_a_file_with_several_names(self, root: Path) -> None:
        make_files(root, "a/one", "other")
        (root / "b").mkdir()
        os.link(root / "a/one", root / "b/two")
        os.symlink("x", root / "link")
        os.link(root / "link", root / "b/link", follow_symlinks=False)
        tree = directory(root)
        assert tree["/a/one"] is tree["/b/two"]
        assert tree["/link"] is tree["/b/link"]
        assert tree["/a/one"] is not tree["/other"]

    def test_names_are_bytes(self, root: Path) -> None:
        odd = [b"\xff\xfe", b"new\nline", b"\xc3\xa9", b"a" * 255, b" "]
        for name in odd:
            Path(os.fsdecode(os.fsencode(root) + b"/" + name)).write_bytes(name)
        tree = directory(os.fsencode(root))
        assert set(tree.root.children) == set(odd)
        for name in odd:
            node = tree[name]
            assert isinstance(node, RegularFile)
            buffer = bytearray(len(name))
            node.content.read_whole(memoryview(buffer))
            assert buffer == name

    def test_a_link_at_the_top_is_followed(self, root: Path, tmp_path: Path) -> None:
        make_files(root, "file")
        (tmp_path / "link").symlink_to(root)
        for path in (tmp_path / "link", f"{tmp_path}/link/", f"{root}//"):
            assert content_of(directory(path), "/file") == b"file"

    def test_a_relative_path_survives_a_change_of_directory(
        self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_files(root, "file")
        monkeypatch.chdir(tmp_path)
        tree = directory("source")
        monkeypatch.chdir("/")
        assert content_of(tree, "/file") == b"file"

    def test_equal_integers_and_sets_are_shared(self, root: Path) -> None:
        make_files(root, "a", "b")
        for name in "ab":
            os.utime(root / name, ns=(1, 1_600_000_000_000_000_000))
        tree = directory(root)
        assert tree["/a"].mode is tree["/b"].mode
        assert tree["/a"].mtime_ns is tree["/b"].mtime_ns


class TestXattrs:
    @pytest.fixture(autouse=True)
    def _needs_xattrs(self, root: Path) -> None:
        try:
            os.setxattr(root, "user.probe", b"")
            os.removexattr(root, "user.probe")
        except (AttributeError, OSError):
            pytest.skip("the file system of the tests has no extended attributes")

    def test_on_files_directories_and_the_root(self, root: Path) -> None:
        make_files(root, "folder/file", "plain")
        for path in (root, root / "folder", root / "folder/file"):
            os.setxattr(path, "user.note", path.name.encode())
        os.setxattr(root / "folder/file", "user.empty", b"")
        tree = directory(root)
        assert tree.root.xattrs == {b"user.note": b"source"}
        assert tree["/folder"].xattrs == {b"user.note": b"folder"}
        assert tree["/folder/file"].xattrs == {b"user.note": b"file", b"user.empty": b""}
        assert tree["/plain"].xattrs is None
        assert directory(root, xattrs=False)["/folder/file"].xattrs is None

    def test_of_the_superuser_and_on_links(self, root: Path) -> None:
        require_root()
        make_files(root, "file")
        os.symlink("file", root / "link")
        acl = bytes.fromhex("02000000 01000600ffffffff 02000400e8030000 04000400ffffffff")
        acl += bytes.fromhex("10000400ffffffff 20000000ffffffff")
        capability = bytes.fromhex("0100000200040000000000000000000000000000")
        os.setxattr(root / "file", "system.posix_acl_access", acl)
        os.setxattr(root / "file", "security.capability", capability)
        os.setxattr(root / "link", "trusted.note", b"link", follow_symlinks=False)
        tree = directory(root)
        assert tree["/file"].xattrs == {
            b"system.posix_acl_access": acl,
            b"security.capability": capability,
        }
        assert tree["/link"].xattrs == {b"trusted.note": b"link"}
        assert tree.losses == []

    def test_equal_sets_are_one(self, root: Path) -> None:
        make_files(root, "a", "b")
        for name in "ab":
            os.setxattr(root / name, "user.same", b"value")
        tree = directory(root)
        assert tree["/a"].xattrs is tree["/b"].xattrs

    def test_attributes_of_other_systems_are_losses(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_files(root, "folder/file")
        os.setxattr(root / "folder/file", "user.kept", b"1")
        monkeypatch.setattr(
            os,
            "listxattr",
            lambda path, follow_symlinks=True: (
                ["system.nfs4_acl", "user.kept", "btrfs.compression"]
                if os.fsencode(path).endswith(b"file")
                else []
            ),
        )
        tree = directory(root)
        assert tree["/folder/file"].xattrs == {b"user.kept": b"1"}
        assert [loss.path for loss in tree.losses] == [b"/folder/file"] * 2
        assert "system.nfs4_acl" in tree.losses[0].what

    def test_unreadable_attributes_are_losses(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_files(root, "file")
        os.setxattr(root / "file", "user.secret", b"1")

        def refuse(path: object, name: str, **_: object) -> bytes:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(os, "getxattr", refuse)
        tree = directory(root)
        assert tree["/file"].xattrs is None
        [loss] = tree.losses
        assert loss.path == b"/file"
        assert "user.secret" in loss.what

    @pytest.mark.parametrize("number", [errno.ENOTSUP, errno.ENOSYS])
    def test_a_file_system_without_attributes_is_not_a_loss(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        make_files(root, "file")

        def refuse(path: object, **_: object) -> list[str]:
            raise OSError(number, "no such thing")

        monkeypatch.setattr(os, "listxattr", refuse)
        tree = directory(root)
        assert tree["/file"].xattrs is None
        assert tree.losses == []

    def test_a_refusal_to_list_is_a_loss(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        make_files(root, "file")

        def refuse(path: object, **_: object) -> list[str]:
            raise OSError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(os, "listxattr", refuse)
        assert [loss.path for loss in directory(root).losses] == [b"/", b"/file"]

    def test_a_python_without_them(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        make_files(root, "file")
        os.setxattr(root / "file", "user.note", b"1")
        monkeypatch.delattr(os, "listxattr")
        monkeypatch.delattr(os, "getxattr")
        tree = directory(root)
        assert tree["/file"].xattrs is None
        assert tree.losses == []


class TestExclude:
    @pytest.mark.parametrize(
        ("patterns", "left"),
        [
            (["*.o"], ["/", "/a", "/a/b", "/a/b/x.c", "/a/x.c", "/x.c"]),
            (["/*.o"], ["/", "/a", "/a/b", "/a/b/x.c", "/a/b/x.o", "/a/x.c", "/a/x.o", "/x.c"]),
            (["a"], ["/", "/x.c", "/x.o"]),
            (["a/"], ["/", "/x.c", "/x.o"]),
            (["b"], ["/", "/a", "/a/x.c", "/a/x.o", "/x.c", "/x.o"]),
            (["a/b"], ["/", "/a", "/a/x.c", "/a/x.o", "/x.c", "/x.o"]),
            (["/b"], None),
            (["a/*"], ["/", "/a", "/x.c", "/x.o"]),
            (["a/**"], ["/", "/a", "/x.c", "/x.o"]),
            (["**/x.o"], ["/", "/a", "/a/b", "/a/b/x.c", "/a/x.c", "/x.c"]),
            (["a/**/x.o"], ["/", "/a", "/a/b", "/a/b/x.c", "/a/x.c", "/x.c", "/x.o"]),
            (["x.[a-c]"], ["/", "/a", "/a/b", "/a/b/x.o", "/a/x.o", "/x.o"]),
            (["x.[!o]", "b"], ["/", "/a", "/a/x.o", "/x.o"]),
            (["x.?"], ["/", "/a", "/a/b"]),
            ([b"x.c", "x.o"], ["/", "/a", "/a/b"]),
            (["x?c", "a?x.o", "a[/]x.o"], ["/", "/a", "/a/b", "/a/b/x.o", "/a/x.o", "/x.o"]),
            ("*.?", ["/", "/a", "/a/b"]),
            (["[", "x[", "[]", "x.[c"], None),
            (["\\*", "x\\.o"], ["/", "/a", "/a/b", "/a/b/x.c", "/a/x.c", "/x.c"]),
            (["X.O"], None),
        ],
    )
    def test_patterns(
        self, root: Path, patterns: list[str | bytes], left: list[str] | None
    ) -> None:
        make_files(root, "x.c", "x.o", "a/x.c", "a/x.o", "a/b/x.c", "a/b/x.o")
        everything = names(directory(root))
        expected = everything if left is None else left
        assert sorted(names(directory(root, exclude=patterns))) == sorted(expected)

    def test_names_that_are_not_text(self, root: Path) -> None:
        for name in (b"\xff1", b"\xff2", b"k\n"):
            Path(os.fsdecode(os.fsencode(root) + b"/" + name)).touch()
        assert names(directory(root, exclude=[b"\xff*", "k*"])) == ["/"]

    def test_an_exclude_selection_reports_unmatched_patterns(self, root: Path) -> None:
        make_files(root, *(f"{folder}/{number}" for folder in "abcd" for number in range(9)))
        selection = Selection([(True, "3"), (True, "d/*"), (True, "nothing")])
        tree = directory(root, exclude=selection.prunes)
        selection.report(tree)
        assert len(names(tree)) == 1 + 4 + 3 * 8
        assert [loss.what for loss in tree.losses] == [
            "nothing matches 'nothing', which is to exclude"
        ]

    def test_excluded_directories_are_not_entered(self, root: Path) -> None:
        make_files(root, "keep", "closed/file")
        with unreadable(root / "closed"):
            assert names(directory(root, exclude=["closed"])) == ["/", "/keep"]

    @pytest.mark.parametrize("pattern", ["", "/", "//", "x[z-a]"])
    def test_a_pattern_without_meaning(self, root: Path, pattern: str) -> None:
        with pytest.raises(SpecError, match="exclude"):
            directory(root, exclude=[pattern])


@contextmanager
def as_nobody() -> Iterator[None]:
    """Drop root's privileges, which override permissions."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@contextmanager
def unreadable(path: Path) -> Iterator[None]:
    """Remove all permissions from ``path``, and run as a user who is bound by them."""
    for folder in path.parents:
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    path.chmod(0)
    try:
        with as_nobody():
            yield
    finally:
        path.chmod(0o755)


class TestErrors:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="missing: cannot be read: No such file"):
            directory(tmp_path / "missing")

    def test_empty_path(self) -> None:
        with pytest.raises(SourceError):
            directory("")

    def test_no_directory(self, root: Path) -> None:
        make_files(root, "file")
        with pytest.raises(SourceError, match="file: is not a directory"):
            directory(root / "file")
        with pytest.raises(SourceError):
            directory(root / "file/below")

    def test_unreadable_root(self, root: Path) -> None:
        with unreadable(root), pytest.raises(SourceError, match="source: cannot be read: Perm"):
            directory(root)

    def test_unreadable_directory_is_named(self, root: Path) -> None:
        make_files(root, "a/closed/file")
        with (
            unreadable(root / "a/closed"),
            pytest.raises(SourceError, match="a/closed: cannot be read: Permission") as caught,
        ):
            directory(root)
        assert caught.value.path == os.fsencode(root) + b"/a/closed"

    def test_a_directory_that_vanishes(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(listing, "PART_NAMES", 1 << 20)  # keeps it from being listed before
        make_files(root, *(f"f{number}" for number in range(1100)))
        (root / "gone").mkdir()

        def remove(report: Progress) -> None:
            if (root / "gone").exists():
                (root / "gone").rmdir()

        with pytest.raises(SourceChangedError, match="gone: vanished during the scan"):
            directory(root, progress=remove)

    def test_unreadable_file_is_named_when_it_is_read(self, root: Path) -> None:
        make_files(root, "closed")
        with unreadable(root / "closed"):
            tree = directory(root)
            for read in (content_of, read_large):
                with pytest.raises(SourceError, match="closed: cannot be read: Permission"):
                    read(tree, "/closed")


class TestFilesThatChange:
    @pytest.mark.parametrize("read", [content_of, read_large])
    @pytest.mark.parametrize(
        ("size", "words"), [(0, "from 4 to 0"), (3, "from 4 to 3"), (5, "from 4 to 5")]
    )
    def test_size(self, root: Path, read: object, size: int, words: str) -> None:
        make_files(root, "file")
        tree = directory(root)
        (root / "file").write_bytes(bytes(size))
        if read is read_large and size < 4:
            with pytest.raises((SourceChangedError, AssertionError)):
                read_large(tree, "/file")
        else:
            with pytest.raises(SourceChangedError, match=f"source/file: changed its size {words}"):
                read(tree, "/file")  # type: ignore[operator]

    def test_size_without_readv(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("ext4writer.sources.host._HAS_READV", False)
        make_files(root, "file")
        tree = directory(root)
        assert content_of(tree, "/file") == b"file"
        for size in (3, 5):
            (root / "file").write_bytes(bytes(size))
            with pytest.raises(SourceChangedError, match=f"from 4 to {size} bytes"):
                content_of(tree, "/file")

    @pytest.mark.parametrize("read", [content_of, read_large])
    def test_a_deleted_file_is_an_error(self, root: Path, read: object) -> None:
        make_files(root, "a/file")
        tree = directory(root)
        (root / "a/file").unlink()
        with pytest.raises(SourceChangedError, match="a/file: vanished"):
            read(tree, "/a/file")  # type: ignore[operator]
        (root / "a").rmdir()
        (root / "a").touch()
        with pytest.raises(SourceChangedError, match="a/file: vanished"):
            read(tree, "/a/file")  # type: ignore[operator]

    @pytest.mark.parametrize("read", [content_of, read_large])
    @pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
    def test_replaced_by_something_else(self, root: Path, read: object, kind: str) -> None:
        make_files(root, "file", "else")
        tree = directory(root)
        (root / "file").unlink()
        if kind == "link":
            (root / "file").symlink_to("else")
        elif kind == "fifo":
            os.mkfifo(root / "file")
        else:
            (root / "file").mkdir()
        with pytest.raises(SourceError, match="source/file: "):
            read(tree, "/file")  # type: ignore[operator]

    def test_reads_that_come_in_parts(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        make_files(root, "file")
        tree = directory(root)
        original = os.readv
        monkeypatch.setattr(os, "readv", lambda fd, views: original(fd, [views[0][:1]]))
        assert content_of(tree, "/file") == b"file"
        (root / "file").write_bytes(b"files")
        with pytest.raises(SourceChangedError, match="from 4 to 5"):
            content_of(tree, "/file")

    def test_reads_without_preadv(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        make_files(root, "file")
        monkeypatch.delattr(os, "preadv", raising=False)
        assert read_large(directory(root), "/file") == b"file"


class TestProgress:
    def test_reports(self, root: Path) -> None:
        make_files(root, *(f"d{number % 7}/{number}" for number in range(2100)))
        reports: list[Progress] = []
        directory(root, progress=reports.append)
        entries = [report.entries for report in reports]
        assert entries == sorted(entries)
        assert len(entries) > 1
        assert entries[-1] == 2107
        assert {report.stage for report in reports} == {"scan"}
        assert reports[-1].bytes_done == sum(
            path.stat().st_size for path in root.rglob("*") if path.is_file()
        )
        assert reports[-1].entries_total == reports[-1].bytes_total == 0

    def test_progress_of_a_large_directory_is_reported_in_parts(self, root: Path) -> None:
        make_files(root, *(str(number) for number in range(3500)))
        reports: list[Progress] = []
        directory(root, progress=reports.append)
        assert len(reports) > 3
        assert reports[-1].entries == 3500

    def test_cancel(self, root: Path) -> None:
        make_files(root, "file")
        cancel = threading.Event()
        assert names(directory(root, cancel=cancel)) == ["/", "/file"]
        cancel.set()
        with pytest.raises(CancelledError):
            directory(root, cancel=cancel)

    def test_skip(self, root: Path) -> None:
        make_files(root, "image", "file")
        own = (root / "image").stat()
        tree = directory(root, skip=lambda status: os.path.samestat(status, own))
        assert names(tree) == ["/", "/file"]
        assert [loss.path for loss in tree.losses] == [b"/image"]
        assert isinstance(tree.losses[0], Loss)


class TestNames:
    def test_only_given_names_are_scanned(self, root: Path) -> None:
        make_files(
            root, *(f"{top}/{number}" for top in "abcde" for number in range(5)), "file", "no"
        )
        (root / "link").symlink_to("elsewhere")
        os.link(root / "a/1", root / "c/again")
        wanted = ["link", b"c", "a", "file", "a"]
        tree = directory(root, names=wanted)
        whole = directory(root)
        kept = {b"a", b"c", b"file", b"link"}
        assert set(tree.root.children) == kept
        assert tree.root.mtime_ns == whole.root.mtime_ns
        assert sorted(names(tree)) == sorted(
            path for path in names(whole) if path == "/" or os.fsencode(path.split("/")[1]) in kept
        )
        assert tree["/c/again"] is tree["/a/1"]
        assert content_of(tree, "/c/4") == b"c/4"
        assert names(directory(root, names=[])) == ["/"]

    def test_other_names_are_not_read(self, root: Path) -> None:
        make_files(root, "good/file", "größe/file")
        (root / "image").write_bytes(bytes(10_000))
        tree = directory(root, names=["good", "größe"], skip=_is_large)
        assert set(tree.root.children) == {b"good", "größe".encode()}
        assert tree.losses == []

    def test_missing_names_are_not_changes(self, root: Path) -> None:
        make_files(root, "file")
        with pytest.raises(SourceError, match="cannot be read: No such file") as caught:
            directory(root, names=["file", "files"])
        assert not isinstance(caught.value, SourceChangedError)
        assert caught.value.path == os.fsencode(root / "files")

    @pytest.mark.parametrize("name", ["", ".", "..", "folder/file", "/folder", "a\0b", 256 * "a"])
    def test_paths_are_not_names(self, root: Path, name: str) -> None:
        make_files(root, "folder/file")
        with pytest.raises(SourceError, match="cannot be the name"):
            directory(root, names=[name])


def _is_large(status: os.stat_result) -> bool:
    return status.st_size > 9_999


@needs_linux
def test_one_file_system(root: Path) -> None:
    require_root()
    make_files(root, "file")
    (root / "mounted").mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "none", root / "mounted"], check=False)
    if mounted.returncode:
        pytest.skip("cannot mount a tmpfs")
    try:
        make_files(root, "mounted/below/file")
        assert "/mounted/below/file" in names(directory(root))
        tree = directory(root, one_file_system=True)
        assert names(tree) == ["/", "/file", "/mounted"]
        assert isinstance(tree["/mounted"], Directory)
    finally:
        subprocess.run(["umount", root / "mounted"], check=True)


@needs_linux
@pytest.mark.parametrize(("name", "depth"), [("d", 10_500), ("n" * 255, 150)])
def test_deeper_than_a_path_can_say(root: Path, name: str, depth: int) -> None:
    fd = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    file = os.open("file", os.O_CREAT | os.O_RDWR, dir_fd=fd)
    os.write(file, b"deep down")
    try:
        os.setxattr(file, "user.deep", b"1")
        expected: dict[bytes, bytes] | None = {b"user.deep": b"1"}
    except OSError:
        expected = None
    os.close(file)
    os.symlink("file", "link", dir_fd=fd)
    os.close(fd)
    try:
        tree = directory(root)
        node: Directory = tree.root
        for _ in range(depth):
            [below_node] = node.children.values()
            assert isinstance(below_node, Directory)
            node = below_node
        found, link = node.children[b"file"], node.children[b"link"]
        assert isinstance(found, RegularFile)
        assert isinstance(link, Symlink)
        assert link.target == b"file"
        assert found.xattrs == expected
        buffer = bytearray(9)
        found.content.read_whole(memoryview(buffer))
        assert buffer == b"deep down"
        reader = found.content.open()
        reader.check_unchanged()
        reader.close()
        assert tree.losses == []
    finally:
        subprocess.run(["rm", "-rf", root], check=True)
    with pytest.raises(SourceChangedError, match="vanished"):
        found.content.open()


class TestLargeDirectories:
    """Several processes may list parts of one directory."""

    def test_all_kinds_in_one_directory(self, root: Path) -> None:
        make_files(root, *(f"file-{number}" for number in range(40)), "folder/inner/file")
        (root / "link").symlink_to("file-1")
        os.link(root / "file-7", root / "again")
        tree = directory(root)
        assert sorted(names(tree)) == sorted(
            ["/", *(f"/{os.fsdecode(path.relative_to(root))}" for path in root.rglob("*"))]
        )
        assert tree["/again"] is tree["/file-7"]
        assert content_of(tree, "/folder/inner/file") == b"/folder/inner/file"[1:]

    def test_a_directory_that_vanishes_is_named(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_files(root, *(f"folder/{number}" for number in range(40)))
        original = os.stat

        def vanished(path: object, **options: object) -> os.stat_result:
            if isinstance(path, bytes) and path.endswith(b"/33"):
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
            return original(path, **options)  # type: ignore[arg-type]

        list_xattrs = os.listxattr

        def removing(path: bytes, **options: bool) -> list[str]:
            if path.endswith(b"/10"):  # a process that works alone reaches this one before
                (root / "folder" / "33").unlink(missing_ok=True)
            return list_xattrs(path, **options)

        monkeypatch.setattr(listing, "BATCH_ENTRIES", 2)
        monkeypatch.setattr(listing, "PART_NAMES", 4)
        monkeypatch.setattr(os, "stat", vanished)
        monkeypatch.setattr(os, "listxattr", removing)
        monkeypatch.setattr(os, "scandir", partial(_in_order, os.scandir))
        with pytest.raises(SourceChangedError, match="vanished during the scan") as caught:
            directory(root)
        assert caught.value.path == os.fsencode(root / "folder" / "33")


@contextmanager
def _in_order(scandir: object, path: object) -> Iterator[Iterator[os.DirEntry[bytes]]]:
    with scandir(path) as found:  # type: ignore[operator]
        yield iter(sorted(found, key=lambda entry: entry.name))
