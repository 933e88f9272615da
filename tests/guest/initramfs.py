"""Builds an initramfs: an archive of busybox, kernel modules, programs of the host and a script."""

from __future__ import annotations

import lzma
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.judges.tools import require, run

MODULES = ("virtio_pci", "virtio_blk", "crc32c-intel", "crc32c_generic", "ext4", "quota_v2")
"""Loaded with what they depend on, as far as they are no part of the kernel itself."""

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


class Archive:
    """A cpio archive in the form "newc" that the kernel unpacks (buffer-format.rst)."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._names: set[str] = set()

    def directory(self, path: str) -> None:
        """Add a directory and those above it."""
        parts = path.strip("/").split("/")
        for depth in range(1, len(parts) + 1):
            name = "/".join(parts[:depth])
            if name and name not in self._names:
                self._add(name, stat.S_IFDIR | 0o755, b"")

    def file(self, path: str, data: bytes, mode: int = 0o755) -> None:
        """Add a regular file; the first one of a name stays."""
        name = path.strip("/")
        self.directory(str(Path(name).parent)) if "/" in name else None
        if name not in self._names:
            self._add(name, stat.S_IFREG | mode, data)

    def device(self, path: str, major: int, minor: int) -> None:
        """Add a character device."""
        name = path.strip("/")
        self.directory(str(Path(name).parent))
        self._add(name, stat.S_IFCHR | 0o600, b"", (major, minor))

    def _add(self, name: str, mode: int, data: bytes, device: tuple[int, int] = (0, 0)) -> None:
        self._names.add(name)
        self._pieces.append(_member(name, mode, data, device, len(self._names)))

    def bytes(self) -> bytes:
        """The whole archive."""
        return b"".join([*self._pieces, _member("TRAILER!!!", 0, b"", (0, 0), 0)])


def _member(name: str, mode: int, data: bytes, device: tuple[int, int], ino: int) -> bytes:
    raw = name.encode() + b"\0"
    fields = [ino, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(raw), 0]
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + raw
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def build(
    kernel: Path,
    script: str,
    programs: Iterable[str],
    files: dict[str, bytes],
    modules: Iterable[str] = (),
) -> bytes:
    """The archive for the unpacked ``kernel`` package; ``init`` runs ``script`` and powers off.

    ``programs`` of the host go to ``/bin`` with the libraries they are linked to; ``files`` are
    further ones, by path; ``modules`` of the kernel are loaded beside those that it always needs.
    """
    archive = Archive()
    archive.device("dev/console", 5, 1)
    archive.device("dev/null", 1, 3)
    archive.file("bin/busybox", Path(require("busybox")).read_bytes())
    found = list(_with_dependencies(kernel, (*MODULES, *modules)))
    for path in found:
        archive.file(f"modules/{_plain_name(path)}", _module_bytes(path), 0o644)
    for program in programs:
        _add_program(archive, program)
    for name, data in files.items():
        archive.file(name, data)
    archive.directory("etc")
    archive.file("script", script.encode())
    init = INIT.format(
        modules=" ".join(_plain_name(path) for path in found), begin=BEGIN, end=END, log=LOG
    )
    archive.file("init", init.encode())
    return archive.bytes()


BEGIN = "==== script begins ===="
END = "==== script ends with"
LOG = "==== kernel log ===="


def _add_program(archive: Archive, program: str) -> None:
    path = Path(require(program))
    archive.file(f"bin/{program}", path.read_bytes())
    for library in re.findall(r"(/\S+) \(0x", run(["ldd", path], check=False).stdout):
        archive.file(library, Path(library).read_bytes())


def _with_dependencies(kernel: Path, wanted: Iterable[str]) -> Iterator[Path]:
    """The module files for ``wanted``, each after those that it depends on."""
    found = {
        _plain_name(path).removesuffix(".ko").replace("-", "_"): path
        for path in sorted(kernel.glob("**/lib/modules/*/kernel/**/*.ko*"))
    }
    done: set[str] = set()

    def visit(name: str) -> Iterator[Path]:
        path = found.get(name.replace("-", "_"))
        if path is None or name in done:
            return
        done.add(name)
        depends = re.search(rb"\0depends=([^\0]*)\0", _module_bytes(path))
        for dependency in depends[1].decode().split(",") if depends else []:
            yield from visit(dependency)
        yield path

    for name in wanted:
        yield from visit(name.replace("-", "_"))


def _plain_name(path: Path) -> str:
    return path.name.removesuffix(".xz")


def _module_bytes(path: Path) -> bytes:
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data
