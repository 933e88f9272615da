"""All pairs of compatible features, according to the table of features.

A few sets cover all pairs: for any two features, some set contains both, and some contains the
first without the second. New rows of the table are included automatically.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from itertools import combinations, permutations, product
from pathlib import Path
from typing import Any

import pytest

import ext4writer
from ext4writer import FeatureSet, Spec, SpecError, Tree
from ext4writer.inspection.check import check_opened
from ext4writer.ondisk.features import FEATURES
from ext4writer.read import open_image
from tests.guest import run_guest
from tests.guest.qemu import DEVICES
from tests.judges.fsck import judge
from tests.planning.test_sizing import STEP, assert_nothing_smaller

WRITTEN = [row.name for row in FEATURES if row.support == "write"]
CANDIDATES = 60
"""The number of candidate sets from which the best one is chosen."""


def may_be(names: Iterable[str]) -> bool:
    """Whether an image may have exactly these features."""
    wanted = set(names)
    try:
        spec = Spec(features=FeatureSet.of(*wanted))
    except SpecError:
        return False
    return set(spec.features.names()) == wanted


def with_needs(names: Iterable[str]) -> frozenset[str]:
    """The features and everything that they need."""
    found = set(names)
    waiting = list(found)
    while waiting:
        last = waiting.pop()
        needs = next(row.needs for row in FEATURES if row.name == last)
        if last == "resize_inode":
            needs += ("large_file",)  # for blocks of 4 KiB or more, where the default is 4 GiB
        new = set(needs) - found
        found |= new
        waiting += new
    return frozenset(found)


@cache
def sets() -> tuple[frozenset[str], ...]:
    """A few sets that cover all pairs; the same in every run."""
    choose = random.Random(18)
    alone = {name: with_needs([name]) for name in WRITTEN}
    both = {
        frozenset(pair)
        for pair in combinations(WRITTEN, 2)
        if may_be(alone[pair[0]] | alone[pair[1]])
    }
    one = {
        (first, second) for first, second in permutations(WRITTEN, 2) if second not in alone[first]
    }
    found: list[frozenset[str]] = []
    while both or one:
        best: tuple[int, frozenset[str]] = (0, frozenset())
        for _ in range(CANDIDATES):
            wanted: frozenset[str] = frozenset()
            if both:
                wanted = with_needs(choose.choice(sorted(map(sorted, both))))
            avoided = {choose.choice(sorted(one))[1]} - wanted if one else set()
            for name in choose.sample(WRITTEN, choose.randint(2, len(WRITTEN))):
                larger = wanted | alone[name]
                if not larger & avoided and may_be(larger):
                    wanted = larger
            gain = sum(pair <= wanted for pair in both)
            gain += sum(first in wanted and second not in wanted for first, second in one)
            best = max(best, (gain, wanted), key=lambda each: (each[0], sorted(each[1])))
        assert best[0], (both, one)
        found.append(best[1])
        both = {pair for pair in both if not pair <= best[1]}
        one = {pair for pair in one if not (pair[0] in best[1] and pair[1] not in best[1])}
    return tuple(found)


def sample(features: frozenset[str]) -> Tree:
    """A tree that exercises these features."""
    noise = random.Random(3).randbytes
    tree = Tree()
    flags = "casefold" if "casefold" in features else "none"
    tree.directory("folder/inner", parents=True, flags=flags)
    for number in range(250):
        tree.file(f"folder/inner/Name {number:03}{'n' * 40}", noise(number % 90))
    verity = "verity" if "verity" in features else "none"
    tree.file("checked", noise(90_000), flags=verity)
    tree.file("again", noise(30_000) + bytes(100_000) + noise(5000), flags="nodump")
    tree.file("same", tree["again"].content)  # type: ignore[union-attr]
    attributes = {b"user.note": noise(60), b"user.long": noise(500)}
    if "ea_inode" in features:
        attributes[b"user.large"] = noise(20_000)
    tree.file("small", b"small", xattrs=attributes if "ext_attr" in features else None)
    tree.link("folder/small", "small")
    tree.file("owned", noise(7000), uid=7, project=77 if "project" in features else 0)
    tree.symlink("short", "small")
    tree.symlink("long", "l" * 120)
    tree.directory("vault")
    tree.device("null", "c", 1, 3)
    return tree


def assert_right(image: Path, told: str) -> None:
    """e2fsck and our checker find nothing; a failure shows ``told``."""
    try:
        judge(image, "quick")
    except AssertionError as error:
        raise AssertionError(f"{told}\n{error}") from None
    with open_image(image) as opened:
        problems = check_opened(opened, [], data=True).problems
        assert not problems, (told, [problem.line for problem in problems])


@pytest.mark.judged("quick")
@pytest.mark.parametrize("block_size", [1024, 4096, 16384])
@pytest.mark.parametrize("is_empty", [False, True], ids=["sample", "empty"])
def test_all_pairs(is_empty: bool, block_size: int, tmp_path: Path) -> None:
    image = tmp_path / "image"
    free = 2300 * block_size  # enough for a journal
    for number, names in enumerate(sets()):
        policies = {}
        if "encrypt" in names and "ext_attr" in names and not is_empty:
            policies = {"vault": "0123456789abcdef" * 2}
        larger = names & {"inline_data", "project", "extra_isize"}
        spec = Spec(
            features=FeatureSet.of(*names),
            block_size=block_size,
            inode_size=(256 if larger else 128) << number % 2,
            encryption_policies=policies,
            free=free,
        )
        tree = Tree() if is_empty else sample(names)
        layout = ext4writer.write_image(tree, image, spec)
        told = f"{block_size} {spec.inode_size} {','.join(sorted(names))}"
        assert_right(image, told)
        assert layout.available_bytes >= free, told
        if "has_journal" in names:
            assert "has_journal" in layout.features, told


def test_the_sets_hold_all_pairs() -> None:
    for first, second in combinations(WRITTEN, 2):
        pair = with_needs([first, second])
        if may_be(pair):
            assert any(pair <= names for names in sets()), (first, second)
    assert len(sets()) < 30


OPTIONS: dict[str, tuple[str, Callable[[int], dict[str, Any]]]] = {
    "desc_size 128": ("64bit", lambda block: {"desc_size": 128}),
    "desc_size 1024": ("64bit", lambda block: {"desc_size": 1024}),
    "cluster_size 4": ("bigalloc", lambda block: {"cluster_size": 4 * block}),
    "cluster_size 256": ("bigalloc", lambda block: {"cluster_size": 256 * block}),
    "first_meta_bg": ("meta_bg", lambda block: {"first_meta_bg": 1}),
    "num_backup_sb": ("sparse_super2", lambda block: {"num_backup_sb": 1}),
    "packed_meta_blocks": ("flex_bg", lambda block: {"packed_meta_blocks": True}),
    "groups_per_flex": ("", lambda block: {"groups_per_flex": 1}),
    "blocks_per_group": ("", lambda block: {"blocks_per_group": 1024}),
    "reserved_gdt_blocks": ("resize_inode", lambda block: {"reserved_gdt_blocks": 5}),
    "grow_to": ("resize_inode", lambda block: {"grow_to": 1 << 30}),
    "raid": ("", lambda block: {"raid_stride": 16, "raid_stripe_width": 64}),
    "quota_limits": ("quota", lambda block: {"quota_limits": "user:7:1G:2G", "quota_grace": "1d"}),
    "quotatype": ("quota", lambda block: {"quotatype": "grp"}),
    "orphan_file_size": ("orphan_file", lambda block: {"orphan_file_size": 5 * block}),
    "fast_commit_size": ("fast_commit", lambda block: {"fast_commit_size": 64 * block}),
    "mmp_update_interval": ("mmp", lambda block: {"mmp_update_interval": 1}),
    "hash_alg": ("", lambda block: {"hash_alg": "tea_unsigned"}),
    "encoding_flags": ("casefold", lambda block: {"encoding_flags": "strict"}),
    "verity": ("verity", lambda block: {"verity_block_size": 1024, "verity_salt": "c0ffee"}),
    "verity_hash_alg": ("verity", lambda block: {"verity_hash_alg": "sha512"}),
    "journal": ("has_journal", lambda block: {"journal": 1500 * block}),
    "journal none": ("", lambda block: {"journal": "none"}),
    "journal_features": (
        "has_journal",
        lambda block: {"journal_features": "journal_checksum_v3"},
    ),
    "bad_blocks": ("", lambda block: {"bad_blocks": (2000,)}),
    "dedupe": ("shared_blocks", lambda block: {"dedupe": "blocks"}),
    "reserved_percent": ("", lambda block: {"reserved_percent": 5}),
    "inode_ratio": ("", lambda block: {"inode_ratio": 64 << 20}),
    "inode_size 128": ("", lambda block: {"inode_size": 128}),
    "inode_size 1024": ("", lambda block: {"inode_size": 1024}),
    "align": ("", lambda block: {"align": "64K"}),
    "hole_size": ("", lambda block: {"hole_size": 0}),
    "lost_and_found": ("", lambda block: {"lost_and_found": False}),
    "policy": ("", lambda block: {"policy": "random:7"}),
}
"""Options of every kind that affect the layout: the feature that each needs, and its value as a
function of the block size.
"""


def with_options(words: Iterable[str], block_size: int = 4096) -> Spec:
    """The Spec of features and options; SpecError if two of them exclude each other."""
    names, options = set(), {}
    for word in sorted(words):
        need, make = OPTIONS.get(word, (word, lambda block: {}))
        names |= with_needs(need.split())
        for name, value in make(block_size).items():
            if name in options:
                raise SpecError(name, "and itself exclude each other, since there is one value")
            options[name] = value
    features = ",".join(["none", *sorted(names)])
    return Spec(block_size=block_size, features=features, **options)


def why_not(words: Iterable[str]) -> str:
    """Why these features and options are incompatible; "" if they are not."""
    try:
        with_options(words)
    except SpecError as error:
        return str(error)
    return ""


@cache
def option_sets() -> tuple[frozenset[str], ...]:
    """A few sets in which each option meets each other option and each feature."""
    choose = random.Random(19)
    words = sorted([*WRITTEN, *OPTIONS])
    left = {
        frozenset(pair)
        for pair in product(OPTIONS, words)
        if len(set(pair)) == 2 and not why_not(pair)
    }
    found: list[frozenset[str]] = []
    while left:
        best: tuple[int, frozenset[str]] = (0, frozenset())
        for _ in range(6):
            wanted = choose.choice(sorted(left, key=sorted))
            for word in choose.sample(words, len(words)):
                if not why_not(wanted | {word}):
                    wanted |= {word}
            gain = sum(pair <= wanted for pair in left)
            best = max(best, (gain, wanted), key=lambda each: (each[0], sorted(each[1])))
        found.append(best[1])
        left = {pair for pair in left if not pair <= best[1]}
    return tuple(found)


@pytest.mark.judged("quick")
def test_all_pairs_with_options(tmp_path: Path) -> None:
    """The three block sizes are used in turn."""
    image = tmp_path / "image"
    for number, words in enumerate(option_sets()):
        spec = replace(with_options(words, (1024, 4096, 16384)[number % 3]), free=300_000)
        tree = sample(frozenset(spec.features.names()))
        layout = ext4writer.write_image(tree, image, spec)
        told = f"{spec!r}"
        assert_right(image, told)
        assert layout.available_bytes >= 300_000, told


def test_options_that_exclude_something_say_what_and_why() -> None:
    refused = {}
    for pair in product(OPTIONS, [*WRITTEN, *OPTIONS]):
        if pair[0] != pair[1]:
            problem = why_not(pair)
            if problem:
                refused[pair] = problem
    for (first, second), problem in refused.items():
        for word in (first, second):
            need = OPTIONS.get(word, ("", None))[0]
            known = {word.split()[0], need, *with_needs(need.split())} - {""}
            assert any(name in problem for name in known), (first, second, problem)
        reason = re.search("since|two ways|no room|is none|keeps no", problem)
        assert reason, (first, second, problem)
        assert not re.search(r"add \^(bigalloc|project|inline_data|shared_blocks)", problem)
    assert len(refused) > 30


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (row.name, other)
        for row in FEATURES
        for other in row.conflicts
        if {row.name, other} <= set(WRITTEN)
    ],
)
def test_contradictions_are_refused_with_both_names(first: str, second: str) -> None:
    words = {"compat": 0, "incompat": 0, "ro_compat": 0}
    for row in FEATURES:  # FeatureSet.of would let metadata_csum replace uninit_bg
        if row.name in with_needs([first, second]):
            words[row.word] |= row.mask
    with pytest.raises(SpecError) as caught:
        FeatureSet(**words).check()
    told = str(caught.value)
    assert first in told and second in told and "exclude each other, since " in told


USE = """
for device in {devices}; do
    how=rw
    case " {read_only} " in *" $device "*) how=ro ;; esac
    mount -t ext4 -o $how /dev/$device /mnt
    [ "$(cat /mnt/small)" = small ]
    [ "$(ls /mnt/folder/inner | wc -l)" = 250 ]
    for number in 000 077 249; do [ -e /mnt/folder/inner/Name\\ $number* ]; done
    cat /mnt/checked /mnt/again /mnt/same /mnt/owned | wc -c
    if [ $how = rw ]; then
        mkdir /mnt/folder/new
        i=0
        while [ $i -lt 40 ]; do echo $i > /mnt/folder/inner/new$i; i=$((i+1)); done
        dd if=/dev/zero of=/mnt/folder/new/large bs=4096 count=300 2>/dev/null
        rm /mnt/folder/inner/Name\\ 1* /mnt/same
        mv /mnt/owned /mnt/folder/new/owned
    fi
    umount /mnt
