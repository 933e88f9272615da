"""A planned image as an object: any of its bytes, before it is written."""

from .extents import Extent, ExtentKind
from .image import VirtualImage
from .parts import Part

__all__ = ["Extent", "ExtentKind", "Part", "VirtualImage"]
