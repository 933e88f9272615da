"""Files that consist of zeros, such as those that reserve space."""

from __future__ import annotations

from typing import Any

from .content import Content, Reader


class ZerosContent(Content):
    """``size`` bytes of zeros that get blocks instead of holes, for a file that reserves space."""

    __slots__ = ()
    random_access = True
    stored_zeros = True
    first_generation = 0

    def __init__(self, size: int) -> None:
        self.size = size

    @classmethod
    def packed(cls, contents: list[ZerosContent]) -> object:
        return [content.size for content in contents]

    @classmethod
    def unpacked(cls, packed: Any) -> list[ZerosContent]:
        return list(map(cls, packed))

    def open(self) -> Reader:
        return _ZerosReader(self.size)


class _ZerosReader:
    fd: int | None = None
    fd_offset = 0
    path = b"(zeros)"

    def __init__(self, size: int) -> None:
        self._size = size

    def readinto(self, view: memoryview, offset: int) -> int:
        count = max(0, min(len(view), self._size - offset))
        view[:count] = bytes(count)
        return count

    def check_unchanged(self) -> None:
        """Zeros do not change."""

    def close(self) -> None:
        """Nothing is open."""
