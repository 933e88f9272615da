"""Compare a mounted file system with its source, entry by entry and byte by byte."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from ext4writer import Device, Directory, Node, RegularFile, Spec, Symlink, Tree
from ext4writer.content import Content

from .raw import data_ranges

LOST_AND_FOUND = b"lost+found"
LINKS_MAX = 65000
NANOSECONDS = 10**9

# Documentation/filesystems/ext4/inodes.rst, "Inode Timestamps".
TIME_MIN = -(1 << 31)
TIME_MAX = (1 << 34) + TIME_MIN - 1
TIME_MAX_SMALL_INODE = (1 << 31) - 1

DIFFERENCES_SHOWN = 20
CHUNK = 1 << 20


class Differences:
    """Collects all differences, so a failure shows more than the first one."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def check(self, path: bytes, what: str, found: object, expected: object) -> None:
        if found != expected:
            self.add(path, f"{what} is {_short(found)}, expected {_short(expected)}")

    def add(self, path: bytes, problem: str) -> None:
        self._lines.append(f"{path!r}: {problem}")

    def raise_if_any(self) -> None:
        if self._lines:
            shown = self._lines[:DIFFERENCES_SHOWN]
            raise AssertionError(f"{len(self._lines)} differences\n" + "\n".join(shown))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:150]}... ({len(text)} characters)"


def fitted_time(time_ns: int, spec: Spec) -> int:
    """The time that an image of ``spec`` stores for ``time_ns``.

    Times later than ``spec``'s epoch become the epoch. Times that an inode cannot hold become the
    nearest that it can. Inodes of 128 bytes store whole seconds.
    """
    small = spec.inode_size == 128
    highest = TIME_MAX_SMALL_INODE * NANOSECONDS
    if not small:
        highest = TIME_MAX * NANOSECONDS + NANOSECONDS - 1
    if spec.epoch is not None:
        highest = min(highest, spec.epoch * NANOSECONDS)
    time_ns = max(TIME_MIN * NANOSECONDS, min(time_ns, highest))
    return time_ns // NANOSECONDS * NANOSECONDS if small else time_ns


def assert_tree_equal(
    tree: Tree,
    root: Path,
    spec: Spec | None = None,
    *,
    content: bool = True,
    holes: bool = False,
) -> None:
    """Assert that the file system mounted at ``root`` equals ``tree``, written with ``spec``.

    ``content=False`` skips the bytes of files. ``holes`` also compares which of their blocks are
    holes. Creation times are not compared; see :func:`tests.judges.debugfs.inode`.
    """
    comparison = _TreeComparison(tree, spec or Spec(), content, holes)
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        comparison.directory(fd, b"/", tree.root)
    finally:
        os.close(fd)
    comparison.differences.raise_if_any()


