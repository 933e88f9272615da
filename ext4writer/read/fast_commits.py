"""Fast commits that were not recovered: their changes to inodes, mappings and directories.

Rules: fs/ext4/fast_commit.c:ext4_fc_replay_scan and ext4_fc_replay. A fast commit records changes,
but not the blocks that hold them, so recovery allocates blocks for extent trees and directories.
Nothing is allocated here: changed inodes replace bytes of their table, and the mappings of files
and the entries of directories are kept in memory, next to the image.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..bits import joined_32, le16
from ..errors import DamageError
from ..late_dataclasses import NamedTuple
from ..nodes import S_IFDIR
from ..ondisk.checksum import crc32c
from ..ondisk.dirent import EXT4_FT_DIR, EXT4_FT_UNKNOWN, EXT4_NAME_LEN, FILE_TYPES
from ..ondisk.extent import (
    EXT4_EXT_MAGIC,
    EXT_INIT_MAX_LEN,
    EXT_MAX_BLOCKS,
    EXTENT,
    EXTENT_HEADER,
    empty_extent_root,
)
from ..ondisk.fast_commit import (
    EXT4_FC_TAG_ADD_RANGE,
    EXT4_FC_TAG_CREAT,
    EXT4_FC_TAG_DEL_RANGE,
    EXT4_FC_TAG_HEAD,
    EXT4_FC_TAG_INODE,
    EXT4_FC_TAG_LINK,
    EXT4_FC_TAG_PAD,
    EXT4_FC_TAG_TAIL,
    EXT4_FC_TAG_UNLINK,
    FC_ADD_RANGE,
    FC_DEL_RANGE,
    FC_DENTRY_INFO,
    FC_HEAD,
    FC_INODE,
    FC_TAIL,
    FC_TL,
    TAGS,
)
from ..ondisk.inode import (
    EXT4_EXTENTS_FL,
    EXT4_GOOD_OLD_INODE_SIZE,
    EXT4_N_BLOCKS,
    INODE,
)
from ..ondisk.units import Unit, UnitKind, checksum_unit
from .directories import Entry, entries
from .mapping import FileExtent, runs

if TYPE_CHECKING:
    from .image import Image
    from .inodes import Inode
    from .journal import Journal

_LEAST = {
    EXT4_FC_TAG_ADD_RANGE: FC_ADD_RANGE.size,
    EXT4_FC_TAG_DEL_RANGE: FC_DEL_RANGE.size,
    EXT4_FC_TAG_CREAT: FC_DENTRY_INFO.size + 1,
    EXT4_FC_TAG_LINK: FC_DENTRY_INFO.size + 1,
    EXT4_FC_TAG_UNLINK: FC_DENTRY_INFO.size + 1,
    EXT4_FC_TAG_INODE: FC_INODE.size + EXT4_GOOD_OLD_INODE_SIZE,
    EXT4_FC_TAG_PAD: 0,
    EXT4_FC_TAG_TAIL: FC_TAIL.size,
    EXT4_FC_TAG_HEAD: FC_HEAD.size,
}
"""The least bytes of a tag's value (fast_commit.c:ext4_fc_value_len_isvalid)."""

_extent = EXTENT.unpacker("ee_block", "ee_len", "ee_start_hi", "ee_start_lo")
_I_BLOCK = INODE.offset("i_block")
_AFTER_I_BLOCK = _I_BLOCK + 4 * EXT4_N_BLOCKS
_NO_EXTENTS = empty_extent_root(4 * EXT4_N_BLOCKS)
_FILE_TYPES = {kind: code for code, kind in FILE_TYPES.items()}


class Tag(NamedTuple):
    """One tag of a fast commit; ``offset`` is the byte of the image where it begins."""

    tag: int
    value: bytes
    offset: int

    @property
    def name(self) -> str:
        return TAGS.get(self.tag, f"{self.tag:#x}")


def tags(journal: Journal, expected_tid: int) -> list[Tag]:
    """Return the tags of all complete fast commits after the transactions that were recovered.

    They belong to transaction ``expected_tid``. The first incomplete fast commit ends them.
    """
    found: list[Tag] = []
    pending: list[Tag] = []
    crc = 0
    tag_at = FC_TL.size
    for number in journal.fast_commit_blocks():
        data = journal.block(number)
        base = journal.place(number) * len(data)
        at = 0
        if not found and not pending and FC_TL.number(data, 0, "fc_tag") != EXT4_FC_TAG_HEAD:
            return found
        while at + tag_at <= len(data):
            tag, length = FC_TL.number(data, at, "fc_tag"), FC_TL.number(data, at, "fc_len")
            end = at + tag_at + length
            if tag not in _LEAST or length < _LEAST[tag] or end > len(data):
                return found
            value = data[at + tag_at : end]
            pending.append(Tag(tag, value, base + at))
            if tag == EXT4_FC_TAG_HEAD and (
                FC_HEAD.number(value, 0, "fc_features")
                or FC_HEAD.number(value, 0, "fc_tid") != expected_tid
            ):
                return found
            if tag == EXT4_FC_TAG_TAIL:
                crc = crc32c(crc, data[at : at + tag_at + FC_TAIL.offset("fc_crc")])
                if (
                    FC_TAIL.number(value, 0, "fc_tid") != expected_tid
                    or FC_TAIL.number(value, 0, "fc_crc") != crc
                ):
                    return found
                found += pending
                pending, crc = [], 0
            else:
                crc = crc32c(crc, data[at:end])
            at = end
    return found


