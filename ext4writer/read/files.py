"""The content of files: mapped blocks, inline data, and zeros in holes."""

from __future__ import annotations

import io
from array import array
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from ..checked import checked_if_it_fails
from ..errors import DamageError, ImageError, NotFoundError
from ..ondisk.extent import EXT_MAX_BLOCKS
from ..ondisk.inode import (
    EXT4_EXTENTS_FL,
    EXT4_MIN_INLINE_DATA_SIZE,
    EXT4_N_BLOCKS,
    EXT4_NDIR_BLOCKS,
)
from ..spans import Span
from .mapping import FileExtent
from .xattr_entries import inline_value

if TYPE_CHECKING:
    from .inodes import Inode

READ_BYTES = 1 << 20
SYMLINK_MAX = 65536
"""The longest target that is read, in bytes; a target is stored in one block."""


def size_limit(inode: Inode) -> int:
    """Return the largest possible size in bytes of a file that is mapped like this one.

    Kernels never write the last block that an extent can number, nor any block past a block map.
    """
    # e2fsck/pass1.c:check_blocks, and EXT2_MAX_SIZE there
    block_size = inode.image.block_size
    if inode.flags & EXT4_EXTENTS_FL:
        return (EXT_MAX_BLOCKS + 1) * block_size - 1
    per_block = block_size // 4
    return (EXT4_NDIR_BLOCKS + per_block + per_block**2 + per_block**3) * block_size


class FileReader(io.RawIOBase):
    """A raw, seekable file object for the content of one inode.

    :attr:`data` lists the spans that are not holes. Damage is reported; a part of the mapping that
    cannot be read becomes a hole. With ``past_end`` the file ends after its last mapped block,
    since fs-verity stores its tree past the end of the content.
    """

    def __init__(self, inode: Inode, *, past_end: bool = False) -> None:
        super().__init__()
        if not (inode.is_file or inode.is_symlink or inode.is_directory):
            raise ImageError(inode.image.name, f"inode {inode.ino} is a {inode.kind}: no content")
        self.inode = inode
        self.size = inode.size
        self._position = 0
        self._inline: bytes | None = None
        self.runs: list[FileExtent] = []
        """The runs that hold data, ascending; empty if the content is stored in the inode."""
        self._starts = array("Q")
        if inode.has_inline_data:
            self._inline = inline_content(inode)
            self.size = len(self._inline)
            return
        if inode.is_fast_symlink:
            self._inline = inode.block_bytes[: inode.size]
            return
        left = inode.image.mapped_blocks_most
        mapped = 0
        for run in inode.runs():
            left -= run.length
            if left < 0:
                inode.wrong("i_block", "maps more blocks than the file system has")
                break
            mapped = run.logical + run.length
            if not run.unwritten:
                self._starts.append(run.logical)
                self.runs.append(run)
        most = size_limit(inode)
        if self.size > most:
            # e2fsck repairs the size in the same way (e2fsck/pass1.c:check_blocks).
            self.size = min(mapped * inode.image.block_size, most)
            text = f"makes {inode.size} bytes, but {most} are possible; {self.size} are mapped"
            inode.wrong("i_size_high", text)
        if past_end:
            last = self.runs[-1] if self.runs else FileExtent(0, 0, 0)
            self.size = (last.logical + last.length) * inode.image.block_size

    @property
    def data(self) -> list[Span]:
        """The spans of bytes that hold data, ascending; all other bytes are zeros."""
        if self._inline is not None:
            return [Span(0, len(self._inline))] if self._inline else []
        size = self.inode.image.block_size
        found: list[Span] = []
        for run in self.runs:
            first, end = run.logical * size, min((run.logical + run.length) * size, self.size)
            if first >= self.size:
                break
            if found and found[-1][1] == first:
                found[-1] = Span(found[-1][0], end)
            else:
                found.append(Span(first, end))
        return found

    @checked_if_it_fails
    def read_at(self, offset: int, count: int) -> bytes:
        """Return up to ``count`` bytes at byte ``offset``; fewer only at the end."""
        count = max(0, min(count, self.size - offset))
        if self._inline is not None:
            return self._inline[offset : offset + count]
        size, image = self.inode.image.block_size, self.inode.image
        parts: list[bytes] = []
        place = max(bisect_right(self._starts, offset // size) - 1, 0)
        end = offset + count
        while offset < end:
            run = self.runs[place] if place < len(self.runs) else None
            start = end if run is None else run.logical * size
            if start > offset or run is None:
                zeros = min(start, end) - offset
                parts.append(bytes(zeros))
                offset += zeros
                continue
            place += 1
            stop = min(end, start + run.length * size)
            if stop > offset:
                parts.append(image.read(run.physical * size + offset - start, stop - offset))
                offset = stop
        return b"".join(parts)

    @checked_if_it_fails
    def read_around(self, offset: int, count: int) -> tuple[bytes, bool]:
        """Return the bytes of :meth:`read_at`, and whether all of them could be read.

        Damage is reported, and blocks that cannot be read are zeros.
        """
        try:
            return self.read_at(offset, count), True
        except DamageError as error:
            self.inode.image.damage(error)
        size, end = self.inode.image.block_size, min(offset + count, self.size)
        parts: list[bytes] = []
        while offset < end:
            part = min(end - offset, size - offset % size)
            try:
                parts.append(self.read_at(offset, part))
            except DamageError:
                parts.append(bytes(part))
            offset += part
        return b"".join(parts), False

    # -- io.RawIOBase ----------------------------------------------------------------------------

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        with memoryview(buffer) as view, view.cast("B") as plain:
            data = self.read_at(self._position, min(len(plain), READ_BYTES))
            plain[: len(data)] = data
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError(f"position {base + offset} is before the start of the file")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position


def inline_content(inode: Inode) -> bytes:
    """Return the content that is stored in the inode itself."""
    value, _ = inline_value(inode)
    content = inode.block_bytes[:EXT4_MIN_INLINE_DATA_SIZE] + value
    if inode.size > len(content):
        text = f"is {inode.size}, but the inode holds {len(content)} bytes"
        inode.wrong("i_size_lo", text)
    return content[: inode.size]


def read_all(inode: Inode) -> bytes:
    """Return the entire content; the caller must have checked that the size is reasonable."""
    return FileReader(inode).read_at(0, inode.size)


def read_target(inode: Inode) -> bytes:
    """Return the target of a symbolic link; an encrypted one is returned as stored."""
    if not inode.is_symlink:
        raise NotFoundError(f"<{inode.ino}>", f"is a {inode.kind}, not a symbolic link")
    if inode.is_fast_symlink:
        if not 0 < inode.size < 4 * EXT4_N_BLOCKS:
            raise inode.error("i_size_lo", f"is {inode.size}, invalid for a link in an inode")
        return inode.block_bytes[: inode.size]
    if not 0 < inode.size <= SYMLINK_MAX:
        raise inode.error("i_size_lo", f"is {inode.size}, invalid for a link")
    return read_all(inode)
