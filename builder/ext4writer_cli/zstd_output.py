"""An image that is compressed while it is written, so that it never lies on the disk as a whole."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, cast

from ext4writer.emit.sinks import create_beside, output_error
from ext4writer.errors import OutputError

from .output import PathOutput

DEFAULT_LEVEL = 3


class ZstdOutput(PathOutput):
    """One Zstandard frame under the name ``path``, which appears when it is whole.

    The frame has the size of the image in its header and a checksum at its end. It is always made
    by the multi-threaded compressor, whose bytes depend on the level alone and not on ``threads``.
    """

    def __init__(
        self, path: str, *, level: int = DEFAULT_LEVEL, threads: int = 1, hashed: bool = False
    ) -> None:
        super().__init__(path)
        try:
            import zstandard  # noqa: F401 (late, and only to know early)
        except ImportError as error:
            raise OutputError(
                path,
                "a name that ends in .zst needs the package zstandard, which is not installed; "
                "try: pip install zstandard",
            ) from error
        if self.status is not None and not stat.S_ISREG(self.status.st_mode):
            raise OutputError(path, "is no file; a compressed image cannot be written there")
        self.level = level
        self.threads = threads
        self._hashed = hashed
        self.size = 0
        """Bytes of the finished file."""
        self.sha256: str | None = None
        """Digest of the finished file, in hexadecimal, if it was to be ``hashed``."""

    @contextmanager
    def opened(self, size: int) -> Iterator[str | BinaryIO]:
        """Yield a stream that takes an image of ``size`` bytes; what fails leaves no file.

        Raises :class:`OutputError`.
        """
        import zstandard

        digest = hashlib.sha256() if self._hashed else None
        file = _PartialFile(self.path, digest)
        try:
            compressor = zstandard.ZstdCompressor(
                level=self.level, threads=self.threads, write_checksum=True
            )
            stream = compressor.stream_writer(cast(BinaryIO, file), size=size, closefd=False)
            yield cast(BinaryIO, _Image(self.path, stream))
            try:
                stream.flush(zstandard.FLUSH_FRAME)
                file.finish()
            except OSError as error:
                raise output_error(self.path, error, size) from error
        finally:
            file.abort()
        self.size = file.size
        self.sha256 = digest.hexdigest() if digest is not None else None


class _Image:
    """What the library writes to: it can only go forwards."""

    def __init__(self, name: str, stream: Any) -> None:
        self.name = name
        self.write = stream.write

    def seekable(self) -> bool:
        return False


class _PartialFile:
    """The compressed file under another name until it is whole; ``digest`` sees it on its way."""

    def __init__(self, path: str, digest: hashlib._Hash | None) -> None:
        self._final = os.fsencode(os.path.realpath(path))
        self.size = 0
        self._digest = digest
        try:
            self._fd, self._partial = create_beside(self._final)
        except OSError as error:
            raise output_error(path, error, 0) from error
        self._open = True

    def write(self, data: bytes) -> int:
        if self._digest is not None:
            self._digest.update(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        self.size += len(data)
        return len(data)

    def finish(self) -> None:
        os.close(self._fd)
        os.replace(self._partial, self._final)
        self._open = False

    def abort(self) -> None:
        if self._open:
            self._open = False
            with suppress(OSError):
                os.close(self._fd)
            with suppress(OSError):
                os.unlink(self._partial)
