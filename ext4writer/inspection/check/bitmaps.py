"""Compares bitmaps and counts with the blocks and inodes in use: passes 1B and 5 of e2fsck."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from ...arithmetic import ceil_div
from ...bits import lowest_bit, ones
from ...nodes import DT_DIR
from ...ondisk.checksum import bitmap_checksum
from ...ondisk.group_desc import EXT4_BG_BLOCK_UNINIT, EXT4_BG_INODE_UNINIT
from ...ondisk.superblock import SUPERBLOCK
from ..problems import Problem
from .state import METADATA, Check

_ONE, _ZERO = b"1", b"0"
_EXAMPLES = 3


def check_bitmaps(check: Check) -> None:
    """Compare the bitmaps and counts of every group, and their totals, with the claims."""
    image, fmt = check.image, check.format
    if image.groups < image.counted_groups:
        # The last group always has a block bitmap, and e2fsck -n needs it.
        text = f"implies {image.counted_groups} groups, but the bitmap of the last is missing"
        check.of_superblock("PAST_THE_END", "s_blocks_count_lo", text)
        return
    if check.is_partial:
        return
    ratio = fmt.blocks_per_cluster
    groups = _GroupUse(check)
    free_clusters = free_inodes = 0
    inos, types = check.inodes.inos, check.inodes.types
    row = 0
    directory = DT_DIR
    for group in range(image.groups):
        if not group & 255:
            check.check_cancelled()
        numbers = image.descriptor(group)
        first = fmt.group_first_block(group)
        blocks = min(fmt.blocks_per_group, image.blocks_count - first)
        clusters = ceil_div(blocks, ratio)
        used = groups.take(group, clusters)
        free = clusters - used.count(_ONE)
        free_clusters += free
        sum_at = image.descriptor_offset(group) + image.desc_record.offset("bg_checksum")
        # e2fsck/super.c:check_super_block ignores the flags if the checksum is wrong.
        has_flags = fmt.has_uninit_groups and sum_at not in check.wrong_sums
        flags = numbers["bg_flags"] if has_flags else 0
        if not flags & EXT4_BG_BLOCK_UNINIT:
            _compare(
                check,
                group,
                "block",
                numbers["bg_block_bitmap"],
                used,
                fmt.clusters_per_group,
                first,
            )
        elif groups.has_data(group):
            check.of_group(
                "PR_5_BLOCK_UNINIT", group, "bg_flags", "is BLOCK_UNINIT, but blocks are in use"
            )
        if numbers["bg_free_blocks_count"] != free:
            check.of_group(
                "PR_5_FREE_BLOCK_COUNT_GROUP",
                group,
                "bg_free_blocks_count_lo",
                f"is {numbers['bg_free_blocks_count']} but should be {free}",
            )
        per_group = image.inodes_per_group
        low = group * per_group + 1
        bits = bytearray(_ZERO * per_group)
        directories = 0
        # A group can have fewer inodes than are reserved; the next one has the rest of them.
        reserved = min(max(fmt.first_ino - low, 0), per_group)
        bits[:reserved] = _ONE * reserved
        while row < len(inos) and inos[row] < low + per_group:
            bits[inos[row] - low] = _ONE[0]
            directories += types[row] == directory
            row += 1
        lost = check.lost_inodes
        for at in range(bisect_left(lost, low), bisect_left(lost, low + per_group)):
            bits[lost[at] - low] = _ONE[0]
        for ino in _hidden(check):
            if low <= ino < low + per_group:
                bits[ino - low] = _ONE[0]
        free = bits.count(_ZERO)
        free_inodes += free
        if not flags & EXT4_BG_INODE_UNINIT:
            _compare(check, group, "inode", numbers["bg_inode_bitmap"], bits, per_group, low)
        for name, code, found in (
            ("bg_free_inodes_count", "PR_5_FREE_INODE_COUNT_GROUP", free),
            ("bg_used_dirs_count", "PR_5_FREE_DIR_COUNT_GROUP", directories),
        ):
            if numbers[name] != found:
                text = f"is {numbers[name]} but should be {found}"
                check.of_group(code, group, f"{name}_lo", text)
    for code, whole, found in (
        ("PR_5_FREE_BLOCK_COUNT", "s_free_blocks_count", free_clusters * ratio),
        ("PR_5_FREE_INODE_COUNT", "s_free_inodes_count", free_inodes),
    ):
        if image.number(whole) == found:
            continue
        text = f"is {image.number(whole)} but should be {found}"
        # The kernel writes these when it unmounts, and recomputes them at recovery
        # (fs/ext4/super.c).
        is_old = image.is_replayed
        code = "COUNTS_NOT_WRITTEN" if is_old else code
        check.of_superblock(code, SUPERBLOCK.parts(whole)[0], text, warn=is_old)


def _hidden(check: Check) -> list[int]:
    """Return the inodes in use, other than reserved ones, to which no directory refers."""
    image, fmt = check.image, check.format
    found = []
    if fmt.orphan_file:
        found.append(image.number("s_orphan_file_inum"))
    if fmt.quota and fmt.project:
        found.append(image.number("s_prj_quota_inum"))
    found += check.orphans  # some of them may have names, too
    return [ino for ino in found if ino >= fmt.first_ino]


class _GroupUse:
    """The clusters of each group that are claimed; records problems of blocks claimed twice."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._parts = self._by_group()
        self._next = next(self._parts, None)
        self._data: dict[int, bool] = {}

    def _by_group(self) -> Iterator[tuple[int, int, int, int]]:
        """Yield (group, first cluster in it, clusters, owner), ascending."""
        check = self._check
        fmt = check.format
        ratio, per_group, base = (
            fmt.blocks_per_cluster,
            fmt.clusters_per_group,
            fmt.first_data_block,
        )
        before_end, before_owner, metadata_end = -1, -1, 0
        for start, length, owner in check.claims.sorted_rows():
            first, end = (start - base) // ratio, (start + length - 1 - base) // ratio + 1
            if start < base:
                first = max(first, 0)
            if first < before_end:
                # One file may have several runs in one cluster.
                is_shared = ratio > 1 and first == before_end - 1 and owner == before_owner
                is_metadata = owner == before_owner == METADATA and start >= metadata_end
                if not is_shared and not is_metadata and not fmt.shared_blocks:
                    self._twice(start, length, owner, before_owner)
                first = min(max(first, before_end), end)
            if owner == METADATA:
                metadata_end = max(metadata_end, start + length)
            if end > before_end:
                before_end, before_owner = end, owner
            while first < end:
                group, place = divmod(first, per_group)
                count = min(end - first, per_group - place)
                yield group, place, count, owner
                first += count

    def _twice(self, start: int, length: int, owner: int, other: int) -> None:
        check = self._check
        whose = "file system metadata" if other == METADATA else f"inode {other}"
        text = f"claims {length} blocks at {start}, which {whose} has, too"
        if owner == METADATA:
            check.of_superblock("PR_1B_DUP_BLOCK", "s_blocks_per_group", text)
            return
        inode = check.image.inode(owner)
        code = "PR_1_BLOCK_OVERLAPS_METADATA" if other == METADATA else "PR_1B_DUP_BLOCK"
        check.of_inode(code, inode, "i_block", text)

    def take(self, group: int, clusters: int) -> bytearray:
        """Return one digit for each cluster of the group; call with ascending groups."""
        used = bytearray(_ZERO * clusters)
        has_data = False
        while self._next is not None and self._next[0] == group:
            _, place, count, owner = self._next
            used[place : place + count] = _ONE * min(count, clusters - place)
            has_data = has_data or owner != METADATA
            self._next = next(self._parts, None)
        self._data = {group: has_data}
        return used

    def has_data(self, group: int) -> bool:
        """Return whether inodes have blocks in ``group``, the one that was taken last."""
        return self._data.get(group, False)


