"""The table of everything that is measured: a row for each workload and each contender.

What a row gives has to reach what stands in :mod:`benchmarks.goals`.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from ext4writer import DEFAULT_FEATURES

from . import tools, trees
from .figures import GIB, MIB

BLOCK = 4096
INSIDE = (sys.executable, "-m", "benchmarks.inside")
MOST_SECONDS_TO_MAKE_NAMES = 300
CLOSURE_OPTIONS = ("--owner", "0:0", "--all-times", "1")


@dataclass(frozen=True)
class Scale:
    """How large the workloads are."""

    rounds: int
    small_files: int
    few_names: int
    many_names: int
    large_bytes: int
    closure_entries: int
    sparse_bytes: int
    empty_bytes: int
    images: int
    planned: tuple[int, int, int]
    timeout: float


FULL = Scale(
    rounds=5,
    small_files=120_000,
    few_names=60_000,
    many_names=1_000_000,
    large_bytes=4 * GIB,
    closure_entries=50_000,
    sparse_bytes=1 << 40,
    empty_bytes=1 << 44,
    images=1_000,
    planned=(10_000, 100_000, 1_000_000),
    timeout=3_600,
)
QUICK = Scale(
    rounds=2,
    small_files=4_000,
    few_names=2_000,
    many_names=30_000,
    large_bytes=128 * MIB,
    closure_entries=1_500,
    sparse_bytes=1 << 40,
    empty_bytes=1 << 40,
    images=30,
    planned=(1_000, 10_000, 100_000),
    timeout=60,
)


@dataclass(frozen=True)
class Facts:
    """What ext4writer says of an image of a source, to give peers the same room."""

    image_bytes: int = 0
    inodes: int = 0


@dataclass(frozen=True)
class Setting:
    """Where a run takes place."""

    source: Path
    """What is read; of no meaning for contenders without a source."""
    out: Path
    """An empty directory for everything that the run makes."""
    facts: Facts

    @property
    def image(self) -> str:
        """Where an image belongs."""
        return os.fspath(self.out / "image")


@dataclass(frozen=True)
class Step:
    """One command of a contender."""

    name: str
    argv: tuple[str, ...]
    ours: bool = False


Commands = Callable[[Setting], list[Step]]


@dataclass(frozen=True)
class Contender:
    """One tool, in one way of using it."""

    key: str
    label: str
    commands: Commands
    source: str = ""
    """Which source of the workload it reads; empty for none."""
    programs: tuple[str, ...] = ()
    """What has to be installed."""
    makes: Literal["image", "archive", "copy", "nothing"] = "image"
    """An image is judged by e2fsck."""
    most_runs: int = 1_000
    one_file_system: bool = True
    """Whether it can keep to the file system of its source."""
    sized: bool = False
    """Whether it has to be told how large its image is, which ext4writer then finds out."""
    charted: bool = True
    entries: int = 0
    """Entries of the tree, where there is no source that could be asked."""
    note: str = ""
    ours: bool = False


@dataclass(frozen=True)
class Source:
    """Something to read."""

    key: str
    about: str
    disk_bytes: int
    """What it takes at most; 0 if it is there already."""
    make: Callable[[Path], None] | None = None
    """Makes it at a path that does not exist yet."""
    path: Path | None = None
    """Where it is, if it need not be made."""


@dataclass(frozen=True)
class Workload:
    """Contenders that are run in alternation."""

    key: str
    title: str
    baseline: str
    """The contender that the others are compared with in the report."""
    contenders: tuple[Contender, ...]
    sources: tuple[Source, ...] = ()
    disk: str = ""
    """Kind of a file system that is made and mounted for it; empty for the host's own."""
    disk_bytes: int = 0
    outputs: float = 1.3
    """What a run leaves on the disk at most, in sizes of the source."""
    repeat: int = 1
    """How many times as often as others it runs."""
    chart: str = ""
    """Its title in the chart; empty keeps it out of it."""


