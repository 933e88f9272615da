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
from .planning.options import Size, size_of, taken
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
"""The end of a long gap is made of these, since new memory takes longer than what is there."""
LEAST_BYTES_TO_SHARE = 16 << 20
"""Bytes of content below which copying takes less time and memory than starting processes."""
BYTES_WORTH_A_FILE = 32 << 10
"""Bytes that are copied in the time it takes to open, read and close one more file. Threads take
turns at that, since most of it is Python; processes do it in parallel."""


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

    ``base`` is an earlier image from which this one differs in as few blocks as possible: its
    path, the path of its saved plan, or its ``Layout``. What has the same path and kind in both
    keeps its inode number, and all blocks that still exist keep their places. The new image has
    its UUID and hash seed, its size if that is enough, and its groups, unless the Spec says
    otherwise. :func:`ext4writer.delta.difference` counts the blocks that differ.

    ``processes`` is the number of processes that search many files for holes, this one included,
    where the system can fork; a :class:`~ext4writer.ProcessPool` may have read the tree before. The
    result does not depend on it.

    Raises :class:`TreeError` for an entry that the format cannot hold, :class:`SizeError` when a
    given size is too small, :class:`SpecError` for options that contradict the tree or each other,
    :class:`SourceError` for a file that cannot be read, :class:`CancelledError`, and what reading
    ``base`` raises: :class:`ImageError`, :class:`PlanError`, :class:`DamageError`.
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
    format: OutputFormat | None = None,  # noqa: A002 (the name that qemu-img gave it)
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
    :class:`DeclaredSizeError` for content of another size than its caller declared,
    :class:`OutputError` for an output that cannot be written or is an input of the image,
    :class:`OverrideError`, and :class:`CancelledError`. After any of them there is no new file at a
    path, and no file system in a device or a part of a file.
    """
    if workers < 1:
        raise SpecError("workers", f"{workers} threads copy nothing; 1 is the least")
    if format is not None and format not in FORMATS:
        raise SpecError("format", f"{format!r:.80} is none of {', '.join(FORMATS)}")
    if offset is not None:
        offset = taken("offset", offset, size_of)
    old = _old_bytes(layout, free_blocks, is_seen=watch is not None or trailer is not None)
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


def _old_bytes(layout: Layout, free_blocks: str, *, is_seen: bool) -> OldBytes | None:
    """What a device holds besides the file system; None for zeros."""
    if free_blocks not in FREE_BLOCKS:
        raise SpecError("free_blocks", f"{free_blocks!r:.80} is none of {', '.join(FREE_BLOCKS)}")
    if free_blocks == "zero":
        return None
    if is_seen:
        raise SpecError(
            "free_blocks",
            "must be zeros where all bytes of the image are looked at while they are written",
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

    The arguments are those of :func:`write_image`, which writes both with ``journal``. ``unused``
    makes a journal that no file system has yet, as mke2fs -O journal_dev does. Raises
    :class:`SpecError` for a layout whose journal is in the image, and :class:`OutputError`.
    """
    from .emit.journal_device import journal_device_pieces

    if offset is not None:
        offset = taken("offset", offset, size_of)
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
            "has no output of its own without journal_device: it is in the image",
            "journal_device",
        )
    check_output(plan_of(layout), journal, is_part=is_part)
    if image is not None and may_be_one_file(journal, image):
        raise OutputError(name_of(journal), "is the image itself; its journal needs another file")


