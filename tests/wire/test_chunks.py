"""The chunked coding: size lines, extensions, trailers and their limits."""

from dataclasses import replace

import pytest

from siphon.errors import RequestRefused
from siphon.wire.chunks import MAX_EXTENSION_BYTES, MAX_FRAMING_BYTES, MAX_SIZE_LINE_BYTES, ChunkedBody
from siphon.wire.head import WireLimits
from tests.wire.reading import LIMITS


def check(raw: bytes, limits: WireLimits = LIMITS) -> tuple[int, bool]:
    """How many bytes are taken, and whether the body is complete; the same whole and byte by byte."""
    at_once = ChunkedBody(limits)
    taken = at_once.take(bytearray(raw))
    drip = ChunkedBody(limits)
    assert take_one_by_one(drip, raw) == taken
    assert (drip.complete, drip.data) == (at_once.complete, at_once.data)
    return taken, at_once.complete


def take_one_by_one(body: ChunkedBody, raw: bytes) -> int:
    buffer = bytearray()
    taken = 0
    for byte in raw:
        if body.complete:
            break
        buffer.append(byte)
        done = body.take(buffer)
        del buffer[:done]
        taken += done
    return taken


def decoded(raw: bytes) -> bytes:
    body = ChunkedBody(LIMITS)
    body.take(bytearray(raw))
    assert body.complete
    return bytes(body.data)


def status_of(raw: bytes, limits: WireLimits = LIMITS) -> int:
    with pytest.raises(RequestRefused) as caught:
        ChunkedBody(limits).take(bytearray(raw))
    with pytest.raises(RequestRefused) as dripped:
        take_one_by_one(ChunkedBody(limits), raw)
    assert caught.value.status == dripped.value.status
    return caught.value.status


@pytest.mark.parametrize(
    "raw",
    [
        b"0\r\n\r\n",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"a\r\n0123456789\r\nA\r\n0123456789\r\n00\r\n\r\n",
        b"0000000000000002\r\n\r\n\r\n0000000000000000\r\n\r\n",
        b"%b2\r\n\r\n\r\n%b\r\n\r\n" % (b"0" * 100, b"0" * 100),
        b"1;a\r\nx\r\n0;b\r\n\r\n",
        b"1;a=b;c\r\nx\r\n0\r\n\r\n",
        b"1 ;a\r\nx\r\n0\t;b\r\n\r\n",
        b"1; \ta \t= \tb \t; c\r\nx\r\n0\r\n\r\n",
        b'1;a="b \t;c\\"\\\\\xe9"\r\nx\r\n0\r\n\r\n',
        b'1;a=""\r\nx\r\n0\r\n\r\n',
        b"0\r\nX-Sum: abc\r\nEtag: \r\n\r\n",
    ],
)
def test_a_good_body_is_sound_to_its_end_and_no_further(raw: bytes) -> None:
    assert check(raw) == (len(raw), True)
    assert check(raw + b"GET / HTTP/1.1\r\n") == (len(raw), True)
    assert check(raw[:-1])[1] is False


def test_the_data_of_all_chunks_is_the_body() -> None:
    assert decoded(b"0\r\n\r\n") == b""
    assert decoded(b'5\r\nhello\r\n00B ;x="y"\r\n, 0\r\n\r\nworl\r\n1\r\nd\r\n0\r\nA: b\r\n\r\n') == (
        b"hello, 0\r\n\r\nworld"
    )


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n",
        b"x\r\n",
        b" 1\r\n",
        b"+1\r\n",
        b"-1\r\n",
        b"0x1\r\n",
        b"1 \r\n",
        b"1\t\r\n",
        b"1g\r\n",
        b"1_0\r\n",
        b"1\n",
        b"1\r\r\n",
        b"1;\r\n",
        b"1;;a\r\n",
        b"1;a;\r\n",
        b"1;a=\r\n",
        b"1;a \r\n",
        b"1;=b\r\n",
        b'1;a="b\r\n',
        b'1;a="b"c\r\n',
        b'1;a="\\\x01"\r\n',
        b"1;a=b\x00\r\n",
        b"1;a\nb\r\n",
        b"1;a=\x7f\r\n",
        b"1,a\r\n",
        b"2\r\nabc",
        b"2\r\nab\n",
        b"2\r\nab\rx",
        b"2\r\nab0\r\n",
        b"0\r\n\n",
        b"0\r\nA b: c\r\n",
        b"0\r\n A: b\r\n",
        b"0\r\nA: b\r\n c\r\n",
        b"0\r\nA : b\r\n",
        b"0\r\nA: b\x00\r\n",
        b"0\r\nA: b\n",
    ],
)
def test_a_malformed_body_is_400(raw: bytes) -> None:
    assert status_of(raw) == 400


