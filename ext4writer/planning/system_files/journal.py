"""The size of the journal."""

from __future__ import annotations

from ...arithmetic import ceil_div
from ...errors import SpecError
from ...ondisk.format import Format
from ...ondisk.journal import (
    JBD2_MIN_JOURNAL_BLOCKS,
    default_fast_commit_blocks,
    default_journal_blocks,
    fast_commit_blocks_in,
    journal_device_start,
)
from ...ondisk.superblock import EXT4_JOURNAL_INO
from ..fresh_policy import fresh_policy
from ..mapping import mapping_of
from ..spec import JournalLocation, Spec
from .base import SystemFile

JOURNAL_PURPOSE = "journal"

JBD2_MAX_JOURNAL_BLOCKS = 10_240_000
"""The most blocks of a journal inside the file system."""
MAX_JOURNAL_DEVICE_BLOCKS = (1 << 31) - 1
"""The kernel stores the length of a device in an int (fs/jbd2/journal.c:jbd2_journal_init_dev)."""

TRANSACTIONS_PER_JOURNAL = 4
GROWTH_CREDITS = 32
"""Blocks of a resize transaction besides the reserved ones, counted generously."""
BOOKKEEPING_DIVISOR = 8
"""Newer kernels keep at most 1/8 of the blocks of a transaction for descriptors and revokes."""

EXTRA_DIVISOR = 16
"""A policy adds less than one in this many blocks to an image of a given size."""


def growth_journal_blocks(reserved_gdt_blocks: int) -> int:
    """Return the fewest journal blocks for growing a mounted file system; 0 without a reserve.

    One transaction includes all reserved blocks, the superblock, the resize inode and the new
    descriptors (fs/ext4/resize.c:ext4_flex_group_add). A transaction may have at most a quarter of
    the journal, minus its own bookkeeping (fs/jbd2/journal.c).
    """
    if not reserved_gdt_blocks:
        return 0
    transaction = reserved_gdt_blocks + GROWTH_CREDITS
    return TRANSACTIONS_PER_JOURNAL * (transaction + transaction // BOOKKEEPING_DIVISOR)


def journal_blocks(spec: Spec, fmt: Format, blocks_count: int, reserved_gdt_blocks: int) -> int:
    """Return the blocks of the journal in an image of ``blocks_count`` blocks; 0 means no journal.

    With fast_commit, its blocks are added to those that the Spec requests.
    """
    log = _log_blocks(spec, fmt, blocks_count, reserved_gdt_blocks)
    total = log + fast_commit_blocks(spec, log) if fmt.fast_commit and log else log
    if total > _most_blocks(spec):
        if spec.fast_commit_size is None:
            raise _out_of_range(spec)
        room = (_most_blocks(spec) - log) * spec.block_size
        raise SpecError(
            "fast_commit_size",
            f"{spec.fast_commit_size} bytes are more than the {room} that the rest of the journal "
            "leaves",
        )
    return total


def external_journal_blocks(
    spec: Spec, fmt: Format, blocks_count: int, reserved_gdt_blocks: int
) -> int:
    """Return the blocks of the device that holds the journal; 0 if there is none."""
    if not spec.journal_device:
        return 0
    log = _log_blocks(spec, fmt, blocks_count, reserved_gdt_blocks)
    before = journal_device_start(fmt.block_size)
    least = JBD2_MIN_JOURNAL_BLOCKS + before
    if spec.journal == "auto":
        log = max(log + before, least)
    elif log < least:
        # fs/jbd2/journal.c:journal_reset counts from the first block of the log.
        raise SpecError(
            "journal",
            f"{spec.journal} bytes are too few for a device; at least {least * spec.block_size} "
            "are needed",
        )
    return log + fast_commit_blocks(spec, log) if fmt.fast_commit else log


def fast_commit_blocks(spec: Spec, log: int) -> int:
    """Return the blocks for fast commits after a log of ``log`` blocks."""
    if spec.fast_commit_size is None:
        return default_fast_commit_blocks(log)
    return ceil_div(spec.fast_commit_size, spec.block_size)


def fast_commit_blocks_in_journal(spec: Spec, fmt: Format, total: int) -> int:
    """Return how many of all ``total`` blocks of a journal are for fast commits."""
    if not fmt.fast_commit:
        return 0
    size = spec.fast_commit_size
    return fast_commit_blocks_in(total) if size is None else ceil_div(size, spec.block_size)


def _log_blocks(spec: Spec, fmt: Format, blocks_count: int, reserved_gdt_blocks: int) -> int:
    if not fmt.has_journal or spec.journal == "none":
        return 0
    least = growth_journal_blocks(reserved_gdt_blocks)
    if spec.journal == "auto":
        usual = default_journal_blocks(blocks_count)
        return max(usual, least) + _extra_blocks(spec) if usual else 0
    assert isinstance(spec.journal, int)
    blocks = ceil_div(spec.journal, spec.block_size)
    if not JBD2_MIN_JOURNAL_BLOCKS <= blocks <= _most_blocks(spec):
        raise _out_of_range(spec)
    if spec.grow_to is not None and blocks < least:
        raise SpecError(
            "journal",
            f"{spec.journal} bytes are too few to grow online to {spec.grow_to}; "
            f"at least {least * spec.block_size} are needed",
        )
    return blocks


def _extra_blocks(spec: Spec) -> int:
    """Return the blocks that the policy adds; the same for all sizes that are tried."""
    if spec.policy is None:
        return 0
    extra = fresh_policy(spec.policy).journal_extra()
    if spec.size is not None and extra * EXTRA_DIVISOR >= spec.size // spec.block_size:
        return 0
    return extra


def _out_of_range(spec: Spec) -> SpecError:
    return SpecError(
        "journal",
        f"{spec.journal} bytes are not between {JBD2_MIN_JOURNAL_BLOCKS * spec.block_size} "
        f"and {_most_blocks(spec) * spec.block_size}, the limits for this block size",
    )


def _most_blocks(spec: Spec) -> int:
    return MAX_JOURNAL_DEVICE_BLOCKS if spec.journal_device else JBD2_MAX_JOURNAL_BLOCKS


def journal_file(fmt: Format, blocks: int, location: JournalLocation = None) -> SystemFile | None:
    """Return a journal of ``blocks`` blocks; None for 0. A ``location`` is in bytes."""
    if not blocks:
        return None
    goal = location // fmt.block_size if isinstance(location, int) else location
    return SystemFile(
        ino=EXT4_JOURNAL_INO,
        purpose=JOURNAL_PURPOSE,
        size_bytes=blocks * fmt.block_size,
        data_blocks=blocks,
        mapping=mapping_of(fmt),
        goal=goal,
    )
