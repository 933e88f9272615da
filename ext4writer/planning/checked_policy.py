"""Checks the answers of a policy before the planner uses them."""

from __future__ import annotations

from collections.abc import Iterable, MutableSequence, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..errors import SpecError
from ..ondisk.dirent import EXT4_NAME_LEN
from ..ondisk.extent import EXT_UNWRITTEN_MAX_LEN
from .plain import plain_number, shown, told
from .policy import Item, LayoutPolicy
from .random_policy import SeededPolicy

if TYPE_CHECKING:
    from .states.journal import JournalRoom, JournalState
    from .states.mmp import MmpState
    from .states.orphans import OrphanRoom, OrphanState

INODE_NUMBER_MAX = (1 << 32) - 1
JOURNAL_EXTRA_MOST = 65_536
"""The most blocks that a policy can add to a journal."""
EMPTY_BLOCKS_MOST = 4096
"""The most empty blocks after one block of names: enough to test any reader."""

_CHOICES = [
    name
    for name, value in vars(LayoutPolicy).items()
    if callable(value) and not name.startswith("_") and name != "fresh"
]


class CheckedPolicy(LayoutPolicy):
    """Delegates to ``inner``; raises :class:`SpecError` for an invalid answer or an exception.

    The error names the policy and its method. An answer is not read beyond the length of a valid
    one, so an endless generator is an error, too.
    """

    def __init__(self, inner: LayoutPolicy) -> None:
        name = _attribute(inner, "name")
        if type(name) is not str:
            problem = f"name of a {type(inner).__name__} is {shown(name)}; it must be a str"
            raise SpecError("policy", problem)
        self.name = name
        self.asked: set[str] = set()
        """The methods that were called, on this policy and on all its fresh copies."""
        kind = type(inner)
        self.needs = kind.needs if issubclass(kind, SeededPolicy) else ""
        self._inner = inner
        self._inner = self._ask("fresh")
        if not issubclass(type(self._inner), LayoutPolicy):
            raise self._error("fresh", f"{shown(self._inner)}, which is not a LayoutPolicy")
        for name in ("sequential", "moves_metadata", "crosses_flex_groups"):
            setattr(self, name, self._truth(name, _attribute(self._inner, name)))

    def fresh(self) -> LayoutPolicy:
        policy = CheckedPolicy(self._inner)
        policy.asked = self.asked
        return policy

    def own_methods(self) -> list[str]:
        """Return the names of the methods that the policy overrides."""
        kind = type(self._inner)
        return [name for name in _CHOICES if getattr(kind, name) is not vars(LayoutPolicy)[name]]

    def inode_numbers(self, count: int, first: int) -> Sequence[int] | None:
        numbers = self._ask("inode_numbers", count, first)
        if numbers is None:
            return None
        numbers = self._integers("inode_numbers", numbers, count)
        if len(numbers) != count:
            raise self._error("inode_numbers", f"{_counted(numbers, count)} for {count} nodes")
        if numbers and not first <= min(numbers) <= max(numbers) <= INODE_NUMBER_MAX:
            wrong = next(one for one in numbers if not first <= one <= INODE_NUMBER_MAX)
            raise self._error("inode_numbers", f"{wrong}; the smallest number is {first}")
        if len(set(numbers)) < count:
            raise self._error("inode_numbers", "a number twice")
        return numbers

    def run_lengths(self, blocks: int) -> list[int]:
        lengths = self._integers("run_lengths", self._ask("run_lengths", blocks), blocks)
        if sum(lengths) != blocks or (lengths and min(lengths) < 1):
            shown = ", ".join(map(str, lengths[:8])) + (", ..." if len(lengths) > 8 else "")
            raise self._error(
                "run_lengths", f"[{shown}]; positive lengths must add up to {blocks} blocks"
            )
        return lengths

    def shuffle(self, items: MutableSequence[Item]) -> None:
        self._only_order("shuffle", items, "pieces")

    def gap(self) -> int:
        return self._number("gap", self._ask("gap"))

    def entry_order(self, names: list[bytes]) -> list[bytes]:
        # A policy may sort the list in place, and the caller needs its own order.
        answer = self._ask("entry_order", list(names))
        ordered = self._items("entry_order", answer, len(names))
        if not all(type(name) is bytes for name in ordered) or sorted(ordered) != sorted(names):
            raise self._error("entry_order", f"other names than the directory's {len(names)}")
        return names if ordered == names else ordered

    def indexed(self, blocks: int) -> bool:
        return self._truth("indexed", self._ask("indexed", blocks))

    def leaf_bytes(self, capacity: int) -> int:
        filled = self._number("leaf_bytes", self._ask("leaf_bytes", capacity))
        if filled > capacity:
            raise self._error("leaf_bytes", f"{filled} of {capacity} bytes")
        return filled

    def empty_blocks(self) -> int:
        blocks = self._number("empty_blocks", self._ask("empty_blocks"))
        if blocks > EMPTY_BLOCKS_MOST:
            raise self._error("empty_blocks", f"{blocks}; the maximum is {EMPTY_BLOCKS_MOST}")
        return blocks

    def record_slack(self, room: int) -> int:
        slack = self._number("record_slack", self._ask("record_slack", room))
        if slack > room or slack % 4:
            raise self._error("record_slack", f"{slack} of {room} bytes; choose a multiple of 4")
        return slack

    def deleted_name(self, room: int) -> bytes:
        name = self._ask("deleted_name", room)
        if type(name) is not bytes or len(name) > EXT4_NAME_LEN:
            raise self._error("deleted_name", f"{shown(name)}, which is not a name of an entry")
        return name

    def index_entries(self, limit: int) -> int:
        return self._entries("index_entries", limit)

    def extent_entries(self, limit: int) -> int:
        return self._entries("extent_entries", limit)

    def _entries(self, method: str, limit: int) -> int:
        [entries] = self._integers(method, [self._ask(method, limit)], 1)
        if not 2 <= entries <= limit:
            raise self._error(method, f"{entries} entries; 2 to {limit} are possible")
        return entries

    def inline(self, size: int) -> bool:
        return self._truth("inline", self._ask("inline", size))

    def xattrs_outside(self) -> bool:
        return self._truth("xattrs_outside", self._ask("xattrs_outside"))

    def xattrs_shared(self) -> bool:
        return self._truth("xattrs_shared", self._ask("xattrs_shared"))

    def xattr_value_apart(self, size: int) -> bool:
        return self._truth("xattr_value_apart", self._ask("xattr_value_apart", size))

    def xattr_values_shared(self) -> bool:
        return self._truth("xattr_values_shared", self._ask("xattr_values_shared"))

    def metadata_order(self, items: MutableSequence[tuple[str, int]]) -> None:
        self._only_order("metadata_order", items, "items")

    def metadata_gap(self) -> int:
        return self._number("metadata_gap", self._ask("metadata_gap"))

    def backup_numbers(self, count: int) -> Sequence[int] | None:
        numbers = self._ask("backup_numbers", count)
        if numbers is None:
            return None
        numbers = self._integers("backup_numbers", numbers, count)
        if len(numbers) != count or min(numbers) < 0:
            problem = f"{shown(numbers)}; {count} numbers of 0 or more are needed"
            raise self._error("backup_numbers", problem)
        return numbers

    def journal_extra(self) -> int:
        extra = self._number("journal_extra", self._ask("journal_extra"))
        if extra > JOURNAL_EXTRA_MOST:
            problem = f"{extra} blocks; the maximum is {JOURNAL_EXTRA_MOST}"
            raise self._error("journal_extra", problem)
        return extra

    def journal_places(self, clusters: int, most: int) -> Sequence[tuple[int, int]] | None:
        answer = self._ask("journal_places", clusters, most)
        if answer is None:
            return None
        pieces = []
        for piece in self._items("journal_places", answer, clusters):
            numbers = self._integers("journal_places", piece, 2)
            if len(numbers) != 2 or numbers[1] < 1:
                problem = f"{shown(numbers)}; a first cluster and a length are needed"
                raise self._error("journal_places", problem)
            pieces.append((numbers[0], numbers[1]))
        if sum(length for _, length in pieces) != clusters:
            problem = f"pieces that do not add up to {clusters} clusters"
            raise self._error("journal_places", problem)
        end = 0
        for first, length in sorted(pieces):
            if first < end or first + length > most:
                problem = f"{length} clusters starting at {first}, which are taken or past {most}"
                raise self._error("journal_places", problem)
            end = first + length
        return pieces

    def block_mapped(self, blocks: int) -> bool:
        return self._truth("block_mapped", self._ask("block_mapped", blocks))

    def unwritten_blocks(self, hole: int) -> int:
        blocks = self._number("unwritten_blocks", self._ask("unwritten_blocks", hole))
        if blocks > hole:
            raise self._error("unwritten_blocks", f"{blocks} of {hole} blocks")
        return blocks

    def blocks_past_end(self, blocks: int) -> int:
        past = self._number("blocks_past_end", self._ask("blocks_past_end", blocks))
        if past > EXT_UNWRITTEN_MAX_LEN:
            problem = f"{past} blocks; the maximum is {EXT_UNWRITTEN_MAX_LEN}"
            raise self._error("blocks_past_end", problem)
        return past

    def generation(self) -> int:
        generation = self._number("generation", self._ask("generation"))
        if generation >= 1 << 32:
            raise self._error("generation", f"{generation}, which does not fit into 32 bits")
        return generation

    def extra_isize(self, least: int, most: int, usual: int) -> int:
        size = self._number("extra_isize", self._ask("extra_isize", least, most, usual))
        if size > most or size % 4:
            raise self._error("extra_isize", f"{size}; choose a multiple of 4 up to {most}")
        return size

    def unused_inodes(self, count: int) -> int:
        unused = self._number("unused_inodes", self._ask("unused_inodes", count))
        if unused > count:
            raise self._error("unused_inodes", f"{unused} of {count}")
        return unused

    def deleted_inode(self) -> bool:
        return self._truth("deleted_inode", self._ask("deleted_inode"))

    def uninit(self, flag: str) -> bool:
        return self._truth("uninit", self._ask("uninit", flag))

    def journal_state(self, room: JournalRoom) -> JournalState | None:
        state = self._ask("journal_state", room)
        if state is None:
            return None
        from .states.journal import as_journal_state

        # No list of a valid state is longer than this.
        most = room.log_blocks + room.fast_commit_blocks + len(room.blocks) + len(room.files)
        try:
            return as_journal_state(state, most)
        except Exception as error:
            problem = f"{shown(state)}, which is not a JournalState{told(error)}"
            raise self._error("journal_state", problem) from None

    def orphan_state(self, room: OrphanRoom) -> OrphanState | None:
        state = self._ask("orphan_state", room)
        if state is None:
            return None
        from .states.orphans import as_orphan_state

        try:
            return as_orphan_state(state)
        except Exception as error:
            problem = f"{shown(state)}, which is not an OrphanState{told(error)}"
            raise self._error("orphan_state", problem) from None

    def mmp_state(self, epoch: int) -> MmpState | None:
        state = self._ask("mmp_state", epoch)
        if state is None:
            return None
        from .states.mmp import checked_mmp_state

        try:
            return checked_mmp_state(state)
        except SpecError as error:
            raise self._error("mmp_state", error.problem) from None
        except Exception as error:
            problem = f"{shown(state)}, which is not an MmpState{told(error)}"
            raise self._error("mmp_state", problem) from None

    def _ask(self, method: str, *arguments: Any) -> Any:
        self.asked.add(method)
        try:
            return getattr(self._inner, method)(*arguments)
        except Exception as error:
            raise SpecError(
                "policy",
                f"{method} of {shown(self.name)} raised {type(error).__name__}{told(error)}; "
                "it must return an answer",
            ) from error

    def _only_order(self, method: str, items: MutableSequence[Any], what: str) -> None:
        """Let the policy reorder ``items``; any other change is an error."""
        before = sorted(items)
        self._ask(method, items)
        if not all(type(item) is tuple for item in items) or _sorted(items) != before:
            raise self._error(method, f"other {what} than it was given")
        # Values that equal an item may have other types.
        known = {item: item for item in before}
        items[:] = [known[item] for item in items]

    def _truth(self, method: str, answer: Any) -> bool:
        if type(answer) is bool or (type(answer) is int and answer in (0, 1)):
            return bool(answer)
        raise self._error(method, f"{shown(answer)}, which is neither True nor False")

    def _number(self, method: str, answer: Any) -> int:
        """Return ``answer`` as a nonnegative integer."""
        [number] = self._integers(method, [answer], 1)
        if number < 0:
            raise self._error(method, f"{number}, which is negative")
        return number

    def _integers(self, method: str, values: Iterable[Any], most: int) -> list[int]:
        numbers = []
        for value in self._items(method, values, most):
            try:
                numbers.append(plain_number(value))
            except ValueError:
                raise self._error(method, "a number of more than 64 bits") from None
            except TypeError:
                raise self._error(method, f"{shown(value)}, which is not an integer") from None
        return numbers

    def _items(self, method: str, values: Iterable[Any], most: int) -> list[Any]:
        """Return all of ``values``, but no more than ``most`` + 1."""
        try:
            return list(islice(iter(values), most + 1))
        except TypeError:
            raise self._error(method, f"{shown(values)}, which is not a list") from None
        except Exception as error:
            problem = f"a list that raised {type(error).__name__}{told(error)}"
            raise self._error(method, problem) from error

    def _error(self, method: str, problem: str) -> SpecError:
        return SpecError("policy", f"{method} of {shown(self.name)} returned {problem}")


def _attribute(policy: LayoutPolicy, name: str) -> Any:
    try:
        return getattr(policy, name)
    except Exception as error:
        problem = f"{name} of a {type(policy).__name__} raised {type(error).__name__}{told(error)}"
        raise SpecError("policy", f"{problem}; it must be a value") from error


def _sorted(items: Iterable[Any]) -> list[Any] | None:
    try:
        return sorted(items)
    except Exception:
        return None  # items that do not come from the planner


def _counted(numbers: list[int], most: int) -> str:
    return f"more than {most} numbers" if len(numbers) > most else f"{len(numbers)} numbers"
