"""e2fsck as a judge that must find no problem at all.

Status 0 of ``e2fsck -fn`` is not enough: it may hide a wrong group checksum or free count. So every
problem in the problem log counts. No program checks the backups of the superblock and descriptors
on its own, so each is judged in turn. A repair of a copy may change only the superblock's record of
checks and mounts.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from . import raw
from .tools import run

Level = Literal["quick", "full"]

BACKUP_RUNS_MAX = 6
"""e2fsck runs with at most this many backups; the bytes of all are compared anyway."""

BACKUP_RUN_GROUPS_MAX = 2048
"""With more groups, a run with a backup takes minutes, because it reads every bitmap."""

REPAIRED = 1
"""The exit status of e2fsck if it changed something, such as a journal."""

ORPHAN_CLEARED = "0x000020"
ORPHANS = {ORPHAN_CLEARED, "0x06000c"}
"""e2fsck's codes for orphans that it deletes or truncates, and for their file, which it clears."""
ORPHAN_FILE_LEFT = {"0x06000c", "0x060009"}
"""The codes if the file is not cleared, and so cannot be taken for a new one."""

WRITTEN_BY_REPAIR = {
    "s_wtime": range(0x30, 0x34),
    "s_mnt_count": range(0x34, 0x36),
    "s_state": range(0x3A, 0x3C),
    "s_lastcheck": range(0x40, 0x44),
    "s_kbytes_written": range(0x178, 0x180),
    "s_wtime_hi": range(0x274, 0x275),
    "s_lastcheck_hi": range(0x277, 0x278),
    "s_checksum": range(0x3FC, 0x400),
}
"""The bytes that ``e2fsck -fy`` writes into the superblock of an image without faults."""

BG_FLAGS = range(0x12, 0x14)
BG_CHECKSUM = range(0x1E, 0x20)

BACKUP_DIFFERS = {
    "s_state": range(0x3A, 0x3C),
    "s_block_group_nr": range(0x5A, 0x5C),
    "s_checksum": range(0x3FC, 0x400),
}
"""Where a backup of the superblock differs from the first one, in images of mke2fs."""

TIME_OUT_OF_RANGE = "0x010082"
AFTER_2242 = 3 * (1 << 32) - 1
"""e2fsck 1.47.0 compares its low 32 bits with times in the superblock, so they are all ones."""
INODE_BITMAP_PADDING = "0x050001"
BLOCK_BITMAP_PADDING = "0x050002"
BLOCK_BITMAP_HEADER = "0x050003"
BLOCK_USED = "0x050005"
BLOCK_BITMAP_END = "0x050006"
INODE_BITMAP_HEADER = "0x050007"
INODE_BITMAP_END = "0x05000a"
FREE_BLOCKS_IN_GROUP = "0x05000e"
FREE_BLOCKS = "0x05000f"
BLOCK_RANGE_USED = "0x050015"
INODE_BITMAP_CHECKSUM = "0x05001a"
BLOCK_BITMAP_CHECKSUM = "0x05001b"

_PROBLEM = re.compile(r"<problem (.*?)/?>")
_ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Verdict:
    """The result of one run of e2fsck. ``found`` holds the attributes of each logged problem."""

    status: int
    found: list[dict[str, str]]
    output: str

    @property
    def problems(self) -> list[str]:
        """The problem codes in the log's order and form, such as ``0x010033``."""
        return [problem["code"] for problem in self.found]

    def __str__(self) -> str:
        lines = [f"exit status {self.status}", "problems: " + " ".join(self.problems)]
        return "\n".join([*lines, self.output]).encode("utf-8", "backslashreplace").decode()


def e2fsck(
    image: Path, *options: str, clock: int | None = None, journal_only: bool = False
) -> Verdict:
    """Run ``e2fsck -f`` with ``options`` and read its problem log.

    ``journal_only`` replays the journal and does nothing else. ``clock`` is the current time for
    e2fsck, in seconds, for images with times in the future. An external journal must be in the
    image's folder.
    """
    journal = raw.journal_beside(image)
    if journal is not None:
        options = (*options, "-j", str(journal.absolute()))
    # -f would check as well, and only the last of several -E counts.
    mode, extended = ([], "journal_only,") if journal_only else (["-f"], "")
    environment = {} if clock is None else {"E2FSCK_TIME": str(clock)}
    with tempfile.TemporaryDirectory(prefix="ext4writer-fsck-") as scratch:
        done = run(
            ["e2fsck", *mode, *options, "-E", f"{extended}problem_log=log.xml", image.absolute()],
            check=False,
            cwd=scratch,
            environment=environment,
        )
        log = Path(scratch, "log.xml")
        text = log.read_text("utf-8", "surrogateescape") if log.exists() else ""
    found = [dict(_ATTRIBUTE.findall(problem)) for problem in _PROBLEM.findall(text)]
    return Verdict(done.returncode, found, done.stdout)


