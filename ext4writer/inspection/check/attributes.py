"""Checks extended attributes: their places, names, hashes and reference counts.

Rules: e2fsck/pass1.c:check_ea_in_inode and check_ext_attr.
"""

from __future__ import annotations

import struct
from itertools import pairwise

from ...arithmetic import ceil_div, round_up
from ...errors import DamageError, ImageError
from ...late_dataclasses import NamedTuple
from ...ondisk.checksum import crc32c
from ...ondisk.inode import EXT4_EA_INODE_FL, EXT4_GOOD_OLD_INODE_SIZE, INODE_128
from ...ondisk.xattr import XATTR_ENTRY, XATTR_HEADER, block_hash, entry_hash, value_entry_hash
from ...read import Inode
from ...read.files import read_all
from ...read.xattr_entries import Xattr, in_block, in_inode
from .state import Check

_KNOWN_INDEXES = range(1, 11)
_HASH_SHIFT, _VALUE_SHIFT = 5, 16


class Charge(NamedTuple):
    """What attributes add to the blocks and inodes of their owner; shared values count fully."""

    blocks: int = 0
    inodes: int = 0

    def and_values(self, check: Check, found: list[Xattr]) -> Charge:
        """Return the sum with the inodes that hold values (pass1.c:size_to_quota_blocks)."""
        unit = check.format.cluster_size
        values = [each for each in found if each.value_ino]
        sizes = [each.value_size for each in values if each.offset not in check.unhashed_values]
        blocks = sum(ceil_div(size, unit) for size in sizes) * check.format.blocks_per_cluster
        return Charge(self.blocks + blocks, self.inodes + len(values))


def check_attributes(check: Check, inode: Inode) -> Charge:
    """Check the attributes of an inode; return their charge."""
    charge = Charge()
    if inode.extra_isize:
        found = in_inode(inode)
        first = inode.offset + EXT4_GOOD_OLD_INODE_SIZE + inode.extra_isize
        _check_entries(check, inode, found, first, in_the_inode=True)
        charge = charge.and_values(check, found)
    return check_attribute_block(check, inode, charge) if inode.file_acl else charge


def check_attribute_block(check: Check, inode: Inode, charge: Charge) -> Charge:
    """Check the attribute block of an inode; return its charge added to ``charge``."""
    image = check.image
    if not check.format.ext_attr or not image.has_blocks(inode.file_acl):
        check.of_inode(
            "PR_2_FILE_ACL_BAD", inode, "i_file_acl_lo", f"is {inode.file_acl}, an invalid block"
        )
        return charge
    charge = Charge(charge.blocks + check.format.blocks_per_cluster, charge.inodes)
    known = check.attribute_blocks.get(inode.file_acl)
    if known is not None:
        known[0] += 1
        if check.format.ea_inode:
            charge = charge.and_values(check, in_block(inode))
        return charge
    found = in_block(inode)
    data, offset = image.block(inode.file_acl), inode.file_acl * check.block_size
    references = XATTR_HEADER.number(data, 0, "h_refcount")
    check.attribute_blocks[inode.file_acl] = [1, references, inode.ino]
    check.claims.add(inode.ino, inode.file_acl, 1)
    _check_entries(check, inode, found, offset, in_the_inode=False)
    order = [(each.name_index, len(each.name), each.name) for each in found]
    if any(first >= second for first, second in pairwise(order)):
        check.of_record(
            "ATTRIBUTE_ORDER",
            XATTR_ENTRY,
            "e_name_index",
            offset + XATTR_HEADER.size,
            "and the names of the entries are not in the order that the kernel's search requires",
            inode.ino,
            warn=True,
        )
    hashed = block_hash([each.entry_hash for each in found])
    stored = XATTR_HEADER.number(data, 0, "h_hash")
    if found and stored not in (0, hashed):
        check.of_record(
            "ATTRIBUTE_BLOCK_HASH",
            XATTR_HEADER,
            "h_hash",
            offset,
            f"is {stored:#010x} but should be {hashed:#010x}",
            inode.ino,
            warn=True,
        )
    return charge.and_values(check, found)


