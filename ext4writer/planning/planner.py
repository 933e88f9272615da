"""Plans an image. Reads the tree and the files that may have holes; writes nothing."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from ..arithmetic import ceil_div, round_up
from ..bits import le32
from ..errors import SizeError, SpecError, TreeError
from ..forked import ProcessPool, as_pool
from ..inode_flags import FS_VERITY_FL
from ..late_dataclasses import replace
from ..nodes import DT_LNK
from ..ondisk.extent import entries_per_block
from ..ondisk.features import FeatureSet
from ..ondisk.format import Format
from ..ondisk.htree import HASH_ALGS
from ..ondisk.inode import EXT4_CASEFOLD_FL, EXT4_ENCRYPT_FL
from ..ondisk.journal import JOURNAL_MIN_FS_BLOCKS
from ..progress import Cancel, Progress, ProgressCallback, check_cancelled
from ..spans import Run
from ..tree import Loss, Node, Tree
from .arguments import check_arguments, convert_nodes
from .checks import fit_times, read_attributes
from .contents import LARGE_FILE_BYTES, DataBlocks, count_blocks, leave_holes
from .directories import (
    DirectoryPlan,
    DirectoryRulebook,
    DirectoryRules,
    DirectoryTooLargeError,
    FoldedNameError,
    plan_directory,
)
from .file_choices import FileChoices, choose_for_files
from .fresh_policy import fresh_policy
from .goals import FirstNode
from .identity import derive_identity, derive_journal_uuid, with_content
from .inline import InlinePlan, plan_inline
from .inode_choices import InodeChoices, choose_for_inodes, choose_for_tables
from .inodes import ROOT, InodeTable, number_inodes
from .layout import ImagePlan
from .lost_and_found import without_added
from .mapping import DataMapping, mapping_of
from .placement import Demand
from .policy import DEFAULT_POLICY, LayoutPolicy
from .sizing import MAX_INODES, Inodes, solve
from .solution import Solution
from .spec import IMAGE_UNIT, Spec, format_of
from .summary import count_groups
from .system_files import system_files_of_tree, unnamed_inodes
from .system_files.journal import external_journal_blocks
from .system_files.resize_inode import resize_inode_bytes
from .xattrs import ENCRYPTION_CONTEXT, XattrPlan, XattrPlanner

if TYPE_CHECKING:
    from ..ondisk.dirhash import Seed
    from .dedupe import SharedRun
    from .hints import Hints, Keeper
    from .hole_search import HoleSearch
    from .states.orphans import OrphanPlan
    from .verity import VerityPlan


def plan_image(
    tree: Tree,
    spec: Spec | None = None,
    *,
    hints: Hints | None = None,
    processes: int | ProcessPool = 1,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> ImagePlan:
    """Plan an image; see :func:`ext4writer.plan` for arguments and errors."""
    check_arguments(tree, spec)
    spec = spec or Spec()
    planned = partial(
        _plan_of_nodes, hints=hints, processes=processes, progress=progress, cancel=cancel
    )
    if spec.policy is None or type(spec.policy) is LayoutPolicy:
        return planned(tree, spec)
    from .random_policy import RandomFeatures

    if isinstance(spec.policy, RandomFeatures):
        return _with_features(tree, spec, planned)
    return planned(tree, spec)


def _with_features(tree: Tree, spec: Spec, planned: Callable[[Tree, Spec], ImagePlan]) -> ImagePlan:
    """Plan with the features that the policy draws, except those that are not possible.

    The tree or another option may need a feature that is removed, or rule out one that is added.
    """
    from .random_policy import RandomFeatures

    assert isinstance(spec.policy, RandomFeatures)
    words = spec.policy.feature_words(spec.features)

    def attempt(words: Sequence[str]) -> ImagePlan | None:
        features = FeatureSet.parse(",".join(words), base=spec.features)
        try:
            return planned(tree, replace(spec, features=features))
        except (SpecError, TreeError, SizeError):
            return None

    found = attempt(words)
    if found is not None:
        return found
    # Try them one by one: few of them fail.
    kept: list[str] = []
    for word in words:
        better = attempt([*kept, word])
        if better is not None:
            kept.append(word)
            found = better
    return found if found is not None else planned(tree, spec)


def _plan_of_nodes(
    tree: Tree,
    spec: Spec,
    hints: Hints | None,
    processes: int | ProcessPool,
    progress: ProgressCallback | None,
    cancel: Cancel | None,
) -> ImagePlan:
    try:
        return _plan(tree, spec, hints, processes, progress, cancel)
    except (TypeError, AttributeError, AssertionError, LookupError, OverflowError):
        # A bug in this library, unless the caller put values of wrong types into nodes.
        if not convert_nodes(tree):
            raise
        return _plan(tree, spec, hints, processes, progress, cancel)


def _plan(
    tree: Tree,
    spec: Spec,
    hints: Hints | None,
    processes: int | ProcessPool,
    progress: ProgressCallback | None,
    cancel: Cancel | None,
) -> ImagePlan:
    tree = without_added(tree, spec)
    fmt = format_of(spec)
    keeper: Keeper | None = None
    if hints is not None:
        spec = hints.identity(spec, fmt)
        fmt = format_of(spec)
        keeper = hints.keeper()
    _check_resize_inode(fmt)
    policy = fresh_policy(spec.policy or DEFAULT_POLICY)
    table = number_inodes(
        tree,
        policy,
        lost_and_found=spec.lost_and_found,
        dir_nlink=fmt.dir_nlink,
        unnamed=tuple(unnamed_inodes(spec, fmt).values()),
        cancel=cancel,
        keeper=keeper,
    )
    read_attributes(table, fmt)
    data, candidates = count_blocks(table, spec)
    with (
        as_pool(processes) as pool,
        _searching(table.nodes, candidates, spec, pool, cancel) as search,
    ):
        _submit_tasks(search)
        times, epoch, losses = fit_times(tree, table, spec)
        volume_uuid, hash_seed = derive_identity(table, times, spec)
        _submit_tasks(search)
        contexts = _encryption_contexts(spec, table, fmt, volume_uuid)
        inline = plan_inline(table, fmt, policy)
        xattrs = _plan_xattrs(table, fmt, policy, inline, contexts)
        data.leave_inline(inline.attribute_sizes)
        orphans = _plan_orphans(policy, spec, fmt, table, inline, xattrs)
        table.value_inos = range(table.last_ino + 1, table.last_ino + 1 + len(xattrs.values))
        choices = InodeChoices()
        if type(policy) is not LayoutPolicy:
            area = xattrs.inside_of
            choices = choose_for_inodes(table, fmt, policy, times, area, inline.attribute_sizes)
        rules = DirectoryRules(
            format=fmt,
            hash_seed=_seed_of(hash_seed),
            hash_version=HASH_ALGS[spec.hash_alg],
            strict=spec.encoding_flags == "strict",
        )
        _submit_tasks(search)
        rulebook = _rulebook(table, rules)
        directories = _plan_directories(
            table, rulebook, policy, data, inline, spec.lost_and_found_size, cancel
        )
        _find_holes(search, len(candidates), data, table, spec, progress)
    if spec.identity == "content" and spec.uuid is None:
        volume_uuid = with_content(volume_uuid, table, data, spec.block_size, cancel)
    if spec.free_percent:
        of_content = math.ceil(data.content_bytes * spec.free_percent / 100)
        spec = replace(spec, free=(spec.free or 0) + of_content, free_percent=0.0)
    mapping = mapping_of(fmt)
    verity = _plan_verity(tree, table, data, spec, mapping, cancel)
    shared = _share_blocks(table, data, fmt, mapping, cancel)
    files_of_tree = system_files_of_tree(spec, fmt, table, xattrs)
    if orphans is not None:
        from .states.orphan_planning import add_blocks, orphan_files  # imported late, as above

        add_blocks(orphans, data, table, spec.block_size)
        files_of_tree += tuple(orphan_files(orphans, fmt))
    files = FileChoices(data.counts, data.ranges)
    if type(policy) is not LayoutPolicy:
        size = (spec.size or 0) // spec.block_size
        cut = [index for index, _ in orphans.truncated] if orphans is not None else []
        whole = {*inline.attribute_sizes, *shared, *cut}
        files = choose_for_files(table, data, fmt, policy, whole, size)
    clusters = mapping.cluster_counts(files.counts, files.ranges)
    demand = Demand(
        counts=files.counts,
        clusters=clusters,
        ranges=files.ranges,
        directories=table.directories,
        xattr_blocks=len(xattrs.blocks),
        cluster_blocks=fmt.blocks_per_cluster,
        data_clusters=sum(clusters),
        system_files=files_of_tree,
        verity_clusters=verity.clusters if verity else 0,
        shared=shared,
        node_entries=_node_entries(fmt, policy),
        block_mapped=files.block_mapped,
        unwritten=files.unwritten,
        first=_first_nodes(spec, table, clusters) if policy.sequential and hints is None else (),
    )
    if keeper is None:
        solution = _solve(spec, demand, _inodes(table, spec), policy, data, mapping)
    else:
        kept = keeper.kept(table, _stretches(demand, mapping), xattrs.block_of)
        spec, solution = _solve_near(spec, demand._replace(kept=kept), table, policy, keeper.hints)
    # The placement follows them now, and a saved plan does not include them.
    solution = solution._replace(demand=solution.demand._replace(kept=None, first=()))
    if progress is not None:
        total = len(table.nodes)
        progress(Progress("plan", total, total, *(data.content_bytes,) * 3))
    fmt = solution.geometry.format
    outside = external_journal_blocks(
        spec, fmt, solution.geometry.blocks_count, solution.geometry.reserved_gdt_blocks
    )
    if not (solution.demand.journal_blocks or outside):
        fmt = fmt.without("has_journal", *fmt.features.needing("has_journal"))
        table.unnamed = tuple(unnamed_inodes(spec, fmt).values())
        if orphans is not None:
            orphans = orphans.without_file()
            table.unnamed += tuple(ino for ino, _ in orphans.deleted)
    fmt = fmt.with_inodes(solution.geometry.inodes_per_group).with_uuid(volume_uuid.bytes)
    solution = solution._replace(geometry=solution.geometry._replace(format=fmt))
    losses += _left_out(spec, solution)
    space = solution.space()
    geometry, free_ranges = solution.geometry, solution.placement.free_ranges
    groups = count_groups(geometry, free_ranges, table)
    if type(policy) is not LayoutPolicy:
        choices = choose_for_tables(choices, groups, geometry, table, policy, epoch)
    plan = ImagePlan(
        spec=spec,
        format=fmt,
        uuid=volume_uuid,
        hash_seed=hash_seed,
        epoch=epoch,
        times=times,
        geometry=geometry,
        table=table,
        demand=solution.demand,
        placement=solution.placement,
        directories=directories,
        directory_rules=rules,
        inline=inline.attribute_sizes,
        xattrs=xattrs,
        groups=groups,
        free_ranges=free_ranges,
        reserved_blocks=solution.reserved_blocks,
        content_bytes=data.content_bytes,
        size_bytes=sum(space.values()),
        space=space,
        losses=losses,
        external_journal_blocks=outside,
        journal_uuid=_journal_uuid(spec, volume_uuid) if outside else b"",
        table_bytes_for_growth=_table_bytes_for_growth(solution),
        verity=verity.files if verity else {},
        inode_choices=choices,
        orphans=orphans,
        inputs=dict(tree.inputs),
    )
    return _with_states(plan, policy)


def _first_nodes(spec: Spec, table: InodeTable, clusters: Sequence[int]) -> tuple[FirstNode, ...]:
    """Return the directories that mke2fs creates first, if the image is laid out as by mke2fs."""
    if spec.group_tables != "mke2fs":
        return ()
    made = [ROOT] if table.lost_and_found is None else [ROOT, table.lost_and_found]
    return tuple(FirstNode(at, table.inos[at], clusters[at]) for at in made)


def _plan_orphans(
    policy: LayoutPolicy,
    spec: Spec,
    fmt: Format,
    table: InodeTable,
    inline: InlinePlan,
    xattrs: XattrPlan,
) -> OrphanPlan | None:
    """Return the inodes that the policy leaves to delete or truncate; None if there are none."""
    if _leaves_nothing(policy):
        return None
    from .states.orphan_planning import plan_orphans  # imported late: few images have any

    orphans = plan_orphans(policy, spec, fmt, table, {*inline.attribute_sizes, *xattrs.block_of})
    return orphans if any(orphans) else None


def _leaves_nothing(policy: LayoutPolicy) -> bool:
    """Whether the policy certainly leaves nothing to recover."""
    if type(policy) is LayoutPolicy:
        return True
    from .random_policy import RandomPolicy

    return type(policy) is RandomPolicy


def _with_states(plan: ImagePlan, policy: LayoutPolicy) -> ImagePlan:
    """Return the plan with what the policy leaves to recover."""
    if _leaves_nothing(policy):
        return plan
    from .states.choices import with_states  # imported late: few images have any

    return with_states(plan, policy)


def _stretches(demand: Demand, mapping: DataMapping) -> Iterator[tuple[int, Sequence[Run]]]:
    """Yield (node index, its runs of logical clusters) for each node that has any."""
    for index, count in enumerate(demand.counts):
        if count:
            yield index, mapping.clusters(demand.ranges.get(index, [Run(0, count)]))


def _solve(
    spec: Spec,
    demand: Demand,
    inodes: Inodes,
    policy: LayoutPolicy,
    data: DataBlocks,
    mapping: DataMapping,
) -> Solution:
    """Solve the size; without the policy's unwritten blocks if a given size cannot hold them."""
    try:
        return solve(spec, demand, inodes, policy)
    except SizeError:
        if not demand.unwritten:
            raise
    clusters = mapping.cluster_counts(data.counts, data.ranges)
    without = demand._replace(
        counts=data.counts,
        clusters=clusters,
        ranges=data.ranges,
        data_clusters=sum(clusters),
        unwritten={},
    )
    return solve(spec, without, inodes, policy)


