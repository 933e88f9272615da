"""Looks for holes in many files, in several processes where that pays."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..content import Content
from ..forked import Crew, can_fork
from ..holes import BlockRanges, data_ranges
from ..progress import Cancel, check_cancelled
from ..tree import Node, RegularFile
from .spec import Spec

COST_SHIFT = 15
"""The cost of looking into a file is counted in steps of 32 KiB, and one for opening it."""
TASK_COST = 512
LEAST_COST_TO_FORK = 8 * TASK_COST
"""Some 30 ms of work; to fork and to end processes takes a few."""
WAIT_SECONDS = 0.2
"""How long a request to cancel may go unseen."""


class Found(NamedTuple):
    """The outcome for some files."""

    files: int
    ranges: dict[int, BlockRanges]
    """Index of the node -> its stretches of data; only of files that have holes."""


def search_holes(
    nodes: Sequence[Node],
    candidates: array[int],
    spec: Spec,
    processes: int = 1,
    cancel: Cancel | None = None,
) -> Iterator[Found]:
    """Look into the files whose indices in ``nodes`` are ``candidates``; yield in any order.

    Raises what reading a source may raise, :class:`CancelledError`, and :class:`WorkerError`.
    """
    if processes > 1 and can_fork and _cost(nodes, candidates) >= LEAST_COST_TO_FORK:
        forkable = [_content(nodes, index).forkable for index in candidates]
        shared = array("L", (index for index, yes in zip(candidates, forkable, strict=True) if yes))
        own = array(
            "L", (index for index, yes in zip(candidates, forkable, strict=True) if not yes)
        )
        try:
            crew = Crew(lambda: _Searcher(nodes, shared, spec), _tasks(nodes, shared), processes)
        except OSError:
            pass  # no more processes are allowed
        else:
            with crew:
                for found in search_holes(nodes, own, spec, 1, cancel):
                    yield found
                    yield from crew.answers()
                while crew.busy:
                    check_cancelled(cancel)
                    yield from crew.answers(WAIT_SECONDS)
                crew.finish()
            return
    searcher = _Searcher(nodes, candidates, spec)
    for task in _tasks(nodes, candidates):
        check_cancelled(cancel)
        yield from searcher.do(task)


class _Searcher:
    """Looks into those of ``candidates`` that a task names by the first one and the one behind."""

    def __init__(self, nodes: Sequence[Node], candidates: array[int], spec: Spec) -> None:
        self._nodes = nodes
        self._candidates = candidates
        self._rule = spec.block_size, spec.hole_size, spec.leading_hole

    def do(self, task: tuple[int, int]) -> Iterator[Found]:
        first, behind = task
        found = {}
        for index in self._candidates[first:behind]:
            ranges = data_ranges(_content(self._nodes, index), *self._rule)
            if ranges is not None:
                found[index] = ranges
        yield Found(behind - first, found)

    def finish(self) -> None:
        """Nothing is left open."""


def _tasks(nodes: Sequence[Node], candidates: array[int]) -> Iterator[tuple[int, int]]:
    """Cut ``candidates`` into pieces that cost about the same."""
    first = cost = 0
    for position, index in enumerate(candidates):
        cost += 1 + (_content(nodes, index).size >> COST_SHIFT)
        if cost >= TASK_COST:
            yield first, position + 1
            first, cost = position + 1, 0
    if first < len(candidates):
        yield first, len(candidates)


def _cost(nodes: Sequence[Node], candidates: array[int]) -> int:
    return sum(1 + (_content(nodes, index).size >> COST_SHIFT) for index in candidates)


def _content(nodes: Sequence[Node], index: int) -> Content:
    node = nodes[index]
    assert isinstance(node, RegularFile)
    return node.content
