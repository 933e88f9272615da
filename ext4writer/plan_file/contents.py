"""Stores the contents of files as values from which another process can read them."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..content import BytesContent, Content, PathContent, Stamp
from ..slices import FileSliceContent, HeldFile, PathSliceContent, SparseContent
from ..sources.ext4_image import MappedContent
from ..sources.host import HostDirectory, HostFile, host_directory, join
from ..sources.manifest_content import CheckedContent
from ..sources.nar_archive import NarFile
from ..zeros_content import ZerosContent
from .values import UnsavableError

Fields = Callable[[Any], Sequence[Any]]


def absolute(path: bytes) -> bytes:
    """Return ``path`` as an absolute path, which is valid in any working directory."""
    return path if os.path.isabs(path) else join(os.getcwdb(), path)


def _of_folder(folder: HostDirectory) -> Sequence[Any]:
    paths = [step.path for step in folder.steps()]
    first = absolute(paths[0])
    return folder.top_of_all() + len(first) - len(paths[0]), first, *paths[1:]


def _of_held_file(file: HeldFile) -> Sequence[Any]:
    if not file.has_its_path():
        raise UnsavableError(
            "is in a temporary file, or its source is gone; unpack sources first that are "
            "compressed, piped or containers of archives"
        )
    return absolute(file.path), *file.remembered()


def _path_content(path: bytes, size: int, stamp: Stamp | None, declared: bool) -> PathContent:
    content = PathContent(path, size)
    content.stamp, content._declared = stamp, declared
    return content


def _of_mapped(content: MappedContent) -> Sequence[Any]:
    if not isinstance(content.holder, HeldFile):
        raise UnsavableError("is in an image that is not a file on the host")
    return content.holder, content.size, content.pieces


def _mapped(holder: HeldFile, size: int, pieces: array[int]) -> MappedContent:
    return MappedContent(holder, size, pieces)


CONTENTS: Mapping[type[Content], tuple[str, Fields, Callable[..., Content]]] = {
    BytesContent: ("BytesContent", lambda one: (one.data,), BytesContent),
    ZerosContent: ("ZerosContent", lambda one: (one.size,), ZerosContent),
    HostFile: (
        "HostFile",
        lambda one: (one.folder, one.name, one.size, one.stamp),
        HostFile,
    ),
    PathContent: (
        "PathContent",
        lambda one: (absolute(one.path), one.size, one.stamp, one._declared),
        _path_content,
    ),
    FileSliceContent: (
        "FileSliceContent",
        lambda one: (one.file, one.offset, one.size),
        FileSliceContent,
    ),
    PathSliceContent: (
        "PathSliceContent",
        lambda one: (absolute(one.path), one.offset, one.size),
        PathSliceContent,
    ),
    SparseContent: (
        "SparseContent",
        lambda one: (one.data, one.size, one.segments),
        SparseContent,
    ),
    NarFile: (
        "NarFile",
        lambda one: (
            absolute(one.archive),
            one.archive_size,
            one.archive_stamp,
            one.offset,
            one.size,
        ),
        NarFile,
    ),
    CheckedContent: (
        "CheckedContent",
        lambda one: (one.content, one.name, one.expected),
        CheckedContent,
    ),
    MappedContent: ("MappedContent", _of_mapped, _mapped),
}
"""Class -> (name in a file, function that returns the values of its fields, constructor)."""

SHARED: Mapping[type, tuple[str, Fields, Callable[..., Any]]] = {
    HostDirectory: ("HostDirectory", _of_folder, host_directory),
    HeldFile: ("HeldFile", _of_held_file, HeldFile.reopened),
}
"""The same for objects that many contents share."""
