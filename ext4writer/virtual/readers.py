"""Keeps contents open between reads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from ..content import Content, Reader
from ..errors import SourceChangedError

MOST_OPEN = 64
"""Most contents that stay open; the least recently read one is closed first."""


class Readers:
    """Reads any part of any content, from any thread.

    A reader is used by one thread at a time. A reader that only goes forwards is reopened for bytes
    before its position.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: OrderedDict[Content, tuple[Reader, int]] = OrderedDict()
        """Content -> reader and its position, for open contents not in use."""

    def read(self, content: Content, view: memoryview, start: int) -> None:
        """Fill ``view`` from byte ``start`` of ``content``.

        Raises the errors of :meth:`Content.open`, and :class:`SourceChangedError` if the content
        has changed since planning.
        """
        end = start + len(view)
        with self._borrowed(content, start, end) as reader:
            count = reader.readinto(view, start)
            if content.random_access or end == content.size or count < len(view):
                reader.check_unchanged()
            if count < len(view):
                raise SourceChangedError(reader.path, f"ends at byte {start + count}")

    @contextmanager
    def _borrowed(self, content: Content, start: int, end: int) -> Iterator[Reader]:
        with self._lock:
            found = self._idle.pop(content, None)
        if found is not None and found[1] > start and not content.random_access:
            found[0].close()
            found = None
        reader = content.open() if found is None else found[0]
        try:
            yield reader
        except BaseException:
            reader.close()
            raise
        if not content.random_access and end == content.size:
            reader.close()
            return
        self._keep(content, reader, end)

    def _keep(self, content: Content, reader: Reader, position: int) -> None:
        surplus = []
        with self._lock:
            other = self._idle.pop(content, None)
            if other is not None:
                surplus.append(other[0])
            self._idle[content] = reader, position
            if len(self._idle) > MOST_OPEN:
                surplus.append(self._idle.popitem(last=False)[1][0])
        for reader in surplus:
            reader.close()

    def close(self) -> None:
        """Close all contents."""
        with self._lock:
            idle, self._idle = self._idle, OrderedDict()
        for reader, _ in idle.values():
            reader.close()
