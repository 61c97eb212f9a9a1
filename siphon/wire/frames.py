"""HTTP/2 frames on their way to h2: cut at their ends, and GOAWAY taken out."""

from typing import Final, NamedTuple

from siphon.errors import ResponseRefused

_HEADER_BYTES: Final = 9
_SETTINGS: Final = 4
_GOAWAY: Final = 7
_ACK: Final = 1
# SETTINGS_MAX_FRAME_SIZE, which siphon leaves as it is (RFC 9113, section 6.5.2).
_MAX_FRAME_BYTES: Final = 16_384


class Goaway(NamedTuple):
    """The peer begins no more streams (RFC 9113, section 6.8)."""

    last_stream_id: int
    """Streams above it were not processed, and will not be."""
    error_code: int
    debug: bytes


class FrameSplitter:
    """Cuts what a server sends into frames. Sans-I/O, for one thread.

    h2 gets one frame at a time, so that its state is never ahead of what has been made of its events.
    It never gets a GOAWAY: it would take no frame after one, and those streams go on that the peer has
    begun to process.
    """

    __slots__ = ("_begun", "_buffer", "_left")

    def __init__(self) -> None:
        self._begun = False
        self._buffer = b""
        # What is missing of a frame whose beginning has been handed on.
        self._left = 0

    @property
    def begun(self) -> bool:
        """Whether the peer has shown that it speaks HTTP/2."""
        return self._begun

    def split(self, data: bytes) -> list[bytes | Goaway]:
        """Whole frames, the part of one that has come of the last, and GOAWAYs, in order.

        Raises ResponseRefused where it is not HTTP/2 at all, and for a GOAWAY that is none.
        """
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        pieces: list[bytes | Goaway] = []
        at = 0
        if self._left:
            at = min(self._left, len(data))
            self._left -= at
            pieces.append(data[:at])
        if not self._begun and data:
            self._check_beginning(data)
        while at < len(data):
            if len(data) - at < _HEADER_BYTES:
                self._buffer = data[at:]
                break
            length = int.from_bytes(data[at : at + 3])
            end = at + _HEADER_BYTES + length
            if data[at + 3] == _GOAWAY:
                if not 8 <= length <= _MAX_FRAME_BYTES or data[at + 5 : at + 9] != b"\0\0\0\0":
                    raise ResponseRefused("the upstream breaks the rules of HTTP/2: a malformed GOAWAY")
                if end > len(data):
                    self._buffer = data[at:]
                    break
                pieces.append(_goaway(data[at + _HEADER_BYTES : end]))
            else:
                pieces.append(data[at:end])
                self._left = max(0, end - len(data))
            at = end
        return pieces

    def _check_beginning(self, data: bytes) -> None:
        """The first frame is SETTINGS and no acknowledgement of any (RFC 9113, section 3.4)."""
        if data.startswith(b"HTTP/"[: len(data)]):
            raise ResponseRefused("the upstream answers in HTTP/1.1 to HTTP/2: it does not speak it here")
        if len(data) < _HEADER_BYTES:
            return
        if data[3] != _SETTINGS or data[4] & _ACK:
            raise ResponseRefused("the upstream does not speak HTTP/2: its first frame is no SETTINGS")
        self._begun = True


def _goaway(payload: bytes) -> Goaway:
    # The first bit of the stream's number is reserved.
    last_stream_id = int.from_bytes(payload[:4]) & 0x7FFF_FFFF
    return Goaway(last_stream_id, int.from_bytes(payload[4:8]), payload[8:])
