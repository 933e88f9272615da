"""Many workers write the same image as one."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

import ext4writer
from ext4writer import OutputError, SourceChangedError, Spec, SpecError, sources
from ext4writer.distributed import PartsError, write_parts
from ext4writer.distributed.targets import MultipartUpload
from ext4writer.distributed.work import make_part
from tests.judges.tools import missing, require_importable

from .with_dask import run_with_dask

MIB = 1 << 20

# The image is compared with one that was judged.
pytestmark = pytest.mark.judged("quick")


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    chance = random.Random(8)
    for number in range(60):
        (folder / f"file{number}").write_bytes(chance.randbytes(chance.randrange(200_000)))
    return folder


@pytest.fixture(name="plan")
def _plan(folder: Path, tmp_path: Path) -> Path:
    plan = tmp_path / "root.plan"
    ext4writer.plan(sources.directory(folder), Spec(free="20M")).save(plan)
    return plan


@pytest.fixture(name="expected")
def _expected(plan: Path) -> bytes:
    with ext4writer.Layout.load(plan).open() as image:
        return image.readall()


def processes() -> ProcessPoolExecutor:
    try:
        return ProcessPoolExecutor(2, mp_context=get_context("spawn"))
    except (OSError, ImportError) as error:
        missing("sharing semaphores between processes", f"mount /dev/shm ({error})")


class ImmediateExecutor(Executor):
    """Runs each task immediately, or fails as requested."""

    def __init__(self, failing: dict[int, int] | None = None) -> None:
        self.failing = dict(failing or {})
        self.asked: list[int] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        number = args[2]
        self.asked.append(number)
        if self.failing.get(number, 0):
            self.failing[number] -= 1
            future.set_exception(RuntimeError("the worker died"))
            return future
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


@pytest.mark.parametrize("parts", [1, 7])
def test_processes_write_one_file(plan: Path, expected: bytes, tmp_path: Path, parts: int) -> None:
    image = tmp_path / "root.img"
    with processes() as executor:
        done = write_parts(plan, image, executor, parts=parts)
    assert image.read_bytes() == expected
    assert (done.size, done.made, len(done.digests)) == (len(expected), parts, parts)
    assert sorted(os.listdir(tmp_path)) == ["root.img", "root.plan", "source"]
    assert image.stat().st_blocks * 512 < len(expected)


def test_threads_and_more_parts_than_blocks(tmp_path: Path) -> None:
    plan, image = tmp_path / "plan", tmp_path / "image"
    layout = ext4writer.plan(ext4writer.Tree(), Spec(size="128K", journal="none"))
    layout.save(plan)
    with ThreadPoolExecutor(4) as executor:
        write_parts(plan, image, executor, parts=100)
    with layout.open() as whole:
        assert image.read_bytes() == whole.readall()


def test_a_part_that_fails_is_tried_again(plan: Path, expected: bytes, tmp_path: Path) -> None:
    image = tmp_path / "image"
    executor = ImmediateExecutor({3: 2})
    done = write_parts(plan, image, executor, parts=5)
    assert image.read_bytes() == expected
    assert done.made == 5 and executor.asked.count(3) == 3


def test_existing_parts_are_not_written_again(plan: Path, expected: bytes, tmp_path: Path) -> None:
    image = tmp_path / "image"
    with pytest.raises(PartsError, match="1 of 5 parts are missing.*the worker died") as failed:
        write_parts(plan, image, ImmediateExecutor({4: 3}), parts=5)
    assert failed.value.numbers == [4] and not image.exists()
    partial_file = tmp_path / "image.partial"
    with partial_file.open("r+b") as file:
        file.seek(5000)
        file.write(b"a disk that forgot")
    done = write_parts(plan, image, ImmediateExecutor(), parts=5)
    assert image.read_bytes() == expected
    assert done.made == 2  # the missing one, and the one whose digest is wrong now


def test_a_worker_that_is_killed(plan: Path, expected: bytes, tmp_path: Path) -> None:
    """The process pool breaks, and another one takes over."""
    image, pools = tmp_path / "image", []

    def pool() -> ProcessPoolExecutor:
        made = processes()
        pools.append(made)
        if len(pools) == 1:
            # Wait until both work: Python 3.11 hangs if a process starts while its pool notices
            # that it is broken.
            list(made.map(time.sleep, [0.5, 0.5]))
            assert len(made._processes) == 2
            for pid in list(made._processes):
                os.kill(pid, signal.SIGKILL)
        return made

    done = write_parts(plan, image, pool, parts=6, attempts=4)
    assert image.read_bytes() == expected and done.made == 6 and len(pools) >= 2


def test_a_source_that_changed_ends_it(plan: Path, folder: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"before")
    (folder / "file7").write_bytes(b"!" * (folder / "file7").stat().st_size)
    with pytest.raises(SourceChangedError, match="file7"):
        write_parts(plan, image, ImmediateExecutor(), parts=3)
    assert image.read_bytes() == b"before"


def test_a_private_file_stays_private(plan: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.touch(0o600)
    write_parts(plan, image, ImmediateExecutor(), parts=2)
    assert image.stat().st_mode & 0o777 == 0o600


def test_a_source_is_never_the_target(plan: Path, folder: Path) -> None:
    before = (folder / "file3").read_bytes()
    with pytest.raises(OutputError):
        write_parts(plan, folder / "file3", ImmediateExecutor())
    assert (folder / "file3").read_bytes() == before


def test_impossible_numbers_are_refused(plan: Path, tmp_path: Path) -> None:
    for name in ("parts", "attempts"):
        with pytest.raises(SpecError, match=name):
            write_parts(plan, tmp_path / "image", ImmediateExecutor(), **{name: 0})  # type: ignore[arg-type]


def test_workers_reread_a_plan_that_was_saved_again(plan: Path, tmp_path: Path) -> None:
    """Workers keep the plan of their last part, and identify it by more than its path."""
    image = tmp_path / "image"
    for text in (b"one", b"two"):
        tree = ext4writer.Tree()
        tree.file("/file", text * 1000)
        layout = ext4writer.plan(tree)
        layout.save(plan)
        write_parts(plan, image, ImmediateExecutor(), parts=3)
        with layout.open() as whole:
            assert image.read_bytes() == whole.readall()


def test_a_link_is_followed(plan: Path, expected: bytes, tmp_path: Path) -> None:
    (tmp_path / "image").symlink_to("real")
    with pytest.raises(OutputError, match="which does not exist"):
        write_parts(plan, tmp_path / "image", ImmediateExecutor(), parts=2)
    (tmp_path / "real").touch(0o640)
    write_parts(plan, tmp_path / "image", ImmediateExecutor(), parts=2)
    assert (tmp_path / "image").is_symlink()
    assert (tmp_path / "real").read_bytes() == expected


def test_files_of_others_stay(plan: Path, tmp_path: Path) -> None:
    """Neither the file of the parts nor their record replaces an unrelated file."""
    before = plan.read_bytes()
    for name in ("image.partial", "image.parts"):
        (tmp_path / name).write_bytes(b"of another kind")
        with pytest.raises(OutputError, match="is in the way"):
            write_parts(plan, tmp_path / "image", ImmediateExecutor(), parts=2)
        assert (tmp_path / name).read_bytes() == b"of another kind"
        (tmp_path / name).unlink()
    os.mkfifo(tmp_path / "fifo")
    for target, record in ((tmp_path / "fifo", None), (plan, None), (tmp_path / "image", plan)):
        with pytest.raises(OutputError):
            write_parts(plan, target, ImmediateExecutor(), record=record)
    assert plan.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["fifo", "root.plan", "source"]


def test_work_stopped_before_its_first_part_resumes(
    plan: Path, expected: bytes, tmp_path: Path
) -> None:
    image = tmp_path / "image"
    with pytest.raises(PartsError):
        write_parts(plan, image, ImmediateExecutor({1: 1}), parts=1, attempts=1)
    write_parts(plan, image, ImmediateExecutor(), parts=1)
    assert image.read_bytes() == expected


class Broken(Executor):
    """Breaks on every task."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        raise BrokenExecutor("a worker died")


