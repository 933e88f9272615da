"""The units of a planned image: all metadata, with its offsets and the functions that build it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from heapq import merge
from operator import attrgetter

from ..ondisk.superblock import SUPERBLOCK_SIZE
from ..ondisk.units import Make, Unit, UnitKind, UnitRun, checksum_unit
from ..planning.contents import FAST_SYMLINK_MAX
from ..planning.layout import ImagePlan
from ..spans import Span
from ..tree import S_IFLNK, Symlink
from .attributes import AttributePacker
from .bitmaps import BitmapEmitter
from .directories import DirectoryEmitter
from .inodes import InodeEmitter
from .superblock import group_descriptors, superblock
from .system_files import system_file_units
from .workspace import PIECE_BYTES, Workspace

_OFFSET = attrgetter("offset")


class PlannedUnits:
    """All metadata of one layout.

    The bytes of a unit are valid only until the next unit is built: they share memory.
    """

    def __init__(self, layout: ImagePlan) -> None:
        self._layout = layout
        self._format = layout.format
        self._bitmaps = BitmapEmitter(layout)
        self._workspace = Workspace()
        self._directories = DirectoryEmitter(layout, self._workspace)
        self._packer = AttributePacker(layout)
        self._inodes = InodeEmitter(layout, self._workspace, self._directories, self._packer)

    def written(self) -> Iterator[UnitRun]:
        """Yield the units that are not all zeros, by ascending offset.

        They do not include unused inode tables, bitmaps left to the kernel, the blocks of an empty
        journal after its superblock, and the reserved descriptors of backups.
        """
        runs = [
            *self._group_heads(),
            *self._system_files(),
            *self._bitmaps.runs(),
            *self._inodes.runs(),
            *self._directories.runs(),
            *self._map_blocks(),
            *self._xattr_blocks(),
            *self._verity_blocks(),
        ]
        runs.sort(key=_OFFSET)
        ascending = merge(runs, self._symlink_blocks(), key=_OFFSET)
        if self._layout.journal_state is None:
            return ascending
        from .journal_log import JournalLog  # imported late: few images have a log

        log = JournalLog(self._layout, self._layout.journal_state, [*ascending])
        return iter(sorted(log.written(), key=_OFFSET))

    @cached_property
    def _by_kind(self) -> dict[UnitKind, list[UnitRun]]:
        found: dict[UnitKind, list[UnitRun]] = {}
        for run in (*self.written(), *self._bitmaps.blank_runs(), *self._inodes.blank_runs()):
            found.setdefault(run.kind, []).append(run)
        return found

    def runs_of(self, kind: UnitKind) -> list[UnitRun]:
        """Return all units of a kind, including those that are all zeros."""
        return self._by_kind.get(kind, [])

    def find(self, kind: UnitKind, owner: int, number: int = 0) -> Unit | None:
        """Return one unit; None if the image does not have it."""
        for run in self.runs_of(kind):
            unit = run.find(owner, number)
            if unit is not None:
                return unit
        return None

    def of_owner(self, kinds: tuple[UnitKind, ...], owner: int) -> Iterator[Unit]:
        """Yield the units of these kinds that belong to ``owner``."""
        for kind in kinds:
            for run in self.runs_of(kind):
                yield from run.of_owner(owner)

    @cached_property
    def _descriptors(self) -> bytearray:
        return group_descriptors(self._layout, self._bitmaps)

    def _group_heads(self) -> Iterator[UnitRun]:
        """Yield the superblock and descriptors of each group that has them."""
        layout, fmt = self._layout, self._format
        groups = layout.geometry.groups
        for group in layout.geometry.super_groups:
            offset = fmt.super_offset(group)
            unit = Unit(UnitKind.SUPERBLOCK, group, 0, offset, SUPERBLOCK_SIZE)
            yield self._one(unit, partial(superblock, layout, group))
        for group in fmt.head_groups(groups):
            block = fmt.super_block(group) + fmt.has_super(group)
            together = fmt.desc_blocks_together(group, groups)
            if together:
                yield self._desc_blocks(group, range(together), block)
            if fmt.holds_meta_block(group):
                number = group // fmt.descs_per_block
                yield self._desc_blocks(group, range(number, number + 1), block)

    def _desc_blocks(self, group: int, numbers: range, block: int) -> UnitRun:
        """Return the descriptor blocks ``numbers``, stored in ``group`` starting at ``block``."""
        fmt, size = self._format, self._format.block_size
        first = numbers.start * fmt.descs_per_block
        end = min(numbers.stop * fmt.descs_per_block, self._layout.geometry.groups)
        start, stop = numbers.start * size, numbers.stop * size
        return UnitRun(
            UnitKind.GROUP_DESC,
            group,
            range(first, end),
            block * size,
            fmt.desc_size,
            end - first,
            lambda: memoryview(self._descriptors)[start:stop],
        )

    def _system_files(self) -> Iterator[UnitRun]:
        for unit in system_file_units(self._layout):
            assert unit.make is not None
            yield self._one(unit, unit.make)

    def _map_blocks(self) -> Iterator[UnitRun]:
        layout = self._layout
        for index, blocks in layout.placement.map_blocks.items():
            ino = layout.table.inos[index]
            generation = layout.inode_choices.generation(ino)
            mapping = layout.mapping_of(index)
            for unit in mapping.units(ino, layout.runs_of(index), blocks):
                assert unit.make is not None
                yield self._one(unit._replace(generation=generation), unit.make)

    def _xattr_blocks(self) -> Iterator[UnitRun]:
        """Yield the attribute blocks, adjacent ones as one run: each file may have a block."""
        layout = self._layout
        block_size, table = layout.block_size, layout.table
        blocks = layout.placement.xattr_blocks
        first_of = dict(zip(*(column[::-1] for column in self._xattr_columns()), strict=True))
        for span in _adjacent(blocks, PIECE_BYTES // block_size):
            owners = [table.inos[first_of[held]] for held in range(span.start, span.end)]
            run = UnitRun(
                UnitKind.XATTR_BLOCK,
                owners,
                0,
                blocks[span.start] * block_size,
                block_size,
                len(owners),
            )
            yield run._replace(make=partial(self._xattr_run, run, span.start))

    def _xattr_columns(self) -> tuple[list[int], list[int]]:
        """Return columns for the nodes with a block: the block's number and the node's index."""
        block_of = self._layout.xattrs.block_of
        return list(block_of.values()), list(block_of)

    def _xattr_run(self, run: UnitRun, first: int) -> memoryview:
        size = run.size
        view = self._workspace.zeroed(run.count * size)
        for position, unit in enumerate(run.units()):
            start = position * size
            view[start : start + size] = self._packer.block(first + position)
            checksum_unit(self._format, unit, view, start)
        return view

    def _verity_blocks(self) -> Iterator[UnitRun]:
        if not self._layout.verity:
            return iter(())
        from .verity import verity_runs  # imported late: few images have such files

        return verity_runs(self._layout)

    def _symlink_blocks(self) -> Iterator[UnitRun]:
        """Yield the blocks of symbolic links on demand, adjacent ones as one run."""
        layout = self._layout
        block_size, table = layout.block_size, layout.table
        block_of: dict[int, int] = {}
        for index in table.indexes_of(S_IFLNK):
            node = table.nodes[index]
            assert isinstance(node, Symlink)
            if len(node.target) > FAST_SYMLINK_MAX and index not in layout.inline:
                block_of[index] = layout.runs_of(index)[0].physical
        indexes = sorted(block_of, key=block_of.__getitem__)
        blocks = [block_of[index] for index in indexes]
        for span in _adjacent(blocks, PIECE_BYTES // block_size):
            held = indexes[span.start : span.end]
            yield UnitRun(
                UnitKind.SYMLINK_BLOCK,
                [table.inos[index] for index in held],
                0,
                blocks[span.start] * block_size,
                block_size,
                len(held),
                partial(self._targets, held),
            )

    def _targets(self, indexes: Sequence[int]) -> memoryview:
        """Build blocks with one target of a symbolic link in each; they have no checksums."""
        nodes, size = self._layout.table.nodes, self._layout.block_size
        view = self._workspace.zeroed(len(indexes) * size)
        for position, index in enumerate(indexes):
            node = nodes[index]
            assert isinstance(node, Symlink)
            start = position * size
            view[start : start + len(node.target)] = node.target
        return view

    def _one(self, unit: Unit, make: Make) -> UnitRun:
        """Return a run of one unit; ``make`` builds it without its checksum."""
        return UnitRun(*unit[:5], make=partial(self._checksummed, unit, make))

    def _checksummed(self, unit: Unit, make: Make) -> bytearray:
        data = bytearray(make())
        checksum_unit(self._format, unit, data)
        return data


def _adjacent(blocks: Sequence[int], most: int) -> Iterator[Span]:
    """Yield the positions of ascending ``blocks`` that are adjacent, at most ``most`` together."""
    first = 0
    for number in range(1, len(blocks) + 1):
        count = number - first
        if number == len(blocks) or count == most or blocks[number] != blocks[first] + count:
            yield Span(first, number)
            first = number
