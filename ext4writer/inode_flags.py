"""Inode flags that users may set, as chattr(1) does, and their names in other formats.

A flag is a bit of ``FS_IOC_GETFLAGS`` (include/uapi/linux/fs.h), and ext4 stores the same bit in
``i_flags``. The table has EXT4_FL_USER_MODIFIABLE (fs/ext4/ext4.h), except flags that follow from
features or from how a file is stored, and additionally verity, which another system call sets.
"""

from __future__ import annotations

import re
from stat import S_IFDIR, S_IFREG
from typing import Any

from .arguments import whole_number
from .late_dataclasses import NamedTuple

FS_VERITY_FL = 0x00100000
"""The flag of a file with a Merkle tree. Only building an image adds a tree; chattr cannot, and a
file of a source does not pass its tree on."""


class InodeFlag(NamedTuple):
    """One flag."""

    bit: int
    name: str
    """The kernel's name in lower case: "immutable" for ``FS_IMMUTABLE_FL``."""
    letter: str
    """The letter of chattr(1)."""
    words: tuple[str, ...]
    """BSD's names, as libarchive maps them (libarchive/archive_entry.c); the first is written."""


INODE_FLAGS = (
    InodeFlag(0x00000001, "secrm", "s", ("secdel", "securedeletion")),
    InodeFlag(0x00000002, "unrm", "u", ("undel",)),
    InodeFlag(0x00000004, "compr", "c", ("compress",)),
    InodeFlag(0x00000008, "sync", "S", ("sync",)),
    InodeFlag(0x00000010, "immutable", "i", ("schg", "schange", "simmutable")),
    InodeFlag(0x00000020, "append", "a", ("sappnd", "sappend")),
    InodeFlag(0x00000040, "nodump", "d", ("nodump",)),
    InodeFlag(0x00000080, "noatime", "A", ("noatime",)),
    InodeFlag(0x00004000, "journal_data", "j", ("journal-data", "journal")),
    InodeFlag(0x00008000, "notail", "t", ("notail",)),
    InodeFlag(0x00010000, "dirsync", "D", ("dirsync",)),
    InodeFlag(0x00020000, "topdir", "T", ("topdir",)),
    InodeFlag(FS_VERITY_FL, "verity", "V", ("verity",)),
    InodeFlag(0x02000000, "dax", "x", ("dax",)),
    InodeFlag(0x20000000, "projinherit", "P", ("projinherit",)),
    InodeFlag(0x40000000, "casefold", "F", ("casefold",)),
)

ALL_FLAGS = sum(flag.bit for flag in INODE_FLAGS)

_BITS = {flag.name: flag.bit for flag in INODE_FLAGS}
_WORDS = {word: flag.bit for flag in INODE_FLAGS for word in flag.words}
_LETTERS = {flag.letter: flag.bit for flag in INODE_FLAGS}

# fs/ext4/ext4.h:EXT4_REG_FLMASK and EXT4_OTHER_FLMASK
_FOR_DIRECTORIES = sum(_BITS[name] for name in ("dirsync", "topdir", "projinherit", "casefold"))
_FOR_ALL = _BITS["nodump"] | _BITS["noatime"]

STORAGE_FLAGS = 0x00000100 | 0x00001000 | 0x00040000 | 0x00080000 | 0x00200000 | 0x10000000
"""DIRTY, INDEX, HUGE_FILE, EXTENT, EA_INODE and INLINE_DATA state how a file is stored. A file
system that gets a copy of the file decides that anew."""

_OTHER_NAMES = {
    0x00000200: "comprblk",
    0x00000400: "nocomp",
    0x00000800: "encrypt",
    0x00800000: "nocow",
}


def flags_for(file_type: int) -> int:
    """Flags that a file may have (``ext4_mask_flags``); ``file_type`` is the ``S_IFMT`` bits."""
    if file_type == S_IFDIR:
        return ALL_FLAGS & ~FS_VERITY_FL
    return ALL_FLAGS & ~_FOR_DIRECTORIES if file_type == S_IFREG else _FOR_ALL


def taken_flags(file_type: int) -> int:
    """Flags that an image takes over from a file of a source; ``file_type`` as above."""
    return flags_for(file_type) & ~FS_VERITY_FL


def flag_names(flags: int) -> str:
    """The names of ``flags``, separated by commas; a bit without a name is shown as a number."""
    names = {**{flag.bit: flag.name for flag in INODE_FLAGS}, **_OTHER_NAMES}
    bits = [1 << at for at in range(flags.bit_length()) if flags >> at & 1]
    return ",".join(names.get(bit, f"{bit:#x}") for bit in bits)


def bsd_words(flags: int) -> str:
    """``flags`` as BSD's names, separated by commas, as in a manifest."""
    return ",".join(flag.words[0] for flag in INODE_FLAGS if flags & flag.bit)


def from_bsd_words(text: str) -> tuple[int, list[str]]:
    """The flags in a list of BSD's names, and the words in it that name no flag.

    A word with "no" before it clears the flag. "dump", "atime" and "tail" clear the flags whose
    names already begin with "no".
    """
    flags, unknown = 0, []
    for word in re.split(r"[,\s]+", text):
        bit = _WORDS.get(word)
        if bit is not None:
            flags |= bit
        elif word not in ("", "none") and "no" + word not in _WORDS:
            cleared = _WORDS.get(word.removeprefix("no"))
            if cleared is None:
                unknown.append(word)
            else:
                flags &= ~cleared
    return flags, unknown


class FlagChange(NamedTuple):
    """A change to the flags of a file."""

    kept: int
    """A mask of the flags that do not change."""
    added: int

    def apply(self, flags: int) -> int:
        """The flags after the change, for a file that had ``flags``."""
        return flags & self.kept | self.added


def parse_flags(text: str) -> FlagChange:
    """Parse words separated by commas: names, or letters of chattr(1), after ``=``, ``+`` or ``-``.

    A word without an operator has that of the word before it; the default of the first word is
    ``=``, which keeps only verity. ``none`` stands for no flag. Raises ``ValueError`` for other
    words.
    """
    kept, added, operator = ALL_FLAGS, 0, ""
    for word in text.split(","):
        sign, named = (word[0], word[1:]) if word[:1] in ("=", "+", "-") else ("", word)
        bits = _named(named)
        if sign == "=" or not (sign or operator):
            kept, added = FS_VERITY_FL, 0
        operator = sign or operator or "="
        if operator == "-":
            kept, added = kept & ~bits, added & ~bits
        else:
            added |= bits
    return FlagChange(kept, added)


def _named(word: str) -> int:
    """The flags that one name or several letters stand for."""
    if word == "none":
        return 0
    for names in (_BITS, _WORDS):
        if word in names:
            return names[word]
    if word and not set(word) - _LETTERS.keys():
        return sum(_LETTERS[letter] for letter in set(word))
    raise ValueError(
        f"{word!r} is no inode flag; there are {', '.join(_BITS)}, "
        f"and the letters {''.join(_LETTERS)} of chattr"
    )


def flags_of(given: Any) -> int:
    """Inode flags as a 32-bit number; a str is parsed by :func:`parse_flags`."""
    if isinstance(given, str):
        return parse_flags(given).added
    flags = whole_number(given, "number of inode flags")
    if not 0 <= flags < 1 << 32:
        raise ValueError(f"{flags} is out of range; inode flags have 32 bits")
    return flags
