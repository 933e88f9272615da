"""Divides an image into parts that can be read, digested and written separately."""

from __future__ import annotations

from collections.abc import Iterator

from ..content import read_at, reading_buffer, write_all_at
from ..errors import SpecError
from ..late_dataclasses import dataclass
from ..progress import Cancel, check_cancelled
from .image import PIECE_BYTES, VirtualImage


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One range of an image. Parts of one image may be read in any order and by many threads."""

    image: VirtualImage
    number: int
    """The number of the part, starting at 1."""
    count: int
    """The number of parts."""
    offset: int
    """The first byte of the part in the image."""
    size: int
    """The size in bytes; 0 for some parts of an image with fewer blocks than parts."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes in pieces of up to 1 MiB. Raises what reading an image raises."""
        end = self.offset + self.size
        for offset in range(self.offset, end, PIECE_BYTES):
            yield self.image.pread(offset, min(PIECE_BYTES, end - offset))

    def digest(self) -> str:
        """The SHA-256 of the part in hexadecimal; reads the entire part."""
        import hashlib  # late, because it loads OpenSSL

        digest = hashlib.sha256()
        for piece in self:
            digest.update(piece)
        return digest.hexdigest()


def write_part(
    part: Part, fd: int, offset: int, *, is_new: bool, cancel: Cancel | None = None
) -> str:
    """Write a part at byte ``offset`` of an open file, and return its SHA-256 in hexadecimal.

    Zeros become holes. Unless the file ``is_new``, old data in their place is overwritten with
    zeros. Raises what reading an image raises, :class:`CancelledError`, and ``OSError``.
    """
    import hashlib

    digest = hashlib.sha256()
    buffer = reading_buffer(PIECE_BYTES)
    for low, high, is_zero in part.image.allocation(part.offset, part.size):
        for position in range(low, high, PIECE_BYTES):
            check_cancelled(cancel)
            view = buffer[: min(PIECE_BYTES, high - position)]
            place = offset + position - part.offset
            if is_zero:
                view[:] = bytes(len(view))
            else:
                part.image.preadinto(position, view)
            digest.update(view)
            if not is_zero or not (is_new or _is_zeros(fd, len(view), place)):
                write_all_at(fd, view, place)
    return digest.hexdigest()


def _is_zeros(fd: int, size: int, offset: int) -> bool:
    """Whether a range of an open file contains only zeros, up to the end of the file."""
    view = reading_buffer(size)
    count = read_at(fd, view, offset)
    return view[:count] == bytes(count)


def parts_of_size(image: VirtualImage, size: int) -> tuple[Part, ...]:
    """Divide ``image`` into parts of ``size`` bytes; only the last may have fewer.

    Raises :class:`SpecError` unless ``size`` is positive.
    """
    if size <= 0:
        raise SpecError("size", f"a part cannot have {size} bytes")
    offsets = range(0, image.size, size)
    return tuple(
        Part(image, number, len(offsets), offset, min(size, image.size - offset))
        for number, offset in enumerate(offsets, 1)
    )


def part_of_count(image: VirtualImage, number: int, count: int) -> Part:
    """Part ``number``, starting at 1, of ``count`` parts of about the same size in whole blocks.

    Raises :class:`SpecError` for a number out of range.
    """
    if not 1 <= number <= count:
        raise SpecError("part", f"there is no part {number} of {count}; the first is 1")
    blocks = image.size // image.block_size
    low, high = (blocks * position // count * image.block_size for position in (number - 1, number))
    return Part(image, number, count, low, high - low)
