"""The table of features: mke2fs syntax, names, needs and conflicts."""

from __future__ import annotations

import re
from itertools import combinations, permutations
from typing import Any

import pytest

from ext4writer import Spec
from ext4writer.errors import SpecError
from ext4writer.ondisk.features import ALIASES, DEFAULT_FEATURES, FEATURES, FeatureSet, feature

EMPTY = FeatureSet()


def test_table_is_sound() -> None:
    names = [row.name for row in FEATURES]
    assert len(set(names)) == len(names)
    assert len({(row.word, row.mask) for row in FEATURES}) == len(FEATURES)
    for row in FEATURES:
        assert row.mask.bit_count() == 1
        assert all(name in names for name in row.needs + row.conflicts)
        assert bool(row.reason) == (row.support != "write")
    assert all(target in names and alias not in names for alias, target in ALIASES.items())


def test_default_features() -> None:
    DEFAULT_FEATURES.check()
    # mke2fs -t ext4 -O ^metadata_csum_seed,^orphan_file
    assert (DEFAULT_FEATURES.compat, DEFAULT_FEATURES.incompat) == (0x3C, 0x2C2)
    assert DEFAULT_FEATURES.ro_compat == 0x46B


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", "filetype extent"),
        ("^extent", "filetype"),
        ("-extents", "filetype"),
        ("+dir_index,ext_attr", "ext_attr dir_index filetype extent"),
        ("dir_index ext_attr", "ext_attr dir_index filetype extent"),
        (" dir_index ,, ext_attr ", "ext_attr dir_index filetype extent"),
        ("none", ""),
        ("none,extents", "extent"),
        ("CLEAR,Extents", "extent"),
        ("extent,none", ""),
        ("uninit_groups", "filetype extent uninit_bg"),
        ("gdt_csum", "filetype extent uninit_bg"),
        ("fname_encoding", "filetype extent casefold"),
        ("FEATURE_C5", "dir_index filetype extent"),
        ("FEATURE_R31", "filetype extent FEATURE_R31"),
        ("metadata_csum,uninit_bg", "filetype extent metadata_csum"),
        ("uninit_bg,metadata_csum", "filetype extent metadata_csum"),
    ],
)
def test_parse(text: str, names: str) -> None:
    parsed = FeatureSet.parse(text, FeatureSet.of("filetype", "extent"))
    assert parsed.names() == tuple(names.split())
    assert FeatureSet.of(*parsed.names()) == parsed
    assert FeatureSet.parse(str(parsed), EMPTY) == parsed


@pytest.mark.parametrize("text", ["nothing", "^nothing", "^", "+", "FEATURE_X1", "FEATURE_C32"])
def test_unknown_names(text: str) -> None:
    with pytest.raises(SpecError, match="not a feature") as caught:
        FeatureSet.parse(text, EMPTY)
    assert caught.value.option == "features"


def test_set_operations() -> None:
    some = FeatureSet.of("extent", "dir_index")
    assert "extents" in some
    assert "extent" in some
    assert "64bit" not in some
    assert some.with_("64bit").without("64bit") == some
    assert some.without("dir_index").names() == ("extent",)
    assert {some: 1}[FeatureSet.of("dir_index", "extent")] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "^extent",
            "64bit needs extent, since block maps hold 32-bit numbers; add extent or ^",
        ),
        ("^sparse_super", "; add sparse_super or ^resize_inode"),
        ("^metadata_csum,metadata_csum_seed", "since it stores the seed"),
        ("bigalloc,^extent,^64bit", "; add extent or ^bigalloc"),
        ("lazy_bg", "lazy_bg: never part of Linux; add ^lazy_bg"),
        ("FEATURE_I30", "FEATURE_I30: unknown; add ^FEATURE_I30"),
        ("needs_recovery", "nothing to recover"),
        ("meta_bg", "resize_inode and meta_bg exclude each other, since both decide where"),
        ("meta_bg", "; add ^resize_inode"),
    ],
)
def test_the_feature_check_suggests_a_remedy(change: str, message: str) -> None:
    features = FeatureSet.parse(change, DEFAULT_FEATURES)
    with pytest.raises(SpecError) as caught:
        features.check()
    assert message in str(caught.value)
    assert caught.value.option == "features"
    assert "\n" not in str(caught.value)


def test_conflict_of_raw_words() -> None:
    """The words of an image may contain both checksums of descriptors."""
    both = FeatureSet(0, DEFAULT_FEATURES.incompat, feature("uninit_bg").mask | 0x400)
    with pytest.raises(SpecError, match=r"exclude each other, since both .*; add \^uninit_bg"):
        both.check()