def _compare(
    check: Check, group: int, kind: str, block: int, digits: bytearray, bits: int, first: int
) -> None:
    """Compare the bitmap in ``block`` with ``digits``; the padding after them must be ones."""
    image, fmt = check.image, check.format
    if not image.has_blocks(block):
        return
    data = image.try_block(block)
    if data is None:
        return
    name = f"{kind}_bitmap"
    if fmt.metadata_csum:
        _check_checksum(check, group, kind, data, bits)
    used = int(digits[::-1], 2)
    count = len(digits)
    stored = int.from_bytes(data, "little")
    all_ones = ones(8 * check.block_size)
    if stored >> count != all_ones >> count:
        code = "PR_5_BLOCK_BMAP_PADDING" if kind == "block" else "PR_5_INODE_BMAP_PADDING"
        _wrong(check, code, name, block, f"of group {group} has zeros past its last bit")
    difference = (stored ^ used) & ones(count)
    if not difference:
        return
    for code, bad, what in (
        (f"PR_5_{kind.upper()}_UNUSED", difference & stored, f"marks free {kind}s as in use"),
        (f"PR_5_{kind.upper()}_USED", difference & used, f"marks {kind}s in use as free"),
    ):
        if bad:
            step = fmt.blocks_per_cluster if kind == "block" else 1
            examples = ", ".join(str(first + bit * step) for bit in _lowest_bits(bad))
            _wrong(
                check, code, name, block,
                f"of group {group} {what}: {bad.bit_count()}, beginning with {kind} {examples}",
            )  # fmt: skip


def _lowest_bits(bits: int) -> Iterator[int]:
    for _ in range(_EXAMPLES):
        if not bits:
            return
        lowest = lowest_bit(bits)
        yield lowest
        bits ^= 1 << lowest


def _wrong(check: Check, code: str, record: str, block: int, text: str) -> None:
    check.add(Problem(code, record, "bits", block * check.block_size, text))


def _check_checksum(check: Check, group: int, kind: str, data: bytes, bits: int) -> None:
    record = check.image.desc_record
    whole = f"bg_{kind}_bitmap_csum"
    found = bitmap_checksum(check.format.checksum_seed, data[: bits // 8])
    stored = check.image.descriptor(group)[whole]
    if len(record.parts(whole)) == 1:
        found &= 0xFFFF
    if stored != found:
        code = f"PR_5_{kind.upper()}_BITMAP_CSUM_INVALID"
        text = f"is {stored:#x} but should be {found:#x}"
        check.of_group(code, group, f"{whole}_lo", text)
