"""A planned image as a readable object, without writing it."""

from .extents import Extent, ExtentKind
from .image import VirtualImage
from .parts import Part

__all__ = ["Extent", "ExtentKind", "Part", "VirtualImage"]
