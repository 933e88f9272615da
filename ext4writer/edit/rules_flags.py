"""Rules that set the inode flags of a feature by glob: casefolded directories, and files with
fs-verity."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import SpecError
from ..inode_flags import FS_VERITY_FL, INODE_FLAGS
from ..tree import S_IFDIR, S_IFREG, Directory, Node
from .rules_set import Act, SetRule, parse_pattern

_BITS = {flag.name: flag.bit for flag in INODE_FLAGS}


def casefold(pattern: str, origin: str | None = None) -> SetRule:
    """Make the directories that ``pattern`` matches, and all directories below them, ignore case.

    In the kernel, too, new directories inherit the flag. Globs are those of
    :func:`~ext4writer.edit.rules_set.set_rule`. Raises :class:`SpecError` for an invalid glob.
    """
    done: set[Directory] = set()

    def act(node: Node) -> None:
        assert isinstance(node, Directory)
        waiting = [node]
        while waiting:
            folder = waiting.pop()
            if folder not in done:
                done.add(folder)
                folder.flags |= _BITS["casefold"]
                waiting += [
                    child for child in folder.children.values() if isinstance(child, Directory)
                ]

    return _rule("casefold", pattern, origin, {S_IFDIR}, act)


def verity(pattern: str, origin: str | None = None) -> SetRule:
    """Give the regular files that ``pattern`` matches an fs-verity Merkle tree.

    Globs and errors are as for :func:`casefold`.
    """

    def act(node: Node) -> None:
        node.flags |= FS_VERITY_FL

    return _rule("verity", pattern, origin, {S_IFREG}, act)


def _rule(option: str, pattern: str, origin: str | None, kinds: Iterable[int], act: Act) -> SetRule:
    try:
        glob = parse_pattern(pattern)
    except ValueError as error:
        raise SpecError(option, str(error)) from None
    origin = origin or f"the rule {option} {pattern!r}"
    return SetRule(origin, pattern, glob, frozenset(kinds), (act,))
