"""Images laid out like an earlier one: which blocks differ, and what e2fsck and the kernel find."""

from __future__ import annotations

import os
import random
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ext4writer import (
    ImageError,
    Layout,
    RandomPolicy,
    SizeError,
    SourceError,
    Spec,
    SpecError,
    Tree,
    plan,
    write_layout,
)
from ext4writer.arithmetic import ceil_div
from ext4writer.delta import difference
from ext4writer.inspection.check import check_image
from ext4writer.read import open_image
from tests.builder.command import report, run
from tests.builder.test_report_schema import assert_described
from tests.judges.compare import assert_tree_equal
from tests.judges.fsck import assert_clean
from tests.judges.kernel import mounted
from tests.judges.tools import require, require_root

MIB = 1 << 20
EARLY, LATE = 1_700_000_000 * 10**9, 1_700_000_500 * 10**9

pytestmark = pytest.mark.judged("quick")


def state(number: int) -> Tree:
    """One of two states of a tree: files are changed, added, removed, shrunk and grown."""
    chance, tree = random.Random(7), Tree()
    for folder in range(6):
        for file in range(30):
            data = chance.randbytes(chance.choice([0, 100, 5000, 20_000, 150_000]))
            time = EARLY
            if number and file == 3:
                continue
            if number and file in (5, 7, 9):
                time = LATE
                half = len(data) // 2
                data = {
                    5: data[:half] + data[half:].swapcase(),
                    7: data + random.Random(folder).randbytes(9000),
                    9: data[:half],
                }[file]
            path = f"/d{folder}/f{file}"
            values = {b"user.note": bytes([file % 5]) * 400} if file % 3 else {}
            tree.file(path, data, parents=True, mtime_ns=time, xattrs=values)
        if number:
            new = random.Random(-folder).randbytes(12_000 * folder)
            tree.file(f"/d{folder}/a-new-one", new, mtime_ns=LATE)
    for file in range(300):
        tree.file(f"/many/of-those-names-{file}", b"", parents=True, mtime_ns=EARLY)
    tree.file("/sparse", bytes(40_000) + b"x" * 40_000 + bytes(80_000) + b"y", mtime_ns=EARLY)
    if number:
        tree.symlink("/link", "d0/" + "x" * 100)
        tree.link("/d1/hard", "/d0/f1")
    return tree


def write(layout: Layout, path: Path) -> bytes:
    write_layout(layout, path)
    assert_clean(path)
    with open_image(path) as image:
        assert check_image(image, data=True).is_clean
    return path.read_bytes()


