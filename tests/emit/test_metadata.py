"""Metadata in pieces: how they are joined, and inode tables compared with their nodes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ext4writer import BytesContent, RegularFile, Spec, Tree, TreeError, plan
from ext4writer.emit.metadata import LARGE_PIECE_BYTES, coalesced, metadata_pieces
from ext4writer.emit.workspace import PIECE_BYTES, Workspace
from ext4writer.layout import plan_of
from ext4writer.ondisk.inode import INODE, INODE_128, MAX_TIME_NS
from ext4writer.output.sink import Piece
from ext4writer.planning.checks import EPOCH_LATEST
from ext4writer.planning.random_policy import RandomPolicy

KIB = 1024
SIZES = st.sampled_from([1, 4 * KIB, 100 * KIB, LARGE_PIECE_BYTES, PIECE_BYTES, 3 * PIECE_BYTES])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(SIZES, st.sampled_from([0, 0, 0, 1, 4 * KIB])), max_size=12))
def test_joined_pieces_are_the_same_bytes(parts: list[tuple[int, int]]) -> None:
    lent = bytearray(3 * PIECE_BYTES)
    expected, end = [], 0
    for number, (size, gap) in enumerate(parts, 1):
        expected.append((end + gap, bytes([number]) * size))
        end += gap + size

    def pieces() -> Iterator[Piece]:
        for offset, data in expected:
            lent[: len(data)] = data
            yield offset, memoryview(lent)[: len(data)]

    image, model = bytearray(end), bytearray(end)
    for offset, data in expected:
        model[offset : offset + len(data)] = data
    written, last_end = 0, 0
    for offset, piece in coalesced(pieces()):
        assert offset >= last_end
        image[offset : offset + len(piece)] = piece
        last_end = offset + len(piece)
        written += len(piece)
    assert image == model
    assert written == sum(size for size, _ in parts)


def test_lent_memory_is_zeroed_and_an_old_loan_is_left_alone() -> None:
    workspace = Workspace()
    first = workspace.zeroed(10)
    first[:] = b"x" * 10
    larger = workspace.zeroed(1000)
    larger[:] = b"y" * 1000
    assert bytes(first) == b"x" * 10
    assert bytes(workspace.zeroed(500)) == bytes(500)
    assert bytes(workspace.zeroed(PIECE_BYTES)) == bytes(PIECE_BYTES)


def _tree() -> Tree:
    tree = Tree()
    for outer in range(40):
        tree.directory(f"d{outer}", uid=70000 + outer, mtime_ns=outer)
        for inner in range(20):
            tree.file(
                f"d{outer}/f{inner}",
                b"x" * (inner * 300),
                mode=0o600 + inner,
                gid=inner << 12,
                mtime_ns=outer * 10**9 + inner,
                atime_ns=inner if outer == 3 else None,
            )
        tree.symlink(f"d{outer}/fast", b"t" * 59)
        tree.symlink(f"d{outer}/slow", b"t" * 60)
        tree.link(f"d{outer}/again", "d0/f3")
    tree.file("/labelled", b"", xattrs={b"user.a": b"b" * 900})
    return tree


@pytest.mark.parametrize("inode_size", [128, 256, 1024])
@pytest.mark.parametrize("policy", [None, RandomPolicy(5)])
def test_inode_tables_hold_every_node(inode_size: int, policy: RandomPolicy | None) -> None:
    layout = plan(_tree(), Spec(inode_size=inode_size, policy=policy))
    image = bytearray(layout.size_bytes)
    for offset, data in metadata_pieces(plan_of(layout)):
        image[offset : offset + len(data)] = data
    table, geometry = plan_of(layout).table, plan_of(layout).geometry
    record = INODE_128 if inode_size == 128 else INODE
    assert table.entries["hard link"] == 40
    for index, ino in enumerate(table.inos):
        node = table.nodes[index]
        group, position = divmod(ino - 1, geometry.inodes_per_group)
        offset = geometry.inode_tables[group] * layout.block_size + position * inode_size
        held = record.parse(image, offset)
        assert held["i_mode"] == node.file_type | node.mode
        assert (held["i_uid"], held["l_i_uid_high"]) == (node.uid & 0xFFFF, node.uid >> 16)
        assert (held["i_gid"], held["l_i_gid_high"]) == (node.gid & 0xFFFF, node.gid >> 16)
        assert held["i_mtime"] == node.mtime_ns // 10**9
        assert held["i_links_count"] == table.links[index]
        if isinstance(node, RegularFile):
            assert held["i_size_lo"] == node.content.size


def test_a_clock_beyond_64_bits_of_nanoseconds() -> None:
    """Inodes hold times until 2446, 64 bits until 2262; the superblock's times are earlier."""
    tree = Tree()
    tree.file("a", b"", mtime_ns=0, ctime_ns=MAX_TIME_NS)
    layout = plan(tree)
    assert layout.epoch == EPOCH_LATEST
    assert sum(len(data) for _, data in metadata_pieces(plan_of(layout)))


def test_directories_in_themselves_are_refused() -> None:
    tree = Tree()
    outer = tree.directory("a")
    for number in range(5000):
        outer.children[b"%d" % number] = RegularFile(BytesContent(b""))
    outer.children[b"self"] = outer
    with pytest.raises(TreeError, match="/a/self.*second name of a directory"):
        plan(tree)
    del outer.children[b"self"]
    tree.root.children[b"zzz"] = tree.directory("lost+found")
    with pytest.raises(TreeError, match="/zzz.*second name of a directory"):
        plan(tree)
