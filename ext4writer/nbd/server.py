"""Listens, and serves each client in a thread of its own."""

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
from ..planning.options import Size, size_of, taken
from ..threads import helpers
from ..virtual import VirtualImage
from .address import Address
from .buffers import Buffers
from .connection import Connection, OnError

MOST_CLIENTS = 64
"""Connections at once, by default; more of them wait."""
IDLE_SECONDS = 10.0
"""How long a client may do nothing, by default, while another one waits for its place."""
HANDSHAKE_SECONDS = 30.0
"""How long a client may take, by default, until it can read."""
MEMORY = 128 << 20
"""Bytes in which answers are made, by default, for all clients together."""
SOCKET_BYTES = 1 << 20
SHORTAGES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
PASSING = {errno.ECONNABORTED, errno.EINTR, errno.EPERM, errno.EPROTO} | SHORTAGES
"""accept(2): errors of one client or of the moment, after which the next one may be served."""
PAUSE_SECONDS = 0.1


class Server:
    """A read-only export of one image; its name is empty.

    It listens once it is made. :meth:`run` serves clients until :meth:`close` is called, from
    another thread or by a signal. A client that breaks the protocol is sent away, and no other
    notices.
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
        """Listen at ``address``; a unix socket can be used by this user alone.

        ``on_error`` hears of each range that cannot be read, such as one whose source has changed;
        it may be called from several threads. Up to ``most_clients`` are served at once. If another
        one waits, and within ``idle_seconds`` none of them leaves, then the one that has been idle
        for longest is sent away, unless all of them asked for something in that time. A client that
        has not come to an agreement after ``handshake_seconds`` is sent away in any case.

        Answers are made in ``memory`` bytes, or a size such as ``"16M"``, for all clients together,
        of which each has up to 1 MiB for itself. Structured replies come in chunks of that size.
        A larger read whose answer has to be one message takes what the others leave, or is read
        twice if that is not enough: once to see that all of it can be read, and once to be sent.

        Raises :class:`~ext4writer.SpecError` for an address that other machines reach unless
        ``listen_anywhere``, and :class:`~ext4writer.OutputError` if nothing can listen there.
        """
        if most_clients < 1:
            raise SpecError("most_clients", "must be 1 or more")
        for name, seconds in (
            ("idle_seconds", idle_seconds),
            ("handshake_seconds", handshake_seconds),
        ):
            if not 0 <= seconds <= threading.TIMEOUT_MAX:
                raise SpecError(name, f"{seconds} is no number of seconds that can be waited for")
        self._buffers = Buffers(taken("memory", memory, size_of), most_clients)
        self._image = image
        self._on_error = on_error or _ignore
        given = Address.parse(address) if isinstance(address, str) else address
        if not listen_anywhere:
            given.check_is_local()
        self._listener = _listening(given)
        self.address = given
        """Where it listens, with the port that was chosen for port 0."""
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
        """What clients take to connect."""
        return self.address.uri

    def run(self) -> None:
        """Serve clients until the server is closed."""
        while not self._closed.is_set():
            try:
                peer, _ = self._listener.accept()
            except OSError as error:
                if self._closed.is_set() or error.errno not in PASSING:
                    break
                if error.errno in SHORTAGES:
                    # The client waits until another has left; those that are there go on.
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
        """Wait until a client leaves, or send away those that are idle, one after the other."""
        sent_away: set[Connection] = set()
        while not self._slots.acquire(blocking=False):
            with self._lock:
                before = {one: one.last_active for one in self._connections - sent_away}
            if self._slots.acquire(timeout=self._idle_seconds):
                return
            idle = [one for one, number in before.items() if one.last_active == number]
            if idle:
                oldest = min(idle, key=before.__getitem__)
                oldest.hang_up()
                sent_away.add(oldest)

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
        """Stop listening, send all clients away, and remove the socket."""
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
    """For whom errors of ranges are the client's affair."""


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
        # Nothing can connect before it listens, so no one else ever could.
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
    """Whether ``path`` is a socket at which no process listens any more."""
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
