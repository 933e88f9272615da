#!/bin/sh
# Build a root file system as Buildroot does (BR2_TARGET_ROOTFS_EXT2_SIZE="60M"), without fakeroot:
#
#   buildroot-root.sh output/target device_table.txt rootfs.ext4
#
# The table has the format of makedevs, such as system/device_table.txt of Buildroot. Entries that it does
# not list belong to root.
set -eu

[ $# -eq 3 ] || {
    echo "usage: buildroot-root.sh TARGET TABLE IMAGE" >&2
    exit 2
}
target=$1 table=$2 image=$3

ext4writer build "$target" -o "$image" \
    --size 60M --label rootfs --inode-size 256 --reserved-percent 5 \
    --owner 0:0 --makedevs "$table" --exclude THIS_IS_NOT_YOUR_ROOT_FILESYSTEM
