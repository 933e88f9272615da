"""What can be learned from an image while its bytes pass, in one go.

Each has an ``update``, for ``watch`` of :func:`ext4writer.write_image`, and a ``finish``. A
:class:`DmVerity` may also be given as ``trailer``, which puts its hashes after the image.
"""

from .bmap import Bmap
from .chunks import Chunk, Chunks
from .dm_verity import DmVerity

__all__ = ["Bmap", "Chunk", "Chunks", "DmVerity"]
