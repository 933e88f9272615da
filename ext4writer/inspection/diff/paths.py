"""Compares two trees: names that only one has, attributes, content, holes and locations."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from ...errors import DamageError, display_path
from ...ondisk.extent import EXTENT_HEADER
from ...ondisk.inode import EXT4_EXTENTS_FL
from ...progress import Cancel, check_cancelled
from ...read import FileExtent, FileReader, Image, Inode, TreeBlock
from ..listing import sorted_children
from ..words import mode_words, time_ns
from .content import Budget, Content
from .fields import compare_inodes
from .found import FIELD, PATH, PLACE, Differences

_OF_THE_FORMAT = ("EXTENTS", "HUGE_FILE", "INDEX", "INLINE_DATA")
"""Flags that describe how an inode is stored; users do not set them."""
_RUNS_SHOWN = 4
Pair = tuple[bytes, Inode | None, Inode | None]


def _attributes(inode: Inode) -> dict[str, Any]:
    """Return the attributes of an inode that a user sees, as JSON values."""
    flags = [name for name in inode.flag_names if name not in _OF_THE_FORMAT]
    found: dict[str, Any] = {
        "kind": inode.kind,
        "mode": f"{inode.mode & 0o7777:04o} ({mode_words(inode.mode)})",
        "uid": inode.uid,
        "gid": inode.gid,
        "links": inode.links,
        "size": inode.size,
        "mtime": time_ns(inode.mtime_ns),
        "ctime": time_ns(inode.ctime_ns),
        "atime": time_ns(inode.atime_ns),
        "crtime": time_ns(inode.crtime_ns),
        "flags": flags,
        "project": inode.projid,
    }
    if inode.is_directory:
        # The size of a directory is that of its blocks.
        del found["size"]
    if inode.is_device:
        found["device"] = list(inode.device)
    if inode.is_symlink:
        found["target"] = display_path(inode.target())
    return found


class Trees:
    """Compares two trees; remembers files with several names, and directories."""

    def __init__(
        self, a: Image, b: Image, found: Differences, budget: Budget, cancel: Cancel | None
    ) -> None:
        self._a, self._b = a, b
        self._found = found
        self._budget = budget
        self._cancel = cancel
        self._entered: set[tuple[int, int]] = set()
        # For files with several names: inode in A -> inode in B and the first path.
        self._linked: dict[int, tuple[int, str]] = {}
        self._linked_back: dict[int, tuple[int, str]] = {}

    def compare(self) -> None:
        """Compare the roots and everything below them."""
        roots = self._a.root, self._b.root
        self._both("/", *roots)
        self._special()
        stack = [self._pairs(b"", *roots)]
        while stack:
            pair = next(stack[-1], None)
            if pair is None:
                stack.pop()
                continue
            check_cancelled(self._cancel)
            path, one, other = pair
            if one is None or other is None:
                self._alone(path, one, other)
            elif one.is_directory and other.is_directory:
                self._both(display_path(path), one, other)
                # Damage can give a directory two names; it must not be entered again and again.
                key = one.ino, other.ino
                if key not in self._entered:
                    self._entered.add(key)
                    stack.append(self._pairs(path, one, other))
            elif not self._is_known(display_path(path), one, other):
                self._both(display_path(path), one, other)

    def _special(self) -> None:
        """Compare the reserved inodes, which have no paths, by their numbers."""
        for ino in range(1, min(self._a.format.first_ino, self._b.format.first_ino)):
            if ino == self._a.root.ino or ino > min(self._a.inodes_count, self._b.inodes_count):
                continue
            one, other = self._a.inode(ino), self._b.inode(ino)
            if one.raw != other.raw:
                compare_inodes(f"<{ino}>", one, other, self._found)
                self._runs(f"<{ino}>", one, other)

    def _pairs(self, path: bytes, a: Inode, b: Inode) -> Iterator[Pair]:
        """Yield the names in either of two directories with their inodes, sorted by bytes."""
        one, other = dict(sorted_children(self._a, a)), dict(sorted_children(self._b, b))
        for name in sorted(one.keys() | other.keys()):
            yield path + b"/" + name, one.get(name), other.get(name)

    def _alone(self, path: bytes, a: Inode | None, b: Inode | None) -> None:
        """Report a name that only one image has; count the files below a directory."""
        inode = a or b
        assert inode is not None
        facts: dict[str, Any] = {"kind": inode.kind, "size": inode.size}
        if inode.is_directory:
            facts = {"kind": inode.kind, "below": sum(1 for _ in inode.image.walk(inode))}
        if a is None:
            self._found.add(PATH, "added", display_path(path), None, facts)
        else:
            self._found.add(PATH, "removed", display_path(path), facts, None)

    def _is_known(self, path: str, a: Inode, b: Inode) -> bool:
        """Return whether two files were compared under another name; report unequal hard links."""
        if a.links < 2 and b.links < 2:
            return False
        there, back = self._linked.get(a.ino), self._linked_back.get(b.ino)
        self._linked.setdefault(a.ino, (b.ino, path))
        self._linked_back.setdefault(b.ino, (a.ino, path))
        first_a = path if there is None else there[1]
        first_b = path if back is None else back[1]
        if first_a != first_b:
            values = (None if first == path else first for first in (first_a, first_b))
            self._found.add(PATH, "hard link", path, *values)
            return False
        return there is not None

    def _both(self, path: str, a: Inode, b: Inode) -> None:
        """Compare two inodes; report and skip what cannot be read."""
        try:
            self._inodes(path, a, b)
        except DamageError as error:
            self._b.damage(error)

    def _inodes(self, path: str, a: Inode, b: Inode) -> None:
        found = self._found
        if PATH in found.levels:
            self._as_seen(path, a, b)
        compare_inodes(path, a, b, found)
        if PLACE in found.levels and a.ino != b.ino:
            found.add(PLACE, "inode number", path, a.ino, b.ino)
        if PLACE in found.levels or FIELD in found.levels:
            self._runs(path, a, b)
        if FIELD in found.levels and a.is_directory and b.is_directory:
            self._order(path, a, b)

    # -- what a user sees --------------------------------------------------------------------------

    def _as_seen(self, path: str, a: Inode, b: Inode) -> None:
        found = self._found
        # Most inodes of two builds are equal byte for byte; then their attributes are equal, too.
        if a.raw != b.raw:
            first, second = _attributes(a), _attributes(b)
            for name in first | second:
                if first.get(name) != second.get(name):
                    found.add(PATH, name, path, first.get(name), second.get(name))
        if a.raw != b.raw or a.file_acl or b.file_acl:
            self._xattrs(path, a, b)
        if a.is_file and b.is_file:
            self._content(path, a, b)

    def _xattrs(self, path: str, a: Inode, b: Inode) -> None:
        first, second = a.xattrs(), b.xattrs()
        if first == second:
            return
        for name in sorted(first.keys() | second.keys()):
            one, other = first.get(name), second.get(name)
            if one != other:
                where = f"{path} {display_path(name)}"
                values = (None if value is None else value.hex() for value in (one, other))
                self._found.add(PATH, "xattr", where, *values)

    def _content(self, path: str, a: Inode, b: Inode) -> None:
        one, other = FileReader(a), FileReader(b)
        stored = sum(end - start for reader in (one, other) for start, end in reader.data)
        if not self._budget.spend(stored):
            self._found.content_left_out += 1
            return
        try:
            content = Content(one, other, self._cancel)
        except DamageError as error:
            self._b.damage(error)
            self._found.content_left_out += 1
            return
        if content.bytes_changed:
            self._found.add(PATH, "content", path, content.as_json(0), content.as_json(1))
        if any(content.holes):
            only_a, only_b = content.holes
            values = ({"bytes_of_holes": only_a}, {"bytes_of_holes": only_b})
            self._found.add(PATH, "holes", path, *values)

    # -- how it is stored --------------------------------------------------------------------------

    def _runs(self, path: str, a: Inode, b: Inode) -> None:
        if a.raw == b.raw and not _has_tree(a):
            return
        first, second = _mapping(a), _mapping(b)
        if first[0] != second[0]:
            values = (_runs_text(runs) for runs, _ in (first, second))
            self._found.add(PLACE, "blocks", path, *values)
        if first[1] != second[1]:
            values = (_blocks_text(blocks) for _, blocks in (first, second))
            self._found.add(PLACE, "blocks of the mapping", path, *values)

    def _order(self, path: str, a: Inode, b: Inode) -> None:
        """Report entries that readdir returns in another order, and entries with other types."""
        first, second = list(a.image.entries(a)), list(b.image.entries(b))
        names, others = [entry.name for entry in first], [entry.name for entry in second]
        if names != others and sorted(names) == sorted(others):
            place = next(at for at in range(len(names)) if names[at] != others[at])
            values = (display_path(entries[place]) for entries in (names, others))
            self._found.add(FIELD, "order of entries", path, *values)
        kinds = {entry.name: entry.file_type for entry in second}
        for entry in first:
            if kinds.get(entry.name, entry.file_type) != entry.file_type:
                where = f"{path.rstrip('/')}/{display_path(entry.name)}"
                types = (entry.file_type, kinds[entry.name])
                self._found.add(FIELD, "dir_entry_2.file_type", where, *types)


def _has_tree(inode: Inode) -> bool:
    """Return whether blocks outside the inode map its content."""
    if not inode.flags & EXT4_EXTENTS_FL:
        return not inode.is_device
    return bool(EXTENT_HEADER.number(inode.block_bytes, 0, "eh_depth"))


def _mapping(inode: Inode) -> tuple[list[FileExtent], list[int]]:
    """Return the runs, with contiguous extents merged, and the blocks of the extent tree or map."""
    runs: list[FileExtent] = []
    blocks: list[int] = []
    for item in islice(inode.mapping(), inode.image.mapped_blocks_most):
        if isinstance(item, TreeBlock):
            blocks.append(item.block)
            continue
        last = runs[-1] if runs else None
        if (
            last is not None
            and last.unwritten == item.unwritten
            and last.logical + last.length == item.logical
            and last.physical + last.length == item.physical
        ):
            runs[-1] = last._replace(length=last.length + item.length)
        else:
            runs.append(item)
    return runs, blocks


def _runs_text(runs: list[FileExtent]) -> str:
    parts = [
        f"{run.physical}-{run.physical + run.length - 1}" + (" unwritten" if run.unwritten else "")
        for run in runs[:_RUNS_SHOWN]
    ]
    if len(runs) > _RUNS_SHOWN:
        parts.append(f"and {len(runs) - _RUNS_SHOWN} more runs")
    return ", ".join(parts) or "none"


def _blocks_text(blocks: list[int]) -> str:
    more = f" and {len(blocks) - _RUNS_SHOWN} more" if len(blocks) > _RUNS_SHOWN else ""
    return (", ".join(map(str, blocks[:_RUNS_SHOWN])) or "none") + more
