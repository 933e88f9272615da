"""The arguments of mke2fs(8), parsed as mke2fs parses them with getopt(3).

Rules: e2fsprogs misc/mke2fs.c:PRS and parse_extended_opts, misc/util.c:parse_journal_opts. mke2fs
has no long options; those here are ext4writer's own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from ext4writer.arguments import ID_MOST
from ext4writer.bits import is_power_of_two, log2
from ext4writer.late_dataclasses import dataclass, field
from ext4writer.ondisk.superblock import EXT4_LABEL_MAX

from .numbers import floating, integer, options_in, parse_num_blocks, strtoul
from .refusal import Mistake, Refusal, unsupported

TAKE_VALUE = "bCdeEgGiIJlLmMNoORrsTtUz"
FLAGS = "cjnqvDFKSV"

MIN_BLOCK_SIZE = 1024
MAX_BLOCK_SIZE = 65536


def usage(program: str) -> str:
    """The text of a usage error."""
    return (
        f"Usage: {program} [-b block-size] [-C cluster-size] [-d root-directory|tarball|-]\n"
        "\t[-e errors_behavior] [-E extended-option[,...]] [-g blocks-per-group]\n"
        "\t[-G flex-group-size] [-i bytes-per-inode] [-I inode-size] [-J journal-options]\n"
        "\t[-l filename] [-L volume-label] [-m reserved-blocks-percentage]\n"
        "\t[-M last-mounted-directory] [-N number-of-inodes] [-o creator-os]\n"
        "\t[-O feature[,...]] [-t fs-type] [-T usage-type] [-U UUID]\n"
        "\t[-jnqvDFKV] [long options] device [blocks-count]\n"
        f"Long options are those of 'ext4writer build', such as --rules FILE; {program} --help "
        "lists them.\n"
    )


@dataclass
class Journal:
    """The values of -j and -J."""

    size: int = 0
    """In MiB; negative means the default size, 0 leaves the decision to the features."""
    fast_commit_size: int = 0
    """In KiB; 0 means not given."""
    location: str | None = None
    device: str | None = None
    v1_superblock: bool = False


@dataclass
class Arguments:
    """A parsed command line. Numbers are as given; None, 0 or an empty text means not given."""

    program: str
    device: str = ""
    size: str | None = None
    block_size: int = 0
    """In bytes; a negative number means at least this size."""
    cluster_size: int = 0
    source: str | None = None
    errors: str | None = None
    extended: list[str] = field(default_factory=list)
    force: int = 0
    blocks_per_group: int = 0
    flex_size: int = 0
    inode_ratio: int = 0
    inode_size: int = 0
    journal: Journal = field(default_factory=Journal)
    bad_blocks: str | None = None
    label: str = ""
    reserved_percent: float | None = None
    last_mounted: str = ""
    dry_run: bool = False
    inodes: int = 0
    creator_os: str | None = None
    features: list[str] = field(default_factory=list)
    quiet: bool = False
    fs_type: str | None = None
    usage_types: str | None = None
    uuid: str | None = None
    verbose: bool = False
    show_version: bool = False
    long_options: list[str] = field(default_factory=list)
    """Long options and their values, in order."""
    keep: bool = False
    """Whether not to discard existing content."""
    warnings: list[str] = field(default_factory=list)
    """For standard error, in order."""


def read_arguments(program: str, given: Sequence[str]) -> Arguments:
    """Parse a command line; raises :class:`Refusal`."""
    found = Arguments(program)
    if program in ("mkfs.ext3", "mke3fs"):
        found.journal.size = -1
    places: list[str] = []
    for name, value in _options(program, given):
        if name == "":
            places.append(value)
        elif name.startswith("--"):
            found.long_options += [name] if value == "" else [name, value]
        else:
            _take(found, name, value)
    if found.show_version or "--help" in found.long_options:
        return found
    if not places or len(places) > 2:
        raise Refusal(usage(program))
    found.device, found.size = places[0], places[1] if len(places) > 1 else None
    return found


def _options(program: str, given: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each (option, value), and each other argument as ("", argument)."""
    from .own_options import takes_value

    pending = list(given)
    places_only = False
    while pending:
        word = pending.pop(0)
        if places_only or word == "-" or not word.startswith("-"):
            places_only = places_only or "POSIXLY_CORRECT" in os.environ
            yield "", word
        elif word == "--":
            places_only = True
        elif word.startswith("--"):
            name, equals, value = word.partition("=")
            if takes_value(program, name):
                if not equals:
                    if not pending:
                        raise Refusal(f"{program}: option '{name}' requires an argument\n")
                    value = pending.pop(0)
                yield name, value
            elif equals:
                raise Refusal(f"{program}: option '{name}' doesn't allow an argument\n")
            else:
                yield name, ""
        else:
            rest = word[1:]
            while rest:
                letter, rest = rest[0], rest[1:]
                if letter in FLAGS:
                    yield letter, ""
                elif letter in TAKE_VALUE:
                    if not rest and not pending:
                        text = f"{program}: option requires an argument -- '{letter}'\n"
                        raise Refusal(text + usage(program))
                    yield letter, rest or pending.pop(0)
                    rest = ""
                else:
                    text = f"{program}: invalid option -- '{letter}'\n"
                    raise Refusal(text + usage(program))


