"""Targets for the parts of an image: a file shared by all workers, or a store of fsspec."""

from __future__ import annotations

import hashlib
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ..arithmetic import ceil_div
from ..content import O_BINARY, O_CLOEXEC, O_NOFOLLOW, read_at, reading_buffer
from ..errors import Ext4WriterError, OutputError
from ..output.atomic_file import replace_atomically
from ..output.opening import check_path
from ..output.sink import output_error
from ..virtual import Part
from ..virtual.parts import write_part

PIECE_BYTES = 4 << 20
FLAGS = os.O_RDWR | O_CLOEXEC | O_BINARY | O_NOFOLLOW
LEAST_UPLOAD = 5 << 20
MOST_UPLOAD = 5 << 30
"""Limits of the size of a part in a multipart upload, in bytes; the last part may be smaller
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html)."""
MOST_UPLOADS = 10_000
"""The maximum number of parts in a multipart upload."""
UPLOAD_BYTES = 128 << 20
"""The size of a part, which a worker keeps in memory; larger if ``MOST_UPLOADS`` requires it."""

Facts = dict[str, Any]
"""The facts of a complete part: its digest, as ``sha256``, and what is needed later."""


class Target(ABC):
    """Receives parts in workers, to which it is pickled, and is completed by the caller."""

    name: str
    """Identifies the image, for messages and for the record."""

    def count(self, parts: int, size: int) -> int:  # noqa: ARG002
        """Return the number of parts for an image of ``size`` bytes if ``parts`` are requested."""
        return parts

    @abstractmethod
    def begin(self, size: int) -> Any:
        """Prepare for an image of ``size`` bytes; return what to record, a JSON value."""

    @abstractmethod
    def resume(self, size: int, state: Any, parts: dict[int, Facts]) -> dict[int, Facts] | None:
        """Resume an earlier call; return the parts that may still exist.

        Returns None if nothing is left of them; the caller must then :meth:`begin`.
        """

    @abstractmethod
    def forget(self, state: Any, parts: dict[int, Facts]) -> None:
        """Remove what an earlier call left of another image; never raises."""

    @abstractmethod
    def put(self, part: Part) -> Facts:
        """Store a part; called in a worker."""

    @abstractmethod
    def has(self, part: Part, what: Facts) -> bool:
        """Return whether a part that was stored before still exists; called in a worker."""

    @abstractmethod
    def finish(self, parts: list[Facts]) -> None:
        """Join the parts, given in order, into the image."""


class SharedFile(Target):
    """A file at the same path for all workers; it has another name until it is complete."""

    def __init__(self, path: bytes) -> None:
        self._named = path
        self._path = os.path.realpath(path)
        self._partial = self._path + b".partial"
        self.name = os.fsdecode(self._path)
        self.names = self._path, self._partial
        """The names of the image when it is complete and before."""

    def check(self, *, is_begun: bool) -> None:
        """Raise :class:`OutputError` if something other than an image would be overwritten.

        ``is_begun`` means that an earlier call left its file.
        """
        status = check_path(self._named)
        if status is not None and not stat.S_ISREG(status.st_mode):
            raise OutputError(self._path, "is not a regular file; parts need one")
        if not is_begun and os.path.lexists(self._partial):
            raise self._in_the_way()

    def _in_the_way(self) -> OutputError:
        problem = "is in the way, and no record shows that it belongs to this image; move it"
        return OutputError(self._partial, problem)

    def begin(self, size: int) -> None:
        self._make(size, os.O_CREAT | os.O_EXCL)

    def resume(self, size: int, state: Any, parts: dict[int, Facts]) -> dict[int, Facts]:  # noqa: ARG002
        self._make(size, os.O_CREAT)
        return parts

    def forget(self, state: Any, parts: dict[int, Facts]) -> None:  # noqa: ARG002
        with suppress(OSError):
            os.unlink(self._partial)

    def _make(self, size: int, flags: int) -> None:
        # The file to be replaced may be private, so nobody else may read the new one meanwhile.
        mode = 0o600 if os.path.exists(self._path) else 0o666
        try:
            fd = os.open(self._partial, FLAGS | flags, mode)
            try:
                os.ftruncate(fd, size)
            finally:
                os.close(fd)
        except FileExistsError:
            raise self._in_the_way() from None
        except OSError as error:
            raise output_error(self._partial, error, size) from error

    def put(self, part: Part) -> Facts:
        try:
            fd = os.open(self._partial, FLAGS)
            try:
                # An earlier run may have left other data there, so write zeros, too.
                digest = write_part(part, fd, part.offset, is_new=False)
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise output_error(self._partial, error, part.image.size) from error
        return {"sha256": digest}

    def has(self, part: Part, what: Facts) -> bool:
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

    def finish(self, parts: list[Facts]) -> None:  # noqa: ARG002 (they are in place)
        try:
            if os.path.exists(self._path):
                os.chmod(self._partial, stat.S_IMODE(os.stat(self._path).st_mode))
            replace_atomically(self._partial, self._path)
        except OSError as error:
            raise output_error(self._path, error, 0) from error


