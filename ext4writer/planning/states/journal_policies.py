"""Policies that leave a journal to recover."""

from __future__ import annotations

from ..random_policy import SeededPolicy
from .journal import (
    FAST_CHANGES,
    SEQUENCES,
    VERSIONS,
    FastChange,
    FastChangeKind,
    FastFile,
    JournalBlock,
    JournalChecksum,
    JournalRoom,
    JournalState,
    Transaction,
    Version,
    Write,
)

_LOG_BLOCKS_EACH = 4
"""Blocks of the log for each block that is written: it may be written several times, each time with
its own descriptor."""


class _Log:
    """Transactions that grow write by write."""

    def __init__(self, room: JournalRoom, count: int) -> None:
        self._writes: list[list[Write]] = [[] for _ in range(count)]
        self._revokes: list[list[int]] = [[] for _ in range(count)]
        self._at_home: list[Write] = []
        usable = room.log_blocks - 4 * count - 16
        self._left = usable // _LOG_BLOCKS_EACH * (_LOG_BLOCKS_EACH // 2)

    def has_room(self, writes: int) -> bool:
        """Whether this many more writes fit into the log; if so, count them."""
        if self._left < writes:
            return False
        self._left -= writes
        return True

    def write(self, place: int, block: JournalBlock, version: Version = "right") -> None:
        self._writes[place].append(Write(block.number, version))

    def revoke(self, place: int, block: JournalBlock) -> None:
        self._revokes[place].append(block.number)

    def leave(self, block: JournalBlock, version: Version) -> None:
        """Set what a block holds before recovery."""
        if version != "right":
            self._at_home.append(Write(block.number, version))

    def transactions(self, policy: SeededPolicy) -> tuple[Transaction, ...]:
        """Return the transactions that are not empty, with their blocks in random order."""
        for writes in self._writes:
            policy.mix(writes)
        pairs = zip(self._writes, self._revokes, strict=True)
        return tuple(
            Transaction(tuple(writes), tuple(revokes))
            for writes, revokes in pairs
            if writes or revokes
        )

    @property
    def at_home(self) -> tuple[Write, ...]:
        return tuple(self._at_home)


