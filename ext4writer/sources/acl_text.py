"""Converts access control lists from the text of archives and manifests to the system call's form.

Text: acl(5), long and short form, entries between commas or newlines; star puts the number of a
named user or group into a fourth field. Binary: include/uapi/linux/posix_acl_xattr.h.
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

    Raises :class:`ValueError`, whose text says why, for a list that is malformed or that names a
    user or group without a number.
    """
    entries = []
    for line in text.replace(b",", b"\n").split(b"\n"):
        entry = line.partition(b"#")[0].strip()
        if entry:
            entries.append(_entry(entry))
    entries.sort()
    return struct.pack("<I", _VERSION) + b"".join(struct.pack("<HHI", *one) for one in entries)


def says_more_than_a_mode(acl: bytes) -> bool:
    """Whether an access list in the system call's form has entries beyond the three classes."""
    return len(acl) > 4 + 3 * 8


def mode_with_acl(mode: int, acl: bytes) -> int:
    """What ``mode`` becomes when the access list ``acl``, in the system call's form, is set.

    The list decides about all nine bits, and the class of the group is its mask, if it has one
    (fs/posix_acl.c:posix_acl_update_mode). bsdtar writes the permissions of the group instead.
    A malformed list leaves the mode as it is; the code that stores the list reports it.
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
    if len(fields) == 2:  # mask:rwx and other:rwx may leave the middle out
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
        raise ValueError(f"the entry {_shown(entry)} gives a name and no number")
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
