"""Rules that give a glob what whole features are for: directories that ignore case, files
whose content is verified."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import SpecError
from ..inode_flags import FS_VERITY_FL, INODE_FLAGS
from ..tree import S_IFDIR, S_IFREG, Directory, Node
from .rules_set import Act, SetRule, parse_pattern

_BITS = {flag.name: flag.bit for flag in INODE_FLAGS}


def casefold(pattern: str, origin: str | None = None) -> SetRule:
    """Let the directories that ``pattern`` matches ignore case, and all directories below them.

    That is what the kernel gives directories that are made inside. Globs are those of
    :func:`~ext4writer.edit.rules_set.set_rule`. Raises :class:`SpecError` for one that is wrong.
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
    """Give the regular files that ``pattern`` matches a Merkle tree of fs-verity.

    Globs are as for :func:`casefold`, and so is what it raises.
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
