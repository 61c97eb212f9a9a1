"""A Response as the bytes of an HTTP/1.1 message (RFC 9112 sections 4 to 6)."""

from __future__ import annotations

import re
from math import inf
from time import gmtime, time
from typing import TYPE_CHECKING, Final

from siphon.errors import ResponseError
from siphon.messages import reason_phrase

if TYPE_CHECKING:
    from siphon.messages import Response

_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# Fields that siphon has a say in; every other one is sent as it stands.
_OURS: Final = frozenset(
    {"connection", "content-length", "date", "server", "transfer-encoding", "keep-alive"}
)
_LINES_MAX: Final = 1_024
# From here on a send of two parts costs less than to copy the body behind its head.
_APART_BYTES: Final = 65_536
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Encoder:
    """Encodes responses. Each thread that answers has one of its own: its caches have no lock."""

    __slots__ = ("_fresh_until", "_lines", "_second", "_with_server", "_without_server")

    def __init__(self) -> None:
        # The second that the prefixes say, and how long it lasts, in monotonic seconds.
        self._second = 0
        self._fresh_until = -inf
        self._with_server: dict[int, bytes] = {}
        self._without_server: dict[int, bytes] = {}
        self._lines: dict[tuple[str, str], bytes] = {}

    def encode(
        self,
        response: Response,
        method: str,
        minor_version: int,
        keep_alive: bool,
        server_header: bool,
        now: float,
    ) -> tuple[bytes, bytes, bool]:
        """The message, and whether the connection may be kept.

        The message comes in two parts: the second one is a body that is too large to be copied behind
        its head, and else empty.

        ``keep_alive`` is what the request and the server allow; the response's own
        ``Connection: close`` ends it too. ``now``: in monotonic seconds. Raises ResponseError naming a
        header that cannot be sent.
        """
        if now >= self._fresh_until:
            self._begin_second(now)
        # A property or a method for these would take twice as long.
        status, headers, body = response._status, response._headers, response._body
        prefixes = self._with_server if server_header else self._without_server
        start = prefixes[status] if status in prefixes else self._start(status, server_header)
        if headers is not None and headers.pairs:
            fields, keep_alive, own_date, own_server, length = self._fields(headers.pairs, keep_alive)
            if own_date or own_server:
                start = _start(status, None if own_date else self._second, server_header and not own_server)
        else:
            fields, length = b"", None
        if not keep_alive:
            fields += b"Connection: close\r\n"
        elif minor_version == 0:
            fields += b"Connection: keep-alive\r\n"
        if method == "HEAD" or (status != 200 and status in (204, 205, 304)):
            return start + fields + _bodyless_length(status, method, body, length) + b"\r\n", b"", keep_alive
        size = len(body)
        if length is not None and length != size:
            raise ResponseError(f"header 'Content-Length' says {length}, but the body has {size} bytes")
        if size >= _APART_BYTES:
            return b"%b%bContent-Length: %d\r\n\r\n" % (start, fields, size), body, keep_alive
        return b"%b%bContent-Length: %d\r\n\r\n%b" % (start, fields, size, body), b"", keep_alive

    def _begin_second(self, now: float) -> None:
        """Looks at the wall clock, which may have been set, once a second."""
        wall_clock_s = time()
        self._second = int(wall_clock_s)
        self._fresh_until = now + 1.0 - wall_clock_s % 1.0
        self._with_server.clear()
        self._without_server.clear()

    def _start(self, status: int, server_header: bool) -> bytes:
        start = _start(status, self._second, server_header)
        (self._with_server if server_header else self._without_server)[status] = start
        return start

    def _fields(
        self, pairs: list[tuple[str, str]], keep_alive: bool
    ) -> tuple[bytes, bool, bool, bool, int | None]:
        lines: list[bytes] = []
        own: set[str] = set()
        length: int | None = None
        for pair in pairs:
            line = self._lines.get(pair)
            if line is None:
                name, value = pair
                line = _line(name, value)
                lower = name.lower()
                if lower not in _OURS:
                    if len(self._lines) < _LINES_MAX:
                        self._lines[pair] = line
                elif lower == "content-length":
                    length = _length(value, length)
                    continue
                elif lower == "connection" or lower == "keep-alive":
                    keep_alive = keep_alive and "close" not in _options(value)
                    continue
                elif lower == "transfer-encoding":
                    raise ResponseError(
                        "header 'Transfer-Encoding' is not the script's to set: siphon frames the body"
                    )
                else:
                    own.add(lower)
            lines.append(line)
        return b"".join(lines), keep_alive, "date" in own, "server" in own, length


def _start(status: int, second: int | None, server_header: bool) -> bytes:
    text = f"HTTP/1.1 {status} {reason_phrase(status)}\r\n"
    if second is not None:
        text += f"Date: {_date(second)}\r\n"
    if server_header:
        text += "Server: siphon\r\n"
    return text.encode("ascii")


def _date(second: int) -> str:
    """IMF-fixdate (RFC 9110 section 5.6.7). ``email.utils`` has it too, and brings half of ``email``."""
    year, month, day, hour, minute, second, weekday = gmtime(second)[:7]
    return f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year} {hour:02}:{minute:02}:{second:02} GMT"


def _line(name: str, value: str) -> bytes:
    if not _NAME.fullmatch(name):
        raise ResponseError(f"header {name!r} is no valid field name")
    if not _VALUE.fullmatch(value):
        raise ResponseError(f"header {name!r} has a value that cannot be sent: {value!r}")
    return f"{name}: {value}\r\n".encode("latin-1")


def _length(value: str, before: int | None) -> int:
    if not (value.isascii() and value.isdigit()) or len(value) > 18 or before not in (None, int(value)):
        raise ResponseError(f"header 'Content-Length' has the value {value!r}; it is one number of bytes")
    return int(value)


def _options(value: str) -> list[str]:
    return [option.strip().lower() for option in value.split(",")]


def _bodyless_length(status: int, method: str, body: bytes, length: int | None) -> bytes:
    """Content-Length of a message without a body (RFC 9110 section 8.6)."""
    if status == 204:
        return b""
    if status == 205:  # a Reset Content has none (RFC 9110 section 15.3.6), and says so
        return b"Content-Length: 0\r\n"
    if length is None:
        if status == 304 or method != "HEAD":
            return b""
        length = len(body)
    return b"Content-Length: %d\r\n" % length
