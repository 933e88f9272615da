"""Finds the first name of each file during a walk, so that later names become hard links to it.

By ``i_links_count`` most files have one name, which need not be remembered. But the count may be
wrong, so a bit is set for each inode that was processed. If such an inode is found again and its
first name was not remembered, the walk is repeated up to that point, and from then on all names are
remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from .image import Image
    from .walk import Found

Value = TypeVar("Value")

_BYTES_EACH = 512
"""Bytes of one piece of the bitmap, which has 8 bits for inodes in each byte."""


class FirstNames(Generic[Value]):
    """The value that was created for the first name of each file, for files that are found again.

    ``walk`` restarts the walk, and ``recall`` returns the value that was created for a name in it.
    Directories have only one name and are not handled here.
    """

    def __init__(
        self,
        image: Image,
        walk: Callable[[], Iterator[Found]],
        recall: Callable[[Found], Value | None],
    ) -> None:
        self._image = image
        self._walk = walk
        self._recall = recall
        self._made: dict[int, Value | None] = {}
        self._single: dict[int, bytearray] = {}
        """A bitmap in pieces: inodes that were processed, but have no value in ``_made``."""
        self._keeps_all = False

    def of(self, found: Found) -> Value | None:
        """Return the value for an earlier name of the same inode; None if there is none."""
        ino = found.inode.ino
        if ino not in self._made and self._has_bit(ino):
            self._walk_again(found)
        return self._made.get(ino)

    def took(self, found: Found, value: Value) -> None:
        """Record the value that was created for a name."""
        ino = found.inode.ino
        if found.inode.links > 1 or self._keeps_all or ino in self._made:
            self._made[ino] = value
            return
        place, bit = divmod(ino, 8 * _BYTES_EACH)
        self._single.setdefault(place, bytearray(_BYTES_EACH))[bit >> 3] |= 1 << (bit & 7)

    def left_out(self, found: Found) -> None:
        """Record that a name was left out, so that no hard link can refer to it."""
        self._made.setdefault(found.inode.ino, None)

    def _has_bit(self, ino: int) -> bool:
        place, bit = divmod(ino, 8 * _BYTES_EACH)
        bits = self._single.get(place)
        return bits is not None and bool(bits[bit >> 3] >> (bit & 7) & 1)

    def _walk_again(self, until: Found) -> None:
        """Repeat the walk up to this name, and remember the values for all names before it."""
        self._keeps_all = True
        on_damage, self._image.on_damage = self._image.on_damage, lambda _: None
        try:
            for found in self._walk():
                if found.entry == until.entry and found.path == until.path:
                    break
                ino = found.inode.ino
                if ino not in self._made and not found.inode.is_directory and self._has_bit(ino):
                    self._made[ino] = self._recall(found)
        finally:
            self._image.on_damage = on_damage
        self._single.clear()
