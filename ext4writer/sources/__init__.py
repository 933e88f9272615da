"""Where trees come from: each source reads one kind of input and returns a ``Tree``."""

from __future__ import annotations

from . import filters
from .directory import directory
from .manifest import manifest
from .nar import nar
from .oci import ContainerImage, ImageConfig, Platform, docker_archive, oci
from .tar import tar

__all__ = [
    "ContainerImage",
    "ImageConfig",
    "Platform",
    "directory",
    "docker_archive",
    "filters",
    "manifest",
    "nar",
    "oci",
    "tar",
]
