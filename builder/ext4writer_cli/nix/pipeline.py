"""From a closure to an image: read and verify, assemble, plan, write, hash."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO, cast

import ext4writer
from ext4writer import Crew, Directory, Layout, Override, SourceError, Tree
from ext4writer.edit.rules import Rule, apply_rules
from ext4writer.edit.rules_select import Selection
from ext4writer.nix import STORE, Closure, Saving, image_tree, link_equal_files
from ext4writer.nix.assemble import count_entries, read_files
from ext4writer.progress import Cancel, ProgressCallback, check_cancelled

from ..output import Output
from ..pipeline import Stopwatch, StrictError
from ..report import Report
from ..spool import Spool
from ..zstd_output import ZstdOutput
from .closure import Context, read_named_closure
from .options import ClosureOptions, ContentOptions, NixImageOptions
from .report import NixReport

HASH_CHUNK = 4 << 20


@dataclass(frozen=True)
class NixJob:
    """What one command is asked for."""

    closure: ClosureOptions
    content: ContentOptions
    selection: Selection
    rules: Sequence[Rule]
    image: NixImageOptions
    output: Output
    overrides: Sequence[Override]
    strict: bool
    workers: int
    reported: bool
    """Whether anybody sees the report; only then is a plain image read once more for its digest."""


def run(
    job: NixJob, *, progress: ProgressCallback | None = None, cancel: Cancel | None = None
) -> NixReport:
    """Do what ``job`` asks for and report it; raises ``NixError`` and the library's errors."""
    watch = Stopwatch()
    # What can be wrong with the options is said before anything is read.
    job.image.spec()

    with Spool(job.output.spool_folder) as spool, Crew(job.workers) as crew:
        with watch.stage("read"):
            closure = read_named_closure(Context(job.closure, spool, crew, progress, cancel))

        with watch.stage("assemble"):
            tree = assemble(job, closure)
            saving = deduplicate(tree, cancel) if job.content.dedupe else None

        with watch.stage("plan"):
            spec = job.image.spec_for(count_entries(tree))
            layout = ext4writer.plan(tree, spec, processes=crew, progress=progress, cancel=cancel)
            if job.strict and layout.losses:
                raise StrictError(layout.losses)

        with watch.stage("write"):
            written = write(layout, job, crew, progress, cancel)

    with watch.stage("sha256"):
        sha256 = written.sha256
        if sha256 is None and job.reported:
            sha256 = hash_file(job.output.name, layout.size_bytes, cancel)

    report = Report.of(layout, job.output.name, watch.seconds)
    return NixReport(
        **vars(report),
        store_paths=len(closure.objects),
        verified=closure.verified,
        nar_size=closure.registration.nar_size,
        linked_files=saving.files if saving is not None else None,
        linked_bytes=saving.bytes if saving is not None else None,
        output_size=written.size,
        peak_disk=written.disk + closure.spooled,
        sha256=sha256,
    )


def assemble(job: NixJob, closure: Closure) -> Tree:
    """The tree of the image."""
    files, content = None, job.content
    if content.files is not None:
        skip = job.output.itself(content.files)
        files = read_files(content.files, xattrs=not content.no_xattrs, skip=skip)
    tree = image_tree(closure.objects, closure.registration, files, selection=job.selection)
    apply_rules(tree, job.rules)
    return tree


def deduplicate(tree: Tree, cancel: Cancel | None) -> Saving:
    """Link what is equal in the store of the image."""
    store = tree[STORE]
    assert isinstance(store, Directory)
    return link_equal_files(store, cancel)


@dataclass(frozen=True)
class Written:
    """An output that is whole."""

    size: int
    disk: int
    """Bytes that it takes up on the disk."""
    sha256: str | None
    """None where it was not hashed on its way."""


def write(
    layout: Layout,
    job: NixJob,
    crew: Crew,
    progress: ProgressCallback | None,
    cancel: Cancel | None,
) -> Written:
    """Write the image, compressed on its way where that was asked for."""

    output, hashed = job.output, None
    with output.opened(layout.size_bytes) as target:
        if output.is_stream and job.reported:
            target = cast(BinaryIO, hashed := _HashedStream(cast(BinaryIO, target)))
        ext4writer.write_layout(
            layout,
            target,
            overrides=job.overrides,
            processes=crew,
            progress=progress,
            cancel=cancel,
        )
    if isinstance(output, ZstdOutput):
        return Written(output.size, output.size, output.sha256)
    disk = 0 if output.is_stream else os.stat(output.name).st_blocks * 512
    return Written(layout.size_bytes, disk, hashed.digest.hexdigest() if hashed else None)


class _HashedStream:
    """A stream whose bytes are hashed on their way, as nobody can read them again."""

    def __init__(self, stream: BinaryIO) -> None:
        self.name = stream.name
        self.digest = hashlib.sha256()
        self._stream = stream

    def write(self, data: bytes | memoryview) -> int:
        count = self._stream.write(data)
        self.digest.update(memoryview(data)[:count])
        return count

    def seekable(self) -> bool:
        return False


def hash_file(path: str, size: int, cancel: Cancel | None) -> str:
    """The SHA-256 of the first ``size`` bytes of a file or device, in hexadecimal.

    One thread reads while the other hashes.
    """
    digest = hashlib.sha256()
    full, spare = (memoryview(bytearray(HASH_CHUNK)) for _ in range(2))
    try:
        with open(path, "rb", buffering=0) as file, ThreadPoolExecutor(1) as reading:
            count = file.readinto(full[:size])
            while count:
                check_cancelled(cancel)
                size -= count
                following = reading.submit(file.readinto, spare[:size])
                digest.update(full[:count])
                count = following.result()
                full, spare = spare, full
    except OSError as error:
        raise SourceError(path, f"cannot be read: {error.strerror}") from error
    return digest.hexdigest()
