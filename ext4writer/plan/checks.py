"""Brings attributes into the format's range, or refuses them by path."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter

from ..errors import TreeError
from ..ondisk.inode import EXT4_GOOD_OLD_INODE_SIZE, encode_device
from ..tree import Device, Loss, Node, Tree
from .inodes import LOST_AND_FOUND, InodeTable
from .layout import NANOSECONDS, Times
from .spec import Spec

MAX_ID = (1 << 32) - 1
MAX_MODE = 0o7777


def check_attributes(table: InodeTable) -> None:
    """Raise :class:`TreeError` for an owner, mode or device number that no inode can hold."""
    nodes = table.nodes
    for name, most in (("uid", MAX_ID), ("gid", MAX_ID), ("mode", MAX_MODE)):
        values = list(map(attrgetter(name), nodes))
        if max(values) <= most and min(values) >= 0:
            continue
        for index, value in enumerate(values):
            if not 0 <= value <= most:
                shown = f"{value:o}" if name == "mode" else str(value)
                raise TreeError(table.path_of(index), f"{name} {shown} is out of range")
    for index, node in enumerate(nodes):
        if isinstance(node, Device):
            try:
                encode_device(node.major, node.minor)
            except ValueError as error:
                raise TreeError(table.path_of(index), str(error)) from None


def fit_times(tree: Tree, table: InodeTable, spec: Spec) -> tuple[Times, int, list[Loss]]:
    """Find the epoch; return the rule for times, the epoch in seconds, and what is lost.

    What the source already lost comes first in the list.
    """
    nodes = table.nodes
    seen_times = [
        time
        for name in ("mtime_ns", "atime_ns", "ctime_ns", "crtime_ns")
        for time in map(attrgetter(name), nodes)
        if time is not None
    ]
    oldest, newest = min(seen_times), max(seen_times)
    if spec.epoch is None:
        epoch = max(0, newest // NANOSECONDS)
        times = Times.of(newest, spec.inode_size)
    else:
        epoch = spec.epoch
        times = Times.of(epoch * NANOSECONDS, spec.inode_size)
    epoch = min(epoch, times.latest // NANOSECONDS)
    added = table.lost_and_found
    if added is not None and LOST_AND_FOUND not in tree.root.children:
        nodes[added].mtime_ns = epoch * NANOSECONDS
    losses = list(tree.losses)
    whole_seconds = spec.inode_size == EXT4_GOOD_OLD_INODE_SIZE
    if whole_seconds or oldest != times.fit(oldest) or newest != times.fit(newest):
        seen: set[Node] = set()
        for path, node in tree.walk():
            if node not in seen:
                seen.add(node)
                losses += (Loss(path, what) for what in _time_losses(node, times, whole_seconds))
    return times, epoch, losses


def _named_times(node: Node) -> Iterator[tuple[str, int]]:
    for name in ("mtime", "atime", "ctime", "crtime"):
        time = getattr(node, name + "_ns")
        if time is not None:
            yield name, time


def _time_losses(node: Node, times: Times, whole_seconds: bool) -> Iterator[str]:
    for name, time in _named_times(node):
        fitted = times.fit(time)
        if fitted != time:
            yield f"{name} {_seconds(time)} was clamped to {_seconds(fitted)}"
        if whole_seconds and name != "crtime" and fitted % NANOSECONDS:
            yield f"{name} {_seconds(fitted)} lost its nanoseconds: inodes of 128 bytes have none"
        if whole_seconds and name == "crtime":
            yield f"crtime {_seconds(fitted)} was left out: inodes of 128 bytes have none"


def _seconds(time_ns: int) -> str:
    seconds, nanoseconds = divmod(time_ns, NANOSECONDS)
    return f"{seconds}.{nanoseconds:09d}" if nanoseconds else str(seconds)
