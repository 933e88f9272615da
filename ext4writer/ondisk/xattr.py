"""Extended attributes: headers, entries, name indexes, hashes, and the on-disk form of ACLs.

Rules: Documentation/filesystems/ext4/attributes.rst.
"""

from __future__ import annotations

import struct

from ..arithmetic import round_up
from ..bits import le32, low_32
from .declaration import Array, Int8ul, Int16ul, Int32ul, Struct
from .record import Record, field

EXT4_XATTR_MAGIC = 0xEA020000
EXT4_XATTR_REFCOUNT_MAX = 1024
# Names, values and entries are padded to multiples of this.
EXT4_XATTR_PAD = 4
# include/uapi/linux/limits.h: no system call accepts or returns a longer value.
XATTR_SIZE_MAX = 65536
# Zero bytes that end the list of entries.
XATTR_END_SIZE = 4

EXT4_XATTR_INDEX_USER = 1
EXT4_XATTR_INDEX_POSIX_ACL_ACCESS = 2
EXT4_XATTR_INDEX_POSIX_ACL_DEFAULT = 3
EXT4_XATTR_INDEX_TRUSTED = 4
EXT4_XATTR_INDEX_LUSTRE = 5
EXT4_XATTR_INDEX_SECURITY = 6
EXT4_XATTR_INDEX_SYSTEM = 7
EXT4_XATTR_INDEX_RICHACL = 8
EXT4_XATTR_INDEX_ENCRYPTION = 9
EXT4_XATTR_INDEX_HURD = 10

# fs/ext4/xattr.h:EXT4_XATTR_NAME_ENCRYPTION_CONTEXT
ENCRYPTION_CONTEXT_NAME = b"c"

# Complete names that have an index, then prefixes: attributes.rst, e2fsprogs ext_attr.c:ea_names
_WHOLE_NAMES = {
    b"system.posix_acl_access": EXT4_XATTR_INDEX_POSIX_ACL_ACCESS,
    b"system.posix_acl_default": EXT4_XATTR_INDEX_POSIX_ACL_DEFAULT,
    b"system.richacl": EXT4_XATTR_INDEX_RICHACL,
}
_PREFIXES = {
    b"user.": EXT4_XATTR_INDEX_USER,
    b"trusted.": EXT4_XATTR_INDEX_TRUSTED,
    b"security.": EXT4_XATTR_INDEX_SECURITY,
    b"system.": EXT4_XATTR_INDEX_SYSTEM,
    b"gnu.": EXT4_XATTR_INDEX_HURD,
}
NAME_PREFIXES = {index: text for text, index in (_WHOLE_NAMES | _PREFIXES).items()}

NAME_INDEXES = {index: text.decode() for index, text in sorted(NAME_PREFIXES.items())} | {
    EXT4_XATTR_INDEX_LUSTRE: "lustre.",
    EXT4_XATTR_INDEX_ENCRYPTION: "encryption.",
}
"""Each e_name_index -> the prefix, or the complete name, that it stands for."""

XATTR_HEADER = Record(
    "xattr_header",
    Struct(
        field(
            "h_magic", Int32ul, "0xEA020000", "magic", names={EXT4_XATTR_MAGIC: "ext4 attributes"}
        ),
        field(
            "h_refcount",
            Int32ul,
            "Inodes that share the block",
            "count",
            limits=(1, EXT4_XATTR_REFCOUNT_MAX),
        ),
        field("h_blocks", Int32ul, "1: more were never allowed", "blocks", limits=(1, 1)),
        field("h_hash", Int32ul, "Hash of all entries, to find equal blocks", "hash"),
        field(
            "h_checksum",
            Int32ul,
            "crc32c of the block's number and bytes",
            "checksum",
            when="metadata_csum",
        ),
        field("h_reserved", Array(3, Int32ul), "Padding", "reserved", zero="reserved"),
    ),
    size=32,
    doc="Begins an attribute block; value offsets are relative to its start. attributes.rst.",
)

XATTR_IBODY_HEADER = Record(
    "xattr_ibody_header",
    Struct(
        field(
            "h_magic", Int32ul, "0xEA020000", "magic", names={EXT4_XATTR_MAGIC: "ext4 attributes"}
        )
    ),
    size=4,
    doc="Begins the attributes in an inode; value offsets are relative to its end. attributes.rst.",
)

