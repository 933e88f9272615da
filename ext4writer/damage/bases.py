"""The images that the catalogue damages: small ones, each with structures that others lack."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from ..emit.copying import write_ascending
from ..emit.data import copy_jobs
from ..emit.metadata import coalesced, metadata_pieces
from ..late_dataclasses import dataclass
from ..output.opening import open_sink
from ..planning.planner import plan_image
from ..planning.policy import LayoutPolicy
from ..planning.spec import Spec
from ..planning.states.journal import JournalRoom, JournalState, Transaction, Write
from ..tree import Tree

BLOCK = 1024
_MODERN = (
    "ext_attr,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,"
    "dir_nlink,extra_isize,metadata_csum"
)
"""mke2fs's features for ext4, without the journal and the resize inode."""


@dataclass(frozen=True)
class Base:
    """A named combination of a tree and a Spec."""

    name: str
    about: str
    tree: Callable[[], Tree]
    spec: Spec

    def image(self) -> bytes:
        """Return the image without corruption."""
        return _image(self)


@cache
def _image(base: Base) -> bytes:
    plan = plan_image(base.tree(), base.spec)
    image = bytearray()
    with open_sink(image, plan.size_bytes, block_size=plan.block_size) as sink:
        pieces = coalesced(metadata_pieces(plan))
        write_ascending(sink, pieces, copy_jobs(plan), cluster_size=plan.format.cluster_size)
        sink.finish()
    return bytes(image)


def _runs(count: int) -> bytes:
    """Return ``count`` blocks of content, each followed by a hole."""
    return (b"\xa5" * BLOCK + bytes(BLOCK)) * count


def _tree() -> Tree:
    """Files of every kind, and directories of every form."""
    tree = Tree()
    tree.directory("/etc")
    tree.file("/etc/hosts", b"127.0.0.1 localhost\n", xattrs={"user.note": b"inside"})
    tree.file("/etc/passwd", b"root:x:0:0\n")
    tree.directory("/etc/sub")
    tree.directory("/etc/sub/low")
    tree.file("/shared1", b"1" * 1500, xattrs={"user.big": b"v" * 300, "user.small": b"1"})
    tree.file("/shared2", b"2" * 1500, xattrs={"user.big": b"v" * 300, "user.small": b"1"})
    tree.file("/flat", _runs(3))
    tree.file("/wide", _runs(20))
    tree.file("/long", b"l" * 14 * BLOCK)
    tree.file("/empty", b"")
    tree.symlink("/fast", "target")
    tree.symlink("/slow", "s" * 200)
    tree.device("/tty", "c", 5, 1)
    tree.device("/disk", "b", 8, 1)
    tree.fifo("/fifo")
    tree.socket("/socket")
    tree.link("/linked", "/etc/passwd")
    tree.directory("/many")
    for number in range(40):
        tree.link(f"/many/{number:0100}", "/empty")
    return tree


def _deep_tree() -> Tree:
    """A file whose extent tree has two levels of blocks, and an index with inner nodes."""
    tree = Tree()
    tree.file("/deep", _runs(400))
    tree.file("/empty", b"")
    tree.directory("/most")
    for number in range(520):
        tree.link(f"/most/{number:0200}", "/empty")
    return tree


def _mapped_tree() -> Tree:
    """Files whose block maps need indirect and double indirect blocks."""
    tree = _tree()
    tree.file("/indirect", b"i" * 20 * BLOCK)
    tree.file("/double", _runs(300))
    return tree


def _inline_tree() -> Tree:
    tree = Tree()
    tree.file("/tiny", b"tiny")
    tree.file("/inside", b"i" * 100)
    tree.file("/outside", b"o" * 3000)
    tree.directory("/d")
    tree.file("/d/a", b"a")
    tree.directory("/d/e")
    tree.directory("/wide")
    for number in range(5):
        tree.file(f"/wide/{number:016}", b"")
    tree.symlink("/link", "l" * 90)
    return tree


def _owned_tree() -> Tree:
    tree = _tree()
    tree.file("/owned", b"o" * 2000, uid=1000, gid=1000)
    return tree


def _folded_tree() -> Tree:
    tree = Tree()
    tree.directory("/folded", flags="casefold")
    tree.file("/folded/Name", b"n")
    tree.file("/folded/other", b"o")
    tree.directory("/plain")
    tree.file("/plain/a", b"a")
    tree.directory("/many", flags="casefold")
    for number in range(40):
        tree.file(f"/many/{number:0100}", b"")
    return tree


