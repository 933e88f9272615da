"""The files of zeros, with blocks allocated, that ``make_hugefiles`` of mke2fs.conf(5) requests.

Rules: e2fsprogs misc/mk_hugefiles.c. Sizes and counts are in blocks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ext4writer.arithmetic import ceil_div, round_up
from ext4writer.bits import log2
from ext4writer.late_dataclasses import NamedTuple
from ext4writer.nodes import S_IFREG
from ext4writer.ondisk.superblock import EXT4_MIN_BLOCK_LOG_SIZE
from ext4writer.planning.contents import LARGE_FILE_BYTES
from ext4writer.planning.hints import Hints, Place
from ext4writer.planning.policy import LayoutPolicy
from ext4writer.zeros_content import ZerosContent

from .numbers import parse_num_blocks
from .refusal import Refusal

if TYPE_CHECKING:
    from ext4writer import Layout, Tree

    from .geometry import Geometry
    from .settings import Settings
    from .target import Target

EXTENT_MOST = 1 << 15
"""Blocks of the longest extent (EXT_INIT_MAX_LEN)."""
EXTENTS_IN_INODE = 4
HEADER_BYTES = 12
"""Size of the header of an extent tree node, and of each of its entries."""

Span = tuple[int, int]
"""(First block, end)."""
Run = tuple[int, int, int]
"""(First logical block, number of blocks, first physical block)."""


class NoHugeFilesError(Exception):
    """These files cannot be created, for the reason in the message.

    mke2fs then makes the file system without them and exits with status 0.
    """


class FilesRequest(NamedTuple):
    """The files that the configuration requests."""

    folder: bytes
    prefix: bytes
    digits: int
    owner: tuple[int, int]
    umask: int
    number: int
    """How many files; 0 for as many as fit."""
    size: int
    """Of each file; 0 divides the free blocks among the files."""
    slack: int
    """Blocks to leave free."""
    align: int
    """Alignment on the disk; 0 for none."""
    partition_start: int

    def folders(self) -> list[bytes]:
        """The paths of the folder of the files and its parents, from the top down."""
        names = list(filter(None, self.folder.split(b"/")))
        return [b"/" + b"/".join(names[:end]) for end in range(1, len(names) + 1)]


class HugeFiles(NamedTuple):
    """The files to create."""

    wanted: FilesRequest
    size: int
    """Of each file, as mke2fs prints it; 0 if a single file fills the free blocks."""
    runs: list[list[Run]]
    """For each file, at least one run."""
    is_large: bool
    """Whether the feature large_file is needed."""

    def announcement(self) -> str:
        """The line that mke2fs prints without -q."""
        each = f"with {self.size} blocks each" if self.size else ""
        return f"Creating {len(self.runs)} huge file(s) {each}: done\n"

    def names(self) -> list[bytes]:
        """The names in their folder, in the order of :attr:`runs`."""
        wanted, count = self.wanted, len(self.runs)
        if wanted.digits:
            return [wanted.prefix + b"%0*d" % (wanted.digits, number) for number in range(count)]
        if count > 1:
            return [wanted.prefix + b"%d" % number for number in range(count)]
        return [wanted.prefix]


class LinearDirectories(LayoutPolicy):
    """The default layout, but with as many directory blocks as mke2fs expects.

    An htree index would need one more block, and the files may leave none.
    """

    def indexed(self, blocks: int) -> bool:  # noqa: ARG002
        return False


def wanted_files(settings: Settings, target: Target) -> FilesRequest:
    """Read the configuration of these files.

    Raises :class:`NoHugeFilesError` if the file system has no extents, and :class:`Refusal` if the
    partition is not aligned to clusters.
    """
    profile, types = settings.profile, settings.types
    if not settings.numbers.format.extent:
        raise NoHugeFilesError("Operation not supported for inodes containing extents")
    log = log2(settings.block_size) - EXT4_MIN_BLOCK_LOG_SIZE

    def number(name: str, default: int = 0) -> int:
        return max(0, profile.int_for(types, name, default))

    def blocks(name: str, default: str) -> int:
        return parse_num_blocks(profile.text_for(types, name, default) or "", log)

    start = 0
    if profile.bool_for(types, "hugefiles_align_disk", False):
        start = target.partition_start() // (settings.block_size // 512)
        ratio = settings.numbers.format.blocks_per_cluster
        if start % ratio:
            raise Refusal(
                f"Partition offset of {start} ({settings.block_size}k) blocks not compatible with "
                f"cluster size {settings.numbers.format.cluster_size}.\n"
            )
    align = blocks("hugefiles_align", "0")
    return FilesRequest(
        os.fsencode(profile.text_for(types, "hugefiles_dir", "/") or "/"),
        os.fsencode(profile.text_for(types, "hugefiles_name", "hugefile") or ""),
        number("hugefiles_digits", 5),
        (number("hugefiles_uid"), number("hugefiles_gid")),
        number("hugefiles_umask", 0o77),
        number("num_hugefiles"),
        _aligned(blocks("hugefiles_size", "0"), align),
        blocks("hugefiles_slack", "1M"),
        align,
        start,
    )


def _aligned(block: int, align: int, partition_start: int = 0) -> int:
    """The first block, not before ``block``, that is aligned on the disk."""
    if not align:
        return block
    start = partition_start % align
    return round_up(block + start, align) - start


def arranged(wanted: FilesRequest, layout: Layout) -> HugeFiles:
    """Choose size, number and blocks of the files in the free blocks of ``layout``.

    Raises :class:`NoHugeFilesError` if they do not fit.
    """
    block_size = layout.block_size
    free = [(first // block_size, end // block_size) for first, end in layout.unused]
    total = sum(end - first for first, end in free)
    room = total - wanted.slack - wanted.align
    count, size, slack = wanted.number, wanted.size, wanted.slack
    if room < 0 or size > room:
        raise _no_room(f"{wanted.slack + wanted.align + size} blocks are needed, {total} are free")
    if not size and not count:
        count = 1
    if not count:
        count = room // size
        room -= count // 16 + 1 + _tree_blocks(size, block_size) * count
        count = max(0, room) // size
    elif not size and count > 1:
        size = room // count
        room -= count // 16 + 1 + _tree_blocks(size, block_size) * count
        size = max(0, room) // count
    # Blocks for extent trees and directory entries.
    slack += _tree_blocks(size or room, block_size) * count + count // 16 + 1
    start = _aligned(_after(free, slack), wanted.align, wanted.partition_start)
    rest = [(max(first, start), end) for first, end in free if end > start]
    if size:
        runs = list(_cut_runs(rest, size, count))
        if len(runs) < count:
            raise _no_room(f"only {len(runs)} of {count} files fit")
    else:
        runs = list(_cut_runs(rest, max(1, sum(end - first for first, end in rest)), count))
        if not runs:
            raise _no_room("all blocks are in use")
    return HugeFiles(wanted, size, runs, (size or room) * block_size > LARGE_FILE_BYTES)


def _no_room(why: str) -> NoHugeFilesError:
    return NoHugeFilesError(f"No space left on device ({why})")


def _tree_blocks(size: int, block_size: int) -> int:
    """Blocks that mke2fs reserves for the extent tree of a file of ``size`` blocks (calc_overhead).

    It assumes that nodes are half full.
    """
    count = ceil_div(size, EXTENT_MOST)
    if count <= EXTENTS_IN_INODE:
        return 0
    per_node = (block_size - HEADER_BYTES) // HEADER_BYTES // 2 - 1
    found = 0
    for _ in range(4):
        count = ceil_div(count, per_node)
        found += count
    return found


def _after(free: Iterable[Span], slack: int) -> int:
    """The first block that has ``slack`` free blocks before it (get_start_block)."""
    end = 0
    for first, end in free:
        if end - first > slack:
            return first + slack
        slack -= end - first
    return end


def _cut_runs(free: Iterable[Span], size: int, count: int) -> Iterator[list[Run]]:
    """Yield the runs of up to ``count`` files of ``size`` blocks, filling ``free`` in order."""
    runs: list[Run] = []
    done = 0
    for first, end in free:
        while first < end:
            if count <= 0:
                return
            length = min(size - done, end - first)
            runs.append((done, length, first))
            done += length
            first += length
            if done == size:
                yield runs
                runs, done, count = [], 0, count - 1


def add_folders(tree: Tree, wanted: FilesRequest, mtime_ns: int) -> None:
    """Add the missing folders of the files to ``tree``."""
    uid, gid = wanted.owner
    for folder in wanted.folders():
        if folder not in tree:
            mode = 0o777 & ~wanted.umask
            tree.directory(folder, mode=mode, uid=uid, gid=gid, mtime_ns=mtime_ns)


def add_files(
    tree: Tree, files: HugeFiles, block_size: int, mtime_ns: int
) -> dict[bytes, list[Run]]:
    """Add the files and their folders to ``tree``; return path -> runs of the file.

    Raises ``TreeError`` if something else has one of the names.
    """
    wanted = files.wanted
    add_folders(tree, wanted, mtime_ns)
    uid, gid = wanted.owner
    folder = b"".join(wanted.folders()[-1:])
    mode = 0o666 & ~wanted.umask
    found: dict[bytes, list[Run]] = {}
    for name, runs in zip(files.names(), files.runs, strict=True):
        path, blocks = folder + b"/" + name, sum(length for _, length, _ in runs)
        content = ZerosContent(blocks * block_size)
        tree.file(path, content, mode=mode, uid=uid, gid=gid, mtime_ns=mtime_ns)
        found[path] = runs
    return found


def hints(
    wanted: FilesRequest, runs: dict[bytes, list[Run]], layout: Layout, numbers: Geometry
) -> Hints:
    """Hints that put the files into the given runs and keep geometry and UUIDs of ``layout``."""
    fmt = numbers.format
    first_ino = fmt.first_ino + 1 + len(wanted.folders())
    return Hints(
        block_size=fmt.block_size,
        blocks_per_cluster=fmt.blocks_per_cluster,
        size=layout.size_bytes,
        blocks_per_group=fmt.blocks_per_group,
        inodes_per_group=numbers.inodes_per_group,
        reserved_gdt_blocks=numbers.reserved_gdt_blocks,
        uuid=layout.uuid,
        hash_seed=layout.hash_seed,
        files={
            path: Place(number, S_IFREG, tuple(some))
            for number, (path, some) in enumerate(runs.items(), first_ino)
        },
        system={},
    )