@pytest.mark.parametrize(
    "change",
    [
        "",
        "metadata_csum_seed",
        "^metadata_csum,uninit_bg",
        "^metadata_csum",
        "^64bit",
        "^has_journal",
        "^resize_inode",
        "^resize_inode,^sparse_super",
        "^filetype",
        "dir_prealloc",
        "none,extent",
        "none",
        "^extent,^64bit",
        "sparse_super2,^resize_inode",
        "large_dir,^dir_index",
    ],
)
def test_writable(change: str) -> None:
    FeatureSet.parse(change, DEFAULT_FEATURES).check()


@pytest.mark.parametrize("choice", [0, -1])
def test_every_suggested_remedy_works(choice: int) -> None:
    """Following the messages about any two features leads to a set that passes."""
    rows = [row.name for row in FEATURES]
    for first, second in combinations(rows, 2):
        features = FeatureSet.of(first, second)
        for _ in range(8):
            try:
                features.check()
            except SpecError as problem:
                hint = str(problem).rsplit("add ", 1)[1].split(" or ")[choice]
                features = FeatureSet.parse(hint, features)
            else:
                break
        else:
            pytest.fail(f"no remedy for {first} and {second}")


def followed(typed: list[str], hint: str) -> list[str]:
    """What a user who follows a hint types; the first of two suggestions."""
    what, _, words = hint.split(", or ", maxsplit=1)[0].split(" or ", maxsplit=1)[0].partition(" ")
    if what == "add":
        return [*typed, *words.split(",")]
    assert hint.startswith("leave out ")
    word = words.removeprefix("out ")
    return typed[:-1] if word == "the option" else [each for each in typed if each != word]


def test_hints_do_not_undo_what_was_typed() -> None:
    """For any two words, each refusal has names and a reason, and following its hints works."""
    words = [sign + row.name for row in FEATURES for sign in ("", "^")]
    refused = 0
    for pair in permutations(words, 2):
        typed = list(pair)
        for _ in range(8):
            try:
                Spec(features=",".join(typed))
            except SpecError as error:
                problem, hint = error.problem.rsplit("; ", 1)
            else:
                break
            refused += 1
            two = re.match(
                r"(\w+) needs (\w+), since |(\w+) and (\w+) exclude each other, since ", problem
            )
            if two is None:
                name = problem.partition(":")[0]
                assert feature(name).support == "no" and hint in (
                    f"leave out {name}",
                    f"add ^{name}",
                )
            given = hint.removeprefix("add ").partition(", or")[0]
            for word in re.split(" or |,", given) if hint.startswith("add ") else []:
                opposite = word[1:] if word[0] == "^" else f"^{word}"
                assert opposite not in typed, (typed, problem, hint)
            before, typed = typed, followed(typed, hint)
            assert typed != before, (typed, hint)
        else:
            pytest.fail(f"no remedy for {pair}")
    assert refused > 1000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": "^bigalloc", "cluster_size": "64K"}, "leave out the option, or ^bigalloc"),
        ({"features": "^quota", "quotatype": "usr"}, "leave out the option, or ^quota"),
        ({"features": "^casefold", "encoding": "utf8"}, "needs casefold; leave out the option"),
        ({"features": "^shared_blocks", "dedupe": "blocks"}, "leave out the option, or ^shared"),
        ({"features": "bigalloc", "dedupe": "blocks"}, "leave out dedupe or bigalloc"),
        ({"features": "has_journal", "journal": "none"}, "leave out the option, or has_journal"),
        (
            {"features": "fast_commit", "journal": "none"},
            "since fast commits are stored at the",
        ),
        (
            {"features": "uninit_bg"},
            "how descriptors are checksummed; add ^metadata_csum",
        ),
        ({"features": "uninit_bg,metadata_csum"}, "leave out uninit_bg or metadata_csum"),
        ({"type": "ext2", "journal": "4M"}, "do not include has_journal"),
    ],
)
def test_options_against_features(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        Spec(**options)
    assert message in str(caught.value)


def test_features_that_need_another() -> None:
    features = DEFAULT_FEATURES.with_("orphan_file", "fast_commit")
    assert features.needing("has_journal") == ("fast_commit", "orphan_file")
    assert DEFAULT_FEATURES.needing("has_journal") == ()
    assert DEFAULT_FEATURES.needing("extent") == ("64bit",)