class FastCommits:
    """The changes of fast commits to ``base``, the image after the last complete transaction.

    ``inodes`` holds the bytes of each changed inode.
    """

    def __init__(self, base: Image, found: list[Tag]) -> None:
        self.base = base
        self.tags = len(found)
        self.inodes: dict[int, bytes] = {}
        self._runs: dict[int, list[FileExtent]] = {}
        self._names: dict[int, dict[bytes, Entry | None]] = {}
        self._created: dict[int, int] = {}
        for tag in found:
            if tag.tag in _REPLAYS:
                _REPLAYS[tag.tag](self, tag)
        for ino in self.inodes:
            self._set_checksum(ino)

    # -- for readers -----------------------------------------------------------------------------

    def runs(self, inode: Inode) -> list[FileExtent] | None:
        """Return the runs of an inode; None if they are unchanged."""
        return self._runs.get(inode.ino)

    def entries(self, directory: Inode) -> list[Entry] | None:
        """Return the entries of a directory; None if they are unchanged."""
        ino = directory.ino
        changes = self._names.get(ino)
        parent = self._created.get(ino)
        if changes is None and parent is None:
            return None
        if parent is not None:
            at = directory.offset
            old = [Entry(b".", ino, EXT4_FT_DIR, at), Entry(b"..", parent, EXT4_FT_DIR, at)]
        else:
            old = list(entries(self.base.inode(ino)))
        changes = dict(changes or {})
        kept = [entry for entry in old if entry.name not in changes]
        return kept + [entry for entry in changes.values() if entry is not None]

    def last_inode(self, first: int, count: int) -> int:
        """Return the last changed of ``count`` inodes from ``first``, counted from 1; 0 if none."""
        return max((ino - first + 1 for ino in self.inodes if 0 <= ino - first < count), default=0)

    def table_blocks(self) -> Iterator[tuple[int, bytes]]:
        """Yield (block, bytes) of each block of inode tables that has changed inodes."""
        size = self.base.block_size
        blocks: dict[int, bytearray] = {}
        for ino, raw in self.inodes.items():
            block, place = divmod(self.base.inode_offset(ino), size)
            if block not in blocks:
                blocks[block] = bytearray(self.base.block(block))
            blocks[block][place : place + len(raw)] = raw
        return ((block, bytes(data)) for block, data in blocks.items())

    # -- replay ----------------------------------------------------------------------------------

    def _raw(self, ino: int) -> bytes | None:
        known = self.inodes.get(ino)
        if known is not None:
            return known
        if not 1 <= ino <= self.base.inodes_count:
            return None
        try:
            return self.base.inode(ino).raw
        except DamageError as error:
            self.base.damage(error)
            return None

    def _inode(self, tag: Tag) -> None:
        # ext4_fc_replay_inode: i_block is not replaced, because the blocks it maps may have moved
        ino = FC_INODE.number(tag.value, 0, "fc_ino")
        old = self._raw(ino)
        new = tag.value[FC_INODE.size :]
        if old is None or len(new) > len(old):
            self._wrong(tag, FC_INODE.name, "fc_ino", f"is {ino}, with {len(new)} bytes")
            return
        raw = bytearray(old)
        raw[:_I_BLOCK] = new[:_I_BLOCK]
        raw[_AFTER_I_BLOCK : len(new)] = new[_AFTER_I_BLOCK:]
        if not INODE.number(raw.ljust(INODE.size, b"\0"), 0, "i_flags") & EXT4_EXTENTS_FL:
            raw[_I_BLOCK:_AFTER_I_BLOCK] = new[_I_BLOCK:_AFTER_I_BLOCK]
        elif EXTENT_HEADER.number(raw, _I_BLOCK, "eh_magic") != EXT4_EXT_MAGIC:
            raw[_I_BLOCK:_AFTER_I_BLOCK] = _NO_EXTENTS
        self.inodes[ino] = bytes(raw)

    def _runs_of(self, ino: int) -> list[FileExtent] | None:
        known = self._runs.get(ino)
        if known is None:
            raw = self._raw(ino)
            if raw is None:
                return None
            known = list(runs(self.base.inode_of_bytes(ino, raw)))
            self._runs[ino] = known
        return known

    def _add_range(self, tag: Tag) -> None:
        ino = FC_ADD_RANGE.number(tag.value, 0, "fc_ino")
        logical, stored, high, low = _extent(tag.value, FC_ADD_RANGE.offset("fc_ex"))
        unwritten = stored > EXT_INIT_MAX_LEN
        length = stored - EXT_INIT_MAX_LEN if unwritten else stored
        run = FileExtent(logical, joined_32(low, high), length, unwritten)
        known = self._runs_of(ino)
        fits = length and logical + length <= EXT_MAX_BLOCKS
        if known is None or not fits or not self.base.has_blocks(run.physical, length):
            text = f"is {ino}, with an invalid run of {length} blocks at {run.physical}"
            self._wrong(tag, FC_ADD_RANGE.name, "fc_ino", text)
            return
        place = _cut(known, logical, logical + length)
        known.insert(place, run)

    def _del_range(self, tag: Tag) -> None:
        ino = FC_DEL_RANGE.number(tag.value, 0, "fc_ino")
        first = FC_DEL_RANGE.number(tag.value, 0, "fc_lblk")
        known = self._runs_of(ino)
        if known is None:
            self._wrong(tag, FC_DEL_RANGE.name, "fc_ino", f"is {ino}")
            return
        _cut(known, first, first + FC_DEL_RANGE.number(tag.value, 0, "fc_len"))

    def _link(self, tag: Tag) -> None:
        parent = FC_DENTRY_INFO.number(tag.value, 0, "fc_parent_ino")
        ino = FC_DENTRY_INFO.number(tag.value, 0, "fc_ino")
        name = tag.value[FC_DENTRY_INFO.size :]
        raw, above = self._raw(ino), self._raw(parent)
        if raw is None or above is None or len(name) > EXT4_NAME_LEN or not _is_directory(above):
            text = f"is {parent}, for the name {name[:EXT4_NAME_LEN]!r} of {ino}"
            self._wrong(tag, FC_DENTRY_INFO.name, "fc_parent_ino", text)
            return
        if tag.tag == EXT4_FC_TAG_CREAT and _is_directory(raw):
            # ext4_init_new_dir: recovery creates the block with . and ..
            self._created[ino] = parent
            self._runs.setdefault(ino, [])
        kind = EXT4_FT_UNKNOWN
        if self.base.format.filetype:
            kind = _FILE_TYPES.get(self.base.inode_of_bytes(ino, raw).kind, EXT4_FT_UNKNOWN)
        changes = self._names.setdefault(parent, {})
        changes.pop(name, None)
        changes[name] = Entry(name, ino, kind, tag.offset)

    def _unlink(self, tag: Tag) -> None:
        parent = FC_DENTRY_INFO.number(tag.value, 0, "fc_parent_ino")
        self._names.setdefault(parent, {})[tag.value[FC_DENTRY_INFO.size :]] = None

    def _wrong(self, tag: Tag, record: str, field: str, text: str) -> None:
        self.base.damage(DamageError(record, field, tag.offset, text))

    def _set_checksum(self, ino: int) -> None:
        unit = Unit(UnitKind.INODE, ino, 0, self.base.inode_offset(ino), len(self.inodes[ino]))
        raw = bytearray(self.inodes[ino])
        checksum_unit(self.base.format, unit, raw)
        self.inodes[ino] = bytes(raw)


