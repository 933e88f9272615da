"""Plan and write: the whole recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from .emit.copying import write_anywhere, write_ascending
from .emit.copying_forked import write_forked
from .emit.data import copy_jobs
from .emit.metadata import coalesced, metadata_pieces
from .emit.overridden import overridden
from .emit.override import Override
from .emit.sinks import Output, open_sink
from .forked import can_fork
from .plan.layout import Layout
from .plan.planner import plan
from .plan.spec import Spec
from .progress import Cancel, ProgressCallback, check_cancelled
from .tree import Tree

LEAST_BYTES_TO_FORK = 16 << 20
"""Content that is copied in less time than processes take to start, and in less memory."""


def write_layout(
    layout: Layout,
    output: Output,
    *,
    overrides: Sequence[Override] = (),
    workers: int = 1,
    processes: int = 1,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> None:
    """Write the image that ``layout`` describes; see :func:`write_image` for what is given.

    Raises :class:`SourceChangedError` for a file that is not what it was when it was planned,
    :class:`OutputError` for an output that cannot be written, :class:`OverrideError`, and
    :class:`CancelledError`. Nothing is left under a path after any of them.
    """
    pieces = coalesced(overridden(metadata_pieces(layout), layout, overrides))
    with open_sink(output, layout.size_bytes) as sink:
        write: Callable[..., None]
        if sink.ascending:
            write = write_ascending
        elif (
            processes > 1
            and can_fork
            and sink.fd is not None
            and layout.content_bytes >= LEAST_BYTES_TO_FORK
        ):
            write = partial(write_forked, processes=processes)
        else:
            write = partial(write_anywhere, workers=max(workers, processes))
        write(
            sink,
            pieces,
            copy_jobs(layout),
            block_size=layout.block_size,
            progress=progress,
            cancel=cancel,
            entries_total=layout.entries["file"],
            bytes_total=layout.content_bytes,
        )
        check_cancelled(cancel)
        sink.finish()


def write_image(
    tree: Tree,
    output: Output,
    spec: Spec | None = None,
    *,
    overrides: Sequence[Override] = (),
    workers: int = 1,
    processes: int = 1,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> Layout:
    """Write an ext4 image of ``tree`` and return its plan.

    ``output`` is a path (written under a temporary name beside it and renamed when whole), a
    binary file that can seek, a stream that cannot (written in ascending offsets), or a
    ``bytearray``. ``workers`` threads copy file content; the bytes do not depend on their number.
    With more than one in ``processes`` that many processes are forked for it, and for the search of
    holes, where the system and the output allow it. They are quicker, as threads of one interpreter
    take turns, and meant for programs that have no other threads.
    Raises what :func:`plan` and :func:`write_layout` raise.
    """
    layout = plan(tree, spec, processes=processes, progress=progress, cancel=cancel)
    write_layout(
        layout,
        output,
        overrides=overrides,
        workers=workers,
        processes=processes,
        progress=progress,
        cancel=cancel,
    )
    return layout
