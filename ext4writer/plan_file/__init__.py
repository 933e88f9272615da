"""Saves plans to files, so that other processes can execute them later and on other machines."""

from .saved import load, save

__all__ = ["load", "save"]