class RemoteFile(Target):
    """A file in any store that fsspec supports; each part is a separate file until the end."""

    def __init__(self, url: str, options: dict[str, Any], plan_digest: str) -> None:
        """``plan_digest``, the SHA-256 of the plan, distinguishes the parts of different images."""
        self.name = url
        self._options = options
        self._mark = plan_digest[:16]

    def _open(self) -> tuple[Any, str]:
        try:
            import fsspec
        except ImportError:
            raise OutputError(
                self.name, "needs the Python package fsspec; install ext4writer[distributed]"
            ) from None
        with self._doing("cannot be reached"):
            store, path = fsspec.core.url_to_fs(self.name, **self._options)
        return store, path

    @contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        """Convert errors of other libraries to :class:`OutputError`; ``what`` begins its text."""
        try:
            yield
        except Ext4WriterError:
            raise
        except Exception as error:
            text = f"{what}: {str(error) or type(error).__name__}"
            raise OutputError(self.name, text) from error

    def _name(self, path: str, part: Part) -> str:
        return f"{path}.{self._mark}.{part.number}-of-{part.count}"

    def begin(self, size: int) -> Any:  # noqa: ARG002
        self._open()

    def resume(self, size: int, state: Any, parts: dict[int, Facts]) -> dict[int, Facts] | None:  # noqa: ARG002
        self._open()
        return parts

    def forget(self, state: Any, parts: dict[int, Facts]) -> None:  # noqa: ARG002
        with suppress(Exception):
            store, _ = self._open()
            for each in parts.values():
                with suppress(Exception):
                    store.rm_file(each["name"])

    def put(self, part: Part) -> Facts:
        store, path = self._open()
        name = self._name(path, part)
        digest = hashlib.sha256()
        with (
            self._doing(f"part {part.number} cannot be written"),
            store.open(name, "wb") as file,
        ):
            for piece in part:
                digest.update(piece)
                file.write(piece)
        return {"sha256": digest.hexdigest(), "name": name, "size": part.size}

    def has(self, part: Part, what: Facts) -> bool:
        store, path = self._open()
        digest = hashlib.sha256()
        try:
            with store.open(self._name(path, part), "rb") as file:
                while piece := file.read(PIECE_BYTES):
                    digest.update(piece)
        except Exception:
            return False
        return digest.hexdigest() == what.get("sha256")

    def finish(self, parts: list[Facts]) -> None:
        store, path = self._open()
        partial = f"{path}.{self._mark}.partial"
        with self._doing("the parts cannot be joined"):
            with store.open(partial, "wb") as whole:
                for number, each in enumerate(parts, 1):
                    digest = hashlib.sha256()
                    with store.open(each["name"], "rb") as file:
                        while piece := file.read(PIECE_BYTES):
                            digest.update(piece)
                            whole.write(piece)
                    if digest.hexdigest() != each["sha256"]:
                        raise OutputError(
                            self.name, f"part {number} has changed; write all parts again"
                        )
            self._rename(store, partial, path)
            for each in parts:
                store.rm_file(each["name"])

    def _rename(self, store: Any, partial: str, path: str) -> None:
        try:
            store.mv(partial, path)
        except Exception:
            if not store.exists(path):
                raise
            store.rm_file(path)  # some stores cannot rename to an existing name
            store.mv(partial, path)