class _TreeComparison:
    def __init__(self, tree: Tree, spec: Spec, content: bool, holes: bool) -> None:
        self.differences = Differences()
        self._spec = spec
        self._content = content
        self._holes = holes
        self._adds_lost_and_found = spec.lost_and_found and LOST_AND_FOUND not in tree.root.children
        self._names: dict[int, int] = {}
        for _, node in tree.walk():
            self._names[id(node)] = self._names.get(id(node), 0) + 1
        self._ino_of: dict[int, int] = {}
        self._node_of: dict[int, bytes] = {}

    def directory(self, fd: int, path: bytes, node: Directory) -> None:
        """Compare an open directory and everything below it."""
        self._entry(os.fstat(fd), b"/proc/self/fd/%d" % fd, path, node, follow=True)
        found = {os.fsencode(name) for name in os.listdir(fd)}
        if path == b"/" and self._adds_lost_and_found:
            self._check_lost_and_found(fd, found)
            found.discard(LOST_AND_FOUND)
        prefix = path.rstrip(b"/") + b"/"
        for name in sorted(found - node.children.keys()):
            self.differences.add(prefix + name, "is in the image and not in the tree")
        for name in sorted(node.children):
            child, below = node.children[name], prefix + name
            try:
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except OSError as error:
                self.differences.add(below, f"cannot be found: {error.strerror}")
                continue
            if name not in found:
                self.differences.add(below, "can be looked up and is not listed")
            if stat.S_IFMT(status.st_mode) != child.file_type:
                kinds = oct(stat.S_IFMT(status.st_mode)), oct(child.file_type)
                self.differences.check(below, "kind", *kinds)
            elif isinstance(child, Directory):
                inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
                try:
                    self.directory(inner, below, child)
                finally:
                    os.close(inner)
            else:
                self._entry(status, b"/proc/self/fd/%d/%b" % (fd, name), below, child)

    def _check_lost_and_found(self, fd: int, found: set[bytes]) -> None:
        if LOST_AND_FOUND not in found:
            self.differences.add(b"/lost+found", "is missing")
            return
        status = os.stat(LOST_AND_FOUND, dir_fd=fd, follow_symlinks=False)
        self.differences.check(b"/lost+found", "mode", oct(status.st_mode), oct(0o40700))

    def _entry(
        self, status: os.stat_result, place: bytes, path: bytes, node: Node, follow: bool = False
    ) -> None:
        check = self.differences.check
        check(path, "mode", oct(stat.S_IMODE(status.st_mode)), oct(node.mode))
        check(path, "uid", status.st_uid, node.uid)
        check(path, "gid", status.st_gid, node.gid)
        check(path, "number of links", status.st_nlink, self._links(path, node))
        self._times(status, path, node)
        self._identity(status, path, node)
        check(path, "xattrs", read_xattrs(place, follow=follow), visible_xattrs(node))
        if isinstance(node, Device):
            numbers = os.major(status.st_rdev), os.minor(status.st_rdev)
            check(path, "device number", numbers, (node.major, node.minor))
        elif isinstance(node, Symlink):
            check(path, "target", os.readlink(place), node.target)
            check(path, "size", status.st_size, len(node.target))
        elif isinstance(node, RegularFile):
            check(path, "size", status.st_size, node.content.size)
            if self._content and status.st_size == node.content.size:
                self._bytes(place, path, node.content)

    def _links(self, path: bytes, node: Node) -> int:
        if not isinstance(node, Directory):
            return self._names[id(node)]
        subdirectories = sum(isinstance(child, Directory) for child in node.children.values())
        if path == b"/" and self._adds_lost_and_found:
            subdirectories += 1
        return subdirectories + 2 if subdirectories + 2 <= LINKS_MAX else 1

    def _times(self, status: os.stat_result, path: bytes, node: Node) -> None:
        wanted = {
            "mtime": (status.st_mtime_ns, node.mtime_ns),
            "atime": (status.st_atime_ns, node.atime_ns),
            "ctime": (status.st_ctime_ns, node.ctime_ns),
        }
        for name, (found, time_ns) in wanted.items():
            time_ns = node.mtime_ns if time_ns is None else time_ns
            self.differences.check(path, name, found, fitted_time(time_ns, self._spec))

    def _identity(self, status: os.stat_result, path: bytes, node: Node) -> None:
        """Compare inode numbers: two are equal exactly if their nodes are the same."""
        ino = self._ino_of.setdefault(id(node), status.st_ino)
        self.differences.check(path, "inode", status.st_ino, ino)
        owner = self._node_of.setdefault(status.st_ino, path)
        if owner != path and self._names[id(node)] == 1:
            self.differences.add(path, f"shares its inode with {owner!r}")

    def _bytes(self, place: bytes, path: bytes, content: Content) -> None:
        fd = os.open(place, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            at = first_difference(fd, content)
            if at is not None:
                self.differences.add(path, f"content differs from byte {at} on")
            if self._holes:
                self._check_holes(fd, path, content)
        finally:
            os.close(fd)

    def _check_holes(self, fd: int, path: bytes, content: Content) -> None:
        with os.fdopen(os.dup(fd), "rb", buffering=0) as file:
            found = list(data_ranges(file, content.size))
        self.differences.check(path, "data", found, expected_data(content, self._spec))


def visible_xattrs(node: Node) -> dict[bytes, bytes]:
    """The attributes of a node that the kernel shows: ``user.`` only on files and directories."""
    return {
        name: value
        for name, value in (node.xattrs or {}).items()
        if isinstance(node, RegularFile | Directory) or not name.startswith(b"user.")
    }


def read_xattrs(path: bytes, *, follow: bool = False) -> dict[bytes, bytes]:
    """All attributes that the kernel returns for ``path``."""
    return {
        os.fsencode(name): os.getxattr(path, name, follow_symlinks=follow)
        for name in os.listxattr(path, follow_symlinks=follow)
    }


def first_difference(fd: int, content: Content) -> int | None:
    """The offset at which the open file ``fd`` differs from ``content``, or None.

    Ranges that are holes in both are not read.
    """
    reader = content.open()
    try:
        if reader.fd is None:
            return _first_difference(fd, reader.readinto, [(0, content.size)])
        source_fd, base = reader.fd, reader.fd_offset
        with (
            os.fdopen(os.dup(fd), "rb", buffering=0) as image_file,
            os.fdopen(os.dup(source_fd), "rb", buffering=0) as source,
        ):
            ranges = sorted(
                [
                    *data_ranges(image_file, content.size),
                    *(
                        (max(0, start - base), end - base)
                        for start, end in data_ranges(source, base + content.size)
                        if end > base
                    ),
                ]
            )

        def read_source(view: memoryview, offset: int) -> int:
            return os.preadv(source_fd, [view], base + offset)

        return _first_difference(fd, read_source, ranges)
    finally:
        reader.close()


def _first_difference(
    fd: int, readinto: Callable[[memoryview, int], int], ranges: list[tuple[int, int]]
) -> int | None:
    buffer = memoryview(bytearray(CHUNK))
    seen_to = 0
    for range_start, end in ranges:
        start = max(range_start, seen_to)
        while start < end:
            wanted = min(CHUNK, end - start)
            filled = 0
            while filled < wanted:
                count = readinto(buffer[filled:wanted], start + filled)
                if not count:
                    return start + filled
                filled += count
            piece = os.pread(fd, wanted, start)
            if piece != buffer[:wanted]:
                return start + _mismatch(piece, bytes(buffer[:wanted]))
            start += wanted
        seen_to = max(seen_to, end)
    return None


def _mismatch(first: bytes, second: bytes) -> int:
    for index, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return index
    return min(len(first), len(second))


def expected_data(content: Content, spec: Spec) -> list[tuple[int, int]]:
    """The (start, end) in bytes of each data range of ``content`` in an image of ``spec``.

    A run of zero blocks becomes a hole if it has at least ``spec.hole_size`` bytes. In files of up
    to 512 KiB that could hold such a run, every block of zeros does. The last block is padded with
    zeros. The first block is not part of a run unless ``spec.leading_hole``.
    """
    size, block_size = content.size, spec.block_size
    blocks = -(-size // block_size)
    least = -(-spec.hole_size // block_size)
    if size <= 512 * 1024 and blocks - (not spec.leading_hole) >= least > 0:
        least = 1
    data = bytearray(blocks * block_size)
    content.read_whole(memoryview(data)[:size])
    zeros = bytes(block_size)
    is_data = [
        data[at * block_size : (at + 1) * block_size] != zeros
        or (at == 0 and not spec.leading_hole)
        for at in range(blocks)
    ]
    for start, end in _runs(is_data, False):
        if not least or end - start < least:
            is_data[start:end] = [True] * (end - start)
    return [
        (start * block_size, min(end * block_size, size)) for start, end in _runs(is_data, True)
    ]


def _runs(flags: list[bool], wanted: bool) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(flags):
        end = start
        while end < len(flags) and flags[end] == flags[start]:
            end += 1
        if flags[start] == wanted:
            yield start, end
        start = end


def assert_dirs_equal(
    source: Path,
    mounted: Path,
    *,
    owners: bool = True,
    mtimes: bool = True,
    xattrs: bool = True,
    root: bool = True,
    ignore: frozenset[bytes] = frozenset({LOST_AND_FOUND}),
) -> None:
    """Assert that two real directories are equal: names, kinds, metadata, links and bytes.

    This is meant for large trees: it stops after twenty differences. ``ignore`` lists names at the
    top of ``mounted`` that ``source`` may lack. ``root=False`` skips the metadata of the two
    directories themselves.
    """
    comparison = _DirectoryComparison(owners, mtimes, xattrs)
    one, other = os.fsencode(source), os.fsencode(mounted)
    if root:
        comparison.entry(one, other, os.lstat(one), os.lstat(other))
    comparison.directory(one, other, ignore)
    comparison.differences.raise_if_any()


class _DirectoryComparison:
    def __init__(self, owners: bool, mtimes: bool, xattrs: bool) -> None:
        self.differences = Differences()
        self._owners = owners
        self._mtimes = mtimes
        self._xattrs = xattrs
        self._linked: dict[tuple[int, int], int] = {}
        self._linked_back: dict[int, tuple[int, int]] = {}

    def directory(self, source: bytes, mounted: bytes, ignore: frozenset[bytes]) -> None:
        stack = [(source, mounted, ignore)]
        while stack:
            one, other, ignored = stack.pop()
            names = sorted(os.listdir(one))
            found = sorted(os.listdir(other))
            if names != found:
                lost = set(names) - set(found)
                more = set(found) - set(names) - ignored
                for name in sorted(lost):
                    self.differences.add(one + b"/" + name, "is missing in the image")
                for name in sorted(more):
                    self.differences.add(other + b"/" + name, "is in the image only")
                names = [name for name in names if name not in lost]
            for name in names:
                left, right = one + b"/" + name, other + b"/" + name
                status, image_status = os.lstat(left), os.lstat(right)
                if self.entry(left, right, status, image_status):
                    stack.append((left, right, frozenset()))

    def entry(
        self, source: bytes, mounted: bytes, one: os.stat_result, other: os.stat_result
    ) -> bool:
        """Compare one entry; True for a directory on both sides."""
        check = self.differences.check
        check(source, "mode", oct(other.st_mode), oct(one.st_mode))
        if one.st_mode != other.st_mode and stat.S_IFMT(one.st_mode) != stat.S_IFMT(other.st_mode):
            return False
        if self._owners:
            check(source, "owner", (other.st_uid, other.st_gid), (one.st_uid, one.st_gid))
        if self._mtimes:
            check(source, "mtime", other.st_mtime_ns, one.st_mtime_ns)
        if self._xattrs:
            check(source, "xattrs", read_xattrs(mounted), read_xattrs(source))
        if stat.S_ISDIR(one.st_mode):
            return True
        self._links(source, one, other)
        if stat.S_ISREG(one.st_mode):
            self._bytes(source, mounted, one, other)
        elif stat.S_ISLNK(one.st_mode):
            check(source, "target", os.readlink(mounted), os.readlink(source))
        else:
            check(source, "device number", other.st_rdev, one.st_rdev)
        return False

    def _links(self, path: bytes, one: os.stat_result, other: os.stat_result) -> None:
        """Compare hard links, among the names in the tree only."""
        key = one.st_dev, one.st_ino
        self.differences.check(
            path, "inode", other.st_ino, self._linked.setdefault(key, other.st_ino)
        )
        back = self._linked_back.setdefault(other.st_ino, key)
        if back != key:
            self.differences.add(path, "shares its inode with a file that is another one")

    def _bytes(
        self, source: bytes, mounted: bytes, one: os.stat_result, other: os.stat_result
    ) -> None:
        self.differences.check(source, "size", other.st_size, one.st_size)
        if one.st_size != other.st_size or not one.st_size:
            return
        left = os.open(source, os.O_RDONLY)
        right = os.open(mounted, os.O_RDONLY)
        try:
            offset = 0
            while offset < one.st_size:
                first, second = os.read(left, CHUNK), os.read(right, CHUNK)
                if first != second or not first:
                    at = offset + _mismatch(first, second)
                    self.differences.add(source, f"content differs from byte {at} on")
                    return
                offset += len(first)
        finally:
            os.close(left)
            os.close(right)
