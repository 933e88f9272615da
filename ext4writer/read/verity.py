"""fs-verity: reads the descriptor and the Merkle tree past the end of a file, and checks them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..arithmetic import round_down
from ..bits import le32
from ..errors import DamageError
from ..late_dataclasses import NamedTuple
from ..ondisk.inode import EXT4_VERITY_FL
from ..ondisk.merkle import MerkleTree
from ..ondisk.verity import ALGORITHMS, DESC_SIZE_BYTES, FSVERITY_DESCRIPTOR, verity_start
from .files import FileReader

if TYPE_CHECKING:
    from .inodes import Inode

# include/linux/fsverity.h:FS_VERITY_MAX_DESCRIPTOR_SIZE
_DESCRIPTOR_MAX = 16384
_NAMES = {number: name for name, number in ALGORITHMS.items()}
_CHUNK = 1 << 20


class Verity(NamedTuple):
    """The fs-verity metadata of a file. Sizes and offsets are in bytes of the file.

    ``descriptor`` is the part of the descriptor that is hashed into the file's digest.
    """

    tree: MerkleTree
    root_hash: bytes
    size: int
    tree_offset: int
    descriptor_offset: int
    descriptor: bytes
    signature: bytes


def verity(inode: Inode) -> Verity | None:
    """Return the fs-verity metadata of a file; None for a file without verity.

    Raises :class:`DamageError` for an invalid descriptor.
    """
    # fs/ext4/verity.c:ext4_get_verity_descriptor_location
    if not inode.flags & EXT4_VERITY_FL or not inode.is_file:
        return None
    with FileReader(inode, past_end=True) as reader:
        start = verity_start(inode.size)
        end = reader.size
        size_at = end - DESC_SIZE_BYTES
        if size_at < start + FSVERITY_DESCRIPTOR.size:
            raise _error(inode, "version", "is missing: no block past the end of the file holds it")
        size = le32(reader.read_at(size_at, DESC_SIZE_BYTES))
        block_size = inode.image.block_size
        at = round_down(size_at - size, block_size)
        if not FSVERITY_DESCRIPTOR.size <= size <= _DESCRIPTOR_MAX or at < start:
            raise _error(inode, "version", f"is in a descriptor with a stated size of {size} bytes")
        data = reader.read_at(at, size)
    fields = FSVERITY_DESCRIPTOR.parse(data)
    algorithm = fields["hash_algorithm"]
    log_size, salt_size = fields["log_blocksize"], fields["salt_size"]
    root_hash, salt = fields["root_hash"], fields["salt"]
    assert isinstance(root_hash, bytes) and isinstance(salt, bytes)
    assert isinstance(log_size, int) and isinstance(salt_size, int) and isinstance(algorithm, int)
    version, data_size = fields["version"], fields["data_size"]
    assert isinstance(version, int) and isinstance(data_size, int)
    name = _NAMES.get(algorithm)
    if version != 1 or name is None:
        raise _error(inode, "hash_algorithm", f"is {algorithm}, in version {version}")
    if not 10 <= log_size <= 16:
        raise _error(inode, "log_blocksize", f"is {log_size}")
    if salt_size > len(salt):
        raise _error(inode, "salt_size", f"is {salt_size}")
    if data_size != inode.size:
        raise _error(inode, "data_size", f"is {data_size}, but i_size is {inode.size}")
    tree = MerkleTree(name, 1 << log_size, salt[:salt_size])
    return Verity(
        tree,
        root_hash[: tree.digest_size],
        inode.size,
        start,
        at,
        data[: FSVERITY_DESCRIPTOR.size],
        data[FSVERITY_DESCRIPTOR.size :],
    )


def check(inode: Inode) -> Verity | None:
    """Read a file, compare it with its tree, and report differences; returns :func:`verity`."""
    found = verity(inode)
    if found is None:
        return None
    built, root_hash = found.tree.build(_pieces(inode))
    if root_hash != found.root_hash:
        text = f"is {found.root_hash.hex()}, but that of the content is {root_hash.hex()}"
        inode.image.damage(_error(inode, "root_hash", text))
    with FileReader(inode, past_end=True) as reader:
        stored = reader.read_at(found.tree_offset, len(built))
    if stored != built:
        text = "is that of the content, but the stored tree differs"
        inode.image.damage(_error(inode, "root_hash", text))
    return found


def _pieces(inode: Inode) -> Iterator[bytes]:
    with FileReader(inode) as reader:
        for offset in range(0, reader.size, _CHUNK):
            yield reader.read_at(offset, _CHUNK)


def _error(inode: Inode, field: str, problem: str) -> DamageError:
    return DamageError(FSVERITY_DESCRIPTOR.name, field, inode.offset, problem, ino=inode.ino)
