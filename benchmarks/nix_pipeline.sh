#!/bin/sh
# The steps with which nixos/lib/make-ext4-fs.nix of nixpkgs makes an image; each call runs one.
#
# Usage: nix_pipeline.sh STEP SOURCE WORK
#
# SOURCE contains the folders closure (as made by closureInfo), store and files. Everything is
# created in WORK, where "image" is the result and "image.zst" the compressed result.

set -eu
step=$1 source=$2 work=$3
label=NIXOS_SD uuid=44444444-4444-4444-8888-888888888888
tree=$work/tree image=$work/image
export EXT2FS_NO_MTAB_OK=yes

case $step in
copy)
    mkdir -p "$tree/nix/store"
    sed "s|^/nix/store|$source/store|" "$source/closure/store-paths" |
        xargs -I % cp -a --reflink=auto % -t "$tree/nix/store/"
    find "$source/files" -mindepth 1 -maxdepth 1 -exec cp -a --reflink=auto -t "$tree" {} +
    cp "$source/closure/registration" "$tree/nix-path-registration"
    ;;
guess)
    entries=$(find "$tree" | wc -l)
    blocks=$(du -s -c -B 4096 --apparent-size "$tree" | awk 'END { print int($1 * 1.20) }')
    bytes=$((2 * 4096 * entries + 4096 * blocks))
    truncate -s $(((bytes + 1048575) / 1048576))M "$image"
    ;;
fill)
    faketime -f "1970-01-01 00:00:01" fakeroot \
        mkfs.ext4 -q -L "$label" -U "$uuid" -d "$tree" "$image"
    ;;
check)
    fsck.ext4 -n -f "$image"
    ;;
shrink)
    resize2fs -M "$image"
    ;;
enlarge)
    resize2fs "$image" "$(dumpe2fs -h "$image" | awk -F: '
        /^Block count/ { count = $2 }
        /^Block size/ { size = $2 }
        END { printf "%d", (count * size + 16 * 2 ^ 20) / size }')"
    ;;
compress)
    zstd -q -T0 "$image" -o "$image.zst"
    ;;
esac
