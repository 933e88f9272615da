"""An unnamed file for data that can be read only once, such as an archive from a pipe."""

from __future__ import annotations

import os
from contextlib import suppress
from types import TracebackType
from typing import BinaryIO, Self

from ext4writer.errors import OutputError
from ext4writer.output.atomic_file import FORBIDDEN


class Spool:
    """Creates the file on first use; the system frees it when its last descriptor is closed.

    ``folder`` is the directory of the image, so that the kernel can copy within one file system.
    None means the directory for temporary files (TMPDIR). The file has no name to remove.
    """

    def __init__(self, folder: str | None) -> None:
        self.folder = folder
        """None until the file is created, if it may be in any directory."""
        self._file: BinaryIO | None = None

    def open(self) -> BinaryIO:
        """Return the file, always the same one; raises :class:`OutputError`."""
        if self._file is None:
            import tempfile  # late: most commands need no such file

            try:
                self._file = self._next_to_the_image()
                if self._file is None:
                    self.folder = tempfile.gettempdir()
                    self._file = tempfile.TemporaryFile(dir=self.folder, buffering=0)  # noqa: SIM115
            except OSError as error:
                # If no directory works, the text of Python's error lists those it tried.
                problem = os.strerror(error.errno or 0) if self.folder else error.strerror
                raise OutputError(
                    self.folder or "TMPDIR", f"a temporary file cannot be created here: {problem}"
                ) from error
        return self._file

    def _next_to_the_image(self) -> BinaryIO | None:
        """Create it in the image's directory; None if only the image can be created there."""
        import tempfile

        if self.folder is None:
            return None
        try:
            return tempfile.TemporaryFile(dir=self.folder, buffering=0)
        except OSError as error:
            if error.errno not in FORBIDDEN:
                raise
            self.folder = None
            return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            # The data is not needed any more, so an error on close does not matter.
            with suppress(OSError):
                self._file.close()
            self._file = None
