"""Quota: what the quota files say against what is in use. Rules: lib/support/mkquota.c."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ...errors import DamageError, ImageError
from ...ondisk.inode import EXT4_EA_INODE_FL
from ...ondisk.quota import (
    GROUP_QUOTA_MAGIC,
    PROJECT_QUOTA_MAGIC,
    QT_BLKSIZE,
    QT_TREEDEPTH,
    QT_TREEOFF,
    QUOTA_BLOCK_HEADER,
    QUOTA_ENTRY,
    QUOTA_HEADER,
    USER_QUOTA_MAGIC,
)
from ...ondisk.superblock import EXT4_ROOT_INO
from ...read import Inode
from .state import Check

_USER, _GROUP, _PROJECT = range(3)
_FILES = (
    (_USER, "s_usr_quota_inum", USER_QUOTA_MAGIC, "user"),
    (_GROUP, "s_grp_quota_inum", GROUP_QUOTA_MAGIC, "group"),
    (_PROJECT, "s_prj_quota_inum", PROJECT_QUOTA_MAGIC, "project"),
)
_MAX_BYTES = 1 << 30


def count_usage(check: Check, inode: Inode, blocks: int, inodes: int) -> None:
    """Add an inode to the use of its owners, where the file system keeps quota."""
    fmt = check.format
    if not fmt.quota or inode.flags & EXT4_EA_INODE_FL:
        return
    if inode.ino < fmt.first_ino and inode.ino != EXT4_ROOT_INO:
        return
    ids = [(_USER, inode.uid), (_GROUP, inode.gid)]
    if fmt.project:
        ids.append((_PROJECT, inode.projid))
    for key in ids:
        used = check.usage.setdefault(key, [0, 0, 0])
        used[0] += blocks * check.block_size
        used[1] += inodes
        used[2] += inode.is_symlink and inode.has_inline_data


def check_quota(check: Check) -> None:
    """Compare every quota file with the use that was counted."""
    image = check.image
    if not check.format.quota:
        return
    for kind, field, magic, name in _FILES:
        ino = image.number(field)
        if not ino or (kind == _PROJECT and not check.format.project):
            continue
        inode = image.inode(ino)
        try:
            stored = _read(image.open(inode).readall()[:_MAX_BYTES], magic)
        except (DamageError, ImageError, ValueError) as error:
            check.of_inode("PR_6_UPDATE_QUOTAS", inode, "i_block", f"of {name} quota: {error}")
            continue
        used = {owner: counts for (of, owner), counts in check.usage.items() if of == kind}
        for owner in sorted(used.keys() | stored.keys()):
            *found, overlooked = used.get(owner, [0, 0, 0])
            said = stored.get(owner, [0, 0])
            # e2fsck counts no links that lie in the inode, and the kernel does.
            if said not in (found, [found[0], found[1] - overlooked]):
                text = (
                    f"of {name} quota says {said[0]} bytes and {said[1]} inodes of {owner}, "
                    f"and there are {found[0]} and {found[1]}"
                )
                check.of_inode("PR_6_UPDATE_QUOTAS", inode, "i_block", text)
                break


def _read(data: bytes, magic: int) -> dict[int, list[int]]:
    """id -> [bytes, inodes] of a quota file; ValueError says what is wrong with it."""
    if len(data) < 2 * QT_BLKSIZE or QUOTA_HEADER.number(data, 0, "dqh_magic") != magic:
        raise ValueError("has no header")
    if QUOTA_HEADER.number(data, 0, "dqh_version") != 1:
        raise ValueError("is not of version 1")
    found = {}
    for block in set(_leaves(data, QT_TREEOFF, 0, set())):
        entries = QUOTA_BLOCK_HEADER.number(data, block * QT_BLKSIZE, "dqdh_entries")
        room = (QT_BLKSIZE - QUOTA_BLOCK_HEADER.size) // QUOTA_ENTRY.size
        if entries > room:
            raise ValueError(f"has {entries} entries in block {block}")
        for place in range(room):
            at = block * QT_BLKSIZE + QUOTA_BLOCK_HEADER.size + place * QUOTA_ENTRY.size
            if not any(data[at : at + QUOTA_ENTRY.size]):
                continue
            number = QUOTA_ENTRY.number
            found[number(data, at, "dqb_id")] = [
                number(data, at, "dqb_curspace"), number(data, at, "dqb_curinodes")
            ]  # fmt: skip
    return found


def _leaves(data: bytes, block: int, level: int, seen: set[int]) -> Iterator[int]:
    """Yield the blocks of entries below ``block``."""
    if block in seen or (block + 1) * QT_BLKSIZE > len(data):
        raise ValueError(f"has a tree that leads to block {block}")
    seen.add(block)
    children = struct.unpack_from(f"<{QT_BLKSIZE // 4}I", data, block * QT_BLKSIZE)
    for child in filter(None, children):
        if level + 1 < QT_TREEDEPTH:
            yield from _leaves(data, child, level + 1, seen)
        elif (child + 1) * QT_BLKSIZE > len(data):
            raise ValueError(f"has a tree that leads to block {child}")
        else:
            yield child
