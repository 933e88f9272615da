"""The entries of directories: linear, indexed, or inside the inode."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..arithmetic import ceil_div
from ..bits import le32
from ..errors import DamageError, DamageKind
from ..late_dataclasses import NamedTuple
from ..ondisk.casefold import casefold
from ..ondisk.checksum import crc32c
from ..ondisk.dirent import (
    DIR_ENTRY_2,
    DIR_ENTRY_HASH,
    DIR_ENTRY_TAIL,
    EXT4_FT_DIR,
    EXT4_FT_DIR_CSUM,
    EXT4_FT_UNKNOWN,
    EXT4_NAME_LEN,
    decode_rec_len,
)
from ..ondisk.dirhash import hash_names
from ..ondisk.htree import (
    DX_BLOCK_MASK,
    DX_COUNTLIMIT,
    DX_ENTRY,
    DX_HASH_SIPHASH,
    DX_HASH_TEA,
    DX_NODE,
    DX_NODE_COUNT_OFFSET,
    DX_ROOT,
    DX_ROOT_COUNT_OFFSET,
    DX_ROOT_INFO,
    DX_TAIL,
    node_limit,
    root_limit,
)
from ..ondisk.inode import (
    EXT4_CASEFOLD_FL,
    EXT4_ENCRYPT_FL,
    EXT4_INDEX_FL,
    EXT4_INLINE_DOTDOT_SIZE,
    EXT4_MIN_INLINE_DATA_SIZE,
    INODE,
)
from ..ondisk.record import Record
from ..ondisk.superblock import EXT2_FLAGS_UNSIGNED_HASH
from ..ondisk.units import UnitKind
from .xattr_entries import inline_value

if TYPE_CHECKING:
    from .image import Image
    from .inodes import Inode

_head = struct.Struct("<IHBB").unpack_from
_I_BLOCK = INODE.offset("i_block")
UNSIGNED_STEP = 3


class Entry(NamedTuple):
    """One name in a directory. ``offset`` is the byte in the file system where it begins."""

    name: bytes
    ino: int
    file_type: int
    """The file type in the entry; 0 if the format does not store any."""
    offset: int


class Block(NamedTuple):
    """One block of a directory, or a part of a directory that is stored in the inode.

    ``offset`` is in bytes of the file system.
    """

    logical: int
    offset: int
    data: bytes


def blocks(directory: Inode) -> Iterator[Block]:
    """Yield the blocks of a directory whose entries are not stored in the inode."""
    image = directory.image
    if image.fast_commits is not None and image.fast_commits.entries(directory) is not None:
        return  # recovery decides which blocks it has
    size = image.block_size
    count = ceil_div(directory.size, size)
    if directory.size % size:
        directory.wrong("i_size_lo", f"is {directory.size}, which is not in whole blocks")
    next_logical = 0
    for run in directory.runs():
        if run.logical >= count:
            break
        if run.logical > next_logical:
            _no_block(directory, next_logical)
        for place in range(min(run.length, count - run.logical)):
            block = run.physical + place
            data = image.try_block(block)
            if data is None:
                break  # the following blocks cannot be read, either
            yield Block(run.logical + place, block * size, data)
        next_logical = run.logical + run.length
    if next_logical < count:
        _no_block(directory, next_logical)


def _no_block(directory: Inode, logical: int) -> None:
    directory.wrong("i_block", f"maps no block {logical} of a directory", "unmapped")


def inline_parts(directory: Inode) -> Iterator[Block]:
    """Yield the parts of a directory inside an inode: in ``i_block``, then in an attribute."""
    start = EXT4_INLINE_DOTDOT_SIZE
    used = min(directory.size, EXT4_MIN_INLINE_DATA_SIZE)
    yield Block(0, directory.offset + _I_BLOCK + start, directory.block_bytes[start:used])
    value, offset = inline_value(directory)
    if value:
        yield Block(1, offset, value)


def entries(directory: Inode) -> Iterator[Entry]:
    """Yield the entries in the order in which they are stored, including ``.`` and ``..``.

    A directory that is stored in the inode has no entry for ``.``, and only the number of ``..``;
    the entries for both are made up. Names are yielded as they are stored, even encrypted ones.
    """
    image = directory.image
    if not directory.is_directory:
        directory.wrong("i_mode", f"is that of a {directory.kind}, not of a directory")
        return
    commits = image.fast_commits
    replayed = None if commits is None else commits.entries(directory)
    if replayed is not None:
        yield from replayed
        return
    if directory.has_inline_data:
        at = directory.offset + _I_BLOCK
        parent = le32(directory.block_bytes)
        yield Entry(b".", directory.ino, EXT4_FT_DIR, at)
        yield Entry(b"..", parent, EXT4_FT_DIR, at)
        for part in inline_parts(directory):
            yield from block_entries(image, directory, part)
        return
    for block in blocks(directory):
        if image.format.metadata_csum:
            check_block(directory, block)
        yield from block_entries(image, directory, block)


def block_entries(image: Image, directory: Inode, block: Block) -> list[Entry]:
    """Return the entries in use of one block, up to the first one whose length is wrong."""
    # fs/ext4/dir.c:__ext4_check_dir_entry
    data, end, at = block.data, len(block.data), 0
    block_size, with_type = image.block_size, image.format.filetype
    large, most = block_size >= 65536, image.inodes_count
    found: list[Entry] = []
    extra = DIR_ENTRY_HASH.size if has_hash(directory) else 0
    while at < end:
        if at + 8 > end:
            text = f"leaves {end - at} bytes in the block, too few for another entry"
            _wrong(directory, block.offset + at, "rec_len", text)
            break
        ino, length, name_len, file_type = _head(data, at)
        if large:
            length = decode_rec_len(length, block_size)
        if length < 12 or length & 3 or at + length > end or name_len + 8 > length:
            # The last entry inside an inode may be shorter than an entry in a block.
            _wrong(
                directory,
                block.offset + at,
                "rec_len",
                f"is {length}, but {end - at} bytes are left and the name has {name_len}",
            )
            break
        if ino:
            if not with_type:
                # Without the feature this is the high byte of name_len, which is 0 in any name.
                file_type = EXT4_FT_UNKNOWN
            if ino > most:
                _wrong(directory, block.offset + at, "inode", f"is {ino}; the last one is {most}")
            elif not name_len or (extra and name_len + 8 + extra > length and name_len > 2):
                _wrong(directory, block.offset + at, "name_len", f"is {name_len}")
            else:
                name = data[at + 8 : at + 8 + name_len]
                found.append(Entry(name, ino, file_type & 0xF, block.offset + at))
        at += length
    return found


def has_hash(directory: Inode) -> bool:
    """Whether names in a directory are followed by their hashes: if it is encrypted and folded."""
    both = EXT4_ENCRYPT_FL | EXT4_CASEFOLD_FL
    return directory.flags & both == both


def _wrong(
    directory: Inode,
    offset: int,
    field: str,
    problem: str,
    record: Record = DIR_ENTRY_2,
    kind: DamageKind = "value",
) -> None:
    at = offset + record.offset(field)
    directory.image.damage(
        DamageError(record.name, field, at, problem, ino=directory.ino, kind=kind)
    )


# -- checksums -----------------------------------------------------------------------------------


def index_count_offset(directory: Inode, block: Block) -> int | None:
    """Return the byte of ``dx_countlimit`` in a block of a directory; None in a leaf."""
    # fs/ext4/namei.c:get_dx_countlimit
    if not directory.flags & EXT4_INDEX_FL or not directory.image.format.dir_index:
        return None
    _, length, _, _ = _head(block.data, 0)
    if block.logical == 0:
        return DX_ROOT_COUNT_OFFSET
    if decode_rec_len(length, len(block.data)) == len(block.data):
        ino, _, name_len, _ = _head(block.data, 0)
        return DX_NODE_COUNT_OFFSET if not ino and not name_len else None
    return None


def block_kind(directory: Inode, block: Block) -> UnitKind:
    """Return the kind of a block of a directory: root or node of an index, or leaf."""
    count_at = index_count_offset(directory, block)
    if count_at is None:
        return UnitKind.DIR_BLOCK
    return UnitKind.DX_ROOT if count_at == DX_ROOT_COUNT_OFFSET else UnitKind.DX_NODE


def expected_checksum(directory: Inode, block: Block) -> tuple[Record, int, int] | None:
    """Return (record of the tail, its byte in the block, the right checksum).

    None if the block has no space for a tail, or does not have the tail that it should have.
    """
    data, size = block.data, len(block.data)
    count_at = index_count_offset(directory, block)
    if count_at is not None:
        # fs/ext4/namei.c:ext4_dx_csum
        limit = DX_COUNTLIMIT.number(data, count_at, "limit")
        count = DX_COUNTLIMIT.number(data, count_at, "count")
        tail = count_at + DX_ENTRY.size * limit
        if tail + DX_TAIL.size > size or count > limit:
            return None
        crc = crc32c(directory.seed, data[: count_at + DX_ENTRY.size * count])
        return DX_TAIL, tail, crc32c(crc, data[tail : tail + 4] + bytes(4))
    tail = size - DIR_ENTRY_TAIL.size
    ino, length, name_len, kind = _head(data, tail)
    if ino or length != DIR_ENTRY_TAIL.size or name_len or kind != EXT4_FT_DIR_CSUM:
        return None
    return DIR_ENTRY_TAIL, tail, crc32c(directory.seed, data[:tail])


def check_block(directory: Inode, block: Block) -> None:
    """Report a wrong or missing checksum."""
    expected = expected_checksum(directory, block)
    if expected is None:
        is_index = index_count_offset(directory, block) is not None
        record, field = (DX_TAIL, "dt_checksum") if is_index else (DIR_ENTRY_TAIL, "det_checksum")
        at = block.offset + len(block.data) - record.size
        text = "is missing: there is no tail for it"
        _wrong(directory, at, field, text, record, "missing")
        return
    record, tail, checksum = expected
    field = list(record.fields)[-1]
    stored = record.number(block.data, tail, field)
    if stored != checksum:
        text = f"is {stored:#010x} but should be {checksum:#010x}"
        _wrong(directory, block.offset + tail, field, text, record)


# -- lookup --------------------------------------------------------------------------------------


def find(directory: Inode, name: bytes) -> Entry | None:
    """Return the entry of a name, found like the kernel does, through the index if there is one."""
    # fs/ext4/namei.c:__ext4_find_entry
    if not 0 < len(name) <= EXT4_NAME_LEN:
        return None
    image = directory.image
    matches = _Matcher(directory, name)
    has_index = directory.flags & EXT4_INDEX_FL and image.format.dir_index
    if image.fast_commits is not None:
        has_index = 0  # fast commits record names, but not their places in the index
    if has_index and not directory.has_inline_data and name not in (b".", b".."):
        leaves = _leaves(directory, matches)
        if leaves is not None:
            for block in leaves:
                for entry in block_entries(image, directory, block):
                    if matches(entry.name):
                        return entry
            return None
    for entry in entries(directory):
        if matches(entry.name):
            return entry
    return None


class _Matcher:
    """Compares names by the rules of a directory."""

    def __init__(self, directory: Inode, name: bytes) -> None:
        self.name = name
        self.folded: bytes | None = None
        if directory.flags & EXT4_CASEFOLD_FL and not directory.flags & EXT4_ENCRYPT_FL:
            self.folded = casefold(name)

    @property
    def hashed(self) -> bytes:
        """The bytes that are hashed."""
        return self.name if self.folded is None else self.folded

    def __call__(self, other: bytes) -> bool:
        if other == self.name:
            return True
        return self.folded is not None and casefold(other) == self.folded


class _Frame(NamedTuple):
    entries: list[tuple[int, int]]
    """Pairs (hash, block of the directory); the first hash is 0."""
    position: int


def _leaves(directory: Inode, matcher: _Matcher) -> list[Block] | None:
    """Return the leaves that may hold a name; None if the index cannot be used."""
    # fs/ext4/namei.c:dx_probe and ext4_htree_next_block
    image = directory.image
    mapped = {}
    for run in directory.runs():
        mapped[run.logical] = run
    starts = sorted(mapped)

    def block_at(logical: int) -> Block | None:
        place = bisect_right(starts, logical) - 1
        run = mapped[starts[place]] if place >= 0 else None
        if run is None or logical >= run.logical + run.length:
            return None
        number = run.physical + logical - run.logical
        data = image.try_block(number)
        return None if data is None else Block(logical, number * image.block_size, data)

    root = block_at(0)
    if root is None:
        return None
    info_at = DX_ROOT.offset("reserved_zero")
    info = DX_ROOT_INFO.parse(root.data, info_at)
    version, levels = info["hash_version"], info["indirect_levels"]
    assert isinstance(version, int) and isinstance(levels, int)
    at = root.offset + info_at
    if version > DX_HASH_SIPHASH or info["unused_flags"]:
        _wrong(directory, at, "hash_version", f"is {version}", DX_ROOT_INFO)
        return None
    if levels >= max(image.format.htree_levels, 1) or info["info_length"] != DX_ROOT_INFO.size:
        _wrong(directory, at, "indirect_levels", f"is {levels}", DX_ROOT_INFO)
        return None
    if version == DX_HASH_SIPHASH:
        # Computing the hash would take the key of the directory.
        return None
    if version <= DX_HASH_TEA and image.number("s_flags") & EXT2_FLAGS_UNSIGNED_HASH:
        version += UNSIGNED_STEP
    seed = image.superblock["s_hash_seed"]
    assert isinstance(seed, list)
    ((hashed, _),) = hash_names(version, [matcher.hashed], tuple(seed))  # type: ignore[arg-type]
    frames: list[_Frame] = []
    block, count_at = root, DX_ROOT_COUNT_OFFSET
    for level in range(levels + 1):
        rows = _index_entries(directory, block, count_at, is_root=level == 0)
        if rows is None:
            return None
        position = _last_at_most(rows, hashed)
        frames.append(_Frame(rows, position))
        if level < levels:
            child = block_at(rows[position][1])
            if child is None:
                return None
            block, count_at = child, DX_NODE_COUNT_OFFSET
    found: list[Block] = []
    seen: set[int] = set()
    while True:
        logical = frames[-1].entries[frames[-1].position][1]
        leaf = block_at(logical)
        if leaf is None or logical in seen:
            return None
        seen.add(logical)
        if image.format.metadata_csum:
            check_block(directory, leaf)
        found.append(leaf)
        # The next leaf counts, too, if its least hash is ours and marked as continued.
        level = len(frames) - 1
        while level >= 0 and frames[level].position + 1 >= len(frames[level].entries):
            level -= 1
        if level < 0:
            return found
        frames[level] = frames[level]._replace(position=frames[level].position + 1)
        first = frames[level].entries[frames[level].position][0]
        if first & ~1 != hashed or not first & 1:
            return found
        for lower in range(level + 1, len(frames)):
            child = block_at(frames[lower - 1].entries[frames[lower - 1].position][1])
            rows = (
                None
                if child is None
                else _index_entries(directory, child, DX_NODE_COUNT_OFFSET, is_root=False)
            )
            if rows is None:
                return None
            frames[lower] = _Frame(rows, 0)


def _last_at_most(rows: list[tuple[int, int]], hashed: int) -> int:
    position = 0
    while position + 1 < len(rows) and rows[position + 1][0] <= hashed:
        position += 1
    return position


def _index_entries(
    directory: Inode, block: Block, count_at: int, *, is_root: bool
) -> list[tuple[int, int]] | None:
    """Return (hash, block) of each entry of a root or node; None if it is damaged."""
    fmt = directory.image.format
    limit = DX_COUNTLIMIT.number(block.data, count_at, "limit")
    count = DX_COUNTLIMIT.number(block.data, count_at, "count")
    right = (root_limit if is_root else node_limit)(fmt.block_size, fmt.metadata_csum)
    record = DX_ROOT if is_root else DX_NODE
    if limit != right:
        _wrong(directory, block.offset, "limit", f"is {limit} but should be {right}", record)
        return None
    if not 0 < count <= limit:
        _wrong(directory, block.offset, "count", f"is {count}, but the limit is {limit}", record)
        return None
    if fmt.metadata_csum:
        check_block(directory, block)
    words = struct.unpack_from(f"<{2 * count}I", block.data, count_at)
    hashes = (0, *words[2::2])
    return [(h, b & DX_BLOCK_MASK) for h, b in zip(hashes, words[1::2], strict=True)]
