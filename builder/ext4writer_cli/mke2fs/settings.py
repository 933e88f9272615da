"""Derives the geometry and the Spec of a file system from arguments, configuration and device.

Rules: e2fsprogs misc/mke2fs.c:PRS and main. The checks are in the same order, so that the same one
of several mistakes is reported.
"""

from __future__ import annotations

import os
import re
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid1, uuid4

from ext4writer.arithmetic import ceil_div
from ext4writer.bits import is_power_of_two, log2
from ext4writer.errors import SpecError
from ext4writer.late_dataclasses import NamedTuple, dataclass, replace
from ext4writer.ondisk.features import Asked, FeatureSet, feature
from ext4writer.ondisk.format import Format
from ext4writer.ondisk.inode import EXT4_NDIR_BLOCKS
from ext4writer.ondisk.journal import default_fast_commit_blocks, default_journal_blocks
from ext4writer.ondisk.superblock import EXT4_MIN_BLOCK_LOG_SIZE, edit_mount_options
from ext4writer.planning.contents import LARGE_FILE_BYTES
from ext4writer.planning.options import CreatorOs
from ext4writer.planning.spec import unfit_feature
from ext4writer.planning.system_files.resize_inode import resize_inode_bytes

from .arguments import MAX_BLOCK_SIZE, MIN_BLOCK_SIZE, Arguments, Extended, read_extended
from .external_journal import block_size_of, usable_journal
from .geometry import MAX_32, Geometry, Request, choose_geometry
from .numbers import feature_words, parse_num_blocks, strtoul
from .own_options import LEADING_HOLE
from .profile import Profile
from .refusal import Mistake, Refusal
from .target import Target

if TYPE_CHECKING:
    from ext4writer import Spec

    from .console import Console

GOOD_OLD_INODE_SIZE = 128
MIN_DESC_SIZE_64BIT = 64
JOURNAL_LIMITS = (1024, 10_240_000)
CHECK_INTERVAL = 86400 * 180
MAX_MOUNT_COUNT = 20
"""s_max_mnt_count with enable_periodic_fsck, before a jitter derived from the UUID is added."""

OK_FEATURES = (
    *("has_journal", "resize_inode", "dir_index", "ext_attr", "sparse_super2", "fast_commit"),
    *("stable_inodes", "orphan_file", "filetype", "extent", "journal_dev", "meta_bg", "flex_bg"),
    *("ea_inode", "mmp", "64bit", "inline_data", "encrypt", "casefold", "metadata_csum_seed"),
    *("large_dir", "large_file", "huge_file", "dir_nlink", "extra_isize", "sparse_super"),
    *("uninit_bg", "bigalloc", "quota", "metadata_csum", "project", "verity"),
)
"""The features that mke2fs accepts with -O (ok_features)."""
_NOT_ITS_NAMES = ("gdt_csum",)
"""Alternative names of features that the library accepts and mke2fs does not."""
_QUOTA_KINDS = {
    "usr": "usr",
    "usrquota": "usr",
    "grp": "grp",
    "grpquota": "grp",
    "prj": "prj",
    "prjquota": "prj",
}
NOT_FOR_HURD = ("filetype", "huge_file", "metadata_csum", "ea_inode")
_SYSTEMS: dict[str, CreatorOs] = {
    "linux": "Linux",
    "gnu": "Hurd",
    "hurd": "Hurd",
    "freebsd": "FreeBSD",
    "lites": "Lites",
    **dict(zip("01234", ("Linux", "Hurd", "Masix", "FreeBSD", "Lites"), strict=True)),
}


class Clock(NamedTuple):
    """The time of the file system, which the arguments do not contain."""

    seconds: int
    is_given: bool
    """Whether SOURCE_DATE_EPOCH or E2FSPROGS_FAKE_TIME set it."""


@dataclass
class Settings:
    """All decisions that do not depend on the tree."""

    numbers: Geometry
    options: dict[str, Any]
    """Keywords of the Spec, without UUID, hash seed and epoch."""
    extended: Extended
    types: list[str]
    requested_blocks: int
    journal_blocks: int
    """Including those for fast commits; 0 without a journal."""
    creator_os: str
    profile: Profile
    discards: bool
    """Whether the file or device is discarded first, if it supports that."""

    @property
    def block_size(self) -> int:
        return self.numbers.format.block_size

    @property
    def overrides(self) -> tuple[str, ...]:
        """Overrides for s_creator_os if that system cannot use all features.

        A Spec refuses such a combination; mke2fs does not.
        """
        if "creator_os" in self.options:
            return ()
        numbers = self.numbers
        return tuple(
            f"superblock[{group}].s_creator_os=name:{self.creator_os}"
            for group in numbers.format.super_groups(numbers.groups)
        )

    @property
    def size(self) -> int:
        """Size of the file system in bytes."""
        return self.numbers.blocks * self.block_size


def for_hurd(name: str | None) -> bool:
    return name is not None and name.lower() in ("gnu", "hurd", "1")


class JournalDevice(NamedTuple):
    """The settings of a device for the external journal of another file system."""

    blocks: int
    options: dict[str, Any]
    """Keywords of a Spec."""
    extended: Extended


