"""Rules of the form ``GLOB: KEY=VALUE...``, from an option or from a file."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator

from ..arguments import ID_MOST
from ..attributes import ATTRIBUTES
from ..errors import SourceError, SpecError
from ..inode_flags import FlagChange, flags_for, parse_flags
from ..late_dataclasses import NamedTuple
from ..tree import (
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFLNK,
    S_IFREG,
    S_IFSOCK,
    Directory,
    Loss,
    Node,
    Symlink,
    Tree,
    Xattrs,
)
from ..units import NANOSECONDS
from ..walking import hard_links
from .capabilities import XATTR as CAPABILITY_XATTR
from .capabilities import capability_value
from .globs import Glob, parse_glob
from .modes import Change, chained, parse_mode
from .pattern_index import Pattern, matcher_of

LABEL_XATTR = b"security.selinux"

KINDS = {
    "f": S_IFREG,
    "d": S_IFDIR,
    "l": S_IFLNK,
    "b": S_IFBLK,
    "c": S_IFCHR,
    "p": S_IFIFO,
    "s": S_IFSOCK,
}
"""Letters of ``type=``, as in find(1)."""

_RULE = re.compile(r"((?:\\.|[^\\])+?):(?:\s+(.*))?", re.DOTALL)
_WORD = re.compile(r"""(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s'"\\])+""", re.DOTALL)
_PIECE = re.compile(r"""'([^']*)'|"((?:\\.|[^"\\])*)"|\\(.)|([^'"\\]+)""", re.DOTALL)
_TIME = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,9}))?")
_TIMES = {row.word: row.name for row in ATTRIBUTES.values() if row.is_time}
_ROOTS = {"/", "/**", "**"}
"""The patterns that match the root directory."""

Act = Callable[[Node], None]


class SetRule(NamedTuple):
    """Sets attributes of every entry that a glob matches. Created by :func:`set_rule`."""

    origin: str
    """The name of the rule in messages."""
    pattern: str
    glob: Glob | None
    """None if the pattern matches only the root."""
    kinds: frozenset[int]
    """The kinds of files to which it applies (``S_IFMT`` bits)."""
    acts: tuple[Act, ...] = ()
    xattrs: tuple[tuple[bytes, bytes | None], ...] = ()
    """Names and values; the value None removes the attribute."""

    def apply(self, tree: Tree) -> None:
        """Apply only this rule."""
        SetBatch([self]).apply(tree)

    def for_kind(self, node: Node) -> bool:
        """Whether it applies to this kind of node."""
        return node.file_type in self.kinds


def set_rule(text: str, origin: str | None = None) -> SetRule:
    """Compile ``GLOB: KEY=VALUE...``; raises :class:`SpecError` with a reason if it is invalid.

    ``GLOB`` is as in :func:`~ext4writer.edit.globs.parse_glob`; it ends at the first colon followed
    by a space, and a backslash escapes a character. Keys:

    ``uid``, ``gid``
        A number.
    ``mode``
        Octal, or in the syntax of chmod(1). Symbolic links keep their mode.
    ``mtime``, ``atime``, ``ctime``, ``crtime``
        Seconds since 1970, with decimals.
    ``flags``
        Inode flags, for the kinds of files that can have one of them: names separated by commas
        (``immutable,nodump``), or letters of chattr(1). After ``+`` or ``-``, the other flags are
        kept.
    ``project``
        The project ID for quotas; 0 means none.
    ``xattr:NAME``
        The value of an extended attribute: text, ``0x`` and hexadecimal digits, or ``0s`` and
        base64. ``-xattr:NAME`` without a value removes it.
    ``label``
        A security context; it is stored in ``security.selinux`` with a final NUL byte.
    ``caps``
        Capabilities in the syntax of setcap(8), for regular files.
    ``type``
        Sets nothing; limits the rule to kinds of files, with letters as in find(1): ``type=fd``.

    Values with spaces are quoted as in a shell.
    """
    try:
        return _parse(text, origin or f"the rule {text!r}")
    except ValueError as error:
        raise SpecError("set", f"{text!r}: {error}") from None


