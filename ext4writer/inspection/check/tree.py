"""Checks the connectivity of directories and the link counts: passes 3 and 4 of e2fsck."""

from __future__ import annotations

from ...bits import joined_32
from ...nodes import DT_DIR
from ...ondisk.dirent import DIR_ENTRY_2
from ...ondisk.inode import EXT4_EA_INODE_FL, EXT4_IMAGIC_FL, EXT4_INDEX_FL, INODE_128
from ...ondisk.superblock import EXT4_ROOT_INO
from ...read import Inode
from .directories import Parents
from .state import Check

_MANY_LINKS = 1
"""i_links_count of a directory with more than 65,000 links (dir_nlink)."""
_LINK_MAX = 65000


def check_tree(check: Check, parents: Parents) -> None:
    """Check that every directory is reachable from the root, and the target of its ``..``."""
    reached = {EXT4_ROOT_INO}
    loops: set[int] = set()
    for ino in check.directories:
        trail = []
        here = ino
        while here not in reached and here not in loops:
            trail.append(here)
            loops.add(here)  # removed below if the root is reached
            above = parents.named_in.get(here)
            if above is None:
                break
            here = above
        if here in reached:
            reached.update(trail)
            loops.difference_update(trail)
    for ino in check.directories:
        inode = None
        if ino not in reached:
            inode = check.image.inode(ino)
            code = "PR_3_UNCONNECTED_DIR" if ino not in parents.named_in else "PR_3_LOOPED_DIR"
            check.of_inode(code, inode, "i_mode", "is of a directory that no path reaches")
            continue
        dotdot = parents.dotdot.get(ino)
        above = ino if ino == EXT4_ROOT_INO else parents.named_in[ino]
        if dotdot is not None and dotdot[0] != above:
            text = f"of .. is {dotdot[0]} but should be {above}"
            check.of_record("PR_3_BAD_DOT_DOT", DIR_ENTRY_2, "inode", dotdot[1], text, ino)


def check_links(check: Check) -> None:
    """Compare i_links_count with the number of entries found."""
    inodes, image = check.inodes, check.image
    rows = zip(inodes.inos, inodes.types, inodes.links, inodes.names, strict=True)
    for ino, kind, links, names in rows:
        if links == names:
            continue
        inode = image.inode(ino)
        if inode.flags & EXT4_IMAGIC_FL and check.format.imagic_inodes:
            continue  # created by AFS; no directory refers to it
        if not names:
            if inode.flags & EXT4_EA_INODE_FL and check.value_inodes[ino]:
                _check_value(check, inode)
                continue
            check.of_inode(
                "PR_4_UNATTACHED_INODE", inode, "i_links_count", f"is {links}, but it has no name"
            )
            continue
        # A count that overflowed once stays 1 (fs/ext4/namei.c:ext4_inc_count).
        is_many = inode.flags & EXT4_INDEX_FL or (names > _LINK_MAX and check.format.dir_nlink)
        if kind == DT_DIR and links == _MANY_LINKS and is_many:
            continue
        text = f"is {links} but should be {names}"
        check.of_inode("PR_4_BAD_REF_COUNT", inode, "i_links_count", text)


def _check_value(check: Check, inode: Inode) -> None:
    """Check the links and the reference count of an inode that holds an attribute value."""
    found = check.value_inodes[inode.ino]
    references = ea_inode_references(inode.raw)
    if inode.links != 1:
        text = f"is {inode.links} but should be 1"
        check.of_inode("PR_4_BAD_REF_COUNT", inode, "i_links_count", text)
    # e2fsck/pass4.c:check_ea_inode: Lustre does not count references and sets both times equal.
    if references != found and _low(inode.raw, "i_ctime") != _low(inode.raw, "i_atime"):
        text = f"and l_i_version count {references} references, but there are {found}"
        check.of_inode("PR_4_EA_INODE_REF_COUNT", inode, "i_ctime", text)


def ea_inode_references(raw: bytes) -> int:
    """Return the reference count of an inode that holds an attribute value.

    ``i_ctime`` is its upper half, ``l_i_version`` the lower (fs/ext4/xattr.c).
    """
    return joined_32(_low(raw, "l_i_version"), _low(raw, "i_ctime"))


def _low(raw: bytes, field: str) -> int:
    value = INODE_128.get(raw, 0, field)
    assert isinstance(value, int)
    return value
