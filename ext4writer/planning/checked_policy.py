"""Checks the answers of a policy before an image follows them."""

from __future__ import annotations

from collections.abc import Iterable, MutableSequence, Sequence
from typing import Any

from ..errors import SpecError
from .policy import Item, LayoutPolicy

INODE_NUMBER_MAX = (1 << 32) - 1


class CheckedPolicy(LayoutPolicy):
    """Asks ``inner``; raises :class:`SpecError` for an invalid answer."""

    def __init__(self, inner: LayoutPolicy) -> None:
        self.name = inner.name
        self._inner = inner.fresh()
        if not isinstance(self._inner, LayoutPolicy):
            raise self._error("fresh", f"{self._inner!r:.80}, which is no LayoutPolicy")
        self.sequential = bool(self._inner.sequential)

    def fresh(self) -> LayoutPolicy:
        return CheckedPolicy(self._inner)

    def inode_numbers(self, count: int, first: int) -> Sequence[int] | None:
        numbers = self._inner.inode_numbers(count, first)
        if numbers is None:
            return None
        numbers = self._integers("inode_numbers", numbers)
        if len(numbers) != count:
            raise self._error("inode_numbers", f"{len(numbers)} numbers for {count} nodes")
        if numbers and not first <= min(numbers) <= max(numbers) <= INODE_NUMBER_MAX:
            wrong = next(one for one in numbers if not first <= one <= INODE_NUMBER_MAX)
            raise self._error("inode_numbers", f"{wrong}; {first} is the least number")
        if len(set(numbers)) < count:
            raise self._error("inode_numbers", "a number twice")
        return numbers

    def run_lengths(self, blocks: int) -> list[int]:
        lengths = self._integers("run_lengths", self._inner.run_lengths(blocks))
        if sum(lengths) != blocks or (lengths and min(lengths) < 1):
            shown = ", ".join(map(str, lengths[:8])) + (", ..." if len(lengths) > 8 else "")
            raise self._error(
                "run_lengths", f"[{shown}]; positive lengths of {blocks} blocks together are needed"
            )
        return lengths

    def shuffle(self, items: MutableSequence[Item]) -> None:
        pieces: Any = items
        before = sorted(pieces)
        self._inner.shuffle(items)
        if sorted(pieces) != before:
            raise self._error("shuffle", "other pieces than those that it was given")

    def gap(self) -> int:
        [gap] = self._integers("gap", [self._inner.gap()])
        if gap < 0:
            raise self._error("gap", f"{gap} blocks")
        return gap

    def entry_order(self, names: list[bytes]) -> list[bytes]:
        # A policy may sort the list in place, and the caller needs its own order.
        ordered = list(self._inner.entry_order(list(names)))
        if ordered == names:
            return names
        if sorted(ordered) != names:
            raise self._error("entry_order", f"other names than the {len(names)} of the directory")
        return ordered

    def indexed(self, blocks: int) -> bool:
        return bool(self._inner.indexed(blocks))

    def leaf_bytes(self, capacity: int) -> int:
        [filled] = self._integers("leaf_bytes", [self._inner.leaf_bytes(capacity)])
        return max(0, min(filled, capacity))

    def index_entries(self, limit: int) -> int:
        return self._entries("index_entries", limit, self._inner.index_entries(limit))

    def extent_entries(self, limit: int) -> int:
        return self._entries("extent_entries", limit, self._inner.extent_entries(limit))

    def _entries(self, method: str, limit: int, given: int) -> int:
        [entries] = self._integers(method, [given])
        if not 2 <= entries <= limit:
            raise self._error(method, f"{entries} entries; 2 to {limit} are possible")
        return entries

    def inline(self, size: int) -> bool:
        return bool(self._inner.inline(size))

    def xattrs_outside(self) -> bool:
        return bool(self._inner.xattrs_outside())

    def xattrs_shared(self) -> bool:
        return bool(self._inner.xattrs_shared())

    def _integers(self, method: str, values: Iterable[Any]) -> list[int]:
        found = list(values)
        for value in found:
            if not isinstance(value, int):
                raise self._error(method, f"{value!r:.80}, which is no whole number")
        return found

    def _error(self, method: str, problem: str) -> SpecError:
        return SpecError("policy", f"{method} of {self.name!r:.80} gave {problem}")
