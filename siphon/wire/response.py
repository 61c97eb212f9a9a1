"""One HTTP/1 response of an upstream: a strict pass for the plain ones, h11 for all others."""

import re
from typing import Final

import h11

from siphon.errors import ResponseRefused
from siphon.wire.grammar import FIELD_VALUE, TOKEN

_MAX_HEAD_BYTES: Final = 65_536
_HEAD_END: Final = re.compile(rb"\n\r?\n")
_match_head: Final = re.compile(
    rb"HTTP/1\.1 ([2-9][0-9]{2})(?: "
    + FIELD_VALUE
    + rb")?\r\n((?:"
    + TOKEN
    + rb":"
    + FIELD_VALUE
    + rb"\r\n)*+)\r\n"
).fullmatch
_find_fields: Final = re.compile(rb"([^:]++):[ \t]*+([^\r]*+)\r\n").findall
_DIGITS: Final = re.compile(r"[0-9]{1,15}")
_WITHOUT_BODY: Final = frozenset({204, 304})


class ResponseReader:
    """Reads the response to one request. Sans-I/O, for one thread.

    ``status`` is None until the head of the final response has come; interim ones are passed over.
    Names of ``fields`` are in lower case. ``keep_alive``: the connection may take another request.
    """

    __slots__ = (
        "_buffer",
        "_left",
        "_max_body_bytes",
        "_method",
        "_parser",
        "_parts",
        "_received",
        "begun",
        "fields",
        "is_whole",
        "keep_alive",
        "status",
    )

    def __init__(self, method: str, max_body_bytes: int) -> None:
        self._method = method
        self._max_body_bytes = max_body_bytes
        self._buffer = b""
        self._parser: h11.Connection | None = None
        self._parts: list[bytes] = []
        self._left = 0
        self._received = 0
        self.begun = False
        self.is_whole = False
        self.status: int | None = None
        self.fields: list[tuple[str, str]] = []
        self.keep_alive = True

    @property
    def body(self) -> bytes:
        """The body received so far, without its transfer coding."""
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    def receive(self, data: bytes) -> None:
        """Takes what has arrived, nothing at all for the end of the stream. Raises ResponseRefused.

        Once the response ``is_whole`` nothing more is to be given.
        """
        if data:
            self.begun = True
        if self._parser is not None:
            self._through_h11(self._parser, data)
        elif self.status is not None:
            self._take_body(data)
        elif not data:
            if self._buffer:
                raise ResponseRefused(
                    "the connection was closed within the head of the answer", broke_off=True
                )
            raise ResponseRefused("the connection was closed before an answer", broke_off=True)
        else:
            self._buffer = self._buffer + data if self._buffer else data
            end = _HEAD_END.search(self._buffer)
            if end is not None:
                self._take_head(self._buffer, end.end())
            elif len(self._buffer) > _MAX_HEAD_BYTES:
                raise ResponseRefused(f"the head of the answer is larger than {_MAX_HEAD_BYTES} bytes")

    def _take_head(self, buffer: bytes, end: int) -> None:
        match = _match_head(buffer, 0, end)
        length = None
        if match is not None:
            status = int(match[1])
            bodiless = self._method == "HEAD" or status in _WITHOUT_BODY
            length = self._scan_fields(match[2], bodiless=bodiless)
        if length is None:
            self._through_h11(self._begin_h11(), buffer)
            return
        self._buffer = b""
        self.status = status
        self._check_size(length)
        self._left = length
        if len(buffer) > end or not length:
            self._take_body(buffer[end:])

    def _scan_fields(self, block: bytes, *, bodiless: bool) -> int | None:
        """Fills ``fields``; the body's length, or None where h11 has to find out how it is framed."""
        length: int | None = None
        fields: list[tuple[str, str]] = []
        for raw_name, raw_value in _find_fields(block):
            name = raw_name.decode("ascii").lower()
            value = raw_value.decode("latin-1").rstrip(" \t")
            fields.append((name, value))
            if name == "content-length":
                if length is not None or _DIGITS.fullmatch(value) is None:
                    return None
                length = int(value)
            elif name == "transfer-encoding":
                return None
            elif name == "connection" and value.lower() != "keep-alive":
                self.keep_alive = False
        self.fields = fields
        return 0 if bodiless else length

    def _take_body(self, data: bytes) -> None:
        if not data and self._left:
            raise ResponseRefused(
                f"the connection was closed with {self._left} bytes of the body missing", broke_off=True
            )
        if len(data) > self._left:
            # Whatever this is, it answers no request of ours.
            self.keep_alive = False
            data = data[: self._left]
        if data:
            self._parts.append(data)
            self._left -= len(data)
        self.is_whole = not self._left

    def _check_size(self, size: int) -> None:
        if size > self._max_body_bytes:
            raise ResponseRefused(f"the body is larger than {self._max_body_bytes} bytes")

    # Chunked bodies, those that end with the connection, interim responses, HTTP/1.0 ------------

    def _begin_h11(self) -> h11.Connection:
        self._buffer = b""
        self.fields = []
        self.keep_alive = True
        self._parser = parser = h11.Connection(h11.CLIENT, _MAX_HEAD_BYTES)
        # h11 only wants to know the method: what was really sent is none of its business.
        parser.send(h11.Request(method=self._method, target="/", headers=[("Host", "a")]))
        parser.send(h11.EndOfMessage())
        return parser

    def _through_h11(self, parser: h11.Connection, data: bytes) -> None:
        try:
            parser.receive_data(data)
            while (event := parser.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.EndOfMessage):
                    self.is_whole = True
                    self.keep_alive = (
                        bool(data)
                        and parser.their_state is h11.DONE
                        and not parser.trailing_data[0]
                        and not self._is_framed_twice()
                    )
                    return
                self._take_event(event)
        except h11.RemoteProtocolError as error:
            reason = f"the answer breaks the rules of HTTP/1.1: {error}"
            raise ResponseRefused(reason, broke_off=not data) from error

    def _take_event(self, event: object) -> None:
        if isinstance(event, h11.Response):
            self.status = event.status_code
            self.fields = [(name.decode("ascii"), value.decode("latin-1")) for name, value in event.headers]
        elif isinstance(event, h11.Data):
            self._received += len(event.data)
            self._check_size(self._received)
            self._parts.append(bytes(event.data))
        elif not isinstance(event, h11.InformationalResponse):
            raise ResponseRefused("the connection was closed before an answer", broke_off=True)

    def _is_framed_twice(self) -> bool:
        """Content-Length beside Transfer-Encoding: what follows could be anything (RFC 9112, section 6.3)."""
        return {"content-length", "transfer-encoding"} <= {name for name, _ in self.fields}
