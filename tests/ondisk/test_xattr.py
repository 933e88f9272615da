"""Attribute names, hashes and the two forms of an ACL."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ext4writer.ondisk.xattr import (
    acl_from_disk,
    acl_to_disk,
    block_hash,
    entry_hash,
    entry_size,
    join_name,
    split_name,
    value_size,
)


@pytest.mark.parametrize(
    ("full", "index", "rest"),
    [
        (b"user.comment", 1, b"comment"),
        (b"user.a.b", 1, b"a.b"),
        (b"system.posix_acl_access", 2, b""),
        (b"system.posix_acl_default", 3, b""),
        (b"trusted.overlay.opaque", 4, b"overlay.opaque"),
        (b"security.capability", 6, b"capability"),
        (b"system.data", 7, b"data"),
        (b"system.posix_acl_accessory", 7, b"posix_acl_accessory"),
        (b"system.richacl", 8, b""),
        (b"gnu.translator", 10, b"translator"),
    ],
)
def test_names(full: bytes, index: int, rest: bytes) -> None:
    assert split_name(full) == (index, rest)
    assert join_name(index, rest) == full


@pytest.mark.parametrize(
    "full", [b"", b"user", b"user.", b"os2.x", b"User.x", b"user." + b"x" * 256, b"user.a\0b"]
)
def test_names_that_cannot_be_stored(full: bytes) -> None:
    with pytest.raises(ValueError, match="attribute"):
        split_name(full)


def test_unknown_index() -> None:
    with pytest.raises(ValueError, match="5"):
        join_name(5, b"lov")


def test_sizes() -> None:
    assert [entry_size(n) for n in (0, 1, 4, 5)] == [16, 20, 20, 24]
    assert [value_size(n) for n in (0, 1, 4, 5)] == [0, 4, 4, 8]


def test_hashes() -> None:
    assert entry_hash(b"", b"") == 0
    assert entry_hash(b"a", b"") == 0x61
    assert entry_hash(b"ab", b"") == 0x61 << 5 ^ 0x62
    # Bytes of names are unsigned; words of values are little endian and padded with zeros.
    assert entry_hash(b"\xff", b"\x01") == 0xFF << 16 ^ 1
    assert entry_hash(b"a", b"\x01\x02\x03\x04\x05") == (
        ((0x61 << 16 ^ 0x04030201) << 16 & 0xFFFFFFFF) ^ (0x61 << 16 ^ 0x04030201) >> 16 ^ 5
    )
    assert block_hash([]) == 0
    assert block_hash([0x12345678]) == 0x12345678
    assert block_hash([0x12345678, 1]) == 0x56781234 ^ 1
    assert block_hash([1, 0, 2]) == 0


CALL_ACL = struct.pack(
    "<I" + "HHI" * 6,
    *(2, 1, 7, 0xFFFFFFFF, 2, 5, 1000, 2, 6, 70000, 4, 5, 0xFFFFFFFF),
    *(16, 7, 0xFFFFFFFF, 32, 4, 0xFFFFFFFF),
)
DISK_ACL = struct.pack(
    "<I HH HHI HHI HH HH HH", 1, 1, 7, 2, 5, 1000, 2, 6, 70000, 4, 5, 16, 7, 32, 4
)


def test_acl_forms() -> None:
    assert acl_to_disk(CALL_ACL) == DISK_ACL
    assert acl_from_disk(DISK_ACL) == CALL_ACL


def _call(*entries: tuple[int, int, int]) -> bytes:
    return b"\2\0\0\0" + b"".join(struct.pack("<HHI", *entry) for entry in entries)


OWNER, GROUP, OTHER = (1, 7, 0xFFFFFFFF), (4, 7, 0xFFFFFFFF), (32, 7, 0xFFFFFFFF)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\2\0\0\0",
        CALL_ACL[:-1],
        b"\1" + CALL_ACL[1:],
        _call(OWNER, GROUP),
        _call(GROUP, OWNER, OTHER),
        _call(OWNER, OWNER, GROUP, OTHER),
        _call(OWNER, (2, 7, 5), GROUP, OTHER),
        _call(OWNER, GROUP, (64, 0, 0)),
        _call(OWNER, GROUP, (32, 8, 0)),
    ],
)
def test_malformed_call_acls(value: bytes) -> None:
    with pytest.raises(ValueError, match="ACL"):
        acl_to_disk(value)


@pytest.mark.parametrize(
    "value", [b"", b"\1\0\0\0", b"\2" + DISK_ACL[1:], DISK_ACL[:-1], DISK_ACL[:-4], DISK_ACL[:14]]
)
def test_malformed_disk_acls(value: bytes) -> None:
    with pytest.raises(ValueError, match="ACL"):
        acl_from_disk(value)


@given(st.binary(max_size=60))
def test_any_bytes_give_an_acl_or_value_error(value: bytes) -> None:
    for change in (acl_to_disk, acl_from_disk):
        for prefix in (b"", b"\1\0\0\0", b"\2\0\0\0"):
            try:
                change(prefix + value)
            except ValueError:
                continue
