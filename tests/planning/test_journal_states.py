"""Journals filled by a policy: everyone recovers them, and the result equals the tree."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ext4writer
from ext4writer import (
    Layout,
    LayoutPolicy,
    RegularFile,
    Spec,
    SpecError,
    Symlink,
    Tree,
    policy,
)
from ext4writer.damage import patch, reseal
from ext4writer.emit.units import PlannedUnits
from ext4writer.inspection.check import check_image
from ext4writer.inspection.show import explain
from ext4writer.layout import plan_of
from ext4writer.ondisk.units import UnitKind
from ext4writer.planning.states.journal_policies import JOURNAL_POLICIES
from ext4writer.read import Image, open_image
from ext4writer.read.fast_commits import tags
from ext4writer.read.journal import Journal
from ext4writer.states import (
    FastChange,
    JournalRoom,
    JournalState,
    Transaction,
    Write,
)
from tests.builder.command import run as command
from tests.judges.compare import assert_tree_equal
from tests.judges.fsck import assert_clean, e2fsck
from tests.judges.kernel import mounted
from tests.judges.tools import require, require_root
from tests.judges.watch import Watch

NAMES = [kind.name for kind in JOURNAL_POLICIES]
MAGIC = b"\xc0\x3b\x39\x98"
LOG_KINDS = (
    *(UnitKind.JOURNAL_DESCRIPTOR, UnitKind.JOURNAL_REVOKE, UnitKind.JOURNAL_COMMIT),
    *(UnitKind.JOURNAL_BLOCK, UnitKind.FAST_COMMIT),
)
NEEDS = {"fast-commit": "fast_commit", "fast-commit-names": "fast_commit"}
"""The feature that each policy needs."""


def sample() -> Tree:
    """Every kind of metadata, and content that begins with the journal's magic."""
    tree = Tree()
    for number in range(40):
        tree.file(f"/many/{number:060}", b"%d" % number, parents=True, mode=0o644)
    for number in range(6):
        tree.file(f"/notes/{number}", b"n", parents=True, xattrs={"user.note": "x" * 300})
    for number in range(5):
        tree.file(f"/few/{number}", b"few" * number * 500, parents=True)
    tree.file("/sparse", b"x" * 3000 + bytes(70_000) + b"y" * 100)
    tree.file("/magic", MAGIC * 2000)
    tree.symlink("/link", MAGIC + b"t" * 100)
    tree.file("/long", bytes(range(1, 251)) * 200)
    return tree


def spec_for(choice: str | LayoutPolicy, **options: Any) -> Spec:
    chosen = policy(choice) if isinstance(choice, str) else choice
    features = NEEDS.get(chosen.name, "")
    given = {"block_size": 1024, "free": "64K", "journal": "1M", "features": features}
    return Spec(**{**given, **options}, policy=chosen)


def built(choice: str | LayoutPolicy, **options: Any) -> tuple[Layout, bytes]:
    data = bytearray()
    layout = ext4writer.write_image(sample(), data, spec_for(choice, **options))
    return layout, bytes(data)


