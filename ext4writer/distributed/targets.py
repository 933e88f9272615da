"""Where the parts of an image go: one file that all workers see, or a store for fsspec."""

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
from ..output.beside import put_in_place
from ..output.opening import check_path
from ..output.sink import output_error
from ..virtual import Part
from ..virtual.parts import write_part

PIECE_BYTES = 4 << 20
FLAGS = os.O_RDWR | O_CLOEXEC | O_BINARY | O_NOFOLLOW
LEAST_UPLOAD = 5 << 20
MOST_UPLOAD = 5 << 30
"""Bytes of a part of a multipart upload: the least for all but the last, and the most
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html)."""
MOST_UPLOADS = 10_000
"""Parts of one multipart upload."""
UPLOAD_BYTES = 128 << 20
"""Bytes of a part, which a worker has in memory, as far as ``MOST_UPLOADS`` allows."""

Made = dict[str, Any]
"""What is known of a part that was made: its digest, as ``sha256``, and what is needed later."""


class Target(ABC):
    """Takes parts from workers, which get it by pickle, and is made whole by the caller."""

    name: str
    """Which image it is, for people and for the record."""

    def count(self, parts: int, size: int) -> int:  # noqa: ARG002
        """How many parts are made of an image of ``size`` bytes if ``parts`` are wanted."""
        return parts

    @abstractmethod
    def begin(self, size: int) -> Any:
        """Prepare for an image of ``size`` bytes; return what is noted, a value of JSON."""

    @abstractmethod
    def resume(self, size: int, begun: Any, parts: dict[int, Made]) -> dict[int, Made] | None:
        """Go on with what an earlier call began; return the parts that may still be there.

        None says that nothing is left of it, and that it must begin again.
        """

    @abstractmethod
    def forget(self, begun: Any, parts: dict[int, Made]) -> None:
        """Remove what an earlier call has left of another image; raises nothing."""

    @abstractmethod
    def put(self, part: Part) -> Made:
        """Store a part, in a worker."""

    @abstractmethod
    def has(self, part: Part, what: Made) -> bool:
        """Whether a part that was put before is still there, in a worker."""

    @abstractmethod
    def finish(self, parts: list[Made]) -> None:
        """Make the image of all parts, in their order."""


class SharedFile(Target):
    """A file at the same path for all workers; it has another name until it is whole."""

    def __init__(self, path: bytes) -> None:
        self._named = path
        self._path = os.path.realpath(path)
        self._partial = self._path + b".partial"
        self.name = os.fsdecode(self._path)
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
            raise self._in_the_way()

    def _in_the_way(self) -> OutputError:
        problem = "is in the way, and no record says that its parts are this image's; move it"
        return OutputError(self._partial, problem)

    def begin(self, size: int) -> None:
        self._make(size, os.O_CREAT | os.O_EXCL)

    def resume(self, size: int, begun: Any, parts: dict[int, Made]) -> dict[int, Made]:  # noqa: ARG002
        self._make(size, os.O_CREAT)
        return parts

    def forget(self, begun: Any, parts: dict[int, Made]) -> None:  # noqa: ARG002
        with suppress(OSError):
            os.unlink(self._partial)

    def _make(self, size: int, flags: int) -> None:
        # Until it is whole, no one else reads what will replace a file that may be private.
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

    def put(self, part: Part) -> Made:
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

    def has(self, part: Part, what: Made) -> bool:
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

    def finish(self, parts: list[Made]) -> None:  # noqa: ARG002 (they are in place)
        try:
            if os.path.exists(self._path):
                os.chmod(self._partial, stat.S_IMODE(os.stat(self._path).st_mode))
            put_in_place(self._partial, self._path)
        except OSError as error:
            raise output_error(self._path, error, 0) from error


