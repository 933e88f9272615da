"""The files of a recipe, one line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from ..arguments import ID_MOST
from ..content import BytesContent
from ..late_dataclasses import NamedTuple
from ..tree import RegularFile, Tree

LARGEST = 1 << 24
"""Bytes of one file of a recipe."""
MOST_NAMES = 5000
EMPTY = BytesContent(b"")
PERIOD = 251
"""Content repeats after this many bytes, a prime, so that no two blocks are equal."""


class Entry(NamedTuple):
    """One line: a kind, a path, and numbers by name."""

    kind: str
    path: str
    numbers: Mapping[str, int]

    def __str__(self) -> str:
        words = [self.kind, self.path, *(f"{key}={value}" for key, value in self.numbers.items())]
        return " ".join(words)

    @classmethod
    def parse(cls, words: list[str]) -> Entry:
        """Read the words of a line; ``ValueError`` with a reason."""
        if len(words) < 2 or words[0] not in KINDS:
            raise ValueError(f"{' '.join(words)!r} is no entry; kinds are {', '.join(KINDS)}")
        kind, path, *rest = words
        if not path.startswith("/"):
            raise ValueError(f"{path!r} is no path from the root")
        numbers = {}
        for word in rest:
            key, _, value = word.partition("=")
            if key not in KINDS[kind][1] or not (value.isascii() and value.isdigit()):
                known = ", ".join(f"{each}=N" for each in KINDS[kind][1])
                raise ValueError(f"{word!r} means nothing for {kind}; there are {known}")
            numbers[key] = min(int(value), 1 << 63)
        return cls(kind, path, numbers)

    def add_to(self, tree: Tree) -> None:
        """Make the entry in ``tree``."""
        KINDS[self.kind][0](tree, self.path, self.numbers)


@lru_cache(maxsize=1024)
def _period(fill: int) -> bytes:
    return bytes((fill + step * step) % 256 for step in range(PERIOD))


def content(size: int, fill: int) -> bytes:
    """``size`` bytes that follow from ``fill``; zeros for 0."""
    if not fill:
        return bytes(size)
    once = _period(fill % 256)
    return (once * (size // PERIOD + 1))[:size]


def _attributes(numbers: Mapping[str, int]) -> dict[str, object]:
    given: dict[str, object] = {}
    if "mode" in numbers:
        given["mode"] = numbers["mode"] & 0o7777
    for name in ("uid", "gid"):
        if name in numbers:
            given[name] = min(numbers[name], ID_MOST)
    if "mtime" in numbers:
        given["mtime_ns"] = min(numbers["mtime"], (1 << 34) - (1 << 31) - 1) * 10**9
    if "xattr" in numbers:
        given["xattrs"] = {b"user.fuzz": content(min(numbers["xattr"], 1 << 16), 5)}
    return given


def _directory(tree: Tree, path: str, numbers: Mapping[str, int]) -> None:
    directory = tree.directory(path, **_attributes(numbers))  # type: ignore[arg-type]
    length = min(max(numbers.get("length", 8), 5), 255)
    # Straight into the directory, as these names are right and there may be thousands.
    for number in range(min(numbers.get("names", 0), MOST_NAMES)):
        directory.children[b"%0*d" % (length, number)] = RegularFile(EMPTY)


def _file(tree: Tree, path: str, numbers: Mapping[str, int]) -> None:
    size = min(numbers.get("size", 0), LARGEST)
    data = content(size, numbers.get("fill", 1))
    hole = min(numbers.get("hole", 0), LARGEST)
    if hole:
        data += bytes(hole) + content(100, 7)
    tree.file(path, data, **_attributes(numbers))  # type: ignore[arg-type]


def _symlink(tree: Tree, path: str, numbers: Mapping[str, int]) -> None:
    tree.symlink(path, "t" * min(max(numbers.get("length", 10), 1), 4095))


def _device(tree: Tree, path: str, numbers: Mapping[str, int]) -> None:
    tree.device(
        path, "c", min(numbers.get("major", 1), 4095), min(numbers.get("minor", 3), 1 << 20 - 1)
    )


def _fifo(tree: Tree, path: str, numbers: Mapping[str, int]) -> None:
    tree.fifo(path, **_attributes(numbers))  # type: ignore[arg-type]


def _hard_link(tree: Tree, path: str, numbers: Mapping[str, int]) -> None:  # noqa: ARG001
    existing = next((old for old, node in tree.walk() if node.file_type == 0o100000), None)
    if existing is not None:
        tree.link(path, existing)


Maker = Callable[[Tree, str, Mapping[str, int]], None]
_SHARED = ("mode", "uid", "gid", "mtime", "xattr")
KINDS: dict[str, tuple[Maker, tuple[str, ...]]] = {
    "dir": (_directory, ("names", "length", *_SHARED)),
    "file": (_file, ("size", "fill", "hole", *_SHARED)),
    "symlink": (_symlink, ("length",)),
    "device": (_device, ("major", "minor")),
    "fifo": (_fifo, _SHARED),
    "link": (_hard_link, ()),
}
"""Kind -> what makes it, and the names of its numbers."""
