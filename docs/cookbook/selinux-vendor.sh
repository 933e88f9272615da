#!/bin/sh
# SELinux labels for a partition that is mounted at /vendor, from the policy's file_contexts:
#
#   selinux-vendor.sh vendor file_contexts vendor.img
#
# Without --mount-point the rules for / would label what is in the partition.
set -eu

folder=$1 contexts=$2 image=$3

ext4writer build "$folder" -o "$image" --owner 0:0 --label vendor \
    --file-contexts "$contexts" --mount-point /vendor \
    --set 'bin/**: gid=2000' --strict
