"""Nix archives, judged by a real ``nix-store --dump`` and ``--restore``."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ext4writer import (
    Directory,
    LimitError,
    Node,
    RegularFile,
    SourceError,
    Symlink,
    Tree,
    TreeError,
    sources,
    write_image,
)
from ext4writer.content import BytesContent, Content
from ext4writer.edit import filters
from ext4writer.sources.nar_archive import DEPTH_MAX, read_nar
from ext4writer.sources.nar_dump import dump_nar, nar_size
from ext4writer.sources.nar_format import words
from tests.judges import tools
from tests.makers.host_tree import materialise
from tests.makers.strategies import names, targets


def dumped(node: Node) -> bytes:
    """The archive of ``node``, as we write it."""
    pieces: list[bytes] = []
    size = dump_nar(node, lambda piece: pieces.append(bytes(piece)))
    data = b"".join(pieces)
    assert size == len(data) == nar_size(node)
    return data


def nix_store(arguments: str, *words: Path) -> None:
    """Run a shell command that begins with a real ``nix-store``."""
    program = tools.require("nix-store")
    tools.run(["sh", "-c", f"{program} {arguments}", *words], environment={"HOME": "/nonexistent"})


def judged(path: Path, tmp_path: Path) -> bytes:
    """The archive of a file of the host, as written by Nix."""
    archive = tmp_path / "judged.nar"
    nix_store('--dump "$0" >"$1"', path, archive)
    return archive.read_bytes()


def read(data: bytes) -> Node:
    """The node in the archive ``data``, with its content in memory."""

    def read_at(offset: int, count: int) -> bytes:
        return data[offset : offset + count]

    def make(offset: int, size: int) -> Content:
        return BytesContent(data[offset : offset + size])

    return read_nar(read_at, len(data), make, b"an archive")


# -- what Nix writes -------------------------------------------------------------------------------


SIZES = [0, 1, 7, 8, 9, 40, 70_001, 1_100_000]
"""Sizes of content; the last one exceeds the buffer for writing archives."""


READABLE = 0 if os.geteuid() == 0 else 0o400
"""The mode that Nix needs to read a file; root needs none."""


def nodes() -> st.SearchStrategy[Node]:
    """Trees of everything that an archive can hold."""
    files = st.builds(
        lambda size, seed, mode: RegularFile(
            BytesContent(random.Random(seed).randbytes(size)), mode
        ),
        st.sampled_from(SIZES),
        st.integers(0, 255),
        st.sampled_from([0o644, 0o755, 0o100 | READABLE, 0o654, 0o444]),
    )
    links = st.builds(Symlink, targets().filter(bool))
    return st.recursive(st.one_of(files, links), _directories, max_leaves=12)


def _directories(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Directory]:
    return st.dictionaries(names(), inner, max_size=5).map(_directory)


def _directory(children: dict[bytes, Node]) -> Directory:
    directory = Directory(0o755)
    directory.children = children
    return directory


@given(root=_directories(nodes()))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_tree_has_the_same_archive_as_with_nix(root: Directory) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "folder")
        materialise(Tree(root), folder)
        data = judged(folder, Path(scratch))
        assert dumped(root) == data
        assert dumped(sources.directory(folder).root) == data
        assert dumped(read(data)) == data


@pytest.mark.parametrize("name", ["file", "program", "link", "empty"])
def test_an_archive_of_one_file(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"text")
    (tmp_path / "program").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "program").chmod(0o755)
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "empty").touch()
    data = judged(tmp_path / name, tmp_path)
    assert dumped(read(data)) == data


def test_the_content_is_a_slice_of_the_archive(tmp_path: Path) -> None:
    """An image built from an archive equals that of the folder, including holes."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "large").write_bytes(random.Random(1).randbytes(3_000_001))
    (folder / "small").write_bytes(b"small")
    with open(folder / "sparse", "wb") as file:
        file.truncate(5_000_000)
        file.seek(2_000_000)
        file.write(b"middle")
    archive = tmp_path / "archive.nar"
    archive.write_bytes(judged(folder, tmp_path))
    tree = Tree(as_directory(sources.nar(archive)))
    for path in folder.iterdir():
        node = tree[path.name]
        assert isinstance(node, RegularFile)
        data = bytearray(node.content.size)
        with memoryview(data) as view:
            node.content.read_whole(view)
        assert data == path.read_bytes()
    outputs = []
    for one in (tree, sources.directory(folder)):
        filters.set_all_times(one, 1)
        filters.set_owner(one, 0, 0)
        for _, node in one.walk():
            node.mode = 0o755
            node.xattrs = None
        outputs.append(bytearray())
        write_image(one, outputs[-1])
    assert outputs[0] == outputs[1]


