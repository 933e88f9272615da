"""fs-verity: the blocks past the end of a file for its Merkle tree, and the root hash.

Rules: fs/ext4/verity.c. Planning reads all content once, so that the plan has the digests. Trees
are kept in memory up to a limit. The lowest level of the others, which is nearly all of a tree, is
computed again from the content when it is written.
"""

from __future__ import annotations

from ..arithmetic import ceil_div, round_up
from ..content import Reader
from ..errors import SourceChangedError, TreeError
from ..inode_flags import FS_VERITY_FL
from ..late_dataclasses import NamedTuple, dataclass, field
from ..ondisk.merkle import MerkleTree, TreeBuilder
from ..ondisk.verity import (
    DESC_SIZE_BYTES,
    FSVERITY_DESCRIPTOR,
    verity_start,
)
from ..progress import Cancel, check_cancelled
from ..spans import Run
from ..tree import RegularFile, Tree
from .contents import DataBlocks
from .inodes import InodeTable
from .mapping import DataMapping
from .spec import MIB, Spec

TREES_KEPT_BYTES = 32 * MIB
"""The most bytes of trees, in total, that are kept in memory."""
READ_BYTES = 1 << 20


class VerityFile(NamedTuple):
    """The metadata past the end of one file. Offsets are in bytes from the start of the tree."""

    paths: tuple[bytes, ...]
    """All of its names."""
    tree: MerkleTree
    size: int
    """Bytes of content."""
    root_hash: bytes
    signature: bytes
    first_block: int
    """The logical block where the tree begins."""
    blocks: int
    """The number of blocks of tree and descriptor."""
    upper: bytes
    """All levels of the tree except the lowest, in on-disk order."""
    lowest: bytes | None
    """The lowest level; None if it must be computed again."""

    @property
    def digest(self) -> str:
        """What ``fsverity measure`` prints."""
        digest = self.tree.file_digest(self.size, self.root_hash).hex()
        return f"{self.tree.algorithm}:{digest}"

    @property
    def descriptor(self) -> bytes:
        """The descriptor with its signature."""
        return self.tree.descriptor(self.size, self.root_hash, self.signature)


@dataclass(slots=True, eq=False)
class VerityPlan:
    """All files with verity, by node index."""

    files: dict[int, VerityFile] = field(default_factory=dict)
    clusters: int = 0
    """The clusters that trees and descriptors need."""


def descriptor_offset(tree: MerkleTree, size: int, block_size: int) -> int:
    """Return where the descriptor begins, in bytes from the start of the tree."""
    return round_up(tree.tree_size(size), block_size)


def blocks_needed(tree: MerkleTree, size: int, signature: int, block_size: int) -> Run:
    """Return the logical blocks of tree and descriptor; ``size`` and ``signature`` are in bytes."""
    first = verity_start(size)
    end = descriptor_offset(tree, size, block_size) + FSVERITY_DESCRIPTOR.size + signature
    return Run(first // block_size, ceil_div(end + DESC_SIZE_BYTES, block_size))


def plan_verity(
    tree: Tree,
    table: InodeTable,
    data: DataBlocks,
    spec: Spec,
    mapping: DataMapping,
    cancel: Cancel | None,
) -> VerityPlan:
    """Read all files with the inode flag verity, and add the blocks of their trees to ``data``.

    Raises :class:`TreeError` for a signature of a file that has no verity and for a file that is
    too long, :class:`SourceChangedError`, :class:`CancelledError` and errors of reading.
    """
    plan = VerityPlan()
    signatures = dict(spec.verity_signatures)
    wanted = {
        table.nodes[index]: index for index, flags in table.flags.items() if flags & FS_VERITY_FL
    }
    if not wanted and not signatures:
        return plan
    paths: dict[int, list[bytes]] = {}
    signed: dict[int, bytes] = {}
    for path, node in tree.walk() if wanted else ():
        index = wanted.get(node)
        if index is not None:
            paths.setdefault(index, []).append(path)
            if path in signatures:
                signed[index] = signatures.pop(path)
    for path in sorted(signatures):
        raise TreeError(path, "has a signature but is not a file with the inode flag verity")
    kind = MerkleTree(spec.verity_hash_alg, spec.verity_tree_block_size, spec.verity_salt)
    memory = TREES_KEPT_BYTES
    for index in sorted(paths):
        size, signature = table.sizes[index], signed.get(index, b"")
        first, blocks = blocks_needed(kind, size, len(signature), spec.block_size)
        if first + blocks > mapping.max_blocks:
            raise TreeError(paths[index][0], f"has {size} bytes and no room for a tree after them")
        lowest = (kind.level_blocks(size) or [0])[0] * kind.block_size
        keeps = lowest <= memory
        if keeps:
            memory -= lowest
        node = table.nodes[index]
        assert isinstance(node, RegularFile)
        stored, root_hash = _build(node, index, size, data, kind, keeps, spec.block_size, cancel)
        upper = kind.tree_size(size) - lowest
        plan.files[index] = VerityFile(
            tuple(paths[index]),
            kind,
            size,
            root_hash,
            signature,
            first,
            blocks,
            stored[:upper],
            stored[upper:] if keeps else None,
        )
        before = data.ranges.get(index, [Run(0, data.counts[index])] if data.counts[index] else [])
        after = [*before, Run(first, blocks)]
        plan.clusters += _clusters(mapping, after) - _clusters(mapping, before)
        data.ranges[index] = after
        data.counts[index] += blocks
    return plan


def _clusters(mapping: DataMapping, ranges: list[Run]) -> int:
    return sum(count for _, count in mapping.clusters(ranges))


def _build(
    node: RegularFile,
    index: int,
    size: int,
    data: DataBlocks,
    kind: MerkleTree,
    keeps: bool,
    block_size: int,
    cancel: Cancel | None,
) -> tuple[bytes, bytes]:
    """Return the tree, without its lowest level unless ``keeps``, and its root hash."""
    builder = TreeBuilder(kind, keeps_lowest=keeps)
    if not size:
        return builder.finish()
    reader = node.content.open()
    try:
        position = 0
        for first, count in data.ranges.get(index, [(0, data.counts[index])]):
            start, end = first * block_size, min((first + count) * block_size, size)
            builder.add_zeros((start - position) // kind.block_size)
            for offset in range(start, end, READ_BYTES):
                check_cancelled(cancel)
                builder.add(read_exactly(reader, offset, min(READ_BYTES, end - offset)))
            position = end
        builder.add_zeros(ceil_div(size - position, kind.block_size))
        reader.check_unchanged()
    finally:
        reader.close()
    return builder.finish()


def read_exactly(reader: Reader, offset: int, length: int) -> bytearray:
    """Read ``length`` bytes at ``offset``; raise :class:`SourceChangedError` if there are fewer."""
    data = bytearray(length)
    if reader.readinto(memoryview(data), offset) != length:
        raise SourceChangedError(reader.path, f"ends before byte {offset + length}")
    return data
