"""The table of everything that is measured: a row for each workload and each contender.

:mod:`benchmarks.goals` has the figures that these rows are to reach.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from ext4writer import DEFAULT_FEATURES

from . import tools, trees
from .closures import closure
from .figures import GIB, MIB
from .kinds import Commands, Contender, Scale, Setting, Source, Step, Workload, command

BLOCK = 4096
INSIDE = (sys.executable, "-m", "benchmarks.inside")
MOST_SECONDS_TO_MAKE_NAMES = 300


FULL = Scale(
    rounds=5,
    small_files=120_000,
    few_names=60_000,
    many_names=1_000_000,
    large_bytes=4 * GIB,
    closure_entries=50_000,
    sparse_bytes=1 << 40,
    empty_bytes={"empty": 1 << 44, "empty-small": GIB},
    images=1_000,
    planned=(10_000, 100_000, 1_000_000),
    timeout=400,
    spare_memory=4 * GIB,
)
QUICK = Scale(
    rounds=2,
    small_files=4_000,
    few_names=2_000,
    many_names=30_000,
    large_bytes=128 * MIB,
    closure_entries=1_500,
    sparse_bytes=1 << 40,
    empty_bytes={"empty": 1 << 40, "empty-small": GIB},
    images=30,
    planned=(1_000, 10_000, 100_000),
    timeout=60,
    spare_memory=0,
)

COMPARED = replace(
    FULL, rounds=3, many_names=250_000, large_bytes=GIB, images=300, spare_memory=GIB
)
"""For comparing two revisions: workloads are smaller where size adds only time."""

FEATURES = (
    (
        "many",
        "with many features",
        "inline_data,quota,project,orphan_file,mmp,metadata_csum_seed,large_dir,ea_inode",
    ),
    ("bigalloc", "with bigalloc", "bigalloc"),
)
"""Images with more than the default features: (key, label, features)."""


def ours(
    key: str,
    label: str,
    *options: str,
    source: str = "tree",
    below: str = "",
    then: Commands = lambda _: [],
    programs: tuple[str, ...] = (),
    note: str = "",
    charted: bool = True,
    again: bool = False,
) -> Contender:
    """``ext4writer build`` of the path ``below`` in the source, and the commands ``then``."""

    def commands(at: Setting) -> list[Step]:
        argv = (command(), "build", str(at.source / below), "-o", at.image, "--quiet", *options)
        return [Step("build", argv, ours=True), *then(at)]

    return Contender(
        key,
        label,
        commands,
        source,
        programs,
        note=note,
        charted=charted,
        ours=True,
        again=again,
    )


def inside(
    key: str,
    label: str,
    *arguments: str,
    makes: Literal["image", "nothing"] = "image",
    entries: int = 0,
    note: str = "",
) -> Contender:
    """A process that uses the library; if it makes an image, its path is the last argument."""

    def commands(at: Setting) -> list[Step]:
        path = (at.image,) if makes == "image" else ()
        return [Step("python", (*INSIDE, *arguments, *path), ours=True)]

    return Contender(
        key, label, commands, makes=makes, entries=entries, note=note, charted=False, ours=True
    )


def python(key: str, code: str, *, ours: bool = False) -> Contender:
    """A Python process in the environment that runs the benchmarks."""
    step = Step("python", (sys.executable, "-P", "-c", code), ours=ours)
    return Contender(key, f"python -c '{code}'", lambda _: [step], makes="nothing", ours=ours)


def mke2fs(lazy: int, source: str = "tree") -> Contender:
    """``mke2fs -d`` with our features and inode count, and with 5% and 64 MiB more space."""

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
        one_file_system=False,
        sized=True,
        charted=bool(lazy),
    )


def genext2fs(source: str = "tree", most_runs: int = 1_000) -> Contender:
    """``genext2fs``, which makes ext2 without features; its image is a fifth larger than ours.

    It is left out for gigabytes of content: 4 GiB take more than three minutes.
    """

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


def mke2fs_of_tar() -> tuple[Contender, Contender]:
    """``mke2fs -d`` of an archive, if supported, and of the folder that ``tar -xf`` extracts."""
    of_folder = mke2fs(lazy=1)

    def straight(at: Setting) -> list[Step]:
        return of_folder.commands(replace(at, source=at.source / "tree.tar"))

    def extracted(at: Setting) -> list[Step]:
        top = ("--one-top-level=tree", "-C", os.fspath(at.out))
        argv = ("tar", "-xf", os.fspath(at.source / "tree.tar"), *top)
        return [Step("extract", argv), *of_folder.commands(replace(at, source=at.out / "tree"))]

    return (
        replace(
            of_folder,
            label="mke2fs -d of the archive",
            source="both",
            commands=straight,
            charted=False,
            obstacle=tools.no_tar_for_mke2fs,
        ),
        replace(
            of_folder,
            key="extracted",
            label="tar -xf, then mke2fs -d",
            source="both",
            commands=extracted,
            programs=("tar", "mke2fs"),
            charted=False,
        ),
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
    """Sync the image: mke2fs waits for the disk before it ends, and no other program does."""
    return [Step("sync", ("sync", at.image))]


def workloads(scale: Scale, quick: bool, tree: Path | None, work: Path) -> tuple[Workload, ...]:
    """The full table. ``tree`` is the system tree to read; None means the default one."""
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
                    again=True,
                ),
                *(
                    ours(
                        f"ext4writer-{key}",
                        f"ext4writer, {label}",
                        *("--one-file-system", "--features", features),
                        charted=False,
                    )
                    for key, label, features in FEATURES
                ),
                mke2fs(lazy=1),
                mke2fs(lazy=0),
                tar(),
                cp(),
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
                    again=True,
                ),
                mke2fs(lazy=1),
                mke2fs(lazy=0),
                tar(),
                cp(),
                genext2fs(most_runs=1),
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
            "tar-file",
            f"{scale.small_files:,} small files from a tar archive",
            "ext4writer",
            (
                ours("ext4writer", "ext4writer", source="both", below="tree.tar"),
                ours(
                    "directory",
                    "ext4writer, from the directory",
                    source="both",
                    below="tree",
                    again=True,
                ),
                *mke2fs_of_tar(),
            ),
            (
                Source(
                    "both",
                    "the tree like node_modules, and a tar archive of it",
                    scale.small_files * 18_000,
                    make=partial(trees.packed_node_modules, files=scale.small_files),
                    planned="tree",
                ),
            ),
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
                mke2fs(lazy=1, source="few"),
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
        closure(scale),
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
        *(empty_image(key, size, work) for key, size in scale.empty_bytes.items()),
        Workload(
            "in-memory",
            "Images of 100 files made in memory, time of one image",
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
                inside(
                    "tar",
                    "ext4writer, from a tar archive to a file",
                    "small-tar",
                    str(scale.images),
                    note=f"{scale.images:,} in one process",
                ),
            ),
        ),
        Workload(
            "reseal",
            "Resealing all checksums of a 256 KiB image with 100 files, time of one image",
            "whole",
            tuple(
                inside(
                    kind,
                    label,
                    "resealed",
                    str(scale.images),
                    kind,
                    makes="nothing",
                    note=f"{scale.images:,} in one process",
                )
                for kind, label in (
                    ("whole", "damage.reseal"),
                    ("offsets", "damage.reseal, with the offsets of changes"),
                )
            ),
        ),
        Workload(
            "opened",
            "An image that is planned but not written",
            "first",
            tuple(
                inside(kind, label, "opened", kind, makes="nothing", note=note)
                for kind, label, note in (
                    ("first", "ext4writer, until the first block", "140,000 entries, planned"),
                    ("read", "ext4writer, 1 GiB of content", "from the page cache"),
                )
            ),
        ),
        Workload(
            "recipes",
            "Images of recipes in memory, time of one image",
            "seeds",
            tuple(
                inside(
                    kind,
                    label,
                    "recipes",
                    str(scale.images),
                    kind,
                    makes="nothing",
                    note=f"{scale.images:,} in one process",
                )
                for kind, label in (
                    ("seeds", "fuzzing, from seeds"),
                    ("least", "fuzzing, the smallest without a journal"),
                    ("journalled", "fuzzing, the smallest with a journal"),
                )
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
    """/usr, or ``tree`` if given; a quick run reads the packages of its own environment."""
    if tree is not None:
        return Source("tree", "a tree of this host", 0, path=tree)
    if quick:
        packages = Path(sysconfig.get_path("purelib"))
        return Source("tree", "the packages of this environment", 0, path=packages)
    return Source("tree", "/usr", 0, path=Path("/usr"))


def large_files(scale: Scale) -> Source:
    """The source of four large files."""
    return Source(
        "tree",
        "four files",
        scale.large_bytes,
        make=partial(trees.large_files, size=scale.large_bytes),
    )


def empty_image(key: str, wanted: int, work: Path) -> Workload:
    """The workload of an empty image, at most as large as the host's file system allows."""
    size = min(wanted, tools.largest_file(work))

    def commands(at: Setting, *program: str) -> list[Step]:
        lazy = ("-E", "lazy_itable_init=1")
        features = ("-O", f"none,{DEFAULT_FEATURES}")
        argv = (*program, "-q", "-F", "-t", "ext4", "-b", str(BLOCK), "-m", "0", *features, *lazy)
        step = (*argv, at.image, f"{size // 1024}K")
        return [Step("mke2fs", step, ours=program != ("mke2fs",))]

    shown = f"{wanted / 2**40:g} TiB" if wanted >= 1 << 40 else f"{wanted / GIB:g} GiB"
    return Workload(
        key,
        f"An empty file system of {shown}" + (" less 4 KiB" if size < wanted else ""),
        "ext4writer",
        (
            inside("ext4writer", "ext4writer", "empty", str(size), note="the whole process"),
            Contender(
                "front",
                "ext4writer mke2fs",
                lambda at: commands(at, command(), "mke2fs"),
                charted=False,
                ours=True,
            ),
            Contender("mke2fs", "mke2fs", lambda at: commands(at, "mke2fs"), programs=("mke2fs",)),
        ),
        disk_bytes=GIB,
    )
