"""Where trees come from: each source reads one kind of input and returns a ``Tree``.

Only what reads folders is loaded at once. The readers of archives bring decompressors and parsers
along, so they are loaded on first use. No module may have the name of such a function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..edit import filters
from .directory import directory

if TYPE_CHECKING:
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


def __getattr__(name: str) -> Any:
    home: Any
    if name in ("tar", "Limits"):
        from . import tar_archive as home
    elif name == "nar":
        from . import nar_archive as home
    elif name == "manifest":
        from . import manifest_file as home
    elif name == "image":
        from . import ext4_image as home
    elif name in __all__:
        from . import containers as home
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(home, name)


def __dir__() -> list[str]:
    """All names, including those that are not loaded yet."""
    return sorted(__all__)
