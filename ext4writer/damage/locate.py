"""Locates the targets of overrides in any image, by reading it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from ..arithmetic import round_down
from ..bits import le32
from ..errors import DamageError, ImageError, OverrideError
from ..ondisk.dirent import (
    DIR_ENTRY_2,
    DIR_ENTRY_HASH,
    DIR_ENTRY_TAIL,
    decode_rec_len,
    rec_len,
)
from ..ondisk.encryption import FSCRYPT_CONTEXT_V1, FSCRYPT_CONTEXT_V2
from ..ondisk.extent import (
    EXTENT,
    EXTENT_HEADER,
    EXTENT_IDX,
    EXTENT_TAIL,
    INLINE_ENTRIES,
    entries_per_block,
)
from ..ondisk.fast_commit import (
    FC_ADD_RANGE,
    FC_DEL_RANGE,
    FC_DENTRY_INFO,
    FC_HEAD,
    FC_INODE,
    FC_TAIL,
    FC_TL,
)
from ..ondisk.htree import (
    DX_COUNTLIMIT,
    DX_ENTRY,
    DX_NODE,
    DX_NODE_COUNT_OFFSET,
    DX_ROOT,
    DX_ROOT_COUNT_OFFSET,
    DX_ROOT_INFO,
    DX_TAIL,
    node_limit,
    root_limit,
)
from ..ondisk.inode import (
    EXT4_EXTENTS_FL,
    EXT4_GOOD_OLD_INODE_SIZE,
    EXT4_VERITY_FL,
    INODE,
    INODE_128,
)
from ..ondisk.journal import JOURNAL_HEADER, JOURNAL_SUPERBLOCK
from ..ondisk.journal_log import (
    JOURNAL_BLOCK_TAG,
    JOURNAL_BLOCK_TAG3,
    JOURNAL_BLOCK_TAIL,
    JOURNAL_COMMIT_HEADER,
    JOURNAL_REVOKE_HEADER,
)
from ..ondisk.mmp import MMP
from ..ondisk.orphan import ORPHAN_BLOCK_TAIL
from ..ondisk.quota import (
    QT_BLKSIZE,
    QUOTA_BLOCK_HEADER,
    QUOTA_ENTRY,
    QUOTA_HEADER,
    QUOTA_INFO,
)
from ..ondisk.record import Meaning, Record
from ..ondisk.superblock import EXT4_ROOT_INO, SUPERBLOCK, SUPERBLOCK_SIZE
from ..ondisk.units import UnitKind
from ..ondisk.verity import DESC_SIZE_BYTES, FSVERITY_DESCRIPTOR
from ..ondisk.xattr import (
    ENCRYPTION_CONTEXT_NAME,
    EXT4_XATTR_INDEX_ENCRYPTION,
    XATTR_ENTRY,
    XATTR_HEADER,
    XATTR_IBODY_HEADER,
    split_name,
)
from ..read.directories import Block, block_kind, blocks, has_hash, inline_parts
from ..read.image import Image
from ..read.inodes import Inode
from ..read.journal import Journal
from ..read.mapping import TreeBlock
from ..read.xattr_entries import in_block, in_inode
from ..spans import Run
from .override import RAW, Override
from .places import Holder, Place

_NUMBER = re.compile(r"[0-9]{1,19}")
_SHOWN = 16
"""The maximum number of names that an error lists."""
_OFFSET = re.compile(r"@?(0x[0-9a-f]{1,16}|[0-9]{1,19})(?::([0-9]{1,9}))?")
_TYPES = ("user", "group", "project")

_AT_OFFSETS: tuple[Record, ...] = (
    *(JOURNAL_HEADER, JOURNAL_BLOCK_TAG, JOURNAL_BLOCK_TAG3, JOURNAL_BLOCK_TAIL),
    *(JOURNAL_COMMIT_HEADER, JOURNAL_REVOKE_HEADER, QUOTA_HEADER, QUOTA_INFO),
    *(QUOTA_BLOCK_HEADER, QUOTA_ENTRY, FC_TL, FC_HEAD, FC_ADD_RANGE, FC_DEL_RANGE),
    *(FC_DENTRY_INFO, FC_INODE, FC_TAIL, FSVERITY_DESCRIPTOR),
    *(FSCRYPT_CONTEXT_V1, FSCRYPT_CONTEXT_V2),
)
_BIG_ENDIAN = frozenset(
    record.name
    for record in (
        *(JOURNAL_SUPERBLOCK, JOURNAL_HEADER, JOURNAL_BLOCK_TAG, JOURNAL_BLOCK_TAG3),
        *(JOURNAL_BLOCK_TAIL, JOURNAL_COMMIT_HEADER, JOURNAL_REVOKE_HEADER),
    )
)
_WORD_MEANING = Meaning(unit="block")
_INODE_MEANING = Meaning(unit="inode")


class Locator:
    """Locates the targets of overrides in one image, written by any program."""

    def __init__(self, image: Image, size: int) -> None:
        """``size`` is the number of bytes that may be changed."""
        self._image = image
        self._size = size
        self._block_size = image.block_size
        self.records: Mapping[str, Record] = {
            record.name: record
            for record in (
                *(SUPERBLOCK, image.desc_record, INODE, EXTENT_HEADER, EXTENT, EXTENT_IDX),
                *(
                    EXTENT_TAIL,
                    DIR_ENTRY_2,
                    DIR_ENTRY_HASH,
                    DIR_ENTRY_TAIL,
                    DX_ROOT,
                    DX_ROOT_INFO,
                    DX_NODE,
                ),
                *(DX_COUNTLIMIT, DX_ENTRY, DX_TAIL, XATTR_HEADER, XATTR_IBODY_HEADER),
                *(XATTR_ENTRY, JOURNAL_SUPERBLOCK, MMP, ORPHAN_BLOCK_TAIL, *_AT_OFFSETS),
            )
        }
        """Name -> declaration, for all records that have fields."""

    def find(self, override: Override) -> Place:
        """Return the place that ``override`` changes; raise :class:`OverrideError` for none.

        Errors of the reader are raised as :class:`OverrideError`, too.
        """
        finder = FINDERS.get(override.record)
        if finder is None:
            raise _unknown(override, "no such record", override.record, FINDERS)
        try:
            if override.index.startswith("@"):
                record = self.records.get(override.record)
                if record is None:
                    raise _error(override, f"{override.record} has no fields")
                at, _ = self._offset(override, override.index, record.size)
                return self._field(override, record, at, Holder(None, at, record.size))
            place = finder(self, override)
        except OverrideError:
            raise
        except (DamageError, ImageError) as error:
            raise _error(override, str(error)) from None
        for at, size in place.parts:
            if at + size > self._size:
                raise _error(override, f"byte {at} is past the end of the image")
        return place

    # -- fields ------------------------------------------------------------------------------------

    def _field(self, override: Override, record: Record, at: int, holder: Holder) -> Place:
        """Return the place of the override's field in the record at byte ``at``."""
        name, bracket, rest = override.field.partition("[")
        element = _number(rest.removesuffix("]")) if bracket else None
        if bracket and (element is None or not rest.endswith("]")):
            raise _error(override, "an element must be a number in brackets")
        big = record.name in _BIG_ENDIAN
        row = record.fields.get(name)
        if row is None and len(record.wholes.get(name, ())) > 1:
            if bracket:
                raise _error(override, f"{name} is not an array")
            rows = [record.fields[part] for part in record.parts(name)]
            parts = tuple(Run(at + row.offset, row.size) for row in rows)
            meaning = record.meanings[rows[0].name]
            return Place(override, holder, parts, meaning, big, field=name)
        if row is None:
            fields = (*record.fields, *record.wholes)
            raise _unknown(override, f"{record.name} has no such field", name, fields)
        start, size, meaning = at + row.offset, row.size, record.meanings[name]
        if row.is_bytes and element is not None:
            # Mostly for i_block.
            if 4 * element + 4 > size:
                raise _error(override, f"{name} has {size // 4} words")
            part = Run(start + 4 * element, 4)
            return Place(override, holder, (part,), _WORD_MEANING, big, field=name)
        if row.is_array:
            if element is None or element >= row.count:
                last = f"{name}[{row.count - 1}]"
                raise _error(override, f"an element is required, {name}[0] to {last}")
            size //= row.count
            part = Run(start + size * element, size)
            return Place(override, holder, (part,), meaning, big, field=name)
        if element is not None:
            raise _error(override, f"{name} is not an array")
        return Place(override, holder, (Run(start, size),), meaning, big, row.is_bytes, field=name)

    def _offset(self, override: Override, text: str, default: int) -> Run:
        matched = _OFFSET.fullmatch(text)
        if matched is None:
            raise _error(override, "the index must be an offset in bytes, optionally with :LENGTH")
        at, length = int(matched[1], 0), int(matched[2] or default)
        if not length or at + length > self._size:
            raise _error(override, f"the image has {self._size} bytes")
        return Run(at, length)

    def _raw(self, override: Override) -> Place:
        parts = override.index.split("][")
        value = override.value
        default = len(value) if isinstance(value, bytes) and value else 1
        base, left = 0, self._size
        if len(parts) == 2:
            inode = self._node(override, parts[0])
            at, length = self._offset(override, parts[1], default)
            base, left = self._in_file(override, inode, at)
            at = 0
        else:
            at, length = self._offset(override, override.index, default)
        if at + length > left:
            raise _error(override, "the bytes are in several blocks; change each separately")
        holder = Holder(None, base + at, length)
        return Place(override, holder, (Run(base + at, length),), is_bytes=True, field=RAW)

    def _in_file(self, override: Override, inode: Inode, at: int) -> Run:
        """Return (offset in the image, bytes left in the block) for byte ``at`` of a file."""
        logical, inside = divmod(at, self._block_size)
        for run in inode.runs():
            if run.logical <= logical < run.logical + run.length:
                start = (run.physical + logical - run.logical) * self._block_size + inside
                return Run(start, self._block_size - inside)
        raise _error(override, f"byte {at} of the file is in a hole or past its end")

    # -- superblock, descriptors, bitmaps ----------------------------------------------------------

    @cached_property
    def _super_groups(self) -> list[int]:
        return self._image.format.super_groups(max(self._image.groups, 1))

    def _super_group(self, override: Override, group: int) -> int:
        if group not in self._super_groups:
            groups = ", ".join(map(str, self._super_groups))
            raise _error(override, f"superblocks are in the groups {groups}")
        return group

    def _superblock(self, override: Override) -> Place:
        group = self._super_group(override, _numbers(override, 1, default=(0,))[0])
        at = self._image.format.super_offset(group)
        holder = Holder(UnitKind.SUPERBLOCK, at, SUPERBLOCK_SIZE, group=group)
        return self._field(override, SUPERBLOCK, at, holder)

    def _group(self, override: Override, group: int) -> int:
        if group >= self._image.groups:
            raise _error(override, f"the image has {self._image.groups} groups")
        return group

    def _group_desc(self, override: Override) -> Place:
        group, copy = _numbers(override, 2, default=(0,))
        self._group(override, group)
        fmt = self._image.format
        block, place = divmod(group, fmt.descs_per_block)
        copies = fmt.desc_block_copies(block, self._image.groups)
        holders = [fmt.group_of(place) for place in copies]
        if copy and copy not in holders:
            groups = ", ".join(map(str, holders))
            raise _error(override, f"copies of that descriptor are in the groups {groups}")
        number = holders.index(copy) if copy else 0
        at = copies[number] * self._block_size + place * fmt.desc_size
        holder = Holder(UnitKind.GROUP_DESC, at, fmt.desc_size, group=group)
        return self._field(override, self._image.desc_record, at, holder)

    def _bitmap(self, override: Override, kind: UnitKind) -> Place:
        group = self._group(override, _numbers(override, 1)[0])
        bit = _number(override.field)
        if bit is None or bit >= 8 * self._block_size:
            raise _error(override, "the field of a bitmap must be the number of a bit")
        at = self._image.descriptor(group)[f"bg_{kind.value}"] * self._block_size
        holder = Holder(kind, at, self._block_size, group=group)
        return Place(override, holder, (Run(at + bit // 8, 1),), bit=bit % 8, field=override.field)

    def _mmp(self, override: Override) -> Place:
        if not self._image.format.mmp:
            raise _error(override, "the image has no such mmp")
        if override.index:
            raise _error(override, "there is only one; leave out the index")
        at = self._image.number("s_mmp_block") * self._block_size
        return self._field(override, MMP, at, Holder(UnitKind.MMP, at, MMP.size))

    # -- inodes and their mappings -----------------------------------------------------------------

    def _node(self, override: Override, path: str) -> Inode:
        if not path:
            raise _error(override, "the index must be a path or an inode number")
        ino = _number(path)
        if ino is not None:
            if not 1 <= ino <= self._image.inodes_count:
                raise _error(override, f"inode numbers are 1 to {self._image.inodes_count}")
            return self._image.inode(ino)
        try:
            return self._image.lookup(_encoded(override, path), follow=False)
        except ImageError:
            raise _error(override, "no such path in the image") from None

    def _parent_of(self, path: str, inode: Inode) -> int:
        """Return the parent directory of a path, or of a directory given by its number."""
        if _number(path) is None:
            above = path.rstrip("/").rpartition("/")[0] or "/"
            return self._image.lookup(above.encode("utf-8", "surrogateescape")).ino
        if inode.is_directory:
            for entry in self._image.entries(inode):
                if entry.name == b"..":
                    return entry.ino
        return EXT4_ROOT_INO

    def _holder(
        self,
        inode: Inode,
        path: str,
        kind: UnitKind | None = UnitKind.INODE,
        offset: int | None = None,
        size: int = 0,
        logical: int = 0,
        parent_block: int = 0,
        capacity: int = 0,
    ) -> Holder:
        if offset is None:
            offset, size = inode.offset, self._image.format.inode_size
            parent_block = self._image.descriptor_offset(0) // self._block_size
        elif not parent_block:
            parent_block = inode.offset // self._block_size
        try:
            parent = self._parent_of(path, inode)
        except (DamageError, ImageError):
            parent = 0
        return Holder(
            kind,
            offset,
            size,
            inode.ino,
            0,
            logical,
            parent,
            parent_block,
            capacity,
            inode.generation,
        )

    def _inode(self, override: Override) -> Place:
        inode = self._node(override, override.index)
        record = INODE if self._image.format.has_extra_fields else INODE_128
        return self._field(override, record, inode.offset, self._holder(inode, override.index))

    def _nodes(self, inode: Inode) -> list[tuple[int, int]]:
        """Return (offset in bytes, depth) of each extent tree node: root first, then top down."""
        root = inode.offset + INODE.offset("i_block")
        depth = EXTENT_HEADER.number(inode.block_bytes, 0, "eh_depth")
        tree = [item for item in inode.mapping() if isinstance(item, TreeBlock)]
        tree.sort(key=lambda item: -item.level)
        size = self._block_size
        return [(root, depth), *((item.block * size, item.level) for item in tree)]

    def _extent_node(self, override: Override, record: Record) -> Place:
        has_entry = record in (EXTENT, EXTENT_IDX)
        path, numbers, given = _path_and_numbers(override, 2 if has_entry else 1)
        inode = self._node(override, path)
        if not inode.flags & EXT4_EXTENTS_FL:
            by_blocks = (inode.is_file or inode.is_directory) and not inode.has_inline_data
            why = "; it has a block map" if by_blocks else ""
            raise _error(override, f"{path} has no extent tree{why}")
        nodes = self._nodes(inode)
        node, entry = (numbers[0], numbers[1]) if has_entry else (numbers[0], 0)
        if record is EXTENT and given < 2 and nodes[0][1]:
            node, entry = self._leaf_of(override, nodes, entry)
        if node >= len(nodes):
            raise _error(override, f"the extent tree has {len(nodes) - 1} blocks")
        at = nodes[node][0]
        inside = EXTENT_HEADER.size * (1 + entry) if has_entry else 0
        if node == 0:
            if record is EXTENT_TAIL or entry >= INLINE_ENTRIES:
                raise _error(override, "i_block has 4 entries and no tail")
            holder = self._holder(inode, path)
            holder = Holder(**{**vars(holder), "capacity": INLINE_ENTRIES})
            return self._field(override, record, at + inside, holder)
        per_block = entries_per_block(self._block_size)
        if entry >= per_block:
            raise _error(override, f"a block has {per_block} entries")
        if record is EXTENT_TAIL:
            if not self._image.format.metadata_csum:
                raise _error(override, "no such record in that block")
            inside = EXTENT_HEADER.size + per_block * EXTENT.size
        above = [place for place, depth in nodes[:node] if depth == nodes[node][1] + 1]
        parent = (above[-1] if above else nodes[0][0]) // self._block_size
        holder = self._holder(
            inode, path, UnitKind.EXTENT_BLOCK, at, self._block_size, node, parent, per_block
        )
        return self._field(override, record, at + inside, holder)

    def _leaf_of(
        self, override: Override, nodes: Sequence[tuple[int, int]], number: int
    ) -> tuple[int, int]:
        """Return (node, entry) of extent number ``number`` of the file."""
        left = number
        for node, (at, depth) in enumerate(nodes):
            if not depth:
                header = self._image.read(at, EXTENT_HEADER.size)
                entries = EXTENT_HEADER.number(header, 0, "eh_entries")
                if left < entries:
                    return node, left
                left -= entries
        raise _error(override, f"the file has {number - left} extents")

    def _indirect_block(self, override: Override) -> Place:
        path, (node,), _ = _path_and_numbers(override, 1)
        inode = self._node(override, path)
        tree = [item for item in inode.mapping() if isinstance(item, TreeBlock)]
        word = _number(override.field)
        if inode.flags & EXT4_EXTENTS_FL or node >= len(tree):
            raise _error(override, f"{path} has {len(tree)} such blocks")
        if word is None or word >= self._block_size // 4:
            raise _error(override, "the field must be the number of a 32-bit word")
        at = tree[node].block * self._block_size
        holder = self._holder(inode, path, UnitKind.INDIRECT_BLOCK, at, self._block_size, node)
        part = Run(at + 4 * word, 4)
        return Place(override, holder, (part,), _WORD_MEANING, field=override.field)

    # -- directories -------------------------------------------------------------------------------

    def _directory(self, override: Override, path: str) -> Inode:
        inode = self._node(override, path)
        if not inode.is_directory:
            raise _error(override, f"{path} is not a directory")
        return inode

    def _raw_entries(self, directory: Inode) -> Iterator[tuple[Block, int, bytes]]:
        """Yield (block, offset in it, name) of each entry; unused ones have no name."""
        parts = inline_parts if directory.has_inline_data else blocks
        for block in parts(directory):
            data, at = block.data, 0
            while at + DIR_ENTRY_2.size <= len(data):
                entry = DIR_ENTRY_2.parse(data, at)
                length, name_len = entry["rec_len"], entry["name_len"]
                assert isinstance(length, int) and isinstance(name_len, int)
                start = at + DIR_ENTRY_2.size
                yield block, at, data[start : start + name_len] if entry["inode"] else b""
                length = decode_rec_len(length, self._block_size)
                if length < DIR_ENTRY_2.size:
                    break
                at += length

    def _dir_entry(self, override: Override) -> Place:
        parts = override.index.split("][")
        if len(parts) == 2:
            path, name = parts
        else:
            path, _, name = override.index.rpartition("/")
            path = path or "/"
        if not name:
            raise _error(override, "no such entry in the image")
        directory = self._directory(override, path)
        wanted = _encoded(override, name)
        position = _number(name[1:]) if name.startswith("#") else None
        for number, (block, at, found) in enumerate(self._raw_entries(directory)):
            if found == wanted if position is None else number == position:
                holder = self._block_holder(directory, path, block)
                if override.record == DIR_ENTRY_2.name:
                    return self._field(override, DIR_ENTRY_2, block.offset + at, holder)
                # fs/ext4/ext4.h:ext4_dirent_hashes
                inside = at + rec_len(len(found))
                if not has_hash(directory) or inside + DIR_ENTRY_HASH.size > len(block.data):
                    raise _error(override, f"names of {path} have no hashes")
                return self._field(override, DIR_ENTRY_HASH, block.offset + inside, holder)
        raise _error(override, "no such entry in the image")

    def _block_holder(self, directory: Inode, path: str, block: Block) -> Holder:
        if directory.has_inline_data:
            return self._holder(directory, path)
        kind = block_kind(directory, block)
        csum = self._image.format.metadata_csum
        limit = root_limit if kind is UnitKind.DX_ROOT else node_limit
        capacity = limit(self._block_size, csum)
        return self._holder(
            directory, path, kind, block.offset, self._block_size, block.logical, 0, capacity
        )

    def _directory_block(self, override: Override, record: Record) -> Place:
        entry = 0
        if record in (DX_ROOT, DX_ROOT_INFO):
            path, number = override.index, 0
        elif record is DX_ENTRY:
            path, (number, entry), _ = _path_and_numbers(override, 2)
        else:
            path, (number,), _ = _path_and_numbers(override, 1)
        directory = self._directory(override, path)
        kinds: list[tuple[Block, UnitKind]] = []
        if not directory.has_inline_data:
            kinds = [(block, block_kind(directory, block)) for block in blocks(directory)]
        found = [(block, kind) for block, kind in kinds if block.logical == number]
        inner = sum(kind is not UnitKind.DIR_BLOCK for _, kind in kinds)
        if not found:
            wants_index = record is not DIR_ENTRY_TAIL
            text = (
                "it has no index"
                if wants_index and not inner
                else f"the directory has no block {number}"
            )
            raise _error(override, text)
        ((block, kind),) = found[:1]
        is_leaf = kind is UnitKind.DIR_BLOCK
        if is_leaf != (record is DIR_ENTRY_TAIL) or (record is DX_NODE and not number):
            text = (
                f"blocks 0 to {inner - 1} of the directory are index blocks"
                if inner
                else "it has no index"
            )
            raise _error(override, text)
        csum = self._image.format.metadata_csum
        size = self._block_size
        base = DX_NODE_COUNT_OFFSET if number else DX_ROOT_COUNT_OFFSET
        limit = (node_limit if number else root_limit)(size, csum)
        inside = {
            DIR_ENTRY_TAIL.name: size - DIR_ENTRY_TAIL.size,
            DX_ENTRY.name: base + entry * DX_ENTRY.size,
            DX_TAIL.name: base + limit * DX_ENTRY.size,
            DX_COUNTLIMIT.name: base,
            DX_ROOT_INFO.name: DX_ROOT.offset("reserved_zero"),
        }.get(record.name, 0)
        if inside + record.size > size or (not csum and record in (DIR_ENTRY_TAIL, DX_TAIL)):
            raise _error(override, "no such record in that block")
        holder = self._block_holder(directory, path, block)
        return self._field(override, record, block.offset + inside, holder)

    # -- extended attributes -----------------------------------------------------------------------

    def _xattr_header(self, override: Override) -> Place:
        inode = self._node(override, override.index)
        if not inode.file_acl:
            raise _error(override, "it has no attribute block")
        holder = self._xattr_holder(inode, override.index)
        return self._field(override, XATTR_HEADER, holder.offset, holder)

    def _xattr_holder(self, inode: Inode, path: str) -> Holder:
        at = inode.file_acl * self._block_size
        return self._holder(inode, path, UnitKind.XATTR_BLOCK, at, self._block_size)

    def _xattr_ibody_header(self, override: Override) -> Place:
        inode = self._node(override, override.index)
        if not in_inode(inode):
            raise _error(override, "it has no attributes in its inode")
        at = inode.offset + EXT4_GOOD_OLD_INODE_SIZE + inode.extra_isize
        return self._field(override, XATTR_IBODY_HEADER, at, self._holder(inode, override.index))

    def _xattr_entry(self, override: Override) -> Place:
        parts = override.index.split("][")
        choices = [tuple(parts)] if len(parts) == 2 else []
        # Paths and names may contain colons, so try every split.
        text = override.index
        choices += [(text[:at], text[at + 1 :]) for at, letter in enumerate(text) if letter == ":"]
        for path, name in choices:
            position = _number(name[1:]) if name.startswith("#") else None
            try:
                inode = self._node(override, path)
                wanted = (0, b"") if position is not None else split_name(_encoded(override, name))
            except (ValueError, OverrideError):
                continue
            inner = in_inode(inode)
            for number, xattr in enumerate([*inner, *in_block(inode)]):
                is_it = (xattr.name_index, xattr.name) == wanted
                if is_it if position is None else number == position:
                    inside = number < len(inner)
                    holder = (
                        self._holder(inode, path) if inside else self._xattr_holder(inode, path)
                    )
                    return self._field(override, XATTR_ENTRY, xattr.offset, holder)
        raise _error(override, "the image has no such attribute; the index is PATH:NAME")

    # -- files without a name ----------------------------------------------------------------------

    def _journal(self, override: Override) -> Inode:
        ino = self._image.number("s_journal_inum")
        if not self._image.format.has_journal or not ino:
            raise _error(override, "the image has no journal")
        return self._image.inode(ino)

    def _journal_superblock(self, override: Override) -> Place:
        inode = self._journal(override)
        if override.index:
            raise _error(override, "there is only one; leave out the index")
        at, _ = self._in_file(override, inode, 0)
        holder = self._holder(
            inode, str(inode.ino), UnitKind.JOURNAL_SUPERBLOCK, at, JOURNAL_SUPERBLOCK.size
        )
        return self._field(override, JOURNAL_SUPERBLOCK, at, holder)

    def _log_or_quota(self, override: Override) -> Place:
        record = self.records[override.record]
        if record.name.startswith("journal"):
            return self._log_block(override, record)
        if record.name.startswith("quota"):
            return self._quota(override, record)
        if record.name.startswith("fc_"):
            return self._fast_commit(override, record)
        if record is FSVERITY_DESCRIPTOR:
            return self._verity(override)
        return self._encryption(override, record)

    def _fast_commit(self, override: Override, record: Record) -> Place:
        """Locate a tag of a fast commit, or its value; the index is [BLOCK][TAG]."""
        inode = self._journal(override)
        block, number = _numbers(override, 2)
        at, _ = self._in_file(override, inode, block * self._block_size)
        data = self._image.block(at // self._block_size)
        inside = 0
        for _ in range(number):
            inside += FC_TL.size + FC_TL.number(data, min(inside, len(data) - 4), "fc_len")
        if record is not FC_TL:
            inside += FC_TL.size
        if inside + record.size > self._block_size:
            raise _error(override, "the block has no such tag")
        holder = self._holder(inode, str(inode.ino), None, at, self._block_size, block)
        return self._field(override, record, at + inside, holder)

    def _verity(self, override: Override) -> Place:
        """Locate the descriptor at the end of a file with fs-verity."""
        # fs/ext4/verity.c:ext4_get_verity_descriptor_location
        inode = self._node(override, override.index)
        runs = list(inode.runs())
        if not runs or not inode.flags & EXT4_VERITY_FL:
            raise _error(override, f"{override.index} is not a file with fs-verity")
        end = (runs[-1].logical + runs[-1].length) * self._block_size - DESC_SIZE_BYTES
        at, _ = self._in_file(override, inode, end)
        size = le32(self._image.read(at, DESC_SIZE_BYTES))
        start = round_down(max(end - size, 0), self._block_size)
        at, _ = self._in_file(override, inode, start)
        holder = self._holder(inode, override.index, None, at, FSVERITY_DESCRIPTOR.size)
        return self._field(override, FSVERITY_DESCRIPTOR, at, holder)

    def _encryption(self, override: Override, record: Record) -> Place:
        """Locate the encryption context of a file or directory, an extended attribute."""
        inode = self._node(override, override.index)
        wanted = (EXT4_XATTR_INDEX_ENCRYPTION, ENCRYPTION_CONTEXT_NAME)
        inner = in_inode(inode)
        for number, xattr in enumerate([*inner, *in_block(inode)]):
            if (xattr.name_index, xattr.name) == wanted and xattr.value_offset:
                inside = number < len(inner)
                holder = (
                    self._holder(inode, override.index)
                    if inside
                    else self._xattr_holder(inode, override.index)
                )
                return self._field(override, record, xattr.value_offset, holder)
        raise _error(override, f"{override.index} is not encrypted")

    def _log_block(self, override: Override, record: Record) -> Place:
        """Locate a record in a block of the log; the index is [BLOCK] or [BLOCK][TAG]."""
        inode = self._journal(override)
        is_tag = record in (JOURNAL_BLOCK_TAG, JOURNAL_BLOCK_TAG3)
        block, number = _numbers(override, 2) if is_tag else (*_numbers(override, 1), 0)
        at, _ = self._in_file(override, inode, block * self._block_size)
        inside = 0
        if record is JOURNAL_BLOCK_TAIL:
            inside = self._block_size - JOURNAL_BLOCK_TAIL.size
        elif is_tag:
            log = Journal(self._image)
            places = log.tag_places(log.block(block))
            if number >= len(places):
                raise _error(override, f"the block has {len(places)} tags")
            inside = places[number]
        holder = self._holder(
            inode,
            str(inode.ino),
            None,
            at,
            self._block_size,
            block,
        )
        return self._field(override, record, at + inside, holder)

    def _quota(self, override: Override, record: Record) -> Place:
        """Locate a record of a quota file.

        The index is [KIND], [KIND][BLOCK] or [KIND][BLOCK][ENTRY]; KIND is ``user``, ``group`` or
        ``project``.
        """
        kind, *rest = override.index.split("][")
        numbers = [_number(part) for part in rest]
        if kind not in _TYPES or None in numbers or len(numbers) > 2:
            raise _error(
                override, "the index must be user, group or project, then a block and an entry"
            )
        block, entry = [*(number or 0 for number in numbers), 0, 0][:2]
        short = {"user": "usr", "group": "grp", "project": "prj"}[kind]
        ino = self._image.number(f"s_{short}_quota_inum")
        if not ino:
            raise _error(override, f"the image has no {kind} quota")
        inode = self._image.inode(ino)
        place = {
            QUOTA_HEADER.name: 0,
            QUOTA_INFO.name: QUOTA_HEADER.size,
            QUOTA_BLOCK_HEADER.name: block * QT_BLKSIZE,
        }.get(record.name, block * QT_BLKSIZE + QUOTA_BLOCK_HEADER.size + entry * record.size)
        at, _ = self._in_file(override, inode, place)
        holder = self._holder(
            inode,
            str(ino),
            None,
            at,
            record.size,
        )
        return self._field(override, record, at, holder)

    def _orphan_inode(self, override: Override) -> Inode:
        if not self._image.format.orphan_file:
            raise _error(override, "the image has no such orphan_block")
        return self._image.inode(self._image.number("s_orphan_file_inum"))

    def _orphan_holder(self, override: Override, block: int) -> Holder:
        inode = self._orphan_inode(override)
        at, _ = self._in_file(override, inode, block * self._block_size)
        return self._holder(
            inode, str(inode.ino), UnitKind.ORPHAN_BLOCK, at, self._block_size, block
        )

    def _orphan_block_tail(self, override: Override) -> Place:
        (block,) = _numbers(override, 1, default=(0,))
        holder = self._orphan_holder(override, block)
        at = holder.offset + self._block_size - ORPHAN_BLOCK_TAIL.size
        return self._field(override, ORPHAN_BLOCK_TAIL, at, holder)

    def _orphan_block(self, override: Override) -> Place:
        (block,) = _numbers(override, 1, default=(0,))
        holder = self._orphan_holder(override, block)
        word = _number(override.field)
        if word is None or 4 * word + 4 > self._block_size - ORPHAN_BLOCK_TAIL.size:
            raise _error(override, "the field must be the number of an entry")
        part = Run(holder.offset + 4 * word, 4)
        return Place(override, holder, (part,), _INODE_MEANING, field=override.field)


FINDERS: dict[str, Callable[[Locator, Override], Place]] = {
    "superblock": Locator._superblock,
    "group_desc": Locator._group_desc,
    "inode": Locator._inode,
    "extent_header": lambda self, override: self._extent_node(override, EXTENT_HEADER),
    "extent": lambda self, override: self._extent_node(override, EXTENT),
    "extent_idx": lambda self, override: self._extent_node(override, EXTENT_IDX),
    "extent_tail": lambda self, override: self._extent_node(override, EXTENT_TAIL),
    "indirect_block": Locator._indirect_block,
    "dir_entry_2": Locator._dir_entry,
    "dir_entry_hash": Locator._dir_entry,
    "dir_entry_tail": lambda self, override: self._directory_block(override, DIR_ENTRY_TAIL),
    "dx_root": lambda self, override: self._directory_block(override, DX_ROOT),
    "dx_root_info": lambda self, override: self._directory_block(override, DX_ROOT_INFO),
    "dx_countlimit": lambda self, override: self._directory_block(override, DX_COUNTLIMIT),
    "dx_node": lambda self, override: self._directory_block(override, DX_NODE),
    "dx_entry": lambda self, override: self._directory_block(override, DX_ENTRY),
    "dx_tail": lambda self, override: self._directory_block(override, DX_TAIL),
    "xattr_header": Locator._xattr_header,
    "xattr_ibody_header": Locator._xattr_ibody_header,
    "xattr_entry": Locator._xattr_entry,
    "journal_superblock": Locator._journal_superblock,
    "mmp": Locator._mmp,
    "orphan_block_tail": Locator._orphan_block_tail,
    "orphan_block": Locator._orphan_block,
    "block_bitmap": lambda self, override: self._bitmap(override, UnitKind.BLOCK_BITMAP),
    "inode_bitmap": lambda self, override: self._bitmap(override, UnitKind.INODE_BITMAP),
    **{record.name: Locator._log_or_quota for record in _AT_OFFSETS},
    RAW: Locator._raw,
}
"""Name of a record -> function that locates it. Not an attribute: that would be a cycle."""


def _error(override: Override, problem: str) -> OverrideError:
    return OverrideError(f"override {override}: {problem}")


def _unknown(override: Override, problem: str, name: str, known: Iterable[str]) -> OverrideError:
    """Return the error for a ``name`` that is not among ``known``; suggest or list known ones."""
    from ..wrong_calls import meant  # late: few programs need it

    names = list(dict.fromkeys(known))
    rest = f" and {len(names) - _SHOWN} more, in docs/format.md" if len(names) > _SHOWN else ""
    otherwise = f"known names: {', '.join(names[:_SHOWN])}{rest}"
    return _error(override, f"{problem}; {meant(name, names, otherwise)}")


def _number(text: str) -> int | None:
    return int(text) if _NUMBER.fullmatch(text) else None


def _encoded(override: Override, text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise _error(override, "the text cannot be encoded as bytes") from None


def _numbers(override: Override, most: int, default: tuple[int, ...] = ()) -> list[int]:
    """Return ``most`` numbers from an index ``A][B`` or ``A:B``; missing ones are 0."""
    if not override.index and default:
        numbers = list(default)
    else:
        given = [_number(part) for part in re.split(r"\]\[|:", override.index)]
        numbers = [number for number in given if number is not None]
        if len(numbers) < len(given) or len(numbers) > most:
            raise _error(override, "the index must be a number")
    return numbers + [0] * (most - len(numbers))


def _path_and_numbers(override: Override, count: int) -> tuple[str, list[int], int]:
    """Split an index ``PATH][A][B`` or ``PATH:A:B``; return (path, ``count`` numbers, given).

    ``given`` is how many numbers the index has; missing ones are 0. If the numbers are in brackets,
    colons and digits before them belong to the path.
    """
    path = override.index
    numbers: list[int] = []
    _, in_brackets, last = path.rpartition("][")
    mark = "][" if in_brackets and _number(last) is not None else ":"
    while len(numbers) < count:
        rest, found, last = path.rpartition(mark)
        number = _number(last)
        if not found or number is None:
            break
        path = rest
        numbers.insert(0, number)  # the loop ended with a number
    return path, [0] * (count - len(numbers)) + numbers, len(numbers)
