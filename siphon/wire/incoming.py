"""The bytes of one HTTP/1 connection, as requests: the head scanner first, h11 for what it declines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from siphon.errors import RequestRefused
from siphon.wire.head import NEED_MORE, RequestHead, scan, scan_after

if TYPE_CHECKING:
    from siphon.wire.budget import Budget
    from siphon.wire.head import WireLimits
    from siphon.wire.http1 import Http1Reader

# What may precede a request line and means nothing (RFC 9112 section 2.2).
_STRAY_BYTES: Final = 2
_STRAY: Final = frozenset({b"", b"\r", b"\r\n"})

_RECV_BYTES: Final = 65_536
# Of a body in tiny chunks: they take as much time for a byte as a large one takes for hundreds, and what
# is read at once is worked on in one go.
_RECV_BYTES_IN_CRUMBS: Final = 4_096
# What is read ahead of a request that is being answered; past it the client waits.
_AHEAD_MAX_BYTES: Final = 65_536
# Less than this does not count: a request or two that were sent ahead.
_UNCOUNTED_BYTES: Final = 4_096
# The size of a head that is remembered, for the next one to be compared with: a smaller one is matched as
# quickly, and a larger one would stay with each connection that is idle.
_REMEMBERED_MIN_BYTES: Final = 128
_REMEMBERED_MAX_BYTES: Final = 2_048


class Incoming:
    """What has been received on a connection and is no request yet.

    Used by the connection's owner alone. After ``receive`` has returned a head, ``take_body`` gives
    that request's body, and what follows it is kept; ``receive(b"")`` looks there for the next one.
    """

    __slots__ = (
        "_begin",
        "_body",
        "_budget",
        "_counted_bytes",
        "_head",
        "_last",
        "_limits",
        "_missing_bytes",
        "_reader",
        "appetite_bytes",
        "buffer",
        "is_empty",
    )

    def __init__(self, limits: WireLimits, budget: Budget) -> None:
        self._limits = limits
        self._budget = budget
        self.is_empty = True
        """Nothing is kept here, and the last request, if any, came alone and without a body, as most do."""
        # What of it has been counted in: bodies that arrive or wait to be taken, and what is read ahead.
        self._counted_bytes = 0
        self.buffer = b""
        """What has come and is no request yet; requests that were cut off it may still be in front."""
        # Where it begins in there.
        self._begin = 0
        # A request whose head the scanner has accepted and whose body is still arriving.
        self._head: RequestHead | None = None
        self._missing_bytes = 0
        # The last one that it has accepted, where it is to be remembered.
        self._last: RequestHead | None = None
        # The body that has been received so far, or that of the last request until it is taken.
        self._body: bytes | bytearray = b""
        # A request that the scanner has declined.
        self._reader: Http1Reader | None = None
        self.appetite_bytes = _RECV_BYTES
        """How much to read at once."""

    def receive(self, data: bytes) -> RequestHead | None:
        """The head of the next request once the request is whole, else None.

        Raises RequestRefused, with 503 where too much is buffered over all connections; nothing but
        ``discard`` is to be called after that.
        """
        buffer, start = data, 0
        is_empty = self.is_empty
        if not is_empty:
            if self._reader is not None:
                return self._read(self._reader, data)
            if self._head is not None:
                return self._collect(self._head, data)
            self.is_empty = is_empty = not (self.buffer or self._body or self._counted_bytes)
            if not is_empty:
                buffer, start = self._joined(data), self._begin
        last = self._last
        limits = self._limits
        head = scan(buffer, limits, start) if last is None else scan_after(last, buffer, limits, start)
        if not head:
            self.is_empty = False
            return self._not_accepted(head is NEED_MORE, buffer, data)
        length, begin = head[4], head[5]
        worth_it = _REMEMBERED_MIN_BYTES <= begin - start <= _REMEMBERED_MAX_BYTES
        if worth_it and (last is None or head[7] is None or head[7] is not last[7]):
            self._last = head
        if is_empty and not length and begin == len(buffer):
            return head
        self.is_empty = False
        return self._cut_off(head, buffer)

    def _cut_off(self, head: RequestHead, buffer: bytes) -> RequestHead | None:
        """Takes a request off the front, or waits for the rest of its body."""
        length, begin = head[4], head[5]
        end = begin + length
        size = len(buffer)
        if size < end:
            self._head = head
            self._body = bytearray(buffer[begin:])
            self._missing_bytes = end - size
            self._set_rest(b"", 0)
            self._count(size - begin)
            return None
        if size > end:
            self._set_rest(buffer, end)
        else:
            self._set_rest(b"", 0)
        if length:
            self._body = buffer[begin:end]
            self._count(length + size - end)
        elif self._counted_bytes or size - end > _UNCOUNTED_BYTES:
            self._recount(size - end)  # too much or not: it is no upload that could be refused
        return head

    def _not_accepted(self, need_more: bool, buffer: bytes, data: bytes) -> RequestHead | None:
        """What the scanner has no head for: waits for the rest, or lets the reader have it.

        A head that comes in three pieces or more is the reader's, whose work is linear: to scan it anew
        with each would make one that drips in quadratic.
        """
        begin = self._begin
        size = len(buffer) - begin
        stray = size <= _STRAY_BYTES and buffer[begin:] in _STRAY
        if stray or (need_more and (not data or size - len(data) <= _STRAY_BYTES)):
            if not stray and buffer.find(b"\n", begin) < 0:
                _check_line_so_far(buffer[begin:], size, self._limits)
            self.buffer = buffer
            return None
        self._set_rest(b"", 0)
        self._reader = _full_reader(self._limits)
        return self._read(self._reader, buffer[begin:])

    def _joined(self, data: bytes) -> bytes:
        if data:
            self._set_rest(self.buffer[self._begin :] + data, 0)
        return self.buffer

    def _set_rest(self, buffer: bytes, begin: int) -> None:
        self.buffer = buffer
        self._begin = begin

    def _count(self, size: int) -> None:
        """Counts ``size`` bytes instead of what was counted so far. Raises RequestRefused(503)."""
        if not self._recount(size):
            raise RequestRefused(503, "too much is being uploaded at once", ("Retry-After", "1"))

    def _recount(self, size: int) -> bool:
        more = size - self._counted_bytes
        self._counted_bytes = size
        if more > 0:
            return self._budget.take(more)
        if more:
            self._budget.give(-more)
        return True

    def take_body(self) -> bytes:
        """The body of the request that ``receive`` has returned; what it counts for is now the caller's.

        The caller calls ``give`` of the budget, with the body's length, when it is done with it.
        """
        body = self._body
        if not body:
            return b""
        self._body = b""
        self._counted_bytes -= len(body)
        return bytes(body)

    def keep(self, data: bytes) -> bool:
        """Keeps what came while a request is being answered; whether it may be given more."""
        self.is_empty = False
        kept_bytes = len(self._joined(data))
        return self._recount(kept_bytes) and kept_bytes <= _AHEAD_MAX_BYTES

    def discard(self) -> None:
        """Drops everything: no more requests will be read."""
        self._reader = None
        self._head = None
        self._last = None
        self._body = b""
        self._set_rest(b"", 0)
        self._recount(0)

    @property
    def kept_bytes(self) -> int:
        """How much is buffered behind the last whole request, or of a head that is not whole."""
        return len(self.buffer) - self._begin

    @property
    def method(self) -> str:
        """The method of the request that is arriving, as far as it is known; else empty."""
        if self._reader is not None:
            return self._reader.method
        return "" if self._head is None else self._head.method

    @property
    def in_body(self) -> bool:
        """Whether the head of a request is complete and its body is not."""
        return self._head is not None or (self._reader is not None and self._reader.head is not None)

    @property
    def begun(self) -> bool:
        """Whether anything of a next request is there; a line end that some send after a body is nothing."""
        if self._head is not None or self._reader is not None:
            return True
        return self.kept_bytes > _STRAY_BYTES or self.buffer[self._begin :] not in _STRAY

    @property
    def body_bytes_received(self) -> int:
        """How much of the body that is arriving has come, without what frames its chunks."""
        if self._reader is not None:
            return self._reader.body_bytes_received
        return len(self._body) if self._head is not None else 0

    def take_continue(self) -> bool:
        """Whether the client waits for ``100 Continue``; true once a request (RFC 9110 section 10.1.1)."""
        reader = self._reader
        if reader is None or not reader.wants_continue:
            return False
        reader.wants_continue = False
        return True

    def _collect(self, head: RequestHead, data: bytes) -> RequestHead | None:
        missing = self._missing_bytes
        self._body += data[:missing]
        if len(data) < missing:
            self._missing_bytes = missing - len(data)
            self._count(len(self._body))
            return None
        self._head = None
        self._set_rest(data[missing:], 0)
        self._count(head.content_length + len(data) - missing)
        return head

    def _read(self, reader: Http1Reader, data: bytes) -> RequestHead | None:
        if not reader.receive(data):
            self.appetite_bytes = _RECV_BYTES_IN_CRUMBS if reader.in_crumbs else _RECV_BYTES
            self._count(reader.body_bytes_received)
            return None
        self.appetite_bytes = _RECV_BYTES
        self._reader = None
        self._body = reader.body
        self._set_rest(reader.rest, 0)
        self._count(len(self._body) + len(reader.rest))
        return reader.head


# With h11 these take as long to import as half of siphon. Most requests need neither, and the first answer
# need not wait for them: the server imports them as soon as it listens.


def _full_reader(limits: WireLimits) -> Http1Reader:
    from siphon.wire.http1 import Http1Reader

    return Http1Reader(limits)


def _check_line_so_far(line: bytes, size: int, limits: WireLimits) -> None:
    from siphon.wire.request_line import check_line_so_far

    check_line_so_far(line, size, limits)