class MultipartUpload(RemoteFile):
    """An object in S3; the workers upload its parts, and S3 joins them."""

    _upload = ""

    def count(self, parts: int, size: int) -> int:
        """Return a number of parts with sizes that S3 accepts and that fit into workers' memory.

        Raises :class:`OutputError` for an image that is too large for one upload.
        """
        most = MOST_UPLOADS * MOST_UPLOAD
        if size > most:
            problem = f"the image has {size} bytes, but a multipart upload at most {most}"
            raise OutputError(self.name, problem)
        wanted = max(parts, ceil_div(size, UPLOAD_BYTES))
        return max(1, min(wanted, MOST_UPLOADS, size // LEAST_UPLOAD))

    def _call(self, method: str, **arguments: Any) -> dict[str, Any]:
        store, path = self._open()
        bucket, key, _ = store.split_path(path)
        answer: dict[str, Any] = store.call_s3(method, Bucket=bucket, Key=key, **arguments)
        return answer

    def begin(self, size: int) -> str:  # noqa: ARG002
        with self._doing("an upload cannot be started"):
            self._upload = str(self._call("create_multipart_upload")["UploadId"])
        return self._upload

    def resume(self, size: int, state: Any, parts: dict[int, Facts]) -> dict[int, Facts] | None:  # noqa: ARG002
        if not state:
            return None
        with self._doing("the parts of the upload cannot be listed"):
            try:
                there = self._tags(str(state))
            except FileNotFoundError:
                return None  # NoSuchUpload: its owner or a rule of the bucket aborted it
        self._upload = str(state)
        return {
            number: what for number, what in parts.items() if there.get(number) == what.get("etag")
        }

    def _tags(self, upload: str) -> dict[int, str]:
        """Return number -> ETag of each part that S3 has."""
        tags: dict[int, str] = {}
        after = 0
        while True:
            answer = self._call("list_parts", UploadId=upload, PartNumberMarker=after)
            tags.update((part["PartNumber"], part["ETag"]) for part in answer.get("Parts", ()))
            following = int(answer.get("NextPartNumberMarker") or 0)
            if not answer.get("IsTruncated") or following <= after:
                return tags
            after = following

    def forget(self, state: Any, parts: dict[int, Facts]) -> None:  # noqa: ARG002
        with suppress(Exception):
            self._call("abort_multipart_upload", UploadId=str(state))

    def put(self, part: Part) -> Facts:
        data = b"".join(part)
        with self._doing(f"part {part.number} cannot be uploaded"):
            answer = self._call(
                "upload_part", UploadId=self._upload, PartNumber=part.number, Body=data
            )
        return {"sha256": hashlib.sha256(data).hexdigest(), "etag": answer["ETag"]}

    def has(self, part: Part, what: Facts) -> bool:  # noqa: ARG002 (``resume`` has listed all of them)
        return True

    def finish(self, parts: list[Facts]) -> None:
        listed = [
            {"PartNumber": number, "ETag": each["etag"]} for number, each in enumerate(parts, 1)
        ]
        with self._doing("the parts cannot be joined"):
            self._call(
                "complete_multipart_upload",
                UploadId=self._upload,
                MultipartUpload={"Parts": listed},
            )
            store, path = self._open()
            store.invalidate_cache(path)


def target_at(
    place: str | bytes | os.PathLike[Any], options: dict[str, Any], plan_digest: str
) -> Target:
    """Return the target for a path or a URL with ``options`` for fsspec."""
    if isinstance(place, str) and "://" in place:
        kind = place.partition("://")[0]
        if kind in ("s3", "s3a"):
            return MultipartUpload(place, options, plan_digest)
        return RemoteFile(place, options, plan_digest)
    return SharedFile(os.path.join(os.getcwdb(), os.fsencode(place)))
