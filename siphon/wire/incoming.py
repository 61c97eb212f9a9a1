"""The bytes of one HTTP/1 connection, as requests: the head scanner first, h11 for what it declines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from siphon.wire.head import DECLINE, NEED_MORE, RequestHead, scan
from siphon.wire.http1 import Http1Reader

if TYPE_CHECKING:
    from siphon.wire.head import WireLimits

# What may precede a request line and means nothing (RFC 9112 section 2.2).
_STRAY_BYTES: Final = 2
_STRAY: Final = frozenset({b"", b"\r", b"\r\n"})


class Incoming:
    """What has been received on a connection and is no request yet.

    Used by the connection's acceptor alone. After ``receive`` has returned a head, ``body`` is that
    request's and what follows it is kept; ``receive(b"")`` looks there for the next one.
    """

    __slots__ = ("_begin", "_buffer", "_head", "_limits", "_missing_bytes", "_parts", "_reader", "body")

    def __init__(self, limits: WireLimits) -> None:
        self._limits = limits
        self.body = b""
        # What has come and is no request yet, from ``_begin`` on: pipelined requests are cut off it
        # without a copy of the rest for each.
        self._buffer = b""
        self._begin = 0
        # A request whose head the scanner has accepted and whose body is still arriving.
        self._head: RequestHead | None = None
        self._parts: list[bytes] = []
        self._missing_bytes = 0
        # A request that the scanner has declined.
        self._reader: Http1Reader | None = None

    def receive(self, data: bytes) -> RequestHead | None:
        """The head of the next request once the request is whole, else None. Raises RequestRefused."""
        if self._reader is not None:
            return self._read(self._reader, data)
        if self._head is not None:
            return self._collect(self._head, data)
        buffer = data if not self._buffer else self._joined(data)
        start = self._begin
        head = scan(buffer, self._limits, start)
        if head is NEED_MORE or (len(buffer) - start <= _STRAY_BYTES and buffer[start:] in _STRAY):
            self._buffer = buffer
            return None
        if head is DECLINE:
            self._set_rest(b"", 0)
            self._reader = Http1Reader(self._limits)
            return self._read(self._reader, buffer[start:])
        begin = head.end
        end = begin + head.content_length
        size = len(buffer)
        if size < end:
            self._head = head
            self._parts = [buffer[begin:]]
            self._missing_bytes = end - size
            self._set_rest(b"", 0)
            return None
        self.body = buffer[begin:end]
        if size > end:
            self._set_rest(buffer, end)
        elif self._buffer:
            self._set_rest(b"", 0)
        return head

    def _joined(self, data: bytes) -> bytes:
        if data:
            self._set_rest(self._buffer[self._begin :] + data, 0)
        return self._buffer

    def _set_rest(self, buffer: bytes, begin: int) -> None:
        self._buffer = buffer
        self._begin = begin

    def keep(self, data: bytes) -> int:
        """Keeps what came while a request is being answered; returns how many bytes are kept."""
        return len(self._joined(data))

    @property
    def kept_bytes(self) -> int:
        """How much is buffered behind the last whole request, or of a head that is not whole."""
        return len(self._buffer) - self._begin

    @property
    def in_body(self) -> bool:
        """Whether the head of a request is complete and its body is not."""
        return self._head is not None or (self._reader is not None and self._reader.head is not None)

    @property
    def begun(self) -> bool:
        """Whether anything of a next request is there; a line end that some send after a body is nothing."""
        if self._head is not None or self._reader is not None:
            return True
        return self.kept_bytes > _STRAY_BYTES or self._buffer[self._begin :] not in _STRAY

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

    def _collect(self, head: RequestHead, data: bytes) -> RequestHead | None:
        missing = self._missing_bytes
        if len(data) < missing:
            self._parts.append(data)
            self._missing_bytes = missing - len(data)
            return None
        self._parts.append(data[:missing])
        self.body = b"".join(self._parts)
        self._parts = []
        self._head = None
        self._set_rest(data[missing:], 0)
        return head

    def _read(self, reader: Http1Reader, data: bytes) -> RequestHead | None:
        if not reader.receive(data):
            return None
        self._reader = None
        self.body = reader.body
        self._set_rest(reader.rest, 0)
        return reader.head
