"""Plan an image and write it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from .checked import checked
from .emit.copying import ascending_steps, write_anywhere, write_ascending
from .emit.data import grouped_jobs
from .emit.metadata import coalesced, metadata_pieces
from .errors import OutputError, SpecError
from .forked import ProcessPool, as_pool
from .inputs import check_output
from .layout import Layout, plan_of
from .output.disk_facts import (
    FORMATS,
    FREE_BLOCKS,
    DiskFacts,
    FreeBlocks,
    OldBytes,
    OutputFormat,
)
from .output.opening import OutputLike, may_be_one_file, name_of, open_sink
from .output.sink import ZEROS, Buffer, Piece, Sink
from .planning.layout import METADATA_MEMORY, ImagePlan, unread_bytes, unused_bytes
from .planning.options import Size, converted, size_of
from .planning.planner import plan_image
from .planning.spec import Spec
from .progress import Cancel, ProgressCallback, check_cancelled
from .spans import Span
from .tree import Tree

if TYPE_CHECKING:
    from .damage.override import Override
    from .delta.base import Base
    from .output.compressed import Compression
    from .output.trailed import Trailer
    from .virtual import VirtualImage

FEWER_ZEROS = bytes(64 << 10)
"""Zeros for the end of a long gap: reusing them is faster than allocating new memory."""
LEAST_BYTES_TO_SHARE = 16 << 20
"""Bytes of content below which copying takes less time and memory than starting processes."""
BYTES_WORTH_A_FILE = 32 << 10
"""Bytes that can be copied in the time it takes to open, read and close one more file. Most of that
time is spent in Python, where threads take turns; processes run in parallel."""


@checked("tree", "spec")
def plan(
    tree: Tree,
    spec: Spec | None = None,
    *,
    base: Base | None = None,
    processes: int | ProcessPool = 1,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> Layout:
    """Decide every inode number, block and count of an image of ``tree``.

    ``base`` is an earlier image, from which the new one should differ in as few blocks as possible:
    its path, the path of its saved plan, or its ``Layout``. A file with the same path and type in
    both keeps its inode number, and blocks that still exist stay where they are. Unless the Spec
    says otherwise, the new image has the UUID, hash seed and block groups of the earlier one, and
    its size if that is enough. :func:`ext4writer.delta.difference` counts the blocks that differ.

    ``processes`` is the number of processes, including this one, that search files for holes, where
    the system can fork. It may be a :class:`~ext4writer.ProcessPool` that has already read the
    tree. The result does not depend on it.

    Raises :class:`TreeError` for an entry that the format cannot hold, :class:`SizeError` when a
    given size is too small, :class:`SpecError` for options that contradict the tree or each other,
    :class:`SourceError` for a file that cannot be read, and :class:`CancelledError`. Reading
    ``base`` raises :class:`ImageError`, :class:`PlanError` or :class:`DamageError`.
    """
    hints = None
    if base is not None:
        from .delta.base import hints_of, open_base  # late: most images have no earlier one

        with open_base(base) as earlier:
            hints = hints_of(earlier)
    return Layout(
        plan_image(tree, spec, hints=hints, processes=processes, progress=progress, cancel=cancel)
    )


@checked("overrides")
def write_layout(
    layout: Layout,
    output: OutputLike,
    *,
    offset: Size | None = None,
    sync: bool = False,
    borrow: bool = False,
    raw: bool = False,
    format: OutputFormat | None = None,  # noqa: A002 (named as in qemu-img)
    free_blocks: FreeBlocks = "zero",
    compression: Compression | None = None,
    watch: Callable[[Buffer], object] | None = None,
    trailer: Trailer | None = None,
    overrides: Sequence[Override | str] = (),
    journal: OutputLike | None = None,
    workers: int = 1,
    processes: int | ProcessPool = 1,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> None:
    """Write the image that ``layout`` describes; see :func:`write_image` for the arguments.

    Raises :class:`SourceChangedError` for a file that changed after it was planned,
    :class:`DeclaredSizeError` for content whose size differs from the declared one,
    :class:`OutputError` for an output that cannot be written or is an input of the image,
    :class:`OverrideError`, and :class:`CancelledError`. After an error, a path has no new file, and
    a device or part of a file has no file system.
    """
    if workers < 1:
        raise SpecError("workers", f"{workers} threads copy nothing; give 1 or more")
    if format is not None and format not in FORMATS:
        raise SpecError("format", f"{format!r:.80} is none of {', '.join(FORMATS)}")
    if offset is not None:
        offset = converted("offset", offset, size_of)
    old = _old_bytes(layout, free_blocks, is_watched=watch is not None or trailer is not None)
    pieces = _pieces(layout, overrides)
    check_output(plan_of(layout), output, is_part=offset is not None)
    if journal is not None:
        _check_journal(layout, journal, output)
    with (
        open_sink(
            output,
            layout.size_bytes,
            block_size=layout.block_size,
            offset=offset,
            sync=sync,
            borrow=borrow,
            raw=raw,
            compression=compression,
            disk=None if format is None else format.partition("-")[0],
            facts=_disk_facts(plan_of(layout), format),
            old=old,
            watch=watch,
            trailer=trailer,
        ) as sink,
        as_pool(processes) as pool,
    ):
        _writer(sink, pool, workers, layout)(
            sink,
            pieces=pieces,
            jobs=grouped_jobs(plan_of(layout)),
            cluster_size=plan_of(layout).format.cluster_size,
            progress=progress,
            cancel=cancel,
            entries_total=layout.entries["file"],
            bytes_total=plan_of(layout).copied_bytes,
        )
        check_cancelled(cancel)
        if journal is not None:
            write_journal(layout, journal, sync=sync)
        sink.finish()


def _disk_facts(planned: ImagePlan, format: str | None) -> DiskFacts:  # noqa: A002
    is_compressed = format == "qcow2-compressed"
    return DiskFacts(planned.uuid.bytes, planned.epoch, unused_bytes(planned), is_compressed)


def _old_bytes(layout: Layout, free_blocks: str, *, is_watched: bool) -> OldBytes | None:
    """What a device keeps in blocks that the file system does not read; None for zeros."""
    if free_blocks not in FREE_BLOCKS:
        raise SpecError("free_blocks", f"{free_blocks!r:.80} is none of {', '.join(FREE_BLOCKS)}")
    if free_blocks == "zero":
        return None
    if is_watched:
        raise SpecError(
            "free_blocks",
            "must be 'zero' if all bytes of the image are watched while they are written",
        )
    if free_blocks == "prezeroed":
        return OldBytes([Span(0, layout.size_bytes)], False)
    return OldBytes(unread_bytes(plan_of(layout)), free_blocks == "discard")


@checked()
def write_journal(
    layout: Layout,
    output: OutputLike,
    *,
    offset: Size | None = None,
    sync: bool = False,
    unused: bool = False,
) -> None:
    """Write the device that holds the journal of an image planned with ``Spec.journal_device``.

    The arguments are those of :func:`write_image`, which writes image and journal if it is given
    ``journal``. ``unused`` writes a journal that does not belong to any file system yet, like
    mke2fs -O journal_dev. Raises :class:`SpecError` for a layout whose journal is in the image, and
    :class:`OutputError`.
    """
    from .emit.journal_device import journal_device_pieces

    if offset is not None:
        offset = converted("offset", offset, size_of)
    _check_journal(layout, output, None, is_part=offset is not None)
    size = layout.journal_bytes
    block_size = layout.block_size
    with open_sink(output, size, block_size=block_size, offset=offset, sync=sync) as sink:
        for place, data in journal_device_pieces(plan_of(layout), unused=unused):
            sink.write_at(place, data)
        sink.finish()


def _check_journal(
    layout: Layout, journal: OutputLike, image: OutputLike | None, *, is_part: bool = False
) -> None:
    """Raise unless ``journal`` may hold the journal of ``layout``."""
    if not layout.journal_bytes:
        raise SpecError(
            "journal",
            "cannot have an output without journal_device: the journal is in the image",
            "journal_device",
        )
    check_output(plan_of(layout), journal, is_part=is_part)
    if image is not None and may_be_one_file(journal, image):
        raise OutputError(
            name_of(journal), "is the image itself; give another file for its journal"
        )


@checked("overrides")
def iter_layout(
    layout: Layout,
    *,
    overrides: Sequence[Override | str] = (),
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> Iterator[bytes]:
    """Yield the image that ``layout`` describes in pieces, from its first byte to its last.

    A piece has 1 byte to 1 MiB. Pieces are built on demand, so errors come from the iterator: it
    raises what :func:`write_layout` raises.
    """
    queue = _Pieces(layout.size_bytes)
    steps = ascending_steps(
        queue,
        _pieces(layout, overrides),
        grouped_jobs(plan_of(layout)),
        cluster_size=plan_of(layout).format.cluster_size,
        progress=progress,
        cancel=cancel,
        entries_total=layout.entries["file"],
        bytes_total=plan_of(layout).copied_bytes,
    )
    return _all_bytes(queue, steps)


def _all_bytes(taken: _Pieces, steps: Iterator[None]) -> Iterator[bytes]:
    """Run ``steps`` and yield what they write to ``taken``, with the zeros between."""
    position = 0
    for _ in steps:
        for offset, data in taken.pieces:
            yield from _zeros(offset - position)
            yield data
            position = offset + len(data)
        taken.pieces.clear()
    yield from _zeros(taken.size - position)


class _Pieces(Sink):
    """Keeps written pieces until the caller takes them."""

    ascending = True

    def __init__(self, size: int) -> None:
        super().__init__("(pieces)", size)
        self.pieces: list[tuple[int, bytes]] = []

    def write_at(self, offset: int, data: Buffer) -> None:
        for start in range(0, len(data), len(ZEROS)):
            self.pieces.append((offset + start, bytes(data[start : start + len(ZEROS)])))

    def finish(self) -> None:
        """Nothing is open."""

    def abort(self) -> None:
        """Nothing is open."""


def _zeros(count: int) -> Iterator[bytes]:
    for zeros in (ZEROS, FEWER_ZEROS):
        while count >= len(zeros):
            yield zeros
            count -= len(zeros)
    if count > 0:
        yield bytes(count)


def _pieces(layout: Layout, overrides: Sequence[Override | str]) -> Iterable[Piece]:
    """All metadata, with the overrides applied."""
    planned = plan_of(layout)
    pieces: Iterable[Piece] = metadata_pieces(planned)
    if overrides not in ((), []):
        from .damage.overridden import overridden  # late: most images have none
        from .damage.override import parsed_overrides

        pieces = overridden(pieces, planned, parsed_overrides(overrides))
    return coalesced(pieces)


def _writer(sink: Sink, pool: ProcessPool, workers: int, layout: Layout) -> Callable[..., None]:
    """The function that writes to ``sink``: in ascending order, with processes, or with threads."""
    if sink.ascending:
        return write_ascending
    workers = max(workers, pool.processes)
    work = layout.content_bytes + layout.entries["file"] * BYTES_WORTH_A_FILE
    if pool.can_share and work >= LEAST_BYTES_TO_SHARE:
        image = sink.shared()
        if image is not None and pool.can_know(image.first_generation) and pool.start():
            from .emit.copying_forked import write_forked  # late: one process writes small images

            return partial(write_forked, image=image, pool=pool)
    return partial(write_anywhere, workers=workers)


@checked("tree", "spec", "overrides")
def write_image(
    tree: Tree,
    output: OutputLike,
    spec: Spec | None = None,
    *,
    offset: Size | None = None,
    sync: bool = False,
    borrow: bool = False,
    raw: bool = False,
    format: OutputFormat | None = None,  # noqa: A002 (named as in qemu-img)
    free_blocks: FreeBlocks = "zero",
    compression: Compression | None = None,
    watch: Callable[[Buffer], object] | None = None,
    trailer: Trailer | None = None,
    overrides: Sequence[Override | str] = (),
    journal: OutputLike | None = None,
    workers: int = 1,
    processes: int | ProcessPool = 1,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> Layout:
    """Write an ext4 image of ``tree`` and return its plan.

    ``output`` is one of these:

    - A path. The image has a temporary name in the same directory until it is complete. Only then
    does it replace an existing file, whose permissions and owner it keeps. Symbolic links are
    followed. The suffix chooses the format: ``.zst``, ``.gz`` and ``.xz`` are compressed, with the
    settings of ``compression``; ``.qcow2``, ``.simg`` (Android's sparse image) and ``.vhd`` are
    virtual disks; suffixes of other compressed files and disks are refused. ``format``, a word of
    :data:`OutputFormat`, overrides the suffix; ``raw`` means ``format="raw"``.
    - The path of a block device, which must not be in use. The image takes its first bytes.
    - A seekable binary file. The image starts at its position and leaves the position at the end of
    the image; nothing else in the file changes, and it is never truncated.
    - Any other object with ``write``, such as a pipe, which gets the image in pieces from its first
    byte to its last. Each piece is a separate ``bytes`` that may be kept. With ``borrow`` it may be
    a ``memoryview`` whose memory is reused as soon as ``write`` returns.
    - A ``bytearray``, whose content is replaced.

    ``offset`` is the byte where the image begins inside a device, an open file, a ``bytearray`` or
    the existing file at a path; all other bytes there are kept. If a device or file has bytes at
    ``offset``, an image that would extend beyond its end is refused.

    In a device or part of a file, the old superblock is wiped first and the new one is written
    last, with a flush after each, so a failure leaves no file system. A new file may still be in
    the host's memory when this returns, and a power cut may then leave it empty or incomplete. With
    ``sync`` the file is on the disk before it is renamed, and the rename before this returns.

    ``free_blocks`` chooses what a block device holds where the file system reads nothing: in free
    blocks and, with ``Spec.lazy_itable_init``, in unused inodes. "zero" writes zeros. "keep" leaves
    what was there, and "discard" tells the device that it may drop it, so a disk that cannot zero
    quickly need not be written in full. "prezeroed" promises that the entire device already reads
    as zeros: then zeros are not written for inode tables and the journal either, and if the
    promise is false, the file system is broken. Signatures of other file systems and volume
    managers, at both ends of the device, are always zeroed. Other outputs accept only "zero", and
    ``watch`` and ``trailer`` require it.

    ``watch`` is called with all bytes of the image in order while they are written; it may be the
    ``update`` of a digest. Each view is valid until the call returns. Calls may come from another
    thread. A single process then writes the image.

    ``journal`` is the output for the journal of an image with ``Spec.journal_device``: a path, a
    device, a file or an object with ``write``, as for ``output``.

    ``trailer`` is a :class:`ext4writer.watchers.DmVerity`, or another object that computes data
    from all bytes of the image, to be written after the image.

    ``workers`` is the number of threads that copy file content; it does not affect the bytes.
    ``processes`` is the number of processes, including this one, that copy content and search for
    holes, where the system and the output allow it. It may be a :class:`~ext4writer.ProcessPool`
    that has already read the tree. Processes are faster, since threads of one interpreter take
    turns, but suit only programs without other threads.

    Raises what :func:`plan` and :func:`write_layout` raise.
    """
    with as_pool(processes) as pool:
        layout = plan(tree, spec, processes=pool, progress=progress, cancel=cancel)
        write_layout(
            layout,
            output,
            offset=offset,
            sync=sync,
            borrow=borrow,
            raw=raw,
            format=format,
            free_blocks=free_blocks,
            compression=compression,
            watch=watch,
            trailer=trailer,
            overrides=overrides,
            journal=journal,
            workers=workers,
            processes=pool,
            progress=progress,
            cancel=cancel,
        )
    return layout


@checked("overrides", "spec")
def iter_image(
    tree: Tree | Layout,
    spec: Spec | None = None,
    *,
    overrides: Sequence[Override | str] = (),
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> Iterator[bytes]:
    """Plan an ext4 image of ``tree`` immediately, and yield its bytes in pieces on demand.

    ``tree`` may be a :class:`Layout`, which is planned already and accepts no ``spec``. The result
    suits a web server or an upload that accepts an iterator. A piece has 1 byte to 1 MiB and may be
    kept. To know the size first, plan the image yourself and pass the plan.

    Raises what :func:`plan` raises; the iterator raises what :func:`write_layout` raises.
    """
    if isinstance(tree, Layout):
        if spec is not None:
            raise SpecError("spec", "is already part of the layout; give it to plan()")
        return iter_layout(tree, overrides=overrides, progress=progress, cancel=cancel)
    layout = plan(tree, spec, progress=progress, cancel=cancel)
    return iter_layout(layout, overrides=overrides, progress=progress, cancel=cancel)


@checked("overrides", "spec")
def open_image(
    tree: Tree | Layout,
    spec: Spec | None = None,
    *,
    overrides: Sequence[Override | str] = (),
    memory: Size = METADATA_MEMORY,
    processes: int | ProcessPool = 1,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> VirtualImage:
    """Open the image of ``tree`` for reading, without writing it.

    The result is a binary file with the bytes that :func:`write_image` writes. From any thread,
    ``pread(offset, size)`` returns a range of bytes and ``extents(offset, size)`` what is stored
    there. ``tree`` may be a :class:`Layout`, which is planned already and accepts no ``spec``.
    ``memory`` is the number of bytes of built metadata that are kept; file content is read from its
    source each time.

    Raises what :func:`plan` raises, and :class:`OverrideError`. Reading raises
    :class:`SourceChangedError` for a range whose source has changed.
    """
    if isinstance(tree, Layout):
        if spec is not None:
            raise SpecError("spec", "is already part of the layout; give it to plan()")
        return tree.open(overrides=overrides, memory=memory)
    layout = plan(tree, spec, processes=processes, progress=progress, cancel=cancel)
    return layout.open(overrides=overrides, memory=memory)
