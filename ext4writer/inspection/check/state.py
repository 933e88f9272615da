"""State shared by all passes of a check: problems, claimed blocks, and inodes in use."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property

from ...errors import DamageError
from ...ondisk.record import Record
from ...ondisk.superblock import EXT4_ROOT_INO, SUPERBLOCK, SUPERBLOCK_OFFSET
from ...progress import Cancel, check_cancelled
from ...read import Image, Inode
from ...read.orphans import orphans
from ..problems import Problem, of_damage

PROBLEMS_MAX = 10_000
"""The number of problems that are kept; further ones are only counted."""

METADATA = 0
"""The owner of blocks that belong to no inode."""


class Check:
    """One check of one image."""

    def __init__(self, image: Image, cancel: Cancel | None) -> None:
        self.image = image
        self.format = image.format
        self.block_size = image.block_size
        self.problems: list[Problem] = []
        self.counts: Counter[str] = Counter()
        """Code -> the number of problems."""
        self.errors = self.warnings = 0
        self.claims = Claims()
        self.inodes = InodesInUse()
        self.directories: list[int] = []
        """Inode numbers of all directories, ascending."""
        self.attribute_blocks: dict[int, list[int]] = {}
        """Block -> [number of inodes that share it, h_refcount, the first of these inodes]."""
        self.value_inodes: Counter[int] = Counter()
        """Inode that holds an attribute value -> the number of attributes that refer to it."""
        self.bad_table_blocks: set[int] = set()
        """Blocks of inode tables that are in the list of bad blocks."""
        self.lost_inodes = array("L")
        """Inodes in such blocks, ascending."""
        self.unhashed_values: set[int] = set()
        """Offsets in bytes of attributes with values in inodes as Lustre stored them.

        Such values are not charged to the inode."""
        self.usage: dict[tuple[str, int], list[int]] = {}
        """(kind of quota, id) -> [bytes, inodes, symlinks with inline data]; only with quota."""
        self.policies: dict[int, bytes] = {}
        """Encrypted inode -> its encryption policy."""
        self.wrong_sums: set[int] = set()
        """Offsets in bytes of the wrong checksums of group descriptors."""
        self.large_files = 0
        """The first file of 2 GiB or more, or 0."""
        self.is_partial = False
        """Whether inodes could not be read, so that bitmaps and counts cannot be compared."""
        self._cancel = cancel

    @cached_property
    def orphans(self) -> Mapping[int, int]:
        """Inode that recovery deletes or truncates -> ``i_dtime``, the next orphan in the list.

        Empty unless the journal was replayed.
        """
        return orphans(self.image) if self.image.is_replayed else {}

    @cached_property
    def special_inodes(self) -> dict[int, str]:
        """Inode that holds metadata -> ``journal``, ``quota`` or ``orphan file``."""
        image, fmt = self.image, self.format
        found: dict[int, str] = {}
        if fmt.has_journal and image.number("s_journal_inum"):
            found[image.number("s_journal_inum")] = "journal"
        for name in ("s_usr_quota_inum", "s_grp_quota_inum", "s_prj_quota_inum"):
            # lib/support/quotaio.h:quota_inum_is_super does not check the features.
            if image.number(name):
                found[image.number(name)] = "quota"
        if fmt.orphan_file and image.number("s_orphan_file_inum"):
            found[image.number("s_orphan_file_inum")] = "orphan file"
        return found

    def check_cancelled(self) -> None:
        check_cancelled(self._cancel)

    # -- what is wrong ---------------------------------------------------------------------------

    def add(self, problem: Problem) -> None:
        """Record a problem."""
        self.counts[problem.code] += 1
        if problem.code == "PR_0_GDT_CSUM" and problem.offset is not None:
            self.wrong_sums.add(problem.offset)
        if problem.is_warning:
            self.warnings += 1
        else:
            self.errors += 1
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(problem)

    def damage(self, error: DamageError) -> None:
        """Record an error of a reader as a problem."""
        if error.field == "i_size_high":
            return  # sizes are checked with the rest of the inode
        problem = of_damage(error)
        is_reserved = EXT4_ROOT_INO < (problem.ino or 0) < self.format.first_ino
        if is_reserved and problem.code == "PR_1_EXTRA_ISIZE":
            # The kernel does not read such an inode; e2fsck does not check the field.
            problem = problem._replace(code="RESERVED_EXTRA_ISIZE", is_warning=True)
        self.add(problem)

    def of_superblock(self, code: str, field: str, text: str, *, warn: bool = False) -> None:
        """Record a problem of the superblock."""
        offset = SUPERBLOCK_OFFSET + SUPERBLOCK.offset(field)
        self.add(Problem(code, "superblock", field, offset, text, is_warning=warn))

    def of_group(self, code: str, group: int, field: str, text: str) -> None:
        """Record a problem of a group descriptor."""
        record = self.image.desc_record
        offset = self.image.descriptor_offset(group) + record.offset(field)
        self.add(Problem(code, "group_desc", field, offset, f"of group {group} {text}"))

    def of_inode(self, code: str, inode: Inode, field: str, text: str) -> None:
        """Record a problem of an inode."""
        offset = inode.offset + inode.record.offset(field)
        self.add(Problem(code, "inode", field, offset, text, inode.ino))

    def of_record(
        self,
        code: str,
        record: Record,
        field: str,
        at: int,
        text: str,
        ino: int | None = None,
        *,
        warn: bool = False,
    ) -> None:
        """Record a problem of a structure that begins at byte ``at`` of the file system."""
        offset = at + record.offset(field)
        self.add(Problem(code, record.name, field, offset, text, ino, is_warning=warn))


class Claims:
    """Claimed blocks as columns: one row for each run, in the order of the claims."""

    def __init__(self) -> None:
        self.starts = array("Q")
        self.lengths = array("L")
        self.owners = array("L")

    def add(self, owner: int, start: int, length: int) -> None:
        """Claim ``length`` blocks starting at ``start`` for ``owner``."""
        self.starts.append(start)
        self.lengths.append(length)
        self.owners.append(owner)

    def sorted_rows(self) -> Iterator[tuple[int, int, int]]:
        """Yield (start, length, owner) by ascending start."""
        order = sorted(range(len(self.starts)), key=self.starts.__getitem__)
        starts, lengths, owners = self.starts, self.lengths, self.owners
        return ((starts[row], lengths[row], owners[row]) for row in order)


class InodesInUse:
    """The inodes in use, ascending, as columns."""

    def __init__(self) -> None:
        self.inos = array("L")
        self.types = bytearray()
        """The file type in ``i_mode``, shifted right by 12 (``DT_...``)."""
        self.links = array("H")
        """i_links_count."""
        self.names = array("L")
        """The number of directory entries that refer to the inode, including ``.`` and ``..``."""

    def add(self, ino: int, mode: int, links: int) -> None:
        self.inos.append(ino)
        self.types.append(mode >> 12)  # if_to_dt, without a call for each inode
        self.links.append(links)
        self.names.append(0)

    def find(self, ino: int) -> int:
        """Return the row of ``ino``; -1 if the inode is not in use."""
        inos = self.inos
        # Most inode tables have no gaps after inode 11, so a guess usually finds the row.
        if inos:
            guess = ino - inos[-1] + len(inos) - 1
            if 0 <= guess < len(inos) and inos[guess] == ino:
                return guess
        row = bisect_left(inos, ino)
        return row if row < len(inos) and inos[row] == ino else -1
