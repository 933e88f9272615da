"""Deliberate corruption: any value in any field of any record, its checksum right or stale.

:class:`Override` has the grammar.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import OverrideError

_PATTERN = (
    r"(?s)(?P<record>[a-z_0-9]+)(?:\[(?P<index>.*)\])?\.(?P<field>\w+(?:\[\d+\])?)=(?P<value>.*)"
)


@dataclass(frozen=True, slots=True)
class Override:
    """One field of one record, and what it shall hold.

    An override names a record, which one of its kind, a field and a value::

        superblock.s_state=2                  superblock[GROUP].FIELD, the primary one by default
        group_desc[3].bg_flags=1              [GROUP], or in a backup [GROUP:BACKUP_GROUP]
        inode[/etc/hosts].i_links_count=7     inode[PATH] or inode[NUMBER]
        extent_header[/big:1].eh_entries=9    [PATH:NODE]; node 0 lies in the inode, then top down
        extent[/big:1:5].ee_len=0             [PATH:NODE:ENTRY]; extent_idx; extent_tail[PATH:NODE]
        dir_entry_2[/etc/hosts].inode=99      the entry of that name; /etc/. and /etc/.. are entries
        dir_entry_tail[/etc:0].det_rec_len=0  [PATH:BLOCK], BLOCK counts inside the directory
        dx_root[/many].limit=1                dx_node, dx_tail [PATH:BLOCK]; dx_entry [:ENTRY] too
        xattr_entry[/f:user.note].e_hash=1    xattr_header[PATH], xattr_ibody_header[PATH]
        journal_superblock.s_maxlen=5
        mmp.mmp_seq=1                 orphan_block_tail[0].ob_magic=1
        block_bitmap[0].17=0                  one bit; also inode_bitmap[GROUP].BIT

    Values are whole numbers (``7``, ``0x1f``, ``-1`` for all ones), or for byte fields
    ``hex:00ff`` or ``text:name``. A field that is an array takes an element: ``s_hash_seed[2]``.
    A number that lies in two fields has a name of its own: ``i_size`` is ``i_size_lo`` and
    ``i_size_high``.

    ``index`` is the text between the brackets, ``""`` where there are none. With ``reseal`` the
    checksum over the record is made right for the corruption; without, it stays that of the truth.
    Checksums elsewhere never change, even where the field (``s_uuid``, ``i_generation``) is part of
    their seed; only those of bitmaps do, because they stand in the group's descriptors.
    """

    record: str
    index: str
    field: str
    value: int | bytes
    reseal: bool = True

    @classmethod
    def parse(cls, text: str, *, reseal: bool = True) -> Override:
        """Read ``record[index].field=value``; raise :class:`OverrideError` if it is none."""
        match = re.fullmatch(_PATTERN, text) if isinstance(text, str) else None
        if match is None:
            raise OverrideError(f"override {text!r} is not of the form record[index].field=value")
        return cls(
            match["record"],
            match["index"] or "",
            match["field"],
            _value(match["value"], text),
            reseal,
        )

    def __str__(self) -> str:
        index = f"[{self.index}]" if self.index else ""
        return f"{self.record}{index}.{self.field}"


def _value(text: str, whole: str) -> int | bytes:
    kind, colon, rest = text.partition(":")
    try:
        if colon and kind == "hex":
            return bytes.fromhex(rest)
        if colon and kind == "text":
            return rest.encode("utf-8", "surrogateescape")
        return int(text, 0)
    except ValueError:
        raise OverrideError(
            f"override {whole!r}: the value is no number, hex:... or text:..."
        ) from None