def _solve_near(
    spec: Spec, demand: Demand, table: InodeTable, policy: LayoutPolicy, hints: Hints
) -> tuple[Spec, Solution]:
    """Solve with the geometry of the other image, and its size if that is enough.

    Returns the Spec with these decisions, too. An image that must be larger promises the free space
    of a fitted one, and its groups begin where they did.
    """
    fmt, used = format_of(spec), _inodes(table, spec).used

    def solved(spec: Spec, size: int) -> tuple[Spec, Solution]:
        near = hints.geometry(spec, fmt, size, used)
        return near, solve(near, demand, _inodes(table, near), policy)

    if spec.size is not None:
        return solved(spec, spec.size)
    try:
        return solved(spec, hints.size)
    except SizeError:
        pass
    unit = spec.align or IMAGE_UNIT
    fitted = solve(spec, demand._replace(kept=None), _inodes(table, spec), policy)
    size = round_up(max(hints.size, fitted.image_bytes), unit)
    grown = replace(spec, free=spec.fitted_free)
    while True:
        try:
            return solved(grown, size)
        except SizeError as error:
            # Each round gets closer: the group count, and with it the tables, may have changed.
            size = round_up(size + max(1, error.missing_bytes), unit)


def _share_blocks(
    table: InodeTable,
    data: DataBlocks,
    fmt: Format,
    mapping: DataMapping,
    cancel: Cancel | None,
) -> dict[int, list[SharedRun]]:
    """Return by node index: the runs of blocks that are stored as other blocks."""
    if not fmt.shared_blocks:
        return {}
    from .dedupe import share_blocks  # imported late: few images have any

    return share_blocks(table, data, mapping, fmt.block_size, cancel)


