"""The connection with one client, from the greeting to the end."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import chain

from ..errors import Ext4WriterError
from ..spans import Run
from ..virtual import VirtualImage
from .buffers import Buffers
from .protocol import (
    BASE_ALLOCATION,
    BASE_ALLOCATION_ID,
    CHUNK,
    CLIENT_FLAGS,
    ERROR,
    ERROR_OFFSET,
    EXPORT,
    GREETING,
    INFO_BLOCK_SIZE,
    INFO_EXPORT,
    INIT_MAGIC,
    NAME_MOST,
    NBD_CMD_BLOCK_STATUS,
    NBD_CMD_CACHE,
    NBD_CMD_DISC,
    NBD_CMD_FLAG_DF,
    NBD_CMD_FLAG_REQ_ONE,
    NBD_CMD_FLUSH,
    NBD_CMD_READ,
    NBD_CMD_TRIM,
    NBD_CMD_WRITE,
    NBD_CMD_WRITE_ZEROES,
    NBD_EINVAL,
    NBD_EIO,
    NBD_EOVERFLOW,
    NBD_EPERM,
    NBD_FLAG_CAN_MULTI_CONN,
    NBD_FLAG_FIXED_NEWSTYLE,
    NBD_FLAG_HAS_FLAGS,
    NBD_FLAG_NO_ZEROES,
    NBD_FLAG_READ_ONLY,
    NBD_FLAG_SEND_CACHE,
    NBD_FLAG_SEND_DF,
    NBD_FLAG_SEND_FLUSH,
    NBD_INFO_BLOCK_SIZE,
    NBD_INFO_EXPORT,
    NBD_OPT_ABORT,
    NBD_OPT_EXPORT_NAME,
    NBD_OPT_GO,
    NBD_OPT_INFO,
    NBD_OPT_LIST,
    NBD_OPT_LIST_META_CONTEXT,
    NBD_OPT_SET_META_CONTEXT,
    NBD_OPT_STRUCTURED_REPLY,
    NBD_REP_ACK,
    NBD_REP_ERR_INVALID,
    NBD_REP_ERR_TOO_BIG,
    NBD_REP_ERR_UNKNOWN,
    NBD_REP_ERR_UNSUP,
    NBD_REP_INFO,
    NBD_REP_META_CONTEXT,
    NBD_REP_SERVER,
    NBD_REPLY_FLAG_DONE,
    NBD_REPLY_TYPE_BLOCK_STATUS,
    NBD_REPLY_TYPE_ERROR,
    NBD_REPLY_TYPE_ERROR_OFFSET,
    NBD_REPLY_TYPE_NONE,
    NBD_REPLY_TYPE_OFFSET_DATA,
    NBD_REPLY_TYPE_OFFSET_HOLE,
    NBD_STATE_HOLE,
    NBD_STATE_ZERO,
    OFFSET_DATA,
    OFFSET_HOLE,
    OPTION,
    OPTION_MAGIC,
    OPTION_REPLY,
    OPTION_REPLY_MAGIC,
    REQUEST,
    REQUEST_MAGIC,
    SIMPLE_REPLY,
    SIMPLE_REPLY_MAGIC,
    STATUS,
    STRUCTURED_REPLY_MAGIC,
    U16,
    U32,
)

LEAST_BLOCK = 1
LARGEST_READ = 32 << 20
"""Most bytes of one read that the protocol guarantees to clients."""
LARGEST_OPTION = 64 << 10
"""Most bytes of an option that are processed; longer options are skipped or end the connection."""
LONGEST_SKIPPED = 32 << 20
MOST_OPTIONS = 1000
LEAST_HOLE = 32 << 10
"""Fewest bytes of zeros that are sent as a hole in a separate chunk."""
MOST_TOGETHER = 256
"""Most requests answered with one sendmsg(2), each with a header and data. Linux accepts at most
1024 pieces (``UIO_MAXIOV``)."""
RECEIVED = 16 << 10
"""Bytes requested from the socket in one call: hundreds of requests."""
MOST_EXTENTS = 1 << 16
"""Most extents in one reply to a block status request."""

FLAGS = (
    NBD_FLAG_HAS_FLAGS
    | NBD_FLAG_READ_ONLY
    | NBD_FLAG_SEND_FLUSH
    | NBD_FLAG_SEND_DF
    | NBD_FLAG_CAN_MULTI_CONN
    | NBD_FLAG_SEND_CACHE
)

Range = tuple[int, int, int]
"""A read request: cookie, offset in bytes, length in bytes."""
OnError = Callable[[Ext4WriterError], object]


class DisconnectedError(Exception):
    """The client has disconnected, or sent something that cannot be interpreted."""


class Connection:
    """Serves one client; :meth:`run` returns when the connection ends, for whatever reason."""

    def __init__(
        self,
        peer: socket.socket,
        image: VirtualImage,
        on_error: OnError,
        activity: Iterator[int],
        buffers: Buffers,
    ) -> None:
        """``on_error`` is called with the error for each range that cannot be read.

        ``activity`` yields ascending numbers, one for each action of any client; ``buffers`` are
        shared by all clients.
        """
        self.peer = peer
        self.last_active = next(activity)
        """The number of the last request received or reply sent."""
        self._activity = activity
        self._image = image
        self._on_error = on_error
        self._structured = False
        self._allocation_negotiated = False
        self._has_no_zeroes = False
        self._buffers = buffers
        self._buffer: memoryview | None = None
        """Allocated for the first reply that needs it."""
        self._received = bytearray()
        """Bytes received and not yet processed."""

    def run(self, handshake_seconds: float) -> None:
        """Serve the client until it leaves; the negotiation may last ``handshake_seconds``."""
        with suppress(DisconnectedError, OSError):
            # A timeout of the socket would restart with every byte.
            limit = threading.Timer(handshake_seconds, self.disconnect)
            limit.daemon = True
            with suppress(RuntimeError):  # "can't start new thread"
                limit.start()
            try:
                reads = self._negotiate()
            finally:
                limit.cancel()
            while reads:
                reads = self._answer()
                self.last_active = next(self._activity)

    def disconnect(self) -> None:
        """End the connection; called from another thread."""
        with suppress(OSError):
            self.peer.shutdown(socket.SHUT_RDWR)

    # -- negotiation -----------------------------------------------------------------------------

    def _negotiate(self) -> bool:
        """Negotiate options; return whether transmission begins."""
        flags = NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES
        self.peer.sendall(GREETING.pack(INIT_MAGIC, OPTION_MAGIC, flags))
        [given] = CLIENT_FLAGS.unpack(self._receive(CLIENT_FLAGS.size))
        if given & ~flags or not given & NBD_FLAG_FIXED_NEWSTYLE:
            return False
        self._has_no_zeroes = bool(given & NBD_FLAG_NO_ZEROES)
        for _ in range(MOST_OPTIONS):
            magic, option, length = OPTION.unpack(self._receive(OPTION.size))
            if magic != OPTION_MAGIC:
                return False
            if length > LARGEST_OPTION:
                if length > LONGEST_SKIPPED or option == NBD_OPT_EXPORT_NAME:
                    return False
                self._skip(length)
                self._reply(option, NBD_REP_ERR_TOO_BIG)
                continue
            data = self._receive(length)
            if option == NBD_OPT_EXPORT_NAME:
                return self._export_by_name(data)
            if option == NBD_OPT_ABORT:
                self._reply(option, NBD_REP_ACK)
                return False
            if self._handle_option(option, data):
                return True
        return False

    def _handle_option(self, option: int, data: bytes) -> bool:
        """Reply to one option; return whether transmission begins."""
        if option == NBD_OPT_LIST:
            if data:
                self._reply(option, NBD_REP_ERR_INVALID)
            else:
                self._reply(option, NBD_REP_SERVER, U32.pack(0))
                self._reply(option, NBD_REP_ACK)
        elif option == NBD_OPT_STRUCTURED_REPLY:
            self._structured = self._structured or not data
            self._reply(option, NBD_REP_ERR_INVALID if data else NBD_REP_ACK)
        elif option in (NBD_OPT_INFO, NBD_OPT_GO):
            return self._reply_export(option, data)
        elif option in (NBD_OPT_LIST_META_CONTEXT, NBD_OPT_SET_META_CONTEXT):
            self._reply_contexts(option, data)
        else:
            self._reply(option, NBD_REP_ERR_UNSUP)
        return False

    def _export_by_name(self, name: bytes) -> bool:
        if name:
            return False  # this option has no error reply
        head = EXPORT.pack(self._image.size, FLAGS)
        self.peer.sendall(head if self._has_no_zeroes else head + bytes(124))
        return True

    def _reply_export(self, option: int, data: bytes) -> bool:
        """Reply to NBD_OPT_INFO or NBD_OPT_GO; return whether transmission begins."""
        try:
            name, rest = _string(data)
            [count] = U16.unpack_from(rest)
            well_formed = len(rest) == U16.size * (1 + count)
        except ValueError:
            well_formed = False
        if not well_formed:
            self._reply(option, NBD_REP_ERR_INVALID)
            return False
        if name:
            self._reply(option, NBD_REP_ERR_UNKNOWN, b"the only export has an empty name")
            return False
        export = INFO_EXPORT.pack(NBD_INFO_EXPORT, self._image.size, FLAGS)
        self._reply(option, NBD_REP_INFO, export)
        sizes = INFO_BLOCK_SIZE.pack(
            NBD_INFO_BLOCK_SIZE, LEAST_BLOCK, max(4096, self._image.block_size), LARGEST_READ
        )
        self._reply(option, NBD_REP_INFO, sizes)
        self._reply(option, NBD_REP_ACK)
        return option == NBD_OPT_GO

    def _reply_contexts(self, option: int, data: bytes) -> None:
        try:
            name, rest = _string(data)
            queries = _queries(rest)
        except ValueError:
            self._reply(option, NBD_REP_ERR_INVALID)
            return
        if name:
            self._reply(option, NBD_REP_ERR_UNKNOWN)
            return
        if option == NBD_OPT_SET_META_CONTEXT:
            if not self._structured:
                self._reply(option, NBD_REP_ERR_INVALID)
                return
            matches = BASE_ALLOCATION in queries
            self._allocation_negotiated = matches
        else:
            matches = not queries or bool({BASE_ALLOCATION, b"base:"} & set(queries))
        if matches:
            number = U32.pack(BASE_ALLOCATION_ID)
            self._reply(option, NBD_REP_META_CONTEXT, number + BASE_ALLOCATION)
        self._reply(option, NBD_REP_ACK)

    def _reply(self, option: int, kind: int, data: bytes = b"") -> None:
        head = OPTION_REPLY.pack(OPTION_REPLY_MAGIC, option, kind, len(data))
        self.peer.sendall(head + data)

    # -- transmission ----------------------------------------------------------------------------

    def _answer(self) -> bool:
        """Reply to one request; return whether there may be another."""
        magic, flags, command, cookie, offset, length = REQUEST.unpack(self._receive(REQUEST.size))
        self.last_active = next(self._activity)
        if magic != REQUEST_MAGIC or command == NBD_CMD_DISC:
            return False
        if command == NBD_CMD_WRITE:
            # The client must not write to a read-only export, but its data follows nevertheless.
            if length > LONGEST_SKIPPED:
                return False
            self._skip(length)
        if command in (NBD_CMD_WRITE, NBD_CMD_TRIM, NBD_CMD_WRITE_ZEROES):
            self._fail(cookie, NBD_EPERM, "the export is read-only")
        elif command == NBD_CMD_FLUSH:
            if offset or length:
                self._fail(cookie, NBD_EINVAL, "a flush has neither offset nor length")
            else:
                self._done(cookie)
        elif command not in (NBD_CMD_READ, NBD_CMD_CACHE, NBD_CMD_BLOCK_STATUS):
            self._fail(cookie, NBD_EINVAL, f"there is no command {command}")
        elif not length or offset + length > self._image.size:
            self._fail(cookie, NBD_EINVAL, f"the export ends at byte {self._image.size}")
        elif command == NBD_CMD_BLOCK_STATUS:
            self._reply_allocation(cookie, offset, length, flags)
        elif command == NBD_CMD_CACHE:
            self._done(cookie)
        elif length > LARGEST_READ:
            self._fail(cookie, NBD_EOVERFLOW, f"a read can have at most {LARGEST_READ} bytes")
        else:
            self._read(cookie, offset, length, flags)
        return True

    def _read(self, cookie: int, offset: int, length: int, flags: int) -> None:
        if self._structured and flags & ~NBD_CMD_FLAG_DF:
            self._fail(cookie, NBD_EINVAL, f"a read has no flags {flags:#x}")
            return
        following = self._following(offset + length, self._buffers.piece_bytes - length, flags)
        del self._received[: len(following) * REQUEST.size]
        together = [(cookie, offset, length), *following]
        if following and self._read_together(together, flags):
            return
        # Then read each of them separately: retrying smaller groups would read ranges repeatedly.
        for each in together:
            if self._structured and not flags & NBD_CMD_FLAG_DF:
                self._read_in_chunks(*each)
            else:
                self._read_whole(*each)
            self.last_active = next(self._activity)

    def _read_in_chunks(self, cookie: int, offset: int, length: int) -> None:
        """Reply to one read with chunks: data, up to the size of the buffer, and holes."""
        end = offset + length
        for start, size, is_hole in _pieces(self._image, offset, length, self._buffers.piece_bytes):
            is_last = start + size == end
            if is_hole:
                body = OFFSET_HOLE.pack(start, size)
                last = NBD_REPLY_FLAG_DONE if is_last else 0
                self._chunk(cookie, NBD_REPLY_TYPE_OFFSET_HOLE, body, flags=last)
                continue
            view = self._own_buffer(size)
            if not self._fill(cookie, view, start):
                return
            self._send(self._data_head(cookie, start, size, is_last=is_last), view)
            self.last_active = next(self._activity)

    def _read_whole(self, cookie: int, offset: int, length: int) -> None:
        """Reply to one read with a single message; errors must be known before it begins."""
        head = self._data_head(cookie, offset, length, is_last=True)
        if length <= self._buffers.piece_bytes:
            view = self._own_buffer(length)
            if self._fill(cookie, view, offset):
                self._send(head, view)
            return
        with self._buffers.whole(length) as whole:
            if whole is None:
                self._read_twice(cookie, offset, length, head)
                return
            for start, size in self._steps(offset, length):
                at = start - offset
                if not self._fill(cookie, whole[at : at + size], start):
                    return
            self._send(head, whole)

    def _read_twice(self, cookie: int, offset: int, length: int, head: bytes) -> None:
        """Reply to one read with a smaller buffer: first check that the range can be read."""
        for start, size in self._steps(offset, length):
            if not self._fill(cookie, self._own_buffer(size), start):
                return
        self._send(head)
        for start, size in self._steps(offset, length):
            view = self._own_buffer(size)
            error = self._read_error(view, start)
            if error is not None:
                # A source changed just now. After the header, disconnecting is the only way to
                # report an error (doc/proto.md, "Simple reply message").
                self._on_error(error)
                raise DisconnectedError
            self._send(view)
            self.last_active = next(self._activity)

    def _steps(self, offset: int, length: int) -> Iterator[Run]:
        """Yield the pieces of a range that fit into the buffer, in bytes."""
        step = self._buffers.piece_bytes
        for start in range(offset, offset + length, step):
            yield Run(start, min(step, offset + length - start))

    def _following(self, end: int, space: int, flags: int) -> list[Range]:
        """Received requests for consecutive bytes after ``end``, up to ``space`` bytes in all."""
        found: list[Range] = []
        waiting = min(len(self._received) // REQUEST.size, MOST_TOGETHER - 1)
        for magic, flag_word, command, cookie, offset, length in REQUEST.iter_unpack(
            self._received[: waiting * REQUEST.size]
        ):
            space -= length
            is_next = magic == REQUEST_MAGIC and command == NBD_CMD_READ and offset == end
            if not is_next or flag_word != flags or not length or space < 0:
                break
            end += length
            if end > self._image.size:
                break
            found.append((cookie, offset, length))
        return found

    def _read_together(self, requests: Sequence[Range], flags: int) -> bool:
        """Reply to consecutive reads in one call, unless there is a hole or an error in the range.

        Returns False in that case; then each must be handled separately.
        """
        first, total = requests[0][1], sum(length for _, _, length in requests)
        if self._structured and not flags & NBD_CMD_FLAG_DF:
            _, size, is_hole = next(_pieces(self._image, first, total, total))
            if is_hole or size < total:
                return False
        view = self._own_buffer(total)
        if self._read_error(view, first) is not None:
            return False
        parts: list[bytes | memoryview] = []
        for cookie, offset, length in requests:
            parts.append(self._data_head(cookie, offset, length, is_last=True))
            parts.append(view[offset - first : offset - first + length])
        self._send(*parts)
        return True

    def _data_head(self, cookie: int, offset: int, size: int, *, is_last: bool) -> bytes:
        """The header before ``size`` bytes of data; a simple reply has all data or an error."""
        if not self._structured:
            return SIMPLE_REPLY.pack(SIMPLE_REPLY_MAGIC, 0, cookie)
        flags = NBD_REPLY_FLAG_DONE if is_last else 0
        length = OFFSET_DATA.size + size
        kind = NBD_REPLY_TYPE_OFFSET_DATA
        head = CHUNK.pack(STRUCTURED_REPLY_MAGIC, flags, kind, cookie, length)
        return head + OFFSET_DATA.pack(offset)

    def _fill(self, cookie: int, view: memoryview, offset: int) -> bool:
        """Read a range of the image; on failure reply with the error and return False."""
        error = self._read_error(view, offset)
        if error is not None:
            self._on_error(error)
            self._fail(cookie, NBD_EIO, str(error), offset)
        return error is None

    def _read_error(self, view: memoryview, offset: int) -> Ext4WriterError | None:
        """Read a range of the image; return the error if that fails, or None."""
        try:
            self._image.preadinto(offset, view)
        except Ext4WriterError as error:
            return error
        except Exception as error:  # a caller's function for content may raise anything
            if self._image.closed:
                raise DisconnectedError from None
            return Ext4WriterError(f"content at byte {offset}: {type(error).__name__}: {error}")
        return None

    def _reply_allocation(self, cookie: int, offset: int, length: int, flags: int) -> None:
        if not self._allocation_negotiated:
            self._fail(cookie, NBD_EINVAL, "no metadata context was negotiated")
            return
        view = self._own_buffer(self._buffers.piece_bytes)
        U32.pack_into(view, 0, BASE_ALLOCATION_ID)
        size = U32.size
        most = min(MOST_EXTENTS * STATUS.size, len(view) - STATUS.size)
        for start, end, is_zero in self._image.allocation(offset, length):
            state = NBD_STATE_HOLE | NBD_STATE_ZERO if is_zero else 0
            STATUS.pack_into(view, size, end - start, state)
            size += STATUS.size
            if flags & NBD_CMD_FLAG_REQ_ONE or size > most:
                break
        kind = NBD_REPLY_TYPE_BLOCK_STATUS
        head = CHUNK.pack(STRUCTURED_REPLY_MAGIC, NBD_REPLY_FLAG_DONE, kind, cookie, size)
        self._send(head, view[:size])

    def _done(self, cookie: int) -> None:
        if self._structured:
            self._chunk(cookie, NBD_REPLY_TYPE_NONE, b"", flags=NBD_REPLY_FLAG_DONE)
        else:
            self.peer.sendall(SIMPLE_REPLY.pack(SIMPLE_REPLY_MAGIC, 0, cookie))

    def _fail(self, cookie: int, number: int, why: str, offset: int | None = None) -> None:
        if not self._structured:
            self.peer.sendall(SIMPLE_REPLY.pack(SIMPLE_REPLY_MAGIC, number, cookie))
            return
        text = why.encode("utf-8", "replace")[:NAME_MOST]
        body, kind = ERROR.pack(number, len(text)) + text, NBD_REPLY_TYPE_ERROR
        if offset is not None:
            body, kind = body + ERROR_OFFSET.pack(offset), NBD_REPLY_TYPE_ERROR_OFFSET
        self._chunk(cookie, kind, body, flags=NBD_REPLY_FLAG_DONE)

    def _chunk(self, cookie: int, kind: int, body: bytes, *, flags: int) -> None:
        head = CHUNK.pack(STRUCTURED_REPLY_MAGIC, flags, kind, cookie, len(body))
        self.peer.sendall(head + body)

    # -- bytes -----------------------------------------------------------------------------------

    def _own_buffer(self, size: int) -> memoryview:
        """A buffer of ``size`` bytes, at most ``piece_bytes``, valid until the next call."""
        if self._buffer is None:
            self._buffer = self._buffers.piece()
        return self._buffer[:size]

    def _send(self, *parts: bytes | memoryview) -> None:
        """Send all ``parts``, in one call if possible."""
        sent = self.peer.sendmsg(parts) if hasattr(self.peer, "sendmsg") else 0  # not on Windows
        for part in parts:
            if sent < len(part):
                self.peer.sendall(memoryview(part)[sent:])
            sent = max(0, sent - len(part))

    def _receive(self, count: int) -> bytes:
        """The next ``count`` bytes; further received bytes are kept for later."""
        while len(self._received) < count:
            data = self.peer.recv(max(RECEIVED, count - len(self._received)))
            if not data:
                raise DisconnectedError
            self._received += data
        found = bytes(self._received[:count])
        del self._received[:count]
        return found

    def _skip(self, count: int) -> None:
        while count:
            count -= len(self._receive(min(count, LARGEST_OPTION)))


def _string(data: bytes) -> tuple[bytes, bytes]:
    """A string prefixed with its length, and the rest; ``ValueError`` if it is cut short."""
    if len(data) < U32.size:
        raise ValueError
    [length] = U32.unpack_from(data)
    end = U32.size + length
    if length > NAME_MOST or end > len(data):
        raise ValueError
    return data[U32.size : end], data[end:]


def _queries(data: bytes) -> list[bytes]:
    if len(data) < U32.size:
        raise ValueError
    [count] = U32.unpack_from(data)
    rest, queries = data[U32.size :], []
    for _ in range(min(count, len(data))):
        query, rest = _string(rest)
        queries.append(query)
    if rest or len(queries) != count:
        raise ValueError
    return queries


def _pieces(
    image: VirtualImage, offset: int, length: int, most: int
) -> Iterator[tuple[int, int, bool]]:
    """Cut a range into (offset, length, whether it is a hole), in bytes.

    Holes have at least ``LEAST_HOLE`` bytes, other pieces at most ``most`` bytes.
    """
    position, end = offset, offset + length
    for start, until, is_zero in chain(image.allocation(offset, length), [(end, end, True)]):
        if is_zero and (until - start >= LEAST_HOLE or start == end):
            for low in range(position, start, most):
                yield low, min(most, start - low), False
            if until > start:
                yield start, until - start, True
            position = until
