"""Which files of the host an image is made of, so that none of them becomes the image."""

from __future__ import annotations

import os
from collections.abc import Sequence

from .content import Content, FileId, id_at
from .errors import display_path
from .plan.layout import Layout
from .tree import S_IFREG, RegularFile


def name_of_input(
    layout: Layout, wanted: Sequence[FileId], size: int, replaced: bytes | None = None
) -> str | None:
    """What a file is in an image; None if nothing.

    ``wanted`` identifies the file, which has ``size`` bytes now, and the folders above it. Sources
    say what they have read. A whole file whose content is still to be read is asked for only where
    it has the right size, so that few are. Where another file takes the place of this one at the
    path ``replaced``, it stays what it is under its further names, which may be in a source.
    """
    for identity in wanted:
        if identity in layout.inputs:
            return f"the source {display_path(layout.inputs[identity])}"
    nodes, sizes = layout.table.nodes, layout.table.sizes
    asked: set[object] = set()
    for index in layout.table.indexes_of(S_IFREG):
        node = nodes[index]
        assert isinstance(node, RegularFile)
        content = node.content
        container = content.container
        if container is None:
            if sizes[index] != size:
                continue
        elif container in asked:
            continue
        else:
            asked.add(container)
        if content.file_id() == wanted[0] and _is_at(content, replaced):
            return f"the source of {display_path(layout.table.path_of(index))}"
    return None


def _is_at(content: Content, replaced: bytes | None) -> bool:
    """Whether the name ``replaced`` is the one under which ``content`` is read."""
    path = content.host_path() if content.container is None else None
    if replaced is None or path is None:
        return True
    folder, name = os.path.split(os.path.realpath(path))
    own_folder, own_name = os.path.split(replaced)
    return name == own_name and id_at(folder) == id_at(own_folder)
