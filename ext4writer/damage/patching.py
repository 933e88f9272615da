"""Applies overrides to an image in memory, with checksums right, stale or wrong."""

from __future__ import annotations

import mmap
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from os import PathLike

from ..arithmetic import round_down
from ..errors import ImageError, OverrideError
from ..ondisk.dirent import DIR_ENTRY_TAIL
from ..ondisk.extent import EXTENT, EXTENT_HEADER
from ..ondisk.format import Format
from ..ondisk.group_desc import GROUP_DESC
from ..ondisk.htree import DX_COUNTLIMIT, DX_ENTRY, DX_NODE_COUNT_OFFSET, DX_ROOT_COUNT_OFFSET
from ..ondisk.inode import INODE
from ..ondisk.journal import JOURNAL_SUPERBLOCK
from ..ondisk.mmp import MMP
from ..ondisk.orphan import ORPHAN_BLOCK_TAIL
from ..ondisk.record import ReadBuffer, WriteBuffer
from ..ondisk.superblock import SUPERBLOCK, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE
from ..ondisk.units import Unit, UnitKind, checksum_fields, checksum_unit
from ..ondisk.xattr import XATTR_HEADER
from ..output.opening import OutputLike, open_sink
from ..read.image import Image, open_image
from ..read.partitions import partition as find_partition
from ..read.stores import open_store
from ..spans import Span
from .checksums import set_checksums
from .locate import Locator
from .override import Override, parsed_overrides
from .places import Holder, Place

_SEEDS = ("s_uuid", "s_checksum_seed", "s_feature_incompat", "s_feature_ro_compat")
"""Fields of the superblock on which all checksums depend."""
_FIXED_CHECKSUMS = {
    UnitKind.SUPERBLOCK: SUPERBLOCK.offset("s_checksum"),
    UnitKind.GROUP_DESC: GROUP_DESC.offset("bg_checksum"),
    UnitKind.INODE: INODE.offset("l_i_checksum_lo"),
    UnitKind.XATTR_BLOCK: XATTR_HEADER.offset("h_checksum"),
    UnitKind.JOURNAL_SUPERBLOCK: JOURNAL_SUPERBLOCK.offset("s_checksum"),
    UnitKind.MMP: MMP.offset("mmp_checksum"),
}
"""Offsets of checksums in their units, in bytes."""
_FROM_END = {
    UnitKind.DIR_BLOCK: DIR_ENTRY_TAIL.size - DIR_ENTRY_TAIL.offset("det_checksum"),
    UnitKind.ORPHAN_BLOCK: ORPHAN_BLOCK_TAIL.size - ORPHAN_BLOCK_TAIL.offset("ob_checksum"),
}
"""Distances of checksums from the ends of their units, in bytes."""


def patch_into(buffer: WriteBuffer, overrides: Sequence[Override | str]) -> list[Span]:
    """Apply ``overrides`` to the image in ``buffer``, in place.

    Returns, for each override, the span of bytes of the unit of metadata that it changed.

    All targets are located before anything changes; then the overrides are applied in order. Raises
    :class:`~ext4writer.OverrideError` for a target that is not in the image, and
    :class:`~ext4writer.ImageError` for bytes that are not an image; ``buffer`` is then unchanged.
    """
    with memoryview(buffer) as view:
        return _patch(bytes(buffer) if len(buffer) <= _COPIED else view, view, overrides)


def patched(image: bytes, overrides: Sequence[Override | str]) -> bytes:
    """See :func:`ext4writer.damage.patch`."""
    changed = bytearray(image)
    with memoryview(changed) as view:
        _patch(image, view, overrides)
    return bytes(changed)


def _patch(before: ReadBuffer, view: memoryview, overrides: Sequence[Override | str]) -> list[Span]:
    """Apply ``overrides`` to ``view``; their targets are located in ``before``, a copy of it."""
    parsed = parsed_overrides(overrides)
    image = open_image(memoryview(before), on_damage=lambda _: None)
    try:
        return _carry_out(image, view, parsed)
    finally:
        image.close()


