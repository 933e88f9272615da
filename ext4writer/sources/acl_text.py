"""Converts access control lists from the text of archives and manifests to the binary form.

Text: acl(5), long and short form, with entries separated by commas or newlines; star adds the
number of a named user or group as a fourth field. Binary: the value of the extended attribute,
include/uapi/linux/posix_acl_xattr.h.
"""

from __future__ import annotations

import struct

_VERSION = 2
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_UNDEFINED_ID = 0xFFFFFFFF
_TAGS = {
    b"user": (_USER_OBJ, _USER),
    b"u": (_USER_OBJ, _USER),
    b"group": (_GROUP_OBJ, _GROUP),
    b"g": (_GROUP_OBJ, _GROUP),
    b"mask": (_MASK, None),
    b"m": (_MASK, None),
    b"other": (_OTHER, None),
    b"o": (_OTHER, None),
}
_BITS = {ord("r"): 4, ord("w"): 2, ord("x"): 1, ord("-"): 0}


def acl_from_text(text: bytes) -> bytes:
    """The value of ``system.posix_acl_access`` or ``_default`` for the list ``text``.

    Raises :class:`ValueError` with the reason for a list that is malformed or names a user or group
    without a number.
    """
    entries = []
    for line in text.replace(b",", b"\n").split(b"\n"):
        entry = line.partition(b"#")[0].strip()
        if entry:
            entries.append(_entry(entry))
    entries.sort()
    return struct.pack("<I", _VERSION) + b"".join(struct.pack("<HHI", *one) for one in entries)


def says_more_than_a_mode(acl: bytes) -> bool:
    """Whether a binary access list has entries other than those of the three mode classes."""
    return len(acl) > 4 + 3 * 8


def mode_with_acl(mode: int, acl: bytes) -> int:
    """The mode of a file with ``mode`` after the binary access list ``acl`` is set.

    The list determines all nine permission bits. The bits of the group are those of the mask, if
    there is one (fs/posix_acl.c:posix_acl_update_mode); bsdtar stores the permissions of the group
    instead. A malformed list does not change the mode; the code that stores the list reports it.
    """
    if len(acl) % 8 != 4:
        return mode
    permissions: dict[int, int] = {
        tag: bits & 7 for tag, bits, _ in struct.iter_unpack("<HHI", acl[4:])
    }
    group = permissions.get(_MASK, permissions.get(_GROUP_OBJ, 0))
    owner, others = permissions.get(_USER_OBJ, 0), permissions.get(_OTHER, 0)
    return mode & ~0o777 | owner << 6 | group << 3 | others


def _entry(entry: bytes) -> tuple[int, int, int]:
    fields = entry.split(b":")
    tags = _TAGS.get(fields[0].strip())
    if tags is None or not 2 <= len(fields) <= 4:
        raise ValueError(f"the entry {_shown(entry)} is malformed")
    if len(fields) == 2:  # mask:rwx and other:rwx may omit the empty second field
        fields.insert(1, b"")
    own, named = tags
    name = fields[1].strip()
    permissions = fields[2].strip()
    if not name:
        return own, _permissions(permissions, entry), _UNDEFINED_ID
    if named is None:
        raise ValueError(f"the entry {_shown(entry)} is malformed")
    number = fields[3].strip() if len(fields) == 4 else name
    if not number.isdigit() or len(number) > 10 or int(number) >= _UNDEFINED_ID:
        raise ValueError(f"the entry {_shown(entry)} has a name and no number")
    return named, _permissions(permissions, entry), int(number)


def _permissions(text: bytes, entry: bytes) -> int:
    bits = 0
    if not text or len(text) > 3:
        raise ValueError(f"the permissions of {_shown(entry)} are malformed")
    for character in text:
        bit = _BITS.get(character)
        if bit is None:
            raise ValueError(f"the permissions of {_shown(entry)} are malformed")
        bits |= bit
    return bits


def _shown(entry: bytes) -> str:
    return entry[:80].decode("utf-8", "backslashreplace")
