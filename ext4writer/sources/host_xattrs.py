"""Extended attributes of the host's files, where this process can read them."""

from __future__ import annotations

import errno
import os

from ..errors import display_path
from ..tree import Loss

XattrItems = tuple[tuple[bytes, bytes], ...]
"""Names and values, sorted by name; never empty."""

KNOWN_PREFIXES = ("user.", "trusted.", "security.")
KNOWN_NAMES = ("system.posix_acl_access", "system.posix_acl_default")

UNSUPPORTED = {
    number
    for name in ("ENOTSUP", "EOPNOTSUPP", "ENOSYS")
    if (number := getattr(errno, name, None)) is not None
}
"""Errors of a file system without extended attributes."""


class HostXattrs:
    """Reads attributes, and adds those that cannot be kept to ``losses``.

    ``path`` is the file's path on the host, ``shown`` its path in the tree; ``follow`` follows a
    symbolic link at ``path``.
    """

    def __init__(self, losses: list[Loss]) -> None:
        self.losses = losses

    def read(self, path: bytes, shown: bytes, *, follow: bool = False) -> XattrItems | None:
        """List and read all attributes; None if there are none. Raises ``FileNotFoundError``."""
        try:
            names = os.listxattr(path, follow_symlinks=follow)
        except OSError as error:
            self.cannot_list(error, shown)
            return None
        return self.values(path, names, shown, follow=follow) if names else None

    def cannot_list(self, error: OSError, shown: bytes) -> None:
        """Handle a failed listxattr(2).

        Ignores a file system without attributes, records a loss if access is denied, and raises
        ``FileNotFoundError`` if the file is gone.
        """
        if error.errno in UNSUPPORTED:
            return
        if isinstance(error, FileNotFoundError):
            raise error
        self._add_loss(shown, f"extended attributes cannot be listed: {error.strerror}")

    def values(
        self, path: bytes, names: list[str], shown: bytes, *, follow: bool = False
    ) -> XattrItems | None:
        """Read the values of ``names``; None if none of them can be kept."""
        found: list[tuple[bytes, bytes]] = []
        for name in names:
            if not name.startswith(KNOWN_PREFIXES) and name not in KNOWN_NAMES:
                self._add_loss(
                    shown, f"extended attribute {_text(name)} belongs to its file system"
                )
                continue
            try:
                value = os.getxattr(path, name, follow_symlinks=follow)
            except OSError as error:
                if isinstance(error, FileNotFoundError):
                    raise
                self._add_loss(
                    shown, f"extended attribute {_text(name)} cannot be read: {error.strerror}"
                )
                continue
            found.append((os.fsencode(name), value))
        return tuple(sorted(found)) or None

    def _add_loss(self, shown: bytes, what: str) -> None:
        self.losses.append(Loss(shown, what, "xattr-left-out"))


def _text(name: str) -> str:
    return display_path(os.fsencode(name))