def _number(text: str, problem: str) -> int:
    number = integer(text)
    if number is None:
        raise Mistake(problem)
    return number


def _take(found: Arguments, letter: str, value: str) -> None:
    if letter in _SIMPLE:
        setattr(found, _SIMPLE[letter], value)
    elif letter in _SWITCHES:
        setattr(found, _SWITCHES[letter], True)
    elif letter in _ONCE:
        name = _ONCE[letter]
        if getattr(found, name) is not None:
            raise Mistake(f"The -{letter} option may only be used once")
        setattr(found, name, value)
    elif letter in _REFUSED:
        raise unsupported(f"-{letter}", _REFUSED[letter])
    else:
        _CONVERTED[letter](found, value)


_SIMPLE = {
    "d": "source",
    "l": "bad_blocks",
    "M": "last_mounted",
    "o": "creator_os",
    "U": "uuid",
}
_SWITCHES = {"n": "dry_run", "q": "quiet", "v": "verbose", "V": "show_version"}
_ONCE = {"t": "fs_type", "T": "usage_types"}
_REFUSED = {
    "c": "devices are not searched for bad blocks; badblocks(8) can write a list for -l",
    "S": "superblocks are never written alone; e2fsck -b repairs from a backup",
    "z": "no undo file is written; copy the first blocks with e2image -r instead",
}


def _block_size(found: Arguments, text: str) -> None:
    size = parse_num_blocks(text.removeprefix("-"), -1)
    if not MIN_BLOCK_SIZE <= size <= MAX_BLOCK_SIZE:
        raise Mistake(f"invalid block size - {text}")
    # ext2fs_log2_u32 rounds down.
    size = 1 << log2(size)
    found.block_size = -size if text.startswith("-") else size
    if found.block_size > 4096 and not os.path.exists(
        "/sys/fs/ext4/features/blocksize_gt_pagesize"
    ):
        found.warnings.append(f"Warning: blocksize {size} not usable on most systems.\n")


def _cluster_size(found: Arguments, text: str) -> None:
    size = parse_num_blocks(text, -1)
    if not 1024 < size <= 1 << 29:
        raise Mistake(f"invalid cluster size - {text}")
    found.cluster_size = size


def _errors(found: Arguments, text: str) -> None:
    if text not in ("continue", "remount-ro", "panic"):
        raise Refusal(f"{found.program}: bad error behavior - {text}\n" + usage(found.program))
    found.errors = text


def _blocks_per_group(found: Arguments, text: str) -> None:
    number = _number(text, "Illegal number for blocks per group")
    if number % 8:
        raise Mistake("blocks per group must be multiple of 8")
    found.blocks_per_group = number


def _flex_size(found: Arguments, text: str) -> None:
    number = _number(text, "Illegal number for flex_bg size")
    if number < 1 or not is_power_of_two(number):
        raise Mistake("flex_bg size must be a power of 2")
    if number > (1 << 31):
        raise Mistake(f"flex_bg size ({number}) must be less than or equal to 2^31")
    found.flex_size = number


def _inode_ratio(found: Arguments, text: str) -> None:
    ratio = parse_num_blocks(text, -1)
    most = MAX_BLOCK_SIZE * 1024
    if not MIN_BLOCK_SIZE <= ratio <= most:
        raise Mistake(f"invalid inode ratio {text} (min {MIN_BLOCK_SIZE}/max {most})")
    found.inode_ratio = ratio


def _inode_size(found: Arguments, text: str) -> None:
    found.inode_size = _number(text, f"invalid inode size - {text}")


