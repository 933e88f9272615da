#!/bin/sh
# Create a GPT disk with an ext4 partition at its offset, without root and without a loop device:
#
#   gpt-disk.sh rootfs disk.img
#
# The partition starts at 1 MiB and ends 1 MiB before the end of the disk, where GPT has its second table.
# An existing disk is not changed, and a failure leaves no new one.
set -eu

[ $# -ge 2 ] && [ $# -le 3 ] || {
    echo "usage: gpt-disk.sh ROOTFS DISK [MIB]" >&2
    exit 2
}
rootfs=$1 disk=$2 mib=${3:-256}
[ ! -e "$disk" ] || {
    echo "gpt-disk.sh: $disk: exists; remove it, or give another name" >&2
    exit 1
}

trap '[ $? -eq 0 ] || rm -f "$disk"' EXIT
truncate -s "${mib}M" "$disk"
sfdisk --quiet "$disk" <<TABLE
label: gpt
start=1MiB, size=$((mib - 2))MiB, type=linux, name=root
TABLE

ext4writer build "$rootfs" -o "$disk" --offset 1M --size "$((mib - 2))M" --owner 0:0 --label root

# List the content of the partition; the disk itself is a source.
ext4writer manifest "image:$disk:1" -o "$disk.mtree"
