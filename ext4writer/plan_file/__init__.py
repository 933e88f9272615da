"""A plan as a file: saved by one process, carried out by others, on other days and machines."""

from .saved import load, save

__all__ = ["load", "save"]
