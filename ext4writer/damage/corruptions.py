"""The corruptions of the catalogue as text: a group, then name, base and reason, then overrides.

One override stands on each line that is indented.
"""

from __future__ import annotations

TABLE = """
[superblock]
sb-magic plain: no magic, so that nothing says that it is ext4
  superblock.s_magic=0
sb-blocks-more plain: more blocks than the device has
  superblock.s_blocks_count_lo+=1000
sb-blocks-huge plain: as many blocks as 64 bits can count
  superblock.s_blocks_count=ones
sb-blocks-zero plain: no blocks at all
  superblock.s_blocks_count_lo=0
sb-cluster-size mapped: fragments, which no kernel knows
  superblock.s_log_cluster_size+=1
sb-blocks-per-group mapped: groups that are not as long as a bitmap
  superblock.s_blocks_per_group=4096
  superblock.s_clusters_per_group=4096
sb-blocks-per-group-zero plain: a division by zero
  superblock.s_blocks_per_group=0
  superblock.s_clusters_per_group=0
sb-blocks-per-group-odd plain: groups that are not whole bytes of bitmap
  superblock.s_blocks_per_group-=1
  superblock.s_clusters_per_group-=1
sb-first-data-block mapped: group 0 begins elsewhere
  superblock.s_first_data_block=0
sb-first-data-block-end plain: group 0 begins at the end
  superblock.s_first_data_block=190
sb-no-uuid mapped: no UUID
  superblock.s_uuid=zeroes
sb-first-ino plain: files in reserved inodes
  superblock.s_first_ino=3
sb-first-ino-huge plain: all inodes are reserved
  superblock.s_first_ino=ones
sb-inodes-count plain: a count that its groups do not give
  superblock.s_inodes_count-=8
sb-inodes-count-zero plain: no inodes
  superblock.s_inodes_count=0
sb-inodes-count-huge plain: more inodes than 32 bits of groups
  superblock.s_inodes_count=ones
sb-inodes-per-group plain: inode tables of another length
  superblock.s_inodes_per_group+=8
sb-inodes-per-group-zero plain: a division by zero
  superblock.s_inodes_per_group=0
sb-inodes-per-group-huge plain: more inodes than a bitmap has bits
  superblock.s_inodes_per_group=0x10000
sb-inode-size plain: inodes of another size
  superblock.s_inode_size=512
sb-inode-size-odd plain: a size that is no power of two
  superblock.s_inode_size=200
sb-inode-size-huge plain: inodes larger than a block
  superblock.s_inode_size=4096
sb-log-block-size plain: blocks larger than any
  superblock.s_log_block_size=33
sb-log-block-size-2k plain: blocks of another size
  superblock.s_log_block_size=1
sb-desc-size plain: descriptors of another size
  superblock.s_desc_size=128
sb-desc-size-small plain: descriptors of less than 64 bytes
  superblock.s_desc_size=32
sb-hurd plain: a system that has no file types
  superblock.s_creator_os=1
sb-hurd-mapped mapped: a system that has no file types
  superblock.s_creator_os=name:Hurd
sb-creator-os plain: a system that is none
  superblock.s_creator_os=99
sb-rev-0 mapped: features in a revision that has none
  superblock.s_rev_level=0
sb-rev-99 plain: a revision that does not exist
  superblock.s_rev_level=99
sb-reserved-gdt plain: room to grow without the inode that holds it
  superblock.s_reserved_gdt_blocks=5
sb-reserved-gdt-huge journal: more room to grow than one block can map
  superblock.s_reserved_gdt_blocks=ones
sb-resize-without-feature journal: a resize inode without the feature
  superblock.s_feature_compat^=name:resize_inode
sb-resize-and-meta-bg groups: two ways to grow that exclude each other
  superblock.s_feature_incompat|=name:meta_bg
sb-first-meta-bg meta_bg: metagroups that begin after the last one
  superblock.s_first_meta_bg=ones
sb-mount-tomorrow plain: mounted in an hour
  superblock.s_mtime=1700003600
sb-mount-in-future plain: mounted in years
  superblock.s_mtime=2000000000
sb-write-tomorrow plain: written in an hour
  superblock.s_wtime=1700003600
sb-write-in-future plain: written in years
  superblock.s_wtime=2000000000
sb-no-hash-hint plain: nothing says whether hashes are signed
  superblock.s_flags=0
sb-test-fs plain: a file system for tests
  superblock.s_flags|=4
sb-free-blocks plain: a count of free blocks that is wrong
  superblock.s_free_blocks_count_lo-=1
sb-free-blocks-huge plain: more free blocks than blocks
  superblock.s_free_blocks_count=ones
sb-free-inodes plain: a count of free inodes that is wrong
  superblock.s_free_inodes_count-=1
sb-free-inodes-huge plain: more free inodes than inodes
  superblock.s_free_inodes_count=ones
sb-reserved-blocks plain: more reserved blocks than blocks
  superblock.s_r_blocks_count=ones
sb-two-checksums plain: two kinds of checksums that exclude each other
  superblock.s_feature_ro_compat|=name:uninit_bg
sb-64bit-no-extents plain: 64 bits without extents
  superblock.s_feature_incompat^=name:extent
sb-seed-without-checksums mapped: a seed for checksums that are not there
  superblock.s_feature_incompat|=name:metadata_csum_seed
sb-checksum-type plain: a kind of checksum that does not exist
  superblock.s_checksum_type=7
sb-min-extra-isize plain: more required extra fields than the inode has
  superblock.s_min_extra_isize=3000
sb-want-extra-isize plain: more wanted extra fields than the inode has
  superblock.s_want_extra_isize=3000
sb-quota-inum quota: quota in an inode that is none
  superblock.s_usr_quota_inum=99
sb-quota-inum-group quota: quota in the root directory
  superblock.s_grp_quota_inum=2
sb-quota-inum-project quota: quota in an inode that is reserved
  superblock.s_prj_quota_inum=ones
sb-unknown-incompat plain: a feature that no one knows
  superblock.s_feature_incompat|=0x80000000
sb-unknown-ro-compat plain: a feature that no one may write with
  superblock.s_feature_ro_compat|=0x80000000
sb-state-errors plain: errors were found before
  superblock.s_state=2
sb-error-count plain: errors are on record
  superblock.s_error_count=7
  superblock.s_first_error_ino=12
sb-log-flex plain: flex groups that a shift cannot count
  superblock.s_log_groups_per_flex=ones
sb-hash-seed plain: another seed of hashes than that of the index
  superblock.s_hash_seed[1]=5
sb-def-hash plain: a hash that does not exist
  superblock.s_def_hash_version=99
sb-no-filetype plain: types in entries without the feature
  superblock.s_feature_incompat^=name:filetype
sb-no-dir-index plain: an index without the feature
  superblock.s_feature_compat^=name:dir_index
sb-no-large-file mapped: a large file without the feature
  superblock.s_feature_ro_compat&=0xfffffffd
  inode[/long].i_size_high=1
sb-no-inline-data inline: data in inodes without the feature
  superblock.s_feature_incompat^=name:inline_data
sb-no-extent-feature seeded: extents without the feature, and without 64 bits
  superblock.s_feature_incompat&=0xffffff3f
sb-no-casefold folded: directories that fold cases without the feature
  superblock.s_feature_incompat^=name:casefold
sb-encoding folded: an encoding that does not exist
  superblock.s_encoding=99
sb-no-encrypt locked: encrypted directories without the feature
  superblock.s_feature_incompat^=name:encrypt
sb-no-ext-attr plain: attributes without the feature
  superblock.s_feature_compat^=name:ext_attr
sb-no-dir-nlink plain: no limit on links
  superblock.s_feature_ro_compat^=name:dir_nlink
sb-no-huge-file plain: counts in blocks without the feature
  superblock.s_feature_ro_compat^=name:huge_file
  inode[/long].i_flags|=name:HUGE_FILE
sb-bigalloc plain: clusters of one block
  superblock.s_feature_ro_compat|=name:bigalloc
sb-bigalloc-clusters plain: clusters of 16 blocks, whose groups are as before
  superblock.s_feature_ro_compat|=name:bigalloc
  superblock.s_log_cluster_size=4
sb-orphan-list-head plain: a list of orphans that begins nowhere
  superblock.s_last_orphan=limit+1
sb-orphan-list-in-use plain: a list of orphans that begins at a file in use
  superblock.s_last_orphan=12
sb-orphan-list-free plain: a list of orphans that begins at a free inode
  superblock.s_last_orphan=60
sb-orphan-list-reserved plain: a list of orphans that begins at the root
  superblock.s_last_orphan=2
sb-orphan-deleted plain: an orphan that is to be deleted
  superblock.s_last_orphan=12
  inode[12].i_links_count=0
sb-orphan-loop plain: orphans in a circle
  superblock.s_last_orphan=12
  inode[12].i_links_count=0
  inode[12].i_dtime=12
sb-orphan-next-bad plain: the next orphan does not exist
  superblock.s_last_orphan=12
  inode[12].i_links_count=0
  inode[12].i_dtime=60000
sb-orphan-bad-block mapped: an orphan with a block that does not exist
  superblock.s_last_orphan=12
  inode[12].i_links_count=0
  inode[12].i_block[0]=ones
sb-orphan-twice-block mapped: an orphan that has a block twice
  superblock.s_last_orphan=12
  inode[12].i_links_count=0
  inode[12].i_block[1]=300
  inode[12].i_block[2]=300
sb-orphan-freed-block mapped: an orphan whose block is free already
  superblock.s_last_orphan=12
  inode[12].i_links_count=0
  inode[12].i_block[0]=limit-5
sb-needs-recovery-no-journal plain: a recovery without a journal
  superblock.s_feature_incompat|=name:needs_recovery
sb-backup-bgs meta_bg: backups in groups that do not exist
  superblock.s_feature_compat|=name:sparse_super2
  superblock.s_backup_bgs[0]=ones
sb-mmp-block mmp: the block of mmp is none
  superblock.s_mmp_block=limit+1
sb-mmp-block-zero mmp: there is no block of mmp
  superblock.s_mmp_block=0
sb-mmp-block-super mmp: the block of mmp is the superblock
  superblock.s_mmp_block=superblock
sb-checksum plain: another checksum of the superblock
  superblock.s_checksum=7
sb-fragments mapped: fragments smaller than blocks
  superblock.s_log_cluster_size=5
orphan-list-bad-indirect mapped: an orphan with an indirect block that does not exist
  superblock.s_last_orphan=12
  inode[12].i_links_count=0
  inode[12].i_size_lo=20480
  inode[12].i_blocks_lo=40
  inode[12].i_block[12]=ones
[mmp]
mmp-magic mmp: no magic in the block of mmp
  mmp.mmp_magic=0
mmp-checksum mmp: another checksum of the block of mmp
  mmp.mmp_checksum=7
mmp-fsck mmp: another check is at work
  mmp.mmp_seq=name:fsck
mmp-interval mmp: a wait of hours
  mmp.mmp_check_interval=ones
[descriptors]
gd-bb-outside mapped: block_bitmap after the end of its group
  group_desc[0].bg_block_bitmap_lo=limit+1
gd-bb-zero plain: block_bitmap in block 0
  group_desc[0].bg_block_bitmap_lo=0
gd-bb-end plain: block_bitmap after the end of the image
  group_desc[0].bg_block_bitmap_lo=limit+1
gd-bb-super plain: block_bitmap on the superblock
  group_desc[0].bg_block_bitmap_lo=superblock
gd-bb-descs plain: block_bitmap on the descriptors
  group_desc[0].bg_block_bitmap_lo=descriptors
gd-bb-other-group groups: block_bitmap of one group is that of another
  group_desc[1].bg_block_bitmap_lo=8
gd-bb-high plain: block_bitmap beyond 32 bits
  group_desc[0].bg_block_bitmap_hi=1
gd-ib-outside mapped: inode_bitmap after the end of its group
  group_desc[0].bg_inode_bitmap_lo=limit+1
gd-ib-zero plain: inode_bitmap in block 0
  group_desc[0].bg_inode_bitmap_lo=0
gd-ib-end plain: inode_bitmap after the end of the image
  group_desc[0].bg_inode_bitmap_lo=limit+1
gd-ib-super plain: inode_bitmap on the superblock
  group_desc[0].bg_inode_bitmap_lo=superblock
gd-ib-descs plain: inode_bitmap on the descriptors
  group_desc[0].bg_inode_bitmap_lo=descriptors
gd-ib-other-group groups: inode_bitmap of one group is that of another
  group_desc[1].bg_inode_bitmap_lo=8
gd-ib-high plain: inode_bitmap beyond 32 bits
  group_desc[0].bg_inode_bitmap_hi=1
gd-itable-outside mapped: inode_table after the end of its group
  group_desc[0].bg_inode_table_lo=limit+1
gd-itable-zero plain: inode_table in block 0
  group_desc[0].bg_inode_table_lo=0
gd-itable-end plain: inode_table after the end of the image
  group_desc[0].bg_inode_table_lo=limit+1
gd-itable-super plain: inode_table on the superblock
  group_desc[0].bg_inode_table_lo=superblock
gd-itable-descs plain: inode_table on the descriptors
  group_desc[0].bg_inode_table_lo=descriptors
gd-itable-other-group groups: inode_table of one group is that of another
  group_desc[1].bg_inode_table_lo=8
gd-itable-high plain: inode_table beyond 32 bits
  group_desc[0].bg_inode_table_hi=1
gd-bitmaps-are-one plain: both bitmaps in one block
  group_desc[0].bg_block_bitmap_lo=inode_table
gd-ib-is-bb plain: the inode bitmap in the block bitmap
  group_desc[0].bg_inode_bitmap_lo=bitmap
gd-itable-is-bb plain: the inode table over the block bitmap
  group_desc[0].bg_inode_table_lo=bitmap
gd-free-blocks plain: free blocks that the bitmap does not have
  group_desc[0].bg_free_blocks_count_lo-=1
gd-free-blocks-huge plain: more free blocks than a group has
  group_desc[0].bg_free_blocks_count=ones
gd-free-inodes plain: free inodes that the bitmap does not have
  group_desc[0].bg_free_inodes_count_lo-=1
gd-free-inodes-huge plain: more free inodes than a group has
  group_desc[0].bg_free_inodes_count=ones
gd-used-dirs plain: directories that are not there
  group_desc[0].bg_used_dirs_count_lo+=1
gd-used-dirs-huge plain: more directories than inodes
  group_desc[0].bg_used_dirs_count=ones
gd-itable-unused plain: inodes in use in the part that is not
  group_desc[0].bg_itable_unused_lo=limit
gd-itable-unused-some plain: the last inodes in use lie in the part that is not
  group_desc[0].bg_itable_unused_lo+=4
gd-itable-unused-huge plain: more unused inodes than inodes
  group_desc[0].bg_itable_unused=ones
gd-inode-uninit plain: inodes in use in a group that was never used
  group_desc[0].bg_flags|=name:INODE_UNINIT
gd-block-uninit plain: blocks in use in a group without a bitmap
  group_desc[0].bg_flags|=name:BLOCK_UNINIT
gd-both-uninit plain: a group in use that was never used
  group_desc[0].bg_flags|=3
gd-last-uninit groups: the last group has no bitmap
  group_desc[3].bg_flags|=name:BLOCK_UNINIT
gd-uninit-no-checksum mapped: flags that need checksums
  group_desc[0].bg_flags=3
gd-block-uninit-inode-not uninit: inodes in a group whose blocks were never used
  group_desc[2].bg_flags=2
  inode_bitmap[2].3=1
gd-initialised groups: a group whose bitmaps were never written
  group_desc[2].bg_flags=0
gd-flags-unknown plain: flags that mean nothing
  group_desc[0].bg_flags=ones
gd-backup groups: a copy that differs
  group_desc[0][1].bg_free_inodes_count_lo=5
gd-checksum plain: another checksum of a descriptor
  group_desc[0].bg_checksum=7
gd-checksum-crc16 uninit: another crc16 of a descriptor
  group_desc[0].bg_checksum=7
gd-bb-checksum plain: another checksum of the block bitmap
  group_desc[0].bg_block_bitmap_csum_lo=7
gd-ib-checksum plain: another checksum of the inode bitmap
  group_desc[0].bg_inode_bitmap_csum_lo=7
gd-bb-uninit-ib-init uninit: a bitmap of inodes where no block was ever used
  group_desc[1].bg_flags=2
meta-bg-first meta_bg: metagroups that begin nowhere
  superblock.s_first_meta_bg=2
groups-meta-bg-first groups: metagroups that begin after the descriptors
  superblock.s_feature_incompat|=name:meta_bg
  superblock.s_feature_compat^=name:resize_inode
  superblock.s_reserved_gdt_blocks=0
  superblock.s_first_meta_bg=99
[bitmaps]
bitmap-block-free plain: a block in use is free
  block_bitmap[0].30=0
bitmap-blocks-free plain: neighbours in use are free
  block_bitmap[0].30=0
  block_bitmap[0].31=0
  block_bitmap[0].32=0
bitmap-block-used plain: a free block is in use
  block_bitmap[0].150=1
bitmap-blocks-used plain: free neighbours are in use
  block_bitmap[0].150=1
  block_bitmap[0].151=1
  block_bitmap[0].152=1
bitmap-block-padding plain: blocks after the end are free
  block_bitmap[0].8191=0
bitmap-inode-free plain: an inode in use is free
  inode_bitmap[0].12=0
bitmap-inodes-free plain: neighbours in use are free
  inode_bitmap[0].12=0
  inode_bitmap[0].13=0
  inode_bitmap[0].14=0
bitmap-inode-used plain: a free inode is in use
  inode_bitmap[0].38=1
bitmap-inodes-used plain: free neighbours are in use
  inode_bitmap[0].36=1
  inode_bitmap[0].37=1
  inode_bitmap[0].38=1
bitmap-inode-padding plain: inodes after the end are free
  inode_bitmap[0].8191=0
bitmap-super-free plain: the superblock is free
  block_bitmap[0].0=0
bitmap-uninit-used groups: a bit in a bitmap that is never read
  block_bitmap[2].27=1
bitmap-uninit-inode-used groups: a bit in an inode bitmap that was never used
  inode_bitmap[2].27=1
  group_desc[2].bg_flags=6
uninit-inode-bitmap uninit: an inode in use of a group that was never used
  inode_bitmap[1].3=1
[inodes]
root-file plain: the root is a regular file
  inode[/].i_mode=0x81a4
root-deleted plain: the root was deleted
  inode[/].i_dtime=5
root-gone plain: the root is free
  inode[/].i_links_count=0
root-no-mode plain: the root has no kind
  inode[/].i_mode=0
root-no-blocks plain: the root is empty
  inode[/].i_size_lo=0
  extent_header[/].eh_entries=0
  inode[/].i_blocks_lo=0
root-extent-elsewhere plain: the root's block is that of a file
  extent[/][0].ee_start_lo=another
reserved-mode plain: a reserved inode that is a device
  inode[9].i_mode=0x2000
  inode[9].i_links_count=1
reserved-used plain: a reserved inode is a file
  inode[9].i_mode=0x81a4
  inode[9].i_links_count=1
inode-no-links plain: a file with names and no links
  inode[/etc/passwd].i_links_count=0
inode-links-more plain: more links than names
  inode[/etc/passwd].i_links_count+=3
inode-links-huge plain: as many links as 16 bits can count
  inode[/etc/passwd].i_links_count=ones
inode-links-fewer plain: fewer links than names
  inode[/empty].i_links_count=1
dir-links plain: a directory with too many links
  inode[/etc].i_links_count=9
dir-links-overflow plain: a small directory whose links are said to overflow
  inode[/etc].i_links_count=1
inode-deleted plain: a file in use was deleted
  inode[/etc/passwd].i_dtime=0x60000000
inode-deleted-low plain: a time of deletion that is a number of an orphan
  inode[/etc/passwd].i_dtime=5
inode-orphans-lost plain: orphans that no list holds
  inode[/etc/passwd].i_dtime=5
  inode[/etc/hosts].i_dtime=6
  superblock.s_last_orphan=7
inode-unused-zero-dtime plain: a deleted file without a time of deletion
  inode[/etc/passwd].i_links_count=0
  dir_entry_2[/etc][passwd].inode=0
inode-free-in-table plain: a free inode holds a file
  inode[39].i_mode=0x81a4
  inode[39].i_links_count=1
  group_desc[0].bg_itable_unused_lo=0
inode-mode-none plain: no kind of file
  inode[/etc/hosts].i_mode=0
inode-mode-bad plain: a kind of file that does not exist
  inode[/etc/hosts].i_mode=0xf1a4
inode-mode-dir plain: a file that calls itself a directory
  inode[/etc/hosts].i_mode=0x41ed
dir-mode-file plain: a directory that calls itself a file
  inode[/etc].i_mode=0x81a4
dir-mode-link plain: a directory that calls itself a link
  inode[/etc].i_mode=0xa1ff
dir-mode-fifo plain: a directory that calls itself a fifo
  inode[/etc/sub].i_mode=0x11a4
inode-size-less plain: less than its blocks hold
  inode[/long].i_size_lo=0
inode-size-more plain: more than its blocks hold
  inode[/long].i_size_lo=0x7fffffff
inode-size-32 plain: a size of all ones
  inode[/long].i_size_lo=0xffffffff
inode-size-limit plain: a byte after the largest file
  inode[/long].i_size=limit+1
inode-size-sign plain: a size below zero
  inode[/long].i_size=sign
mapped-size-limit mapped: a byte after what a block map reaches
  inode[/long].i_size=limit+1
dir-size-zero plain: a directory of no bytes
  inode[/etc].i_size_lo=0
dir-size-odd plain: a directory of a part of a block
  inode[/etc].i_size_lo=1000
dir-size-more plain: a directory that ends after its blocks
  inode[/etc].i_size_lo=0x100000
dir-size-high plain: a directory of terabytes
  inode[/etc].i_size_high=1
dir-size-high-mapped mapped: a directory of terabytes
  inode[/etc].i_size_high=1
inode-blocks plain: a wrong count of sectors
  inode[/long].i_blocks_lo=99
inode-blocks-high plain: a count of sectors beyond 32 bits
  inode[/long].l_i_blocks_high=1
inode-blocks-high-mapped mapped: a high half that the revision does not know
  inode[/tty].l_i_blocks_high=1
inode-faddr mapped: an address of a fragment
  inode[/long].i_obso_faddr=7
inode-faddr-device plain: a device with an address of a fragment
  inode[/tty].i_obso_faddr=7
inode-acl-dir-mapped mapped: attributes where there are none
  inode[/etc].i_file_acl_lo=7
inode-acl-super plain: attributes in the superblock
  inode[/etc/hosts].i_file_acl_lo=superblock
inode-acl-end plain: attributes after the end
  inode[/etc/hosts].i_file_acl_lo=limit+1
inode-acl-high plain: attributes beyond 32 bits
  inode[/etc/hosts].l_i_file_acl_high=1
inode-acl-high-mapped mapped: a high half without 64 bits
  inode[/etc/hosts].l_i_file_acl_high=1
inode-acl-data plain: attributes in the content of a file
  inode[/etc/hosts].i_file_acl_lo=another
inode-acl-table plain: attributes in the inode table
  inode[/etc/hosts].i_file_acl_lo=inode_table
inode-acl-device-bad mapped: a device with attributes after the end
  inode[/tty].i_file_acl_lo=limit+1
inode-extra-isize-odd plain: extra fields of three bytes
  inode[/etc/hosts].i_extra_isize=3
inode-extra-isize-huge plain: extra fields after the inode's end
  inode[/etc/hosts].i_extra_isize=ones
inode-extra-isize-zero plain: no extra fields
  inode[/etc/hosts].i_extra_isize=0
inode-time-far plain: a time after 2310
  inode[/etc/hosts].i_mtime_extra=3
  inode[/etc/hosts].i_mtime=0x80000000
inode-generation plain: another generation
  inode[/etc].i_generation+=1
inode-checksum plain: another checksum of an inode
  inode[/etc/hosts].l_i_checksum_lo=7
inode-garbage plain: an inode of noise
  inode[/etc/hosts].i_block[0]=random:1
  inode[/etc/hosts].i_flags=random:2
  inode[/etc/hosts].l_i_checksum_lo=7
flag-index-file plain: a file with an index
  inode[/etc/hosts].i_flags|=name:INDEX
flag-index-plain-dir plain: an index that is not there
  inode[/etc].i_flags|=name:INDEX
flag-imagic plain: a flag of AFS
  inode[/etc/hosts].i_flags|=0x2000
flag-immutable-device plain: a device that never changes
  inode[/tty].i_flags|=name:IMMUTABLE
flag-append-fifo plain: a fifo to append to
  inode[/fifo].i_flags|=name:APPEND
flag-compressed plain: a file that is compressed
  inode[/etc/hosts].i_flags|=4
flag-unknown plain: flags that mean nothing
  inode[/etc/hosts].i_flags|=0x04000000
flag-no-extents plain: an extent tree that is read as a block map
  inode[/long].i_flags^=name:EXTENTS
flag-no-extents-dir plain: a directory whose tree is read as a block map
  inode[/etc].i_flags^=name:EXTENTS
flag-extents-mapped mapped: a block map that is read as an extent tree
  inode[/long].i_flags|=name:EXTENTS
flag-extents-fast-link plain: a short link with an extent tree
  inode[/fast].i_flags|=name:EXTENTS
flag-extents-device plain: a device with an extent tree
  inode[/tty].i_flags|=name:EXTENTS
flag-inline-plain plain: data inside without the feature
  inode[/empty].i_flags|=name:INLINE_DATA
flag-inline-and-extents inline: data inside and an extent tree
  inode[/outside].i_flags|=name:INLINE_DATA
flag-inline-no-attribute inline: data inside without the attribute
  inode[/tiny].i_extra_isize=0
flag-inline-device plain: a device with data inside
  inode[/tty].i_flags|=name:INLINE_DATA
flag-inline-extents-tiny inline: data inside that is called an extent tree
  inode[/tiny].i_flags|=name:EXTENTS
flag-inline-gone inline: data inside that is read as a block map
  inode[/tiny].i_flags^=name:INLINE_DATA
flag-inline-dir-gone inline: a directory inside that is read as a block map
  inode[/d].i_flags^=name:INLINE_DATA
flag-encrypt-no-context plain: encrypted without a policy
  inode[/etc].i_flags|=name:ENCRYPT
flag-encrypt-feature locked: encrypted without a policy
  inode[/plain].i_flags|=name:ENCRYPT
flag-encrypt-file locked: an encrypted file without a policy
  inode[/plain/a].i_flags|=name:ENCRYPT
flag-casefold-file folded: a file that folds cases
  inode[/plain/a].i_flags|=name:CASEFOLD
flag-casefold-no-feature plain: folds cases without the feature
  inode[/etc].i_flags|=name:CASEFOLD
flag-casefold-encrypt folded: encrypted and folded
  inode[/folded].i_flags|=name:ENCRYPT
flag-verity-plain plain: the flag of verity without the feature
  inode[/etc/hosts].i_flags|=name:VERITY
flag-verity-no-tree verity: the flag of verity without a tree
  inode[/plain].i_flags|=name:VERITY
flag-verity-off verity: blocks of a tree after the end of the file
  inode[/sealed].i_flags^=name:VERITY
flag-ea-inode plain: a file that calls itself a value
  inode[/etc/hosts].i_flags|=name:EA_INODE
flag-huge-file plain: sectors that are called blocks
  inode[/long].i_flags|=name:HUGE_FILE
dir-nlink-65001 plain: as many links as a directory may have
  inode[/etc].i_links_count=65000
frag-zero mapped: a fragment
  inode[/tty].l_i_blocks_high=1
  superblock.s_creator_os=name:Hurd
[special files]
char-device-bad plain: a device with a block
  inode[/tty].i_block[5]=7
char-device-mapped mapped: a device with a block
  inode[/tty].i_block[5]=7
block-device-bad plain: a device with a block
  inode[/disk].i_block[5]=7
fifo-bad plain: a fifo with a block
  inode[/fifo].i_block[5]=7
socket-bad plain: a socket with a block
  inode[/socket].i_block[5]=7
device-size plain: a device with a size
  inode[/tty].i_size_lo=3
dev-block-no-mode mapped: a block device with a flag
  inode[/disk].i_flags|=name:IMMUTABLE
  inode[/disk].i_block[2]=ones
[links]
link-size plain: a short link that is longer than its text
  inode[/fast].i_size_lo=30
link-size-zero plain: a link to nothing
  inode[/fast].i_size_lo=0
link-size-ones plain: a short link of 0xffffffff bytes
  inode[/fast].i_size_lo=0xffffffff
link-slow-size plain: a long link that is shorter than its text
  inode[/slow].i_size_lo=3
link-slow-huge plain: a link longer than a block
  inode[/slow].i_size_lo=5000
link-slow-blocks plain: a link of many blocks
  extent[/slow][0].ee_len=5
link-slow-far plain: a long link whose block is far away
  extent[/slow][0].ee_block=9
link-mapped-far mapped: a long link of many blocks
  inode[/slow].i_block[14]=another
[extents]
eh-magic plain: no magic of the tree
  extent_header[/flat].eh_magic=0
eh-entries-more plain: more entries than there is room for
  extent_header[/flat].eh_entries=9
eh-entries-unwritten plain: an entry that was never written
  extent_header[/flat].eh_entries=4
eh-entries-fewer plain: an entry that does not count
  extent_header[/flat].eh_entries-=1
eh-entries-zero plain: a file without its extents
  extent_header[/flat].eh_entries=0
eh-max-zero plain: no room for entries
  extent_header[/flat].eh_max=0
eh-max-more plain: more room than the inode has
  extent_header[/flat].eh_max=limit+1
eh-depth plain: a leaf that calls itself inner
  extent_header[/flat].eh_depth=1
eh-depth-huge plain: a tree deeper than any
  extent_header[/flat].eh_depth=9
eh-depth-limit plain: a tree one level deeper than any
  extent_header[/flat].eh_depth=limit+1
eh-block-magic plain: no magic in a block of the tree
  extent_header[/wide:1].eh_magic=7
eh-block-entries plain: more entries than a block has
  extent_header[/wide:1].eh_entries=limit+1
eh-block-entries-zero plain: a leaf without entries
  extent_header[/wide:1].eh_entries=0
eh-block-entries-fewer plain: entries of a leaf that do not count
  extent_header[/wide:1].eh_entries=5
eh-block-max plain: another size of a block of the tree
  extent_header[/wide:1].eh_max=limit+1
eh-block-max-less plain: less room in a block of the tree
  extent_header[/wide:1].eh_max=70
eh-block-depth plain: a leaf that calls itself inner
  extent_header[/wide:1].eh_depth=1
eh-deep-entries deep: an inner node with one child
  extent_header[/deep:1].eh_entries=1
eh-deep-root-entries deep: a root with no children
  extent_header[/deep].eh_entries=0
eh-deep-inner-zero deep: an inner node without children
  extent_header[/deep:1].eh_entries=0
eh-deep-leaf-zero deep: an inner leaf without entries
  extent_header[/deep:2].eh_entries=0
ex-length-zero plain: an extent of no blocks
  extent[/flat][1].ee_len=0
ex-length-max plain: an extent of 32767 unwritten blocks
  extent[/flat][1].ee_len=0xffff
ex-length-32768 plain: an extent of 32768 blocks
  extent[/flat][1].ee_len=0x8000
ex-length-end plain: an extent past the end of the image
  extent[/flat][2].ee_len=limit+1
ex-unwritten-dir plain: a directory that is not written
  extent[/etc][0].ee_len=0x8001
ex-unwritten-past-end plain: unwritten blocks after the end
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
ex-start-end plain: content after the end
  extent[/flat][0].ee_start_lo=limit+1
ex-start-high plain: content beyond 32 bits
  extent[/flat][0].ee_start_hi=1
ex-start-another plain: a block in two files
  extent[/flat][0].ee_start_lo=another
ex-start-dir plain: a file over a directory
  extent[/flat][0].ee_start_lo=root
ex-start-range plain: several blocks in two files
  extent[/long][0].ee_start_lo-=3
ex-start-neighbour plain: the next block, which is another's
  extent[/shared1][0].ee_start_lo=neighbour
ex-block-order plain: extents out of order
  extent[/flat][2].ee_block=1
ex-block-same plain: two extents for one block
  extent[/flat][1].ee_block=0
ex-block-huge plain: a block that no file can have
  extent[/flat][2].ee_block=ones
ex-block-end plain: the last block that a file can have
  extent[/flat][2].ee_block=0xfffffffe
ex-block-dir-hole plain: a directory that begins with a hole
  extent[/etc][0].ee_block=1
ex-block-dir-far plain: a directory whose block is far away
  extent[/etc][0].ee_block=0x7fffffff
ei-block plain: an index that begins elsewhere than its child
  extent_idx[/wide:0:0].ei_block=5
ei-leaf-zero plain: a child in block 0
  extent_idx[/wide:0:0].ei_leaf_lo=0
ei-leaf-itself deep: a node that is its own child
  extent_idx[/deep:1:0].ei_leaf_lo=itself
ei-leaf-parent deep: a node whose child is above it
  extent_idx[/deep:0:0].ei_leaf_lo=parent
ei-leaf-twice deep: two indexes with one child
  extent_idx[/deep:1:1].ei_leaf_lo-=1
ei-leaf-super plain: a child in the superblock
  extent_idx[/wide:0:0].ei_leaf_lo=superblock
ei-leaf-end plain: a child after the end
  extent_idx[/wide:0:0].ei_leaf_lo=limit+1
ei-leaf-high plain: a child beyond 32 bits
  extent_idx[/wide:0:0].ei_leaf_hi=1
ei-leaf-another plain: a child in the content of a file
  extent_idx[/wide:0:0].ei_leaf_lo=another
ei-order deep: indexes out of order
  extent_idx[/deep:1:2].ei_block=0
et-checksum plain: another checksum of a block of the tree
  extent_tail[/wide:1].et_checksum=7
et-checksum-and-garbage plain: a block of the tree of noise
  extent_header[/wide:1].eh_magic=0
  extent_tail[/wide:1].et_checksum=7
ex-leaf-end deep: an extent past the next index
  extent[/deep:2:83].ee_block=900
ex-leaf-past-parent plain: an extent before its index
  extent[/wide:1:0].ee_block=5
ex-past-end plain: an extent whose end is after the image
  extent[/long][0].ee_len=300
[block maps]
map-zero-super mapped: content in the superblock
  inode[/long].i_block[0]=superblock
map-end mapped: content after the end
  inode[/long].i_block[0]=limit+1
map-many-bad mapped: most of a file after the end
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
map-ind-end mapped: an indirect block after the end
  inode[/indirect].i_block[12]=limit+1
map-ind-itself mapped: an indirect block in itself
  indirect_block[/indirect][0].0=itself
map-ind-root mapped: an indirect block in the root directory
  inode[/indirect].i_block[12]=root
map-dind-is-ind mapped: one block for two levels
  inode[/double].i_block[13]=itself
map-tind mapped: three levels in a small file
  inode[/double].i_block[14]=limit-3
map-tind-dir mapped: a directory of three levels
  inode[/etc].i_block[14]=limit-3
map-twice mapped: a block twice in a file
  inode[/long].i_block[1]=300
  inode[/long].i_block[2]=300
map-data-bad mapped: blocks of an indirect block after the end
  indirect_block[/indirect][0].1=ones
map-dir-hole mapped: a directory without its first block
  inode[/etc].i_block[0]=0
map-dir-second mapped: a directory with a hole
  inode[/etc].i_block[3]=another
  inode[/etc].i_size_lo=4096
map-dir-big mapped: a directory that is too big
  inode[/etc].i_block[14]=root
mapped-overlap mapped: content in the inode table
  inode[/long].i_block[0]=inode_table
file-mapped-far mapped: a file of three levels that lead to one block
  inode[/double].i_block[14]=root
[bad blocks]
bad-blocks-mode plain: the list of bad blocks is a file
  inode[1].i_mode=0x81a4
  inode[1].i_links_count=1
bad-blocks-invalid plain: the list of bad blocks is a tree
  inode[1].i_flags|=name:EXTENTS
  inode[1].i_block[0]=0xf30a
bad-blocks-super mapped: the superblock is bad
  inode[1].i_block[0]=superblock
  inode[1].i_size_lo=1024
  inode[1].i_blocks_lo=2
bad-blocks-descs mapped: the descriptors are bad
  inode[1].i_block[0]=descriptors
bad-blocks-backup groups: a backup is bad
  inode[1].i_block[0]=8193
bad-blocks-backup-descs groups: descriptors of a backup are bad
  inode[1].i_block[0]=8194
bad-blocks-bb mapped: the block bitmap is bad
  inode[1].i_block[0]=bitmap
bad-blocks-ib mapped: the inode bitmap is bad
  inode[1].i_block[0]=bitmap+1
bad-blocks-itable mapped: the inode table is bad
  inode[1].i_block[0]=inode_table+1
bad-blocks-end mapped: a bad block after the end
  inode[1].i_block[0]=limit+1
bad-blocks-file mapped: a block of a file is bad
  inode[1].i_block[0]=another
bad-blocks-ind-super mapped: the list of bad blocks lies in the superblock
  inode[1].i_block[12]=superblock
bad-blocks-ind-end mapped: the list of bad blocks lies after the end
  inode[1].i_block[12]=limit+1
bad-blocks-in-itself mapped: the list of bad blocks is bad itself
  inode[1].i_block[0]=500
  inode[1].i_block[12]=500
bad-blocks-many mapped: a bad list of bad blocks
  inode[1].i_block[0]=ones
  inode[1].i_block[1]=ones
  inode[1].i_block[2]=limit+1
[directories]
de-inode-end plain: a name for an inode that does not exist
  dir_entry_2[/etc][passwd].inode=limit+1
de-inode-free plain: a name for a free inode
  dir_entry_2[/etc][hosts].inode=limit
de-inode-zero plain: a name that is not in use
  dir_entry_2[/etc][hosts].inode=0
de-inode-root plain: a name for the root
  dir_entry_2[/etc][hosts].inode=root
de-inode-itself plain: a name for its own directory
  dir_entry_2[/etc][hosts].inode=itself
de-inode-parent plain: a name for the directory above
  dir_entry_2[/etc/sub][low].inode=parent
de-inode-another plain: a name for another file
  dir_entry_2[/etc][hosts].inode=another
de-inode-reserved plain: a name for the list of bad blocks
  dir_entry_2[/etc][hosts].inode=1
de-inode-dir-twice plain: two names for a directory
  dir_entry_2[/][fast].inode=11
de-inode-uninit groups: a name for an inode of a group that was never used
  dir_entry_2[/etc][hosts].inode=1500
de-inode-unused plain: a name for an inode in the part that is not used
  dir_entry_2[/etc][hosts].inode=limit
  group_desc[0].bg_itable_unused_lo=4
de-inode-bad-block mapped: a name for an inode in a bad block
  inode[1].i_block[0]=inode_table+3
  dir_entry_2[/etc][hosts].inode=25
de-name-empty plain: a name of no bytes
  dir_entry_2[/etc][hosts].name_len=0
de-name-long plain: a name that ends after its entry
  dir_entry_2[/etc][hosts].name_len=255
de-name-slash plain: a name with a slash
  bytes[/etc][36]=text:/
de-name-zero plain: a name with a zero byte
  bytes[/etc][34]=hex:00
de-name-dot plain: a second dot
  dir_entry_2[/etc][hosts].name_len=1
  bytes[/etc][32]=text:.
de-name-dot-dot plain: a second pair of dots
  dir_entry_2[/etc][hosts].name_len=2
  bytes[/etc][32]=text:..
de-name-twice plain: one name twice
  dir_entry_2[/etc][hosts].name_len=6
  dir_entry_2[/etc][hosts].rec_len=16
  bytes[/etc][32]=text:passwd
de-name-twice-same-inode plain: one name twice for one inode
  dir_entry_2[/etc][hosts].name_len=6
  bytes[/etc][32]=text:passwd
  dir_entry_2[/etc][hosts].inode+=1
de-type-wrong plain: a file that is called a directory
  dir_entry_2[/etc][hosts].file_type=2
de-type-none plain: a name without a type
  dir_entry_2[/etc][hosts].file_type=0
de-type-unknown plain: a type that does not exist
  dir_entry_2[/etc][hosts].file_type=99
de-type-no-feature mapped: a type without the feature
  superblock.s_feature_incompat^=name:filetype
de-rec-len-zero plain: an entry of no bytes
  dir_entry_2[/etc][passwd].rec_len=0
de-rec-len-odd plain: an entry of an odd number of bytes
  dir_entry_2[/etc][passwd].rec_len=13
de-rec-len-small plain: an entry shorter than its header
  dir_entry_2[/etc][passwd].rec_len=4
de-rec-len-short plain: an entry shorter than its name
  dir_entry_2[/etc][passwd].rec_len=12
de-rec-len-end plain: an entry that ends after its block
  dir_entry_2[/etc][passwd].rec_len=ones
de-rec-len-last plain: a last entry that ends before the block
  dir_entry_2[/etc][sub].rec_len-=4
de-rec-len-past-tail plain: a last entry over the checksum
  dir_entry_2[/etc][sub].rec_len+=12
de-rec-len-last-mapped mapped: a last entry that ends before the block
  dir_entry_2[/etc][sub].rec_len-=4
dot-inode plain: a dot that is another directory
  dir_entry_2[/etc][.].inode=root
dot-name plain: a first entry of two dots
  dir_entry_2[/etc][.].name_len=2
dot-name-other plain: a first entry that is no dot
  bytes[/etc][8]=text:x
dot-missing plain: no dot
  dir_entry_2[/etc][.].inode=0
dot-missing-mapped mapped: no dot
  dir_entry_2[/etc][.].inode=0
dot-not-ended plain: a dot without a zero byte
  bytes[/etc][9]=text:x
dot-rec-len plain: a dot that takes the whole block
  dir_entry_2[/etc][.].rec_len=1012
dot-rec-len-split plain: a dot with too much room
  dir_entry_2[/etc][.].rec_len=24
dot-rec-len-mapped mapped: a dot that takes the whole block
  dir_entry_2[/etc][.].rec_len=1024
dotdot-inode plain: another directory above
  dir_entry_2[/etc][..].inode=itself
dotdot-inode-end plain: no directory above
  dir_entry_2[/etc][..].inode=limit+1
dotdot-root plain: something above the root
  dir_entry_2[/][..].inode=11
dotdot-name plain: a second entry of one dot
  dir_entry_2[/etc][..].name_len=1
dotdot-name-other plain: a second entry that is not two dots
  bytes[/etc][20]=text:xy
dotdot-missing plain: no two dots
  dir_entry_2[/etc][..].inode=0
dotdot-not-ended plain: two dots without a zero byte
  bytes[/etc][22]=text:x
dir-loop plain: a directory below itself
  dir_entry_2[/etc/sub][low].inode-=1
  dir_entry_2[/etc][sub].inode=0
dir-unconnected plain: a directory that no name leads to
  dir_entry_2[/][etc].inode=0
dir-circle plain: two directories, each below the other
  dir_entry_2[/etc][sub].inode=0
  dir_entry_2[/etc/sub][..].inode=15
dir-two-parents plain: a directory with names in two directories
  dir_entry_2[/etc][hosts].inode=11
file-unattached plain: a file without a name
  dir_entry_2[/][flat].inode=0
file-unattached-empty plain: an empty file without a name
  dir_entry_2[/][fifo].inode=0
lost-found-gone plain: no place for what is lost
  dir_entry_2[/][lost+found].inode=0
  dir_entry_2[/][flat].inode=0
lost-found-file plain: the place for what is lost is a file
  dir_entry_2[/][lost+found].inode=another
  dir_entry_2[/][lost+found].file_type=1
  dir_entry_2[/][flat].inode=0
lost-found-inline inline: the place for what is lost lies in its inode
  inode[/lost+found].i_flags|=name:INLINE_DATA
  inode[/lost+found].i_flags&=0xfff7ffff
  dir_entry_2[/d][a].inode=0
lost-found-encrypted locked: the place for what is lost is encrypted
  inode[/lost+found].i_flags|=name:ENCRYPT
  dir_entry_2[/plain][a].inode=0
lost-found-full plain: no room for what is lost
  extent[/lost+found][0].ee_len=1
  inode[/lost+found].i_size_lo=1024
  dir_entry_2[/][flat].inode=0
det-tail-inode plain: a tail with an inode
  dir_entry_tail[/etc][0].det_reserved_zero1=5
det-tail-length plain: a tail of another length
  dir_entry_tail[/etc][0].det_rec_len=16
det-tail-type plain: a tail without its type
  dir_entry_tail[/etc][0].det_reserved_ft=0
det-checksum plain: another checksum of a directory
  dir_entry_tail[/etc][0].det_checksum=7
dir-inline-lost-found inline: the place for what is lost lies in its inode
  dir_entry_2[/][lost+found].inode=another
  dir_entry_2[/d][a].inode=0
dirent-dup-linear plain: one name twice, for two inodes
  bytes[/etc][32]=text:passwd
  dir_entry_2[/etc][hosts].name_len=6
  dir_entry_2[/etc][hosts].rec_len=16
no-root-and-lost plain: neither root nor a place for what is lost
  inode[2].i_mode=0
  inode[11].i_mode=0
lost-found-no-space plain: no free block for what is lost
  dir_entry_2[/][lost+found].inode=0
  dir_entry_2[/][flat].inode=0
[index]
dx-limit plain: another number of entries of the index
  dx_root[/many].limit=100
dx-limit-more plain: more entries than the root has room for
  dx_root[/many].limit=limit+1
dx-limit-zero plain: an index without room
  dx_root[/many].limit=0
dx-limit-ones plain: as many entries as 16 bits can count
  dx_root[/many].limit=ones
dx-count-one plain: leaves that the index does not name
  dx_root[/many].count=1
dx-count-zero plain: an index without entries
  dx_root[/many].count=0
dx-count-more plain: more entries than there is room for
  dx_root[/many].count=limit+1
dx-count-ones plain: as many entries as 16 bits can count
  dx_root[/many].count=ones
dx-hash-version plain: a hash that does not exist
  dx_root[/many].hash_version=9
dx-hash-other plain: another hash than that of the index
  dx_root[/many].hash_version=2
dx-hash-siphash plain: a hash that needs a key
  dx_root[/many].hash_version=6
dx-hash-siphash-folded folded: a hash that needs a key
  dx_root[/many].hash_version=6
dx-hash-locked folded: an encrypted and folded index without its hash
  inode[/many].i_flags|=name:ENCRYPT
dx-flags plain: flags of the index that mean nothing
  dx_root[/many].unused_flags=1
dx-levels plain: an index deeper than any
  dx_root[/many].indirect_levels=5
dx-levels-more plain: a level that is not there
  dx_root[/many].indirect_levels=1
dx-levels-fewer deep: a level that does not count
  dx_root[/most].indirect_levels=0
dx-levels-limit deep: a level more than the kernel takes
  dx_root[/most].indirect_levels=2
dx-info-length plain: parameters of another length
  dx_root[/many].info_length=9
dx-reserved plain: padding that is not zero
  dx_root[/many].reserved_zero=1
dx-dot plain: a dot of the index that is another directory
  dx_root[/many].dot_inode=root
dx-dot-rec-len plain: a dot of the index with more room
  dx_root[/many].dot_rec_len=24
dx-dotdot-rec-len plain: two dots that do not cover the index
  dx_root[/many].dotdot_rec_len=12
dx-block-end plain: a leaf after the end of the directory
  dx_root[/many].block=99
dx-block-ones plain: a leaf with the largest number
  dx_entry[/many][0][1].block=ones
dx-block-itself plain: a leaf that is the index
  dx_root[/many].block=itself
dx-block-twice plain: a leaf that is named twice
  dx_entry[/many][0][1].block=1
dx-hash-order plain: hashes out of order
  dx_entry[/many][0][2].hash=0x10
dx-hash-high plain: a leaf whose hashes are all too low
  dx_entry[/many][0][1].hash=0xfffffff0
dx-hash-low plain: a leaf with hashes that are too high
  dx_entry[/many][0][2].hash-=2
dx-node-limit deep: another number of entries of a node
  dx_node[/most][1].limit=3
dx-node-limit-more deep: more entries than a node has room for
  dx_node[/most][1].limit=limit+1
dx-node-count deep: leaves that a node does not name
  dx_node[/most][1].count=3
dx-node-count-zero deep: a node without entries
  dx_node[/most][1].count=0
dx-node-count-more deep: more entries than a node has room for
  dx_node[/most][1].count=limit+1
dx-node-block-end deep: a leaf after the end of the directory
  dx_node[/most][1].block=9999
dx-node-block-itself deep: a node that names itself
  dx_node[/most][1].block=itself
dx-node-block-root deep: a node that names the root
  dx_node[/most][1].block=0
dx-node-hash-order deep: hashes of a node out of order
  dx_entry[/most][1][3].hash=0
dx-node-fake-inode deep: a node that looks like an entry
  dx_node[/most][1].fake_inode=12
dx-node-fake-length deep: a node that looks shorter
  dx_node[/most][1].fake_rec_len=12
dx-root-to-leaf deep: a node that is a leaf
  dx_root[/most].block=3
dx-loop deep: a root that names itself
  dx_root[/most].block=itself
dx-tail-reserved plain: padding of the tail that is not zero
  dx_tail[/many][0].dt_reserved=1
dx-checksum plain: another checksum of the index
  dx_tail[/many][0].dt_checksum=7
dx-node-checksum deep: another checksum of a node
  dx_tail[/most][1].dt_checksum=7
dx-leaf-empty plain: a leaf that is read as a node
  dir_entry_2[/many][#2].inode=0
dx-unexpected-block plain: a directory of one block with an index
  inode[/many].i_size_lo=1024
dup-name-htree plain: one name twice in an index
  dir_entry_2[/many][#3].inode=itself
htree-unexpected deep: a directory of an index that ends early
  inode[/most].i_size_lo=2048
[attributes]
ea-magic plain: no magic of the attributes
  xattr_header[/shared1].h_magic=0
ea-refcount-more plain: more inodes than share the block
  xattr_header[/shared1].h_refcount=5
ea-refcount-zero plain: no inodes share the block
  xattr_header[/shared1].h_refcount=0
ea-refcount-max plain: more inodes than may share a block
  xattr_header[/shared1].h_refcount=limit+1
ea-blocks plain: attributes of two blocks
  xattr_header[/shared1].h_blocks=2
ea-blocks-zero plain: attributes of no blocks
  xattr_header[/shared1].h_blocks=0
ea-hash plain: another hash of a value
  xattr_entry[/shared1][user.big].e_hash=1
ea-block-hash plain: another hash of all attributes
  xattr_header[/shared1].h_hash=1
ea-checksum plain: another checksum of an attribute block
  xattr_header[/shared1].h_checksum=7
ea-name-index plain: a prefix that does not exist
  xattr_entry[/shared1][user.big].e_name_index=99
ea-name-index-zero plain: a name without a prefix
  xattr_entry[/shared1][user.big].e_name_index=0
ea-name-empty plain: a name of no bytes
  xattr_entry[/shared1][user.big].e_name_len=0
ea-name-long plain: a name that ends after the block
  xattr_entry[/shared1][user.small].e_name_len=255
ea-value-offset plain: a value after the block
  xattr_entry[/shared1][user.big].e_value_offs=2000
ea-value-offset-name plain: a value over the names
  xattr_entry[/shared1][user.big].e_value_offs=32
ea-value-offset-same plain: two values in one place
  xattr_entry[/shared1][user.small].e_value_offs=limit-100
ea-value-size plain: a value that ends after the block
  xattr_entry[/shared1][user.small].e_value_size=ones
ea-value-size-more plain: a value one byte longer than it was
  xattr_entry[/shared1][user.small].e_value_size+=1
ea-value-inode plain: a value in an inode without the feature
  xattr_entry[/shared1][user.big].e_value_inum=12
ea-in-name-long plain: a name that ends after the inode
  xattr_entry[/etc/hosts][user.note].e_name_len=200
ea-in-name-longer plain: a name that is longer than what is left
  xattr_entry[/etc/hosts][user.note].e_name_len=70
ea-in-name-empty plain: a name of no bytes in an inode
  xattr_entry[/etc/hosts][user.note].e_name_len=0
ea-in-value-offset plain: a value after the inode
  xattr_entry[/etc/hosts][user.note].e_value_offs=200
ea-in-value-offset-odd plain: a value over its own name
  xattr_entry[/etc/hosts][user.note].e_value_offs=0
ea-in-value-size plain: a value that ends after the inode
  xattr_entry[/etc/hosts][user.note].e_value_size=200
ea-in-value-size-ones plain: a value as long as 32 bits can count
  xattr_entry[/etc/hosts][user.note].e_value_size=ones
ea-in-value-inode plain: a value of an inode in an inode
  xattr_entry[/etc/hosts][user.note].e_value_inum=12
ea-in-hash plain: a hash that is not that of the value
  xattr_entry[/etc/hosts][user.note].e_hash=1
ea-in-magic plain: no magic of the attributes in an inode
  xattr_ibody_header[/etc/hosts].h_magic=9
ea-shared-one-file plain: a file that shares attributes which count one less
  inode[/etc/hosts].i_file_acl_lo=another
ea-in-name-too-long plain: a name that leaves no room for its value
  xattr_entry[/etc/hosts][user.note].e_name_len=60
ea-in-value-offset-end plain: a value that begins after the inode
  xattr_entry[/etc/hosts][user.note].e_value_offs=90
ea-inode-flag-missing plain: a value in an inode that is a plain file
  superblock.s_feature_incompat|=name:ea_inode
  xattr_entry[/shared1][user.big].e_value_inum=13
ea-inode-itself plain: a value in the inode that has it
  superblock.s_feature_incompat|=name:ea_inode
  xattr_entry[/etc/hosts][user.note].e_value_inum=12
  inode[12].i_flags|=name:EA_INODE
[values in inodes]
ev-inode-zero values: a value in an inode that has no inode
  xattr_entry[/one][user.large].e_value_inum=0
ev-inode-end values: a value in an inode that does not exist
  xattr_entry[/one][user.large].e_value_inum=limit+1
ev-inode-itself values: a value in the file that has it
  xattr_entry[/one][user.large].e_value_inum=itself
ev-inode-root values: a value in the root directory
  xattr_entry[/one][user.large].e_value_inum=root
ev-inode-file values: a value in another file
  xattr_entry[/one][user.large].e_value_inum=another
ev-inode-other values: a value that is another's
  xattr_entry[/one][user.large].e_value_inum=18
ev-inode-reserved values: a value in the list of bad blocks
  xattr_entry[/one][user.large].e_value_inum=1
ev-flag values: an inode of a value without its flag
  inode[17].i_flags^=name:EA_INODE
ev-flag-file values: a file with the flag of a value
  inode[/plain].i_flags|=name:EA_INODE
  xattr_entry[/one][user.large].e_value_inum=16
ev-flag-loop values: a value that has itself as a value
  inode[/one].i_flags|=name:EA_INODE
  xattr_entry[/one][user.large].e_value_inum=itself
ev-loop values: two values, each in the inode of the other
  xattr_entry[/one][user.large].e_value_inum=14
  xattr_entry[/two][user.large].e_value_inum=13
  inode[/one].i_flags|=name:EA_INODE
  inode[/two].i_flags|=name:EA_INODE
ev-references-more values: more references to a value than there are
  inode[17].l_i_version=9
ev-references-zero values: no references to a value in use
  inode[17].l_i_version=0
ev-references-high values: references to a value beyond 32 bits
  inode[17].i_ctime=1
ev-unused values: a value that nothing has
  xattr_entry[/three][user.other].e_name_len=0
ev-hash values: another hash of a value
  inode[17].i_atime+=1
ev-content values: another value than its hash says
  bytes[17][5]=hex:00
ev-entry-hash values: another hash of name and value
  xattr_entry[/one][user.large].e_hash=1
ev-size values: a value shorter than its entry says
  inode[17].i_size_lo=100
ev-size-entry values: an entry longer than its value
  xattr_entry[/one][user.large].e_value_size+=1000
ev-size-huge values: a value of 4 GiB
  xattr_entry[/one][user.large].e_value_size=ones
ev-links values: an inode of a value without links
  inode[17].i_links_count=0
ev-mode values: an inode of a value that is a directory
  inode[17].i_mode=0x41ed
ev-visible values: a name for an inode of a value
  dir_entry_2[/][plain].inode=17
ev-attributes values: an inode of a value with attributes of its own
  inode[17].i_file_acl_lo=another
ev-offset values: a value in an inode with a place, too
  xattr_entry[/one][user.large].e_value_offs=20
ev-no-feature values: values in inodes without the feature
  superblock.s_feature_incompat^=name:ea_inode
[clusters]
cl-block-map clusters: a file mapped by blocks where there are clusters
  inode[/short].i_flags^=name:EXTENTS
cl-start clusters: an extent that begins inside a cluster
  extent[/long][0].ee_start_lo+=1
cl-logical clusters: an extent whose block is elsewhere in its cluster
  extent[/holes][1].ee_block+=1
cl-two-clusters clusters: one cluster of a file in two places
  extent[/holes][1].ee_block=2
cl-shared clusters: a cluster in two files
  extent[/short][0].ee_start_lo=another
cl-shared-part clusters: parts of a cluster in two files
  extent[/short][0].ee_start_lo=another+1
cl-length clusters: an extent past the end of its cluster, in the next file's
  extent[/long][0].ee_len=60
cl-table clusters: content in the cluster of the inode table
  extent[/short][0].ee_start_lo=inode_table
cl-blocks clusters: a count of sectors that is not in whole clusters
  inode[/long].i_blocks_lo-=2
cl-free-blocks clusters: a count of free clusters that is wrong
  group_desc[0].bg_free_blocks_count_lo-=1
cl-free-super clusters: a count of free blocks that is not in whole clusters
  superblock.s_free_blocks_count_lo-=1
cl-bitmap clusters: a cluster in use is free
  block_bitmap[0].13=0
cl-size clusters: clusters smaller than blocks
  superblock.s_log_cluster_size=0
cl-size-more clusters: clusters of another size
  superblock.s_log_cluster_size+=1
cl-per-group clusters: groups of another number of clusters
  superblock.s_clusters_per_group=4096
cl-no-feature clusters: clusters without the feature
  superblock.s_feature_ro_compat^=name:bigalloc
[inline data]
in-size-odd inline: a directory inside of an odd size
  inode[/d].i_size_lo=61
in-size-more inline: a directory inside that is larger than its inode
  inode[/d].i_size_lo=500
in-size-file inline: data inside that ends after the inode
  inode[/tiny].i_size_lo=300
in-dir-rec-len inline: an entry inside of no bytes
  dir_entry_2[/d][a].rec_len=0
in-dir-rec-len-end inline: an entry inside that ends after it
  dir_entry_2[/d][#1].rec_len=200
in-dir-inode inline: a name inside for an inode that does not exist
  dir_entry_2[/d][a].inode=limit+1
in-dir-parent inline: another directory above a directory inside
  inode[/d].i_block[0]=11
in-dir-parent-end inline: no directory above a directory inside
  inode[/d].i_block[0]=60000
in-dir-hash-flag inline: a directory inside with an index
  inode[/d].i_flags|=name:INDEX
in-name-long inline: a name inside that ends after its entry
  dir_entry_2[/d][a].name_len=255
in-value-offset inline: the rest of data inside after the inode
  xattr_entry[/inside][#0].e_value_offs=200
in-value-size inline: the rest of data inside longer than the inode
  xattr_entry[/inside][#0].e_value_size=400
in-name-index inline: the rest of data inside under another prefix
  xattr_entry[/tiny][#0].e_name_index=1
in-value-inode inline: the rest of data inside in another inode
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
qu-visible quota: a name for the quota of users
  dir_entry_2[/etc][hosts].inode=3
qu-links quota: a quota file without links
  inode[3].i_links_count=0
qu-magic quota: no magic of the quota
  quota_header[user].dqh_magic=0
qu-version quota: a version that does not exist
  quota_header[user].dqh_version=9
qu-blocks quota: more blocks than the quota file has
  quota_info[user].dqi_blocks=ones
qu-free-block quota: a free block after the end
  quota_info[user].dqi_free_blk=ones
qu-space quota: room in use that is not
  quota_entry[user][5].dqb_curspace+=1024
qu-inodes quota: inodes in use that are not
  quota_entry[user][5].dqb_curinodes+=1
qu-entries quota: more entries than a block has
  quota_block_header[user][5].dqdh_entries=ones
qu-loop quota: a tree of quota that leads to its root
  bytes[3][1024]=hex:01000000
qu-tree-end quota: a tree of quota that leads after the end
  bytes[3][1024]=hex:ffffff7f
qu-size quota: a quota file of no bytes
  inode[3].i_size_lo=0
qu-no-feature quota: quota files without the feature
  superblock.s_feature_ro_compat^=name:quota
qu-visible-group quota: a name for the quota of groups
  dir_entry_2[/etc][hosts].inode=4
  dir_entry_2[/etc][hosts].file_type=1
[orphan file]
of-magic orphan: no magic of the orphan file
  orphan_block_tail[0].ob_magic=0
of-checksum orphan: another checksum of the orphan file
  orphan_block_tail[0].ob_checksum=7
of-dirty orphan: an orphan in a file system at rest
  orphan_block[0].0=12
of-orphan orphan: an orphan that is to be deleted
  orphan_block[0].0=12
  superblock.s_feature_ro_compat|=name:orphan_present
  inode[12].i_links_count=0
of-orphan-bad orphan: an orphan that does not exist
  orphan_block[0].0=limit+1
  superblock.s_feature_ro_compat|=name:orphan_present
of-present-clean orphan: orphans that are not there
  superblock.s_feature_ro_compat|=name:orphan_present
of-present-no-file plain: orphans in a file that is not there
  superblock.s_feature_ro_compat|=name:orphan_present
of-present-magic orphan: orphans in a block without magic
  superblock.s_feature_ro_compat|=name:orphan_present
  orphan_block_tail[0].ob_magic=0
of-present-checksum orphan: orphans in a block with another checksum
  superblock.s_feature_ro_compat|=name:orphan_present
  orphan_block_tail[0].ob_checksum=7
of-present-hole orphan: orphans in a hole
  superblock.s_feature_ro_compat|=name:orphan_present
  extent[12][0].ee_block=3
of-present-size orphan: orphans in a part of a block
  superblock.s_feature_ro_compat|=name:orphan_present
  inode[12].i_size_lo=1500
of-size orphan: an orphan file of a part of a block
  inode[12].i_size_lo=1500
of-hole orphan: an orphan file with a hole
  extent[12][0].ee_block=3
of-mode orphan: an orphan file that is a directory
  inode[12].i_mode=0x41ed
of-no-journal orphan: an orphan file without a journal
  superblock.s_feature_compat^=name:has_journal
of-inum orphan: an orphan file that is a directory of users
  superblock.s_orphan_file_inum=11
of-inum-end orphan: an orphan file that does not exist
  superblock.s_orphan_file_inum=ones
of-no-feature orphan: an orphan file without the feature
  superblock.s_feature_compat^=name:orphan_file
[journal]
jr-inum journal: a journal in a file of users
  superblock.s_journal_inum=12
jr-inum-end journal: a journal in an inode that does not exist
  superblock.s_journal_inum=ones
jr-inum-dir journal: a journal in the root directory
  superblock.s_journal_inum=root
jr-external journal: a journal on a device that is not there
  superblock.s_journal_inum=0
  superblock.s_journal_uuid=hex:00112233445566778899aabbccddeeff
  superblock.s_jnl_backup_type=0
jr-none journal: neither a journal inside nor one outside
  superblock.s_journal_inum=0
jr-no-feature journal: a journal without the feature
  superblock.s_feature_compat^=name:has_journal
jr-inode-mode journal: a journal without a kind
  inode[8].i_mode=0
jr-inode-mode-dir journal: a journal that is a directory
  inode[8].i_mode=0x41c0
jr-inode-links journal: a journal without links
  inode[8].i_links_count=0
jr-inode-size journal: a journal of no bytes
  inode[8].i_size_lo=0
jr-inode-plain plain: an inode of a journal without the feature
  inode[8].i_mode=0x8180
  inode[8].i_links_count=1
  inode[8].i_size_lo=1024
jr-extent journal: a journal over the root directory
  extent[8][0].ee_start_lo=root
jr-extent-end journal: a journal after the end
  extent[8][0].ee_start_lo=limit-5
jr-magic journal: no magic of the journal
  journal_superblock.h_magic=0
jr-type journal: a kind of journal that does not exist
  journal_superblock.h_blocktype=9
jr-type-descriptor journal: a descriptor in the place of the superblock
  journal_superblock.h_blocktype=1
jr-v1 journal: a version 1 with fields of version 2
  journal_superblock.h_blocktype=3
  journal_superblock.s_feature_compat=1
  journal_superblock.s_nr_users=1
jr-block-size journal: blocks of no bytes
  journal_superblock.s_blocksize=0
jr-block-size-other journal: blocks of another size
  journal_superblock.s_blocksize=4096
jr-maxlen journal: a journal longer than its file
  journal_superblock.s_maxlen=50000
jr-maxlen-short journal: a journal that is too short
  journal_superblock.s_maxlen=10
jr-first-zero journal: a log that begins in the superblock
  journal_superblock.s_first=0
jr-first-end journal: a log that begins after its end
  journal_superblock.s_first=limit+1
jr-start journal: a log to be replayed without a flag
  journal_superblock.s_start=9
jr-start-end journal: a log that begins after its end
  journal_superblock.s_start=ones
  superblock.s_feature_incompat|=name:needs_recovery
jr-replay-garbage journal: a recovery of a log that is empty
  superblock.s_feature_incompat|=name:needs_recovery
  journal_superblock.s_start=1
jr-errno journal: a journal that was aborted
  journal_superblock.s_errno=5
jr-incompat journal: features of the journal that no one knows
  journal_superblock.s_feature_incompat=ones
jr-ro-compat journal: features of the journal for reading alone
  journal_superblock.s_feature_ro_compat=1
jr-csum-both journal: two versions of checksums at once
  journal_superblock.s_feature_incompat=0x18
  journal_superblock.s_checksum_type=4
jr-csum-type journal: a checksum that does not exist
  journal_superblock.s_feature_incompat=0x10
  journal_superblock.s_checksum_type=1
jr-users journal: a journal of many file systems
  journal_superblock.s_nr_users=2
jr-fast-commit journal: more fast commits than the journal has blocks
  journal_superblock.s_feature_incompat=0x20
  journal_superblock.s_num_fc_blks=ones
jr-backup-blocks journal: another copy of the journal's blocks
  superblock.s_jnl_blocks[0]+=1
jr-backup-none journal: no copy of the journal's blocks
  superblock.s_jnl_backup_type=0
jr-transaction journal: a transaction that cannot be replayed
  superblock.s_feature_incompat|=name:needs_recovery
  journal_superblock.s_start=1
  bytes[8][1024]=hex:c03b39980000000100000001000000100000000000000000
  journal_superblock.s_feature_incompat=0x10
  journal_superblock.s_checksum_type=4
jr-mode-link journal: a journal that is a link
  inode[8].i_mode=0xa180
[replay]
rp-home-inode pending: damage below the journal, which recovery undoes
  inode[/etc/hosts].i_links_count=7
rp-home-directory pending: a name below the journal that leads nowhere, which recovery undoes
  dir_entry_2[/etc/passwd].inode=ones
rp-home-bitmap pending: free blocks below the journal that are in use, which recovery undoes
  block_bitmap[0].17=0
rp-home-descriptor pending: an inode table elsewhere, below the journal
  group_desc[0].bg_inode_table_lo=root
rp-home-journal-inode pending: a journal over the root directory, which no recovery can undo
  extent[8][0].ee_start_lo=root
rp-home-older pending: damage below the journal in a block that it does not hold
  xattr_header[/shared1].h_refcount=9
rp-block-root pending: a root directory without a kind in the log
  bytes[8][3328:2]=hex:0000
rp-block-directory pending: a directory of zeros in the log
  bytes[8][11264:64]=zeroes
rp-block-descriptors pending: descriptors of ones in the log
  bytes[8][40960:1024]=ones
rp-block-super pending: a superblock without its magic in the log
  bytes[8][46136:2]=hex:0000
rp-tag-block pending: a directory that recovery writes over the root directory
  journal_block_tag3[1][34].t_blocknr=root
rp-tag-table pending: a superblock that recovery writes over the inode table
  journal_block_tag3[44][0].t_blocknr=inode_table
rp-tag-journal pending: a superblock that recovery writes over that of the journal
  journal_block_tag3[44][0].t_blocknr=journal
rp-tag-bitmap pending: a superblock that recovery writes over a bitmap
  journal_block_tag3[44][0].t_blocknr=bitmap
rp-tag-descriptors pending: a superblock that recovery writes over the descriptors
  journal_block_tag3[44][0].t_blocknr=descriptors
rp-tag-super pending: a bitmap that recovery writes over the superblock
  journal_block_tag3[39][2].t_blocknr=superblock
  journal_commit_header[46].h_magic=0
rp-tag-end pending: a block that recovery writes after the end
  journal_block_tag3[1][1].t_blocknr=limit+1
  inode[/etc/hosts].i_links_count=7
rp-tag-high pending: a block that recovery writes far after the end
  journal_block_tag3[1][1].t_blocknr_high=1
  inode[/etc/hosts].i_links_count=7
rp-tag-zero pending: a block that recovery writes before the superblock
  journal_block_tag3[1][1].t_blocknr=0
  inode[/etc/hosts].i_links_count=7
rp-tag-escape pending: a magic number where there was none
  journal_block_tag3[1][1].t_flags|=1
  inode[/etc/hosts].i_links_count=7
rp-tag-deleted pending: a block that is said to be deleted
  journal_block_tag3[1][1].t_flags|=4
  inode[/etc/hosts].i_links_count=7
rp-tag-last pending: tags that end after the first
  journal_block_tag3[1][0].t_flags|=8
  inode[/etc/hosts].i_links_count=7
rp-tag-no-last pending: tags that do not end
  journal_block_tag3[1][34].t_flags&=0xfffffff7
  inode[/etc/hosts].i_links_count=7
rp-tag-uuid pending: tags with a UUID that is not there
  journal_block_tag3[1][1].t_flags&=0xfffffffd
  inode[/etc/hosts].i_links_count=7
rp-descriptor-magic pending: a log that ends before its first transaction
  journal_header[1].h_magic=0
  inode[/etc/hosts].i_links_count=7
rp-descriptor-type pending: a commit in the place of a descriptor
  journal_header[1].h_blocktype=2
  inode[/etc/hosts].i_links_count=7
rp-descriptor-sequence pending: a descriptor of another transaction
  journal_header[39].h_sequence=9
  inode[/etc/hosts].i_links_count=7
rp-descriptor-superblock pending: a superblock of a journal in the middle of the log
  journal_header[39].h_blocktype=4
  inode[/etc/hosts].i_links_count=7
rp-commit-magic pending: a transaction without its end
  journal_commit_header[37].h_magic=0
  inode[/etc/hosts].i_links_count=7
rp-commit-sequence pending: an end of another transaction
  journal_commit_header[43].h_sequence=3
  inode[/etc/hosts].i_links_count=7
rp-commit-twice pending: the number of a transaction twice
  journal_header[44].h_sequence=2
  journal_commit_header[46].h_sequence=2
  inode[/etc/hosts].i_links_count=7
rp-revoke-count pending: more bytes of revokes than the block has
  journal_revoke_header[38].r_count=ones
  inode[/etc/hosts].i_links_count=7
rp-revoke-count-odd pending: half a revoke
  journal_revoke_header[38].r_count=20
  inode[/etc/hosts].i_links_count=7
rp-revoke-none pending: no revoke, so that recovery brings old content back
  journal_revoke_header[38].r_count=16
  inode[/etc/hosts].i_links_count=7
rp-revoke-table pending: an inode table that is damaged, and revoked
  bytes[8][38928:8]=hex:0000000000000005
  inode[/].i_mode=0
rp-start pending: a log that begins in the middle of a transaction
  journal_superblock.s_start=5
  inode[/etc/hosts].i_links_count=7
rp-start-commit pending: a log that begins at an end
  journal_superblock.s_start=37
  inode[/etc/hosts].i_links_count=7
rp-start-second pending: a log without its first transaction
  journal_superblock.s_start=38
  journal_superblock.s_sequence=2
  inode[/etc/hosts].i_links_count=7
rp-sequence pending: a log of transactions with other numbers
  journal_superblock.s_sequence=77
  inode[/etc/hosts].i_links_count=7
rp-maxlen pending: a log that ends in the middle of a transaction
  journal_superblock.s_maxlen=30
  inode[/etc/hosts].i_links_count=7
rp-first pending: a log that begins before its first block
  journal_superblock.s_first=40
  inode[/etc/hosts].i_links_count=7
rp-flag pending: a log that no flag announces
  superblock.s_feature_incompat^=name:needs_recovery
  inode[/etc/hosts].i_links_count=7
rp-no-start pending: a flag that announces a log, and none
  journal_superblock.s_start=0
  inode[/etc/hosts].i_links_count=7
rp-features pending: transactions whose tags have no checksums
  journal_superblock.s_feature_incompat^=16
  inode[/etc/hosts].i_links_count=7
rp-64bit pending: tags with fewer bytes than they have
  journal_superblock.s_feature_incompat^=2
  inode[/etc/hosts].i_links_count=7
rp-revoke-feature pending: revokes in a journal without them
  journal_superblock.s_feature_incompat^=1
  inode[/etc/hosts].i_links_count=7
rp-error pending: transactions in a journal that was aborted
  journal_superblock.s_errno=5
  inode[/etc/hosts].i_links_count=7
rp-home-orphans pending: a list of orphans that begins at a file in use, below the journal
  superblock.s_last_orphan=12
[resize inode]
ri-mode journal: an inode for growth without a kind
  inode[7].i_mode=0
ri-blocks journal: blocks for growth elsewhere
  inode[7].i_block[13]=root
ri-double journal: blocks for growth after the end
  inode[7].i_block[13]=limit+1
ri-links journal: an inode for growth without links
  inode[7].i_links_count=0
ri-word groups: a block for growth that is another's
  indirect_block[7][0].1=root
ri-plain plain: an inode for growth without the feature
  inode[7].i_mode=0x8180
  inode[7].i_links_count=1
  inode[7].i_size_lo=1024
[casefold]
cf-name folded: a name that is no UTF-8
  bytes[/folded][32]=hex:ff
  superblock.s_encoding_flags=1
cf-twice folded: names that are one when folded
  bytes[/folded][32]=text:other
  dir_entry_2[/folded][Name].name_len=5
[encryption]
en-name-short locked: an encrypted name that is too short
  dir_entry_2[/vault][#1].rec_len=12
  dir_entry_2[/vault][#1].name_len=2
  bytes[/vault][24]=hex:00000000e403010178000000
en-context locked: a policy of another size
  xattr_entry[/vault][#0].e_value_size=3
en-entries-plain locked: an encrypted directory in the block of a plain one
  extent[/vault][0].ee_start_lo=bitmap
en-block-of-plain locked: encrypted names for files that are not
  extent[/vault][0].ee_start_lo=root
[verity]
ve-size verity: a file with verity that is longer than its tree
  inode[/sealed].i_size_lo=limit
[public]
cve-2018-1092 plain: Linux: a root without links (ext4_iget)
  inode[/].i_links_count=0
cve-2018-1093 plain: Linux: a bitmap in a block outside of its group (ext4_valid_block_bitmap)
  group_desc[0].bg_block_bitmap_lo=limit+1
cve-2018-1094 plain: Linux: values in inodes without checksums (ext4_xattr_inode_hash)
  superblock.s_feature_incompat|=name:ea_inode
  superblock.s_feature_ro_compat^=name:metadata_csum
  xattr_entry[/shared1][user.big].e_value_inum=13
cve-2018-10876 mapped: Linux: bg_flags where no checksum covers them (ext4_ext_remove_space)
  group_desc[0].bg_flags=7
cve-2018-10877 plain: Linux: an extent tree deeper than any (ext4_ext_drop_refs)
  extent_header[/wide].eh_depth=limit+1
cve-2018-10878 plain: Linux: bitmaps over descriptors (ext4_init_block_bitmap)
  group_desc[0].bg_block_bitmap_lo=descriptors
  group_desc[0].bg_flags|=name:BLOCK_UNINIT
cve-2018-10879 plain: Linux: an attribute block without its magic (ext4_xattr_set_entry)
  xattr_header[/shared1].h_magic=0
cve-2018-10880 inline: Linux: system.data that would leave the inode (ext4_update_inline_data)
  xattr_entry[/inside][#0].e_value_size=ones
cve-2018-10881 inline: Linux: data inside that is read as an extent tree (ext4_get_group_info)
  inode[/inside].i_flags|=name:EXTENTS
  inode[/inside].i_flags^=name:INLINE_DATA
cve-2018-10882 journal: Linux: a name for the inode of the journal (jbd2_journal_get_write_access)
  dir_entry_2[/etc][hosts].inode=journal
cve-2018-10883 journal: Linux: a journal too short for a transaction (jbd2_journal_dirty_metadata)
  journal_superblock.s_maxlen=10
cve-2022-1184 deep: Linux: a node of an index that names the first block (dx_insert_block)
  dx_entry[/most][1][1].block=0
cve-2024-57256 plain: U-Boot: a link of 0xffffffff bytes, and one more (ext4fs_read_symlink)
  inode[/slow].i_size_lo=0xffffffff
lwext4-89 plain: lwext4: an entry that leads out of its block (ext4_dir_en_get_name_len)
  dir_entry_2[/][etc].rec_len=ones
lwext4-90 plain: lwext4: blocks whose size is 0 in 32 bits (ext4_block_set_lb_size)
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
