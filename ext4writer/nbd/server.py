"""Listens for clients, and serves each one in a separate thread."""

from __future__ import annotations

import errno
import itertools
import os
import socket
import stat
import threading
from contextlib import suppress
from functools import partial
from types import TracebackType

from ..checked import checked
from ..errors import Ext4WriterError, OutputError, SpecError
from ..late_dataclasses import replace
from ..planning.options import Size, converted, size_of
from ..threads import helpers
from ..virtual import VirtualImage
from .address import Address
from .buffers import Buffers
from .connection import Connection, OnError

MOST_CLIENTS = 64
"""Default limit of concurrent connections; more clients wait."""
IDLE_SECONDS = 10.0
"""By default, how long a client may be idle while another one waits."""
HANDSHAKE_SECONDS = 30.0
"""By default, how long the negotiation with a client may take."""
MEMORY = 128 << 20
"""Default memory for replies in bytes, for all clients together."""
SOCKET_BYTES = 1 << 20
SHORTAGES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
TRANSIENT = {errno.ECONNABORTED, errno.EINTR, errno.EPERM, errno.EPROTO} | SHORTAGES
"""accept(2): errors of a single client or temporary errors, after which the server continues."""
PAUSE_SECONDS = 0.1


class Server:
    """A read-only export of one image; its name is empty.

    It listens as soon as it is created. :meth:`run` serves clients until another thread or a signal
    handler calls :meth:`close`. A client that violates the protocol is disconnected, without any
    effect on others.
    """

    @checked("image")
    def __init__(
        self,
        image: VirtualImage,
        address: Address | str,
        *,
        listen_anywhere: bool = False,
        on_error: OnError | None = None,
        most_clients: int = MOST_CLIENTS,
        idle_seconds: float = IDLE_SECONDS,
        handshake_seconds: float = HANDSHAKE_SECONDS,
        memory: Size = MEMORY,
    ) -> None:
        """Listen at ``address``; only this user can connect to a Unix socket.

        ``on_error`` is called with the error for each range that cannot be read, for example
        because its source has changed; calls may come from several threads. Up to ``most_clients``
        are served concurrently. If another client waits and none leaves within ``idle_seconds``,
        the client that has been idle longest is disconnected, unless all of them were active in
        that time. A client that has not finished the negotiation after ``handshake_seconds`` is
        disconnected in any case.

        ``memory``, in bytes or a size such as ``"16M"``, limits the buffers for replies to all
        clients together. Each client has a buffer of up to 1 MiB, the size of chunks in structured
        replies. A larger read with a reply of one message uses memory that is left over. If that is
        not enough, the range is read twice: once to check that it can be read, and once to send it.

        Raises :class:`~ext4writer.SpecError` for an address that other machines can reach unless
        ``listen_anywhere``, and :class:`~ext4writer.OutputError` if nothing can listen there.
        """
        if most_clients < 1:
            raise SpecError("most_clients", "must be 1 or more")
        for name, seconds in (
            ("idle_seconds", idle_seconds),
            ("handshake_seconds", handshake_seconds),
        ):
            if not 0 <= seconds <= threading.TIMEOUT_MAX:
                raise SpecError(name, f"cannot wait for {seconds} seconds")
        self._buffers = Buffers(converted("memory", memory, size_of), most_clients)
        self._image = image
        self._on_error = on_error or _ignore
        given = Address.parse(address) if isinstance(address, str) else address
        if not listen_anywhere:
            given.check_is_local()
        self._listener = _listening(given)
        self.address = given
        """The address at which it listens; port 0 is replaced with the assigned port."""
        if not given.path:
            self.address = replace(given, port=self._listener.getsockname()[1])
        else:
            status = os.stat(given.path)
            self._own = status.st_dev, status.st_ino
        self._lock = threading.Lock()
        self._peers: set[socket.socket] = set()
        self._connections: set[Connection] = set()
        self._activity = itertools.count()
        self._slots = threading.Semaphore(most_clients)
        self._idle_seconds = idle_seconds
        self._handshake_seconds = handshake_seconds
        self._closed = threading.Event()

    @property
    def uri(self) -> str:
        """The NBD URI with which clients connect."""
        return self.address.uri

    def run(self) -> None:
        """Serve clients until the server is closed."""
        while not self._closed.is_set():
            try:
                peer, _ = self._listener.accept()
            except OSError as error:
                if self._closed.is_set() or error.errno not in TRANSIENT:
                    break
                if error.errno in SHORTAGES:
                    # The new client waits until another leaves; connected clients are served.
                    self._closed.wait(PAUSE_SECONDS)
                continue
            connection = Connection(
                peer, self._image, self._on_error, self._activity, self._buffers
            )
            with self._lock:
                self._peers.add(peer)
            self._wait_for_slot()
            with self._lock:
                self._connections.add(connection)
            if self._closed.is_set() or not helpers(partial(self._serve, connection), 1):
                self._leave(connection)

    def _wait_for_slot(self) -> None:
        """Wait until a client leaves, disconnecting idle clients one at a time."""
        disconnected: set[Connection] = set()
        while not self._slots.acquire(blocking=False):
            with self._lock:
                before = {one: one.last_active for one in self._connections - disconnected}
            if self._slots.acquire(timeout=self._idle_seconds):
                return
            idle = [one for one, number in before.items() if one.last_active == number]
            if idle:
                oldest = min(idle, key=before.__getitem__)
                oldest.disconnect()
                disconnected.add(oldest)

    def _serve(self, connection: Connection) -> None:
        try:
            peer = connection.peer
            with suppress(OSError):
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
                if not self.address.path:
                    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.run(self._handshake_seconds)
        finally:
            self._leave(connection)

    def _leave(self, connection: Connection) -> None:
        with self._lock:
            self._connections.discard(connection)
            self._peers.discard(connection.peer)
        connection.peer.close()
        self._slots.release()

    def close(self) -> None:
        """Stop listening, disconnect all clients, and remove the socket."""
        self._closed.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self.address.path:
            with suppress(OSError):
                status = os.stat(self.address.path)
                if (status.st_dev, status.st_ino) == self._own:
                    os.unlink(self.address.path)
        with self._lock:
            peers = list(self._peers)
        for peer in peers:
            with suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _ignore(error: Ext4WriterError) -> None:
    """Do nothing: only the client is informed of the error."""


def _listening(address: Address) -> socket.socket:
    if not address.path:
        try:
            return socket.create_server(
                (address.host, address.port),
                family=socket.AF_INET6 if ":" in address.host else socket.AF_INET,
            )
        except OSError as error:
            problem = f"nothing can listen there: {error.strerror}"
            raise OutputError(f"{address.host}:{address.port}", problem) from error
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        try:
            listener.bind(address.path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not _is_abandoned(address.path):
                raise
            os.unlink(address.path)
            listener.bind(address.path)
        # Nothing can connect before listen(2), so no other user ever can.
        os.chmod(address.path, stat.S_IRUSR | stat.S_IWUSR)
        listener.listen()
    except OSError as error:
        listener.close()
        problem = error.strerror or str(error)
        if error.errno == errno.EADDRINUSE:
            problem = "exists; remove it, or name another socket"
        raise OutputError(address.path, f"nothing can listen there: {problem}") from error
    return listener


def _is_abandoned(path: str) -> bool:
    """Whether ``path`` is a socket at which no process listens."""
    if not stat.S_ISSOCK(os.stat(path, follow_symlinks=False).st_mode):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False
