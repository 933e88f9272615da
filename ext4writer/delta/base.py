"""Reads the layout of an earlier image, which may also be a plan that was never written."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeAlias
from uuid import UUID

from ..checked import checked
from ..errors import SourceError
from ..layout import Layout
from ..ondisk.inode import EXT4_EXTENTS_FL
from ..ondisk.superblock import (
    EXT4_GRP_QUOTA_INO,
    EXT4_JOURNAL_INO,
    EXT4_RESIZE_INO,
    EXT4_USR_QUOTA_INO,
    SUPERBLOCK,
)
from ..plan_file.saved import MAGIC
from ..planning.hints import Hints, Place
from ..read.image import Image, open_image
from ..read.inodes import Inode
from ..read.mapping import FileExtent, mapping
from ..tree import Path

Base: TypeAlias = Path | Layout
"""A plan, or the path of an image, device or saved plan."""


@contextmanager
@checked()
def open_base(base: Base) -> Iterator[Image]:
    """Open an earlier image for reading; a plan is opened as the image that it describes.

    Raises :class:`~ext4writer.SourceError` for a file that cannot be read,
    :class:`~ext4writer.ImageError` for a file that is neither ext4 nor a plan,
    :class:`~ext4writer.PlanError`, and :class:`~ext4writer.DamageError` for a damaged image.
    """
    with ExitStack() as stack:
        if not isinstance(base, Layout):
            path = os.fsencode(base)
            if not _is_plan(path):
                yield stack.enter_context(open_image(os.fsdecode(path)))
                return
            base = Layout.load(path)
        image = stack.enter_context(base.open())
        yield stack.enter_context(open_image(image))


def _is_plan(path: bytes) -> bool:
    try:
        mode = os.stat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode) or stat.S_ISDIR(mode)):
            # Opening a pipe would block, and it could not be read twice.
            raise SourceError(path, "is neither a file nor a block device, as a base must be")
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise SourceError(path, f"cannot be read: {error.strerror}") from error


def hints_of(image: Image) -> Hints:
    """Return where ``image`` stores each path and the system files; raise errors of the reader."""
    root = _place(image.root)
    files = {b"/": root}
    known = {root.ino: root}
    for found in image.walk():
        if not found.is_path:
            continue
        ino = found.inode.ino
        if ino not in known:
            known[ino] = _place(found.inode)
        files[found.path] = known[ino]
    fmt = image.format
    inos = {EXT4_USR_QUOTA_INO, EXT4_GRP_QUOTA_INO, EXT4_RESIZE_INO, EXT4_JOURNAL_INO}
    inos |= {image.number("s_prj_quota_inum"), image.number("s_orphan_file_inum")}
    system = {}
    for ino in sorted(inos - {0}):
        inode = image.try_inode(ino)
        if inode is not None and inode.mode and inode.links:
            system[ino] = _place(inode)
    if image.number("s_mmp_block"):
        system[0] = Place(0, 0, ((0, 1, image.number("s_mmp_block")),))
    return Hints(
        block_size=image.block_size,
        blocks_per_cluster=fmt.blocks_per_cluster,
        size=image.blocks_count * image.block_size,
        blocks_per_group=fmt.blocks_per_group,
        inodes_per_group=image.inodes_per_group,
        reserved_gdt_blocks=image.number("s_reserved_gdt_blocks"),
        uuid=_uuid(image, "s_uuid"),
        hash_seed=_uuid(image, "s_hash_seed"),
        files=files,
        system=system,
    )


def _uuid(image: Image, field: str) -> UUID:
    at = SUPERBLOCK.offset(field)
    return UUID(bytes=bytes(image.superblock_bytes[at : at + 16]))


def _place(inode: Inode) -> Place:
    runs: list[tuple[int, int, int]] = []
    blocks: list[tuple[int, int]] = []
    for item in mapping(inode):
        if isinstance(item, FileExtent):
            runs.append((item.logical, item.length, item.physical))
        else:
            blocks.append((item.level, item.block))
    if inode.flags & EXT4_EXTENTS_FL and len(blocks) > 1:
        # The planner orders blocks of extent trees by level, but those of block maps depth first.
        blocks.sort(key=lambda one: -one[0])
    map_blocks = tuple(block for _, block in blocks)
    return Place(inode.ino, inode.file_type, tuple(runs), map_blocks, inode.file_acl)