@pytest.mark.parametrize("name", NAMES)
def test_everyone_recovers_it(name: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    spec = spec_for(name)
    ext4writer.write_image(sample(), image, spec)  # e2fsck judges it, with and without repairs
    with open_image(image, on_damage=lambda _: None) as opened:
        assert opened.format.needs_recovery
    with open_image(image, replay=True) as opened:
        found = {problem.code for problem in check_image(opened, data=True).problems}
        # The state after fast commits is not in the blocks before recovery, so this is not checked.
        assert found == ({"FAST_COMMITS"} if name in NEEDS else set())
        assert_read(opened)
    require_root()
    copy = shutil.copyfile(image, tmp_path / "copy")
    with mounted(copy, rw=True, recovers=True, options="noatime") as point:
        assert_tree_equal(sample(), point, spec)
    assert_clean(copy)


def assert_read(image: Image) -> None:
    """Assert that our reader, which applies the journal, sees the tree."""
    for path, node in sample().walk():
        found = image.lookup(path, follow=False)
        assert found.mode & 0o7777 == node.mode, path
        if isinstance(node, Symlink):
            assert found.target() == node.target
        elif isinstance(node, RegularFile):
            assert image.open(found).read() == node.content.read_bytes(), path


@pytest.mark.parametrize(
    "options",
    [{"block_size": 4096, "journal": "4M"}, {"type": "ext3"}, {"features": "fast_commit"}],
)
def test_other_formats(options: dict[str, Any], tmp_path: Path) -> None:
    """The log of ext3 has 32-bit block numbers and no checksums."""
    for name in ("journal-revokes:1", "journal-wrap:1"):
        image = tmp_path / name
        spec = spec_for(name, **options)
        ext4writer.write_image(sample(), image, spec)
        with open_image(image, replay=True) as opened:
            assert not check_image(opened, data=True).problems


@pytest.mark.judged("quick")
@pytest.mark.parametrize("seed", range(3))
def test_all_of_it_at_random(seed: int, tmp_path: Path) -> None:
    image = tmp_path / "image"
    spec = spec_for(f"random-recovery:{seed}", features="fast_commit,orphan_file")
    ext4writer.write_image(sample(), image, spec)
    with open_image(image, replay=True) as opened:
        found = {problem.code for problem in check_image(opened, data=True).problems}
        assert found <= {"FAST_COMMITS"}
    require_root()
    copy = shutil.copyfile(image, tmp_path / "copy")
    with mounted(copy, rw=True, recovers=True, options="noatime") as point:
        assert_tree_equal(sample(), point, spec)
    assert_clean(copy)


def test_fast_commits_are_recovered_without_a_mount_that_writes(tmp_path: Path) -> None:
    require_root()
    image, spec = tmp_path / "image", spec_for("fast-commit")
    ext4writer.write_image(sample(), image, spec)
    copy = shutil.copyfile(image, tmp_path / "copy")
    with mounted(copy, rw=True, recovers=True, options="ro,noatime") as point:
        assert_tree_equal(sample(), point, spec)


def test_a_reader_says_that_recovery_is_needed(tmp_path: Path) -> None:
    image = tmp_path / "image"
    ext4writer.write_image(sample(), image, spec_for("journal-transactions:2"))
    assert "needs recovery" in command("ls", image).stderr
    done = command("ls", image, "--replay")
    assert (done.returncode, done.stderr) == (0, "")


def opened_journal(data: bytes) -> Journal:
    return Journal(open_image(data, on_damage=lambda _: None))


def test_journal_policies_match_their_names() -> None:
    journal = opened_journal(built("journal-revokes")[1])
    assert any(each.revoked for each in journal.transactions())
    journal = opened_journal(built("journal-wrap:1")[1])
    sequences = [each.sequence for each in journal.transactions()]
    assert sequences[0] > sequences[-1]
    places = [place for place, _ in journal.scanned().blocks]
    assert places[0] > places[-1] and 1 in places
    journal = opened_journal(built("journal-escapes")[1])
    written = [tag for each in journal.transactions() for tag, _ in each.blocks]
    assert sum(tag.flags & 1 for tag in written) > 20
    journal = opened_journal(built("fast-commit-names")[1])
    found = tags(journal, journal.sequence_after(journal.transactions()))
    names = [tag.name for tag in found]
    assert names[0] == "HEAD" and names[-1] == "TAIL"
    assert {"LINK", "UNLINK", "INODE", "ADD_RANGE", "PAD", "TAIL"} <= set(names) | {"PAD"}
    for name, facts in {
        "none": (False, False, False),
        "v1": (True, False, False),
        "v2": (False, True, False),
        "v3": (False, False, True),
    }.items():
        journal = opened_journal(built(f"journal-csum-{name}")[1])
        assert (journal.csum_v1, journal.csum_v2, journal.csum_v3) == facts


@pytest.mark.damaged
@pytest.mark.parametrize("name", NAMES)
def test_units_and_checksums(name: str) -> None:
    layout, data = built(name)
    recomputed = reseal(data)
    planned = {
        (unit.kind, unit.number, unit.offset)
        for kind in LOG_KINDS
        for run in PlannedUnits(plan_of(layout)).runs_of(kind)
        for unit in run.units()
    }
    with open_image(data, on_damage=lambda _: None) as image:
        found = {(u.kind, u.number, u.offset) for u in image.units() if u.kind in LOG_KINDS}
        for unit in image.units():
            if unit.kind in LOG_KINDS:
                rows = explain(image, unit)
                assert sum(row.size for row in rows) == unit.size
                assert rows[0].name != unit.kind.value or unit.kind is UnitKind.JOURNAL_BLOCK
    assert found == planned
    for kind, _, offset in found:
        if kind is not UnitKind.JOURNAL_BLOCK:
            assert recomputed[offset : offset + 1024] == data[offset : offset + 1024]


def test_content_is_unchanged_and_the_seed_determines_all_bytes() -> None:
    assert built("journal-transactions:7")[1] == built("journal-transactions:7")[1]
    assert built("journal-transactions:7")[1] != built("journal-transactions:8")[1]


def test_a_saved_plan_keeps_it(tmp_path: Path) -> None:
    layout, data = built("journal-revokes:3")
    layout.save(tmp_path / "plan")
    again = bytearray()
    ext4writer.write_layout(Layout.load(tmp_path / "plan"), again)
    assert again == data


def test_without_a_journal_there_is_nothing_to_choose() -> None:
    plain, chosen = (built(name, journal="none")[0] for name in ("default", "journal-wrap"))
    assert plain.features == chosen.features
    assert plan_of(chosen).journal_state is None


OVERRIDES = {
    "journal-revokes": [
        *("journal_header[D].h_sequence=5", "journal_block_tag3[D][1].t_blocknr=99"),
        *("journal_block_tag3[D][0].t_flags^=8", "journal_revoke_header[R].r_count=limit"),
        *("journal_revoke_header[R].r_count+=8", "journal_commit_header[C].h_commit_sec=1"),
    ],
    "journal-csum-v2": [
        "journal_block_tag[D][1].t_blocknr+=1",
        "journal_block_tag[D][1].t_flags=0",
    ],
    "journal-csum-v1": ["journal_block_tag[D][1].t_blocknr+=1"],
    "fast-commit": [
        *("fc_tl[F][1].fc_tag=6", "fc_inode[F][1].fc_ino+=1", "fc_head[F][0].fc_features+=1"),
        *("journal_superblock.s_num_fc_blks=limit", "journal_superblock.s_sequence+=1"),
    ],
}
"""By policy: fields of the log, with letters for its first descriptor, revoke, commit and tags."""


@pytest.mark.damaged
@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, texts in OVERRIDES.items() for text in texts]
)
def test_each_part_of_the_log_can_be_changed(name: str, text: str) -> None:
    """The field has the new value, and the checksums over it are right: sealing changes nothing."""
    _, data = built(name)
    with open_image(data, on_damage=lambda _: None) as image:
        first = {unit.kind: unit.number for unit in reversed(list(image.units()))}
    for letter, kind in zip("DRCF", (*LOG_KINDS[:3], UnitKind.FAST_COMMIT), strict=True):
        text = text.replace(f"[{letter}]", f"[{first.get(kind)}]")
    changed, stale = patch(data, [override(text)]), patch(data, [override("!" + text)])
    assert reseal(stale) == reseal(changed) and data != stale


