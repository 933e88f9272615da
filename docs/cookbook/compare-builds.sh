#!/bin/sh
# Compare two builds: whether they are equal byte for byte, or which entries and content differ.
#
#   compare-builds.sh old.img new.img
#
# Exit status, as in diff(1): 0 if they are equal, 1 if they differ, 2 if they cannot be compared.
set -eu

[ $# -eq 2 ] || {
    echo "usage: compare-builds.sh OLD NEW" >&2
    exit 2
}
if cmp --silent "$1" "$2"; then
    echo 'the images are equal'
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Images are sources, so the manifest of each lists modes, owners, times and digests.
ext4writer manifest "$1" --digest sha256 --quiet -o "$work/old" || exit 2
ext4writer manifest "$2" --digest sha256 --quiet -o "$work/new" || exit 2
if diff -U0 "$work/old" "$work/new" | grep '^[-+][^-+]'; then
    exit 1
fi
echo 'the entries are equal; the images differ in their options or their layout'
exit 1
