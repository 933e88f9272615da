"""An image of mke2fs: our records parse it, and our checksums change none of its bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ext4writer.ondisk import checksum
from ext4writer.ondisk.dirent import DIR_ENTRY_2
from ext4writer.ondisk.dirhash import hash_names
from ext4writer.ondisk.extent import EXTENT, EXTENT_HEADER, EXTENT_IDX
from ext4writer.ondisk.features import FeatureSet
from ext4writer.ondisk.group_desc import GROUP_DESC, GROUP_DESC_32
from ext4writer.ondisk.htree import DX_ENTRY, DX_NODE, DX_ROOT
from ext4writer.ondisk.inode import EXT4_INDEX_FL, INODE, INODE_128
from ext4writer.ondisk.journal import JOURNAL_SUPERBLOCK
from ext4writer.ondisk.record import ReadBuffer, Record
from ext4writer.ondisk.superblock import EXT4_SUPER_MAGIC, SUPERBLOCK
from ext4writer.ondisk.xattr import (
    EXT4_XATTR_MAGIC,
    XATTR_ENTRY,
    XATTR_HEADER,
    block_hash,
    entry_hash,
    entry_size,
)

from ..judges import tools

BLOCK = 1024
UUID = "01234567-89ab-cdef-0011-223344556677"
CASES = {
    "default": "^orphan_file,^metadata_csum_seed",
    "stored seed": "^orphan_file,metadata_csum_seed",
    "32-bit": "^orphan_file,^metadata_csum_seed,^64bit",
    "crc16": "^orphan_file,^metadata_csum_seed,^metadata_csum,uninit_bg",
}


def fields(record: Record, data: ReadBuffer, offset: int = 0) -> dict[str, Any]:
    """The parsed structure as plain Python values."""
    return dict(record.parse(data, offset))


class Image:
    """The parts of a reader that these tests need; for images with extents only."""

    def __init__(self, path: Path) -> None:
        self.data = path.read_bytes()
        self.sb = fields(SUPERBLOCK, self.data, 1024)
        self.features = FeatureSet(
            self.sb["s_feature_compat"],
            self.sb["s_feature_incompat"],
            self.sb["s_feature_ro_compat"],
        )
        self.desc = GROUP_DESC if "64bit" in self.features else GROUP_DESC_32
        self.inode_size: int = self.sb["s_inode_size"]
        self.inode_record = INODE if self.inode_size > 128 else INODE_128
        self.seed = checksum.filesystem_seed(self.sb["s_uuid"])
        if "metadata_csum_seed" in self.features:
            assert self.sb["s_checksum_seed"] == self.seed
        self.groups = -(-(self.sb["s_blocks_count_lo"] - 1) // self.sb["s_blocks_per_group"])

    def group_offset(self, group: int) -> int:
        return 2 * BLOCK + group * self.desc.size

    def group(self, group: int) -> dict[str, Any]:
        return fields(self.desc, self.data, self.group_offset(group))

    def inode_offset(self, ino: int) -> int:
        per_group: int = self.sb["s_inodes_per_group"]
        group, index = divmod(ino - 1, per_group)
        table: int = self.group(group)["bg_inode_table_lo"]
        return table * BLOCK + index * self.inode_size

    def inode(self, ino: int) -> dict[str, Any]:
        return fields(self.inode_record, self.data, self.inode_offset(ino))

    def used_inodes(self) -> Iterator[int]:
        for group in range(self.groups):
            desc = self.group(group)
            if desc["bg_flags"] & 1:
                continue
            start = desc["bg_inode_bitmap_lo"] * BLOCK
            for index in range(self.sb["s_inodes_per_group"]):
                if self.data[start + index // 8] >> index % 8 & 1:
                    ino = group * self.sb["s_inodes_per_group"] + index + 1
                    if self.inode(ino)["i_mode"]:
                        yield ino

    def blocks(self, node: bytes, tree: list[int]) -> list[int]:
        """Return the data blocks below an extent node; append the tree's own blocks to ``tree``."""
        head = fields(EXTENT_HEADER, node)
        assert head["eh_magic"] == 0xF30A
        found: list[int] = []
        for place in range(12, 12 + 12 * head["eh_entries"], 12):
            if head["eh_depth"]:
                leaf = fields(EXTENT_IDX, node, place)["ei_leaf_lo"]
                tree.append(leaf)
                found += self.blocks(self.block(leaf), tree)
            else:
                entry = fields(EXTENT, node, place)
                found += range(entry["ee_start_lo"], entry["ee_start_lo"] + entry["ee_len"])
        return found

    def block(self, number: int) -> bytes:
        return self.data[number * BLOCK : (number + 1) * BLOCK]


