"""Instead of a document: pipes, devices and endless input."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ext4writer import Ext4WriterError, SourceError, sources
from ext4writer.content import PathContent
from ext4writer.documents import read_document
from ext4writer.edit.selinux.file_contexts import FileContexts
from ext4writer.nix.narinfo import read_narinfo
from ext4writer.nix.registration import read_registration
from ext4writer.nix.store_paths import read_list
from ext4writer.slices import PathSliceContent
from tests.builder.command import assert_one_line, run

SECONDS = 20

READERS: dict[str, Callable[[str], object]] = {
    "document": read_document,
    "manifest": sources.manifest,
    "file contexts": FileContexts.load,
    "registration": read_registration,
    "list": read_list,
    "narinfo": read_narinfo,
}
ARCHIVES: dict[str, Callable[[str], object]] = {
    "nar": sources.nar,
    "image": sources.image,
    "content": PathContent,
    "content of a size": lambda path: PathContent(path, 100).read_bytes(),
    "slice": lambda path: PathSliceContent(path, 0, 100).read_bytes(),
}
"""Archives that need random access, and files of a tree: neither can be a pipe."""

ARGUMENTS = {
    "manifest": ["manifest:FILE"],
    "rules": ["--rules", "FILE"],
    "device table": ["-D", "FILE"],
    "makedevs": ["--makedevs", "FILE"],
    "contexts": ["--file-contexts", "FILE"],
    "users": ["manifest:m.mtree", "--users", "FILE"],
    "groups": ["manifest:m.mtree", "--groups", "FILE"],
}


@pytest.fixture
def no_file(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    path = str(tmp_path / "document")
    match request.param:
        case "pipe":
            os.mkfifo(path)
        case "directory":
            os.mkdir(path)
        case "link to a pipe":
            os.mkfifo(path + "-pipe")
            os.symlink("document-pipe", path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(path)
        case device:
            path = device
    yield path


KINDS = ("pipe", "link to a pipe", "directory", "socket", "/dev/zero", "/dev/full")
every_kind = pytest.mark.parametrize("no_file", KINDS, indirect=True)


@every_kind
@pytest.mark.parametrize("name", READERS)
def test_files_that_are_not_regular_are_refused_immediately(name: str, no_file: str) -> None:
    caught: list[Exception] = []

    def read() -> None:
        try:
            READERS[name](no_file)
        except Exception as error:
            caught.append(error)

    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    reading.join(SECONDS)
    assert not reading.is_alive()
    [error] = caught
    assert isinstance(error, Ext4WriterError)
    assert str(error).startswith(f"{no_file}: is a ") and "regular file" in str(error)


@pytest.mark.parametrize("no_file", ["pipe", "link to a pipe"], indirect=True)
@pytest.mark.parametrize("name", ARCHIVES)
def test_a_pipe_is_refused_as_a_file_of_a_tree(name: str, no_file: str) -> None:
    caught: list[Exception] = []

    def read() -> None:
        try:
            ARCHIVES[name](no_file)
        except Exception as error:
            caught.append(error)

    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    reading.join(SECONDS)
    assert not reading.is_alive()
    [error] = caught
    assert isinstance(error, Ext4WriterError) and no_file in str(error)


@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.parametrize("no_file", ["pipe", "/dev/zero"], indirect=True)
def test_the_command_refuses_it(name: str, no_file: str, tmp_path: Path) -> None:
    (tmp_path / "m.mtree").write_text("#mtree\n. type=dir\n")
    arguments = [one.replace("FILE", no_file) for one in ARGUMENTS[name]]
    done = run("plan", *arguments, cwd=tmp_path)
    assert_one_line(done, 1, no_file, "regular file")


def test_the_null_device_is_an_empty_document() -> None:
    assert read_document("/dev/null") == b""


def test_additional_files_of_a_policy_must_not_be_pipes(tmp_path: Path) -> None:
    base = tmp_path / "file_contexts"
    base.write_text("/.* u:o:t\n")
    os.mkfifo(tmp_path / "file_contexts.subs")
    with pytest.raises(SourceError, match="subs: is a pipe"):
        FileContexts.load(base)


def test_documents_that_are_too_long_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "endless"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    for name in ("file contexts", "registration", "list", "narinfo"):
        with pytest.raises(Ext4WriterError, match="has more than [0-9,]+ bytes"):
            READERS[name](str(path))
    with pytest.raises(SourceError, match="is longer than"):
        sources.manifest(path)
    path.write_bytes(b"four")
    assert read_document(str(path), 4) == b"four"
    with pytest.raises(SourceError, match="has more than 3 bytes"):
        read_document(str(path), 3)
