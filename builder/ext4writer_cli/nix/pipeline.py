"""From a closure to an image: read and verify, assemble, plan, write."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import ext4writer
from ext4writer import Layout, Override, ProcessPool, Tree, TreeError
from ext4writer.documents import read_document
from ext4writer.edit.rules import Rule, apply_rules
from ext4writer.edit.rules_select import Selection
from ext4writer.late_dataclasses import dataclass, replace
from ext4writer.nix import (
    Closure,
    Entry,
    image_tree,
    link_equal_files,
    read_contents,
)
from ext4writer.nix.assemble import count_entries, read_files, store_of
from ext4writer.progress import Cancel, ProgressCallback

from ..output import Output
from ..pipeline import Stopwatch, StrictError
from ..report import Report
from ..spool import Spool
from .closure import Context, read_named_closure
from .options import (
    SMALL_BLOCKS,
    SMALL_IMAGE_BYTES,
    ClosureOptions,
    ContentOptions,
    NixImageOptions,
)
from .report import NixReport


@dataclass(frozen=True)
class NixJob:
    """What one command is to do."""

    closure: ClosureOptions
    content: ContentOptions
    selection: Selection
    rules: Sequence[Rule]
    image: NixImageOptions
    output: Output
    overrides: Sequence[Override]
    strict: bool
    workers: int


def run(
    job: NixJob, *, progress: ProgressCallback | None = None, cancel: Cancel | None = None
) -> NixReport:
    """Carry out ``job`` and return its report; raises ``NixError`` and the library's errors."""
    watch = Stopwatch()
    # Report errors in the options before anything is read.
    job.image.spec()

    with Spool(job.output.spool_folder) as spool, ProcessPool(job.workers) as pool:
        with watch.stage("read"):
            closure = read_named_closure(Context(job.closure, spool, pool, progress, cancel))

        with watch.stage("assemble"):
            tree = assemble(job, closure)
            saving = None
            if job.content.dedupe:
                saving = link_equal_files(store_of(tree, job.content.store_at), cancel)

        with watch.stage("plan"):
            layout = plan(job, tree, closure.registration.nar_size, pool, progress, cancel)
            if job.strict and layout.losses:
                raise StrictError(layout.losses)

        with watch.stage("write"):
            written = job.output.write(
                layout,
                overrides=job.overrides,
                processes=pool,
                progress=progress,
                cancel=cancel,
            )

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
        sha256=written.sha256,
    )


def assemble(job: NixJob, closure: Closure) -> Tree:
    """Return the tree of the image, after applying all rules."""
    files, content = None, job.content
    if content.files is not None:
        skip = job.output.identity_test(content.files)
        files = read_files(content.files, xattrs=not content.no_xattrs, skip=skip)
    contents: Sequence[Entry] = ()
    if content.contents is not None:
        contents = read_contents(read_document(content.contents), content.contents)
    tree = image_tree(
        closure.objects,
        closure.registration,
        files,
        store_at=content.store_at,
        contents=contents,
        register=not content.no_registration,
        database=content.database,
        system=content.system,
        case_hack=job.closure.undoes_case_hack,
        selection=job.selection,
    )
    tree.losses += closure.losses
    tree.inputs.update(closure.inputs)
    apply_rules(tree, job.rules)
    return tree


def plan(
    job: NixJob,
    tree: Tree,
    nar_size: int,
    pool: ProcessPool,
    progress: ProgressCallback | None,
    cancel: Cancel | None,
) -> Layout:
    """Plan the image; with ``auto``, try small blocks first and choose the size as mke2fs does."""
    spec = job.image.spec_for(count_entries(tree))
    if job.image.may_have_small_blocks(nar_size):
        small = replace(spec, block_size=SMALL_BLOCKS)
        # Some things fit only into large blocks, such as long symbolic links.
        with suppress(TreeError):
            layout = ext4writer.plan(tree, small, processes=pool, progress=progress, cancel=cancel)
            if layout.size_bytes < SMALL_IMAGE_BYTES:
                return layout
    return ext4writer.plan(tree, spec, processes=pool, progress=progress, cancel=cancel)
