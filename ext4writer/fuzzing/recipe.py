"""Recipes: short texts that yield the same image on every machine."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from uuid import UUID

from ..api import iter_layout, plan
from ..checked import check_fields, checked
from ..damage import patch
from ..damage.override import Override
from ..errors import Ext4WriterError, SpecError
from ..late_dataclasses import dataclass, field, replace
from ..planning.options import OPTIONS
from ..planning.spec import Spec
from ..tree import Tree
from .entries import Entry

HEAD = "ext4writer recipe 1"
TEXT_OPTIONS = (
    *("block_size", "inode_size", "features", "type", "size", "free", "inodes", "journal"),
    *("label", "hash_alg", "groups_per_flex", "blocks_per_group", "num_backup_sb", "desc_size"),
    *("first_meta_bg", "cluster_size", "grow_to", "errors", "default_mntopts", "revision"),
    *("encoding", "encoding_flags", "quotatype", "hole_size", "reserved_percent", "free_inodes"),
)
"""Options of the Spec that a recipe may contain; their values are texts or numbers."""
_NUMBER = re.compile(r"-?[0-9]{1,19}")
UUIDS = {"uuid": UUID(int=0x10), "hash_seed": UUID(int=0x20)}
EPOCH = 1_700_000_000


class RecipeError(Ext4WriterError):
    """An invalid recipe, or one without a possible image; names the line."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The tree, Spec, policy and overrides of one image."""

    entries: tuple[Entry, ...] = ()
    spec: Mapping[str, str] = field(default_factory=dict)
    """Options of the Spec as texts, by name."""
    policy: str = "default"
    overrides: tuple[str, ...] = ()
    """In the form of ``--override``; a leading ``!`` leaves the checksum stale."""

    def __post_init__(self) -> None:
        """Raise :class:`SpecError` for a value of a wrong type."""
        check_fields(self)

    @classmethod
    @checked()
    def parse(cls, text: str) -> Recipe:
        """Parse the result of ``str``. Raises :class:`RecipeError`, also for repeated settings."""
        lines = text.splitlines()
        if not lines or lines[0].strip() != HEAD:
            raise RecipeError(f"the first line is not {HEAD!r}")
        recipe = cls()
        line_of: dict[str, int] = {}
        for number, line in enumerate(lines[1:], 2):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            rest = line.strip()[len(words[0]) :].strip()
            try:
                recipe = recipe._with_line(words[0], rest, words)
            except (ValueError, Ext4WriterError) as error:
                raise RecipeError(f"line {number}: {error}") from None
            if words[0] in ("policy", "spec"):
                what = "the policy" if words[0] == "policy" else rest.partition("=")[0]
                if what in line_of:
                    problem = f"{what} is already in line {line_of[what]}; keep one of the two"
                    raise RecipeError(f"line {number}: {problem}")
                line_of[what] = number
        return recipe

    def _with_line(self, kind: str, rest: str, words: list[str]) -> Recipe:
        if kind == "spec":
            name, equals, value = rest.partition("=")
            if name not in TEXT_OPTIONS or not equals:
                raise ValueError(f"{rest!r} is not an option; options: {', '.join(TEXT_OPTIONS)}")
            return replace(self, spec={**self.spec, name: value})
        if kind == "policy":
            return replace(self, policy=rest)
        if kind == "override":
            Override.parse(rest.removeprefix("!"))
            return replace(self, overrides=(*self.overrides, rest))
        return replace(self, entries=(*self.entries, Entry.parse(words)))

    def __str__(self) -> str:
        lines = [HEAD, *map(str, self.entries)]
        lines += [f"spec {name}={value}" for name, value in self.spec.items()]
        if self.policy != "default":
            lines.append(f"policy {self.policy}")
        lines += [f"override {text}" for text in self.overrides]
        return "\n".join(lines) + "\n"

    @property
    def name(self) -> str:
        """Twelve hexadecimal digits, a hash of the text."""
        return hashlib.sha256(str(self).encode()).hexdigest()[:12]

    def make_tree(self) -> Tree:
        """Return the tree.

        Raises :class:`TreeError` for contradictory entries, and :class:`RecipeError` for numbers
        that are too large.
        """
        tree = Tree()
        for entry in self.entries:
            try:
                entry.add_to(tree)
            except ValueError as error:
                raise RecipeError(str(error)) from None
        return tree

    def make_spec(self) -> Spec:
        """Return the Spec; raise :class:`SpecError` if it is invalid."""
        given: dict[str, object] = {"free": 0, "free_inodes": 0, "grow_to": 0, **self.spec}
        for name in ("free", "free_inodes"):
            if name not in self.spec and "size" in self.spec:
                del given[name]
        if "inodes" in self.spec and "free_inodes" not in self.spec:
            given.pop("free_inodes", None)  # it excludes inodes
        changes_format = "features" in given or given.get("type", "ext4") != "ext4"
        if changes_format and "grow_to" not in self.spec:
            del given["grow_to"]  # it needs the resize inode
        numbers = ("block_size", "inode_size", "desc_size", "groups_per_flex", "num_backup_sb")
        for name in (*numbers, "first_meta_bg", "revision", "blocks_per_group"):
            if name in given:
                given[name] = _number(name, str(given[name]))
        if self.policy != "default":
            given["policy"] = self.policy
        return Spec(**UUIDS, epoch=EPOCH, **given)  # type: ignore[arg-type]

    def image(self) -> bytes:
        """Return the bytes of the image with the overrides applied.

        Raises the errors of planning, and :class:`OverrideError` for a field that the image does
        not have.
        """
        data = self.right_image()
        return patch(data, self.parsed_overrides()) if self.overrides else data

    def right_image(self) -> bytes:
        """Return the bytes of the image without the overrides."""
        return b"".join(iter_layout(plan(self.make_tree(), self.make_spec())))

    def parsed_overrides(self) -> Sequence[Override]:
        """Return the overrides as objects."""
        return [
            Override.parse(text.removeprefix("!"), reseal=not text.startswith("!"))
            for text in self.overrides
        ]


def _number(name: str, text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise SpecError(name, f"{text!r:.80} is not an integer")
    return int(text)


assert set(TEXT_OPTIONS) <= OPTIONS.keys() | {"type"}, set(TEXT_OPTIONS) - OPTIONS.keys()
