"""Sources of trees: each function reads one kind of input and returns a ``Tree``.

Only the reader of directories is loaded immediately. The others need decompressors and parsers, so
they are loaded on first use. No module may have the name of a function that is loaded so.
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


# Hidden from type checkers, which would accept any name otherwise.
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
    """All names, including those not loaded yet."""
    return sorted(__all__)
