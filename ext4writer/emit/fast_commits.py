"""Fast commits: their tags, and the inodes and names before them.

Rules: fs/ext4/fast_commit.c:ext4_fc_perform_commit, ext4_fc_reserve_space and ext4_fc_write_tail.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterator

from ..bits import high_32, low_32
from ..late_dataclasses import NamedTuple
from ..ondisk.checksum import crc32c
from ..ondisk.extent import EXTENT
from ..ondisk.fast_commit import (
    EXT4_FC_TAG_ADD_RANGE,
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
)
from ..ondisk.inode import INODE
from ..ondisk.units import Unit, UnitKind, checksum_unit
from ..planning.layout import ImagePlan
from ..planning.states.fast_files import earlier_name, inode_length
from ..planning.states.journal import SEQUENCES, FastChange, JournalState
from .older_versions import make_older_inode, make_unwritten, rename

_I_BLOCK = INODE.offset("i_block")


class _Renamed(NamedTuple):
    """A file that a fast commit renames."""

    ino: int
    directory: int
    """Inode number of the directory."""
    block: int
    """Number of the directory's only block."""
    name: bytes
    before: bytes


class FastCommits:
    """The fast commits of one layout."""

    def __init__(self, layout: ImagePlan, state: JournalState) -> None:
        self._layout = layout
        self._commits = state.fast_commits
        self._tid = (state.sequence + len(state.transactions)) % SEQUENCES
        self._renamed = {
            change.ino: self._rename(change.ino)
            for changes in self._commits
            for change in changes
            if change.kind == "renamed"
        }
        self.blocks = self._changed_blocks()
        """Numbers of the blocks that the replay changes, ascending."""

    def _index(self, ino: int) -> int:
        return bisect_left(self._layout.table.inos, ino)

    def _rename(self, ino: int) -> _Renamed:
        layout, index = self._layout, self._index(ino)
        parent = layout.table.parents[index]
        before = earlier_name(layout, index)
        assert before is not None
        [run] = layout.runs_of(parent)
        name = layout.table.name_of(index)
        return _Renamed(ino, layout.table.inos[parent], run.physical, name, before)

    def _inode_offset(self, ino: int) -> int:
        """Return the byte offset of an inode in the image."""
        layout = self._layout
        group, row = divmod(ino - 1, layout.format.inodes_per_group)
        table = layout.geometry.inode_tables[group] * layout.block_size
        return table + row * layout.format.inode_size

    def _changed_blocks(self) -> list[int]:
        size = self._layout.block_size
        every = (change.ino for changes in self._commits for change in changes)
        found = {self._inode_offset(ino) // size for ino in every}
        for renamed in self._renamed.values():
            found |= {renamed.block, self._inode_offset(renamed.directory) // size}
        return sorted(found)

    def revert(self, right: dict[int, bytearray]) -> dict[int, bytes]:
        """Revert blocks in place to their state before the fast commits.

        ``right`` has the bytes of each of ``blocks`` after the commits. Returns the inodes after
        the commits by number, with as many bytes of each as tags store.
        """
        layout, size = self._layout, self._layout.block_size
        length = inode_length(layout)
        inodes: dict[int, bytes] = {}

        def place_of(ino: int) -> tuple[bytearray, int]:
            block, at = divmod(self._inode_offset(ino), size)
            inodes[ino] = bytes(right[block][at : at + length])
            return right[block], at

        for changes in self._commits:
            for ino, kind in changes:
                buffer, at = place_of(ino)
                if kind == "attributes":
                    make_older_inode(buffer, at)
                elif kind == "unwritten":
                    make_unwritten(buffer, at + _I_BLOCK)
                else:
                    self._revert_name(self._renamed[ino], right)
                    place_of(self._renamed[ino].directory)
                    continue
                self._set_checksum(UnitKind.INODE, ino, buffer, at, layout.format.inode_size)
        return inodes

    def _revert_name(self, renamed: _Renamed, right: dict[int, bytearray]) -> None:
        buffer, size = right[renamed.block], self._layout.block_size
        rename(buffer, renamed.ino, renamed.name, renamed.before)
        self._set_checksum(UnitKind.DIR_BLOCK, renamed.directory, buffer, 0, size)

    def _set_checksum(
        self, kind: UnitKind, ino: int, buffer: bytearray, at: int, size: int
    ) -> None:
        generation = self._layout.inode_choices.generation(ino)
        unit = Unit(kind, ino, 0, 0, size, generation=generation)
        checksum_unit(self._layout.format, unit, buffer, at)

    # -- tags ------------------------------------------------------------------------------------

    def contents(self, inodes: dict[int, bytes]) -> list[bytes]:
        """Return the fast-commit blocks after the unused first; ``inodes`` is from ``revert``."""
        blocks: list[bytes] = []
        head = FC_HEAD.pack({"fc_features": 0, "fc_tid": self._tid})
        for changes in self._commits:
            values = list(self._values(changes, inodes))
            if not blocks:
                values.insert(0, (EXT4_FC_TAG_HEAD, head))
            blocks += self._commit(values)
        return blocks

    def _values(
        self, changes: tuple[FastChange, ...], inodes: dict[int, bytes]
    ) -> Iterator[tuple[int, bytes]]:
        """Yield (tag, value): first names, then mappings, then inodes."""
        renamed = [self._renamed[ino] for ino, kind in changes if kind == "renamed"]
        for one in renamed:
            for tag, name in ((EXT4_FC_TAG_LINK, one.name), (EXT4_FC_TAG_UNLINK, one.before)):
                head = {"fc_parent_ino": one.directory, "fc_ino": one.ino}
                yield tag, FC_DENTRY_INFO.pack(head) + name
        for ino, kind in changes:
            if kind == "unwritten":
                yield from self._ranges(ino)
        for ino in (*(ino for ino, _ in changes), *(one.directory for one in renamed)):
            yield EXT4_FC_TAG_INODE, FC_INODE.pack({"fc_ino": ino}) + inodes[ino]

    def _ranges(self, ino: int) -> Iterator[tuple[int, bytes]]:
        """Yield the mappings and holes of a file (fs/ext4/fast_commit.c:ext4_fc_write_inode_data).

        Holes are left out if no file is renamed. To replay a hole or a new name, Linux starts a
        transaction, which it can do only on a read-write mount.
        """
        end = 0
        for logical, length, physical in self._layout.runs_of(self._index(ino)):
            if logical > end and self._renamed:
                hole = {"fc_ino": ino, "fc_lblk": end, "fc_len": logical - end}
                yield EXT4_FC_TAG_DEL_RANGE, FC_DEL_RANGE.pack(hole)
            extent = EXTENT.pack(
                {
                    "ee_block": logical,
                    "ee_len": length,
                    "ee_start_hi": high_32(physical),
                    "ee_start_lo": low_32(physical),
                }
            )
            value = FC_ADD_RANGE.pack({"fc_ino": ino, "fc_ex": extent})
            yield EXT4_FC_TAG_ADD_RANGE, value
            end = logical + length

    def _commit(self, values: list[tuple[int, bytes]]) -> list[bytes]:
        """Return the blocks of one fast commit: each ends with padding, the last with a tail."""
        size = self._layout.block_size
        blocks: list[bytes] = []
        block = bytearray()
        tail_size = FC_TL.size + FC_TAIL.size
        for tag, value in values:
            if len(block) + FC_TL.size + len(value) + FC_TL.size > size:
                blocks.append(_padded(block, size))
                block = bytearray()
            block += FC_TL.pack({"fc_tag": tag, "fc_len": len(value)}) + value
        if len(block) + tail_size > size:
            blocks.append(_padded(block, size))
            block = bytearray()
        length = size - len(block) - FC_TL.size
        block += FC_TL.pack({"fc_tag": EXT4_FC_TAG_TAIL, "fc_len": length})
        block += struct.pack("<I", self._tid)
        crc = 0
        for piece in (*blocks, bytes(block)):
            crc = crc32c(crc, piece)
        block += struct.pack("<I", crc)
        return [*blocks, bytes(block.ljust(size, b"\0"))]


def _padded(block: bytearray, size: int) -> bytes:
    rest = size - len(block) - FC_TL.size
    return bytes(block + FC_TL.pack({"fc_tag": EXT4_FC_TAG_PAD, "fc_len": rest})).ljust(size, b"\0")
