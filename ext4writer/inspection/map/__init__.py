"""Draws an image: block groups as rows, what uses the blocks as colours.

A drawing depends on the image and the options alone. What is too small for a cell of its own is
drawn as its part of one, and the scale is said.
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
    """Return a drawing of ``image`` as SVG for a page, for light and dark themes.

    Files are coloured ``by`` one of :data:`COLOURS`; ValueError for another.
    """
    return _drawing(image, by, {} if by != "directory" else _paths(image, cancel)).as_svg()


def draw_html(image: Image, *, by: str = "file", cancel: Cancel | None = None) -> str:
    """Return a page that needs nothing else: the drawing, and what lies under the pointer.

    Paths, inodes and blocks can be searched for. See :func:`draw_svg`.
    """
    paths = _paths(image, cancel)
    return page(image, _drawing(image, by, paths), paths)


def _drawing(image: Image, by: str, paths: dict[int, bytes]) -> Drawing:
    fmt = image.format
    used = usage.usage(image)
    count = image.blocks_count - fmt.first_data_block
    # A journal in a device of its own has no groups.
    per_group = count if fmt.journal_dev else fmt.clusters_per_group * fmt.blocks_per_cluster
    scale = Scale.of(fmt.first_data_block, count, per_group)
    return Drawing(image, used, scale, Classes(image, used.uses, paths, by))


def _paths(image: Image, cancel: Cancel | None) -> dict[int, bytes]:
    """The first path of each inode that has one."""
    if image.format.journal_dev:
        return {}
    paths = {image.root.ino: b"/"}
    for found in image.walk():
        check_cancelled(cancel)
        paths.setdefault(found.inode.ino, found.path)
    return paths