def problems(image: Path, *, clock: int | None = None) -> list[str]:
    """The problem codes that ``e2fsck -fn`` logs, for images that are damaged on purpose.

    The code ``fatal`` is appended if e2fsck gave up.
    """
    verdict = e2fsck(image, "-n", clock=clock)
    return verdict.problems + (["fatal"] if verdict.status >= 8 else [])


def judge(
    image: Path,
    level: Level = "quick",
    *,
    backups: bool | None = None,
    repair: bool | None = None,
    clock: int | None = None,
) -> None:
    """Assert that e2fsck finds nothing.

    ``quick`` is one run of ``e2fsck -fn``. ``full`` also judges the backups and repairs a copy. It
    is only for freshly written images, because the kernel does not keep the backups up to date.
    """
    full = level == "full"
    if raw.waits_for_recovery(image):
        assert_recovers(image, clock=clock, repair=full if repair is None else repair)
        return
    clock = assert_clean(image, clock=clock)
    if full if backups is None else backups:
        judge_backups(image, clock=clock)
    if full if repair is None else repair:
        assert_repair_is_idle(image, clock=clock)


def assert_recovers(image: Path, *, clock: int | None = None, repair: bool = True) -> None:
    """Assert that recovery alone makes an image clean, and that a repair then finds nothing.

    Only this function judges images that need recovery: before recovery, ``e2fsck -fn`` merely says
    so and reads outdated metadata. Orphans are no fault, though e2fsck logs each one that it
    clears. ``repair=False`` is for layouts that a repair changes, such as long directories without
    an index.
    """
    for journal_only, excused in ((True, {ORPHAN_CLEARED}), (False, ORPHANS)):
        if not (journal_only or repair):
            continue
        with _copy_of(image) as copy:
            verdict = e2fsck(copy, "-y", clock=clock, journal_only=journal_only)
            if verdict.status not in (0, REPAIRED) or not set(verdict.problems) <= excused:
                raise AssertionError(f"e2fsck -y {image.name}, {journal_only=}: {verdict}")
            if raw.has_orphan_file_entries(copy):
                # 1.47.0 removes orphans only after a complete check.
                assert journal_only
                left = e2fsck(copy, "-n", clock=clock)
                assert set(left.problems) <= ORPHAN_FILE_LEFT, left
                continue
            assert_clean(copy, clock=clock)