def derive_settings(
    arguments: Arguments, profile: Profile, target: Target, console: Console
) -> Settings | JournalDevice:
    """Derive all settings; raises :class:`Refusal`."""
    return _SettingsBuilder(arguments, profile, target, console).build()


class _SettingsBuilder:
    def __init__(
        self, arguments: Arguments, profile: Profile, target: Target, console: Console
    ) -> None:
        self._arguments = arguments
        self._profile = profile
        self._target = target
        self._console = console
        self._creator_os = arguments.creator_os
        if self._creator_os is None:
            self._creator_os = profile.string("defaults", "creator_os")
        self._explicit_size = arguments.size is not None
        self._extended = Extended()
        self._features = FeatureSet()
        self._mount_options = 0
        self._types: list[str] = []
        self._quota_kinds: list[str] | None = None

    # -- sizes and types -----------------------------------------------------------------------

    def build(self) -> Settings | JournalDevice:
        arguments, profile = self._arguments, self._profile
        blocks = self._requested_blocks()
        self._types = self._fs_types(blocks)
        self._default_features()
        block_size, blocks = self._block_size(blocks)
        log = log2(block_size) - EXT4_MIN_BLOCK_LOG_SIZE
        features = self._features
        if blocks > MAX_32:
            if not flags(features).is_64bit and profile.bool_for(
                self._types, "auto_64-bit_support", False
            ):
                features = features.with_("64bit")
            if not flags(features).is_64bit:
                raise Refusal(
                    f"{arguments.program}: Size of device (0x{blocks:x} blocks) "
                    f"{arguments.device} too big to be expressed\n\tin 32 bits using a blocksize "
                    f"of {block_size}.\n"
                )
            features = features.without("resize_inode")
        if blocks > (1 << log2(block_size) + 3 + 32) - 1:
            raise Refusal(
                f"{arguments.program}: Size of device (0x{blocks:x} blocks) {arguments.device} "
                f"too big to create\n\ta filesystem using a blocksize of {block_size}.\n"
            )
        is_journal = flags(features).journal_dev
        if is_journal:
            self._refuse_version_1("on an external device")
            kept = ("journal_dev", *(("metadata_csum",) * flags(features).metadata_csum))
            features, self._types = FeatureSet.of(*kept), ["journal"]
        if arguments.verbose:
            shown = ", ".join(f"'{kind}'" for kind in self._types)
            text = f"fs_types for mke2fs.conf resolution: {shown}\n"
            self._console.out(text, always=True)
        if not is_journal and (arguments.journal.size or arguments.journal.device is not None):
            features = features.with_("has_journal")
        reserved_percent = arguments.reserved_percent
        if reserved_percent is None:
            reserved_percent = profile.float_for(self._types, "reserved_ratio", 5.0)
            if not 0 <= reserved_percent <= 50:
                raise Mistake(f"invalid reserved blocks percent - {reserved_percent:f}")
        asked = flags(features)
        for wants_extents, what in (
            (asked.is_64bit, "a 64-bit filesystem"),
            (asked.verity, "fs-verity support"),
        ):
            if wants_extents and not asked.extent:
                raise Refusal(
                    f"Extents MUST be enabled for {what}.  Pass -O extents to rectify.\n",
                    to_stdout=True,
                )
        cluster_size = self._cluster_size(features, block_size)
        inode_ratio = arguments.inode_ratio
        if not inode_ratio:
            inode_ratio = profile.int_for(self._types, "inode_ratio", 8192)
            inode_ratio = max(inode_ratio, block_size, cluster_size)
        stride, stripe = self._raid(block_size)
        if block_size > _page_size() and not os.path.exists(
            "/sys/fs/ext4/features/blocksize_gt_pagesize"
        ):
            text = f"{block_size}-byte blocks too big for system (max {_page_size()})"
            if not arguments.force:
                self._console.err(f"{arguments.program}: {text}\n")
                self._console.proceed(self._proceed_delay)
            self._console.err(f"Warning: {text}, forced to continue\n")
        extended = self._extended
        if profile.bool_for(self._types, "packed_meta_blocks", False):
            extended.packed_meta_blocks = True
        extended.num_backup_sb = profile.int_for(self._types, "num_backup_sb", 2)
        for kind in self._types:
            read_extended(profile.string("fs_types", kind, "options") or "", extended)
        for text in arguments.extended:
            read_extended(text, extended)
        self._features = features
        if extended.android_sparse:
            self._check_sparse_image()
        self._take_quota_types()
        if extended.encoding is not None:
            self._features = self._features.with_("casefold")
        features, reserved_gdt_blocks = self._resize(blocks, block_size, log)
        if extended.revision == 0:
            self._check_revision_0()
            features, self._mount_options = FeatureSet(), 0
        if not self._explicit_size and extended.offset:
            blocks -= extended.offset // block_size
            if blocks < 0:
                raise Mistake(
                    f"offset: {extended.offset} is beyond the end of {arguments.device}; "
                    "give the size of the file system"
                )
            self._console.err(
                "\nWarning: offset specified without an explicit file system size.\n"
                f"Creating a file system with {blocks} blocks but this might\n"
                "not be what you want.\n\n"
            )
        if flags(features).metadata_csum:
            features = features.without("uninit_bg")
        self._check_together(features, block_size)
        groups_per_flex = self._flex_size(features)
        stride = stride if extended.stride is None else extended.stride
        stripe = stripe if extended.stripe_width is None else extended.stripe_width
        if is_journal:
            return self._journal_device(features, block_size, blocks, stride, stripe)
        inode_size = self._inode_size(features, block_size)
        inodes = self._inodes(features, blocks, block_size, inode_ratio, inode_size)
        wanted = Request(
            features,
            block_size,
            cluster_size,
            blocks,
            inodes,
            inode_size,
            extended.desc_size,
            arguments.blocks_per_group,
            reserved_gdt_blocks,
            int(reserved_percent * blocks / 100.0),
            groups_per_flex,
            extended.num_backup_sb,
            self._first_meta_bg(features),
        )
        numbers = choose_geometry(wanted, arguments.device)
        self._check_checksums(numbers.format.features)
        if numbers.format.resize_inode and resize_inode_bytes(block_size) >= LARGE_FILE_BYTES:
            # lib/ext2fs/blknum.c:ext2fs_inode_size_set, for the size of the resize inode
            fmt = replace(numbers.format, features=numbers.format.features.with_("large_file"))
            numbers = numbers._replace(format=fmt)
        numbers, journal, fast_commit = self._journal(numbers)
        options = self._options(numbers, journal, wanted)
        if fast_commit and fast_commit != default_fast_commit_blocks(journal):
            options["fast_commit_size"] = fast_commit * block_size
        options |= {"raid_stride": stride, "raid_stripe_width": stripe}
        if stride and stripe % stride:
            self._console.err(
                f"\nWarning: RAID stripe-width {stripe} not an even multiple of stride "
                f"{stride}.\n\n"
            )
        return Settings(
            numbers,
            options,
            extended,
            self._types,
            blocks,
            journal + fast_commit,
            self._system(),
            profile,
            self._discards(),
        )

    @property
    def _proceed_delay(self) -> int:
        return self._profile.option("proceed_delay", -1)

    def _requested_blocks(self) -> int:
        """The requested number of blocks, or that of the device.

        Blocks have the requested size, or 1 KiB.
        """
        arguments = self._arguments
        known = arguments.block_size if arguments.block_size > 0 else 1024
        if arguments.size is not None:
            blocks = parse_num_blocks(arguments.size, log2(known) - EXT4_MIN_BLOCK_LOG_SIZE)
            if not blocks:
                raise Mistake(f"invalid blocks '{arguments.size}' on device '{arguments.device}'")
            return blocks
        if self._target.size is None:
            raise Refusal(
                f"The file {arguments.device} does not exist and no size was specified.\n"
            )
        blocks = self._target.size // known
        if not blocks:
            raise Mistake(
                "Device size reported to be zero.  Invalid partition specified, or\n\t"
                "partition table wasn't reread after running fdisk, due to\n\t"
                "a modified partition being busy and in use.  You may need to reboot\n\t"
                "to re-read your partition table.\n"
            )
        if _page_size() > known:
            blocks &= ~(_page_size() // known - 1)
        return blocks

    def _fs_types(self, blocks: int) -> list[str]:
        arguments, profile = self._arguments, self._profile
        is_hurd = for_hurd(self._creator_os)
        fs_type, usage = arguments.fs_type, arguments.usage_types
        if fs_type is None:
            fs_type = profile.string("devices", arguments.device, "fs_type")
        if usage is None:
            usage = profile.string("devices", arguments.device, "usage_types")
        program = arguments.program
        if fs_type is None and is_hurd:
            fs_type = "ext2"
        if fs_type is None:
            fs_type = {"mke3fs": "ext3", "mke4fs": "ext4"}.get(program)
        if fs_type is None and program.startswith("mkfs."):
            fs_type = program.removeprefix("mkfs.") or None
        if fs_type is None:
            fs_type = profile.string("defaults", "fs_type") or "ext2"
            if fs_type == "ext2" and arguments.journal.size:
                fs_type = "ext3"
        if not profile.has_type(fs_type) and fs_type != "ext2":
            text = f"\nYour mke2fs.conf file does not define the {fs_type} filesystem type.\n"
            if fs_type in ("ext3", "ext4", "ext4dev"):
                text += "You probably need to install an updated mke2fs.conf file.\n\n"
            if not arguments.force:
                raise Refusal(f"{text}Aborting...\n", to_stdout=True)
            self._console.out(text)
        known = arguments.block_size if arguments.block_size > 0 else 1024
        meg = (1 << 20) // known
        size_type = "huge"
        for name, limit in (
            ("floppy", 3 * meg),
            ("small", 512 * meg),
            ("default", 4 * 1024 * 1024 * meg),
            ("big", 16 * 1024 * 1024 * meg),
        ):
            if blocks < limit:
                size_type = name
                break
        types = [fs_type]
        for kind in (size_type if usage is None else usage).split(","):
            if kind and profile.has_type(kind):
                types.append(kind)
            elif kind and kind != "default":
                self._console.err(
                    f"\nWarning: the fs_type {kind} is not defined in mke2fs.conf\n\n"
                )
        return [*types, "hurd"] if is_hurd else types

    # -- features ------------------------------------------------------------------------------

    def _edit(self, text: str) -> None:
        """Edit the features as e2p_edit_feature does, with mke2fs's list of allowed ones."""
        try:
            for token in feature_words(text):
                if token.lower() in ("none", "clear"):
                    self._features = FeatureSet()
                    continue
                given = token[1:] if token[:1] in ("^", "-", "+") else token
                name = feature(given).name
                if name not in OK_FEATURES or given.lower() in _NOT_ITS_NAMES:
                    raise SpecError("features", name)
                removes = token[:1] in ("^", "-")
                # In FeatureSet.with_, metadata_csum replaces uninit_bg; mke2fs does that later.
                self._features = (
                    self._features.without(name) if removes else _plus(self._features, name)
                )
        except SpecError:
            raise Refusal(f"Invalid filesystem option set: {text}\n") from None

    def _default_features(self) -> None:
        arguments, profile, types = self._arguments, self._profile, self._types
        is_hurd = for_hurd(self._creator_os)
        usual = "sparse_super,large_file,filetype,resize_inode,dir_index"
        self._edit(profile.text_for(types, "base_features", usual) or "")
        text = profile.text_for(types, "default_mntopts", "acl,user_xattr") or ""
        try:
            self._mount_options = edit_mount_options(text, 0)
        except ValueError:
            raise Refusal(f"Invalid mount option set: {text}\n") from None
        for kind in types:
            self._edit(profile.string("fs_types", kind, "features") or "")
        if is_hurd:
            self._features = self._features.without(*NOT_FOR_HURD, "casefold")
        if not arguments.features:
            self._edit(profile.text_for(types, "default_features") or "")
        orphan_file = flags(self._features).orphan_file
        csum_seed = flags(self._features).metadata_csum_seed
        self._edit(",".join(arguments.features))
        if orphan_file and not flags(self._features).has_journal:
            self._features = self._features.without("orphan_file")
        if csum_seed and not flags(self._features).metadata_csum:
            self._features = self._features.without("metadata_csum_seed")
        if is_hurd:
            names = self._features.names()
            for name in NOT_FOR_HURD:
                if name in names:
                    raise Refusal(f"The HURD does not support the {name} feature.\n")

    # -- blocks --------------------------------------------------------------------------------

    def _block_size(self, blocks: int) -> tuple[int, int]:
        """Return the block size in bytes, and ``blocks`` converted to that size."""
        given = self._arguments.block_size
        device = self._arguments.journal.device
        if given <= 0 and device is not None:
            given = block_size_of(device, -given)
            self._console.out(f"Using journal device's blocksize: {given}\n", always=True)
            blocks //= given // 1024
        sector, physical = self._target.sector_sizes()
        if given > 0:
            if given < sector:
                raise Mistake("Invalid argument while setting blocksize; too small for device\n")
            if given < physical <= _page_size():
                self._console.err(
                    f"Warning: specified blocksize {given} is less than device physical "
                    f"sectorsize {physical}\n"
                )
            return given, blocks
        size = self._profile.int_for(self._types, "blocksize", 4096)
        if size == -1:
            size = _page_size()
        if not MIN_BLOCK_SIZE <= size <= MAX_BLOCK_SIZE:
            raise Mistake(f"invalid block size in profile - {size}")
        size = max(size, sector, -given)
        # int_log2 rounds down.
        return 1 << size.bit_length() - 1, blocks // (size // 1024)

    def _cluster_size(self, features: FeatureSet, block_size: int) -> int:
        size = self._arguments.cluster_size
        if flags(features).bigalloc:
            if not size:
                size = self._profile.int_for(self._types, "cluster_size", block_size * 16)
            size = 1 << log2(size)
            if size < block_size:
                raise Mistake("The cluster size may not be smaller than the block size.\n")
            return size
        if size:
            raise Mistake("specifying a cluster size requires the bigalloc feature")
        return block_size

    def _raid(self, block_size: int) -> tuple[int, int]:
        least, best, rotational = self._target.topology(block_size)
        profile, types = self._profile, self._types
        stride, stripe = least > block_size, best > block_size
        how = profile.text_for(types, "set_raid_stride", "always")
        if how == "never" or (how != "always" and not rotational):
            stride = False
        how = profile.text_for(types, "set_raid_stripe", "disk")
        if how == "never" or (how != "always" and not rotational):
            stripe = False
        return (least // block_size if stride else 0), (best // block_size if stripe else 0)

    def _resize(self, blocks: int, block_size: int, log: int) -> tuple[FeatureSet, int]:
        """Return the features, and the number of descriptor blocks that -E resize= reserves."""
        text = self._extended.resize
        if text is None:
            return self._features, 0
        most = parse_num_blocks(text, log)
        if not most:
            raise Refusal(f"Invalid resize parameter: {text}\n")
        if most <= blocks:
            raise Refusal("The resize maximum must be greater than the filesystem size.\n")
        per_group = self._arguments.blocks_per_group or 8 * block_size
        size = (self._extended.desc_size or 64) if flags(self._features).is_64bit else 32
        per_block = block_size // size
        descriptors, wanted = (
            ceil_div(ceil_div(count, per_group), per_block) for count in (blocks, most)
        )
        reserved = wanted - descriptors
        reserved = min(reserved, block_size // 4)
        if reserved <= 0:
            return self._features, 0
        if self._extended.revision == 0:
            raise Refusal("On-line resizing not supported with revision 0 filesystems\n")
        return self._features.with_("resize_inode"), reserved

    def _check_sparse_image(self) -> None:
        if self._target.is_device:
            raise Mistake(f"-E android_sparse: {self._arguments.device} is a device; name a file")
        if self._extended.offset:
            raise Mistake("-E android_sparse: a sparse image has no offset; leave out offset=")

    # -- consistency ---------------------------------------------------------------------------

    def _check_revision_0(self) -> None:
        if self._arguments.features:
            raise Refusal("Filesystem features not supported with revision 0 filesystems\n")
        if self._arguments.journal.size:
            raise Refusal("Journals not supported with revision 0 filesystems\n")
        self._features = FeatureSet()

    def _check_together(self, features: FeatureSet, block_size: int) -> None:
        if flags(features).bigalloc and not flags(features).extent:
            raise Mistake("Can't support bigalloc feature without extents feature")
        if flags(features).meta_bg and flags(features).resize_inode:
            raise Refusal(
                "The resize_inode and meta_bg features are not compatible.\n"
                "They can not be both enabled simultaneously.\n"
            )
        if flags(features).resize_inode and not flags(features).sparse_super:
            raise Mistake("reserved online resize blocks not supported on non-sparse filesystem")
        blocks = self._arguments.blocks_per_group
        if blocks and not 256 <= blocks <= 8 * block_size:
            raise Mistake("blocks per group count out of range")
        size = self._extended.desc_size
        if size is not None and not flags(features).is_64bit:
            raise Refusal("desc_size requires '-O 64bit'\n")
        if size is not None and not (64 <= size <= 1024 and is_power_of_two(size)):
            raise Refusal(f"Invalid desc_size: '{size}'\n")

    def _take_quota_types(self) -> None:
        """Parse -E quotatype= (lib/support/parse_qtype.c); ``prj`` adds the feature project."""
        text = self._extended.quotatype
        if text is None:
            return
        kinds: list[str] = []
        for token in re.split("[:,]", text):
            kind = _QUOTA_KINDS.get(token.lstrip("^"))
            if kind is None:
                raise Refusal(f"Failed to parse quota type at {token}\n")
            kinds = [each for each in kinds if each != kind]
            kinds += [] if token.startswith("^") else [kind]
        if not kinds:
            raise Refusal(f"Quota types {text} leave none; omit the quota feature instead\n")
        self._quota_kinds = kinds
        if "prj" in kinds:
            self._features = self._features.with_("project")

    @staticmethod
    def _first_meta_bg(features: FeatureSet) -> int:
        text = os.environ.get("MKE2FS_FIRST_META_BG")
        return strtoul(text)[0] if text is not None and flags(features).meta_bg else 0

    def _flex_size(self, features: FeatureSet) -> int:
        size = self._arguments.flex_size
        if not flags(features).flex_bg:
            if size:
                raise Mistake("Flex_bg feature not enabled, so flex_bg size may not be specified")
            return 1
        size = size or self._profile.int_for(self._types, "flex_bg_size", 16) or 1
        return 1 << log2(size)

    def _inode_size(self, features: FeatureSet, block_size: int) -> int:
        size = self._arguments.inode_size
        given = size
        if flags(features).project and size == GOOD_OLD_INODE_SIZE:
            raise Mistake(f"{size} byte inodes are too small for project quota")
        if not size:
            size = self._profile.int_for(self._types, "inode_size", 0)
            if flags(features).project:
                size = max(size, 2 * GOOD_OLD_INODE_SIZE)
        if self._extended.revision == 0:
            if given > GOOD_OLD_INODE_SIZE:
                raise Refusal("Inode size incompatible with revision 0 filesystems\n")
            return GOOD_OLD_INODE_SIZE
        if size and (not GOOD_OLD_INODE_SIZE <= size <= block_size or not is_power_of_two(size)):
            raise Mistake(f"invalid inode size {size} (min {GOOD_OLD_INODE_SIZE}/max {block_size})")
        asked, size = size, size or GOOD_OLD_INODE_SIZE
        if flags(features).inline_data and size == GOOD_OLD_INODE_SIZE:
            raise Mistake(f"{size} byte inodes are too small for inline data; specify larger size")
        # Like mke2fs, warn only about a given size.
        if asked == GOOD_OLD_INODE_SIZE and self._profile.bool_for(
            self._types, "warn_y2038_dates", True
        ):
            self._console.out(
                "128-byte inodes cannot handle dates beyond 2038 and are deprecated\n",
                always=True,
            )
        return size

    def _inodes(
        self, features: FeatureSet, blocks: int, block_size: int, ratio: int, inode_size: int
    ) -> int:
        inodes = self._arguments.inodes
        if inodes > MAX_32:
            raise Mistake(f"too many inodes ({inodes}), specify < 2^32 inodes")
        if not inodes:
            inodes = blocks * block_size // ratio
            if inodes > MAX_32:
                if not flags(features).is_64bit:
                    raise Mistake(f"too many inodes ({inodes}), raise inode ratio?")
                inodes = MAX_32
        if inodes * inode_size >= blocks * block_size:
            raise Mistake(
                f"inode_size ({inode_size}) * inodes_count ({inodes}) too big for a\n\t"
                f"filesystem with {blocks} blocks, specify higher inode_ratio (-i)\n\t"
                "or lower inode count (-N).\n"
            )
        if not inodes:
            # ext2fs_initialize: one inode for each 4 KiB
            inodes = min(blocks // max(1, 4096 // block_size), MAX_32)
        return inodes

    def _check_checksums(self, features: FeatureSet) -> None:
        if not flags(features).metadata_csum:
            if flags(features).metadata_csum_seed:
                raise Refusal(
                    "The metadata_csum_seed feature requires the metadata_csum feature.\n",
                    to_stdout=True,
                )
            return
        if not flags(features).extent:
            self._console.out(
                "Extents are not enabled.  The file extent tree can be checksummed, whereas block "
                "maps cannot.  Not enabling extents reduces the coverage of metadata "
                "checksumming.  Pass -O extents to rectify.\n"
            )
        if not flags(features).is_64bit:
            self._console.out(
                "64-bit filesystem support is not enabled.  The larger fields afforded by this "
                "feature enable full-strength checksumming.  Pass -O 64bit to rectify.\n"
            )

    # -- the journal ---------------------------------------------------------------------------

    def _journal(self, numbers: Geometry) -> tuple[Geometry, int, int]:
        """Return the geometry, the blocks of the log, and the blocks for fast commits.

        Without a journal both are 0.
        """
        asked, fmt = self._arguments.journal, numbers.format
        if fmt.fast_commit and not fmt.has_journal:
            self._console.err("\nfast_commit is left out: it has no effect without a journal\n")
            numbers = numbers._replace(format=fmt.without("fast_commit"))
            fmt = numbers.format
        if asked.device is not None:
            self._refuse_version_1("on an external device")
            return numbers, 0, 0
        if not fmt.has_journal:
            return numbers, 0, 0
        if fmt.fast_commit:
            self._refuse_version_1("with fast commits")
        log = default_journal_blocks(numbers.blocks)
        if not log:
            self._console.err("\nFilesystem too small for a journal\n")
            without = fmt.without("has_journal", "orphan_file", "fast_commit")
            return numbers._replace(format=without), 0, 0
        fast_commit = default_fast_commit_blocks(log) if fmt.fast_commit else 0
        if asked.size > 0:
            log = asked.size * 1024 // (fmt.block_size // 1024)
        if fmt.fast_commit and asked.fast_commit_size > 0:
            fast_commit = asked.fast_commit_size * 1024 // fmt.block_size
        if asked.size > 0 or (fmt.fast_commit and asked.fast_commit_size > 0):
            least, most = JOURNAL_LIMITS
            total = log + fast_commit
            if not least <= total <= most:
                raise Refusal(
                    f"\nThe total requested journal size is {total} blocks;\nit must be between "
                    f"{least} and {most} blocks.  Aborting.\n"
                )
            if total > numbers.free_blocks // 2:
                raise Refusal("\nTotal journal size too big for filesystem.\n")
        return numbers, log, fast_commit

    def _journal_device(
        self, features: FeatureSet, block_size: int, blocks: int, stride: int, stripe: int
    ) -> JournalDevice:
        """The settings of a journal device; options for inodes and groups are ignored."""
        if self._system() != "Linux":
            raise Mistake(f"-o {self._creator_os}: only Linux supports external journals")
        arguments = self._arguments
        options: dict[str, Any] = {
            "block_size": block_size,
            "features": "" if flags(features).metadata_csum else "^metadata_csum",
            "label": os.fsencode(arguments.label),
            "last_mounted": os.fsencode(arguments.last_mounted)[:64],
            "errors": self._error_behavior(),
            "raid_stride": stride,
            "raid_stripe_width": stripe,
        }
        return JournalDevice(blocks, options, self._extended)

    def _refuse_version_1(self, where: str) -> None:
        if self._arguments.journal.v1_superblock:
            raise Mistake(f"-J v1_superblock: a journal {where} needs a superblock of version 2")

    def _journal_location(self, numbers: Geometry) -> int | str | None:
        if self._extended.packed_meta_blocks:
            return 0
        text = self._arguments.journal.location
        if text is None:
            text = self._profile.text_for(self._types, "journal_location", "")
        if text:
            block_size = numbers.format.block_size
            return parse_num_blocks(text, log2(block_size) - EXT4_MIN_BLOCK_LOG_SIZE) * block_size
        # lib/ext2fs/fallocate.c:ext2fs_fallocate ignores the goal for a file without extents.
        return "middle" if numbers.format.extent else None

    # -- inode tables ---------------------------------------------------------------------------

    def _leaves_tables(self) -> bool:
        """Whether the kernel has to zero unused inodes: EXT4_BG_INODE_ZEROED is then not set.

        misc/mke2fs.c:main. The content of a file is discarded first, which leaves zeros.
        """
        lazy = self._extended.lazy_itable_init
        if lazy is None:
            lazy = self._profile.bool_for(self._types, "lazy_itable_init", True)
        leaves_zeros = not self._target.is_device and self._discards()
        return lazy and not (self._extended.assume_storage_prezeroed or leaves_zeros)

    def _discards(self) -> bool:
        extended = self._extended
        discard = extended.discard
        if discard is None:
            discard = self._profile.bool_for(self._types, "discard", not self._arguments.keep)
        known = max(self._arguments.block_size, MIN_BLOCK_SIZE)
        # A device that reads as zeros may not do so after a discard.
        is_left = extended.assume_storage_prezeroed and self._target.is_device
        in_place = not (extended.android_sparse or is_left)
        return discard and in_place and (self._target.size or 0) >= known

    # -- the Spec ------------------------------------------------------------------------------

    def _options(self, numbers: Geometry, journal: int, wanted: Request) -> dict[str, Any]:
        arguments, extended, fmt = self._arguments, self._extended, numbers.format
        types, profile = self._types, self._profile
        options: dict[str, Any] = {
            "size": numbers.blocks * fmt.block_size,
            "inodes": numbers.inodes,
            "reserved_blocks": numbers.reserved_blocks,
            "label": os.fsencode(arguments.label),
            "block_size": fmt.block_size,
            "inode_size": fmt.inode_size,
            "features": fmt.features,
            "groups_per_flex": wanted.groups_per_flex,
            "journal": journal * fmt.block_size if journal else "none",
            "default_mntopts": self._mount_options,
            "last_mounted": os.fsencode(arguments.last_mounted)[:64],
            "revision": extended.revision,
            "test_fs": extended.test_fs,
            "errors": self._error_behavior(),
        }
        if unfit_feature(self._system(), fmt) is None:
            options["creator_os"] = self._system()
        if fmt.block_size == MIN_BLOCK_SIZE or fmt.inline_data:
            options["lost_and_found_size"] = _lost_and_found_blocks(fmt) * fmt.block_size
        if journal:
            options["journal_location"] = self._journal_location(numbers)
        if fmt.resize_inode:
            options["reserved_gdt_blocks"] = numbers.reserved_gdt_blocks
        if fmt.clusters_per_group != most_clusters(fmt):
            options["blocks_per_group"] = fmt.clusters_per_group
        options["group_tables"] = "mke2fs"
        options["leading_hole"] = LEADING_HOLE
        options["lazy_itable_init"] = self._leaves_tables()
        if extended.packed_meta_blocks and fmt.flex_bg:
            options["packed_meta_blocks"] = True
        if arguments.bad_blocks is not None:
            options["bad_blocks"] = self._bad_blocks(arguments.bad_blocks, numbers)
        if arguments.journal.device is not None:
            found = usable_journal(arguments.journal.device, fmt.block_size)
            options["journal_device"] = True
            options["journal"] = found.blocks * fmt.block_size
            options["journal_uuid"] = found.uuid
            options["journal_dev"] = found.device
        if fmt.mmp and extended.mmp_update_interval:
            options["mmp_update_interval"] = extended.mmp_update_interval
        text = extended.orphan_file_size
        if text is not None:
            blocks = parse_num_blocks(text, log2(fmt.block_size) - EXT4_MIN_BLOCK_LOG_SIZE)
            if not blocks:
                raise Refusal(f"Invalid size of orphan file {text}\n")
            if fmt.orphan_file:
                options["orphan_file_size"] = blocks * fmt.block_size
        if fmt.bigalloc:
            options["cluster_size"] = fmt.cluster_size
        if fmt.is_64bit and fmt.desc_size != MIN_DESC_SIZE_64BIT:
            options["desc_size"] = fmt.desc_size
        if fmt.meta_bg and fmt.first_meta_bg:
            options["first_meta_bg"] = fmt.first_meta_bg
        if fmt.quota and self._quota_kinds is not None:
            options["quotatype"] = ":".join(self._quota_kinds)
        if fmt.casefold:
            options["encoding"] = extended.encoding
            if extended.encoding is None:
                options["encoding"] = profile.text_for(types, "encoding", "utf8")
            flags = extended.encoding_flags or profile.text_for(types, "encoding_flags", "")
            options["encoding_flags"] = flags
        elif extended.encoding_flags is not None:
            raise Refusal(
                "error: An encoding must be explicitly specified when passing encoding-flags\n"
            )
        options["hash_alg"] = profile.text_for(types, "hash_alg", "half_md4")
        if fmt.sparse_super2:
            options["num_backup_sb"] = wanted.num_backup_sb
        if profile.bool_for(types, "enable_periodic_fsck", False):
            options["check_interval"] = CHECK_INTERVAL
        try:
            fmt.features.check(Asked.by(",".join(arguments.features)))
        except SpecError as error:
            raise Mistake(f"-O {error.problem}") from None
        return options

    def _bad_blocks(self, path: str, numbers: Geometry) -> list[int]:
        """The block numbers in a file of badblocks(8) that are within the file system."""
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                lines = file.read().split()
        except OSError as error:
            raise Mistake(f"{error.strerror} while trying to open {path}") from None
        found: list[int] = []
        for line in lines:
            block, rest = strtoul(line)
            if rest:
                raise Mistake(f"{line!r} in {path} is not a block number")
            if not numbers.format.first_data_block <= block < numbers.blocks:
                # misc/mke2fs.c:invalid_block
                self._console.err(f"Bad block {block} out of range; ignored.\n")
                continue
            found.append(block)
        return found

    def _error_behavior(self) -> str:
        text = self._profile.text_for(self._types, "errors")
        if text not in (None, "continue", "remount-ro", "panic"):
            raise Mistake(f"bad error behavior in profile - {text}")
        return self._arguments.errors or text or "continue"

    def _system(self) -> CreatorOs:
        if self._creator_os is None:
            return "Linux"
        name = self._creator_os.lower()
        if name not in _SYSTEMS:
            raise Mistake(f"unknown os - {self._creator_os}")
        return _SYSTEMS[name]


@cache
def flags(features: FeatureSet) -> Format:
    """A Format with these features, for queries that do not depend on sizes."""
    return Format.of(features, 4096, 256)


def most_clusters(fmt: Format) -> int:
    """The largest possible number of clusters in a group, which is the default."""
    usual = Format.of(fmt.features, fmt.block_size, fmt.inode_size, cluster_size=fmt.cluster_size)
    return usual.clusters_per_group


def _plus(features: FeatureSet, name: str) -> FeatureSet:
    row = feature(name)
    words = {word: getattr(features, word) for word in ("compat", "incompat", "ro_compat")}
    words[row.word] |= row.mask
    return FeatureSet(**words)


def _lost_and_found_blocks(fmt: Format) -> int:
    """The initial blocks of /lost+found (misc/mke2fs.c:create_lost_and_found).

    They are 16 KiB, but at most as many blocks as the inode maps directly. mke2fs extends the
    directory equally often with inline_data, although it then starts without a block.
    """
    blocks = min(max(2, 16 * 1024 // fmt.block_size), EXT4_NDIR_BLOCKS)
    return blocks - 1 if fmt.inline_data else blocks


def _page_size() -> int:
    return os.sysconf("SC_PAGESIZE")


# -- identity --------------------------------------------------------------------------------------


def clock_of(environment: dict[str, str], now: int) -> Clock:
    """The time of the file system (ext2fs_initialize), in seconds since 1970.

    An invalid number counts as 0. An empty variable is ignored, as in ``build``.
    """
    for name in ("SOURCE_DATE_EPOCH", "E2FSPROGS_FAKE_TIME"):
        if environment.get(name):
            return Clock(min(strtoul(environment[name])[0], MAX_32), True)
    return Clock(now, False)


def identify(settings: Settings, arguments: Arguments, clock: Clock) -> Spec:
    """Return the Spec with UUID, hash seed and time; raises :class:`Mistake`.

    With a tree or a given time, UUID and hash seed are derived. Otherwise they are random, as in
    mke2fs, because two empty file systems must not have the same UUID.
    """
    from ext4writer import Spec

    options = dict(settings.options)
    derived = arguments.source is not None or clock.is_given
    options["uuid"] = chosen_uuid(arguments.uuid, arguments.device, derived)
    options["hash_seed"] = chosen_hash_seed(settings.extended, derived)
    if clock.is_given or arguments.source is None:
        options["epoch"] = clock.seconds
    if "check_interval" in options:
        identity = options["uuid"]
        jitter = sum(identity.bytes) % MAX_MOUNT_COUNT if identity is not None else 0
        options["max_mount_count"] = MAX_MOUNT_COUNT + jitter
    try:
        return Spec(**options)
    except SpecError as error:
        raise option_mistake(error) from None


_OPTIONS = {
    "bad_blocks": "-l",
    "block_size": "-b",
    "blocks_per_group": "-g",
    "cluster_size": "-C",
    "fast_commit_size": "-J fast_commit_size",
    "features": "-O",
    "groups_per_flex": "-G",
    "inode_size": "-I",
    "inodes": "-N",
    "journal": "-J size",
    "journal_location": "-J location",
    "label": "-L",
    "last_mounted": "-M",
    "raid_stride": "-E stride",
    "raid_stripe_width": "-E stripe_width",
    "reserved_blocks": "-m",
    "uuid": "-U",
    **{
        name: f"-E {name}"
        for name in (
            *("desc_size", "encoding", "encoding_flags", "hash_seed", "mmp_update_interval"),
            *("num_backup_sb", "orphan_file_size", "packed_meta_blocks", "quotatype", "revision"),
        )
    },
}
"""Option of a Spec -> the corresponding option of mke2fs."""


def option_mistake(error: SpecError) -> Mistake:
    """Convert an error of the Spec to one that uses the name of mke2fs's option."""
    return Mistake(error.under(_OPTIONS))


def chosen_hash_seed(extended: Extended, derived: bool) -> UUID | None:
    """The hash seed of -E; if not given, None if ``derived``, otherwise a random one."""
    seed = extended.hash_seed
    if seed is None:
        return None if derived else uuid4()
    try:
        return UUID(seed)
    except ValueError:
        raise Refusal(f"Invalid hash seed: {seed}\n") from None


def chosen_uuid(text: str | None, device: str, derived: bool) -> UUID | None:
    """The UUID of -U; if not given, None if ``derived``, otherwise a random one."""
    word = (text or "").lower()
    if text is None:
        return None if derived else uuid4()
    if word in ("null", "clear"):
        return UUID(int=0)
    if word == "time":
        return uuid1()
    if word == "random":
        return uuid4()
    if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", word):
        raise Refusal(f"{device}: could not parse UUID: {text}\n\n")
    return UUID(word)