def blocks_of(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def counted(old: bytes, new: bytes, size: int) -> tuple[int, int]:
    """How many blocks of ``new`` differ from ``old``, and how many have new content."""
    before, after = blocks_of(old, size), blocks_of(new, size)
    known = set(before)
    before += [bytes(size)] * (len(after) - len(before))
    changed = [b for a, b in zip(before, after, strict=False) if a != b and b.strip(b"\0")]
    return len(changed), sum(block not in known for block in changed)


SPECS: dict[str, dict[str, Any]] = {
    "usual": {},
    "ext3, 1 KiB": {"type": "ext3", "block_size": 1024},
    "clusters": {"features": "bigalloc"},
    "shared": {"dedupe": "blocks"},
    "all files without a name": {"features": "quota,project,mmp,orphan_file"},
    "small groups": {"block_size": 1024, "blocks_per_group": 4096, "inode_size": 128},
    "a given size": {"size": 96 * MIB, "journal_location": "middle", "features": "inline_data"},
}


@pytest.mark.parametrize("name", SPECS)
def test_few_blocks_differ_besides_new_content(tmp_path: Path, name: str) -> None:
    spec = Spec(**SPECS[name])
    before = plan(state(0), spec)
    old = write(before, tmp_path / "old")
    before.save(tmp_path / "old.plan")
    after = plan(state(1), spec, base=tmp_path / "old")
    new = write(after, tmp_path / "new")

    for base in (tmp_path / "old.plan", before):
        again = bytearray()
        write_layout(plan(state(1), spec, base=base), again)
        assert again == new, "a plan and its image are the same base"

    differing, needed = counted(old, new, spec.block_size)
    assert needed <= differing <= 1.05 * needed
    found = difference(after, tmp_path / "old")
    assert (found.differing, found.new) == (differing, needed)
    assert (found.block_size, found.blocks) == (spec.block_size, after.blocks_count)
    assert found.cleared > 0, "files are gone"
    without = difference(plan(state(1), spec), before)
    assert found.differing < without.differing / 2
    assert (after.size_bytes, after.uuid, after.hash_seed) == (
        before.size_bytes,
        before.uuid,
        before.hash_seed,
    )
    same = plan(state(0), spec, base=before)
    assert difference(same, before)[2:] == (0, 0, 0)

    if name in ("usual", "shared", "ext3, 1 KiB"):
        require_root()
        with mounted(tmp_path / "new", quiet=name != "shared") as point:
            assert_tree_equal(state(1), point, spec)


def test_inode_numbers_and_positions_are_kept(tmp_path: Path) -> None:
    write_layout(plan(state(0)), tmp_path / "old")
    write_layout(plan(state(1), base=tmp_path / "old"), tmp_path / "new")
    with open_image(tmp_path / "old") as old, open_image(tmp_path / "new") as new:
        numbers = {found.path: found.inode.ino for found in old.walk()}
        kept = 0
        for found in new.walk():
            if found.path not in numbers:
                assert found.path.endswith((b"a-new-one", b"/link", b"/hard"))
                continue
            assert found.inode.ino == numbers[found.path]
            before = list(old.inode(found.inode.ino).runs())
            after = list(found.inode.runs())
            assert after[: len(before) - 1] == before[:-1] or found.path.endswith(b"/f9")
            if before and after:
                assert after[0].physical == before[0].physical
                kept += 1
        assert kept > 100
        gone = {numbers[b"/d%d/f3" % folder] for folder in range(6)}
        added = {new.lookup(f"/d{folder}/a-new-one").ino for folder in range(6)}
        assert added & gone, "free numbers are taken first"
        assert new.lookup("/d1/hard").ino == new.lookup("/d0/f1").ino == numbers[b"/d0/f1"]


def grown(count: int) -> Tree:
    tree = Tree()
    for number in range(count):
        data = random.Random(number).randbytes(200_000)
        tree.file(f"/file{number:03}", data, mtime_ns=EARLY)
    return tree


@pytest.mark.parametrize("options", [{"free": 0}, {"free": 0, "block_size": 1024}, {}])
def test_an_image_that_must_grow_keeps_its_groups(tmp_path: Path, options: Any) -> None:
    spec = Spec(**options)
    before = plan(grown(60), spec)
    old = write(before, tmp_path / "old")
    after = plan(grown(200), spec, base=tmp_path / "old")
    new = write(after, tmp_path / "new")
    assert after.size_bytes > before.size_bytes
    assert after.available_bytes >= spec.fitted_free
    differing, needed = counted(old, new, spec.block_size)
    assert differing <= 1.05 * needed
    with pytest.raises(SizeError):
        plan(grown(200), Spec(**options, size=before.size_bytes), base=before)


def test_requested_free_space_is_promised() -> None:
    before = plan(grown(20), Spec(free=0))
    after = plan(grown(20), Spec(free=20 * MIB), base=before)
    assert after.available_bytes >= 20 * MIB


def test_a_base_of_mke2fs(tmp_path: Path) -> None:
    require("mke2fs")
    folder = tmp_path / "folder"
    tree = Tree()
    for number in range(40):
        data = random.Random(number).randbytes(1000 * number)
        tree.file(f"/sub/{number}", data, parents=True, mtime_ns=EARLY)
        (folder / "sub").mkdir(parents=True, exist_ok=True)
        (folder / "sub" / str(number)).write_bytes(data)
    made = tmp_path / "made"
    subprocess.run(
        ["mke2fs", "-q", "-t", "ext4", "-d", folder, "-b", "1024", made, "64M"], check=True
    )
    after = plan(tree, Spec(block_size=1024), base=made)
    write(after, tmp_path / "new")
    with open_image(made) as old, open_image(tmp_path / "new") as new:
        for number in range(1, 40):
            first, second = (image.lookup(f"/sub/{number}") for image in (old, new))
            assert (first.ino, list(first.runs())) == (second.ino, list(second.runs()))
    assert after.size_bytes == made.stat().st_size


Entries = dict[str, bytes | str | None]
"""Files, links and directories by path."""


def tree_of(entries: Entries, links: dict[str, str]) -> Tree:
    tree = Tree()
    for path, held in sorted(entries.items()):
        if isinstance(held, bytes):
            long = {b"user.x": held[:1] * (len(held) % 700)} if held and len(held) % 3 == 0 else {}
            tree.file(path, held, parents=True, mtime_ns=EARLY, xattrs=long)
        elif isinstance(held, str):
            tree.symlink(path, held, parents=True)
        else:
            tree.directory(path, parents=True)
    for path, target in links.items():
        if isinstance(entries.get(target), bytes):
            tree.link(path, target, parents=True)
    return tree


def content(chance: random.Random) -> bytes:
    size, data = chance.choice([0, 1, 50, 3000, 9000, 60_000, 300_000]), b""
    while len(data) < size:
        data += bytes(chance.choice([4096, 40_000])) if chance.random() < 0.3 else b""
        data += chance.randbytes(5000)
    return data[:size]


def edit(chance: random.Random, entries: Entries, links: dict[str, str]) -> None:
    for _ in range(chance.choice([1, 10, 60])):
        path = f"/d{chance.randrange(4)}/n{chance.randrange(80)}"
        held = entries.get(path)
        kind = chance.randrange(8)
        if kind < 4:
            entries[path] = content(chance)
        elif kind == 4:
            entries[path] = chance.choice([None, "t" * chance.choice([5, 100, 900])])
        elif kind == 5:
            links[f"/d{chance.randrange(4)}/h{len(links)}"] = path
        elif kind == 6:
            entries.pop(path, None)
        elif isinstance(held, bytes):
            entries[path] = held + content(chance)


def tables(layout: Layout) -> int:
    """A lower bound of the blocks of inode tables and bitmaps: groups have 1024 blocks or more."""
    of_inodes = ceil_div(layout.inodes_count * layout.spec.inode_size, layout.block_size)
    return of_inodes + 3 * ceil_div(layout.blocks_count, 1024)


CHAINS: tuple[dict[str, Any], ...] = (
    {},
    {"type": "ext2", "block_size": 1024},
    {"features": "bigalloc"},
    {"features": "inline_data,quota,orphan_file,ea_inode"},
    {"block_size": 1024, "blocks_per_group": 1024},
    {"dedupe": "blocks", "block_size": 1024},
)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 1 << 32),
    options=st.sampled_from(CHAINS),
    free=st.sampled_from([0, MIB, None]),
    scattered=st.booleans(),
)
def test_any_chain_of_states(
    tmp_path: Path, seed: int, options: dict[str, Any], free: int | None, scattered: bool
) -> None:
    """Each image is the base of the next one; the first may have any layout."""
    chance, path = random.Random(seed), tmp_path / "image"
    entries: Entries = {}
    links: dict[str, str] = {}
    spec = Spec(**options, free=free)
    edit(chance, entries, links)
    first = replace(spec, policy=RandomPolicy(seed)) if scattered else spec
    before = plan(tree_of(entries, links), first)
    for _ in range(3):
        edit(chance, entries, links)
        tree = tree_of(entries, links)
        after = plan(tree, spec, base=before)
        write(after, path)
        assert after.entries == plan(tree, spec).entries
        found = difference(after, before)
        if after.size_bytes == before.size_bytes and not options.get("dedupe"):
            # Tables and bitmaps that a policy had moved return to their usual positions.
            moved = tables(before) if before.spec.policy is not None else 0
            assert found.differing <= 1.05 * found.new + 8 + moved
        before = after