def _journal(found: Arguments, text: str) -> None:
    for token in options_in(text):
        name, equals, value = token.partition("=")
        journal = found.journal
        if name == "size" and equals and integer(value) is not None:
            size = integer(value) or 0
            journal.size = size if size < 1 << 63 else -1
        elif name == "fast_commit_size" and equals and integer(value) is not None:
            journal.fast_commit_size = integer(value) or 0
        elif name == "location" and equals:
            journal.location = value
        elif name == "device" and equals and value:
            journal.device = value
        elif name == "v1_superblock":
            journal.v1_superblock = True
        else:
            raise Refusal(
                "\nBad journal options specified.\n\n"
                "Journal options are separated by commas, and may take an argument which\n"
                "\tis set off by an equals ('=') sign.\n\n"
                "Valid journal options are:\n"
                "\tsize=<journal size in megabytes>\n"
                "\tdevice=<journal device>\n"
                "\tlocation=<journal location>\n\n"
                "The journal size must be between "
                "1024 and 10240000 filesystem blocks.\n\n"
            )


def _default_journal(found: Arguments, _: str) -> None:
    found.journal.size = found.journal.size or -1


def _label(found: Arguments, text: str) -> None:
    name = os.fsencode(text)
    if len(name) > EXT4_LABEL_MAX:
        text = os.fsdecode(name[:EXT4_LABEL_MAX])
        found.warnings.append(f"Warning: label too long; will be truncated to '{text}'\n\n")
    found.label = text


def _reserved(found: Arguments, text: str) -> None:
    percent = floating(text)
    if percent is None or not 0 <= percent <= 50:
        raise Mistake(f"invalid reserved blocks percent - {text}")
    found.reserved_percent = percent


def _inodes(found: Arguments, text: str) -> None:
    found.inodes = _number(text, f"bad num inodes - {text}")


def _revision(found: Arguments, text: str) -> None:  # noqa: ARG001
    if _revision_of(text) != 1:
        raise Mistake(
            "the -r option has been removed.\n\n"
            "If you really need compatibility with pre-1995 Linux systems, use the\n"
            'command-line option "-E revision=0".\n'
        )


def _sparse(found: Arguments, text: str) -> None:  # noqa: ARG001
    raise Mistake(
        "the -s option has been removed.\n\n"
        "Use the -O option to set or clear the sparse_super feature.\n"
    )


def _extended(found: Arguments, text: str) -> None:
    found.extended.append(text)


def _old_extended(found: Arguments, text: str) -> None:
    found.warnings.append(f"{found.program}: '-R' is deprecated, use '-E' instead\n")
    found.extended.append(text)


def _force(found: Arguments, _: str) -> None:
    found.force += 1


def _keep(found: Arguments, _: str) -> None:
    found.keep = True
    found.warnings.append(
        "Warning: -K option is deprecated and should not be used anymore. Use '-E nodiscard' "
        "extended option instead!\n"
    )


def _direct(found: Arguments, _: str) -> None:
    """Ignore -D: direct I/O does not change what is written."""


def _features(found: Arguments, text: str) -> None:
    found.features.append(text)


_CONVERTED = {
    "b": _block_size,
    "C": _cluster_size,
    "D": _direct,
    "e": _errors,
    "E": _extended,
    "F": _force,
    "g": _blocks_per_group,
    "G": _flex_size,
    "i": _inode_ratio,
    "I": _inode_size,
    "j": _default_journal,
    "J": _journal,
    "K": _keep,
    "L": _label,
    "m": _reserved,
    "N": _inodes,
    "O": _features,
    "R": _old_extended,
    "r": _revision,
    "s": _sparse,
}


# -- extended options ------------------------------------------------------------------------------


@dataclass
class Extended:
    """The values of -E, and of ``options`` in mke2fs.conf."""

    desc_size: int | None = None
    hash_seed: str | None = None
    offset: int = 0
    mmp_update_interval: int | None = None
    no_copy_xattrs: bool = False
    num_backup_sb: int | None = None
    packed_meta_blocks: bool = False
    stride: int | None = None
    stripe_width: int | None = None
    resize: str | None = None
    revision: int = 1
    test_fs: bool = False
    root_owner: tuple[int, int] | None = None
    root_perms: int | None = None
    root_selinux: str | None = None
    quotatype: str | None = None
    encoding: str | None = None
    encoding_flags: str | None = None
    orphan_file_size: str | None = None
    android_sparse: bool = False
    lazy_itable_init: bool | None = None
    """None for the value in mke2fs.conf."""
    discard: bool | None = None
    assume_storage_prezeroed: bool = False


