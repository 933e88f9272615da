"""A journal that needs recovery: its types, its blocks in the log, and what makes it valid.

Rules: Documentation/filesystems/ext4/journal.rst, fs/jbd2/commit.c and fs/jbd2/recovery.c.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, TypeVar, get_args

from ...arithmetic import ceil_div
from ...errors import SpecError
from ...late_dataclasses import NamedTuple
from ...ondisk.journal import JOURNAL_HEADER
from ...ondisk.journal_log import (
    JOURNAL_BLOCK_TAIL,
    JOURNAL_REVOKE_HEADER,
    UUID_SIZE,
    tag_size,
)
from ..plain import bounded, plain_number

Version = Literal["right", "older", "blank", "other"]
"""What a block may hold: the planned content; an older version of it; zeros; or bytes that never
were metadata and begin with the magic number of the journal, so that the log escapes them."""
BlockKind = Literal[
    "superblock", "group_desc", "bitmap", "inode_table", "directory", "metadata", "data"
]
"""``metadata`` are blocks of trees, attributes and links; ``data`` is the content of files."""
JournalChecksum = Literal["none", "v1", "v2", "v3"]

VERSIONS: tuple[Version, ...] = get_args(Version)
CHECKSUMS: tuple[JournalChecksum, ...] = get_args(JournalChecksum)
Name = TypeVar("Name", bound=str)
CHECKSUM_FEATURES: dict[JournalChecksum, str] = {
    "v1": "journal_checksum",
    "v2": "journal_checksum_v2",
    "v3": "journal_checksum_v3",
}
SEQUENCES = 1 << 32
"""The count of transaction numbers; they wrap to 0."""


class JournalBlock(NamedTuple):
    """A block that transactions may write."""

    number: int
    """Block number in the file system."""
    kind: BlockKind
    at_home: tuple[Version, ...]
    """What it may hold in its final location before recovery. Blocks that a kernel reads before it
    recovers, such as the one with the journal's inode, must be right."""


class FastFile(NamedTuple):
    """A regular file that fast commits may change."""

    ino: int
    directory: int
    """Inode number of the directory with its name."""
    has_blocks: bool
    """Whether it may have been ``"unwritten"``."""
    may_be_renamed: bool
    """Whether it may have been ``"renamed"``, and its directory has room for both names."""


class JournalRoom(NamedTuple):
    """What a policy knows about a journal that it may fill."""

    blocks: Sequence[JournalBlock]
    """The blocks that transactions may write, ascending."""
    log_blocks: int
    """Blocks of the log, numbered from 1, without those for fast commits."""
    block_size: int
    may_wrap: bool
    """Whether the log may wrap around. With the feature fast_commit, e2fsck looks for the rest in
    the blocks for fast commits (e2fsck/recovery.c:wrap)."""
    files: Sequence[FastFile]
    """The files that fast commits may change; none without the feature fast_commit."""
    fast_commit_blocks: int
    """Blocks for fast commits."""
    checksums: tuple[JournalChecksum, ...]
    """The versions that ``Spec.journal_features`` allows; the first is the usual one."""


class Write(NamedTuple):
    """A block in a transaction."""

    block: int
    """The block of the file system that recovery writes."""
    version: Version = "right"


class Transaction(NamedTuple):
    """A transaction: blocks that recovery writes, and revoked blocks."""

    writes: tuple[Write, ...] = ()
    revokes: tuple[int, ...] = ()
    """Block numbers: recovery skips what transactions up to this one hold of them."""


FastChangeKind = Literal["attributes", "unwritten", "renamed"]
"""What recovery does to a file: it sets the mode and times; it marks unwritten blocks as written;
or it renames the file from its earlier name."""
FAST_CHANGES: tuple[FastChangeKind, ...] = get_args(FastChangeKind)


class FastChange(NamedTuple):
    """The change of a fast commit to one file."""

    ino: int
    kind: FastChangeKind


class JournalState(NamedTuple):
    """A journal with transactions. After its recovery, each block must be right."""

    transactions: tuple[Transaction, ...]
    """Oldest first."""
    at_home: tuple[Write, ...] = ()
    """Blocks that are not right before recovery, and what they hold."""
    checksum: JournalChecksum | None = None
    """None is the usual one: v3 with metadata_csum, and none without."""
    sequence: int = 1
    """The 32-bit number of the first transaction."""
    start: int = 1
    """Block of the journal where the log begins. After the last block it continues at block 1."""
    most_tags: int = 0
    """The most blocks after each descriptor; 0 means as many as tags fit."""
    uncommitted: Transaction | None = None
    """A transaction without a commit block, which recovery ignores; it may hold any version."""
    fast_commits: tuple[tuple[FastChange, ...], ...] = ()
    """The changes of each fast commit, after all transactions: at most one for each file, and at
    most one rename in each directory."""


