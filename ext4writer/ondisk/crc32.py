"""The old checksum of journal transactions, which is rare."""

from __future__ import annotations

import zlib

from ..bits import MASK_32
from .record import ReadBuffer

_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def crc32_be(crc: int, data: ReadBuffer) -> int:
    """Continue a CRC-32 with the most significant bit first, without inversion (lib/crc32.c).

    It is the CRC of zlib with all bits reversed.
    """
    start = int(f"{crc:032b}"[::-1], 2) ^ MASK_32
    mirrored = zlib.crc32(bytes(data).translate(_MIRRORED), start) ^ MASK_32
    return int(f"{mirrored:032b}"[::-1], 2)
