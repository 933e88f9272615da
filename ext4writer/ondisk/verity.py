"""fs-verity: the descriptor, which follows the Merkle tree past the end of a file.

Rules: Documentation/filesystems/fsverity.rst, include/uapi/linux/fsverity.h:struct
fsverity_descriptor and fs/ext4/verity.c. The tree begins at the next multiple of 64 KiB after the
content, the descriptor at the next block after the tree. The last four bytes of the descriptor's
last block hold its size.
"""

from __future__ import annotations

from ..arithmetic import round_up
from .declaration import Bytes, Int8ul, Int32ul, Int64ul, Struct
from .record import Record, field

FS_VERITY_HASH_ALG_SHA256 = 1
FS_VERITY_HASH_ALG_SHA512 = 2

# fs/ext4/verity.c:ext4_verity_metadata_pos
VERITY_ALIGNMENT = 65536

# fs/verity/fsverity_private.h:FS_VERITY_MAX_SIGNATURE_SIZE
SIGNATURE_MAX = 16384 - 256
DESC_SIZE_BYTES = 4
"""Bytes at the end of the last block that hold the descriptor's size."""

ALGORITHMS = {"sha256": FS_VERITY_HASH_ALG_SHA256, "sha512": FS_VERITY_HASH_ALG_SHA512}
"""Name -> ``hash_algorithm``."""
SALT_MAX = 32
MIN_BLOCK_SIZE, MAX_BLOCK_SIZE = 1024, 65536
_ALGORITHM_NAMES = {number: name for name, number in ALGORITHMS.items()}


def verity_start(size: int) -> int:
    """The byte offset of the tree in a file with ``size`` bytes of content."""
    return round_up(size, VERITY_ALIGNMENT)


FSVERITY_DESCRIPTOR = Record(
    "fsverity_descriptor",
    Struct(
        field("version", Int8ul, "1", "code", names={1: "1"}),
        field("hash_algorithm", Int8ul, "How blocks are hashed", "code", names=_ALGORITHM_NAMES),
        field(
            "log_blocksize",
            Int8ul,
            "Size of a block of the tree: 2 to the power of this, in bytes",
            "log2",
            limits=(10, 16),
        ),
        field("salt_size", Int8ul, "Bytes of the salt in use", "bytes", limits=(0, 32)),
        field("sig_size", Int32ul, "Bytes of the signature", "bytes"),
        field("data_size", Int64ul, "Bytes that the tree covers: the size of the file", "bytes"),
        field("root_hash", Bytes(64), "Hash of the root block", "hash"),
        field("salt", Bytes(32), "Prepended to each block that is hashed"),
        field("reserved", Bytes(144), "Padding", "reserved"),
    ),
    size=256,
    doc="The parameters and the root hash of the tree; a signature may follow. fsverity.rst.",
)