@pytest.mark.parametrize(
    "name",
    [b"Content-Length", b"TRANSFER-ENCODING", b"host", b"Connection", b"Trailer", b"TE", b"Upgrade"],
)
def test_a_trailer_that_frames_or_routes_is_400(name: bytes) -> None:
    assert status_of(b"0\r\n" + name + b": 1\r\n") == 400


def test_a_size_line_over_the_limit_is_400_before_its_end() -> None:
    longest = b"1;" + b"a" * (MAX_SIZE_LINE_BYTES - 4) + b"\r\n"
    assert check(longest) == (MAX_SIZE_LINE_BYTES, False)
    assert status_of(b"1;" + b"a" * (MAX_SIZE_LINE_BYTES - 1)) == 400
    assert status_of(b"1;" + b"a" * (MAX_SIZE_LINE_BYTES - 3) + b"\r\n") == 400


def test_all_extensions_together_are_bounded() -> None:
    piece = b"1;" + b"a" * 1_023 + b"\r\nx\r\n"
    count = MAX_EXTENSION_BYTES // 1_024
    assert check(piece * count) == (len(piece) * count, False)
    assert status_of(piece * (count + 1)) == 400


@pytest.mark.parametrize("size_line", [b"1\r\n", b"00000000001\r\n", b"1;a\r\n"])
def test_a_flood_of_tiny_chunks_is_bounded_by_what_frames_them(size_line: bytes) -> None:
    """Each chunk may take twice its data, and all of them together a fixed number of bytes more."""
    piece = size_line + b"x\r\n"
    count = MAX_FRAMING_BYTES // (len(piece) - 1 - 2)
    if b";" in size_line:
        count = min(count, MAX_EXTENSION_BYTES // 2)
    good = piece * count
    body = ChunkedBody(LIMITS)
    assert body.take(bytearray(good)) == len(good)
    assert len(body.data) == count
    assert status_of(good + piece) == 400


def test_chunks_of_two_thirds_data_are_never_too_small() -> None:
    limits = replace(LIMITS, max_body_bytes=3_000_000)
    body = ChunkedBody(limits)
    body.take(bytearray(b"3\r\nabc\r\n" * 1_000_000 + b"0\r\n\r\n"))
    assert body.complete
    assert body.data == b"abc" * 1_000_000


def test_a_chunk_that_passes_the_limit_is_413_before_its_data() -> None:
    limits = replace(LIMITS, max_body_bytes=10)
    assert check(b"a\r\n0123456789\r\n0\r\n\r\n", limits)[1]
    assert status_of(b"b\r\n", limits) == 413
    assert status_of(b"6\r\n012345\r\n5\r\n", limits) == 413
    assert status_of(b"ffffffffffffffff\r\n") == 413
    assert status_of(b"f" * 4_000 + b"\r\n") == 413
    assert status_of(b"10000000000000000\r\n") == 413  # 2**64


def test_one_trailer_more_than_allowed_is_431() -> None:
    limits = replace(LIMITS, max_headers=2)
    assert check(b"0\r\nA:b\r\nC:d\r\n\r\n", limits)[1]
    assert status_of(b"0\r\nA:b\r\nC:d\r\nE:f\r\n", limits) == 431


def test_a_trailer_section_one_byte_too_large_is_431() -> None:
    trailers = b"A:b\r\nC:d\r\n\r\n"
    assert check(b"0\r\n" + trailers, replace(LIMITS, max_header_bytes=len(trailers)))[1]
    assert status_of(b"0\r\n" + trailers, replace(LIMITS, max_header_bytes=len(trailers) - 1)) == 431
    assert status_of(b"0\r\nA:" + b"b" * 16_384) == 431
