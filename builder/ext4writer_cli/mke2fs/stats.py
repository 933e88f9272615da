"""The lines about a new file system, which scripts parse (misc/mke2fs.c:show_stats)."""

from __future__ import annotations

from uuid import UUID

from ext4writer.bits import log2
from ext4writer.ondisk.superblock import EXT4_MIN_BLOCK_LOG_SIZE

from .arguments import Arguments
from .settings import Settings

LINE = 72
"""Characters of a line of block numbers."""


def stats(settings: Settings, arguments: Arguments, uuid: bytes | None) -> str:
    """Return the text. A ``uuid`` of None or of zeros is not shown."""
    numbers, fmt = settings.numbers, settings.numbers.format
    if not arguments.verbose:
        text = (
            f"Creating filesystem with {numbers.blocks} {fmt.block_size >> 10}k blocks and "
            f"{numbers.inodes} inodes\n"
        )
    else:
        text = _details(settings, arguments)
    if numbers.groups == 1:
        return text + "\n"
    if uuid is not None and any(uuid):
        text += f"Filesystem UUID: {UUID(bytes=uuid)}\n"
    text += "Superblock backups stored on blocks: "
    left = 0
    for group in fmt.super_groups(numbers.groups)[1:]:
        block = fmt.group_first_block(group)
        if group != 1:
            text += ", "
        needed = len(str(block)) + 2
        if needed > left:
            text += "\n\t"
            left = LINE
        left -= needed
        text += str(block)
    return text + "\n\n"


def unused(settings: Settings, arguments: Arguments) -> str:
    """Return the warning about unused blocks that -v prints, or an empty text."""
    blocks = settings.requested_blocks - settings.numbers.blocks
    return f"warning: {blocks} blocks unused.\n\n" if blocks and arguments.verbose else ""


def _details(settings: Settings, arguments: Arguments) -> str:
    numbers, fmt, options = settings.numbers, settings.numbers.format, settings.options
    log = log2(fmt.block_size) - EXT4_MIN_BLOCK_LOG_SIZE
    log_cluster = log2(fmt.cluster_size) - EXT4_MIN_BLOCK_LOG_SIZE
    kind = "Cluster" if fmt.bigalloc else "Fragment"
    share = 100.0 * numbers.reserved_blocks / numbers.blocks
    text = (
        f"Filesystem label={arguments.label}\n"
        f"OS type: {settings.creator_os}\n"
        f"Block size={fmt.block_size} (log={log})\n"
        f"{kind} size={fmt.cluster_size} (log={log_cluster})\n"
        f"Stride={options['raid_stride']} blocks, "
        f"Stripe width={options['raid_stripe_width']} blocks\n"
        f"{numbers.inodes} inodes, {numbers.blocks} blocks\n"
        f"{numbers.reserved_blocks} blocks ({share:2.2f}%) reserved for the super user\n"
        f"First data block={fmt.first_data_block}\n"
    )
    owner = settings.extended.root_owner or (0, 0)
    if owner != (0, 0):
        text += f"Root directory owner={owner[0]}:{owner[1]}\n"
    if numbers.reserved_gdt_blocks:
        blocks = numbers.reserved_gdt_blocks + fmt.gdt_blocks(numbers.groups)
        most = blocks * fmt.descs_per_block * fmt.blocks_per_group
        text += f"Maximum filesystem blocks={most}\n"
    text += f"{numbers.groups} block group{'s' if numbers.groups > 1 else ''}\n"
    second = "clusters" if fmt.bigalloc else "fragments"
    text += (
        f"{fmt.blocks_per_group} blocks per group, {fmt.clusters_per_group} {second} per group\n"
        f"{settings.numbers.inodes_per_group} inodes per group\n"
    )
    return text
