"""Offsets and sizes, typed from documentation and headers, equal those of the records."""

from __future__ import annotations

import pytest

from ext4writer.ondisk import dirent, extent, htree, superblock

from .catalogue import RECORDS

SIZES = {
    "superblock": 1024,
    "group_desc": 64,
    "group_desc_32": 32,
    "inode": 160,
    "inode_128": 128,
    "extent_header": 12,
    "extent_idx": 12,
    "extent": 12,
    "extent_tail": 4,
    "dir_entry_2": 8,
    "dir_entry_tail": 12,
    "dx_root_info": 8,
    "dx_entry": 8,
    "dx_countlimit": 4,
    "dx_tail": 8,
    "dx_root": 40,
    "dx_node": 16,
    "xattr_header": 32,
    "xattr_ibody_header": 4,
    "xattr_entry": 16,
    "journal_header": 12,
    "journal_superblock": 1024,
    "journal_block_tag": 12,
    "journal_block_tag3": 16,
    "journal_block_tail": 4,
    "journal_revoke_header": 16,
    "journal_commit_header": 60,
    "fc_tl": 4,
    "fc_head": 8,
    "fc_add_range": 16,
    "fc_del_range": 12,
    "fc_dentry_info": 8,
    "fc_inode": 4,
    "fc_tail": 8,
    "orphan_block_tail": 8,
    "mmp": 1024,
    "quota_header": 8,
    "quota_info": 24,
    "quota_block_header": 16,
    "quota_entry_r0": 48,
    "quota_entry": 72,
    "fsverity_descriptor": 256,
    "fscrypt_context_v1": 28,
    "fscrypt_context_v2": 40,
    "dir_entry_hash": 8,
}

