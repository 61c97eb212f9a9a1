"""The chunked coding, checked byte by byte before h11 decodes it (RFC 9112 section 7.1)."""

import enum
import re
from typing import Final

from siphon.errors import RequestRefused
from siphon.wire.field_line import parse_field_line
from siphon.wire.grammar import OWS, TOKEN
from siphon.wire.head import WireLimits

_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*+"'
_EXTENSION = rb";" + OWS + TOKEN + rb"(?:" + OWS + rb"=" + OWS + rb"(?:" + TOKEN + rb"|" + _QUOTED + rb"))?+"
# h11 takes no whitespace between the size and the first extension, so it is refused here already.
_EXTENSIONS = rb"(?:" + _EXTENSION + rb"(?:" + OWS + _EXTENSION + rb")*+)?+"
_match_size_line: Final = re.compile(rb"([0-9A-Fa-f]{1,16}+)(" + _EXTENSIONS + rb")\r\n").fullmatch
_match_first_byte: Final = re.compile(rb"[0-9A-Fa-f]").match

MAX_SIZE_LINE_BYTES: Final = 4_096
"""The longest chunk-size line, its extensions and line end included."""

MAX_EXTENSION_BYTES: Final = 16_384
"""All chunk extensions of one request together: they are read for nothing."""

_FORBIDDEN_TRAILERS: Final = frozenset(
    {b"content-length", b"transfer-encoding", b"host", b"connection", b"trailer", b"te", b"upgrade"}
)


class _Expecting(enum.Enum):
    SIZE_LINE = "a chunk-size line"
    DATA = "chunk data"
    DATA_END = "the line end after chunk data"
    TRAILERS = "a trailer field or the end"


class ChunkGuard:
    """Follows one chunked body and refuses what h11 would let pass. Takes time linear in the body."""

    __slots__ = (
        "_data_left",
        "_declared",
        "_expecting",
        "_extension_bytes",
        "_limits",
        "_searched",
        "_trailer_bytes",
        "_trailers",
        "complete",
    )

    def __init__(self, limits: WireLimits) -> None:
        self._limits = limits
        self._expecting = _Expecting.SIZE_LINE
        self._searched = 0  # bytes of the unfinished line in which there is no LF
        self._data_left = 0
        self._declared = 0  # the sum of the chunk sizes so far
        self._extension_bytes = 0
        self._trailers = 0
        self._trailer_bytes = 0
        self.complete = False

    def check(self, buffer: bytearray) -> int:
        """Check from the start of ``buffer``; returns how many bytes are sound and must be dropped there.

        An unfinished line stays in the buffer for the next call. Raises RequestRefused: 413 when the
        declared sizes pass ``max_body_bytes``, 431 for too many trailers, else 400.
        """
        position = 0
        while not self.complete:
            if self._expecting is _Expecting.DATA:
                taken = self._check_data(buffer, position)
            elif self._expecting is _Expecting.DATA_END:
                taken = self._check_data_end(buffer, position)
            else:
                taken = self._check_line(buffer, position)
            if taken == 0:
                break
            position += taken
        return position

    def _check_data(self, buffer: bytearray, position: int) -> int:
        taken = min(self._data_left, len(buffer) - position)
        self._data_left -= taken
        if self._data_left == 0:
            self._expecting = _Expecting.DATA_END
        return taken

    def _check_data_end(self, buffer: bytearray, position: int) -> int:
        found = buffer[position : position + 2]
        if not b"\r\n".startswith(found):
            raise RequestRefused(400, "a chunk is longer than its size")
        if len(found) < 2:
            return 0
        self._expecting = _Expecting.SIZE_LINE
        return 2

    def _check_line(self, buffer: bytearray, position: int) -> int:
        newline = buffer.find(b"\n", position + self._searched)
        size = (newline + 1 if newline >= 0 else len(buffer)) - position
        in_trailers = self._expecting is _Expecting.TRAILERS
        if in_trailers:
            if self._trailer_bytes + size > self._limits.max_header_bytes:
                raise RequestRefused(431, "the trailer section is too large")
        else:
            self._check_size_line_so_far(buffer, position, size)
        if newline < 0:
            self._searched = size
            return 0
        self._searched = 0
        line = bytes(buffer[position : newline + 1])
        if in_trailers:
            self._take_trailer(line)
        else:
            self._take_size_line(line)
        return size

    def _check_size_line_so_far(self, buffer: bytearray, position: int, size: int) -> None:
        if size > 0 and _match_first_byte(buffer, position) is None:
            raise RequestRefused(400, "a chunk does not begin with its size")
        if size > MAX_SIZE_LINE_BYTES:
            raise RequestRefused(400, f"a chunk-size line is longer than {MAX_SIZE_LINE_BYTES} bytes")

    def _take_size_line(self, line: bytes) -> None:
        match = _match_size_line(line)
        if match is None:
            raise RequestRefused(400, "a chunk-size line is malformed")
        self._extension_bytes += len(match[2])
        if self._extension_bytes > MAX_EXTENSION_BYTES:
            raise RequestRefused(400, f"the chunk extensions are longer than {MAX_EXTENSION_BYTES} bytes")
        size = int(match[1], 16)
        self._declared += size
        if self._declared > self._limits.max_body_bytes:
            raise RequestRefused(413, f"the body is larger than {self._limits.max_body_bytes} bytes")
        self._data_left = size
        self._expecting = _Expecting.DATA if size else _Expecting.TRAILERS

    def _take_trailer(self, line: bytes) -> None:
        if line == b"\r\n":
            self.complete = True
            return
        self._trailer_bytes += len(line)
        self._trailers += 1
        if self._trailers > self._limits.max_headers:
            raise RequestRefused(431, f"the request has more than {self._limits.max_headers} trailer fields")
        name, _ = parse_field_line(line)
        if name in _FORBIDDEN_TRAILERS:
            raise RequestRefused(400, f"the field {name.decode('ascii')} must not be a trailer")
