"""Applies overrides to the stream of metadata, as the last step before it is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from ..ondisk.format import Format
from ..ondisk.units import Unit, checksum_unit
from ..output.sink import Piece
from ..planning.layout import ImagePlan
from .override import Override

if TYPE_CHECKING:
    from .locate import Target


def overridden(
    pieces: Iterable[Piece], layout: ImagePlan, overrides: Sequence[Override]
) -> Iterable[Piece]:
    """Apply the overrides to ``pieces``, which must be ascending and not yet joined.

    Raises :class:`OverrideError` at once for an override whose target is not in this layout.
    """
    if not overrides:
        return pieces
    from .locate import Locator  # late, because most images have none

    locator = Locator(layout)
    targets: list[Target] = []
    for override in overrides:
        targets += locator.targets(override)
    targets.sort(key=lambda target: target.unit.offset)
    return _Corruption(layout.format, targets).applied(pieces)


class _Corruption:
    """The changes of all overrides together; ``targets`` ascend."""

    def __init__(self, fmt: Format, targets: list[Target]) -> None:
        self._format = fmt
        self._targets = targets

    def applied(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        targets = self._targets
        position = 0
        for offset, data in pieces:
            end = offset + len(data)
            while position < len(targets) and targets[position].unit.offset < offset:
                count = self._same_unit(position)
                yield self._blank(targets[position : position + count])
                position += count
            first = position
            while position < len(targets) and targets[position].unit.offset < end:
                position += 1
            if position > first:
                data = bytearray(data)
                self._change(data, offset, targets[first:position])
            yield offset, data
        while position < len(targets):
            count = self._same_unit(position)
            yield self._blank(targets[position : position + count])
            position += count

    def _same_unit(self, position: int) -> int:
        """The number of targets from ``position`` on in the same unit."""
        targets, end = self._targets, position
        while end < len(targets) and targets[end].unit.offset == targets[position].unit.offset:
            end += 1
        return end - position

    def _blank(self, targets: list[Target]) -> Piece:
        """A unit that would be all zeros, with the values of ``targets``."""
        unit = targets[0].unit
        data = bytearray(unit.size)
        self._change(data, unit.offset, targets)
        return unit.offset, data

    def _change(self, data: bytearray, offset: int, targets: list[Target]) -> None:
        """Write the values, update checksums, then write the values that no checksum covers."""
        resealed: dict[int, Unit] = {}
        for target in targets:
            if target.reseal:
                target.put(data, offset)
                resealed[target.unit.offset] = target.unit
        for unit in resealed.values():
            # ValueError: a changed field that locates the checksum leaves no room for it.
            with suppress(ValueError):
                checksum_unit(self._format, unit, data, unit.offset - offset)
        for target in targets:
            if not target.reseal:
                target.put(data, offset)