# Documentation/filesystems/ext4: super.rst, group_descr.rst, inodes.rst, ifork.rst,
# directory.rst, attributes.rst, journal.rst, and the headers of e2fsprogs: ext2_fs.h,
# ext3_extents.h, ext2_ext_attr.h, kernel-jbd.h, fast_commit.h, lib/support/quotaio_v2.h and
# quotaio_tree.h; of the kernel include/uapi/linux/fsverity.h, fs/crypto/fscrypt_private.h.
# directory.rst misplaces "block" of dx_node.
# "name offset size", sizes in bytes.
LAYOUTS = {
    "superblock": """
        s_inodes_count 0x0 4; s_blocks_count_lo 0x4 4; s_r_blocks_count_lo 0x8 4
        s_free_blocks_count_lo 0xC 4; s_free_inodes_count 0x10 4; s_first_data_block 0x14 4
        s_log_block_size 0x18 4; s_log_cluster_size 0x1C 4; s_blocks_per_group 0x20 4
        s_clusters_per_group 0x24 4; s_inodes_per_group 0x28 4; s_mtime 0x2C 4; s_wtime 0x30 4
        s_mnt_count 0x34 2; s_max_mnt_count 0x36 2; s_magic 0x38 2; s_state 0x3A 2
        s_errors 0x3C 2; s_minor_rev_level 0x3E 2; s_lastcheck 0x40 4; s_checkinterval 0x44 4
        s_creator_os 0x48 4; s_rev_level 0x4C 4; s_def_resuid 0x50 2; s_def_resgid 0x52 2
        s_first_ino 0x54 4; s_inode_size 0x58 2; s_block_group_nr 0x5A 2
        s_feature_compat 0x5C 4; s_feature_incompat 0x60 4; s_feature_ro_compat 0x64 4
        s_uuid 0x68 16; s_volume_name 0x78 16; s_last_mounted 0x88 64
        s_algorithm_usage_bitmap 0xC8 4; s_prealloc_blocks 0xCC 1; s_prealloc_dir_blocks 0xCD 1
        s_reserved_gdt_blocks 0xCE 2; s_journal_uuid 0xD0 16; s_journal_inum 0xE0 4
        s_journal_dev 0xE4 4; s_last_orphan 0xE8 4; s_hash_seed 0xEC 16
        s_def_hash_version 0xFC 1; s_jnl_backup_type 0xFD 1; s_desc_size 0xFE 2
        s_default_mount_opts 0x100 4; s_first_meta_bg 0x104 4; s_mkfs_time 0x108 4
        s_jnl_blocks 0x10C 68; s_blocks_count_hi 0x150 4; s_r_blocks_count_hi 0x154 4
        s_free_blocks_count_hi 0x158 4; s_min_extra_isize 0x15C 2; s_want_extra_isize 0x15E 2
        s_flags 0x160 4; s_raid_stride 0x164 2; s_mmp_update_interval 0x166 2
        s_mmp_block 0x168 8; s_raid_stripe_width 0x170 4; s_log_groups_per_flex 0x174 1
        s_checksum_type 0x175 1; s_encryption_level 0x176 1; s_reserved_pad 0x177 1
        s_kbytes_written 0x178 8; s_snapshot_inum 0x180 4; s_snapshot_id 0x184 4
        s_snapshot_r_blocks_count 0x188 8; s_snapshot_list 0x190 4; s_error_count 0x194 4
        s_first_error_time 0x198 4; s_first_error_ino 0x19C 4; s_first_error_block 0x1A0 8
        s_first_error_func 0x1A8 32; s_first_error_line 0x1C8 4; s_last_error_time 0x1CC 4
        s_last_error_ino 0x1D0 4; s_last_error_line 0x1D4 4; s_last_error_block 0x1D8 8
        s_last_error_func 0x1E0 32; s_mount_opts 0x200 64; s_usr_quota_inum 0x240 4
        s_grp_quota_inum 0x244 4; s_overhead_clusters 0x248 4; s_backup_bgs 0x24C 8
        s_encrypt_algos 0x254 4; s_encrypt_pw_salt 0x258 16; s_lpf_ino 0x268 4
        s_prj_quota_inum 0x26C 4; s_checksum_seed 0x270 4; s_wtime_hi 0x274 1
        s_mtime_hi 0x275 1; s_mkfs_time_hi 0x276 1; s_lastcheck_hi 0x277 1
        s_first_error_time_hi 0x278 1; s_last_error_time_hi 0x279 1
        s_first_error_errcode 0x27A 1; s_last_error_errcode 0x27B 1; s_encoding 0x27C 2
        s_encoding_flags 0x27E 2; s_orphan_file_inum 0x280 4; s_def_resuid_hi 0x284 2
        s_def_resgid_hi 0x286 2; s_reserved 0x288 372; s_checksum 0x3FC 4
    """,
    "group_desc_32": """
        bg_block_bitmap_lo 0x0 4; bg_inode_bitmap_lo 0x4 4; bg_inode_table_lo 0x8 4
        bg_free_blocks_count_lo 0xC 2; bg_free_inodes_count_lo 0xE 2
        bg_used_dirs_count_lo 0x10 2; bg_flags 0x12 2; bg_exclude_bitmap_lo 0x14 4
        bg_block_bitmap_csum_lo 0x18 2; bg_inode_bitmap_csum_lo 0x1A 2
        bg_itable_unused_lo 0x1C 2; bg_checksum 0x1E 2
    """,
    "group_desc": """
        bg_block_bitmap_lo 0x0 4; bg_inode_bitmap_lo 0x4 4; bg_inode_table_lo 0x8 4
        bg_free_blocks_count_lo 0xC 2; bg_free_inodes_count_lo 0xE 2
        bg_used_dirs_count_lo 0x10 2; bg_flags 0x12 2; bg_exclude_bitmap_lo 0x14 4
        bg_block_bitmap_csum_lo 0x18 2; bg_inode_bitmap_csum_lo 0x1A 2
        bg_itable_unused_lo 0x1C 2; bg_checksum 0x1E 2; bg_block_bitmap_hi 0x20 4
        bg_inode_bitmap_hi 0x24 4; bg_inode_table_hi 0x28 4; bg_free_blocks_count_hi 0x2C 2
        bg_free_inodes_count_hi 0x2E 2; bg_used_dirs_count_hi 0x30 2; bg_itable_unused_hi 0x32 2
        bg_exclude_bitmap_hi 0x34 4; bg_block_bitmap_csum_hi 0x38 2
        bg_inode_bitmap_csum_hi 0x3A 2; bg_reserved 0x3C 4
    """,
    "inode_128": """
        i_mode 0x0 2; i_uid 0x2 2; i_size_lo 0x4 4; i_atime 0x8 4; i_ctime 0xC 4
        i_mtime 0x10 4; i_dtime 0x14 4; i_gid 0x18 2; i_links_count 0x1A 2; i_blocks_lo 0x1C 4
        i_flags 0x20 4; l_i_version 0x24 4; i_block 0x28 60; i_generation 0x64 4
        i_file_acl_lo 0x68 4; i_size_high 0x6C 4; i_obso_faddr 0x70 4; l_i_blocks_high 0x74 2
        l_i_file_acl_high 0x76 2; l_i_uid_high 0x78 2; l_i_gid_high 0x7A 2
        l_i_checksum_lo 0x7C 2; l_i_reserved 0x7E 2
    """,
    "inode": """
        i_mode 0x0 2; i_uid 0x2 2; i_size_lo 0x4 4; i_atime 0x8 4; i_ctime 0xC 4
        i_mtime 0x10 4; i_dtime 0x14 4; i_gid 0x18 2; i_links_count 0x1A 2; i_blocks_lo 0x1C 4
        i_flags 0x20 4; l_i_version 0x24 4; i_block 0x28 60; i_generation 0x64 4
        i_file_acl_lo 0x68 4; i_size_high 0x6C 4; i_obso_faddr 0x70 4; l_i_blocks_high 0x74 2
        l_i_file_acl_high 0x76 2; l_i_uid_high 0x78 2; l_i_gid_high 0x7A 2
        l_i_checksum_lo 0x7C 2; l_i_reserved 0x7E 2; i_extra_isize 0x80 2; i_checksum_hi 0x82 2
        i_ctime_extra 0x84 4; i_mtime_extra 0x88 4; i_atime_extra 0x8C 4; i_crtime 0x90 4
        i_crtime_extra 0x94 4; i_version_hi 0x98 4; i_projid 0x9C 4
    """,
    "extent_header": """
        eh_magic 0x0 2; eh_entries 0x2 2; eh_max 0x4 2; eh_depth 0x6 2; eh_generation 0x8 4
    """,
    "extent_idx": "ei_block 0x0 4; ei_leaf_lo 0x4 4; ei_leaf_hi 0x8 2; ei_unused 0xA 2",
    "extent": "ee_block 0x0 4; ee_len 0x4 2; ee_start_hi 0x6 2; ee_start_lo 0x8 4",
    "extent_tail": "et_checksum 0x0 4",
    "dir_entry_2": "inode 0x0 4; rec_len 0x4 2; name_len 0x6 1; file_type 0x7 1",
    "dir_entry_tail": """
        det_reserved_zero1 0x0 4; det_rec_len 0x4 2; det_reserved_zero2 0x6 1
        det_reserved_ft 0x7 1; det_checksum 0x8 4
    """,
    "dx_root_info": """
        reserved_zero 0x0 4; hash_version 0x4 1; info_length 0x5 1; indirect_levels 0x6 1
        unused_flags 0x7 1
    """,
    "dx_entry": "hash 0x0 4; block 0x4 4",
    "dx_countlimit": "limit 0x0 2; count 0x2 2",
    "dx_tail": "dt_reserved 0x0 4; dt_checksum 0x4 4",
    "dx_root": """
        dot_inode 0x0 4; dot_rec_len 0x4 2; dot_name_len 0x6 1; dot_file_type 0x7 1
        dot_name 0x8 4; dotdot_inode 0xC 4; dotdot_rec_len 0x10 2; dotdot_name_len 0x12 1
        dotdot_file_type 0x13 1; dotdot_name 0x14 4; reserved_zero 0x18 4; hash_version 0x1C 1
        info_length 0x1D 1; indirect_levels 0x1E 1; unused_flags 0x1F 1; limit 0x20 2
        count 0x22 2; block 0x24 4
    """,
    "dx_node": """
        fake_inode 0x0 4; fake_rec_len 0x4 2; fake_name_len 0x6 1; fake_file_type 0x7 1
        limit 0x8 2; count 0xA 2; block 0xC 4
    """,
    "xattr_header": """
        h_magic 0x0 4; h_refcount 0x4 4; h_blocks 0x8 4; h_hash 0xC 4; h_checksum 0x10 4
        h_reserved 0x14 12
    """,
    "xattr_ibody_header": "h_magic 0x0 4",
    "xattr_entry": """
        e_name_len 0x0 1; e_name_index 0x1 1; e_value_offs 0x2 2; e_value_inum 0x4 4
        e_value_size 0x8 4; e_hash 0xC 4
    """,
    "journal_header": "h_magic 0x0 4; h_blocktype 0x4 4; h_sequence 0x8 4",
    "journal_superblock": """
        h_magic 0x0 4; h_blocktype 0x4 4; h_sequence 0x8 4; s_blocksize 0xC 4; s_maxlen 0x10 4
        s_first 0x14 4; s_sequence 0x18 4; s_start 0x1C 4; s_errno 0x20 4
        s_feature_compat 0x24 4; s_feature_incompat 0x28 4; s_feature_ro_compat 0x2C 4
        s_uuid 0x30 16; s_nr_users 0x40 4; s_dynsuper 0x44 4; s_max_transaction 0x48 4
        s_max_trans_data 0x4C 4; s_checksum_type 0x50 1; s_padding2 0x51 3
        s_num_fc_blks 0x54 4; s_head 0x58 4; s_padding 0x5C 160; s_checksum 0xFC 4
        s_users 0x100 768
    """,
    "journal_block_tag": "t_blocknr 0x0 4; t_checksum 0x4 2; t_flags 0x6 2; t_blocknr_high 0x8 4",
    "journal_block_tag3": "t_blocknr 0x0 4; t_flags 0x4 4; t_blocknr_high 0x8 4; t_checksum 0xC 4",
    "journal_block_tail": "t_checksum 0x0 4",
    "journal_revoke_header": """
        h_magic 0x0 4; h_blocktype 0x4 4; h_sequence 0x8 4; r_count 0xC 4
    """,
    "journal_commit_header": """
        h_magic 0x0 4; h_blocktype 0x4 4; h_sequence 0x8 4; h_chksum_type 0xC 1
        h_chksum_size 0xD 1; h_padding 0xE 2; h_chksum 0x10 32; h_commit_sec 0x30 8
        h_commit_nsec 0x38 4
    """,
    "fc_tl": "fc_tag 0x0 2; fc_len 0x2 2",
    "fc_head": "fc_features 0x0 4; fc_tid 0x4 4",
    "fc_add_range": "fc_ino 0x0 4; fc_ex 0x4 12",
    "fc_del_range": "fc_ino 0x0 4; fc_lblk 0x4 4; fc_len 0x8 4",
    "fc_dentry_info": "fc_parent_ino 0x0 4; fc_ino 0x4 4",
    "fc_inode": "fc_ino 0x0 4",
    "fc_tail": "fc_tid 0x0 4; fc_crc 0x4 4",
    "orphan_block_tail": "ob_magic 0x0 4; ob_checksum 0x4 4",
    "mmp": """
        mmp_magic 0x0 4; mmp_seq 0x4 4; mmp_time 0x8 8; mmp_nodename 0x10 64
        mmp_bdevname 0x50 32; mmp_check_interval 0x70 2; mmp_pad1 0x72 2; mmp_pad2 0x74 904
        mmp_checksum 0x3FC 4
    """,
    "quota_header": "dqh_magic 0x0 4; dqh_version 0x4 4",
    "quota_info": """
        dqi_bgrace 0x0 4; dqi_igrace 0x4 4; dqi_flags 0x8 4; dqi_blocks 0xC 4
        dqi_free_blk 0x10 4; dqi_free_entry 0x14 4
    """,
    "quota_block_header": """
        dqdh_next_free 0x0 4; dqdh_prev_free 0x4 4; dqdh_entries 0x8 2; dqdh_pad1 0xA 2
        dqdh_pad2 0xC 4
    """,
    "quota_entry_r0": """
        dqb_id 0x0 4; dqb_ihardlimit 0x4 4; dqb_isoftlimit 0x8 4; dqb_curinodes 0xC 4
        dqb_bhardlimit 0x10 4; dqb_bsoftlimit 0x14 4; dqb_curspace 0x18 8; dqb_btime 0x20 8
        dqb_itime 0x28 8
    """,
    "quota_entry": """
        dqb_id 0x0 4; dqb_pad 0x4 4; dqb_ihardlimit 0x8 8; dqb_isoftlimit 0x10 8
        dqb_curinodes 0x18 8; dqb_bhardlimit 0x20 8; dqb_bsoftlimit 0x28 8
        dqb_curspace 0x30 8; dqb_btime 0x38 8; dqb_itime 0x40 8
    """,
    "fsverity_descriptor": """
        version 0x0 1; hash_algorithm 0x1 1; log_blocksize 0x2 1; salt_size 0x3 1
        sig_size 0x4 4; data_size 0x8 8; root_hash 0x10 64; salt 0x50 32; reserved 0x70 144
    """,
    "fscrypt_context_v1": """
        version 0x0 1; contents_encryption_mode 0x1 1; filenames_encryption_mode 0x2 1
        flags 0x3 1; master_key_descriptor 0x4 8; nonce 0xC 16
    """,
    "fscrypt_context_v2": """
        version 0x0 1; contents_encryption_mode 0x1 1; filenames_encryption_mode 0x2 1
        flags 0x3 1; log2_data_unit_size 0x4 1; reserved 0x5 3; master_key_identifier 0x8 16
        nonce 0x18 16
    """,
    "dir_entry_hash": "hash 0x0 4; minor_hash 0x4 4",
}