def _plan_verity(
    tree: Tree,
    table: InodeTable,
    data: DataBlocks,
    spec: Spec,
    mapping: DataMapping,
    cancel: Cancel | None,
) -> VerityPlan | None:
    """Plan the trees of files with verity, and add their blocks to ``data``; None for no file."""
    is_flagged = any(flags & FS_VERITY_FL for flags in table.flags.values())
    if not is_flagged and not spec.verity_signatures:
        return None
    from .verity import plan_verity  # imported late: few images have such files

    return plan_verity(tree, table, data, spec, mapping, cancel)


def _journal_uuid(spec: Spec, volume_uuid: UUID) -> bytes:
    return (spec.journal_uuid or derive_journal_uuid(volume_uuid)).bytes


def _node_entries(fmt: Format, policy: LayoutPolicy) -> int:
    """Return the entries that the policy wants in each extent tree node; 0 means all that fit."""
    most = entries_per_block(fmt.block_size)
    wanted = policy.extent_entries(most)
    return 0 if wanted == most else wanted


def _seed_of(hash_seed: UUID) -> Seed:
    """Return the words of s_hash_seed."""
    stored = hash_seed.bytes
    return le32(stored), le32(stored, 4), le32(stored, 8), le32(stored, 12)


def _table_bytes_for_growth(solution: Solution) -> int:
    geometry = solution.geometry
    surplus = geometry.inodes_per_group - solution.needed_inodes_per_group
    return surplus * geometry.groups * geometry.format.inode_size