done
"""


@pytest.mark.qemu
@pytest.mark.slow
@pytest.mark.judged("quick")
def test_a_kernel_uses_all_pairs(tmp_path: Path) -> None:
    """Except mmp, with which each mount would wait eleven seconds."""
    images, read_only, sizes = [], [], []
    for number, chosen in enumerate(sets()):
        names = chosen - {"mmp"}
        image = tmp_path / f"{number}"
        spec = Spec(
            features=FeatureSet.of(*names),
            inode_size=256 << number % 2,
            free=10 << 20,
        )
        tree = sample(names)
        ext4writer.write_image(tree, image, spec)
        images.append(image)
        sizes.append(sum(tree[name].content.size for name in ("checked", "again", "same", "owned")))  # type: ignore[union-attr]
        if names & {"read-only", "shared_blocks"}:
            read_only.append(f"vd{DEVICES[number]}")
    devices = [f"vd{DEVICES[number]}" for number in range(len(images))]
    script = USE.format(devices=" ".join(devices), read_only=" ".join(read_only))
    said = run_guest(script, images)
    assert said.split() == [str(size) for size in sizes]
    for image in images:
        judge(image, "quick")


def test_no_image_of_any_row_could_be_smaller() -> None:
    """The sizes just below the fitted one do not hold the tree, or not the promises."""
    for number, words in enumerate([*sets(), *option_sets()]):
        features = words - {"policy"}  # it draws differently for each size
        spec = replace(with_options(features, (1024, 4096)[number % 2]), free=100_000)
        tree = sample(frozenset(spec.features.names()))
        fitted = ext4writer.plan(tree, spec).size_bytes
        step = max(STEP, spec.align or 0)
        assert_nothing_smaller(tree, spec, [fitted - step * count for count in range(1, 4)])
