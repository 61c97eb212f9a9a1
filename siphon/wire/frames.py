"""HTTP/2 frames on their way to h2: cut at their ends, and GOAWAY taken out."""

from typing import Final, NamedTuple

from siphon.errors import ResponseRefused

_HEADER_BYTES: Final = 9
_SETTINGS: Final = 4
_GOAWAY: Final = 7
_ACK: Final = 1
# SETTINGS_MAX_FRAME_SIZE, which siphon leaves as it is (RFC 9113, section 6.5.2).
_MAX_FRAME_BYTES: Final = 16_384
_RST_STREAM_HEADER: Final = b"\0\0\4\3\0"


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
    begun to process. ``begun``: the peer has shown that it speaks HTTP/2.
    """

    __slots__ = ("_buffer", "begun")

    def __init__(self) -> None:
        self._buffer = b""
        self.begun = False

    def split(self, data: bytes) -> list[bytes | Goaway]:
        """The whole frames, and GOAWAYs, in order.

        Raises ResponseRefused for what is no HTTP/2, too long a frame, and a GOAWAY that is none.
        """
        if self._buffer:
            data = self._buffer + data
        frames: list[bytes | Goaway] = []
        at = 0
        while len(data) - at >= _HEADER_BYTES:
            if not self.begun:
                _check_first(data)
                self.begun = True
            length = int.from_bytes(data[at : at + 3])
            if length > _MAX_FRAME_BYTES:
                raise ResponseRefused(f"the upstream breaks the rules of HTTP/2: a frame of {length} bytes")
            end = at + _HEADER_BYTES + length
            if end > len(data):
                break
            frame = data[at:end]
            frames.append(_goaway(frame) if frame[3] == _GOAWAY else frame)
            at = end
        self._buffer = data[at:]
        return frames


def stream_of(frame: bytes) -> int:
    """The number of the stream that a frame is on; 0 for the connection."""
    return _number(frame[5:9])


def without_reset(frames: bytes) -> bytes:
    """``frames`` without the last one if that is a RST_STREAM."""
    return frames[:-13] if frames[-13:-8] == _RST_STREAM_HEADER else frames


def _check_first(data: bytes) -> None:
    """The first frame is SETTINGS, and acknowledges none (RFC 9113, section 3.4)."""
    if data.startswith(b"HTTP/1."):
        raise ResponseRefused("the upstream answers in HTTP/1.1: it does not speak HTTP/2 here")
    if data[3] != _SETTINGS or data[4] & _ACK:
        raise ResponseRefused("the upstream does not speak HTTP/2: its first frame is no SETTINGS")


def _goaway(frame: bytes) -> Goaway:
    payload = frame[_HEADER_BYTES:]
    if len(payload) < 8 or stream_of(frame):
        raise ResponseRefused("the upstream breaks the rules of HTTP/2: a malformed GOAWAY")
    return Goaway(_number(payload[:4]), int.from_bytes(payload[4:8]), payload[8:])


def _number(data: bytes) -> int:
    # The first bit is reserved.
    return int.from_bytes(data) & 0x7FFF_FFFF
