"""The bytes of one HTTP/1 connection, as requests: the head scanner first, h11 for what it declines."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from siphon.wire.head import DECLINE, NEED_MORE, RequestHead, scan
from siphon.wire.http1 import Http1Reader

if TYPE_CHECKING:
    from siphon.wire.head import WireLimits


class Whole(NamedTuple):
    """A request that has come in whole."""

    head: RequestHead
    body: bytes


class Incoming:
    """What has been received on a connection and is no request yet.

    Used by the connection's acceptor alone. After ``receive`` has returned a request, what follows
    it is kept; ``receive(b"")`` looks there for the next one.
    """

    __slots__ = ("_buffer", "_head", "_limits", "_missing_bytes", "_parts", "_reader")

    def __init__(self, limits: WireLimits) -> None:
        self._limits = limits
        self._buffer = b""
        # A request whose head the scanner has accepted and whose body is still arriving.
        self._head: RequestHead | None = None
        self._parts: list[bytes] = []
        self._missing_bytes = 0
        # A request that the scanner has declined.
        self._reader: Http1Reader | None = None

    def receive(self, data: bytes) -> Whole | None:
        """The next request once it is whole, else None. Raises ProtocolError."""
        if self._reader is not None:
            return self._read(self._reader, data)
        if self._head is not None:
            return self._collect(self._head, data)
        buffer = self._buffer + data if self._buffer else data
        if not buffer:
            return None
        head = scan(buffer, self._limits)
        if head is NEED_MORE:
            self._buffer = buffer
            return None
        if head is DECLINE:
            self._buffer = b""
            self._reader = Http1Reader(self._limits)
            return self._read(self._reader, buffer)
        begin = head.end
        end = begin + head.content_length
        if len(buffer) == end:
            self._buffer = b""
            return Whole(head, buffer[begin:])
        if len(buffer) > end:
            self._buffer = buffer[end:]
            return Whole(head, buffer[begin:end])
        self._head = head
        self._parts = [buffer[begin:]]
        self._missing_bytes = end - len(buffer)
        self._buffer = b""
        return None

    def keep(self, data: bytes) -> int:
        """Keeps what came while a request is being answered; returns how many bytes are kept."""
        self._buffer += data
        return len(self._buffer)

    @property
    def kept_bytes(self) -> int:
        """How much is buffered behind the last whole request, or of a head that is not whole."""
        return len(self._buffer)

    @property
    def in_body(self) -> bool:
        """Whether the head of a request is complete and its body is not."""
        return self._head is not None or (self._reader is not None and self._reader.head is not None)

    @property
    def begun(self) -> bool:
        """Whether anything of a next request is there."""
        return bool(self._buffer) or self._head is not None or self._reader is not None

    @property
    def body_bytes_received(self) -> int:
        """How much of the body that is arriving has come."""
        if self._reader is not None:
            return self._reader.body_bytes_received
        return self._head.content_length - self._missing_bytes if self._head is not None else 0

    def take_continue(self) -> bool:
        """Whether the client waits for ``100 Continue``; true once a request (RFC 9110 section 10.1.1)."""
        reader = self._reader
        if reader is None or not reader.wants_continue:
            return False
        reader.wants_continue = False
        return True

    def _collect(self, head: RequestHead, data: bytes) -> Whole | None:
        missing = self._missing_bytes
        if len(data) < missing:
            self._parts.append(data)
            self._missing_bytes = missing - len(data)
            return None
        self._buffer = data[missing:]
        self._parts.append(data[:missing])
        body = b"".join(self._parts)
        self._head = None
        self._parts = []
        return Whole(head, body)

    def _read(self, reader: Http1Reader, data: bytes) -> Whole | None:
        if not reader.receive(data):
            return None
        assert reader.head is not None
        self._reader = None
        self._buffer = reader.rest
        return Whole(reader.head, reader.body)