def command() -> str:
    """Our command."""
    return os.fspath(tools.COMMAND)


def ours(
    key: str,
    label: str,
    *options: str,
    source: str = "tree",
    then: Commands = lambda _: [],
    programs: tuple[str, ...] = (),
    note: str = "",
    charted: bool = True,
) -> Contender:
    """``ext4writer build``, and perhaps more commands behind it."""

    def commands(at: Setting) -> list[Step]:
        argv = (command(), "build", str(at.source), "-o", at.image, "--quiet", *options)
        return [Step("build", argv, ours=True), *then(at)]

    return Contender(key, label, commands, source, programs, note=note, charted=charted, ours=True)


def inside(
    key: str,
    label: str,
    *arguments: str,
    makes: Literal["image", "nothing"] = "image",
    entries: int = 0,
    note: str = "",
) -> Contender:
    """A process that uses the library; an image's path is its last argument."""

    def commands(at: Setting) -> list[Step]:
        path = (at.image,) if makes == "image" else ()
        return [Step("python", (*INSIDE, *arguments, *path), ours=True)]

    return Contender(
        key, label, commands, makes=makes, entries=entries, note=note, charted=False, ours=True
    )


def python(key: str, code: str, *, ours: bool = False) -> Contender:
    """A Python process of the environment that runs the benchmarks."""
    step = Step("python", (sys.executable, "-P", "-c", code), ours=ours)
    return Contender(key, f"python -c '{code}'", lambda _: [step], makes="nothing", ours=ours)


