"""The blocks of one directory as bytes, sealed."""

from __future__ import annotations

from collections.abc import Sequence

from ..ondisk.checksum import inode_seed, seal_dir_leaf, seal_dx_node, seal_dx_root
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
    rec_len,
)
from ..ondisk.htree import DX_ENTRY, DX_NODE, DX_ROOT, DX_ROOT_INFO, node_limit, root_limit
from ..plan.directories import IndexedDirectory, LinearDirectory
from ..plan.layout import Layout
from ..tree import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK

_FILE_TYPES = {
    S_IFREG: EXT4_FT_REG_FILE,
    S_IFDIR: EXT4_FT_DIR,
    S_IFCHR: EXT4_FT_CHRDEV,
    S_IFBLK: EXT4_FT_BLKDEV,
    S_IFIFO: EXT4_FT_FIFO,
    S_IFSOCK: EXT4_FT_SOCK,
    S_IFLNK: EXT4_FT_SYMLINK,
}
_UNKNOWN_TYPES = dict.fromkeys(_FILE_TYPES, EXT4_FT_UNKNOWN)

_pack_entry = DIR_ENTRY_2.packer("inode", "rec_len", "name_len", "file_type")
_REC_LEN = [rec_len(length) for length in range(256)]
_pack_dx_entry = DX_ENTRY.packer("hash", "block")
_TAIL = DIR_ENTRY_TAIL.pack(
    {"det_rec_len": DIR_ENTRY_TAIL.size, "det_reserved_ft": EXT4_FT_DIR_CSUM}
)


