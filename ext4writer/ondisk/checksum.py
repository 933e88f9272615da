"""Checksums: crc32c and crc16, their seeds, and the checksum of every structure.

``crc32c`` follows the kernel's ``crc32c_le``: no inversion before or after. A function that sets a
checksum writes it into packed bytes, in place, and returns it; all other fields must be final by
then. units.py maps each kind of metadata to its function. Offsets and sizes are in bytes.

Rules: Documentation/filesystems/ext4/checksums.rst and e2fsprogs csum.c.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from itertools import repeat

from ..bits import MASK_32, high_16, le16, low_16
from .dirent import DIR_ENTRY_TAIL
from .extent import EXTENT, EXTENT_HEADER
from .group_desc import GROUP_DESC
from .htree import DX_COUNTLIMIT, DX_ENTRY, DX_NODE, DX_ROOT, DX_TAIL
from .inode import EXT4_GOOD_OLD_INODE_SIZE, INODE
from .journal import JOURNAL_SUPERBLOCK
from .mmp import MMP
from .orphan import ORPHAN_BLOCK_TAIL
from .record import ReadBuffer, WriteBuffer
from .superblock import SUPERBLOCK
from .xattr import XATTR_HEADER

CRC_START = MASK_32
"""The initial value of a checksum without a seed: all ones (fs/ext4/super.c, ``~0``)."""

_SB_CHECKSUM = SUPERBLOCK.offset("s_checksum")
_BG_CHECKSUM = GROUP_DESC.offset("bg_checksum")
_I_CHECKSUM_LO, _I_CHECKSUM_HI = map(INODE.offset, INODE.parts("i_checksum"))
_I_EXTRA_ISIZE = INODE.offset("i_extra_isize")
_EXTRA_ISIZE_WITH_HIGH = _I_CHECKSUM_HI + 2 - EXT4_GOOD_OLD_INODE_SIZE
_H_CHECKSUM = XATTR_HEADER.offset("h_checksum")
_J_CHECKSUM = JOURNAL_SUPERBLOCK.offset("s_checksum")
_MMP_CHECKSUM = MMP.offset("mmp_checksum")
_OB_CHECKSUM = ORPHAN_BLOCK_TAIL.offset("ob_checksum") - ORPHAN_BLOCK_TAIL.size
_EH_MAX = EXTENT_HEADER.offset("eh_max")
_DET_CHECKSUM = DIR_ENTRY_TAIL.offset("det_checksum") - DIR_ENTRY_TAIL.size
_DT_CHECKSUM = DX_TAIL.offset("dt_checksum")
_DX_ROOT_COUNT = DX_ROOT.offset("limit")
_DX_NODE_COUNT = DX_NODE.offset("limit")

_DESCS_AT_ONCE = 2048
_COMPLEMENTS = bytes(range(255, -1, -1))

_WORD = struct.Struct("<I")
_HALF = struct.Struct("<H")
_INO_GENERATION = struct.Struct("<II")

_standard: Callable[[ReadBuffer, int], int] | None = None


def _load() -> Callable[[ReadBuffer, int], int]:
    """Return crc32c as in RFC 3720 (inverted), from the crc32c package or from this module."""
    global _standard  # noqa: PLW0603 (bound once, at the first checksum)
    try:
        _standard = _extension() or _package()
    except ImportError:
        _standard = _inverted
    return _standard


def _extension() -> Callable[[ReadBuffer, int], int] | None:
    """Return crc32c from the package's extension module, if it is in the usual place; else None.

    Importing the package itself would load a command line and readers of package metadata, which
    takes longer than writing a small image.
    """
    package = find_spec("crc32c")
    places = package.submodule_search_locations if package is not None else None
    spec = PathFinder.find_spec("crc32c._crc32c", places) if places else None
    if spec is None or spec.loader is None:
        return None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, "crc32c", None)


def _package() -> Callable[[ReadBuffer, int], int]:
    from crc32c import crc32c

    return crc32c


def _inverted(data: ReadBuffer, value: int) -> int:
    return crc32c_python(value ^ MASK_32, data) ^ MASK_32


def crc32c(seed: int, data: ReadBuffer) -> int:
    """Return crc32c of ``data`` continued from ``seed``, not inverted."""
    return (_standard or _load())(data, seed ^ MASK_32) ^ MASK_32


@cache
def _crc32c_tables() -> tuple[tuple[int, ...], ...]:
    """Return eight tables: table k holds the effect of a byte with k more bytes after it."""
    first = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        first.append(byte)
    tables = [tuple(first)]
    for _ in range(7):
        tables.append(tuple(crc >> 8 ^ first[crc & 0xFF] for crc in tables[-1]))
    return tuple(tables)


def crc32c_python(seed: int, data: ReadBuffer) -> int:
    """Return the same as ``crc32c``, in pure Python: eight bytes per step."""
    t0, t1, t2, t3, t4, t5, t6, t7 = _crc32c_tables()
    whole = len(data) & ~7
    crc = seed
    for (chunk,) in struct.iter_unpack("<Q", memoryview(data)[:whole]):
        chunk ^= crc
        crc = (
            t7[chunk & 0xFF]
            ^ t6[chunk >> 8 & 0xFF]
            ^ t5[chunk >> 16 & 0xFF]
            ^ t4[chunk >> 24 & 0xFF]
            ^ t3[chunk >> 32 & 0xFF]
            ^ t2[chunk >> 40 & 0xFF]
            ^ t1[chunk >> 48 & 0xFF]
            ^ t0[chunk >> 56]
        )
    for byte in data[whole:]:
        crc = crc >> 8 ^ t0[(crc ^ byte) & 0xFF]
    return crc


@cache
def _crc16_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0xA001 if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


def crc16(seed: int, data: ReadBuffer) -> int:
    """Return CRC-16 (polynomial 0x8005, reflected) of ``data`` continued from ``seed``."""
    table = _crc16_table()
    crc = seed
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc


def filesystem_seed(uuid_bytes: bytes) -> int:
    """Return the seed of all metadata checksums; metadata_csum_seed stores it in a field."""
    # csum.c:ext2fs_init_csum_seed
    return crc32c(CRC_START, uuid_bytes)


def inode_seed(seed: int, ino: int, generation: int) -> int:
    """Return the seed of all checksums that belong to one inode."""
    return crc32c(seed, _INO_GENERATION.pack(ino, generation))


def set_superblock_checksum(buf: WriteBuffer, offset: int = 0) -> int:
    """Write s_checksum: crc32c of all bytes before it, not seeded by the UUID."""
    # csum.c:ext2fs_superblock_csum
    with memoryview(buf) as view:
        crc = crc32c(CRC_START, view[offset : offset + _SB_CHECKSUM])
        _WORD.pack_into(view, offset + _SB_CHECKSUM, crc)
    return crc


def group_desc_checksum(seed: int, group: int, desc_bytes: ReadBuffer) -> int:
    """Return bg_checksum with metadata_csum: of the group number, then the descriptor, sum zero."""
    # csum.c:ext2fs_group_desc_csum
    zeroed = bytearray(desc_bytes)
    zeroed[_BG_CHECKSUM : _BG_CHECKSUM + 2] = b"\0\0"
    # low_16, spelled out to save a call for each group
    return crc32c(seed, _WORD.pack(group) + zeroed) & 0xFFFF


def group_desc_checksums(seed: int, descs: ReadBuffer, size: int) -> array[int]:
    """Return the crc32c of every group's descriptor; bg_checksum is its lower half.

    ``descs`` holds descriptors of ``size`` bytes in which the sums are zero.
    """
    standard, start = _standard or _load(), seed ^ MASK_32
    count, words = len(descs) // size, size // _WORD.size
    row, row_words = _WORD.size + size, 1 + words
    summed = bytearray(min(count, _DESCS_AT_ONCE) * row)
    sums = array("I")
    with memoryview(summed).cast("I") as rows, memoryview(descs).cast("B").cast("I") as table:
        for first in range(0, count, _DESCS_AT_ONCE):
            some = min(_DESCS_AT_ONCE, count - first)
            part = table[first * words : (first + some) * words]
            numbers = struct.pack(f"<{some}I", *range(first, first + some))
            rows[: some * row_words : row_words] = memoryview(numbers).cast("I")
            for word in range(words):
                rows[word + 1 : some * row_words : row_words] = part[word::words]
            bodies = struct.unpack_from(f"{row}s" * some, summed)
            sums.extend(map(standard, bodies, repeat(start)))
    return array("I", sums.tobytes().translate(_COMPLEMENTS))


def group_desc_crc16(uuid: bytes, group: int, desc_bytes: ReadBuffer) -> int:
    """Return bg_checksum with uninit_bg: crc16 of the descriptor without the sum's own bytes."""
    # csum.c:ext2fs_group_desc_csum, "old crc16 code"
    desc = bytes(desc_bytes)
    rest = desc[_BG_CHECKSUM + 2 :]
    return crc16(0xFFFF, uuid + _WORD.pack(group) + desc[:_BG_CHECKSUM] + rest)