@contextmanager
def _copy_of(image: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ext4writer-repair-", dir=image.parent) as scratch:
        copy = Path(scratch, "copy")
        run(["cp", "--sparse=always", "--reflink=auto", image, copy])
        yield copy


def assert_clean(image: Path, *, clock: int | None = None) -> int | None:
    """Assert that ``e2fsck -fn`` ends with 0 and logs no problem; return the clock that it used.

    Until 2242, e2fsck takes times after 2310 for times before 1970 that a kernel stored wrongly
    (e2fsck/pass1.c:check_inode_extra_space). With a later clock it accepts them.
    """
    verdict = e2fsck(image, "-n", clock=clock)
    if clock is None and set(verdict.problems) == {TIME_OUT_OF_RANGE}:
        clock = AFTER_2242
        verdict = e2fsck(image, "-n", clock=clock)
    if verdict.status or verdict.problems:
        raise AssertionError(f"e2fsck -fn {image.name}: {verdict}")
    return clock


def judge_bytes(data: bytes | bytearray, level: Level = "quick") -> None:
    """:func:`judge` an image in memory."""
    with tempfile.TemporaryDirectory(prefix="ext4writer-fsck-") as scratch:
        image = Path(scratch, "image")
        write_sparse(image, data)
        judge(image, level)


def write_sparse(path: Path, data: bytes | bytearray, block: int = 1 << 16) -> None:
    """Write ``data`` to ``path`` with holes for blocks of zeros."""
    zeros = bytes(block)
    with open(path, "wb") as file:
        for start in range(0, len(data), block):
            piece = data[start : start + block]
            if piece != zeros[: len(piece)]:
                file.seek(start)
                file.write(piece)
        file.truncate(len(data))


def judge_backups(image: Path, *, clock: int | None = None) -> None:
    """Assert that each copy of superblock and descriptors equals the first, and is usable."""
    with open(image, "rb") as file:
        superblock = raw.read_superblock(file)
        flags = raw.group_flags(file, superblock)
        _compare_superblocks(image, superblock)
        _compare_descriptors(image, superblock)
    groups = [group for group in superblock.backup_groups() if superblock.describes_all(group)]
    if superblock.group_count > BACKUP_RUN_GROUPS_MAX:
        return
    if len(groups) > BACKUP_RUNS_MAX:
        half = BACKUP_RUNS_MAX // 2
        groups = groups[:half] + groups[-half:]
    for group in groups:
        block = superblock.group_start(group)
        options = ("-n", "-b", str(block), "-B", str(superblock.block_size))
        verdict = e2fsck(image, *options, clock=clock)
        unexplained = list(_unexplained(verdict, superblock, flags))
        if unexplained or verdict.status not in (0, 4) or (verdict.status and not verdict.found):
            raise AssertionError(
                f"e2fsck -f {' '.join(options)} {image.name}: {unexplained}\n{verdict}"
            )


def _compare_superblocks(image: Path, superblock: raw.Superblock) -> None:
    may_differ = {byte for field in BACKUP_DIFFERS.values() for byte in field}
    with open(image, "rb") as file:
        for group in superblock.backup_groups():
            offset = superblock.group_start(group) * superblock.block_size
            copy = raw.read_superblock(file, offset)
            wrong = [
                hex(index)
                for index, (byte, other) in enumerate(zip(superblock.data, copy.data, strict=True))
                if byte != other and index not in may_differ
            ]
            assert not wrong, f"superblock of group {group} differs at {wrong}"
            assert copy.u16(0x5A) == min(group, 0xFFFF), f"s_block_group_nr of group {group}"
            if superblock.feature_ro_compat & raw.RO_COMPAT_METADATA_CSUM:
                expected = raw.crc32c(copy.data[:0x3FC])
                assert copy.u32(0x3FC) == expected, f"s_checksum of group {group}'s superblock"


def _compare_descriptors(image: Path, superblock: raw.Superblock) -> None:
    size = superblock.block_size
    with open(image, "rb") as file:
        for first, count, places in superblock.descriptor_copies():
            copies = []
            for place in places:
                file.seek(place * size)
                copies.append(file.read(count * size))
            for place, copy in zip(places, copies, strict=True):
                assert copy == copies[0], (
                    f"the copy at block {place} differs from the descriptors at block {first}"
                )


def _unexplained(
    verdict: Verdict, superblock: raw.Superblock, flags: list[int]
) -> Iterable[dict[str, str]]:
    """The problems that a good image does not have when e2fsck starts from a backup.

    e2fsck then ignores that groups are uninitialised, and reads bitmaps that were never written.
    The resulting problems concern only these groups, and are ignored.
    """
    block_uninit = {g for g, flag in enumerate(flags) if flag & raw.BG_BLOCK_UNINIT}
    inode_uninit = {g for g, flag in enumerate(flags) if flag & raw.BG_INODE_UNINIT}
    for problem in verdict.found:
        code = problem["code"]
        group = int(problem.get("group", "0"))
        if code in (BLOCK_USED, BLOCK_RANGE_USED):
            first, last = (
                (int(problem[name]) - superblock.first_data_block) // superblock.blocks_per_group
                for name in ("blk", "blk2" if "blk2" in problem else "blk")
            )
            excused = set(range(first, last + 1)) <= block_uninit
        elif code in (FREE_BLOCKS_IN_GROUP, BLOCK_BITMAP_CHECKSUM):
            excused = group in block_uninit
        elif code in (
            *(FREE_BLOCKS, BLOCK_BITMAP_PADDING),
            *(BLOCK_BITMAP_HEADER, BLOCK_BITMAP_END),
        ):
            excused = bool(block_uninit)
        elif code == INODE_BITMAP_CHECKSUM:
            excused = group in inode_uninit
        elif code in (INODE_BITMAP_PADDING, INODE_BITMAP_HEADER, INODE_BITMAP_END):
            excused = bool(inode_uninit)
        else:
            excused = False
        if not excused:
            yield problem


def assert_repair_is_idle(image: Path, *, clock: int | None = None) -> None:
    """Assert that ``e2fsck -fy`` on a copy changes only the superblock's record of checks.

    Without logging it, e2fsck also marks groups without inodes INODE_UNINIT. The mark is optional:
    kernels clear it with the first inode, and never set it again.
    """
    allowed = {raw.SUPERBLOCK_AT + byte for field in WRITTEN_BY_REPAIR.values() for byte in field}
    with _copy_of(image) as copy:
        verdict = e2fsck(copy, "-y", clock=clock)
        allowed |= _marked_uninit(image, copy)
        changed = [byte for byte in raw.differing_bytes(image, copy) if byte not in allowed]
    if verdict.status or changed:
        shown = " ".join(hex(byte) for byte in changed[:40])
        raise AssertionError(
            f"e2fsck -fy changed {len(changed)} bytes of {image.name}: {shown}\n{verdict}"
        )


def _marked_uninit(image: Path, copy: Path) -> set[int]:
    """The offsets of the flags and checksums of groups that became INODE_UNINIT."""
    with open(image, "rb") as before, open(copy, "rb") as after:
        superblock = raw.read_superblock(before)
        flags, others = raw.group_flags(before, superblock), raw.group_flags(after, superblock)
        found = set()
        for first, count, places in superblock.descriptor_copies():
            per_block = superblock.block_size // superblock.descriptor_size
            for group in range(first * per_block, (first + count) * per_block):
                if group < len(flags) and others[group] == flags[group] | raw.BG_INODE_UNINIT:
                    at = places[0] * superblock.block_size
                    at += (group - first * per_block) * superblock.descriptor_size
                    found |= {at + byte for byte in (*BG_FLAGS, *BG_CHECKSUM)}
        return found
