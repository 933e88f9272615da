"""Random recipes from seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from ..arguments import ID_MOST
from ..checked import checked
from ..damage import patch
from ..errors import Ext4WriterError, SpecError
from ..late_dataclasses import NamedTuple, replace
from ..ondisk.dirent import DIR_ENTRY_2
from ..ondisk.extent import EXTENT, EXTENT_HEADER
from ..ondisk.features import DEFAULT_FEATURES
from ..ondisk.group_desc import GROUP_DESC_32
from ..ondisk.htree import DX_ROOT
from ..ondisk.inode import INODE_128
from ..ondisk.journal import JOURNAL_SUPERBLOCK
from ..ondisk.record import Record
from ..ondisk.superblock import SUPERBLOCK
from ..ondisk.xattr import XATTR_HEADER
from ..planning.named_policies import NAMED, XattrInodesApart
from ..planning.random_features import random_features
from ..planning.random_policy import SeededPolicy
from .entries import Entry
from .recipe import Recipe

Item = TypeVar("Item")

SIZES = (0, 1, 59, 60, 155, 156, 1023, 1024, 1025, 4096, 5000, 20_000, 70_000)
XATTRS = (1, 20, 80, 200, 700, 3000)
LINKS = (1, 59, 60, 100, 500)
NAMES = (3, 15, 60, 250)
BLOCK_SIZES = ("1024", "1024", "2048", "4096")
INODE_SIZES = ("128", "256", "512", "1024")
VALUES = (
    *("zeroes", "ones", "firstbit", "middlebit", "lastbit", "add", "sub", "sign", "max"),
    *("limit", "limit+1", "limit-1", "blocksize", "0", "1", "2", "-1"),
)
PLACES = ("itself", "parent", "neighbour", "another", "superblock", "root", "inode_table")


class Chance:
    """Pseudorandom numbers from a seed, the same on every host."""

    def __init__(self, seed: int) -> None:
        self.below = SeededPolicy(seed).below
        """Function of a limit: return a number from 0 up to, but not including, the limit."""

    def one_of(self, items: tuple[Item, ...] | list[Item]) -> Item:
        """Return a random item."""
        return items[self.below(len(items))]

    def often(self, times: int) -> bool:
        """Return True once in ``times`` calls on average."""
        return self.below(times) == 0


class RecipeAndImage(NamedTuple):
    """A recipe, and its image."""

    recipe: Recipe
    image: bytes


@checked()
def random_recipe(seed: int, overrides: int = 1) -> Recipe:
    """Return the recipe of a seed, with up to ``overrides`` wrong fields. Its image can be built.

    A seed yields the same recipe on every machine, but not in every release. Raises
    :class:`SpecError` if ``overrides`` is negative.
    """
    return random_image(seed, overrides).recipe


@checked()
def random_image(seed: int, overrides: int = 1) -> RecipeAndImage:
    """Return the recipe of :func:`random_recipe` together with its image, which is built once."""
    if overrides < 0:
        raise SpecError("overrides", f"is {overrides}, but must not be negative")
    chance = Chance(seed)
    recipe, right = _right(chance)
    image = right
    for _ in range(chance.below(overrides + 1)):
        text = _override(recipe, chance)
        candidate = replace(recipe, overrides=(*recipe.overrides, text))
        try:
            image = patch(right, candidate.parsed_overrides())
        except Ext4WriterError:
            continue  # the image has no such record
        recipe = candidate
    return RecipeAndImage(recipe, image)


def _right(chance: Chance) -> tuple[Recipe, bytes]:
    """Return a random recipe without overrides, and its image."""
    entries, block_size = _entries(chance), chance.one_of(BLOCK_SIZES)
    most = int(block_size) // 2
    entries = tuple(_with_less(entry, "xattr", most) for entry in entries)
    spec = {"block_size": block_size}
    if chance.often(3):
        spec["journal"] = "none"
    elif block_size == "1024" and chance.often(4):
        spec["journal"] = "1M"  # the minimum; these images are too small to get one by default
    if chance.often(2):
        spec["inode_size"] = chance.one_of(INODE_SIZES)
    kept = _impossible(entries, spec)
    features = ",".join(random_features(DEFAULT_FEATURES, chance.below, kept))
    choices = ["default", f"random:{chance.below(1 << 32)}", chance.one_of(_POLICIES)]
    policy = chance.one_of(choices)
    if policy != "default" and chance.often(2):
        spec["free"] = "96K"  # space for layouts that are not dense
    with_features = {**spec, "features": features} if features else spec
    # Nearly all combinations are valid; otherwise use a simpler one.
    for recipe in (
        Recipe(entries, with_features, policy),
        Recipe(entries, spec, policy),
        Recipe(entries, spec),
    ):
        try:
            return recipe, recipe.right_image()
        except Ext4WriterError:
            continue
    recipe = Recipe(spec={"block_size": block_size})
    return recipe, recipe.right_image()


def _with_less(entry: Entry, name: str, most: int) -> Entry:
    """Return ``entry`` with its number ``name`` limited to ``most``."""
    if entry.numbers.get(name, 0) <= most:
        return entry
    return entry._replace(numbers={**entry.numbers, name: most})


def _impossible(entries: tuple[Entry, ...], spec: Mapping[str, str]) -> set[str]:
    """Return the features that must not be toggled with these files and options."""
    kept = set()
    if spec.get("journal") == "none":
        kept |= {"orphan_file", "fast_commit"}
    if spec.get("inode_size") == "128":
        kept |= {"project", "inline_data"}
    if spec["block_size"] == "4096":
        kept.add("large_file")  # a resize inode of 4 GiB needs it
    if any("xattr" in entry.numbers for entry in entries):
        kept.add("ext_attr")
    return kept


def _entries(chance: Chance) -> tuple[Entry, ...]:
    makers: list[Callable[[str], Entry]] = [
        lambda path: Entry("file", path, _file(chance)),
        lambda path: Entry("file", path, _file(chance)),
        lambda path: Entry("dir", path, _directory(chance)),
        lambda path: Entry("symlink", path, {"length": chance.one_of(LINKS)}),
        lambda path: Entry("device", path, {"major": 8, "minor": chance.below(300)}),
        lambda path: Entry("link", path, {}),
        lambda path: Entry("fifo", path, {}),
    ]
    entries: list[Entry] = []
    folders = [""]
    for number in range(1 + chance.below(8)):
        entry = chance.one_of(makers)(f"{chance.one_of(folders)}/e{number}")
        entries.append(entry)
        if entry.kind == "dir":
            folders.append(entry.path)
    return tuple(entries)


def _file(chance: Chance) -> dict[str, int]:
    numbers = {"size": chance.one_of(SIZES), "fill": 1 + chance.below(200)}
    if chance.often(4):
        numbers["hole"] = 40_000
    return numbers | _attributes(chance)


def _directory(chance: Chance) -> dict[str, int]:
    numbers = {}
    if chance.often(2):
        numbers = {"names": chance.one_of(NAMES), "length": 5 + chance.below(60)}
    return numbers | _attributes(chance)


def _attributes(chance: Chance) -> dict[str, int]:
    numbers = {}
    if chance.often(4):
        numbers["xattr"] = chance.one_of(XATTRS)
    if chance.often(6):
        numbers["mode"] = chance.below(0o10000)
    if chance.often(6):
        numbers["uid"] = chance.one_of((1, 65_535, 65_536, ID_MOST))
    if chance.often(6):
        numbers["mtime"] = chance.one_of((0, (1 << 31) - 1, 1 << 31, 1 << 33))
    return numbers


def _override(recipe: Recipe, chance: Chance) -> str:
    """Return an override of a random field with an interesting value."""
    paths = ["/", *(entry.path for entry in recipe.entries)]
    record, index = chance.one_of(_TARGETS)
    index = index.replace("PATH", chance.one_of(paths))
    value = chance.one_of(PLACES) if chance.often(4) else chance.one_of(VALUES)
    stale = "!" if chance.often(8) else ""
    return f"{stale}{record}{index}.{chance.one_of(list(_RECORDS[record].fields))}={value}"


_RECORDS: dict[str, Record] = {
    "superblock": SUPERBLOCK,
    "group_desc": GROUP_DESC_32,
    "inode": INODE_128,
    "extent_header": EXTENT_HEADER,
    "extent": EXTENT,
    "dir_entry_2": DIR_ENTRY_2,
    "dx_root": DX_ROOT,
    "xattr_header": XATTR_HEADER,
    "journal_superblock": JOURNAL_SUPERBLOCK,
}
_POLICIES = [name for name in NAMED if name != XattrInodesApart.name]
"""Policies that are drawn. The excluded one is newer: with it, seeds would yield other recipes."""
_TARGETS = (
    *(("superblock", ""), ("group_desc", "[0]"), ("inode", "[PATH]"), ("inode", "[2]")),
    *(("inode", "[8]"), ("extent_header", "[PATH:0]"), ("extent", "[PATH:0:0]")),
    *(("dir_entry_2", "[PATH]"), ("dir_entry_2", "[PATH/.]"), ("dir_entry_2", "[PATH/..]")),
    *(("dx_root", "[PATH:0]"), ("xattr_header", "[PATH]"), ("journal_superblock", "")),
)
"""(record, index), in which PATH stands for a path of the tree."""
