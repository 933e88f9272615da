"""Hypothesis strategies for tests of other projects: trees, specs, policies, overrides, images.

    from hypothesis import given
    from ext4writer.damage import strategies

    @given(strategies.images())
    def test_my_reader(image: bytes) -> None: ...

They need the package hypothesis, which the extra ``ext4writer[hypothesis]`` installs. All of them
draw a :class:`~ext4writer.fuzzing.Recipe`, so failing examples are short.
"""

from __future__ import annotations

from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from ..errors import Ext4WriterError
from ..fuzzing.chance import SIZES, XATTRS
from ..fuzzing.entries import Entry
from ..fuzzing.recipe import Recipe
from ..late_dataclasses import replace
from ..planning.named_policies import NAMED
from ..planning.policy import LayoutPolicy
from ..planning.policy_names import policy
from ..planning.random_features import TOGGLED
from ..planning.spec import Spec
from ..tree import Tree

_VALUES = ("zeroes", "ones", "firstbit", "lastbit", "add", "sub", "limit", "limit+1", "0", "1")
_FIELDS = (
    *("superblock.s_blocks_count_lo", "superblock.s_inodes_count", "superblock.s_log_block_size"),
    *("superblock.s_first_ino", "superblock.s_desc_size", "superblock.s_feature_incompat"),
    *("group_desc[0].bg_inode_table_lo", "group_desc[0].bg_block_bitmap_lo"),
    *("group_desc[0].bg_free_blocks_count_lo", "inode[2].i_mode", "inode[2].i_size_lo"),
    *("inode[2].i_links_count", "inode[2].i_flags", "inode[2].i_blocks_lo", "inode[11].i_mode"),
    *("extent_header[/:0].eh_entries", "extent_header[/:0].eh_depth", "extent[/:0:0].ee_start_lo"),
    *("extent[/:0:0].ee_len", "dir_entry_2[/.].inode", "dir_entry_2[/..].rec_len"),
    *("dir_entry_2[/lost+found].name_len", "dir_entry_2[/lost+found].inode"),
)


@st.composite
def _entries(draw: st.DrawFn) -> tuple[Entry, ...]:
    entries = []
    folders = [""]
    for number in range(draw(st.integers(0, 6))):
        path = f"{draw(st.sampled_from(folders))}/e{number}"
        kind = draw(st.sampled_from(("file", "dir", "symlink", "device", "fifo", "link")))
        numbers: dict[str, int] = {}
        if kind == "file":
            numbers = {"size": draw(st.sampled_from(SIZES)), "fill": draw(st.integers(0, 9))}
        elif kind == "dir":
            numbers = {"names": draw(st.integers(0, 60))}
            folders.append(path)
        elif kind == "symlink":
            numbers = {"length": draw(st.integers(1, 300))}
        if kind in ("file", "dir") and draw(st.booleans()):
            numbers["xattr"] = draw(st.sampled_from(XATTRS[:4]))
        entries.append(Entry(kind, path, numbers))
    return tuple(entries)


@st.composite
def _options(draw: st.DrawFn) -> dict[str, str]:
    options = {
        "block_size": draw(st.sampled_from(("1024", "2048", "4096"))),
        "inode_size": draw(st.sampled_from(("256", "128", "512"))),
        "journal": draw(st.sampled_from(("none", "auto"))),
    }
    words = draw(st.lists(st.sampled_from(TOGGLED), max_size=4, unique=True))
    if words:
        signs = [draw(st.sampled_from(("", "^"))) for _ in words]
        options["features"] = ",".join(map("".join, zip(signs, words, strict=True)))
    return options


def trees() -> st.SearchStrategy[Tree]:
    """Return a strategy for small trees with files of all kinds."""
    return _entries().map(lambda entries: Recipe(entries).make_tree())


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    """Draw valid combinations of options, over all features."""
    recipe = Recipe(spec=draw(_options()))
    try:
        return recipe.make_spec()
    except Ext4WriterError:
        return Recipe(spec={"block_size": recipe.spec["block_size"]}).make_spec()


def policies() -> st.SearchStrategy[LayoutPolicy]:
    """Return a strategy for policies: the default, named ones and random ones."""
    return _policy_names().map(policy)


def _policy_names() -> st.SearchStrategy[str]:
    seeds = st.integers(0, 1 << 16)
    named = st.builds("{}:{}".format, st.sampled_from(list(NAMED)), seeds)
    return st.just("default") | seeds.map("random:{}".format) | named


def overrides() -> st.SearchStrategy[str]:
    """Return a strategy for wrong fields of structures in every image, as override texts."""
    return st.builds("{}={}".format, st.sampled_from(_FIELDS), st.sampled_from(_VALUES))


@st.composite
def recipes(draw: st.DrawFn, *, most_overrides: int = 1) -> Recipe:
    """Draw recipes whose images can be built, with up to ``most_overrides`` wrong fields."""
    recipe = Recipe(draw(_entries()), draw(_options()), draw(_policy_names()))
    texts = tuple(draw(st.lists(overrides(), max_size=most_overrides)))
    for candidate in (replace(recipe, overrides=texts), recipe):
        try:
            candidate.image()
        except Ext4WriterError:
            continue
        return candidate
    assume(False)
    raise AssertionError


def images(*, most_overrides: int = 1) -> st.SearchStrategy[bytes]:
    """Return a strategy for complete images, some without damage."""

    def made(recipe: Any) -> bytes:
        data: bytes = recipe.image()
        return data

    return recipes(most_overrides=most_overrides).map(made)
