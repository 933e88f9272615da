"""From a closure to an image: read, verify, assemble, plan, write, hash."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import ext4writer
from ext4writer import Layout, Override, Tree
from ext4writer.progress import Cancel, ProgressCallback

from ..options import TreeOptions
from ..output import Output
from ..pipeline import Stopwatch, StrictError, change
from ..report import Report
from ..zstd_output import ZstdOutput
from .assemble import count_entries, image_tree, read_files
from .closure import read_closure
from .options import ClosureOptions, ContentOptions, NixImageOptions
from .report import NixReport

HASH_CHUNK = 4 << 20


@dataclass(frozen=True)
class NixJob:
    """What one command is asked for."""

    closure: ClosureOptions
    content: ContentOptions
    tree: TreeOptions
    image: NixImageOptions
    output: Output
    overrides: Sequence[Override]
    strict: bool
    workers: int


def run(
    job: NixJob, *, progress: ProgressCallback | None = None, cancel: Cancel | None = None
) -> NixReport:
    """Do what ``job`` asks for and report it; raises ``NixError`` and the library's errors."""
    watch = Stopwatch()
    # What can be wrong with the options is said before anything is read.
    job.image.spec()

    with watch.stage("scan"):
        closure = read_closure(job.closure, progress=progress, cancel=cancel)
        files = None
        if job.content.files is not None:
            files = read_files(job.content.files, xattrs=not job.content.no_xattrs)
        registration = closure.registration
        assert registration is not None
        tree = image_tree(closure.objects, registration, files, exclude=job.content.exclude)
        change(tree, job.tree)

    with watch.stage("plan"):
        layout = plan(tree, job.image, progress, cancel)
        if job.strict and layout.losses:
            raise StrictError(layout.losses)

    with watch.stage("write"):
        written = write(layout, job, progress, cancel)

    with watch.stage("sha256"):
        sha256 = written.sha256 or hash_file(written.name)

    report = Report.of(layout, job.output.name, watch.seconds)
    return NixReport(
        **vars(report),
        store_paths=len(closure.objects),
        nar_size=registration.nar_size,
        output_size=written.size,
        scratch=written.disk,
        sha256=sha256,
    )


def plan(
    tree: Tree,
    image: NixImageOptions,
    progress: ProgressCallback | None,
    cancel: Cancel | None,
) -> Layout:
    """Plan the image; the default of the free inodes follows from the tree."""
    spec = image.spec_for(count_entries(tree))
    return ext4writer.plan(tree, spec, progress=progress, cancel=cancel)


@dataclass(frozen=True)
class Written:
    """An output that is whole."""

    name: str
    size: int
    disk: int
    """Bytes that it takes up on the disk."""
    sha256: str | None


def write(
    layout: Layout, job: NixJob, progress: ProgressCallback | None, cancel: Cancel | None
) -> Written:
    """Write the image, compressed on its way where that was asked for."""

    def write_to(target: str | BinaryIO) -> None:
        ext4writer.write_layout(
            layout,
            target,
            overrides=job.overrides,
            workers=job.workers,
            progress=progress,
            cancel=cancel,
        )

    output = job.output
    if isinstance(output, ZstdOutput):
        with output.opened(layout.size_bytes) as stream:
            write_to(stream)
        return Written(output.name, output.size, output.size, output.sha256)
    write_to(output.target())
    disk = 0 if output.is_stream else os.stat(output.name).st_blocks * 512
    return Written(output.name, layout.size_bytes, disk, None)


def hash_file(path: str) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(HASH_CHUNK))
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()
