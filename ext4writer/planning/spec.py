"""The options of an image, and the checks of their values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NoReturn
from uuid import UUID

from ..arguments import bytes_of, count_of, flag, id_of, seconds_of
from ..arithmetic import ceil_div
from ..bits import is_power_of_two
from ..checked import checked_if_it_fails
from ..errors import SpecError
from ..late_dataclasses import dataclass, fields
from ..ondisk.features import DEFAULT_FEATURES, TYPES, Asked, FeatureSet, why_needed
from ..ondisk.format import MAX_32BIT_BLOCKS, MAX_CLUSTER_SIZE, Format
from ..ondisk.inode import EXT4_GOOD_OLD_INODE_SIZE
from ..ondisk.mmp import EXT4_MMP_MAX_UPDATE_INTERVAL, EXT4_MMP_UPDATE_INTERVAL
from ..ondisk.orphan import MAX_ORPHAN_FILE_BLOCKS
from ..ondisk.superblock import ERRORS, EXT4_DEFM_ACL, EXT4_DEFM_XATTR_USER, SYSTEMS
from ..units import KIB
from .fresh_policy import fresh_policy
from .options import (
    OPTIONS,
    CreatorOs,
    Encoding,
    EncodingFlags,
    GivenPolicies,
    GivenSignatures,
    HashAlg,
    Option,
    Policies,
    ShortSignature,
    Signatures,
    Size,
    bad_blocks_of,
    check_interval_of,
    converted,
    creator_os_of,
    device_number_of,
    encoding_flags_of,
    encoding_of,
    features_of,
    hash_alg_of,
    journal_features_of,
    journal_of,
    location_of,
    max_mount_count_of,
    mmp_update_interval_of,
    mount_options_of,
    optional,
    percent_in,
    percent_of,
    policies_of,
    policy_of,
    quota_grace_of,
    quota_limits_of,
    quotatype_of,
    salt_of,
    signatures_of,
    size_of,
    uuid_of,
)
from .policy import LayoutPolicy

if TYPE_CHECKING:
    from .quota_options import QuotaGrace, QuotaLimit

    QuotaLimits = str | QuotaLimit | Sequence[str | QuotaLimit]
    QuotaGraces = str | QuotaGrace | Sequence[str | QuotaGrace]

MIB = 1024 * KIB
GIB = 1024 * MIB

DEFAULT_VERITY_BLOCK = 4096
VerityHashAlg = Literal["sha256", "sha512"]

DEFAULT_FREE = 16 * MIB
BYTES_PER_INODE = 16 * KIB
"""Bytes per inode: mke2fs's inode_ratio."""
INODE_RATIOS = (KIB, 64 * MIB)
"""The fewest and the most bytes per inode that mke2fs accepts (misc/mke2fs.c, PRS)."""
IMAGE_UNIT = 4096
"""A fitted image is a multiple of this many bytes, which suits every host and loop device."""
LABEL_MAX = 16
BLOCK_SIZES = (1024, 2048, 4096, 8192, 16384, 32768, 65536)
DESC_SIZES = (64, 128, 256, 512, 1024)
INODE_SIZE_MAX = 1 << 15
"""s_inode_size has 16 bits."""
RESERVED_PERCENT_MAX = 50
NUM_BACKUP_SB_MAX = 2
Identity = Literal["attributes", "content"]
Dedupe = Literal["none", "blocks"]
FileSystemType = Literal["ext2", "ext3", "ext4"]
ErrorBehavior = Literal["continue", "remount-ro", "panic"]
GroupTables = Literal["compact", "mke2fs"]
JournalLocation = int | Literal["middle"] | None
LAST_MOUNTED_MAX = 64
MOUNT_OPTS_MAX = 63
"""s_mount_opts has 64 bytes, and the kernel requires a NUL among them (fs/ext4/super.c)."""
MAX_MOUNT_COUNT = 0xFFFE
"""s_max_mnt_count has 16 bits, and 0xFFFF means never."""
NOT_FOR_HURD = ("filetype", "huge_file", "metadata_csum", "ea_inode", "casefold")
"""Features that mke2fs rejects for the Hurd (misc/mke2fs.c:PRS)."""
BLOCKS_PER_GROUP_MIN = 256
GROUPS_PER_FLEX_MAX = 1 << 31


