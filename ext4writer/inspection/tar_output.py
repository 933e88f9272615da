"""Files of an image as a tar archive: PAX, with attributes, holes and nanoseconds."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from typing import Any, BinaryIO

from ..arithmetic import padding
from ..errors import ImageError
from ..inode_flags import bsd_words, taken_flags
from ..nodes import Loss
from ..read import FileReader, Image, Inode
from ..spans import Span
from .extract import CHUNK, RATIO_MAX, SPARE_BYTES, chosen, is_wanted

_BLOCK = 512
_TYPES = {
    "file": tarfile.REGTYPE,
    "directory": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "character device": tarfile.CHRTYPE,
    "block device": tarfile.BLKTYPE,
    "fifo": tarfile.FIFOTYPE,
}


def write_tar(
    image: Image, stream: BinaryIO, paths: Sequence[bytes] = (), *, max_bytes: int | None = None
) -> list[Loss]:
    """Write what is in ``image`` to ``stream`` as a PAX archive; return what no archive holds.

    ``paths`` and ``max_bytes`` are those of :func:`.extract.extract`. Names begin with ``./``.
    Holes are kept in GNU's format 1.0, attributes as ``SCHILY.xattr``. The same image gives the
    same bytes.
    """
    most = RATIO_MAX * image.store.size + SPARE_BYTES if max_bytes is None else max_bytes
    wanted = chosen(image, paths)
    losses: list[Loss] = []
    first_names: dict[int, str] = {}
    written = 0
    with tarfile.open(
        fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT, encoding="utf-8",
        errors="surrogateescape",
    ) as archive:  # fmt: skip
        if not image.root.is_directory:
            raise image.root.error("i_mode", f"is {image.root.mode:#o}, and not of a directory")
        if not wanted:
            archive.addfile(_header("./", image.root, {}))
        for found in image.walk(descend=lambda found: is_wanted(found, wanted)):
            inode = found.inode
            if not is_wanted(found, wanted):
                if not found.is_path:
                    losses.append(
                        Loss(found.path, "its encrypted name can stand in no path", "left-out")
                    )
                continue
            if inode.kind not in _TYPES:
                losses.append(
                    Loss(found.path, f"is a {inode.kind}, which no archive can hold", "left-out")
                )
                continue
            name = "." + found.path.decode("utf-8", "surrogateescape")
            first = first_names.get(inode.ino)
            if first is not None:
                info = _header(name, inode, {})
                info.type, info.linkname = tarfile.LNKTYPE, first
                archive.addfile(info)
                continue
            if inode.links > 1 and not inode.is_directory:
                first_names[inode.ino] = name
            extra = _xattr_records(inode, found.path, losses)
            flags = inode.flags & taken_flags(inode.file_type)
            if flags:
                # libarchive/archive_write_set_format_pax.c
                extra["SCHILY.fflags"] = bsd_words(flags)
            if inode.projid:
                what = f"its project {inode.projid} is not kept"
                losses.append(Loss(found.path, what, "attributes-not-taken"))
            if not inode.is_file:
                info = _header(name, inode, extra)
                if inode.is_symlink:
                    info.linkname = inode.target().decode("utf-8", "surrogateescape")
                elif inode.is_device:
                    info.devmajor, info.devminor = inode.device
                archive.addfile(info)
                continue
            with image.open(inode) as reader:
                written += sum(end - start for start, end in reader.data)
                if written > most:
                    text = f"holds more than {most} bytes of content; more can be allowed"
                    raise ImageError(image.name, text)
                _add_file(archive, name, inode, reader, extra)
    return losses


def _xattr_records(inode: Inode, path: bytes, losses: list[Loss]) -> dict[str, str]:
    """The attributes as PAX records; GNU tar escapes '%' and '=' in their names."""
    records = {}
    for name, value in inode.xattrs().items():
        try:
            keyword = name.replace(b"%", b"%25").replace(b"=", b"%3D").decode()
        except UnicodeDecodeError:
            shown = name.decode("utf-8", "backslashreplace")
            what = f"the attribute {shown} is not kept: its name is not UTF-8"
            losses.append(Loss(path, what, "xattr-left-out"))
            continue
        records[f"SCHILY.xattr.{keyword}"] = value.decode("utf-8", "surrogateescape")
    return records


def _header(name: str, inode: Inode, extra: dict[str, str]) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = _TYPES[inode.kind]
    info.mode, info.uid, info.gid = inode.mode & 0o7777, inode.uid, inode.gid
    info.pax_headers = dict(extra)
    seconds, nanoseconds = divmod(inode.mtime_ns, 10**9)
    if nanoseconds or seconds < 0:
        sign, value = ("-", -inode.mtime_ns) if inode.mtime_ns < 0 else ("", inode.mtime_ns)
        info.pax_headers["mtime"] = f"{sign}{value // 10**9}.{value % 10**9:09}"
    else:
        info.mtime = seconds
    return info


def _add_file(
    archive: tarfile.TarFile, name: str, inode: Inode, reader: FileReader, extra: dict[str, str]
) -> None:
    data = reader.data
    full = [(0, reader.size)] if reader.size else []
    if data == full:
        info = _header(name, inode, extra)
        info.size = reader.size
        archive.addfile(info, _Pieces(reader, data).buffered())
        return
    # GNU tar, "Storing Sparse Files", format 1.0: the map is text in front of the data.
    last = [(reader.size, reader.size)] if not data or data[-1][1] < reader.size else []
    numbers = [f"{start}\n{end - start}\n" for start, end in [*data, *last]]
    text = f"{len(numbers)}\n{''.join(numbers)}".encode()
    text += bytes(padding(len(text), _BLOCK))
    folder, _, base = name.rpartition("/")
    info = _header(f"{folder}/GNUSparseFile.0/{base}", inode, extra)
    info.pax_headers = {
        **info.pax_headers,
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": name,
        "GNU.sparse.realsize": str(reader.size),
    }
    info.size = len(text) + sum(end - start for start, end in data)
    archive.addfile(info, _Pieces(reader, data, text).buffered())


class _Pieces(io.RawIOBase):
    """Text, then some stretches of a file, one after the other."""

    def __init__(self, reader: FileReader, stretches: list[Span], text: bytes = b"") -> None:
        super().__init__()
        self._reader = reader
        self._left = list(reversed(stretches))
        self._text = text

    def buffered(self) -> io.BufferedReader:
        """Return what reads as much as it is asked for."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if self._text:
            part, self._text = self._text[: len(buffer)], self._text[len(buffer) :]
        elif self._left:
            start, end = self._left.pop()
            part = self._reader.read_at(start, min(len(buffer), CHUNK, end - start))
            if start + len(part) < end and part:
                self._left.append(Span(start + len(part), end))
        else:
            return 0
        buffer[: len(part)] = part
        return len(part)
