"""Writes docs/format.md from the declarations: ``python -m tests.makers.docs_update``."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

from ext4writer.ondisk.record import Field, Meaning, Record

PAGE = Path(__file__).parents[2] / "docs" / "format.md"

HEAD = """\
# The format, field by field

Made from the declarations in `ext4writer/ondisk` by `python -m tests.makers.docs_update`.

The names are the kernel's (Documentation/filesystems/ext4, fs/ext4/ext4.h). Each table gives the
offset in bytes, the size in bytes, the unit, with which features or from which size on the field
exists, and what it says. *Here* is what the images of ext4writer have in it by default, *Here 0*
why it is zero in all of them. A number that
lies in two fields has a name of its own, under which it can be overridden: `i_size` is `i_size_lo`
and `i_size_high`.
"""

CHAPTERS = {
    "Superblock": ("superblock", ""),
    "Group descriptors": (
        "group_desc",
        "Bitmaps and inode table lie where the group's flex group begins; counts are as planned.",
    ),
    "Inodes": (
        "inode",
        """\
Inode 1 has the blocks of `--bad-blocks`, 3 and 4 the quotas of users and groups, 7 the descriptors
that are reserved for growth, 8 the journal. Those of them that are not needed, and 5, 6, 9 and 10,
are zero. Regular files, directories and links of 60 bytes and more are mapped by extents; an empty
file has an empty extent header. Without the feature extent, block maps take their place.

With inline_data, what fits lies in the inode: files, links of 60 bytes and more, and directories
other than the root and `lost+found`. `i_block` has the first 60 bytes, the attribute `system.data`,
which comes first and may be empty, the others; with 256-byte inodes there are 128 in all, with
larger ones 128 less than the inode has, and never more than 4,096. In a directory `i_block` begins
with the number of the parent, and each part is filled with entries; a name that would straddle both
is in the second, which takes all that attributes leave free. Attributes go into a block if they and
the content do not both fit; where that has no room for them, or the content is that of a link, the
content goes into a block instead.""",
    ),
    "Extents": (
        "extent",
        "Extents are never marked unwritten. Tree blocks follow the data of their file.",
    ),
    "Directories": (
        "dirent",
        """\
A directory of one block is linear: `.` and `..` come first, then the names, sorted as bytes.
`lost+found` is linear, has the size of `--lost-and-found-size`, 16 KiB by default, and is empty
after its first entries.""",
    ),
    "Indexed directories": (
        "htree",
        """\
A directory of more than one block has an index: block 0 is the root, then come the
inner nodes, then leaves in the order of hashes, filled as far as entries fit.""",
    ),
    "Extended attributes": (
        "xattr",
        """\
They lie in the inode if all fit there; else in a block if all fit there; else the largest lie in
the block and the rest in the inode. Equal sets share a block, up to 1,024 inodes each. Entries in a
block are sorted by name index, length and name, and hashed; those in an inode have no hash. Access
control lists are stored in their disk form.

With ea_inode, where inode and block have no room for all, the longest values, as few as possible,
have inodes of their own, which are the last ones in use: equal values share one. Such an inode has
the flag EA_INODE, the crc32c of the value in `i_atime` and the number of entries that name it in
`l_i_version`, where those of a shared block count once. `i_blocks` of a file counts all blocks of
the values that it names. Entries of a link that name values lie in a block.""",
    ),
    "Journal": (
        "journal",
        """\
The superblock alone is written; the rest of the journal is zero and a hole in the file. A device of
its own has a superblock of a file system without groups before that of the journal. With
fast_commit its last blocks, one for each 64 of the others, are for fast commits.""",
    ),
    "Log of the journal": ("journal_log", "Read only: a new image has an empty journal."),
    "Fast commits": ("fast_commit", "Read only: a new image has an empty journal."),
    "Orphan file": (
        "orphan",
        "It is empty. Its inode is the first after `lost+found` and the quota of projects.",
    ),
    "Multi-mount protection": ("mmp", "The block is as a clean unmount leaves it."),
    "Quota": (
        "quota",
        """\
Version 1 alone is written: header, the levels of the tree from the top down, then the entries in
the order of IDs. Each ID that owns something or has a limit has an entry. The files of users and
groups are inodes 3 and 4, that of projects is the first after `lost+found`; all are immutable.""",
    ),
    "fs-verity": (
        "verity",
        "For files of `--verity`. No block of the tree or the descriptor is a hole.",
    ),
    "Encryption": (
        "encryption",
        """\
Version 2 alone is written, for the empty directories of `--encrypt-policy`. The nonce follows from
the UUID and the path. Directories that are encrypted and ignore case have no index: they are empty,
and the kernel makes one with siphash.""",
    ),
}
"""Title -> the module of the declarations, and what no single field says."""


def page() -> str:
    """Return the text of docs/format.md."""
    parts = [HEAD]
    for title, (name, text) in CHAPTERS.items():
        module = importlib.import_module(f"ext4writer.ondisk.{name}")
        rules = (module.__doc__ or "").strip()
        parts.append(f"## {title}\n\n{rules}\n")
        if text:
            parts.append(f"{text}\n")
        parts += [table(record) for record in _records(name)]
    return "\n".join(parts)


def _records(source: str) -> list[Record]:
    """The records that a module declares; what it imports has its place in another chapter."""
    module = importlib.import_module(f"ext4writer.ondisk.{source}")
    tree = ast.parse(inspect.getsource(module))
    own = [node.targets[0] for node in tree.body if isinstance(node, ast.Assign)]
    values = [getattr(module, target.id) for target in own if isinstance(target, ast.Name)]
    return [value for value in values if isinstance(value, Record)]


def table(record: Record) -> str:
    """Return the section of one record."""
    lines = [
        f"### {record.name}, {record.size} bytes",
        "",
        record.doc,
        "",
        "| offset | size | field | unit | with | says |",
        "|---|---|---|---|---|---|",
    ]
    for name, field in record.fields.items():
        lines.append(_row(field, record.meanings[name]))
    return "\n".join(lines) + "\n"


def _row(field: Field, meaning: Meaning) -> str:
    says = [meaning.text]
    names = ", ".join(f"{_number(value, meaning)} {name}" for value, name in meaning.names.items())
    if names and meaning.unit != "magic":
        says[0] += f" ({names})"
    if meaning.writes:
        says.append(f"*Here:* {meaning.writes}")
    if meaning.zero:
        says.append(f"*Here 0:* {meaning.zero}")
    cells = [
        f"{field.offset:#x}",
        str(field.size),
        f"`{field.name}`",
        meaning.unit,
        meaning.when.replace("|", " or "),
        ". ".join(says),
    ]
    return f"| {' | '.join(cells)} |"


def _number(value: int, meaning: Meaning) -> str:
    return f"{value:#x}" if meaning.unit == "flags" else str(value)


if __name__ == "__main__":
    PAGE.write_text(page())