@dataclass(frozen=True, slots=True, repr=False)
class Spec:
    """The options of an image; ``None`` means "decide for me".

    Sizes are in bytes; texts such as ``"64M"`` and ``"1.5GiB"`` are accepted, too. A str in place
    of bytes is encoded as UTF-8. Raises :class:`SpecError` on construction for a value that can
    never be valid.
    """

    size: Option[int | None, Size | None] = Option(
        None,
        "Size of the image in bytes.",
        optional(size_of),
        default_text="the smallest that holds the tree and the promised free space",
        least=0,
    )
    free: Option[int | None, Size | None] = Option(
        None,
        "Bytes to leave free for all users, in addition to what the kernel reserves; "
        '"10%" is a share of the bytes of all files, without holes.',
        optional(size_of),
        default_text="16M in a fitted image, or whatever is left in one of a given size",
        least=0,
    )
    free_percent: Option[float, float | str] = Option(
        0.0,
        "The same in percent of the bytes of all files, without holes; it is added to {free}.",
        percent_of,
        least=0,
    )
    free_inodes: Option[int | None, int | str | None] = Option(
        None,
        "Number of inodes to leave free.",
        optional(count_of),
        default_text="one for each 16K of {free}",
        least=0,
    )
    inodes: Option[int | None, int | str | None] = Option(
        None,
        "Minimum number of inodes, including those in use and the reserved ones, as with mke2fs "
        "-N; use it instead of {free_inodes}.",
        optional(count_of),
        least=0,
    )
    grow_to: Option[int | None, Size | None] = Option(
        None,
        "Size in bytes to which the image can grow, for which descriptors are reserved.",
        optional(size_of),
        default_text="1024 times the size, as in mke2fs",
        least=0,
    )
    grow_at_least: Option[int, Size] = Option(
        0,
        "Without {grow_to}: minimum size in bytes for which descriptors are reserved, even if 1024 "
        "times the size is less, as far as the resize inode can hold them.",
        size_of,
        least=0,
    )
    inode_ratio: Option[int | None, Size | None] = Option(
        None,
        "Bytes per inode: a full block group gets at least one inode for each, in the image and "
        "when it grows; 0 makes only as many inodes as are needed.",
        optional(size_of),
        default_text="with {grow_to} 16K, or a cluster or two inodes if that is more, otherwise 0",
        least=0,
    )
    align: Option[int | None, Size | None] = Option(
        None,
        "Make the size of a fitted image a multiple of this many bytes, such as 1M.",
        optional(size_of),
        default_text="4K",
    )
    reserved_percent: Option[float, float | str] = Option(
        0.0,
        "Blocks kept for the superuser, in percent of the image.",
        percent_of,
        least=0,
        most=RESERVED_PERCENT_MAX,
    )
    reserved_blocks: Option[int | None, int | str | None] = Option(
        None,
        "Number of blocks kept for the superuser, instead of {reserved_percent}.",
        optional(count_of),
        least=0,
    )
    reserved_uid: Option[int, int | str] = Option(
        0,
        "User who may also use these blocks; kernels before 6.18 read only 16 bits of the ID.",
        id_of,
        form="UID",
    )
    reserved_gid: Option[int, int | str] = Option(
        0, "Group that may also use them.", id_of, form="GID"
    )

    label: Option[bytes, bytes | str] = Option(
        b"", "Label of the file system, at most 16 bytes.", bytes_of, form="LABEL"
    )
    uuid: Option[UUID | None, UUID | str | None] = Option(
        None,
        "UUID of the file system.",
        optional(uuid_of),
        default_text="derived from names, attributes, sizes and options, not from content; see "
        "{identity}",
    )
    hash_seed: Option[UUID | None, UUID | str | None] = Option(
        None,
        "Seed of the directory hash, a UUID.",
        optional(uuid_of),
        default_text="derived from names, attributes and sizes",
    )
    identity: Option[Identity, Identity] = Option(
        "attributes",
        'What an omitted UUID is derived from; "content" reads every file once more, so that '
        "images with different content never share a UUID.",
        choices=("attributes", "content"),
    )

    block_size: Option[int, Size] = Option(
        4096,
        "Size of a block in bytes: a power of two from 1024 to 65536. Most kernels cannot mount "
        "blocks larger than a page, which has 4096 bytes on most machines.",
        size_of,
    )
    inode_size: Option[int, Size] = Option(
        256,
        "Size of an inode in bytes: a power of two from 128 to the block size, at most 32768.",
        size_of,
    )
    cluster_size: Option[int | None, Size | None] = Option(
        None,
        "With the feature bigalloc: size in bytes of a cluster, the unit of allocation; a power of "
        "two from the block size to 512 MiB.",
        optional(size_of),
        default_text="16 blocks",
    )
    desc_size: Option[int | None, Size | None] = Option(
        None,
        "With the feature 64bit: size of a group descriptor in bytes, a power of two from 64 to "
        "1024.",
        optional(size_of),
        default_text="64, or 32 without 64bit",
    )
    type: Option[FileSystemType, FileSystemType] = Option(
        "ext4",
        "File system type that sets the default features, as with mke2fs -t; ext2 and ext3 use "
        "block maps instead of extents, and ext2 has no journal.",
        choices=tuple(TYPES),
    )
    features: Option[FeatureSet, FeatureSet | str] = Option(
        DEFAULT_FEATURES,
        'Features of the format; a text such as "^huge_file" changes the defaults of the type, '
        "and the default features of ext4 stand for those of any type.",
        features_of,
    )
    hash_alg: Option[HashAlg, str] = Option(
        "half_md4",
        'Hash of names in indexed directories, as in mke2fs.conf: "half_md4", "tea" or "legacy"; '
        'with the suffix "_unsigned", bytes of 0x80 and above are unsigned, as in images made on '
        "ARM or PowerPC.",
        hash_alg_of,
        form="half_md4|tea|legacy[_unsigned]",
    )
    encoding: Option[Encoding | None, str | None] = Option(
        None,
        "Encoding of names in directories that ignore case; adds the feature casefold. "
        '"utf8" is the newest encoding. A directory ignores case if its node has the inode flag '
        "casefold.",
        optional(encoding_of),
        default_text="utf8-12.1 with the feature casefold",
        form="utf8-12.1|utf8",
    )
    encoding_flags: Option[EncodingFlags, str] = Option(
        "",
        '"strict" refuses names that are not valid UTF-8 in such directories, here and in the '
        'kernel; "nostrict" compares them byte by byte.',
        encoding_flags_of,
        default_text="nostrict",
        form="strict|nostrict",
    )
    verity_hash_alg: Option[VerityHashAlg, VerityHashAlg] = Option(
        "sha256",
        "Hash algorithm for files with the inode flag verity, which needs the feature verity.",
        choices=("sha256", "sha512"),
    )
    verity_block_size: Option[int | None, Size | None] = Option(
        None,
        "Block size of Merkle trees in bytes: a power of two from 1024 to the block size.",
        optional(size_of),
        default_text="4096, or the block size if that is less",
    )
    verity_salt: Option[bytes, bytes | str] = Option(
        b"",
        "Salt that is hashed before each block of files with verity, at most 32 bytes; a text is "
        "hexadecimal.",
        salt_of,
        form="HEX",
    )
    verity_signatures: Option[Signatures, GivenSignatures] = Option(
        (),
        "Mapping from paths to built-in fs-verity signatures: DER bytes from 'fsverity sign'.",
        signatures_of,
    )
    encryption_policies: Option[Policies, GivenPolicies] = Option(
        (),
        "Mapping from paths of empty directories, in which the kernel will encrypt, to "
        'policies: the identifier of a master key, and after commas "contents=AES-256-XTS", '
        '"filenames=AES-256-CTS", "padding=32", "direct-key", "iv-ino-lblk-64" or '
        '"iv-ino-lblk-32". Adds the feature encrypt.',
        policies_of,
    )
    num_backup_sb: Option[int, int | str] = Option(
        2,
        "With the feature sparse_super2: number of backups of superblock and descriptors. The "
        "first is in group 1, the second in the last group.",
        count_of,
        least=0,
        most=NUM_BACKUP_SB_MAX,
    )
    first_meta_bg: Option[int, int | str] = Option(
        0,
        "With the feature meta_bg: number of descriptor blocks after each superblock "
        "(s_first_meta_bg). All further ones are in the groups that they describe.",
        count_of,
        least=0,
    )
    journal: Option[int | Literal["auto", "none"], Size] = Option(
        "auto",
        'Size of the journal in bytes, "none", or "auto" for the size that mke2fs chooses.',
        journal_of,
        form="auto|none|SIZE",
    )

    fast_commit_size: Option[int | None, Size | None] = Option(
        None,
        "With the feature fast_commit: size in bytes of the area for fast commits, which is added "
        "to the end of the journal; rounded up to blocks.",
        optional(size_of),
        default_text="1/64 of the rest",
        least=1,
    )
    orphan_file_size: Option[int | None, Size | None] = Option(
        None,
        "With the feature orphan_file: size of the orphan file in bytes, rounded up to blocks, of "
        "which there are at most 512.",
        optional(size_of),
        default_text="chosen by the size of the image, as in mke2fs",
    )
    mmp_update_interval: Option[int, int | str] = Option(
        EXT4_MMP_UPDATE_INTERVAL,
        "With the feature mmp: seconds between updates of the MMP block by a host that has mounted "
        "the file system, 1 to 300; 0 means the default, as in mke2fs.",
        mmp_update_interval_of,
        form="SECONDS",
        least=1,
        most=EXT4_MMP_MAX_UPDATE_INTERVAL,
    )
    journal_location: Option[JournalLocation, Size | None] = Option(
        None,
        "Byte offset of the journal, which begins at the first free block from there; "
        '"middle" is the middle of the file system, as in mke2fs. Needs a {size}.',
        optional(location_of),
        default_text="before all files",
        form="middle|SIZE",
    )
    journal_device: Option[bool, bool] = Option(
        False,
        "The journal is on an external device, with the size in journal or at least 1024 blocks; "
        "write_journal writes it. A mount needs the option journal_path, and e2fsck -j, unless "
        "journal_dev is set.",
        flag,
    )
    journal_uuid: Option[UUID | None, UUID | str | None] = Option(
        None,
        "With {journal_device}: UUID of the journal.",
        optional(uuid_of),
        default_text="derived from {uuid}",
    )
    journal_dev: Option[int, int | str] = Option(
        0,
        "With {journal_device}: device number on the machine that mounts the image, MAJOR:MINOR; 0 "
        "if unknown, and then the mount needs the option journal_path.",
        device_number_of,
        form="MAJOR:MINOR",
    )
    journal_features: Option[tuple[str, ...], str | Sequence[str]] = Option(
        (),
        "Features of the journal before the first mount, with dumpe2fs's names: "
        "journal_64bit, journal_checksum, journal_checksum_v2, journal_checksum_v3, "
        "journal_async_commit, journal_incompat_revoke. A mount sets those that the kernel needs.",
        journal_features_of,
        form="NAME[,...]",
    )
    dedupe: Option[Dedupe, Dedupe] = Option(
        "none",
        '"blocks" stores equal blocks of content only once and adds the feature shared_blocks. '
        "Such an image can only be mounted read-only, until e2fsck -E unshare_blocks gives each "
        "file its own blocks. Every file is read once more.",
        choices=("none", "blocks"),
    )
    bad_blocks: Option[tuple[int, ...], Sequence[int]] = Option(
        (),
        "Numbers of blocks that must not be used, as badblocks lists them for this block size; "
        "those past the end of the image are ignored. Bitmaps and inode tables avoid them; a bad "
        "block at the location of a superblock or descriptors is refused.",
        bad_blocks_of,
    )
    quotatype: Option[tuple[str, ...] | None, str | Sequence[str] | None] = Option(
        None,
        "With the feature quota: types of quota to account, as in mke2fs -E quotatype, such as "
        "usr:grp. With the feature project, projects are always included.",
        optional(quotatype_of),
        default_text="usr:grp",
        form="KIND[:KIND]...",
    )
    quota_limits: Option[tuple[QuotaLimit, ...], QuotaLimits] = Option(
        (),
        "Limits of users, groups and projects, in the order of setquota: "
        "KIND:ID:BLOCK_SOFT:BLOCK_HARD:INODE_SOFT:INODE_HARD, such as user:1000:1G:2G or "
        "project:7:::0:5000. Block limits are in bytes; 0 or nothing means no limit.",
        quota_limits_of,
    )
    quota_grace: Option[tuple[QuotaGrace, ...], QuotaGraces] = Option(
        (),
        "How long soft limits may be exceeded, such as 7d for all, or user:7d:12h for the blocks "
        "and inodes of users.",
        quota_grace_of,
        default_text="7d",
    )

    epoch: Option[int | None, float | str | None] = Option(
        None,
        "Time of the file system, in seconds since 1970; later times of entries are clamped to it.",
        optional(seconds_of),
        default_text="the newest time in the tree, or the start of 2026 if that is earlier, so "
        "that it is never in the future; then no entry's time is changed",
    )

    hole_size: Option[int, Size] = Option(
        32 * KIB,
        "Runs of zeros of at least this many bytes become holes; in files of at least this size "
        "and at most 512 KiB, every block of zeros does. 0 makes no holes.",
        size_of,
        least=0,
    )
    leading_hole: Option[bool, bool] = Option(
        False, "Allow a file's first block to be a hole, which some boot loaders cannot read.", flag
    )
    lost_and_found: Option[bool, bool] = Option(
        True, "Create /lost+found if the tree has none; e2fsck creates it when needed.", flag
    )
    lost_and_found_size: Option[int, Size] = Option(
        16 * KIB,
        "Size in bytes of a created /lost+found, rounded up to blocks, of which there are at "
        "least two. It is large so that e2fsck needs no free space when it puts files there.",
        size_of,
        least=0,
    )
    groups_per_flex: Option[int, int | str] = Option(
        16, "Number of block groups whose metadata is stored together; a power of two.", count_of
    )
    packed_meta_blocks: Option[bool, bool] = Option(
        False,
        "Put the bitmaps and inode tables of all groups at the beginning, as mke2fs -E "
        "packed_meta_blocks does, for disks whose first blocks are faster.",
        flag,
    )
    group_tables: Option[GroupTables, GroupTables] = Option(
        "compact",
        '"mke2fs" puts bitmaps and inode tables exactly where mke2fs 1.47.0 puts them in an image '
        "of a given size, with gaps between some of them, and leaves the same block bitmaps "
        'uninitialized. "compact" leaves no gaps, and writes the bitmaps of all groups in use.',
        choices=("compact", "mke2fs"),
    )
    lazy_itable_init: Option[bool, bool] = Option(
        False,
        "Do not mark inode tables as zeroed, so that the kernel zeroes unused inodes after a "
        "mount. They are zeros anyway, unless free blocks of a device keep their old content.",
        flag,
    )
    blocks_per_group: Option[int | None, int | str | None] = Option(
        None,
        "Number of blocks in a group, or of clusters with bigalloc: a multiple of 8, at least 256.",
        optional(count_of),
        default_text="the number of bits in a block, which is the maximum",
    )
    reserved_gdt_blocks: Option[int | None, int | str | None] = Option(
        None,
        "Number of blocks reserved for further descriptors, instead of {grow_to}; at most the "
        "block size in bytes divided by 4.",
        optional(count_of),
        least=0,
    )
    raid_stride: Option[int, int | str] = Option(
        0,
        "Number of blocks written to one disk of a RAID before the next disk; 0 for no RAID.",
        count_of,
        least=0,
        most=0xFFFF,
    )
    raid_stripe_width: Option[int, int | str] = Option(
        0,
        "Number of data blocks in a stripe of the RAID; 0 for no RAID.",
        count_of,
        least=0,
        most=0xFFFFFFFF,
    )
    errors: Option[ErrorBehavior, ErrorBehavior] = Option(
        "continue", "What the kernel does when it finds an error.", choices=tuple(ERRORS)
    )
    default_mntopts: Option[int, int | str] = Option(
        EXT4_DEFM_XATTR_USER | EXT4_DEFM_ACL,
        'Default mount options, as bits; a text such as "journal_data,^acl" changes the default, '
        "as tune2fs -o does.",
        mount_options_of,
        default_text="user_xattr,acl",
        form="NAME[,...]",
        least=0,
        most=0xFFFFFFFF,
    )
    mount_opts: Option[bytes, bytes | str] = Option(
        b"",
        "Further mount options, at most 63 bytes, as with tune2fs -E mount_opts.",
        bytes_of,
    )
    creator_os: Option[CreatorOs, str] = Option(
        "Linux",
        "System that made the file system, in lower or upper case; GNU means Hurd, as in mke2fs. "
        "Hurd does not support filetype, huge_file, metadata_csum, ea_inode and casefold, and "
        "Linux cannot mount a file system of Hurd with 64bit. Only Linux can have metadata_csum, "
        "because Linux changes inodes of other systems without updating checksums.",
        creator_os_of,
        form="|".join(SYSTEMS),
        choices=tuple(SYSTEMS),
    )
    last_mounted: Option[bytes, bytes | str] = Option(
        b"",
        "Path at which the file system was last mounted, at most 64 bytes.",
        bytes_of,
        form="DIR",
    )
    max_mount_count: Option[int, int | str] = Option(
        0,
        "Number of mounts after which the file system should be checked; 0 and -1 mean never.",
        max_mount_count_of,
        form="N",
        least=0,
        most=MAX_MOUNT_COUNT,
    )
    check_interval: Option[int, int | str] = Option(
        0,
        "Seconds after which the file system should be checked; 0 means never. A text may end in a "
        "unit of tune2fs: s, d, w or m, for seconds, days, weeks and months of 30 days.",
        check_interval_of,
        form="SECONDS|N{s|d|w|m}",
        least=0,
        most=0xFFFFFFFF,
    )
    revision: Option[int, int | str] = Option(
        1,
        'Revision of the format; 0 is the one of Linux before 2.2, with features "none" and '
        "128-byte inodes.",
        count_of,
        form="0|1",
        least=0,
        most=1,
    )
    test_fs: Option[bool, bool] = Option(
        False, "Mark the file system as usable by kernels under development.", flag
    )
    policy: Option[LayoutPolicy | None, LayoutPolicy | str | None] = Option(
        None,
        "Policy that chooses among valid layouts: random:SEED, random-features:SEED, which also "
        "mixes features, or one of those in docs/damage.md, such as one-block-runs.",
        optional(policy_of),
        default_text="default, the compact layout",
        form="NAME[:SEED]",
    )

    __signature__ = ShortSignature()

    @staticmethod
    def _refuse_unknown(names: Iterable[str]) -> NoReturn:
        """Raise :class:`SpecError` for the first of ``names``, which is not an option."""
        from ..wrong_calls import meant  # imported late: few programs need it

        name = next(iter(names))
        hint = meant(name, OPTIONS, "help(Spec) has all options")
        raise SpecError(name, f"is not an option of a Spec; {hint}")

    @classmethod
    @checked_if_it_fails
    def of_profile(cls, profile: str, **options: Any) -> Spec:
        """Return the Spec of a profile, with further ``options``.

        ``profile`` is "default", "boot", "minimal", "readonly", "android", "ext2" or "ext3", as
        docs/compatibility.md describes them. A text of ``features`` changes those of the profile.
        The profile is not part of the Spec: an equal Spec without it results in the same image.

        Raises :class:`SpecError` for an option that readers of the profile cannot handle, or that
        contradicts the profile.
        """
        from .profiles import spec_of

        return spec_of(cls, profile, options)

    @property
    def verity_tree_block_size(self) -> int:
        """``verity_block_size`` with its default filled in."""
        # fs/verity/open.c:fsverity_init_merkle_tree_params: at most a block
        return self.verity_block_size or min(DEFAULT_VERITY_BLOCK, self.block_size)

    @property
    def fitted_free(self) -> int:
        """``free`` with its default for a fitted image filled in."""
        return DEFAULT_FREE if self.free is None else self.free

    @property
    def usual_inode_ratio(self) -> int:
        """Bytes per inode in mke2fs: at least a cluster, the least that a file takes."""
        return max(BYTES_PER_INODE, format_of(self).cluster_size)

    @property
    def growth_inode_ratio(self) -> int:
        """The same for groups that growth adds: at least two inodes, or tables would fill them.

        A group of large blocks cannot have more inodes than its bitmap has bits.
        """
        fmt = format_of(self)
        most = ceil_div(fmt.blocks_per_group * fmt.block_size, fmt.max_inodes_per_group)
        return max(self.usual_inode_ratio, 2 * self.inode_size, most)

    @property
    def bytes_per_inode(self) -> int:
        """``inode_ratio`` with its default filled in; 0 means only the inodes that are needed."""
        if self.inode_ratio is not None:
            return self.inode_ratio
        return self.growth_inode_ratio if self.grow_to else 0

    def __post_init__(self) -> None:
        """Convert every value to its type, and check it alone and together with others."""
        percent = converted("free", self.free, percent_in)
        if percent is not None:
            object.__setattr__(self, "free", 0)
            object.__setattr__(self, "free_percent", percent)
        OPTIONS["type"].converted("type", self.type)  # before the features, which depend on it
        features: object = self.features
        typed = features if isinstance(features, str) else ""
        if isinstance(features, str):
            object.__setattr__(self, "features", FeatureSet.parse(features, base=TYPES[self.type]))
        elif features == DEFAULT_FEATURES:
            object.__setattr__(self, "features", TYPES[self.type])
        for name, option in OPTIONS.items():
            given = getattr(self, name)
            if given is option.default and option.is_fixed_point:
                continue
            value = option.converted(name, given)
            if value is not given:
                object.__setattr__(self, name, value)
        asked = Asked.by(typed)
        for adding, name, is_given in (
            ("encoding", "casefold", self.encoding is not None),  # mke2fs.c:parse_extended_opts
            ("dedupe", "shared_blocks", self.dedupe == "blocks"),
            ("encryption_policies", "encrypt", bool(self.encryption_policies)),
        ):
            if is_given:
                if name in asked.removed:
                    raise SpecError(adding, f"needs {name}; {asked.to_have_for(name)}")
                asked = asked.also(name, adding)
                object.__setattr__(self, "features", self.features.with_(name))
        if format_of(self).shared_blocks:
            object.__setattr__(self, "dedupe", "blocks")
        try:
            self._check(asked)
        except SpecError as error:
            # A hint may say to leave out the option that added a feature.
            implied = [option for _, option in asked.implied]
            raise SpecError(error.option, error.problem, *error.others, *implied) from None

    def _check_superblock(self) -> None:
        """Check values that are written to the superblock unchanged."""
        for name, most in (("mount_opts", MOUNT_OPTS_MAX), ("last_mounted", LAST_MOUNTED_MAX)):
            value = getattr(self, name)
            if len(value) > most:
                raise SpecError(name, f"has {len(value)} bytes; the maximum is {most}")
            if b"\0" in value:
                raise SpecError(name, "cannot contain a NUL byte")
        most = 8 * self.block_size
        blocks = self.blocks_per_group
        if blocks is not None and (not BLOCKS_PER_GROUP_MIN <= blocks <= most or blocks % 8):
            raise SpecError(
                "blocks_per_group",
                f"{blocks} is not a multiple of 8 between {BLOCKS_PER_GROUP_MIN} and {most}",
            )

    def __repr__(self) -> str:
        """Return the call that creates it, without options at their defaults."""
        return f"Spec({', '.join(_changed(self))})"

    def _check(self, asked: Asked) -> None:
        if self.block_size not in BLOCK_SIZES:
            raise SpecError("block_size", f"{self.block_size} is not one of {_list(BLOCK_SIZES)}")
        most_inode = min(self.block_size, INODE_SIZE_MAX)
        if not is_power_of_two(self.inode_size) or not 128 <= self.inode_size <= most_inode:
            raise SpecError(
                "inode_size",
                f"{self.inode_size} is not a power of two between 128 and "
                f"{'the block size' if most_inode == self.block_size else most_inode}",
            )
        if self.cluster_size is not None and (
            not is_power_of_two(self.cluster_size)
            or not self.block_size <= self.cluster_size <= MAX_CLUSTER_SIZE
        ):
            raise SpecError(
                "cluster_size",
                f"{self.cluster_size} is not a power of two between the block size and "
                f"{MAX_CLUSTER_SIZE}",
            )
        if self.desc_size is not None and self.desc_size not in DESC_SIZES:
            raise SpecError("desc_size", f"{self.desc_size} is not one of {_list(DESC_SIZES)}")
        if len(self.label) > LABEL_MAX:
            raise SpecError("label", f"has {len(self.label)} bytes; the maximum is {LABEL_MAX}")
        if b"\0" in self.label:
            raise SpecError("label", "cannot contain a NUL byte")
        least, most = INODE_RATIOS
        if self.inode_ratio and not least <= self.inode_ratio <= most:
            raise SpecError(
                "inode_ratio", f"{self.inode_ratio} is neither 0 nor between {least} and {most}"
            )
        if self.inode_ratio and self.inode_ratio <= self.inode_size:
            # misc/mke2fs.c:main rejects it, too: tables would fill each group completely.
            raise SpecError(
                "inode_ratio",
                f"an inode of {self.inode_size} bytes for each {self.inode_ratio} leaves no room "
                f"for files; choose {2 * self.inode_size} bytes or more",
            )
        if self.align is not None and (self.align <= 0 or self.align % IMAGE_UNIT):
            raise SpecError("align", f"{self.align} is not a multiple of {IMAGE_UNIT}")
        if self.align is not None and self.size is not None and self.size % self.align:
            raise SpecError("align", f"the size {self.size} is not a multiple of {self.align}")
        if self.epoch is not None and not 0 <= self.epoch < 1 << 32:
            raise SpecError("epoch", f"{self.epoch} is not between 0 and {(1 << 32) - 1}")
        if self.groups_per_flex > GROUPS_PER_FLEX_MAX or not is_power_of_two(self.groups_per_flex):
            raise SpecError("groups_per_flex", f"{self.groups_per_flex} is not a power of two")
        if isinstance(self.journal, int) and self.journal <= 0:
            raise SpecError("journal", 'must be a size in bytes, "auto" or "none"')
        if self.journal_location is not None:
            if self.size is None:
                raise SpecError("journal_location", "needs an image of a given size; set size")
            if isinstance(self.journal_location, int) and not (
                0 <= self.journal_location < self.size
            ):
                raise SpecError("journal_location", f"{self.journal_location} is not in the image")
        if self.group_tables == "mke2fs" and self.size is None:
            raise SpecError("group_tables", "mke2fs needs an image of a given size; set size")
        self._check_superblock()
        fmt = format_of(self)
        largest = fmt.max_blocks * fmt.block_size
        if self.align is not None and self.align > largest:
            raise SpecError("align", f"{self.align} is more than {largest}, the largest image")
        if isinstance(self.journal, int) and not fmt.has_journal:
            raise SpecError("journal", "has a size, but the features do not include has_journal")
        if asked.adds("uninit_bg") and fmt.metadata_csum:
            asked.refuse_both("uninit_bg", "metadata_csum")
        self.features.check(asked)
        if fmt.inline_data and not fmt.inline_most:
            raise SpecError(
                "inode_size",
                f"{self.inode_size} bytes have no room for inline_data; choose 256 or more, or "
                f"{asked.to_lose('inline_data')}",
            )
        if self.num_backup_sb != NUM_BACKUP_SB_MAX and not fmt.sparse_super2:
            raise _lacks(asked, "num_backup_sb", "sparse_super2", "which has that many backups")
        if self.packed_meta_blocks and not fmt.flex_bg:
            why = "without which metadata stays in the groups that it describes"
            raise _lacks(asked, "packed_meta_blocks", "flex_bg", why)
        if self.cluster_size is not None and not fmt.bigalloc:
            raise _lacks(asked, "cluster_size", "bigalloc", "without which a cluster is a block")
        if fmt.bigalloc and self.cluster_size == self.block_size == 1024:
            # fs/ext4/super.c:ext4_check_geometry requires s_first_data_block to be 0.
            raise SpecError("cluster_size", "of 1024 bytes cannot be mounted; choose 2048 or more")
        if self.desc_size is not None and not fmt.is_64bit:
            raise _lacks(asked, "desc_size", "64bit", "without which a descriptor has 32 bytes")
        if self.first_meta_bg and not fmt.meta_bg:
            why = "which begins after that many blocks of descriptors"
            raise _lacks(asked, "first_meta_bg", "meta_bg", why, "^resize_inode")
        if self.journal == "none":
            for name in fmt.features.needing("has_journal"):
                why = why_needed(name, "has_journal")
                drop = f"leave out {name}" if asked.adds(name) else f"add ^{name}"
                raise SpecError("journal", f"is needed by {name}, since {why}; {drop}")
        if self.journal == "none" and asked.adds("has_journal"):
            raise SpecError("journal", "is none; leave out the option, or has_journal")
        self._check_verity(fmt, asked)
        if self.encoding_flags and not fmt.casefold:
            why = "whose encoding they apply to"
            raise _lacks(asked, "encoding_flags", "casefold", why)
        _check_journal(self, fmt)
        if self.bad_blocks and fmt.bigalloc:
            raise SpecError(
                "bad_blocks",
                "and bigalloc exclude each other, since a cluster cannot be partly bad; "
                f"{asked.to_lose('bigalloc')}",
            )
        _check_quota(self, fmt, asked)
        _check_system_files(self, fmt, asked)
        if self.inodes is not None and self.free_inodes is not None:
            raise _same("inodes", "free_inodes")
        if self.reserved_blocks is not None and self.reserved_percent:
            raise _same("reserved_blocks", "reserved_percent")
        if self.reserved_gdt_blocks is not None and self.grow_to is not None:
            raise _same("reserved_gdt_blocks", "grow_to")
        if self.grow_to and self.size is not None and self.grow_to < self.size:
            raise SpecError("grow_to", f"{self.grow_to} bytes are less than the size, {self.size}")
        if self.reserved_gdt_blocks and not fmt.resize_inode:
            raise _lacks(asked, "reserved_gdt_blocks", "resize_inode", "which holds them")
        most = self.block_size // 4
        if self.reserved_gdt_blocks and self.reserved_gdt_blocks > most:
            raise SpecError(
                "reserved_gdt_blocks", f"{self.reserved_gdt_blocks} is more than {most}"
            )
        unfit = unfit_feature(self.creator_os, fmt)
        if unfit is not None:
            name, why = unfit
            raise SpecError(
                "creator_os",
                f"{self.creator_os} and {name} exclude each other, since {why}; "
                f"{asked.to_lose(name)}",
            )
        if self.revision == 0 and (
            fmt.features.names() or self.inode_size != EXT4_GOOD_OLD_INODE_SIZE
        ):
            raise SpecError(
                "revision", '0 needs inodes of 128 bytes and features of "none"; set both'
            )
        if self.grow_to and not (fmt.resize_inode or fmt.meta_bg):
            raise SpecError(
                "grow_to",
                "needs the feature resize_inode, which holds the reserve, or meta_bg, which needs "
                "none; choose 0 without them",
            )

    def _check_verity(self, fmt: Format, asked: Asked) -> None:
        given = (
            self.verity_hash_alg != "sha256",
            self.verity_block_size is not None,
            bool(self.verity_salt),
            bool(self.verity_signatures),
        )
        if not any(given):
            return
        from ..ondisk.verity import MIN_BLOCK_SIZE, SALT_MAX

        size = self.verity_tree_block_size
        if not MIN_BLOCK_SIZE <= size <= self.block_size or not is_power_of_two(size):
            raise SpecError(
                "verity_block_size",
                f"{size} is not a power of two from {MIN_BLOCK_SIZE} to the block size",
            )
        if len(self.verity_salt) > SALT_MAX:
            raise SpecError(
                "verity_salt", f"has {len(self.verity_salt)} bytes; the maximum is {SALT_MAX}"
            )
        if not fmt.verity:
            name = ("hash_alg", "block_size", "salt", "signatures")[given.index(True)]
            raise _lacks(asked, f"verity_{name}", "verity", "to whose files it applies")