def _left_out(spec: Spec, solution: Solution) -> Iterator[Loss]:
    """Yield a loss for each part that the image cannot have, unless the caller left it out."""
    size, fmt = solution.geometry.blocks_count * spec.block_size, solution.geometry.format
    asked = format_of(spec)
    if asked.has_journal and not fmt.has_journal and spec.journal != "none":
        needing = spec.features.needing("has_journal")
        without = f", and so no {' or '.join(needing)}" if needing else ""
        least = JOURNAL_MIN_FS_BLOCKS * spec.block_size
        yield Loss(
            b"/",
            f"the file system has no journal{without}: {size} bytes are too few for one; "
            f"choose {least} bytes or more, or a journal of none",
            "journal-left-out",
        )
    if spec.grow_to and not (fmt.resize_inode or fmt.meta_bg):
        yield Loss(
            b"/",
            f"nothing is reserved for growth to {spec.grow_to} bytes: beyond 2^32 blocks there "
            "is no resize inode",
            "growth-not-reserved",
        )


@contextmanager
def _searching(
    nodes: Sequence[Node],
    candidates: array[int],
    spec: Spec,
    pool: ProcessPool,
    cancel: Cancel | None,
) -> Iterator[HoleSearch | None]:
    """Search the files at the indexes ``candidates`` for holes; None if there are none."""
    if not candidates:
        yield None
        return
    from .hole_search import searching

    with searching(nodes, candidates, spec, pool, cancel) as search:
        yield search