XATTR_ENTRY = Record(
    "xattr_entry",
    Struct(
        field("e_name_len", Int8ul, "Bytes of the name after its prefix", "bytes"),
        field("e_name_index", Int8ul, "The prefix", "code", names=NAME_INDEXES),
        field(
            "e_value_offs",
            Int16ul,
            "Offset of the value: from the block's header, or from the first entry in an inode",
            "offset",
        ),
        field(
            "e_value_inum",
            Int32ul,
            "Inode that holds the value",
            "inode",
            when="ea_inode",
            writes="0 unless the value fits neither the inode nor the block",
        ),
        field("e_value_size", Int32ul, "Bytes of the value", "bytes"),
        field(
            "e_hash",
            Int32ul,
            "Hash of name and value",
            "hash",
            writes="0 in an inode, unless the value has its own inode; then the hash of the value "
            "replaces the value. Bytes of the name count as unsigned",
        ),
    ),
    size=16,
    doc="The fixed part of an attribute's entry; the name follows. attributes.rst.",
)


def entry_size(name_len: int) -> int:
    """Return the size in bytes of an entry with its name and padding."""
    return round_up(XATTR_ENTRY.size + name_len, EXT4_XATTR_PAD)


def value_size(size: int) -> int:
    """Return the padded size, in bytes, of a value of ``size`` bytes."""
    return round_up(size, EXT4_XATTR_PAD)


def split_name(full: bytes) -> tuple[int, bytes]:
    """Return (name index, rest of the name); raise ValueError if ext4 cannot store the name."""
    index = _WHOLE_NAMES.get(full)
    if index is not None:
        return index, b""
    prefix, dot, rest = full.partition(b".")
    index = _PREFIXES.get(prefix + dot)
    if index is None:
        raise ValueError(f"attribute {full!r} has no prefix that ext4 can store")
    if not rest or len(rest) > 255 or b"\0" in rest:
        raise ValueError(f"attribute {full!r} needs 1 to 255 bytes after its prefix")
    return index, rest


def join_name(index: int, rest: bytes) -> bytes:
    """Return the full name of an attribute; raise ValueError for an unknown index."""
    try:
        return NAME_PREFIXES[index] + rest
    except KeyError:
        raise ValueError(f"attribute name index {index} is unknown") from None


# fs/ext4/xattr.c: by how many bits a 32-bit hash is rotated left before each byte or word
NAME_HASH_SHIFT = 5
VALUE_HASH_SHIFT = 16


def _extended(hashed: int, shift: int, word: int) -> int:
    """``hashed`` rotated left by ``shift`` bits, exclusive or ``word``."""
    return low_32((hashed << shift) ^ (hashed >> 32 - shift) ^ word)


def entry_hash(name: bytes, value: bytes, *, signed: bool = False) -> int:
    """Return e_hash of the name (without prefix) and the value.

    ``signed`` treats bytes of the name as signed, as kernels do on machines with a signed ``char``.
    """
    # e2fsprogs ext_attr.c:ext2fs_ext_attr_hash_entry and ext2fs_ext_attr_hash_entry_signed;
    # fs/ext4/xattr.c:ext4_xattr_hash_entry
    hashed = 0
    for byte in name:
        letter = byte - 256 if signed and byte > 0x7F else byte
        hashed = _extended(hashed, NAME_HASH_SHIFT, letter)
    for (word,) in struct.iter_unpack("<I", value.ljust(value_size(len(value)), b"\0")):
        hashed = _extended(hashed, VALUE_HASH_SHIFT, word)
    return hashed


def value_entry_hash(name: bytes, hashed: int) -> int:
    """Return e_hash of an entry whose value has its own inode and the hash ``hashed``."""
    # fs/ext4/xattr.c:ext4_xattr_set_entry, "crc32c_hash"
    return entry_hash(name, struct.pack("<I", hashed))


