"""Writes a tree as composefs-dump(5), in the form of composefs-info."""

from __future__ import annotations

import os
from typing import BinaryIO

from ..attributes import OTHER_TIMES
from ..checked import checked
from ..content import Content
from ..inode_flags import flag_names
from ..sources.escapes import dump_escape
from ..sources.manifest_lines import pack_device
from ..tree import Device, Directory, Loss, Node, RegularFile, Symlink, Tree
from ..units import NANOSECONDS
from .content import ContentNames, Store, host_path
from .lines import Lines, depth_first, shared_names

INLINE_MOST = 5000
"""Most bytes of content that composefs accepts inside a dump (LCFS_INLINE_CONTENT_MAX)."""


@checked("stream")
def write_dump(
    tree: Tree,
    stream: BinaryIO,
    *,
    root: str | bytes | os.PathLike[str] | None = None,
    store: Store | None = None,
    unpacked: bool = False,
) -> list[Loss]:
    """Write ``tree`` to ``stream`` and return the losses: attributes without a field in a dump.

    Payloads are paths of the host, relative to ``root`` if they are below it. Content that is not a
    file of the host is stored in the dump up to 5,000 bytes; ``store`` is called for larger
    content. Without ``store``, ``unpacked`` names it as if the tree were unpacked into ``root``,
    and adds a loss. Raises :class:`TreeError` for other content without a file, :class:`SpecError`
    if ``tree`` is not a tree, :class:`OutputError` if ``stream`` is not a binary file, and errors
    of reading.
    """
    names = ContentNames(root, store, unpacked=unpacked)
    writer = _DumpWriter(tree, stream, names)
    writer.run()
    return writer.losses + names.losses()


class _DumpWriter:
    def __init__(self, tree: Tree, stream: BinaryIO, names: ContentNames) -> None:
        self._tree = tree
        self._lines = Lines(stream)
        self._names = names
        self._shared = shared_names(tree)
        self.losses: list[Loss] = []

    def run(self) -> None:
        for path, node in depth_first(self._tree):
            self._lines.add(self._line(path, node))
        self._lines.flush()

    def _line(self, path: bytes, node: Node) -> bytes:
        names = self._shared.get(node, [path])
        links, first = len(names), names[0]
        size, payload, inline = 0, b"-", b"-"
        if isinstance(node, Directory):
            links = 2 + sum(isinstance(child, Directory) for child in node.children.values())
        elif isinstance(node, Symlink):
            size, payload = len(node.target), _optional(node.target)
        elif isinstance(node, RegularFile):
            size = node.content.size
            if size and first == path:
                payload, inline = self._content(path, node.content, names)
        if first != path:
            payload = _optional(first)
        else:
            self._add_losses(path, node)
        rdev = pack_device(node.major, node.minor) if isinstance(node, Device) else 0
        line = b"%b %d %b%o %d %d %d %d %d.%d %b %b -" % (
            dump_escape(path),
            size,
            b"" if first == path else b"@",
            node.file_type | node.mode,
            links,
            node.uid,
            node.gid,
            rdev,
            *divmod(node.mtime_ns, NANOSECONDS),
            payload,
            inline,
        )
        xattrs = [
            b"%b=%b" % (dump_escape(key, equals=True), dump_escape(value, equals=True))
            for key, value in sorted((node.xattrs or {}).items())
        ]
        return b" ".join([line, *xattrs])

    def _content(self, path: bytes, content: Content, names: list[bytes]) -> tuple[bytes, bytes]:
        """The fields payload and content; one of them is ``-``."""
        if host_path(content) is None and content.size <= INLINE_MOST:
            return b"-", _optional(content.read_bytes())
        return _optional(self._names.get(path, content, names)), b"-"

    def _add_losses(self, path: bytes, node: Node) -> None:
        """Record the attributes without a field in a dump."""
        for row in OTHER_TIMES:
            if getattr(node, row.name) not in (None, node.mtime_ns):
                what = f"{row.word} has no field in a dump"
                self.losses.append(Loss(path, what, "time-left-out"))
        if node.flags:
            what = f"the inode flags {flag_names(node.flags)} have no field in a dump"
            self.losses.append(Loss(path, what, "attributes-not-taken"))
        if node.project:
            what = f"the project {node.project} has no field in a dump"
            self.losses.append(Loss(path, what, "attributes-not-taken"))


def _optional(word: bytes) -> bytes:
    return b"\\x2d" if word == b"-" else dump_escape(word)
