"""Block maps for bmaptool: which blocks of an image must be written.

Rules: the comments of bmap files of version 2.0, and bmaptools/BmapCreate.py of bmap-tools.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from ..arguments import bytes_in
from ..arithmetic import ceil_div
from ..checked import checked, converted_argument
from ..errors import SpecError
from ..output.sink import Buffer
from ..spans import Span

BLOCK = 4096
CHECKSUM_PLACEHOLDER = "0" * 64

HEAD = """\
<?xml version="1.0" ?>
<!-- Ranges of blocks that must be written. All others are free blocks of the file system, whose
     content does not matter. Blocks that must be zeros are among the ranges. -->
<bmap version="2.0">
    <ImageSize> {size} </ImageSize>
    <BlockSize> {block} </BlockSize>
    <BlocksCount> {blocks} </BlocksCount>
    <MappedBlocksCount> {mapped} </MappedBlocksCount>
    <ChecksumType> sha256 </ChecksumType>
    <BmapFileChecksum> {checksum} </BmapFileChecksum>
    <BlockMap>
"""
TAIL = "    </BlockMap>\n</bmap>\n"


class Bmap:
    """Creates the bmap of an image while it is written; exact, as the free blocks are known."""

    @checked()
    def __init__(self, size: int, unused: Sequence[Span]) -> None:
        """``size`` is in bytes; ``unused``: the bytes whose content does not matter, ascending.

        :attr:`ext4writer.Layout.unused` lists them. Raises :class:`SpecError` for a negative size.
        """
        if size < 0:
            raise SpecError("size", f"{size} is negative")
        self._size = size
        self._ranges = list(_mapped(size, unused))
        """First block and end of each range that must be written."""
        self._checksums: list[str] = []
        self._digest = hashlib.sha256()
        self._position = 0

    @checked()
    def update(self, data: Buffer) -> None:
        """Process the next bytes of the image."""
        with converted_argument("data", data, bytes_in) as view:
            end = self._position + len(view)
            while len(self._checksums) < len(self._ranges):
                first, last = self._ranges[len(self._checksums)]
                low, high = first * BLOCK, min(last * BLOCK, self._size)
                if low >= end:
                    break
                begin = max(low, self._position) - self._position
                self._digest.update(view[begin : high - self._position])
                if high > end:
                    break
                self._checksums.append(self._digest.hexdigest())
                self._digest = hashlib.sha256()
            self._position = end

    def finish(self) -> bytes:
        """The bmap file; raises :class:`SpecError` unless exactly ``size`` bytes were passed."""
        if self._position != self._size:
            raise SpecError("size", f"is {self._size}, but {self._position} bytes were passed")
        text = HEAD.format(
            size=self._size,
            block=BLOCK,
            blocks=ceil_div(self._size, BLOCK),
            mapped=sum(end - first for first, end in self._ranges),
            checksum=CHECKSUM_PLACEHOLDER,
        )
        for (first, end), checksum in zip(self._ranges, self._checksums, strict=True):
            blocks = f"{first}-{end - 1}" if end - first > 1 else f"{first}"
            text += f'        <Range chksum="{checksum}"> {blocks} </Range>\n'
        data = (text + TAIL).encode()
        # The checksum is computed with 64 digits 0 in its place.
        checksum = hashlib.sha256(data).hexdigest()
        return data.replace(CHECKSUM_PLACEHOLDER.encode(), checksum.encode(), 1)


def _mapped(size: int, unused: Sequence[Span]) -> Iterator[Span]:
    """Yield the runs of blocks that are at least partly in use, as spans of block numbers."""
    position, blocks = 0, ceil_div(size, BLOCK)
    for low, high in unused:
        first, end = ceil_div(low, BLOCK), blocks if high >= size else high // BLOCK
        if first >= end:
            continue
        if first > position:
            yield Span(position, first)
        position = end
    if position < blocks:
        yield Span(position, blocks)
