"""The content of files, read whole, and of files with verity against their tree."""

from __future__ import annotations

from collections.abc import Iterator

from ...errors import DamageError, ImageError, SpecError
from ...nodes import S_IFREG
from ...ondisk.inode import EXT4_VERITY_FL
from ...ondisk.merkle import ALGORITHMS, MerkleTree
from ...ondisk.verity import FSVERITY_DESCRIPTOR, VERITY_ALIGNMENT
from ...read import Inode
from .state import Check

_READ_BYTES = 1 << 20
_FILE = S_IFREG >> 12
_NAMES = {number: name for name, number in ALGORITHMS.items()}


def check_content(check: Check) -> None:
    """Read all files; what cannot be read is reported."""
    for ino, kind in zip(check.inodes.inos, check.inodes.types, strict=True):
        if kind != _FILE:
            continue
        check.check_cancelled()
        inode = check.image.inode(ino)
        try:
            if inode.flags & EXT4_VERITY_FL and check.format.verity:
                _check_verity(check, inode)
                continue
            for _ in _pieces(inode):
                pass
        except DamageError as error:
            check.damage(error)
        except ImageError as error:
            check.of_inode("UNREADABLE", inode, "i_block", str(error))


def _pieces(inode: Inode) -> Iterator[bytes]:
    with inode.image.open(inode) as file:
        for start, end in file.data:
            for offset in range(start, end, _READ_BYTES):
                file.seek(offset)
                yield file.read(min(_READ_BYTES, end - offset))


def _all_pieces(inode: Inode) -> Iterator[bytes]:
    with inode.image.open(inode) as file:
        while data := file.read(_READ_BYTES):
            yield data


def _check_verity(check: Check, inode: Inode) -> None:
    """fs/ext4/verity.c:ext4_get_verity_descriptor_location."""
    image, size = check.image, check.block_size
    found: dict[int, bytes] = {}
    start = -(-inode.size // VERITY_ALIGNMENT) * VERITY_ALIGNMENT
    for run in inode.runs():
        for place in range(run.length):
            logical = run.logical + place
            if logical * size >= start:
                found[logical * size - start] = image.block(run.physical + place)

    def wrong(text: str) -> None:
        check.of_inode("VERITY", inode, "i_flags", text)

    if not found:
        wrong("has VERITY, and no tree follows the content")
        return
    last = max(found)
    desc_size = int.from_bytes(found[last][-4:], "little")
    blocks = -(-(desc_size + 4) // size)
    desc_at = last - (blocks - 1) * size
    data = b"".join(found.get(desc_at + place * size, bytes(size)) for place in range(blocks))
    if desc_size < FSVERITY_DESCRIPTOR.size or desc_size > len(data) or desc_at < 0:
        wrong(f"has VERITY, and its descriptor has {desc_size} bytes")
        return
    fields = FSVERITY_DESCRIPTOR.parse(data)
    salt_size, algorithm = fields["salt_size"], fields["hash_algorithm"]
    salt, root = fields["salt"], fields["root_hash"]
    log_size = fields["log_blocksize"]
    assert isinstance(salt, bytes) and isinstance(root, bytes)
    assert isinstance(salt_size, int) and isinstance(algorithm, int) and isinstance(log_size, int)
    try:
        if algorithm not in _NAMES or log_size > 16 or salt_size > len(salt):
            raise SpecError("verity", "its descriptor is not valid")
        kind = MerkleTree(_NAMES[algorithm], 1 << log_size, salt[:salt_size])
    except SpecError as error:
        wrong(f"has VERITY: {error}")
        return
    if fields["data_size"] != inode.size:
        wrong(f"has VERITY over {fields['data_size']!r} bytes, and the file has {inode.size}")
        return
    tree, root_hash = kind.build(_all_pieces(inode))
    if root_hash != root[: kind.digest_size]:
        wrong(f"has VERITY, and the content has the root hash {root_hash.hex()}")
    stored = b"".join(found.get(at, bytes(size)) for at in range(0, len(tree), size))[: len(tree)]
    if stored != tree:
        wrong("has VERITY, and the stored tree is not that of the content")
