"""One inode as stored on disk, with its numbers decoded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..bits import le16, le32
from ..errors import DamageError, DamageKind
from ..nodes import (
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFLNK,
    S_IFMT,
    S_IFREG,
    S_IFSOCK,
)
from ..ondisk.checksum import crc32c, inode_seed
from ..ondisk.inode import (
    EXT4_GOOD_OLD_INODE_SIZE,
    EXT4_HUGE_FILE_FL,
    EXT4_INLINE_DATA_FL,
    EXT4_N_BLOCKS,
    INODE,
    INODE_128,
    INODE_FLAGS,
    decode_device,
    decode_time,
)
from ..ondisk.record import Record
from ..units import SECTOR
from .files import read_target
from .mapping import FileExtent, TreeBlock, mapping, runs
from .xattrs import xattrs

if TYPE_CHECKING:
    from .image import Image

KINDS = {
    S_IFREG: "file",
    S_IFDIR: "directory",
    S_IFLNK: "symlink",
    S_IFCHR: "character device",
    S_IFBLK: "block device",
    S_IFIFO: "fifo",
    S_IFSOCK: "socket",
}
"""The ``S_IFMT`` bits of ``i_mode`` -> the name of that kind."""

_FAST_SYMLINK_SIZE = 4 * EXT4_N_BLOCKS

_OLD = (
    *("i_mode", "i_uid", "i_size_lo", "i_atime", "i_ctime", "i_mtime", "i_dtime", "i_gid"),
    *("i_links_count", "i_blocks_lo", "i_flags", "l_i_version", "i_block", "i_generation"),
    *("i_file_acl_lo", "i_size_high", "l_i_blocks_high", "l_i_file_acl_high", "l_i_uid_high"),
    *("l_i_gid_high", "l_i_checksum_lo"),
)
_EXTRA = (
    *("i_extra_isize", "i_checksum_hi", "i_ctime_extra", "i_mtime_extra", "i_atime_extra"),
    *("i_crtime", "i_crtime_extra", "i_version_hi", "i_projid"),
)
_unpack = INODE_128.unpacker(*_OLD)
# Only the fields after the first 128 bytes; those beyond i_extra_isize count as zero.
_unpack_extra = INODE.unpacker(*_EXTRA)
_EXTRA_MOST = INODE.size - EXT4_GOOD_OLD_INODE_SIZE
_EXTRA_ISIZE = INODE.offset("i_extra_isize")
_CHECKSUM_LO, _CHECKSUM_HI = map(INODE.offset, INODE.parts("i_checksum"))


def _has_checksum_hi(raw: bytes) -> bool:
    """Whether the checksum of an inode has a high half (lib/ext2fs/csum.c:ext2fs_inode_csum).

    i_extra_isize decides that, even if it is too large for the inode.
    """
    size = le16(raw, _EXTRA_ISIZE)
    return size >= _CHECKSUM_HI + 2 - EXT4_GOOD_OLD_INODE_SIZE


class Inode:
    """One inode. Sizes are in bytes, times in nanoseconds since 1970, ``blocks`` in 512 bytes.

    ``raw`` holds its bytes, and ``offset`` is the byte of the file system at which they begin. A
    time that the inode is too small to hold is None.
    """

    mode: int
    uid: int
    gid: int
    size: int
    links: int
    flags: int
    generation: int
    version: int
    projid: int
    dtime: int
    """``i_dtime`` as stored: seconds since 1970, or the next inode in the list of orphans."""
    file_acl: int
    blocks: int
    checksum: int
    extra_isize: int
    block_bytes: bytes
    """``i_block``."""

    __slots__ = (
        "_times", "block_bytes", "blocks", "checksum", "dtime", "extra_isize", "file_acl", "flags",
        "generation", "gid", "image", "ino", "links", "mode", "offset", "projid", "raw", "size",
        "uid", "version",
    )  # fmt: skip

    def __init__(self, image: Image, ino: int, offset: int, raw: bytes) -> None:
        self.image = image
        self.ino = ino
        self.offset = offset
        self.raw = raw
        (
            self.mode, uid, size_lo, atime, ctime, mtime, self.dtime, gid, self.links, blocks_lo,
            self.flags, version, self.block_bytes, self.generation, acl_lo, size_high, blocks_high,
            acl_high, uid_high, gid_high, checksum,
        ) = _unpack(raw, 0)  # fmt: skip
        fmt = image.format
        extra = (0,) * len(_EXTRA)
        self.extra_isize = high = 0
        if fmt.has_extra_fields:
            self.extra_isize = le16(raw, _EXTRA_ISIZE)
            if self.extra_isize & 3 or self.extra_isize > len(raw) - EXT4_GOOD_OLD_INODE_SIZE:
                if self.mode and self.links:
                    self.wrong("i_extra_isize", f"is {self.extra_isize}")
                self.extra_isize = 0
                if _has_checksum_hi(raw):
                    high = le16(raw, _CHECKSUM_HI)
            end = EXT4_GOOD_OLD_INODE_SIZE + min(self.extra_isize, _EXTRA_MOST)
            extra = _unpack_extra(raw[:end].ljust(INODE.size, b"\0"), 0)
        (
            _, checksum_hi, ctime_extra, mtime_extra, atime_extra, crtime, crtime_extra, version_hi,
            self.projid,
        ) = extra  # fmt: skip
        # Halves are joined without calls, since this runs for every inode.
        self.checksum = checksum | (checksum_hi or high) << 16
        self.uid = uid | uid_high << 16
        self.gid = gid | gid_high << 16
        self.version = version | version_hi << 32
        self.file_acl = acl_lo | acl_high << 32 if fmt.is_64bit else acl_lo
        self.size = size_lo | size_high << 32
        self.blocks = blocks_lo
        if fmt.huge_file:
            # fs/ext4/inode.c:ext4_inode_blocks
            self.blocks |= blocks_high << 32
            if self.flags & EXT4_HUGE_FILE_FL:
                self.blocks *= fmt.block_size // SECTOR
        self._times = (
            (mtime, mtime_extra), (atime, atime_extra), (ctime, ctime_extra), (crtime, crtime_extra)
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<Inode {self.ino}, {self.kind}>"

    @property
    def record(self) -> Record:
        """The record that declares this inode."""
        return INODE if self.image.format.has_extra_fields else INODE_128

    def wrong(self, field: str, problem: str, kind: DamageKind = "value") -> None:
        """Report that a field of this inode is wrong."""
        self.image.damage(self.error(field, problem, kind))

    def error(self, field: str, problem: str, kind: DamageKind = "value") -> DamageError:
        """Return an error which states that a field of this inode is wrong."""
        record = self.record
        return DamageError(
            record.name,
            field,
            self.offset + record.offset(field),
            problem,
            ino=self.ino,
            kind=kind,
        )

    # -- what it is ------------------------------------------------------------------------------

    @property
    def file_type(self) -> int:
        """The ``S_IFMT`` bits of the mode."""
        file_type: int = self.mode & S_IFMT
        return file_type

    @property
    def kind(self) -> str:
        """``file``, ``directory``, ``symlink``, ...; ``unknown`` for an invalid mode."""
        return KINDS.get(self.file_type, "unknown")

    @property
    def flag_names(self) -> tuple[str, ...]:
        """The names of the flags that are set; bits without a name form one hexadecimal number."""
        known = tuple(name for bit, name in INODE_FLAGS.items() if self.flags & bit)
        rest = self.flags & ~sum(INODE_FLAGS)
        return (*known, f"{rest:#x}") if rest else known

    @property
    def is_directory(self) -> bool:
        return self.file_type == S_IFDIR

    @property
    def is_file(self) -> bool:
        return self.file_type == S_IFREG

    @property
    def is_symlink(self) -> bool:
        return self.file_type == S_IFLNK

    @property
    def is_device(self) -> bool:
        return self.file_type in (S_IFCHR, S_IFBLK)

    @property
    def has_inline_data(self) -> bool:
        return bool(self.flags & EXT4_INLINE_DATA_FL) and self.image.format.inline_data

    @property
    def is_fast_symlink(self) -> bool:
        """Whether the target of the link is stored in ``i_block``."""
        # fs/ext4/inode.c:ext4_inode_is_fast_symlink
        fmt = self.image.format
        if not self.is_symlink or self.has_inline_data:
            return False
        if fmt.ea_inode:
            return 0 < self.size < _FAST_SYMLINK_SIZE
        return self.blocks == (fmt.cluster_size // SECTOR if self.file_acl else 0)

    @property
    def device(self) -> tuple[int, int]:
        """(major, minor) of a device."""
        words = (le32(self.block_bytes, at) for at in (0, 4))
        return decode_device(*words)

    # -- times -----------------------------------------------------------------------------------

    @property
    def mtime_ns(self) -> int:
        return decode_time(*self._times[0])

    @property
    def atime_ns(self) -> int:
        return decode_time(*self._times[1])

    @property
    def ctime_ns(self) -> int:
        return decode_time(*self._times[2])

    @property
    def crtime_ns(self) -> int | None:
        end = EXT4_GOOD_OLD_INODE_SIZE + self.extra_isize
        if end < INODE.offset("i_crtime_extra") + 4:
            return None
        return decode_time(*self._times[3])

    # -- checksum --------------------------------------------------------------------------------

    @property
    def seed(self) -> int:
        """The seed of the checksums of all metadata of this inode."""
        return inode_seed(self.image.format.checksum_seed, self.ino, self.generation)

    def expected_checksum(self) -> tuple[int, int]:
        """Return (the right checksum, a mask of the bits that are stored)."""
        raw = bytearray(self.raw)
        raw[_CHECKSUM_LO : _CHECKSUM_LO + 2] = b"\0\0"
        mask = 0xFFFF
        if self.image.format.has_extra_fields and _has_checksum_hi(self.raw):
            raw[_CHECKSUM_HI : _CHECKSUM_HI + 2] = b"\0\0"
            mask = 0xFFFFFFFF
        return crc32c(self.seed, raw) & mask, mask

    def check(self) -> None:
        """Report a wrong checksum, if the format has checksums."""
        if not self.image.format.metadata_csum:
            return
        expected, mask = self.expected_checksum()
        # An unused inode of zeros has none (lib/ext2fs/csum.c:ext2fs_inode_csum_verify).
        if self.checksum & mask != expected and any(self.raw[:EXT4_GOOD_OLD_INODE_SIZE]):
            self.wrong(
                "l_i_checksum_lo", f"is {self.checksum & mask:#x} but should be {expected:#x}"
            )

    # -- what it holds ---------------------------------------------------------------------------

    def mapping(self) -> Iterator[FileExtent | TreeBlock]:
        """Yield its runs of blocks, and the blocks of its extent tree or block map."""
        return mapping(self)

    def runs(self) -> Iterator[FileExtent]:
        """Yield its runs of blocks, ascending in the file."""
        return runs(self)

    def xattrs(self) -> dict[bytes, bytes]:
        """Return its extended attributes as the system call would."""
        return xattrs(self)

    def target(self) -> bytes:
        """Return the target of a symbolic link; raises :class:`NotFoundError` for other kinds."""
        return read_target(self)
