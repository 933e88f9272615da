"""Extended attributes in PAX records, as star, GNU tar and libarchive name them."""

from __future__ import annotations

import binascii
import re

from ...arithmetic import padding
from ...inode_flags import bsd_words, from_bsd_words, taken_flags
from ...tree import Xattrs
from ..acl_text import acl_from_text, says_more_than_a_mode
from ..host_xattrs import KNOWN_NAMES, KNOWN_PREFIXES
from .limits import OBJECT_BYTES, Usage

SCHILY_XATTR = b"SCHILY.xattr."
LIBARCHIVE_XATTR = b"LIBARCHIVE.xattr."
SELINUX = b"RHT.security.selinux"
ACLS = {
    b"SCHILY.acl.access": b"system.posix_acl_access",
    b"SCHILY.acl.default": b"system.posix_acl_default",
}
NFS4_ACL = b"SCHILY.acl.ace"
FILE_FLAGS = b"SCHILY.fflags"
PREFIXES = (b"SCHILY.", b"LIBARCHIVE.xattr.", b"RHT.")

_KNOWN_PREFIXES = tuple(prefix.encode() for prefix in KNOWN_PREFIXES)
_KNOWN_NAMES = {name.encode() for name in KNOWN_NAMES}
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_KEPT_SETS = 1 << 14


class XattrReader:
    """Converts records to attributes. Equal sets share one object, if there are not too many."""

    def __init__(self) -> None:
        self._sets: dict[tuple[tuple[bytes, bytes], ...], Xattrs] = {}

    def read(
        self, records: dict[bytes, bytes], usage: Usage
    ) -> tuple[Xattrs | None, list[tuple[bytes, str]]]:
        """The attributes in ``records``; keyword and loss of each record that cannot be kept.

        ``usage`` counts the sets that are not shared.
        """
        found: dict[bytes, bytes] = {}
        lost: list[tuple[bytes, str]] = []
        for keyword, value in records.items():
            if not keyword.startswith(PREFIXES):
                continue
            if keyword.startswith(SCHILY_XATTR):
                rest = keyword[len(SCHILY_XATTR) :]
                if LIBARCHIVE_XATTR + rest in records:
                    continue  # same attribute, but only libarchive's form defines its escapes
            try:
                pair = _attribute(keyword, value)
            except ValueError as error:
                name = ACLS.get(keyword)
                if name is None or SCHILY_XATTR + name not in records:
                    lost.append((keyword, f"{_text(keyword)} was left out: {error}"))
                continue
            if pair is None:
                continue
            name, value = pair
            if name.startswith(_KNOWN_PREFIXES) or name in _KNOWN_NAMES:
                if keyword in ACLS:
                    found.setdefault(name, value)  # GNU tar also stores the exact binary form
                else:
                    found[name] = value
            else:
                lost.append(
                    (keyword, f"extended attribute {_text(name)} belongs to another system")
                )
        return self._shared(found, usage), lost

    def _shared(self, found: dict[bytes, bytes], usage: Usage) -> Xattrs | None:
        if not found:
            return None
        key = tuple(sorted(found.items()))
        known = self._sets.get(key)
        if known is None:
            usage.metadata_bytes += OBJECT_BYTES * len(key) + sum(
                len(name) + len(value) for name, value in key
            )
            if len(self._sets) >= _KEPT_SETS:
                self._sets.clear()
            known = self._sets[key] = dict(key)
        return known


def _attribute(keyword: bytes, value: bytes) -> tuple[bytes, bytes] | None:
    """Name and value of the attribute in a record; None if it has none. Raises ``ValueError``."""
    if keyword.startswith(SCHILY_XATTR):
        # GNU tar escapes "=", which a keyword cannot contain, and "%", the escape character.
        name = keyword[len(SCHILY_XATTR) :].replace(b"%3D", b"=").replace(b"%25", b"%")
        return name, value
    if keyword.startswith(LIBARCHIVE_XATTR):
        name = _ESCAPE.sub(
            lambda match: bytes([int(match[1], 16)]), keyword[len(LIBARCHIVE_XATTR) :]
        )
        try:
            # libarchive omits the padding.
            return name, binascii.a2b_base64(
                value + b"=" * padding(len(value), 4), strict_mode=True
            )
        except binascii.Error as error:
            raise ValueError(f"its value is not base64 ({error})") from None
    if keyword == SELINUX:
        # The archive has the text only; the kernel's value ends with a NUL.
        return b"security.selinux", value.rstrip(b"\0") + b"\0"
    name = ACLS.get(keyword, b"")
    if name:
        acl = acl_from_text(value)
        if name == b"system.posix_acl_access" and not says_more_than_a_mode(acl):
            return None
        return name, acl
    if keyword == NFS4_ACL:
        raise ValueError("an access control list of NFSv4 cannot be kept")
    return None


def inode_flags(value: bytes, file_type: int) -> tuple[int, str]:
    """The flags in the record ``SCHILY.fflags``, and those of its words that cannot be kept."""
    flags, unknown = from_bsd_words(value.decode("ascii", "backslashreplace"))
    kept = flags & taken_flags(file_type)
    words = [bsd_words(flags & ~kept), *unknown] if flags != kept else unknown
    return kept, ",".join(words)[:300]


def _text(name: bytes) -> str:
    return name[:300].decode("utf-8", "backslashreplace")
