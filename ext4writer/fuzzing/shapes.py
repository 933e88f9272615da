"""Unusual but valid images, by name; most are much smaller than 1 MiB."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..api import plan
from ..arguments import ID_MOST
from ..late_dataclasses import NamedTuple, replace
from ..ondisk.features import DEFAULT_FEATURES, FEATURES
from ..planning.named_policies import described
from ..planning.random_features import UNWANTED, feature_words
from ..planning.states.journal_policies import JOURNAL_POLICIES
from ..planning.states.mmp import MMP_POLICIES
from .entries import Entry
from .recipe import Recipe


class Shape(NamedTuple):
    """One unusual image."""

    name: str
    about: str
    recipe: Recipe

    def image_bytes(self) -> int:
        """Return the size of the image."""
        return plan(self.recipe.make_tree(), self.recipe.make_spec()).size_bytes


def shapes() -> list[Shape]:
    """Return all shapes: first sizes, then trees, features and policies."""
    return [*_sizes(), *_trees(), *_features(), *_policies()]


def _usual(spec: Mapping[str, str], entries: tuple[Entry, ...] | None = None) -> Recipe:
    return Recipe(_SOME if entries is None else entries, {"journal": "none", **spec})


def _entry(kind: str, path: str, **numbers: int) -> Entry:
    return Entry(kind, path, numbers)


_SOME = (
    _entry("file", "/file", size=5000),
    _entry("file", "/sparse", size=3000, hole=70_000),
    _entry("dir", "/dir", names=40, length=30),
    _entry("symlink", "/link", length=100),
    _entry("file", "/attributes", size=10, xattr=300),
    _entry("link", "/hard"),
)


def _sizes() -> Iterator[Shape]:
    for size in (1024, 2048, 4096, 8192, 16384, 32768, 65536):
        about = f"Blocks of {size} bytes."
        # With blocks of 64 KiB, one file must be left out to stay below 1 MiB.
        entries = _SOME if size < 65536 else (_SOME[0], *_SOME[2:])
        yield Shape(f"blocks-{size}", about, _usual({"block_size": str(size)}, entries))
    for size, block in ((128, 1024), (256, 1024), (512, 1024), (1024, 1024), (2048, 2048)):
        spec = {"block_size": str(block), "inode_size": str(size)}
        yield Shape(f"inodes-{size}", f"Inodes of {size} bytes.", _usual(spec))
    spec = {"block_size": "4096", "inode_size": "4096"}
    yield Shape("inodes-4096", "An inode fills a block.", _usual(spec))
    for kind in ("ext2", "ext3"):
        spec = {"type": kind, "block_size": "1024"}
        if kind == "ext3":
            spec |= _LEAST_JOURNAL
        yield Shape(kind, f"The format {kind}.", Recipe(_SOME, {"journal": "none", **spec}))
    for alg in ("legacy", "half_md4", "tea"):
        spec = {"block_size": "1024", "hash_alg": alg}
        yield Shape(f"hash-{alg}", f"Directories are indexed by {alg}.", _usual(spec))
    spec = {"block_size": "1024", "groups_per_flex": "1", "blocks_per_group": "256"}
    spec |= {"size": "750K"}
    yield Shape("three-groups", "Three groups, each with its own tables.", _usual(spec))
    spec = {"block_size": "1024", **_LEAST_JOURNAL}
    yield Shape("journal", "A journal of the minimum size.", Recipe(_SOME, spec))
    spec = {"block_size": "1024", "features": "none", "revision": "0"}
    spec |= {"journal": "none", "inode_size": "128"}
    yield Shape("revision-0", "The first revision, without features.", Recipe(_SOME[:1], spec))


def _trees() -> Iterator[Shape]:
    one_k = {"block_size": "1024"}
    trees: dict[str, tuple[str, tuple[Entry, ...]]] = {
        "empty": ("Only lost+found.", ()),
        "leading-hole": (
            "A file that begins with zeros.",
            (_entry("file", "/f", size=40_000, fill=0, hole=40_000),),
        ),
        "all-hole": ("A file of zeros.", (_entry("file", "/f", size=500_000, fill=0),)),
        "huge-hole": ("A hole of 8 MiB.", (_entry("file", "/f", size=1, hole=8 << 20),)),
        "fast-symlink": ("The longest symlink in an inode.", (_entry("symlink", "/l", length=59),)),
        "slow-symlink": (
            "The shortest symlink in a block.",
            (_entry("symlink", "/l", length=60),),
        ),
        "longest-symlink": (
            "A symlink that fills its block.",
            (_entry("symlink", "/l", length=1023),),
        ),
        "long-names": ("Names of 255 bytes.", (_entry("dir", "/d", names=20, length=255),)),
        "short-names": ("Many names in a block.", (_entry("dir", "/d", names=300, length=5),)),
        "indexed": ("An index of one level.", (_entry("dir", "/d", names=400, length=60),)),
        "full-inode": (
            "Attributes that fill an inode.",
            (_entry("file", "/f", size=1, xattr=72),),
        ),
        "xattr-block": ("Attributes in a block.", (_entry("file", "/f", size=1, xattr=800),)),
        "devices": (
            "Device numbers in both forms.",
            (
                _entry("device", "/old", major=8, minor=1),
                _entry("device", "/new", major=260, minor=300),
            ),
        ),
        "owners": ("The largest user ID.", (_entry("file", "/f", uid=ID_MOST),)),
        "after-2038": ("A time that needs its extra bits.", (_entry("file", "/f", mtime=1 << 33),)),
        "all-modes": ("All bits of a mode.", (_entry("file", "/f", mode=0o7777),)),
        "indirect": (
            "A block map with indirect blocks.",
            (_entry("file", "/f", size=400_000),),
        ),
        "deep": (
            "Nested directories.",
            tuple(_entry("dir", "/d" * depth) for depth in range(1, 40)),
        ),
        "hard-links": (
            "A file with many names.",
            (_entry("file", "/f", size=9), *(_entry("link", f"/l{n}") for n in range(60))),
        ),
    }
    for name, (about, entries) in trees.items():
        spec = {**one_k, "features": "^extent,^64bit"} if name == "indirect" else one_k
        yield Shape(name, about, _usual(spec, entries))


def _features() -> Iterator[Shape]:
    usual = DEFAULT_FEATURES.names()
    for row in FEATURES:
        if row.support != "write" or row.name in UNWANTED or row.name == "has_journal":
            continue
        spec = {"block_size": "1024"}
        is_default = row.name in usual
        if any("journal" in need for need in row.needs):
            spec |= _LEAST_JOURNAL
        name = f"without-{row.name}" if is_default else f"with-{row.name}"
        about = f"{'No' if is_default else 'The feature'} {row.name}."
        spec["features"] = feature_words(row, without=is_default)
        if row.name == "ext_attr":
            yield Shape(name, about, _usual(spec, _SOME[:3]))
        elif row.name == "ea_inode":
            big = (_entry("file", "/f", size=1, xattr=20_000),)
            yield Shape(name, about, _usual(spec, big))
        else:
            yield Shape(name, about, Recipe(_SOME, {"journal": "none", **spec}))


_LEAST_JOURNAL = {"journal": "1M"}
"""A journal of 1,024 blocks of 1 KiB, the minimum that kernels mount (fs/jbd2/journal.c:
journal_reset, JBD2_MIN_JOURNAL_BLOCKS). Only images with a journal are larger than 1 MiB."""
GROUPS = {"blocks_per_group": "256", "size": "1000K"}
"""Four groups in an image smaller than 1 MiB."""
_NEEDS: dict[str, dict[str, str]] = {
    **{kind.name: _LEAST_JOURNAL for kind in JOURNAL_POLICIES},
    "fast-commit": {**_LEAST_JOURNAL, "features": "fast_commit"},
    "fast-commit-names": {**_LEAST_JOURNAL, "features": "fast_commit"},
    "random-recovery": {**_LEAST_JOURNAL, "features": "fast_commit,orphan_file"},
    # The orphan list needs no journal, but the feature orphan_file does.
    "orphan-file": {**_LEAST_JOURNAL, "features": "orphan_file"},
    **dict.fromkeys(("journal-last", "journal-between", "journal-pieces"), _LEAST_JOURNAL),
    # Automatic journals exist in images of 2,048 blocks or more; this one has up to 1,024 extra.
    "journal-larger": {"journal": "auto", "free": "1940K"},
    **{kind.name: {"features": "mmp"} for kind in MMP_POLICIES},
    **dict.fromkeys(("metadata-shuffle", "metadata-gaps", "other-groups"), GROUPS),
    "loose-extents": {"free": "400K"},
    "nothing-inline": {"features": "inline_data"},
    "xattr-inodes": {"features": "ea_inode"},
    "xattr-inodes-apart": {"features": "ea_inode"},
    "unused-inodes": {"free_inodes": "100"},
    "deep-index": {"features": "large_dir"},
    "metadata-backwards": {**GROUPS, "groups_per_flex": "2"},
    "metadata-across": {**GROUPS, "groups_per_flex": "2"},
    "backup-groups": {**GROUPS, "features": "sparse_super2,^resize_inode"},
}
"""Name of a policy -> options without which it has no choices."""


_MORE: dict[str, tuple[Entry, ...]] = {
    "fast-commit-names": (_entry("dir", "/few", names=5),),
    "loose-extents": (_entry("file", "/fragments", size=345_000),),
    "xattr-blocks": (_entry("file", "/short", size=10, xattr=20),),
    **dict.fromkeys(
        ("xattrs-unshared", "xattr-inodes-apart"),
        (_entry("file", "/equal", size=10, xattr=300),),
    ),
}
"""Name of a policy -> files for which it has choices."""


def _policies() -> Iterator[Shape]:
    large = _entry("file", "/large", size=70_000)
    for name, about in described().items():
        entries = (*_SOME, large, *_MORE.get(name, ()))
        # Layouts that are not dense need more blocks than the files.
        spec = {"block_size": "1024", "free": "256K", **_NEEDS.get(name, {})}
        if "size" in spec:
            del spec["free"]
        yield Shape(f"policy-{name}", about, replace(_usual(spec, entries), policy=name))
