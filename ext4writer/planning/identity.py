"""UUID and hash seed of an image whose Spec has none: digests of the tree and the Spec.

They depend on what the image holds, so times are digested as written, after clamping. Options at
their defaults are left out: neither a release that adds options nor a caller that spells out a
default may change the UUID.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence
from itertools import compress
from typing import Any
from uuid import UUID

from ..arithmetic import ceil_div
from ..attributes import OTHER_TIMES
from ..bits import MASK_64
from ..blake2 import blake2b
from ..content import reading_buffer
from ..errors import SourceChangedError, SpecError
from ..late_dataclasses import fields, replace
from ..nodes import IS_OTHER, IS_REGULAR
from ..ondisk.inode import EXT4_GOOD_OLD_INODE_SIZE, MIN_TIME_NS
from ..progress import Cancel, check_cancelled
from ..tree import S_IFREG, Device, RegularFile, Symlink
from ..units import NANOSECONDS
from .contents import DataBlocks
from .inodes import InodeTable
from .layout import Times
from .policy import DEFAULT_POLICY
from .spec import DEFAULT_FREE, Spec, format_of

_NO_TIME = MIN_TIME_NS - 1 & MASK_64
"""Stands for a missing time: no time that is written has this value."""

_PIECE_BYTES = 1 << 20


def derive_identity(table: InodeTable, times: Times, spec: Spec) -> tuple[UUID, UUID]:
    """Return UUID and hash seed: those of the Spec, or digests of names, attributes and sizes.

    File content is not included, so that planning need not read it; :func:`with_content` adds it.
    The UUID also depends on the Spec, since different images are different file systems. The hash
    seed does not: it determines how full the blocks of indexed directories are, and a different
    size must not change the space that is needed.
    """
    if spec.uuid is not None and spec.hash_seed is not None:
        return spec.uuid, spec.hash_seed
    whole_seconds = spec.inode_size == EXT4_GOOD_OLD_INODE_SIZE
    of_tree = _digest_of_tree(table, times, whole_seconds)
    of_all = blake2b(of_tree + _options(spec), digest_size=16, person=b"ext4writer")
    uuid = spec.uuid or UUID(bytes=_version_8(of_all.digest()))
    return uuid, spec.hash_seed or UUID(bytes=_version_8(of_tree))


def derive_journal_uuid(volume: UUID) -> UUID:
    """Derive the UUID of an external journal from that of the file system."""
    digest = blake2b(volume.bytes, digest_size=16, person=b"ext4w journal")
    return UUID(bytes=_version_8(digest.digest()))


def with_content(
    derived: UUID,
    table: InodeTable,
    data: DataBlocks,
    block_size: int,
    cancel: Cancel | None = None,
) -> UUID:
    """Derive a UUID from ``derived`` and the content of every file, which this reads.

    The holes in ``data`` are not read: they depend on content anyway. Raises errors of reading,
    :class:`SourceChangedError` and :class:`CancelledError`.
    """
    digest = blake2b(derived.bytes, digest_size=16, person=b"ext4writer")
    buffer = reading_buffer(_PIECE_BYTES)
    for index in table.indexes_of(S_IFREG):
        node = table.nodes[index]
        assert isinstance(node, RegularFile)
        size = table.sizes[index]
        if not size:
            continue
        reader = node.content.open()
        try:
            for first, count in data.ranges.get(index, [(0, ceil_div(size, block_size))]):
                start, end = first * block_size, min((first + count) * block_size, size)
                digest.update(b"%d %d %d\n" % (index, start, end))
                for offset in range(start, end, _PIECE_BYTES):
                    check_cancelled(cancel)
                    view = buffer[: min(_PIECE_BYTES, end - offset)]
                    if reader.readinto(view, offset) != len(view):
                        raise SourceChangedError(reader.path, f"ends before byte {end}")
                    digest.update(view)
            reader.check_unchanged()
        finally:
            reader.close()
    return UUID(bytes=_version_8(digest.digest()))


_NO_OPTIONS = ("uuid", "identity", "encoding")
"""Options that select the UUID and are not properties of the image, and the encoding, which the
feature casefold implies as long as only one exists."""

_FORMAT_OPTIONS = (
    "blocks_per_group",
    "cluster_size",
    "desc_size",
    "first_meta_bg",
    "groups_per_flex",
    "num_backup_sb",
)
"""Options whose default may depend on other options."""


def _options(spec: Spec) -> bytes:
    """Return one line for each option that is not at its default, sorted by name."""
    lines = []
    for option in fields(spec):
        value = getattr(spec, option.name)
        if option.name in _NO_OPTIONS or value == option.default:
            continue
        if option.name in _FORMAT_OPTIONS and _is_implied(spec, option.name, option.default):
            continue
        if option.name == "policy":
            value = value.name
            if value == DEFAULT_POLICY.name:
                continue
        elif option.name == "free":
            if spec.size is None and value == DEFAULT_FREE:
                continue
        elif option.name == "reserved_percent":
            value = float(value)  # 5 and 5.0 are equal and must have the same text
        elif option.name == "features":
            value = (value.compat, value.incompat, value.ro_compat)
        lines.append((option.name, f"{option.name}={value!r}\n"))
    return "".join(line for _, line in sorted(lines)).encode()


def _is_implied(spec: Spec, name: str, default: Any) -> bool:
    """Return whether the format is the same with option ``name`` at its default."""
    try:
        return format_of(replace(spec, **{name: default})) == format_of(spec)
    except SpecError:
        return False


def _digest_of_tree(table: InodeTable, limits: Times, whole_seconds: bool) -> bytes:
    digest = blake2b(digest_size=16, person=b"ext4writer")
    nodes = table.nodes
    digest.update(_column("I", (len(nodes), len(table.directories), len(table.further_names))))
    digest.update(_column("H", table.modes))
    digest.update(_column("I", table.uids))
    digest.update(_column("I", table.gids))
    latest = min(limits.newest, limits.latest)
    are_exact = table.oldest >= MIN_TIME_NS and table.newest <= latest and not whole_seconds
    if are_exact and isinstance(table.mtimes, array):
        digest.update(_column("q", table.mtimes))
    else:
        digest.update(_times(table.mtimes, limits, whole_seconds))
    for row in OTHER_TIMES:
        others = table.other_times.get(row.name)
        if others is None or (whole_seconds and row.word == "crtime"):
            digest.update(b"none\n")
        else:
            digest.update(_times(others, limits, whole_seconds))
    digest.update(_column("I", table.parents))
    digest.update(_column("Q", compress(table.sizes, table.types.translate(IS_REGULAR))))
    digest.update(_column("I", table.directories))
    digest.update(_column("I", map(len, table.names)))
    digest.update(table.names_digest)
    for index in compress(range(len(nodes)), table.types.translate(IS_OTHER)):
        # The column of modes includes each node's kind, so each line belongs to exactly one node.
        node = nodes[index]
        if isinstance(node, Symlink):
            digest.update(b"%d\n%b" % (len(node.target), node.target))
        elif isinstance(node, Device):
            digest.update(b"%d:%d\n" % (node.major, node.minor))
    for index in table.with_xattrs:
        for attribute, value in sorted((nodes[index].xattrs or {}).items()):
            lengths = index, len(attribute), len(value)
            digest.update(b"%d %d %d\n%b%b" % (*lengths, attribute, value))
    for directory, link, index in table.further_names:
        digest.update(b"%d/%b/%d\n" % (directory, link, index))
    # The number of lines above is known, so they cannot be confused with those below.
    for index, flags in table.flags.items():
        digest.update(b"%d flags %d\n" % (index, flags))
    for index, project in table.projects.items():
        digest.update(b"%d project %d\n" % (index, project))
    return digest.digest()


def _times(
    times: Sequence[int] | Sequence[int | None], limits: Times, whole_seconds: bool
) -> bytes:
    """Return times as they are written, modulo 2**64, in 8 bytes each."""
    unit = NANOSECONDS if whole_seconds else 1
    return _column(
        "Q",
        [_NO_TIME if time is None else limits.fit(time) // unit * unit & MASK_64 for time in times],
    )


def _column(typecode: str, values: Iterable[int]) -> bytes:
    column = array(typecode, values)
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()


def _version_8(raw: bytes) -> bytes:
    """Return ``raw``, 16 bytes, as a UUID of version 8: RFC 9562, section 5.8."""
    value = bytearray(raw)
    value[6] = value[6] & 0x0F | 0x80
    value[8] = value[8] & 0x3F | 0x80
    return bytes(value)