def test_sizes() -> None:
    assert {name: record.size for name, record in RECORDS.items()} == SIZES


@pytest.mark.parametrize("name", sorted(SIZES))
def test_offsets(name: str) -> None:
    rows = [row.split() for row in LAYOUTS[name].replace("\n", ";").split(";") if row.strip()]
    expected = [(field, int(offset, 16), int(size)) for field, offset, size in rows]
    record = RECORDS[name]
    assert [(f.name, f.offset, f.size) for f in record.fields.values()] == expected
    assert all(record.offset(field) == offset for field, offset, _ in expected)
    assert sum(size for _, _, size in expected) == record.size


def test_formats() -> None:
    fields = superblock.SUPERBLOCK.fields
    assert fields["s_hash_seed"] == ("s_hash_seed", 0xEC, 16, "I", 4)
    assert fields["s_uuid"] == ("s_uuid", 0x68, 16, "16s", 1)
    assert fields["s_mmp_block"] == ("s_mmp_block", 0x168, 8, "Q", 1)


def test_places_of_counts() -> None:
    assert htree.DX_ROOT.offset("limit") == htree.DX_ROOT_COUNT_OFFSET == 32
    assert htree.DX_NODE.offset("limit") == htree.DX_NODE_COUNT_OFFSET == 8


