"""The manifests of composefs: composefs-dump(5), one line for each name.

As in that page and in mkcomposefs, a line has eleven fields separated by one space, then
attributes. Escapes have the form ``\\xNN``, ``-`` is an absent value, and the fraction of a time is
integer nanoseconds. ``@`` before the mode marks a hard link; the payload is then the other name.
"""

from __future__ import annotations

from typing import BinaryIO

from ..bits import MASK_32
from ..content import BytesContent, Content
from ..errors import SourceError, display_path
from ..nodes import S_IFMT
from ..progress import Cancel, ProgressCallback
from ..tree import (
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFLNK,
    S_IFREG,
    S_IFSOCK,
    BlockDevice,
    CharacterDevice,
    Directory,
    Fifo,
    Node,
    RegularFile,
    Socket,
    Tree,
    Xattrs,
)
from .escapes import undump
from .manifest_content import ContentRoot
from .manifest_lines import EMPTY, ManifestReader, split_device

FIELDS = 11
SIZE_MOST = (1 << 63) - 1


def read_dump(
    name: bytes,
    stream: BinaryIO,
    *,
    root: bytes | None,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> Tree:
    """Read a dump from ``stream``; payloads are paths below ``root``.

    Raises :class:`SourceError` with ``name`` and the line for anything malformed, and
    :class:`CancelledError`.
    """
    return _DumpReader(name, stream, root, progress=progress, cancel=cancel).run()


class _DumpReader(ManifestReader):
    def __init__(
        self,
        name: bytes,
        stream: BinaryIO,
        root: bytes | None,
        *,
        progress: ProgressCallback | None,
        cancel: Cancel | None,
    ) -> None:
        super().__init__(name, stream, progress=progress, cancel=cancel)
        self._root = ContentRoot(root)
        self._has_root = False
        self._links: list[tuple[int, Directory, bytes, bytes, bytes]] = []
        """Line number, parent directory, name, path and target path of each hard link."""

    def run(self) -> Tree:
        for line in self.physical_lines():
            if line:
                self._take(line)
        for number, folder, name, path, target in self._links:
            self.line_number = number
            folder.children[name] = self._target(path, target)
        self.report()
        return self.tree

    def _take(self, line: bytes) -> None:
        words = line.split(b" ")
        if len(words) < FIELDS:
            raise self.error(f"it has {len(words)} fields and not {FIELDS} or more")
        if b"\0" in line:
            raise self.error("it holds a NUL byte")
        path = self._path(words[0])
        mode_word = words[2]
        linked = mode_word.startswith(b"@")
        mode = self.number(mode_word[linked:], "mode", 0o177777, 8)
        if linked:
            self._take_link(path, mode, words[8])
            return
        node = self._node(path, mode & S_IFMT, words)
        node.mode = mode & 0o7777
        self.number(words[3], "nlink", MASK_32)
        node.uid = self.owner(words[4], "uid", path)
        node.gid = self.owner(words[5], "gid", path)
        node.mtime_ns = self.time(words[7])
        node.xattrs = self._attributes(words[FIELDS:])
        self._put(path, node)
        self.count(node)

    def _path(self, word: bytes) -> bytes:
        path = self._undump(word, "path")
        if not path.startswith(b"/"):
            raise self.error("its path does not begin with a slash", path)
        if path != b"/" and (path.endswith(b"/") or b"//" in path):
            raise self.error("its path has an empty component", path)
        return path

    def _undump(self, word: bytes, what: str) -> bytes:
        try:
            return undump(word)
        except ValueError as error:
            raise self.error(f"{what}: {error}") from None

    def _optional(self, word: bytes, what: str) -> bytes | None:
        return None if word == b"-" else self._undump(word, what)

    def _node(self, path: bytes, kind: int, words: list[bytes]) -> Node:
        """A node of the given kind, without the attributes that all kinds share."""
        size = self.number(words[1], "size", SIZE_MOST)
        payload = self._optional(words[8], "payload")
        if kind == S_IFREG:
            return RegularFile(self._content(path, size, payload, words[9]))
        if kind == S_IFDIR:
            return Directory()
        if kind == S_IFLNK:
            return self.symlink(payload or b"", path)
        if kind in (S_IFCHR, S_IFBLK):
            make = CharacterDevice if kind == S_IFCHR else BlockDevice
            return make(*split_device(self.number(words[6], "rdev", (1 << 64) - 1)))
        if kind == S_IFIFO:
            return Fifo(0)
        if kind == S_IFSOCK:
            return Socket(0)
        raise self.error(f"its mode has no kind of file: {words[2].decode(errors='replace')}", path)

    def _content(self, path: bytes, size: int, payload: bytes | None, word: bytes) -> Content:
        inline = self._optional(word, "content")
        if inline is not None:
            if len(inline) != size:
                raise self.error(f"has {len(inline)} bytes of content but the size {size}", path)
            return BytesContent(inline) if inline else EMPTY
        if payload is None:
            if size:
                raise self.error(f"has {size} bytes, but neither payload nor content", path)
            return EMPTY
        try:
            return self._root.file(payload, size)
        except FileNotFoundError as error:
            missing = display_path(error.args[0])
            raise self.error(f"its payload {missing} does not exist", path) from None
        except SourceError as error:
            raise self.error(f"its payload: {error}", path) from error

    def _attributes(self, words: list[bytes]) -> Xattrs | None:
        if not words:
            return None
        xattrs: dict[bytes, bytes] = {}
        for word in words:
            key, equals, value = word.partition(b"=")
            name = self._undump(key, "attribute")
            if not equals or not name or b"\0" in name:
                raise self.error("an attribute is not NAME=VALUE")
            if name in xattrs:
                raise self.error(f"the attribute {name!r} occurs twice")
            xattrs[name] = self._undump(value, "attribute")
        return self.shared(xattrs)

    def _put(self, path: bytes, node: Node) -> None:
        if path == b"/":
            if not isinstance(node, Directory) or self._has_root:
                raise self.error("the root must be one directory, listed once", path)
            self._has_root = True
            children = self.tree.root.children
            self.tree.root = node
            assert not children
            self._parent = (b"", node)
            return
        folder, name = self._place(path)
        folder.children[name] = node

    def _place(self, path: bytes) -> tuple[Directory, bytes]:
        if not self._has_root:
            raise self.error("the root / is not in the manifest before it", path)
        folder = self.parent_of(path, make=False)
        name = path[path.rindex(b"/") + 1 :]
        self.check_name(name, path)
        if name in folder.children:
            raise self.error("is in the manifest already", path)
        return folder, name

    def _take_link(self, path: bytes, mode: int, payload: bytes) -> None:
        target = self._optional(payload, "payload")
        if target is None:
            raise self.error("is a hard link without a target", path)
        if mode & S_IFMT == S_IFDIR:
            raise self.error("is a directory, which cannot have a second name", path)
        folder, name = self._place(path)
        # Reserve the name against other entries; the target may come later.
        folder.children[name] = _RESERVED
        self._links.append((self.line_number, folder, name, path, target))
        self.count(_RESERVED)

    def _target(self, path: bytes, target: bytes) -> Node:
        try:
            node = self.tree[target]
        except KeyError:
            raise self.error(f"its other name {target!r} is not in the manifest", path) from None
        if node is _RESERVED:
            raise self.error(f"its other name {target!r} is itself a hard link", path)
        if isinstance(node, Directory):
            raise self.error(f"its other name {target!r} is a directory", path)
        return node


_RESERVED = Fifo(0)