class NoExecutor:
    """Like Dask's client, which is not an executor."""

    def submit(self) -> None:
        """Has another signature."""


def test_objects_that_are_not_executors_are_refused(plan: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    for executor in (lambda: None, NoExecutor(), dict):
        with pytest.raises(SpecError, match="executor: .* not an executor"):
            write_parts(plan, image, executor)  # type: ignore[arg-type]
    for broken in (Broken(), Broken):
        with pytest.raises(PartsError, match="7 of 7 parts are missing.*a worker died"):
            write_parts(plan, image, broken, parts=7)
    write_parts(plan, image, ImmediateExecutor(), parts=7)


def test_nothing_is_left_if_the_work_cannot_begin(plan: Path, tmp_path: Path) -> None:
    require_importable("fsspec", "fsspec")
    with pytest.raises(OutputError, match="nonsense"):
        write_parts(plan, "nonsense://image", ImmediateExecutor())
    with pytest.raises(OutputError):
        write_parts(
            plan, tmp_path / "missing" / "image", ImmediateExecutor(), record=tmp_path / "record"
        )
    assert sorted(os.listdir(tmp_path)) == ["root.plan", "source"]


# -- one call at a time ----------------------------------------------------------------------------


class CallDuringWork(ImmediateExecutor):
    """Calls a function in the middle of the work."""

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__()
        self.call = call

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.call()
        return super().submit(fn, *args, **kwargs)


def test_a_second_call_for_one_image_is_refused(
    plan: Path, expected: bytes, tmp_path: Path
) -> None:
    image, refused = tmp_path / "image", []
    link = tmp_path / "link"
    image.touch()
    link.symlink_to("image")

    def again() -> None:
        for target, record in ((image, None), (image, tmp_path / "other"), (link, None)):
            with pytest.raises(OutputError, match="is in use|is in the way"):
                write_parts(plan, target, ImmediateExecutor(), parts=2, record=record)
            refused.append(target)

    write_parts(plan, image, CallDuringWork(again), parts=2)
    assert len(refused) == 6 and image.read_bytes() == expected
    assert sorted(os.listdir(tmp_path)) == ["image", "link", "root.plan", "source"]


HOLDING = """
import os, sys, time
from concurrent.futures import Executor
from ext4writer.distributed import write_parts

class Sleeping(Executor):
    def submit(self, *args, **kwargs):
        worker = os.fork()
        if worker:
            print(worker, flush=True)
        time.sleep(100)

write_parts(sys.argv[1], sys.argv[2], Sleeping(), parts=3)
"""


def test_a_dead_process_blocks_nobody(plan: Path, expected: bytes, tmp_path: Path) -> None:
    """This holds even if a worker that it forked is still alive."""
    image = tmp_path / "image"
    command = [sys.executable, "-c", HOLDING, str(plan), str(image)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        try:
            with pytest.raises(OutputError, match="is in use: another call"):
                write_parts(plan, image, ImmediateExecutor(), parts=3)
            process.kill()
            process.wait()
            assert write_parts(plan, image, ImmediateExecutor(), parts=3).made == 3
        finally:
            os.kill(worker, signal.SIGKILL)
    assert image.read_bytes() == expected


@pytest.mark.parametrize("left", ["torn", "zeros", "no parts", "nothing"])
def test_a_record_that_was_cut_off(plan: Path, expected: bytes, tmp_path: Path, left: str) -> None:
    image, record = tmp_path / "image", tmp_path / "image.parts"
    with pytest.raises(PartsError):
        write_parts(plan, image, ImmediateExecutor({4: 3}), parts=5)
    lines = record.read_bytes().splitlines(keepends=True)
    assert len(lines) == 6
    record.write_bytes(
        {
            "torn": b"".join(lines)[:-7],
            "zeros": b"".join(lines[:4]) + bytes(300),
            "no parts": lines[0],
            "nothing": b"",
        }[left]
    )
    if left == "nothing":  # then nothing shows that the file of the parts is ours
        with pytest.raises(OutputError, match="in the way"):
            write_parts(plan, image, ImmediateExecutor(), parts=5)
        (tmp_path / "image.partial").unlink()
    done = write_parts(plan, image, ImmediateExecutor(), parts=5)
    assert done.made == {"torn": 2, "zeros": 3, "no parts": 5, "nothing": 5}[left]
    assert image.read_bytes() == expected
    assert not record.exists()


def test_a_record_of_another_image(plan: Path, folder: Path, tmp_path: Path) -> None:
    """It is not discarded for a new one; but a new plan of the same image starts over."""
    image, record = tmp_path / "image", tmp_path / "record"
    with pytest.raises(PartsError):
        write_parts(plan, image, ImmediateExecutor({2: 3}), parts=3, record=record)
    before = record.read_bytes()
    with pytest.raises(OutputError, match="record of parts of .*image"):
        write_parts(plan, tmp_path / "other", ImmediateExecutor(), parts=3, record=record)
    assert record.read_bytes() == before
    (folder / "new").write_bytes(b"new" * 5000)
    layout = ext4writer.plan(sources.directory(folder))
    layout.save(plan)
    assert write_parts(plan, image, ImmediateExecutor(), parts=3, record=record).made == 3
    with layout.open() as whole:
        assert image.read_bytes() == whole.readall()


def test_no_task_runs_on_after_the_call(plan: Path, tmp_path: Path) -> None:
    """Otherwise it would write into the output of the next call."""
    image, running = tmp_path / "image", threading.Event()
    ended = []

    class Slow(ThreadPoolExecutor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            def task() -> Any:
                if args[2] == 1:
                    running.wait(20)
                    raise SourceChangedError(b"/source", "is another one")
                running.set()
                time.sleep(0.3)
                ended.append(args[2])
                return fn(*args, **kwargs)

            return super().submit(task)

    with Slow(2) as executor:
        with pytest.raises(SourceChangedError):
            write_parts(plan, image, executor, parts=2)
        assert ended == [2]


# -- other engines and stores ----------------------------------------------------------------------


@pytest.mark.slow
def test_two_workers_of_dask_one_killed(plan: Path, expected: bytes, tmp_path: Path) -> None:
    image = tmp_path / "image"
    assert run_with_dask("parts", plan, image).split() == ["8"]
    assert image.read_bytes() == expected


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_stores_of_fsspec(plan: Path, expected: bytes, tmp_path: Path, kind: str) -> None:
    require_importable("fsspec", "fsspec")
    import fsspec

    url = "memory://images/root.img" if kind == "memory" else f"file://{tmp_path}/out/root.img"
    (tmp_path / "out").mkdir()
    with ThreadPoolExecutor(2) as executor:
        write_parts(plan, url, executor, parts=4)
    with fsspec.open(url, "rb") as file:
        assert file.read() == expected
    store, path = fsspec.core.url_to_fs(url)
    assert [Path(name).name for name in store.ls(os.path.dirname(path), detail=False)] == [
        "root.img"
    ]


@pytest.fixture(name="s3")
def _s3() -> Iterator[dict[str, Any]]:
    """A server of S3 on the loopback interface, and what fsspec needs to reach it."""
    require_importable("moto", "moto[server]")
    require_importable("s3fs", "s3fs")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(url, timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield {"key": "key", "secret": "secret", "endpoint_url": url}
    finally:
        process.kill()
        process.wait()


def test_a_multipart_upload(folder: Path, tmp_path: Path, s3: dict[str, Any]) -> None:
    import s3fs

    (folder / "large").write_bytes(random.Random(1).randbytes(30 * MIB))
    plan = tmp_path / "large.plan"
    layout = ext4writer.plan(sources.directory(folder))
    layout.save(plan)
    store = s3fs.S3FileSystem(**s3)
    store.mkdir("images")
    with pytest.raises(PartsError):
        write_parts(plan, "s3://images/root.img", ImmediateExecutor({2: 9}), parts=4, options=s3)
    with ThreadPoolExecutor(2) as executor:
        done = write_parts(plan, "s3://images/root.img", executor, parts=4, options=s3)
    assert done.made < len(done.digests)  # the others were uploaded before
    store.invalidate_cache()
    with store.open("images/root.img", "rb") as file, layout.open() as image:
        assert hashlib.sha256(file.read()).digest() == hashlib.sha256(image.readall()).digest()


def test_an_upload_that_s3_has_dropped(folder: Path, tmp_path: Path, s3: dict[str, Any]) -> None:
    """Another one is begun; parts that are missing or different are written again."""
    import s3fs

    (folder / "large").write_bytes(random.Random(1).randbytes(24 * MIB))
    plan = tmp_path / "large.plan"
    layout = ext4writer.plan(sources.directory(folder))
    layout.save(plan)
    url = "s3://images/root.img"
    with pytest.raises(OutputError, match="s3://images/root.img: an upload cannot be started"):
        write_parts(plan, url, ImmediateExecutor(), options=s3)
    store = s3fs.S3FileSystem(**s3)
    store.mkdir("images")

    def uploads() -> list[str]:
        answer = store.call_s3("list_multipart_uploads", Bucket="images")
        return [each["UploadId"] for each in answer.get("Uploads", ())]

    where = {"Bucket": "images", "Key": "root.img"}
    with pytest.raises(PartsError):
        write_parts(plan, url, ImmediateExecutor({2: 9}), parts=1000, options=s3)
    [upload] = uploads()
    made = json.loads((tmp_path / "large.plan.parts").read_bytes().splitlines()[0])["count"]
    assert made == layout.size_bytes // (5 * MIB)
    store.call_s3("upload_part", **where, UploadId=upload, PartNumber=3, Body=b"of someone else")
    with pytest.raises(PartsError):
        write_parts(plan, url, ImmediateExecutor({2: 9}), parts=1000, options=s3)
    assert uploads() == [upload]
    store.call_s3("abort_multipart_upload", **where, UploadId=upload)
    assert write_parts(plan, url, ImmediateExecutor(), parts=1000, options=s3).made == made
    store.invalidate_cache()
    with store.open("images/root.img", "rb") as file, layout.open() as image:
        assert hashlib.sha256(file.read()).digest() == hashlib.sha256(image.readall()).digest()
    # What an earlier plan began is removed, because S3 charges for it.
    with pytest.raises(PartsError):
        write_parts(plan, url, ImmediateExecutor({1: 9}), parts=2, options=s3)
    [earlier] = uploads()
    ext4writer.plan(sources.directory(folder), Spec(label="another")).save(plan)
    with pytest.raises(PartsError):
        write_parts(plan, url, ImmediateExecutor({1: 9}), parts=2, options=s3)
    assert len(uploads()) == 1 and uploads() != [earlier]


@pytest.mark.parametrize("size", [1, 5 * MIB, 11 * MIB, 3 << 30, 5 << 40, 10_000 * (5 << 30)])
@pytest.mark.parametrize("wanted", [1, 16, 20_000])
def test_parts_that_s3_takes(size: int, wanted: int) -> None:
    count = MultipartUpload("s3://images/root.img", {}, "").count(wanted, size)
    assert 1 <= count <= 10_000
    assert size // count <= 5 << 30
    assert count == 1 or size // count >= 5 * MIB
    assert count == 10_000 or size // count <= 128 * MIB


def test_an_image_that_is_too_large_for_s3() -> None:
    with pytest.raises(OutputError, match="at most"):
        MultipartUpload("s3://images/root.img", {}, "").count(16, 10_000 * (5 << 30) + 1)


def test_parts_of_two_plans_in_one_store(plan: Path, expected: bytes, folder: Path) -> None:
    """Neither uses the parts of the other, and damaged parts are not joined."""
    require_importable("fsspec", "fsspec")
    import fsspec

    url = "memory://plans/root.img"
    other = plan.parent / "other.plan"
    ext4writer.plan(sources.directory(folder), Spec(label="other")).save(other)
    with pytest.raises(PartsError):
        write_parts(plan, url, ImmediateExecutor({3: 9}), parts=3)
    with pytest.raises(PartsError):
        write_parts(other, url, ImmediateExecutor({3: 9}), parts=3)
    store, path = fsspec.core.url_to_fs(url)
    assert not store.exists(path)
    assert len(store.ls("/plans", detail=False)) == 4
    mark = hashlib.sha256(plan.read_bytes()).hexdigest()[:16]
    damaged = f"/plans/root.img.{mark}.2-of-3"

    class Forgetful(ImmediateExecutor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            future = super().submit(fn, *args, **kwargs)
            if args[2] == 3:
                store.pipe_file(damaged, b"damaged")
            return future

    with pytest.raises(OutputError, match="part 2 has changed"):
        write_parts(plan, url, Forgetful(), parts=3)
    assert not store.exists(path)
    assert write_parts(plan, url, ImmediateExecutor(), parts=3).made == 1
    with store.open(path, "rb") as file:
        assert file.read() == expected
    write_parts(other, url, ImmediateExecutor(), parts=3)
    assert store.ls("/plans", detail=False) == ["/plans/root.img"]


def test_a_task_can_be_sent_to_other_processes() -> None:
    assert make_part.__module__ == "ext4writer.distributed.work"


@pytest.mark.parametrize("record", ["image", "image.partial"])
def test_the_record_is_never_the_image(plan: Path, tmp_path: Path, record: str) -> None:
    with pytest.raises(OutputError, match="another file for the record"):
        write_parts(plan, tmp_path / "image", ImmediateExecutor(), record=tmp_path / record)
    assert not (tmp_path / record).exists()
