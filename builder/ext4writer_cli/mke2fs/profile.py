"""mke2fs.conf(5): the defaults of mke2fs 1.47, and files in that format.

Rules: e2fsprogs lib/support/profile.c:parse_line. The host's /etc/mke2fs.conf is not read, so that
the same command makes the same image everywhere; MKE2FS_CONFIG can name a file.
"""

from __future__ import annotations

import os
import re

from .numbers import floating, integer
from .refusal import Refusal

Node = dict[str, "list[str | Node]"]

# e2fsprogs misc/mke2fs.conf.in, without metadata_csum_seed and orphan_file, as in Debian 12.
_DEFAULTS = "base_features=sparse_super,large_file,filetype,resize_inode,dir_index,ext_attr;"
_DEFAULTS += "default_mntopts=acl,user_xattr;enable_periodic_fsck=0;blocksize=4096;"
_DEFAULTS += "inode_size=256;inode_ratio=16384"
_TYPES = {
    "ext3": "features=has_journal",
    "ext4": "features=has_journal,extent,huge_file,flex_bg,metadata_csum,64bit,dir_nlink,"
    "extra_isize",
    "small": "blocksize=1024;inode_ratio=4096",
    "floppy": "blocksize=1024;inode_ratio=8192",
    "big": "inode_ratio=32768",
    "huge": "inode_ratio=65536",
    "news": "inode_ratio=4096",
    "largefile": "inode_ratio=1048576;blocksize=-1",
    "largefile4": "inode_ratio=4194304;blocksize=-1",
    "hurd": "blocksize=4096;inode_size=128;warn_y2038_dates=0",
}

_YES = {"y", "yes", "true", "t", "1", "on"}
_NO = {"n", "no", "false", "nil", "0", "off"}


def _relations(text: str) -> Node:
    pairs = (line.partition("=") for line in text.split(";"))
    return {name: [value] for name, _, value in pairs}


class Profile:
    """The sections of one configuration; later files add to earlier ones."""

    def __init__(self, root: Node) -> None:
        self._root = root

    @classmethod
    def built_in(cls) -> Profile:
        """The defaults of mke2fs 1.47."""
        types: Node = {name: [_relations(text)] for name, text in _TYPES.items()}
        return cls({"defaults": [_relations(_DEFAULTS)], "fs_types": [types]})

    @classmethod
    def read(cls, path: str) -> Profile:
        """Read the configuration in a file, or in the files that get_dirlist finds in a directory.

        If the file does not exist, or the directory has no such files, return the built-in
        configuration, as mke2fs does. Raises :class:`Refusal` if a file cannot be read or parsed.
        """
        try:
            files = _files_of(path) if os.path.isdir(path) else [path]
            if not files:
                return cls.built_in()
            root: Node = {}
            for each in files:
                with open(each, encoding="utf-8", errors="surrogateescape") as file:
                    _parse(file.read().split("\n"), each, root)
        except FileNotFoundError:
            return cls.built_in()
        except OSError as error:
            raise Refusal(
                f"Couldn't init profile successfully ({path}: {error.strerror}).\n"
            ) from None
        return cls(root)

    def string(self, *names: str) -> str | None:
        """The first value at this path of nested sections, or None."""
        nodes: list[str | Node] = [self._root]
        for name in names:
            nodes = [
                value for node in nodes if isinstance(node, dict) for value in node.get(name, ())
            ]
        return next((node for node in nodes if isinstance(node, str)), None)

    def has_type(self, name: str) -> bool:
        """Whether there is a nonempty stanza of this name in ``fs_types``."""
        return any(
            isinstance(node, dict) and node
            for types in self._root.get("fs_types", ())
            if isinstance(types, dict)
            for node in types.get(name, ())
        )

    def option(self, name: str, default: int) -> int:
        """An integer of the section ``options``."""
        text = self.string("options", name) or ""
        negative = text.startswith("-")
        number = integer(text[negative:])
        return default if number is None else -number if negative else number

    # misc/mke2fs.c:get_string_from_profile and the like: the last type with a value wins.

    def text_for(self, types: list[str], name: str, default: str | None = None) -> str | None:
        for kind in reversed(types):
            found = self.string("fs_types", kind, name)
            if found is not None:
                return found
        found = self.string("defaults", name)
        return default if found is None else found

    def int_for(self, types: list[str], name: str, default: int) -> int:
        result = default
        for section in (("defaults",), *(("fs_types", kind) for kind in types)):
            text = self.string(*section, name)
            if text is not None:
                negative = text.startswith("-")
                number = integer(text[negative:])
                if number is not None:
                    result = -number if negative else number
        return result

    def float_for(self, types: list[str], name: str, default: float) -> float:
        result = default
        for section in (("defaults",), *(("fs_types", kind) for kind in types)):
            number = floating(self.string(*section, name) or "")
            result = result if number is None else number
        return result

    def bool_for(self, types: list[str], name: str, default: bool) -> bool:
        result = default
        for section in (("defaults",), *(("fs_types", kind) for kind in types)):
            text = (self.string(*section, name) or "").lower()
            result = True if text in _YES else False if text in _NO else result
        return result


