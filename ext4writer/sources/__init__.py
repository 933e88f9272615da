"""Where trees come from: each source reads one kind of input and returns a ``Tree``.

Only what reads folders is loaded at once. The readers of archives bring decompressors and parsers
along, so they are loaded on first use. No module may have the name of such a function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..late import late_names, names_by_home
from .directory import directory

if TYPE_CHECKING:
    from ..edit import filters
    from .containers import ContainerImage, ImageConfig, Platform, docker_archive, oci
    from .ext4_image import image
    from .manifest_file import manifest
    from .nar_archive import nar
    from .tar_archive import Limits, tar

__all__ = [
    "ContainerImage",
    "ImageConfig",
    "Limits",
    "Platform",
    "directory",
    "docker_archive",
    "filters",
    "image",
    "manifest",
    "nar",
    "oci",
    "tar",
]


# Not seen by type checkers, which would take any name for granted.
if not TYPE_CHECKING:
    __getattr__ = late_names(
        __name__,
        names_by_home(
            {
                ".edit": "filters",
                "containers": "ContainerImage ImageConfig Platform docker_archive oci",
                "ext4_image": "image",
                "manifest_file": "manifest",
                "nar_archive": "nar",
                "tar_archive": "Limits tar",
            }
        ),
    )


def __dir__() -> list[str]:
    """All names, including those that are not loaded yet."""
    return sorted(__all__)
