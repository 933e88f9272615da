"""Builds an initramfs: busybox, kernel modules, a script and other files."""

from __future__ import annotations

import lzma
import re
import stat
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath


class Archive:
    """A cpio archive in the format "newc" that the kernel unpacks (buffer-format.rst)."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._names: set[str] = set()

    def directory(self, path: str) -> None:
        """Add a directory and its missing parents."""
        parts = path.strip("/").split("/")
        for depth in range(1, len(parts) + 1):
            name = "/".join(parts[:depth])
            if name and name not in self._names:
                self._add(name, stat.S_IFDIR | 0o755, b"")

    def file(self, path: str, data: bytes, mode: int = 0o755) -> None:
        """Add a regular file, unless there is one of that name already."""
        name = path.strip("/")
        if "/" in name:
            self.directory(str(PurePosixPath(name).parent))
        if name not in self._names:
            self._add(name, stat.S_IFREG | mode, data)

    def device(self, path: str, major: int, minor: int) -> None:
        """Add a character device."""
        name = path.strip("/")
        self.directory(str(PurePosixPath(name).parent))
        self._add(name, stat.S_IFCHR | 0o600, b"", (major, minor))

    def _add(self, name: str, mode: int, data: bytes, device: tuple[int, int] = (0, 0)) -> None:
        self._names.add(name)
        self._pieces.append(_member(name, mode, data, device, len(self._names)))

    def uncompressed(self) -> bytes:
        """The archive with its trailer, not compressed."""
        return b"".join([*self._pieces, _member("TRAILER!!!", 0, b"", (0, 0), 0)])

    def compressed(self) -> bytes:
        """The archive compressed at the fastest level, since an emulated guest is slow."""
        compressor = zlib.compressobj(1, wbits=31)
        return compressor.compress(self.uncompressed()) + compressor.flush()


def _member(name: str, mode: int, data: bytes, device: tuple[int, int], ino: int) -> bytes:
    raw = name.encode() + b"\0"
    fields = [ino, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(raw), 0]
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + raw
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def modules(folder: Path, wanted: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Yield (file name, content) of each module in ``wanted``, after those it depends on.

    Modules missing below ``folder`` are assumed to be built into the kernel. Dependencies are read
    from the modules, because a package that was only unpacked has no modules.dep.
    """
    found = {
        plain_name(path).removesuffix(".ko").replace("-", "_"): path
        for path in sorted(folder.glob("kernel/**/*.ko*"))
    }
    done: set[str] = set()

    def visit(name: str) -> Iterator[tuple[str, bytes]]:
        name = name.replace("-", "_")
        path = found.get(name)
        if path is None or name in done:
            return
        done.add(name)
        data = module_bytes(path)
        depends = re.search(rb"\0depends=([^\0]*)\0", data)
        for dependency in depends[1].decode().split(",") if depends else []:
            yield from visit(dependency)
        yield plain_name(path), data

    for name in wanted:
        yield from visit(name)


def plain_name(path: Path) -> str:
    """The file name of a module without its compression suffix."""
    return re.sub(r"\.(xz|zst|gz)$", "", path.name)


def module_bytes(path: Path) -> bytes:
    """The decompressed module."""
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    if path.suffix == ".gz":
        return zlib.decompress(data, wbits=31)
    if path.suffix == ".zst":
        import zstandard

        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return data
