"""Facts about the files of an image: what ls, stat and find show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from operator import itemgetter
from typing import Any

from ..errors import DamageError, display_path
from ..ondisk.journal import journal_device_start
from ..read import FileExtent, Image, Inode
from ..read.units import group_units, inode_units
from ..read.verity import verity
from ..read.walk import Found
from ..read.xattrs import encryption_context
from .usage import usage
from .words import mode_words, time_ns

LETTERS = {
    "f": "file",
    "d": "directory",
    "l": "symlink",
    "c": "character device",
    "b": "block device",
    "p": "fifo",
    "s": "socket",
}
"""Letter of ``find -type`` -> kind."""


def sorted_children(image: Image, directory: Inode) -> list[tuple[bytes, Inode]]:
    """Return name and inode of all entries except ``.`` and ``..``, sorted by bytes.

    Entries whose inode cannot be read are reported and left out.
    """
    return list(children_in_order(image, directory))


def children_in_order(image: Image, directory: Inode) -> Iterator[tuple[bytes, Inode]]:
    """Yield what :func:`sorted_children` returns; each inode is read only when it is yielded.

    A million names need a hundred megabytes, but their inodes would need a gigabyte.
    """
    names = [(entry.name, entry.ino) for entry in image.entries(directory)]
    names.sort(key=itemgetter(0))
    for name, ino in names:
        if name not in (b".", b".."):
            inode = image.try_inode(ino)
            if inode is not None:
                inode.check()
                yield name, inode


def facts(inode: Inode, *, path: bytes | None = None, close: bool = False) -> dict[str, Any]:
    """Return the facts of an inode as JSON values; sizes are in bytes.

    ``close`` adds extended attributes and the runs of blocks. Names are printable text with bytes
    that are not UTF-8 escaped; values of attributes are hexadecimal digits.
    """
    found: dict[str, Any] = {} if path is None else {"path": display_path(path)}
    found |= {
        "inode": inode.ino,
        "kind": inode.kind,
        "mode": f"{inode.mode & 0o7777:04o}",
        "links": inode.links,
        "uid": inode.uid,
        "gid": inode.gid,
        "size": inode.size,
        "blocks": inode.blocks,
        "mtime": time_ns(inode.mtime_ns),
        "atime": time_ns(inode.atime_ns),
        "ctime": time_ns(inode.ctime_ns),
        "crtime": time_ns(inode.crtime_ns),
        "flags": list(inode.flag_names),
    }
    if inode.is_device:
        found["device"] = list(inode.device)
    if inode.is_symlink:
        found["target"] = display_path(target_of(inode))
    if close:
        found["generation"] = inode.generation
        found["project"] = inode.projid
        found["offset"] = inode.offset
        found["xattrs"] = {
            display_path(name): value.hex() for name, value in inode.xattrs().items()
        }
        found["runs"] = [run._asdict() for run in inode.runs()]
        found |= _protection(inode)
    return found


def target_of(inode: Inode) -> bytes:
    """Return the target of a symlink; ``?`` if it cannot be read, which is reported."""
    try:
        return inode.target()
    except DamageError as error:
        inode.image.damage(error)
        return b"?"


def _protection(inode: Inode) -> dict[str, Any]:
    """Return the encryption context and the facts of fs-verity, if the inode has them."""
    found: dict[str, Any] = {}
    if "ENCRYPT" in inode.flag_names:
        context = encryption_context(inode)
        found["encrypted"] = "" if context is None else context.hex()
    protection = verity(inode)
    if protection is not None:
        found["verity"] = {
            "algorithm": protection.tree.algorithm,
            "block_size": protection.tree.block_size,
            "root_hash": protection.root_hash.hex(),
            "digest": protection.tree.file_digest(protection.size, protection.root_hash).hex(),
            "signature": protection.signature.hex(),
        }
    return found


def long_line(name: bytes, inode: Inode, label: bool = False) -> str:
    """Return one line of ``ls -l``; ``label`` adds the SELinux label."""
    size = ", ".join(map(str, inode.device)) if inode.is_device else str(inode.size)
    text = display_path(name)
    if inode.is_symlink:
        text += f" -> {display_path(target_of(inode))}"
    context = f" {label_of(inode):32}" if label else ""
    when = (time_ns(inode.mtime_ns) or "").partition(".")[0].replace("T", " ")
    return (
        f"{mode_words(inode.mode)} {inode.links:3} {inode.uid:6} {inode.gid:6}{context} "
        f"{size:>12} {when} {text}"
    )


def label_of(inode: Inode) -> str:
    """Return the SELinux label, or ``?``."""
    value = inode.xattrs().get(b"security.selinux")
    return "?" if value is None else display_path(value.rstrip(b"\0"))


def find(
    image: Image,
    top: Inode,
    *,
    name: bytes | None = None,
    kind: str | None = None,
    larger: int | None = None,
    ino: int | None = None,
) -> Iterator[Found]:
    """Yield the files below ``top`` that match every given condition.

    ``name`` is a shell pattern for the last component, ``kind`` one of the values of
    :data:`LETTERS`, ``larger`` a size in bytes that must be exceeded.
    """
    pattern = None if name is None else re.compile(_translated(name), re.DOTALL)
    for found in image.walk(top):
        inode = found.inode
        if pattern is not None and not pattern.fullmatch(found.name):
            continue
        if kind is not None and inode.kind != kind:
            continue
        if larger is not None and inode.size <= larger:
            continue
        if ino is not None and inode.ino != ino:
            continue
        yield found


def _translated(pattern: bytes) -> bytes:
    """Translate a shell pattern into a regular expression; stars are not greedy."""
    parts: list[bytes] = []
    place = 0
    while place < len(pattern):
        byte = pattern[place : place + 1]
        place += 1
        if byte == b"*":
            if parts[-1:] != [b".*?"]:
                parts.append(b".*?")
        elif byte == b"?":
            parts.append(b".")
        elif byte == b"[" and b"]" in pattern[place + 1 :]:
            end = pattern.index(b"]", place + 1)
            body = pattern[place:end].replace(b"\\", b"\\\\").replace(b"[", b"\\[")
            if body[:1] in (b"!", b"^"):
                body = b"^" + body[1:]
            parts.append(b"[" + body + b"]")
            place = end + 1
        else:
            parts.append(re.escape(byte))
    return b"".join(parts)


def owners(image: Image, block: int) -> Iterator[dict[str, Any]]:
    """Yield the owners of a block: metadata of a group, or metadata or content of inodes.

    All owners are yielded, even if there should be only one. Inodes without a path have the path
    ``<ino>``. On a journal device, every block that is not metadata belongs to the log. A block
    without an owner has one row with its kind: free, the boot block, or in use without an owner.
    """
    rows = list(_owners(image, block))
    yield from rows
    if not rows:
        uses = usage(image).uses
        yield from ({"kind": use.kind} for use in uses if use.first <= block < use.end)


def _owners(image: Image, block: int) -> Iterator[dict[str, Any]]:
    start, end = block * image.block_size, (block + 1) * image.block_size
    if image.format.journal_dev:
        yield from _of_journal_device(image, start, end)
        return
    for group in range(image.groups):
        try:
            units_here = list(group_units(image, group))
        except DamageError as error:
            image.damage(error)
            continue
        for unit in units_here:
            if unit.offset < end and start < unit.offset + unit.size * unit.count:
                yield {"kind": unit.kind.value, "group": group}
    rows_of: dict[int, list[dict[str, Any]]] = {}
    for inode in image.inodes():
        if not inode.links:
            continue
        units = inode_units(inode, set())
        rows: list[dict[str, Any]] = [
            {"kind": unit.kind.value} for unit in units if unit.offset == start
        ]
        for run in inode.runs():
            if run.physical <= block < run.physical + run.length and not rows:
                rows.append({"kind": "data", "block_of_file": _logical(run, block)})
        if rows:
            rows_of[inode.ino] = rows
    paths: dict[int, list[bytes]] = {}
    if rows_of:
        for found in image.walk():
            if found.inode.ino in rows_of:
                paths.setdefault(found.inode.ino, []).append(found.path)
    for ino, rows in rows_of.items():
        for row in rows:
            names = paths.get(ino, [b"/" if ino == image.root.ino else b"<%d>" % ino])
            yield {**row, "inode": ino, "paths": [display_path(path) for path in names]}


def _of_journal_device(device: Image, start: int, end: int) -> Iterator[dict[str, Any]]:
    """Yield what a journal device holds between two bytes."""
    kinds = [
        run.kind.value
        for run in device.unit_runs()
        if run.offset < end and start < run.offset + run.size * run.count
    ]
    if not kinds and start >= journal_device_start(device.block_size) * device.block_size:
        kinds = ["journal"]
    yield from ({"kind": kind} for kind in kinds)


def _logical(run: FileExtent, block: int) -> int:
    return run.logical + block - run.physical
