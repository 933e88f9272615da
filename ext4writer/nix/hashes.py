"""SHA-256 hashes in the notations of Nix (``src/libutil/hash.cc``)."""

from __future__ import annotations

import base64
import binascii
import re

from .store_paths import BASE32

SHA256_BYTES = 32
BASE32_LENGTH = 52

_DIGIT = {digit: value for value, digit in enumerate(BASE32)}


def parse_sha256(text: str) -> bytes:
    """The 32 bytes of a SHA-256 hash; raises ``ValueError`` with a reason for other text.

    The length distinguishes base 16, base 32 and base 64, with or without the prefix ``sha256:``.
    ``sha256-`` and base 64 is the notation of Subresource Integrity.
    """
    if text.startswith("sha256-"):
        return _base64(text, text.removeprefix("sha256-"))
    digits = text.removeprefix("sha256:")
    if re.fullmatch("[0-9a-fA-F]{64}", digits, re.ASCII):
        return bytes.fromhex(digits)
    if len(digits) == BASE32_LENGTH:
        return _base32(text, digits)
    return _base64(text, digits)


def to_base32(digest: bytes) -> str:
    """The 52 digits with which Nix writes ``digest``: five bits each, highest bits first."""
    number = int.from_bytes(digest, "little")
    return "".join(BASE32[number >> 5 * place & 31] for place in reversed(range(BASE32_LENGTH)))


def _base32(text: str, digits: str) -> bytes:
    number = 0
    for digit in digits:
        if digit not in _DIGIT:
            raise _no_hash(text)
        number = number << 5 | _DIGIT[digit]
    if number >> 8 * SHA256_BYTES:
        raise _no_hash(text)
    return number.to_bytes(SHA256_BYTES, "little")


def _base64(text: str, digits: str) -> bytes:
    try:
        digest = base64.b64decode(digits, validate=True)
    except (binascii.Error, ValueError):
        raise _no_hash(text) from None
    if len(digest) != SHA256_BYTES:
        raise _no_hash(text)
    return digest


def _no_hash(text: str) -> ValueError:
    return ValueError(f"{text!r} is not a SHA-256 hash in base 16, 32 or 64")
