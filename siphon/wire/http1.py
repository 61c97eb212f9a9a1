"""One HTTP/1 request that the head scanner has declined: a strict guard, and h11 behind it.

h11 decides what a head means; the guard refuses first what h11 would let pass. A chunked body is decoded by
`siphon.wire.chunks`.
"""

from typing import Final

import h11

from siphon.errors import RequestRefused
from siphon.wire.chunks import ChunkedBody
from siphon.wire.field_line import parse_field_line
from siphon.wire.framing import Framing, judge
from siphon.wire.head import RequestHead, WireLimits
from siphon.wire.request_line import RequestLine, check_line_so_far, parse_request_line

_BLANK_LINE: Final = b"\r\n"


class Http1Reader:
    """Reads one request from its first byte; a connection takes a fresh reader for the next one.

    Sans-I/O and not thread-safe: used by the thread that reads the connection. However the bytes are
    cut into pieces, the result is the same, and the work is linear in them.
    """

    __slots__ = (
        "_body",
        "_buffer",
        "_chunks",
        "_complete",
        "_fields",
        "_length_left",
        "_limits",
        "_line",
        "_line_start",
        "_parser",
        "_searched",
        "_skipped_blank_line",
        "head",
        "rest",
        "wants_continue",
    )

    def __init__(self, limits: WireLimits) -> None:
        self._limits = limits
        self._buffer = bytearray()  # the unfinished head, later what is not yet checked of the body
        self._searched = 0  # no LF in the buffer before this offset
        self._line_start = 0
        self._skipped_blank_line = False
        self._line: RequestLine | None = None
        self._fields: list[tuple[bytes, bytes]] = []
        self._chunks: ChunkedBody | None = None
        self._length_left = 0
        self._body = bytearray()
        self._complete = False
        # What the guard passes is never longer than this without completing an event.
        self._parser = h11.Connection(h11.SERVER, limits.max_header_bytes)
        self.head: RequestHead | None = None
        """The request's head, once it is complete."""
        self.wants_continue = False
        """The client waits for ``100 Continue`` with a body that is welcome; to be set False when sent."""
        self.rest = b""
        """What followed the request, once it is complete."""

    @property
    def method(self) -> str:
        """The request's, as soon as its first line is there; else empty."""
        return "" if self._line is None else self._line.method

    @property
    def body(self) -> bytes:
        """The decoded body, once the request is complete."""
        return bytes(self._body)

    @property
    def body_bytes_received(self) -> int:
        """How much of the body has come, decoded, in bytes: what frames it does not count."""
        return len(self._body)

    @property
    def in_crumbs(self) -> bool:
        """Whether the body comes in chunks so small that they cost far more time than their bytes would."""
        return self._chunks is not None and self._chunks.in_crumbs

    def receive(self, data: bytes) -> bool:
        """Take the next bytes of the connection; True once the request is complete.

        Not to be called again after True or an exception. Raises RequestRefused with the status to
        answer; nothing that follows on the connection may then be read as a request.
        """
        if self._complete:
            raise RuntimeError("the request is already complete")
        self._buffer += data
        if self.head is None:
            if not self._read_head():
                return False
        elif data:
            self.wants_continue = False
        return self._read_body()

    def _read_head(self) -> bool:
        """Check each line of the head as it is completed; True at the end of the head."""
        buffer = self._buffer
        while (newline := buffer.find(b"\n", self._searched)) >= 0:
            if self._line is None and buffer.startswith(_BLANK_LINE) and not self._skipped_blank_line:
                del buffer[:2]  # one is ignored, for clients that end a body with it (RFC 9112 2.2)
                self._skipped_blank_line = True
                self._searched = 0
                continue
            end = newline + 1
            self._check_progress(end)
            line = bytes(buffer[self._line_start : end])
            self._line_start = self._searched = end
            if self._line is None:
                self._line = parse_request_line(line)
            elif line == _BLANK_LINE:
                self._finish_head(self._line, end)
                return True
            else:
                self._take_field(line)
        self._searched = len(buffer)
        if buffer and not (buffer == b"\r" and not self._skipped_blank_line):
            self._check_progress(len(buffer))
        return False

    def _check_progress(self, size: int) -> None:
        """Refuse a head of ``size`` bytes so far that is already too large or surely malformed."""
        if self._line is None:
            # One byte past the limit tells as much as all of them, and the same however they came.
            check_line_so_far(self._buffer, min(size, self._limits.max_header_bytes + 1), self._limits)
        if size > self._limits.max_header_bytes:
            raise RequestRefused(431, f"the head is larger than {self._limits.max_header_bytes} bytes")

    def _take_field(self, line: bytes) -> None:
        if len(self._fields) == self._limits.max_headers:
            raise RequestRefused(431, f"the request has more than {self._limits.max_headers} fields")
        self._fields.append(parse_field_line(line))

    def _finish_head(self, line: RequestLine, end: int) -> None:
        framing = judge(self._fields, line.minor_version, self._limits)
        raw = bytes(self._buffer[:end])
        del self._buffer[:end]
        request = self._parse(raw)
        if request is None or (framing.chunked and self._complete):
            raise RequestRefused(400, "the head is not understood")
        self.head = _head(line, framing, request)
        if framing.chunked:
            self._chunks = ChunkedBody(self._limits)
            self._body = self._chunks.data
        self._length_left = framing.content_length
        wants_body = framing.chunked or framing.content_length > 0
        self.wants_continue = framing.expects_continue and wants_body and not self._buffer

    def _read_body(self) -> bool:
        buffer = self._buffer
        if self._chunks is None:
            taken = min(self._length_left, len(buffer))
            self._length_left -= taken
            if taken:
                self._parse(bytes(buffer[:taken]))
            if self._complete != (self._length_left == 0) or self._parser.trailing_data[0]:
                raise RequestRefused(400, "the end of the body is in doubt")
        else:
            taken = self._chunks.take(buffer)
            self._complete = self._chunks.complete
        del buffer[:taken]
        if self._complete:
            self.rest = bytes(buffer)
            buffer.clear()
        return self._complete

    def _parse(self, raw: bytes) -> h11.Request | None:
        """Let h11 read what the guard has passed; the request, if its head ends here."""
        request = None
        self._parser.receive_data(raw)
        try:
            while not self._complete:
                event = self._parser.next_event()
                if isinstance(event, h11.Data):
                    self._body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    self._complete = True
                elif isinstance(event, h11.Request):
                    request = event
                else:
                    break
        except h11.RemoteProtocolError as error:
            raise RequestRefused(error.error_status_hint, str(error)) from error
        return request


def _head(line: RequestLine, framing: Framing, request: h11.Request) -> RequestHead:
    """The head with h11's fields; the authority of an absolute-form takes the place of Host."""
    fields = request.headers.raw_items()
    if line.authority is not None:
        others = [(name, value) for name, value in fields if name.lower() != b"host"]
        fields = [(b"Host", line.authority), *others]
    return RequestHead(
        line.method,
        line.target,
        line.minor_version,
        framing.keep_alive,
        framing.content_length,
        0,
        b"".join([b"%b: %b\r\n" % field for field in fields]),
        None,
    )