@pytest.fixture(scope="module", params=list(CASES))
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Image:
    options = ["-O", CASES[request.param], "-I", "128" if request.param == "32-bit" else "256"]
    scratch = tmp_path_factory.mktemp("foreign")
    source = scratch / "source"
    (source / "many").mkdir(parents=True)
    for number in range(900):
        (source / "many" / f"{number:04}{'n' * 200}\xe9").touch()
    with (source / "holes").open("wb") as file:
        for number in range(200):
            file.seek(number * 2 * BLOCK)
            file.write(b"x" * BLOCK)
    path = scratch / "image"
    arguments = ["-b", str(BLOCK), "-U", UUID, "-E", f"hash_seed={UUID}", *options]
    tools.run(["mke2fs", "-q", "-F", "-t", "ext4", *arguments, "-d", source, path, "24M"])
    commands = scratch / "commands"
    commands.write_text(
        "ea_set holes user.one first\n"
        f"ea_set holes user.two {'long' * 60}\n"
        f"ea_set holes trusted.caf\xe9 {'odd' * 9}\n",
        "utf-8",
    )
    tools.run(["debugfs", "-w", "-f", commands, path])
    # mke2fs does not build hash trees; e2fsck -D does. Status 1 means that it changed something.
    assert tools.run(["e2fsck", "-fyD", path], check=False).returncode in (0, 1)
    assert tools.run(["e2fsck", "-fn", path], check=False).returncode == 0
    if request.param != "crc16":
        commands.write_text("jo -c\njc\n", "utf-8")
        tools.run(["debugfs", "-w", "-f", commands, path])
    return Image(path)


def _checksummed(image: Image, start: int, size: int) -> tuple[bytearray, bytes]:
    """A copy for the checksum, between two bytes of padding, and the original."""
    original = b"\xaa" + image.data[start : start + size] + b"\xaa"
    return bytearray(original), original


def test_superblock(image: Image) -> None:
    assert image.sb["s_magic"] == EXT4_SUPER_MAGIC
    assert SUPERBLOCK.pack(image.sb) == image.data[1024:2048]
    if "metadata_csum" in image.features:
        copy, original = _checksummed(image, 1024, 1024)
        copy[-5:-1] = bytes(4)
        checksum.set_superblock_checksum(copy, 1)
        assert copy == original


def test_group_descriptors_and_bitmaps(image: Image) -> None:
    assert image.groups == 3
    for group in range(image.groups):
        start = image.group_offset(group)
        raw = image.data[start : start + image.desc.size]
        desc = image.group(group)
        assert image.desc.pack(desc) == raw
        if "metadata_csum" in image.features:
            assert checksum.group_desc_checksum(image.seed, group, raw) == desc["bg_checksum"]
        else:
            crc16 = checksum.group_desc_crc16(image.sb["s_uuid"], group, raw)
            assert crc16 == desc["bg_checksum"]
            continue
        for kind, count, flag in (("block", "blocks", 2), ("inode", "inodes", 1)):
            if desc["bg_flags"] & flag:
                continue
            bitmap = image.block(desc[f"bg_{kind}_bitmap_lo"])
            size = image.sb[f"s_{count}_per_group"] // 8
            crc = checksum.bitmap_checksum(image.seed, bitmap[:size])
            assert crc & 0xFFFF == desc[f"bg_{kind}_bitmap_csum_lo"]
            if "64bit" in image.features:
                assert crc >> 16 == desc[f"bg_{kind}_bitmap_csum_hi"]


def test_inodes(image: Image) -> None:
    used = list(image.used_inodes())
    assert len(used) > 900
    for ino in used:
        start = image.inode_offset(ino)
        inode = image.inode(ino)
        size = image.inode_record.size
        assert image.inode_record.pack(inode) == image.data[start : start + size]
        if "metadata_csum" in image.features:
            copy, original = _checksummed(image, start, image.inode_size)
            image.inode_record.set(copy, 1, "l_i_checksum_lo", 0xAAAA)
            checksum.set_inode_checksum(
                copy, 1, image.inode_size, image.seed, ino, inode["i_generation"]
            )
            assert copy == original


def test_extent_blocks(image: Image) -> None:
    if "metadata_csum" not in image.features:
        return
    checksummed = 0
    for ino in image.used_inodes():
        inode = image.inode(ino)
        if not inode["i_flags"] & 0x80000:
            continue
        tree: list[int] = []
        image.blocks(inode["i_block"], tree)
        seed = checksum.inode_seed(image.seed, ino, inode["i_generation"])
        for block in tree:
            copy, original = _checksummed(image, block * BLOCK, BLOCK)
            copy[-5:-1] = bytes(4)
            checksum.set_extent_block_checksum(copy, 1, BLOCK, seed)
            assert copy == original
            checksummed += 1
    assert checksummed >= 3


