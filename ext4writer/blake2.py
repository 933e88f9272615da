"""blake2b without OpenSSL, which ``hashlib`` loads for digests of other kinds."""

from __future__ import annotations

try:
    from _blake2 import blake2b
except ImportError:  # built without it
    from hashlib import blake2b

__all__ = ["blake2b"]
