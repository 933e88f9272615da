"""The corruptions of the catalogue as text.

``[GROUP]`` begins a group. A case is a line ``NAME BASE: REASON``, followed by indented lines with
one override each.
"""

from __future__ import annotations

TABLE = """
[superblock]
sb-magic plain: no magic number, so nothing identifies the image as ext4
  superblock.s_magic=0
sb-blocks-more plain: more blocks than the device has
  superblock.s_blocks_count_lo+=1000
sb-blocks-huge plain: as many blocks as 64 bits can count
  superblock.s_blocks_count=ones
sb-blocks-zero plain: no blocks at all
  superblock.s_blocks_count_lo=0
sb-cluster-size mapped: fragments, which no kernel supports
  superblock.s_log_cluster_size+=1
sb-blocks-per-group mapped: groups shorter than a bitmap
  superblock.s_blocks_per_group=4096
  superblock.s_clusters_per_group=4096
sb-blocks-per-group-zero plain: no blocks per group: a division by zero
  superblock.s_blocks_per_group=0
  superblock.s_clusters_per_group=0
sb-blocks-per-group-odd plain: blocks per group that are not a multiple of 8
  superblock.s_blocks_per_group-=1
  superblock.s_clusters_per_group-=1
sb-first-data-block mapped: group 0 begins at another block
  superblock.s_first_data_block=0
sb-first-data-block-end plain: group 0 begins at the end
  superblock.s_first_data_block=190
sb-no-uuid mapped: no UUID
  superblock.s_uuid=zeroes
sb-first-ino plain: ordinary files in reserved inodes
  superblock.s_first_ino=3
sb-first-ino-huge plain: all inodes are reserved
  superblock.s_first_ino=ones
sb-inodes-count plain: an inode count that contradicts the number of groups
  superblock.s_inodes_count-=8
sb-inodes-count-zero plain: no inodes
  superblock.s_inodes_count=0
sb-inodes-count-huge plain: the largest inode count that 32 bits can hold
  superblock.s_inodes_count=ones
sb-inodes-per-group plain: inode tables of a wrong length
  superblock.s_inodes_per_group+=8
sb-inodes-per-group-zero plain: no inodes per group: a division by zero
  superblock.s_inodes_per_group=0
sb-inodes-per-group-huge plain: more inodes than a bitmap has bits
  superblock.s_inodes_per_group=0x10000
sb-inode-size plain: a wrong inode size
  superblock.s_inode_size=512
sb-inode-size-odd plain: an inode size that is not a power of two
  superblock.s_inode_size=200
sb-inode-size-huge plain: inodes larger than a block
  superblock.s_inode_size=4096
sb-log-block-size plain: an impossible block size
  superblock.s_log_block_size=33
sb-log-block-size-2k plain: a wrong block size
  superblock.s_log_block_size=1
sb-desc-size plain: a wrong descriptor size
  superblock.s_desc_size=128
sb-desc-size-small plain: descriptors of less than 64 bytes
  superblock.s_desc_size=32
sb-hurd plain: an operating system without file types in entries
  superblock.s_creator_os=1
sb-hurd-mapped mapped: an operating system without file types in entries
  superblock.s_creator_os=name:Hurd
sb-creator-os plain: an unknown operating system
  superblock.s_creator_os=99
sb-rev-0 mapped: features in a revision without features
  superblock.s_rev_level=0
sb-rev-99 plain: an unknown revision
  superblock.s_rev_level=99
sb-reserved-gdt plain: reserved descriptor blocks without a resize inode
  superblock.s_reserved_gdt_blocks=5
sb-reserved-gdt-huge journal: more reserved descriptor blocks than one block can map
  superblock.s_reserved_gdt_blocks=ones
sb-resize-without-feature journal: a resize inode without the feature
  superblock.s_feature_compat^=name:resize_inode
sb-resize-and-meta-bg groups: resize_inode and meta_bg, which exclude each other
  superblock.s_feature_incompat|=name:meta_bg
sb-first-meta-bg meta_bg: the first metablock group is after the last one
  superblock.s_first_meta_bg=ones
sb-mount-tomorrow plain: a mount time an hour in the future
  superblock.s_mtime=1700003600
sb-mount-in-future plain: a mount time years in the future
  superblock.s_mtime=2000000000
sb-write-tomorrow plain: a write time an hour in the future
  superblock.s_wtime=1700003600
sb-write-in-future plain: a write time years in the future
  superblock.s_wtime=2000000000
sb-no-hash-hint plain: no flag for signed or unsigned hashes
  superblock.s_flags=0
sb-test-fs plain: marked as a test file system
  superblock.s_flags|=4
sb-free-blocks plain: a wrong count of free blocks
  superblock.s_free_blocks_count_lo-=1
sb-free-blocks-huge plain: more free blocks than blocks
  superblock.s_free_blocks_count=ones
sb-free-inodes plain: a wrong count of free inodes
  superblock.s_free_inodes_count-=1
sb-free-inodes-huge plain: more free inodes than inodes
  superblock.s_free_inodes_count=ones
sb-reserved-blocks plain: more reserved blocks than blocks
  superblock.s_r_blocks_count=ones
sb-two-checksums plain: two kinds of checksums, which exclude each other
  superblock.s_feature_ro_compat|=name:uninit_bg
sb-64bit-no-extents plain: 64bit without extent
  superblock.s_feature_incompat^=name:extent
sb-seed-without-checksums mapped: a checksum seed without checksums
  superblock.s_feature_incompat|=name:metadata_csum_seed
sb-checksum-type plain: an unknown kind of checksum
  superblock.s_checksum_type=7
sb-min-extra-isize plain: more required extra fields than an inode has space for
  superblock.s_min_extra_isize=3000
sb-want-extra-isize plain: more desired extra fields than an inode has space for
  superblock.s_want_extra_isize=3000
sb-quota-inum quota: user quota in an inode that is not a quota file
  superblock.s_usr_quota_inum=99
sb-quota-inum-group quota: group quota in the root directory
  superblock.s_grp_quota_inum=2
sb-quota-inum-project quota: project quota in an inode that does not exist
  superblock.s_prj_quota_inum=ones
sb-unknown-incompat plain: an unknown incompatible feature
  superblock.s_feature_incompat|=0x80000000
sb-unknown-ro-compat plain: an unknown feature that allows only reading
  superblock.s_feature_ro_compat|=0x80000000
sb-state-errors plain: marked as having errors
  superblock.s_state=2
sb-error-count plain: errors in the error log
  superblock.s_error_count=7
  superblock.s_first_error_ino=12
sb-log-flex plain: a flex group size that no shift can express
  superblock.s_log_groups_per_flex=ones
sb-hash-seed plain: a hash seed that differs from that of the index
  superblock.s_hash_seed[1]=5
sb-def-hash plain: an unknown hash version
  superblock.s_def_hash_version=99
sb-no-filetype plain: file types in entries without the feature
  superblock.s_feature_incompat^=name:filetype
sb-no-dir-index plain: an index without the feature
  superblock.s_feature_compat^=name:dir_index
sb-no-large-file mapped: a large file without the feature
  superblock.s_feature_ro_compat&=0xfffffffd
  inode[/long].i_size_high=1
sb-no-inline-data inline: inline data without the feature
  superblock.s_feature_incompat^=name:inline_data
sb-no-extent-feature seeded: extents without the feature, and without 64bit
  superblock.s_feature_incompat&=0xffffff3f
sb-no-casefold folded: casefolded directories without the feature
  superblock.s_feature_incompat^=name:casefold
sb-encoding folded: an unknown encoding
  superblock.s_encoding=99
sb-no-encrypt locked: encrypted directories without the feature
  superblock.s_feature_incompat^=name:encrypt
sb-no-ext-attr plain: extended attributes without the feature
  superblock.s_feature_compat^=name:ext_attr
sb-no-dir-nlink plain: no dir_nlink
  superblock.s_feature_ro_compat^=name:dir_nlink
sb-no-huge-file plain: a file with i_blocks in blocks, without the feature
  superblock.s_feature_ro_compat^=name:huge_file
  inode[/long].i_flags|=name:HUGE_FILE
sb-bigalloc plain: bigalloc with clusters of one block
  superblock.s_feature_ro_compat|=name:bigalloc
sb-bigalloc-clusters plain: clusters of 16 blocks with groups of unchanged size
  superblock.s_feature_ro_compat|=name:bigalloc
  superblock.s_log_cluster_size=4
sb-orphan-list-head plain: an orphan list that begins at an invalid inode
  superblock.s_last_orphan=limit+1
sb-orphan-list-in-use plain: an orphan list that begins at a file in use
  superblock.s_last_orphan=12
sb-orphan-list-free plain: an orphan list that begins at a free inode
  superblock.s_last_orphan=60
sb-orphan-list-reserved plain: an orphan list that begins at the root
  superblock.s_last_orphan=2
sb-orphan-deleted plain: an orphan to be deleted
  superblock.s_last_orphan=12
  inode[12].i_links_count=0
sb-orphan-loop plain: a loop in the orphan list
  superblock.s_last_orphan=12
  inode[12].i_links_count=0
  inode[12].i_dtime=12
sb-orphan-next-bad plain: an orphan followed by an invalid inode
  superblock.s_last_orphan=12
  inode[12].i_links_count=0
  inode[12].i_dtime=60000
sb-orphan-bad-block mapped: an orphan with an invalid block
  superblock.s_last_orphan=12
  inode[12].i_links_count=0
  inode[12].i_block[0]=ones
sb-orphan-twice-block mapped: an orphan with the same block twice
  superblock.s_last_orphan=12
  inode[12].i_links_count=0
  inode[12].i_block[1]=300
  inode[12].i_block[2]=300
sb-orphan-freed-block mapped: an orphan with a block that is already free
  superblock.s_last_orphan=12
  inode[12].i_links_count=0
  inode[12].i_block[0]=limit-5
sb-needs-recovery-no-journal plain: needs_recovery without a journal
  superblock.s_feature_incompat|=name:needs_recovery
sb-backup-bgs meta_bg: backups in groups that do not exist
  superblock.s_feature_compat|=name:sparse_super2
  superblock.s_backup_bgs[0]=ones
sb-mmp-block mmp: an invalid MMP block
  superblock.s_mmp_block=limit+1
sb-mmp-block-zero mmp: no MMP block
  superblock.s_mmp_block=0
sb-mmp-block-super mmp: the MMP block is the superblock
  superblock.s_mmp_block=superblock
sb-checksum plain: a wrong checksum of the superblock
  superblock.s_checksum=7
sb-fragments mapped: fragments smaller than blocks
  superblock.s_log_cluster_size=5
orphan-list-bad-indirect mapped: an orphan with an invalid indirect block
  superblock.s_last_orphan=12
  inode[12].i_links_count=0
  inode[12].i_size_lo=20480
  inode[12].i_blocks_lo=40
  inode[12].i_block[12]=ones
[mmp]
mmp-magic mmp: no magic number in the MMP block
  mmp.mmp_magic=0
mmp-checksum mmp: a wrong checksum of the MMP block
  mmp.mmp_checksum=7
mmp-fsck mmp: another check is running
  mmp.mmp_seq=name:fsck
mmp-interval mmp: a check interval of hours
  mmp.mmp_check_interval=ones
[descriptors]
gd-bb-outside mapped: a block bitmap past the end of its group
  group_desc[0].bg_block_bitmap_lo=limit+1
gd-bb-zero plain: a block bitmap in block 0
  group_desc[0].bg_block_bitmap_lo=0
gd-bb-end plain: a block bitmap past the end of the image
  group_desc[0].bg_block_bitmap_lo=limit+1
gd-bb-super plain: a block bitmap in the superblock
  group_desc[0].bg_block_bitmap_lo=superblock
gd-bb-descs plain: a block bitmap in the descriptors
  group_desc[0].bg_block_bitmap_lo=descriptors
gd-bb-other-group groups: a block bitmap in the reserved descriptors of another group
  group_desc[1].bg_block_bitmap_lo=8
gd-bb-high plain: a block bitmap at a block number above 32 bits
  group_desc[0].bg_block_bitmap_hi=1
gd-ib-outside mapped: an inode bitmap past the end of its group
  group_desc[0].bg_inode_bitmap_lo=limit+1
gd-ib-zero plain: an inode bitmap in block 0
  group_desc[0].bg_inode_bitmap_lo=0
gd-ib-end plain: an inode bitmap past the end of the image
  group_desc[0].bg_inode_bitmap_lo=limit+1
gd-ib-super plain: an inode bitmap in the superblock
  group_desc[0].bg_inode_bitmap_lo=superblock
gd-ib-descs plain: an inode bitmap in the descriptors
  group_desc[0].bg_inode_bitmap_lo=descriptors
gd-ib-other-group groups: an inode bitmap in the reserved descriptors of another group
  group_desc[1].bg_inode_bitmap_lo=8
gd-ib-high plain: an inode bitmap at a block number above 32 bits
  group_desc[0].bg_inode_bitmap_hi=1
gd-itable-outside mapped: an inode table past the end of its group
  group_desc[0].bg_inode_table_lo=limit+1
gd-itable-zero plain: an inode table in block 0
  group_desc[0].bg_inode_table_lo=0
gd-itable-end plain: an inode table past the end of the image
  group_desc[0].bg_inode_table_lo=limit+1
gd-itable-super plain: an inode table in the superblock
  group_desc[0].bg_inode_table_lo=superblock
gd-itable-descs plain: an inode table in the descriptors
  group_desc[0].bg_inode_table_lo=descriptors
gd-itable-other-group groups: an inode table in the reserved descriptors of another group
  group_desc[1].bg_inode_table_lo=8
gd-itable-high plain: an inode table at a block number above 32 bits
  group_desc[0].bg_inode_table_hi=1
gd-bitmaps-are-one plain: a block bitmap in the inode table
  group_desc[0].bg_block_bitmap_lo=inode_table
gd-ib-is-bb plain: the inode bitmap in the block bitmap
  group_desc[0].bg_inode_bitmap_lo=bitmap
gd-itable-is-bb plain: the inode table over the block bitmap
  group_desc[0].bg_inode_table_lo=bitmap
gd-free-blocks plain: a wrong count of free blocks
  group_desc[0].bg_free_blocks_count_lo-=1
gd-free-blocks-huge plain: more free blocks than a group has
  group_desc[0].bg_free_blocks_count=ones
gd-free-inodes plain: a wrong count of free inodes
  group_desc[0].bg_free_inodes_count_lo-=1
gd-free-inodes-huge plain: more free inodes than a group has
  group_desc[0].bg_free_inodes_count=ones
gd-used-dirs plain: a wrong count of directories
  group_desc[0].bg_used_dirs_count_lo+=1
gd-used-dirs-huge plain: more directories than inodes
  group_desc[0].bg_used_dirs_count=ones
gd-itable-unused plain: inodes in use in the unused part of the table
  group_desc[0].bg_itable_unused_lo=limit
gd-itable-unused-some plain: the last inodes in use are in the unused part of the table
  group_desc[0].bg_itable_unused_lo+=4
gd-itable-unused-huge plain: more unused inodes than inodes
  group_desc[0].bg_itable_unused=ones
gd-inode-uninit plain: inodes in use in a group marked INODE_UNINIT
  group_desc[0].bg_flags|=name:INODE_UNINIT
gd-block-uninit plain: blocks in use in a group marked BLOCK_UNINIT
  group_desc[0].bg_flags|=name:BLOCK_UNINIT
gd-both-uninit plain: a group in use marked INODE_UNINIT and BLOCK_UNINIT
  group_desc[0].bg_flags|=3
gd-last-uninit groups: the last group marked BLOCK_UNINIT
  group_desc[3].bg_flags|=name:BLOCK_UNINIT
gd-uninit-no-checksum mapped: UNINIT flags without descriptor checksums
  group_desc[0].bg_flags=3
gd-block-uninit-inode-not uninit: an inode marked as in use in a group marked BLOCK_UNINIT
  group_desc[2].bg_flags=2
  inode_bitmap[2].3=1
gd-initialised groups: uninitialised bitmaps without their flags
  group_desc[2].bg_flags=0
gd-flags-unknown plain: unknown flags
  group_desc[0].bg_flags=ones
gd-backup groups: a backup descriptor that differs
  group_desc[0][1].bg_free_inodes_count_lo=5
gd-checksum plain: a wrong checksum of a descriptor
  group_desc[0].bg_checksum=7
gd-checksum-crc16 uninit: a wrong crc16 of a descriptor
  group_desc[0].bg_checksum=7
gd-bb-checksum plain: a wrong checksum of the block bitmap
  group_desc[0].bg_block_bitmap_csum_lo=7
gd-ib-checksum plain: a wrong checksum of the inode bitmap
  group_desc[0].bg_inode_bitmap_csum_lo=7
gd-bb-uninit-ib-init uninit: an initialised inode bitmap in a group marked BLOCK_UNINIT
  group_desc[1].bg_flags=2
meta-bg-first meta_bg: a first metablock group that does not exist
  superblock.s_first_meta_bg=2
groups-meta-bg-first groups: the first metablock group is after the descriptors
  superblock.s_feature_incompat|=name:meta_bg
  superblock.s_feature_compat^=name:resize_inode
  superblock.s_reserved_gdt_blocks=0
  superblock.s_first_meta_bg=99
[bitmaps]
bitmap-block-free plain: a block in use marked as free
  block_bitmap[0].30=0
bitmap-blocks-free plain: contiguous blocks in use marked as free
  block_bitmap[0].30=0
  block_bitmap[0].31=0
  block_bitmap[0].32=0
bitmap-block-used plain: a free block marked as in use
  block_bitmap[0].150=1
bitmap-blocks-used plain: contiguous free blocks marked as in use
  block_bitmap[0].150=1
  block_bitmap[0].151=1
  block_bitmap[0].152=1
bitmap-block-padding plain: zeros in the padding of a block bitmap
  block_bitmap[0].8191=0
bitmap-inode-free plain: an inode in use marked as free
  inode_bitmap[0].12=0
bitmap-inodes-free plain: contiguous inodes in use marked as free
  inode_bitmap[0].12=0
  inode_bitmap[0].13=0
  inode_bitmap[0].14=0
bitmap-inode-used plain: a free inode marked as in use
  inode_bitmap[0].38=1
bitmap-inodes-used plain: contiguous free inodes marked as in use
  inode_bitmap[0].36=1
  inode_bitmap[0].37=1
  inode_bitmap[0].38=1
bitmap-inode-padding plain: zeros in the padding of an inode bitmap
  inode_bitmap[0].8191=0
bitmap-super-free plain: the superblock marked as free
  block_bitmap[0].0=0
bitmap-uninit-used groups: a block marked as in use in a bitmap that is never read
  block_bitmap[2].27=1
bitmap-uninit-inode-used groups: an inode marked as in use in a group marked BLOCK_UNINIT
  inode_bitmap[2].27=1
  group_desc[2].bg_flags=6
uninit-inode-bitmap uninit: an inode marked as in use in a bitmap that is never read
  inode_bitmap[1].3=1
[inodes]
root-file plain: the root is a regular file
  inode[/].i_mode=0x81a4
root-deleted plain: the root was deleted
  inode[/].i_dtime=5
root-gone plain: the root has no links
  inode[/].i_links_count=0
root-no-mode plain: the root has no file type
  inode[/].i_mode=0
root-no-blocks plain: the root is empty
  inode[/].i_size_lo=0
  extent_header[/].eh_entries=0
  inode[/].i_blocks_lo=0
root-extent-elsewhere plain: the root maps a block of a file
  extent[/][0].ee_start_lo=another
reserved-mode plain: a reserved inode is a device
  inode[9].i_mode=0x2000
  inode[9].i_links_count=1
reserved-used plain: a reserved inode is a regular file
  inode[9].i_mode=0x81a4
  inode[9].i_links_count=1
inode-no-links plain: a file with names but without links
  inode[/etc/passwd].i_links_count=0
inode-links-more plain: more links than names
  inode[/etc/passwd].i_links_count+=3
inode-links-huge plain: the largest link count that 16 bits can hold
  inode[/etc/passwd].i_links_count=ones
inode-links-fewer plain: fewer links than names
  inode[/empty].i_links_count=1
dir-links plain: a directory with too many links
  inode[/etc].i_links_count=9
dir-links-overflow plain: a small directory whose link count has overflowed
  inode[/etc].i_links_count=1
inode-deleted plain: a file in use with a deletion time
  inode[/etc/passwd].i_dtime=0x60000000
inode-deleted-low plain: a deletion time that may be an inode number
  inode[/etc/passwd].i_dtime=5
inode-orphans-lost plain: orphans that are not in the orphan list
  inode[/etc/passwd].i_dtime=5
  inode[/etc/hosts].i_dtime=6
  superblock.s_last_orphan=7
inode-unused-zero-dtime plain: a deleted file without a deletion time
  inode[/etc/passwd].i_links_count=0
  dir_entry_2[/etc][passwd].inode=0
inode-free-in-table plain: a file in an inode that is marked as free
  inode[39].i_mode=0x81a4
  inode[39].i_links_count=1
  group_desc[0].bg_itable_unused_lo=0
inode-mode-none plain: no file type
  inode[/etc/hosts].i_mode=0
inode-mode-bad plain: an unknown file type
  inode[/etc/hosts].i_mode=0xf1a4
inode-mode-dir plain: a file with the mode of a directory
  inode[/etc/hosts].i_mode=0x41ed
dir-mode-file plain: a directory with the mode of a file
  inode[/etc].i_mode=0x81a4
dir-mode-link plain: a directory with the mode of a symlink
  inode[/etc].i_mode=0xa1ff
dir-mode-fifo plain: a directory with the mode of a fifo
  inode[/etc/sub].i_mode=0x11a4
inode-size-less plain: a size smaller than the mapped blocks
  inode[/long].i_size_lo=0
inode-size-more plain: a size larger than the mapped blocks
  inode[/long].i_size_lo=0x7fffffff
inode-size-32 plain: a size of 0xffffffff
  inode[/long].i_size_lo=0xffffffff
inode-size-limit plain: a size one byte above the limit for files
  inode[/long].i_size=limit+1
inode-size-sign plain: a negative size
  inode[/long].i_size=sign
mapped-size-limit mapped: a size one byte above the limit of block maps
  inode[/long].i_size=limit+1
dir-size-zero plain: a directory of size 0
  inode[/etc].i_size_lo=0
dir-size-odd plain: a directory size that is not a multiple of the block size
  inode[/etc].i_size_lo=1000
dir-size-more plain: a directory size larger than its blocks
  inode[/etc].i_size_lo=0x100000
dir-size-high plain: a directory of terabytes
  inode[/etc].i_size_high=1
dir-size-high-mapped mapped: a directory of terabytes
  inode[/etc].i_size_high=1
inode-blocks plain: a wrong sector count
  inode[/long].i_blocks_lo=99
inode-blocks-high plain: a sector count above 32 bits
  inode[/long].l_i_blocks_high=1
inode-blocks-high-mapped mapped: a sector count above 32 bits, in a device
  inode[/tty].l_i_blocks_high=1
inode-faddr mapped: a fragment address
  inode[/long].i_obso_faddr=7
inode-faddr-device plain: a device with a fragment address
  inode[/tty].i_obso_faddr=7
inode-acl-dir-mapped mapped: an attribute block that contains none
  inode[/etc].i_file_acl_lo=7
inode-acl-super plain: an attribute block in the superblock
  inode[/etc/hosts].i_file_acl_lo=superblock
inode-acl-end plain: an attribute block past the end of the image
  inode[/etc/hosts].i_file_acl_lo=limit+1
inode-acl-high plain: an attribute block at a block number above 32 bits
  inode[/etc/hosts].l_i_file_acl_high=1
inode-acl-high-mapped mapped: an attribute block number above 32 bits without 64bit
  inode[/etc/hosts].l_i_file_acl_high=1
inode-acl-data plain: an attribute block in the content of a file
  inode[/etc/hosts].i_file_acl_lo=another
inode-acl-table plain: an attribute block in the inode table
  inode[/etc/hosts].i_file_acl_lo=inode_table
inode-acl-device-bad mapped: a device with an attribute block past the end of the image
  inode[/tty].i_file_acl_lo=limit+1
inode-extra-isize-odd plain: extra fields of three bytes
  inode[/etc/hosts].i_extra_isize=3
inode-extra-isize-huge plain: extra fields that end past the inode
  inode[/etc/hosts].i_extra_isize=ones
inode-extra-isize-zero plain: no extra fields
  inode[/etc/hosts].i_extra_isize=0
inode-time-far plain: a time after 2310
  inode[/etc/hosts].i_mtime_extra=3
  inode[/etc/hosts].i_mtime=0x80000000
inode-generation plain: a wrong generation
  inode[/etc].i_generation+=1
inode-checksum plain: a wrong checksum of an inode
  inode[/etc/hosts].l_i_checksum_lo=7
inode-garbage plain: random bytes in an inode
  inode[/etc/hosts].i_block[0]=random:1
  inode[/etc/hosts].i_flags=random:2
  inode[/etc/hosts].l_i_checksum_lo=7
flag-index-file plain: a file with an index
  inode[/etc/hosts].i_flags|=name:INDEX
flag-index-plain-dir plain: the INDEX flag without an index
  inode[/etc].i_flags|=name:INDEX
flag-imagic plain: the IMAGIC flag of AFS
  inode[/etc/hosts].i_flags|=0x2000
flag-immutable-device plain: an immutable device
  inode[/tty].i_flags|=name:IMMUTABLE
flag-append-fifo plain: an append-only fifo
  inode[/fifo].i_flags|=name:APPEND
flag-compressed plain: a compressed file
  inode[/etc/hosts].i_flags|=4
flag-unknown plain: unknown flags
  inode[/etc/hosts].i_flags|=0x04000000
flag-no-extents plain: an extent tree without the EXTENTS flag
  inode[/long].i_flags^=name:EXTENTS
flag-no-extents-dir plain: a directory with an extent tree without the EXTENTS flag
  inode[/etc].i_flags^=name:EXTENTS
flag-extents-mapped mapped: a block map with the EXTENTS flag
  inode[/long].i_flags|=name:EXTENTS
flag-extents-fast-link plain: a short symlink with the EXTENTS flag
  inode[/fast].i_flags|=name:EXTENTS
flag-extents-device plain: a device with the EXTENTS flag
  inode[/tty].i_flags|=name:EXTENTS
flag-inline-plain plain: inline data without the feature
  inode[/empty].i_flags|=name:INLINE_DATA
flag-inline-and-extents inline: the INLINE_DATA flag with an extent tree
  inode[/outside].i_flags|=name:INLINE_DATA
flag-inline-no-attribute inline: inline data without system.data
  inode[/tiny].i_extra_isize=0
flag-inline-device plain: a device with inline data
  inode[/tty].i_flags|=name:INLINE_DATA
flag-inline-extents-tiny inline: inline data with the EXTENTS flag
  inode[/tiny].i_flags|=name:EXTENTS
flag-inline-gone inline: inline data without the INLINE_DATA flag
  inode[/tiny].i_flags^=name:INLINE_DATA
flag-inline-dir-gone inline: an inline directory without the INLINE_DATA flag
  inode[/d].i_flags^=name:INLINE_DATA
flag-encrypt-no-context plain: an encrypted directory without a policy
  inode[/etc].i_flags|=name:ENCRYPT
flag-encrypt-feature locked: an encrypted directory without a policy, with the feature
  inode[/plain].i_flags|=name:ENCRYPT
flag-encrypt-file locked: an encrypted file without a policy
  inode[/plain/a].i_flags|=name:ENCRYPT
flag-casefold-file folded: a file with the CASEFOLD flag
  inode[/plain/a].i_flags|=name:CASEFOLD
flag-casefold-no-feature plain: a casefolded directory without the feature
  inode[/etc].i_flags|=name:CASEFOLD
flag-casefold-encrypt folded: a directory that is encrypted and casefolded
  inode[/folded].i_flags|=name:ENCRYPT
flag-verity-plain plain: the VERITY flag without the feature
  inode[/etc/hosts].i_flags|=name:VERITY
flag-verity-no-tree verity: the VERITY flag without a Merkle tree
  inode[/plain].i_flags|=name:VERITY
flag-verity-off verity: a Merkle tree without the VERITY flag
  inode[/sealed].i_flags^=name:VERITY
flag-ea-inode plain: a file with the EA_INODE flag
  inode[/etc/hosts].i_flags|=name:EA_INODE
flag-huge-file plain: a sector count marked as a block count
  inode[/long].i_flags|=name:HUGE_FILE
dir-nlink-65001 plain: the largest link count of a directory
  inode[/etc].i_links_count=65000
frag-zero mapped: a fragment number on Hurd
  inode[/tty].l_i_blocks_high=1
  superblock.s_creator_os=name:Hurd
[special files]
char-device-bad plain: a character device with a block
  inode[/tty].i_block[5]=7
char-device-mapped mapped: a character device with a block
  inode[/tty].i_block[5]=7
block-device-bad plain: a block device with a block
  inode[/disk].i_block[5]=7
fifo-bad plain: a fifo with a block
  inode[/fifo].i_block[5]=7
socket-bad plain: a socket with a block
  inode[/socket].i_block[5]=7
device-size plain: a device with a size
  inode[/tty].i_size_lo=3
dev-block-no-mode mapped: an immutable block device with a block
  inode[/disk].i_flags|=name:IMMUTABLE
  inode[/disk].i_block[2]=ones
[links]
link-size plain: a short symlink that is shorter than its size
  inode[/fast].i_size_lo=30
link-size-zero plain: a symlink without a target
  inode[/fast].i_size_lo=0
link-size-ones plain: a short symlink with a size of 0xffffffff
  inode[/fast].i_size_lo=0xffffffff
link-slow-size plain: a long symlink that is longer than its size
  inode[/slow].i_size_lo=3
link-slow-huge plain: a symlink longer than a block
  inode[/slow].i_size_lo=5000
link-slow-blocks plain: a symlink with several blocks
  extent[/slow][0].ee_len=5
link-slow-far plain: a long symlink that does not begin at block 0
  extent[/slow][0].ee_block=9
link-mapped-far mapped: a symlink with a triple indirect block
  inode[/slow].i_block[14]=another
[extents]
eh-magic plain: no magic number in an extent tree
  extent_header[/flat].eh_magic=0
eh-entries-more plain: more entries than an inode can hold
  extent_header[/flat].eh_entries=9
eh-entries-unwritten plain: an entry count that is one too high
  extent_header[/flat].eh_entries=4
eh-entries-fewer plain: an entry count that is one too low
  extent_header[/flat].eh_entries-=1
eh-entries-zero plain: a file without extents, but with a size
  extent_header[/flat].eh_entries=0
eh-max-zero plain: no space for entries
  extent_header[/flat].eh_max=0
eh-max-more plain: more space for entries than the inode has
  extent_header[/flat].eh_max=limit+1
eh-depth plain: a leaf with the depth of an inner node
  extent_header[/flat].eh_depth=1
eh-depth-huge plain: an impossible depth
  extent_header[/flat].eh_depth=9
eh-depth-limit plain: a depth one above the limit
  extent_header[/flat].eh_depth=limit+1
eh-block-magic plain: no magic number in an extent tree block
  extent_header[/wide:1].eh_magic=7
eh-block-entries plain: more entries than a block can hold
  extent_header[/wide:1].eh_entries=limit+1
eh-block-entries-zero plain: a leaf without entries
  extent_header[/wide:1].eh_entries=0
eh-block-entries-fewer plain: fewer entries in a leaf than were written
  extent_header[/wide:1].eh_entries=5
eh-block-max plain: more space for entries than a block has
  extent_header[/wide:1].eh_max=limit+1
eh-block-max-less plain: less space for entries than a block has
  extent_header[/wide:1].eh_max=70
eh-block-depth plain: a leaf with the depth of an inner node
  extent_header[/wide:1].eh_depth=1
eh-deep-entries deep: an inner node with only one child
  extent_header[/deep:1].eh_entries=1
eh-deep-root-entries deep: a root without children
  extent_header[/deep].eh_entries=0
eh-deep-inner-zero deep: an inner node without children
  extent_header[/deep:1].eh_entries=0
eh-deep-leaf-zero deep: a leaf without entries in a deep tree
  extent_header[/deep:2].eh_entries=0
ex-length-zero plain: an extent of no blocks
  extent[/flat][1].ee_len=0
ex-length-max plain: an extent of 32767 unwritten blocks
  extent[/flat][1].ee_len=0xffff
ex-length-32768 plain: an extent of 32768 blocks
  extent[/flat][1].ee_len=0x8000
ex-length-end plain: an extent past the end of the image
  extent[/flat][2].ee_len=limit+1
ex-unwritten-dir plain: a directory with an unwritten block
  extent[/etc][0].ee_len=0x8001
ex-unwritten-past-end plain: unwritten blocks past the end of the file
  extent[/flat][2].ee_len=0x8010
ex-start-super plain: content in the superblock
  extent[/flat][0].ee_start_lo=superblock
ex-start-descs plain: content in the descriptors
  extent[/flat][0].ee_start_lo=descriptors
ex-start-table plain: content in the inode table
  extent[/flat][0].ee_start_lo=inode_table
ex-start-bitmap plain: content in the block bitmap
  extent[/flat][0].ee_start_lo=bitmap
ex-start-zero plain: content in block 0
  extent[/flat][0].ee_start_lo=0
ex-start-end plain: content past the end of the image
  extent[/flat][0].ee_start_lo=limit+1
ex-start-high plain: content at a block number above 32 bits
  extent[/flat][0].ee_start_hi=1
ex-start-another plain: a block in two files
  extent[/flat][0].ee_start_lo=another
ex-start-dir plain: a file that maps the block of a directory
  extent[/flat][0].ee_start_lo=root
ex-start-range plain: several blocks in two files
  extent[/long][0].ee_start_lo-=3
ex-start-neighbour plain: the next block, which belongs to another file
  extent[/shared1][0].ee_start_lo=neighbour
ex-block-order plain: extents out of order
  extent[/flat][2].ee_block=1
ex-block-same plain: two extents for the same logical block
  extent[/flat][1].ee_block=0
ex-block-huge plain: an impossible logical block
  extent[/flat][2].ee_block=ones
ex-block-end plain: the last possible logical block
  extent[/flat][2].ee_block=0xfffffffe
ex-block-dir-hole plain: a directory that begins with a hole
  extent[/etc][0].ee_block=1
ex-block-dir-far plain: a directory whose block has a huge logical number
  extent[/etc][0].ee_block=0x7fffffff
ei-block plain: an index that begins at another block than its child
  extent_idx[/wide:0:0].ei_block=5
ei-leaf-zero plain: a child in block 0
  extent_idx[/wide:0:0].ei_leaf_lo=0
ei-leaf-itself deep: a node that is its own child
  extent_idx[/deep:1:0].ei_leaf_lo=itself
ei-leaf-parent deep: a node whose child is its parent
  extent_idx[/deep:0:0].ei_leaf_lo=parent
ei-leaf-twice deep: two indexes with the same child
  extent_idx[/deep:1:1].ei_leaf_lo-=1
ei-leaf-super plain: a child in the superblock
  extent_idx[/wide:0:0].ei_leaf_lo=superblock
ei-leaf-end plain: a child past the end of the image
  extent_idx[/wide:0:0].ei_leaf_lo=limit+1
ei-leaf-high plain: a child at a block number above 32 bits
  extent_idx[/wide:0:0].ei_leaf_hi=1
ei-leaf-another plain: a child in the content of a file
  extent_idx[/wide:0:0].ei_leaf_lo=another
ei-order deep: indexes out of order
  extent_idx[/deep:1:2].ei_block=0
et-checksum plain: a wrong checksum of an extent tree block
  extent_tail[/wide:1].et_checksum=7
et-checksum-and-garbage plain: an extent tree block without magic number and with a wrong checksum
  extent_header[/wide:1].eh_magic=0
  extent_tail[/wide:1].et_checksum=7
ex-leaf-end deep: an extent that begins after the next index
  extent[/deep:2:83].ee_block=900
ex-leaf-past-parent plain: an extent that begins at another block than its index
  extent[/wide:1:0].ee_block=5
ex-past-end plain: an extent that ends past the end of the image
  extent[/long][0].ee_len=300
[block maps]
map-zero-super mapped: content in the superblock
  inode[/long].i_block[0]=superblock
map-end mapped: content past the end of the image
  inode[/long].i_block[0]=limit+1
map-many-bad mapped: most of a file past the end of the image
  inode[/long].i_block[0]=limit+1
  inode[/long].i_block[1]=limit+2
  inode[/long].i_block[2]=limit+3
  inode[/long].i_block[3]=limit+4
  inode[/long].i_block[4]=limit+5
  inode[/long].i_block[5]=limit+6
  inode[/long].i_block[6]=limit+7
  inode[/long].i_block[7]=limit+8
  inode[/long].i_block[8]=limit+9
  inode[/long].i_block[9]=limit+10
  inode[/long].i_block[10]=limit+11
  inode[/long].i_block[11]=limit+12
map-ind-super mapped: an indirect block in the superblock
  inode[/indirect].i_block[12]=superblock
map-ind-end mapped: an indirect block past the end of the image
  inode[/indirect].i_block[12]=limit+1
map-ind-itself mapped: an indirect block that maps itself
  indirect_block[/indirect][0].0=itself
map-ind-root mapped: an indirect block that is the block of the root directory
  inode[/indirect].i_block[12]=root
map-dind-is-ind mapped: a double indirect block in the inode table
  inode[/double].i_block[13]=itself
map-tind mapped: a triple indirect block in a small file
  inode[/double].i_block[14]=limit-3
map-tind-dir mapped: a triple indirect block in a directory
  inode[/etc].i_block[14]=limit-3
map-twice mapped: the same block twice in a file
  inode[/long].i_block[1]=300
  inode[/long].i_block[2]=300
map-data-bad mapped: an indirect block that maps a block past the end of the image
  indirect_block[/indirect][0].1=ones
map-dir-hole mapped: a directory without its first block
  inode[/etc].i_block[0]=0
map-dir-second mapped: a directory with a hole
  inode[/etc].i_block[3]=another
  inode[/etc].i_size_lo=4096
map-dir-big mapped: a directory whose triple indirect block is the block of the root directory
  inode[/etc].i_block[14]=root
mapped-overlap mapped: content in the inode table
  inode[/long].i_block[0]=inode_table
file-mapped-far mapped: a file whose triple indirect block is the block of the root directory
  inode[/double].i_block[14]=root
[bad blocks]
bad-blocks-mode plain: the inode of the bad block list is a file
  inode[1].i_mode=0x81a4
  inode[1].i_links_count=1
bad-blocks-invalid plain: the bad block list is an extent tree
  inode[1].i_flags|=name:EXTENTS
  inode[1].i_block[0]=0xf30a
bad-blocks-super mapped: the superblock is in the bad block list
  inode[1].i_block[0]=superblock
  inode[1].i_size_lo=1024
  inode[1].i_blocks_lo=2
bad-blocks-descs mapped: the descriptors are in the bad block list
  inode[1].i_block[0]=descriptors
bad-blocks-backup groups: a backup superblock is in the bad block list
  inode[1].i_block[0]=8193
bad-blocks-backup-descs groups: backup descriptors are in the bad block list
  inode[1].i_block[0]=8194
bad-blocks-bb mapped: the block bitmap is in the bad block list
  inode[1].i_block[0]=bitmap
bad-blocks-ib mapped: the inode bitmap is in the bad block list
  inode[1].i_block[0]=bitmap+1
bad-blocks-itable mapped: the inode table is in the bad block list
  inode[1].i_block[0]=inode_table+1
bad-blocks-end mapped: a bad block past the end of the image
  inode[1].i_block[0]=limit+1
bad-blocks-file mapped: a block of a file is in the bad block list
  inode[1].i_block[0]=another
bad-blocks-ind-super mapped: the indirect block of the bad block list is the superblock
  inode[1].i_block[12]=superblock
bad-blocks-ind-end mapped: the indirect block of the bad block list is past the end of the image
  inode[1].i_block[12]=limit+1
bad-blocks-in-itself mapped: the bad block list contains its own indirect block
  inode[1].i_block[0]=500
  inode[1].i_block[12]=500
bad-blocks-many mapped: a bad block list with only invalid blocks
  inode[1].i_block[0]=ones
  inode[1].i_block[1]=ones
  inode[1].i_block[2]=limit+1
[directories]
de-inode-end plain: an entry for an inode that does not exist
  dir_entry_2[/etc][passwd].inode=limit+1
de-inode-free plain: an entry for a free inode
  dir_entry_2[/etc][hosts].inode=limit
de-inode-zero plain: an unused entry instead of a name
  dir_entry_2[/etc][hosts].inode=0
de-inode-root plain: an entry for the root
  dir_entry_2[/etc][hosts].inode=root
de-inode-itself plain: an entry for its own directory
  dir_entry_2[/etc][hosts].inode=itself
de-inode-parent plain: an entry for the parent directory
  dir_entry_2[/etc/sub][low].inode=parent
de-inode-another plain: an entry for another file
  dir_entry_2[/etc][hosts].inode=another
de-inode-reserved plain: an entry for the bad block list
  dir_entry_2[/etc][hosts].inode=1
de-inode-dir-twice plain: two entries for a directory
  dir_entry_2[/][fast].inode=11
de-inode-uninit groups: an entry for an inode in a group marked INODE_UNINIT
  dir_entry_2[/etc][hosts].inode=1500
de-inode-unused plain: an entry for an inode in the unused part of the table
  dir_entry_2[/etc][hosts].inode=limit
  group_desc[0].bg_itable_unused_lo=4
de-inode-bad-block mapped: an entry for an inode in a bad block
  inode[1].i_block[0]=inode_table+3
  dir_entry_2[/etc][hosts].inode=25
de-name-empty plain: an empty name
  dir_entry_2[/etc][hosts].name_len=0
de-name-long plain: a name that ends past its entry
  dir_entry_2[/etc][hosts].name_len=255
de-name-slash plain: a name with a slash
  bytes[/etc][36]=text:/
de-name-zero plain: a name with a zero byte
  bytes[/etc][34]=hex:00
de-name-dot plain: a second .
  dir_entry_2[/etc][hosts].name_len=1
  bytes[/etc][32]=text:.
de-name-dot-dot plain: a second ..
  dir_entry_2[/etc][hosts].name_len=2
  bytes[/etc][32]=text:..
de-name-twice plain: the same name twice
  dir_entry_2[/etc][hosts].name_len=6
  dir_entry_2[/etc][hosts].rec_len=16
  bytes[/etc][32]=text:passwd
de-name-twice-same-inode plain: the same name twice for the same inode
  dir_entry_2[/etc][hosts].name_len=6
  bytes[/etc][32]=text:passwd
  dir_entry_2[/etc][hosts].inode+=1
de-type-wrong plain: a file with the file type of a directory
  dir_entry_2[/etc][hosts].file_type=2
de-type-none plain: an entry without a file type
  dir_entry_2[/etc][hosts].file_type=0
de-type-unknown plain: an unknown file type
  dir_entry_2[/etc][hosts].file_type=99
de-type-no-feature mapped: a file type without the feature
  superblock.s_feature_incompat^=name:filetype
de-rec-len-zero plain: an entry of length 0
  dir_entry_2[/etc][passwd].rec_len=0
de-rec-len-odd plain: an entry of an odd length
  dir_entry_2[/etc][passwd].rec_len=13
de-rec-len-small plain: an entry shorter than its header
  dir_entry_2[/etc][passwd].rec_len=4
de-rec-len-short plain: an entry shorter than its name
  dir_entry_2[/etc][passwd].rec_len=12
de-rec-len-end plain: an entry that ends past its block
  dir_entry_2[/etc][passwd].rec_len=ones
de-rec-len-last plain: a last entry that ends before the block does
  dir_entry_2[/etc][sub].rec_len-=4
de-rec-len-past-tail plain: a last entry that overlaps the checksum
  dir_entry_2[/etc][sub].rec_len+=12
de-rec-len-last-mapped mapped: a last entry that ends before the block does
  dir_entry_2[/etc][sub].rec_len-=4
dot-inode plain: a . for another directory
  dir_entry_2[/etc][.].inode=root
dot-name plain: a first entry with the name ..
  dir_entry_2[/etc][.].name_len=2
dot-name-other plain: a first entry with another name than .
  bytes[/etc][8]=text:x
dot-missing plain: an unused entry instead of .
  dir_entry_2[/etc][.].inode=0
dot-missing-mapped mapped: an unused entry instead of .
  dir_entry_2[/etc][.].inode=0
dot-not-ended plain: a . that is not followed by a zero byte
  bytes[/etc][9]=text:x
dot-rec-len plain: a . that fills the block
  dir_entry_2[/etc][.].rec_len=1012
dot-rec-len-split plain: a . that is longer than necessary
  dir_entry_2[/etc][.].rec_len=24
dot-rec-len-mapped mapped: a . that fills the block
  dir_entry_2[/etc][.].rec_len=1024
dotdot-inode plain: a .. for the directory itself
  dir_entry_2[/etc][..].inode=itself
dotdot-inode-end plain: a .. for an inode that does not exist
  dir_entry_2[/etc][..].inode=limit+1
dotdot-root plain: a .. of the root for another directory
  dir_entry_2[/][..].inode=11
dotdot-name plain: a second entry with the name .
  dir_entry_2[/etc][..].name_len=1
dotdot-name-other plain: a second entry with another name than ..
  bytes[/etc][20]=text:xy
dotdot-missing plain: an unused entry instead of ..
  dir_entry_2[/etc][..].inode=0
dotdot-not-ended plain: a .. that is not followed by a zero byte
  bytes[/etc][22]=text:x
dir-loop plain: a directory below itself
  dir_entry_2[/etc/sub][low].inode-=1
  dir_entry_2[/etc][sub].inode=0
dir-unconnected plain: a directory without a name
  dir_entry_2[/][etc].inode=0
dir-circle plain: two directories that are each other's parents
  dir_entry_2[/etc][sub].inode=0
  dir_entry_2[/etc/sub][..].inode=15
dir-two-parents plain: a directory with names in two directories
  dir_entry_2[/etc][hosts].inode=11
file-unattached plain: a file without a name
  dir_entry_2[/][flat].inode=0
file-unattached-empty plain: an empty file without a name
  dir_entry_2[/][fifo].inode=0
lost-found-gone plain: no lost+found
  dir_entry_2[/][lost+found].inode=0
  dir_entry_2[/][flat].inode=0
lost-found-file plain: a file instead of lost+found
  dir_entry_2[/][lost+found].inode=another
  dir_entry_2[/][lost+found].file_type=1
  dir_entry_2[/][flat].inode=0
lost-found-inline inline: lost+found with inline data
  inode[/lost+found].i_flags|=name:INLINE_DATA
  inode[/lost+found].i_flags&=0xfff7ffff
  dir_entry_2[/d][a].inode=0
lost-found-encrypted locked: lost+found is encrypted
  inode[/lost+found].i_flags|=name:ENCRYPT
  dir_entry_2[/plain][a].inode=0
lost-found-full plain: lost+found is full
  extent[/lost+found][0].ee_len=1
  inode[/lost+found].i_size_lo=1024
  dir_entry_2[/][flat].inode=0
det-tail-inode plain: a checksum tail with an inode
  dir_entry_tail[/etc][0].det_reserved_zero1=5
det-tail-length plain: a checksum tail of a wrong length
  dir_entry_tail[/etc][0].det_rec_len=16
det-tail-type plain: a checksum tail without its type
  dir_entry_tail[/etc][0].det_reserved_ft=0
det-checksum plain: a wrong checksum of a directory block
  dir_entry_tail[/etc][0].det_checksum=7
dir-inline-lost-found inline: a file instead of lost+found, in an image with inline data
  dir_entry_2[/][lost+found].inode=another
  dir_entry_2[/d][a].inode=0
dirent-dup-linear plain: the same name twice for two inodes
  bytes[/etc][32]=text:passwd
  dir_entry_2[/etc][hosts].name_len=6
  dir_entry_2[/etc][hosts].rec_len=16
no-root-and-lost plain: neither a root directory nor lost+found
  inode[2].i_mode=0
  inode[11].i_mode=0
lost-found-no-space plain: no lost+found and no free block for one
  dir_entry_2[/][lost+found].inode=0
  dir_entry_2[/][flat].inode=0
[index]
dx-limit plain: a wrong limit of the root
  dx_root[/many].limit=100
dx-limit-more plain: a limit larger than the root can hold
  dx_root[/many].limit=limit+1
dx-limit-zero plain: a limit of 0
  dx_root[/many].limit=0
dx-limit-ones plain: the largest limit that 16 bits can hold
  dx_root[/many].limit=ones
dx-count-one plain: leaves that are not in the index
  dx_root[/many].count=1
dx-count-zero plain: an index without entries
  dx_root[/many].count=0
dx-count-more plain: more entries than the limit allows
  dx_root[/many].count=limit+1
dx-count-ones plain: the largest count that 16 bits can hold
  dx_root[/many].count=ones
dx-hash-version plain: an unknown hash version
  dx_root[/many].hash_version=9
dx-hash-other plain: a hash version that differs from that of the entries
  dx_root[/many].hash_version=2
dx-hash-siphash plain: a hash version that requires a key
  dx_root[/many].hash_version=6
dx-hash-siphash-folded folded: a hash version that requires a key
  dx_root[/many].hash_version=6
dx-hash-locked folded: an encrypted and casefolded directory without siphash
  inode[/many].i_flags|=name:ENCRYPT
dx-flags plain: unknown flags
  dx_root[/many].unused_flags=1
dx-levels plain: an impossible number of levels
  dx_root[/many].indirect_levels=5
dx-levels-more plain: a number of levels that is one too high
  dx_root[/many].indirect_levels=1
dx-levels-fewer deep: a number of levels that is one too low
  dx_root[/most].indirect_levels=0
dx-levels-limit deep: one level more than the kernel accepts
  dx_root[/most].indirect_levels=2
dx-info-length plain: a wrong length of the root's information
  dx_root[/many].info_length=9
dx-reserved plain: padding that is not zero
  dx_root[/many].reserved_zero=1
dx-dot plain: a . in the root of the index for another directory
  dx_root[/many].dot_inode=root
dx-dot-rec-len plain: a . in the root of the index that is longer than necessary
  dx_root[/many].dot_rec_len=24
dx-dotdot-rec-len plain: a .. in the root of the index that does not cover the index
  dx_root[/many].dotdot_rec_len=12
dx-block-end plain: a leaf past the end of the directory
  dx_root[/many].block=99
dx-block-ones plain: a leaf with the largest block number
  dx_entry[/many][0][1].block=ones
dx-block-itself plain: a leaf that is the root of the index
  dx_root[/many].block=itself
dx-block-twice plain: the same leaf twice
  dx_entry[/many][0][1].block=1
dx-hash-order plain: hashes out of order
  dx_entry[/many][0][2].hash=0x10
dx-hash-high plain: a leaf with hashes below its range
  dx_entry[/many][0][1].hash=0xfffffff0
dx-hash-low plain: a leaf with hashes above its range
  dx_entry[/many][0][2].hash-=2
dx-node-limit deep: a wrong limit of a node
  dx_node[/most][1].limit=3
dx-node-limit-more deep: a limit larger than a node can hold
  dx_node[/most][1].limit=limit+1
dx-node-count deep: leaves that are not in a node
  dx_node[/most][1].count=3
dx-node-count-zero deep: a node without entries
  dx_node[/most][1].count=0
dx-node-count-more deep: more entries than the limit of a node allows
  dx_node[/most][1].count=limit+1
dx-node-block-end deep: a leaf past the end of the directory, in a node
  dx_node[/most][1].block=9999
dx-node-block-itself deep: a node that refers to itself
  dx_node[/most][1].block=itself
dx-node-block-root deep: a node that refers to the root of the index
  dx_node[/most][1].block=0
dx-node-hash-order deep: hashes out of order in a node
  dx_entry[/most][1][3].hash=0
dx-node-fake-inode deep: a node whose first entry has an inode
  dx_node[/most][1].fake_inode=12
dx-node-fake-length deep: a node whose first entry does not cover the block
  dx_node[/most][1].fake_rec_len=12
dx-root-to-leaf deep: a leaf instead of a node
  dx_root[/most].block=3
dx-loop deep: a root that refers to itself
  dx_root[/most].block=itself
dx-tail-reserved plain: padding in the tail that is not zero
  dx_tail[/many][0].dt_reserved=1
dx-checksum plain: a wrong checksum of the root of the index
  dx_tail[/many][0].dt_checksum=7
dx-node-checksum deep: a wrong checksum of a node
  dx_tail[/most][1].dt_checksum=7
dx-leaf-empty plain: an unused first entry in a leaf
  dir_entry_2[/many][#2].inode=0
dx-unexpected-block plain: an index in a directory of one block
  inode[/many].i_size_lo=1024
dup-name-htree plain: an entry for the directory itself, in an index
  dir_entry_2[/many][#3].inode=itself
htree-unexpected deep: an indexed directory with a size that is too small
  inode[/most].i_size_lo=2048
[attributes]
ea-magic plain: no magic number in an attribute block
  xattr_header[/shared1].h_magic=0
ea-refcount-more plain: a reference count that is too high
  xattr_header[/shared1].h_refcount=5
ea-refcount-zero plain: a reference count of 0
  xattr_header[/shared1].h_refcount=0
ea-refcount-max plain: a reference count above the limit
  xattr_header[/shared1].h_refcount=limit+1
ea-blocks plain: an attribute block that claims two blocks
  xattr_header[/shared1].h_blocks=2
ea-blocks-zero plain: an attribute block that claims no blocks
  xattr_header[/shared1].h_blocks=0
ea-hash plain: a wrong hash of an entry
  xattr_entry[/shared1][user.big].e_hash=1
ea-block-hash plain: a wrong hash of all entries
  xattr_header[/shared1].h_hash=1
ea-checksum plain: a wrong checksum of an attribute block
  xattr_header[/shared1].h_checksum=7
ea-name-index plain: an unknown name prefix
  xattr_entry[/shared1][user.big].e_name_index=99
ea-name-index-zero plain: a name without a prefix
  xattr_entry[/shared1][user.big].e_name_index=0
ea-name-empty plain: an empty name
  xattr_entry[/shared1][user.big].e_name_len=0
ea-name-long plain: a name that ends past the block
  xattr_entry[/shared1][user.small].e_name_len=255
ea-value-offset plain: a value past the block
  xattr_entry[/shared1][user.big].e_value_offs=2000
ea-value-offset-name plain: a value that overlaps the names
  xattr_entry[/shared1][user.big].e_value_offs=32
ea-value-offset-same plain: two values that overlap
  xattr_entry[/shared1][user.small].e_value_offs=limit-100
ea-value-size plain: a value that ends past the block
  xattr_entry[/shared1][user.small].e_value_size=ones
ea-value-size-more plain: a value one byte longer than before
  xattr_entry[/shared1][user.small].e_value_size+=1
ea-value-inode plain: a value in an inode without the feature
  xattr_entry[/shared1][user.big].e_value_inum=12
ea-in-name-long plain: a name that ends past the inode
  xattr_entry[/etc/hosts][user.note].e_name_len=200
ea-in-name-longer plain: a name longer than the remaining space
  xattr_entry[/etc/hosts][user.note].e_name_len=70
ea-in-name-empty plain: an empty name in an inode
  xattr_entry[/etc/hosts][user.note].e_name_len=0
ea-in-value-offset plain: a value past the inode
  xattr_entry[/etc/hosts][user.note].e_value_offs=200
ea-in-value-offset-odd plain: a value that overlaps its own name
  xattr_entry[/etc/hosts][user.note].e_value_offs=0
ea-in-value-size plain: a value that ends past the inode
  xattr_entry[/etc/hosts][user.note].e_value_size=200
ea-in-value-size-ones plain: the largest value size that 32 bits can hold
  xattr_entry[/etc/hosts][user.note].e_value_size=ones
ea-in-value-inode plain: a value in another inode without the feature
  xattr_entry[/etc/hosts][user.note].e_value_inum=12
ea-in-hash plain: a wrong hash in an inode
  xattr_entry[/etc/hosts][user.note].e_hash=1
ea-in-magic plain: no magic number of the attributes in an inode
  xattr_ibody_header[/etc/hosts].h_magic=9
ea-shared-one-file plain: a file with an attribute block that is not one
  inode[/etc/hosts].i_file_acl_lo=another
ea-in-name-too-long plain: a name that leaves no space for its value
  xattr_entry[/etc/hosts][user.note].e_name_len=60
ea-in-value-offset-end plain: a value that begins past the inode
  xattr_entry[/etc/hosts][user.note].e_value_offs=90
ea-inode-flag-missing plain: a value in an inode without the EA_INODE flag
  superblock.s_feature_incompat|=name:ea_inode
  xattr_entry[/shared1][user.big].e_value_inum=13
ea-inode-itself plain: a value in an inode that is its owner
  superblock.s_feature_incompat|=name:ea_inode
  xattr_entry[/etc/hosts][user.note].e_value_inum=12
  inode[12].i_flags|=name:EA_INODE
[values in inodes]
ev-inode-zero values: a value without its inode
  xattr_entry[/one][user.large].e_value_inum=0
ev-inode-end values: a value in an inode that does not exist
  xattr_entry[/one][user.large].e_value_inum=limit+1
ev-inode-itself values: a value in the file that owns it
  xattr_entry[/one][user.large].e_value_inum=itself
ev-inode-root values: a value in the root directory
  xattr_entry[/one][user.large].e_value_inum=root
ev-inode-file values: a value in another file
  xattr_entry[/one][user.large].e_value_inum=another
ev-inode-other values: a value that belongs to another attribute
  xattr_entry[/one][user.large].e_value_inum=18
ev-inode-reserved values: a value in the inode of the bad block list
  xattr_entry[/one][user.large].e_value_inum=1
ev-flag values: an attribute inode without the EA_INODE flag
  inode[17].i_flags^=name:EA_INODE
ev-flag-file values: a file with the EA_INODE flag as a value
  inode[/plain].i_flags|=name:EA_INODE
  xattr_entry[/one][user.large].e_value_inum=16
ev-flag-loop values: a value whose value is itself
  inode[/one].i_flags|=name:EA_INODE
  xattr_entry[/one][user.large].e_value_inum=itself
ev-loop values: two files that are each other's values
  xattr_entry[/one][user.large].e_value_inum=14
  xattr_entry[/two][user.large].e_value_inum=13
  inode[/one].i_flags|=name:EA_INODE
  inode[/two].i_flags|=name:EA_INODE
ev-references-more values: a reference count that is too high
  inode[17].l_i_version=9
ev-references-zero values: a reference count of 0 for a value in use
  inode[17].l_i_version=0
ev-references-high values: a reference count above 32 bits
  inode[17].i_ctime=1
ev-unused values: a value without an owner
  xattr_entry[/three][user.other].e_name_len=0
ev-hash values: a wrong hash of a value
  inode[17].i_atime+=1
ev-content values: a value that differs from its hash
  bytes[17][5]=hex:00
ev-entry-hash values: a wrong hash of an entry
  xattr_entry[/one][user.large].e_hash=1
ev-size values: a value shorter than its entry states
  inode[17].i_size_lo=100
ev-size-entry values: an entry that states more than its value has
  xattr_entry[/one][user.large].e_value_size+=1000
ev-size-huge values: a value size of 4 GiB
  xattr_entry[/one][user.large].e_value_size=ones
ev-links values: an attribute inode without links
  inode[17].i_links_count=0
ev-mode values: an attribute inode that is a directory
  inode[17].i_mode=0x41ed
ev-visible values: an entry for an attribute inode
  dir_entry_2[/][plain].inode=17
ev-attributes values: an attribute inode with an attribute block
  inode[17].i_file_acl_lo=another
ev-offset values: a value in an inode with an offset in the block
  xattr_entry[/one][user.large].e_value_offs=20
ev-no-feature values: attribute inodes without the feature
  superblock.s_feature_incompat^=name:ea_inode
[clusters]
cl-block-map clusters: a block map with bigalloc
  inode[/short].i_flags^=name:EXTENTS
cl-start clusters: an extent that begins inside a cluster
  extent[/long][0].ee_start_lo+=1
cl-logical clusters: a block at another position in its cluster
  extent[/holes][1].ee_block+=1
cl-two-clusters clusters: a logical cluster in two physical ones
  extent[/holes][1].ee_block=2
cl-shared clusters: a cluster in two files
  extent[/short][0].ee_start_lo=another
cl-shared-part clusters: a part of a cluster in two files
  extent[/short][0].ee_start_lo=another+1
cl-length clusters: an extent that continues into the cluster of another file
  extent[/long][0].ee_len=60
cl-table clusters: content in the cluster of the inode table
  extent[/short][0].ee_start_lo=inode_table
cl-blocks clusters: a sector count that is not a multiple of the cluster size
  inode[/long].i_blocks_lo-=2
cl-free-blocks clusters: a wrong count of free clusters
  group_desc[0].bg_free_blocks_count_lo-=1
cl-free-super clusters: a count of free blocks that is not a multiple of the cluster size
  superblock.s_free_blocks_count_lo-=1
cl-bitmap clusters: a cluster in use marked as free
  block_bitmap[0].13=0
cl-size clusters: clusters smaller than blocks
  superblock.s_log_cluster_size=0
cl-size-more clusters: a wrong cluster size
  superblock.s_log_cluster_size+=1
cl-per-group clusters: a wrong number of clusters per group
  superblock.s_clusters_per_group=4096
cl-no-feature clusters: bigalloc without the feature
  superblock.s_feature_ro_compat^=name:bigalloc
[inline data]
in-size-odd inline: an inline directory with an odd size
  inode[/d].i_size_lo=61
in-size-more inline: an inline directory that ends past the inode
  inode[/d].i_size_lo=500
in-size-file inline: inline data that ends past the inode
  inode[/tiny].i_size_lo=300
in-dir-rec-len inline: an inline entry of length 0
  dir_entry_2[/d][a].rec_len=0
in-dir-rec-len-end inline: an inline entry that ends past the directory
  dir_entry_2[/d][#1].rec_len=200
in-dir-inode inline: an inline entry for an inode that does not exist
  dir_entry_2[/d][a].inode=limit+1
in-dir-parent inline: an inline directory with a wrong parent
  inode[/d].i_block[0]=11
in-dir-parent-end inline: an inline directory whose parent does not exist
  inode[/d].i_block[0]=60000
in-dir-hash-flag inline: an inline directory with the INDEX flag
  inode[/d].i_flags|=name:INDEX
in-name-long inline: an inline name that ends past its entry
  dir_entry_2[/d][a].name_len=255
in-value-offset inline: system.data past the end of the inode
  xattr_entry[/inside][#0].e_value_offs=200
in-value-size inline: system.data longer than the inode
  xattr_entry[/inside][#0].e_value_size=400
in-name-index inline: system.data with another prefix
  xattr_entry[/tiny][#0].e_name_index=1
in-value-inode inline: system.data in another inode
  xattr_entry[/inside][#0].e_value_inum=12
[quota]
qu-mode quota: a quota file that is a directory
  inode[3].i_mode=0x41ed
qu-mode-device quota: a quota file that is a device
  inode[4].i_mode=0x21a4
qu-not-clear plain: a quota file without the feature
  inode[3].i_mode=0x81a4
  inode[3].i_links_count=1
  inode[3].i_size_lo=1024
qu-visible quota: an entry for the user quota file
  dir_entry_2[/etc][hosts].inode=3
qu-links quota: a quota file without links
  inode[3].i_links_count=0
qu-magic quota: no magic number in a quota file
  quota_header[user].dqh_magic=0
qu-version quota: an unknown version of a quota file
  quota_header[user].dqh_version=9
qu-blocks quota: more blocks than the quota file has
  quota_info[user].dqi_blocks=ones
qu-free-block quota: a free block past the end of the quota file
  quota_info[user].dqi_free_blk=ones
qu-space quota: a wrong number of bytes in use
  quota_entry[user][5].dqb_curspace+=1024
qu-inodes quota: a wrong number of inodes in use
  quota_entry[user][5].dqb_curinodes+=1
qu-entries quota: more entries than a block has
  quota_block_header[user][5].dqdh_entries=ones
qu-loop quota: a loop in a quota tree
  bytes[3][1024]=hex:01000000
qu-tree-end quota: a block past the end of the file in a quota tree
  bytes[3][1024]=hex:ffffff7f
qu-size quota: a quota file of size 0
  inode[3].i_size_lo=0
qu-no-feature quota: quota files without the feature
  superblock.s_feature_ro_compat^=name:quota
qu-visible-group quota: an entry for the group quota file
  dir_entry_2[/etc][hosts].inode=4
  dir_entry_2[/etc][hosts].file_type=1
[orphan file]
of-magic orphan: no magic number in the orphan file
  orphan_block_tail[0].ob_magic=0
of-checksum orphan: a wrong checksum of the orphan file
  orphan_block_tail[0].ob_checksum=7
of-dirty orphan: an orphan without orphan_present
  orphan_block[0].0=12
of-orphan orphan: an orphan to be deleted
  orphan_block[0].0=12
  superblock.s_feature_ro_compat|=name:orphan_present
  inode[12].i_links_count=0
of-orphan-bad orphan: an orphan that does not exist
  orphan_block[0].0=limit+1
  superblock.s_feature_ro_compat|=name:orphan_present
of-present-clean orphan: orphan_present without orphans
  superblock.s_feature_ro_compat|=name:orphan_present
of-present-no-file plain: orphan_present without an orphan file
  superblock.s_feature_ro_compat|=name:orphan_present
of-present-magic orphan: orphan_present and a block without a magic number
  superblock.s_feature_ro_compat|=name:orphan_present
  orphan_block_tail[0].ob_magic=0
of-present-checksum orphan: orphan_present and a block with a wrong checksum
  superblock.s_feature_ro_compat|=name:orphan_present
  orphan_block_tail[0].ob_checksum=7
of-present-hole orphan: orphan_present and an orphan file with a hole
  superblock.s_feature_ro_compat|=name:orphan_present
  extent[12][0].ee_block=3
of-present-size orphan: orphan_present and an orphan file with a partial block
  superblock.s_feature_ro_compat|=name:orphan_present
  inode[12].i_size_lo=1500
of-size orphan: an orphan file with a partial block
  inode[12].i_size_lo=1500
of-hole orphan: an orphan file with a hole
  extent[12][0].ee_block=3
of-mode orphan: an orphan file that is a directory
  inode[12].i_mode=0x41ed
of-no-journal orphan: an orphan file without a journal
  superblock.s_feature_compat^=name:has_journal
of-inum orphan: a directory instead of the orphan file
  superblock.s_orphan_file_inum=11
of-inum-end orphan: an orphan file that does not exist
  superblock.s_orphan_file_inum=ones
of-no-feature orphan: an orphan file without the feature
  superblock.s_feature_compat^=name:orphan_file
[journal]
jr-inum journal: a file instead of the journal
  superblock.s_journal_inum=12
jr-inum-end journal: a journal in an inode that does not exist
  superblock.s_journal_inum=ones
jr-inum-dir journal: the root directory instead of the journal
  superblock.s_journal_inum=root
jr-external journal: an external journal that is missing
  superblock.s_journal_inum=0
  superblock.s_journal_uuid=hex:00112233445566778899aabbccddeeff
  superblock.s_jnl_backup_type=0
jr-none journal: neither an internal nor an external journal
  superblock.s_journal_inum=0
jr-no-feature journal: a journal without the feature
  superblock.s_feature_compat^=name:has_journal
jr-inode-mode journal: a journal without a file type
  inode[8].i_mode=0
jr-inode-mode-dir journal: a journal that is a directory
  inode[8].i_mode=0x41c0
jr-inode-links journal: a journal without links
  inode[8].i_links_count=0
jr-inode-size journal: a journal of size 0
  inode[8].i_size_lo=0
jr-inode-plain plain: a journal inode without the feature
  inode[8].i_mode=0x8180
  inode[8].i_links_count=1
  inode[8].i_size_lo=1024
jr-extent journal: a journal that maps the root directory
  extent[8][0].ee_start_lo=root
jr-extent-end journal: a journal past the end of the image
  extent[8][0].ee_start_lo=limit-5
jr-magic journal: no magic number in the journal
  journal_superblock.h_magic=0
jr-type journal: an unknown kind of journal block
  journal_superblock.h_blocktype=9
jr-type-descriptor journal: a descriptor block instead of the journal superblock
  journal_superblock.h_blocktype=1
jr-v1 journal: version 1 with fields of version 2
  journal_superblock.h_blocktype=3
  journal_superblock.s_feature_compat=1
  journal_superblock.s_nr_users=1
jr-block-size journal: a block size of 0
  journal_superblock.s_blocksize=0
jr-block-size-other journal: a wrong block size
  journal_superblock.s_blocksize=4096
jr-maxlen journal: a journal longer than its file
  journal_superblock.s_maxlen=50000
jr-maxlen-short journal: a journal that is too short
  journal_superblock.s_maxlen=10
jr-first-zero journal: a log that begins in the superblock
  journal_superblock.s_first=0
jr-first-end journal: a log that begins past its end
  journal_superblock.s_first=limit+1
jr-start journal: a log to replay without needs_recovery
  journal_superblock.s_start=9
jr-start-end journal: a recovery that begins past the end of the log
  journal_superblock.s_start=ones
  superblock.s_feature_incompat|=name:needs_recovery
jr-replay-garbage journal: a recovery of an empty log
  superblock.s_feature_incompat|=name:needs_recovery
  journal_superblock.s_start=1
jr-errno journal: an aborted journal
  journal_superblock.s_errno=5
jr-incompat journal: unknown incompatible features of the journal
  journal_superblock.s_feature_incompat=ones
jr-ro-compat journal: a journal feature that allows only reading
  journal_superblock.s_feature_ro_compat=1
jr-csum-both journal: two versions of checksums
  journal_superblock.s_feature_incompat=0x18
  journal_superblock.s_checksum_type=4
jr-csum-type journal: an unknown kind of checksum
  journal_superblock.s_feature_incompat=0x10
  journal_superblock.s_checksum_type=1
jr-users journal: a journal of several file systems
  journal_superblock.s_nr_users=2
jr-fast-commit journal: more fast commit blocks than the journal has blocks
  journal_superblock.s_feature_incompat=0x20
  journal_superblock.s_num_fc_blks=ones
jr-backup-blocks journal: a wrong backup of the journal's blocks
  superblock.s_jnl_blocks[0]+=1
jr-backup-none journal: no backup of the journal's blocks
  superblock.s_jnl_backup_type=0
jr-transaction journal: a transaction that cannot be replayed
  superblock.s_feature_incompat|=name:needs_recovery
  journal_superblock.s_start=1
  bytes[8][1024]=hex:c03b39980000000100000001000000100000000000000000
  journal_superblock.s_feature_incompat=0x10
  journal_superblock.s_checksum_type=4
jr-mode-link journal: a journal that is a symlink
  inode[8].i_mode=0xa180
[replay]
rp-home-inode pending: a damaged inode that recovery overwrites
  inode[/etc/hosts].i_links_count=7
rp-home-directory pending: a damaged directory that recovery overwrites
  dir_entry_2[/etc/passwd].inode=ones
rp-home-bitmap pending: a damaged bitmap that recovery overwrites
  block_bitmap[0].17=0
rp-home-descriptor pending: a damaged descriptor that recovery overwrites
  group_desc[0].bg_inode_table_lo=root
rp-home-journal-inode pending: a damaged journal inode, which recovery cannot repair
  extent[8][0].ee_start_lo=root
rp-home-older pending: a damaged block that is not in the log
  xattr_header[/shared1].h_refcount=9
rp-block-root pending: a root directory without a file type in the log
  bytes[8][3328:2]=hex:0000
rp-block-directory pending: a directory of zeros in the log
  bytes[8][11264:64]=zeroes
rp-block-descriptors pending: descriptors of ones in the log
  bytes[8][40960:1024]=ones
rp-block-super pending: a superblock without a magic number in the log
  bytes[8][46136:2]=hex:0000
rp-tag-block pending: a directory that recovery writes over the root directory
  journal_block_tag3[1][34].t_blocknr=root
rp-tag-table pending: a superblock that recovery writes over the inode table
  journal_block_tag3[44][0].t_blocknr=inode_table
rp-tag-journal pending: a superblock that recovery writes over the journal superblock
  journal_block_tag3[44][0].t_blocknr=journal
rp-tag-bitmap pending: a superblock that recovery writes over a bitmap
  journal_block_tag3[44][0].t_blocknr=bitmap
rp-tag-descriptors pending: a superblock that recovery writes over the descriptors
  journal_block_tag3[44][0].t_blocknr=descriptors
rp-tag-super pending: a bitmap that recovery writes over the superblock
  journal_block_tag3[39][2].t_blocknr=superblock
  journal_commit_header[46].h_magic=0
rp-tag-end pending: a block that recovery writes past the end of the image
  journal_block_tag3[1][1].t_blocknr=limit+1
  inode[/etc/hosts].i_links_count=7
rp-tag-high pending: a block that recovery writes far past the end of the image
  journal_block_tag3[1][1].t_blocknr_high=1
  inode[/etc/hosts].i_links_count=7
rp-tag-zero pending: a block that recovery writes to block 0
  journal_block_tag3[1][1].t_blocknr=0
  inode[/etc/hosts].i_links_count=7
rp-tag-escape pending: a block marked as escaped that is not
  journal_block_tag3[1][1].t_flags|=1
  inode[/etc/hosts].i_links_count=7
rp-tag-deleted pending: a block marked as deleted
  journal_block_tag3[1][1].t_flags|=4
  inode[/etc/hosts].i_links_count=7
rp-tag-last pending: a last-tag flag at the first tag
  journal_block_tag3[1][0].t_flags|=8
  inode[/etc/hosts].i_links_count=7
rp-tag-no-last pending: no last-tag flag
  journal_block_tag3[1][34].t_flags&=0xfffffff7
  inode[/etc/hosts].i_links_count=7
rp-tag-uuid pending: a tag that announces a UUID without one
  journal_block_tag3[1][1].t_flags&=0xfffffffd
  inode[/etc/hosts].i_links_count=7
rp-descriptor-magic pending: a log that ends before its first transaction
  journal_header[1].h_magic=0
  inode[/etc/hosts].i_links_count=7
rp-descriptor-type pending: a commit block instead of a descriptor block
  journal_header[1].h_blocktype=2
  inode[/etc/hosts].i_links_count=7
rp-descriptor-sequence pending: a descriptor of another transaction
  journal_header[39].h_sequence=9
  inode[/etc/hosts].i_links_count=7
rp-descriptor-superblock pending: a journal superblock in the middle of the log
  journal_header[39].h_blocktype=4
  inode[/etc/hosts].i_links_count=7
rp-commit-magic pending: a transaction without a commit block
  journal_commit_header[37].h_magic=0
  inode[/etc/hosts].i_links_count=7
rp-commit-sequence pending: a commit block of another transaction
  journal_commit_header[43].h_sequence=3
  inode[/etc/hosts].i_links_count=7
rp-commit-twice pending: two transactions with the same number
  journal_header[44].h_sequence=2
  journal_commit_header[46].h_sequence=2
  inode[/etc/hosts].i_links_count=7
rp-revoke-count pending: more bytes of revokes than a block has
  journal_revoke_header[38].r_count=ones
  inode[/etc/hosts].i_links_count=7
rp-revoke-count-odd pending: a revoke block with half an entry
  journal_revoke_header[38].r_count=20
  inode[/etc/hosts].i_links_count=7
rp-revoke-none pending: a missing revoke, without which recovery restores old content
  journal_revoke_header[38].r_count=16
  inode[/etc/hosts].i_links_count=7
rp-revoke-table pending: a damaged inode table block that is revoked
  bytes[8][38928:8]=hex:0000000000000005
  inode[/].i_mode=0
rp-start pending: a log that begins in the middle of a transaction
  journal_superblock.s_start=5
  inode[/etc/hosts].i_links_count=7
rp-start-commit pending: a log that begins at a commit block
  journal_superblock.s_start=37
  inode[/etc/hosts].i_links_count=7
rp-start-second pending: a log without its first transaction
  journal_superblock.s_start=38
  journal_superblock.s_sequence=2
  inode[/etc/hosts].i_links_count=7
rp-sequence pending: a log whose transactions have other numbers
  journal_superblock.s_sequence=77
  inode[/etc/hosts].i_links_count=7
rp-maxlen pending: a log that ends in the middle of a transaction
  journal_superblock.s_maxlen=30
  inode[/etc/hosts].i_links_count=7
rp-first pending: a log that begins before its first block
  journal_superblock.s_first=40
  inode[/etc/hosts].i_links_count=7
rp-flag pending: a log to replay without needs_recovery
  superblock.s_feature_incompat^=name:needs_recovery
  inode[/etc/hosts].i_links_count=7
rp-no-start pending: needs_recovery without a log to replay
  journal_superblock.s_start=0
  inode[/etc/hosts].i_links_count=7
rp-features pending: transactions in a journal without the checksum feature
  journal_superblock.s_feature_incompat^=16
  inode[/etc/hosts].i_links_count=7
rp-64bit pending: 64-bit tags in a journal without the feature
  journal_superblock.s_feature_incompat^=2
  inode[/etc/hosts].i_links_count=7
rp-revoke-feature pending: revokes in a journal without the feature
  journal_superblock.s_feature_incompat^=1
  inode[/etc/hosts].i_links_count=7
rp-error pending: transactions in an aborted journal
  journal_superblock.s_errno=5
  inode[/etc/hosts].i_links_count=7
rp-home-orphans pending: an orphan list that recovery overwrites
  superblock.s_last_orphan=12
[resize inode]
ri-mode journal: a resize inode without a file type
  inode[7].i_mode=0
ri-blocks journal: a resize inode whose double indirect block is the block of the root directory
  inode[7].i_block[13]=root
ri-double journal: a resize inode with blocks past the end of the image
  inode[7].i_block[13]=limit+1
ri-links journal: a resize inode without links
  inode[7].i_links_count=0
ri-word groups: a resize inode that maps the root directory
  indirect_block[7][0].1=root
ri-plain plain: a resize inode without the feature
  inode[7].i_mode=0x8180
  inode[7].i_links_count=1
  inode[7].i_size_lo=1024
[casefold]
cf-name folded: a name that is not UTF-8
  bytes[/folded][32]=hex:ff
  superblock.s_encoding_flags=1
cf-twice folded: two names that are equal when folded
  bytes[/folded][32]=text:other
  dir_entry_2[/folded][Name].name_len=5
[encryption]
en-name-short locked: an encrypted name that is too short
  dir_entry_2[/vault][#1].rec_len=12
  dir_entry_2[/vault][#1].name_len=2
  bytes[/vault][24]=hex:00000000e403010178000000
en-context locked: an encryption context of a wrong size
  xattr_entry[/vault][#0].e_value_size=3
en-entries-plain locked: an encrypted directory that maps a bitmap
  extent[/vault][0].ee_start_lo=bitmap
en-block-of-plain locked: an encrypted directory that maps the block of the root directory
  extent[/vault][0].ee_start_lo=root
[verity]
ve-size verity: a file with verity that is larger than its tree covers
  inode[/sealed].i_size_lo=limit
[public]
cve-2018-1092 plain: Linux: a root without links (ext4_iget)
  inode[/].i_links_count=0
cve-2018-1093 plain: Linux: a block bitmap outside of its group (ext4_valid_block_bitmap)
  group_desc[0].bg_block_bitmap_lo=limit+1
cve-2018-1094 plain: Linux: attribute inodes without checksums (ext4_xattr_inode_hash)
  superblock.s_feature_incompat|=name:ea_inode
  superblock.s_feature_ro_compat^=name:metadata_csum
  xattr_entry[/shared1][user.big].e_value_inum=13
cve-2018-10876 mapped: Linux: bg_flags without a checksum (ext4_ext_remove_space)
  group_desc[0].bg_flags=7
cve-2018-10877 plain: Linux: an impossible extent tree depth (ext4_ext_drop_refs)
  extent_header[/wide].eh_depth=limit+1
cve-2018-10878 plain: Linux: a block bitmap in the descriptors (ext4_init_block_bitmap)
  group_desc[0].bg_block_bitmap_lo=descriptors
  group_desc[0].bg_flags|=name:BLOCK_UNINIT
cve-2018-10879 plain: Linux: an attribute block without a magic number (ext4_xattr_set_entry)
  xattr_header[/shared1].h_magic=0
cve-2018-10880 inline: Linux: system.data that ends past the inode (ext4_update_inline_data)
  xattr_entry[/inside][#0].e_value_size=ones
cve-2018-10881 inline: Linux: inline data with the EXTENTS flag (ext4_get_group_info)
  inode[/inside].i_flags|=name:EXTENTS
  inode[/inside].i_flags^=name:INLINE_DATA
cve-2018-10882 journal: Linux: an entry for the journal inode (jbd2_journal_get_write_access)
  dir_entry_2[/etc][hosts].inode=journal
cve-2018-10883 journal: Linux: a journal too short for a transaction (jbd2_journal_dirty_metadata)
  journal_superblock.s_maxlen=10
cve-2022-1184 deep: Linux: an index node that refers to the first block (dx_insert_block)
  dx_entry[/most][1][1].block=0
cve-2024-57256 plain: U-Boot: a symlink whose size plus one is 0 in 32 bits (ext4fs_read_symlink)
  inode[/slow].i_size_lo=0xffffffff
lwext4-89 plain: lwext4: an entry that ends past its block (ext4_dir_en_get_name_len)
  dir_entry_2[/][etc].rec_len=ones
lwext4-90 plain: lwext4: a block size that is 0 in 32 bits (ext4_block_set_lb_size)
  superblock.s_log_block_size=22
lwext4-91 plain: lwext4: an inner node without entries (ext4_ext_binsearch_idx)
  extent_header[/wide].eh_entries=0
lwext4-92 groups: lwext4: more reserved blocks than a bitmap has bits (ext4_fs_init_block_bitmap)
  superblock.s_reserved_gdt_blocks=ones
  group_desc[0].bg_flags|=name:BLOCK_UNINIT
lwext4-93 groups: lwext4: more inodes than a bitmap has bits (ext4_fs_init_inode_bitmap)
  superblock.s_inodes_per_group=0x123456
  group_desc[0].bg_flags|=name:INODE_UNINIT
"""