_HELP = (
    "\nBad option(s) specified: {}\n\n"
    "Extended options are separated by commas, and may take an argument which\n"
    "\tis set off by an equals ('=') sign.\n\n"
    "Valid extended options are:\n"
    "\tmmp_update_interval=<interval>\n"
    "\tnum_backup_sb=<0|1|2>\n"
    "\tstride=<RAID per-disk data chunk in blocks>\n"
    "\tstripe-width=<RAID stride * data disks in blocks>\n"
    "\toffset=<offset to create the file system>\n"
    "\tresize=<resize maximum size in blocks>\n"
    "\tpacked_meta_blocks=<0 to disable, 1 to enable>\n"
    "\tlazy_itable_init=<0 to disable, 1 to enable>\n"
    "\tlazy_journal_init=<0 to disable, 1 to enable>\n"
    "\troot_owner=<uid of root dir>:<gid of root dir>\n"
    "\troot_perms=<octal root directory permissions>\n"
    "\troot_selinux=<selinux root directory label>\n"
    "\ttest_fs\n"
    "\tdiscard\n"
    "\tnodiscard\n"
    "\trevision=<revision>\n"
    "\tencoding=<encoding>\n"
    "\tencoding_flags=<flags>\n"
    "\thash_seed=<UUID for hash seed>\n"
    "\tquotatype=<quota type(s) to be enabled>\n"
    "\tassume_storage_prezeroed=<0 to disable, 1 to enable>\n\n"
)

_TEXTS = {
    **{name: name for name in ("hash_seed", "resize", "root_selinux", "quotatype")},
    **{name: name for name in ("encoding", "encoding_flags", "orphan_file_size")},
}
_NUMBERS = {
    "desc-size": ("desc_size", "Invalid desc_size: '{}'\n"),
    "desc_size": ("desc_size", "Invalid desc_size: '{}'\n"),
    "offset": ("offset", "Invalid offset: {}\n"),
    "mmp_update_interval": ("mmp_update_interval", "Invalid mmp_update_interval: {}\n"),
    "num_backup_sb": ("num_backup_sb", "Invalid # of backup superblocks: {}\n"),
    "stride": ("stride", "Invalid stride parameter: {}\n"),
    "stripe-width": ("stripe_width", "Invalid stripe-width parameter: {}\n"),
    "stripe_width": ("stripe_width", "Invalid stripe-width parameter: {}\n"),
}
_BOOLEANS = ("packed_meta_blocks", "lazy_itable_init", "assume_storage_prezeroed")
"""Options that are set by a number other than 0, or without a number."""


def read_extended(text: str, found: Extended) -> None:
    """Parse the options of one ``-E`` into ``found``; raises :class:`Refusal` for a bad one."""
    problems: list[str] = []
    bad = ""
    for token in options_in(text):
        name, equals, value = token.partition("=")
        given = value if equals else None
        if name in _TEXTS:
            if given is None:
                problems, bad = [*problems, ""], name
            else:
                setattr(found, _TEXTS[name], given)
        elif name in _NUMBERS:
            field_name, problem = _NUMBERS[name]
            number = None if given is None else integer(given)
            if given is None:
                problems, bad = [*problems, ""], name
            elif (
                number is None
                or (name == "num_backup_sb" and number > 2)
                or (name == "offset" and number >= 1 << 63)
            ):
                problems.append(problem.format(given))
            else:
                setattr(found, field_name, number)
        elif name == "no_copy_xattrs":
            found.no_copy_xattrs = True
        elif name in _BOOLEANS:
            setattr(found, name, given is None or strtoul(given)[0] != 0)
        elif name == "revision" and given is not None:
            found.revision = _revision_of(given)
        elif name == "test_fs":
            found.test_fs = True
        elif name in ("discard", "nodiscard"):
            found.discard = name == "discard"
        elif name == "lazy_journal_init":
            continue  # the journal is always zeroed, with holes where the output supports them
        elif name == "root_owner":
            problem = _root_owner(found, given)
            problems += [problem] if problem else []
        elif name == "root_perms":
            found.root_perms = None if given is None else strtoul(given, 8)[0] & 0o7777
        elif name == "android_sparse":
            found.android_sparse = True
        else:
            problems, bad = [*problems, ""], name
    if problems:
        raise Refusal("".join(problems) + _HELP.format(bad))


def _revision_of(given: str) -> int:
    number = integer(given)
    if number is None:
        raise Mistake(f"bad revision level - {given}")
    if number > 1:
        raise Mistake(f"Filesystem revision too high while trying to create revision {number}")
    return number


def _root_owner(found: Extended, given: str | None) -> str:
    if given is None:
        found.root_owner = (os.getuid(), os.getgid())
        return ""
    first, colon, second = given.partition(":")
    uid, gid = integer(first), integer(second)
    if not colon or uid is None or gid is None or max(uid, gid) > ID_MOST:
        return f"Invalid root_owner: '{given}'\n"
    found.root_owner = (uid, gid)
    return ""
