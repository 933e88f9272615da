"""Which of the names of a file came first, so that the others become links to it.

``i_links_count`` says of most files that they have one name, which need not be kept then. It may
lie: each inode that was taken is noted in one bit, and where one comes again whose name was not
kept, the walk is gone once more up to there, and from then on every name is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from .image import Image
    from .walk import Found

Value = TypeVar("Value")

_BYTES_EACH = 512
"""Bytes that are kept together; they have a bit for each of eight times as many inodes."""


class FirstNames(Generic[Value]):
    """What was made of the first name of each file, for those that come again.

    ``walk`` begins the walk anew, and ``recall`` returns what was made of a name of it. Directories
    have one name each and are none of this.
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
        """Bits of inodes that were made under their first name, which is not in ``_made``."""
        self._keeps_all = False

    def of(self, found: Found) -> Value | None:
        """Return what was made of an earlier name of the same inode; None if nothing was."""
        ino = found.inode.ino
        if ino not in self._made and self._has_bit(ino):
            self._go_again(found)
        return self._made.get(ino)

    def took(self, found: Found, value: Value) -> None:
        """Note what was made of a name."""
        ino = found.inode.ino
        if found.inode.links > 1 or self._keeps_all or ino in self._made:
            self._made[ino] = value
            return
        place, bit = divmod(ino, 8 * _BYTES_EACH)
        self._single.setdefault(place, bytearray(_BYTES_EACH))[bit >> 3] |= 1 << (bit & 7)

    def left_out(self, found: Found) -> None:
        """Note that nothing was made of a name, so that no link may lead to it."""
        self._made.setdefault(found.inode.ino, None)

    def _has_bit(self, ino: int) -> bool:
        place, bit = divmod(ino, 8 * _BYTES_EACH)
        bits = self._single.get(place)
        return bits is not None and bool(bits[bit >> 3] >> (bit & 7) & 1)

    def _go_again(self, until: Found) -> None:
        """Keep what was made of all names before this one."""
        self._keeps_all = True
        heard, self._image.on_damage = self._image.on_damage, lambda _: None
        try:
            for found in self._walk():
                if found.entry == until.entry and found.path == until.path:
                    break
                ino = found.inode.ino
                if ino not in self._made and not found.inode.is_directory and self._has_bit(ino):
                    self._made[ino] = self._recall(found)
        finally:
            self._image.on_damage = heard
        self._single.clear()
