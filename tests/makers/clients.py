"""Code that uses the library as programs do: it must pass the type checker, and run."""

from __future__ import annotations

import asyncio
import gzip
import io
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from uuid import UUID

import ext4writer
from ext4writer import (
    DEFAULT_FEATURES,
    BytesContent,
    Cancel,
    Content,
    Directory,
    Ext4WriterError,
    FeatureSet,
    ImageReport,
    Layout,
    Loss,
    Node,
    Output,
    OutputLike,
    Override,
    PathSliceContent,
    ProcessPool,
    Progress,
    RandomPolicy,
    RegularFile,
    Spec,
    SpecError,
    Tree,
    iter_image,
    plan,
    policy,
    sources,
    write_image,
    write_layout,
)
from ext4writer.edit import filters


class Upload:
    """Every method that an output needs."""

    def __init__(self) -> None:
        self.taken = 0

    def write(self, data: bytes) -> int:
        self.taken += len(data)
        return len(data)


class AnyBuffer:
    def write(self, data: bytes | bytearray | memoryview) -> int:
        return len(data)


class Reversed(BytesContent):
    """A class of content that is not the library's."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data[::-1])


def opened() -> BinaryIO:
    return io.BytesIO(b"opened")


def pieces() -> Iterator[bytes]:
    yield b"pie"
    yield b"ces"


def make_tree(folder: Path) -> Tree:
    tree = Tree()
    directory: Directory = tree.directory("/etc", mode=0o755)
    directory.mtime_ns = 5
    file: RegularFile = tree.file(PurePosixPath("/etc/hostname"), b"box\n", mode="640", uid="0")
    file.content = BytesContent(b"other\n")
    (folder / "host").write_bytes(b"from the host")
    tree.file("/from/path", folder / "host", parents=True)
    tree.file("/from/str", str(folder / "host"))
    tree.file("/from/opener", opened, size=6, mtime_ns=1.5e18)
    tree.file("/from/function", pieces, size=6)
    tree.file("/from/generator", pieces(), size=6)
    tree.file("/from/list", [b"a", b"b"], size=2)
    content: Content = Reversed(b"abc")
    tree.file("/from/content", content, xattrs={b"user.a": b"b"})
    tree.file("/from/slice", PathSliceContent(folder / "host", offset=5, size=3))
    tree.file("/from/memory", bytearray(b"x"), xattrs={"user.a": "b"})
    tree.symlink(b"/link", "etc")
    tree.link("/second", "/etc/hostname")
    tree.device("/null", "c", 1, 3)
    tree.fifo("/fifo")
    tree.socket("/socket")
    for path, node in tree:
        shown: tuple[bytes, Node] = path, node
        assert shown[0].startswith(b"/")
    assert len(tree) > 10 and "/etc" in tree
    return tree


def specs() -> list[Spec]:
    return [
        Spec(),
        Spec(size="64M", label="root", uuid="12345678-1234-5678-1234-567812345678"),
        Spec(size=64 << 20, label=b"root", uuid=UUID(int=5), hash_seed=None),
        Spec(features="^huge_file", journal="none", free="10%", epoch=1.7e9),
        Spec(features=FeatureSet.parse("^huge_file", base=DEFAULT_FEATURES), journal="4M"),
        Spec(policy="random:7"),
        Spec(policy=RandomPolicy(7), grow_to=1 << 40),
        Spec(policy=policy("default")),
    ]


def outputs(folder: Path, tree: Tree) -> None:
    write_image(tree, folder / "path.img")
    write_image(tree, str(folder / "str.img"), workers=2)
    write_image(tree, bytes(folder / "bytes.img"))
    with open(folder / "file.img", "wb") as file:
        write_image(tree, file)
    with gzip.open(folder / "c.img.gz", "wb") as stream:
        write_image(tree, stream)
    write_image(tree, io.BytesIO())
    write_image(tree, bytearray())
    to: Output
    for to in (Upload(), AnyBuffer(), io.BytesIO()):
        write_image(tree, to)
    kept: list[OutputLike] = [folder / "like.img", io.BytesIO(), bytearray(), Upload()]
    for each in kept:
        write_layout(plan(tree), each)
    taken = b"".join(iter_image(tree))
    assert taken == (folder / "path.img").read_bytes()


def watch(report: Progress) -> None:
    assert report.bytes_done >= 0


def watched(tree: Tree) -> Layout:
    stop: Cancel = threading.Event()
    with ProcessPool(2) as pool:
        layout = plan(tree, specs()[0], processes=pool, progress=watch, cancel=stop)
        overrides: list[Override | str] = [
            Override.parse("superblock.s_mnt_count=3"),
            "superblock.s_mtime=1",
        ]
        write_layout(layout, bytearray(), overrides=overrides, processes=pool)
    report: ImageReport = layout.report()
    losses: list[Loss] = list(report.losses)
    assert losses == [] and report.entries["file"] > 5
    assert layout.size_bytes == report.size
    return layout


def from_sources(folder: Path) -> Tree:
    (folder / "rootfs").mkdir()
    tree = sources.directory(folder / "rootfs", exclude=["*.pyc"])
    filters.set_owner(tree, 0, 0)
    filters.apply(tree, lambda path, node: None if path.endswith(b"~") else node)
    return tree.overlay(Tree(), at="/srv")


async def chunks(tree: Tree) -> AsyncIterator[bytes]:
    """For a web service: a thread produces each piece, so the event loop is not blocked."""
    made = iter_image(tree)
    while piece := await asyncio.to_thread(next, made, b""):
        yield piece


async def served(tree: Tree) -> int:
    size = 0
    async for piece in chunks(tree):
        size += len(piece)
    return size


def refused() -> str:
    try:
        Spec(block_size=3000)
    except SpecError as error:
        option: str = error.option
        return option
    except Ext4WriterError:
        raise
    return ""


def main(folder: Path) -> None:
    tree = make_tree(folder)
    outputs(folder, tree)
    layout = watched(tree)
    assert asyncio.run(served(tree)) == layout.size_bytes
    write_image(from_sources(folder), bytearray())
    assert refused() == "block_size"
    assert len(specs()) == 8
    assert ext4writer.__all__
