"""Workloads that are measured inside a process that uses the library.

The last line that a command prints may be a JSON object of figures, which replace those of the
process.

Usage: python -m benchmarks.inside COMMAND ARGUMENT...
"""

from __future__ import annotations

import gc
import io
import json
import os
import resource
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ext4writer import (
    BytesContent,
    Directory,
    RegularFile,
    Spec,
    Tree,
    plan,
    sources,
    write_image,
)

from .generator import Numbers

MTIME_NS = 1_700_000_000 * 10**9
FOLDER = 100
"""Entries in each directory of a tree that is only planned."""


def empty(size: str, output: str) -> None:
    """Make an empty image of ``size`` bytes."""
    write_image(Tree(), output, Spec(size=int(size)))


def names(count: str, output: str) -> None:
    """Make an image of empty files in one directory; building the tree is not timed."""
    tree = Tree()
    numbers = Numbers(5)
    nothing = BytesContent(b"")
    children = tree.directory("names", mtime_ns=MTIME_NS).children
    for _ in range(int(count)):
        children[b"entry-%016x" % numbers.next()] = RegularFile(nothing, mtime_ns=MTIME_NS)
    with timed() as figures:
        write_image(tree, output)
    report(figures)


def small(count: str, kind: str, output: str = "") -> None:
    """Make images of 100 files in memory, including the tree; figures are for one image.

    ``kind`` is ``path`` for images written to ``output``, ``memory`` for a bytearray, and
    ``least`` for a bytearray and the smallest image that holds the files.
    """
    target: str | bytearray = output if kind == "path" else bytearray()
    spec = Spec(free=0, grow_to=0, journal="none") if kind == "least" else Spec()
    write_image(small_tree(0), target, spec)
    with timed() as figures:
        for number in range(int(count)):
            write_image(small_tree(number), target, spec)
    report({name: value / int(count) for name, value in figures.items()})


def resealed(count: str, kind: str) -> None:
    """Update the checksums of a 256 KiB image; figures are for one image.

    ``kind`` is ``whole`` for all checksums, or ``offsets`` to pass the offsets of changes.
    """
    from ext4writer.damage import reseal

    image = bytearray()
    tree = small_tree(0)
    for _, node in tree.walk():
        if isinstance(node, RegularFile):
            node.content = BytesContent(b"one block")
    write_image(tree, image, Spec(size=256 << 10, block_size=1024, journal="none", grow_to=0))
    changed = None if kind == "whole" else [1024 + 0x3A]  # s_state
    with timed() as figures:
        for number in range(int(count)):
            image[1024 + 0x3A] = number & 0xFF
            reseal(image, changed)
    report({name: value / int(count) for name, value in figures.items()})


def opened(kind: str) -> None:
    """Open an image that is planned but not written.

    ``kind`` is ``first`` for the time until the first block of an image of 140,000 entries is
    read, or ``read`` for reading 1 GiB of content sequentially.
    """
    if kind == "first":
        layout = plan(big_tree(140_000))
        with timed() as figures:
            layout.open().pread(0, 4096)
        report(figures)
        return
    piece = 1 << 20
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "content")
        with path.open("wb") as file:
            for number in range(256):
                file.write(bytes([number]) * piece)
        tree = Tree()
        for number in range(4):
            tree.file(f"/content{number}", path)
        image = plan(tree, Spec(hole_size=0)).open()
        buffer = memoryview(bytearray(piece))
        for _ in range(2):  # the second time the content is in the page cache
            with timed() as figures:
                for offset in range(0, image.size, piece):
                    image.preadinto(offset, buffer)
        image.close()
    report(figures)