@pytest.mark.parametrize(
    ("block_size", "entries", "root", "root_csum", "node", "node_csum"),
    [
        (1024, 84, 124, 123, 127, 126),
        (2048, 169, 252, 251, 255, 254),
        (4096, 340, 508, 507, 511, 510),
        (65536, 5460, 8188, 8187, 8191, 8190),
    ],
)
def test_limits(
    block_size: int, entries: int, root: int, root_csum: int, node: int, node_csum: int
) -> None:
    assert extent.entries_per_block(block_size) == entries
    assert 12 + 12 * entries + extent.EXTENT_TAIL.size <= block_size
    assert htree.root_limit(block_size, False) == root
    assert htree.root_limit(block_size, True) == root_csum
    assert htree.node_limit(block_size, False) == node
    assert htree.node_limit(block_size, True) == node_csum
    assert 32 + 8 * root <= block_size
    assert 32 + 8 * root_csum + 8 <= block_size
    assert 8 + 8 * node_csum + 8 <= block_size


def test_rec_len() -> None:
    assert [dirent.rec_len(n) for n in (0, 1, 2, 4, 5, 8, 9, 255)] == [
        8,
        12,
        12,
        12,
        16,
        16,
        20,
        264,
    ]


@pytest.mark.parametrize("block_size", [1024, 4096, 65536])
def test_rec_len_on_disk(block_size: int) -> None:
    for length in (12, 264, block_size - 12, block_size):
        stored = dirent.encode_rec_len(length, block_size)
        assert 0 <= stored < 65536
        assert dirent.decode_rec_len(stored, block_size) == length
    for length in (0, 13, block_size + 4):
        with pytest.raises(ValueError, match="entry"):
            dirent.encode_rec_len(length, block_size)
    assert dirent.encode_rec_len(65536, 65536) == 65535


def test_rec_len_zero_is_damage_in_small_blocks() -> None:
    assert dirent.decode_rec_len(0, 4096) == 0
    assert dirent.decode_rec_len(65535, 4096) == 65535
    assert dirent.decode_rec_len(0, 65536) == 65536
