"""BSD manifests: mtree(5), as written by bsdtar and by the mtree(8) of NetBSD and FreeBSD.

In all of them, the digits after the point of a time are integer nanoseconds (1.5 is 5 ns after
1 s). Where they differ, a path with a slash does not change the current directory, as in
libarchive's mtree(5), and names are never patterns. docs/manifests.md has the table of keywords.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from ..arguments import id_of
from ..attributes import OTHER_TIMES
from ..content import Content
from ..edit.modes import parse_mode
from ..errors import SourceError, display_path
from ..inode_flags import bsd_words, flags_for, from_bsd_words
from ..late_dataclasses import dataclass
from ..progress import Cancel, ProgressCallback
from ..tree import (
    BlockDevice,
    CharacterDevice,
    Device,
    Directory,
    Fifo,
    Node,
    RegularFile,
    Socket,
    Symlink,
    Tree,
    Xattrs,
)
from .escapes import unvis
from .manifest_content import DIGESTS, CheckedContent, ContentRoot
from .manifest_lines import EMPTY, LINE_MOST, PATH_MOST, ManifestReader, split_device

Facts = dict[bytes, bytes]
"""Keyword -> value, still escaped."""

TAG_PREFIX = b"ext4writer."
"""Prefix of the ``tags=`` for attributes that have no keyword in mtree(5)."""

KINDS: dict[bytes, type[Node]] = {
    b"block": BlockDevice,
    b"char": CharacterDevice,
    b"dir": Directory,
    b"fifo": Fifo,
    b"file": RegularFile,
    b"link": Symlink,
    b"socket": Socket,
}
DEFAULT_MODES = {Directory: 0o755, Symlink: 0o777, BlockDevice: 0o600, CharacterDevice: 0o600}

CHECKS = {
    **{name.encode(): name for name in DIGESTS},
    **{f"{name}digest".encode(): name for name in DIGESTS if name != "cksum"},
}
"""Keyword -> name of the digest."""

WITHOUT_EFFECT = {b"ignore", b"nochange"}
"""Keywords that control a comparison with a directory and do not matter for an image."""
USED = {
    *(b"type", b"mode", b"uid", b"gid", b"uname", b"gname", b"time", b"size", b"link", b"device"),
    *(b"nlink", b"inode", b"resdevice", b"contents", b"content", b"optional", b"flags", b"tags"),
}
NOT_CHECKED = {b"rmd160", b"rmd160digest", b"ripemd160digest"}
KNOWN = {*USED, *WITHOUT_EFFECT, *CHECKS, *NOT_CHECKED}
WITHOUT_VALUE = {*WITHOUT_EFFECT, b"optional"}

DIGEST_MOST = 128
"""Hexadecimal digits of the longest digest, SHA-512."""
DEVICE_MOST = 100
"""Most bytes of the value of ``device=``; its numbers need forty."""
FLAGS_KEPT = 256
"""Number of values of ``flags=`` whose meaning is cached."""
SHOWN = 100
"""Most bytes of a keyword or flag shown in the report."""

_BEFORE_COMMENT = re.compile(rb"(?:[^\\#]++|\\.)*+", re.DOTALL)
TAGS_OF_TIMES = {
    row.name: b"birthtime" if row.word == "crtime" else row.word.encode() for row in OTHER_TIMES
}
"""Attribute of a node -> its tag."""
_TIMES_OF_TAGS = {tag: name for name, tag in TAGS_OF_TIMES.items()}


def read_mtree(
    name: bytes,
    stream: BinaryIO,
    *,
    root: bytes | None,
    verify: bool = True,
    users: Mapping[bytes, int] | None = None,
    groups: Mapping[bytes, int] | None = None,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> Tree:
    """Read an mtree file from ``stream``; the content of its files is below ``root``.

    ``verify`` compares its digests with the content when that is read. ``users`` and ``groups`` map
    names to numbers for entries with ``uname=`` or ``gname=`` but no number. Raises
    :class:`SourceError` with ``name`` and the line, and :class:`CancelledError`.
    """
    reader = _MtreeReader(
        name, stream, root, verify, users or {}, groups or {}, progress=progress, cancel=cancel
    )
    return reader.run()


@dataclass(slots=True)
class _Tags:
    """The tags with our prefix in a ``tags=``; others are ignored."""

    inode: bytes | None
    times: dict[str, int]
    xattrs: Xattrs | None
    project: int | None
    unknown: list[bytes]
    """The text in the report for each unknown tag."""
    entries: int = 0
    """Number of entries with these tags."""


class _UnknownDefault:
    """A keyword of ``/set`` without effect; entries that inherit it are counted at the end."""

    __slots__ = ("from_entry", "what")

    def __init__(self, what: bytes, from_entry: int) -> None:
        self.what = what
        self.from_entry = from_entry
        """Number of the first such entry."""


class _MtreeReader(ManifestReader):
    def __init__(
        self,
        name: bytes,
        stream: BinaryIO,
        root: bytes | None,
        verify: bool,
        users: Mapping[bytes, int],
        groups: Mapping[bytes, int],
        *,
        progress: ProgressCallback | None,
        cancel: Cancel | None,
    ) -> None:
        super().__init__(name, stream, progress=progress, cancel=cancel)
        self._root = ContentRoot(root)
        self._verify = verify
        self._users = users
        self._groups = groups
        self._defaults: Facts = {}
        """The defaults set by ``/set``; only known keywords, so there are few."""
        self._default_texts: Facts = {}
        """The decoded values of some defaults."""
        self._default_tags: _Tags | None = None
        self._unknown_defaults: dict[bytes, _UnknownDefault] = {}
        """Unknown keywords of ``/set``."""
        self._new_unknown_defaults: list[_UnknownDefault] = []
        """Unknown keywords that no entry has inherited yet."""
        self._entries_with_attributes = 0
        self._stack: list[Directory] | None = None
        """The current directory and those above it; None until needed."""
        self._folder_path = b""
        """The path of the current directory; empty for the root."""
        self._closed = False
        self._linked: dict[tuple[bytes, bytes], tuple[Node, bytes]] = {}
        self._modes: dict[bytes, int] = {}
        self._flags: dict[bytes, tuple[int, bytes]] = {}
        """Values of ``flags=`` -> inode flags, and the words without a matching flag."""
        self._without_effect: dict[bytes, tuple[bytes, int]] = {}
        """Text about something not kept -> the first path with it, and the number of entries."""

    def run(self) -> Tree:
        for line in self._lines():
            words = line.split()
            if not words:
                continue
            if words[0] == b"/set":
                self._set(self._facts(words[1:]))
            elif words[0] == b"/unset":
                self._unset(words[1:])
            elif words[0].startswith(b"/"):
                raise self.error(f"{words[0][:40]!r} is neither /set nor /unset nor a path")
            else:
                self._read_entry(words)
        self._unset([b"all"])
        for what, (path, count) in self._without_effect.items():
            others = f" ({count - 1:,} more entries)" if count > 1 else ""
            self.add_loss(
                path, what.decode("utf-8", "backslashreplace") + others, "attributes-not-taken"
            )
        self.report()
        return self.tree

    def _lines(self) -> Iterator[bytes]:
        """Yield logical lines: lines continued by a final backslash joined, comments dropped."""
        held: list[bytes] = []
        size = 0
        for line in self.physical_lines():
            line = line.removesuffix(b"\r")
            if not held and line.lstrip(b" \t").startswith(b"#"):
                continue
            kept = _BEFORE_COMMENT.match(line)
            assert kept is not None
            if kept.end() == len(line) - 1 and line.endswith(b"\\"):
                held.append(line[:-1])
                size += len(line)
                if size > LINE_MOST:
                    raise self.error(
                        f"it is longer than {LINE_MOST:,} bytes with its continuation lines"
                    )
                continue
            line = b" ".join([*held, kept[0]])
            held.clear()
            size = 0
            if b"\0" in line:
                raise self.error("it holds a NUL byte")
            yield line
        if held:
            raise self.error("the manifest ends after a line that is to be continued")

    def _facts(self, words: list[bytes]) -> Facts:
        facts: Facts = {}
        for word in words:
            key, equals, value = word.partition(b"=")
            if not equals and key not in WITHOUT_VALUE:
                raise self.error(f"{word[:40]!r} is not KEYWORD=VALUE")
            facts[key] = value
        return facts

    def _set(self, facts: Facts) -> None:
        for key, value in facts.items():
            self._drop_default(key)
            if key in KNOWN:
                self._defaults[key] = value
            else:
                unknown_default = self._unknown_defaults[key] = _UnknownDefault(
                    _unknown_keyword(key), self._entries_with_attributes
                )
                self._new_unknown_defaults.append(unknown_default)

    def _unset(self, keys: list[bytes]) -> None:
        for key in [*self._defaults, *self._unknown_defaults] if b"all" in keys else keys:
            self._drop_default(key)

    def _drop_default(self, key: bytes) -> None:
        """Drop the default for ``key``, and count the entries that inherited an unknown one."""
        self._defaults.pop(key, None)
        self._default_texts.pop(key, None)
        if key == b"tags":
            tags, self._default_tags = self._default_tags, None
            if tags is not None and tags.entries:
                for what in tags.unknown:
                    self._count_more(what, tags.entries - 1)
        unknown_default = self._unknown_defaults.pop(key, None)
        if unknown_default is not None:
            self._count_more(
                unknown_default.what, self._entries_with_attributes - unknown_default.from_entry
            )

    def _count_more(self, what: bytes, entries: int) -> None:
        """Add ``entries`` to a count in the report; do nothing for 0."""
        if entries:
            path, count = self._without_effect[what]
            self._without_effect[what] = (path, count + entries)

    def _read_entry(self, words: list[bytes]) -> None:
        word = words[0]
        if word == b"..":
            self._ascend()
            return
        facts = self._facts(words[1:])
        if self._defaults:
            facts = {**self._defaults, **facts}
        if b"/" in word:
            self._read_full_path(word, facts)
        elif word == b".":
            self._read_root(facts)
        else:
            name = self._decoded(word)
            path = b"%b/%b" % (self._folder_path, name)
            if len(path) > PATH_MOST:
                raise self.error(f"its path has more than {PATH_MOST:,} bytes")
            node = self._add_entry(self._folders()[-1], name, path, facts)
            if isinstance(node, Directory):
                self._folders().append(node)
                self._folder_path = path

    def _folders(self) -> list[Directory]:
        """All directories from the root to the current one, which is the last."""
        if self._stack is None:
            self._stack = [self.tree.root]
            for name in self._folder_path.split(b"/")[1:]:
                folder = self._stack[-1].children[name]
                assert isinstance(folder, Directory)
                self._stack.append(folder)
        return self._stack

    def _ascend(self) -> None:
        if not self._folder_path:
            # One ".." more than there are directories closes "." itself, as mtree(8) writes it.
            if self._closed:
                raise self.error("'..' leads out of the tree")
            self._closed = True
            return
        self._folders().pop()
        self._folder_path = self._folder_path[: self._folder_path.rindex(b"/")]

    def _read_root(self, facts: Facts) -> None:
        self._folder_path, self._stack = b"", None
        self._set_root_attributes(facts)

    def _set_root_attributes(self, facts: Facts) -> None:
        if facts.get(b"type", b"dir") != b"dir":
            raise self.error("must be a directory, but the manifest has another type", b"/")
        self._set_attributes(self.tree.root, b"/", facts)
        self.count(self.tree.root)

    def _read_full_path(self, word: bytes, facts: Facts) -> None:
        names = [self._decoded(part) for part in word.split(b"/") if part not in (b"", b".")]
        if not names:
            self._set_root_attributes(facts)
            return
        path = b"/" + b"/".join(names)
        self._add_entry(self.parent_of(path, make=True), names[-1], path, facts)

    def _decoded(self, word: bytes) -> bytes:
        try:
            name = unvis(word)
        except ValueError as error:
            raise self.error(error) from None
        self.check_name(name, name)
        return name

    def _add_entry(self, folder: Directory, name: bytes, path: bytes, facts: Facts) -> Node | None:
        """Add one entry that is not the root; None if it is optional and missing."""
        known = folder.children.get(name)
        kind = self._kind(facts, known, path)
        tags = self._tags(facts, path) if b"tags" in facts else None
        key = None
        if kind is not Directory:
            key = self._link_key(facts, tags, path, known)
            first = self._linked.get(key) if key is not None else None
            if first is not None:
                return self._link(folder, name, path, kind, first)
        node = known or self._node(kind, path, facts)
        if isinstance(node, RegularFile) and not self._find_content(
            node, path, facts, known is not None
        ):
            return None
        self._set_attributes(node, path, facts, tags)
        if key is not None:
            self._linked[key] = (node, path)
        folder.children[name] = node
        self.count(node)
        return node

    def _kind(self, facts: Facts, known: Node | None, path: bytes) -> type[Node]:
        word = facts.get(b"type")
        if word is None:
            if known is None:
                raise self.error("has no type=", path)
            return type(known)
        kind = KINDS.get(word)
        if kind is None:
            raise self.error(f"has the unknown type {word[:40]!r}", path)
        if known is not None and type(known) is not kind:
            raise self.error("is in the manifest already, with another type", path)
        return kind

    def _node(self, kind: type[Node], path: bytes, facts: Facts) -> Node:
        """A new node with the default mode of its kind."""
        if kind is RegularFile:
            return RegularFile(EMPTY)
        if kind is Symlink:
            if b"link" not in facts:
                raise self.error("is a link without link=", path)
            return self.symlink(self._text(facts, b"link", path), path)
        if issubclass(kind, Device):
            if b"device" not in facts:
                raise self.error("is a device without device=", path)
            return kind(*self._device(facts[b"device"], path))
        return kind(DEFAULT_MODES.get(kind, 0o644))

    def _text(self, facts: Facts, key: bytes, path: bytes) -> bytes:
        """The decoded value of ``key``. Defaults of ``/set`` may be long and are decoded once."""
        word = facts[key]
        if word is not self._defaults.get(key):
            return self._unvis(word, path)
        known = self._default_texts.get(key)
        if known is None:
            known = self._default_texts[key] = self._unvis(word, path)
        return known

    def _unvis(self, word: bytes, path: bytes) -> bytes:
        try:
            return unvis(word)
        except ValueError as error:
            raise self.error(error, path) from None

    def _device(self, word: bytes, path: bytes) -> tuple[int, int]:
        """Major and minor number of ``format,major,minor`` or of a number packed as on Linux."""
        _, *parts = words = word[: DEVICE_MOST + 1].split(b",")
        try:
            if len(word) > DEVICE_MOST:
                raise ValueError
            numbers = [_c_number(part) for part in parts or words]
        except ValueError:
            raise self.error(f"has the device {word[:40]!r}, not a number", path) from None
        if not parts:
            return split_device(numbers[0])
        if len(parts) != 2:
            raise self.error(f"has the device {word[:40]!r}; write native,MAJOR,MINOR", path)
        return numbers[0], numbers[1]

    def _find_content(self, node: RegularFile, path: bytes, facts: Facts, known: bool) -> bool:
        """Find the content of a file; False if it is optional and missing."""
        size = None
        if b"size" in facts:
            size = self.number(facts[b"size"], "size", (1 << 63) - 1)
        key = b"contents" if b"contents" in facts else b"content"
        named = key in facts
        if known and not named and size in (None, node.content.size):
            return True
        content: Content = EMPTY
        if size != 0 or named:
            name = self._text(facts, key, path) if named else path[1:]
            try:
                content = self._root.file(name, size)
            except FileNotFoundError as error:
                missing = f"its content {display_path(error.args[0])} does not exist"
                if b"optional" in facts:
                    self.add_loss(path, f"was left out: it is optional, and {missing}", "left-out")
                    return False
                raise self.error(missing, path) from None
            except SourceError as error:
                raise self.error(f"its content: {error}", path) from error
        node.content = self._checked(content, path, facts)
        return True

    def _checked(self, content: Content, path: bytes, facts: Facts) -> Content:
        expected = {}
        for key in facts.keys() & CHECKS.keys():
            if len(facts[key]) > DIGEST_MOST:
                raise self.error(f"has a {key.decode()} of {len(facts[key])} digits", path)
            expected[CHECKS[key]] = facts[key].decode("ascii", "replace").lower()
        if not self._verify or not expected:
            return content
        checked = CheckedContent(content, path, expected)
        if content is EMPTY:
            checked.compare(checked.start())
            return content
        return checked

    def _link_key(
        self, facts: Facts, tags: _Tags | None, path: bytes, known: Node | None
    ) -> tuple[bytes, bytes] | None:
        """The key that all hard links to one file share; None for a file with one name."""
        inode = facts.get(b"inode") if tags is None or tags.inode is None else tags.inode
        links = None
        if b"nlink" in facts:
            links = self.number(facts[b"nlink"], "nlink", (1 << 32) - 1)
        if inode is not None and links != 1:
            return facts.get(b"resdevice", b""), inode
        if links is not None and links > 1 and known is None:
            self.add_loss(
                path,
                f"has {links} names and no inode= by which to find the others; "
                "it becomes a separate file",
                "links-unknown",
            )
        return None

    def _link(
        self,
        folder: Directory,
        name: bytes,
        path: bytes,
        kind: type[Node],
        first: tuple[Node, bytes],
    ) -> Node:
        node, other = first
        if type(node) is not kind:
            raise self.error(f"has the inode of {other!r}, which is of another type", path)
        if folder.children.setdefault(name, node) is not node:
            raise self.error("is in the manifest already, as another file", path)
        self.count(node)
        return node

    def _set_attributes(
        self, node: Node, path: bytes, facts: Facts, tags: _Tags | None = None
    ) -> None:
        """Set those attributes in ``facts`` that all kinds of nodes have."""
        for unknown_default in self._new_unknown_defaults:
            self._without_effect.setdefault(unknown_default.what, (path, 0))
        self._new_unknown_defaults.clear()
        self._entries_with_attributes += 1
        if isinstance(node, Directory):
            node.implied = False
        word = facts.get(b"mode")
        if word is not None:
            mode = self._modes.get(word)
            node.mode = self._mode(word, path) if mode is None else mode
        if b"uid" in facts:
            node.uid = self.owner(facts[b"uid"], "uid", path)
        elif b"uname" in facts:
            node.uid = self._named(facts, b"uname", self._users, path)
        if b"gid" in facts:
            node.gid = self.owner(facts[b"gid"], "gid", path)
        elif b"gname" in facts:
            node.gid = self._named(facts, b"gname", self._groups, path)
        if b"time" in facts:
            node.mtime_ns = self.time(facts[b"time"])
        if tags is None and b"tags" in facts:
            tags = self._tags(facts, path)
        if tags is not None:
            self._apply_tags(node, tags, path)
        word = facts.get(b"flags")
        if word is not None:
            self._set_flags(node, word, path)
        if not facts.keys() <= KNOWN:
            for key in facts:
                if key not in KNOWN and key not in self._unknown_defaults:
                    self._note(_unknown_keyword(key), path)
        if facts.keys() & NOT_CHECKED and not facts.keys() & CHECKS.keys():
            self._note(b"its only digest is rmd160, which is not checked", path)

    def _set_flags(self, node: Node, word: bytes, path: bytes) -> None:
        """Set the flags that Linux also has; cached, as ``/set`` gives many entries the same."""
        found = self._flags.get(word)
        if found is None:
            flags, unknown = from_bsd_words(word.decode("ascii", "backslashreplace"))
            found = flags, ",".join(unknown)[:SHOWN].encode()
            if len(self._flags) < FLAGS_KEPT:
                self._flags[word] = found
        flags, unknown_words = found
        kept = flags & flags_for(node.file_type)
        if kept or node.flags:
            node.flags = kept
        lost = [bsd_words(flags & ~kept).encode()] if flags & ~kept else []
        lost += [unknown_words] if unknown_words else []
        if lost:
            self._note(b"the file flags " + b",".join(lost) + b" are not kept", path)

    def _mode(self, word: bytes, path: bytes) -> int:
        try:
            # A symbolic mode is applied to 0, as in NetBSD's mtree(8).
            mode = parse_mode(word.decode("ascii"))(0, False)
        except ValueError:
            raise self.error(f"has the invalid mode {word[:40]!r}", path) from None
        self._modes[word] = mode
        return mode

    def _named(self, facts: Facts, key: bytes, numbers: Mapping[bytes, int], path: bytes) -> int:
        name = self._text(facts, key, path)
        if name not in numbers:
            what = "user" if key == b"uname" else "group"
            raise self.error(
                f"belongs to the {what} {name[:SHOWN]!r}, whose number is not known; "
                f"write {what[0]}id=, or pass the numbers of names",
                path,
            )
        try:
            return id_of(numbers[name])
        except ValueError as error:
            raise self.error(f"{name[:SHOWN]!r}: {error}", path) from None

    def _tags(self, facts: Facts, path: bytes) -> _Tags:
        """The parsed value of ``tags=``; a default of ``/set`` is parsed once."""
        word = facts[b"tags"]
        if word is not self._defaults.get(b"tags"):
            return self._read_tags(word, path)
        if self._default_tags is None:
            self._default_tags = self._read_tags(word, path)
        return self._default_tags

    def _read_tags(self, word: bytes, path: bytes) -> _Tags:
        tags = _Tags(None, {}, None, None, [])
        xattrs = {}
        for tag in word.split(b","):
            key, _, value = tag.partition(b":")
            if not key.startswith(TAG_PREFIX):
                continue
            key, value = key.removeprefix(TAG_PREFIX), self._unvis(value, path)
            if key in _TIMES_OF_TAGS:
                tags.times[_TIMES_OF_TAGS[key]] = self.time(value)
            elif key.startswith(b"xattr."):
                xattrs[self._unvis(key.removeprefix(b"xattr."), path)] = value
            elif key == b"inode":
                tags.inode = value
            elif key == b"project":
                tags.project = self.owner(value, "project", path)
            else:
                tags.unknown.append(b"the tag " + TAG_PREFIX + key[:SHOWN] + b" is unknown")
        if xattrs:
            tags.xattrs = self.shared(xattrs)
        return tags

    def _apply_tags(self, node: Node, tags: _Tags, path: bytes) -> None:
        if not tags.entries:
            for what in tags.unknown:
                self._note(what, path)
        tags.entries += 1
        for name, time in tags.times.items():
            setattr(node, name, time)
        if tags.xattrs:
            node.xattrs = tags.xattrs
        if tags.project is not None:
            node.project = tags.project

    def _note(self, what: bytes, path: bytes) -> None:
        first, count = self._without_effect.get(what, (path, 0))
        self._without_effect[what] = (first, count + 1)


def _unknown_keyword(key: bytes) -> bytes:
    return b"the keyword " + key[:SHOWN] + b" is unknown, and its value is not kept"


def _c_number(word: bytes) -> int:
    """A number as C writes it: the prefixes 0x and 0 mean hexadecimal and octal."""
    if not re.fullmatch(rb"0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20}", word):
        raise ValueError
    if word[:2].lower() == b"0x":
        return int(word, 16)
    return int(word, 8 if len(word) > 1 and word.startswith(b"0") else 10)
