"""Reads the members of a tar archive in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NoReturn

from ...arguments import ID_MOST
from ...arithmetic import padding, round_up
from ...content import Content
from ...errors import ArchiveError, LimitError, display_path
from ...progress import REPORT_EVERY, Cancel, Progress, ProgressCallback, check_cancelled
from ...slices import SparseContent
from ...tree import (
    NAME_MAX,
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFLNK,
    S_IFREG,
    Loss,
    LossCode,
)
from ...units import NANOSECONDS
from ..acl_text import mode_with_acl
from . import pax, sparse
from .decoders import looks_like
from .header import BLOCK, HEADER, STAR_END, USTAR, FieldError, has_checksum, number, text
from .inputs import Archive, Input, SliceInput, archive_path, open_archive
from .limits import DEFAULT_LIMITS, OBJECT_BYTES, Limits, Usage
from .member import HARD_LINK, Member
from .xattrs import FILE_FLAGS, PREFIXES, XattrReader, inode_flags

_NUMBERS = ("mode", "uid", "gid", "size", "mtime")
"""The numbers of a header, in the order of their fields."""
_CACHED_FIELDS = 1 << 14
_UNKNOWN_REPORTED = 100
_KEYWORD_SHOWN = 100
_RECORDS_REPORTED = 20
"""Most dropped records of one member that the report lists."""
_DEVICE_MAX = (1 << 32) - 1
_NO_TAR = "is not a tar archive, plain or compressed with gzip, bzip2, xz or zstd"

_KINDS = {
    b"0": S_IFREG,
    b"\0": S_IFREG,
    b"7": S_IFREG,  # contiguous: no difference to a reader
    b"S": S_IFREG,
    b"1": HARD_LINK,
    b"2": S_IFLNK,
    b"3": S_IFCHR,
    b"4": S_IFBLK,
    b"5": S_IFDIR,
    b"6": S_IFIFO,
    b"D": S_IFDIR,  # GNU: a directory with a list of its entries, which is skipped
}
_WITHOUT_DATA = b"123456"
_REFUSED = {
    b"M": "continues a file of another volume; join the volumes first",
    b"N": "has GNU's oldest form of long names, which tar no longer writes",
}

_KEYWORDS = {
    *(b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime", b"atime", b"ctime"),
    *(b"SCHILY.devmajor", b"SCHILY.devminor", b"LIBARCHIVE.creationtime"),
    *(b"GNU.sparse.name", b"GNU.sparse.size", b"GNU.sparse.realsize", b"GNU.sparse.map"),
    *(b"GNU.sparse.major", b"GNU.sparse.minor"),
}


def _is_known(keyword: bytes) -> bool:
    """Whether this reader uses the record; other records are not kept."""
    return keyword in _KEYWORDS or keyword.startswith(PREFIXES)


def read_members(
    archive: Archive,
    *,
    spool: BinaryIO | None = None,
    xattrs: bool = True,
    keep_times: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    usage: Usage | None = None,
    name_bytes: int = NAME_MAX,
    losses: list[Loss] | None = None,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> Iterator[Member]:
    """Yield the members of ``archive`` in order; a path may occur several times.

    Contents of an uncompressed archive in a regular file, or part of one, are slices of it. Any
    other archive is read once, and its contents are appended to ``spool``, a regular file open for
    reading and writing; without one they stay in memory, within ``limits``. The archive and the
    spool stay open, under separate descriptors, as long as any of their contents exists.

    ``usage`` is shared with other archives of the same input, and its limits replace ``limits``.
    ``name_bytes`` is the longest name in a path, in bytes; names of whiteouts are longer than those
    of files. ``keep_times`` keeps access, change and birth times if the archive has them.
    ``losses`` collects what cannot be kept. ``progress`` is called every 1024 members with the
    bytes of content found so far. A stream is read to its end before the iterator ends.

    Raises :class:`ArchiveError` for damage or truncation, for ``..`` in a path and for unsupported
    kinds; :class:`LimitError`; :class:`SourceError` for an archive that cannot be read;
    :class:`OutputError` for a spool that cannot be written; :class:`CancelledError`.
    """
    if usage is None:
        usage = Usage(archive_path(archive), limits)
    source = open_archive(archive, spool, usage, cancel)
    lost = [] if losses is None else losses
    reader = _Reader(source, usage, name_bytes, lost, xattrs, keep_times)
    return reader.run(progress, cancel)


class _Extended:
    """The content of the extended headers before a member."""

    __slots__ = ("link", "name", "pairs", "records")

    def __init__(self) -> None:
        self.name: bytes | None = None
        self.link: bytes | None = None
        self.records: dict[bytes, bytes] | None = None
        self.pairs: list[int] = []
        """The sparse map in form 0.0, which repeats records."""


class _Reader:
    def __init__(
        self,
        source: Input,
        usage: Usage,
        name_bytes: int,
        losses: list[Loss],
        xattrs: bool,
        keep_times: bool,
    ) -> None:
        self.source = source
        self.usage = usage
        self.limits = usage.limits
        self.name_bytes = name_bytes
        self.losses = losses
        self.xattrs = XattrReader() if xattrs else None
        self.keep_times = keep_times
        self.globals: dict[bytes, bytes] = {}
        self.global_bytes = 0
        self.fields: dict[bytes, int] = {}
        self.offset = 0
        """Byte offset of the current member, including its extended headers."""
        self.name: bytes | None = None
        """The current member's name, for errors."""
        self.unknown: set[bytes] = set()
        """Unknown keywords that have been reported already."""
        self.header_bytes = 0
        """Bytes of the current member's extended headers and sparse map."""
        self.content_bytes = 0
        self.members = 0

    def run(self, progress: ProgressCallback | None, cancel: Cancel | None) -> Iterator[Member]:
        while True:
            try:
                member = self._next()
            except FieldError as error:
                raise self._error(str(error)) from None
            if member is None:
                break
            self.members += 1
            self.usage.members += 1
            if self.usage.members > self.limits.members:
                self._raise_limit("members", f"has more than {self.limits.members} members")
            yield member
            if not self.members % REPORT_EVERY:
                check_cancelled(cancel)
                if progress is not None:
                    progress(self._progress())
        check_cancelled(cancel)
        if progress is not None:
            progress(self._progress())

    def _progress(self) -> Progress:
        """The progress so far; content that stays in place was not read."""
        unmoved = self.content_bytes if isinstance(self.source, SliceInput) else 0
        return Progress("scan", self.members, 0, self.content_bytes, 0, unmoved)

    def _next(self) -> Member | None:
        """Read headers until a member is complete; None at the end of the archive."""
        source = self.source
        extended: _Extended | None = None
        self.offset = source.offset
        self.header_bytes = 0
        while True:
            self.name = None
            block = source.read(BLOCK)
            if (len(block) < BLOCK or not block[0]) and self._at_end(block, extended):
                return None
            fields = HEADER.unpack(block)
            if not has_checksum(block):
                if source.offset <= BLOCK:
                    raise self._not_an_archive(block)
                raise self._error("its header has a wrong checksum")
            kind = fields[7]
            if kind in b"xgXKL" and kind:
                extended = self._extend(kind, fields, extended)
            elif kind == b"V":
                self._skip_data(self._number(fields[4], "size"))
            else:
                return self._member(block, fields, extended)

    def _at_end(self, block: bytes, extended: _Extended | None) -> bool:
        """Whether ``block`` ends the archive; False for a header without a name."""
        if block.strip(b"\0"):
            if len(block) == BLOCK:
                return False
            if self.source.offset == len(block) and looks_like(block) is not None:
                raise self._not_an_archive(block)
            raise self._error("is cut short in the middle of a header")
        if extended is not None:
            raise self._error("ends after an extended header, without the member it describes")
        if not block:
            if not self.source.offset:
                raise self._error("is empty")
            self._add_losses(
                b"",
                "archive-unterminated",
                "the archive has no end mark; its rest may be missing",
            )
        elif len(block) < BLOCK:
            raise self._error("is cut short in the middle of a header")
        else:
            left = self.source.finish()
            if left and not self.offset:
                raise self._error(f"{_NO_TAR}, although it begins with zeros like an empty one")
            if left:
                self._add_losses(
                    b"",
                    "archive-rest-unread",
                    f"{left} bytes after the end mark of the archive, starting at byte "
                    f"{self.offset + BLOCK}, are not read",
                )
        rest = self.source.packed_rest()
        if rest is not None:
            self._add_losses(b"", "archive-rest-unread", rest)
        return True

    # -- extended headers --------------------------------------------------------------------

    def _extend(
        self, kind: bytes, fields: tuple[bytes, ...], extended: _Extended | None
    ) -> _Extended | None:
        size = self._number(fields[4], "size")
        if size < 0:
            raise FieldError(f"its size {size} is out of range")
        self.header_bytes += BLOCK + size
        if self.header_bytes > self.limits.header_bytes:
            self._raise_limit(
                "header_bytes",
                f"has extended headers of more than {self.limits.header_bytes} bytes",
            )
        data = self.source.read(size)
        if len(data) < size or not self.source.skip(padding(size, BLOCK)):
            raise self._error("is cut short in the middle of an extended header")
        if kind == b"g":
            self._store_globals(data)
            return extended
        extended = extended or _Extended()
        if kind == b"L":
            extended.name = text(data)
        elif kind == b"K":
            extended.link = text(data)
        else:
            found = extended.records = {}
            for keyword, value in pax.records(data):
                if keyword in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
                    expected = b"GNU.sparse.numbytes" if len(extended.pairs) % 2 else keyword
                    if keyword != expected:
                        raise FieldError("its map of holes is malformed")
                    extended.pairs.append(sparse.decimal(value))
                if _is_known(keyword):
                    found[keyword] = value
                else:
                    self._report_unknown(keyword)
        return extended

    def _store_globals(self, data: bytes) -> None:
        """Store the records of a global header.

        Their losses are reported here, once, and not for each member.
        """
        for keyword, value in pax.records(data):
            before = self.globals.pop(keyword, None)
            if before is not None:
                self.global_bytes -= len(keyword) + len(before)
            if not _is_known(keyword):
                self._report_unknown(keyword)
            elif value:
                self.globals[keyword] = value
                self.global_bytes += len(keyword) + len(value)
                if self.global_bytes > self.limits.global_bytes:
                    self._raise_limit(
                        "global_bytes",
                        f"has global headers of more than {self.limits.global_bytes} bytes",
                    )
        if self.xattrs is not None:
            _, lost = self.xattrs.read(self.globals, self.usage)
            self._report_lost_records([what for _, what in lost], b"", "a global extended header: ")
            for keyword, _ in lost:
                self.global_bytes -= len(keyword) + len(self.globals.pop(keyword))

    # -- members -----------------------------------------------------------------------------

    def _member(
        self, block: bytes, fields: tuple[bytes, ...], extended: _Extended | None
    ) -> Member:
        name, _, _, _, _, _, _, typeflag, linkname, magic = fields[:10]
        raw = name.partition(b"\0")[0]
        if magic.startswith(USTAR) and fields[14][0]:
            prefix = fields[14]
            if block.endswith(STAR_END) and not block[475]:
                prefix = prefix[:131]
            prefix = prefix.partition(b"\0")[0]
            if prefix:
                raw = prefix + b"/" + raw
        target = linkname.partition(b"\0")[0]
        records: dict[bytes, bytes] | None = None
        if extended is not None or self.globals:
            if extended is not None:
                raw = raw if extended.name is None else extended.name
                target = target if extended.link is None else extended.link
            records = self._records(extended)
            raw = records.get(b"GNU.sparse.name") or records.get(b"path") or raw
            target = records.get(b"linkpath") or target
        self.name = raw
        kind = _KINDS.get(typeflag)
        if kind is None:
            if typeflag in _REFUSED:
                raise FieldError(_REFUSED[typeflag])
            kind = S_IFREG
            self._add_losses(
                self._path(raw),
                "kind-unknown",
                f"has the unknown type {typeflag!r}; taken as a file",
            )
        elif kind == S_IFREG and raw.endswith(b"/"):
            kind = S_IFDIR  # before POSIX, only the slash marked a directory
        path = self._path(raw)
        try:
            # All of them at once, without a call for each; most headers have numbers of others.
            mode, uid, gid, data_bytes, mtime = map(self.fields.__getitem__, fields[1:6])
        except KeyError:
            mode, uid, gid, data_bytes, mtime = map(self._number, fields[1:6], _NUMBERS)
        member = Member(path, kind, mode & 0o7777, uid, gid, mtime * NANOSECONDS)
        member.offset = self.offset
        if records:
            data_bytes = self._override(member, records, data_bytes)
        if member.uid > ID_MOST or member.gid > ID_MOST or member.uid < 0 or member.gid < 0:
            raise FieldError(
                f"its owner {member.uid}:{member.gid} is out of range; IDs are 0 to {ID_MOST}"
            )
        if not 0 <= data_bytes <= sparse.SIZE_MAX:
            raise FieldError(f"its size {data_bytes} is out of range")
        # In a PAX archive, a hard link may carry content; in older ones its size is meaningless.
        carries = kind == HARD_LINK and extended is not None and extended.records is not None
        if typeflag in _WITHOUT_DATA and not carries:
            data_bytes = 0
        if kind == S_IFLNK:
            self._check_target(target)
            member.target = target
        elif kind == HARD_LINK:
            member.target = self._path(target, "link target ")
            self.usage.metadata_bytes += len(target)
        elif kind in (S_IFCHR, S_IFBLK):
            self._set_device(member, fields, records)
        if kind == S_IFREG:
            member.content = self._read_content(block, typeflag, data_bytes, extended, records)
        elif data_bytes:
            self._skip_data(data_bytes)
        if self.usage.metadata_bytes > self.limits.metadata_bytes:
            self.usage.keep(0, self.name, self.offset)
        return member

    def _records(self, extended: _Extended | None) -> dict[bytes, bytes]:
        if extended is None or extended.records is None:
            return self.globals
        if not self.globals:
            return extended.records
        return {**self.globals, **extended.records}

    def _override(self, member: Member, records: dict[bytes, bytes], data_bytes: int) -> int:
        """Override the header's values with ``records``; return the resulting size in bytes."""
        if value := records.get(b"uid"):
            member.uid = pax.integer(value, "uid")
        if value := records.get(b"gid"):
            member.gid = pax.integer(value, "gid")
        if value := records.get(b"mtime"):
            member.mtime_ns = pax.time_ns(value, "mtime")
        if self.keep_times:
            if value := records.get(b"atime"):
                member.atime_ns = pax.time_ns(value, "atime")
            if value := records.get(b"ctime"):
                member.ctime_ns = pax.time_ns(value, "ctime")
            if value := records.get(b"LIBARCHIVE.creationtime"):
                member.crtime_ns = pax.time_ns(value, "creation time")
        if self.xattrs is not None:
            member.xattrs, lost = self.xattrs.read(records, self.usage)
            acl = (member.xattrs or {}).get(b"system.posix_acl_access")
            if acl is not None:
                member.mode = mode_with_acl(member.mode, acl)
            if FILE_FLAGS in records and member.kind != HARD_LINK:
                member.flags, words = inode_flags(records[FILE_FLAGS], member.kind)
                if words:
                    lost.append((FILE_FLAGS, f"the file flags {words} cannot be kept"))
            if lost:
                self._report_lost_records([what for _, what in lost], member.path)
        value = records.get(b"size")
        return pax.integer(value, "size") if value else data_bytes

    def _set_device(
        self, member: Member, fields: tuple[bytes, ...], records: dict[bytes, bytes] | None
    ) -> None:
        for which, field, keyword in (
            ("major", fields[12], b"SCHILY.devmajor"),
            ("minor", fields[13], b"SCHILY.devminor"),
        ):
            value = records.get(keyword) if records else None
            found = pax.integer(value, which) if value else self._number(field, f"dev{which}")
            if not 0 <= found <= _DEVICE_MAX:
                raise FieldError(f"its device {which} {found} is out of range")
            setattr(member, which, found)

    def _read_content(
        self,
        block: bytes,
        typeflag: bytes,
        data_bytes: int,
        extended: _Extended | None,
        records: dict[bytes, bytes] | None,
    ) -> Content:
        size = data_bytes
        pairs: list[int] | None = None
        if typeflag == b"S":
            size, pairs = self._old_map(block)
        elif records and (found := sparse.real_size(records)) is not None:
            size, pairs, taken = self._pax_map(found, records, extended)
            data_bytes -= taken
            if data_bytes < 0:
                raise FieldError("its map of holes is longer than the member")
        elif extended is not None and extended.pairs:
            raise FieldError(sparse.NO_SIZE)
        if not 0 <= size <= sparse.SIZE_MAX:
            raise FieldError(f"its size {size} is out of range")
        self.content_bytes += size
        self.usage.content_bytes += size
        if self.usage.content_bytes > self.limits.content_bytes:
            self._raise_limit(
                "content_bytes", f"its files have more than {self.limits.content_bytes} bytes"
            )
        segments = None if pairs is None else sparse.checked_map(pairs, size, data_bytes)
        content = self.source.take(data_bytes)
        if content is None or not self.source.skip(padding(data_bytes, BLOCK)):
            raise self._error(f"is cut short in the {data_bytes} bytes of its content")
        if segments is None:
            return content
        self.usage.metadata_bytes += 8 * len(segments)
        return SparseContent(content, size, segments)

    def _old_map(self, block: bytes) -> tuple[int, list[int]]:
        if block.endswith(STAR_END):
            raise FieldError("is a file with holes in star's own form, which is not read")
        return sparse.old_gnu_map(block, self._map_block)

    def _pax_map(
        self, size: int, records: dict[bytes, bytes], extended: _Extended | None
    ) -> tuple[int, list[int], int]:
        """Size of the file in bytes, its map, and the bytes of the map stored before the data."""
        version = tuple(records.get(b"GNU.sparse." + part) or None for part in (b"major", b"minor"))
        if version == (b"1", b"0"):
            pairs, taken = sparse.leading_map(self._map_block)
            return size, pairs, taken
        if version not in ((None, None), (b"0", b"0"), (b"0", b"1")):
            raise FieldError(f"is a file with holes in the unknown form {version!r}")
        if records.get(b"GNU.sparse.map"):
            return size, sparse.listed_map(records[b"GNU.sparse.map"]), 0
        return size, extended.pairs if extended is not None else [], 0

    def _map_block(self) -> bytes:
        self.header_bytes += BLOCK
        if self.header_bytes > self.limits.header_bytes:
            self._raise_limit(
                "header_bytes", f"has a map of holes of more than {self.limits.header_bytes} bytes"
            )
        block = self.source.read(BLOCK)
        if len(block) < BLOCK:
            raise self._error("is cut short in its map of holes")
        return block

    # -- helpers -----------------------------------------------------------------------------

    def _skip_data(self, size: int) -> None:
        if size < 0:
            raise FieldError(f"its size {size} is out of range")
        if not self.source.skip(round_up(size, BLOCK)):
            raise self._error(f"is cut short in the {size} bytes after its header")

    def _number(self, field: bytes, name: str) -> int:
        """The value of a header field; recent values are cached."""
        value = self.fields.get(field)
        if value is None:
            value = number(field, name)
            if len(self.fields) >= _CACHED_FIELDS:
                self.fields.clear()
            self.fields[field] = value
        return value

    def _path(self, raw: bytes, what: str = "") -> bytes:
        """``raw`` with single slashes and without ``.`` and leading slashes."""
        if len(raw) > self.limits.path_bytes:
            self._raise_limit(
                "path_bytes",
                f"its {what or 'path'} has {len(raw)} bytes, more than {self.limits.path_bytes}",
            )
        path = raw[2:] if raw[:2] == b"./" else raw
        if path[:1] in b"/." or b"/." in path or b"//" in path or path[-1:] == b"/":
            names = [name for name in path.split(b"/") if name and name != b"."]
            if b".." in names:
                raise FieldError(f"its {what or 'path '}climbs with '..', which is refused")
            path = b"/".join(names)
        most = self.name_bytes
        if len(path) > most and max(map(len, path.split(b"/"))) > most:
            raise FieldError(f"its {what or 'path '}has a name of more than {most} bytes")
        if b"\0" in path:
            raise FieldError(f"its {what or 'path '}holds a NUL byte")
        return path

    def _check_target(self, target: bytes) -> None:
        if not target or b"\0" in target:
            raise FieldError("is a symbolic link whose target is empty or holds a NUL byte")
        if len(target) > self.limits.path_bytes:
            self._raise_limit("path_bytes", f"its link target has {len(target)} bytes")
        self.usage.metadata_bytes += len(target)

    def _report_unknown(self, keyword: bytes) -> None:
        """Report each unknown keyword once."""
        keyword = keyword[:_KEYWORD_SHOWN]
        if keyword in self.unknown or keyword.startswith(pax.IDLE):
            return
        if len(self.unknown) < _UNKNOWN_REPORTED:
            self.unknown.add(keyword)
            shown = display_path(keyword)
            self._add_losses(
                b"", "header-unknown", f"the records {shown} of its extended headers are left out"
            )

    def _report_lost_records(self, losses: list[str], path: bytes, where: str = "") -> None:
        """Report the first records that are not kept, and the number of others."""
        reported = [where + what for what in losses[:_RECORDS_REPORTED]]
        more = len(losses) - _RECORDS_REPORTED
        if more > 0:
            reported.append(f"{where}{more:,} further records were left out")
        if reported:
            self._add_losses(path, "xattr-left-out", *reported)

    def _add_losses(self, path: bytes, code: LossCode, *losses: str) -> None:
        path = b"/" + path
        self.usage.keep(len(path), self.name, self.offset)
        for what in losses:
            self.usage.keep(OBJECT_BYTES + len(what), self.name, self.offset)
            self.losses.append(Loss(path, what, code))

    def _not_an_archive(self, head: bytes) -> ArchiveError:
        """The error for data that is not an archive, described by its first bytes."""
        found = looks_like(head)
        holds = "" if found is None else f"; it holds {found}"
        return ArchiveError(self.source.path, f"{_NO_TAR}{holds}")

    def _error(self, problem: str) -> ArchiveError:
        return ArchiveError(self.source.path, problem, member=self.name, offset=self.offset)

    def _raise_limit(self, limit: str, problem: str) -> NoReturn:
        raise LimitError(self.source.path, limit, problem, member=self.name, offset=self.offset)
