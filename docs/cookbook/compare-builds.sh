#!/bin/sh
# Compare two builds: equal byte for byte, or which entries and which content differ.
#
#   compare-builds.sh old.img new.img
#
# Status 0: equal; 1: they differ; 2: they cannot be compared; like diff(1).
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
# Images are sources, so a manifest of each tells all: modes, owners, times, digests.
ext4writer manifest "$1" --digest sha256 --quiet -o "$work/old" || exit 2
ext4writer manifest "$2" --digest sha256 --quiet -o "$work/new" || exit 2
if diff -U0 "$work/old" "$work/new" | grep '^[-+][^-+]'; then
    exit 1
fi
echo 'the entries are equal; the images differ in their options or their layout'
exit 1
