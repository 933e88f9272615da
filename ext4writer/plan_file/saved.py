"""Saves and loads plans.

A file begins with two lines of text: a magic string with the signature of the classes in a plan,
and the SHA-256 of the rest. The rest is a zstd frame. It contains the length of the JSON (8 bytes,
little-endian), the JSON, and the block of columns to which the JSON refers.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

from ..errors import PlanError, SpecError
from ..output.atomic_file import write_file
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
"""The maximum size of a plan in bytes, enough for tens of millions of files."""

NO_ZSTANDARD = "needs the Python package zstandard; install ext4writer with its dependencies"
_WRONG = (
    *(ValueError, TypeError, LookupError, OverflowError, AttributeError, RecursionError),
    *(AssertionError, StopIteration, RuntimeError, SpecError),
)


def save(plan: ImagePlan, path: str | bytes | os.PathLike[Any], *, sync: bool = False) -> None:
    """Write ``plan`` to a file; an existing file is replaced when the new one is complete.

    ``sync`` makes it durable. Raises :class:`PlanError` for content that exists only in this
    process, and :class:`~ext4writer.OutputError`.
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
    """Read a plan that :func:`save` wrote, on this machine or on another with the same sources.

    Raises :class:`PlanError` if the file is not a plan, is damaged, or is from another release, and
    :class:`SourceError` if an archive among the sources cannot be read.
    """
    name = os.fsencode(path)
    try:
        with open(name, "rb") as file:
            data = file.read(MOST_BYTES)
    except OSError as error:
        raise PlanError(name, f"cannot be read: {error.strerror}") from error
    if not data.startswith(MAGIC):
        raise PlanError(name, "is not a plan saved by ext4writer")
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
        raise TypeError("it does not contain a plan")
    plan.table.nodes = unpack_nodes(unpacker, document["nodes"], plan.table)
    check_plan(plan)
    return plan
