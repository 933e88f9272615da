"""UUID and hash seed of an image whose Spec gives none: digests of the tree and the Spec."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import fields
from hashlib import blake2b
from itertools import compress
from uuid import UUID

from ..ondisk.inode import MAX_TIME_NS, MIN_TIME_NS
from ..tree import S_IFDIR, S_IFREG, Device, Symlink
from .inodes import InodeTable
from .policy import DEFAULT_POLICY
from .spec import Spec

_MASK64 = (1 << 64) - 1
_NO_TIME = MIN_TIME_NS - 1 & _MASK64

_IS_REGULAR = bytes(code == S_IFREG >> 12 for code in range(256))
_IS_OTHER = bytes(code not in (S_IFREG >> 12, S_IFDIR >> 12) for code in range(256))


def derive_identity(table: InodeTable, spec: Spec) -> tuple[UUID, UUID]:
    """The UUID and the hash seed: as given, else from names, attributes and sizes.

    The content of files does not count, so that planning need not read it. The UUID depends on the
    Spec as well: images that differ are not the same file system. The hash seed does not, because
    it decides how full an indexed directory's blocks are: a change of the size must not bring
    another size with it.
    """
    if spec.uuid is not None and spec.hash_seed is not None:
        return spec.uuid, spec.hash_seed
    of_tree = _digest_of_tree(table)
    of_all = blake2b(of_tree + _options(spec), digest_size=16, person=b"ext4writer")
    uuid = spec.uuid or UUID(bytes=_version_8(of_all.digest()))
    return uuid, spec.hash_seed or UUID(bytes=_version_8(of_tree))


def _options(spec: Spec) -> bytes:
    lines = []
    for option in fields(spec):
        value = getattr(spec, option.name)
        if option.name == "policy":
            value = (value or DEFAULT_POLICY).name
        elif option.name == "reserved_percent":
            value = float(value)  # 5 and 5.0 are equal and must read alike
        elif option.name == "features":
            value = (value.compat, value.incompat, value.ro_compat)
        lines.append(f"{option.name}={value!r}\n")
    return "".join(lines).encode()


def _digest_of_tree(table: InodeTable) -> bytes:
    digest = blake2b(digest_size=16, person=b"ext4writer")
    nodes = table.nodes
    digest.update(_column("I", (len(nodes), len(table.directories), len(table.further_names))))
    digest.update(_column("H", table.modes))
    digest.update(_column("I", table.uids))
    digest.update(_column("I", table.gids))
    digest.update(_times(table.mtimes))
    for name in ("atime_ns", "ctime_ns", "crtime_ns"):
        others = table.other_times.get(name)
        digest.update(b"none\n" if others is None else _times(others))
    digest.update(_column("I", table.parents))
    digest.update(_column("Q", compress(table.sizes, table.types.translate(_IS_REGULAR))))
    digest.update(_column("I", table.directories))
    digest.update(_column("I", map(len, table.names)))
    digest.update(table.names_digest)
    for index in compress(range(len(nodes)), table.types.translate(_IS_OTHER)):
        # Each node's kind is in the column of modes, so that these lines belong to one node only.
        node = nodes[index]
        if isinstance(node, Symlink):
            digest.update(b"%d\n%b" % (len(node.target), node.target))
        elif isinstance(node, Device):
            digest.update(b"%d:%d\n" % (node.major, node.minor))
    for index in table.with_xattrs:
        for attribute, value in sorted((nodes[index].xattrs or {}).items()):
            lengths = index, len(attribute), len(value)
            digest.update(b"%d %d %d\n%b%b" % (*lengths, attribute, value))
    for directory, link, index in table.further_names:
        digest.update(b"%d/%b/%d\n" % (directory, link, index))
    return digest.digest()


def _times(times: Sequence[int] | Sequence[int | None]) -> bytes:
    """Times modulo 2**64; those outside the format's range are alike."""
    if isinstance(times, array) and min(times) >= MIN_TIME_NS and max(times) <= MAX_TIME_NS:
        return _column("q", times)
    return _column(
        "Q",
        [
            _NO_TIME if time is None else max(MIN_TIME_NS, min(time, MAX_TIME_NS)) & _MASK64
            for time in times
        ],
    )


def _column(typecode: str, values: Iterable[int]) -> bytes:
    column = array(typecode, values)
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()


def _version_8(raw: bytes) -> bytes:
    """RFC 9562, section 5.8: a UUID whose bits mean what its maker says."""
    value = bytearray(raw)
    value[6] = value[6] & 0x0F | 0x80
    value[8] = value[8] & 0x3F | 0x80
    return bytes(value)
