"""Stores the nodes of a planned image as columns, limited to what writing the image requires."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import Any

from ..attributes import OTHER_TIMES
from ..content import Content
from ..planning.inodes import InodeTable
from ..tree import (
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFLNK,
    S_IFREG,
    S_IFSOCK,
    BlockDevice,
    CharacterDevice,
    Device,
    Directory,
    Fifo,
    Node,
    RegularFile,
    Socket,
    Symlink,
)
from .contents import CONTENTS
from .values import Json, Packer, Unpacker, UnsavableError

PERMISSIONS = 0o7777


def pack_nodes(packer: Packer, table: InodeTable) -> Json:
    """Return contents by class, symlink targets and device numbers.

    The columns of ``table`` contain the rest. Raises :class:`UnsavableError` with the path of a
    file whose content cannot be saved.
    """
    by_class: dict[type[Content], tuple[list[int], list[Content]]] = {}
    for index in table.indexes_of(S_IFREG):
        node = table.nodes[index]
        assert isinstance(node, RegularFile)
        indexes, contents = by_class.setdefault(type(node.content), ([], []))
        indexes.append(index)
        contents.append(node.content)
    packed = {}
    for kind, (indexes, contents) in by_class.items():
        if kind not in CONTENTS:
            path = table.path_of(indexes[0])
            raise UnsavableError(f"the content of {_shown(path)} exists only in this process")
        name, fields, _ = CONTENTS[kind]
        try:
            columns = [
                packer.values(list(column)) for column in zip(*map(fields, contents), strict=True)
            ]
        except UnsavableError:
            _raise_with_path(packer, table, indexes, contents)
            raise
        packed[name] = [packer.values(indexes), columns]
    devices = sorted([*table.indexes_of(S_IFCHR), *table.indexes_of(S_IFBLK)])
    numbers = [_numbers(table.nodes[index]) for index in devices]
    return {
        "contents": packed,
        "targets": packer.values(
            [_target(table.nodes[index]) for index in table.indexes_of(S_IFLNK)]
        ),
        "devices": packer.values([number for both in numbers for number in both]),
    }


def _raise_with_path(
    packer: Packer, table: InodeTable, indexes: list[int], contents: list[Content]
) -> None:
    """Raise the error of the first file whose content cannot be saved, with its path."""
    for index, content in zip(indexes, contents, strict=True):
        try:
            packer.value(content)
        except UnsavableError as error:
            path = _shown(table.path_of(index))
            raise UnsavableError(f"the content of {path} {error}") from None


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def _numbers(node: Node) -> tuple[int, int]:
    assert isinstance(node, Device)
    return node.major, node.minor


def _target(node: Node) -> bytes:
    assert isinstance(node, Symlink)
    return node.target


def unpack_nodes(unpacker: Unpacker, packed: Json, table: InodeTable) -> list[Node]:
    """Return the nodes of ``table``, whose columns are complete. Directories get no children."""
    contents: list[Content | None] = [None] * len(table.types)
    makers = {name: make for name, _, make in CONTENTS.values()}
    for name, (indexes, columns) in packed["contents"].items():
        rows = zip(*map(unpacker.value, columns), strict=True)
        make = makers[name]
        for index, row in zip(unpacker.value(indexes), rows, strict=True):
            contents[index] = make(*row)
    table.content_kinds = {type(content) for content in contents if content is not None}
    targets = iter(unpacker.value(packed["targets"]))
    numbers = iter(unpacker.value(packed["devices"]))
    plain: dict[int, type[Node]] = {S_IFDIR: Directory, S_IFIFO: Fifo, S_IFSOCK: Socket}
    devices: dict[int, type[Device]] = {S_IFCHR: CharacterDevice, S_IFBLK: BlockDevice}
    nodes: list[Node] = []
    for code, content, attributes in zip(table.types, contents, _attributes(table), strict=True):
        kind = code << 12
        if kind == S_IFREG:
            if content is None:
                raise ValueError("a file has no content")
            nodes.append(RegularFile(content, **attributes))
        elif kind == S_IFLNK:
            nodes.append(Symlink(next(targets), **attributes))
        elif kind in devices:
            nodes.append(devices[kind](next(numbers), next(numbers), **attributes))
        else:
            nodes.append(plain[kind](**attributes))
    return nodes


def _attributes(table: InodeTable) -> Iterator[dict[str, Any]]:
    others = [table.other_times.get(row.name, repeat(None)) for row in OTHER_TIMES]
    names = [row.name for row in OTHER_TIMES]
    columns = zip(table.modes, table.uids, table.gids, table.mtimes, strict=True)
    for (mode, uid, gid, mtime), *times in zip(columns, *others, strict=False):
        yield {
            "mode": mode & PERMISSIONS,
            "uid": uid,
            "gid": gid,
            "mtime_ns": mtime,
            **dict(zip(names, times, strict=True)),
        }
