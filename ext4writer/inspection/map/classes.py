"""The classes of blocks with separate colours: kinds of metadata, and classes of files."""

from __future__ import annotations

from collections.abc import Callable

from ...errors import display_path
from ...late_dataclasses import NamedTuple
from ...read import Image
from .. import usage
from ..usage import Use


class Class(NamedTuple):
    """Uses with one colour; ``light`` and ``dark`` are its values in the two themes."""

    label: str
    light: str
    dark: str


_METADATA = (
    (
        Class("superblock, descriptors", "#b3261e", "#ff7b72"),
        ("superblock", "descriptors", usage.BOOT),
    ),
    (Class("reserved descriptors", "#e3b8a0", "#7d4a35"), (usage.RESERVED,)),
    (Class("bitmaps", "#e07b00", "#ffa657"), ("block bitmap", "inode bitmap")),
    (Class("inode tables", "#7048c6", "#b392f0"), ("inode table",)),
    (Class("journal", "#8b8f98", "#868c96"), (usage.JOURNAL,)),
    (Class("directories", "#c2187a", "#f778ba"), (usage.DIRECTORY,)),
    (Class("extent trees, block maps", "#3d3d3d", "#e6e6e6"), (usage.TREE,)),
    (Class("attributes, links", "#8a6d1d", "#d9b44a"), (usage.XATTRS, usage.SYMLINK)),
    (Class("quota, orphans, mmp", "#5d4037", "#bc8f7a"), ("quota", "orphan file", "mmp")),
    (Class("rest of clusters in use", "#c9ced6", "#444c56"), (usage.REST,)),
    (Class("in use, no owner", "#ff0040", "#ff2b5e"), (usage.LOST, "bad blocks")),
    (Class("not in the image", "#fdeee9", "#2b1714"), (usage.MISSING,)),
)

_TONES = (
    *(
        ("#1f6fb4", "#4c9be8"),
        ("#5aa7d6", "#2f6fae"),
        ("#2a9d8f", "#3fc1b0"),
        ("#86c5e8", "#7cc4ff"),
    ),
    *(("#3d8b57", "#56b97a"), ("#7fc4a3", "#2c7f6b")),
)
_DIRECTORIES = (
    *(
        ("#1f6fb4", "#4c9be8"),
        ("#2a9d8f", "#3fc1b0"),
        ("#7fb800", "#a5d63f"),
        ("#86c5e8", "#2f6fae"),
    ),
    *(
        ("#3d8b57", "#2f8f57"),
        ("#b8a1e0", "#7f6bb3"),
        ("#d8a7c8", "#9a6a8b"),
        ("#c9c06a", "#8f8838"),
    ),
)
_STEPS = (
    *(
        ("#9ed0c6", "#1d5c5a"),
        ("#5fb0b7", "#2a8086"),
        ("#2f86a6", "#3fa9c9"),
        ("#22609a", "#86c9f0"),
    ),
    ("#16366f", "#d3ecff"),
)
_OTHER = ("#b4bcc8", "#5b6472")
_DIRECTORIES_MOST = len(_DIRECTORIES)

_SIZES = (16 << 10, 256 << 10, 4 << 20, 64 << 20)
_SIZE_LABELS = ("below 16 KiB", "below 256 KiB", "below 4 MiB", "below 64 MiB", "64 MiB and more")
_PIECES = (2, 4, 10, 100)
_PIECE_LABELS = ("in 1 piece", "in 2 or 3 pieces", "in 4 to 9", "in 10 to 99", "in 100 and more")

COLOURS = ("file", "directory", "size", "fragmentation")
"""The properties by which files can be coloured."""


class Classes:
    """The classes of one map, and the assignment of uses to them."""

    def __init__(self, image: Image, uses: list[Use], paths: dict[int, bytes], by: str) -> None:
        self.classes: list[Class] = [row for row, _ in _METADATA]
        self._of_kind = {
            kind: place for place, (_, kinds) in enumerate(_METADATA) for kind in kinds
        }
        self._of_ino: dict[int, int] = {}
        inos = sorted({use.ino for use in uses if use.kind == usage.DATA})
        makers: dict[str, Callable[[], None]] = {
            "file": lambda: self._by_file(inos),
            "directory": lambda: self._by_directory(inos, uses, paths),
            "size": lambda: self._by_size(image, inos),
            "fragmentation": lambda: self._by_fragmentation(inos, uses),
        }
        if by not in makers:
            raise ValueError(f"{by!r} is none of {', '.join(COLOURS)}")
        self.first_of_files = len(self.classes)
        makers[by]()
        self.free = len(self.classes)
        self.classes.append(Class(usage.FREE, "#eceff3", "#22272e"))

    def of(self, use: Use) -> int:
        """Return the class of a use, as an index of ``classes``."""
        if use.kind == usage.FREE:
            return self.free
        if use.kind == usage.DATA:
            return self._of_ino[use.ino]
        return self._of_kind[use.kind]

    def _add(self, labels: list[str], colours: tuple[tuple[str, str], ...]) -> None:
        self.classes += [
            Class(label, *colour) for label, colour in zip(labels, colours, strict=True)
        ]

    def _by_file(self, inos: list[int]) -> None:
        count = len(_TONES)
        self._add(["files, in alternating tones"] * count, _TONES)
        for place, ino in enumerate(inos):
            self._of_ino[ino] = self.first_of_files + place % count

    def _by_directory(self, inos: list[int], uses: list[Use], paths: dict[int, bytes]) -> None:
        tops = {ino: _top(paths.get(ino)) for ino in inos}
        blocks: dict[bytes, int] = {}
        for use in uses:
            if use.kind == usage.DATA:
                blocks[tops[use.ino]] = blocks.get(tops[use.ino], 0) + use.count
        largest = sorted(blocks, key=lambda top: (-blocks[top], top))[:_DIRECTORIES_MOST]
        names = {top: self.first_of_files + place for place, top in enumerate(largest)}
        self._add([display_path(top) for top in largest], _DIRECTORIES[: len(largest)])
        if len(blocks) > len(largest):
            self._add(["other directories"], (_OTHER,))
        for ino in inos:
            self._of_ino[ino] = names.get(tops[ino], self.first_of_files + len(largest))

    def _by_size(self, image: Image, inos: list[int]) -> None:
        self._add([f"files {label}" for label in _SIZE_LABELS], _STEPS)
        for ino in inos:
            size = image.inode(ino).size
            self._of_ino[ino] = self.first_of_files + sum(size >= least for least in _SIZES)

    def _by_fragmentation(self, inos: list[int], uses: list[Use]) -> None:
        self._add([f"files {label}" for label in _PIECE_LABELS], _STEPS)
        pieces = dict.fromkeys(inos, 0)
        before: dict[int, Use] = {}
        for use in uses:
            if use.kind == usage.DATA:
                last = before.get(use.ino)
                # An extent has at most 32,768 blocks; a contiguous next extent is the same piece.
                if last is None or (last.end, last.logical + last.count) != (
                    use.first,
                    use.logical,
                ):
                    pieces[use.ino] += 1
                before[use.ino] = use
        for ino, count in pieces.items():
            self._of_ino[ino] = self.first_of_files + sum(count >= least for least in _PIECES)


def _top(path: bytes | None) -> bytes:
    if path is None:
        return b"files without a path"
    first, slash, _ = path[1:].partition(b"/")
    return b"/" + first + slash if slash else b"/ itself"
