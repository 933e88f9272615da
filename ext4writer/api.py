"""Plan and write: the whole recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from .arguments import count_of
from .emit.copying import ascending_steps, write_anywhere, write_ascending
from .emit.copying_forked import write_forked
from .emit.data import copy_jobs
from .emit.metadata import coalesced, metadata_pieces
from .emit.overridden import overridden
from .emit.override import Override
from .errors import SpecError
from .forked import ProcessPool, as_pool
from .inputs import check_output
from .output.compressed import Compression
from .output.opening import Output, open_sink
from .output.sink import ZEROS, Buffer, Piece, Sink
from .plan.layout import Layout
from .plan.options import Size, size_of, taken
from .plan.planner import plan
from .plan.spec import Spec
from .progress import Cancel, ProgressCallback, check_callbacks, check_cancelled
from .tree import Tree

LEAST_BYTES_TO_SHARE = 16 << 20
"""Content that is copied in less time than processes take to start, and in less memory."""
BYTES_WORTH_A_FILE = 32 << 10
"""What is copied in the time that it takes to open, read and close one more file. Threads do
that in turns, since most of it is Python; processes do it at once."""


def write_layout(
    layout: Layout,
    output: Output,
    *,
    offset: Size | None = None,
    sync: bool = False,
    borrow: bool = False,
    raw: bool = False,
    compression: Compression | None = None,
    watch: Callable[[Buffer], object] | None = None,
    overrides: Sequence[Override | str] = (),
    workers: int = 1,
    processes: int | ProcessPool = 1,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> None:
    """Write the image that ``layout`` describes; see :func:`write_image` for what is given.

    Raises :class:`SourceChangedError` for a file that is not what it was when it was planned,
    :class:`OutputError` for an output that cannot be written or that the image is made of,
    :class:`OverrideError`, and :class:`CancelledError`. Nothing is left under a path after any of
    them, and no file system in a device or a part of a file.
    """
    check_callbacks(progress, cancel)
    workers = _count("workers", workers)
    if offset is not None:
        offset = taken("offset", offset, size_of)
    pieces = _pieces(layout, overrides)
    check_output(layout, output, is_part=offset is not None)
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
            watch=watch,
        ) as sink,
        as_pool(processes) as pool,
    ):
        _writer(sink, pool, workers, layout)(
            sink,
            pieces=pieces,
            jobs=copy_jobs(layout),
            block_size=layout.block_size,
            progress=progress,
            cancel=cancel,
            entries_total=layout.entries["file"],
            bytes_total=layout.content_bytes,
        )
        check_cancelled(cancel)
        sink.finish()


def iter_layout(
    layout: Layout,
    *,
    overrides: Sequence[Override | str] = (),
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> Iterator[bytes]:
    """Yield the image that ``layout`` describes, from its first byte to its last, in pieces.

    No piece is empty or has more than a MiB. It is written while it is asked for, so what
    :func:`write_layout` raises comes from there.
    """
    _check_layout(layout)
    check_callbacks(progress, cancel)
    queue = _Pieces(layout.size_bytes)
    steps = ascending_steps(
        queue,
        _pieces(layout, overrides),
        copy_jobs(layout),
        block_size=layout.block_size,
        progress=progress,
        cancel=cancel,
        entries_total=layout.entries["file"],
        bytes_total=layout.content_bytes,
    )
    return _all_bytes(queue, steps)


def _all_bytes(taken: _Pieces, steps: Iterator[None]) -> Iterator[bytes]:
    """All that the ``steps`` give to ``taken``, and the zeros between."""
    position = 0
    for _ in steps:
        for offset, data in taken.pieces:
            yield from _zeros(offset - position)
            yield data
            position = offset + len(data)
        taken.pieces.clear()
    yield from _zeros(taken.size - position)


class _Pieces(Sink):
    """Keeps what is written until somebody takes it."""

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
    while count > 0:
        yield ZEROS if count >= len(ZEROS) else bytes(count)
        count -= len(ZEROS)


def _pieces(layout: Layout, overrides: Sequence[Override | str]) -> Iterable[Piece]:
    """All metadata, with what the overrides put into it."""
    _check_layout(layout)
    given = [overrides] if isinstance(overrides, str | Override) else overrides
    if not isinstance(given, Iterable):
        raise SpecError("overrides", f"{given!r:.80} is no list of overrides")
    parsed = [each if isinstance(each, Override) else Override.parse(each) for each in given]
    return coalesced(overridden(metadata_pieces(layout), layout, parsed))


def _check_layout(layout: object) -> None:
    if not isinstance(layout, Layout):
        raise SpecError("layout", f"is a {type(layout).__name__}, not a Layout; plan() makes one")


def _count(name: str, given: object) -> int:
    try:
        return count_of(given)
    except ValueError as error:
        raise SpecError(name, str(error)) from None


def _writer(sink: Sink, pool: ProcessPool, workers: int, layout: Layout) -> Callable[..., None]:
    """What writes to ``sink``: in ascending order, with processes, or with threads."""
    if sink.ascending:
        return write_ascending
    workers = max(workers, pool.processes)
    work = layout.content_bytes + layout.entries["file"] * BYTES_WORTH_A_FILE
    if pool.can_share and work >= LEAST_BYTES_TO_SHARE:
        image = sink.shared()
        if image is not None and pool.can_know(image.first_generation) and pool.start():
            return partial(write_forked, image=image, pool=pool)
    return partial(write_anywhere, workers=workers)


def write_image(
    tree: Tree,
    output: Output,
    spec: Spec | None = None,
    *,
    offset: Size | None = None,
    sync: bool = False,
    borrow: bool = False,
    raw: bool = False,
    compression: Compression | None = None,
    watch: Callable[[Buffer], object] | None = None,
    overrides: Sequence[Override | str] = (),
    workers: int = 1,
    processes: int | ProcessPool = 1,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> Layout:
    """Write an ext4 image of ``tree`` and return its plan.

    ``output`` is one of these:

    - A path. The image has another name in the same folder until it is whole; only then does it
      replace what is there, whose permissions and owner it keeps. A link is followed. An image
      whose name ends in ``.zst``, ``.gz`` or ``.xz`` is compressed, as ``compression`` says; names
      of other compressed files and of virtual disks are refused. With ``raw`` names mean nothing.
    - The path of a block device, which must not be in use. The image takes its first bytes.
    - A binary file that can seek. The image goes to its position and leaves it at the end of the
      image; nothing else in the file changes, and it is never cut.
    - Any other object with ``write``, such as a pipe, which gets the image in pieces from its first
      byte to its last. Each is a ``bytes`` of its own that may be kept, unless you ``borrow``: then
      it may be a ``memoryview``, whose memory is used again as soon as ``write`` returns.
    - A ``bytearray``, which is replaced.

    ``offset`` is where the image begins, in bytes, inside a device, an open file, a ``bytearray``
    or the existing file at a path, whose other bytes stay. An image that would go beyond the end
    of what has bytes at its beginning is refused.

    What a device or a file that is written in part had for a superblock goes first and the new one
    comes last, each with a flush: after a failure there is no file system. A new file is in the
    memory of the host at first, and a power cut may leave an empty or incomplete one under its
    name; with ``sync`` the disk has it before it has its name, and the name before this returns.

    ``watch`` is called with all bytes of the image in their order while they are written, such as
    the ``update`` of a digest; the views that it gets are valid until it returns, and it may be
    called in another thread. One process writes the image then.

    ``workers`` threads copy file content; the bytes do not depend on their number.
    With more than one in ``processes`` so many, this one among them, copy it and search for holes,
    where the system and the output allow it; a :class:`~ext4writer.ProcessPool` may have read the
    tree before. They are quicker, as threads of one interpreter take turns, and meant for programs
    that have no other threads.
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
            compression=compression,
            watch=watch,
            overrides=overrides,
            workers=workers,
            processes=pool,
            progress=progress,
            cancel=cancel,
        )
    return layout


def iter_image(
    tree: Tree,
    spec: Spec | None = None,
    *,
    overrides: Sequence[Override | str] = (),
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> Iterator[bytes]:
    """Plan an ext4 image of ``tree`` at once, and yield its bytes in pieces as they are asked for.

    It is what a web server or an upload wants that takes an iterator: no piece is empty or has more
    than a MiB, and each may be kept. Raises what :func:`plan` raises; the iterator raises what
    :func:`write_layout` does. To know the size before, plan and give the plan to
    :func:`iter_layout`.
    """
    layout = plan(tree, spec, progress=progress, cancel=cancel)
    return iter_layout(layout, overrides=overrides, progress=progress, cancel=cancel)
