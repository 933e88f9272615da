"""Reads the content of all files; compares files with fs-verity with their Merkle trees."""

from __future__ import annotations

from collections.abc import Iterator

from ...errors import DamageError, ImageError
from ...nodes import DT_REG
from ...read import Inode
from ...read.verity import check as check_verity
from .state import Check

_READ_BYTES = 1 << 20


def check_content(check: Check) -> None:
    """Read all regular files and record what cannot be read."""
    for ino, kind in zip(check.inodes.inos, check.inodes.types, strict=True):
        if kind != DT_REG:
            continue
        check.check_cancelled()
        inode = check.image.inode(ino)
        try:
            if check.format.verity and check_verity(inode) is not None:
                continue
            for _ in _pieces(inode):
                pass
        except DamageError as error:
            check.damage(error)
        except ImageError as error:
            check.of_inode("UNREADABLE", inode, "i_block", str(error))


def _pieces(inode: Inode) -> Iterator[bytes]:
    with inode.image.open(inode) as file:
        for start, end in file.data:
            for offset in range(start, end, _READ_BYTES):
                file.seek(offset)
                yield file.read(min(_READ_BYTES, end - offset))
