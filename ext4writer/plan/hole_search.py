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


Task = list[tuple[int, Content]]
"""Indices of nodes, and what may have holes."""


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
    searcher = _Searcher(spec)
    tasks = _tasks(nodes, candidates)
    if processes > 1 and can_fork and _cost(nodes, candidates) >= LEAST_COST_TO_FORK:
        try:
            crew: Crew[Task, Found] = Crew(lambda: searcher, processes)
        except OSError:
            pass  # no more processes are allowed
        else:
            with crew:
                yield from _search_forked(crew, searcher, tasks, cancel)
            return
    for task in tasks:
        check_cancelled(cancel)
        yield from searcher.do(task)


def _search_forked(
    crew: Crew[Task, Found], searcher: _Searcher, tasks: Iterator[Task], cancel: Cancel | None
) -> Iterator[Found]:
    for task in tasks:
        check_cancelled(cancel)
        while crew.full and not crew.failed:
            check_cancelled(cancel)
            yield from crew.answers(WAIT_SECONDS)
        if crew.failed:
            break
        own = [one for one in task if not one[1].forkable]
        if own:
            yield from searcher.do(own)
        if len(own) < len(task):
            crew.submit([one for one in task if one[1].forkable])
        yield from crew.answers()
    while crew.busy:
        check_cancelled(cancel)
        yield from crew.answers(WAIT_SECONDS)
    crew.finish()


class _Searcher:
    """Looks for holes, here or in a forked process."""

    def __init__(self, spec: Spec) -> None:
        self._rule = spec.block_size, spec.hole_size, spec.leading_hole

    def do(self, task: Task) -> Iterator[Found]:
        found = {}
        for index, content in task:
            ranges = data_ranges(content, *self._rule)
            if ranges is not None:
                found[index] = ranges
        yield Found(len(task), found)

    def finish(self) -> None:
        """Nothing is left open."""


def _tasks(nodes: Sequence[Node], candidates: array[int]) -> Iterator[Task]:
    """Cut ``candidates`` into pieces that cost about the same."""
    task: Task = []
    cost = 0
    for index in candidates:
        content = _content(nodes, index)
        task.append((index, content))
        cost += 1 + (content.size >> COST_SHIFT)
        if cost >= TASK_COST:
            yield task
            task, cost = [], 0
    if task:
        yield task


def _cost(nodes: Sequence[Node], candidates: array[int]) -> int:
    return sum(1 + (_content(nodes, index).size >> COST_SHIFT) for index in candidates)


def _content(nodes: Sequence[Node], index: int) -> Content:
    node = nodes[index]
    assert isinstance(node, RegularFile)
    return node.content