def bitmap_checksum(seed: int, bitmap_bytes: ReadBuffer) -> int:
    """Return the checksum of a bitmap; descriptors of 32 bytes store only its lower half.

    Of a block bitmap s_clusters_per_group / 8 bytes count, of an inode bitmap
    s_inodes_per_group / 8.
    """
    # csum.c:ext2fs_block_bitmap_csum_set, ext2fs_inode_bitmap_csum_set
    return crc32c(seed, bitmap_bytes)


def set_inode_checksum(
    buf: WriteBuffer, offset: int, inode_size: int, seed: int, ino: int, generation: int = 0
) -> int:
    """Write l_i_checksum_lo, and i_checksum_hi if i_extra_isize includes it."""
    # csum.c:ext2fs_inode_csum_set: of the entire inode with both halves zero
    with memoryview(buf) as view:
        low = offset + _I_CHECKSUM_LO
        high = offset + _I_CHECKSUM_HI
        has_high = (
            inode_size > EXT4_GOOD_OLD_INODE_SIZE
            and le16(view, offset + _I_EXTRA_ISIZE) >= _EXTRA_ISIZE_WITH_HIGH
        )
        view[low : low + 2] = b"\0\0"
        if has_high:
            view[high : high + 2] = b"\0\0"
        crc = crc32c(inode_seed(seed, ino, generation), view[offset : offset + inode_size])
        _HALF.pack_into(view, low, low_16(crc))
        if has_high:
            _HALF.pack_into(view, high, high_16(crc))
    return crc if has_high else low_16(crc)


