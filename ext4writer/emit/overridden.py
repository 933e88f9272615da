"""Carries overrides into the stream of metadata, as the last step before it is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..output.sink import Piece
from ..plan.layout import Layout
from .override import Override

if TYPE_CHECKING:
    from .locate import Target


def overridden(
    pieces: Iterable[Piece], layout: Layout, overrides: Sequence[Override]
) -> Iterable[Piece]:
    """Change ``pieces``, which must be ascending and not yet joined, as the overrides say.

    Raises :class:`OverrideError` at once for an override that names nothing in this layout.
    """
    if not overrides:
        return pieces
    from .locate import Locator  # late, for most images tell the truth

    locator = Locator(layout)
    targets: list[Target] = []
    for override in overrides:
        targets += locator.targets(override)
    targets.sort(key=lambda target: target.unit_offset)
    return _apply(pieces, targets)


def _apply(pieces: Iterable[Piece], targets: list[Target]) -> Iterator[Piece]:
    position = 0
    for offset, data in pieces:
        end = offset + len(data)
        while position < len(targets) and targets[position].unit_offset < offset:
            count = _same_unit(targets, position)
            yield _blank(targets[position : position + count])
            position += count
        first = position
        while position < len(targets) and targets[position].unit_offset < end:
            position += 1
        if position > first:
            data = bytearray(data)
            _change(data, offset, targets[first:position])
        yield offset, data
    while position < len(targets):
        count = _same_unit(targets, position)
        yield _blank(targets[position : position + count])
        position += count


def _same_unit(targets: list[Target], position: int) -> int:
    end = position
    while end < len(targets) and targets[end].unit_offset == targets[position].unit_offset:
        end += 1
    return end - position


def _blank(targets: list[Target]) -> Piece:
    """A unit that the image leaves zero, with the lies in it."""
    data = bytearray(targets[0].unit_size)
    _change(data, targets[0].unit_offset, targets)
    return targets[0].unit_offset, data


def _change(data: bytearray, offset: int, targets: list[Target]) -> None:
    """Put the values in; seal; then those that shall not be sealed."""
    sealed: dict[int, Target] = {}
    for target in targets:
        if target.reseal:
            target.put(data, offset)
            sealed[target.unit_offset] = target
    for target in sealed.values():
        target.seal(data, offset)
    for target in targets:
        if not target.reseal:
            target.put(data, offset)
