"""Writes a tree as mtree(5), in a form that bsdtar, mtree(8) and this library read.

Each entry is one line. Attributes without a keyword in mtree(5) are in ``tags=``, which other
programs ignore; NetBSD's mtree(8) would stop at an unknown keyword.
"""

from __future__ import annotations

import hashlib
import os
from typing import BinaryIO

from ..checked import checked
from ..content import Content, reading_buffer
from ..errors import SpecError
from ..inode_flags import bsd_words
from ..sources.escapes import vis
from ..sources.mtree import KINDS, TAG_PREFIX, TAGS_OF_TIMES
from ..tree import Device, Directory, Loss, Node, RegularFile, Symlink, Tree
from .content import ContentNames, Store
from .lines import Lines, depth_first, shared_names, time_text

SIGNATURE = b"#mtree"
"""The first line, by which libarchive recognizes the format."""
WORDS = {kind: word for word, kind in KINDS.items()}
_CHUNK = 1 << 20


@checked("stream")
def write_mtree(
    tree: Tree,
    stream: BinaryIO,
    *,
    root: str | bytes | os.PathLike[str] | None = None,
    store: Store | None = None,
    unpacked: bool = False,
    digest: str | None = None,
) -> list[Loss]:
    """Write ``tree`` to ``stream`` and return the losses.

    Names are sorted as bytes, parents before children.

    Contents are named by their path on the host, relative to ``root`` if they are below it. The
    name is omitted if it is the same as the path in the tree. ``store`` is called for content that
    is not a file of the host; without it, ``unpacked`` names it as if the tree were unpacked into
    ``root``, and adds a loss. ``digest`` (such as ``"sha256"``) reads all content and adds its
    digest. Raises :class:`TreeError` for other content without a file, :class:`SpecError` if
    ``tree`` is not a tree or ``digest`` is unknown, :class:`OutputError` if ``stream`` is not a
    binary file, and errors of reading.
    """
    if digest is not None:
        _new_digest(digest)
    names = ContentNames(root, store, unpacked=unpacked)
    _MtreeWriter(tree, stream, names, digest).run()
    return names.losses()


class _MtreeWriter:
    def __init__(
        self, tree: Tree, stream: BinaryIO, names: ContentNames, digest: str | None
    ) -> None:
        self._tree = tree
        self._lines = Lines(stream)
        self._names = names
        self._digest = digest
        self._shared = shared_names(tree)
        self._numbers: dict[Node, int] = {}
        self._folder, self._folder_word = b"", b"."

    def run(self) -> None:
        self._lines.add(SIGNATURE)
        for path, node in depth_first(self._tree):
            self._lines.add(self._line(path, node))
        self._lines.flush()

    def _line(self, path: bytes, node: Node) -> bytes:
        parts = [
            b"%b type=%b mode=%04o uid=%d gid=%d time=%b"
            % (
                self._word(path, node),
                WORDS[type(node)],
                node.mode,
                node.uid,
                node.gid,
                time_text(node.mtime_ns),
            )
        ]
        if node.flags:
            parts.append(b"flags=" + bsd_words(node.flags).encode())
        names = self._shared.get(node, [path])
        if len(names) > 1:
            parts.append(b"nlink=%d" % len(names))
        if isinstance(node, RegularFile):
            parts += self._content(path, node.content, names)
        elif isinstance(node, Symlink):
            parts.append(b"link=" + vis(node.target))
        elif isinstance(node, Device):
            parts.append(b"device=native,%d,%d" % (node.major, node.minor))
        tags = self._tags(node)
        if tags:
            parts.append(b"tags=" + b",".join(TAG_PREFIX + tag for tag in tags))
        return b" ".join(parts)

    def _word(self, path: bytes, node: Node) -> bytes:
        """The escaped path of an entry, built from the escaped path of its directory."""
        if path == b"/":
            return b"."
        head, _, name = path.rpartition(b"/")
        if head != self._folder:
            self._folder = head
            self._folder_word = b"/".join([b".", *map(vis, head.split(b"/")[1:])])
        word = self._folder_word + b"/" + vis(name)
        if isinstance(node, Directory):
            self._folder, self._folder_word = path, word
        return word

    def _content(self, path: bytes, content: Content, names: list[bytes]) -> list[bytes]:
        parts = [b"size=%d" % content.size]
        if content.size and path == names[0]:
            name = self._names.get(path, content, names)
            if name != path[1:]:
                parts.append(b"contents=" + vis(name))
        if self._digest is not None:
            parts.append(f"{self._digest}={_digest(content, self._digest)}".encode())
        return parts

    def _tags(self, node: Node) -> list[bytes]:
        tags = []
        if node in self._shared:
            number = self._numbers.setdefault(node, len(self._numbers) + 1)
            tags.append(b"inode:%d" % number)
        for name, tag in TAGS_OF_TIMES.items():
            time_ns = getattr(node, name)
            if time_ns is not None:
                tags.append(b"%b:%b" % (tag, time_text(time_ns)))
        if node.project:
            tags.append(b"project:%d" % node.project)
        for key, value in sorted((node.xattrs or {}).items()):
            tags.append(b"xattr.%b:%b" % (vis(key).replace(b":", b"\\072"), vis(value)))
        return tags


def _new_digest(kind: str) -> hashlib._Hash:
    try:
        return hashlib.new(kind, usedforsecurity=False)
    except (ValueError, TypeError):  # TypeError for a NUL character
        raise SpecError("digest", f"{kind!r:.80} is not a digest that this Python has") from None


def _digest(content: Content, kind: str) -> str:
    digest = _new_digest(kind)
    for piece in content.read_pieces(reading_buffer(min(_CHUNK, content.size))):
        digest.update(piece)
    return digest.hexdigest()
