#!/bin/sh
# From an OCI image to the root of a microVM (Firecracker, Cloud Hypervisor, QEMU's microvm):
#
#   skopeo copy docker://alpine:3 oci:layout:alpine
#   microvm-root.sh oci:layout:alpine root.img /usr/bin/server
#
# An OCI image has no init and no resolv.conf. This init mounts what programs expect and starts PROGRAM.
set -eu

[ $# -ge 2 ] && [ $# -le 3 ] || {
    echo "usage: microvm-root.sh SOURCE IMAGE [PROGRAM]" >&2
    exit 2
}
image=$1 output=$2 program=${3:-/bin/sh}

overlay=$(mktemp -d)
trap 'rm -rf "$overlay"' EXIT
mkdir -p "$overlay/sbin" "$overlay/etc" "$overlay/proc" "$overlay/sys" "$overlay/dev"
cat > "$overlay/sbin/init" <<INIT
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
exec $program
INIT
echo 'nameserver 1.1.1.1' > "$overlay/etc/resolv.conf"

# A folder over a link of the image goes to the link's target, so /sbin may be a link to usr/sbin.
ext4writer build "$image" \
    "$overlay,owner=0:0,all-times=0,set=**: mode=755,set=etc/resolv.conf: mode=644" \
    -o "$output" --free 512M --label root
