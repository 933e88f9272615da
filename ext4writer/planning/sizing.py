"""Finds the size of an image: the smallest that holds the tree and the promised free space.

For a given number of groups, almost all metadata is known. So the search tries group counts in
ascending order, and for each of them the few ranges of sizes ("stretches") in which the journal and
the reserved descriptors have the same size. The smallest size in a stretch can be computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..arithmetic import ceil_div, round_down, round_up
from ..errors import SizeError, SpecError
from ..late_dataclasses import NamedTuple, replace
from ..ondisk.format import MAX_32BIT_BLOCKS, Format
from ..spans import Span
from .geometry import (
    Geometry,
    last_group_minimum,
    least_inodes_per_group,
)
from .placement import Demand, Placement, place
from .policy import LayoutPolicy
from .solution import Solution
from .spec import DEFAULT_FREE, IMAGE_UNIT, Spec, format_of
from .system_files import SystemFile, SystemSizes, system_files, system_sizes
from .system_files.resize_inode import last_with_reserve, reserved_gdt_blocks

# fs/ext4/super.c:ext4_calculate_resv_clusters: one in 50 clusters, which no user can allocate, so
# that delayed allocation never fails.
KERNEL_RESERVE_DIVISOR = 50
KERNEL_RESERVE_MAX_CLUSTERS = 4096

MAX_INODES = (1 << 32) - 1


class Inodes(NamedTuple):
    """The inodes that are needed: numbers up to ``last_ino``, and ``free`` more."""

    last_ino: int
    used: int
    free: int

    def needed(self) -> int:
        """Inodes that the tables must hold; unused numbers below ``last_ino`` count as free."""
        holes = self.last_ino - self.used
        return self.last_ino + max(0, self.free - holes)


def kernel_reserve(fmt: Format, blocks_count: int) -> int:
    """Return the blocks that the kernel reserves on a mounted file system; 0 without extents."""
    clusters = blocks_count // fmt.blocks_per_cluster
    reserved = min(clusters // KERNEL_RESERVE_DIVISOR, KERNEL_RESERVE_MAX_CLUSTERS)
    return reserved * fmt.blocks_per_cluster if fmt.extent else 0


def superuser_reserve(blocks_count: int, spec: Spec) -> int:
    """Return s_r_blocks_count; a percentage is rounded down, as in mke2fs."""
    if spec.reserved_blocks is not None:
        return spec.reserved_blocks
    return int(blocks_count * spec.reserved_percent / 100)


def unavailable_blocks(fmt: Format, blocks_count: int, spec: Spec) -> int:
    """Return the free blocks that users cannot allocate (fs/ext4/super.c:ext4_statfs, f_bavail)."""
    return kernel_reserve(fmt, blocks_count) + superuser_reserve(blocks_count, spec)


def promised_blocks(spec: Spec) -> int:
    """Return the blocks of free space that are promised to every user."""
    return ceil_div(spec.fitted_free, spec.block_size)


def kept_free(fmt: Format, blocks_count: int, spec: Spec) -> int:
    """Return the blocks that a fitted image of this size must leave free.

    If no free space is promised, the kernel's reserve needs no blocks: it reserves what there is.
    """
    promised = promised_blocks(spec)
    if not promised and not superuser_reserve(blocks_count, spec):
        return 0
    return promised + unavailable_blocks(fmt, blocks_count, spec)


def solve(spec: Spec, demand: Demand, inodes: Inodes, policy: LayoutPolicy) -> Solution:
    """Find the geometry and place the tree in it.

    ``demand`` does not include the files whose size depends on that of the image. Raises
    :class:`SizeError` if a given size is too small and :class:`SpecError` if no size can satisfy
    the Spec.
    """
    solution = _solve(spec, demand, inodes, policy)
    fmt = solution.geometry.format
    if spec.first_meta_bg > fmt.first_meta_bg:
        raise SpecError(
            "first_meta_bg",
            f"{spec.first_meta_bg} blocks of descriptors are more than the image has; choose "
            f"{fmt.first_meta_bg} at most",
        )
    return solution


class _DescriptorsTooLargeError(Exception):
    """Descriptors fill more than three quarters of a group."""

    def __init__(self, groups: int) -> None:
        super().__init__(groups)
        self.groups = groups


def _solve(spec: Spec, demand: Demand, inodes: Inodes, policy: LayoutPolicy) -> Solution:
    if spec.size is not None:
        fmt = format_of(spec, spec.size // spec.block_size)
        try:
            return _fixed(spec, fmt, demand, inodes, policy)
        except _DescriptorsTooLargeError as error:
            fmt = _with_meta_bg(fmt, error.groups)
            return _fixed(spec, fmt, demand, inodes, policy)
    fmt = format_of(spec, demand.least_blocks() + promised_blocks(spec))
    try:
        solution = _fitted(spec, fmt, demand, inodes, policy)
        blocks_count = solution.geometry.blocks_count
        if fmt.resize_inode and blocks_count > MAX_32BIT_BLOCKS:
            fmt = format_of(spec, blocks_count)
            solution = _fitted(spec, fmt, demand, inodes, policy, above=MAX_32BIT_BLOCKS)
    except _DescriptorsTooLargeError as error:
        too_small = fmt.group_first_block(error.groups - 1)
        fmt = _with_meta_bg(fmt, error.groups)
        solution = _fitted(spec, fmt, demand, inodes, policy, above=too_small)
    return solution


def _with_meta_bg(fmt: Format, groups: int) -> Format:
    """Return the format that mke2fs chooses if descriptors do not fit into the first group."""
    # lib/ext2fs/initialize.c:ext2fs_initialize, "more than 3/4 of a BG"
    if fmt.meta_bg:
        raise SpecError(
            "first_meta_bg",
            f"{fmt.of_groups(groups).first_meta_bg} blocks of descriptors would fill a group of "
            f"{fmt.blocks_per_group} blocks; choose less than {fmt.blocks_per_group * 3 // 4}",
        )
    return fmt.with_meta_bg()


def _grow_to_blocks(spec: Spec) -> int | None:
    return None if spec.grow_to is None else ceil_div(spec.grow_to, spec.block_size)


def _reserved_gdt_blocks(spec: Spec, fmt: Format, blocks_count: int) -> int:
    if spec.reserved_gdt_blocks is not None:
        return spec.reserved_gdt_blocks if fmt.resize_inode else 0
    at_least = ceil_div(spec.grow_at_least, spec.block_size)
    return reserved_gdt_blocks(fmt, blocks_count, _grow_to_blocks(spec), at_least)


def _inodes_per_group(spec: Spec, fmt: Format, inodes: int, groups: int) -> int:
    """Return the count per group for ``inodes`` in total that satisfies ``inode_ratio``.

    It may exceed the maximum because of ``inodes``; raises :class:`SpecError` if it would because
    of the ratio.
    """
    needed = least_inodes_per_group(fmt, inodes, groups)
    ratio, group_bytes = spec.bytes_per_inode, fmt.blocks_per_group * fmt.block_size
    if not ratio:
        return needed
    wanted = least_inodes_per_group(fmt, ceil_div(group_bytes, ratio), 1)
    if spec.inode_ratio is None:
        wanted = min(wanted, fmt.max_inodes_per_group)
    if wanted > fmt.max_inodes_per_group:
        raise SpecError(
            "inode_ratio",
            f"{ratio} would put {wanted} inodes into a group, which holds "
            f"{fmt.max_inodes_per_group}; choose "
            f"{ceil_div(group_bytes, fmt.max_inodes_per_group)} bytes or more",
        )
    # s_inodes_count has 32 bits.
    most = round_down(MAX_INODES // groups, fmt.inode_unit)
    return max(needed, min(wanted, most))


# -- a fitted image ----------------------------------------------------------------------------


class _Stretch(NamedTuple):
    """Sizes from ``low`` to ``high`` blocks with the same fixed metadata."""

    low: int
    high: int
    inodes_per_group: int
    reserved_gdt_blocks: int
    system_files: tuple[SystemFile, ...]


def _fitted(
    spec: Spec,
    fmt: Format,
    demand: Demand,
    inodes: Inodes,
    policy: LayoutPolicy,
    *,
    above: int = 0,
    unit: int | None = None,
) -> Solution:
    """Return the smallest image with more than ``above`` blocks, in whole units of ``unit`` bytes.

    ``None`` means the unit of the Spec.
    """
    unit = unit or spec.align or IMAGE_UNIT
    # e2fsck/super.c:check_super_block accepts at most half of the blocks for the superuser.
    above = max(above, 2 * (spec.reserved_blocks or 0) - 1)
    floor = max(demand.least_blocks() + promised_blocks(spec), above + 1)

    def solutions(stretches: Iterable[_Stretch]) -> Iterator[Solution]:
        for stretch in stretches:
            found = _in_stretch(spec, fmt, demand, inodes, policy, stretch, above, unit)
            if found is not None:
                yield found

    first = next(solutions(_stretches(spec, fmt, inodes, floor)))
    if _fills(first, unit):
        return first
    # The file system does not fill its image of whole units; with more groups, it may. With a large
    # unit there are many group counts, but only the last ones can fill the image. The others only
    # matter if none of those works.
    end = first.image_bytes // spec.block_size
    slack = max(IMAGE_UNIT, fmt.cluster_size) // spec.block_size
    least, most = first.geometry.groups, fmt.groups_for(end)
    groups = max(least, fmt.groups_for(max(end - slack, fmt.first_data_block + 1)))
    last = range(groups, most + 1)
    best: Solution | None = None
    for number in (*last, *range(groups - 1, least - 1, -1)):
        if number < groups and best is not None:
            break
        for found in solutions(_of_groups(spec, fmt, inodes, number, floor)):
            if found.image_bytes > first.image_bytes:
                break
            best = found
            if _fills(found, unit):
                return found
    return best or first


def _fills(solution: Solution, unit: int) -> bool:
    """Whether the file system fills its image of whole units or cannot be larger."""
    fmt = solution.geometry.format
    if solution.unused_tail < max(IMAGE_UNIT, fmt.cluster_size):
        return True
    return solution.geometry.blocks_count >= _in_units(fmt, fmt.max_blocks, unit)


def _in_stretch(
    spec: Spec,
    fmt: Format,
    demand: Demand,
    inodes: Inodes,
    policy: LayoutPolicy,
    stretch: _Stretch,
    above: int,
    unit: int,
) -> Solution | None:
    """Return the smallest image of this stretch as in :func:`_fitted`, if there is one."""
    ratio = fmt.blocks_per_cluster
    low = max(stretch.low, above + 1)
    least = _least_size(spec, fmt, stretch, demand.least_blocks(), low)
    if least > stretch.high:
        return None
    # If metadata in the policy's order does not fit, it has the usual order.
    mixing: LayoutPolicy | None = policy
    geometry = _geometry(spec, fmt, stretch, stretch.high, mixing)
    if geometry is None and policy.moves_metadata:
        mixing = None
        geometry = _geometry(spec, fmt, stretch, stretch.high, mixing)
    if geometry is None:
        return None
    wanted = demand.with_files(stretch.system_files)
    # These blocks stay free in any case, so gaps may take them.
    placement = place(geometry, wanted, policy, spare=kept_free(fmt, least, spec))
    if placement is None:
        return None
    used = placement.used * ratio - _system_blocks(fmt, stretch) + geometry.rounding_blocks
    low = max(low, placement.high_water * ratio)
    size = _least_size(spec, fmt, stretch, used, low, unit)
    if size > stretch.high:
        # The image must be a whole number of units, the file system need not.
        if _least_size(spec, fmt, stretch, used, low) > stretch.high:
            return None
        size = round_down(stretch.high, ratio)
    final = _geometry(spec, fmt, stretch, size, mixing)
    if final is None:
        return None
    if mixing is not None and mixing.moves_metadata and not final.agrees_with(geometry):
        # Files are already placed between the metadata.
        from .plain import shown  # imported late: only messages need it

        raise SpecError(
            "policy",
            f"fresh of {shown(policy.name)} returned a policy that puts metadata elsewhere than "
            "before; it must return one that makes the same choices each time",
        )
    reserved = superuser_reserve(size, spec)
    tail = -size * fmt.block_size % unit
    needed = least_inodes_per_group(fmt, inodes.needed(), final.groups)
    return Solution(final, _clip(placement, size // ratio), wanted, reserved, tail, needed)


def _stretches(spec: Spec, fmt: Format, inodes: Inodes, floor: int) -> Iterator[_Stretch]:
    """Yield all sizes that the format allows, ascending, split where fixed metadata changes."""
    needed = inodes.needed()
    unit = fmt.inode_unit
    if round_up(needed, unit) > MAX_INODES:
        most = round_down(MAX_INODES, unit)
        problem = f"{needed} inodes are needed; the maximum is {most}"
        raise SpecError(_asking_most(spec, of_inodes=True), problem)
    groups_for_inodes = ceil_div(needed, fmt.max_inodes_per_group)
    groups_for_blocks = fmt.groups_for(max(floor, fmt.first_data_block + 1))
    groups = max(1, groups_for_inodes, groups_for_blocks)
    while True:
        inodes_each = least_inodes_per_group(fmt, needed, groups)
        if inodes_each > unit and inodes_each * groups > MAX_INODES:
            # With as many inodes in each, more groups would exceed the maximum even further.
            groups = ceil_div(needed, inodes_each - unit)
            continue
        yield from _of_groups(spec, fmt, inodes, groups, floor)
        groups += 1


def _of_groups(
    spec: Spec, fmt: Format, inodes: Inodes, groups: int, floor: int
) -> Iterator[_Stretch]:
    """Yield all sizes of ``groups`` groups from ``floor`` blocks on, ascending."""
    limit = fmt.max_blocks
    per_group = _inodes_per_group(spec, fmt, inodes.needed(), groups)
    first = fmt.first_data_block + (groups - 1) * fmt.blocks_per_group
    end = min(first + fmt.blocks_per_group, limit)
    if first >= limit:
        problem = f"more than {limit} blocks are needed"
        raise _too_many_blocks(_asking_most(spec), problem, fmt)
    _check_groups(_asking_most(spec), fmt, groups)
    if per_group > fmt.max_inodes_per_group:
        return
    low = max(first + 1, floor)
    while low <= end:
        reserved = _reserved_gdt_blocks(spec, fmt, low)
        sizes = system_sizes(spec, fmt, low, reserved)
        high = _last_alike(spec, fmt, low, end, sizes)
        _check_head(fmt, groups, reserved)
        table = fmt.inode_table_blocks(per_group)
        least = first + last_group_minimum(fmt, groups, table, reserved)
        if max(low, least) <= high and per_group * groups <= MAX_INODES:
            files = system_files(fmt, groups, sizes)
            yield _Stretch(max(low, least), high, per_group, reserved, files)
        low = high + 1


def _check_head(fmt: Format, groups: int, reserved_gdt_blocks: int) -> None:
    """Raise an error for descriptors that fill more than three quarters of a group."""
    head = fmt.of_groups(groups).head_blocks(0, groups, reserved_gdt_blocks)
    if head - 1 > fmt.blocks_per_group * 3 // 4:
        raise _DescriptorsTooLargeError(groups)


def _last_alike(spec: Spec, fmt: Format, low: int, end: int, sizes: SystemSizes) -> int:
    """Return the largest size up to ``end`` for which system files have the same ``sizes``.

    ``low`` has these sizes, too. Within one group count they only grow with the size, so bisection
    finds where they change.
    """
    reserved = sizes.reserved_gdt_blocks

    def alike(size: int) -> bool:
        return (
            _reserved_gdt_blocks(spec, fmt, size) == reserved
            and system_sizes(spec, fmt, size, reserved) == sizes
        )

    high = end
    if alike(high):
        return high
    # Most often it is the reserve that changes first.
    likely = last_with_reserve(fmt, low, _grow_to_blocks(spec))
    if low < likely < high and alike(likely):
        low = likely
        if not alike(low + 1):
            return low
    while high - low > 1:
        middle = (low + high) // 2
        if alike(middle):
            low = middle
        else:
            high = middle
    return low


def _least_size(
    spec: Spec, fmt: Format, stretch: _Stretch, data_blocks: int, low: int, unit: int = 1
) -> int:
    """Return the smallest size in blocks, at least ``low``, that keeps the promises in a stretch.

    The result is what fits into whole units of ``unit`` bytes.
    """
    used = _least_used(fmt, stretch, data_blocks)
    size = 0
    while True:
        # The required free space never shrinks as the size grows. So no round exceeds the answer,
        # and the first fixed point is the answer.
        blocks = max(low, used + kept_free(fmt, size, spec))
        whole = fmt.clusters_for(blocks) * fmt.cluster_size
        needed = round_up(whole, unit) // fmt.cluster_size * fmt.blocks_per_cluster
        if needed == size:
            return size
        size = needed


def _in_units(fmt: Format, blocks: int, unit: int) -> int:
    """Return the most blocks, in whole clusters, that fit into whole units within ``blocks``."""
    size = round_down(blocks * fmt.block_size, unit)
    return size // fmt.cluster_size * fmt.blocks_per_cluster


def _geometry(
    spec: Spec, fmt: Format, stretch: _Stretch, blocks_count: int, policy: LayoutPolicy | None
) -> Geometry | None:
    arguments = fmt, blocks_count, stretch.inodes_per_group, stretch.reserved_gdt_blocks
    packed = spec.packed_meta_blocks
    bad = next((file.places for file in stretch.system_files if file.places), ())
    mixing = policy.fresh() if policy is not None and policy.moves_metadata else None
    geometry = Geometry.lay_out(
        *arguments,
        packed=packed,
        bad_blocks=bad,
        policy=mixing,
        like_mke2fs=spec.group_tables == "mke2fs",
        stride=spec.raid_stride,
    )
    if geometry is None and bad and Geometry.lay_out(*arguments, packed=packed) is not None:
        raise SpecError("bad_blocks", "leave no room between them for bitmaps and inode tables")
    return geometry


def _asking_most(spec: Spec, *, of_inodes: bool = False) -> str:
    """Return the option that accounts for most of the size, or of the inodes, of a fitted image."""
    promised = spec.free or DEFAULT_FREE
    inodes = "inodes" if spec.inodes is not None else "free_inodes"
    count: int = getattr(spec, inodes) or 0
    if count and (of_inodes or count * spec.inode_size > promised):
        return inodes
    others = {
        "reserved_blocks": (spec.reserved_blocks or 0) * spec.block_size,
        "lost_and_found_size": spec.lost_and_found_size,
    }
    most = max(others, key=lambda name: others[name])
    if others[most] > promised:
        return most
    return "free_percent" if spec.free_percent and not spec.free else "free"


def _clip(placement: Placement, clusters: int) -> Placement:
    placement.free_ranges = [
        Span(first, min(end, clusters)) for first, end in placement.free_ranges if first < clusters
    ]
    return placement


def _check_groups(option: str, fmt: Format, groups: int) -> None:
    """Raise :class:`SpecError` for more groups than the 32 bits of s_inodes_count allow."""
    if groups * fmt.inode_unit > MAX_INODES:
        raise SpecError(
            option,
            f"{groups} groups of {fmt.blocks_per_group} blocks are needed, with "
            f"{fmt.inode_unit} inodes or more in each; the maximum is {MAX_INODES} inodes in all",
        )


def _too_many_blocks(option: str, problem: str, fmt: Format) -> SpecError:
    needed = "64bit" if fmt.extent else "64bit,extent"
    hint = "choose less" if fmt.is_64bit else f"add {needed} or larger blocks"
    return SpecError(option, f"{problem}; {hint}")


# -- an image of a given size ------------------------------------------------------------------


def _fixed(
    spec: Spec, fmt: Format, demand: Demand, inodes: Inodes, policy: LayoutPolicy
) -> Solution:
    assert spec.size is not None
    if spec.size % 512:
        raise SpecError("size", f"{spec.size} is not a multiple of 512")
    blocks_count = spec.size // spec.block_size
    if blocks_count > fmt.max_blocks:
        problem = f"{blocks_count} blocks are more than {fmt.max_blocks}"
        raise _too_many_blocks("size", problem, fmt)
    _check_groups("size", fmt, fmt.groups_for(blocks_count))
    if spec.reserved_blocks is not None and spec.reserved_blocks > blocks_count // 2:
        raise SpecError(
            "reserved_blocks",
            f"{spec.reserved_blocks} of {blocks_count} blocks are more than half",
        )
    least = _fixed_inodes(spec, inodes).needed()
    if spec.free_inodes is None and spec.inodes is None:
        plenty = _plenty_of_inodes(spec, fmt, blocks_count, least, demand)
        if plenty > least:
            richer = _try_size(spec, fmt, blocks_count, plenty, demand, policy)
            if isinstance(richer, Solution):
                return richer
    attempt = _try_size(spec, fmt, blocks_count, least, demand, policy)
    if isinstance(attempt, _Shortage):
        raise _too_small(spec, fmt, demand, inodes, policy, attempt)
    return attempt


def _missing_blocks(spec: Spec, solution: Solution) -> int:
    """Return the free blocks that an image of a given size lacks to keep explicit promises."""
    if not spec.free:
        return 0
    fmt = solution.geometry.format
    free = sum(end - first for first, end in solution.placement.free_ranges)
    kept = kept_free(fmt, solution.geometry.blocks_count, spec)
    return kept - free * fmt.blocks_per_cluster


def _plenty_of_inodes(
    spec: Spec, fmt: Format, blocks_count: int, least: int, demand: Demand
) -> int:
    """Return ``least`` plus one inode for each 16 KiB of free space, as in mke2fs.

    This allows for the larger tables themselves, but not for extent trees.
    """
    stretch = _stretch_of(spec, fmt, blocks_count, least)
    if isinstance(stretch, _Shortage):
        return least
    free_blocks = stretch.high - _least_used(fmt, stretch, demand.least_blocks())
    extra = max(0, free_blocks) * spec.block_size // (spec.usual_inode_ratio + spec.inode_size)
    groups = fmt.groups_for(stretch.high)
    # s_inodes_count has 32 bits.
    per_group = round_down(MAX_INODES // groups, fmt.inode_unit)
    return min(least + extra, groups * min(fmt.max_inodes_per_group, per_group))


def _fixed_inodes(spec: Spec, inodes: Inodes) -> Inodes:
    """Return the inodes that an image of a given size needs: those in use, and promised ones."""
    if spec.free_inodes is None and spec.inodes is None and spec.free is None:
        return inodes._replace(free=0)
    return inodes


class _Shortage(NamedTuple):
    """Why a size is too small."""

    reason: str


def _stretch_of(spec: Spec, fmt: Format, blocks_count: int, inodes: int) -> _Stretch | _Shortage:
    """Return the stretch of the single size ``blocks_count`` with ``inodes`` inodes."""
    blocks = round_down(blocks_count, fmt.blocks_per_cluster)
    while True:
        groups = fmt.groups_for(blocks)
        if groups < 1:
            return _Shortage("holds no block group")
        per_group = _inodes_per_group(spec, fmt, inodes, groups)
        if per_group > fmt.max_inodes_per_group:
            return _Shortage(f"has room for only {groups * fmt.max_inodes_per_group} inodes")
        if per_group * groups > MAX_INODES:
            return _Shortage(f"would need {per_group * groups} inodes, more than 32 bits can count")
        reserved = _reserved_gdt_blocks(spec, fmt, blocks)
        _check_head(fmt, groups, reserved)
        first = fmt.first_data_block + (groups - 1) * fmt.blocks_per_group
        least = last_group_minimum(fmt, groups, fmt.inode_table_blocks(per_group), reserved)
        if blocks - first >= least:
            files = system_files(fmt, groups, system_sizes(spec, fmt, blocks, reserved))
            return _Stretch(blocks, blocks, per_group, reserved, files)
        # The last group is too small for its metadata: leave it out, as mke2fs does.
        blocks = first


def _try_size(
    spec: Spec,
    fmt: Format,
    blocks_count: int,
    inodes: int,
    demand: Demand,
    policy: LayoutPolicy,
) -> Solution | _Shortage:
    stretch = _stretch_of(spec, fmt, blocks_count, inodes)
    if isinstance(stretch, _Shortage):
        return stretch
    blocks = stretch.high
    # As in :func:`_in_stretch`.
    geometry = _geometry(spec, fmt, stretch, blocks, policy)
    if geometry is None and policy.moves_metadata:
        geometry = _geometry(spec, fmt, stretch, blocks, None)
    if geometry is None:
        return _Shortage("has no room for descriptors, bitmaps and inode tables")
    wanted = demand.with_files(stretch.system_files)
    spare = max(0, blocks - geometry.fixed_blocks - wanted.least_blocks())
    missing: int | None = None
    # Extent trees may need the spare blocks. In a fitted image, promised blocks are spare.
    for left in (spare // 2, *([min(spare, kept_free(fmt, blocks, spec))] if spec.free else []), 0):
        placement = place(geometry, wanted, policy, spare=left)
        if placement is None:
            continue
        solution = Solution(
            geometry,
            placement,
            wanted,
            superuser_reserve(blocks, spec),
            (spec.size or 0) - blocks * spec.block_size,
            least_inodes_per_group(fmt, inodes, geometry.groups),
        )
        lacks = _missing_blocks(spec, solution)
        if lacks <= 0:
            return solution
        missing = lacks if missing is None else min(missing, lacks)
    if missing is None:
        return _Shortage("has no room for the data")
    most = (promised_blocks(spec) - missing) * spec.block_size
    hint = f" (at most {most} can)" if most > 0 else ""
    return _Shortage(f"has no room for the data and the {spec.free} bytes to stay free{hint}")


def _too_small(
    spec: Spec,
    fmt: Format,
    demand: Demand,
    inodes: Inodes,
    policy: LayoutPolicy,
    shortage: _Shortage,
) -> SizeError:
    """Return the error that states by how much ``spec.size`` is too small, and what needs space."""
    assert spec.size is not None
    wanted = replace(spec, size=None, journal_location=None, group_tables="compact")
    if not spec.free:
        wanted = replace(wanted, free=0, reserved_percent=0.0, reserved_blocks=None)
    enough = _fitted(
        wanted,
        fmt,
        demand,
        _fixed_inodes(spec, inodes),
        policy,
        above=spec.size // spec.block_size,
        unit=spec.block_size,
    )
    size = enough.geometry.blocks_count * spec.block_size
    where = ", ".join(f"{name} {count}" for name, count in enough.space().items() if count)
    return SizeError(
        f"size: {spec.size} bytes are {size - spec.size} too few: it {shortage.reason}; "
        f"at least {size} bytes are needed ({where})",
        missing_bytes=size - spec.size,
    )


def _system_blocks(fmt: Format, stretch: _Stretch) -> int:
    """Return the fewest blocks that system files need, in whole clusters."""
    clusters = sum(
        fmt.clusters_for(file.data_blocks) + file.mapping.metadata_blocks(())
        for file in stretch.system_files
    )
    return clusters * fmt.blocks_per_cluster


def _least_used(fmt: Format, stretch: _Stretch, data_blocks: int) -> int:
    """Return the fewest blocks in use in a stretch; the tree itself needs ``data_blocks``."""
    groups = fmt.groups_for(stretch.high)
    return (
        fmt.first_data_block
        + fmt.of_groups(groups).all_head_blocks(groups, stretch.reserved_gdt_blocks)
        + groups * (2 + fmt.inode_table_blocks(stretch.inodes_per_group))
        + _system_blocks(fmt, stretch)
        + data_blocks
    )
