"""Solves the size of an image: the smallest that holds the tree and what is promised free.

For a given number of groups everything that is not data is known, so the search runs over group
counts in ascending order, and inside one over the few stretches of sizes where the journal and the
reserved descriptors stay the same. In such a stretch the least size follows by arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import SizeError, SpecError
from ..ondisk.journal import JBD2_MIN_JOURNAL_BLOCKS, default_journal_blocks
from .geometry import MAX_32BIT_BLOCKS, Geometry, Rules
from .placement import Demand, Placement, place
from .policy import LayoutPolicy
from .spec import Spec

IMAGE_UNIT = 4096
"""A fitted image is a multiple of this many bytes, which every host and loop device likes."""

BYTES_PER_INODE = 16 * 1024
"""mke2fs's inode_ratio."""

# fs/ext4/super.c:ext4_calculate_resv_clusters: what no user can allocate, so that delayed
# allocation never fails.
KERNEL_RESERVE_DIVISOR = 50
KERNEL_RESERVE_MAX_BLOCKS = 4096

JBD2_MAX_JOURNAL_BLOCKS = 10_240_000
MAX_GROUPS = 1 << 31
MAX_INODES = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Inodes:
    """Demand for inodes: numbers up to ``last_ino`` are taken, ``free`` more are promised."""

    last_ino: int
    used: int
    free: int

    def needed(self) -> int:
        """Size of the inode tables; numbers that were left out below ``last_ino`` are free too."""
        holes = self.last_ino - self.used
        return self.last_ino + max(0, self.free - holes)


@dataclass(frozen=True, slots=True)
class Solution:
    """The size that was found, and where everything lies at that size."""

    geometry: Geometry
    placement: Placement
    demand: Demand
    reserved_blocks: int
    """s_r_blocks_count."""
    unused_tail: int
    """Bytes behind the last block that the file system can use."""


