"""Detects mounted pseudo file systems inside a source, such as /proc."""

from __future__ import annotations

import os

from ..errors import SourceError, display_path

MOUNTINFO = "/proc/self/mountinfo"
"""Linux: proc_pid_mountinfo(5)."""

PSEUDO = frozenset(
    (
        *("proc", "sysfs", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "configfs"),
        *("pstore", "efivarfs", "bpf", "selinuxfs", "smackfs", "fusectl", "binfmt_misc", "nsfs"),
        *("mqueue", "rpc_pipefs", "resctrl", "nfsd", "autofs"),
    )
)
"""Types that show the state of the kernel. File systems in memory, such as tmpfs, are missing."""


class Mounts:
    """The mounted file systems, read when a scan first reaches another device."""

    def __init__(self) -> None:
        self._types: dict[tuple[int, int], str] | None = None
        self._accepted: set[int] = set()

    def check(self, device: int, place: bytes, path: bytes) -> None:
        """Raise :class:`SourceError` if ``device`` is a pseudo file system.

        ``place`` is the host path, if known, of the directory at ``path`` in the tree.
        """
        if device in self._accepted:
            return
        if self._types is None:
            self._types = _mounted_types()
        kind = self._types.get((os.major(device), os.minor(device)), "")
        if kind in PSEUDO:
            shown = place if place.startswith(b"/") else path
            raise SourceError(
                shown,
                f"is a mounted {kind}, which shows the state of the running kernel and holds no "
                "files of a disk; unmount it, or leave out all other file systems with "
                f"--one-file-system (one_file_system=True), or only this one with --exclude "
                f"{display_path(path[1:])}",
            )
        self._accepted.add(device)


def _mounted_types() -> dict[tuple[int, int], str]:
    """Device numbers (major, minor) -> type of the mount; empty if the host does not list them."""
    types: dict[tuple[int, int], str] = {}
    try:
        with open(MOUNTINFO, encoding="ascii", errors="replace") as lines:
            for line in lines:
                before, _, after = line.partition(" - ")
                major, _, minor = before.split(" ")[2].partition(":")
                types[int(major), int(minor)] = after.split(" ")[0]
    except (OSError, ValueError, IndexError):
        return types
    return types
