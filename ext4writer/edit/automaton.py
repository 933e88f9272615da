"""Regular expressions matched without backtracking: each byte of a subject is read once.

An expression becomes a position automaton (Glushkov): one position for each byte that it matches,
and for each position the set of positions that may follow. Many expressions are combined in one
automaton, whose states are created on first use. So a subject usually costs one look-up per byte,
regardless of the number of expressions. In the worst case, each byte costs the work of all
positions.

Sets of positions and sets of bytes are integers, used as bit masks: {a, b} is
``1 << 97 | 1 << 98``.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from ..late_dataclasses import NamedTuple

POSITIONS_MOST = 1 << 13
"""Most positions of one expression; a counted repeat needs one for each repetition."""

STATES_BYTES = 32 << 20
"""Approximate limit for the memory of states in bytes; above it, all states are dropped."""
_STATE_BYTES = 400
_TRANSITION_BYTES = 100

ANY_BYTE = (1 << 256) - 1


class Expression(NamedTuple):
    """An expression that must match an entire subject."""

    sets: tuple[int, ...]
    """For each position, the set of bytes that it matches."""
    follow: tuple[int, ...]
    """For each position, the set of positions that may follow."""
    first: int
    """The set of positions that may come first."""
    last: int
    """The set of positions that may come last."""
    nullable: bool
    """Whether it matches the empty subject."""


class Part(NamedTuple):
    """A part of an expression under construction, with the positions ``start`` to ``end - 1``."""

    start: int
    end: int
    first: int
    last: int
    nullable: bool


class Builder:
    """Builds one expression. Parts must be created in the order of the expression.

    Its methods raise ``ValueError`` for too many positions.
    """

    def __init__(self) -> None:
        self._sets: list[int] = []
        self._follow: list[int] = []

    def nothing(self) -> Part:
        """Matches the empty subject."""
        at = len(self._sets)
        return Part(at, at, 0, 0, nullable=True)

    def one(self, choice: int) -> Part:
        """Matches one byte of the set ``choice``."""
        at = len(self._sets)
        self._grow(1)
        self._sets.append(choice)
        self._follow.append(0)
        return Part(at, at + 1, 1 << at, 1 << at, nullable=False)

    def then(self, one: Part, other: Part) -> Part:
        """Matches one part and then the other."""
        self._link(one.last, other.first)
        return Part(
            one.start,
            other.end,
            one.first | (other.first if one.nullable else 0),
            other.last | (one.last if other.nullable else 0),
            one.nullable and other.nullable,
        )

    def either(self, one: Part, other: Part) -> Part:
        """Matches one of two parts."""
        return Part(
            one.start,
            other.end,
            one.first | other.first,
            one.last | other.last,
            one.nullable or other.nullable,
        )

    def repeat(self, part: Part, least: int, most: int | None) -> Part:
        """Repeat the most recent ``part`` from ``least`` to ``most`` times; None means no limit."""
        if most == 0:
            return Part(part.start, part.end, 0, 0, nullable=True)
        size = part.end - part.start
        copies = max(least, 1) if most is None else most
        self._grow((copies - 1) * size)
        lasts = [part.last]
        here = part
        for _ in range(copies - 1):
            there = self._copy(here, size)
            self._link(here.last, there.first)
            lasts.append(there.last)
            here = there
        if most is None:
            self._link(here.last, here.first)
        # If the part can be empty, every later copy can be, so any copy may be the last.
        ends = lasts if part.nullable else lasts[max(least, 1) - 1 :]
        last = 0
        for mask in ends:
            last |= mask
        return Part(part.start, here.end, part.first, last, part.nullable or least == 0)

    def finish(self, part: Part) -> Expression:
        """Return the complete expression ``part``."""
        return Expression(
            tuple(self._sets), tuple(self._follow), part.first, part.last, part.nullable
        )

    def _grow(self, count: int) -> None:
        if len(self._sets) + count > POSITIONS_MOST:
            raise ValueError(f"it needs more than {POSITIONS_MOST} characters")

    def _copy(self, part: Part, size: int) -> Part:
        start, end = part.start, part.end
        self._sets += self._sets[start:end]
        # Until a part is linked to another, its positions are followed only by positions in it.
        inside = (1 << end) - (1 << start)
        self._follow += [(mask & inside) << size for mask in self._follow[start:end]]
        return Part(end, end + size, part.first << size, part.last << size, part.nullable)

    def _link(self, lasts: int, firsts: int) -> None:
        if firsts:
            for at in _bits(lasts):
                self._follow[at] |= firsts


def byte_set(members: Iterable[int]) -> int:
    """The set of the bytes ``members``."""
    found = 0
    for member in members:
        found |= 1 << member
    return found


def set_for_re(choice: int) -> bytes:
    """A set of bytes in the syntax of ``re``, escaped for every version of Python."""
    if not choice:
        return rb"[^\x00-\xff]"
    ranges = []
    byte = 0
    while choice >> byte:
        if choice >> byte & 1:
            last = byte
            while choice >> last + 1 & 1:
                last += 1
            ranges.append(b"\\x%02x-\\x%02x" % (byte, last) if last > byte else b"\\x%02x" % byte)
            byte = last
        byte += 1
    return b"[%b]" % b"".join(ranges)


def _bits(mask: int) -> Iterator[int]:
    """Yield the indexes of the bits set in ``mask``, ascending."""
    digits = bin(mask)[:1:-1]
    at = digits.find("1")
    while at >= 0:
        yield at
        at = digits.find("1", at + 1)


class _Settled(Exception):  # noqa: N818
    """The rest of the subject cannot change the result."""


class _State(dict[int, "_State"]):
    """A set of positions; as a dictionary, it maps the next byte to the following state."""

    __slots__ = ("automaton", "found", "reach", "settled")

    def __init__(
        self, automaton: Automaton, reach: int, found: tuple[int, ...], *, settled: bool
    ) -> None:
        super().__init__()
        self.automaton = automaton
        self.reach = reach
        """The set of positions that may come next."""
        self.found = found
        """The expressions that match if the subject ends here."""
        self.settled = settled
        """Whether every byte leads back here."""

    def __missing__(self, byte: int) -> _State:
        if self.settled:
            raise _Settled
        return self.automaton.go(self, byte)


class Automaton:
    """Matches several expressions at once."""

    def __init__(self, expressions: Sequence[Expression]) -> None:
        self._expressions = tuple(expressions)
        self._states: dict[int, _State] = {}
        self._used_bytes = 0
        self._start: _State | None = None

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle without states, which each process creates itself."""
        return Automaton, (self._expressions,)

    def matches(self, subject: bytes) -> tuple[int, ...]:
        """The indexes of the expressions that match the entire ``subject``, ascending."""
        state = self._start
        if state is None:
            state = self._start = self._begin()
        try:
            for byte in subject:
                state = state[byte]
        except _Settled:
            pass
        return state.found

    def go(self, state: _State, byte: int) -> _State:
        """The state after ``state`` and ``byte``; it is cached."""
        members = state.reach & self._by_byte[byte]
        following = self._states.get(members)
        if following is None:
            following = self._state(members)
        state[byte] = following
        self._used_bytes += _TRANSITION_BYTES
        if self._used_bytes > STATES_BYTES:
            self._forget()
        return following

    def _begin(self) -> _State:
        """Number the positions of all expressions consecutively; return the first state."""
        sizes = [len(each.sets) for each in self._expressions]
        self._bases = list(accumulate(sizes, initial=0))
        self._bytes = (self._bases[-1] >> 3) + 1
        positions: dict[int, array[int]] = {}
        chain, loop, extra = array("L"), array("L"), array("L")
        first, last = array("L"), array("L")
        self._extra: dict[int, list[int]] = {}
        for base, each in zip(self._bases, self._expressions, strict=False):
            first.extend(base + at for at in _bits(each.first))
            last.extend(base + at for at in _bits(each.last))
            for at, (choice, follow) in enumerate(zip(each.sets, each.follow, strict=True)):
                positions.setdefault(choice, array("L")).append(base + at)
                if follow >> at & 1:
                    loop.append(base + at)
                if follow >> at + 1 & 1:
                    chain.append(base + at)
                rest = follow & ~(3 << at)
                if rest:
                    extra.append(base + at)
                    self._extra[base + at] = [base + other for other in _bits(rest)]
        masks = {choice: self._mask(places) for choice, places in positions.items()}
        self._by_byte = [0] * 256
        for choice, mask in masks.items():
            for byte in _bits(choice):
                self._by_byte[byte] |= mask
        self._anywhere = masks.get(ANY_BYTE, 0)
        self._chain, self._loop, self._has_extra = map(self._mask, (chain, loop, extra))
        self._last = self._mask(last)
        found = tuple(at for at, each in enumerate(self._expressions) if each.nullable)
        return _State(self, self._mask(first), found, settled=False)

    def _mask(self, places: Iterable[int]) -> int:
        bits = bytearray(self._bytes)
        for at in places:
            bits[at >> 3] |= 1 << (at & 7)
        return int.from_bytes(bits, "little")

    def _state(self, members: int) -> _State:
        reach = (members & self._chain) << 1 | members & self._loop
        extra = members & self._has_extra
        if extra:
            reach |= self._mask(other for at in _bits(extra) for other in self._extra[at])
        owners = {bisect_right(self._bases, at) - 1 for at in _bits(members & self._last)}
        state = self._states[members] = _State(
            self,
            reach,
            tuple(sorted(owners)),
            settled=reach == members and members & ~self._anywhere == 0,
        )
        self._used_bytes += _STATE_BYTES + 2 * self._bytes + 8 * len(owners)
        return state

    def _forget(self) -> None:
        """Drop all states but the first, and break their reference cycles."""
        for state in self._states.values():
            state.clear()
        self._states.clear()
        if self._start is not None:
            self._start.clear()
        self._used_bytes = 0