class JournalTransactions(SeededPolicy):
    """Transactions to recover; until then, blocks are older, blank or right."""

    name = "journal-transactions"
    checksum: JournalChecksum | None = None
    fewest = 1
    """The fewest transactions."""

    def journal_state(self, room: JournalRoom) -> JournalState | None:
        count = self.fewest + self.below(5)
        log = _Log(room, count)
        for block in room.blocks:
            if self.below(4) == 0 or (block.kind == "data" and self.below(4)):
                continue
            last = self.below(count)
            earlier = [place for place in range(last) if self.below(3) == 0]
            if not log.has_room(1 + len(earlier)):
                break
            for place in earlier:
                log.write(place, block, self.one_of(log_versions(block)))
            log.write(last, block)
            log.leave(block, self.one_of(block.at_home))
        uncommitted = None
        if self.below(2):
            some = [block for block in room.blocks if self.below(8) == 0][:16]
            writes = tuple(Write(block.number, self.one_of(log_versions(block))) for block in some)
            uncommitted = Transaction(writes) if writes else None
        return self._filled(log, room, uncommitted)

    def one_of(self, versions: tuple[Version, ...]) -> Version:
        """Return any of ``versions``."""
        return versions[self.below(len(versions))]

    def _filled(
        self, log: _Log, room: JournalRoom, uncommitted: Transaction | None = None
    ) -> JournalState | None:
        transactions = log.transactions(self)
        if not transactions:
            return None
        return JournalState(
            transactions,
            log.at_home,
            self.checksum,
            sequence=1 + self.below(1000),
            start=1 + self.below(room.log_blocks // 2) if room.may_wrap else 1,
            most_tags=(0, 0, 1, 3)[self.below(4)],
            uncommitted=uncommitted,
        )


def log_versions(block: JournalBlock) -> tuple[Version, ...]:
    """Return the versions of a block that an earlier transaction may hold."""
    if block.kind in ("superblock", "group_desc"):
        return block.at_home
    return VERSIONS


class JournalRevokes(JournalTransactions):
    """Revoked blocks, which must not be recovered since they were freed and reused."""

    name = "journal-revokes"

    def journal_state(self, room: JournalRoom) -> JournalState | None:
        log = _Log(room, 4)
        for block in room.blocks:
            if block.kind in ("superblock", "group_desc") or not log.has_room(3):
                continue
            fate = self.below(4)
            if fate == 0:
                continue
            log.write(0, block, "other")
            if fate == 1:
                log.revoke(1 + self.below(3), block)
                continue
            if fate == 2:
                log.revoke(1, block)
            log.write(2 + self.below(2), block)
            log.leave(block, self.one_of(block.at_home))
        return self._filled(log, room)


class JournalWrap(JournalTransactions):
    """A log that wraps around, and transaction numbers that wrap to 0."""

    name = "journal-wrap"
    fewest = 2

    def journal_state(self, room: JournalRoom) -> JournalState | None:
        state = super().journal_state(room)
        if state is None:
            return None
        written = sum(1 + len(each.writes) for each in state.transactions)
        return state._replace(
            sequence=SEQUENCES - 1 - self.below(max(len(state.transactions) - 1, 1)),
            start=room.log_blocks - self.below(min(written, room.log_blocks))
            if room.may_wrap
            else 1,
        )


class JournalEscapes(JournalTransactions):
    """Blocks that begin with the journal's magic number, which the log escapes."""

    name = "journal-escapes"

    def journal_state(self, room: JournalRoom) -> JournalState | None:
        log = _Log(room, 2)
        for block in room.blocks:
            if "other" not in log_versions(block) or not log.has_room(2):
                continue
            log.write(0, block, "other")
            log.write(1, block)
            log.leave(block, self.one_of(block.at_home))
        return self._filled(log, room)


class JournalChecksumNone(JournalTransactions):
    """Transactions without checksums."""

    name = "journal-csum-none"
    checksum = "none"


class JournalChecksumV1(JournalTransactions):
    """Transactions with a checksum in each commit, version 1."""

    name = "journal-csum-v1"
    checksum = "v1"


class JournalChecksumV2(JournalTransactions):
    """Transactions with checksums of 16 bits in their tags, version 2."""

    name = "journal-csum-v2"
    checksum = "v2"


class JournalChecksumV3(JournalTransactions):
    """Transactions with checksums of 32 bits in their tags, version 3."""

    name = "journal-csum-v3"
    checksum = "v3"


class FastCommitPolicy(JournalTransactions):
    """Fast commits after the last transaction; needs fast_commit."""

    name = "fast-commit"
    needs = "fast_commit"
    kinds: tuple[FastChangeKind, ...] = ("attributes", "unwritten")

    def journal_state(self, room: JournalRoom) -> JournalState | None:
        state = super().journal_state(room)
        left = room.fast_commit_blocks - 1
        if state is None or not room.files or left < _LEAST_FAST_BLOCKS:
            return state
        files = list(room.files)
        self.mix(files)
        turn = self.below(len(self.kinds))
        commits: list[tuple[FastChange, ...]] = []
        renamed: set[int | None] = set()
        while files and left >= _LEAST_FAST_BLOCKS:
            count = min(1 + self.below(4), (left - 1) // 2, len(files))
            left -= 2 * count + 1
            changes = []
            for _ in range(count):
                turn = (turn + 1) % len(self.kinds)
                change, directory = _taken(files, self.kinds[turn], renamed)
                renamed.add(directory)
                changes.append(change)
            commits.append(tuple(changes))
        return state._replace(fast_commits=tuple(commits))


class FastCommitNames(FastCommitPolicy):
    """The same with renames and holes, which Linux recovers only on a read-write mount."""

    name = "fast-commit-names"
    kinds = FAST_CHANGES


def _taken(
    files: list[FastFile], wanted: FastChangeKind, renamed: set[int | None]
) -> tuple[FastChange, int | None]:
    """Remove from ``files`` a file that can be changed as ``wanted``, or else any.

    Returns the change, and the directory in which a name changes.
    """
    for place, file in enumerate(files):
        if wanted == "renamed" and file.may_be_renamed and file.directory not in renamed:
            return FastChange(files.pop(place).ino, wanted), file.directory
        if wanted == "unwritten" and file.has_blocks:
            return FastChange(files.pop(place).ino, wanted), None
    return FastChange(files.pop().ino, "attributes"), None


_LEAST_FAST_BLOCKS = 3
"""Blocks of a fast commit with one change."""

JOURNAL_POLICIES: tuple[type[SeededPolicy], ...] = (
    *(JournalTransactions, JournalRevokes, JournalWrap, JournalEscapes),
    *(JournalChecksumNone, JournalChecksumV1, JournalChecksumV2, JournalChecksumV3),
    *(FastCommitPolicy, FastCommitNames),
)
