"""Writes a planned file system where mke2fs would have put it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .target import Target

if TYPE_CHECKING:
    from ext4writer import Layout


def write(
    layout: Layout, target: Target, offset: int, *, sparse: bool = False, **options: Any
) -> None:
    """Create a new file, or write into a device or an existing file and keep its other bytes.

    ``offset`` is in bytes. ``sparse`` replaces an existing file by an Android sparse image.
    ``options`` are keywords of :func:`ext4writer.write_layout`. After a failure a new file is
    removed, and a file that was extended gets its old size back.
    """
    from ext4writer import write_layout

    if sparse:
        write_layout(layout, os.path.realpath(target.path), format="simg", **options)
        return
    with open_region(target, offset, layout.size_bytes) as (path, begins):
        options = options if begins is not None else {"raw": True, **options}
        write_layout(layout, path, offset=begins, **options)


@contextmanager
def open_region(target: Target, offset: int, size: int) -> Iterator[tuple[str, int | None]]:
    """Yield (path, byte offset in it) for ``size`` bytes; the offset of a new file is None."""
    if target.is_device:
        yield target.path, offset
        return
    # If a symbolic link leads to a missing file, that file is created.
    path = os.path.realpath(target.path)
    made = target.status is None
    if made and not offset:
        yield path, None
        return
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if made else 0)
    fd = os.open(path, flags, 0o666)
    try:
        end, needed = os.fstat(fd).st_size, offset + size
        try:
            if end < needed:
                os.ftruncate(fd, needed)
            yield path, offset
        except BaseException:
            if made:
                os.unlink(path)
            elif end < needed:
                os.ftruncate(fd, end)
            raise
    finally:
        os.close(fd)