def as_directory(node: Node) -> Directory:
    assert isinstance(node, Directory)
    return node


def test_nix_restores_what_we_write(tmp_path: Path) -> None:
    root = Directory()
    root.children = {
        b"\xff\n": RegularFile(BytesContent(b"odd"), 0o555),
        b"link": Symlink(b"t" * 4095),
        b"empty": Directory(),
    }
    archive = tmp_path / "archive.nar"
    archive.write_bytes(dumped(root))
    nix_store('--restore "$0" <"$1"', tmp_path / "restored", archive)
    restored = sources.directory(tmp_path / "restored")
    assert dumped(restored.root) == archive.read_bytes()


def test_an_archive_that_changes_its_size_afterwards(tmp_path: Path) -> None:
    archive = tmp_path / "archive.nar"
    archive.write_bytes(dumped(RegularFile(BytesContent(b"x" * 100_000))))
    node = sources.nar(archive)
    os.truncate(archive, 50_000)
    with pytest.raises(SourceError, match="changed its size"):
        dumped(node)


def test_a_node_of_another_kind_has_no_archive() -> None:
    tree = Tree()
    tree.fifo("/pipe")
    with pytest.raises(TreeError, match="pipe"):
        dumped(tree.root)


# -- what Nix does not write -----------------------------------------------------------------------

START = words(b"nix-archive-1", b"(", b"type")
DIRECTORY = START + words(b"directory")
END = words(b")")
LEAF = words(b"(", b"type", b"regular", b"contents", b"", b")")


def entry(name: bytes, node: bytes = LEAF) -> bytes:
    return words(b"entry", b"(", b"name", name, b"node") + node + END


def bad_padding() -> bytes:
    """A file of three bytes, with padding other than zeros."""
    good = START + words(b"regular", b"contents", b"abc") + END
    return good.replace(b"abc\0", b"abc!")


def nested(depth: int) -> bytes:
    """``depth`` nested directories below the root."""
    head = words(b"entry", b"(", b"name", b"a", b"node", b"(", b"type", b"directory")
    return DIRECTORY + head * depth + (END + END) * depth + END


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "cut short"),
    "something else": (lambda: b"#!/bin/sh\necho this is no archive\n", "not a Nix archive"),
    "names not sorted": (lambda: DIRECTORY + entry(b"b") + entry(b"a") + END, "order"),
    "a name twice": (lambda: DIRECTORY + entry(b"b") + entry(b"b") + END, "twice"),
    "a slash": (lambda: DIRECTORY + entry(b"a/b") + END, "slash"),
    "a NUL": (lambda: DIRECTORY + entry(b"a\0b") + END, "NUL"),
    "an empty name": (lambda: DIRECTORY + entry(b"") + END, "0 bytes"),
    "the directory itself": (lambda: DIRECTORY + entry(b".") + END, "'.'"),
    "the directory above": (lambda: DIRECTORY + entry(b"..") + END, "'..'"),
    "a name too long": (lambda: DIRECTORY + entry(b"x" * 256) + END, "256 bytes"),
    "a huge name": (
        lambda: DIRECTORY + words(b"entry", b"(", b"name") + b"\xff" * 8,
        "18446744073709551615 bytes",
    ),
    "wrong padding": (bad_padding, "zeros"),
    "padding of a name": (
        lambda: (DIRECTORY + entry(b"abc") + END).replace(b"abc\0", b"abc!"),
        "zeros",
    ),
    "no type": (lambda: words(b"nix-archive-1", b"(", b"kind"), "no type"),
    "an unknown type": (lambda: START + words(b"fifo") + END, "type"),
    "no contents": (lambda: START + words(b"regular") + END, "contents"),
    "no node": (lambda: DIRECTORY + words(b"entry", b"(", b"name", b"a", b")", b")"), "node"),
    "an empty target": (lambda: START + words(b"symlink", b"target", b"") + END, "0 bytes"),
    "a long target": (
        lambda: START + words(b"symlink", b"target", b"x" * 4096) + END,
        "4096 bytes",
    ),
    "a target with NUL": (lambda: START + words(b"symlink", b"target", b"a\0") + END, "NUL"),
    "something after it": (lambda: DIRECTORY + END + bytes(8), "follows"),
    "more than there is": (
        lambda: START + words(b"regular", b"contents") + (1 << 62).to_bytes(8, "little"),
        "cut short",
    ),
    "a file for an entry": (lambda: DIRECTORY + words(b"something", b")"), "is not closed"),
    "too deep": (lambda: nested(DEPTH_MAX), f"{DEPTH_MAX} directories"),
}