def _submit_tasks(search: HoleSearch | None) -> None:
    if search is not None:
        search.submit_tasks()


def _find_holes(
    search: HoleSearch | None,
    files: int,
    data: DataBlocks,
    table: InodeTable,
    spec: Spec,
    progress: ProgressCallback | None,
) -> None:
    """Finish the search in all ``files`` candidates, and subtract the holes that it found."""
    if search is None:
        return
    searched, total = 0, len(table.nodes)
    for found in search.results():
        leave_holes(data, table, found, spec.block_size)
        searched += found.files
        if progress is not None:
            reached = total * searched // files
            progress(Progress("plan", reached, total, data.content_bytes, 0, data.content_bytes))


def _check_resize_inode(fmt: Format) -> None:
    """Check i_size of the resize inode, which covers all it can map: with 4 KiB blocks, 4 GiB."""
    is_large = resize_inode_bytes(fmt.block_size) >= LARGE_FILE_BYTES
    if is_large and fmt.resize_inode and not fmt.large_file:
        raise SpecError(
            "features",
            f"resize_inode needs large_file with blocks of {fmt.block_size} bytes; "
            "add large_file or ^resize_inode",
        )


def _encryption_contexts(
    spec: Spec, table: InodeTable, fmt: Format, volume: UUID
) -> Mapping[int, bytes]:
    """Return by node index: contexts of the directories with a policy, which this flags."""
    if not spec.encryption_policies:
        return {}
    from .encryption import contexts_of  # imported late: few images have any

    contexts = contexts_of(spec.encryption_policies, table, fmt, volume.bytes)
    for index in contexts:
        table.flags[index] = table.flags.get(index, 0) | EXT4_ENCRYPT_FL
    if contexts:
        table.with_xattrs = array("I", sorted({*table.with_xattrs, *contexts}))
    return contexts


def _plan_xattrs(
    table: InodeTable,
    fmt: Format,
    policy: LayoutPolicy,
    inline: InlinePlan,
    contexts: Mapping[int, bytes],
) -> XattrPlan:
    """Place all attributes; remove from ``inline`` content that leaves no space for them."""
    planner = XattrPlanner(fmt, policy)
    for index in inline.directories:
        inline.fill(index, fmt.xattr_room - inline.attribute_sizes[index])
    if table.with_xattrs and not fmt.ext_attr:
        path = table.path_of(table.with_xattrs[0])
        raise TreeError(path, "has extended attributes; they need the feature ext_attr")
    # Every file of a tree may have a label, so this loop does as little as possible.
    nodes, types, sizes, link = table.nodes, table.types, inline.attribute_sizes, DT_LNK
    for index in table.with_xattrs:
        xattrs = nodes[index].xattrs or {}
        if contexts and index in contexts:
            xattrs = {**xattrs, ENCRYPTION_CONTEXT: contexts[index]}
        path_of = partial(table.path_of, index)
        kept = sizes.get(index, 0) if sizes else 0
        left = planner.add(index, xattrs, path_of, types[index] == link, kept)
        if not kept:
            continue
        if left is not None:
            inline.fill(index, left)
            continue
        inline.discard(index)
        planner.add(index, xattrs, path_of, types[index] == link)
    return planner.plan