@checked("overrides")
def iter_layout(
    layout: Layout,
    *,
    overrides: Sequence[Override | str] = (),
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> Iterator[bytes]:
    """Yield the image that ``layout`` describes in pieces, from its first byte to its last.

    A piece has 1 byte to 1 MiB. Pieces are made on demand, so the iterator raises what
    :func:`write_layout` raises.
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
    """The function that copies to ``sink``: in ascending order, with processes, or with threads."""
    if sink.ascending:
        return write_ascending
    workers = max(workers, pool.processes)
    work = layout.content_bytes + layout.entries["file"] * BYTES_WORTH_A_FILE
    if pool.can_share and work >= LEAST_BYTES_TO_SHARE:
        image = sink.shared()
        if image is not None and pool.can_know(image.first_generation) and pool.start():
            from .emit.copying_forked import write_forked  # late: small images are not shared out

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
    format: OutputFormat | None = None,  # noqa: A002 (the name that qemu-img gave it)
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
    does it replace an existing file, whose permissions and owner it takes. A link is followed. An
    image whose name ends in ``.zst``, ``.gz`` or ``.xz`` is compressed, as ``compression`` says;
    one in ``.qcow2``, ``.simg`` (a sparse image of Android) or ``.vhd`` is a virtual disk; names of
    other compressed files and disks are refused. ``format`` is a word of :data:`OutputFormat` that
    counts instead of the suffix; ``raw`` is ``format="raw"``.
    - The path of a block device, which must not be in use. The image takes its first bytes.
    - A seekable binary file. The image starts at its position and leaves the position at the end of
    the image; nothing else in the file changes, and it is never truncated.
    - Any other object with ``write``, such as a pipe, which gets the image in pieces from its first
    byte to its last. Each is a separate ``bytes`` that may be kept, unless you ``borrow``: then it
    may be a ``memoryview``, whose memory is reused as soon as ``write`` returns.
    - A ``bytearray``, which is replaced.

    ``offset`` is the byte where the image begins inside a device, an open file, a ``bytearray`` or
    the existing file at a path, whose other bytes are kept. An image that would extend beyond the
    end of a device or file that has bytes at that place is refused.

    In a device or a part of a file, the old superblock is wiped first and the new one is written
    last, with a flush after each: after a failure there is no file system. A new file may still be
    in the memory of the host, and a power cut may then leave an empty or incomplete one under its
    name; with ``sync`` the disk has the file before its name, and the name before this returns.

    ``free_blocks`` says what a block device holds where the file system reads nothing, which is in
    free blocks, and with ``Spec.lazy_itable_init`` in unused inodes: zeros; with "keep" what it
    held before; with "discard" what it makes of that when it is told that it may forget it. So a
    disk without a quick way to zeros need not be written whole. "prezeroed" says that all of the
    device reads as zeros already: then zeros are not written for inode tables and the journal
    either, and a device of which that is not true gets a broken file system. What other file
    systems and volume managers are known by at both ends is zeros in any case. Other outputs take
    "zero" alone, and ``watch`` and ``trailer`` need it.

    ``watch`` is called with all bytes of the image in order while they are written, such as the
    ``update`` of a digest. The views that it gets are valid until it returns, and it may be called
    in another thread. A single process then writes the image.

    ``journal`` is the output for the journal of an image with ``Spec.journal_device``: a path, a
    device, a file or an object with ``write``, as for ``output``.

    ``trailer`` is a :class:`ext4writer.watchers.DmVerity`, or anything else that follows from all
    bytes of the image and is to be written after it.

    ``workers`` is the number of threads that copy file content; it does not affect the bytes.
    ``processes`` is the number of processes that copy it and search for holes, this one included,
    where the system and the output allow it; a :class:`~ext4writer.ProcessPool` may have read the
    tree before. Processes are faster, since threads of one interpreter take turns, and are meant
    for programs without other threads.

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
    """Plan an ext4 image of ``tree`` at once, and yield its bytes in pieces on demand.

    A :class:`Layout` in the place of the tree is planned already, and takes no ``spec``.
    This suits a web server or an upload that takes an iterator: a piece has 1 byte to 1 MiB and may
    be kept. Raises what :func:`plan` raises; the iterator raises what :func:`write_layout` does. To
    know the size first, plan the image yourself and pass the plan.
    """
    if isinstance(tree, Layout):
        if spec is not None:
            raise SpecError("spec", "is part of the layout already; give it to plan()")
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

    The result is a file that has the bytes of :func:`write_image`: ``pread(offset, size)`` gives
    any range, from any thread, ``extents(offset, size)`` what lies there, and it can be read like
    any other binary file. A :class:`Layout` in the place of the tree is planned already, and takes
    no ``spec``. ``memory`` is the number of bytes of metadata that are kept once made; content is
    read from its source each time.

    Raises what :func:`plan` raises, and :class:`OverrideError`. Reading raises
    :class:`SourceChangedError` for a range whose source has changed.
    """
    if isinstance(tree, Layout):
        if spec is not None:
            raise SpecError("spec", "is part of the layout already; give it to plan()")
        return tree.open(overrides=overrides, memory=memory)
    layout = plan(tree, spec, processes=processes, progress=progress, cancel=cancel)
    return layout.open(overrides=overrides, memory=memory)
