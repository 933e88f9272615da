"""Builds the attribute values that have their own inodes, and fields of these inodes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ..ondisk.inode import encode_time
from ..ondisk.units import Unit, UnitKind
from ..planning.layout import ImagePlan
from ..planning.placement import PlacedFile
from ..planning.system_files import SystemFile
from ..units import NANOSECONDS
from .attributes import AttributePacker


def xattr_value_units(layout: ImagePlan, file: SystemFile, placed: PlacedFile) -> Iterator[Unit]:
    """Yield each block of a value."""
    size = layout.block_size
    value = layout.xattrs.values[layout.table.value_inos.index(file.ino)]
    for run in placed.runs:
        for place in range(run.length):
            number = run.logical + place
            part = value[number * size : (number + 1) * size]
            offset = (run.physical + place) * size
            make = partial(part.ljust, size, b"\0")
            yield Unit(UnitKind.XATTR_VALUE, file.ino, number, offset, size, make)


def xattr_value_fields(
    layout: ImagePlan, packer: AttributePacker, file: SystemFile
) -> dict[str, int | bytes]:
    """Return the inode fields in which the kernel keeps the value's hash and reference count."""
    # fs/ext4/xattr.c:ext4_xattr_inode_set_hash and ext4_xattr_inode_set_ref
    number = layout.table.value_inos.index(file.ino)
    large = layout.format.has_extra_fields
    hashed, extra = packer.value_hashes[number], 0
    if large:
        hashed, extra = encode_time(hashed * NANOSECONDS, large)
    fields: dict[str, int | bytes] = {
        "i_atime": hashed,
        "i_ctime": 0,
        "l_i_version": layout.xattrs.value_references[number],
    }
    return {**fields, "i_atime_extra": extra, "i_ctime_extra": 0} if large else fields
