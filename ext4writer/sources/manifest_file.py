"""Trees from manifests: text files that list each path and the source of its content."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping
from contextlib import nullcontext
from typing import BinaryIO, Literal

from ..checked import checked
from ..documents import open_document
from ..errors import SourceError
from ..progress import Cancel, ProgressCallback
from ..tree import Tree
from .dump import read_dump
from .inputs import check_input, inputs_of
from .mtree import read_mtree

Format = Literal["mtree", "dump"]

IN_MEMORY = b"(manifest in memory)"
_PEEK_BYTES = 1 << 16
_DUMP_LINE = re.compile(rb"\n*/[^ \n]* [0-9]+ @?[0-7]+ [0-9]+ [0-9]+ [0-9]+ [0-9]+ [-0-9]")


@checked("source")
def manifest(
    source: str | os.PathLike[str] | bytes | BinaryIO,
    *,
    root: str | bytes | os.PathLike[str] | None = None,
    format: Format | None = None,  # noqa: A002
    verify: bool = True,
    users: Mapping[bytes, int] | None = None,
    groups: Mapping[bytes, int] | None = None,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> Tree:
    """Read a manifest from ``source``: a path, a binary stream, or the text itself as ``bytes``.

    It is an mtree file (mtree(5)) or a composefs dump (composefs-dump(5)); without ``format``, its
    first bytes decide. The files that it names are below the directory ``root``, by default that of
    the manifest, and nothing outside it is read. Their sizes are checked now, and their bytes are
    read later. ``verify`` compares the digests in an mtree file with the content when it is read.
    ``users`` and ``groups`` map names to numbers for entries that have ``uname=`` or ``gname=`` and
    no number; the host's databases are not used.

    Raises :class:`SourceError` with the line; :class:`SourceChangedError` for content of another
    size; and :class:`CancelledError`.
    """
    if not isinstance(source, bytes):
        check_input(source)
    if isinstance(source, bytes):
        name, place = IN_MEMORY, None
        stream: BinaryIO = io.BytesIO(source)
    elif not isinstance(source, str | os.PathLike):
        called = getattr(source, "name", None)
        name = os.fsencode(called) if isinstance(called, str | bytes) else IN_MEMORY
        place = None
        stream = source
    else:
        name = os.fsencode(source)
        place = os.path.split(name)[0] or b"."
        stream = open_document(name)
    content_root = place if root is None else os.fsencode(root)
    with nullcontext() if stream is source else stream:
        try:
            kind = format or _format_of(stream)
            if kind == "dump":
                tree = read_dump(name, stream, root=content_root, progress=progress, cancel=cancel)
            else:
                tree = read_mtree(
                    name,
                    stream,
                    root=content_root,
                    verify=verify,
                    users=users,
                    groups=groups,
                    progress=progress,
                    cancel=cancel,
                )
            tree.inputs.update(inputs_of(stream))
            return tree
        except OSError as error:
            raise SourceError(name, f"cannot be read: {error.strerror}") from error


def _format_of(stream: BinaryIO) -> Format:
    """Guess the format: a dump begins with a path and numbers, and an mtree file never does."""
    if isinstance(stream, io.BufferedReader):
        start = stream.peek(_PEEK_BYTES)
    else:
        before = stream.tell()
        start = stream.read(_PEEK_BYTES)
        stream.seek(before)
    return "dump" if _DUMP_LINE.match(start) else "mtree"
