"""Deliberate corruption: any value in any field of any record, with the checksum right or stale.

:class:`Override` describes the grammar.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from ..checked import check_fields, checked_if_it_fails, refuse_unknown
from ..errors import OverrideError, SpecError
from ..late_dataclasses import dataclass

OverrideValue: TypeAlias = "int | bytes | str | Callable[[int | bytes], int | bytes]"
"""A number, the bytes of a field, a word of the grammar, or a function from old to new value."""

RAW = "bytes"
"""The name of the record that stands for the bytes at an offset; it has no fields."""
OPERATORS = ("=", "+=", "-=", "^=", "|=", "&=")
VERBS = (
    *("zeroes", "ones", "firstbit", "middlebit", "lastbit", "add", "sub", "random"),
    *("sign", "max", "limit", "blocksize", "itself", "parent", "neighbour", "another"),
    *("superblock", "descriptors", "bitmap", "inode_table", "root", "journal"),
)
"""Words that stand for a value; :class:`Override` explains them."""
_WORD = re.compile(rf"(?:{'|'.join(VERBS)}|name:\w+)(?::\d{{1,19}})?(?:[+-]\d{{1,19}})?")

_PATTERN = (
    r"(?s)(?P<record>[a-z_0-9]+)(?:\[(?P<index>.*)\])?\.(?P<field>\w+(?:\[\d+\])?)"
    r"(?P<operator>[-+^|&]?=)(?P<value>.*)"
)
_RAW_PATTERN = rf"(?s)(?P<record>{RAW})\[(?P<index>[^=]*)\](?P<operator>[-+^|&]?=)(?P<value>.*)"


@dataclass(frozen=True, slots=True)
class Override:
    """One field of one record, and the value to write into it.

    An override consists of a record, its index, a field and a value::

        superblock.s_state=2                  superblock[GROUP].FIELD, the primary one by default
        group_desc[3].bg_flags=1              [GROUP], or in a backup [GROUP:BACKUP_GROUP]
        inode[/etc/hosts].i_links_count=7     inode[PATH] or inode[NUMBER]
        extent_header[/big:1].eh_entries=9    [PATH:NODE]; node 0 is in the inode, others top down
        extent[/big:1:5].ee_len=0             [PATH:NODE:ENTRY]; extent_idx; extent_tail[PATH:NODE]
        dir_entry_2[/etc/hosts].inode=99      the entry of that name; /etc/. and /etc/.. are entries
        dir_entry_tail[/etc:0].det_rec_len=0  [PATH:BLOCK]; BLOCK is a block of the directory
        dx_root[/many].limit=1                dx_node, dx_tail [PATH:BLOCK]; dx_entry [:ENTRY] too
        xattr_entry[/f:user.note].e_hash=1    xattr_header[PATH], xattr_ibody_header[PATH]
        journal_superblock.s_maxlen=5
        mmp.mmp_seq=1                 orphan_block_tail[0].ob_magic=1
        block_bitmap[0].17=0                  one bit; also inode_bitmap[GROUP].BIT

    Every part of an index may have its own brackets: ``extent[/big][1][5]``,
    ``dir_entry_2[/etc][passwd]``. Bytes outside of records are written by
    ``bytes[OFFSET]=hex:00ff``.

    Values are integers (``7``, ``0x1f``, ``-1`` for all ones), or for byte fields ``hex:00ff`` or
    ``text:name``. A field that is an array needs an element: ``s_hash_seed[2]``. A number that is
    split into two fields has a separate name: ``i_size`` is ``i_size_lo`` and ``i_size_high``.
    ``+=``, ``-=``, ``^=``, ``|=`` and ``&=`` change the old value. Words are::

        zeroes ones                all bits          firstbit middlebit lastbit   one bit flipped
        add sub                    2017 more, less   random:SEED                  any value
        limit                      the greatest valid value of the field; limit+1, limit-1
        sign max blocksize         the highest bit, all bits, bytes of a block; blocksize-1
        itself parent              the block or inode that holds the field, or its parent
        neighbour another          the next one; another inode, or a block of another inode
        superblock descriptors bitmap inode_table root journal     their block or inode
        name:INDEX                 a flag, feature or code by its name

    In Python, a value may also be a function that accepts the old value and returns the new one.

    ``index`` is the text between the brackets, ``""`` if there are none. ``reseal`` sets the
    checksum over the field to match the corruption, and all others that depend on the field, such
    as those seeded by ``s_uuid`` or ``i_generation``. Without it, they keep their old values.
    ``poison`` makes the checksum over the field wrong.
    """

    _refuse_unknown = refuse_unknown

    record: str
    index: str
    field: str
    value: OverrideValue
    reseal: bool = True
    operator: str = "="
    poison: bool = False

    def __post_init__(self) -> None:
        """Raise :class:`SpecError` for a wrong type, operator, or word of the grammar."""
        check_fields(self)
        if self.operator not in OPERATORS:
            raise SpecError("operator", f"{self.operator!r:.80} is none of {', '.join(OPERATORS)}")
        if isinstance(self.value, str) and not _WORD.fullmatch(self.value):
            hint = "Override.parse reads numbers, hex:... and text:..."
            raise SpecError("value", f"{self.value!r:.80} is not a word of the grammar; {hint}")

    @classmethod
    @checked_if_it_fails
    def parse(cls, text: str, *, reseal: bool = True, poison: bool = False) -> Override:
        """Parse ``record[index].field=value``; raise :class:`OverrideError` for other text."""
        match = re.fullmatch(_PATTERN, text) if isinstance(text, str) else None
        if match is None and isinstance(text, str):
            match = re.fullmatch(_RAW_PATTERN, text)
        if match is None:
            raise OverrideError(f"override {text!r} is not of the form record[index].field=value")
        return cls(
            match["record"],
            match["index"] or "",
            match.groupdict().get("field", ""),
            _value(match["value"], text),
            reseal,
            match["operator"],
            poison,
        )

    def __str__(self) -> str:
        index = f"[{self.index}]" if self.index else ""
        return f"{self.record}{index}.{self.field}" if self.field else f"{self.record}{index}"


def _value(text: str, whole: str) -> int | bytes | str:
    if _WORD.fullmatch(text):
        return text
    kind, colon, rest = text.partition(":")
    try:
        if colon and kind == "hex":
            return bytes.fromhex(rest)
        if colon and kind == "text":
            return rest.encode("utf-8", "surrogateescape")
        return int(text, 0)
    except ValueError:
        raise OverrideError(
            f"override {whole!r}: the value must be a number, hex:..., text:..., name:... or one "
            f"of {', '.join(VERBS)}"
        ) from None


def parsed_overrides(overrides: Sequence[Override | str]) -> list[Override]:
    """Return overrides as objects; raise :class:`SpecError` for anything but a list of them."""
    given = [overrides] if isinstance(overrides, str | Override) else overrides
    if not isinstance(given, Iterable):
        raise SpecError("overrides", f"{given!r:.80} is not a list of overrides")
    return [each if isinstance(each, Override) else Override.parse(each) for each in given]
