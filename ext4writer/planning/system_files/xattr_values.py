"""Values of extended attributes that are too long for inodes and blocks (ea_inode)."""

from __future__ import annotations

from collections.abc import Iterator

from ...arithmetic import ceil_div
from ...ondisk.format import Format
from ...ondisk.inode import EXT4_EA_INODE_FL
from ..mapping import mapping_of
from ..xattrs import XattrPlan
from .base import XATTR_VALUE_PURPOSE, SystemFile


def xattr_values(fmt: Format, inos: range, xattrs: XattrPlan) -> Iterator[SystemFile]:
    """Yield a file for each value (fs/ext4/xattr.c:ext4_xattr_inode_create)."""
    mapping = mapping_of(fmt)
    for ino, value in zip(inos, xattrs.values, strict=True):
        yield SystemFile(
            ino=ino,
            purpose=XATTR_VALUE_PURPOSE,
            size_bytes=len(value),
            data_blocks=ceil_div(len(value), fmt.block_size),
            mapping=mapping,
            inode_flags=EXT4_EA_INODE_FL,
        )
