"""Frames are cut at their ends however they arrive, and GOAWAY never gets to h2."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from siphon.errors import ResponseRefused
from siphon.wire.frames import FrameSplitter, Goaway, stream_of, without_reset

# How long it takes says nothing on a machine that is busy with something else.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
SETTINGS = b"\0\0\0\4\0\0\0\0\0"
RST_STREAM = b"\0\0\4\3\0\0\0\0\1\0\0\0\5"


def frame(kind: int, stream: int, payload: bytes, flags: int = 0) -> bytes:
    return b"%b%c%c%b%b" % (len(payload).to_bytes(3), kind, flags, stream.to_bytes(4), payload)


frames = st.builds(
    frame,
    st.integers(0, 255).filter(lambda kind: kind != 7),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=40),
    st.integers(0, 255),
)
goaways = st.builds(Goaway, st.integers(0, 2**31 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=40))


def on_the_wire(sent: bytes | Goaway) -> bytes:
    if isinstance(sent, bytes):
        return sent
    return frame(7, 0, sent.last_stream_id.to_bytes(4) + sent.error_code.to_bytes(4) + sent.debug)


@unhurried
@given(st.lists(frames | goaways), st.data())
def test_whatever_the_pieces_the_same_frames_come_out(
    sent: list[bytes | Goaway], data: st.DataObject
) -> None:
    stream = SETTINGS + b"".join(map(on_the_wire, sent))
    splitter = FrameSplitter()
    received: list[bytes | Goaway] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        received += splitter.split(stream[:size])
        stream = stream[size:]
    assert received == [SETTINGS, *sent]


@unhurried
@given(st.binary(max_size=200))
def test_bytes_that_are_no_frames_are_refused_or_passed_on(data: bytes) -> None:
    splitter = FrameSplitter()
    try:
        received = splitter.split(data)
    except ResponseRefused:
        return
    assert b"".join(map(on_the_wire, received)) + splitter._buffer == data


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"HTTP/1.1 200 OK\r\n", "answers in HTTP/1.1"),
        (b"HTTP/1.0 ", "answers in HTTP/1.1"),
        (b"SSH-2.0-x\r\n", "its first frame is no SETTINGS"),
        (frame(4, 0, b"", flags=1), "its first frame is no SETTINGS"),
        (frame(6, 0, bytes(8)), "its first frame is no SETTINGS"),
        (SETTINGS + frame(0, 1, bytes(16_385)), "a frame of 16385 bytes"),
        (SETTINGS + frame(7, 0, bytes(7)), "malformed GOAWAY"),
        (SETTINGS + frame(7, 1, bytes(8)), "malformed GOAWAY"),
    ],
)
def test_what_is_no_http2_is_refused(data: bytes, complaint: str) -> None:
    with pytest.raises(ResponseRefused, match=complaint):
        FrameSplitter().split(data)


def test_too_long_a_frame_is_refused_before_it_has_come() -> None:
    splitter = FrameSplitter()
    splitter.split(SETTINGS)
    with pytest.raises(ResponseRefused, match="a frame of 16777215 bytes"):
        splitter.split(b"\xff\xff\xff\0\0\0\0\0\1")


def test_the_first_bit_of_a_stream_s_number_is_reserved() -> None:
    assert stream_of(frame(0, 2**31 + 5, b"")) == 5
    goaway = SETTINGS + frame(7, 0, b"\x80\0\0\5" + bytes(4))
    assert FrameSplitter().split(goaway)[1:] == [Goaway(5, 0, b"")]


@pytest.mark.parametrize(
    ("given_", "left"),
    [
        (b"", b""),
        (SETTINGS, SETTINGS),
        (RST_STREAM, b""),
        (SETTINGS + RST_STREAM, SETTINGS),
        (RST_STREAM + SETTINGS, RST_STREAM + SETTINGS),
    ],
)
def test_a_reset_is_taken_off_the_end(given_: bytes, left: bytes) -> None:
    assert without_reset(given_) == left
