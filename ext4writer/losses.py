"""The losses of trees, indexed by path, to drop those at or below a path that is removed.

The index is a tree of dictionaries by name, so a look-up takes time in proportion to the number of
names in the path.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import compress

from .nodes import Directory, Loss, Node


def names_of(path: bytes) -> Iterator[bytes]:
    """The names of ``path`` without empty ones."""
    return (name for name in path.split(b"/") if name)


class Branch(dict[bytes, "Branch"]):
    """The children of a path, by name."""

    __slots__ = ("ends", "losses")

    def __init__(self) -> None:
        super().__init__()
        self.ends = False
        """Whether a path of the set ends here."""
        self.losses: dict[int, Loss] = {}
        """Losses at this path, by a number that states their order."""

    def at(self, path: bytes) -> Branch:
        """The branch at ``path``, created if missing."""
        branch = self
        for name in names_of(path):
            below = branch.get(name)
            if below is None:
                below = branch[name] = Branch()
            branch = below
        return branch

    def all_below(self) -> Iterator[Branch]:
        """Yield this branch and all below it."""
        pending = [self]
        while pending:
            branch = pending.pop()
            yield branch
            pending += branch.values()


class PathSet:
    """A set of paths, each of which also covers everything below it."""

    def __init__(self, paths: Iterable[bytes]) -> None:
        self._root = Branch()
        for path in paths:
            self._root.at(path).ends = True

    def covers(self, path: bytes) -> bool:
        """Whether ``path`` is in the set or below one of its paths."""
        branch = self._root
        for name in names_of(path):
            if branch.ends:
                return True
            below = branch.get(name)
            if below is None:
                return False
            branch = below
        return branch.ends


def without_losses_below(losses: list[Loss], gone: Iterable[bytes]) -> list[Loss]:
    """``losses`` without those at and below the absolute paths ``gone``."""
    if not gone or not losses:
        return losses
    paths = PathSet(gone)
    return [loss for loss in losses if not paths.covers(loss.path)]


class LossRecord:
    """The losses of a tree during a sequence of changes."""

    def __init__(self) -> None:
        self._root = Branch()
        self._count = 0

    def add(self, losses: Iterable[Loss]) -> None:
        """Add ``losses``, in order."""
        for loss in losses:
            self._root.at(loss.path).losses[self._count] = loss
            self._count += 1

    def drop_below(self, path: bytes) -> None:
        """Drop the losses at and below ``path``, which is not the root."""
        *above, last = names_of(path)
        branch: Branch | None = self._root
        for name in above:
            branch = branch and branch.get(name)
        if branch:
            branch.pop(last, None)

    def drop_covered(self, upper: Directory) -> None:
        """Drop the losses that ``upper`` replaces when it is laid over the tree.

        An implied directory drops none, a stated one those at its path, and any other node those at
        and below its path. The time taken is in proportion to the size of ``upper``.
        """
        pending = [(self._root, upper)]
        while pending:
            branch, directory = pending.pop()
            if not directory.implied:
                branch.losses.clear()
            children = directory.children
            names = children if len(children) <= len(branch) else list(branch)
            for name in names:
                node, below = children.get(name), branch.get(name)
                if node is None or below is None:
                    continue
                if isinstance(node, Directory):
                    pending.append((below, node))
                else:
                    del branch[name]

    def in_order(self) -> list[Loss]:
        """The remaining losses, in the order in which they were added."""
        found: list[tuple[int, Loss]] = []
        pending = [self._root]
        while pending:
            branch = pending.pop()
            found += branch.losses.items()
            pending += branch.values()
        return [loss for _, loss in sorted(found, key=lambda one: one[0])]


DELETED_ONE_BY_ONE = 64
"""The most losses that are deleted one by one; to drop more, the list is rebuilt."""


class LossIndex:
    """Finds losses in a list by path, and is kept from one change of a tree to the next."""

    def __init__(self) -> None:
        self._losses: list[Loss] = []
        self._last: Loss | None = None
        self._numbers = array("Q")
        """The number of each loss in the list, ascending; dropping losses does not renumber."""
        self._next = 0
        self.root = Branch()

    def follow(self, losses: list[Loss]) -> None:
        """Index what was added to ``losses`` since the last call, or all of a different list."""
        known = len(self._numbers)
        is_same = losses is self._losses and len(losses) >= known
        if not is_same or (known and losses[known - 1] is not self._last):
            self.__init__()  # type: ignore[misc]
            self._losses, known = losses, 0
        for loss in losses[known:]:
            self.root.at(loss.path).losses[self._next] = loss
            self._numbers.append(self._next)
            self._next += 1
        self._last = losses[-1] if losses else None

    def branch(self, names: Sequence[bytes]) -> Branch | None:
        """The branch at the path ``names``; None if no loss is there or below."""
        branch: Branch | None = self.root
        for name in names:
            if branch is None:
                return None
            branch = branch.get(name)
        return branch

    def drop(self, found: dict[int, Branch]) -> None:
        """Remove losses, given as number -> branch, from the list and from their branches."""
        if not found:
            return
        for number, branch in found.items():
            del branch.losses[number]
        if len(found) > DELETED_ONE_BY_ONE:
            stays = [number not in found for number in self._numbers]
            self._losses[:] = compress(self._losses, stays)
            self._numbers = array("Q", compress(self._numbers, stays))
        else:
            for number in found:
                place = bisect_left(self._numbers, number)
                del self._numbers[place], self._losses[place]
        self._last = self._losses[-1] if self._losses else None


class ChangedLosses:
    """Losses, and the nodes they referred to before a change at or above their path.

    ``deepest`` returns how many names of a path are in the tree, and the node of the last of them.
    """

    def __init__(self, index: LossIndex, deepest: Callable[[bytes], tuple[int, Node]]) -> None:
        self.index = index
        self._deepest = deepest
        self._before: dict[int, tuple[Loss, Branch, int, Node]] = {}

    def at(self, branch: Branch) -> None:
        """Note the losses at one path before the directory there changes."""
        for number, loss in branch.losses.items():
            if number not in self._before:
                self._before[number] = loss, branch, *self._deepest(loss.path)

    def below(self, branch: Branch | None) -> None:
        """Note the losses at and below a path before another node replaces what is there."""
        if branch is not None:
            for each in branch.all_below():
                self.at(each)

    def drop_replaced(self, restated: set[Directory]) -> None:
        """Remove the losses that no longer hold; ``restated`` directories have new attributes."""
        gone = {}
        for number, (loss, branch, depth, node) in self._before.items():
            depth_now, node_now = self._deepest(loss.path)
            if depth_now > depth:  # now there is a node where there was none
                counts = isinstance(node_now, Directory) and node_now.implied
            else:
                # It holds if the node is the same and the loss is that of an entry left out below
                # it, or its attributes are the same.
                is_left_out = depth < sum(1 for _ in names_of(loss.path))
                counts = node is node_now and (is_left_out or node not in restated)
            if not counts:
                gone[number] = branch
        self.index.drop(gone)
