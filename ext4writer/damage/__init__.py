"""Damage on purpose: lies with right checksums, for those who test what reads ext4.

:func:`reseal` makes all checksums of an image right after any mutation.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..ondisk.record import ReadBuffer, WriteBuffer

__all__ = ["reseal", "reseal_into"]


def reseal(data: ReadBuffer, changed: Iterable[int] | None = None) -> bytes:
    """Return the image ``data`` with every checksum made right for the bytes that it holds.

    That is superblocks, group descriptors, bitmaps, inodes, blocks of directories and their index,
    extent trees, attributes with their hashes, values in inodes of their own, MMP, the orphan file,
    and the journal with what is to be replayed. Bytes that are no image come back as they are.

    ``changed`` holds the offsets of all bytes that were changed in an image whose checksums were
    right: only what lies around them is sealed, which is faster. Never raises, whatever the bytes,
    and takes time in proportion to their number.
    """
    sealed = bytearray(data)
    reseal_into(sealed, changed)
    return bytes(sealed)


def reseal_into(buffer: WriteBuffer, changed: Iterable[int] | None = None) -> None:
    """Do what :func:`reseal` does, inside a ``bytearray``, a writable view or a memory map."""
    from .sealing import seal  # late, because most programs damage nothing

    seal(buffer, changed)
