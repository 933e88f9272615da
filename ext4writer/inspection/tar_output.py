"""Writes the files of an image as a PAX archive, with xattrs, holes and nanoseconds."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import BinaryIO

from ..arithmetic import padding
from ..errors import DamageError, ImageError
from ..inode_flags import bsd_words, taken_flags
from ..nodes import Loss
from ..read import FileReader, Image, Inode
from ..read.first_names import FirstNames
from ..sources.tar_archive.header import BLOCK, ustar_block
from ..spans import Span
from .extract import CHUNK, RATIO_MAX, SPARE_BYTES, chosen, is_wanted

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
    """Write the files of ``image`` to ``stream`` as a PAX archive; return what was lost.

    ``paths`` and ``max_bytes`` are those of :func:`.extract.extract`. Names begin with ``./``.
    Holes are stored in GNU's sparse format 1.0, extended attributes as ``SCHILY.xattr``. Equal
    images yield equal archives. Raises :class:`~ext4writer.NotFoundError` for a missing path and
    :class:`~ext4writer.ImageError` beyond ``max_bytes``.
    """
    most = RATIO_MAX * image.store.size + SPARE_BYTES if max_bytes is None else max_bytes
    wanted = chosen(image, paths)
    losses: list[Loss] = []
    first_names = FirstNames(
        image,
        lambda: image.walk(descend=lambda found: is_wanted(found, wanted)),
        lambda found: _name(found.path) if is_wanted(found, wanted) else None,
    )
    written = 0
    archive = _Archive(stream)
    if not image.root.is_directory:
        raise image.root.error("i_mode", f"is {image.root.mode:#o}, not the mode of a directory")
    if not wanted:
        archive.add(_header("./", image.root, {}))
    for found in image.walk(descend=lambda found: is_wanted(found, wanted)):
        inode = found.inode
        if not is_wanted(found, wanted):
            if not found.is_path:
                losses.append(
                    Loss(found.path, "its encrypted name cannot be part of a path", "left-out")
                )
            continue
        if inode.kind not in _TYPES:
            losses.append(
                Loss(found.path, f"is a {inode.kind}, which no archive can hold", "left-out")
            )
            continue
        name = _name(found.path)
        first = None if inode.is_directory else first_names.of(found)
        if first is not None:
            info = _header(name, inode, {})
            info.type, info.linkname = tarfile.LNKTYPE, first
            archive.add(info)
            continue
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
                try:
                    info.linkname = inode.target().decode("utf-8", "surrogateescape")
                except DamageError as error:
                    image.damage(error)
                    losses.append(Loss(found.path, "cannot be read completely", "left-out"))
                    continue
            elif inode.is_device:
                info.devmajor, info.devminor = inode.device
            archive.add(info)
            if not inode.is_directory:
                first_names.took(found, name)
            continue
        with image.open(inode) as reader:
            written += sum(end - start for start, end in reader.data)
            if written > most:
                raise ImageError(
                    image.name,
                    f"holds more than {most} bytes of content; max_bytes (--max-size) sets the "
                    "limit",
                )
            if not _add_file(archive, name, reader, extra):
                what = "cannot be read completely; the rest is zeros"
                losses.append(Loss(found.path, what, "left-out"))
        first_names.took(found, name)
    archive.end()
    return losses


class _Archive:
    """Writes the members of an archive in sequence; the stream need not be seekable."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._size = 0

    def add(self, info: tarfile.TarInfo, content: Iterable[bytes] = ()) -> None:
        """Add a member; ``content`` has ``info.size`` bytes in total."""
        self._write(_encoded(info))
        for piece in content:
            self._write(piece)
        if info.size:
            self._write(bytes(padding(self._size, BLOCK)))

    def end(self) -> None:
        """Write the end of the archive: two blocks of zeros, padded to a full record."""
        self._write(bytes(2 * BLOCK))
        self._write(bytes(padding(self._size, tarfile.RECORDSIZE)))

    def _write(self, data: bytes) -> None:
        self._stream.write(data)
        self._size += len(data)


def _encoded(info: tarfile.TarInfo) -> bytes:
    """Return the header of a member, preceded by a PAX header if one is needed.

    Most headers need a single block and are built here: :mod:`tarfile` takes ten times as long.
    """
    name, link = info.name, info.linkname
    if info.isdir() and not name.endswith("/"):
        name += "/"
    if (
        info.pax_headers
        or not (name.isascii() and link.isascii())
        or max(len(name), len(link)) > tarfile.LENGTH_NAME
        or max(info.uid, info.gid) >= 8**7
        or info.size >= 8**11
        or not 0 <= info.mtime < 8**11
    ):
        return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    device = info.devmajor, info.devminor
    return ustar_block(
        name.encode(),
        (info.mode, info.uid, info.gid, info.size, int(info.mtime)),
        info.type,
        link.encode(),
        device if info.type in (tarfile.CHRTYPE, tarfile.BLKTYPE) else None,
    )


def _name(path: bytes) -> str:
    return "." + path.decode("utf-8", "surrogateescape")


def _xattr_records(inode: Inode, path: bytes, losses: list[Loss]) -> dict[str, str]:
    """Return extended attributes as PAX records; GNU tar escapes '%' and '=' in their names."""
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


def _add_file(archive: _Archive, name: str, reader: FileReader, extra: dict[str, str]) -> bool:
    """Add a regular file; return whether all of it could be read."""
    data, inode = reader.data, reader.inode
    stretches = _Stretches(reader, data)
    full = [(0, reader.size)] if reader.size else []
    if data == full:
        info = _header(name, inode, extra)
        info.size = reader.size
        archive.add(info, stretches)
        return stretches.is_whole
    # GNU tar, "Storing Sparse Files", format 1.0: the sparse map is text before the data.
    last = [(reader.size, reader.size)] if not data or data[-1][1] < reader.size else []
    numbers = [f"{start}\n{end - start}\n" for start, end in [*data, *last]]
    text = f"{len(numbers)}\n{''.join(numbers)}".encode()
    text += bytes(padding(len(text), BLOCK))
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
    archive.add(info, chain([text], stretches))
    return stretches.is_whole


class _Stretches:
    """Iterates over the bytes of several spans of a file; damaged parts are zeros."""

    def __init__(self, reader: FileReader, stretches: list[Span]) -> None:
        self._reader = reader
        self._stretches = stretches
        self.is_whole = True

    def __iter__(self) -> Iterator[bytes]:
        for start, end in self._stretches:
            for offset in range(start, end, CHUNK):
                data, is_whole = self._reader.read_around(offset, min(CHUNK, end - offset))
                self.is_whole &= is_whole
                yield data