def patch_file(
    image: str | PathLike[str],
    output: OutputLike,
    overrides: Sequence[Override | str],
    offset: int = 0,
    partition: int | None = None,
) -> None:
    """See :func:`ext4writer.damage.patch_image`."""
    with ExitStack() as opened:
        store = open_store(image)
        opened.callback(store.close)
        end = store.size
        if partition is not None:
            part = find_partition(store, partition)
            offset, end = offset + part.offset, min(part.offset + part.size, end)
        if offset < 0 or end - offset < SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE:
            raise ImageError(store.name, f"has no space for a file system at byte {offset}")
        file = opened.enter_context(open(image, "rb"))
        memory = private_memory(file.fileno(), store.size)
        with memoryview(memory) as view:
            try:
                changed = patch_into(view[offset:end], overrides)
            except ImageError as error:
                raise ImageError(store.name, error.problem) from None
            moved = ((first + offset, last + offset) for first, last in changed)
            stretches = sorted([*store.stored(0, store.size), *moved])
            with open_sink(output, store.size) as sink:
                done = 0
                for first, last in stretches:
                    for at in range(round_down(max(first, done), _PIECE), last, _PIECE):
                        start, end = max(at, first, done), min(at + _PIECE, last)
                        if start < end and view[start:end] != _ZEROS[: end - start]:
                            sink.write_at(start, view[start:end])
                    done = max(done, last)
                sink.finish()


def private_memory(fd: int, size: int) -> mmap.mmap:
    """Map ``size`` bytes of a file, or zeros for the descriptor -1; changes stay in memory.

    Only changed pages need memory, even for an image of terabytes.
    """
    private, anonymous = getattr(mmap, "MAP_PRIVATE", None), getattr(mmap, "MAP_ANONYMOUS", None)
    if private is None or anonymous is None:
        return mmap.mmap(-1, size) if fd < 0 else mmap.mmap(fd, size, access=mmap.ACCESS_COPY)
    flags = private | _NORESERVE | (anonymous if fd < 0 else 0)
    return mmap.mmap(fd, size, flags=flags)


_NORESERVE = 0x4000 if sys.platform == "linux" else 0
"""MAP_NORESERVE: no memory is reserved for changes."""
_PIECE = 64 << 10
_ZEROS = bytes(_PIECE)
_COPIED = 64 << 20
"""Images up to this size in bytes are read from a copy, which changes cannot affect."""


def _carry_out(image: Image, view: memoryview, overrides: Sequence[Override]) -> list[Span]:
    locator = Locator(image, len(view))
    places = [locator.find(override) for override in overrides]
    # Compute every value before writing any: errors must leave the image unchanged.
    for place in places:
        place.changed(image, view)
        if place.override.poison:
            _poisoned_byte(image, view, place)
    to_set = [place for place in places if place.override.reseal and not _is_own_checksum(place)]
    changed: set[int] = set()
    for place in to_set:
        written = _write(image, view, place)
        if _affects_other_units(place):
            changed |= written
    if changed:
        set_checksums(view, changed)
    _set_unit_checksums(image, view, [place.holder for place in to_set])
    for place in places:
        if place.override.poison:
            _poison(image, view, place)
    for place in places:
        if not place.override.reseal or _is_own_checksum(place):
            _write(image, view, place)
    return [Span(place.holder.offset, place.holder.offset + place.holder.size) for place in places]


def _affects_other_units(place: Place) -> bool:
    """Return whether checksums outside the unit depend on the field, or the unit is unknown."""
    kind = place.holder.kind
    if kind is UnitKind.SUPERBLOCK:
        return place.field in _SEEDS and not place.holder.group
    return kind is None or (kind is UnitKind.INODE and place.field == "i_generation")


def _set_unit_checksums(image: Image, view: memoryview, holders: Sequence[Holder]) -> None:
    """Set the checksums of these units; bitmaps come first, as descriptors hold theirs."""
    fmt = image.format
    units = {(holder.kind, holder.offset): holder for holder in holders if holder.kind is not None}
    descriptors: dict[int, Holder] = {}
    for holder in units.values():
        if holder.kind not in (UnitKind.BLOCK_BITMAP, UnitKind.INODE_BITMAP):
            continue
        checksum = _set_unit_checksum(fmt, view, holder)
        if checksum is None:
            continue
        for at in _descriptor_copies(image, holder.group):
            image.desc_record.put(view, at, f"bg_{holder.kind.value}_csum", checksum)
            descriptors[at] = Holder(UnitKind.GROUP_DESC, at, fmt.desc_size, group=holder.group)
    for holder in [*units.values(), *descriptors.values()]:
        if holder.kind not in (UnitKind.BLOCK_BITMAP, UnitKind.INODE_BITMAP):
            _set_unit_checksum(fmt, view, holder)


