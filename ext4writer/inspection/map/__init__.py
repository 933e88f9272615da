"""Draws an image: rows are block groups, colours are the uses of blocks.

A drawing depends only on the image and the options. Uses that are too small for a separate cell
get a part of one. The scale is stated.
"""

from __future__ import annotations

from ...progress import Cancel, check_cancelled
from ...read import Image
from .. import usage
from .cells import Scale
from .classes import COLOURS, Classes
from .page import page
from .svg import Drawing

__all__ = ["COLOURS", "draw_html", "draw_svg"]


def draw_svg(image: Image, *, by: str = "file", cancel: Cancel | None = None) -> str:
    """Return a drawing of ``image`` as SVG for light and dark themes.

    ``by``, one of :data:`COLOURS`, determines the colours of files. Raises ValueError for another,
    :class:`~ext4writer.CancelledError`.
    """
    return _drawing(image, by, {} if by != "directory" else _paths(image, cancel)).as_svg()


def draw_html(image: Image, *, by: str = "file", cancel: Cancel | None = None) -> str:
    """Return a self-contained HTML page: the drawing, with details at the pointer and a search.

    The search finds paths, inodes and blocks. See :func:`draw_svg` for the arguments.
    """
    paths = _paths(image, cancel)
    return page(image, _drawing(image, by, paths), paths)


def _drawing(image: Image, by: str, paths: dict[int, bytes]) -> Drawing:
    fmt = image.format
    used = usage.usage(image)
    count = image.blocks_count - fmt.first_data_block
    # A journal device has no groups.
    per_group = count if fmt.journal_dev else fmt.clusters_per_group * fmt.blocks_per_cluster
    scale = Scale.of(fmt.first_data_block, count, per_group)
    return Drawing(image, used, scale, Classes(image, used.uses, paths, by))


def _paths(image: Image, cancel: Cancel | None) -> dict[int, bytes]:
    """Return inode -> its first path."""
    if image.format.journal_dev:
        return {}
    paths = {image.root.ino: b"/"}
    for found in image.walk():
        check_cancelled(cancel)
        paths.setdefault(found.inode.ino, found.path)
    return paths