def set_rules(text: bytes, name: str | bytes) -> list[SetRule]:
    """The rules in the text of a file, one per line; empty lines and ``#`` comments are ignored.

    Raises :class:`SourceError` with ``name`` and the line for an invalid rule.
    """
    rules = []
    for number, line in enumerate(text.split(b"\n"), 1):
        words = line.decode("utf-8", "surrogateescape").strip()
        if not words or words.startswith("#"):
            continue
        try:
            shown = name if isinstance(name, str) else name.decode("utf-8", "surrogateescape")
            rules.append(_parse(words, f"line {number} of {shown}"))
        except ValueError as error:
            raise SourceError(name, f"line {number}: {error}") from None
    return rules


def _parse(text: str, origin: str) -> SetRule:
    found = _RULE.fullmatch(text)
    if found is None:
        raise ValueError("it is not GLOB: KEY=VALUE...")
    pattern = found[1].strip()
    kinds = frozenset(KINDS.values())
    # The last value for a key counts; but modes and flags are applied in order.
    acts: dict[str, Act] = {}
    modes: list[Change] = []
    flags: list[FlagChange] = []
    xattrs: list[tuple[bytes, bytes | None]] = []
    for word in _words(found[2] or ""):
        key, equals, value = word.partition("=")
        if key.startswith("-xattr:") and not equals:
            xattrs.append((_xattr_name(key[7:]), None))
        elif not equals:
            raise ValueError(f"{word!r} is not KEY=VALUE")
        elif key.startswith("xattr:"):
            xattrs.append((_xattr_name(key[6:]), _xattr_value(value)))
        elif key == "label":
            xattrs.append((LABEL_XATTR, value.encode("utf-8", "surrogateescape") + b"\0"))
        elif key == "caps":
            xattrs.append((CAPABILITY_XATTR, capability_value(value)))
            kinds &= {S_IFREG}
        elif key == "type":
            if not value or set(value) - KINDS.keys():
                raise ValueError(f"type={value} has letters other than {''.join(KINDS)}")
            kinds &= {KINDS[letter] for letter in value}
        elif key == "mode":
            modes.append(parse_mode(value))
        elif key == "flags":
            flags.append(parse_flags(value))
        else:
            acts[key] = _act(key, value)
    if modes:
        acts["mode"] = _set_mode(chained(modes))
    added = 0
    for change in flags:
        added = change.apply(added)
    if flags:
        acts["flags"] = _set_flags(flags)
    if added:
        kinds &= {kind for kind in KINDS.values() if flags_for(kind) & added}
    if not acts and not xattrs:
        raise ValueError("it sets nothing")
    if not kinds:
        raise ValueError(
            "no kind in its type= can have what it sets: capabilities are for regular files, "
            "inode flags other than nodump and noatime for files and folders"
        )
    return SetRule(
        origin, pattern, parse_pattern(pattern), kinds, tuple(acts.values()), tuple(xattrs)
    )


def parse_pattern(pattern: str) -> Glob | None:
    """Compile a glob; None means only the root. Raises ``ValueError`` as :func:`parse_glob`."""
    if pattern == "/":
        return None
    return parse_glob(pattern.encode("utf-8", "surrogateescape"))


def _words(text: str) -> Iterator[str]:
    """Yield the words of ``text``, split at unquoted spaces, without quotes."""
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        found = _WORD.match(text, at)
        if found is None or (found.end() < len(text) and not text[found.end()].isspace()):
            raise ValueError("it ends within a quote or after a backslash")
        at = found.end()
        yield "".join(
            piece[0] or re.sub(r"\\(.)", r"\1", piece[1], flags=re.DOTALL) or piece[2] or piece[3]
            for piece in _PIECE.findall(found[0])
        )


def _xattr_name(name: str) -> bytes:
    if not name or "\0" in name:
        raise ValueError("xattr: needs the name of an attribute, such as xattr:user.note=text")
    return name.encode("utf-8", "surrogateescape")


def _xattr_value(value: str) -> bytes:
    if value[:2] in ("0x", "0X"):
        try:
            return bytes.fromhex(value[2:])
        except ValueError:
            raise ValueError(f"{value!r} is not hexadecimal") from None
    if value[:2] in ("0s", "0S"):
        try:
            return base64.b64decode(value[2:], validate=True)
        except (binascii.Error, ValueError):
            raise ValueError(f"{value!r} is not base64") from None
    return value.encode("utf-8", "surrogateescape")