_REPLAYS = {
    EXT4_FC_TAG_INODE: FastCommits._inode,
    EXT4_FC_TAG_ADD_RANGE: FastCommits._add_range,
    EXT4_FC_TAG_DEL_RANGE: FastCommits._del_range,
    EXT4_FC_TAG_CREAT: FastCommits._link,
    EXT4_FC_TAG_LINK: FastCommits._link,
    EXT4_FC_TAG_UNLINK: FastCommits._unlink,
}


def _mode(raw: bytes) -> int:
    return le16(raw)


def _is_directory(raw: bytes) -> bool:
    return _mode(raw) & 0o170000 == S_IFDIR


def _cut(known: list[FileExtent], first: int, end: int) -> int:
    """Remove blocks ``first`` to ``end`` of a file from ``known``; return their index in it."""
    low = bisect_right(known, first, key=lambda run: run.logical) - 1
    if low < 0 or known[low].logical + known[low].length <= first:
        low += 1
    high = bisect_left(known, end, key=lambda run: run.logical)
    rest = []
    if low < high:
        head, tail = known[low], known[high - 1]
        if head.logical < first:
            rest.append(head._replace(length=first - head.logical))
        over = tail.logical + tail.length - end
        if over > 0:
            skipped = tail.length - over
            physical = tail.physical + skipped
            rest.append(tail._replace(logical=end, physical=physical, length=over))
    known[low:high] = rest
    return low + (1 if rest and rest[0].logical < first else 0)
