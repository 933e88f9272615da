"""The output that serves an image instead of writing it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import click

from ext4writer import Layout
from ext4writer.errors import Ext4WriterError
from ext4writer.nbd import Address, Server
from ext4writer.nbd.buffers import Buffers
from ext4writer.nbd.server import MEMORY, MOST_CLIENTS
from ext4writer.progress import Cancel

from .output import Stored

POLL_SECONDS = 0.2


class ServedOutput:
    """A network block device as the output of a command, served until a signal arrives."""

    is_stream = False
    writes_journal = False
    spool_folder: str | None = None
    offset = 0

    def __init__(
        self, address: str, *, listen_anywhere: bool, quiet: bool, memory: int | None = None
    ) -> None:
        """``memory`` is the number of bytes for the replies to all clients together.

        Raises ``SpecError`` for an invalid address, too little memory, or, without
        ``listen_anywhere``, an address that other machines can reach.
        """
        self._address = Address.parse(address)
        if not listen_anywhere:
            self._address.check_is_local()
        self._listen_anywhere = listen_anywhere
        self._quiet = quiet
        self._memory = MEMORY if memory is None else memory
        Buffers(self._memory, MOST_CLIENTS)  # refuses too little memory before any work is done

    @property
    def name(self) -> str:
        return self._address.uri

    def identity_test(self, source: str) -> Callable[[os.stat_result], bool] | None:  # noqa: ARG002
        """None: only regular files are left out of sources, and a socket is not one."""
        return None

    def refuse_inputs(self, paths: Iterable[str]) -> None:
        """Do nothing: no file is written, so no input can be overwritten."""

    def available_bytes(self, what: str) -> int:
        raise click.UsageError(f"--size {what} needs an --output that is a file or a device")

    def write(
        self,
        layout: Layout,
        *,
        overrides: Any = (),
        cancel: Cancel | None = None,
        **options: Any,  # noqa: ARG002 (processes and progress are for writing)
    ) -> Stored:
        """Serve until ``cancel`` is set; print the address once clients can connect."""
        with (
            layout.open(overrides=overrides) as image,
            Server(
                image,
                self._address,
                listen_anywhere=self._listen_anywhere,
                on_error=_complain,
                memory=self._memory,
            ) as server,
        ):
            thread = threading.Thread(target=server.run, daemon=True)
            thread.start()
            if not self._quiet:
                click.echo(f"{server.uri}: {image.size} bytes, read-only")
            while thread.is_alive() and not (cancel is not None and cancel.is_set()):
                thread.join(POLL_SECONDS)
            server.close()
            thread.join()
        return Stored(layout.size_bytes, 0, None)


def _complain(error: Ext4WriterError) -> None:
    with suppress(OSError):
        click.echo(f"ext4writer: {error}", err=True)
