"""The errors that the library raises deliberately.

Each one names its cause, such as a path of the tree or a record and field, and says what to do.
Any other exception is a bug in this library.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias


def display_path(path: bytes | str) -> str:
    """Return ``path`` as one printable line, with control characters and invalid UTF-8 escaped."""
    text = path if isinstance(path, str) else path.decode("utf-8", "surrogateescape")
    return "".join(
        character if character.isprintable() else _escaped(character) for character in text
    )


SHOWN_OF_PATH = 300
"""The most bytes of a path in a message; paths in archives may be very long."""


def short_path(path: bytes) -> str:
    """``path`` for a message, shortened if it is long."""
    return display_path(path if len(path) <= SHOWN_OF_PATH else path[:SHOWN_OF_PATH] + b"...")


def _escaped(character: str) -> str:
    try:
        raw = character.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        # Half of a surrogate pair: no bytes decode to one, but a str may hold one.
        raw = character.encode("utf-8", "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in raw)


LINE_MOST = 8000
"""The most characters of a message, enough for the longest path that Linux accepts."""
_LINE_END = 1000


def one_line(text: str) -> str:
    """``text`` as one printable line of at most :data:`LINE_MOST` characters.

    Messages contain names from archives and directories. These may hold newlines, which would look
    like lines of a report, or control sequences for terminals.
    """
    if len(text) > LINE_MOST:
        cut = len(text) - LINE_MOST + 60
        text = f"{text[: -cut - _LINE_END]} [... {cut:,} characters ...] {text[-_LINE_END:]}"
    if text.isprintable():
        return text
    shown = display_path(text)
    return shown if len(shown) <= LINE_MOST else f"{shown[: LINE_MOST - 6]} [...]"


def counted(count: object, one: str, several: str) -> str:
    """``count`` and its noun, in the singular or plural, such as "1 loss" and "2 losses"."""
    return f"{count} {one if count == 1 else several}"


class Ext4WriterError(Exception):
    """Base of all deliberate errors; ``str()`` of one is a single complete line.

    All of them can be pickled, whatever arguments their constructors have.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(message))

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (type(self), self.args), self.__dict__


def _restored(kind: type[Ext4WriterError], args: tuple[object, ...]) -> Ext4WriterError:
    error = kind.__new__(kind)
    error.args = args
    return error


class SpecError(Ext4WriterError):
    """An option of the Spec, or an argument of a function, is wrong or contradicts another one.

    ``option`` is the name of the Spec's attribute, or of the argument. ``others`` are the names of
    further options in ``problem``, so that a program can replace them with its own names.
    """

    def __init__(self, option: str, problem: str, *others: str) -> None:
        self.option = option
        self.problem = problem
        self.others = others
        super().__init__(f"{option}: {problem}")

    def under(self, names: Mapping[str, str]) -> str:
        """The message with a program's own names for options; ``names`` maps attribute to name."""
        import re  # late: a correct program never needs it

        problem = self.problem
        for other in self.others:
            problem = re.sub(rf"\b{other}\b", names.get(other, other), problem)
        return f"{names.get(self.option, self.option)}: {problem}"