def test_unusable_bases_are_refused(tmp_path: Path) -> None:
    before = plan(state(0))
    for spec, problem in (
        (Spec(block_size=1024), "blocks of 4096 bytes and this image 1024"),
        (Spec(features="bigalloc"), "clusters of 4096 bytes and this image 65536"),
        (Spec(policy="random:3"), "policy"),
    ):
        with pytest.raises(SpecError, match=problem):
            plan(state(1), spec, base=before)
    with pytest.raises(SourceError, match="No such file"):
        plan(state(1), base=tmp_path / "none")
    (tmp_path / "text").write_bytes(b"text" * 1000)
    with pytest.raises(ImageError, match="no ext4"):
        plan(state(1), base=tmp_path / "text")
    tree = Tree()
    tree.file("/noise", random.Random(1).randbytes(10_000))
    small = plan(tree)
    for name, problem in (
        ("a.simg", "is an Android sparse image; convert it with simg2img"),
        ("a.img.zst", "is compressed; decompress it with 'zstd -d'"),
        ("a.img.gz", "is compressed; decompress it with gunzip"),
        ("a.img.xz", "is compressed; decompress it with unxz"),
    ):
        write_layout(small, tmp_path / name)
        with pytest.raises(ImageError, match=problem):
            plan(tree, base=tmp_path / name)
    # A fixed VHD is the image followed by a footer.
    for name in ("a.vhd", "a.qcow2"):
        write_layout(small, tmp_path / name)
        assert plan(tree, base=tmp_path / name).uuid == small.uuid
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="neither a file nor a block device"):
        plan(state(1), base=tmp_path / "pipe")


