"""Ensures that no output overwrites its own inputs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import compress
from typing import TypeVar

from .content import Content, FileId, id_at
from .errors import OutputError, display_path
from .nodes import IS_REGULAR
from .output.opening import OutputLike, directories_above, name_of, output_id, replaced_path
from .planning.layout import ImagePlan
from .tree import RegularFile, Tree

Place = TypeVar("Place")


def check_output(layout: ImagePlan, output: OutputLike, *, is_part: bool = False) -> None:
    """Raise :class:`OutputError` if the image would overwrite one of its inputs.

    ``is_part`` means that the image is written into an existing file, which is not replaced.
    """
    table = layout.table
    nodes = table.nodes

    def files(size: int) -> Iterator[tuple[int, Content]]:
        if size not in table.sizes and not any(kind.within_file for kind in table.content_kinds):
            return  # saves examining each node
        for index in compress(range(len(nodes)), table.types.translate(IS_REGULAR)):
            content = nodes[index].content  # type: ignore[attr-defined]
            if content.size == size or content.within_file:
                yield index, content

    _check(layout.inputs, files, table.path_of, output, is_part)


def check_output_of_tree(tree: Tree, output: OutputLike) -> None:
    """:func:`check_output` for other outputs that are built from a tree, such as manifests."""

    def files(size: int) -> Iterator[tuple[bytes, Content]]:
        for path, node in tree.walk():
            if isinstance(node, RegularFile) and (
                node.content.size == size or node.content.within_file
            ):
                yield path, node.content

    _check(tree.inputs, files, lambda path: path, output, False)


def _check(
    inputs: Mapping[FileId, bytes],
    files: Callable[[int], Iterable[tuple[Place, Content]]],
    path_of: Callable[[Place], bytes],
    output: OutputLike,
    is_part: bool,
) -> None:
    """Check the inputs that sources have recorded, and the files that are still to be read.

    ``files`` yields the files of the given size in bytes, and all that are parts of larger files.
    """
    found = output_id(output)
    if found is None:
        return
    own, size = found
    if inputs:
        for identity in (own, *directories_above(output, own)):
            if identity in inputs:
                raise _refusal(output, f"the source {display_path(inputs[identity])}")
    asked: set[object] = set()
    for place, content in files(size):
        if content.within_file:
            container = content.container()
            if container in asked:
                continue
            asked.add(container)
        if content.file_id() == own:
            # The content of a replaced file remains under its other names.
            replaced = None if is_part else replaced_path(output)
            if _is_at(content, replaced):
                raise _refusal(output, f"the source of {display_path(path_of(place))}")


def _refusal(output: OutputLike, what: str) -> OutputError:
    return OutputError(name_of(output), f"is {what}; an output does not overwrite its inputs")


def _is_at(content: Content, replaced: bytes | None) -> bool:
    """Whether ``content`` is read from the path ``replaced``."""
    path = content.host_path() if not content.within_file else None
    if replaced is None or path is None:
        return True
    folder, name = os.path.split(os.path.realpath(path))
    own_folder, own_name = os.path.split(replaced)
    return name == own_name and id_at(folder) == id_at(own_folder)
