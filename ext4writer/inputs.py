"""Sees to it that nothing is written over what it is made of."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from .content import Content, FileId, id_at
from .errors import OutputError, display_path
from .output.opening import Output, name_of, output_id, replaced_path
from .plan.layout import Layout
from .tree import S_IFREG, RegularFile, Tree

Place = TypeVar("Place")


def check_output(layout: Layout, output: Output, *, is_part: bool = False) -> None:
    """Raise :class:`OutputError` if the image would be written over what it is made of.

    ``is_part`` says that it goes into an existing file, which no other one takes the place of.
    """
    nodes = layout.table.nodes
    files = (
        (index, node.content)
        for index in layout.table.indexes_of(S_IFREG)
        if isinstance(node := nodes[index], RegularFile)
    )
    _check(layout.inputs, files, layout.table.path_of, output, is_part)


def check_output_of_tree(tree: Tree, output: Output) -> None:
    """The same for what is written of a tree, such as a manifest."""
    files = ((path, node.content) for path, node in tree.walk() if isinstance(node, RegularFile))
    _check(tree.inputs, files, lambda path: path, output, False)


def _check(
    inputs: Mapping[FileId, bytes],
    files: Iterable[tuple[Place, Content]],
    path_of: Callable[[Place], bytes],
    output: Output,
    is_part: bool,
) -> None:
    """Sources say what they have read; files whose content is still to be read are asked.

    A whole file is asked only where it has the right size, so that few are.
    """
    found = output_id(output)
    if found is None:
        return
    wanted, size = found
    for identity in wanted:
        if identity in inputs:
            raise _refusal(output, f"the source {display_path(inputs[identity])}")
    # Where another file takes the place of this one, it stays what it is by its other names.
    replaced = None if is_part else replaced_path(output)
    asked: set[object] = set()
    for place, content in files:
        container = content.container
        if container is None:
            if content.size != size:
                continue
        elif container in asked:
            continue
        else:
            asked.add(container)
        if content.file_id() == wanted[0] and _is_at(content, replaced):
            raise _refusal(output, f"the source of {display_path(path_of(place))}")


def _refusal(output: Output, what: str) -> OutputError:
    return OutputError(
        name_of(output), f"is {what}; an output is not written over what it is made of"
    )


def _is_at(content: Content, replaced: bytes | None) -> bool:
    """Whether the name ``replaced`` is the one under which ``content`` is read."""
    path = content.host_path() if content.container is None else None
    if replaced is None or path is None:
        return True
    folder, name = os.path.split(os.path.realpath(path))
    own_folder, own_name = os.path.split(replaced)
    return name == own_name and id_at(folder) == id_at(own_folder)
