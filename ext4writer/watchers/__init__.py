"""Watchers: they compute hashes and block maps of an image while it is written, in one pass.

Each has an ``update``, to be passed as ``watch`` to :func:`ext4writer.write_image`, and a
``finish``. A :class:`DmVerity` can also be the ``trailer``, which stores its hash tree after the
image.
"""

from .bmap import Bmap
from .chunks import Chunk, Chunks
from .dm_verity import DmVerity

__all__ = ["Bmap", "Chunk", "Chunks", "DmVerity"]
