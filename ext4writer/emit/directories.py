"""Builds the blocks of directories."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, cached_property, partial
from itertools import repeat
from struct import Struct

from ..nodes import DT_DIR
from ..ondisk.checksum import set_dir_block_checksums
from ..ondisk.dirent import (
    DIR_ENTRY_2,
    DIR_ENTRY_TAIL,
    EXT4_FT_BLKDEV,
    EXT4_FT_CHRDEV,
    EXT4_FT_DIR,
    EXT4_FT_DIR_CSUM,
    EXT4_FT_FIFO,
    EXT4_FT_REG_FILE,
    EXT4_FT_SOCK,
    EXT4_FT_SYMLINK,
    EXT4_FT_UNKNOWN,
    encode_rec_len,
    rec_len,
)
from ..ondisk.htree import DX_ENTRY, DX_NODE, DX_ROOT, DX_ROOT_INFO, node_limit, root_limit
from ..ondisk.inode import EXT4_INLINE_DOTDOT_SIZE, EXT4_MIN_INLINE_DATA_SIZE
from ..ondisk.units import Unit, UnitKind, UnitRun, checksum_unit
from ..planning.directories import IndexedDirectory, InlineDirectory, LinearDirectory, Slack
from ..planning.layout import ImagePlan
from ..tree import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK
from .workspace import PIECE_BYTES, Workspace

_FILE_TYPES = {
    S_IFREG: EXT4_FT_REG_FILE,
    S_IFDIR: EXT4_FT_DIR,
    S_IFCHR: EXT4_FT_CHRDEV,
    S_IFBLK: EXT4_FT_BLKDEV,
    S_IFIFO: EXT4_FT_FIFO,
    S_IFSOCK: EXT4_FT_SOCK,
    S_IFLNK: EXT4_FT_SYMLINK,
}
_TYPES_ON_DISK = bytes(_FILE_TYPES.get(code << 12, EXT4_FT_UNKNOWN) for code in range(256))
_UNKNOWN_TYPES = bytes([EXT4_FT_UNKNOWN]) * 256

_HALF = Struct("<H")
_WORD = Struct("<I")
_REC_LEN = [rec_len(length) for length in range(256)]
_REC_LEN_OFFSET = DIR_ENTRY_2.offset("rec_len")
_pack_dx_entry = DX_ENTRY.packer("hash", "block")
_TAIL = {"det_rec_len": DIR_ENTRY_TAIL.size, "det_reserved_ft": EXT4_FT_DIR_CSUM}


@cache
def _packers() -> list[Callable[..., bytes]]:
    """Return by length of a name: a packer of inode, rec_len, name_len, file_type and the name."""
    by_rec_len = {
        length: DIR_ENTRY_2.packer(
            "inode", "rec_len", "name_len", "file_type", trailing=length - DIR_ENTRY_2.size
        )
        for length in set(_REC_LEN)
    }
    return [by_rec_len[length] for length in _REC_LEN]


class DirectoryEmitter:
    """Builds the directory blocks of one layout, in pieces."""

    def __init__(self, layout: ImagePlan, workspace: Workspace) -> None:
        self._layout = layout
        self._format = layout.format
        self._workspace = workspace
        self._csum = layout.format.metadata_csum
        self._block_size = layout.block_size
        self._capacity = layout.directory_rules.capacity
        on_disk = _TYPES_ON_DISK if layout.format.filetype else _UNKNOWN_TYPES
        self._types = layout.table.types.translate(on_disk)
        self._pack = _packers()
        self._kind = on_disk[DT_DIR]

    def runs(self) -> Iterator[UnitRun]:
        """Yield the blocks of all directories, in pieces; those of one directory ascend."""
        layout, size = self._layout, self._block_size
        most = PIECE_BYTES // size
        counts, starts = layout.demand.counts, layout.placement.starts
        runs, plans = layout.placement.runs, layout.directories
        held: list[int] = []
        first = 0
        for slot, index in enumerate(layout.table.directories):
            if counts[index] == 1 and index not in runs and index not in plans:
                # Build adjacent small directories together.
                start = starts[index]
                if start != first + len(held) or len(held) == most:
                    if held:
                        yield self._small_run(first, held)
                    first, held = start, []
                held.append(slot)
                continue
            for run in layout.runs_of(index):
                end = run.logical + run.length
                for kind, blocks in self._kinds(index, range(run.logical, end)):
                    for logical in range(blocks.start, blocks.stop, most):
                        numbers = range(logical, min(logical + most, blocks.stop))
                        yield UnitRun(
                            kind,
                            layout.table.inos[index],
                            numbers,
                            (run.physical + logical - run.logical) * size,
                            size,
                            len(numbers),
                            partial(self._made, kind, slot, numbers),
                        )
        if held:
            yield self._small_run(first, held)

    def _made(self, kind: UnitKind, slot: int, blocks: range) -> memoryview:
        """Build the logical ``blocks`` of one directory, all of the same kind."""
        if kind is UnitKind.DIR_BLOCK:
            return self._leaves(slot, blocks)
        return self._index_blocks(slot, blocks)

    def _kinds(self, index: int, blocks: range) -> Iterator[tuple[UnitKind, range]]:
        """Split the logical ``blocks`` of a directory by kind: root, inner nodes, leaves."""
        planned = self._layout.directories.get(index)
        inner = 1 + planned.nodes if isinstance(planned, IndexedDirectory) else 0
        root = min(inner, 1)
        for kind, low, high in (
            (UnitKind.DX_ROOT, 0, root),
            (UnitKind.DX_NODE, root, inner),
            (UnitKind.DIR_BLOCK, inner, blocks.stop),
        ):
            some = range(max(low, blocks.start), min(high, blocks.stop))
            if some:
                yield kind, some

    def _small_run(self, first: int, slots: Sequence[int]) -> UnitRun:
        table, size = self._layout.table, self._block_size
        inos = array("I", [table.inos[table.directories[slot]] for slot in slots])
        make = partial(self._small, slots, inos)
        return UnitRun(UnitKind.DIR_BLOCK, inos, 0, first * size, size, len(slots), make)

    def _small(self, slots: Sequence[int], inos: Sequence[int]) -> memoryview:
        """Build adjacent directories of one block each, with their entries in order of names."""
        table, size = self._layout.table, self._block_size
        view = self._workspace.zeroed(len(slots) * size)
        for position, slot in enumerate(slots):
            entries = self._dot_entries(slot)
            entries += self._entries(table.names[slot], table.children[slot])
            self._put_leaf(view, position * size, entries)
        self._finish_leaves(view, inos)
        return view

    def _leaves(self, slot: int, blocks: range) -> memoryview:
        """Build the logical ``blocks`` of one directory, all of them leaves."""
        table, size = self._layout.table, self._block_size
        index, names, children = table.directories[slot], table.names[slot], table.children[slot]
        planned = self._layout.directories.get(index)
        if planned is None:
            planned = LinearDirectory(range(len(names)), (0, len(names)), 1)
        assert not isinstance(planned, InlineDirectory)
        inner = 1 + planned.nodes if isinstance(planned, IndexedDirectory) else 0
        order, starts = planned.order, planned.starts
        view = self._workspace.zeroed(len(blocks) * size)
        for position, block in enumerate(blocks):
            entries = self._dot_entries(slot) if not block else []
            leaf = block - inner
            if leaf < len(starts) - 1:
                held = order[starts[leaf] : starts[leaf + 1]]
                child_names = [names[position] for position in held]
                entries += self._entries(child_names, [children[position] for position in held])
                for slack in planned.slack.get(leaf, ()):
                    self._put_slack(entries, slack, table.inos[index])
            self._put_leaf(view, position * size, entries)
        self._finish_leaves(view, [table.inos[index]] * len(blocks))
        return view

    def inline_content(self, index: int) -> bytes:
        """Return what the inode of the inline directory ``index`` holds instead of blocks.

        The first 60 bytes are for ``i_block``: the inode number of the parent, then entries. Any
        further bytes are entries for the ``system.data`` attribute.
        """
        table = self._layout.table
        planned = self._layout.directories[index]
        assert isinstance(planned, InlineDirectory)
        slot = self._slot_of[index]
        names, children = table.names[slot], table.children[slot]
        content = bytearray(_WORD.pack(table.inos[table.parents[index]]))
        first = EXT4_MIN_INLINE_DATA_SIZE - EXT4_INLINE_DOTDOT_SIZE
        for size, held in (
            (first, planned.order[: planned.in_i_block]),
            (planned.value_bytes, planned.order[planned.in_i_block :]),
        ):
            if not size:
                continue
            entries = self._entries(
                [names[position] for position in held], [children[position] for position in held]
            )
            data = bytearray(b"".join(entries).ljust(size, b"\0"))
            last = sum(map(len, entries[:-1]))
            _HALF.pack_into(data, last + _REC_LEN_OFFSET, size - last)
            content += data
        return bytes(content)

    @cached_property
    def _slot_of(self) -> dict[int, int]:
        directories = self._layout.table.directories
        return dict(zip(directories, range(len(directories)), strict=True))

    def _index_blocks(self, slot: int, blocks: range) -> memoryview:
        """Build the index root, which is block 0, or inner nodes after it."""
        size = self._block_size
        index = self._layout.table.directories[slot]
        planned = self._layout.directories[index]
        assert isinstance(planned, IndexedDirectory)
        view = self._workspace.zeroed(len(blocks) * size)
        for position, block in enumerate(blocks):
            offset = position * size
            self._put_index(view, offset, slot, planned, block)
            kind = UnitKind.DX_NODE if block else UnitKind.DX_ROOT
            ino = self._layout.table.inos[index]
            generation = self._layout.inode_choices.generation(ino)
            unit = Unit(kind, ino, block, 0, size, generation=generation)
            checksum_unit(self._format, unit, view, offset)
        return view

    def _entries(self, names: list[bytes], children: Sequence[int]) -> list[bytes]:
        """Pack an entry for each name, with the smallest rec_len."""
        inos, types = self._layout.table.inos, self._types
        child_inos: Iterable[int]
        kinds: Iterable[int]
        if isinstance(children, range):
            child_inos = inos[children.start : children.stop]
            kinds = types[children.start : children.stop]
        else:
            child_inos = map(inos.__getitem__, children)
            kinds = map(types.__getitem__, children)
        pack, rec_lens = self._pack, _REC_LEN
        return [
            pack[size](ino, rec_lens[size], size, kind, name)
            for name, size, ino, kind in zip(names, map(len, names), child_inos, kinds, strict=True)
        ]

    def _dot_entries(self, slot: int) -> list[bytes]:
        table, kind = self._layout.table, self._kind
        index = table.directories[slot]
        own, parent = table.inos[index], table.inos[table.parents[index]]
        return [
            self._pack[1](own, _REC_LEN[1], 1, kind, b"."),
            self._pack[2](parent, _REC_LEN[2], 2, kind, b".."),
        ]

    def _put_slack(self, entries: list[bytes], slack: Slack, ino: int) -> None:
        """Lengthen the record of one entry, and leave a deleted entry in its unused part.

        Slack before the first entry is a record without an inode instead. ``ino`` is the inode
        number in the deleted entry.
        """
        length, name = len(slack.name), slack.name
        kind = EXT4_FT_REG_FILE if self._kind else EXT4_FT_UNKNOWN
        if slack.after < 0:
            size = encode_rec_len(slack.size, self._block_size)
            unused = self._pack[length or 1](0, size, length, kind if length else 0, name)
            # Pad it to its full length if other entries follow.
            entries.insert(0, unused.ljust(slack.size, b"\0") if entries else unused)
            return
        # A record without an inode may precede the first entry.
        place = slack.after + (entries[0][:4] == bytes(4))
        longer = bytearray(entries[place])
        size = encode_rec_len(len(longer) + slack.size, self._block_size)
        _HALF.pack_into(longer, _REC_LEN_OFFSET, size)
        if name:
            longer += self._pack[length](ino, _REC_LEN[length], length, kind, name)
        rest = len(entries[place]) + slack.size - len(longer)
        entries[place] = bytes(longer) + bytes(rest if place < len(entries) - 1 else 0)

    def _put_leaf(self, view: memoryview, offset: int, entries: list[bytes]) -> None:
        """Write a block without its tail; the last entry, or an unused one, extends to the end."""
        data = b"".join(entries)
        view[offset : offset + len(data)] = data
        last = len(data) - len(entries[-1]) if entries else 0
        rest = encode_rec_len(self._capacity - last, self._block_size)
        _HALF.pack_into(view, offset + last + _REC_LEN_OFFSET, rest)

    def _finish_leaves(self, view: memoryview, inos: Sequence[int]) -> None:
        """Write the tails and checksums of leaves; ``inos`` has the directory of each leaf."""
        if self._csum and inos:
            size, count = self._block_size, len(inos)
            for name, value in _TAIL.items():
                column = array("H", [value]) * count
                DIR_ENTRY_TAIL.write_column(view, self._capacity, size, (name,), column)
            choices = self._layout.inode_choices
            generations = map(choices.generation, inos) if choices.generations else repeat(0)
            set_dir_block_checksums(view, size, self._format.checksum_seed, inos, generations)

    def _put_index(
        self, view: memoryview, offset: int, slot: int, planned: IndexedDirectory, block: int
    ) -> None:
        """Write the root, which is block 0, or one of the inner nodes after it."""
        children = planned.children(block)
        if block:
            self._node(view, offset, children)
        else:
            self._root(view, offset, slot, planned, children)

    def _root(
        self,
        view: memoryview,
        offset: int,
        slot: int,
        planned: IndexedDirectory,
        pointers: list[tuple[int, int]],
    ) -> None:
        table = self._layout.table
        index = table.directories[slot]
        own = table.inos[index]
        values: dict[str, int | bytes] = {
            "dot_inode": own,
            "dot_rec_len": rec_len(1),
            "dot_name_len": 1,
            "dot_file_type": self._kind,
            "dot_name": b".\0\0\0",
            "dotdot_inode": table.inos[table.parents[index]],
            "dotdot_rec_len": encode_rec_len(self._block_size - rec_len(1), self._block_size),
            "dotdot_name_len": 2,
            "dotdot_file_type": self._kind,
            "dotdot_name": b"..\0\0",
            "hash_version": planned.hash_version,
            "info_length": DX_ROOT_INFO.size,
            "indirect_levels": len(planned.levels),
            "limit": root_limit(self._block_size, self._csum),
            "count": len(pointers),
            "block": pointers[0][1],
        }
        DX_ROOT.pack_into(view, offset, values)
        _put_pointers(view, offset + DX_ROOT.size, pointers)

    def _node(self, view: memoryview, offset: int, pointers: list[tuple[int, int]]) -> None:
        values: dict[str, int | bytes] = {
            "fake_rec_len": encode_rec_len(self._block_size, self._block_size),
            "limit": node_limit(self._block_size, self._csum),
            "count": len(pointers),
            "block": pointers[0][1],
        }
        DX_NODE.pack_into(view, offset, values)
        _put_pointers(view, offset + DX_NODE.size, pointers)


def _put_pointers(view: memoryview, offset: int, pointers: list[tuple[int, int]]) -> None:
    """Write the pointers after the first.

    The header has the block of the first, and limit and count in place of its hash.
    """
    packed = b"".join(_pack_dx_entry(hashed, block) for hashed, block in pointers[1:])
    view[offset : offset + len(packed)] = packed