class LogBlock(NamedTuple):
    """One block of the log."""

    kind: Literal["descriptor", "revoke", "block", "commit"]
    sequence: int
    writes: tuple[Write, ...] = ()
    """For a descriptor, the blocks that follow it; for a block, itself."""
    revokes: tuple[int, ...] = ()


class LogShape(NamedTuple):
    """The format of log blocks, which follows from the features of a journal."""

    block_size: int
    checksum: JournalChecksum
    is_64bit: bool
    """Whether block numbers have 64 bits."""

    @property
    def tag_size(self) -> int:
        """Bytes of a tag."""
        return tag_size(
            csum_v2=self.checksum == "v2", csum_v3=self.checksum == "v3", is_64bit=self.is_64bit
        )

    @property
    def end(self) -> int:
        """Bytes of a descriptor or revoke block before its tail."""
        has_tail = self.checksum in ("v2", "v3")
        return self.block_size - (JOURNAL_BLOCK_TAIL.size if has_tail else 0)

    @property
    def tags_per_descriptor(self) -> int:
        """Tags that fit into a descriptor, the first of them with a UUID."""
        return (self.end - JOURNAL_HEADER.size - UUID_SIZE) // self.tag_size

    @property
    def revokes_per_block(self) -> int:
        """Block numbers that fit into a revoke block."""
        return (self.end - JOURNAL_REVOKE_HEADER.size) // (8 if self.is_64bit else 4)


def log_blocks(state: JournalState, shape: LogShape) -> Iterator[LogBlock]:
    """Yield the blocks of the log in order, starting at ``state.start``."""
    most = min(state.most_tags or shape.tags_per_descriptor, shape.tags_per_descriptor)
    sequence = state.sequence
    for transaction in state.transactions:
        yield from _blocks_of(transaction, sequence, most, shape)
        yield LogBlock("commit", sequence)
        sequence = (sequence + 1) % SEQUENCES
    if state.uncommitted is not None:
        yield from _blocks_of(state.uncommitted, sequence, most, shape)


def _blocks_of(
    transaction: Transaction, sequence: int, most: int, shape: LogShape
) -> Iterator[LogBlock]:
    """Yield revokes first, as fs/jbd2/commit.c:jbd2_journal_commit_transaction writes them."""
    revokes, writes = transaction.revokes, transaction.writes
    step = shape.revokes_per_block
    for first in range(0, len(revokes), step):
        yield LogBlock("revoke", sequence, revokes=revokes[first : first + step])
    for first in range(0, len(writes), most):
        some = writes[first : first + most]
        yield LogBlock("descriptor", sequence, some)
        yield from (LogBlock("block", sequence, (write,)) for write in some)


def blocks_needed(state: JournalState, shape: LogShape) -> int:
    """Return how many blocks of the log a state needs."""
    most = min(state.most_tags or shape.tags_per_descriptor, shape.tags_per_descriptor)
    every = [*state.transactions]
    if state.uncommitted is not None:
        every.append(state.uncommitted)
    return len(state.transactions) + sum(
        len(each.writes)
        + ceil_div(len(each.writes), most)
        + ceil_div(len(each.revokes), shape.revokes_per_block)
        for each in every
    )


def usual_checksums(names: Sequence[str], *, metadata_csum: bool) -> tuple[JournalChecksum, ...]:
    """Return the checksums that a journal with these features may have, the usual one first."""
    asked = [kind for kind, name in CHECKSUM_FEATURES.items() if name in names]
    if asked:
        return tuple(asked[:1])
    if names:
        return ("none",)
    # fs/ext4/super.c:set_journal_csum_feature_set
    return ("v3", "v2", "v1", "none") if metadata_csum else ("none", "v1", "v2", "v3")