def test_a_requested_identity_is_used() -> None:
    before = plan(state(0))
    wanted = "11111111-2222-3333-4444-555555555555"
    assert str(plan(state(0), Spec(uuid=wanted), base=before).uuid) == wanted
    assert plan(state(0), Spec(identity="content"), base=before).uuid != before.uuid


def test_the_command_reports_the_difference(tmp_path: Path) -> None:
    folder, image = tmp_path / "folder", tmp_path / "image"
    folder.mkdir()
    for number in range(50):
        (folder / f"file{number}").write_bytes(random.Random(number).randbytes(20_000))
    report("build", folder, "-o", image)
    old = image.read_bytes()
    (folder / "file7").write_bytes(random.Random(1007).randbytes(30_000))
    (folder / "file9").unlink()
    planned = report("plan", folder, "--base", image)
    facts = report("build", folder, "--base", image, "-o", image)
    assert_described(facts)
    assert facts["base"] == planned["base"]
    differing, needed = counted(old, image.read_bytes(), 4096)
    assert (facts["base"]["differing"], facts["base"]["new"]) == (differing, needed)
    assert needed <= differing <= 1.05 * needed
    shown = run("plan", folder, "--base", image)
    assert "compared with the base" in shown.stdout
    refused = run("build", "--plan", tmp_path / "plan", "--base", image, "-o", image)
    assert refused.returncode == 2
    assert "--base" in refused.stderr


def test_a_qcow2_disk_is_the_base_of_the_one_that_replaces_it(tmp_path: Path) -> None:
    require("qemu-img")
    folder = tmp_path / "tree"
    folder.mkdir()
    for number in range(20):
        (folder / str(number)).write_bytes(random.Random(number).randbytes(9000))
    run("build", folder, "-o", tmp_path / "old.img")
    run("build", folder, "-o", tmp_path / "a.qcow2", "--format", "qcow2-compressed")
    (folder / "0").write_bytes(b"new" * 7000)
    found = report("build", folder, "-o", tmp_path / "a.qcow2", "--base", tmp_path / "a.qcow2")
    expected = report("build", folder, "-o", tmp_path / "a.img", "--base", tmp_path / "old.img")
    assert found["base"] == expected["base"]
    done = ("qemu-img", "compare", tmp_path / "a.img", tmp_path / "a.qcow2")
    assert subprocess.run(done, check=False, capture_output=True).returncode == 0


def test_the_plan_of_a_folder_that_has_changed_is_a_base(tmp_path: Path) -> None:
    folder, saved, image = tmp_path / "folder", tmp_path / "plan", tmp_path / "image"
    folder.mkdir()
    for number in range(30):
        (folder / f"file{number}").write_bytes(random.Random(number).randbytes(20_000))
    report("plan", folder, "--save", saved)
    report("build", "--plan", saved, "-o", image)
    old = image.read_bytes()
    (folder / "file7").write_bytes(random.Random(1007).randbytes(30_000))
    (folder / "file9").unlink()
    facts = report("build", folder, "--base", saved, "-o", image)
    differing, needed = counted(old, image.read_bytes(), 4096)
    assert (facts["base"]["differing"], facts["base"]["new"]) == (differing, needed)
    assert needed <= differing <= 1.05 * needed
