"""SELinux's file_contexts: labels by path.

The rules are those of libselinux (label_file.c, label_file.h, label_support.c). A specification
without meta characters has precedence over all others; among equals, the last one counts. A
specification with a type applies to that type only, and ``<<none>>`` leaves the entry alone. A
specification with a literal first component applies only to paths with at least two components.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from ...documents import read_document
from ...errors import SourceError, SpecError
from ...late_dataclasses import dataclass
from ...tree import (
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFLNK,
    S_IFREG,
    S_IFSOCK,
    Loss,
    Node,
    Tree,
    Xattrs,
)
from ..automaton import Expression
from ..pattern_index import Pattern, PatternIndex
from .pcre import Translated, translate

XATTR = b"security.selinux"
NONE = b"<<none>>"
KINDS = {
    b"--": S_IFREG,
    b"-d": S_IFDIR,
    b"-l": S_IFLNK,
    b"-b": S_IFBLK,
    b"-c": S_IFCHR,
    b"-p": S_IFIFO,
    b"-s": S_IFSOCK,
}
COMPANIONS = (".homedirs", ".local")
"""Suffixes of the files that libselinux reads after the main one, if they exist."""
SUBSTITUTIONS = (".subs", ".subs_dist")
"""Suffixes of the files that map parts of the tree to other paths, in the order of look-up."""
EXPRESSION_MOST = 4096
"""Limit for the bytes of an expression, as in libselinux."""
WAYS_FEW = 8
"""Most ways to match per byte of a path, up to which ``re`` is used."""
STEPS_MOST = 1_000_000
"""Most ways to match that ``re`` may try for one path, if an automaton is impossible."""

_STEM = re.compile(r"/[^/.^$?*+|\[({\\]+/")
"""A literal first component, which libselinux first compares with that of the path."""


@dataclass(frozen=True, slots=True)
class _Spec:
    kind: int
    """The kind of files to which it applies (``S_IFMT`` bits); 0 for all."""
    context: bytes


class FileContexts:
    """Compiled specifications; ``apply`` labels a tree."""

    def __init__(
        self,
        texts: Iterable[tuple[bytes, str | bytes]],
        substitutions: Iterable[Iterable[tuple[bytes, bytes]]] = (),
        *,
        mount_point: str | bytes = b"/",
    ) -> None:
        """``texts`` are (content, name) of files that are read as if they were concatenated.

        ``substitutions`` are lists of (path, substitute); each list is applied in turn. A path gets
        the label of its substitute. ``mount_point`` is the absolute path where the tree will be
        mounted; its root gets the label of that path.

        Raises :class:`SourceError` with the name and line for an invalid specification or an
        unsupported expression, and :class:`SpecError` for an invalid mount point.
        """
        self._specs: list[_Spec] = []
        self._exact: dict[bytes, list[int]] = {}
        self._patterns: dict[int, list[Pattern]] = {}
        self._indexes: dict[int, PatternIndex] = {}
        self._substitutes = Substitutes(substitutions)
        self._mount_point = _prefix(mount_point)
        self.names: list[str | bytes] = []
        for text, name in texts:
            self.names.append(name)
            for number, line in enumerate(text.split(b"\n"), 1):
                words = line.split()
                if words and not words[0].startswith(b"#"):
                    self._add(words, name, number)

    @classmethod
    def load(
        cls, path: str | bytes | os.PathLike[str], *, mount_point: str | bytes = b"/"
    ) -> FileContexts:
        """Read ``path`` and the additional files that libselinux reads, if they exist.

        Their names are ``path`` with the suffixes ``.homedirs``, ``.local``, ``.subs`` and
        ``.subs_dist``. Raises :class:`SourceError`.
        """
        base = os.fsdecode(path)
        texts: list[tuple[bytes, str | bytes]] = [(read_document(base), base)]
        for suffix in COMPANIONS:
            name = base + suffix
            text = _read_if_there(name)
            if text is not None:
                texts.append((text, name))
        found = (_read_if_there(base + suffix) for suffix in SUBSTITUTIONS)
        substitutions = [_substitutions(text) for text in found if text is not None]
        return cls(texts, substitutions, mount_point=mount_point)

    def lookup(self, path: bytes, kind: int) -> bytes | None:
        """The context for the absolute ``path`` of a file of ``kind`` (``S_IFMT`` bits).

        ``path`` is a path on the running system, including the mount point, not a path in the tree.
        Returns None if nothing or ``<<none>>`` matches.
        """
        path = self._substitutes.path(path)
        exact = self._exact.get(path)
        if exact is not None:
            for number in reversed(exact):
                if self._specs[number].kind in (0, kind):
                    return self._context(number)
        index = self._indexes.get(kind)
        if index is None:
            patterns = self._patterns.get(0, []) + self._patterns.get(kind, [])
            index = self._indexes[kind] = PatternIndex(patterns)
        last = index.last_match(path)
        return self._context(last) if last >= 0 else None

    def apply(self, tree: Tree) -> None:
        """Label the nodes of ``tree``; a file with several names gets the label of the first."""
        labelled: dict[Node, tuple[bytes, bytes | None]] = {}
        shared: dict[tuple[tuple[tuple[bytes, bytes], ...], bytes], Xattrs] = {}
        matches = 0
        mount_point = self._mount_point
        for path, node in tree.walk():
            place = mount_point + path if path != b"/" else mount_point or path
            context = self.lookup(place, node.file_type)
            if node.file_type != S_IFDIR:
                first, other = labelled.setdefault(node, (path, context))
                if first != path:
                    if other != context and context is not None:
                        tree.losses.append(
                            Loss(
                                path,
                                f"has the label of {first!r}, another name of the same file",
                                "label-shared",
                            )
                        )
                    continue
            if context is not None:
                matches += 1
                key = (tuple(sorted((node.xattrs or {}).items())), context)
                if key not in shared:
                    shared[key] = {**dict(key[0]), XATTR: context + b"\0"}
                node.xattrs = shared[key]
        if not matches:
            shown = os.fsdecode(self.names[0]) if self.names else "no file"
            tree.losses.append(
                Loss(b"/", f"the file contexts of {shown} matched nothing", "unmatched")
            )

    def _context(self, number: int) -> bytes | None:
        context = self._specs[number].context
        return None if context == NONE else context

    def _add(self, words: list[bytes], name: str | bytes, number: int) -> None:
        def error(problem: str) -> SourceError:
            return SourceError(name, f"line {number}: {problem}")

        if not len(words) >= 2:
            raise error("it is not PATTERN [TYPE] CONTEXT")
        kind = 0
        if len(words) > 2:
            if words[1] not in KINDS:
                raise error(f"{words[1][:40]!r} is not one of the types {_KINDS_SHOWN}")
            kind = KINDS[words[1]]
        raw, context = words[0], words[2] if len(words) > 2 else words[1]
        if not raw.isascii() or not context.isascii():
            raise error("it holds something that is not ASCII")
        if len(raw) >= EXPRESSION_MOST:
            raise error(f"its pattern is longer than {EXPRESSION_MOST - 1} bytes")
        try:
            pattern = translate(raw.decode())
        except ValueError as reason:
            raise error(f"{raw[:80].decode()!r}: {reason}") from None
        at = len(self._specs)
        self._specs.append(_Spec(kind, context))
        if pattern.literal:
            self._exact.setdefault(pattern.prefix.encode(), []).append(at)
        else:
            self._patterns.setdefault(kind, []).append(
                _compiled(at, raw.decode(), pattern, name, number)
            )


def _prefix(mount_point: str | bytes) -> bytes:
    """The prefix of the paths of a tree mounted at ``mount_point``; empty for ``/``."""
    raw = mount_point if isinstance(mount_point, bytes) else os.fsencode(mount_point)
    names = [name for name in raw.split(b"/") if name]
    if not raw.startswith(b"/") or b"." in names or b".." in names or b"\0" in raw:
        raise SpecError(
            "mount_point", f"{os.fsdecode(raw)!r} is not an absolute path without '.' and '..'"
        )
    return b"".join(b"/" + name for name in names)


class Substitutes:
    """Maps paths to the paths whose labels they get; the last match of each list is used."""

    def __init__(self, lists: Iterable[Iterable[tuple[bytes, bytes]]]) -> None:
        self._lists = [_Substitutions(one) for one in lists]
        self._above = {old[: old.rfind(b"/")] for one in self._lists for old in one.paths}
        """The parent directories of the listed paths."""
        self._folder: bytes | None = None
        self._substitute = b""
        self._plain = False

    def path(self, path: bytes) -> bytes:
        """The path whose label ``path`` gets."""
        cut = path.rfind(b"/")
        folder = path[:cut]
        if folder != self._folder:
            self._enter(folder)
        if self._plain:
            return self._substitute + path[cut:]
        return self._find(path)

    def _enter(self, folder: bytes) -> None:
        """Substitute a directory once for all its entries, unless one of them is listed."""
        self._folder = folder
        self._substitute = self._find(folder)
        self._plain = (
            folder not in self._above
            and self._substitute not in self._above
            and self._substitute != b"/"
        )

    def _find(self, path: bytes) -> bytes:
        for one in self._lists:
            path = one.path(path)
        return path


class _Substitutions:
    """One list of substitutions, looked up by prefixes of a path."""

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        self.paths: dict[bytes, tuple[int, bytes]] = {}
        """Path -> its index in the list, and its substitute."""
        for number, (old, new) in enumerate(pairs):
            self.paths[old] = number, new
        self._lengths = sorted({len(old) for old in self.paths})

    def path(self, path: bytes) -> bytes:
        """The substitute for ``path``, by the last match in the list."""
        best, end, new = -1, 0, b""
        for length in self._lengths:
            if length > len(path):
                break
            if path[length : length + 1] not in (b"/", b""):
                continue
            found = self.paths.get(path[:length])
            if found is not None and found[0] > best:
                (best, new), end = found, length
        if best < 0:
            return path
        rest = path[end:]
        return rest if new == b"/" and rest else new + rest


_KINDS_SHOWN = b", ".join(KINDS).decode()


class _Backtracking:
    """An expression that only ``re`` can match, perhaps by trying all ways to match."""

    def __init__(self, pattern: Translated, name: str | bytes, number: int, raw: str) -> None:
        """Raises :class:`SourceError` if the number of ways is unlimited."""
        # Of several alternatives, only the first is anchored at the start, the last at the end.
        expression = f"{pattern.expression}$"
        if pattern.alternatives:
            expression = f".*?(?:^{expression})"
        self._compiled = re.compile(expression.encode(), re.DOTALL)
        self._ways = pattern.ways
        self._line = name, number, raw
        self._check(2)

    def __call__(self, path: bytes) -> bool:
        self._check(len(path))
        return self._compiled.match(path) is not None

    def _check(self, length: int) -> None:
        if self._ways.number * length**self._ways.power > STEPS_MOST:
            name, number, raw = self._line
            raise SourceError(
                name,
                f"line {number}: {raw[:80]!r} could be tried in more than {STEPS_MOST:,} ways on a "
                f"path of {length} bytes; write it with fewer repeats, or without look-around and "
                "possessive repeats",
            )


def _compiled(at: int, raw: str, pattern: Translated, name: str | bytes, number: int) -> Pattern:
    """Compile ``^raw$`` as libselinux does; a bar outside groups thus separates the anchors."""
    rest: Expression | _Backtracking | None = pattern.rest
    simple = None
    if rest is None:
        rest = _Backtracking(pattern, name, number, raw)
    elif pattern.ways.power < 2 and pattern.ways.number <= WAYS_FEW and not pattern.alternatives:
        simple = rf"(?:{pattern.rest_for_re})\n?".encode()
    prefix, start = pattern.prefix, len(pattern.prefix)
    stem = _STEM.match(raw)
    if stem is not None and not prefix.startswith(stem[0]):
        prefix = stem[0]
    return Pattern(at, prefix.encode(), rest, simple, start)


def _substitutions(text: bytes) -> list[tuple[bytes, bytes]]:
    pairs = []
    for line in text.split(b"\n"):
        words = line.split()
        if len(words) > 1 and not words[0].startswith(b"#"):
            pairs.append((words[0], words[1]))
    return pairs


def _read_if_there(path: str) -> bytes | None:
    try:
        return read_document(path)
    except SourceError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise
