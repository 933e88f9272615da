"""Builds the inode table of each group.

Tables are written column by column: each field for many inodes at once, as if all were files or
directories of one run. Inodes that differ are patched afterwards.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import compress, repeat
from struct import Struct

from ..arithmetic import ceil_div
from ..attributes import ATTRIBUTES
from ..nodes import IS_OTHER
from ..ondisk.checksum import set_inode_checksums
from ..ondisk.extent import EXTENT_HEADER
from ..ondisk.inode import (
    EXT4_INLINE_DATA_FL,
    INODE,
    INODE_128,
    INODE_EXTRA_ISIZE,
    MIN_TIME_NS,
    encode_device,
    encode_time,
    encode_times,
)
from ..ondisk.units import Make, Unit, UnitKind, UnitRun, checksum_unit
from ..planning.contents import FAST_SYMLINK_MAX
from ..planning.inode_choices import DeletedInode
from ..planning.layout import ImagePlan
from ..planning.mapping import I_BLOCK_BYTES, MappedRun
from ..planning.system_files import SystemFile
from ..tree import S_IFREG, Device, Symlink
from ..units import NANOSECONDS, SECTOR
from .attributes import AttributePacker
from .directories import DirectoryEmitter
from .inline import InlineEmitter
from .system_files import system_file_fields, system_file_i_block
from .workspace import PIECE_BYTES, Workspace

TIMES = [row.word for row in ATTRIBUTES.values() if row.is_time]

_DEVICE = Struct("<II")
_WORD = Struct("<I")
_HALF = Struct("<H")
_I_BLOCK = INODE.offset("i_block")
_I_FLAGS = INODE.offset("i_flags")
_I_DTIME = INODE.offset("i_dtime")
_I_EXTRA_ISIZE = INODE.offset("i_extra_isize")
_I_PROJID = INODE.offset("i_projid")
_put_file_acl = INODE.putter("i_file_acl")


class InodeEmitter:
    """Builds the inode tables of one layout, in pieces."""

    def __init__(
        self,
        layout: ImagePlan,
        workspace: Workspace,
        directories: DirectoryEmitter,
        packer: AttributePacker,
    ) -> None:
        self._layout = layout
        self._packer = packer
        self._format = layout.format
        self._seed = layout.format.checksum_seed
        self._workspace = workspace
        self._size = layout.format.inode_size
        self._large = layout.format.has_extra_fields
        self._record = INODE if self._large else INODE_128
        self._sectors = layout.format.cluster_size // SECTOR
        self._latest = min(layout.times.newest, layout.times.latest)
        self._rows = PIECE_BYTES // self._size
        self._mapping = layout.mapping
        common: dict[str, int | bytes] = {
            "i_flags": self._mapping.flags,
            "i_block": self._mapping.plain_i_block(),
        }
        if self._large:
            common["i_extra_isize"] = INODE_EXTRA_ISIZE
        one = self._record.pack(common).ljust(self._size, b"\0")
        self._common = memoryview(one * min(self._rows, len(layout.table.nodes)))
        # Indexes of nodes with unusual fields, ascending.
        planned = layout.directories.items()
        self._flagged = _ascending(index for index, plan in planned if plan.flags)
        self._with_flags = _ascending(layout.table.flags)
        self._with_shared = _ascending(layout.demand.shared)
        self._with_project = _ascending(layout.table.projects)
        self._with_runs = _ascending(layout.placement.runs)
        self._with_map_blocks = _ascending(layout.placement.map_blocks)
        self._with_block = _ascending(layout.xattrs.block_of)
        self._with_area = _ascending(layout.xattrs.inside_of)
        self._with_values = _ascending(layout.xattrs.values_of)
        self._inline = _ascending(layout.inline)
        orphans = layout.orphans
        self._following = orphans.following() if orphans is not None else {}
        truncated = orphans.truncated if orphans is not None else ()
        self._truncated = _ascending(
            index for index, _ in truncated if layout.table.inos[index] in self._following
        )
        self._inline_emitter = InlineEmitter(layout, directories, packer)
        self._system = {
            file.ino: self._system_inode(file) for file in layout.system_files if file.ino
        }
        self._choices = layout.inode_choices
        self._block_mapped = _ascending(layout.demand.block_mapped)
        self._with_size = _ascending(self._choices.extra_isizes)
        self._system |= {
            ino: self._deleted_inode(ino, left) for ino, left in self._choices.deleted.items()
        }

    def runs(self) -> Iterator[UnitRun]:
        """Yield the inodes of each table up to the last used one, in pieces."""
        per_group = self._format.inodes_per_group
        for group in range(ceil_div(self._layout.table.last_ino, per_group)):
            used = per_group - self._layout.groups.itable_unused[group]
            for first in range(0, used, self._rows):
                count = min(self._rows, used - first)
                make = partial(self._inodes, group * per_group + first + 1, count)
                yield self._run(group, first, count, make)

    def blank_runs(self) -> Iterator[UnitRun]:
        """Yield the inodes of each table after the last used one."""
        per_group = self._format.inodes_per_group
        for group, unused in enumerate(self._layout.groups.itable_unused):
            if unused:
                yield self._run(group, per_group - unused, unused, None)

    def _run(self, group: int, first: int, count: int, make: Make | None) -> UnitRun:
        """Return ``count`` inodes of a group, starting at its inode ``first``, counted from 0."""
        size = self._size
        table = self._layout.geometry.inode_tables[group] * self._layout.block_size
        ino = group * self._format.inodes_per_group + first + 1
        inos = range(ino, ino + count)
        return UnitRun(UnitKind.INODE, inos, 0, table + first * size, size, count, make)

    def _inodes(self, first_ino: int, count: int) -> memoryview:
        """Build ``count`` inodes, starting at number ``first_ino``; unused ones are zeros."""
        size, inos = self._size, self._layout.table.inos
        view = self._workspace.zeroed(count * size)
        low = bisect_left(inos, first_ino)
        high = bisect_left(inos, first_ino + count)
        if low < high and inos[high - 1] - inos[low] == high - 1 - low:
            start = (inos[low] - first_ino) * size
            self._write(view[start : start + (high - low) * size], low, high)
        elif low < high:
            # Build them adjacent, then move them apart: short columns cost as much as long ones.
            together = memoryview(bytearray((high - low) * size))
            self._write(together, low, high)
            first = low
            while low < high:
                ino, ahead = inos[low], range(low, high)
                end = low + bisect_right(ahead, ino - low, key=lambda index: inos[index] - index)
                start = (ino - first_ino) * size
                some = together[(low - first) * size : (end - first) * size]
                view[start : start + len(some)] = some
                low = end
        for ino, inode in self._system.items():
            if first_ino <= ino < first_ino + count:
                view[(ino - first_ino) * size : (ino - first_ino + 1) * size] = inode
        return view

    def _write(self, view: memoryview, low: int, high: int) -> None:
        """Write the inodes of the nodes in ``range(low, high)`` next to each other."""
        layout, table, size = self._layout, self._layout.table, self._size
        placement, xattrs = layout.placement, layout.xattrs
        counts = layout.demand.counts[low:high]
        view[:] = self._common[: len(view)]
        # i_blocks counts clusters, one for each block of metadata.
        sectors = array("Q", [count * self._sectors for count in layout.demand.clusters[low:high]])
        for index in _between(self._with_map_blocks, low, high):
            sectors[index - low] += len(placement.map_blocks[index]) * self._sectors
        for index in _between(self._with_shared, low, high):
            shared = sum(run.length for run in layout.demand.shared[index])
            sectors[index - low] += shared * self._sectors
        for index in _between(self._with_block, low, high):
            sectors[index - low] += self._sectors
        for index in _between(self._with_values, low, high):
            sectors[index - low] += layout.value_clusters(index) * self._sectors
        columns: dict[tuple[str, ...], array[int]] = {
            ("i_mode",): table.modes[low:high],
            INODE.parts("i_uid"): table.uids[low:high],
            INODE.parts("i_gid"): table.gids[low:high],
            ("i_links_count",): table.links[low:high],
            INODE.parts("i_size"): array("Q", table.sizes[low:high]),
            INODE.parts("i_blocks"): sectors,
            **self._times(low, high),
        }
        for names, column in columns.items():
            self._record.write_column(view, 0, size, names, column)
        starts = placement.starts[low:high]
        self._mapping.write_plain_runs(view, _I_BLOCK, size, counts, starts)
        for index in _between(self._with_runs, low, high):
            self._put_i_block(view, index - low, self._i_block(index))
        for index in compress(range(low, high), table.types[low:high].translate(IS_OTHER)):
            self._put_other(view, index - low, index)
        for index in _between(self._flagged, low, high):
            flags = self._mapping.flags | layout.directories[index].flags
            _WORD.pack_into(view, (index - low) * size + _I_FLAGS, flags)
        for index in _between(self._with_flags, low, high):
            at = (index - low) * size + _I_FLAGS
            _WORD.pack_into(view, at, _WORD.unpack_from(view, at)[0] | table.flags[index])
        for index in _between(self._with_project, low, high):
            _WORD.pack_into(view, (index - low) * size + _I_PROJID, table.projects[index])
        for index in _between(self._with_block, low, high):
            block = placement.xattr_blocks[xattrs.block_of[index]]
            _put_file_acl(view, (index - low) * size, block)
        for index in _between(self._with_area, low, high):
            start = (index - low) * size
            view[start + INODE.size : start + size] = self._packer.inside[xattrs.inside_of[index]]
        for index, inline in self._inline_emitter.make(_between(self._inline, low, high)):
            start = (index - low) * size
            self._put_i_block(view, index - low, inline.i_block)
            view[start + INODE.size : start + size] = inline.area
            flags = _WORD.unpack_from(view, start + _I_FLAGS)[0]
            flags = flags & ~self._mapping.flags | EXT4_INLINE_DATA_FL
            _WORD.pack_into(view, start + _I_FLAGS, flags)
        for index in _between(self._truncated, low, high):
            _WORD.pack_into(
                view, (index - low) * size + _I_DTIME, self._following[table.inos[index]]
            )
        for index in _between(self._block_mapped, low, high):
            self._put_i_block(view, index - low, self._i_block(index))
            at = (index - low) * size + _I_FLAGS
            flags = _WORD.unpack_from(view, at)[0]
            _WORD.pack_into(view, at, flags & ~self._mapping.flags)
        for index in _between(self._with_size, low, high):
            self._put_extra_isize(view, (index - low) * size, self._choices.extra_isizes[index])
        inos = table.inos[low:high]
        generations: Iterable[int] = repeat(0)
        if self._choices.generations:
            column = array("I", map(self._choices.generation, inos))
            self._record.write_column(view, 0, size, ("i_generation",), column)
            generations = column
        if layout.format.metadata_csum:
            set_inode_checksums(view, 0, size, self._seed, inos, generations)

    def _put_extra_isize(self, view: memoryview, start: int, extra_isize: int) -> None:
        """Change i_extra_isize of the inode at ``start``, and clear the fields outside it."""
        _HALF.pack_into(view, start + _I_EXTRA_ISIZE, extra_isize)
        if extra_isize < INODE_EXTRA_ISIZE:
            first = max(start + INODE_128.size + extra_isize, start + _I_EXTRA_ISIZE + 2)
            end = start + INODE.size
            view[first:end] = bytes(end - first)

    def _deleted_inode(self, ino: int, left: DeletedInode) -> bytes:
        """Build a deleted inode as the kernel leaves it (fs/ext4/ialloc.c:ext4_free_inode)."""
        epoch = self._layout.epoch
        i_block = self._mapping.i_block([MappedRun(0, 1, left.block)], ())
        values: dict[str, int | bytes] = {
            "i_mode": S_IFREG | 0o644,
            "i_dtime": epoch,
            "i_flags": self._mapping.flags,
            "i_block": i_block,
            "i_generation": left.generation,
            **dict.fromkeys(("i_atime", "i_ctime", "i_mtime"), epoch),
        }
        if self._mapping.flags:
            # The tree is empty, but its last extent can still be read.
            unused = bytearray(i_block)
            EXTENT_HEADER.set(unused, 0, "eh_entries", 0)
            values["i_block"] = bytes(unused)
        if self._large:
            values["i_extra_isize"] = INODE_EXTRA_ISIZE
            values["i_crtime"] = epoch
        inode = bytearray(self._record.pack(self._record.split(values)).ljust(self._size, b"\0"))
        checksum_unit(self._format, Unit(UnitKind.INODE, ino, 0, 0, self._size), inode)
        return bytes(inode)

    def _times(self, low: int, high: int) -> dict[tuple[str, ...], array[int]]:
        table = self._layout.table
        usual = table.mtimes[low:high]
        encoded = encode_times(self._fitted(usual), self._large)
        columns: dict[tuple[str, ...], array[int]] = {}
        for name in TIMES:
            words, others = encoded, table.other_times.get(name + "_ns")
            if others is not None:
                both = zip(others[low:high], usual, strict=True)
                times = [mtime if time is None else time for time, mtime in both]
                words = encode_times(self._fitted(times), self._large)
            if self._large or name != "crtime":
                columns["i_" + name,] = words[0]
            if self._large:
                columns[f"i_{name}_extra",] = words[1]
        return columns

    def _fitted(self, times: Sequence[int]) -> Sequence[int]:
        if min(times) < MIN_TIME_NS or max(times) > self._latest:
            return [self._layout.times.fit(time) for time in times]
        return times

    def _i_block(self, index: int) -> bytes:
        layout = self._layout
        map_blocks = layout.placement.map_blocks.get(index, ())
        return layout.mapping_of(index).i_block(layout.runs_of(index), map_blocks)

    def _put_i_block(self, view: memoryview, row: int, i_block: bytes) -> None:
        start = row * self._size + _I_BLOCK
        view[start : start + I_BLOCK_BYTES] = i_block

    def _put_other(self, view: memoryview, row: int, index: int) -> None:
        """Patch an inode that is neither file nor directory; most of these have no blocks."""
        node = self._layout.table.nodes[index]
        i_block = b""
        if isinstance(node, Symlink):
            if len(node.target) > FAST_SYMLINK_MAX:
                return
            i_block = node.target
        elif isinstance(node, Device):
            i_block = _DEVICE.pack(*encode_device(node.major, node.minor))
        self._put_i_block(view, row, i_block.ljust(I_BLOCK_BYTES, b"\0"))
        _WORD.pack_into(view, row * self._size + _I_FLAGS, 0)

    def _system_inode(self, file: SystemFile) -> bytes:
        """Build the inode of a system file."""
        layout = self._layout
        map_blocks = layout.placement.system[file.ino].map_blocks
        fmt = self._format
        # e2fsck/pass1.c:process_block: each reserved block counts as a cluster.
        clusters = fmt.clusters_for(file.data_blocks) + len(map_blocks) + file.fixed_blocks
        sectors = clusters * self._sectors
        time, extra = encode_time(layout.times.fit(layout.epoch * NANOSECONDS), self._large)
        values: dict[str, int | bytes] = {
            "i_mode": file.mode,
            "i_size": file.size_bytes,
            "i_links_count": 1 if file.mode else 0,
            "i_blocks": sectors,
            "i_flags": file.mapping.flags | file.inode_flags,
            "i_block": system_file_i_block(layout, file),
            **dict.fromkeys(("i_atime", "i_ctime", "i_mtime"), time),
        }
        if self._large:
            values["i_extra_isize"] = INODE_EXTRA_ISIZE
            values["i_crtime"] = time
            for name in ("i_atime_extra", "i_ctime_extra", "i_mtime_extra", "i_crtime_extra"):
                values[name] = extra
        values |= system_file_fields(layout, self._packer, file)
        inode = bytearray(self._record.pack(self._record.split(values)).ljust(self._size, b"\0"))
        checksum_unit(self._format, Unit(UnitKind.INODE, file.ino, 0, 0, self._size), inode)
        return bytes(inode)


_NO_INDEXES = array("I")


def _ascending(indexes: Iterable[int]) -> array[int]:
    ordered = sorted(indexes)
    return array("I", ordered) if ordered else _NO_INDEXES


def _between(indexes: array[int], low: int, high: int) -> array[int]:
    return indexes and indexes[bisect_left(indexes, low) : bisect_left(indexes, high)]