@pytest.mark.parametrize("case", BAD)
def test_files_that_are_not_archives_are_refused(case: str, tmp_path: Path) -> None:
    make, word = BAD[case]
    archive = tmp_path / "archive.nar"
    archive.write_bytes(make())
    with pytest.raises(SourceError) as caught:
        sources.nar(archive)
    assert str(caught.value).startswith(str(archive))
    assert word in str(caught.value)


def test_any_depth_below_the_limit_works() -> None:
    data = nested(DEPTH_MAX - 1)
    assert dumped(read(data)) == data


def test_an_archive_cut_anywhere_is_refused(tmp_path: Path) -> None:
    root = Directory()
    root.children = {
        b"a": RegularFile(BytesContent(b"12345"), 0o755),
        b"b": Symlink(b"a"),
        b"c": Directory(),
    }
    data = dumped(root)
    for length in range(len(data)):
        with pytest.raises(SourceError):
            read(data[:length])


@given(seed=st.integers(0, 1 << 32), edits=st.integers(1, 3), bits=st.booleans())
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_damaged_archive_is_refused_or_is_another_archive(
    seed: int, edits: int, bits: bool
) -> None:
    """There is only one form: what can be read is written again with the same bytes."""
    root = Directory()
    inner = Directory()
    inner.children = {b"x": RegularFile(BytesContent(b"text"), 0o755), b"y": Symlink(b"x")}
    root.children = {
        b"abc": inner,
        b"b": RegularFile(BytesContent(b"123456789")),
        b"c": Directory(),
    }
    data = bytearray(dumped(root))
    chance = random.Random(seed)
    for _ in range(edits):
        at = chance.randrange(len(data))
        data[at] = data[at] ^ 1 << chance.randrange(8) if bits else chance.randrange(256)
    try:
        node = read(bytes(data))
    except SourceError:
        return
    assert dumped(node) == data


@given(data=st.binary(max_size=300))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(SourceError):
        read(data)
    with pytest.raises(SourceError):
        read(START + data[:100] + data[::-1] + b"\1")


def test_a_missing_file_and_a_directory_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="missing"):
        sources.nar(tmp_path / "missing")
    with pytest.raises(SourceError, match="not a regular file"):
        sources.nar(tmp_path)


@pytest.mark.parametrize(
    ("limit", "value"), [("members", 3), ("metadata_bytes", 99), ("content_bytes", 119)]
)
def test_limits(limit: str, value: int, tmp_path: Path) -> None:
    root = Directory()
    root.children = {
        b"a": RegularFile(BytesContent(b"x" * 60)),
        b"b": RegularFile(BytesContent(b"x" * 60)),
        b"c": Symlink(b"t" * 100),
    }
    (tmp_path / "a.nar").write_bytes(dumped(root))
    sources.nar(tmp_path / "a.nar", limits=sources.Limits(**{limit: value + 1}))
    with pytest.raises(LimitError, match=f"the limit {limit} can be raised") as caught:
        sources.nar(tmp_path / "a.nar", limits=sources.Limits(**{limit: value}))
    assert caught.value.limit == limit
