"""The mappings and contents of system files, as units."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..ondisk.units import Unit
from ..planning.layout import ImagePlan
from ..planning.placement import PlacedFile
from ..planning.system_files import SystemFile
from ..planning.system_files.base import ORPHANS_PURPOSE, QUOTA_PURPOSE, XATTR_VALUE_PURPOSE
from ..planning.system_files.journal import JOURNAL_PURPOSE
from ..planning.system_files.mmp import MMP_PURPOSE
from ..planning.system_files.orphan_file import ORPHAN_FILE_PURPOSE
from .attributes import AttributePacker
from .journal import journal_units

Content = Callable[[ImagePlan, SystemFile, PlacedFile], Iterator[Unit]]


# The modules below are imported late: few images have such files.
def _mmp_units(layout: ImagePlan, file: SystemFile, placed: PlacedFile) -> Iterator[Unit]:
    from .mmp import mmp_units

    return mmp_units(layout, file, placed)


def _orphan_units(layout: ImagePlan, file: SystemFile, placed: PlacedFile) -> Iterator[Unit]:
    from .orphan_file import orphan_units

    return orphan_units(layout, file, placed)


def _quota_units(layout: ImagePlan, file: SystemFile, placed: PlacedFile) -> Iterator[Unit]:
    from .quota import quota_units

    return quota_units(layout, file, placed)


def _xattr_value_units(layout: ImagePlan, file: SystemFile, placed: PlacedFile) -> Iterator[Unit]:
    from .xattr_values import xattr_value_units

    return xattr_value_units(layout, file, placed)


_CONTENT: dict[str, Content] = {
    JOURNAL_PURPOSE: journal_units,
    MMP_PURPOSE: _mmp_units,
    ORPHAN_FILE_PURPOSE: _orphan_units,
    QUOTA_PURPOSE: _quota_units,
    XATTR_VALUE_PURPOSE: _xattr_value_units,
}
"""By purpose: the function that yields the units of the file's nonzero blocks."""


def system_file_units(layout: ImagePlan) -> Iterator[Unit]:
    """Yield the units of all system files, each built without its checksum."""
    for file in layout.system_files:
        placed = layout.placement.system[file.ino]
        yield from file.mapping.units(file.ino, placed.runs, placed.map_blocks)
        content = _CONTENT.get(file.purpose)
        if content is not None:
            yield from content(layout, file, placed)


def system_file_fields(
    layout: ImagePlan, packer: AttributePacker, file: SystemFile
) -> dict[str, int | bytes]:
    """Return the inode fields of a system file that differ from those of the others."""
    if file.purpose == ORPHANS_PURPOSE:
        assert layout.orphans is not None
        return {"i_links_count": 0, "i_dtime": layout.orphans.following().get(file.ino, 0)}
    if file.purpose != XATTR_VALUE_PURPOSE:
        return {}
    from .xattr_values import xattr_value_fields

    return xattr_value_fields(layout, packer, file)


def system_file_i_block(layout: ImagePlan, file: SystemFile) -> bytes:
    """Return ``i_block`` of a system file."""
    placed = layout.placement.system[file.ino]
    return file.mapping.i_block(placed.runs, placed.map_blocks)
