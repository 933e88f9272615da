"""Finds the files of an image in a directory or an archive, and verifies their digests."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import Protocol

from ...content import O_BINARY, O_CLOEXEC, O_NONBLOCK, Content
from ...errors import ArchiveError, SourceError
from ...progress import Cancel, check_cancelled
from ...resolution import LINKS_FOLLOWED
from ...slices import FileSliceContent, HeldFile
from ...tree import S_IFLNK, S_IFREG
from ..tar_archive import HARD_LINK, Member
from ..tar_archive.decoders import ByteSource
from ..tar_archive.limits import Usage
from .documents import DOCUMENT_BYTES, Descriptor

CHUNK_BYTES = 1 << 20


class Files(Protocol):
    """The files of a layout or archive, by name."""

    path: bytes

    def get(self, name: str) -> Content | None:
        """The regular file ``name``; None if there is none. Raises :class:`SourceError`."""
        ...


class FolderFiles:
    """The files of a folder on the host."""

    def __init__(self, path: bytes) -> None:
        self.path = path

    def get(self, name: str) -> Content | None:
        """See :class:`Files`; ``name`` must come from the format, not from a document."""
        path = os.path.join(self.path, os.fsencode(name))
        try:
            # Without O_NONBLOCK, opening a pipe in place of a blob would block forever.
            fd = os.open(path, os.O_RDONLY | O_CLOEXEC | O_BINARY | O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SourceError(path, f"cannot be read: {error.strerror}") from error
        file = HeldFile(fd, path)
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(path, "is not a regular file")
        file.remember(status)
        return FileSliceContent(file, 0, status.st_size)


class ArchiveFiles:
    """The files of a tar archive. Links are followed, but never out of the archive."""

    def __init__(self, path: bytes, usage: Usage) -> None:
        self.path = path
        self._usage = usage
        self._contents: dict[bytes, Content] = {}
        self._links: dict[bytes, bytes] = {}

    def add(self, member: Member) -> None:
        """Add a member, replacing an earlier one with the same name."""
        name = member.path
        self._usage.keep(len(name), name, member.offset)
        self._contents.pop(name, None)
        self._links.pop(name, None)
        if member.kind == S_IFREG:
            assert member.content is not None
            self._contents[name] = member.content
        elif member.kind == HARD_LINK:
            self._links[name] = member.target
        elif member.kind == S_IFLNK:
            target = _inside(name, member.target)
            if target is not None:
                self._links[name] = target

    def get(self, name: str) -> Content | None:
        """See :class:`Files`; any ``name`` is safe."""
        path = _inside(b"", os.fsencode(name))
        for _ in range(LINKS_FOLLOWED):
            if path is None or path in self._contents:
                break
            path = self._links.get(path)
        return None if path is None else self._contents.get(path)


def _inside(link: bytes, target: bytes) -> bytes | None:
    """The path of ``target``, relative to the directory of ``link``; None if it leads out."""
    names = [] if target.startswith(b"/") else link.split(b"/")[:-1]
    for name in target.split(b"/"):
        if name == b"..":
            if not names:
                return None
            names.pop()
        elif name not in (b"", b"."):
            names.append(name)
    return b"/".join(names)


class Checked:
    """Passes on the bytes of ``source`` and verifies its digests at the end."""

    def __init__(self, source: ByteSource, archive: bytes, name: bytes, digests: list[str]) -> None:
        """``archive`` and ``name`` appear in errors; ``digests`` are ``ALGORITHM:HEX``."""
        self._source = source
        self._archive = archive
        self._name = name
        self._expected = set(digests)
        self._hashes = {
            algorithm: hashlib.new(algorithm, usedforsecurity=False)
            for algorithm in {digest.partition(":")[0] for digest in digests}
        }

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most ``size``; none at the end."""
        data = self._source.read(size)
        for found in self._hashes.values():
            found.update(data)
        return data

    def finish(self, cancel: Cancel | None = None) -> None:
        """Read the rest; raise :class:`ArchiveError` if a digest is wrong."""
        while self.read(CHUNK_BYTES):
            check_cancelled(cancel)
        found = {f"{algorithm}:{it.hexdigest()}" for algorithm, it in self._hashes.items()}
        for digest in sorted(self._expected - found):
            algorithm = digest.partition(":")[0]
            actual = next(one for one in found if one.startswith(algorithm))
            raise ArchiveError(
                self._archive, f"its digest is {actual}, not {digest}", member=self._name
            )


def is_folder(path: bytes) -> bool:
    """Whether ``path`` is a directory of the host; raises :class:`SourceError` if it is missing."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except OSError as error:
        raise SourceError(path, f"cannot be read: {error.strerror}") from error


def blob_name(digest: str) -> str:
    """The file of a layout with the blob ``digest``, whose syntax the caller has checked."""
    return "blobs/" + digest.replace(":", "/")


def find_blob(files: Files, descriptor: Descriptor) -> Content:
    """The blob of ``descriptor``. Its size is checked here, its digest when it is read.

    Raises :class:`ArchiveError` if it is missing or has another size.
    """
    name = blob_name(descriptor.digest)
    content = files.get(name)
    if content is None:
        raise ArchiveError(files.path, "is missing", member=name.encode())
    if descriptor.size is not None and content.size != descriptor.size:
        raise ArchiveError(
            files.path,
            f"has {content.size} bytes, and its descriptor says {descriptor.size}",
            member=name.encode(),
        )
    return content


def read_small(files: Files, name: str, content: Content, digests: list[str]) -> bytes:
    """The bytes of a document, verified by ``digests``; raises :class:`ArchiveError`."""
    if content.size > DOCUMENT_BYTES:
        raise ArchiveError(
            files.path,
            f"has {content.size} bytes; {DOCUMENT_BYTES} are the most for a document",
            member=name.encode(),
        )
    data = content.read_bytes()
    checked = Checked(_Bytes(data), files.path, name.encode(), digests)
    checked.finish()
    return data


def sha256(data: bytes) -> str:
    """The digest of ``data``, as ``sha256:HEX``."""
    return "sha256:" + hashlib.sha256(data, usedforsecurity=False).hexdigest()


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, size: int, /) -> bytes:
        data, self._data = self._data[:size], self._data[size:]
        return data
