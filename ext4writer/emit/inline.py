"""Builds inline data: file content, symlink targets and directory entries."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from ..content import KeepingOpen, Parcel
from ..late_dataclasses import NamedTuple
from ..ondisk.inode import EXT4_MIN_INLINE_DATA_SIZE, INLINE_DATA_NAME
from ..ondisk.xattr import split_name
from ..planning.layout import ImagePlan
from ..planning.xattrs import Attribute
from ..tree import Directory, RegularFile, Symlink
from .attributes import AttributePacker
from .directories import DirectoryEmitter

_INDEX, _NAME = split_name(INLINE_DATA_NAME)


class Inline(NamedTuple):
    """The parts of an inode that hold its inline data."""

    i_block: bytes
    area: bytes
    """All bytes after the fields of the inode, including other attributes."""


class InlineEmitter:
    """Builds the inline data of one layout."""

    def __init__(
        self, layout: ImagePlan, directories: DirectoryEmitter, packer: AttributePacker
    ) -> None:
        self._layout = layout
        self._directories = directories
        self._packer = packer
        # Contents share a buffer, each starting at a multiple of this many bytes, a power of two.
        self._stride = 1 << max(0, layout.format.inline_most - 1).bit_length()
        self._empty: dict[int | None, bytes] = {}

    def make(self, indexes: array[int]) -> Iterator[tuple[int, Inline]]:
        """Yield (index, inline data) for ``indexes``, after reading all files among them.

        Raises the errors of reading, including :class:`SourceChangedError`.
        """
        nodes = self._layout.table.nodes
        files: list[RegularFile] = []
        for index in indexes:
            node = nodes[index]
            if isinstance(node, RegularFile) and node.content.size:
                files.append(node)
        buffer = memoryview(bytearray(len(files) * self._stride))
        if files:
            with KeepingOpen():
                parcel = Parcel([file.content for file in files])
                parcel.read_side_by_side(buffer, self._stride)
        at = 0
        for index in indexes:
            node = nodes[index]
            if isinstance(node, RegularFile):
                size = node.content.size
                data = bytes(buffer[at : at + size])
                at += self._stride if size else 0
            elif isinstance(node, Symlink):
                data = node.target
            else:
                assert isinstance(node, Directory)
                data = self._directories.inline_content(index)
            yield index, self._inline(index, data)

    def _inline(self, index: int, data: bytes) -> Inline:
        i_block = data[:EXT4_MIN_INLINE_DATA_SIZE].ljust(EXT4_MIN_INLINE_DATA_SIZE, b"\0")
        value = data[EXT4_MIN_INLINE_DATA_SIZE:]
        number = self._layout.xattrs.inside_of.get(index)
        if value:
            return Inline(i_block, self._area(number, value))
        area = self._empty.get(number)
        if area is None:
            area = self._empty[number] = self._area(number, value)
        return Inline(i_block, area)

    def _area(self, number: int | None, value: bytes) -> bytes:
        others = () if number is None else self._layout.xattrs.insides[number]
        return self._packer.in_inode((Attribute(_INDEX, _NAME, value), *others))
