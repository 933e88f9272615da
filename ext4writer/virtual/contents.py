"""The contents of files by offset in an image."""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from ..content import Content, KeepingOpen
from ..emit.batches import CopyJob, Neighbours, batches
from ..emit.data import copy_jobs
from ..late_dataclasses import NamedTuple
from ..planning.inodes import ROOT
from ..planning.layout import ImagePlan
from ..spans import Span
from ..tree import Directory, RegularFile
from .extents import Extent
from .readers import Readers


class _Columns(NamedTuple):
    """Pieces of content, ascending by offset in the image; all numbers are in bytes."""

    offsets: array[int]
    contents: list[Content]
    starts: array[int]
    lengths: array[int]


class Contents:
    """All pieces of content of an image by offset; they are listed on first use."""

    def __init__(self, layout: ImagePlan) -> None:
        self._layout = layout
        self._lock = threading.Lock()
        self._readers = Readers()
        self._listed: _Columns | None = None
        self._paths: dict[Content, bytes] = {}
        """Content -> its first path; filled on first use."""

    def read(self, view: memoryview, offset: int) -> list[Span]:
        """Fill the parts of ``view`` with content; ``view`` begins at byte ``offset`` of the image.

        Returns the filled spans, in bytes from the start of ``view``.
        """
        filled = []
        with KeepingOpen():
            for batch in batches(self._jobs(offset, offset + len(view)), self._layout.block_size):
                low = batch.offset - offset
                if isinstance(batch, Neighbours):
                    size = batch.parcel.read_side_by_side(view[low:], self._layout.block_size)
                else:
                    size = batch.length
                    [content] = batch.parcel.contents
                    self._readers.read(content, view[low : low + size], batch.start)
                filled.append(Span(low, low + size))
        return filled

    def extents(self, offset: int, end: int) -> Iterator[Extent]:
        """Yield the content between ``offset`` and ``end``, ascending."""
        for place, content, start, length in self._jobs(offset, end):
            yield Extent(place, length, "content", self._path_of(content), start)

    def spans(self, offset: int, end: int) -> Iterator[Span]:
        """Yield the spans of content between two bytes of the image, ascending."""
        for place, _, _, length in self._jobs(offset, end):
            yield Span(place, place + length)

    def close(self) -> None:
        """Close all open contents."""
        self._readers.close()

    def _columns(self) -> _Columns:
        with self._lock:
            if self._listed is None:
                columns = list(zip(*copy_jobs(self._layout), strict=True)) or [(), (), (), ()]
                offsets, contents, starts, lengths = columns
                self._listed = _Columns(
                    array("Q", offsets), list(contents), array("Q", starts), array("Q", lengths)
                )
        return self._listed

    def _jobs(self, low: int, high: int) -> Iterator[CopyJob]:
        """Yield the pieces between two bytes of the image, cut at both."""
        if self._is_fixed_metadata(low, high):
            return
        offsets, contents, starts, lengths = self._columns()
        first = max(0, bisect_right(offsets, low) - 1)
        for position in range(first, bisect_left(offsets, high)):
            offset, length = offsets[position], lengths[position]
            skipped = max(0, low - offset)
            length = min(length, high - offset) - skipped
            if length > 0:
                yield offset + skipped, contents[position], starts[position] + skipped, length

    def _is_fixed_metadata(self, low: int, high: int) -> bool:
        """Whether a range has only fixed metadata; then contents need not be listed for it."""
        fixed, block_size = self._layout.geometry.fixed, self._layout.block_size
        if high <= fixed[0][1] * block_size:
            return True
        position = bisect_right(fixed, (low // block_size, self._layout.blocks_count)) - 1
        return position >= 0 and high <= fixed[position][1] * block_size

    def _path_of(self, content: Content) -> bytes:
        with self._lock:
            if not self._paths:
                self._list_paths()
        return self._paths[content]

    def _list_paths(self) -> None:
        """Record the first path of each content, directory by directory."""
        table = self._layout.table
        folders = {ROOT: b"/"}
        for index, names, children in zip(
            table.directories, table.names, table.children, strict=True
        ):
            folder = folders.pop(index)
            for name, child in zip(names, children, strict=True):
                node = table.nodes[child]
                if isinstance(node, RegularFile):
                    self._paths.setdefault(node.content, folder + name)
                elif isinstance(node, Directory):
                    folders[child] = folder + name + b"/"
