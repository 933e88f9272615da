"""An open image: its superblock, group descriptors, blocks and inodes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cached_property
from operator import index
from types import TracebackType
from typing import Self

from ..arithmetic import round_up
from ..bits import le16
from ..checked import checked, checked_if_it_fails
from ..errors import DamageError, ImageError, RecordError
from ..ondisk.checksum import CRC_START, crc32c, group_desc_checksum, group_desc_crc16
from ..ondisk.extent import EXT_MAX_BLOCKS
from ..ondisk.format import Checksum, Format
from ..ondisk.group_desc import EXT4_BG_INODE_UNINIT, GROUP_DESC, GROUP_DESC_32
from ..ondisk.record import Record
from ..ondisk.superblock import (
    EXT4_MIN_BLOCK_SIZE,
    EXT4_ROOT_INO,
    EXT4_SUPER_MAGIC,
    SUPERBLOCK,
    SUPERBLOCK_OFFSET,
    SUPERBLOCK_SIZE,
)
from ..ondisk.units import Unit, UnitRun
from .directories import Entry, entries
from .fast_commits import FastCommits
from .files import FileReader
from .inodes import Inode
from .journal import replayed
from .orphans import has_orphans
from .partitions import partition as find_partition
from .partitions import partitions
from .qcow2 import Qcow2Store, is_qcow2
from .stores import Overlay, Source, Store, Window, open_store
from .units import unit_runs, units
from .walk import Found, lookup, walk

OnDamage = Callable[[DamageError], None]
"""Called for damage after which reading continues."""

_WRAPPINGS = (
    # platform/system/core: libsparse/sparse_format.h, SPARSE_HEADER_MAGIC
    (b"\x3a\xff\x26\xed", "an Android sparse image; convert it with simg2img"),
    # RFC 8878, RFC 1952, and doc/xz-file-format.txt of xz
    (b"\x28\xb5\x2f\xfd", "compressed; decompress it with 'zstd -d'"),
    (b"\x1f\x8b", "compressed; decompress it with gunzip"),
    (b"\xfd7zXZ\0", "compressed; decompress it with unxz"),
)
"""First bytes of files that may contain an image which cannot be read directly, and what to do."""
_CACHED_BYTES = 4 << 20
_TABLE_BYTES = 64 << 10
_GROUPS_KEPT = 1 << 14
"""The most groups whose descriptors and tables stay in memory."""
FLEX_MAX = 1024


class Image:
    """A file system to read from, opened by :func:`open_image`; a context manager.

    ``groups`` is the number of groups that can be read. An image that ends early has fewer than its
    superblock states, which is ``counted_groups``.

    Numbers of blocks, groups and inodes are those of the format; offsets are in bytes from the
    start of the file system. All data is checked before it is used. For damage after which reading
    can continue, :meth:`damage` raises the error or passes it to ``on_damage``.
    """

    def __init__(
        self,
        store: Store,
        *,
        superblock_offset: int = SUPERBLOCK_OFFSET,
        on_damage: OnDamage | None = None,
    ) -> None:
        self.store = store
        self.name = store.name
        self.on_damage = on_damage
        self.is_replayed = False
        """Whether the image is read as if its journal were recovered and its orphans deleted."""
        self.fast_commits: FastCommits | None = None
        """The changes of fast commits, with ``replay``."""
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        self.superblock_bytes = store.read(superblock_offset, SUPERBLOCK_SIZE)
        parsed = SUPERBLOCK.parse(self.superblock_bytes)
        if parsed["s_magic"] != EXT4_SUPER_MAGIC:
            _refuse_wrapping(store)
            text = f"is no ext4: no magic at byte {superblock_offset + 0x38}"
            backup = _backup_of(store)
            if backup is not None:
                text += f"; there is a backup superblock at byte {backup}"
            parts = ", ".join(str(part.number) for part in partitions(store))
            if parts:
                text += f"; it is a disk with the partitions {parts}: name one"
            raise ImageError(store.name, text)
        self.superblock = SUPERBLOCK.join(parsed)
        """Each number of the superblock, halves joined; see ``SUPERBLOCK.wholes``."""
        try:
            self.format = Format.of_superblock(parsed)
        except RecordError as error:
            offset = superblock_offset + SUPERBLOCK.offset(error.field)
            raise DamageError("superblock", error.field, offset, error.problem) from None
        self.block_size = self.format.block_size
        if not self.format.is_64bit:
            # fs/ext4/ext4.h:ext4_blocks_count: the upper halves count only with 64bit
            for whole in ("s_blocks_count", "s_r_blocks_count", "s_free_blocks_count"):
                low = parsed[SUPERBLOCK.parts(whole)[0]]
                self.superblock[whole] = low
        self._check_superblock(superblock_offset)

    # -- superblock ------------------------------------------------------------------------------

    def _check_superblock(self, at: int) -> None:
        def wrong(field: str, problem: str) -> DamageError:
            return DamageError("superblock", field, at + SUPERBLOCK.offset(field), problem)

        fmt = self.format
        self.blocks_count = self.number("s_blocks_count")
        self.inodes_count = self.number("s_inodes_count")
        self.inodes_per_group = self.number("s_inodes_per_group")
        self.groups = self.counted_groups = 0
        if fmt.metadata_csum:
            stored = SUPERBLOCK.number(self.superblock_bytes, 0, "s_checksum")
            found = crc32c(CRC_START, self.superblock_bytes[: SUPERBLOCK.offset("s_checksum")])
            if stored != found:
                self.damage(wrong("s_checksum", f"is {stored:#010x} but should be {found:#010x}"))
        if fmt.journal_dev:
            self.inodes_count = 0
            return
        if fmt.first_data_block >= max(self.blocks_count, 1) or fmt.first_data_block > 1:
            raise wrong("s_first_data_block", f"is {fmt.first_data_block}")
        if self.blocks_count <= fmt.first_data_block or self.blocks_count > fmt.max_blocks:
            raise wrong("s_blocks_count_lo", f"counts {self.blocks_count} blocks")
        if not 0 < self.inodes_per_group <= 8 * self.block_size:
            raise wrong("s_inodes_per_group", f"is {self.inodes_per_group}")
        self.groups = self.counted_groups = fmt.groups_for(self.blocks_count)
        if self.groups * fmt.inode_table_blocks(self.inodes_per_group) > self.blocks_count:
            # If tables shared blocks, work would not be bounded by the size of the image.
            text = f"is {self.inodes_per_group}, but {self.groups} such tables do not fit"
            raise wrong("s_inodes_per_group", text)
        if self.inodes_count > self.groups * self.inodes_per_group or self.inodes_count < 1:
            raise wrong("s_inodes_count", f"is {self.inodes_count} in {self.groups} groups")
        size = self.blocks_count * self.block_size
        if size > self.store.size:
            # The stated size must not cause more work than the bytes that exist. The metadata of a
            # flex group is at its start, so include a flex group that begins before the end.
            here = fmt.groups_for(self.store.size // self.block_size) + 1
            flex = min(fmt.groups_per_flex, FLEX_MAX)
            self.groups = min(self.groups, max(round_up(here, flex), 1))
            self.damage(
                wrong(
                    "s_blocks_count_lo",
                    f"counts {size} bytes, but the image has {self.store.size}",
                )
            )

    def number(self, whole: str) -> int:
        """Return one number of the superblock."""
        try:
            value = self.superblock[whole]
        except (KeyError, TypeError):
            raise RecordError("superblock", f"{whole!r:.80}", "no such number") from None
        assert isinstance(value, int)
        return value

    # -- damage ----------------------------------------------------------------------------------

    def damage(self, error: DamageError) -> None:
        """Pass ``error`` to ``on_damage``, or raise it if there is none."""
        if self.on_damage is None:
            raise error
        self.on_damage(error)

    # -- blocks ----------------------------------------------------------------------------------

    @checked_if_it_fails
    def read(self, offset: int, count: int) -> bytes:
        """Return ``count`` bytes at byte ``offset`` of the file system.

        Raises :class:`DamageError` if the image ends before.
        """
        if offset + count > self.store.size:
            text = f"is more than the image holds, which ends at byte {self.store.size}"
            raise DamageError("superblock", "s_blocks_count_lo", offset, text, kind="past-end")
        return self.store.read(offset, count)

    @checked_if_it_fails
    def block(self, number: int) -> bytes:
        """Return one block. The most recent blocks are cached."""
        data = self._cache.get(number)
        if data is not None:
            self._cache.move_to_end(number)
            return data
        data = self.read(index(number) * self.block_size, self.block_size)
        self._cache[number] = data
        if len(self._cache) * self.block_size > _CACHED_BYTES:
            self._cache.popitem(last=False)
        return data

    def try_block(self, number: int) -> bytes | None:
        """Return one block; if it cannot be read, report that and return None."""
        try:
            return self.block(number)
        except DamageError as error:
            self.damage(error)
            return None

    @checked_if_it_fails
    def has_blocks(self, first: int, count: int = 1) -> bool:
        """Whether all of these blocks exist and none of them is the superblock's."""
        # fs/ext4/block_validity.c:ext4_inode_block_valid, without the metadata of the system zone
        return self.format.first_data_block < first and first + count <= self.blocks_count

    @property
    def mapped_blocks_most(self) -> int:
        """The most blocks that a file can map: all there are, or more with shared_blocks."""
        return EXT_MAX_BLOCKS if self.format.shared_blocks else self.blocks_count

    # -- groups ----------------------------------------------------------------------------------

    @checked_if_it_fails
    def check_group(self, group: int) -> None:
        """Raise :class:`ImageError` unless there is a group with this number."""
        if self.format.journal_dev:
            raise ImageError(self.name, "is a journal device, which has no groups")
        if not 0 <= group < self.groups:
            text = f"has no group {group}; there are 0 to {self.groups - 1}"
            raise ImageError(self.name, text)

    @property
    def desc_record(self) -> Record:
        """The declaration of the group descriptors."""
        return GROUP_DESC if self.format.desc_size >= GROUP_DESC.size else GROUP_DESC_32

    @checked_if_it_fails
    def descriptor_offset(self, group: int) -> int:
        """Return the byte of the descriptor of ``group`` that a mount reads."""
        fmt = self.format
        block, place = divmod(index(group), fmt.descs_per_block)
        first = fmt.first_desc_block(block, self.counted_groups)
        return first * self.block_size + place * fmt.desc_size

    @cached_property
    def _descriptors(self) -> dict[int, dict[str, int]]:
        return {}

    @checked_if_it_fails
    def descriptor(self, group: int) -> dict[str, int]:
        """Return the numbers of one group's descriptor, halves joined."""
        known = self._descriptors.get(group)
        if known is not None:
            return known
        group = index(group)
        self.check_group(group)
        record, offset = self.desc_record, self.descriptor_offset(group)
        block, place = divmod(offset, self.block_size)
        data = self.block(block)[place : place + self.format.desc_size]
        numbers: dict[str, int] = record.join(record.parse(data))  # type: ignore[assignment]
        self._check_descriptor(group, data, offset)
        if len(self._descriptors) >= _GROUPS_KEPT:
            self._descriptors.clear()
        self._descriptors[group] = numbers
        return numbers

    def _check_descriptor(self, group: int, data: bytes, offset: int) -> None:
        kind = self.format.group_desc_checksum
        if kind is Checksum.NONE:
            return
        if kind is Checksum.CRC32C:
            found = group_desc_checksum(self.format.checksum_seed, group, data)
        else:
            found = group_desc_crc16(self.format.uuid, group, data)
        at = self.desc_record.offset("bg_checksum")
        stored = le16(data, at)
        if stored != found:
            self.damage(
                DamageError(
                    self.desc_record.name,
                    "bg_checksum",
                    offset + at,
                    f"is {stored:#06x} but should be {found:#06x}",
                )
            )

    # -- inodes ----------------------------------------------------------------------------------

    @checked_if_it_fails
    def inode_offset(self, ino: int) -> int:
        """Return the byte at which an inode begins; raise :class:`ImageError` if there is none."""
        return self._inode_offset(index(ino))

    def _inode_offset(self, ino: int) -> int:
        if self.format.journal_dev:
            raise ImageError(self.name, "is a journal device, which holds no files")
        if not 1 <= ino <= self.inodes_count:
            text = f"has no inode {ino}; there are 1 to {self.inodes_count}"
            raise ImageError(self.name, text)
        group, place = divmod(ino - 1, self.inodes_per_group)
        table = self._tables.get(group)
        if table is None:
            table = self._tables[group] = self._inode_table(group)
        return table + place * self.format.inode_size

    @cached_property
    def _tables(self) -> dict[int, int]:
        """Group -> the byte at which its inode table begins."""
        return {}

    def _inode_table(self, group: int) -> int:
        if group >= self.groups:
            text = f"counts {self.blocks_count} blocks, but group {group} is not in the image"
            at = SUPERBLOCK_OFFSET + SUPERBLOCK.offset("s_blocks_count_lo")
            raise DamageError("superblock", "s_blocks_count_lo", at, text, kind="past-end")
        table = self.descriptor(group)["bg_inode_table"]
        blocks = self.format.inode_table_blocks(self.inodes_per_group)
        if not self.has_blocks(table, blocks):
            record = self.desc_record
            raise DamageError(
                record.name,
                "bg_inode_table_lo",
                self.descriptor_offset(group) + record.offset("bg_inode_table_lo"),
                f"is {table}, where a table of {blocks} blocks cannot be",
            )
        if len(self._tables) >= _GROUPS_KEPT:
            self._tables.clear()
        return table * self.block_size

    @checked_if_it_fails
    def inode(self, ino: int) -> Inode:
        """Return one inode, in use or not."""
        ino = index(ino)
        offset = self._inode_offset(ino)
        block, place = divmod(offset, self.block_size)
        return Inode(self, ino, offset, self.block(block)[place : place + self.format.inode_size])

    def inodes(self) -> Iterator[Inode]:
        """Yield all inodes that are not all zeros, ascending, whatever the bitmaps state.

        Inodes that have never been in use, according to the descriptors, are skipped.
        """
        for group in range(self.groups):
            try:
                yield from self._inodes_of(group)
            except (DamageError, ImageError) as error:
                if self.on_damage is None or not isinstance(error, DamageError):
                    raise
                self.on_damage(error)

    def inode_of_bytes(self, ino: int, raw: bytes) -> Inode:
        """Return an inode with the bytes ``raw`` instead of those in the inode table."""
        return Inode(self, ino, self.inode_offset(ino), raw)

    def _inodes_of(self, group: int) -> Iterator[Inode]:
        size, per_group = self.format.inode_size, self.inodes_per_group
        most = min(per_group, self.inodes_count - group * per_group)
        used = most
        if self.format.has_uninit_groups:
            numbers = self.descriptor(group)
            is_uninit = numbers["bg_flags"] & EXT4_BG_INODE_UNINIT
            used = 0 if is_uninit else min(most, max(per_group - numbers["bg_itable_unused"], 0))
        if self.fast_commits is not None:
            used = max(used, self.fast_commits.last_inode(group * per_group + 1, most))
        first, nothing, rows = group * per_group + 1, bytes(size), max(_TABLE_BYTES // size, 1)
        for row in range(0, used, rows):
            count = min(rows, used - row)
            offset = self.inode_offset(first + row)
            table = self.read(offset, count * size)
            for place in range(count):
                raw = table[place * size : (place + 1) * size]
                if raw != nothing:
                    yield Inode(self, first + row + place, offset + place * size, raw)

    def try_inode(self, ino: int) -> Inode | None:
        """Return one inode; if it cannot be read, report that and return None."""
        try:
            return self.inode(ino)
        except DamageError as error:
            self.damage(error)
            return None

    @property
    def root(self) -> Inode:
        """The inode of the root directory."""
        return self.inode(EXT4_ROOT_INO)

    # -- in other modules --------------------------------------------------------------------------

    @checked()
    def lookup(self, path: bytes | str, *, follow: bool = True) -> Inode:
        """Return the inode at an absolute path, found through directory indexes like in the kernel.

        Symbolic links are followed, the last one only with ``follow``; none leads out of the image.
        ``<12>`` means inode 12. Raises :class:`NotFoundError` if there is no such file.
        """
        return lookup(self, path, follow=follow)

    @checked()
    def entries(self, directory: Inode) -> Iterator[Entry]:
        """Yield the entries of a directory in stored order, including ``.`` and ``..``."""
        return entries(directory)

    def units(self) -> Iterator[Unit]:
        """Yield each unit of metadata separately; see :mod:`ext4writer.ondisk.units`."""
        return units(self)

    def unit_runs(self) -> Iterator[UnitRun]:
        """Yield the units of metadata, with adjacent ones of one kind as a run."""
        return unit_runs(self)

    @checked()
    def walk(
        self, top: Inode | None = None, *, descend: Callable[[Found], bool] | None = None
    ) -> Iterator[Found]:
        """Yield everything below a directory, the root by default; see :mod:`.walk`."""
        return walk(self, top, descend=descend)

    @checked()
    def open(self, inode: Inode | bytes | str | int) -> FileReader:
        """Return a raw file object for the content of a regular file or link, by path or inode.

        Raises :class:`ImageError` for anything else. :meth:`entries` lists a directory, and
        ``FileReader`` reads its blocks.
        """
        path = inode if isinstance(inode, bytes | str) else None
        if isinstance(inode, bytes | str):
            inode = self.lookup(inode)
        elif isinstance(inode, int):
            inode = self.inode(inode)
        if inode.is_directory:
            raise ImageError(
                f"<{inode.ino}>" if path is None else path,
                "is a directory; entries() lists it, and FileReader reads its blocks",
            )
        return FileReader(inode)

    def close(self) -> None:
        """Close what :func:`open_image` opened."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@checked("source", "journal")
def open_image(
    source: Source,
    *,
    offset: int = 0,
    partition: int | None = None,
    superblock: int | None = None,
    replay: bool = False,
    journal: Source | None = None,
    on_damage: OnDamage | None = None,
) -> Image:
    """Open an ext2, ext3 or ext4 image for reading.

    ``source`` is the path of a file or block device, the bytes of an image, or an object with
    ``pread(count, offset)`` or with ``readinto`` and ``seek``. Each may be a qcow2 disk that needs
    no other file. The file system begins at byte ``offset`` of the disk or of ``partition``, a
    partition of an MBR or GPT disk, numbered as in Linux. ``superblock`` is the byte of a backup to
    use instead of the superblock at byte 1,024.

    With ``replay``, a journal that needs recovery is replayed in memory, with its fast commits, and
    orphans are treated as deleted or truncated. ``journal`` is the device of an external journal.

    ``on_damage`` is called with each :class:`~ext4writer.DamageError` after which reading
    continues, such as wrong checksums; without it the first one is raised. Raises
    :class:`~ext4writer.ImageError` if ``source`` is not ext2, ext3 or ext4,
    :class:`~ext4writer.DamageError` for an image that cannot be read, and
    :class:`~ext4writer.SourceError` for a file that cannot be opened.
    """
    store = open_store(source)
    try:
        if is_qcow2(store):
            store = Qcow2Store(store)
        if partition is not None:
            part = find_partition(store, partition)
            offset, size = part.offset + offset, min(part.size, store.size - part.offset) - offset
        else:
            size = store.size - offset
        if offset < 0 or size < SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE:
            _refuse_wrapping(store)
            raise ImageError(store.name, f"has no space for a file system at byte {offset}")
        if offset or size != store.size:
            store = Window(store, offset, size)
        at = SUPERBLOCK_OFFSET if superblock is None else superblock
        image = Image(store, superblock_offset=at, on_damage=on_damage)
        if replay and image.format.needs_recovery:
            with ExitStack() as opened:
                device = None
                if journal is not None:
                    device = Image(open_store(journal), on_damage=on_damage)
                    opened.enter_context(device)
                blocks, tags = replayed(image, device)
            image = _overlaid(store, at, on_damage, image.block_size, blocks)
            if tags:
                commits = FastCommits(image, tags)
                blocks |= commits.table_blocks()
                image = _overlaid(store, at, on_damage, image.block_size, blocks)
                image.fast_commits = commits
        elif replay and has_orphans(image):
            image.is_replayed = True
        return image
    except BaseException:
        store.close()
        raise


def _refuse_wrapping(store: Store) -> None:
    """Raise :class:`ImageError` if the data is compressed, or a disk in another format."""
    head = store.read(0, min(8, store.size))
    for magic, what in _WRAPPINGS:
        if head.startswith(magic):
            raise ImageError(store.name, f"is {what}")


def _backup_of(store: Store) -> int | None:
    """The byte of the backup superblock in group 1, for the default group sizes; else None."""
    for log_block_size in range(7):
        size = EXT4_MIN_BLOCK_SIZE << log_block_size
        offset = (8 * size + (size == EXT4_MIN_BLOCK_SIZE)) * size
        if offset + SUPERBLOCK_SIZE > store.size:
            return None
        data = store.read(offset, SUPERBLOCK_SIZE)
        if (
            SUPERBLOCK.number(data, 0, "s_magic") == EXT4_SUPER_MAGIC
            and SUPERBLOCK.number(data, 0, "s_log_block_size") == log_block_size
        ):
            return offset
    return None


def _overlaid(
    store: Store,
    superblock_offset: int,
    on_damage: OnDamage | None,
    block_size: int,
    blocks: dict[int, bytes],
) -> Image:
    """An image in which ``blocks`` replace some blocks of the store."""
    overlay = Overlay(store, block_size, dict(blocks))
    image = Image(overlay, superblock_offset=superblock_offset, on_damage=on_damage)
    image.is_replayed = True
    return image
