"""Whatever options a profile accepts, its readers return every file."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from ext4writer import Ext4WriterError, Spec, SpecError
from ext4writer.damage import strategies
from ext4writer.planning.profiles import DEBUGFS, DISSECT, FUSE2FS, GRUB, PROFILES, SEVEN_ZIP
from ext4writer.planning.random_features import TOGGLED
from tests.makers.compatibility_update import YES, Row, room, verdict, write

QUICK = (GRUB, SEVEN_ZIP, DEBUGFS, FUSE2FS, DISSECT)
"""Readers that need less than a second, the strictest ones first."""
ASKED = 3

SIZES = {
    "block_size": (4096, 1024, 2048, 8192, 65536),
    "inode_size": (256, 128, 512, 2048, 32768),
    "desc_size": (None, 64, 128, 1024),
    "blocks_per_group": (None, 256, 1024, 8192),
    "groups_per_flex": (16, 1, 4),
    "first_meta_bg": (0, 1, 3),
    "hash_alg": ("half_md4", "tea", "legacy_unsigned"),
    "journal": ("auto", "none", "16M"),
    "dedupe": ("none", "blocks"),
    "label": ("", "sixteen bytes it"),
    "lost_and_found": (True, False),
    "packed_meta_blocks": (False, True),
    "leading_hole": (False, True),
    "hole_size": (32 << 10, 0),
    "raid_stride": (0, 32),
    "free_inodes": (0, 5000),
}


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Some options of a Spec that differ from the defaults."""
    chosen: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from(list(SIZES)), min_size=4, max_size=8, unique=True)):
        chosen[name] = draw(st.sampled_from(SIZES[name]))
    words = draw(st.lists(st.sampled_from(TOGGLED), min_size=2, max_size=6, unique=True))
    signs = [draw(st.sampled_from(("", "^"))) for _ in words]
    if words:
        chosen["features"] = ",".join(map("".join, zip(signs, words, strict=True)))
    if "bigalloc" in chosen.get("features", ""):
        chosen["cluster_size"] = draw(st.sampled_from((None, 8192, 65536)))
    if draw(st.integers(0, 3)) == 3:
        chosen["policy"] = draw(strategies.policies())
    chosen["free"] = draw(st.sampled_from((0, room(chosen.get("block_size", 4096)))))
    return chosen


def accepted(profile: str, chosen: dict[str, Any]) -> Spec:
    """The Spec of these options, without those that the profile, or any Spec, refuses."""
    left = dict(chosen)
    while True:
        try:
            return Spec.of_profile(profile, **left)
        except SpecError as error:
            refused = error.option if error.option in left else next(iter(left))
            fewer = str(left.pop(refused)).rpartition(",")[0]
            if refused == "features" and fewer:
                left["features"] = fewer


CONTENT = ("", "pieces", "large directory", "inline_data")


def unread(spec: Spec, content: str, readers: Sequence[str], folder: Path) -> dict[str, str]:
    """The readers that do not return all content, and what they report."""
    image = folder / "image"
    try:
        tree = write(Row("drawn", spec, content), image)
    except Ext4WriterError:  # such as a journal that does not fit
        assume(False)
    found = {reader: verdict(reader, image, tree) for reader in readers}
    return {reader: said for reader, said in found.items() if said != YES}


@pytest.mark.judged("quick")
@settings(max_examples=10, deadline=None)
@example("default", {"desc_size": 128, "features": "inline_data,bigalloc"}, "inline_data")
@example("boot", {"leading_hole": True, "block_size": 1024, "features": "bigalloc"}, "")
@given(st.sampled_from(sorted(PROFILES)), options(), st.sampled_from(CONTENT))
def test_readers_of_a_profile_read_what_it_accepts(
    profile: str, chosen: dict[str, Any], content: str
) -> None:
    spec = accepted(profile, chosen)
    readers = [reader for reader in QUICK if reader in PROFILES[profile].readers]
    with tempfile.TemporaryDirectory() as folder:
        assert not unread(spec, content, readers[:ASKED], Path(folder)), spec
