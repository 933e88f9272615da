"""fscrypt policies: how the content of a directory is encrypted."""

from __future__ import annotations

import re

from ..late_dataclasses import NamedTuple
from ..ondisk.encryption import FSCRYPT_CONTEXT_V2

POLICY_VERSION = 2

# include/uapi/linux/fscrypt.h: FSCRYPT_MODE_... and FSCRYPT_POLICY_FLAG(S)_...
MODES = {
    "AES-256-XTS": 1,
    "AES-256-CTS": 4,
    "AES-128-CBC": 5,
    "AES-128-CTS": 6,
    "SM4-XTS": 7,
    "SM4-CTS": 8,
    "Adiantum": 9,
    "AES-256-HCTR2": 10,
}
_BY_LOWER = {name.lower(): name for name in MODES}
PAIRS = (
    ("AES-256-XTS", "AES-256-CTS"),
    ("AES-256-XTS", "AES-256-HCTR2"),
    ("AES-128-CBC", "AES-128-CTS"),
    ("Adiantum", "Adiantum"),
    ("SM4-XTS", "SM4-CTS"),
)
"""fs/crypto/policy.c:fscrypt_valid_enc_modes_v2: ciphers of content and of names."""
PADDINGS = {4: 0, 8: 1, 16: 2, 32: 3}
DEFAULT_PADDING = 32
FLAGS = {"direct-key": 0x04, "iv-ino-lblk-64": 0x08, "iv-ino-lblk-32": 0x10}


class Policy(NamedTuple):
    """An fscrypt policy, in the words of fscryptctl."""

    key_identifier: bytes
    contents: str = "AES-256-XTS"
    filenames: str = "AES-256-CTS"
    padding: int = DEFAULT_PADDING
    flag: str = ""
    """How keys are derived; at most one of ``FLAGS``."""

    def __str__(self) -> str:
        words = [
            self.key_identifier.hex(),
            f"contents={self.contents}",
            f"filenames={self.filenames}",
            f"padding={self.padding}",
        ]
        return ",".join(words + ([self.flag] if self.flag else []))

    @property
    def needs_stable_inodes(self) -> bool:
        """Whether encryption depends on inode numbers."""
        return self.flag.startswith("iv-ino")

    def context(self, nonce: bytes) -> bytes:
        """Return the value of the attribute that stores the policy; ``nonce`` has 16 bytes."""
        return FSCRYPT_CONTEXT_V2.pack(
            {
                "version": POLICY_VERSION,
                "contents_encryption_mode": MODES[self.contents],
                "filenames_encryption_mode": MODES[self.filenames],
                "flags": PADDINGS[self.padding] | FLAGS.get(self.flag, 0),
                "master_key_identifier": self.key_identifier,
                "nonce": nonce,
            }
        )


def parse_policy(text: str) -> Policy:
    """Parse ``KEYID[,contents=MODE][,filenames=MODE][,padding=N][,FLAG]``.

    Raises ``ValueError`` for another text, and for a policy that Linux does not accept.
    """
    identifier, *words = text.split(",")
    if not re.fullmatch("[0-9A-Fa-f]{32}", identifier, re.ASCII):
        raise ValueError(
            f"{identifier!r} is not a key identifier: 32 hexadecimal digits, as fscryptctl add_key "
            "prints them"
        )
    policy = Policy(bytes.fromhex(identifier))
    for word in words:
        key, _, value = word.strip().lower().partition("=")
        mode = _BY_LOWER.get(value.replace("-cbc-cts", "-cts"), "")
        if key == "contents" and mode:
            policy = policy._replace(contents=mode)
        elif key == "filenames" and mode:
            policy = policy._replace(filenames=mode)
        elif key == "padding" and value in map(str, PADDINGS):
            policy = policy._replace(padding=int(value))
        elif key in FLAGS and not value and policy.flag in ("", key):
            policy = policy._replace(flag=key)
        else:
            raise ValueError(
                f"{word!r} is neither contents= nor filenames= with one of {', '.join(MODES)}, "
                f"nor padding={'|'.join(map(str, PADDINGS))}, nor one of {', '.join(FLAGS)}"
            )
    if (policy.contents, policy.filenames) not in PAIRS:
        pairs = ", ".join("/".join(pair) for pair in PAIRS)
        raise ValueError(
            f"Linux does not encrypt content with {policy.contents} and names with "
            f"{policy.filenames}; it accepts {pairs}"
        )
    # fs/crypto/policy.c:supported_direct_key_modes and supported_iv_ino_lblk_policy
    if policy.flag == "direct-key" and policy.contents != "Adiantum":
        raise ValueError("direct-key is only for Adiantum")
    if policy.needs_stable_inodes and policy.contents != "AES-256-XTS":
        raise ValueError(f"{policy.flag} is only for AES-256-XTS")
    return policy