def _files_of(folder: str) -> list[str]:
    """The files of a directory whose names have only letters, digits, - and _, sorted."""
    names = sorted(name for name in os.listdir(folder) if _OF_NAMES.issuperset(name))
    return list(filter(os.path.isfile, (os.path.join(folder, name) for name in names)))


_OF_NAMES = frozenset("-_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_SECTION = r"\[\s*(?:\"(?P<quoted>(?:[^\"\\]|\\.)*)\"|(?P<plain>[^\]]*[^\]\s]))\s*\]\*?"
_RELATION = r"(?:\"(?P<quoted>(?:[^\"\\]|\\.)*)\"|(?P<plain>[^\s=\"][^\s=]*))\s*=\s*"
_VALUE = r"(?:\"(?P<quoted>(?:[^\"\\]|\\.)*)\"|(?P<plain>[^\s\"]\S*))\s*"
_ESCAPES = {"n": "\n", "t": "\t", "b": "\b"}


def _parse(lines: list[str], path: str, root: Node) -> None:
    """Add the sections and relations in ``lines`` to ``root``."""
    stack: list[Node] = []
    wants_brace = started = False

    def fail(number: int, problem: str) -> Refusal:
        return Refusal(
            f"Syntax error in mke2fs config file ({path}, line #{number})\n\t{problem}\n"
        )

    for number, line in enumerate(lines, 1):
        text = line.strip()
        if wants_brace:
            if not text.startswith("{"):
                raise fail(number, "Missing open brace in profile")
            wants_brace = False
            continue
        if not started:
            # Everything before the first section is a comment.
            if not line.startswith("["):
                continue
            started = True
        if not text or text[0] in "#;":
            continue
        if text.startswith("["):
            if len(stack) > 1:
                raise fail(number, "Section header not at top level")
            header = re.match(_SECTION, text)
            if header is None or not _ends(text[header.end() :]):
                raise fail(number, "Syntax error in section header")
            stack = [_inside(root, _word(header))]
            continue
        if text.startswith("}"):
            if len(stack) < 2:
                raise fail(number, "Extra closing brace in profile")
            stack.pop()
            continue
        relation = re.match(_RELATION, text)
        if relation is None:
            raise fail(number, "Syntax error in profile relation")
        rest, name = text[relation.end() :], _word(relation)
        if _ends(rest) or (rest.startswith("{") and _ends(rest[1:].strip())):
            wants_brace = not rest.startswith("{")
            stack.append(_inside(stack[-1], name))
            continue
        value = re.match(_VALUE, rest)
        if value is None or not _ends(rest[value.end() :]):
            raise fail(number, "Syntax error in profile relation")
        stack[-1].setdefault(name, []).append(_word(value))


def _ends(rest: str) -> bool:
    """Whether only a comment follows."""
    return not rest or rest[0] in "#;"


def _word(matched: re.Match[str]) -> str:
    quoted = matched["quoted"]
    if quoted is None:
        return matched["plain"]
    return re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), quoted)


def _inside(parent: Node, name: str) -> Node:
    """The section ``name`` of ``parent``, created if missing."""
    for node in parent.setdefault(name, []):
        if isinstance(node, dict):
            return node
    made: Node = {}
    parent[name].append(made)
    return made
