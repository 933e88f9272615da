"""Compares the quota files with the actual usage. Rules: lib/support/mkquota.c."""

from __future__ import annotations

from ...arithmetic import ceil_div
from ...errors import DamageError, ImageError
from ...ondisk.inode import EXT4_EA_INODE_FL
from ...ondisk.quota import (
    ENTRIES_PER_BLOCK,
    QT_BLKSIZE,
    QUOTA_BLOCK_HEADER,
    QUOTA_ENTRY,
    QUOTA_HEADER,
    QUOTA_INFO,
    QUOTA_KINDS,
    QuotaKind,
)
from ...ondisk.superblock import (
    EXT4_BAD_INO,
    EXT4_BOOT_LOADER_INO,
    EXT4_GOOD_OLD_FIRST_INO,
    EXT4_ROOT_INO,
)
from ...read import FileReader, Inode
from ...read.quota import ENTRIES, check_header, entry_offsets, quota_inodes, tree_blocks
from .state import Check

_MAX_BYTES = 1 << 30
_NEVER_QUOTA = (EXT4_BAD_INO, EXT4_ROOT_INO, *range(EXT4_BOOT_LOADER_INO, EXT4_GOOD_OLD_FIRST_INO))
"""Reserved inodes except the two for user and group quota."""


def count_usage(check: Check, inode: Inode, blocks: int, inodes: int) -> None:
    """Add an inode to the usage of its user, group and project, if the image has quota.

    ``blocks`` and ``inodes`` are what is charged for it.
    """
    fmt = check.format
    if not fmt.quota or inode.flags & EXT4_EA_INODE_FL:
        return
    if inode.ino < fmt.first_ino and inode.ino != EXT4_ROOT_INO:
        return
    ids = [("user", inode.uid), ("group", inode.gid)]
    if fmt.project:
        ids.append(("project", inode.projid))
    for key in ids:
        used = check.usage.setdefault(key, [0, 0, 0])
        used[0] += blocks * check.block_size
        used[1] += inodes
        used[2] += inode.is_symlink and inode.has_inline_data


def check_quota(check: Check) -> None:
    """Compare every quota file with the usage that was counted."""
    image = check.image
    for kind in QUOTA_KINDS:
        # e2fsck/quota.c:e2fsck_validate_quota_inodes does not check the features.
        ino, field = image.number(kind.inum), kind.inum
        if ino in _NEVER_QUOTA or ino > image.inodes_count:
            text = f"is {ino}, which cannot hold {kind.name} quota"
            check.of_superblock("PR_0_INVALID_QUOTA_INO", field, text)
    if not check.format.quota:
        return
    for ino, kind in sorted(quota_inodes(image).items()):
        name = kind.name
        inode = image.inode(ino)
        try:
            head = FileReader(inode).read_at(0, 2 * QT_BLKSIZE)
            text = _wrong_info(head, inode.size)
            if text:
                check.of_inode("PR_6_UPDATE_QUOTAS", inode, "i_block", f"of {name} quota {text}")
                continue
            check_header(head, kind)
        except (DamageError, ImageError, ValueError) as error:
            # The kernel cannot turn quota on; e2fsck ignores such a file.
            text = f"of {name} quota: {error}"
            check.of_record(
                "QUOTA_HEADER", inode.record, "i_block", inode.offset, text, ino, warn=True
            )
            continue
        try:
            stored = _read(FileReader(inode).read_at(0, min(_MAX_BYTES, image.store.size)), kind)
        except (DamageError, ImageError, ValueError) as error:
            check.of_inode("PR_6_UPDATE_QUOTAS", inode, "i_block", f"of {name} quota: {error}")
            continue
        used = {owner: counts for (of, owner), counts in check.usage.items() if of == name}
        for owner in sorted(used.keys() | stored.keys()):
            *found, overlooked = used.get(owner, [0, 0, 0])
            recorded = stored.get(owner, [0, 0])
            # e2fsck does not count symlinks with inline data, but the kernel does.
            if recorded not in (found, [found[0], found[1] - overlooked]):
                text = (
                    f"of {name} quota records {recorded[0]} bytes and {recorded[1]} inodes for "
                    f"{owner}, but there are {found[0]} and {found[1]}"
                )
                check.of_inode("PR_6_UPDATE_QUOTAS", inode, "i_block", text)
                break


def _wrong_info(data: bytes, size: int) -> str:
    """Return what is impossible in the header (lib/support/quotaio_v2.c:v2_init_io), or ``""``."""
    if len(data) < QUOTA_HEADER.size + QUOTA_INFO.size:
        return f"is {size} bytes long"
    version = QUOTA_HEADER.number(data, 0, "dqh_version")
    if version != 1:
        return f"is of version {version}"
    fields = ("dqi_blocks", "dqi_free_blk", "dqi_free_entry")
    blocks, *free = (QUOTA_INFO.number(data, QUOTA_HEADER.size, name) for name in fields)
    if blocks > ceil_div(size, QT_BLKSIZE):
        return f"has dqi_blocks {blocks}, but the file has {size} bytes"
    for field, value in zip(fields[1:], free, strict=True):
        if value >= blocks:
            return f"has {field} {value}, but only {blocks} blocks"
    return ""


def _read(data: bytes, kind: QuotaKind) -> dict[int, list[int]]:
    """Return id -> [bytes, inodes] of a quota file; raise ValueError if it is damaged."""
    check_header(data, kind)
    found = {}
    for block, level in tree_blocks(data):
        if level < ENTRIES:
            continue
        entries = QUOTA_BLOCK_HEADER.number(data, block * QT_BLKSIZE, "dqdh_entries")
        if entries > ENTRIES_PER_BLOCK:
            raise ValueError(f"has {entries} entries in block {block}")
        for at in entry_offsets(data, block):
            number = QUOTA_ENTRY.number
            found[number(data, at, "dqb_id")] = [
                number(data, at, "dqb_curspace"), number(data, at, "dqb_curinodes")
            ]  # fmt: skip
    return found
