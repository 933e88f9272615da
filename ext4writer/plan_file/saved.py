"""Saves and loads plans.

A file begins with two lines of text: what it is, with digits that name the classes of which a plan
of this release consists; and the SHA-256 of the rest, which is one zstd frame. Inside are the
length of the JSON in 8 bytes, the JSON, and the block of columns that it refers to.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

from ..errors import PlanError, SpecError
from ..output.beside import write_file
from ..output.sink import output_error
from ..planning.layout import ImagePlan
from .classes import packed_classes, signature, unpacked_classes
from .consistency import check_plan
from .contents import SHARED
from .nodes import pack_nodes, unpack_nodes
from .values import Packer, Unpacker, UnsavableError

MAGIC = b"ext4writer plan 1 "
LEVEL = 3
DIGEST_LINE = 65
MOST_BYTES = 1 << 34
"""A plan of this many bytes would describe tens of millions of files."""

NO_ZSTANDARD = "needs the Python package zstandard; install ext4writer with its dependencies"
_WRONG = (
    *(ValueError, TypeError, LookupError, OverflowError, AttributeError, RecursionError),
    *(AssertionError, StopIteration, RuntimeError, SpecError),
)


def save(plan: ImagePlan, path: str | bytes | os.PathLike[Any], *, sync: bool = False) -> None:
    """Write ``plan`` to a file, which replaces one of that name when it is complete.

    Raises :class:`PlanError` for a content that exists in this process alone, and
    :class:`~ext4writer.OutputError`.
    """
    name = os.fsencode(path)
    try:
        data = _packed(plan)
    except UnsavableError as error:
        raise PlanError(name, f"the plan cannot be saved: {error}") from None
    except ImportError:
        raise PlanError(name, NO_ZSTANDARD) from None
    try:
        write_file(name, data, sync=sync)
    except OSError as error:
        raise output_error(name, error, len(data)) from error


def _packed(plan: ImagePlan) -> bytes:
    import zstandard

    classes = {kind: (name, fields) for kind, (name, fields, _) in SHARED.items()}
    packer = Packer(packed_classes(), classes)
    nodes = pack_nodes(packer, plan.table)
    packed = packer.value(plan)
    text = json.dumps(
        {"objects": packer.objects, "plan": packed, "nodes": nodes}, separators=(",", ":")
    ).encode()
    inner = b"".join([len(text).to_bytes(8, "little"), text, packer.block])
    frame = zstandard.ZstdCompressor(level=LEVEL).compress(inner)
    digest = hashlib.sha256(frame).hexdigest().encode()
    return b"%b%b\n%b\n%b" % (MAGIC, signature().encode(), digest, frame)


def load(path: str | bytes | os.PathLike[Any]) -> ImagePlan:
    """Read a plan that :func:`save` wrote, on this machine or another that has its sources.

    Raises :class:`PlanError` if the file holds no plan, is damaged, or is of another release, and
    :class:`SourceError` for an archive of the plan that cannot be read.
    """
    name = os.fsencode(path)
    try:
        with open(name, "rb") as file:
            data = file.read(MOST_BYTES)
    except OSError as error:
        raise PlanError(name, f"cannot be read: {error.strerror}") from error
    if not data.startswith(MAGIC):
        raise PlanError(name, "is no plan that ext4writer saved")
    head, _, rest = data.partition(b"\n")
    if head[len(MAGIC) :] != signature().encode():
        raise PlanError(name, "was saved by another release of ext4writer; plan again")
    digest, frame = rest[:DIGEST_LINE], memoryview(rest)[DIGEST_LINE:]
    if hashlib.sha256(frame).hexdigest().encode() + b"\n" != digest:
        raise PlanError(name, "is damaged or incomplete: its digest is wrong; plan again")
    try:
        import zstandard
    except ImportError:
        raise PlanError(name, NO_ZSTANDARD) from None
    try:
        inner = zstandard.ZstdDecompressor().decompress(frame, max_output_size=MOST_BYTES)
        return _unpacked(memoryview(inner))
    except (*_WRONG, zstandard.ZstdError) as error:
        raise PlanError(name, f"is damaged: {str(error) or type(error).__name__}") from error


def _unpacked(inner: memoryview) -> ImagePlan:
    length = int.from_bytes(inner[:8], "little")
    document = json.loads(bytes(inner[8 : 8 + length]))
    unpacker = Unpacker(inner[8 + length :], document["objects"], unpacked_classes())
    plan = unpacker.value(document["plan"])
    if not isinstance(plan, ImagePlan):
        raise TypeError("it holds something else")
    plan.table.nodes = unpack_nodes(unpacker, document["nodes"], plan.table)
    check_plan(plan)
    return plan
