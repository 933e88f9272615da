"""Where the parts of an image go: one file that all workers see, or a store for fsspec."""

from __future__ import annotations

import hashlib
import os
import stat
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any

from ..content import O_BINARY, O_CLOEXEC, O_NOFOLLOW, read_at, reading_buffer
from ..errors import OutputError
from ..output.beside import put_in_place
from ..output.opening import check_path
from ..output.sink import output_error
from ..virtual import Part
from ..virtual.parts import write_part

PIECE_BYTES = 4 << 20
FLAGS = os.O_RDWR | O_CLOEXEC | O_BINARY | O_NOFOLLOW
LEAST_UPLOAD = 5 << 20
"""Bytes that S3 wants in each part of a multipart upload but the last."""


class Target(ABC):
    """Takes parts from workers, which get it by pickle, and is made whole by the caller."""

    @abstractmethod
    def begin(self, size: int) -> None:
        """Prepare for an image of ``size`` bytes; what parts left there stays."""

    @abstractmethod
    def put(self, part: Part) -> dict[str, Any]:
        """Store a part, in a worker; return its digest, as ``sha256``, and what is needed later."""

    @abstractmethod
    def has(self, part: Part, what: dict[str, Any]) -> bool:
        """Whether a part that was put before is still there, in a worker."""

    @abstractmethod
    def finish(self, parts: list[dict[str, Any]]) -> None:
        """Make the image of all parts, in their order."""


class SharedFile(Target):
    """A file at the same path for all workers; it has another name until it is whole."""

    def __init__(self, path: bytes) -> None:
        self._named = path
        self._path = os.path.realpath(path)
        self._partial = self._path + b".partial"
        self.names = self._path, self._partial
        """Those that the image has, when it is whole and before."""

    def check(self, *, is_begun: bool) -> None:
        """Raise :class:`OutputError` if something would be overwritten that is not an image.

        ``is_begun`` says that an earlier call left its file.
        """
        status = check_path(self._named)
        if status is not None and not stat.S_ISREG(status.st_mode):
            raise OutputError(self._path, "is no regular file, and parts are written into one")
        if not is_begun and os.path.lexists(self._partial):
            problem = "is in the way, and no record says that its parts are this image's; move it"
            raise OutputError(self._partial, problem)

    def begin(self, size: int) -> None:
        # Until it is whole, no one else reads what will replace a file that may be private.
        mode = 0o600 if os.path.exists(self._path) else 0o666
        try:
            fd = os.open(self._partial, FLAGS | os.O_CREAT, mode)
            try:
                os.ftruncate(fd, size)
            finally:
                os.close(fd)
        except OSError as error:
            raise output_error(self._partial, error, size) from error

    def put(self, part: Part) -> dict[str, Any]:
        try:
            fd = os.open(self._partial, FLAGS)
            try:
                # What an earlier run left there may be something else.
                digest = write_part(part, fd, part.offset, is_new=False)
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise output_error(self._partial, error, part.image.size) from error
        return {"sha256": digest}

    def has(self, part: Part, what: dict[str, Any]) -> bool:
        digest = hashlib.sha256()
        with suppress(OSError):
            fd = os.open(self._partial, os.O_RDONLY | O_CLOEXEC | O_BINARY)
            try:
                buffer = reading_buffer(PIECE_BYTES)
                end = part.offset + part.size
                for offset in range(part.offset, end, PIECE_BYTES):
                    view = buffer[: min(PIECE_BYTES, end - offset)]
                    digest.update(view[: read_at(fd, view, offset)])
            finally:
                os.close(fd)
        return digest.hexdigest() == what.get("sha256")

    def finish(self, parts: list[dict[str, Any]]) -> None:  # noqa: ARG002 (they are in place)
        try:
            if os.path.exists(self._path):
                os.chmod(self._partial, stat.S_IMODE(os.stat(self._path).st_mode))
            put_in_place(self._partial, self._path)
        except OSError as error:
            raise output_error(self._path, error, 0) from error