@pytest.mark.damaged
def test_overrides_of_the_log(tmp_path: Path, watch: Watch) -> None:
    """Recovery applies a change with right checksums, and ignores one without."""
    require("e2fsck")
    _, data = built("journal-transactions:2")
    number = next(n for n, kind in opened_journal(data).scanned().blocks if "commit" in kind.value)
    change = f"journal_commit_header[{number}].h_commit_sec=5"
    for name, text, transactions in (("recomputed", change, True), ("stale", "!" + change, False)):
        image = tmp_path / name
        changed = patch(data, [override(text)])
        assert bool(opened_journal(changed).transactions()) is transactions
        image.write_bytes(changed)
        verdict = e2fsck(image, "-y", journal_only=True)
        assert verdict.status in (0, 1), verdict
        assert bool(e2fsck(image, "-n").status) is not transactions


def override(text: str) -> ext4writer.Override:
    return ext4writer.Override.parse(text.removeprefix("!"), reseal=not text.startswith("!"))


# -- illegal answers -------------------------------------------------------------------------------


class AnswerOfRoom(LayoutPolicy):
    """Answers with a function of the room."""

    name = "given"

    def __init__(self, make: Callable[[JournalRoom], Any]) -> None:
        self._make = make

    def journal_state(self, room: JournalRoom) -> JournalState | None:
        return self._make(room)  # type: ignore[no-any-return]