def check_journal_state(
    state: JournalState, room: JournalRoom, shape: LogShape, policy: str
) -> None:
    """Raise :class:`SpecError` unless all blocks are right after the recovery of ``state``.

    ``policy`` is the name of the policy that chose it.
    """

    def wrong(problem: str) -> SpecError:
        about = f"journal_state of {policy!r:.80} returned a journal"
        return SpecError("policy", f"{about} that {problem}")

    if shape.checksum not in room.checksums:
        raise wrong(
            f"has checksums {shape.checksum}, but Spec.journal_features needs "
            f"{' or '.join(room.checksums)}"
        )
    if not 0 <= state.sequence < SEQUENCES:
        raise wrong(f"begins with transaction {state.sequence}, which does not fit into 32 bits")
    if not 1 <= state.start <= room.log_blocks:
        raise wrong(f"begins at block {state.start} of {room.log_blocks}")
    if state.most_tags < 0:
        raise wrong(f"has {state.most_tags} tags in a descriptor")
    if not state.transactions:
        raise wrong("has no transactions; None means an empty one")
    needed = blocks_needed(state, shape)
    if needed >= room.log_blocks:
        raise wrong(f"needs {needed} blocks of a log of {room.log_blocks}")
    if not room.may_wrap and state.start + needed > room.log_blocks:
        raise wrong("wraps around, which e2fsck does not recover with fast_commit")
    known = {block.number: block for block in room.blocks}
    _check_fast_commits(state, room, wrong)
    content: dict[int, Version] = {}
    for block, version in state.at_home:
        if block not in known or version not in known[block].at_home:
            raise wrong(f"needs block {block} to hold {version!r} before recovery")
        content[block] = version
    every = [*state.transactions, *([state.uncommitted] if state.uncommitted is not None else [])]
    for transaction in every:
        written = [write.block for write in transaction.writes]
        for block in (*written, *transaction.revokes):
            if block not in known:
                raise wrong(f"has block {block}, which no transaction may write")
        if len({*written, *transaction.revokes}) < len(written) + len(transaction.revokes):
            raise wrong("has a block twice in one transaction")
        if not written and not transaction.revokes:
            raise wrong("has a transaction without blocks")
    content |= recovered(state)
    for block, version in content.items():
        if version != "right":
            raise wrong(f"leaves block {block} with {version!r} after recovery")


def fast_blocks_most(commits: Sequence[Sequence[FastChange]]) -> int:
    """Return the most blocks of fast commits: two for each change, and one for each commit."""
    return sum(2 * len(changes) + 1 for changes in commits)


def _check_fast_commits(
    state: JournalState, room: JournalRoom, wrong: Callable[[str], SpecError]
) -> None:
    known = {file.ino: file for file in room.files}
    seen: set[int] = set()
    directories: set[int] = set()
    # The first block after the log is never used (fs/jbd2/journal.c:jbd2_fc_init).
    if state.fast_commits and fast_blocks_most(state.fast_commits) > room.fast_commit_blocks - 1:
        raise wrong(f"has more fast commits than {room.fast_commit_blocks} blocks hold")
    for changes in state.fast_commits:
        if not changes:
            raise wrong("has a fast commit that changes nothing")
        for ino, kind in changes:
            file = known.get(ino)
            if file is None or ino in seen:
                raise wrong(f"has a fast commit of inode {ino}, which cannot have one, or another")
            seen.add(ino)
            if kind == "unwritten" and not file.has_blocks:
                raise wrong(f"has written blocks of inode {ino}, which has none")
            if kind == "renamed":
                if not file.may_be_renamed or file.directory in directories:
                    raise wrong(f"renames inode {ino}, whose directory has no room for that")
                directories.add(file.directory)


def recovered(state: JournalState) -> dict[int, Version]:
    """Return what recovery writes into each block (fs/jbd2/recovery.c:do_one_pass)."""
    revoked = {
        block: place
        for place, transaction in enumerate(state.transactions)
        for block in transaction.revokes
    }
    return {
        block: version
        for place, transaction in enumerate(state.transactions)
        for block, version in transaction.writes
        if revoked.get(block, -1) < place
    }


def as_journal_state(given: JournalState, most: int) -> JournalState:
    """Return ``given`` with plain values only; raise ``TypeError`` or ``ValueError``.

    More than ``most`` items of one kind are an error, so endless generators are one, too.
    """

    def transaction(given: Transaction) -> Transaction:
        writes, revokes = given
        return Transaction(all_writes(writes), tuple(map(plain_number, bounded(revokes, most))))

    def all_writes(given: Iterable[Write]) -> tuple[Write, ...]:
        known = VERSIONS
        writes = bounded(given, most)
        return tuple(
            Write(plain_number(block), _one_of(version, known)) for block, version in writes
        )

    if not issubclass(type(given), JournalState):
        raise TypeError("it has another type")
    uncommitted = given.uncommitted
    return JournalState(
        tuple(map(transaction, bounded(given.transactions, most))),
        all_writes(given.at_home),
        given.checksum if given.checksum is None else _one_of(given.checksum, CHECKSUMS),
        plain_number(given.sequence),
        plain_number(given.start),
        plain_number(given.most_tags),
        None if uncommitted is None else transaction(uncommitted),
        tuple(
            tuple(
                FastChange(plain_number(ino), _one_of(kind, FAST_CHANGES))
                for ino, kind in bounded(changes, most)
            )
            for changes in bounded(given.fast_commits, most)
        ),
    )


def _one_of(given: Name, known: Sequence[Name]) -> Name:
    if given not in known:
        raise ValueError(f"{given!r:.80} is not one of {', '.join(known)}")
    return given
