"""A client of network block devices that follows or violates the protocol."""

from __future__ import annotations

import socket
import struct

from ext4writer.nbd import Server
from ext4writer.nbd.protocol import NBD_OPT_GO, NBD_OPT_STRUCTURED_REPLY


def packed_request(command: int, offset: int, length: int, flags: int = 0) -> bytes:
    return struct.pack(">IHHQQI", 0x25609513, flags, command, 77, offset, length)


class Client:
    """Connects, and does what it is told."""

    chunks = 0
    """The number of chunks received."""
    _held = b""

    def __init__(self, server: Server | str) -> None:
        """``server`` is one in this process, or the path of a socket."""
        self.peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.peer.settimeout(20)
        self.peer.connect(server if isinstance(server, str) else server.address.path)
        assert self.take(18) == b"NBDMAGICIHAVEOPT\0\3"

    def take(self, count: int) -> bytes:
        """The next bytes; raises ``EOFError`` if the connection ends before."""
        data = bytearray(self._held[:count])
        self._held = self._held[count:]
        while len(data) < count:
            piece = self.peer.recv(min(1 << 20, count - len(data)))
            if not piece:
                raise EOFError
            data += piece
        return bytes(data)

    def put_back(self, data: bytes) -> None:
        """Put bytes back, to be taken again."""
        self._held = data

    def flags(self, flags: int = 3) -> None:
        self.peer.sendall(struct.pack(">I", flags))

    def option(self, option: int, data: bytes = b"", length: int | None = None) -> None:
        size = len(data) if length is None else length
        self.peer.sendall(struct.pack(">8sII", b"IHAVEOPT", option, size) + data)

    def option_reply(self) -> tuple[int, bytes]:
        magic, _, kind, length = struct.unpack(">QIII", self.take(20))
        assert magic == 0x3E889045565A9
        return kind, self.take(length)

    def go(self, *, structured: bool = False) -> None:
        self.flags()
        if structured:
            self.option(NBD_OPT_STRUCTURED_REPLY)
            assert self.option_reply() == (1, b"")
        self.option(NBD_OPT_GO, struct.pack(">IH", 0, 0))
        while self.option_reply()[0] != 1:
            pass

    def request(self, command: int, offset: int, length: int, flags: int = 0) -> None:
        self.peer.sendall(packed_request(command, offset, length, flags))

    def simple(self, length: int) -> tuple[int, bytes]:
        magic, error, cookie = struct.unpack(">IIQ", self.take(16))
        assert (magic, cookie) == (0x67446698, 77)
        return error, self.take(0 if error else length)

    def chunk(self) -> tuple[int, int, bytes]:
        magic, flags, kind, cookie, length = struct.unpack(">IHHQI", self.take(20))
        assert (magic, cookie) == (0x668E33EF, 77)
        self.chunks += 1
        return flags, kind, self.take(length)

    def data(self, offset: int, length: int) -> bytes:
        """The data in the chunks of one answer."""
        got, flags = bytearray(b"\xff" * length), 0
        while not flags & 1:
            flags, kind, body = self.chunk()
            [at] = struct.unpack_from(">Q", body)
            assert kind in (1, 2)
            piece = body[8:] if kind == 1 else bytes(*struct.unpack_from(">I", body, 8))
            got[at - offset : at - offset + len(piece)] = piece
        assert len(got) == length
        return bytes(got)

    def is_gone(self) -> bool:
        try:
            return self.peer.recv(1) == b""
        except OSError:
            return True

    def close(self) -> None:
        self.peer.close()