def _check_entries(
    check: Check, inode: Inode, found: list[Xattr], first: int, *, in_the_inode: bool
) -> None:
    spans = []
    for each in found:
        spans.append((each.offset, each.offset + XATTR_ENTRY.size + len(each.name)))
        if each.value_offset:
            spans.append((each.value_offset, each.value_offset + each.value_size))

        def wrong(code: str, field: str, text: str, at: int = each.offset) -> None:
            check.of_record(code, XATTR_ENTRY, field, at, text, inode.ino)

        if not each.name_index and not in_the_inode:
            wrong("PR_1_EA_BAD_NAME", "e_name_index", "is 0")
        elif each.name_index not in _KNOWN_INDEXES or b"\0" in each.name:
            # The kernel has no handler for such a name or never finds it; e2fsck accepts it.
            text = f"is {each.name_index} for the name {each.name!r}: the kernel cannot show it"
            check.of_record(
                "ATTRIBUTE_NAME", XATTR_ENTRY, "e_name_index", each.offset, text, inode.ino,
                warn=True,
            )  # fmt: skip
        if each.value_ino:
            _check_value_inode(check, inode, each)
            continue
        value = each.value
        if len(value) & 3:
            # The hash covers whole 32-bit words, including the bytes after the value.
            padded = round_up(len(value), 4)
            value = check.image.read(each.value_offset, padded)
        hashed = entry_hash(each.name, value)
        if in_the_inode and not each.entry_hash:
            continue
        if each.entry_hash not in (hashed, entry_hash(each.name, value, signed=True)):
            text = f"is {each.entry_hash:#010x} but should be {hashed:#010x}"
            wrong("PR_1_ATTR_HASH", "e_hash", text)
    spans.sort()
    for (_, end), (start, _) in pairwise(spans):
        if start < end:
            code = "PR_1_INODE_EA_ALLOC_COLLISION" if in_the_inode else "PR_1_EA_ALLOC_COLLISION"
            text = f"of one attribute ends at byte {end}, but another begins at {start}"
            check.of_record(code, XATTR_ENTRY, "e_value_offs", first, text, inode.ino)
            break


def _check_value_inode(check: Check, inode: Inode, xattr: Xattr) -> None:
    image, ino = check.image, xattr.value_ino
    text = warning = ""
    if not check.format.first_ino <= ino <= image.inodes_count:
        text = f"is {ino}"
    else:
        try:
            holder = image.inode(ino)
        except (DamageError, ImageError):
            return
        if not holder.flags & EXT4_EA_INODE_FL:
            text = f"is {ino}, which does not hold a value"
        elif not check.format.ea_inode:
            warning = "is set without the feature ea_inode"
        elif holder.size != xattr.value_size:
            warning = f"is {ino}, which holds {holder.size} bytes, not {xattr.value_size}"
    if text:
        check.of_record(
            "PR_1_ATTR_VALUE_EA_INODE", XATTR_ENTRY, "e_value_inum", xattr.offset, text, inode.ino
        )
        return
    if warning:
        # The kernel does not read such a value (fs/ext4/xattr.c:ext4_xattr_inode_get).
        where = xattr.offset, warning, inode.ino
        check.of_record("ATTRIBUTE_VALUE", XATTR_ENTRY, "e_value_inum", *where, warn=True)
    check.value_inodes[ino] += 1
    _check_value_hashes(check, inode, xattr, holder)


def _check_value_hashes(check: Check, inode: Inode, xattr: Xattr, holder: Inode) -> None:
    """Compare the hashes of a value in its entry and in ``i_atime`` of its inode, and the value."""
    # e2fsck/pass1.c:check_large_ea_inode; fs/ext4/xattr.c:ext4_xattr_inode_verify_hashes
    hashed = INODE_128.number(holder.raw, 0, "i_atime")
    value = struct.pack("<I", hashed)
    right = value_entry_hash(xattr.name, hashed)
    if xattr.entry_hash not in (right, entry_hash(xattr.name, value, signed=True)):
        owner = INODE_128.number(holder.raw, 0, "i_mtime"), holder.generation
        if owner == (inode.ino, inode.generation):
            check.unhashed_values.add(xattr.offset)
            return  # Lustre stores values without hashes.
        text = f"is {xattr.entry_hash:#010x} but should be {right:#010x}"
        check.of_record("PR_1_ATTR_HASH", XATTR_ENTRY, "e_hash", xattr.offset, text, inode.ino)
    if check.value_inodes[holder.ino] > 1 or holder.size != xattr.value_size:
        return
    if not holder.is_file or not check.format.ea_inode:
        return
    found = crc32c(check.format.checksum_seed, read_all(holder))
    if found != hashed:
        text = f"is {hashed:#010x}, but the hash of the value is {found:#010x}"
        where = holder.offset, text, holder.ino
        check.of_record("ATTRIBUTE_VALUE_HASH", INODE_128, "i_atime", *where, warn=True)


def check_references(check: Check) -> None:
    """Compare the reference count of each attribute block with the inodes that share it."""
    for block, (found, stored, ino) in check.attribute_blocks.items():
        if found != stored:
            check.of_record(
                "PR_1_EXTATTR_REFCOUNT",
                XATTR_HEADER,
                "h_refcount",
                block * check.block_size,
                f"is {stored}, but {found} inodes share the block",
                ino,
            )
