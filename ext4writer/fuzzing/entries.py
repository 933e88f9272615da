"""The files of a recipe; each is one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from ..arguments import ID_MOST
from ..content import BytesContent
from ..late_dataclasses import NamedTuple
from ..tree import RegularFile, Tree

LARGEST = 1 << 24
"""The maximum size of a file in a recipe, in bytes."""
MOST_NAMES = 5000
EMPTY = BytesContent(b"")
PERIOD = 251
"""Content repeats after this number of bytes, a prime, so neighbouring blocks differ."""


class Entry(NamedTuple):
    """One line: a kind, a path, and named numbers."""

    kind: str
    path: str
    numbers: Mapping[str, int]

    def __str__(self) -> str:
        words = [self.kind, self.path, *(f"{key}={value}" for key, value in self.numbers.items())]
        return " ".join(words)

    @classmethod
    def parse(cls, words: list[str]) -> Entry:
        """Parse the words of a line; raise ``ValueError`` if they are invalid."""
        if len(words) < 2 or words[0] not in KINDS:
            raise ValueError(f"{' '.join(words)!r} is not an entry; kinds: {', '.join(KINDS)}")
        kind, path, *rest = words
        if not path.startswith("/"):
            raise ValueError(f"{path!r} is not an absolute path")
        numbers = {}
        for word in rest:
            key, _, value = word.partition("=")
            if key not in KINDS[kind][1] or not (value.isascii() and value.isdigit()):
                known = ", ".join(f"{each}=N" for each in KINDS[kind][1])
                raise ValueError(f"{word!r} is invalid for {kind}; known: {known or 'none'}")
            numbers[key] = int(value)
        entry = cls(kind, path, numbers)
        entry.check()
        return entry

    def check(self) -> None:
        """Raise ``ValueError`` for a number above the maximum of its kind."""
        for name, number in self.numbers.items():
            most = KINDS[self.kind][1][name]
            if number > most:
                text = f"{name}={number} of {self.path} is too large; the maximum is {most}"
                raise ValueError(text)

    def add_to(self, tree: Tree) -> None:
        """Add the entry to ``tree``; raise ``ValueError`` for a number that is too large."""
        self.check()
        KINDS[self.kind][0](tree, self.path, self.numbers)


@lru_cache(maxsize=1024)
def _period(fill: int) -> bytes:
    return bytes((fill + step * step) % 256 for step in range(PERIOD))


def content(size: int, fill: int) -> bytes:
    """Return ``size`` bytes determined by ``fill``; zeros if it is 0."""
    if not fill:
        return bytes(size)
    once = _period(fill % 256)
    return (once * (size // PERIOD + 1))[:size]


def _attributes(numbers: Mapping[str, int]) -> dict[str, object]:
    given: dict[str, object] = {}
    if "mode" in numbers:
        given["mode"] = numbers["mode"]
    for name in ("uid", "gid"):
        if name in numbers:
            given[name] = numbers[name]
    if "mtime" in numbers:
        given["mtime_ns"] = numbers["mtime"] * 10**9
    if "xattr" in numbers:
        given["xattrs"] = {b"user.fuzz": content(numbers["xattr"], 5)}
    return given


def _directory(tree: Tree, path: str, numbers: Mapping[str, int]) -> None:
    directory = tree.directory(path, **_attributes(numbers))  # type: ignore[arg-type]
    length = max(numbers.get("length", 8), 5)
    # Bypass the checks of Tree: these names are valid, and there may be thousands.
    for number in range(numbers.get("names", 0)):
        directory.children[b"%0*d" % (length, number)] = RegularFile(EMPTY)


def _file(tree: Tree, path: str, numbers: Mapping[str, int]) -> None:
    data = content(numbers.get("size", 0), numbers.get("fill", 1))
    if hole := numbers.get("hole", 0):
        data += bytes(hole) + content(100, 7)
    tree.file(path, data, **_attributes(numbers))  # type: ignore[arg-type]


def _symlink(tree: Tree, path: str, numbers: Mapping[str, int]) -> None:
    tree.symlink(path, "t" * max(numbers.get("length", 10), 1))


def _device(tree: Tree, path: str, numbers: Mapping[str, int]) -> None:
    tree.device(path, "c", numbers.get("major", 1), numbers.get("minor", 3))


def _fifo(tree: Tree, path: str, numbers: Mapping[str, int]) -> None:
    tree.fifo(path, **_attributes(numbers))  # type: ignore[arg-type]


def _hard_link(tree: Tree, path: str, numbers: Mapping[str, int]) -> None:  # noqa: ARG001
    existing = next((old for old, node in tree.walk() if node.file_type == 0o100000), None)
    if existing is not None:
        tree.link(path, existing)


Maker = Callable[[Tree, str, Mapping[str, int]], None]
_SHARED = {
    "mode": 0o7777,
    "uid": ID_MOST,
    "gid": ID_MOST,
    "mtime": (1 << 34) - (1 << 31) - 1,  # ext4.h:ext4_encode_extra_time
    "xattr": 1 << 16,
}
KINDS: dict[str, tuple[Maker, Mapping[str, int]]] = {
    "dir": (_directory, {"names": MOST_NAMES, "length": 255, **_SHARED}),
    "file": (_file, {"size": LARGEST, "fill": 255, "hole": LARGEST, **_SHARED}),
    "symlink": (_symlink, {"length": 4095}),
    "device": (_device, {"major": (1 << 12) - 1, "minor": (1 << 20) - 1}),
    "fifo": (_fifo, _SHARED),
    "link": (_hard_link, {}),
}
"""Kind -> (function that creates the node, name of each number -> its maximum)."""
