"""What can be wrong with a closure."""

from __future__ import annotations

from ..errors import Ext4WriterError, display_path


class NixError(Ext4WriterError):
    """A closure, registration, archive or cache is not what it has to be.

    ``where`` names the store path, or the file with its line.
    """

    def __init__(self, where: str, problem: str) -> None:
        self.where = where
        self.problem = problem
        super().__init__(f"{display_path(where)}: {problem}")
