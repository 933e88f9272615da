#!/bin/sh
# Set SELinux labels for a partition that is mounted at /vendor, from the policy's file_contexts:
#
#   selinux-vendor.sh vendor file_contexts vendor.img
#
# Without --mount-point the rules for / would label the files of the partition.
set -eu

[ $# -eq 3 ] || {
    echo "usage: selinux-vendor.sh FOLDER FILE_CONTEXTS IMAGE" >&2
    exit 2
}
folder=$1 contexts=$2 image=$3

# Files in /bin belong to the group shell. --strict refuses a rule that matches nothing, so the rule is
# given only if /bin has files.
set -- "$folder" -o "$image" --owner 0:0 --label vendor \
    --file-contexts "$contexts" --mount-point /vendor
if [ -n "$(find "$folder/bin" -mindepth 1 2>/dev/null | head -n 1)" ]; then
    set -- "$@" --set 'bin/**: gid=2000'
fi

ext4writer build "$@" --strict