def set_inode_checksums(
    buf: WriteBuffer,
    offset: int,
    inode_size: int,
    seed: int,
    inos: Sequence[int],
    generations: Iterable[int] = repeat(0),
) -> None:
    """Do what :func:`set_inode_checksum` does, for adjacent inodes with the numbers ``inos``."""
    count = len(inos)
    end = offset + count * inode_size
    with memoryview(buf).cast("B") as view:
        has_high = inode_size > _I_EXTRA_ISIZE
        if has_high and count:
            low_bytes = view[offset + _I_EXTRA_ISIZE : end : inode_size]
            if min(low_bytes) < _EXTRA_ISIZE_WITH_HIGH:
                for position, (ino, generation) in enumerate(zip(inos, generations, strict=False)):
                    place = offset + position * inode_size
                    set_inode_checksum(buf, place, inode_size, seed, ino, generation)
                return
        places = [_I_CHECKSUM_LO, _I_CHECKSUM_LO + 1]
        if has_high:
            places += [_I_CHECKSUM_HI, _I_CHECKSUM_HI + 1]
        for place in places:
            view[offset + place : end : inode_size] = bytes(count)
        inodes = struct.Struct(f"{inode_size}s" * count).unpack(view[offset:end])
        sums = _little_endian_sums(inodes, _standard_seeds(seed, inos, generations))
        for byte, place in enumerate(places):
            view[offset + place : end : inode_size] = sums[byte::4]


def set_dir_block_checksums(
    buf: WriteBuffer,
    block_size: int,
    seed: int,
    inos: Sequence[int],
    generations: Iterable[int] = repeat(0),
) -> None:
    """Do what :func:`set_dir_block_checksum` does, for adjacent blocks of the inodes ``inos``."""
    size = len(inos) * block_size
    with memoryview(buf).cast("B") as view:
        used = block_size - DIR_ENTRY_TAIL.size
        blocks = [view[at : at + used] for at in range(0, size, block_size)]
        sums = _little_endian_sums(blocks, _standard_seeds(seed, inos, generations))
        for byte in range(4):
            view[block_size + _DET_CHECKSUM + byte : size : block_size] = sums[byte::4]
        for block in blocks:
            block.release()


def _standard_seeds(seed: int, inos: Sequence[int], generations: Iterable[int]) -> Iterator[int]:
    """The inverted :func:`inode_seed` of each inode."""
    standard = _standard or _load()
    return map(standard, map(_INO_GENERATION.pack, inos, generations), repeat(seed ^ MASK_32))


def _little_endian_sums(pieces: Iterable[ReadBuffer], seeds: Iterable[int]) -> bytes:
    """The checksums of ``pieces``, 4 bytes each, from inverted seeds."""
    sums = [value ^ MASK_32 for value in map(_standard or _load(), pieces, seeds)]
    return struct.pack(f"<{len(sums)}I", *sums)


def set_extent_block_checksum(
    buf: WriteBuffer, offset: int, block_size: int, inode_seed: int
) -> int:
    """Write et_checksum, which follows the space for eh_max entries."""
    # csum.c:ext2fs_extent_block_csum
    with memoryview(buf) as view:
        eh_max = _HALF.unpack_from(view, offset + _EH_MAX)[0]
        tail = EXTENT_HEADER.size + EXTENT.size * eh_max
        if tail + 4 > block_size:
            raise ValueError(f"eh_max {eh_max} leaves no space for a checksum")
        crc = crc32c(inode_seed, view[offset : offset + tail])
        _WORD.pack_into(view, offset + tail, crc)
    return crc