def blocks(room: JournalRoom, kind: str) -> list[int]:
    return [block.number for block in room.blocks if block.kind == kind]


def writing(*writes: Write | int, revokes: tuple[int, ...] = ()) -> Transaction:
    every = [each if isinstance(each, Write) else Write(each) for each in writes]
    return Transaction(tuple(every), revokes)


def state(*transactions: Transaction, **others: Any) -> JournalState:
    return JournalState(transactions, **others)


def one(room: JournalRoom) -> Transaction:
    return writing(blocks(room, "directory")[0])


def fast(room: JournalRoom, *changes: FastChange) -> JournalState:
    return state(one(room), fast_commits=(changes,))


NONSENSE: dict[str, Callable[[JournalRoom], Any]] = {
    "no state": lambda _: "full",
    "no transactions": lambda _: state(),
    "no blocks": lambda _: state(Transaction()),
    "no numbers": lambda _: state(writing(Write("root"))),  # type: ignore[arg-type]
    "no version": lambda room: state(writing(Write(blocks(room, "directory")[0], "new"))),  # type: ignore[arg-type]
    "a block far away": lambda _: state(writing(1 << 40)),
    "a negative block": lambda _: state(writing(-1)),
    "a block of the journal": lambda room: state(
        writing(next(n for n in range(1 << 20) if n not in {b.number for b in room.blocks}))
    ),
    "a block twice": lambda room: state(writing(*blocks(room, "directory")[:1] * 2)),
    "written and revoked": lambda room: state(
        writing(*blocks(room, "directory")[:1], revokes=tuple(blocks(room, "directory")[:1]))
    ),
    "wrong at the end": lambda room: state(writing(Write(blocks(room, "directory")[0], "older"))),
    "revoked and wrong": lambda room: state(
        one(room),
        writing(revokes=(blocks(room, "directory")[0],)),
        at_home=(Write(blocks(room, "directory")[0], "blank"),),
    ),
    "content that is wrong": lambda room: state(
        one(room), at_home=(Write(blocks(room, "data")[0], "blank"),)
    ),
    "no descriptors": lambda room: state(
        one(room), at_home=(Write(blocks(room, "group_desc")[0], "blank"),)
    ),
    "too long": lambda room: state(*(one(room) for _ in range(600))),
    "a wrap with fast commits": lambda room: state(one(room), start=room.log_blocks),
    "a start in the superblock": lambda room: state(one(room), start=0),
    "a start after the end": lambda room: state(one(room), start=1 << 20),
    "a number of 33 bits": lambda room: state(one(room), sequence=1 << 32),
    "tags below none": lambda room: state(one(room), most_tags=-1),
    "a fast commit of nothing": lambda room: state(one(room), fast_commits=((),)),
    "a fast commit of no file": lambda room: fast(room, FastChange(2, "attributes")),
    "an unknown change": lambda room: fast(room, FastChange(room.files[0].ino, "deleted")),  # type: ignore[arg-type]
    "a file that changes twice": lambda room: fast(
        room, *(FastChange(room.files[0].ino, "attributes") for _ in range(2))
    ),
    "blocks of an empty file": lambda room: fast(
        room, FastChange(next(f.ino for f in room.files if not f.has_blocks), "unwritten")
    ),
    "a name in the root": lambda room: fast(
        room, FastChange(next(f.ino for f in room.files if not f.may_be_renamed), "renamed")
    ),
    "two names in a directory": lambda room: fast(
        room, *(FastChange(f.ino, "renamed") for f in room.files if f.may_be_renamed)
    ),
    "too many fast commits": lambda room: fast(
        room, *(FastChange(file.ino, "attributes") for file in room.files)
    ),
    "a checksum of the future": lambda room: state(one(room), checksum="v4"),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_refused(name: str) -> None:
    with pytest.raises(SpecError, match="policy"):
        ext4writer.plan(sample(), spec_for(AnswerOfRoom(NONSENSE[name]), features="fast_commit"))


def test_checksums_that_the_spec_does_not_have() -> None:
    spec = spec_for("journal-csum-v2", journal_features="journal_checksum_v3")
    with pytest.raises(SpecError, match="checksums v2"):
        ext4writer.plan(sample(), spec)
    spec = spec_for("journal-csum-v2", journal_features="journal_checksum_v2")
    assert plan_of(ext4writer.plan(sample(), spec)).journal_state