def recipes(count: str, kind: str) -> None:
    """Make images of recipes in memory; figures are for one image.

    ``kind`` is ``seeds`` for the seeds starting at 0, each with at most one override, as ``fuzz
    make`` does. ``least`` is for the smallest image without a journal, and ``journalled`` for the
    smallest with one, both starting from the text of their recipe.
    """
    from ext4writer.fuzzing import Recipe, random_image

    journal = "1M" if kind == "journalled" else "none"
    text = str(Recipe(spec={"journal": journal, "block_size": "1024"}))

    def make(seed: int) -> object:
        return random_image(seed) if kind == "seeds" else Recipe.parse(text).image()

    make(0)
    with timed() as figures:
        for seed in range(int(count)):
            make(seed)
    report({name: value / int(count) for name, value in figures.items()})


def small_tar(count: str, output: str) -> None:
    """Make images of the same 100 files from a tar archive; figures are for one image."""
    archive = output + ".tar"
    pack(small_tree(0), archive)
    write_image(sources.tar(archive), output)
    with timed() as figures:
        for _ in range(int(count)):
            write_image(sources.tar(archive), output)
    os.unlink(archive)
    report({name: value / int(count) for name, value in figures.items()})


def pack(tree: Tree, path: str) -> None:
    """Write a tree of directories and files in memory as a tar archive."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for name, node in tree.walk():
            member = tarfile.TarInfo("." + os.fsdecode(name))
            member.mode, member.mtime = node.mode, node.mtime_ns // 10**9
            data = b""
            if isinstance(node, RegularFile) and isinstance(node.content, BytesContent):
                data = node.content.data
                member.size = len(data)
            else:
                member.type = tarfile.DIRTYPE
            archive.addfile(member, io.BytesIO(data))


def small_tree(number: int) -> Tree:
    """Ten directories of nine files each, a hundred entries; content varies with ``number``."""
    tree = Tree()
    for outer in range(10):
        tree.directory(f"/folder{outer}", mtime_ns=MTIME_NS)
        for inner in range(9):
            text = f"image {number}, file {inner} of folder {outer}\n".encode()
            tree.file(f"/folder{outer}/file{inner}", text * (inner * 20 + 1), mtime_ns=MTIME_NS)
    return tree


def planning(count: str, collector: str) -> None:
    """Plan a tree of ``count`` entries; ``collector`` is ``on`` or ``off``."""
    before = peak_memory()
    entries = int(count)
    tree = big_tree(entries)
    made = peak_memory()
    if collector == "off":
        gc.disable()
    with timed() as figures:
        plan(tree)
    planned = peak_memory()
    report(
        figures
        | {
            "us_per_entry": figures["wall"] * 1e6 / entries,
            "tree_bytes_per_entry": (made - before) / entries,
            "bytes_per_entry": (planned - before) / entries,
        }
    )


def big_tree(entries: int) -> Tree:
    """Nested directories of :data:`FOLDER` entries each, ten of which are directories."""
    tree = Tree()
    texts = [bytes([65 + number % 26]) * (number * 97 + 1) for number in range(100)]
    pending = [tree.root.children]
    left = entries
    while left:
        children = pending.pop(0)
        for number in range(min(FOLDER, left)):
            if number < 10:
                folder = Directory(mtime_ns=MTIME_NS)
                children[b"folder-%02d" % number] = folder
                pending.append(folder.children)
            else:
                content = BytesContent(texts[number])
                children[b"file-%08d" % left] = RegularFile(content, mtime_ns=MTIME_NS)
            left -= 1
    return tree


def peak_memory() -> int:
    """The peak memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextmanager
def timed() -> Iterator[dict[str, float]]:
    """Yield a dict that receives wall time and CPU time of the block, in seconds."""
    figures: dict[str, float] = {}
    wall, cpu = time.monotonic(), time.process_time()
    yield figures
    figures["wall"] = time.monotonic() - wall
    figures["cpu"] = time.process_time() - cpu


def report(figures: dict[str, float]) -> None:
    """Print the figures for the process that measures."""
    print(json.dumps(figures))


COMMANDS: dict[str, Callable[..., None]] = {
    "empty": empty,
    "names": names,
    "small": small,
    "small-tar": small_tar,
    "resealed": resealed,
    "opened": opened,
    "recipes": recipes,
    "planning": planning,
}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