def _set_unit_checksum(fmt: Format, view: memoryview, holder: Holder) -> int | None:
    assert holder.kind is not None
    number = holder.group if holder.kind is UnitKind.GROUP_DESC else holder.logical
    unit = Unit(
        holder.kind, holder.ino, number, holder.offset, holder.size, None, holder.generation
    )
    # ValueError: a changed field now puts the checksum outside of the unit.
    with suppress(ValueError):
        return checksum_unit(fmt, unit, view, holder.offset)
    return None


def _descriptor_copies(image: Image, group: int) -> list[int]:
    """Return the offsets of all copies of a descriptor, in bytes."""
    fmt = image.format
    block, place = divmod(group, fmt.descs_per_block)
    copies = fmt.desc_block_copies(block, image.groups)
    return [copy * image.block_size + place * fmt.desc_size for copy in copies]


def _write(image: Image, view: memoryview, place: Place) -> set[int]:
    """Write the new value of a place; return the offsets of the bytes written."""
    place.put(view, place.changed(image, view))
    return {byte for at, size in place.parts for byte in range(at, at + size)}


def _is_own_checksum(place: Place) -> bool:
    kind = place.holder.kind
    return kind is not None and place.field in {
        *checksum_fields(kind),
        *(("i_checksum",) if kind is UnitKind.INODE else ()),
    }


def _poisoned_byte(image: Image, view: memoryview, place: Place) -> int:
    """Return the offset of the checksum over a place; raise :class:`OverrideError` for none."""
    at = _checksum_at(image, view, place.holder)
    if at is None:
        raise OverrideError(f"override {place.override}: no checksum covers it in this image")
    return at


def _poison(image: Image, view: memoryview, place: Place) -> None:
    """Flip one bit of the checksum of a unit."""
    holder = place.holder
    view[_poisoned_byte(image, view, place)] ^= 1
    if holder.kind in (UnitKind.BLOCK_BITMAP, UnitKind.INODE_BITMAP):
        start = image.descriptor_offset(holder.group)
        size = image.format.desc_size
        _set_unit_checksum(
            image.format, view, Holder(UnitKind.GROUP_DESC, start, size, group=holder.group)
        )


def _checksum_at(image: Image, view: memoryview, holder: Holder) -> int | None:
    kind, fmt = holder.kind, image.format
    if kind is UnitKind.GROUP_DESC:
        return holder.offset + _FIXED_CHECKSUMS[kind] if fmt.has_uninit_groups else None
    if not fmt.metadata_csum or kind is None:
        return None
    if kind in (UnitKind.BLOCK_BITMAP, UnitKind.INODE_BITMAP):
        name = f"bg_{kind.value}_csum_lo"
        return image.descriptor_offset(holder.group) + image.desc_record.offset(name)
    if kind in _FIXED_CHECKSUMS:
        return holder.offset + _FIXED_CHECKSUMS[kind]
    if kind in _FROM_END:
        return holder.offset + holder.size - _FROM_END[kind]
    if kind is UnitKind.EXTENT_BLOCK:
        most = EXTENT_HEADER.number(view, holder.offset, "eh_max")
        return _inside(holder, EXTENT_HEADER.size + EXTENT.size * most)
    if kind in (UnitKind.DX_ROOT, UnitKind.DX_NODE):
        base = DX_ROOT_COUNT_OFFSET if kind is UnitKind.DX_ROOT else DX_NODE_COUNT_OFFSET
        limit = DX_COUNTLIMIT.number(view, holder.offset + base, "limit")
        return _inside(holder, base + DX_ENTRY.size * limit + 4)
    return None


def _inside(holder: Holder, at: int) -> int | None:
    return holder.offset + at if at + 4 <= holder.size else None
