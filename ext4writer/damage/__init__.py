"""Damage on purpose: corruptions with right checksums, to test what reads ext4.

:func:`reseal` makes all checksums of an image right after any mutation, and :func:`patch` and
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
    """Return the image ``data`` with every checksum made right for the bytes that it holds.

    That is superblocks, group descriptors, bitmaps, inodes, blocks of directories and their index,
    extent trees, attributes with their hashes, values in inodes of their own, MMP, the orphan file,
    and the journal with what is to be replayed. Bytes that are no image come back as they are.

    ``changed`` holds the offsets of all bytes that were changed in an image whose checksums were
    right: only the checksums over them are set, which is faster. Never raises, whatever the bytes,
    and takes time in proportion to their number.
    """
    buffer = bytearray(data)
    reseal_into(buffer, changed)
    return bytes(buffer)


@checked()
def reseal_into(buffer: WriteBuffer, changed: Iterable[int] | None = None) -> None:
    """Do what :func:`reseal` does, inside a ``bytearray``, a writable view or a memory map."""
    from .checksums import set_checksums  # late, because most programs damage nothing

    set_checksums(buffer, changed)


@checked("overrides")
def patch(image: ReadBuffer, overrides: Sequence[Override | str]) -> bytes:
    """Return the bytes of ``image`` with ``overrides`` carried out.

    The image may be of any maker; what the overrides name is found by reading it. Raises
    :class:`~ext4writer.OverrideError` for something that it does not have, and
    :class:`~ext4writer.ImageError` for bytes that are no image.
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
    """Write the image at the path ``image`` to ``output``, with ``overrides`` carried out.

    ``output`` is as for :func:`~ext4writer.write_image`; ``image`` itself never changes, and its
    holes stay holes. The file system begins at byte ``offset``, or in ``partition`` of a disk, as
    for :func:`~ext4writer.read.open_image`; what is around it is written too. Raises what
    :func:`patch` does, :class:`~ext4writer.SourceError` and :class:`~ext4writer.OutputError`.
    """
    from .patching import patch_file

    patch_file(image, output, overrides, offset, partition)
