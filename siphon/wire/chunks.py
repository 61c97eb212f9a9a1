"""The chunked coding, decoded and checked byte by byte (RFC 9112 section 7.1).

Siphon decodes it itself: h11 takes 10 us a chunk, which a flood of one-byte chunks turns into 110 ms for
each 64 KiB, and lets pass what another server may read otherwise.
"""

import enum
import re
from typing import Final

from siphon.errors import RequestRefused
from siphon.wire.field_line import parse_field_line
from siphon.wire.grammar import OWS, TOKEN
from siphon.wire.head import WireLimits

_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*+"'
# Whitespace is bad here, and a recipient must take it (RFC 9110 section 5.6.3).
_EXTENSION = (
    OWS + rb";" + OWS + TOKEN + rb"(?:" + OWS + rb"=" + OWS + rb"(?:" + TOKEN + rb"|" + _QUOTED + rb"))?+"
)
_match_size_line: Final = re.compile(rb"([0-9A-Fa-f]++)((?:" + _EXTENSION + rb")*+)\r\n").match
_match_first_byte: Final = re.compile(rb"[0-9A-Fa-f]").match

MAX_SIZE_LINE_BYTES: Final = 4_096
"""The longest chunk-size line, its extensions and line end included."""

MAX_EXTENSION_BYTES: Final = 16_384
"""All chunk extensions of one request together: they are read for nothing."""

MAX_FRAMING_BYTES: Final = 262_144
"""What size lines and line ends may take beyond twice the data: 87,000 chunks of one byte."""

_CRUMB_FRAMING_BYTES: Final = 2_048

_FORBIDDEN_TRAILERS: Final = frozenset(
    {b"content-length", b"transfer-encoding", b"host", b"connection", b"trailer", b"te", b"upgrade"}
)


class _Expecting(enum.Enum):
    SIZE_LINE = "a chunk-size line"
    DATA = "chunk data"
    DATA_END = "the line end after chunk data"
    TRAILERS = "a trailer field or the end"


class ChunkedBody:
    """Decodes one chunked body and refuses what is not surely one. Takes time linear in the body."""

    __slots__ = (
        "_data_left",
        "_declared",
        "_expecting",
        "_extension_bytes",
        "_framing_bytes",
        "_limits",
        "_searched",
        "_trailer_bytes",
        "_trailers",
        "complete",
        "data",
    )

    def __init__(self, limits: WireLimits) -> None:
        self._limits = limits
        self._expecting = _Expecting.SIZE_LINE
        self._searched = 0  # bytes of the unfinished line in which there is no LF
        self._data_left = 0
        self._declared = 0  # the sum of the chunk sizes so far
        self._extension_bytes = 0
        self._framing_bytes = 0
        self._trailers = 0
        self._trailer_bytes = 0
        self.data = bytearray()
        """What has come, decoded."""
        self.complete = False

    @property
    def in_crumbs(self) -> bool:
        """Whether chunks have on average fewer bytes than some forty so far, and are many."""
        return self._framing_bytes > max(_CRUMB_FRAMING_BYTES, self._declared // 8)

    def take(self, buffer: bytearray) -> int:
        """Decode from the start of ``buffer``; returns how many bytes are done with, to be dropped there.

        An unfinished line stays in the buffer for the next call. Raises RequestRefused: 413 when the
        declared sizes pass ``max_body_bytes``, 431 for too many trailers, else 400.
        """
        position = 0
        while not self.complete:
            if self._expecting is _Expecting.SIZE_LINE:
                taken = self._take_chunks(buffer, position) or self._take_line(buffer, position)
            elif self._expecting is _Expecting.DATA:
                taken = self._take_data(buffer, position)
            elif self._expecting is _Expecting.DATA_END:
                taken = self._take_data_end(buffer, position)
            else:
                taken = self._take_line(buffer, position)
            if taken == 0:
                break
            position += taken
        return position

    def _take_chunks(self, buffer: bytearray, start: int) -> int:
        """The chunks that are whole in the buffer, in one tight loop: a client chooses how small they are."""
        if self._searched:
            if buffer.find(b"\n", start + self._searched) < 0:
                return 0
            self._searched = 0
        position = start
        size = len(buffer)
        data = self.data
        while (match := _match_size_line(buffer, position)) is not None:
            begin = match.end()
            length = self._count_chunk(match[1], len(match[2]), begin - position)
            end = begin + length
            if length == 0 or end + 2 > size or buffer[end : end + 2] != b"\r\n":
                self._begin_data(length)
                return begin - start
            data += buffer[begin:end]
            position = end + 2
        return position - start

    def _take_data(self, buffer: bytearray, position: int) -> int:
        taken = min(self._data_left, len(buffer) - position)
        self.data += buffer[position : position + taken]
        self._data_left -= taken
        if self._data_left == 0:
            self._expecting = _Expecting.DATA_END
        return taken

    def _take_data_end(self, buffer: bytearray, position: int) -> int:
        found = buffer[position : position + 2]
        if not b"\r\n".startswith(found):
            raise RequestRefused(400, "a chunk is longer than its size")
        if len(found) < 2:
            return 0
        self._expecting = _Expecting.SIZE_LINE
        return 2

    def _take_line(self, buffer: bytearray, position: int) -> int:
        """A trailer; or what may become a size line and surely is none once its end is there."""
        newline = buffer.find(b"\n", position + self._searched)
        size = (newline + 1 if newline >= 0 else len(buffer)) - position
        in_trailers = self._expecting is _Expecting.TRAILERS
        if in_trailers and self._trailer_bytes + size > self._limits.max_header_bytes:
            raise RequestRefused(431, "the trailer section is too large")
        if not in_trailers and size > MAX_SIZE_LINE_BYTES:
            raise RequestRefused(400, f"a chunk-size line is longer than {MAX_SIZE_LINE_BYTES} bytes")
        if not in_trailers and (newline >= 0 or (size and _match_first_byte(buffer, position) is None)):
            raise RequestRefused(400, "a chunk-size line is malformed")
        self._searched = 0 if newline >= 0 else size
        if newline < 0:
            return 0
        self._take_trailer(bytes(buffer[position : newline + 1]))
        return size

    def _count_chunk(self, digits: bytes, extension_bytes: int, line_bytes: int) -> int:
        """The size of a chunk, held against the limits of them all."""
        if line_bytes > MAX_SIZE_LINE_BYTES:
            raise RequestRefused(400, f"a chunk-size line is longer than {MAX_SIZE_LINE_BYTES} bytes")
        self._extension_bytes += extension_bytes
        if self._extension_bytes > MAX_EXTENSION_BYTES:
            raise RequestRefused(400, f"the chunk extensions are longer than {MAX_EXTENSION_BYTES} bytes")
        length = int(digits, 16)
        self._declared += length
        if self._declared > self._limits.max_body_bytes:
            raise RequestRefused(413, f"the body is larger than {self._limits.max_body_bytes} bytes")
        self._framing_bytes += line_bytes + 2
        if self._framing_bytes > MAX_FRAMING_BYTES + 2 * self._declared:
            raise RequestRefused(400, "the chunks of the body are too small")
        return length

    def _begin_data(self, length: int) -> None:
        self._data_left = length
        self._expecting = _Expecting.DATA if length else _Expecting.TRAILERS

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
