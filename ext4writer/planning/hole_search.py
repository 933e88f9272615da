"""Searches many files for holes, in several processes if that is faster."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..content import Content, KeepingOpen, Parcel
from ..forked import FULL_LOAD, ProcessPool, Stage
from ..holes import BlockRuns, HoleFinder
from ..late_dataclasses import NamedTuple
from ..progress import WAIT_SECONDS, Cancel, check_cancelled
from ..tree import Node, RegularFile
from .spec import Spec

COST_SHIFT = 15
"""The cost of searching a file is one for opening it and one for each 32 KiB (2^15 bytes)."""
TASK_COST = 512
LEAST_COST_TO_SHARE = 8 * TASK_COST
"""About 30 ms of work; to fork and end processes takes a few ms."""
LOAD_AT_END = 4
"""Load of the other processes while this one works on tasks, too: low, so that all end together.
Before that they get more, enough for one step of planning."""


class Found(NamedTuple):
    """The result for some files."""

    files: int
    ranges: dict[int, BlockRuns]
    """By node index: the runs of data, only for files that have holes."""


class Task(NamedTuple):
    """Files to search."""

    indexes: array[int]
    """Indexes of their nodes."""
    parcel: Parcel
    first_generation: int
    """The first generation of processes that can read all of them."""
    weight: int
    """1, or more if a large file makes it a long task."""


class HoleSearch:
    """A running search; :func:`searching` starts it.

    Other processes search while this one does something else, as long as it calls
    :meth:`submit_tasks` from time to time.
    """

    def __init__(
        self,
        stage: Stage[Task, Found],
        pool: ProcessPool,
        searcher: _Searcher,
        tasks: Iterator[Task],
        cancel: Cancel | None,
    ) -> None:
        self._stage = stage
        self._pool = pool
        self._searcher = searcher
        self._tasks = tasks
        self._cancel = cancel
        self._own: list[Task] = []
        """Tasks that only this process can read."""
        self._found: list[Found] = []

    def submit_tasks(self) -> None:
        """Give the other processes more tasks, if there are any."""
        self._share_out(FULL_LOAD)

    def results(self) -> Iterator[Found]:
        """Finish the search, and yield results in any order.

        Raises errors of reading sources, :class:`CancelledError` and :class:`WorkerError`.
        """
        stage = self._stage
        while not stage.failed:
            check_cancelled(self._cancel)
            self._share_out(LOAD_AT_END)
            task = self._own.pop() if self._own else next(self._tasks, None)
            if task is not None:
                yield from self._searcher.do(task)
            elif stage.busy:
                self._found += stage.answers(WAIT_SECONDS)
            elif not self._found:
                break
            yield from self._found
            self._found.clear()
        stage.finish()

    def _share_out(self, load: int) -> None:
        """Give the others tasks up to ``load``, and collect their results."""
        stage = self._stage
        self._found += stage.answers()
        while stage.least_load < load and not stage.failed:
            task = next(self._tasks, None)
            if task is None:
                break
            if self._pool.can_know(task.first_generation):
                stage.submit(task, task.weight)
            else:
                self._own.append(task)


@contextmanager
def searching(
    nodes: Sequence[Node],
    candidates: array[int],
    spec: Spec,
    pool: ProcessPool,
    cancel: Cancel | None = None,
) -> Iterator[HoleSearch]:
    """Search the files of ``nodes`` at the indexes ``candidates``, with all of ``pool``.

    If there is little to do, this process does it alone.
    """
    if _cost(nodes, candidates) < LEAST_COST_TO_SHARE:
        pool = ProcessPool(1)
    searcher = _Searcher(spec.block_size, spec.hole_size, spec.leading_hole)
    stage: Stage[Task, Found]
    with Stage(pool, searcher) as stage, KeepingOpen():
        yield HoleSearch(stage, pool, searcher, _tasks(nodes, candidates), cancel)


class _Searcher:
    """Searches for holes, here or in a forked process."""

    def __init__(self, block_size: int, hole_size: int, leading_hole: bool) -> None:
        self._rule = block_size, hole_size, leading_hole
        self._finder = HoleFinder(*self._rule)

    def __reduce__(self) -> tuple[object, ...]:
        return _Searcher, self._rule

    def begin(self) -> None:
        """Keep directories open from one file to the next."""
        self._keeping = KeepingOpen()

    def do(self, task: Task) -> Iterator[Found]:
        found = {}
        for index, content in zip(task.indexes, task.parcel.contents, strict=True):
            ranges = self._finder.data_ranges(content)
            if ranges is not None:
                found[index] = ranges
        yield Found(len(task.indexes), found)

    def finish(self) -> None:
        """Close the open directories."""
        self._keeping.close()


def _tasks(nodes: Sequence[Node], candidates: array[int]) -> Iterator[Task]:
    """Split ``candidates`` into tasks of about the same cost."""
    first = cost = first_generation = 0
    contents: list[Content] = []
    for position, index in enumerate(candidates, 1):
        content = _content(nodes, index)
        contents.append(content)
        cost += 1 + (content.size >> COST_SHIFT)
        first_generation = max(first_generation, content.first_generation)
        if cost >= TASK_COST or position == len(candidates):
            weight = max(1, cost // TASK_COST)
            yield Task(candidates[first:position], Parcel(contents), first_generation, weight)
            first, cost, first_generation, contents = position, 0, 0, []


def _cost(nodes: Sequence[Node], candidates: array[int]) -> int:
    return sum(1 + (_content(nodes, index).size >> COST_SHIFT) for index in candidates)


def _content(nodes: Sequence[Node], index: int) -> Content:
    node = nodes[index]
    assert isinstance(node, RegularFile)
    return node.content
