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

Generated from the declarations in `ext4writer/ondisk` by `python -m tests.makers.docs_update`.

The names are the kernel's (Documentation/filesystems/ext4, fs/ext4/ext4.h). Each table states the
offset in bytes, the size in bytes, the unit, the feature or size that the field requires, and its
meaning. *Here* is the default value in images of ext4writer; *Here 0* is the reason why the field
is zero in all of them. A number that is stored in two fields has its own name, under which it can
be overridden: `i_size` stands for `i_size_lo` and `i_size_high`.
"""

CHAPTERS = {
    "Superblock": ("superblock", ""),
    "Group descriptors": (
        "group_desc",
        "Bitmaps and inode table are stored at the start of the group's flex group.",
    ),
    "Inodes": (
        "inode",
        """\
Inode 1 has the blocks of `--bad-blocks`, 3 and 4 the quotas of users and groups, 7 the blocks
reserved for further descriptors, 8 the journal. Inodes 5, 6, 9 and 10 are zero, and so are those
above if they are not needed. Regular files, directories and links of 60 bytes and more are mapped
by extents, and an empty file has an empty extent header. Without the feature extent, block maps
replace extents.

With inline_data, content that fits is stored in the inode: files, links of 60 bytes and more, and
directories other than the root and `lost+found`. The first 60 bytes are in `i_block`, the others in
the attribute `system.data`, which comes first and may be empty. An inode holds 128 bytes less than
its size, which are 128 bytes with 256-byte inodes, and at most 4,096 bytes. In a directory,
`i_block` begins with the number of the parent, and each part is filled with entries. An entry that
would straddle both parts is in the second, which uses all the space that attributes leave free. If
attributes and content do not both fit, attributes go into a block. If the block has no space for
them, or if the file is a link, the content goes into a block instead.""",
    ),
    "Extents": (
        "extent",
        "Extents are never marked unwritten. The blocks of the tree follow the data of their file.",
    ),
    "Directories": (
        "dirent",
        """\
A directory of one block is linear: `.` and `..` come first, then the names, sorted as bytes.
`lost+found` is linear and empty; its size is `--lost-and-found-size`, 16 KiB by default.""",
    ),
    "Indexed directories": (
        "htree",
        """\
A directory of more than one block has an index: block 0 is the root, followed by the inner nodes
and then by the leaves in the order of hashes. Each leaf is filled with as many entries as fit.""",
    ),
    "Extended attributes": (
        "xattr",
        """\
Attributes are stored in the inode if all fit there, else in a block if all fit there, else the
largest in the block and the rest in the inode. Inodes with equal sets share a block, up to 1,024
inodes each. Entries in a block are sorted by name index, length and name, and hashed; those in an
inode have no hash. Access control lists are stored in their on-disk form.

With ea_inode, if inode and block have no space for all attributes, the longest values, as few as
possible, are stored in inodes, which are the last ones in use. Equal values share an inode. Such an
inode has the flag EA_INODE, the crc32c of the value in `i_atime`, and in `l_i_version` the number
of entries that refer to it, counting the entries of a shared block once. `i_blocks` of a file
counts all blocks of the values that it refers to. If a symbolic link refers to such values, its
entries are in a block.""",
    ),
    "Journal": (
        "journal",
        """\
Only the superblock is written; the rest of the journal is zeros, which are a hole in the image
file. A journal device begins with the superblock of a file system without groups, followed by that
of the journal. With fast_commit, the last blocks are for fast commits, one for each 64 other
blocks.""",
    ),
    "Log of the journal": (
        "journal_log",
        "A new image has an empty journal, unless a policy leaves transactions to be recovered.",
    ),
    "Fast commits": (
        "fast_commit",
        "A new image has an empty journal, unless a policy leaves fast commits to be recovered.",
    ),
    "Orphan file": (
        "orphan",
        "It is empty. Its inode is the first after `lost+found` and the quota file for projects.",
    ),
    "Multi-mount protection": ("mmp", "The block is written as a clean unmount leaves it."),
    "Quota": (
        "quota",
        """\
Only version 1 is written: header, the levels of the tree from the root down, then the entries in
the order of IDs. Each ID that owns a file or has a limit has an entry. The files for users and
groups are inodes 3 and 4, the one for projects is the first after `lost+found`. All are
immutable.""",
    ),
    "fs-verity": (
        "verity",
        "Written for files of `--verity`. No block of the tree or the descriptor is a hole.",
    ),
    "Encryption": (
        "encryption",
        """\
Only version 2 is written, for the empty directories of `--encrypt-policy`. The nonce is derived
from the UUID and the path. Encrypted directories with casefold have no index: they are empty, and
the kernel builds an index with siphash.""",
    ),
}
"""Title -> the module of the declarations, and facts not about a single field."""


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
    """The records that a module declares, without those that it imports."""
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
        "| offset | size | field | unit | requires | meaning |",
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