def set_dir_block_checksum(buf: WriteBuffer, offset: int, block_size: int, inode_seed: int) -> int:
    """Write det_checksum; the block must end in a DIR_ENTRY_TAIL."""
    # csum.c:ext2fs_dirent_csum_set: of all bytes before the 12-byte tail
    with memoryview(buf) as view:
        end = offset + block_size
        crc = crc32c(inode_seed, view[offset : end - DIR_ENTRY_TAIL.size])
        _WORD.pack_into(view, end + _DET_CHECKSUM, crc)
    return crc


def set_dx_root_checksum(buf: WriteBuffer, offset: int, block_size: int, inode_seed: int) -> int:
    """Write dt_checksum of the root block of a hashed directory."""
    return _set_dx_checksum(buf, offset, block_size, inode_seed, _DX_ROOT_COUNT)


def set_dx_node_checksum(buf: WriteBuffer, offset: int, block_size: int, inode_seed: int) -> int:
    """Write dt_checksum of an inner node of a hashed directory."""
    return _set_dx_checksum(buf, offset, block_size, inode_seed, _DX_NODE_COUNT)


def _set_dx_checksum(
    buf: WriteBuffer, offset: int, block_size: int, inode_seed: int, count_offset: int
) -> int:
    # csum.c:ext2fs_dx_csum: the entries in use, then dt_reserved and a zero checksum
    with memoryview(buf) as view:
        limit = DX_COUNTLIMIT.number(view, offset + count_offset, "limit")
        count = DX_COUNTLIMIT.number(view, offset + count_offset, "count")
        tail = count_offset + DX_ENTRY.size * limit
        if tail + DX_TAIL.size > block_size or count > limit:
            raise ValueError(f"limit {limit} and count {count} leave no space for a checksum")
        crc = crc32c(inode_seed, view[offset : offset + count_offset + DX_ENTRY.size * count])
        last = offset + tail + _DT_CHECKSUM
        crc = crc32c(crc, bytes(view[offset + tail : last]) + bytes(4))
        _WORD.pack_into(view, last, crc)
    return crc


def set_xattr_block_checksum(
    buf: WriteBuffer, offset: int, block_size: int, seed: int, block_number: int
) -> int:
    """Write h_checksum of an attribute block that will be stored at block ``block_number``."""
    # csum.c:ext2fs_ext_attr_block_csum: block number as 64 bits, then the block with a zero sum
    with memoryview(buf) as view:
        _WORD.pack_into(view, offset + _H_CHECKSUM, 0)
        crc = crc32c(seed, struct.pack("<Q", block_number))
        crc = crc32c(crc, view[offset : offset + block_size])
        _WORD.pack_into(view, offset + _H_CHECKSUM, crc)
    return crc


def set_journal_superblock_checksum(buf: WriteBuffer, offset: int = 0) -> int:
    """Write s_checksum of a journal superblock with checksum v2 or v3; it is big-endian."""
    # fs/jbd2/journal.c:jbd2_superblock_csum: of 1024 bytes with a zero sum
    with memoryview(buf) as view:
        place = offset + _J_CHECKSUM
        view[place : place + 4] = bytes(4)
        crc = crc32c(CRC_START, view[offset : offset + JOURNAL_SUPERBLOCK.size])
        view[place : place + 4] = crc.to_bytes(4, "big")
    return crc


def set_mmp_checksum(buf: WriteBuffer, offset: int, seed: int) -> int:
    """Write mmp_checksum: crc32c of all bytes of the structure before it."""
    # lib/ext2fs/csum.c:ext2fs_mmp_csum
    with memoryview(buf) as view:
        crc = crc32c(seed, view[offset : offset + _MMP_CHECKSUM])
        _WORD.pack_into(view, offset + _MMP_CHECKSUM, crc)
    return crc


def set_orphan_block_checksum(
    buf: WriteBuffer, offset: int, block_size: int, inode_seed: int, block_number: int
) -> int:
    """Write ob_checksum of a block of the orphan file that is stored at ``block_number``."""
    # lib/ext2fs/orphan.c:ext2fs_do_orphan_file_block_csum
    with memoryview(buf) as view:
        crc = crc32c(inode_seed, struct.pack("<Q", block_number))
        end = offset + block_size
        crc = crc32c(crc, view[offset : end - ORPHAN_BLOCK_TAIL.size])
        _WORD.pack_into(view, end + _OB_CHECKSUM, crc)
    return crc