def _act(key: str, value: str) -> Act:
    """The function that sets the attribute ``key``, an ID or a time."""
    if key in ("uid", "gid", "project"):
        if not re.fullmatch("[0-9]{1,10}", value, re.ASCII) or int(value) > ID_MOST:
            raise ValueError(f"{key}={value} is not a number from 0 to {ID_MOST}")
        number = int(value)
        return lambda node: setattr(node, key, number)
    if key in _TIMES:
        time_ns, attribute = _time(value), _TIMES[key]
        return lambda node: setattr(node, attribute, time_ns)
    raise ValueError(f"{key!r} is not a key of a rule")


def _set_mode(change: Change) -> Act:
    def act(node: Node) -> None:
        if not isinstance(node, Symlink):
            node.mode = change(node.mode, isinstance(node, Directory))

    return act


def _set_flags(changes: list[FlagChange]) -> Act:
    def act(node: Node) -> None:
        flags = node.flags
        for change in changes:
            flags = change.apply(flags)
        node.flags = flags & flags_for(node.file_type)

    return act


def _time(value: str) -> int:
    found = _TIME.fullmatch(value)
    if found is None:
        raise ValueError(f"{value!r} is not a time; write seconds since 1970, such as 1700000000.5")
    time_ns = int(found[2]) * NANOSECONDS + int((found[3] or "0").ljust(9, "0"))
    return -time_ns if found[1] else time_ns


class SetBatch:
    """Consecutive set-rules, applied in one walk over the tree."""

    def __init__(self, rules: Iterable[SetRule]) -> None:
        self.rules = list(rules)
        self._used: set[int] = set()
        self._index()

    def apply(self, tree: Tree) -> None:
        """Apply the rules in order; a rule applies to a file if it matches any of its names."""
        waiting: dict[Node, set[int]] = {}
        shared = hard_links(tree.root)
        changed: dict[tuple[tuple[tuple[bytes, bytes], ...], tuple[int, ...]], Xattrs] = {}
        for path, node in tree.walk():
            found = self._matches(path)
            if found:
                if node in shared:
                    waiting.setdefault(node, set()).update(found)
                else:
                    self._change(node, found, changed)
        for node, numbers in waiting.items():
            self._change(node, numbers, changed)
        for number, rule in enumerate(self.rules):
            if number not in self._used:
                tree.losses.append(Loss(b"/", f"{rule.origin} matched nothing", "unmatched"))

    def _index(self) -> None:
        """Prepare the look-up: literal names and paths directly, others by prefix."""
        self._literal_names: dict[bytes, list[int]] = {}
        self._literal_paths: dict[bytes, list[int]] = {}
        names: list[Pattern] = []
        paths: list[Pattern] = []
        self._of_root = [number for number, rule in enumerate(self.rules) if rule.pattern in _ROOTS]
        for number, rule in enumerate(self.rules):
            glob = rule.glob
            if glob is None:
                continue
            if glob.literal:
                home = self._literal_paths if glob.whole else self._literal_names
                home.setdefault(glob.prefix, []).append(number)
            else:
                pattern = Pattern(number, glob.prefix, glob.rest, glob.simple)
                (paths if glob.whole else names).append(pattern)
        self._names, self._paths = matcher_of(names), matcher_of(paths)

    def _matches(self, path: bytes) -> set[int] | None:
        if path == b"/":
            return set(self._of_root)
        inner = path[1:]
        name = path[path.rindex(b"/") + 1 :]
        found: list[int] = []
        if self._names is not None:
            found += self._names.all_matches(name)
        if self._paths is not None:
            found += self._paths.all_matches(inner)
        if name in self._literal_names:
            found += self._literal_names[name]
        if inner in self._literal_paths:
            found += self._literal_paths[inner]
        return set(found) if found else None

    def _change(
        self,
        node: Node,
        numbers: set[int],
        changed: dict[tuple[tuple[tuple[bytes, bytes], ...], tuple[int, ...]], Xattrs],
    ) -> None:
        chosen = [number for number in sorted(numbers) if self.rules[number].for_kind(node)]
        self._used.update(chosen)
        with_xattrs = []
        for number in chosen:
            rule = self.rules[number]
            for act in rule.acts:
                act(node)
            if rule.xattrs:
                with_xattrs.append(number)
        if not with_xattrs:
            return
        key = (tuple(sorted((node.xattrs or {}).items())), tuple(with_xattrs))
        known = changed.get(key)
        if known is None:
            values = dict(key[0])
            for number in with_xattrs:
                for name, value in self.rules[number].xattrs:
                    if value is None:
                        values.pop(name, None)
                    else:
                        values[name] = value
            known = changed[key] = values
        node.xattrs = known or None