def unfit_feature(system: CreatorOs, fmt: Format) -> tuple[str, str] | None:
    """Return a feature that a file system created by ``system`` cannot have, and the reason.

    The reason continues a "since". Returns None if ``system`` and Linux can use all features.
    """
    if system == "Hurd":
        names = fmt.features.names()
        for name in NOT_FOR_HURD:
            if name in names:
                return name, f"the Hurd does not support {name}"
        if fmt.is_64bit:
            # fs/ext4/super.c:__ext4_fill_super, for EXT4_OS_HURD
            return "64bit", "Linux does not mount it"
    elif system != "Linux" and fmt.metadata_csum:
        # fs/ext4/inode.c:ext4_inode_csum_set sets checksums only for EXT4_OS_LINUX.
        return "metadata_csum", "Linux changes inodes of other systems without their checksums"
    return None


def declaration(name: str) -> Option[Any, Any]:
    """Return the declaration of the option ``name``, such as ``block_size``."""
    return OPTIONS[name]


def _changed(spec: Spec) -> Iterator[str]:
    """Yield ``name=value`` for each option that is not at its default."""
    for option in fields(spec):
        value = getattr(spec, option.name)
        if value != option.default:
            yield f"{option.name}={value!r}"


def format_of(spec: Spec, blocks_count: int = 0) -> Format:
    """Return the format that a Spec requests; ``blocks_count`` matters only for huge images.

    The resize inode maps 32-bit block numbers; in larger file systems mke2fs omits it (PRS in
    misc/mke2fs.c), and so does this.
    """
    fmt = Format.of(
        spec.features,
        spec.block_size,
        spec.inode_size,
        cluster_size=spec.cluster_size,
        groups_per_flex=spec.groups_per_flex,
        first_meta_bg=spec.first_meta_bg,
        desc_size=spec.desc_size,
        num_backup_sb=spec.num_backup_sb,
        clusters_per_group=spec.blocks_per_group,
    )
    if fmt.sparse_super2 and spec.policy is not None and spec.num_backup_sb:
        fmt = fmt.with_backups(fresh_policy(spec.policy).backup_numbers(spec.num_backup_sb))
    return fmt if blocks_count <= MAX_32BIT_BLOCKS else fmt.without("resize_inode")