def _locked_tree() -> Tree:
    tree = Tree()
    tree.directory("/vault")
    tree.directory("/plain")
    tree.file("/plain/a", b"a")
    tree.directory("/plain/b")
    return tree


def _verity_tree() -> Tree:
    tree = Tree()
    tree.file("/sealed", bytes(range(256)) * 20, flags="verity")
    tree.file("/plain", b"p")
    return tree


def _valued_tree() -> Tree:
    """Attribute values in separate inodes; two files share one."""
    tree = Tree()
    tree.file("/one", b"1", xattrs={"user.large": b"v" * 3000})
    tree.file("/two", b"2", xattrs={"user.large": b"v" * 3000, "user.small": b"s"})
    tree.file("/three", b"3", xattrs={"user.other": b"w" * 5000})
    tree.file("/plain", b"p")
    tree.directory("/d")
    return tree


def _clustered_tree() -> Tree:
    """Files of less than one cluster, and of several clusters."""
    tree = Tree()
    tree.file("/short", b"s" * 500)
    tree.file("/long", b"l" * 40 * BLOCK)
    tree.file("/holes", (b"h" * BLOCK + bytes(31 * BLOCK)) * 6)
    tree.directory("/d")
    tree.file("/d/a", b"a" * 3 * BLOCK)
    return tree


class _Pending(LayoutPolicy):
    """Leaves three transactions whose blocks were also written in place: replay changes nothing.

    The first begins at block 2 of the journal and contains inode tables and directories. The second
    contains a revoke of a data block, bitmaps and descriptors; the third contains the superblock.
    """

    name = "pending"

    def journal_state(self, room: JournalRoom) -> JournalState:
        def writes(*kinds: str) -> tuple[Write, ...]:
            return tuple(Write(each.number) for each in room.blocks if each.kind in kinds)

        data = next(each.number for each in room.blocks if each.kind == "data")
        return JournalState(
            (
                Transaction((Write(data, "older"), *writes("inode_table", "directory"))),
                Transaction(writes("bitmap", "group_desc"), (data,)),
                Transaction(writes("superblock")),
            )
        )


def _spec(features: str = "", **options: object) -> Spec:
    wanted = f"none,{_MODERN},{features}".rstrip(",")
    if "size" not in options:
        options["free"] = 100 * BLOCK
    return Spec(features=wanted, block_size=BLOCK, hole_size=1, **options)  # type: ignore[arg-type]


BASES: tuple[Base, ...] = (
    Base("plain", "ext4 without a journal", _tree, _spec()),
    Base("deep", "trees with several levels", _deep_tree, _spec()),
    Base("journal", "a journal and a resize inode", _tree, _spec(
        "has_journal,resize_inode", size="3M", journal="1M")),
    Base("pending", "transactions in a journal", _tree, _spec(
        "has_journal", size="3M", journal="1M", policy=_Pending())),
    Base("groups", "four block groups with backups", _tree, _spec("resize_inode", size="26M")),
    Base("mapped", "ext2 with block maps", _mapped_tree, Spec(
        type="ext2", block_size=BLOCK, free=100 * BLOCK, hole_size=1)),
    Base("uninit", "only descriptors have checksums", _tree, Spec(
        features="none," + _MODERN.replace("metadata_csum", "uninit_bg"), block_size=BLOCK,
        size="26M", hole_size=1)),
    Base("inline", "data and directories in inodes", _inline_tree, _spec("inline_data")),
    Base("quota", "user, group and project quota", _owned_tree, _spec("quota,project")),
    Base("orphan", "an orphan file", _tree, _spec(
        "has_journal,orphan_file", size="3M", journal="1M")),
    Base("mmp", "multi-mount protection", _tree, _spec("mmp")),
    Base("folded", "casefolded directories", _folded_tree, _spec("casefold")),
    Base("locked", "an encrypted directory", _locked_tree, _spec(
        "encrypt", encryption_policies={"/vault": "0" * 32})),
    Base("verity", "a Merkle tree after the data", _verity_tree, _spec("verity")),
    Base("meta_bg", "descriptors in their own groups", _tree, _spec("meta_bg", size="26M")),
    Base("values", "attribute values in inodes", _valued_tree, _spec("ea_inode")),
    Base("clusters", "clusters of 16 blocks", _clustered_tree, _spec(
        "bigalloc", cluster_size=16 * BLOCK, size="2M")),
    Base("seeded", "a stored checksum seed", _tree, _spec("metadata_csum_seed")),
)  # fmt: skip
BY_NAME = {base.name: base for base in BASES}
