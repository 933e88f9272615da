#!/bin/sh
# From a tar archive of a root file system to a login prompt in QEMU:
#
#   debootstrap --variant=minbase --include=systemd-sysv,udev bookworm root
#   chroot root passwd --delete root
#   tar -C root --numeric-owner --xattrs -cf debian.tar .
#   debian-login.sh debian.tar vmlinuz [initrd]
#
# Only debootstrap needs root. The kernel needs virtio_blk and ext4, built in or in the initrd, which
# must mount the disk that root= names. MACHINE selects another machine.
set -eu

[ $# -ge 2 ] && [ $# -le 3 ] || {
    echo "usage: debian-login.sh ARCHIVE KERNEL [INITRD]" >&2
    exit 2
}
tar=$1 kernel=$2 initrd=${3:-}

mkdir -p overlay/etc
echo debian > overlay/etc/hostname
echo '/dev/vda / ext4 defaults 0 1' > overlay/etc/fstab

ext4writer build "$tar" overlay,owner=0:0,mode-mask=755 -o debian.img \
    --label root --free 256M --exclude 'var/cache/apt/archives/*.deb'

exec qemu-system-x86_64 -M "${MACHINE:-q35,accel=kvm:tcg}" -m 512M -nodefaults -no-reboot \
    -display none -serial stdio -monitor none \
    -drive file=debian.img,format=raw,if=virtio \
    -kernel "$kernel" ${initrd:+-initrd "$initrd"} \
    -append 'console=ttyS0 root=/dev/vda rw panic=-1'
