"""Quota files: what each user, group and project uses, and may use."""

from __future__ import annotations

from collections.abc import Iterator

from ...arithmetic import ceil_div
from ...errors import SpecError
from ...ondisk.format import Format
from ...ondisk.inode import EXT4_IMMUTABLE_FL
from ...ondisk.quota import (
    QT_BLKSIZE,
    QUOTA_FILE_MOST_BYTES,
    QUOTA_KINDS,
    QuotaKind,
    QuotaTree,
)
from ..inodes import InodeTable
from ..mapping import mapping_of
from ..spec import Spec, quota_kinds
from .base import QUOTA_PURPOSE, SystemFile


def quota_ids(table: InodeTable, spec: Spec, kind: QuotaKind) -> list[int]:
    """Return the IDs that have an entry, ascending: those that own something or have a limit."""
    ids = {limit.owner for limit in spec.quota_limits if limit.kind == kind.name and any(limit[2:])}
    if kind.name == "user":
        ids.update(table.uids)
    elif kind.name == "group":
        ids.update(table.gids)
    else:
        ids.update(table.projects.values())
        if len(table.projects) < len(table.nodes):
            ids.add(0)
    return sorted(ids)


def quota_kind_of(file: SystemFile) -> QuotaKind:
    """Return the kind of owners whose usage a quota file counts."""
    return next((kind for kind in QUOTA_KINDS if kind.ino == file.ino), QUOTA_KINDS[-1])


def quota_files(
    spec: Spec, fmt: Format, table: InodeTable, project_ino: int
) -> Iterator[SystemFile]:
    """Yield the file of each kind; none depends on the size of the file system."""
    for kind in QUOTA_KINDS:
        if kind.name not in quota_kinds(spec):
            continue
        ids = quota_ids(table, spec, kind)
        size = QuotaTree.of(ids).blocks * QT_BLKSIZE
        if size > QUOTA_FILE_MOST_BYTES:
            raise SpecError(
                "quotatype",
                f"the quota of {len(ids)} {kind.name}s would fill {size} bytes, but a quota file "
                f"has {QUOTA_FILE_MOST_BYTES} at most; leave {kind.short} out",
            )
        yield SystemFile(
            ino=kind.ino or project_ino,
            purpose=QUOTA_PURPOSE,
            size_bytes=size,
            data_blocks=ceil_div(size, fmt.block_size),
            mapping=mapping_of(fmt),
            # lib/support/quotaio.c:quota_inode_init_new
            inode_flags=EXT4_IMMUTABLE_FL,
        )