class TreeError(Ext4WriterError):
    """ext4 cannot represent an entry of the tree; ``path`` is its absolute path in the image."""

    def __init__(self, path: bytes | str, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{display_path(path)}: {problem}")


class SourceError(Ext4WriterError):
    """A source could not be read; ``path`` is its path on the host."""

    def __init__(self, path: bytes | str, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{display_path(path)}: {problem}")


class SourceChangedError(SourceError):
    """A file changed, or vanished, between the scan and the copy."""


class DeclaredSizeError(SourceError):
    """A content does not have the size that the caller declared.

    ``declared`` and ``held`` are in bytes. ``held`` is None if the content has more than declared,
    since the rest was not read.
    """

    def __init__(self, path: bytes | str, declared: int, held: int | None) -> None:
        self.declared = declared
        self.held = held
        super().__init__(
            path,
            f"its declared size is {declared}, but it holds {'more' if held is None else held}; "
            "give its real size in bytes as size=",
        )


class ArchiveError(SourceError):
    """An archive is damaged or truncated, or holds something that a tree cannot represent.

    ``path`` is the archive, ``member`` the name of the entry in it, ``offset`` the byte of the
    uncompressed archive where the entry begins. ``member`` and ``offset`` are None if unknown.
    """

    def __init__(
        self,
        path: bytes | str,
        problem: str,
        *,
        member: bytes | None = None,
        offset: int | None = None,
    ) -> None:
        self.member = member
        self.offset = offset
        where = "" if offset is None else f"at byte {offset}"
        if member is not None:
            shown = display_path(member if len(member) <= 300 else member[:300] + b"...")
            where = f"{shown} ({where})" if where else shown
        super().__init__(path, f"{where}: {problem}" if where else problem)


class LimitError(ArchiveError):
    """An archive is larger than the caller allows; ``limit`` is the attribute of ``Limits``."""

    def __init__(
        self,
        path: bytes | str,
        limit: str,
        problem: str,
        *,
        member: bytes | None = None,
        offset: int | None = None,
    ) -> None:
        self.limit = limit
        super().__init__(
            path, f"{problem}; the limit {limit} can be raised", member=member, offset=offset
        )


class SizeError(Ext4WriterError):
    """The tree does not fit the given size; raised before any output is opened."""

    def __init__(self, problem: str, *, missing_bytes: int = 0) -> None:
        self.missing_bytes = missing_bytes
        super().__init__(problem)


class OutputError(Ext4WriterError):
    """The output could not be written; ``path`` names it if it has a name."""

    def __init__(self, path: bytes | str, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{display_path(path)}: {problem}")


class PlanError(Ext4WriterError):
    """A plan cannot be saved, or a file does not hold a plan; ``path`` names the file."""

    def __init__(self, path: bytes | str, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{display_path(path)}: {problem}")


class RecordError(Ext4WriterError):
    """A value does not fit its on-disk field, or the record has no field with that name."""

    def __init__(self, record: str, field: str, problem: str) -> None:
        self.record = record
        self.field = field
        self.problem = problem
        super().__init__(f"{record}.{field}: {problem}")


class ImageError(Ext4WriterError):
    """An image cannot be read, or not in the requested way; ``path`` names the image."""

    def __init__(self, path: bytes | str, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{display_path(path)}: {problem}")


class NotFoundError(ImageError):
    """An image has no file at a path; ``path`` is the path inside the image."""


DamageKind: TypeAlias = Literal["value", "past-end", "unmapped", "missing", "depth"]
"""What is wrong with a field. "value": its own value. "past-end", "unmapped" and "missing": what it
counts or refers to lies past the end of the image, has no block, or does not exist. "depth": a node
of an extent tree states another depth than its level in the tree.
"""


class DamageError(Ext4WriterError):
    """An image violates the ext4 format, so that part of it cannot be read.

    ``record`` and ``field`` name the damaged field, ``offset`` is its byte in the file system,
    ``ino`` the number of the inode that it belongs to or None, and ``kind`` what is wrong with it.
    """

    def __init__(
        self,
        record: str,
        field: str,
        offset: int,
        problem: str,
        *,
        ino: int | None = None,
        kind: DamageKind = "value",
    ) -> None:
        self.record = record
        self.field = field
        self.offset = offset
        self.problem = problem
        self.ino = ino
        self.kind: DamageKind = kind
        owner = "" if ino is None else f" of inode {ino}"
        super().__init__(f"{record}.{field}{owner} at byte {offset}: {problem}")


class OverrideError(Ext4WriterError):
    """An override names a record, index or field that the planned image does not have."""


class WorkerError(Ext4WriterError):
    """A worker process ended before its work was complete."""


class CancelledError(Ext4WriterError):
    """The caller's ``cancel`` was set; no new file is left under the output's name."""

    def __init__(self) -> None:
        super().__init__("cancelled")
