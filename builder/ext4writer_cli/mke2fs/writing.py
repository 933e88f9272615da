"""Puts a planned file system where mke2fs would have made it."""

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
    """Write into a device or an existing file, whose other bytes stay, or make a new file.

    ``sparse`` makes a sparse image of Android in the place of an existing file.

    ``options`` are keywords of :func:`ext4writer.write_layout`. After a failure a new file is not
    there, and a file that was extended has its size again.
    """
    from ext4writer import write_layout

    if sparse:
        write_layout(layout, os.path.realpath(target.path), format="simg", **options)
        return
    with place_for(target, offset, layout.size_bytes) as (path, begins):
        options = options if begins is not None else {"raw": True, **options}
        write_layout(layout, path, offset=begins, **options)


@contextmanager
def place_for(target: Target, offset: int, size: int) -> Iterator[tuple[str, int | None]]:
    """Yield the path for ``size`` bytes, and where they begin in it; None for a new file."""
    if target.is_device:
        yield target.path, offset
        return
    # A link to a file that is not there yet gives that file.
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