def _rulebook(table: InodeTable, usual: DirectoryRules) -> DirectoryRulebook:
    """Return the rules of all directories; those with the casefold flag fold names."""
    folding = usual._replace(casefold=True)
    flagged = (index for index, flags in table.flags.items() if flags & EXT4_CASEFOLD_FL)
    return DirectoryRulebook(usual, dict.fromkeys(flagged, folding))


def _plan_directories(
    table: InodeTable,
    rulebook: DirectoryRulebook,
    policy: LayoutPolicy,
    data: DataBlocks,
    inline: InlinePlan,
    lost_and_found_size: int,
    cancel: Cancel | None,
) -> dict[int, DirectoryPlan]:
    """Plan every directory and set its blocks; the result omits single blocks in plain order."""
    found: dict[int, DirectoryPlan] = {}
    counts, sizes, rules = data.counts, table.sizes, rulebook.usual
    block_size = rules.format.block_size
    # This many names fit into a block whatever their lengths.
    few = rules.certain_names if policy.sequential else -1
    end = 0
    for index, names in zip(table.directories, table.names, strict=True):
        if cancel is not None:
            check_cancelled(cancel)
        start, end = end, end + len(names)
        if rulebook.others:
            rules = rulebook.of(index)
            try:
                rules.check_names(names)
            except FoldedNameError as error:
                folder = table.path_of(index).rstrip(b"/")
                raise TreeError(folder + b"/" + error.name, str(error)) from None
        inside = inline.directories.get(index)
        if inside is not None:
            sizes[index] = inside.size_bytes
            found[index] = inside
            continue
        if len(names) <= few and index != table.lost_and_found:
            counts[index] = 1
            sizes[index] = block_size
            continue
        least = 1
        if index == table.lost_and_found:
            _check_lost_and_found(lost_and_found_size, rules.format)
            least = max(2, ceil_div(lost_and_found_size, block_size))
        try:
            lengths = table.name_lengths[start:end]
            planned = plan_directory(names, lengths, rules, policy, least_blocks=least)
        except DirectoryTooLargeError:
            raise TreeError(
                table.path_of(index),
                f"has {len(names)} names; an index of {rules.levels} levels over blocks of "
                f"{block_size} bytes cannot hold them; choose larger blocks"
                f"{'' if rules.format.large_dir else ', large_dir'} or ^dir_index",
            ) from None
        counts[index] = planned.blocks
        sizes[index] = planned.blocks * block_size
        if sizes[index] >= LARGE_FILE_BYTES and not rules.format.large_dir:
            # e2fsck/pass1.c:handle_htree and check_blocks; only files have i_size_high.
            raise TreeError(
                table.path_of(index),
                f"has {sizes[index]} bytes of names; 2 GiB and more need the feature large_dir",
            )
        if planned.blocks > 1 or not policy.sequential or planned.flags:
            found[index] = planned
    return found


def _check_lost_and_found(size: int, fmt: Format) -> None:
    """Raise :class:`SpecError` for a size in bytes that no directory of this format can have."""
    most = fmt.max_blocks * fmt.block_size
    problem = ""
    if size >= LARGE_FILE_BYTES and not fmt.large_dir:
        problem = "is 2 GiB or more, which needs the feature large_dir; add that, or choose less"
    elif size > most:
        problem = f"is more than {most}, the size of the largest image"
    if problem:
        raise SpecError("lost_and_found_size", f"{size} {problem}")


def _inodes(table: InodeTable, spec: Spec) -> Inodes:
    reserved = 10 - 1  # the root is one of the ten reserved inodes and also in the table
    used = reserved + table.nameless + len(table.nodes)
    free = spec.free_inodes
    if spec.inodes is not None:
        if spec.inodes < used:
            raise SpecError(
                "inodes", f"{spec.inodes} are fewer than the {used} that are in use or reserved"
            )
        free = spec.inodes - used
    if free is None:
        # Fewer beyond tens of TiB: s_inodes_count has 32 bits, and groups round up.
        free = min(
            spec.fitted_free // spec.usual_inode_ratio, MAX_INODES // 16 * 15 - table.last_ino
        )
    return Inodes(table.last_ino, used, free)