def mke2fs(lazy: int, source: str = "tree", most_runs: int = 1_000) -> Contender:
    """``mke2fs -d`` with our features and our count of inodes, and 5% and 64 MiB more room."""

    def commands(at: Setting) -> list[Step]:
        blocks = (at.facts.image_bytes * 21 // 20 + 64 * MIB) // BLOCK
        return [
            Step(
                "mke2fs",
                (
                    *("mke2fs", "-q", "-F", "-t", "ext4", "-b", str(BLOCK), "-I", "256", "-m", "0"),
                    *("-O", f"none,{DEFAULT_FEATURES}", "-N", str(at.facts.inodes)),
                    *("-E", f"lazy_itable_init={lazy}", "-d", str(at.source)),
                    *(at.image, str(blocks)),
                ),
            )
        ]

    label = "mke2fs -d" if lazy else "mke2fs -d, inode tables written"
    key = "mke2fs" if lazy else "mke2fs-full"
    return Contender(
        key,
        label,
        commands,
        source,
        ("mke2fs",),
        most_runs=most_runs,
        one_file_system=False,
        sized=True,
        charted=bool(lazy),
    )


def genext2fs(source: str = "tree", most_runs: int = 1_000) -> Contender:
    """``genext2fs``, which makes ext2 without features, as large as ours and a fifth more."""

    def commands(at: Setting) -> list[Step]:
        blocks = (at.facts.image_bytes * 6 // 5 + 64 * MIB) // BLOCK
        argv = ("genext2fs", "-B", str(BLOCK), "-b", str(blocks), "-N", str(at.facts.inodes))
        return [Step("genext2fs", (*argv, "-m", "0", "-d", str(at.source), at.image))]

    return Contender(
        "genext2fs",
        "genext2fs",
        commands,
        source,
        ("genext2fs",),
        most_runs=most_runs,
        one_file_system=False,
        sized=True,
        note="ext2: no journal, extents, checksums, attributes",
    )


def tar(*options: str, source: str = "tree") -> Contender:
    """``tar -cf`` to a file."""

    def commands(at: Setting) -> list[Step]:
        archive = os.fspath(at.out / "archive.tar")
        argv = ("tar", "--one-file-system", *options, "-cf", archive, "-C", str(at.source), ".")
        return [Step("tar", argv)]

    label = " ".join(("tar", *options, "-cf"))
    return Contender("tar", label, commands, source, ("tar",), makes="archive")


def cp(*options: str, source: str = "tree") -> Contender:
    """``cp -a`` to the same file system."""

    def commands(at: Setting) -> list[Step]:
        argv = ("cp", "-a", "-x", *options, str(at.source), os.fspath(at.out / "copy"))
        return [Step("cp", argv)]

    label = " ".join(("cp -a", *options))
    return Contender("cp", label, commands, source, ("cp",), makes="copy")


def synced(at: Setting) -> list[Step]:
    """mke2fs waits for the disk before it ends, and nobody else does."""
    return [Step("sync", ("sync", at.image))]


def compressed(at: Setting) -> list[Step]:
    """What the pipelines for SD card images do at the end."""
    return [Step("zstd", ("zstd", "-q", "-T0", at.image))]


SIZE_SCRIPT = """
entries=$(find "$1" | wc -l)
blocks=$(du -s -c -B 4096 --apparent-size "$1" | tail -n 1 | awk '{ print int($1 * 1.20) }')
mebibytes=$(( (2 * 4096 * entries + 4096 * blocks + 1048575) / 1048576 ))
truncate -s "${mebibytes}M" "$2"
"""
GROW_SCRIPT = """
resize2fs "$1" "$(dumpe2fs -h "$1" | awk -F: '
    /^Block count/ { count = $2 } /^Block size/ { size = $2 }
    END { print (count * size + 16 * 2^20) / size }')"
"""


def old_pipeline(key: str, label: str, then: Commands = lambda _: []) -> Contender:
    """How nixpkgs makes an image of a closure: copy, guess a size, fill, check, shrink, grow."""
    around = [
        words
        for words in (("faketime", "-f", "1970-01-01 00:00:01"), ("fakeroot",))
        if tools.find(words[0])
    ]
    without = [name for name in ("faketime", "fakeroot") if not tools.find(name)]
    wrapper = tuple(word for words in around for word in words)

    def commands(at: Setting) -> list[Step]:
        staging = os.fspath(at.out / "staging")
        return [
            Step("cp -a", ("cp", "-a", "--reflink=auto", str(at.source), staging)),
            Step("find and du", ("sh", "-c", SIZE_SCRIPT, "sh", staging, at.image)),
            Step("mkfs.ext4 -d", (*wrapper, "mkfs.ext4", "-q", "-d", staging, at.image)),
            Step("fsck", ("e2fsck", "-n", "-f", at.image)),
            Step("resize2fs -M", ("resize2fs", "-M", at.image)),
            Step("resize2fs +16M", ("sh", "-c", GROW_SCRIPT, "sh", at.image)),
            *then(at),
        ]

    return Contender(
        key,
        label,
        commands,
        "tree",
        ("cp", "find", "du", "mkfs.ext4", "e2fsck", "resize2fs", "dumpe2fs", "zstd"),
        note=f"without {' and '.join(without)}, not installed" if without else "",
    )


def workloads(scale: Scale, quick: bool, tree: Path | None, work: Path) -> tuple[Workload, ...]:
    """The whole table. ``tree`` is the system tree to take, None for the usual one."""
    large = f"{scale.large_bytes / MIB:g} MiB" if quick else f"{scale.large_bytes / GIB:g} GiB"
    few, many = f"{scale.few_names:,}", f"{scale.many_names:,}"
    return (
        Workload(
            "system-tree",
            "A system tree",
            "ext4writer",
            (
                ours("ext4writer", "ext4writer", "--one-file-system"),
                ours(
                    "ext4writer-sync",
                    "ext4writer, then sync",
                    "--one-file-system",
                    then=synced,
                    programs=("sync",),
                ),
                mke2fs(lazy=1),
                mke2fs(lazy=0),
                tar(),
                cp(),
                genext2fs(),
            ),
            (system_tree(quick, tree),),
            chart="A system tree",
        ),
        Workload(
            "small-files",
            f"{scale.small_files:,} small files in deep folders",
            "ext4writer",
            (
                ours("ext4writer", "ext4writer"),
                ours(
                    "ext4writer-sync",
                    "ext4writer, then sync",
                    then=synced,
                    programs=("sync",),
                ),
                mke2fs(lazy=1),
                mke2fs(lazy=0),
                tar(),
                cp(),
                genext2fs(),
            ),
            (
                Source(
                    "tree",
                    "a tree like node_modules",
                    scale.small_files * 10_000,
                    make=partial(trees.node_modules, files=scale.small_files),
                ),
            ),
            chart=f"{scale.small_files:,} small files in deep folders",
        ),
        Workload(
            "names",
            f"{few} and {many} empty files in one directory",
            "few",
            (
                ours("few", f"ext4writer, {few}", source="few"),
                inside(
                    "few-memory",
                    f"ext4writer, {few} in memory",
                    "names",
                    str(scale.few_names),
                    entries=scale.few_names,
                    note="time of write_image",
                ),
                mke2fs(lazy=1, source="few", most_runs=1),
                tar(source="few"),
                cp(source="few"),
                genext2fs(source="few", most_runs=1),
                ours("many", f"ext4writer, {many}", source="many", charted=False),
                inside(
                    "many-memory",
                    f"ext4writer, {many} in memory",
                    "names",
                    str(scale.many_names),
                    entries=scale.many_names,
                    note="time of write_image",
                ),
            ),
            (
                Source(
                    "few",
                    f"{few} empty files",
                    scale.few_names * 500,
                    make=partial(trees.names, count=scale.few_names),
                ),
                Source(
                    "many",
                    f"{many} empty files",
                    scale.many_names * 500,
                    make=partial(
                        trees.names,
                        count=scale.many_names,
                        seconds=MOST_SECONDS_TO_MAKE_NAMES,
                    ),
                ),
            ),
            chart=f"{few} empty files in one directory",
        ),
        Workload(
            "large-files",
            f"Four files of {large} together",
            "ext4writer",
            (
                ours("ext4writer", "ext4writer"),
                cp(),
                tar(),
                mke2fs(lazy=1),
                mke2fs(lazy=0),
                genext2fs(),
            ),
            (large_files(scale),),
            chart=f"Four files of {large} together",
        ),
        *(
            Workload(
                f"reflink-{kind}",
                f"Four files of {large} together, on {kind}",
                "ext4writer",
                (ours("ext4writer", "ext4writer"), cp("--reflink=always")),
                (large_files(scale),),
                disk=kind,
                disk_bytes=scale.large_bytes * 3 // 2 + GIB,
            )
            for kind in ("xfs", "btrfs")
        ),
        Workload(
            "closure",
            f"A Nix-like closure of {scale.closure_entries:,} entries",
            "ext4writer",
            (
                ours(
                    "ext4writer",
                    "ext4writer, zstd",
                    *CLOSURE_OPTIONS,
                    then=compressed,
                    programs=("zstd",),
                    note=f"there is no command for closures yet: build {' '.join(CLOSURE_OPTIONS)}",
                ),
                old_pipeline("pipeline", "old pipeline, zstd", compressed),
                ours(
                    "ext4writer-plain",
                    "ext4writer",
                    *CLOSURE_OPTIONS,
                    note="not compressed",
                    charted=False,
                ),
                replace(old_pipeline("pipeline-plain", "old pipeline"), charted=False),
            ),
            (
                Source(
                    "tree",
                    "a tree like a Nix store",
                    scale.closure_entries * 30_000,
                    make=partial(trees.closure, entries=scale.closure_entries),
                ),
            ),
            outputs=3,
            chart=f"A Nix-like closure of {scale.closure_entries:,} entries",
        ),
        Workload(
            "sparse",
            f"One sparse file of {scale.sparse_bytes / 2**40:g} TiB that holds 16 MiB",
            "ext4writer",
            (
                ours("ext4writer", "ext4writer"),
                mke2fs(lazy=1),
                mke2fs(lazy=0),
                tar("--sparse"),
                cp(),
            ),
            (
                Source(
                    "tree",
                    "256 pieces of 64 KiB",
                    100 * MIB,
                    make=partial(trees.sparse_file, size=scale.sparse_bytes),
                ),
            ),
        ),
        empty_image(scale, work),
        Workload(
            "in-memory",
            "Images of 100 files that are made in memory, time of one",
            "path",
            (
                inside(
                    "path",
                    "ext4writer, to a file",
                    "small",
                    str(scale.images),
                    "path",
                    note=f"{scale.images:,} in one process",
                ),
                *(
                    inside(
                        kind,
                        label,
                        "small",
                        str(scale.images),
                        kind,
                        makes="nothing",
                        note=f"{scale.images:,} in one process",
                    )
                    for kind, label in (
                        ("memory", "ext4writer, to a bytearray"),
                        ("least", "ext4writer, to a bytearray, no journal, no free space"),
                    )
                ),
            ),
        ),
        Workload(
            "start",
            "Start",
            "pass",
            (
                python("pass", "pass"),
                python("construct", "import construct"),
                python("ext4writer", "import ext4writer", ours=True),
                Contender(
                    "help",
                    "ext4writer --help",
                    lambda _: [Step("help", (command(), "--help"), ours=True)],
                    makes="nothing",
                    ours=True,
                ),
            ),
            repeat=4,
        ),
        Workload(
            "planning",
            "Planning only, trees in memory",
            "planned-2",
            (
                *(
                    inside(
                        f"planned-{number}",
                        f"ext4writer, {count:,} entries",
                        "planning",
                        str(count),
                        "on",
                        makes="nothing",
                        entries=count,
                        note="time of plan",
                    )
                    for number, count in enumerate(scale.planned, 1)
                ),
                inside(
                    "planned-command",
                    f"ext4writer, {scale.planned[-1]:,} entries, gc off",
                    "planning",
                    str(scale.planned[-1]),
                    "off",
                    makes="nothing",
                    entries=scale.planned[-1],
                    note="time of plan without the garbage collector, as the command runs it",
                ),
            ),
        ),
    )


def system_tree(quick: bool, tree: Path | None) -> Source:
    """/usr; a quick run takes the packages of the environment that it runs in."""
    if tree is not None:
        return Source("tree", "a tree of this host", 0, path=tree)
    if quick:
        packages = Path(sysconfig.get_path("purelib"))
        return Source("tree", "the packages of this environment", 0, path=packages)
    return Source("tree", "/usr", 0, path=Path("/usr"))


def large_files(scale: Scale) -> Source:
    """Four files."""
    return Source(
        "tree",
        "four files",
        scale.large_bytes,
        make=partial(trees.large_files, size=scale.large_bytes),
    )


def empty_image(scale: Scale, work: Path) -> Workload:
    """As large as the format allows without new features, or the host's file system."""
    size = min(scale.empty_bytes, tools.largest_file(work))

    def mke2fs_empty(at: Setting) -> list[Step]:
        lazy = ("-E", "lazy_itable_init=1")
        features = ("-O", f"none,{DEFAULT_FEATURES}")
        argv = ("mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", *features, *lazy)
        return [Step("mke2fs", (*argv, at.image, f"{size // 1024}K"))]

    return Workload(
        "empty",
        f"An empty file system of {scale.empty_bytes / 2**40:g} TiB"
        + (" less 4 KiB" if size < scale.empty_bytes else ""),
        "ext4writer",
        (
            inside("ext4writer", "ext4writer", "empty", str(size), note="the whole process"),
            Contender("mke2fs", "mke2fs", mke2fs_empty, programs=("mke2fs",)),
        ),
        disk_bytes=GIB,
    )