class DirectoryEmitter:
    """Makes the blocks of any directory of one layout."""

    def __init__(self, layout: Layout, seed: int) -> None:
        self._layout = layout
        self._seed = seed
        self._csum = layout.directory_rules.csum
        self._block_size = layout.block_size
        self._capacity = layout.directory_rules.capacity
        self._types = _FILE_TYPES if "filetype" in layout.features else _UNKNOWN_TYPES
        self._names = dict(zip(layout.table.directories, layout.table.names, strict=True))

    def blocks(self, index: int) -> bytearray:
        """All blocks of the directory at ``index``, in logical order."""
        planned = self._layout.directories.get(index)
        if planned is None:
            names = self._names[index]
            planned = LinearDirectory(names, (0, len(names)), 1)
        if isinstance(planned, IndexedDirectory):
            return self._indexed(index, planned)
        return self._linear(index, planned)

    def _linear(self, index: int, planned: LinearDirectory) -> bytearray:
        entries = self._entries(index, planned.names)
        data = bytearray()
        starts = planned.starts
        for block in range(planned.blocks):
            held: list[bytes] = []
            if block < len(starts) - 1:
                held = entries[starts[block] : starts[block + 1]]
            if block == 0:
                held = [*self._dot_entries(index), *held]
            data += self._leaf(held)
        self._seal_leaves(index, data, 0)
        return data

    def _indexed(self, index: int, planned: IndexedDirectory) -> bytearray:
        entries = self._entries(index, planned.names)
        starts, hashes = planned.starts, planned.hashes
        first_leaf = 1 + planned.nodes
        data = bytearray(first_leaf * self._block_size)
        pointers = [(hashes[leaf], first_leaf + leaf) for leaf in range(planned.leaves)]
        if planned.nodes:
            per_node = planned.leaves_per_node
            groups = [pointers[at : at + per_node] for at in range(0, len(pointers), per_node)]
            self._root(data, index, [(group[0][0], 1 + at) for at, group in enumerate(groups)], 1)
            for at, group in enumerate(groups):
                self._node(data, index, 1 + at, group)
        else:
            self._root(data, index, pointers, 0)
        for leaf in range(planned.leaves):
            data += self._leaf(entries[starts[leaf] : starts[leaf + 1]])
        self._seal_leaves(index, data, first_leaf)
        return data

    def _entries(self, index: int, names: Sequence[bytes]) -> list[bytes]:
        """The packed entry of each name, as short as it can be."""
        table = self._layout.table
        inos, nodes, types, pack = table.inos, table.nodes, self._types, _pack_entry
        entries = []
        for name, child in zip(names, table.child_indexes(index, names), strict=True):
            size = len(name)
            length = _REC_LEN[size]
            header = pack(inos[child], length, size, types[nodes[child].file_type])
            entries.append((header + name).ljust(length, b"\0"))
        return entries

    def _dot_entries(self, index: int) -> tuple[bytes, bytes]:
        table = self._layout.table
        kind = self._types[S_IFDIR]
        own, parent = table.inos[index], table.inos[table.parents[index]]
        return (
            _pack_entry(own, rec_len(1), 1, kind) + b".\0\0\0",
            _pack_entry(parent, rec_len(2), 2, kind) + b"..\0\0",
        )

    def _leaf(self, held: list[bytes]) -> bytes:
        """One block: its last entry, or an unused one, reaches to the end."""
        if not held:
            block = _pack_entry(0, self._capacity, 0, EXT4_FT_UNKNOWN)
        else:
            last = held[-1]
            room = self._capacity - sum(map(len, held)) + len(last)
            held = [*held[:-1], last[:4] + room.to_bytes(2, "little") + last[6:]]
            block = b"".join(held)
        block = block.ljust(self._capacity, b"\0")
        return block + _TAIL if self._csum else block

    def _seal_leaves(self, index: int, data: bytearray, first: int) -> None:
        if self._csum:
            seed = inode_seed(self._seed, self._layout.table.inos[index], 0)
            for offset in range(first * self._block_size, len(data), self._block_size):
                seal_dir_leaf(data, offset, self._block_size, seed)

    def _root(
        self, data: bytearray, index: int, pointers: list[tuple[int, int]], levels: int
    ) -> None:
        own, parent = self._dot_entries(index)
        values: dict[str, int | bytes] = {
            "dot_inode": int.from_bytes(own[:4], "little"),
            "dot_rec_len": rec_len(1),
            "dot_name_len": 1,
            "dot_file_type": own[7],
            "dot_name": b".\0\0\0",
            "dotdot_inode": int.from_bytes(parent[:4], "little"),
            "dotdot_rec_len": self._block_size - rec_len(1),
            "dotdot_name_len": 2,
            "dotdot_file_type": parent[7],
            "dotdot_name": b"..\0\0",
            "hash_version": self._layout.directory_rules.hash_version,
            "info_length": DX_ROOT_INFO.size,
            "indirect_levels": levels,
            "limit": root_limit(self._block_size, self._csum),
            "count": len(pointers),
            "block": pointers[0][1],
        }
        DX_ROOT.pack_into(data, 0, values)
        _put_pointers(data, DX_ROOT.size, pointers)
        if self._csum:
            seed = inode_seed(self._seed, self._layout.table.inos[index], 0)
            seal_dx_root(data, 0, self._block_size, seed)

    def _node(
        self, data: bytearray, index: int, block: int, pointers: list[tuple[int, int]]
    ) -> None:
        offset = block * self._block_size
        values: dict[str, int | bytes] = {
            "fake_rec_len": self._block_size,
            "limit": node_limit(self._block_size, self._csum),
            "count": len(pointers),
            "block": pointers[0][1],
        }
        DX_NODE.pack_into(data, offset, values)
        _put_pointers(data, offset + DX_NODE.size, pointers)
        if self._csum:
            seed = inode_seed(self._seed, self._layout.table.inos[index], 0)
            seal_dx_node(data, offset, self._block_size, seed)


def _put_pointers(data: bytearray, offset: int, pointers: list[tuple[int, int]]) -> None:
    """Write all pointers but the first, whose hash field holds limit and count."""
    packed = b"".join(_pack_dx_entry(hashed, block) for hashed, block in pointers[1:])
    data[offset : offset + len(packed)] = packed
