"""Parses the output of debugfs and dumpe2fs into values."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from .tools import run

Times = dict[str, int]

_TIME = re.compile(
    r"^\s*(ctime|atime|mtime|crtime): 0x([0-9a-f]{8})(?::([0-9a-f]{8}))?", re.MULTILINE
)
_PAIR = re.compile(r"(\w[\w ]*?):\s+(\S+)")
_TREE_LINE = re.compile(
    r"^ *(\d+)/ *(\d+) +(\d+)/ *(\d+) +(\d+) *- *(\d+) +(\d+)(?: *- *(\d+))? +(\d+)( *Uninit)?",
    re.MULTILINE,
)

_LEAF_ENTRY = re.compile(
    r"(\d+) 0x[0-9a-f]{8}-[0-9a-f]{8} \(\d+\) (.*?)   (?=\d+ 0x|leaf block checksum|$)"
)


def quoted(path: bytes | str) -> str:
    """``path`` as one word of a debugfs command."""
    text = path if isinstance(path, str) else path.decode("utf-8", "surrogateescape")
    return '"' + text.replace('"', '""') + '"'


def debugfs(image: Path, *requests: str | bytes) -> str:
    """The output of debugfs for one or more requests; a line with the request precedes each."""
    lines = b"".join(
        (request if isinstance(request, bytes) else request.encode("utf-8", "surrogateescape"))
        + b"\n"
        for request in requests
    )
    output = run(["debugfs", "-f", "-", image], stdin=lines).stdout
    return output.partition("\n")[2]


@dataclass(frozen=True)
class Inode:
    """One inode as ``debugfs stat`` shows it."""

    ino: int
    kind: str
    mode: int
    flags: int
    uid: int
    gid: int
    size: int
    links: int
    blockcount: int
    times: Times
    """atime, ctime, mtime and crtime in nanoseconds since 1970; crtime may be missing."""
    text: str


def inode(image: Path, which: bytes | str | int) -> Inode:
    """The inode with this path or number."""
    name = f"<{which}>" if isinstance(which, int) else quoted(which)
    text = debugfs(image, f"stat {name}")
    pairs = {key.strip(): value for key, value in reversed(_PAIR.findall(text))}
    assert "Inode" in pairs, text
    return Inode(
        ino=int(pairs["Inode"]),
        kind=re.search(r"Type: (.*?)\s+Mode:", text)[1],  # type: ignore[index]
        mode=int(pairs["Mode"], 8),
        flags=int(pairs["Flags"], 16),
        uid=int(pairs["User"]),
        gid=int(pairs["Group"]),
        size=int(pairs["Size"]),
        links=int(pairs["Links"]),
        blockcount=int(pairs["Blockcount"]),
        times={
            name: _decode_time(int(low, 16), int(extra or "0", 16))
            for name, low, extra in _TIME.findall(text)
        },
        text=text,
    )


def _decode_time(low: int, extra: int) -> int:
    """Decode as in Documentation/filesystems/ext4/inodes.rst, "Inode Timestamps"."""
    signed = low - (1 << 32) if low & 0x80000000 else low
    return (signed + ((extra & 3) << 32)) * 10**9 + (extra >> 2)


@dataclass(frozen=True)
class TreeExtent:
    """One line of ``dump_extents``: an index or leaf entry at ``level`` of ``depth``."""

    level: int
    depth: int
    first: int
    last: int
    physical: int
    unwritten: bool

    @property
    def is_leaf(self) -> bool:
        return self.level == self.depth


def ex(image: Path, which: bytes | str | int) -> list[TreeExtent]:
    """The entire extent tree of a file, from ``dump_extents``."""
    name = f"<{which}>" if isinstance(which, int) else quoted(which)
    text = debugfs(image, f"dump_extents {name}")
    return [
        TreeExtent(
            level=int(match[1]),
            depth=int(match[2]),
            first=int(match[5]),
            last=int(match[6]),
            physical=int(match[7]),
            unwritten=match[10] is not None,
        )
        for match in _TREE_LINE.finditer(text)
    ]


@dataclass(frozen=True)
class Htree:
    """A hashed directory, from ``htree_dump``."""

    hash_version: int
    levels: int
    """With 1, the entries of the root point to leaves."""
    leaves: list[list[bytes]] = field(repr=False)
    """The names in each leaf, in the order of the index."""
    text: str = field(repr=False)


def htree(image: Path, which: bytes | str | int) -> Htree | None:
    """The index of a directory, or None if it has none.

    Names that contain a newline or three spaces are ambiguous in the dump.
    """
    name = f"<{which}>" if isinstance(which, int) else quoted(which)
    text = debugfs(image, f"htree_dump {name}")
    if "Not a hash-indexed directory" in text:
        return None
    version = re.search(r"Hash Version: (\d+)", text)
    levels = re.search(r"Indirect levels: (\d+)", text)
    assert version and levels, text
    leaves: list[list[bytes]] = []
    for line in text.splitlines():
        if line.startswith("Reading directory block"):
            leaves.append([])
        elif leaves:
            leaves[-1] += _leaf_names(line)
    return Htree(int(version[1]), int(levels[1]) + 1, leaves, text)


def _leaf_names(line: str) -> list[bytes]:
    found = _LEAF_ENTRY.findall(line)
    return [name.encode("utf-8", "surrogateescape") for ino, name in found if ino != "0"]


def dx_hash(name: bytes, version: str, seed: str | None = None) -> tuple[int, int]:
    """The directory hash of ``name`` (major, minor); ``seed`` is a UUID.

    ``name`` must not contain newlines or quotes, which the command line of debugfs does not pass
    on.
    """
    request = f"dx_hash -h {version} " + (f"-s {seed} " if seed else "") + quoted(name)
    output = run(["debugfs", "-f", "-"], stdin=request.encode("utf-8", "surrogateescape")).stdout
    match = re.search(r"is 0x([0-9a-f]+) \(minor 0x([0-9a-f]+)\)", output)
    assert match, output
    return int(match[1], 16), int(match[2], 16)


def logdump(image: Path, options: str = "-O") -> str:
    """debugfs' dump of the journal; ``-O`` also shows blocks that need no recovery."""
    return debugfs(image, f"logdump {options}")