def _check_journal(spec: Spec, fmt: Format) -> None:
    if spec.journal_device:
        if spec.journal == "none" or not fmt.has_journal:
            raise SpecError("journal_device", "is for a journal, but the image has none")
        if spec.journal_location is not None:
            raise SpecError("journal_location", "is for a journal in the image itself")
    for name in ("journal_uuid", "journal_dev"):
        if getattr(spec, name) and not spec.journal_device:
            problem = "needs journal_device, a journal on a separate device"
            raise SpecError(name, problem, "journal_device")
    if spec.journal_features and (spec.journal == "none" or not fmt.has_journal):
        raise SpecError("journal_features", "are for a journal, but the image has none")


def _same(option: str, other: str) -> SpecError:
    return SpecError(option, f"and {other} are two ways to set the same; give one", other)


def _lacks(asked: Asked, option: str, name: str, why: str, *words: str) -> SpecError:
    """Return the error for an option that has no meaning without the feature ``name``."""
    hint = asked.to_have_for(name, *words)
    return SpecError(option, f"needs the feature {name}, {why}; {hint}")


def _check_system_files(spec: Spec, fmt: Format, asked: Asked) -> None:
    if spec.fast_commit_size is not None and not fmt.fast_commit:
        raise _lacks(asked, "fast_commit_size", "fast_commit", "for which it reserves blocks")
    if spec.orphan_file_size is not None:
        if not fmt.orphan_file:
            raise _lacks(asked, "orphan_file_size", "orphan_file", "whose file has that size")
        most = MAX_ORPHAN_FILE_BLOCKS * spec.block_size
        if not 0 < spec.orphan_file_size <= most:
            raise SpecError(
                "orphan_file_size", f"{spec.orphan_file_size} is not between 1 and {most}"
            )
    if spec.mmp_update_interval != EXT4_MMP_UPDATE_INTERVAL and not fmt.mmp:
        raise _lacks(asked, "mmp_update_interval", "mmp", "to whose updates it applies")


