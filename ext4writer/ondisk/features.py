"""The feature flags, one row each, and FeatureSet, the three words that hold them.

Names are those of ``mke2fs -O``. Rules: Documentation/filesystems/ext4/super.rst,
e2fsprogs lib/e2p/feature.c:feature_list, and misc/mke2fs.c:PRS for features that exclude each
other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal, NoReturn

from ..checked import check_fields, checked, refuse_unknown
from ..errors import SpecError
from ..late_dataclasses import NamedTuple, dataclass

Word = Literal["compat", "incompat", "ro_compat"]
Support = Literal["write", "ignore", "no"]

_NEVER = "never part of Linux"


class Feature(NamedTuple):
    """One flag. ``support``: written, accepted without any effect, or refused with ``reason``."""

    name: str
    word: Word
    mask: int
    support: Support = "no"
    needs: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    reason: str = ""


def _row(
    name: str,
    word: Word,
    mask: int,
    support: Support = "no",
    *,
    needs: str = "",
    conflicts: str = "",
    reason: str = "",
) -> Feature:
    return Feature(
        name, word, mask, support, tuple(needs.split()), tuple(conflicts.split()), reason
    )


# fmt: off
FEATURES: tuple[Feature, ...] = (
    _row("dir_prealloc", "compat", 0x1, "ignore", reason="Linux does nothing for it"),
    _row("imagic_inodes", "compat", 0x2, "ignore", reason="Linux does nothing for it"),
    _row("has_journal", "compat", 0x4, "write", conflicts="journal_dev"),
    _row("ext_attr", "compat", 0x8, "write"),
    _row("resize_inode", "compat", 0x10, "write", needs="sparse_super", conflicts="meta_bg"),
    _row("dir_index", "compat", 0x20, "write"),
    _row("lazy_bg", "compat", 0x40, reason=_NEVER),
    _row("snapshot_bitmap", "compat", 0x100, reason=_NEVER),
    _row("sparse_super2", "compat", 0x200, "write"),
    _row("fast_commit", "compat", 0x400, "write", needs="has_journal"),
    _row("stable_inodes", "compat", 0x800, "write"),
    _row("orphan_file", "compat", 0x1000, "write", needs="has_journal"),

    _row("compression", "incompat", 0x1, reason=_NEVER),
    _row("filetype", "incompat", 0x2, "write"),
    _row("needs_recovery", "incompat", 0x4, reason="a new image has nothing to recover"),
    _row("journal_dev", "incompat", 0x8, conflicts="has_journal",
         reason="a journal device holds no files; journal_device writes one next to an image"),
    _row("meta_bg", "incompat", 0x10, "write", conflicts="resize_inode"),
    _row("extent", "incompat", 0x40, "write"),
    _row("64bit", "incompat", 0x80, "write", needs="extent"),
    _row("mmp", "incompat", 0x100, "write"),
    _row("flex_bg", "incompat", 0x200, "write"),
    _row("ea_inode", "incompat", 0x400, "write"),
    _row("dirdata", "incompat", 0x1000, reason=_NEVER),
    _row("metadata_csum_seed", "incompat", 0x2000, "write", needs="metadata_csum"),
    _row("large_dir", "incompat", 0x4000, "write"),
    _row("inline_data", "incompat", 0x8000, "write"),
    _row("encrypt", "incompat", 0x10000, "write"),
    _row("casefold", "incompat", 0x20000, "write"),

    _row("sparse_super", "ro_compat", 0x1, "write"),
    _row("large_file", "ro_compat", 0x2, "write"),
    _row("btree_dir", "ro_compat", 0x4, reason=_NEVER),
    _row("huge_file", "ro_compat", 0x8, "write"),
    _row("uninit_bg", "ro_compat", 0x10, "write", conflicts="metadata_csum"),
    _row("dir_nlink", "ro_compat", 0x20, "write"),
    _row("extra_isize", "ro_compat", 0x40, "write"),
    _row("has_snapshot", "ro_compat", 0x80, reason=_NEVER),
    _row("quota", "ro_compat", 0x100, "write"),
    _row("bigalloc", "ro_compat", 0x200, "write", needs="extent"),
    _row("metadata_csum", "ro_compat", 0x400, "write"),
    _row("replica", "ro_compat", 0x800, reason=_NEVER),
    _row("read-only", "ro_compat", 0x1000, "write"),
    _row("project", "ro_compat", 0x2000, "write"),
    _row("shared_blocks", "ro_compat", 0x4000, "write", conflicts="bigalloc"),
    _row("verity", "ro_compat", 0x8000, "write", needs="extent"),
    _row("orphan_present", "ro_compat", 0x10000, needs="orphan_file",
         reason="a new image has no orphans"),
)
# fmt: on

_WHY = {
    frozenset(("has_journal", "journal_dev")): "a journal device has no journal inside",
    frozenset(("resize_inode", "meta_bg")): "both decide where further descriptors are stored",
    frozenset(("uninit_bg", "metadata_csum")): "both decide how descriptors are checksummed",
    frozenset(("shared_blocks", "bigalloc")): "blocks are shared one by one, and clusters are not",
}
"""For each pair of features that exclude each other: the reason, to be read after "since"."""

_WHY_NEEDED = {
    # misc/mke2fs.c:PRS refuses it, and lib/ext2fs/res_gdt.c reserves blocks next to each backup.
    (
        "resize_inode",
        "sparse_super",
    ): "it reserves blocks next to each backup, so there must be few backups",
    # fs/jbd2/journal.c:jbd2_fc_init
    ("fast_commit", "has_journal"): "fast commits are stored at the end of the journal",
    # misc/mke2fs.c:main; fs/ext4/orphan.c:ext4_orphan_add
    ("orphan_file", "has_journal"): "the kernel records orphans only if it has a journal",
    # misc/mke2fs.c:PRS; Documentation/filesystems/ext4/ifork.rst
    ("64bit", "extent"): "block maps hold 32-bit numbers",
    # misc/mke2fs.c:main; fs/ext4/super.c:ext4_init_metadata_csum
    ("metadata_csum_seed", "metadata_csum"): "it stores the seed of those checksums",
    # misc/mke2fs.c:PRS; Documentation/filesystems/ext4/bigalloc.rst
    ("bigalloc", "extent"): "the kernel allocates clusters only to files with extents",
    # misc/mke2fs.c:PRS; fs/ext4/verity.c:ext4_begin_enable_verity
    ("verity", "extent"): "the kernel stores Merkle trees only in files with extents",
    ("orphan_present", "orphan_file"): "it indicates that this file holds orphans",
}
"""For each feature that needs another one: the reason, to be read after "since"."""

# Alternative spellings: feature.c:feature_list, and the kernel's name for uninit_bg.
ALIASES = {
    "extents": "extent",
    "uninit_groups": "uninit_bg",
    "gdt_csum": "uninit_bg",
    "fname_encoding": "casefold",
}

_NOTHING = ("none", "clear")
_MINUS = ("^", "-")

_BY_NAME = {feature.name: feature for feature in FEATURES}
_LETTERS: dict[str, Word] = {"c": "compat", "i": "incompat", "r": "ro_compat"}


def feature(name: str) -> Feature:
    """Return the row of a feature by any spelling that mke2fs accepts, even ``FEATURE_I20``."""
    # feature.c:e2p_string2feature ignores case and accepts the number of a bit
    if not isinstance(name, str):
        raise SpecError("features", f"{name!r} is no name of a feature")
    row = _BY_NAME.get(name)
    if row is not None:
        return row
    lower = name.strip().lower()
    row = _BY_NAME.get(ALIASES.get(lower, lower))
    if row is not None:
        return row
    numbered = re.fullmatch(r"feature_([cir])([0-9]|[12][0-9]|3[01])", lower)
    if numbered is None:
        from ..wrong_calls import meant  # late: hardly any program needs it

        hint = meant(lower, _BY_NAME, "mke2fs has the same names")
        raise SpecError("features", f"{name!r} is not a feature of ext4; {hint}")
    word, mask = _LETTERS[numbered[1]], 1 << int(numbered[2])
    for known in FEATURES:
        if (known.word, known.mask) == (word, mask):
            return known
    return Feature(lower.upper(), word, mask, "no", reason="unknown")


class Asked(NamedTuple):
    """The features that a caller added and removed by name, so that hints mention undoing that."""

    added: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()
    implied: tuple[tuple[str, str], ...] = ()
    """Pairs of a feature that an option added, and that option."""

    @classmethod
    def by(cls, text: str) -> Asked:
        """Return the features named in a text for :meth:`FeatureSet.parse`.

        If a feature is named several times, the last word counts.
        """
        added: set[str] = set()
        removed: set[str] = set()
        for token in _words(text):
            if token.lower() in _NOTHING:
                added.clear()
                continue
            is_minus = token[:1] in _MINUS
            name = feature(token[1:] if is_minus else token.removeprefix("+")).name
            (removed if is_minus else added).add(name)
            (added if is_minus else removed).discard(name)
        return cls(frozenset(added), frozenset(removed))

    def adds(self, name: str) -> bool:
        """Whether a feature was added by name."""
        return name in self.added

    def also(self, name: str, option: str) -> Asked:
        """Return the same with one more feature, which ``option`` adds."""
        if name in self.added:
            return self
        return Asked(self.added | {name}, self.removed, (*self.implied, (name, option)))

    def _typed(self, name: str) -> str:
        """What the caller wrote to add a feature: its name, or the option that implied it."""
        return dict(self.implied).get(name, name)

    def refuse_both(self, first: str, second: str) -> NoReturn:
        """Raise SpecError for two features that exclude each other."""
        raise SpecError("features", _excluding(first, second, self))

    def to_have(self, need: str, row: str) -> str:
        """Return what to do if the feature ``row`` needs ``need``, which is not set."""
        if need not in self.removed:
            return f"add {need}" if row in self.added else f"add {need} or ^{row}"
        return (
            f"leave out {self._typed(row)} or ^{need}"
            if row in self.added
            else f"add ^{row}, or keep {need}"
        )

    def to_have_for(self, need: str, *words: str) -> str:
        """Return what to do if an option needs the feature ``need``, to be added with ``words``."""
        if need in self.removed:
            return f"leave out the option, or ^{need}"
        return f"add {','.join((need, *words))}"

    def to_lose(self, first: str, second: str = "") -> str:
        """Return what to do if ``first`` is impossible, or impossible together with ``second``."""
        if first not in self.added:
            return f"add ^{first}"
        if not second:
            return f"leave out {self._typed(first)}"
        if second not in self.added:
            return f"add ^{second}"
        return f"leave out {self._typed(first)} or {self._typed(second)}"


NOT_ASKED = Asked()


@dataclass(frozen=True, slots=True, repr=False)
class FeatureSet:
    """The three feature words of a superblock."""

    _refuse_unknown = refuse_unknown

    compat: int = 0
    incompat: int = 0
    ro_compat: int = 0

    def __post_init__(self) -> None:
        """Raises :class:`SpecError` for a word that is not a whole number."""
        if not type(self.compat) is type(self.incompat) is type(self.ro_compat) is int:
            check_fields(self)

    @classmethod
    def of(cls, *names: str) -> FeatureSet:
        """Return the set of the named features."""
        return cls().with_(*names)

    @classmethod
    @checked("text")
    def parse(cls, text: str, base: FeatureSet) -> FeatureSet:
        """Return ``base`` changed by the words of ``text``, which are those of ``mke2fs -O``.

        ``name`` or ``+name`` adds, ``^name`` or ``-name`` removes, ``none`` removes all. Raises
        :class:`SpecError` for an unknown name.
        """
        # feature.c:e2p_edit_feature2
        if not isinstance(text, str):
            raise SpecError("features", f"{text!r} is no str, such as '^huge_file'")
        features = base
        for token in _words(text):
            if token.lower() in _NOTHING:
                features = cls()
            elif token[:1] in _MINUS:
                features = features.without(token[1:])
            else:
                features = features.with_(token.removeprefix("+"))
        return features

    def with_(self, *names: str) -> FeatureSet:
        """Return the set with these features added; metadata_csum then replaces uninit_bg."""
        # mke2fs.c:PRS drops gdt_csum if metadata_csum is set as well
        changed = self._edit(names, add=True)
        return changed.without("uninit_bg") if "metadata_csum" in changed else changed

    def without(self, *names: str) -> FeatureSet:
        """Return the set with these features removed."""
        return self._edit(names, add=False)

    def __contains__(self, name: object) -> bool:
        """Whether the feature is set; raises SpecError for a name that is no feature."""
        return isinstance(name, str) and self._has(feature(name))

    def __str__(self) -> str:
        return ",".join(self.names())

    def __repr__(self) -> str:
        return f"FeatureSet.of({', '.join(map(repr, self.names()))})"

    def names(self) -> tuple[str, ...]:
        """Return the names in the order of the table; bits without a name come last."""
        return _names(self)

    @checked("name")
    def needing(self, name: str) -> tuple[str, ...]:
        """Return the features of this set that need ``name``; raises SpecError for no feature."""
        needed = feature(name).name
        return tuple(row.name for row in self._rows() if needed in row.needs)

    def driver(self) -> str:
        """Return ``ext2``, ``ext3`` or ``ext4``: the type that blkid prints for these features."""
        if self.incompat & ~_EXT3.incompat or self.ro_compat & ~_EXT3.ro_compat:
            return "ext4"
        return "ext3" if "has_journal" in self else "ext2"

    def unreadable(self) -> list[str]:
        """Return the names of incompat features that Linux does not read."""
        return [
            row.name
            for row in self._rows()
            if row.word == "incompat" and row.reason in (_NEVER, "unknown")
        ]

    def unsupported(self) -> list[str]:
        """Return the names of compat and ro_compat features that Linux and e2fsck lack."""
        return [
            row.name
            for row in self._rows()
            if row.word != "incompat" and row.reason in (_NEVER, "unknown")
        ]

    def check(self, asked: Asked = NOT_ASKED) -> None:
        """Raise SpecError unless this library writes file systems with these features.

        ``asked`` are the features that were added and removed by name, for the hint in the message.
        """
        problem = _problem(self, asked)
        if problem:
            raise SpecError("features", problem)

    def _has(self, row: Feature) -> bool:
        word: int = getattr(self, row.word)
        return bool(word & row.mask)

    def _rows(self) -> Iterable[Feature]:
        rest = {"compat": self.compat, "incompat": self.incompat, "ro_compat": self.ro_compat}
        for row in FEATURES:
            if self._has(row):
                rest[row.word] &= ~row.mask
                yield row
        for letter, word in _LETTERS.items():
            for bit in range(32):
                if rest[word] >> bit & 1:
                    yield feature(f"FEATURE_{letter}{bit}")

    def _edit(self, names: Iterable[str], *, add: bool) -> FeatureSet:
        words = {"compat": self.compat, "incompat": self.incompat, "ro_compat": self.ro_compat}
        for name in names:
            row = feature(name)
            if add:
                words[row.word] |= row.mask
            else:
                words[row.word] &= ~row.mask
        return FeatureSet(**words)


def why_needed(row: str, need: str) -> str:
    """Return why the feature ``row`` needs ``need``, to be read after "since"."""
    return _WHY_NEEDED[row, need]


@lru_cache(maxsize=1024)
def _problem(features: FeatureSet, asked: Asked) -> str:
    """Why this library does not write file systems with ``features``; empty if it does."""
    rows = tuple(features._rows())
    for row in rows:
        if row.support == "no":
            return f"{row.name}: {row.reason}; {asked.to_lose(row.name)}"
    for row in rows:
        for need in row.needs:
            if need not in features:
                why = why_needed(row.name, need)
                return f"{row.name} needs {need}, since {why}; {asked.to_have(need, row.name)}"
        for other in row.conflicts:
            if other in features:
                return _excluding(row.name, other, asked)
    return ""


def _excluding(first: str, second: str, asked: Asked) -> str:
    why = _WHY[frozenset((first, second))]
    hint = asked.to_lose(first, second)
    return f"{first} and {second} exclude each other, since {why}; {hint}"


def _words(text: str) -> list[str]:
    """The words of a list of features, with their signs."""
    return [word for word in re.split(r"[\s,]+", text) if word]


@lru_cache(maxsize=1024)
def _names(features: FeatureSet) -> tuple[str, ...]:
    return tuple(row.name for row in features._rows())


# util-linux libblkid/src/superblocks/ext.c: what the drivers of ext2 and ext3 support. Any other
# incompat or ro_compat feature makes it ext4.
_EXT3 = FeatureSet.of(
    "filetype", "needs_recovery", "meta_bg", "sparse_super", "large_file", "btree_dir"
)

# mke2fs.conf of e2fsprogs 1.47: base_features and those that each type adds, except
# metadata_csum_seed and orphan_file.
_EXT2_FEATURES = FeatureSet.of(
    "ext_attr", "resize_inode", "dir_index", "filetype", "sparse_super", "large_file"
)
DEFAULT_FEATURES = FeatureSet.of(
    "has_journal",
    "ext_attr",
    "resize_inode",
    "dir_index",
    "filetype",
    "extent",
    "64bit",
    "flex_bg",
    "sparse_super",
    "large_file",
    "huge_file",
    "dir_nlink",
    "extra_isize",
    "metadata_csum",
)

TYPES = {
    "ext2": _EXT2_FEATURES,
    "ext3": _EXT2_FEATURES.with_("has_journal"),
    "ext4": DEFAULT_FEATURES,
}
"""The features that mke2fs gives a file system of each type."""
