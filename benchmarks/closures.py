"""The workload of a Nix closure: ``ext4writer nix`` and the pipeline that it replaces."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from operator import xor
from pathlib import Path

import zstandard

from . import tools, trees
from .generator import Bytes
from .kinds import Contender, Look, Scale, Setting, Source, Step, Workload, command

LABEL = "NIXOS_SD"
SCRIPT = tools.HERE / "nix_pipeline.sh"
KERNEL_BYTES = 12 << 20
CHUNK = 1 << 20

STEPS = {
    "copy": ("cp", "find", "sed", "xargs"),
    "guess": ("awk", "du", "find", "truncate"),
    "fill": ("faketime", "fakeroot", "mkfs.ext4"),
    "check": ("fsck.ext4",),
    "shrink": ("resize2fs",),
    "enlarge": ("awk", "dumpe2fs", "resize2fs"),
    "compress": ("zstd",),
}
"""Step of the old pipeline -> programs that it needs."""


def closure(scale: Scale) -> Workload:
    """The workload of the closure."""
    title = f"A Nix-like closure of {scale.closure_entries:,} entries"
    return Workload(
        "closure",
        title,
        "ext4writer",
        (
            ours("ext4writer", "ext4writer nix, zstd", compressed=True),
            pipeline("pipeline", "old pipeline, zstd", compressed=True),
            replace(
                ours("ext4writer-2", "ext4writer nix, zstd level 2", compressed=True, level=2),
                again=True,
            ),
            ours("ext4writer-plain", "ext4writer nix", compressed=False),
            pipeline("pipeline-plain", "old pipeline", compressed=False),
        ),
        (
            Source(
                "tree",
                "a Nix-like store, its registration and a folder of files",
                scale.closure_entries * 30_000,
                make=partial(make_source, entries=scale.closure_entries),
            ),
        ),
        outputs=5,
        scratch=True,
        chart=title,
    )


def ours(key: str, label: str, *, compressed: bool, level: int | None = None) -> Contender:
    """``ext4writer nix``; without a ``level`` it uses zstd's default."""

    def commands(at: Setting) -> list[Step]:
        image = output(at, compressed)
        source = ("--closure", f"{at.source}/closure", "--store-dir", f"{at.source}/store")
        options = ["--files", f"{at.source}/files", "--label", LABEL, "--quiet"]
        if level is not None:
            options += ["--zstd-level", str(level)]
        return [Step("nix", (command(), "nix", *source, *options, "-o", str(image)), ours=True)]

    return Contender(
        key, label, commands, "tree", charted=compressed, ours=True, look=look(compressed)
    )


def pipeline(key: str, label: str, *, compressed: bool) -> Contender:
    """nixpkgs's steps for such an image: copy, guess a size, fill, check, shrink, enlarge."""
    steps = [name for name in STEPS if compressed or name != "compress"]

    def commands(at: Setting) -> list[Step]:
        around = (str(at.source), str(at.out))
        return [Step(name, ("sh", str(SCRIPT), name, *around)) for name in steps]

    programs = tuple(sorted({"sh", *(each for name in steps for each in STEPS[name])}))
    return Contender(
        key, label, commands, "tree", programs, charted=compressed, look=look(compressed)
    )


def output(at: Setting, compressed: bool) -> Path:
    """The output file of a run."""
    return at.out / ("image.zst" if compressed else "image")


def look(compressed: bool) -> Look:
    """A function that computes size, free space, and difference from the first run's image."""

    def figures(at: Setting) -> Mapping[str, float]:
        made = output(at, compressed)
        found = {"output": float(made.stat().st_blocks * 512)}
        if at.kept.exists():
            found["differing"] = float(differing_bytes(at.kept, made))
        else:
            shutil.copyfile(made, at.kept)
        if not os.path.exists(at.image):
            with made.open("rb") as packed, open(at.image, "wb") as image:
                zstandard.ZstdDecompressor().copy_stream(packed, image)
        return found | room(at.image)

    return figures


def room(image: str) -> dict[str, float]:
    """Size and free space of a file system in bytes, and its free inodes."""
    said = tools.output_of(["dumpe2fs", "-h", image])
    values = dict(line.split(":", 1) for line in said.splitlines() if ":" in line)
    block = int(values["Block size"])
    return {
        "image": float(int(values["Block count"]) * block),
        "free": float(int(values["Free blocks"]) * block),
        "free_inodes": float(values["Free inodes"]),
    }


def differing_bytes(one: Path, other: Path) -> int:
    """The number of bytes that differ between two files, including bytes that only one has."""
    count = abs(one.stat().st_size - other.stat().st_size)
    with one.open("rb") as first, other.open("rb") as second:
        while (left := first.read(CHUNK)) and (right := second.read(CHUNK)):
            if left != right:
                length = min(len(left), len(right))
                numbers = (int.from_bytes(each[:length]) for each in (left, right))
                count += length - xor(*numbers).to_bytes(length).count(0)
    return count


def make_source(path: Path, entries: int) -> None:
    """Make a store, the closure of everything in it, and files such as a boot loader needs."""
    trees.closure(path / "made", entries)
    (path / "made" / "nix" / "store").rename(path / "store")
    trees.remove(path / "made")
    boot = path / "files" / "boot"
    (boot / "extlinux").mkdir(parents=True)
    (boot / "extlinux" / "extlinux.conf").write_text("DEFAULT nixos-default\n")
    (boot / "kernel").write_bytes(Bytes(9).take(KERNEL_BYTES))
    folder = path / "closure"
    folder.mkdir()
    names = sorted(os.listdir(path / "store"))
    (folder / "store-paths").write_text("".join(f"/nix/store/{name}\n" for name in names))
    with (folder / "registration").open("wb") as registration:
        subprocess.run(
            [
                *(command(), "nix", "registration", "--store-paths", folder / "store-paths"),
                *("--store-dir", path / "store"),
            ],
            stdout=registration,
            check=True,
        )