def _check_quota(spec: Spec, fmt: Format, asked: Asked) -> None:
    if spec.quotatype is not None and not fmt.quota:
        raise _lacks(asked, "quotatype", "quota", "whose files it selects")
    if (spec.quotatype or ()).count("project") and not fmt.project:
        why = "without which files have no project"
        hint = asked.to_have_for("project")
        raise SpecError("quotatype", f"with projects needs the feature project, {why}; {hint}")
    if fmt.project and not fmt.has_extra_fields:
        raise SpecError(
            "inode_size",
            f"{spec.inode_size} bytes have no room for the project of a file; "
            f"choose 256 or more, or {asked.to_lose('project')}",
        )
    if spec.quota_limits or spec.quota_grace:
        from .quota_options import check_kinds

        check_kinds(quota_kinds(spec), spec.quota_limits, spec.quota_grace)


def quota_kinds(spec: Spec) -> tuple[str, ...]:
    """Return the kinds of quota that a Spec requests: ``user``, ``group`` and ``project``."""
    fmt = format_of(spec)
    if not fmt.quota:
        return ()
    # misc/mke2fs.c:PRS: the feature project brings its quota.
    kinds = spec.quotatype or ("user", "group")
    return tuple(dict.fromkeys((*kinds, *(["project"] if fmt.project else []))))


def _list(values: tuple[int, ...]) -> str:
    return ", ".join(str(value) for value in values)
