"""Errors in closures."""

from __future__ import annotations

from ..errors import Ext4WriterError, display_path


class NixError(Ext4WriterError):
    """A closure, registration, archive or cache is invalid.

    ``where`` is the store path, or the file and its line.
    """

    def __init__(self, where: str, problem: str) -> None:
        self.where = where
        self.problem = problem
        super().__init__(f"{display_path(where)}: {problem}")
