"""Hypothesis strategies for trees and for the options of an image."""

from __future__ import annotations

import struct
from typing import Literal
from uuid import UUID

from hypothesis import strategies as st

from ext4writer import (
    DEFAULT_FEATURES,
    BlockDevice,
    CharacterDevice,
    Directory,
    FeatureSet,
    Fifo,
    Node,
    RegularFile,
    Socket,
    Spec,
    SpecError,
    Symlink,
    Tree,
)
from ext4writer.content import BytesContent

NANOSECONDS = 10**9
KIB = 1024
MIB = 1024 * KIB

ID_MAX = (1 << 32) - 2
"""The kernel uses the highest number for "no owner"."""

TIME_FIRST = -(1 << 31)
TIME_LAST = (1 << 34) - (1 << 31) - 1

MAJOR_MAX = (1 << 12) - 1
MINOR_MAX = (1 << 20) - 1

# -- names and paths -----------------------------------------------------------------------------

NAME_BYTES = [byte for byte in range(1, 256) if byte != ord("/")]


def names() -> st.SearchStrategy[bytes]:
    """One component of a path: 1 to 255 arbitrary bytes, often ones that trip readers."""
    any_bytes = st.lists(st.sampled_from(NAME_BYTES), min_size=1, max_size=12).map(bytes)
    length = st.sampled_from([1, 2, 3, 4, 5, 8, 11, 12, 13, 100, 251, 252, 253, 254, 255])
    sized = st.builds(lambda size, byte: bytes([byte]) * size, length, st.sampled_from(NAME_BYTES))
    tricky = st.sampled_from(
        [
            b"a", b"A", b"README", b"readme", b"ReadMe", b"\xff\xfe", b"\xc3\xa4", b"a\xcc\x88",
            b"new\nline", b"tab\t", b" ", b"  lead", b"trail ", b"...", b"..a", b".hidden", b"-rf",
            b'quo"te', b"back\\slash", b"\x01", b"\x7f", b"\x80", b"star*", b"lost+found",
        ]
    )  # fmt: skip
    text = st.text(min_size=1, max_size=20).map(lambda word: word.encode("utf-8", "ignore"))
    return st.one_of(any_bytes, sized, tricky, text).filter(_is_name)


def _is_name(name: bytes) -> bool:
    return (
        0 < len(name) <= 255
        and name not in (b".", b"..")
        and b"/" not in name
        and b"\0" not in name
    )


# -- metadata ------------------------------------------------------------------------------------


def times() -> st.SearchStrategy[int]:
    """Nanoseconds since 1970, between the years 1901 and 2446, often near the boundaries."""
    turns = [
        TIME_FIRST, -1, 0, 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 1_700_000_000,
        (1 << 32) + (1 << 31), 3 * (1 << 32), TIME_LAST,
    ]  # fmt: skip
    seconds = st.one_of(st.sampled_from(turns), st.integers(TIME_FIRST, TIME_LAST))
    nanoseconds = st.one_of(
        st.sampled_from([0, 1, NANOSECONDS - 1]), st.integers(0, NANOSECONDS - 1)
    )
    return st.builds(lambda second, nano: second * NANOSECONDS + nano, seconds, nanoseconds)


def ids() -> st.SearchStrategy[int]:
    """Owners and groups."""
    turns = [0, 1, 1000, 65533, 65534, 65535, 65536, (1 << 31) - 1, 1 << 31, ID_MAX]
    return st.one_of(st.sampled_from(turns), st.integers(0, ID_MAX))


def modes() -> st.SearchStrategy[int]:
    """The twelve permission bits."""
    return st.one_of(
        st.sampled_from([0, 0o644, 0o755, 0o1777, 0o2755, 0o4755, 0o7777]), st.integers(0, 0o7777)
    )


def acls() -> st.SearchStrategy[bytes]:
    """Access control lists in the form of the system call (linux/posix_acl_xattr.h)."""
    permissions = st.integers(0, 7)
    named = st.dictionaries(st.integers(0, ID_MAX), permissions, max_size=6)

    def build(
        basic: tuple[int, int, int, int], users: dict[int, int], groups: dict[int, int]
    ) -> bytes:
        undefined = 0xFFFFFFFF
        entries = [(0x01, basic[0], undefined)]
        entries += [(0x02, users[uid], uid) for uid in sorted(users)]
        entries.append((0x04, basic[1], undefined))
        entries += [(0x08, groups[gid], gid) for gid in sorted(groups)]
        if users or groups:
            entries.append((0x10, basic[2], undefined))
        entries.append((0x20, basic[3], undefined))
        return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)

    basic = st.tuples(permissions, permissions, permissions, permissions)
    return st.builds(build, basic, named, named)


CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)
"""security.capability: cap_net_bind_service=ep (linux/capability.h, revision 2)."""


def xattr_values() -> st.SearchStrategy[bytes]:
    """Values: empty, small, filling the space in an inode, or too large for it."""
    sizes = st.sampled_from([0, 1, 3, 4, 5, 16, 31, 32, 60, 76, 80, 84, 88, 92, 100, 200, 400])
    return st.one_of(
        st.binary(max_size=24), st.builds(lambda size, byte: bytes([byte]) * size, sizes, _byte())
    )


def _byte() -> st.SearchStrategy[int]:
    return st.integers(0, 255)


@st.composite
def xattrs(
    draw: st.DrawFn, *, directory: bool = False, special: bool = False
) -> dict[bytes, bytes]:
    """Attributes that the kernel accepts for such a file; ``special``: no file or directory.

    Together they take at most 700 bytes, and so fit the smallest block.
    """
    suffix = st.one_of(
        st.sampled_from([b"a", b"b", b"note", b"mime_type", b"x" * 30]),
        st.binary(min_size=1, max_size=8).filter(lambda name: b"\0" not in name),
    )
    prefixes = [b"trusted.", b"security."] + ([] if special else [b"user."])
    plain = st.dictionaries(
        st.builds(lambda prefix, name: prefix + name, st.sampled_from(prefixes), suffix),
        xattr_values(),
        max_size=4,
    )
    found = draw(plain)
    found.pop(b"security.capability", None)
    if draw(st.integers(0, 5)) == 0:
        found[b"security.selinux"] = b"system_u:object_r:etc_t:s0\0"
    if not special and not directory and draw(st.integers(0, 5)) == 0:
        found[b"security.capability"] = CAPABILITY
    if not special and draw(st.integers(0, 3)) == 0:
        found[b"system.posix_acl_access"] = draw(acls())
    if directory and draw(st.integers(0, 3)) == 0:
        found[b"system.posix_acl_default"] = draw(acls())
    total = 0
    kept = {}
    for name in sorted(found):
        total += 16 + len(name) + 3 + len(found[name]) + 3
        if total > 700:
            break
        kept[name] = found[name]
    return kept


@st.composite
def attributes(
    draw: st.DrawFn, *, directory: bool = False, special: bool = False
) -> dict[str, object]:
    """The keyword arguments for a node."""
    if draw(st.integers(0, 2)) == 0:
        return {"mtime_ns": 1_700_000_000 * NANOSECONDS}
    maybe_time = st.one_of(st.none(), times())
    return {
        "mode": draw(modes()),
        "uid": draw(ids()),
        "gid": draw(ids()),
        "mtime_ns": draw(times()),
        "atime_ns": draw(maybe_time),
        "ctime_ns": draw(maybe_time),
        "crtime_ns": draw(maybe_time),
        "xattrs": draw(st.one_of(st.none(), xattrs(directory=directory, special=special))),
    }


# -- content -------------------------------------------------------------------------------------

