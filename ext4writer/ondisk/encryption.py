"""fscrypt: the context of an encrypted inode, an attribute with name index 9 and name ``c``.

Rules: Documentation/filesystems/fscrypt.rst and fs/crypto/fscrypt_private.h.
"""

from __future__ import annotations

from .declaration import Bytes, Int8ul, Struct
from .record import Record, field

_MODES = {
    1: "AES-256-XTS",
    4: "AES-256-CBC-CTS",
    5: "AES-128-CBC-ESSIV",
    6: "AES-128-CBC-CTS",
    7: "SM4-XTS",
    8: "SM4-CBC-CTS",
    9: "Adiantum",
    10: "AES-256-HCTR2",
}

FSCRYPT_CONTEXT_V1 = Record(
    "fscrypt_context_v1",
    Struct(
        field("version", Int8ul, "1", "code", names={1: "v1"}),
        field("contents_encryption_mode", Int8ul, "Cipher of content", "code", names=_MODES),
        field("filenames_encryption_mode", Int8ul, "Cipher of names", "code", names=_MODES),
        field("flags", Int8ul, "Padding of names, and how keys are derived", "flags"),
        field("master_key_descriptor", Bytes(8), "Identifies the master key"),
        field("nonce", Bytes(16), "Input to deriving the inode's key from the master key"),
    ),
    size=28,
    doc="How an inode is encrypted, version 1; fscrypt_private.h.",
)

FSCRYPT_CONTEXT_V2 = Record(
    "fscrypt_context_v2",
    Struct(
        field("version", Int8ul, "2", "code", names={2: "v2"}),
        field("contents_encryption_mode", Int8ul, "Cipher of content", "code", names=_MODES),
        field("filenames_encryption_mode", Int8ul, "Cipher of names", "code", names=_MODES),
        field("flags", Int8ul, "Padding of names, and how keys are derived", "flags"),
        field(
            "log2_data_unit_size",
            Int8ul,
            "Data unit: 2 to the power of this, in bytes; 0 for the block size",
            "log2",
        ),
        field("reserved", Bytes(3), "Padding", "reserved"),
        field("master_key_identifier", Bytes(16), "Identifies the master key"),
        field("nonce", Bytes(16), "Input to deriving the inode's key from the master key"),
    ),
    size=40,
    doc="How an inode is encrypted, version 2; fscrypt_private.h.",
)


def policy_of(context: bytes) -> bytes | None:
    """A context without its nonce; empty for an unknown version, None if it is not a context."""
    # e2fsck/encrypted_files.c:fscrypt_context_to_policy
    record = _CONTEXTS.get(context[:1])
    if record is None:
        return b"" if context else None
    return context[: record.offset("nonce")] if len(context) == record.size else None


_CONTEXTS = {b"\1": FSCRYPT_CONTEXT_V1, b"\2": FSCRYPT_CONTEXT_V2}
