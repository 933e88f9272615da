"""The dm-verity hash tree, as ``veritysetup format`` creates it.

Rules: Documentation/admin-guide/device-mapper/verity.rst of the kernel; the superblock follows
lib/verity/verity.c of cryptsetup.
"""

from __future__ import annotations

from functools import cached_property
from struct import Struct
from typing import Any, ClassVar
from uuid import UUID

from ..arguments import bytes_in
from ..arithmetic import round_down
from ..checked import checked, converted_argument
from ..errors import SpecError
from ..ondisk.merkle import MerkleTree, TreeBuilder
from ..output.sink import Buffer

SUPERBLOCK = Struct("<8sII16s32sIIQH6x256s168x")
SIGNATURE = b"verity\0\0"
VERSION = 1
HASH_TYPE = 1
"""Each hash covers the salt, then the data."""
SALT_MOST = 256
ALGORITHMS = ("sha256", "sha512")
DEFAULT_BLOCK_SIZE = 4096


class _Tree(MerkleTree):
    """The same tree as that of fs-verity, but without padding of the salt."""

    SALT_MOST: ClassVar[int] = SALT_MOST
    PADS_SALT: ClassVar[bool] = False


class DmVerity:
    """Hashes an image while it is written.

    Pass :meth:`update` as ``watch`` and store the result of :meth:`finish` in a separate file or
    partition, or pass the object as ``trailer`` to store it after the image.
    """

    @checked()
    def __init__(
        self, size: int, *, salt: bytes, uuid: UUID, algorithm: str = "sha256", block_size: int = 0
    ) -> None:
        """``size`` is the size of the image in bytes.

        ``block_size`` is in bytes; by default it is 4096, or less if that does not divide ``size``.
        Raises :class:`SpecError` for a salt of more than 256 bytes, an algorithm other than sha256
        and sha512, or a block size that does not divide the image or is not a power of two from
        1024 to 65536.
        """
        if size <= 0:
            raise SpecError("size", f"{size} is not positive")
        block = block_size or DEFAULT_BLOCK_SIZE
        while not block_size and size % block:
            block //= 2
        if size % block:
            raise SpecError("dm_verity", f"blocks of {block} bytes do not divide {size} bytes")
        if algorithm not in ALGORITHMS:
            raise SpecError("dm_verity", f"{algorithm!r} is none of {', '.join(ALGORITHMS)}")
        self.size = size
        self.salt = salt
        self.uuid = uuid
        self.algorithm = algorithm
        self.block_size = block
        self._tree = _Tree(algorithm, block, salt)
        self._builder = TreeBuilder(self._tree)
        self._partial = bytearray()
        self._position = 0

    @property
    def area_size(self) -> int:
        """Number of bytes that :meth:`finish` returns."""
        return self.block_size + self._tree.tree_size(self.size)

    @checked()
    def update(self, data: Buffer) -> None:
        """Process the next bytes of the image."""
        with converted_argument("data", data, bytes_in) as view:
            self._position += len(view)
            rest = view
            if self._partial:
                missing = self.block_size - len(self._partial)
                self._partial += view[:missing]
                rest = view[missing:]
                if len(self._partial) < self.block_size:
                    return
                self._builder.add(self._partial)
                self._partial = bytearray()
            whole = round_down(len(rest), self.block_size)
            if whole:
                self._builder.add(rest[:whole])
            self._partial += rest[whole:]

    def finish(self) -> bytes:
        """One block with the superblock, followed by the hash tree.

        Raises :class:`SpecError` unless exactly ``size`` bytes were passed.
        """
        tree, _ = self._finished
        superblock = SUPERBLOCK.pack(
            SIGNATURE,
            VERSION,
            HASH_TYPE,
            self.uuid.bytes,
            self.algorithm.encode(),
            self.block_size,
            self.block_size,
            self.size // self.block_size,
            len(self.salt),
            self.salt,
        )
        return superblock.ljust(self.block_size, b"\0") + tree

    @cached_property
    def _finished(self) -> tuple[bytes, bytes]:
        if self._position != self.size:
            raise SpecError("size", f"is {self.size}, but {self._position} bytes were passed")
        return self._builder.finish()

    @property
    def root_hash(self) -> str:
        """The hexadecimal root hash for ``veritysetup open``; raises as :meth:`finish` does."""
        return self._finished[1].hex()

    def facts(self) -> dict[str, Any]:
        """The parameters required to open the device, as JSON values."""
        return {
            "root_hash": self.root_hash,
            "salt": self.salt.hex(),
            "uuid": str(self.uuid),
            "algorithm": self.algorithm,
            "block_size": self.block_size,
            "data_blocks": self.size // self.block_size,
        }
