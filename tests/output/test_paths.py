"""Existing files at a path, or near it, are treated as their owner expects."""

from __future__ import annotations

import errno
import gzip
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ext4writer import CancelledError, OutputError, Spec, Tree, write_image
from ext4writer.errors import Ext4WriterError
from ext4writer.output.atomic_file import NewFile
from tests.judges import fsck
from tests.judges.tools import require, require_loop_mount, require_root, run
from tests.judges.watch import Watch

ROOT = Path(__file__).parents[2]
SMALL = Spec(free=0, free_inodes=0)


def build(path: Path | str, tree: Tree | None = None) -> None:
    write_image(tree or Tree(), path, SMALL)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
class TestModes:
    @pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o666, 0o400, 0o755, 0o200])
    @pytest.mark.parametrize("name", ["a.img", "a.img.zst", "a.img.gz"])
    def test_a_file_that_is_replaced_keeps_its_mode(
        self, tmp_path: Path, mode: int, name: str
    ) -> None:
        if mode & 0o600 != 0o600:
            require_root()  # judges read and write it
        path = tmp_path / name
        path.touch()
        path.chmod(mode)
        build(path)
        assert path.stat().st_size
        assert mode_of(path) == mode
        path.chmod(0o600)

    def test_a_file_is_never_more_accessible_while_it_is_written(self, tmp_path: Path) -> None:
        path = tmp_path / "image"
        path.touch(0o600)
        file = NewFile(os.fsencode(path))
        [partial] = tmp_path.glob(".*")
        assert mode_of(partial) == 0o600
        file.abort()

    def test_new_files_follow_the_umask(self, tmp_path: Path) -> None:
        for mask, mode in ((0o022, 0o644), (0o077, 0o600), (0o002, 0o664)):
            os.umask(mask)
            build(tmp_path / f"{mask}")
            assert mode_of(tmp_path / f"{mask}") == mode

    def test_a_file_that_is_replaced_keeps_its_owner(self, tmp_path: Path) -> None:
        require_root()
        path = tmp_path / "image"
        path.touch(0o640)
        os.chown(path, 1234, 4321)
        build(path)
        status = path.stat()
        assert (status.st_uid, status.st_gid, mode_of(path)) == (1234, 4321, 0o640)

    def test_a_group_that_cannot_be_kept_gets_no_access(self, tmp_path: Path) -> None:
        """An ordinary user replaces a file of another group in a world-writable folder."""
        require_root()
        tmp_path.chmod(0o777)
        path = tmp_path / "image"
        path.touch()
        path.chmod(0o640)
        os.chown(path, 65534, 4321)
        script = (
            "import os, sys\n"
            f"sys.path.insert(0, {str(ROOT)!r})\n"
            "import ext4writer\n"
            # Load all modules while they can be read.
            "ext4writer.write_image(ext4writer.Tree(), sys.argv[1] + '.first')\n"
            "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            "ext4writer.write_image(ext4writer.Tree(), sys.argv[1])\n"
        )
        for parent in tmp_path.parents:
            if parent.stat().st_uid == 0 and parent != Path("/") and parent != Path("/tmp"):
                parent.chmod(parent.stat().st_mode | 0o011)
        subprocess.run([sys.executable, "-c", script, str(path)], check=True)
        status = path.stat()
        assert (status.st_uid, status.st_gid) == (65534, 65534)
        assert mode_of(path) == 0o600

    def test_access_control_lists(self, tmp_path: Path) -> None:
        """A file's list is kept, and a folder's default list gives nobody more access."""
        require("setfacl")
        listed, plain = tmp_path / "listed", tmp_path / "plain"
        for path in (listed, plain):
            path.touch(0o640)
        done = subprocess.run(["setfacl", "-m", "u:1234:r,m:r", listed], capture_output=True)
        if done.returncode:
            pytest.skip("the file system does not support access control lists")
        run(["setfacl", "-d", "-m", "u:4321:rwx", tmp_path])
        before = [run(["getfacl", "-p", path]).stdout for path in (listed, plain)]
        build(listed)
        build(plain)
        assert [run(["getfacl", "-p", path]).stdout for path in (listed, plain)] == before