def test_directories(image: Image) -> None:
    if "metadata_csum" not in image.features:
        return
    checksums = {"leaf": 0, "root": 0, "node": 0}
    for ino in image.used_inodes():
        inode = image.inode(ino)
        if inode["i_mode"] >> 12 != 4:
            continue
        blocks = image.blocks(inode["i_block"], [])
        seed = checksum.inode_seed(image.seed, ino, inode["i_generation"])
        for number, block in enumerate(blocks):
            raw = image.block(block)
            copy, original = _checksummed(image, block * BLOCK, BLOCK)
            copy[-5:-1] = bytes(4)
            indexed = inode["i_flags"] & EXT4_INDEX_FL
            if indexed and number == 0:
                assert DX_ROOT.get(raw, 0, "hash_version") == 1
                kind, set_checksum = "root", checksum.set_dx_root_checksum
            elif indexed and DX_NODE.get(raw, 0, "fake_rec_len") == BLOCK and raw[:4] == bytes(4):
                kind, set_checksum = "node", checksum.set_dx_node_checksum
            else:
                kind, set_checksum = "leaf", checksum.set_dir_block_checksum
            set_checksum(copy, 1, BLOCK, seed)
            assert copy == original
            checksums[kind] += 1
    assert checksums["root"] == 1
    assert checksums["node"] >= 2
    assert checksums["leaf"] > 200


def test_hash_tree_order(image: Image) -> None:
    """Every name is in the leaf for its hash, computed with signed characters."""
    [ino] = [i for i in image.used_inodes() if image.inode(i)["i_flags"] & EXT4_INDEX_FL]
    blocks = image.blocks(image.inode(ino)["i_block"], [])
    seed = tuple(image.sb["s_hash_seed"])
    assert image.sb["s_flags"] & 1
    root = image.block(blocks[0])
    leaves: list[tuple[int, int]] = []
    for least, node in _dx_entries(root, 32, 0):
        leaves += _dx_entries(image.block(blocks[node]), 8, least)
    seen = 0
    for (low, leaf), (high, _) in zip(leaves, [*leaves[1:], (1 << 32, 0)], strict=True):
        names = list(_names(image.block(blocks[leaf])))
        for hashed, _ in hash_names(1, names, seed):
            assert low & ~1 <= hashed <= high
        seen += len(names)
    assert seen == 900


def _dx_entries(raw: bytes, offset: int, least: int) -> list[tuple[int, int]]:
    """Return (lowest hash, block) of all entries; the hash of entry 0 comes from its parent."""
    count = int.from_bytes(raw[offset + 2 : offset + 4], "little")
    rows = [fields(DX_ENTRY, raw, offset + 8 * number) for number in range(count)]
    rows[0]["hash"] = least
    return [(row["hash"], row["block"]) for row in rows]


def _names(raw: bytes) -> Iterator[bytes]:
    offset = 0
    while offset < len(raw):
        entry = fields(DIR_ENTRY_2, raw, offset)
        if entry["inode"]:
            yield raw[offset + 8 : offset + 8 + entry["name_len"]]
        offset += entry["rec_len"]


def test_attribute_block(image: Image) -> None:
    numbers = {image.inode(ino)["i_file_acl_lo"] for ino in image.used_inodes()} - {0}
    assert len(numbers) == 1
    [number] = numbers
    raw = image.block(number)
    head = fields(XATTR_HEADER, raw)
    assert head["h_magic"] == EXT4_XATTR_MAGIC
    offset, hashes = XATTR_HEADER.size, []
    while raw[offset : offset + 4] != bytes(4):
        entry = fields(XATTR_ENTRY, raw, offset)
        name = raw[offset + 16 : offset + 16 + entry["e_name_len"]]
        start = entry["e_value_offs"]
        assert entry["e_hash"] == entry_hash(name, raw[start : start + entry["e_value_size"]])
        hashes.append(entry["e_hash"])
        offset += entry_size(len(name))
    assert hashes
    # e2fsprogs up to 1.47.0 leaves the hash of a block zero, which means "not shared".
    assert head["h_hash"] in (0, block_hash(hashes))
    if "metadata_csum" in image.features:
        copy, original = _checksummed(image, number * BLOCK, BLOCK)
        XATTR_HEADER.set(copy, 1, "h_checksum", 0xAAAAAAAA)
        checksum.set_xattr_block_checksum(copy, 1, BLOCK, image.seed, number)
        assert copy == original


def test_journal_superblock(image: Image) -> None:
    [start, *_] = image.blocks(image.inode(8)["i_block"], [])
    raw = image.block(start)
    journal = fields(JOURNAL_SUPERBLOCK, raw)
    assert (journal["h_magic"], journal["h_blocktype"]) == (0xC03B3998, 4)
    assert JOURNAL_SUPERBLOCK.pack(journal) == raw
    if "metadata_csum" in image.features:
        assert journal["s_checksum_type"] == 4
        assert journal["s_feature_incompat"] & 0x18
        copy, original = _checksummed(image, start * BLOCK, 1024)
        JOURNAL_SUPERBLOCK.set(copy, 1, "s_checksum", 0xAAAAAAAA)
        checksum.set_journal_superblock_checksum(copy, 1)
        assert copy == original
