"""fscrypt: empty directories in which the kernel encrypts everything that is added later.

A policy of version 2 is the context of a directory without its nonce. Names and content are
encrypted with a key that the image does not contain, so only an empty directory can have a policy.
The kernel accepts it as if FS_IOC_SET_ENCRYPTION_POLICY had set it. Rules: fs/crypto/policy.c and
fs/ext4/crypto.c.
"""

from __future__ import annotations

from ..blake2 import blake2b
from ..errors import TreeError
from ..ondisk.format import Format
from ..ondisk.inode import EXT4_DAX_FL
from ..tree import Directory
from .encryption_policy import parse_policy
from .inodes import LOST_AND_FOUND, ROOT, InodeTable

NONCE_BYTES = 16


def contexts_of(
    policies: tuple[tuple[bytes, str], ...], table: InodeTable, fmt: Format, uuid: bytes
) -> dict[int, bytes]:
    """Return by node index: the context of each directory with a policy.

    The nonce is derived from ``uuid`` and the path, so no two directories have the same. Raises
    :class:`TreeError` for a path that is not an empty directory, or cannot be encrypted.
    """
    contexts = {}
    slots = {index: slot for slot, index in enumerate(table.directories)}
    for path, text in policies:
        index = _find(path, table, slots)
        if index in (ROOT, table.lost_and_found) or path == b"/" + LOST_AND_FOUND:
            # fs/ext4/crypto.c:ext4_set_context: e2fsck must find lost+found in the root.
            raise TreeError(path, "cannot be encrypted, since e2fsck puts files into it")
        if table.names[slots[index]]:
            raise TreeError(
                path,
                "has an encryption policy but is not empty: its names and files would have to be "
                "encrypted, which the kernel does when they are added",
            )
        if table.flags.get(index, 0) & EXT4_DAX_FL:
            raise TreeError(path, "has an encryption policy and the inode flag dax; remove one")
        if not fmt.ext_attr:
            raise TreeError(
                path, "has an encryption policy, an attribute, which needs the feature ext_attr"
            )
        policy = parse_policy(text)
        if policy.needs_stable_inodes and not fmt.stable_inodes:
            raise TreeError(
                path,
                f"has a policy with {policy.flag}, where keys depend on inode numbers; it "
                "needs the feature stable_inodes",
            )
        digest = blake2b(uuid + path, digest_size=NONCE_BYTES, person=b"fscrypt nonce")
        contexts[index] = policy.context(digest.digest())
    return contexts


def _find(path: bytes, table: InodeTable, slots: dict[int, int]) -> int:
    """Return the node index of the directory at ``path``."""
    index = ROOT
    for name in path.split(b"/"):
        if name:
            try:
                index = table.child(slots[index], name)
            except KeyError:
                raise TreeError(
                    path, "has an encryption policy but is not in the tree; create it"
                ) from None
    if not isinstance(table.nodes[index], Directory):
        raise TreeError(path, "has an encryption policy but is not a directory")
    return index
