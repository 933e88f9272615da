"""Extended attributes as the system calls return them, wherever their values are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ondisk.inode import EXT4_EA_INODE_FL
from ..ondisk.xattr import (
    ENCRYPTION_CONTEXT_NAME,
    EXT4_XATTR_INDEX_ENCRYPTION,
    EXT4_XATTR_INDEX_POSIX_ACL_ACCESS,
    EXT4_XATTR_INDEX_POSIX_ACL_DEFAULT,
    NAME_PREFIXES,
    XATTR_ENTRY,
    acl_from_disk,
)
from .files import read_all
from .xattr_entries import INLINE_DATA, Xattr, all_xattrs, wrong

if TYPE_CHECKING:
    from .inodes import Inode

_ACLS = (EXT4_XATTR_INDEX_POSIX_ACL_ACCESS, EXT4_XATTR_INDEX_POSIX_ACL_DEFAULT)


def value_of(inode: Inode, xattr: Xattr) -> bytes | None:
    """Return the value of an attribute, wherever it is stored; None if it cannot be read."""
    if not xattr.value_ino:
        return xattr.value
    image = inode.image
    if xattr.value_ino > image.inodes_count:
        text = f"is {xattr.value_ino}; the last inode is {image.inodes_count}"
        wrong(inode, XATTR_ENTRY, "e_value_inum", xattr.offset, text)
        return None
    holder = image.try_inode(xattr.value_ino)
    if holder is None:
        return None
    if not holder.flags & EXT4_EA_INODE_FL or not holder.is_file or holder.size != xattr.value_size:
        text = f"is {xattr.value_ino}, which holds no value of {xattr.value_size} bytes"
        wrong(inode, XATTR_ENTRY, "e_value_inum", xattr.offset, text)
        return None
    return read_all(holder)


def xattrs(inode: Inode) -> dict[bytes, bytes]:
    """Return name -> value as the system calls do, in stored order.

    Access control lists have the format of the system calls. The attributes that hold inline data
    and encryption contexts are left out.
    """
    found: dict[bytes, bytes] = {}
    for xattr in all_xattrs(inode):
        index = xattr.name_index
        if (index, xattr.name) == INLINE_DATA or index == EXT4_XATTR_INDEX_ENCRYPTION:
            continue
        prefix = NAME_PREFIXES.get(index)
        if prefix is None:
            wrong(inode, XATTR_ENTRY, "e_name_index", xattr.offset, f"is {xattr.name_index}")
            continue
        value = value_of(inode, xattr)
        if value is None:
            continue
        if xattr.name_index in _ACLS:
            try:
                value = acl_from_disk(value)
            except ValueError as error:
                wrong(inode, XATTR_ENTRY, "e_value_offs", xattr.offset, str(error))
                continue
        found[prefix + xattr.name] = value
    return found


def encryption_context(inode: Inode) -> bytes | None:
    """Return the context that states how an inode is encrypted; None if there is none."""
    wanted = (EXT4_XATTR_INDEX_ENCRYPTION, ENCRYPTION_CONTEXT_NAME)
    for xattr in all_xattrs(inode):
        if (xattr.name_index, xattr.name) == wanted:
            return xattr.value
    return None