class RemoteFile(Target):
    """Whatever fsspec speaks to: each part is a file there until they are joined."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self._url = url
        self._options = options

    def _open(self) -> tuple[Any, str]:
        try:
            import fsspec
        except ImportError:
            raise OutputError(
                self._url, "needs the Python package fsspec; install ext4writer[distributed]"
            ) from None
        try:
            store, path = fsspec.core.url_to_fs(self._url, **self._options)
        except (ValueError, ImportError) as error:
            raise OutputError(self._url, str(error)) from error
        return store, path

    def _name(self, path: str, number: int) -> str:
        return f"{path}.part-{number:06}"

    def begin(self, size: int) -> None:  # noqa: ARG002
        self._open()

    def put(self, part: Part) -> dict[str, Any]:
        store, path = self._open()
        name = self._name(path, part.number)
        digest = hashlib.sha256()
        try:
            with store.open(name, "wb") as file:
                for piece in part:
                    digest.update(piece)
                    file.write(piece)
        except OSError as error:
            raise OutputError(name, f"cannot be written: {error}") from error
        return {"sha256": digest.hexdigest(), "name": name, "size": part.size}

    def has(self, part: Part, what: dict[str, Any]) -> bool:
        store, path = self._open()
        digest = hashlib.sha256()
        try:
            with store.open(self._name(path, part.number), "rb") as file:
                while piece := file.read(PIECE_BYTES):
                    digest.update(piece)
        except OSError:
            return False
        return digest.hexdigest() == what.get("sha256")

    def finish(self, parts: list[dict[str, Any]]) -> None:
        store, path = self._open()
        try:
            with store.open(path, "wb") as whole:
                for each in parts:
                    with store.open(each["name"], "rb") as file:
                        while piece := file.read(PIECE_BYTES):
                            whole.write(piece)
            for each in parts:
                store.rm_file(each["name"])
        except OSError as error:
            raise OutputError(path, f"cannot be written: {error}") from error


class MultipartUpload(RemoteFile):
    """An object of S3, whose parts the workers upload; S3 joins them itself."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        super().__init__(url, options)
        self._upload = ""

    def begin(self, size: int) -> None:  # noqa: ARG002
        store, path = self._open()
        bucket, key, _ = store.split_path(path)
        answer = store.call_s3("create_multipart_upload", Bucket=bucket, Key=key)
        self._upload = answer["UploadId"]

    def put(self, part: Part) -> dict[str, Any]:
        store, path = self._open()
        bucket, key, _ = store.split_path(path)
        data = b"".join(part)
        answer = store.call_s3(
            "upload_part",
            Bucket=bucket,
            Key=key,
            UploadId=self._upload,
            PartNumber=part.number,
            Body=data,
        )
        return {
            "sha256": hashlib.sha256(data).hexdigest(),
            "etag": answer["ETag"],
            "upload": self._upload,
        }

    def has(self, part: Part, what: dict[str, Any]) -> bool:  # noqa: ARG002
        return what.get("upload") == self._upload

    def finish(self, parts: list[dict[str, Any]]) -> None:
        store, path = self._open()
        bucket, key, _ = store.split_path(path)
        listed = [
            {"PartNumber": number, "ETag": each["etag"]} for number, each in enumerate(parts, 1)
        ]
        store.call_s3(
            "complete_multipart_upload",
            Bucket=bucket,
            Key=key,
            UploadId=self._upload,
            MultipartUpload={"Parts": listed},
        )
        store.invalidate_cache(path)

    def resume(self, parts: dict[int, Any]) -> None:
        """Go on with the upload that these parts belong to."""
        uploads = {each.get("upload") for each in parts.values()}
        if len(uploads) == 1:
            self._upload = str(uploads.pop())


def target_at(place: str | bytes | os.PathLike[Any], options: dict[str, Any]) -> Target:
    """The target for a path or a URL."""
    if isinstance(place, str) and "://" in place:
        kind = place.partition("://")[0]
        if kind in ("s3", "s3a"):
            return MultipartUpload(place, options)
        return RemoteFile(place, options)
    return SharedFile(os.path.join(os.getcwdb(), os.fsencode(place)))