class TestLinks:
    def test_a_link_is_followed(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder/real").write_bytes(b"old")
        (tmp_path / "middle").symlink_to("folder/real")
        (tmp_path / "link").symlink_to(tmp_path / "middle")
        build(tmp_path / "link")
        assert (tmp_path / "link").is_symlink() and (tmp_path / "middle").is_symlink()
        fsck.assert_clean(tmp_path / "folder/real")
        assert os.listdir(tmp_path / "folder") == ["real"]

    @pytest.mark.parametrize("target", ["missing", "missing/too", "loop"])
    @pytest.mark.parametrize("name", ["loop", "loop.gz"])
    def test_a_dangling_link_is_refused(self, tmp_path: Path, target: str, name: str) -> None:
        (tmp_path / name).symlink_to(target if target != "loop" else name)
        with pytest.raises(OutputError, match="does not exist|[Tt]oo many"):
            build(tmp_path / name)
        assert os.listdir(tmp_path) == [name]

    def test_further_names_of_a_file_keep_it(self, tmp_path: Path) -> None:
        (tmp_path / "image").write_bytes(b"old")
        os.link(tmp_path / "image", tmp_path / "other")
        build(tmp_path / "image")
        assert (tmp_path / "other").read_bytes() == b"old"

    def test_a_folder_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path)
        for path in (tmp_path, tmp_path / "link", f"{tmp_path}/"):
            with pytest.raises(OutputError, match="is a directory"):
                build(path)
        (tmp_path / "link").unlink()
        assert os.listdir(tmp_path) == []


KILLED = """
import os, signal, sys
sys.path.insert(0, {root!r})
from ext4writer import Tree, write_image

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

tree = Tree()
tree.file("a", kill, size=5000)
write_image(tree, sys.argv[1])
"""


class TestLeftBehind:
    """``.NAME.partial`` of a process that was killed."""

    def kill_one(self, path: Path) -> None:
        script = KILLED.format(root=str(ROOT))
        done = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
        assert done.returncode == -signal.SIGKILL

    @pytest.mark.parametrize("name", ["image", "image.zst", "n" * 255])
    def test_a_partial_file_is_removed_by_the_next_run(self, tmp_path: Path, name: str) -> None:
        for _ in range(2):
            self.kill_one(tmp_path / name)
            assert len(os.listdir(tmp_path)) == 1
        build(tmp_path / name)
        assert os.listdir(tmp_path) == [name]

    def test_a_partial_file_is_removed_even_if_the_next_run_fails(self, tmp_path: Path) -> None:
        self.kill_one(tmp_path / "image")
        tree = Tree()
        tree.file("a", lambda: [b"too short"], size=5000)
        with pytest.raises(Ext4WriterError):
            build(tmp_path / "image", tree)
        assert os.listdir(tmp_path) == []

    def test_a_partial_file_of_a_living_process_stays(self, tmp_path: Path) -> None:
        one = NewFile(os.fsencode(tmp_path / "image"))
        other = NewFile(os.fsencode(tmp_path / "image"))
        assert sorted(os.listdir(tmp_path)) == [".image.partial", ".image.partial-1"]
        other.write(b"other")
        other.commit()
        build(tmp_path / "image")
        assert sorted(os.listdir(tmp_path)) == [".image.partial", "image"]
        one.write(b"one")
        one.commit()
        assert (tmp_path / "image").read_bytes() == b"one"
        assert os.listdir(tmp_path) == ["image"]

    @pytest.mark.parametrize("kind", ["link", "dangling", "second name", "folder", "fifo"])
    def test_unrelated_files_are_left_alone(self, tmp_path: Path, kind: str) -> None:
        partial, other = tmp_path / ".image.partial", tmp_path / "other"
        other.write_bytes(b"precious")
        if kind == "link":
            partial.symlink_to("other")
        elif kind == "dangling":
            partial.symlink_to("nowhere")
        elif kind == "second name":
            os.link(other, partial)
        elif kind == "folder":
            partial.mkdir()
        else:
            os.mkfifo(partial)
        before = os.lstat(partial)
        build(tmp_path / "image")
        assert os.path.samestat(os.lstat(partial), before)
        assert other.read_bytes() == b"precious"
        assert sorted(os.listdir(tmp_path)) == [".image.partial", "image", "other"]

    def test_a_partial_file_of_another_user_stays(self, tmp_path: Path) -> None:
        require_root()
        partial = tmp_path / ".image.partial"
        partial.write_bytes(b"theirs")
        os.chown(partial, 1234, 1234)
        build(tmp_path / "image")
        assert partial.read_bytes() == b"theirs"