SIZES = sorted(
    {0, 1, 59, 60, 61, 255, 700, 64 * KIB, 100_000, 300_000}
    | {size + delta for size in (KIB, 2 * KIB, 4 * KIB, 8 * KIB, 12 * KIB) for delta in (-1, 0, 1)}
)


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """The bytes of a file: noise, or runs of noise and zeros that begin and end near blocks."""
    shape = draw(st.integers(0, 3))
    if shape == 0:
        return draw(st.binary(max_size=300))
    if shape == 1:
        size = draw(st.sampled_from(SIZES))
        return (b"%d bytes of content\n" % size * (size // 16 + 1))[:size]
    if shape == 2:
        return bytes(draw(st.sampled_from(SIZES)))
    pieces = draw(
        st.lists(
            st.tuples(st.booleans(), st.sampled_from([1, 100, KIB, 4 * KIB, 20 * KIB, 64 * KIB])),
            min_size=1,
            max_size=6,
        )
    )
    return b"".join((b"\xa5" if noisy else b"\0") * size for noisy, size in pieces)


def targets() -> st.SearchStrategy[bytes]:
    """Targets of symbolic links that fit the smallest block."""
    sizes = st.sampled_from([1, 2, 58, 59, 60, 61, 62, 255, 256, 1000, 1023])
    return st.one_of(
        st.builds(lambda size, byte: bytes([byte]) * size, sizes, st.sampled_from(NAME_BYTES)),
        st.binary(min_size=1, max_size=40).filter(lambda target: b"\0" not in target),
        st.sampled_from([b"/", b"..", b"../../up", b"/absolute/path", b"dangling"]),
    )


# -- trees ---------------------------------------------------------------------------------------


@st.composite
def nodes(draw: st.DrawFn) -> Node:
    """A node of any kind; directories are empty."""
    kind = draw(st.integers(0, 9))
    if kind <= 3:
        common = draw(attributes())
        return RegularFile(BytesContent(draw(contents())), **common)  # type: ignore[arg-type]
    if kind <= 5:
        common = draw(attributes(directory=True))
        return Directory(**common)  # type: ignore[arg-type]
    common = draw(attributes(special=True))
    if kind <= 7:
        common.pop("mode", None)
        return Symlink(draw(targets()), **common)  # type: ignore[arg-type]
    if kind == 8:
        numbers = draw(device_numbers())
        make = draw(st.sampled_from([CharacterDevice, BlockDevice]))
        return make(*numbers, **common)  # type: ignore[arg-type]
    common.setdefault("mode", 0o644)
    return draw(st.sampled_from([Fifo, Socket]))(**common)  # type: ignore[arg-type]


def device_numbers() -> st.SearchStrategy[tuple[int, int]]:
    """Major and minor numbers, for the old encoding and the new one."""
    majors = st.one_of(st.sampled_from([0, 1, 255, 256, MAJOR_MAX]), st.integers(0, MAJOR_MAX))
    minors = st.one_of(st.sampled_from([0, 1, 255, 256, MINOR_MAX]), st.integers(0, MINOR_MAX))
    return st.tuples(majors, minors)


@st.composite
def trees(draw: st.DrawFn, *, max_nodes: int = 25) -> Tree:
    """A tree: nodes in random directories, hard links, and sometimes a large directory."""
    common = draw(attributes(directory=True))
    tree = Tree(Directory(**common))  # type: ignore[arg-type]
    directories = [tree.root]
    linkable: list[Node] = []
    for _ in range(draw(st.integers(0, max_nodes))):
        parent = directories[draw(st.integers(0, len(directories) - 1))]
        name = draw(names())
        if name in parent.children:
            continue
        if parent is tree.root and name == b"lost+found":
            parent.children[name] = Directory(mode=0o700)
            continue
        if linkable and draw(st.integers(0, 5)) == 0:
            parent.children[name] = draw(st.sampled_from(linkable))
            continue
        node = draw(nodes())
        parent.children[name] = node
        if isinstance(node, Directory):
            directories.append(node)
        else:
            linkable.append(node)
    if draw(st.integers(0, 9)) == 0:
        _fill(directories[-1], draw(st.sampled_from([30, 60, 200, 1000])))
    return tree


def _fill(directory: Directory, count: int) -> None:
    """Add enough files that the directory needs more than one block."""
    shared = RegularFile(BytesContent(b""), mtime_ns=0)
    for number in range(count):
        name = b"file number %05d" % number
        if name not in directory.children:
            directory.children[name] = shared if number % 3 else RegularFile(BytesContent(b""))


# -- options -------------------------------------------------------------------------------------

OPTIONAL_FEATURES = [
    "has_journal",
    "resize_inode",
    "dir_index",
    "64bit",
    "flex_bg",
    "large_file",
    "huge_file",
    "dir_nlink",
    "extra_isize",
    "metadata_csum",
]
"""Features that an image may lack; sparse_super is needed by resize_inode."""

NEED_A_JOURNAL = ("fast_commit", "orphan_file")
"""Features that create files without a name."""


@st.composite
def feature_sets(draw: st.DrawFn) -> FeatureSet:
    """The default features, or these with some removed or added."""
    if draw(st.booleans()):
        return DEFAULT_FEATURES
    features = DEFAULT_FEATURES.without(*draw(st.sets(st.sampled_from(OPTIONAL_FEATURES))))
    if "metadata_csum" in features:
        if draw(st.booleans()):
            features = features.with_("metadata_csum_seed")
    elif draw(st.booleans()):
        features = features.with_("uninit_bg")
    try:
        features.check()
    except SpecError:
        return DEFAULT_FEATURES
    return features


@st.composite
def specs(draw: st.DrawFn, *, fixed_sizes: bool = True) -> Spec:
    """Options of an image, for any tree of :func:`trees`."""
    block_size = draw(st.sampled_from([1024, 2048, 4096]))
    sizes = [128, 256, 256, 512, 1024, block_size]
    inode_size = draw(st.sampled_from(sizes))
    features = draw(feature_sets())
    if inode_size == 128:
        features = features.without("extra_isize")
    else:
        features = features.with_(*draw(st.sets(st.sampled_from(["inline_data", "ea_inode"]))))
    journal: int | Literal["auto", "none"] = "auto"
    if "has_journal" in features:
        journals: list[int | Literal["auto", "none"]] = ["auto", "auto", "none", 1024 * block_size]
        journal = draw(st.sampled_from(journals))
        if journal != "none":
            features = features.with_(*draw(st.sets(st.sampled_from(NEED_A_JOURNAL))))
    fixed = fixed_sizes and draw(st.booleans())
    grow_to = 1 << 30 if "resize_inode" in features else 0
    return Spec(
        size=draw(st.sampled_from([24 * MIB, 64 * MIB, 200 * MIB])) if fixed else None,
        # The promised free space must fit into a given size.
        free=draw(st.sampled_from([None, 0, 64 * KIB] if fixed else [0, 1, 16 * MIB, 40 * MIB])),
        free_inodes=draw(st.sampled_from([None, None, 0, 1, 1000])),
        grow_to=draw(st.sampled_from([None, None, 0, grow_to])),
        grow_at_least=draw(st.sampled_from([0, 0, 1 << 42])),
        inode_ratio=draw(st.sampled_from([None, None, 0, 16 * KIB, 64 * KIB])),
        align=None if fixed else draw(st.sampled_from([None, None, MIB, 3 * MIB])),
        reserved_percent=draw(st.sampled_from([0.0, 0.0, 5.0])),
        label=draw(st.binary(max_size=16).filter(lambda label: b"\0" not in label)),
        uuid=draw(st.one_of(st.none(), st.uuids())),
        hash_seed=draw(st.one_of(st.none(), st.just(UUID(int=0)), st.uuids())),
        block_size=block_size,
        inode_size=inode_size,
        features=features,
        journal=journal,
        epoch=draw(st.sampled_from([None, None, 1_700_000_000, (1 << 32) - 1])),
        hole_size=draw(st.sampled_from([64 * KIB, 64 * KIB, 0, 1, 4 * KIB])),
        leading_hole=draw(st.booleans()),
        lost_and_found=draw(st.booleans()),
        groups_per_flex=draw(st.sampled_from([16, 1, 4])),
    )


def describe(tree: Tree) -> str:
    """One line for each path of ``tree``, for reports of failing examples."""
    return "\n".join(f"{path!r} {_describe(node)}" for path, node in tree.walk())


def _describe(node: Node) -> str:
    names = ("mode", "uid", "gid", "mtime_ns", "atime_ns", "ctime_ns", "crtime_ns", "xattrs")
    values = {name: getattr(node, name) for name in names}
    shown = " ".join(f"{name}={value!r}" for name, value in values.items() if value)
    what = type(node).__name__
    if isinstance(node, RegularFile):
        what += f" of {node.content.size} bytes"
    elif isinstance(node, Symlink):
        what += f" to {node.target!r}"
    return f"{what} {shown}"


def tables(words: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    """Texts of up to five lines of ``words``, and some that are no table at all."""
    lines = st.lists(st.lists(words, max_size=11).map(" ".join), max_size=5)
    return st.one_of(st.binary(max_size=60), lines.map(lambda each: "\n".join(each).encode()))
