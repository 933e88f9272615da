"""Checks the answers of a policy before an image follows them."""

from __future__ import annotations

from collections.abc import Iterable, MutableSequence, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import SpecError
from ..ondisk.dirent import EXT4_NAME_LEN
from ..ondisk.extent import EXT_UNWRITTEN_MAX_LEN
from .policy import Item, LayoutPolicy

if TYPE_CHECKING:
    from .states.journal import JournalRoom, JournalState
    from .states.mmp import MmpState
    from .states.orphans import OrphanRoom, OrphanState

INODE_NUMBER_MAX = (1 << 32) - 1
EMPTY_BLOCKS_MOST = 4096
"""After one block of names: enough for each question that a reader may get wrong."""


class CheckedPolicy(LayoutPolicy):
    """Asks ``inner``; raises :class:`SpecError` for an invalid answer."""

    def __init__(self, inner: LayoutPolicy) -> None:
        self.name = inner.name
        self._inner = inner.fresh()
        if not isinstance(self._inner, LayoutPolicy):
            raise self._error("fresh", f"{self._inner!r:.80}, which is no LayoutPolicy")
        self.sequential = bool(self._inner.sequential)
        self.moves_metadata = bool(self._inner.moves_metadata)

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
        ordered = self._items("entry_order", self._inner.entry_order(list(names)))
        if ordered == names:
            return names
        if not all(isinstance(name, bytes) for name in ordered) or sorted(ordered) != names:
            raise self._error("entry_order", f"other names than the {len(names)} of the directory")
        return ordered

    def indexed(self, blocks: int) -> bool:
        return bool(self._inner.indexed(blocks))

    def leaf_bytes(self, capacity: int) -> int:
        [filled] = self._integers("leaf_bytes", [self._inner.leaf_bytes(capacity)])
        return max(0, min(filled, capacity))

    def empty_blocks(self) -> int:
        [blocks] = self._integers("empty_blocks", [self._inner.empty_blocks()])
        if not 0 <= blocks <= EMPTY_BLOCKS_MOST:
            raise self._error("empty_blocks", f"{blocks}; {EMPTY_BLOCKS_MOST} are the most")
        return blocks

    def record_slack(self, room: int) -> int:
        [slack] = self._integers("record_slack", [self._inner.record_slack(room)])
        if not 0 <= slack <= room or slack % 4:
            raise self._error("record_slack", f"{slack} of {room} bytes, which go by fours")
        return slack

    def deleted_name(self, room: int) -> bytes:
        name = self._inner.deleted_name(room)
        if not isinstance(name, bytes) or len(name) > EXT4_NAME_LEN:
            raise self._error("deleted_name", f"{name!r:.80}, which is no name of an entry")
        return name

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

    def metadata_order(self, items: MutableSequence[tuple[str, int]]) -> None:
        before = sorted(items)
        self._inner.metadata_order(items)
        after: Any = items
        if not all(isinstance(item, tuple) for item in after) or sorted(after) != before:
            raise self._error("metadata_order", "other items than those that it was given")

    def metadata_gap(self) -> int:
        [gap] = self._integers("metadata_gap", [self._inner.metadata_gap()])
        if gap < 0:
            raise self._error("metadata_gap", f"{gap} blocks")
        return gap

    def block_mapped(self, blocks: int) -> bool:
        return bool(self._inner.block_mapped(blocks))

    def unwritten_blocks(self, hole: int) -> int:
        [blocks] = self._integers("unwritten_blocks", [self._inner.unwritten_blocks(hole)])
        if not 0 <= blocks <= hole:
            raise self._error("unwritten_blocks", f"{blocks} of {hole} blocks")
        return blocks

    def blocks_past_end(self, blocks: int) -> int:
        [past] = self._integers("blocks_past_end", [self._inner.blocks_past_end(blocks)])
        if not 0 <= past <= EXT_UNWRITTEN_MAX_LEN:
            problem = f"{past} blocks; {EXT_UNWRITTEN_MAX_LEN} are the most"
            raise self._error("blocks_past_end", problem)
        return past

    def generation(self) -> int:
        [generation] = self._integers("generation", [self._inner.generation()])
        if not 0 <= generation < 1 << 32:
            raise self._error("generation", f"{generation}; it has 32 bits")
        return generation

    def extra_isize(self, least: int, most: int, usual: int) -> int:
        given = self._inner.extra_isize(least, most, usual)
        [size] = self._integers("extra_isize", [given])
        if not 0 <= size <= most or size % 4:
            raise self._error("extra_isize", f"{size}; 0 to {most} bytes by fours are possible")
        return size

    def unused_inodes(self, count: int) -> int:
        [unused] = self._integers("unused_inodes", [self._inner.unused_inodes(count)])
        if not 0 <= unused <= count:
            raise self._error("unused_inodes", f"{unused} of {count}")
        return unused

    def deleted_inode(self) -> bool:
        return bool(self._inner.deleted_inode())

    def uninit(self, flag: str) -> bool:
        return bool(self._inner.uninit(flag))

    def journal_state(self, room: JournalRoom) -> JournalState | None:
        state = self._inner.journal_state(room)
        if state is None:
            return None
        from .states.journal import as_journal_state

        try:
            return as_journal_state(state)
        except (TypeError, ValueError, AttributeError):
            raise self._error("journal_state", f"{state!r:.80}, which is no JournalState") from None

    def orphan_state(self, room: OrphanRoom) -> OrphanState | None:
        return self._inner.orphan_state(room)  # which is checked where it is asked

    def mmp_state(self, epoch: int) -> MmpState | None:
        state = self._inner.mmp_state(epoch)
        if state is None:
            return None
        from .states.mmp import checked_mmp_state

        return checked_mmp_state(state)

    def _integers(self, method: str, values: Iterable[Any]) -> list[int]:
        found = self._items(method, values)
        for value in found:
            if not isinstance(value, int):
                raise self._error(method, f"{value!r:.80}, which is no whole number")
        return found

    def _items(self, method: str, values: Iterable[Any]) -> list[Any]:
        try:
            return list(values)
        except TypeError:
            raise self._error(method, f"{values!r:.80}, which is no list") from None

    def _error(self, method: str, problem: str) -> SpecError:
        return SpecError("policy", f"{method} of {self.name!r:.80} gave {problem}")
