"""Puts a planned file system where mke2fs would have made it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .target import Target

if TYPE_CHECKING:
    from ext4writer import Layout


def write(layout: Layout, target: Target, offset: int, **options: Any) -> None:
    """Write into a device or an existing file, whose other bytes stay, or make a new file.

    ``options`` are keywords of :func:`ext4writer.write_layout`. After a failure a new file is not
    there, and a file that was extended has its size again.
    """
    from ext4writer import write_layout

    if target.is_device:
        write_layout(layout, target.path, offset=offset, **options)
        return
    # A link to a file that is not there yet gives that file.
    path = os.path.realpath(target.path)
    if target.status is None and not offset:
        write_layout(layout, path, raw=True, **options)
        return
    made = target.status is None
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if made else 0)
    fd = os.open(path, flags, 0o666)
    try:
        end, needed = os.fstat(fd).st_size, offset + layout.size_bytes
        try:
            if end < needed:
                os.ftruncate(fd, needed)
            write_layout(layout, path, offset=offset, **options)
        except BaseException:
            if made:
                os.unlink(path)
            elif end < needed:
                os.ftruncate(fd, end)
            raise
    finally:
        os.close(fd)