def kernel_reserve(blocks_count: int) -> int:
    """Blocks that the kernel keeps back from everyone on a mounted file system."""
    return min(blocks_count // KERNEL_RESERVE_DIVISOR, KERNEL_RESERVE_MAX_BLOCKS)


def superuser_reserve(blocks_count: int, spec: Spec) -> int:
    """s_r_blocks_count for the percentage that was asked for, rounded down as mke2fs does."""
    return int(blocks_count * spec.reserved_percent / 100)


def withheld(blocks_count: int, spec: Spec) -> int:
    """Free blocks that an ordinary user cannot have (fs/ext4/super.c:ext4_statfs, f_bavail)."""
    return kernel_reserve(blocks_count) + superuser_reserve(blocks_count, spec)


def solve(spec: Spec, demand: Demand, inodes: Inodes, policy: LayoutPolicy) -> Solution:
    """Find the geometry and place the tree in it.

    ``demand`` comes without journal. Raises :class:`SizeError` when a given size is too small and
    :class:`SpecError` when no size can be right.
    """
    if spec.size is not None:
        rules = Rules.of(spec, spec.size // spec.block_size)
        return _fixed(spec, rules, demand, inodes, policy)
    rules = Rules.of(spec, demand.least_blocks() + spec.free // spec.block_size)
    return _fitted(spec, rules, demand, inodes, policy)


def _grow_to_blocks(spec: Spec) -> int | None:
    return None if spec.grow_to is None else -(-spec.grow_to // spec.block_size)


def journal_blocks(spec: Spec, blocks_count: int) -> int:
    """Blocks of the journal in an image of ``blocks_count`` blocks; 0 is none."""
    if "has_journal" not in spec.features or spec.journal == "none":
        return 0
    if spec.journal == "auto":
        return default_journal_blocks(blocks_count)
    assert isinstance(spec.journal, int)
    blocks = -(-spec.journal // spec.block_size)
    if not JBD2_MIN_JOURNAL_BLOCKS <= blocks <= JBD2_MAX_JOURNAL_BLOCKS:
        raise SpecError(
            "journal",
            f"{spec.journal} bytes are not between {JBD2_MIN_JOURNAL_BLOCKS * spec.block_size} "
            f"and {JBD2_MAX_JOURNAL_BLOCKS * spec.block_size}, the limits for this block size",
        )
    return blocks


def _with_journal(demand: Demand, blocks: int) -> Demand:
    return Demand(
        demand.counts,
        demand.ranges,
        demand.directories,
        demand.xattr_blocks,
        blocks,
        demand.block_size,
    )


# -- a fitted image ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Sizes from ``low`` to ``high`` blocks at which all fixed metadata is the same."""

    low: int
    high: int
    inodes_per_group: int
    reserved_gdt_blocks: int
    journal_blocks: int


def _fitted(
    spec: Spec, rules: Rules, demand: Demand, inodes: Inodes, policy: LayoutPolicy
) -> Solution:
    free_blocks = -(-spec.free // spec.block_size)
    unit = max(1, IMAGE_UNIT // spec.block_size)
    floor = demand.least_blocks() + free_blocks
    for stretch in _stretches(spec, rules, inodes, floor):
        least = _least_size(spec, rules, stretch, demand.least_blocks(), free_blocks)
        if max(least, stretch.low) > stretch.high:
            continue
        geometry = _geometry(rules, stretch, stretch.high)
        if geometry is None:
            continue
        wanted = _with_journal(demand, stretch.journal_blocks)
        placement = place(geometry, wanted, policy, spare=free_blocks)
        if placement is None:
            continue
        used = placement.used - wanted.journal_blocks - int(rules.resize_inode)
        size = max(
            _least_size(spec, rules, stretch, used, free_blocks),
            placement.high_water,
            stretch.low,
        )
        size = -(-size // unit) * unit
        if size > stretch.high:
            continue
        final = _geometry(rules, stretch, size)
        if final is None:
            continue
        return Solution(final, _clip(placement, size), wanted, superuser_reserve(size, spec), 0)
    raise AssertionError("the stretches never end")


def _stretches(spec: Spec, rules: Rules, inodes: Inodes, floor: int) -> Iterator[_Stretch]:
    """All sizes that the rules allow, ascending, cut where fixed metadata changes."""
    grow_to = _grow_to_blocks(spec)
    needed = inodes.needed()
    limit = spec_limit_blocks(spec)
    groups = max(
        1,
        -(-needed // rules.max_inodes_per_group),
        rules.groups_for(max(floor, rules.first_data_block + 1)),
    )
    while True:
        per_group = rules.inodes_per_group(needed, groups)
        first = rules.first_data_block + (groups - 1) * rules.blocks_per_group
        end = min(first + rules.blocks_per_group, limit)
        if first >= limit:
            raise SpecError(
                "features",
                f"the tree needs more than {limit} blocks; add 64bit or larger blocks",
            )
        if groups > MAX_GROUPS:
            raise SpecError("block_size", "the tree is larger than any file system of this kind")
        if per_group <= rules.max_inodes_per_group:
            low = first + 1
            while low <= end:
                reserved = rules.reserved_gdt_blocks(low, grow_to)
                journal = journal_blocks(spec, low)
                high = _last_alike(spec, rules, low, end, grow_to, reserved, journal)
                head = 1 + rules.gdt_blocks(groups) + reserved
                table = rules.inode_table_blocks(per_group)
                if head > rules.blocks_per_group * 3 // 4:
                    raise SpecError(
                        "features",
                        "descriptors and their reserve would fill a whole group; "
                        "lower the size to grow to or choose larger blocks",
                    )
                least = first + rules.last_group_minimum(groups, table, head)
                if max(low, least) <= high:
                    yield _Stretch(max(low, least), high, per_group, reserved, journal)
                low = high + 1
        groups += 1


def _last_alike(
    spec: Spec,
    rules: Rules,
    low: int,
    end: int,
    grow_to: int | None,
    reserved: int,
    journal: int,
) -> int:
    """The largest size up to ``end`` with the reserve and the journal of size ``low``.

    Both only grow with the size inside one group count, so that bisection finds where they do.
    """

    def alike(size: int) -> bool:
        return (
            rules.reserved_gdt_blocks(size, grow_to) == reserved
            and journal_blocks(spec, size) == journal
        )

    high = end
    if alike(high):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if alike(middle):
            low = middle
        else:
            high = middle
    return low


def _least_size(
    spec: Spec, rules: Rules, stretch: _Stretch, data_blocks: int, free_blocks: int
) -> int:
    """The least size in blocks that leaves ``free_blocks`` for every user, in this stretch."""
    used = _least_used(rules, stretch, data_blocks)
    # What is withheld grows with the size, but slower than the size: bisection finds the least.
    low, high = used + free_blocks, 2 * (used + free_blocks) + 2 * KERNEL_RESERVE_MAX_BLOCKS
    while high - withheld(high, spec) < used + free_blocks:
        high *= 2
    while low < high:
        middle = (low + high) // 2
        if middle - withheld(middle, spec) >= used + free_blocks:
            high = middle
        else:
            low = middle + 1
    return low


def _geometry(rules: Rules, stretch: _Stretch, blocks_count: int) -> Geometry | None:
    return Geometry.lay_out(
        rules, blocks_count, stretch.inodes_per_group, stretch.reserved_gdt_blocks
    )


def _clip(placement: Placement, blocks_count: int) -> Placement:
    placement.free_ranges = [
        (first, min(behind, blocks_count))
        for first, behind in placement.free_ranges
        if first < blocks_count
    ]
    return placement


def spec_limit_blocks(spec: Spec) -> int:
    """The most blocks a file system with these features can have."""
    return (1 << 48) - 1 if "64bit" in spec.features else MAX_32BIT_BLOCKS


# -- an image of a given size ------------------------------------------------------------------


def _fixed(
    spec: Spec, rules: Rules, demand: Demand, inodes: Inodes, policy: LayoutPolicy
) -> Solution:
    assert spec.size is not None
    if spec.size % 512:
        raise SpecError("size", f"{spec.size} is no multiple of 512")
    blocks_count = spec.size // spec.block_size
    if blocks_count > spec_limit_blocks(spec):
        raise SpecError(
            "size", f"{blocks_count} blocks are more than {spec_limit_blocks(spec)}; add 64bit"
        )
    least = _least_fixed_inodes(spec, inodes)
    attempt = _try_size(spec, rules, blocks_count, least, demand, policy)
    if isinstance(attempt, _Shortage):
        raise _too_small(spec, rules, blocks_count, demand, inodes, attempt)
    if spec.free_inodes is None:
        # Beyond what the tree needs: one inode for each 16 KiB that is free, as mke2fs has it,
        # counting what the larger tables themselves take.
        free_bytes = sum(behind - first for first, behind in attempt.placement.free_ranges)
        free_bytes *= spec.block_size
        extra = free_bytes // (BYTES_PER_INODE + spec.inode_size)
        groups = attempt.geometry.groups
        # s_inodes_count has 32 bits.
        per_group = MAX_INODES // groups // rules.inode_unit * rules.inode_unit
        most = groups * min(rules.max_inodes_per_group, per_group)
        richer = _try_size(spec, rules, blocks_count, min(least + extra, most), demand, policy)
        if isinstance(richer, Solution):
            return richer
    return attempt


def _least_fixed_inodes(spec: Spec, inodes: Inodes) -> int:
    free = spec.free_inodes or 0
    return Inodes(inodes.last_ino, inodes.used, free).needed()


@dataclass(frozen=True, slots=True)
class _Shortage:
    """Why a size does not do."""

    reason: str


def _try_size(
    spec: Spec,
    rules: Rules,
    blocks_count: int,
    inodes: int,
    demand: Demand,
    policy: LayoutPolicy,
) -> Solution | _Shortage:
    blocks, tail = blocks_count, spec.size or 0
    while True:
        groups = rules.groups_for(blocks)
        if groups < 1:
            return _Shortage("holds no block group")
        per_group = rules.inodes_per_group(inodes, groups)
        if per_group > rules.max_inodes_per_group:
            return _Shortage(f"has room for {groups * rules.max_inodes_per_group} inodes only")
        if per_group * groups > MAX_INODES:
            return _Shortage(f"would need {per_group * groups} inodes, more than 32 bits count")
        reserved = rules.reserved_gdt_blocks(blocks, _grow_to_blocks(spec))
        head = 1 + rules.gdt_blocks(groups) + reserved
        first = rules.first_data_block + (groups - 1) * rules.blocks_per_group
        least = rules.last_group_minimum(groups, rules.inode_table_blocks(per_group), head)
        if blocks - first >= least:
            break
        # The last group is too small for its metadata: leave it out, as mke2fs does.
        blocks = first
    geometry = Geometry.lay_out(rules, blocks, per_group, reserved)
    if geometry is None:
        return _Shortage("has no room for descriptors, bitmaps and inode tables")
    wanted = _with_journal(demand, journal_blocks(spec, blocks))
    spare = max(0, blocks - geometry.fixed_blocks - wanted.least_blocks()) // 2
    placement = place(geometry, wanted, policy, spare=spare)
    if placement is None:
        return _Shortage("has no room for the data")
    return Solution(
        geometry,
        placement,
        wanted,
        superuser_reserve(blocks, spec),
        tail - blocks * spec.block_size,
    )


def _too_small(
    spec: Spec,
    rules: Rules,
    blocks_count: int,
    demand: Demand,
    inodes: Inodes,
    shortage: _Shortage,
) -> SizeError:
    """Say by how much ``spec.size`` is too small and where the space would go."""
    assert spec.size is not None
    block_size = spec.block_size
    floor = demand.least_blocks()
    needed = Inodes(inodes.last_ino, inodes.used, spec.free_inodes or 0)
    for stretch in _stretches(spec, rules, needed, floor):
        least = max(_least_used(rules, stretch, floor), stretch.low)
        if least <= stretch.high:
            break
    size = max(least, blocks_count + 1) * block_size
    tables = rules.inode_table_blocks(stretch.inodes_per_group) * rules.groups_for(least)
    data = sum(demand.counts)
    directories = sum(demand.counts[index] for index in demand.directories)
    parts = {
        "data": data - directories,
        "directories": directories,
        "xattr blocks": demand.xattr_blocks,
        "inode tables": tables,
        "journal": stretch.journal_blocks,
    }
    parts["descriptors and bitmaps"] = least - sum(parts.values())
    where = ", ".join(f"{name} {blocks * block_size}" for name, blocks in parts.items() if blocks)
    return SizeError(
        f"size: {spec.size} bytes are {size - spec.size} too few: it {shortage.reason}; "
        f"at least {size} bytes are needed ({where})",
        missing_bytes=size - spec.size,
    )


def _least_used(rules: Rules, stretch: _Stretch, data_blocks: int) -> int:
    """Blocks in use in this stretch; ``data_blocks`` is all that the tree itself needs."""
    groups = rules.groups_for(stretch.high)
    return (
        rules.first_data_block
        + len(rules.super_groups(groups))
        * (1 + rules.gdt_blocks(groups) + stretch.reserved_gdt_blocks)
        + groups * (2 + rules.inode_table_blocks(stretch.inodes_per_group))
        + int(rules.resize_inode)
        + stretch.journal_blocks
        + data_blocks
    )
