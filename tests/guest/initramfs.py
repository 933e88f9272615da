"""Builds an initramfs: an archive of busybox, kernel modules, programs of the host and a script."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ext4writer_cli.fuzz.initramfs import Archive
from ext4writer_cli.fuzz.initramfs import modules as modules_of
from tests.judges.tools import require, run

MODULES = ("virtio_pci", "virtio_blk", "crc32c-intel", "crc32c_generic", "ext4", "quota_v2")
"""Loaded with their dependencies, unless they are built into the kernel."""

INIT = """\
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /mnt /usr/bin /usr/sbin /sbin
/bin/busybox --install -s /bin
export PATH=/bin:/sbin:/usr/bin:/usr/sbin LC_ALL=C TZ=UTC HOME=/
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in {modules}; do insmod /modules/$module; done
ln -sf /proc/mounts /etc/mtab
echo; echo {begin}
sh -e /script
echo {end} $?
umount -a 2>/dev/null
sync
echo {log}
dmesg
echo {log}
poweroff -f
"""


def build(
    kernel: Path,
    script: str,
    programs: Iterable[str],
    files: dict[str, bytes],
    modules: Iterable[str] = (),
) -> bytes:
    """The compressed archive for an unpacked kernel package; ``init`` runs ``script`` and ends.

    ``programs`` of the host are copied to ``/bin`` with their shared libraries. ``files`` are
    further ones, by path. ``modules`` of the kernel are loaded in addition to those that it always
    needs.
    """
    archive = Archive()
    archive.device("dev/console", 5, 1)
    archive.device("dev/null", 1, 3)
    archive.file("bin/busybox", Path(require("busybox")).read_bytes())
    folder = next(iter(kernel.glob("**/lib/modules/*")))
    found = list(modules_of(folder, (*MODULES, *modules)))
    for name, data in found:
        archive.file(f"modules/{name}", data, 0o644)
    for program in programs:
        _add_program(archive, program)
    for name, data in files.items():
        archive.file(name, data)
    archive.directory("etc")
    archive.file("script", script.encode())
    init = INIT.format(modules=" ".join(name for name, _ in found), begin=BEGIN, end=END, log=LOG)
    archive.file("init", init.encode())
    return archive.compressed()


BEGIN = "==== script begins ===="
END = "==== script ends with"
LOG = "==== kernel log ===="


def _add_program(archive: Archive, program: str) -> None:
    path = Path(require(program))
    archive.file(f"bin/{program}", path.read_bytes())
    for library in re.findall(r"(/\S+) \(0x", run(["ldd", path], check=False).stdout):
        archive.file(library, Path(library).read_bytes())