class RemoteFile(Target):
    """Whatever fsspec speaks to: each part is a file there until they are joined."""

    def __init__(self, url: str, options: dict[str, Any], plan_digest: str) -> None:
        """``plan_digest`` is the SHA-256 of the plan, to tell the parts of images apart."""
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
        """Raise :class:`OutputError` for what another library raises; stores raise anything.

        ``what`` says what cannot be done then.
        """
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

    def resume(self, size: int, begun: Any, parts: dict[int, Made]) -> dict[int, Made] | None:  # noqa: ARG002
        self._open()
        return parts

    def forget(self, begun: Any, parts: dict[int, Made]) -> None:  # noqa: ARG002
        with suppress(Exception):
            store, _ = self._open()
            for each in parts.values():
                with suppress(Exception):
                    store.rm_file(each["name"])

    def put(self, part: Part) -> Made:
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

    def has(self, part: Part, what: Made) -> bool:
        store, path = self._open()
        digest = hashlib.sha256()
        try:
            with store.open(self._name(path, part), "rb") as file:
                while piece := file.read(PIECE_BYTES):
                    digest.update(piece)
        except Exception:
            return False
        return digest.hexdigest() == what.get("sha256")

    def finish(self, parts: list[Made]) -> None:
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
                            self.name, f"part {number} is not what it was; write the parts again"
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
            store.rm_file(path)  # some stores give no file the name of another one
            store.mv(partial, path)


class MultipartUpload(RemoteFile):
    """An object of S3, whose parts the workers upload; S3 joins them itself."""

    _upload = ""

    def count(self, parts: int, size: int) -> int:
        """Parts of sizes that S3 takes and that workers have room for.

        Raises :class:`OutputError` for an image of more bytes than there can be in one upload.
        """
        most = MOST_UPLOADS * MOST_UPLOAD
        if size > most:
            problem = f"the image has {size} bytes, and an upload of parts {most} at most"
            raise OutputError(self.name, problem)
        wanted = max(parts, ceil_div(size, UPLOAD_BYTES))
        return max(1, min(wanted, MOST_UPLOADS, size // LEAST_UPLOAD))

    def _call(self, method: str, **arguments: Any) -> dict[str, Any]:
        store, path = self._open()
        bucket, key, _ = store.split_path(path)
        answer: dict[str, Any] = store.call_s3(method, Bucket=bucket, Key=key, **arguments)
        return answer

    def begin(self, size: int) -> str:  # noqa: ARG002
        with self._doing("an upload cannot be begun"):
            self._upload = str(self._call("create_multipart_upload")["UploadId"])
        return self._upload

    def resume(self, size: int, begun: Any, parts: dict[int, Made]) -> dict[int, Made] | None:  # noqa: ARG002
        if not begun:
            return None
        with self._doing("the upload cannot be looked at"):
            try:
                there = self._tags(str(begun))
            except FileNotFoundError:
                return None  # NoSuchUpload: it was ended by its owner, or by a rule of the bucket
        self._upload = str(begun)
        return {
            number: what for number, what in parts.items() if there.get(number) == what.get("etag")
        }

    def _tags(self, upload: str) -> dict[int, str]:
        """The tag of each part that S3 has."""
        tags: dict[int, str] = {}
        after = 0
        while True:
            answer = self._call("list_parts", UploadId=upload, PartNumberMarker=after)
            tags.update((part["PartNumber"], part["ETag"]) for part in answer.get("Parts", ()))
            following = int(answer.get("NextPartNumberMarker") or 0)
            if not answer.get("IsTruncated") or following <= after:
                return tags
            after = following

    def forget(self, begun: Any, parts: dict[int, Made]) -> None:  # noqa: ARG002
        with suppress(Exception):
            self._call("abort_multipart_upload", UploadId=str(begun))

    def put(self, part: Part) -> Made:
        data = b"".join(part)
        with self._doing(f"part {part.number} cannot be uploaded"):
            answer = self._call(
                "upload_part", UploadId=self._upload, PartNumber=part.number, Body=data
            )
        return {"sha256": hashlib.sha256(data).hexdigest(), "etag": answer["ETag"]}

    def has(self, part: Part, what: Made) -> bool:  # noqa: ARG002 (S3 was asked for all of them)
        return True

    def finish(self, parts: list[Made]) -> None:
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
    """The target for a path or a URL."""
    if isinstance(place, str) and "://" in place:
        kind = place.partition("://")[0]
        if kind in ("s3", "s3a"):
            return MultipartUpload(place, options, plan_digest)
        return RemoteFile(place, options, plan_digest)
    return SharedFile(os.path.join(os.getcwdb(), os.fsencode(place)))
