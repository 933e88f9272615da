"""Reads attributes into columns; clamps them to the format's range, or rejects them by path."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from functools import partial
from itertools import compress
from operator import attrgetter
from typing import Any

from ..arguments import ID_MOST
from ..attributes import ATTRIBUTES, OTHER_TIMES
from ..content import BytesContent
from ..errors import TreeError
from ..inode_flags import ALL_FLAGS, flag_names, flags_for
from ..nodes import DT_REG
from ..ondisk.format import Format
from ..ondisk.inode import (
    EXT4_CASEFOLD_FL,
    EXT4_GOOD_OLD_INODE_SIZE,
    EXT4_VERITY_FL,
    encode_device,
)
from ..tree import S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, S_IFREG, Device, Loss, LossCode, Node, Tree
from ..units import NANOSECONDS
from .inodes import HIGH_BYTE, LOST_AND_FOUND, InodeTable
from .layout import Times
from .spec import Spec

EPOCH_LATEST = 1_767_225_600
"""The start of 2026 in UTC: the latest epoch that is taken from a tree.

e2fsck reports a superblock whose write time is in the future of the host where it runs
(e2fsck/super.c:check_super_block, PR_0_FUTURE_SB_LAST_WRITE). The library reads no clock and cannot
tell future times from today's, but the clock of every host is past this date.
"""

_NO_ID = (ID_MOST + 1).to_bytes(4, "little")

NODES_AT_ONCE = 1024
"""Few enough nodes to stay in the cache while their attributes are read one by one."""

_xattrs, _flags_and_project = map(attrgetter, ("xattrs", "flags_and_project"))
_OTHER_TIMES = [(row.name, attrgetter(row.name)) for row in OTHER_TIMES]
_TIMES = [row for row in ATTRIBUTES.values() if row.is_time]

_FOUR_BITS = bytes(range(16))
_KIND_BITS = bytes(code << 4 & 0xFF for code in range(256))
"""Kind -> the high byte of a mode without permissions."""

_NOTHING = BytesContent(b"")
"""Stands for the content of a node that is not a file."""


def read_attributes(table: InodeTable, fmt: Format) -> None:
    """Fill the columns of the attributes.

    Raises :class:`TreeError` for an owner, mode, device number or inode flag that no inode of this
    format can hold, and for a project without the feature.
    """
    nodes: list[Any] = table.nodes
    permissions = array("H")
    mtimes: list[int] = []
    sizes: list[int] = []
    with_flags: list[int] = []
    for low in range(0, len(nodes), NODES_AT_ONCE):
        some = nodes[low : low + NODES_AT_ONCE]
        high = low + len(some)
        try:
            table.uids.fromlist([node.uid for node in some])
            table.gids.fromlist([node.gid for node in some])
            permissions.fromlist([node.mode for node in some])
        except OverflowError:
            break
        mtimes += [node.mtime_ns for node in some]
        contents = [
            node.content if kind == DT_REG else _NOTHING
            for node, kind in zip(some, table.types[low:high], strict=True)
        ]
        table.content_kinds.update(map(type, contents))
        sizes += [content.size for content in contents]
        for node in some:
            if (
                node.xattrs
                or node.flags_and_project
                or node.atime_ns is not None
                or node.ctime_ns is not None
                or node.crtime_ns is not None
            ):
                break
        else:
            continue  # as for most nodes; the columns below would read six attributes of each
        for name, get in _OTHER_TIMES:
            times = list(map(get, some))
            if times.count(None) < len(times):
                column = table.other_times.setdefault(name, [None] * len(nodes))
                column[low:high] = times
        table.with_xattrs.extend(compress(range(low, high), map(_xattrs, some)))
        with_flags.extend(compress(range(low, high), map(_flags_and_project, some)))
    modes = _modes(permissions, table.types) if len(permissions) == len(nodes) else None
    if modes is None or _may_contain_no_id(table.uids) or _may_contain_no_id(table.gids):
        _refuse_out_of_range(table)
    assert modes is not None
    table.modes = modes
    for index in table.indexes_of(S_IFLNK):
        sizes[index] = len(nodes[index].target)
    for index in with_flags:
        flags, project = _flags(table, index, fmt), _project(table, index, fmt)
        if flags:
            table.flags[index] = flags
        if project:
            table.projects[index] = project
    table.oldest, table.newest = min(mtimes), max(mtimes)
    table.mtimes = _narrow("q", mtimes)
    table.sizes = _narrow("Q", sizes)
    for index in sorted([*table.indexes_of(S_IFCHR), *table.indexes_of(S_IFBLK)]):
        node = table.nodes[index]
        assert isinstance(node, Device)
        try:
            encode_device(node.major, node.minor)
        except ValueError as error:
            raise TreeError(table.path_of(index), str(error)) from None


def _modes(permissions: array[int], types: bytes) -> array[int] | None:
    """Return ``i_mode`` for permissions and kinds; None if a mode has more than twelve bits.

    One operation on big integers adds the kinds to the high bytes of all modes.
    """
    modes = bytearray(permissions.tobytes())
    highs = modes[HIGH_BYTE::2]
    if highs.translate(None, _FOUR_BITS):
        return None
    kinds = types.translate(_KIND_BITS)
    together = int.from_bytes(highs, "little") | int.from_bytes(kinds, "little")
    modes[HIGH_BYTE::2] = together.to_bytes(len(types), "little")
    return array("H", bytes(modes))


def _may_contain_no_id(ids: array[int]) -> bool:
    """Whether ``ids`` contains the bytes of the invalid ID; they may also straddle two IDs."""
    return _NO_ID in ids.tobytes()


def _refuse_out_of_range(table: InodeTable) -> None:
    """Raise for the first owner or mode that does not fit, if there is one."""
    for name, row in ATTRIBUTES.items():
        if row.most is None:
            continue
        for index, value in enumerate(map(attrgetter(name), table.nodes)):
            if not 0 <= value <= row.most:
                shown = f"{value:o}" if name == "mode" else str(value)
                hint = _hint_of_mode(value) if name == "mode" else ""
                raise TreeError(table.path_of(index), f"{name} {shown} is out of range{hint}")


def _hint_of_mode(mode: int) -> str:
    """Return a hint for a mode of more than twelve bits."""
    digits = str(mode)
    if len(digits) == 4 and set(digits) <= set("01234567"):
        return f"; did you mean 0o{digits}?"
    return "; a mode has twelve bits, without those of the kind of file"


def _flags(table: InodeTable, index: int, fmt: Format) -> int:
    """Return the inode flags of a node that has flags or a project."""
    node = table.nodes[index]
    path = partial(table.path_of, index)
    unknown = node.flags & ~ALL_FLAGS
    if unknown:
        raise TreeError(path(), f"users cannot set the inode flag {flag_names(unknown)}")
    wrong = node.flags & ~flags_for(node.file_type)
    if wrong:
        kinds = "directories" if flags_for(S_IFREG) & wrong == 0 else "files and directories"
        if not flags_for(S_IFDIR) & wrong:
            kinds = "files"
        raise TreeError(path(), f"the inode flag {flag_names(wrong)} is only for {kinds}")
    for flag, name, is_there in (
        (EXT4_CASEFOLD_FL, "casefold", fmt.casefold),
        (EXT4_VERITY_FL, "verity", fmt.verity),
    ):
        if node.flags & flag and not is_there:
            raise TreeError(
                path(),
                f"the inode flag {name} needs the feature {name}; add it, or remove the flag "
                f"with the rule '**: flags=-{name}'",
            )
    return node.flags


def _project(table: InodeTable, index: int, fmt: Format) -> int:
    project = table.nodes[index].project
    if project and not fmt.project:
        raise TreeError(
            table.path_of(index),
            f"project {project} needs the feature project; add it, or remove all projects "
            "with the rule '**: project=0'",
        )
    return project


def _narrow(typecode: str, values: list[int]) -> array[int] | list[int]:
    """Return ``values`` as an array of 8-byte items if all fit, otherwise unchanged."""
    try:
        return array(typecode, values)
    except OverflowError:
        return values


def _times_of(newest: int, spec: Spec) -> Times:
    last = newest if spec.epoch is None else spec.epoch * NANOSECONDS
    return Times.of(last, spec.inode_size)


def epoch_of(newest: int, spec: Spec) -> int:
    """Return the epoch of an image in seconds; ``newest`` is its newest time in nanoseconds."""
    of_tree = max(0, min(newest // NANOSECONDS, EPOCH_LATEST))
    epoch = of_tree if spec.epoch is None else spec.epoch
    return min(epoch, _times_of(newest, spec).latest // NANOSECONDS)


def fit_times(tree: Tree, table: InodeTable, spec: Spec) -> tuple[Times, int, list[Loss]]:
    """Return the range of times, the epoch in seconds, and the losses.

    Losses of the source come first in the list. An added ``lost+found`` gets the epoch as its time.
    """
    oldest, newest = table.oldest, table.newest
    for others in table.other_times.values():
        given = [oldest, newest, *(time for time in others if time is not None)]
        if type(sum(given)) is not int:
            raise TypeError("times are whole nanoseconds")
        oldest, newest = min(given), max(given)
    times = _times_of(newest, spec)
    epoch = epoch_of(newest, spec)
    added = table.lost_and_found
    if added is not None and LOST_AND_FOUND not in tree.root.children:
        table.nodes[added].mtime_ns = table.mtimes[added] = epoch * NANOSECONDS
    losses = list(tree.losses)
    whole_seconds = spec.inode_size == EXT4_GOOD_OLD_INODE_SIZE
    if whole_seconds or oldest != times.fit(oldest) or newest != times.fit(newest):
        seen: set[Node] = set()
        for path, node in tree.walk():
            if node not in seen:
                seen.add(node)
                losses += (
                    Loss(path, what, code)
                    for what, code in _time_losses(node, times, whole_seconds)
                )
    return times, epoch, losses


def _named_times(node: Node) -> Iterator[tuple[str, int]]:
    for row in _TIMES:
        time = getattr(node, row.name)
        if time is not None:
            yield row.word, time


def _time_losses(node: Node, times: Times, whole_seconds: bool) -> Iterator[tuple[str, LossCode]]:
    for name, time in _named_times(node):
        fitted = times.fit(time)
        if fitted != time:
            yield f"{name} {_seconds(time)} was clamped to {_seconds(fitted)}", "time-changed"
        if whole_seconds and name != "crtime" and fitted % NANOSECONDS:
            yield (
                f"{name} {_seconds(fitted)} lost its nanoseconds: inodes of 128 bytes have none",
                "time-changed",
            )
        if whole_seconds and name == "crtime":
            yield (
                f"crtime {_seconds(fitted)} was left out: inodes of 128 bytes have none",
                "time-left-out",
            )


def _seconds(time_ns: int) -> str:
    seconds, nanoseconds = divmod(time_ns, NANOSECONDS)
    return f"{seconds}.{nanoseconds:09d}" if nanoseconds else str(seconds)
