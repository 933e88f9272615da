"""The content that a manifest refers to: files of the host below one root, verified by digests."""

from __future__ import annotations

import hashlib
import os
import stat
import zlib
from collections.abc import Callable, Mapping
from typing import Protocol

from ..content import Content, FileId, Reader, reading_buffer, stamp_of
from ..errors import SourceChangedError, SourceError
from .host import HostDirectory, HostFile

CHUNK = 1 << 20
MAX_PATH_BYTES = 4095
"""Longest path that Linux accepts in one call (include/uapi/linux/limits.h, PATH_MAX)."""


class ContentRoot:
    """The directory of the host that holds a manifest's files.

    Nothing outside it is opened: names with ``..``, absolute names elsewhere and symbolic links
    that lead outside are refused, because a manifest may come from an untrusted source.
    """

    def __init__(self, root: bytes | None) -> None:
        self.root = None if root is None else os.path.realpath(root)
        self._folders: dict[bytes, HostDirectory] = {}

    def file(self, name: bytes, size: int | None) -> HostFile:
        """The regular file ``name``, which must have ``size`` bytes unless that is None.

        Raises :class:`SourceError`, and ``FileNotFoundError`` if there is no such file.
        """
        if len(name) > MAX_PATH_BYTES:
            raise SourceError(
                name[:100] + b"...",
                f"has {len(name)} bytes; {MAX_PATH_BYTES} is the most for a path",
            )
        folder_name, _, base = name.rpartition(b"/")
        if name.startswith(b"/") and not folder_name:
            folder_name = b"/"
        folder = self._folders.get(folder_name)
        if folder is None:
            folder = self._folders[folder_name] = self._folder(folder_name, name)
        if base in (b"", b".", b".."):
            raise SourceError(name, "is not the name of a file")
        path = b"%b/%b" % (folder.path, base)
        try:
            status = os.stat(path, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            raise FileNotFoundError(path) from None
        except (OSError, ValueError) as error:
            raise SourceError(path, f"cannot be read: {error}") from error
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(
                path, "is not a regular file, but the manifest refers to it as content"
            )
        if size is not None and status.st_size != size:
            raise SourceChangedError(
                path, f"has {status.st_size} bytes, and the manifest says {size}"
            )
        return HostFile(folder, base, status.st_size, stamp_of(status))

    def _folder(self, folder: bytes, name: bytes) -> HostDirectory:
        if self.root is None:
            raise SourceError(name, "is named as content, but no root was given that contains it")
        if b".." in folder.split(b"/") or b"\0" in name:
            raise SourceError(name, "is named as content; such a name cannot contain '..' or NUL")
        path = os.path.realpath(os.path.join(self.root, folder))
        inside = self.root.rstrip(b"/")
        if path != self.root and not path.startswith(inside + b"/"):
            raise SourceError(
                name, f"is named as content but is outside the root {os.fsdecode(self.root)}"
            )
        return HostDirectory(path.rstrip(b"/"), top=len(inside))


class Digest(Protocol):
    """The methods of hashlib objects that this module uses."""

    def update(self, data: bytes | memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...


class PosixChecksum:
    """The checksum of cksum(1), in decimal: a CRC of the content and its length.

    It processes bits from the highest, zlib's CRC-32 from the lowest, so bits are reversed.
    """

    def __init__(self) -> None:
        self._crc = 0xFFFFFFFF
        self._length = 0

    def update(self, data: bytes | memoryview, /) -> None:
        self._length += len(data)
        self._crc = zlib.crc32(bytes(data).translate(_REVERSED), self._crc)

    def hexdigest(self) -> str:
        count = self._length
        tail = count.to_bytes((count.bit_length() + 7) // 8, "little")
        crc = zlib.crc32(tail.translate(_REVERSED), self._crc) ^ 0xFFFFFFFF
        return str(int(f"{crc:032b}"[::-1], 2) ^ 0xFFFFFFFF)


_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))

DIGESTS: dict[str, Callable[[], Digest]] = {
    "cksum": PosixChecksum,
    "md5": lambda: hashlib.md5(usedforsecurity=False),
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
    "sha384": hashlib.sha384,
    "sha512": hashlib.sha512,
}
"""Name in a manifest -> constructor. Not every Python has ``rmd160``."""


class CheckedContent(Content):
    """Content with digests that are verified as it is read, so the kernel cannot copy it."""

    __slots__ = ("content", "expected", "name")

    def __init__(self, content: Content, name: bytes, expected: Mapping[str, str]) -> None:
        """``expected`` maps names of :data:`DIGESTS` to the digests that ``content`` must have."""
        self.content = content
        self.size = content.size
        self.name = name
        self.expected = dict(expected)

    @property
    def first_generation(self) -> int:
        return self.content.first_generation

    def file_id(self) -> FileId | None:
        return self.content.file_id()

    def host_path(self) -> bytes | None:
        return self.content.host_path()

    def open(self) -> Reader:
        return _CheckingReader(self.content.open(), self)

    def read_whole(self, view: memoryview) -> None:
        self.content.read_whole(view)
        digests = self.start()
        for digest in digests.values():
            digest.update(view)
        self.compare(digests)

    def start(self) -> dict[str, Digest]:
        """A new digest of each expected kind."""
        return {kind: DIGESTS[kind]() for kind in self.expected}

    def compare(self, digests: Mapping[str, Digest]) -> None:
        """Raise :class:`SourceChangedError` if one of ``digests`` differs from the expected one."""
        for kind, digest in digests.items():
            found = digest.hexdigest()
            if found != self.expected[kind]:
                raise SourceChangedError(
                    self.name,
                    f"has the {kind} {found}, and the manifest says {self.expected[kind]}",
                )


class _CheckingReader:
    """Reads forwards, including skipped bytes, and verifies the digests at the end."""

    fd: int | None = None
    fd_offset = 0

    def __init__(self, reader: Reader, content: CheckedContent) -> None:
        self._reader = reader
        self._content = content
        self._digests = content.start()
        self._seen = 0

    @property
    def path(self) -> bytes:
        return self._reader.path

    def readinto(self, view: memoryview, offset: int) -> int:
        self._skip_to(offset)
        count = self._reader.readinto(view, offset)
        for digest in self._digests.values():
            digest.update(view[:count])
        self._seen = offset + count
        return count

    def check_unchanged(self) -> None:
        self._skip_to(self._content.size)
        self._reader.check_unchanged()
        self._content.compare(self._digests)

    def close(self) -> None:
        self._reader.close()

    def _skip_to(self, offset: int) -> None:
        if self._seen >= offset:
            return
        buffer = reading_buffer(min(CHUNK, offset - self._seen))
        while self._seen < offset:
            piece = buffer[: min(len(buffer), offset - self._seen)]
            count = self._reader.readinto(piece, self._seen)
            if not count:
                return
            for digest in self._digests.values():
                digest.update(piece[:count])
            self._seen += count
