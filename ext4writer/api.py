"""Plan and write: the whole recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from .arguments import count_of
from .emit.copying import write_anywhere, write_ascending
from .emit.copying_forked import write_forked
from .emit.data import copy_jobs
from .emit.metadata import coalesced, metadata_pieces
from .emit.overridden import overridden
from .emit.override import Override
from .emit.sinks import Output, Sink, open_sink
from .errors import SpecError
from .forked import Crew, as_crew
from .plan.layout import Layout
from .plan.planner import plan
from .plan.spec import Spec
from .progress import Cancel, ProgressCallback, check_cancelled
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
    overrides: Sequence[Override | str] = (),
    workers: int = 1,
    processes: int | Crew = 1,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> None:
    """Write the image that ``layout`` describes; see :func:`write_image` for what is given.

    Raises :class:`SourceChangedError` for a file that is not what it was when it was planned,
    :class:`OutputError` for an output that cannot be written, :class:`OverrideError`, and
    :class:`CancelledError`. Nothing is left under a path after any of them.
    """
    if not isinstance(layout, Layout):
        raise SpecError("layout", f"is a {type(layout).__name__}, not a Layout; plan() makes one")
    workers = _count("workers", workers)
    given = [overrides] if isinstance(overrides, str | Override) else overrides
    lies = [Override.parse(lie) if isinstance(lie, str) else lie for lie in given]
    pieces = coalesced(overridden(metadata_pieces(layout), layout, lies))
    with open_sink(output, layout.size_bytes) as sink, as_crew(processes) as crew:
        _writer(sink, crew, workers, layout)(
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


def _count(name: str, given: object) -> int:
    try:
        return count_of(given)
    except ValueError as error:
        raise SpecError(name, str(error)) from None


def _writer(sink: Sink, crew: Crew, workers: int, layout: Layout) -> Callable[..., None]:
    """What writes to ``sink``: in ascending order, with processes, or with threads."""
    if sink.ascending:
        return write_ascending
    workers = max(workers, crew.processes)
    work = layout.content_bytes + layout.entries["file"] * BYTES_WORTH_A_FILE
    if crew.can_share and work >= LEAST_BYTES_TO_SHARE:
        image = sink.shared()
        if image is not None and crew.can_know(image.first_crew) and crew.start():
            return partial(write_forked, image=image, crew=crew)
    return partial(write_anywhere, workers=workers)


def write_image(
    tree: Tree,
    output: Output,
    spec: Spec | None = None,
    *,
    overrides: Sequence[Override | str] = (),
    workers: int = 1,
    processes: int | Crew = 1,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> Layout:
    """Write an ext4 image of ``tree`` and return its plan.

    ``output`` is a path (written under a temporary name beside it and renamed when whole), a
    binary file that can seek, a stream that cannot (written in ascending offsets), or a
    ``bytearray``. ``workers`` threads copy file content; the bytes do not depend on their number.
    With more than one in ``processes`` so many, this one among them, copy it and search for holes,
    where the system and the output allow it; a :class:`~ext4writer.Crew` may have read the tree
    before. They are quicker, as threads of one interpreter take turns, and meant for programs that
    have no other threads.
    Raises what :func:`plan` and :func:`write_layout` raise.
    """
    with as_crew(processes) as crew:
        layout = plan(tree, spec, processes=crew, progress=progress, cancel=cancel)
        write_layout(
            layout,
            output,
            overrides=overrides,
            workers=workers,
            processes=crew,
            progress=progress,
            cancel=cancel,
        )
    return layout
