"""A fixed virtual hard disk: the image, followed by a footer of 512 bytes.

Rules: Virtual Hard Disk Image Format Specification, version 1.0, "Hard Disk Footer Format" and
"Appendix: CHS Calculation".
"""

from __future__ import annotations

import os
from struct import Struct

from ..arithmetic import round_up
from ..bits import low_32
from ..content import write_all_at
from ..units import SECTOR
from .blocked import check_size
from .path import PathSink

FOOTER = Struct(">8sIIQI4sI4sQQHBBII16sB427x")
YEAR_2000 = 946_684_800
"""Seconds from 1970 to the epoch of the format."""
RESERVED_FEATURE = 2
VERSION = 0x10000
NO_DATA_OFFSET = (1 << 64) - 1
FIXED = 2
MAX_CHS_SECTORS = 65535 * 16 * 255
MAX_BYTES = 0xFF000000 * SECTOR
"""2040 GiB, the limit of QEMU (VHD_MAX_SECTORS in block/vpc.c) and of Microsoft's programs."""

CREATOR = b"win "
"""For disks of this creator, QEMU's block/vpc.c reads the size from the footer. For others it
computes the size from cylinders, heads and sectors, which cannot represent most sizes."""


class VhdSink(PathSink):
    """Writes the raw image, then the footer. Raises :class:`OutputError`."""

    def __init__(self, path: bytes, size: int, uuid: bytes, epoch: int, *, sync: bool) -> None:
        check_size(path, size, MAX_BYTES)
        super().__init__(path, size, sync=sync)
        self._footer = footer(round_up(size, SECTOR), uuid, epoch)

    def finish(self) -> None:
        try:
            end = round_up(self.size, SECTOR)
            os.ftruncate(self._fd, end + len(self._footer))
            write_all_at(self._fd, self._footer, end)
        except OSError as error:
            raise self.failure(error) from error
        super().finish()


def footer(size: int, uuid: bytes, epoch: int) -> bytes:
    """The last 512 bytes of a disk of ``size`` bytes; ``epoch`` is in seconds since 1970."""
    cylinders, heads, sectors = _geometry(size // SECTOR)
    before = (
        *(b"conectix", RESERVED_FEATURE, VERSION, NO_DATA_OFFSET),
        min(max(0, epoch - YEAR_2000), (1 << 32) - 1),
        *(CREATOR, VERSION, b"Wi2k", size, size, cylinders, heads, sectors, FIXED),
    )
    saved_state = 0
    checksum = low_32(~sum(FOOTER.pack(*before, 0, uuid, saved_state)))
    return FOOTER.pack(*before, checksum, uuid, saved_state)


def _geometry(total: int) -> tuple[int, int, int]:
    """Cylinders, heads and sectors per track for a disk of ``total`` sectors."""
    total = min(total, MAX_CHS_SECTORS)
    if total >= 65535 * 16 * 63:
        return total // 255 // 16, 16, 255
    sectors = 17
    tracks = total // sectors
    heads = max((tracks + 1023) // 1024, 4)
    if tracks >= heads * 1024 or heads > 16:
        sectors, heads = 31, 16
        tracks = total // sectors
    if tracks >= heads * 1024:
        sectors, heads = 63, 16
        tracks = total // sectors
    return tracks // heads, heads, sectors
