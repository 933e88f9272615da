"""Deliberate damage: corruptions with valid checksums, for testing programs that read ext4.

:func:`reseal` sets all checksums of an image after any mutation. :func:`patch` and
:func:`patch_image` change any field of any record of any image.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import TYPE_CHECKING

from ..checked import checked
from ..ondisk.record import ReadBuffer, WriteBuffer

if TYPE_CHECKING:
    from ..output.opening import OutputLike
    from .override import Override

__all__ = ["patch", "patch_image", "reseal", "reseal_into"]


@checked()
def reseal(data: ReadBuffer, changed: Iterable[int] | None = None) -> bytes:
    """Return a copy of the image ``data`` in which every checksum is right.

    This covers superblocks, group descriptors, bitmaps, inodes, directory and index blocks, extent
    trees, extended attributes with their hashes, attribute values in separate inodes, MMP, the
    orphan file, and the journal including the blocks to be replayed. Bytes that are not an image
    are returned unchanged.

    ``changed`` are the offsets of all bytes that were changed in an image with valid checksums.
    With it, only the checksums over these bytes are set, which is faster. Never raises an error
    because of the content, and takes linear time.
    """
    buffer = bytearray(data)
    reseal_into(buffer, changed)
    return bytes(buffer)


@checked()
def reseal_into(buffer: WriteBuffer, changed: Iterable[int] | None = None) -> None:
    """Do the same as :func:`reseal` in place, in a ``bytearray``, writable view or memory map."""
    from .checksums import set_checksums  # late: few programs need it

    set_checksums(buffer, changed)


@checked("overrides")
def patch(image: ReadBuffer, overrides: Sequence[Override | str]) -> bytes:
    """Return a copy of ``image`` with ``overrides`` applied.

    Any program may have written the image: it is read to find the targets of the overrides. Raises
    :class:`~ext4writer.OverrideError` for a target that the image does not have, and
    :class:`~ext4writer.ImageError` for bytes that are not an image.
    """
    from .patching import patched

    return patched(bytes(image), overrides)


@checked("overrides")
def patch_image(
    image: str | PathLike[str],
    output: OutputLike,
    overrides: Sequence[Override | str],
    *,
    offset: int = 0,
    partition: int | None = None,
) -> None:
    """Write the image at the path ``image`` to ``output``, with ``overrides`` applied.

    ``output`` is as for :func:`~ext4writer.write_image`. ``image`` itself never changes, and its
    holes stay holes. As for :func:`~ext4writer.read.open_image`, the file system begins at byte
    ``offset`` or in ``partition`` of a disk; the bytes around it are copied. Raises the same errors
    as :func:`patch`, :class:`~ext4writer.SourceError` and :class:`~ext4writer.OutputError`.
    """
    from .patching import patch_file

    patch_file(image, output, overrides, offset, partition)