def block_hash(entry_hashes: list[int] | tuple[int, ...]) -> int:
    """Return h_hash of a block from its entries' hashes in block order."""
    # fs/ext4/xattr.c:ext4_xattr_rehash: an entry hash of 0 marks a block that is not shared.
    hashed = 0
    for entry in entry_hashes:
        if entry == 0:
            return 0
        hashed = _extended(hashed, VALUE_HASH_SHIFT, entry)
    return hashed


# POSIX ACLs. On-disk form: fs/ext4/acl.h; system-call form: include/uapi/linux/posix_acl_xattr.h
_ACL_DISK_VERSION = 1
_ACL_CALL_VERSION = 2
_ACL_USER_OBJ, _ACL_USER, _ACL_GROUP_OBJ, _ACL_GROUP, _ACL_MASK, _ACL_OTHER = (
    0x01,
    0x02,
    0x04,
    0x08,
    0x10,
    0x20,
)
_ACL_WITH_ID = (_ACL_USER, _ACL_GROUP)
_ACL_UNDEFINED_ID = 0xFFFFFFFF
_AclEntry = tuple[int, int, int]


def acl_to_disk(value: bytes) -> bytes:
    """Return the on-disk form (version 1) of an ACL in the system-call form (version 2).

    Raises ``ValueError`` for an ACL that the kernel would refuse.
    """
    if len(value) < 12 or len(value) % 8 != 4:
        raise ValueError(f"an ACL of {len(value)} bytes is malformed")
    if le32(value) != _ACL_CALL_VERSION:
        raise ValueError("an ACL of the system-call form has version 2")
    entries = _check_acl(list(struct.iter_unpack("<HHI", value[4:])))
    parts = [struct.pack("<I", _ACL_DISK_VERSION)]
    for tag, perm, ident in entries:
        parts.append(struct.pack("<HH", tag, perm))
        if tag in _ACL_WITH_ID:
            parts.append(struct.pack("<I", ident))
    return b"".join(parts)


def acl_from_disk(value: bytes) -> bytes:
    """Return the system-call form (version 2) of an ACL in the on-disk form (version 1).

    Raises ``ValueError`` for an ACL that the kernel would refuse.
    """
    # fs/ext4/acl.c:ext4_acl_from_disk
    if len(value) < 8 or le32(value) != _ACL_DISK_VERSION:
        raise ValueError("an ACL of the on-disk form has version 1 and at least one entry")
    entries: list[_AclEntry] = []
    offset = 4
    while offset < len(value):
        try:
            tag, perm = struct.unpack_from("<HH", value, offset)
            ident, offset = _ACL_UNDEFINED_ID, offset + 4
            if tag in _ACL_WITH_ID:
                (ident,) = struct.unpack_from("<I", value, offset)
                offset += 4
        except struct.error:
            raise ValueError("an ACL of the on-disk form is truncated") from None
        entries.append((tag, perm, ident))
    parts = [struct.pack("<I", _ACL_CALL_VERSION)]
    parts += [struct.pack("<HHI", *entry) for entry in _check_acl(entries)]
    return b"".join(parts)


def _check_acl(entries: list[_AclEntry]) -> list[_AclEntry]:
    """Return ``entries`` if the kernel would accept them, else raise ValueError."""
    # fs/posix_acl.c:posix_acl_valid: order of tags, permissions, and a mask if it is required
    tags = [tag for tag, _, _ in entries]
    if any(tag not in (1, 2, 4, 8, 16, 32) or perm > 7 for tag, perm, _ in entries):
        raise ValueError("an ACL entry has an unknown tag or permission")
    if tags != sorted(tags):
        raise ValueError("the entries of an ACL are out of order")
    single = [tags.count(tag) for tag in (_ACL_USER_OBJ, _ACL_GROUP_OBJ, _ACL_OTHER)]
    if single != [1, 1, 1] or tags.count(_ACL_MASK) > 1:
        raise ValueError("an ACL has owner, group and other once each, and one mask at most")
    if any(tag in _ACL_WITH_ID for tag in tags) and _ACL_MASK not in tags:
        raise ValueError("an ACL with named users or groups needs a mask")
    if any(tag in _ACL_WITH_ID and ident == _ACL_UNDEFINED_ID for tag, _, ident in entries):
        raise ValueError(f"an ACL names {_ACL_UNDEFINED_ID}, which is no user or group")
    return entries
