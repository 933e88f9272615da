"""Profiles: features and sizes for a purpose, and the readers that can read all of it.

What readers cannot read was measured: docs/compatibility.md has the complete table, and
``REFUSED_BY`` the lines in which a reader fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import SpecError
from ..late_dataclasses import NamedTuple
from ..ondisk.features import DEFAULT_FEATURES, FEATURES, TYPES, FeatureSet
from .policy import LayoutPolicy

if TYPE_CHECKING:
    from .spec import FileSystemType, Spec

GRUB, U_BOOT, FUSE2FS, DEBUGFS = "GRUB", "U-Boot", "fuse2fs", "debugfs"
SEVEN_ZIP, PYTSK3, DISSECT, EXT4, LIBFSEXT = "7zz", "pytsk3", "dissect.extfs", "ext4", "libfsext"
READERS = (GRUB, U_BOOT, FUSE2FS, DEBUGFS, SEVEN_ZIP, PYTSK3, DISSECT, EXT4, LIBFSEXT)
"""The readers by other authors that were measured, besides Linux."""

REFUSED_BY: dict[str, tuple[str, ...]] = {
    "sparse_super2": (LIBFSEXT,),
    "fast_commit": (LIBFSEXT,),
    "stable_inodes": (LIBFSEXT,),
    "meta_bg": (U_BOOT, SEVEN_ZIP, PYTSK3, DISSECT, EXT4),
    "mmp": (LIBFSEXT,),
    "ea_inode": (GRUB,),
    "large_dir": (LIBFSEXT,),
    "inline_data": (GRUB, U_BOOT, DEBUGFS, SEVEN_ZIP, DISSECT, EXT4, LIBFSEXT),
    "encrypt": (LIBFSEXT,),
    "casefold": (GRUB, LIBFSEXT),
    "bigalloc": (SEVEN_ZIP, PYTSK3, DISSECT),
    "verity": (LIBFSEXT,),
}
"""Feature -> the readers that cannot read files of an image with it."""

# fs/ext4/ext4.h: EXT2_FEATURE_INCOMPAT_SUPP and EXT2_FEATURE_RO_COMPAT_SUPP; the kernel mounts as
# ext2 or ext3 images with only these features. Those of ext3 have a journal, too.
_EXT2_KNOWS = ("filetype", "meta_bg", "sparse_super", "large_file")

# mke2fs.conf of Android (external/e2fsprogs), and its build/tools/mkuserimg_mke2fs, which omits
# the journal of images that are only read.
_ANDROID = FeatureSet.of(
    *("sparse_super", "large_file", "filetype", "dir_index", "ext_attr"),
    *("extent", "huge_file", "dir_nlink", "extra_isize", "uninit_bg"),
)
_MINIMAL = FeatureSet.of(
    *("ext_attr", "dir_index", "filetype", "extent", "sparse_super", "large_file"),
    *("dir_nlink", "extra_isize"),
)


class Trait(NamedTuple):
    """A property other than a feature that some readers cannot handle."""

    option: str
    words: str
    is_in: Callable[[Spec], bool]
    refused_by: tuple[str, ...]


def _has(name: str) -> Callable[[Spec], bool]:
    return lambda spec: name in spec.features.names()


def _lacks(name: str) -> Callable[[Spec], bool]:
    return lambda spec: name not in spec.features.names()


def _both(one: Callable[[Spec], bool], other: Callable[[Spec], bool]) -> Callable[[Spec], bool]:
    return lambda spec: one(spec) and other(spec)


def _either(one: Callable[[Spec], bool], other: Callable[[Spec], bool]) -> Callable[[Spec], bool]:
    return lambda spec: one(spec) or other(spec)


def _blocks_of(size: int) -> Callable[[Spec], bool]:
    return lambda spec: spec.block_size == size


def _inodes_from(size: int) -> Callable[[Spec], bool]:
    return lambda spec: spec.inode_size >= size


def _flex_groups_from(groups: int) -> Callable[[Spec], bool]:
    return lambda spec: spec.groups_per_flex >= groups


def _large_descriptors(spec: Spec) -> bool:
    return spec.desc_size is not None and spec.desc_size > 64


def _may_need_meta_bg(spec: Spec) -> bool:
    """Whether descriptors, including reserved ones, may fill three quarters of a group.

    Then the planner switches to meta_bg. At most a quarter of ``block_size`` is reserved, in
    blocks. In groups of twice ``block_size``, the rest has space for the descriptors of 40 GiB.
    """
    return spec.blocks_per_group is not None and spec.blocks_per_group < 2 * spec.block_size


def _chooses(choice: str) -> Callable[[Spec], bool]:
    """Return a test whether the policy overrides ``choice``, a method of LayoutPolicy."""
    usual = getattr(LayoutPolicy, choice)
    return lambda spec: getattr(type(spec.policy), choice, usual) is not usual


TRAITS = (
    Trait(
        "block_size",
        "indexed directories in blocks of 1024 bytes",
        _both(_blocks_of(1024), _has("dir_index")),
        (PYTSK3,),
    ),
    Trait(
        "block_size",
        "bigalloc with blocks of 1024 bytes",
        _both(_blocks_of(1024), _has("bigalloc")),
        (GRUB, U_BOOT),
    ),
    Trait(
        "blocks_per_group",
        "groups so small that descriptors may need meta_bg",
        _may_need_meta_bg,
        REFUSED_BY["meta_bg"],
    ),
    Trait("inode_size", "inodes of 2048 bytes or more", _inodes_from(2048), (LIBFSEXT,)),
    Trait(
        "inode_size",
        "inline_data in inodes of more than 256 bytes",
        _both(_inodes_from(512), _has("inline_data")),
        (PYTSK3,),
    ),
    Trait(
        "desc_size",
        "descriptors of more than 64 bytes",
        _large_descriptors,
        (SEVEN_ZIP, LIBFSEXT),
    ),
    Trait(
        "desc_size",
        "descriptors of more than 64 bytes with meta_bg",
        _both(_large_descriptors, _either(_has("meta_bg"), _may_need_meta_bg)),
        (GRUB,),
    ),
    Trait(
        "groups_per_flex",
        "flex groups of 65536 groups or more",
        _both(_flex_groups_from(1 << 16), _has("flex_bg")),
        (LIBFSEXT,),
    ),
    Trait("features", "the lack of extent", _lacks("extent"), (DISSECT, EXT4)),
    Trait("features", "the lack of filetype", _lacks("filetype"), (SEVEN_ZIP,)),
    Trait(
        "block_size",
        "blocks of 65536 bytes without metadata_csum",
        _both(_blocks_of(1 << 16), _lacks("metadata_csum")),
        (SEVEN_ZIP, LIBFSEXT),  # an entry that fills a block has the rec_len 65535
    ),
    Trait("leading_hole", "holes at the start of files", lambda spec: spec.leading_hole, (GRUB,)),
    Trait("policy", "block maps together with extents", _chooses("block_mapped"), (DISSECT, EXT4)),
    Trait("policy", "unwritten blocks in holes", _chooses("unwritten_blocks"), (GRUB, U_BOOT)),
    Trait("policy", "indexes with few entries", _chooses("index_entries"), (PYTSK3,)),
    Trait("policy", "empty blocks of directories", _chooses("empty_blocks"), (PYTSK3,)),
    Trait("policy", "deleted names", _chooses("deleted_name"), (U_BOOT,)),
    Trait("policy", "a journal that waits for recovery", _chooses("journal_state"), READERS),
)


class Profile(NamedTuple):
    """A profile; :func:`spec_of` builds a Spec from it."""

    name: str
    about: str
    features: FeatureSet
    readers: tuple[str, ...] = READERS
    """The readers that can read every image of this profile."""
    needs: tuple[str, ...] = ()
    """Features that the profile requires."""
    refuses: Mapping[str, str] = {}
    """Features that it rejects, besides those that readers cannot read -> the reason."""
    type: FileSystemType = "ext4"
    options: Mapping[str, Any] = {}
    """Its defaults for other options of the Spec."""

    def refused(self) -> Iterator[tuple[str, str]]:
        """Yield each feature that it rejects, and the reason, which continues a "since"."""
        yield from self.refuses.items()
        for name, readers in REFUSED_BY.items():
            if name not in self.refuses and self._unable(readers):
                yield name, self._unable(readers)

    def refused_traits(self) -> Iterator[tuple[Trait, str]]:
        """Yield each trait that it rejects, and the reason."""
        for trait in TRAITS:
            if self._unable(trait.refused_by):
                yield trait, self._unable(trait.refused_by)

    def _unable(self, readers: tuple[str, ...]) -> str:
        unable = [reader for reader in self.readers if reader in readers]
        if not unable:
            return ""
        last = " and ".join([", ".join(unable[:-1]), unable[-1]] if unable[1:] else unable)
        return f"{last} cannot read such images"


def _unknown_to(driver: str, knows: tuple[str, ...]) -> dict[str, str]:
    return {
        row.name: f"{driver} does not support it"
        for row in FEATURES
        if row.word != "compat" and row.support == "write" and row.name not in knows
    }


def _all_but(*unable: str) -> tuple[str, ...]:
    return tuple(each for each in READERS if each not in unable)


_NO_JOURNAL = dict.fromkeys(
    ("has_journal", "fast_commit", "orphan_file"), "ext2 has no journal; choose ext3"
)
_EXT2 = _unknown_to("the ext2 driver of Linux", _EXT2_KNOWS) | _NO_JOURNAL
_NEVER_WRITTEN = dict.fromkeys(
    ("has_journal", "fast_commit", "orphan_file", "mmp", "resize_inode"),
    "nothing ever writes to it",
)
_NOTHING_FREE = {"free": 0, "free_inodes": 0, "lost_and_found": False}

PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(
            "default", "the default features, limited to what all readers read", DEFAULT_FEATURES
        ),
        Profile(
            "boot",
            "what boot loaders read and U-Boot can write: no metadata_csum, and no 64bit",
            # fs/ext4/ext4_write.c of U-Boot does not write with metadata_csum, and old versions do
            # not read 64bit.
            DEFAULT_FEATURES.without("metadata_csum", "64bit"),
            readers=(GRUB, U_BOOT, FUSE2FS, DEBUGFS),
            # grub-core/fs/ext2.c:EXT2_DRIVER_IGNORED_INCOMPAT
            refuses=dict.fromkeys(
                ("metadata_csum_seed", "large_dir"), "GRUB 2.06 reads it only with later patches"
            ),
        ),
        Profile(
            "minimal",
            "the smallest image: few features, blocks of 1024 bytes, nothing left free",
            _MINIMAL,
            readers=_all_but(PYTSK3),
            options={"block_size": 1024, **_NOTHING_FREE},
        ),
        Profile(
            "readonly",
            "images that are only read: the feature read-only, no journal, nothing left free",
            DEFAULT_FEATURES.without("has_journal", "resize_inode").with_("read-only"),
            needs=("read-only",),
            refuses=_NEVER_WRITTEN,
            options=_NOTHING_FREE,
        ),
        Profile(
            "android",
            "Android partitions, with the features of its mke2fs and no journal",
            _ANDROID,
            readers=(FUSE2FS, DEBUGFS),
            needs=("extent",),
        ),
        Profile(
            "ext2",
            "what the ext2 driver of Linux mounts",
            TYPES["ext2"],
            readers=_all_but(DISSECT, EXT4),
            refuses=_EXT2,
            type="ext2",
        ),
        Profile(
            "ext3",
            "what the ext3 driver of Linux mounts: ext2 with a journal, for 2048 blocks or more",
            TYPES["ext3"],
            readers=_all_but(DISSECT, EXT4),
            needs=("has_journal",),
            refuses=_unknown_to("the ext3 driver of Linux", _EXT2_KNOWS),
            type="ext3",
        ),
    )
}
"""The profiles by name."""

_ADDED_BY = {"casefold": "encoding", "shared_blocks": "dedupe", "encrypt": "encryption_policies"}
"""Feature -> the option that adds it."""
_DROPPED_BY = {"journal": ("none", "has_journal")}
"""Option -> its value that drops a feature, and that feature."""
_SAME_AS = {"free_inodes": ("inodes",), "free": ("free_percent",)}
"""Option of a profile -> other options for the same property."""


def spec_of(make: Callable[..., Spec], name: str, options: Mapping[str, Any]) -> Spec:
    """Return the Spec of the profile ``name`` with further options; see :meth:`Spec.of_profile`.

    ``make`` is the class Spec, which this module cannot import.
    """
    profile = PROFILES.get(name) if isinstance(name, str) else None
    if profile is None:
        raise SpecError("profile", f"{name!r:.80} is not one of {', '.join(PROFILES)}")
    if options.get("type", profile.type) != profile.type:
        raise SpecError("type", f"{options['type']!r:.80} is not the type of the profile {name}")
    features = options.get("features", "")
    if isinstance(features, str):
        features = FeatureSet.parse(features, base=profile.features)
    elif not isinstance(features, FeatureSet):
        raise SpecError("features", f"{features!r:.80} is neither a FeatureSet nor a text")
    _check_features(profile, features, options)
    usual = {
        option: value
        for option, value in profile.options.items()
        if not any(other in options for other in _SAME_AS.get(option, ()))
    }
    chosen = {**usual, **options, "type": profile.type, "features": features}
    try:
        spec = make(**chosen)
    except SpecError as error:
        make(**options)  # raises the plain error if the profile is not to blame
        problem = f"{error.problem}; the profile is {name}"
        raise SpecError(error.option, problem, *error.others) from None
    _check_features(profile, spec.features, options)
    for option, (value, lost) in _DROPPED_BY.items():
        if lost in profile.needs and getattr(spec, option) == value:
            raise SpecError(option, f"the profile {profile.name} requires {lost}")
    if hasattr(spec.policy, "feature_words"):
        raise SpecError("policy", f"chooses features, and so does the profile {profile.name}")
    for trait, reason in profile.refused_traits():
        if trait.is_in(spec):
            raise SpecError(
                trait.option, f"the profile {profile.name} refuses {trait.words}, since {reason}"
            )
    return spec


def _check_features(profile: Profile, features: FeatureSet, options: Mapping[str, Any]) -> None:
    names = features.names()
    for name, reason in profile.refused():
        if name in names:
            option = _ADDED_BY.get(name, "features")
            if option not in options:
                option = "features"
            raise SpecError(option, f"the profile {profile.name} refuses {name}, since {reason}")
    for name in profile.needs:
        if name not in names:
            raise SpecError("features", f"the profile {profile.name} requires {name}")