class TestPlacesThatCannotBeReplaced:
    def test_a_file_that_is_a_mount_point(self, tmp_path: Path) -> None:
        require_loop_mount()
        (tmp_path / "real").write_bytes(b"old" * 9_000_000)
        (tmp_path / "a b").touch()
        run(["mount", "--bind", tmp_path / "real", tmp_path / "a b"])
        try:
            build(tmp_path / "a b")
        finally:
            run(["umount", tmp_path / "a b"])
        fsck.assert_clean(tmp_path / "real")
        assert sorted(os.listdir(tmp_path)) == ["a b", "real"]

    def test_a_mount_point_where_descriptors_have_no_mount_id(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("ext4writer.output.atomic_file.FDINFO", b"/proc/self/nothing/%d")
        self.test_a_file_that_is_a_mount_point(tmp_path)

    def test_a_file_in_a_folder_that_is_read_only(self, tmp_path: Path, watch: Watch) -> None:
        require_loop_mount()
        folder = tmp_path / "folder"
        watch.damaged(folder / "image")  # judged under its other name
        folder.mkdir()
        (tmp_path / "real").write_bytes(b"old")
        run(["mount", "-t", "tmpfs", "tmpfs", folder])
        try:
            (folder / "image").touch()
            (folder / "other").touch()
            run(["mount", "--bind", tmp_path / "real", folder / "image"])
            run(["mount", "-o", "remount,ro", folder])
            build(folder / "image")
            fsck.assert_clean(tmp_path / "real")
            tree = Tree()
            tree.file("a", lambda: [b"too short"], size=5000)
            with pytest.raises(Ext4WriterError):
                build(folder / "image", tree)
            assert (tmp_path / "real").read_bytes() == b""
            with pytest.raises(OutputError, match="read-only"):
                build(folder / "other")
        finally:
            subprocess.run(["umount", folder / "image"], check=False)
            run(["umount", folder])

    def test_a_compressed_one(self, tmp_path: Path) -> None:
        """In a read-only folder, and as a mount point in a writable one."""
        require_loop_mount()
        folder, real = tmp_path / "folder", tmp_path / "real.gz"
        image = folder / "image.gz"
        folder.mkdir()
        real.write_bytes(b"older and longer than the new one" * 99_000)
        run(["mount", "-t", "tmpfs", "tmpfs", folder])
        try:
            image.touch()
            run(["mount", "--bind", real, image])
            for options in ("remount,rw", "remount,ro"):
                run(["mount", "-o", options, folder])
                tree = Tree()
                tree.file("a", lambda: [b"too short"], size=5000)
                build(image)
                (tmp_path / "image").write_bytes(gzip.decompress(real.read_bytes()))
                fsck.assert_clean(tmp_path / "image")
                with pytest.raises(Ext4WriterError):
                    build(image, tree)
                assert real.read_bytes() == b""
            assert os.listdir(folder) == ["image.gz"]
        finally:
            subprocess.run(["umount", image], check=False)
            run(["umount", folder])


class TestFlushing:
    def test_sync_flushes_the_file_and_then_its_name(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        said: list[str] = []
        fsync, replace = os.fsync, os.replace

        def note_flush(fd: int) -> None:
            is_folder = stat.S_ISDIR(os.fstat(fd).st_mode)
            said.append("flush folder" if is_folder else "flush file")
            fsync(fd)

        def note_rename(*names: bytes) -> None:
            said.append("rename")
            replace(*names)

        monkeypatch.setattr(os, "fsync", note_flush)
        monkeypatch.setattr(os, "replace", note_rename)
        for name in ("a.img", "a.img.zst", "a.img.xz"):
            said.clear()
            write_image(Tree(), tmp_path / name, SMALL)
            assert said == ["rename"]
            said.clear()
            write_image(Tree(), tmp_path / name, SMALL, sync=True)
            assert said == ["flush file", "rename", "flush folder"]
        said.clear()
        with (tmp_path / "b.img").open("wb") as file:
            write_image(Tree(), file, SMALL)
            assert said == []
            write_image(Tree(), file, SMALL, sync=True)
            assert "flush file" in said

    @pytest.mark.parametrize("call", ["close", "fsync"])
    @pytest.mark.parametrize("name", ["a.img", "a.img.gz"])
    def test_errors_on_close_are_reported(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, name: str
    ) -> None:
        (tmp_path / name).write_bytes(b"old")
        original = getattr(os, call)

        def refuse(fd: int) -> None:
            is_image = stat.S_ISREG(os.fstat(fd).st_mode) and os.fstat(fd).st_size > 100
            original(fd)
            if is_image:
                raise OSError(5, "Input/output error")

        monkeypatch.setattr(os, call, refuse)
        with pytest.raises(OutputError, match="Input/output error"):
            write_image(Tree(), tmp_path / name, SMALL, sync=True)
        monkeypatch.undo()
        assert (tmp_path / name).read_bytes() == b"old"
        assert os.listdir(tmp_path) == [name]


# -- folders in which only the output may be created ----------------------------------------------


@pytest.mark.parametrize("name", ["a.img", "a.img.gz"])
def test_only_the_output_itself_may_be_made(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The build sandbox of macOS does this: it denies every other name in the folder."""
    image = tmp_path / name
    made: list[str] = []
    real_open = os.open

    def open_allowed(path: object, flags: int, mode: int = 0o777, **more: object) -> int:
        shown = os.fsdecode(path)  # type: ignore[arg-type]
        if flags & os.O_CREAT and os.path.dirname(shown) == str(tmp_path) and shown != str(image):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), shown)
        made.append(shown)
        return real_open(path, flags, mode, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", open_allowed)
    tree = Tree()
    tree.file("/hello", b"hello\n")
    write_image(tree, image)
    assert os.listdir(tmp_path) == [name] and str(image) in made
    monkeypatch.undo()
    plain = tmp_path / "plain" / name
    plain.parent.mkdir()
    write_image(tree, plain)
    assert image.read_bytes() == plain.read_bytes()
    # Failures leave no file, and an existing file is not partly overwritten.
    image.unlink()
    monkeypatch.setattr(os, "open", open_allowed)
    stop = threading.Event()
    stop.set()
    with pytest.raises(CancelledError):
        write_image(tree, image, cancel=stop)
    assert not image.exists()


def test_a_replacement_gets_the_attributes_of_the_old_file(tmp_path: Path) -> None:
    """Objects in a store, for example, get their names when they are complete."""
    (tmp_path / "object").touch()
    (tmp_path / "object").chmod(0o600)
    file = NewFile(os.fsencode(tmp_path / "content"))
    file.write(b"data")
    file.commit(os.fsencode(tmp_path / "object"))
    assert (tmp_path / "object").read_bytes() == b"data"
    assert mode_of(tmp_path / "object") == 0o600
    assert os.listdir(tmp_path) == ["object"]