def superblock(image: Path) -> dict[str, str]:
    """The output of ``dumpe2fs -h``, key to value."""
    output = run(["dumpe2fs", "-h", image]).stdout
    return {
        key.strip(): value.strip()
        for key, colon, value in (line.partition(":") for line in output.splitlines())
        if colon
    }


@dataclass(frozen=True)
class Group:
    """A block group as dumpe2fs lists it; ranges are (first, last), inclusive."""

    number: int
    blocks: tuple[int, int]
    flags: frozenset[str]
    backup: bool
    free_blocks: int
    free_inodes: int
    directories: int
    unused_inodes: int
    free_block_ranges: list[tuple[int, int]]
    free_inode_ranges: list[tuple[int, int]]


def groups(image: Path) -> list[Group]:
    """All block groups."""
    output = run(["dumpe2fs", image]).stdout
    parts = re.split(r"(?m)^Group (\d+): ", output)[1:]
    return [_group(int(parts[at]), parts[at + 1]) for at in range(0, len(parts), 2)]


def _group(number: int, text: str) -> Group:
    blocks = re.match(r"\(Blocks (\d+)-(\d+)\)(?: csum 0x[0-9a-f]+)?(?: \[(.*?)\])?", text)
    counts = re.search(r"(\d+) free blocks, (\d+) free inodes, (\d+) directories", text)
    unused = re.search(r"(\d+) unused inodes", text)
    assert blocks and counts, text
    free_blocks = re.search(r"(?m)^  Free blocks: (.*)$", text)
    free_inodes = re.search(r"(?m)^  Free inodes: (.*)$", text)
    return Group(
        number=number,
        blocks=(int(blocks[1]), int(blocks[2])),
        flags=frozenset((blocks[3] or "").replace(",", " ").split()),
        backup="Backup superblock" in text,
        free_blocks=int(counts[1]),
        free_inodes=int(counts[2]),
        directories=int(counts[3]),
        unused_inodes=int(unused[1]) if unused else 0,
        free_block_ranges=_ranges(free_blocks[1] if free_blocks else ""),
        free_inode_ranges=_ranges(free_inodes[1] if free_inodes else ""),
    )


def _ranges(text: str) -> list[tuple[int, int]]:
    return [
        (int(first), int(last or first)) for first, last in re.findall(r"(\d+)(?:-(\d+))?", text)
    ]
