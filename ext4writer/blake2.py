"""blake2b without loading OpenSSL, which ``hashlib`` needs only for other digests."""

from __future__ import annotations

try:
    from _blake2 import blake2b
except ImportError:  # built without it
    from hashlib import blake2b

__all__ = ["blake2b"]
