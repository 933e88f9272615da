"""Writes a tree into a directory of the host, as far as this user's privileges allow."""

from __future__ import annotations

import os
from pathlib import Path

from ext4writer import Device, Directory, Node, RegularFile, Symlink, Tree
from ext4writer.edit import filters


def privileged() -> bool:
    """Whether this process may create devices and change owners."""
    return os.geteuid() == 0


def adapted(tree: Tree) -> Tree:
    """``tree`` without what this user cannot create: devices, and other owners."""
    if privileged():
        return tree
    for path, node in list(tree.walk()):
        if isinstance(node, Device):
            parent = tree[os.path.dirname(path)]
            assert isinstance(parent, Directory)
            del parent.children[os.path.basename(path)]
    return filters.set_owner(tree, os.getuid(), os.getgid())


def materialise(tree: Tree, folder: Path) -> None:
    """Write ``tree`` to the new directory ``folder``: modes, owners, times, attributes, links."""
    root = os.fsencode(folder)
    made: dict[Node, bytes] = {}
    for path, node in tree.walk():
        place = root + path.rstrip(b"/")
        if node in made:
            os.link(made[node], place, follow_symlinks=False)
            continue
        made[node] = place
        _make(node, place)
    # Deepest first: new entries change the times of their directory.
    for node, place in reversed(made.items()):
        _adorn(node, place)


def _make(node: Node, place: bytes) -> None:
    if isinstance(node, Directory):
        os.mkdir(place)
    elif isinstance(node, RegularFile):
        data = bytearray(node.content.size)
        with memoryview(data) as view:
            node.content.read_whole(view)
        with open(place, "wb") as file:
            file.write(data)
    elif isinstance(node, Symlink):
        os.symlink(node.target, place)
    else:
        device = os.makedev(node.major, node.minor) if isinstance(node, Device) else 0
        os.mknod(place, node.file_type | 0o600, device)


def _adorn(node: Node, place: bytes) -> None:
    if privileged():
        os.chown(place, node.uid, node.gid, follow_symlinks=False)
    # Changing the owner removes security.capability.
    for name, value in (node.xattrs or {}).items():
        os.setxattr(place, name, value, follow_symlinks=False)
    if not isinstance(node, Symlink):
        os.chmod(place, node.mode)
    os.utime(place, ns=(node.mtime_ns, node.mtime_ns), follow_symlinks=False)
