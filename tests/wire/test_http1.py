"""The full reader: whole requests in any pieces, its limits, and what it refuses."""

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siphon.errors import RequestRefused
from siphon.wire.head import WireLimits
from siphon.wire.http1 import Http1Reader
from tests.wire.reading import LIMITS, Meaning, Read, cut, one_by_one, outcome, read

CHUNKED = b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKED_FIELDS = [(b"Host", b"a"), (b"Transfer-Encoding", b"chunked")]
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"

GOOD = {
    "an HTTP/1.0 request without fields": (
        b"GET /a HTTP/1.0\r\n\r\n",
        Meaning("GET", "/a", 0, False, 0, []),
        b"",
    ),
    "an HTTP/1.0 request that keeps the connection": (
        b"POST / HTTP/1.0\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nhi",
        Meaning("POST", "/", 0, True, 2, [(b"Connection", b"Keep-Alive"), (b"Content-Length", b"2")]),
        b"hi",
    ),
    "a request that the scanner would accept": (
        b"PUT /a?b HTTP/1.1\r\nHost: a\r\ncontent-length:\t3 \r\nX: \xe9 \r\n\r\nabc",
        Meaning("PUT", "/a?b", 1, True, 3, [(b"Host", b"a"), (b"content-length", b"3"), (b"X", b"\xe9")]),
        b"abc",
    ),
    "one leading blank line": (b"\r\n" + NEXT, Meaning("GET", "/next", 1, True, 0, [(b"Host", b"a")]), b""),
    "a later minor version": (
        b"GET / HTTP/1.7\r\nHost: a\r\n\r\n",
        Meaning("GET", "/", 1, True, 0, [(b"Host", b"a")]),
        b"",
    ),
    "an absolute-form, whose authority stands for Host": (
        b"GET http://b:81?q HTTP/1.1\r\nX: y\r\nHost: a\r\n\r\n",
        Meaning("GET", "/?q", 1, True, 0, [(b"Host", b"b:81"), (b"X", b"y")]),
        b"",
    ),
    "an absolute-form from HTTP/1.0 without Host": (
        b"GET http://b/ HTTP/1.0\r\n\r\n",
        Meaning("GET", "/", 0, False, 0, [(b"Host", b"b")]),
        b"",
    ),
    "OPTIONS *": (
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        Meaning("OPTIONS", "*", 1, True, 0, [(b"Host", b"a")]),
        b"",
    ),
    "CONNECT": (
        b"CONNECT b:443 HTTP/1.1\r\nHost: b\r\n\r\n",
        Meaning("CONNECT", "b:443", 1, True, 0, [(b"Host", b"b")]),
        b"",
    ),
    "an upgrade, which is not taken": (
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        Meaning("GET", "/", 1, True, 0, [(b"Host", b"a"), (b"Connection", b"upgrade"), (b"Upgrade", b"h2c")]),
        b"",
    ),
    "a list of connection options": (
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n\r\n",
        Meaning("GET", "/", 1, False, 0, [(b"Host", b"a"), (b"Connection", b"x, CLOSE")]),
        b"",
    ),
    "a chunked body": (
        CHUNKED + b"5\r\nhello\r\n1\r\n \r\n00A;x=\"y\"\r\n0123456789\r\n0\r\n\r\n",
        Meaning("POST", "/c", 1, True, 0, CHUNKED_FIELDS),
        b"hello 0123456789",
    ),
    "an empty chunked body": (CHUNKED + b"0\r\n\r\n", Meaning("POST", "/c", 1, True, 0, CHUNKED_FIELDS), b""),
    "trailers, which are dropped": (
        CHUNKED + b"1\r\nx\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\n\r\n",
        Meaning("POST", "/c", 1, True, 0, CHUNKED_FIELDS),
        b"x",
    ),
    "a chunk that looks like an end": (
        CHUNKED + b"7\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n",
        Meaning("POST", "/c", 1, True, 0, CHUNKED_FIELDS),
        b"0\r\n\r\n\r\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_a_good_request_means_the_same_whole_and_byte_by_byte(name: str) -> None:
    raw, meaning, body = GOOD[name]
    assert read([raw]) == Read(meaning, body, b"")
    assert read(one_by_one(raw)) == Read(meaning, body, b"")
    assert read(raw.splitlines(keepends=True)) == Read(meaning, body, b"")
    assert read([raw[:-1]]) is None


@given(
    st.sampled_from(list(GOOD.values())),
    st.lists(st.integers(0, 1_000), max_size=8),
    st.sampled_from([b"", NEXT]),
)
def test_a_good_request_means_the_same_however_it_is_cut(
    good: tuple[bytes, Meaning, bytes], places: list[int], after: bytes
) -> None:
    raw, meaning, body = good
    assert read(cut(raw + after, places)) == Read(meaning, body, after)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"\r\n\r\n", 400),
        (b"\n", 400),
        (b"\x16\x03\x01\x02\x00", 400),
        (b"GET /\r\n", 400),
        (b"GET / HTTP/1.1\n", 400),
        (b"GET /#f HTTP/1.1\r\n", 400),
        (b"PRI * HTTP/2.0\r\n", 505),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n X: y\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        (b"GET http://b/ HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        (b"GET http://b/ HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0000000000000000000000001\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: a-pony\r\n\r\n", 417),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n", 413),
        (CHUNKED + b"100001\r\n", 413),
        (CHUNKED + b"2\r\nabc\r\n", 400),
        (CHUNKED + b"0\r\nHost: b\r\n", 400),
    ],
)
def test_a_bad_request_is_refused_whole_and_byte_by_byte(raw: bytes, status: int) -> None:
    assert outcome([raw]) == status
    assert outcome(one_by_one(raw)) == status


@pytest.mark.parametrize(
    ("most", "less", "raw", "status"),
    [
        ({"max_target_bytes": 4}, {"max_target_bytes": 3}, b"GET /abc HTTP/1.0\r\n\r\n", 414),
        ({"max_headers": 2}, {"max_headers": 1}, b"GET / HTTP/1.0\r\nA:b\r\nC:d\r\n\r\n", 431),
        ({"max_header_bytes": 28}, {"max_header_bytes": 27}, b"GET / HTTP/1.0\r\nA:b\r\nC:d\r\n\r\n", 431),
        (
            {"max_body_bytes": 3},
            {"max_body_bytes": 2},
            b"GET / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc",
            413,
        ),
        ({"max_body_bytes": 3}, {"max_body_bytes": 2}, CHUNKED + b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", 413),
    ],
)
def test_a_limit_holds_what_it_allows_and_not_one_more(
    most: dict[str, int], less: dict[str, int], raw: bytes, status: int
) -> None:
    for pieces in ([raw], one_by_one(raw)):
        assert isinstance(outcome(pieces, replace(LIMITS, **most)), Read)
        assert outcome(pieces, replace(LIMITS, **less)) == status


def test_a_leading_blank_line_does_not_count_for_the_limit() -> None:
    raw = b"\r\nGET / HTTP/1.0\r\n\r\n"
    assert isinstance(outcome([raw], replace(LIMITS, max_header_bytes=len(raw) - 2)), Read)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /" + b"a" * 8_192, 414),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 16_384, 431),
        (b"A" * 16_385, 431),
        (b"GET / HTTP/1.1\r\n" + b"A:b\r\n" * 101, 431),
        (b"GET / HTTP/1.1 and more", 400),
    ],
)
def test_what_is_too_large_is_refused_before_its_end(raw: bytes, status: int) -> None:
    assert outcome([raw]) == status
    assert outcome(one_by_one(raw)) == status


EXPECTING = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"


@pytest.mark.parametrize("framing", [b"Content-Length: 2\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
def test_continue_is_wanted_until_the_body_begins(framing: bytes) -> None:
    reader = Http1Reader(LIMITS)
    wanted = []
    for piece in (EXPECTING, framing, b"", b"1"):
        assert not reader.receive(piece)
        wanted.append(reader.wants_continue)
    assert wanted == [False, True, True, False]


@pytest.mark.parametrize(
    "raw",
    [
        EXPECTING + b"Content-Length: 2\r\n\r\n1",
        EXPECTING + b"Content-Length: 0\r\n\r\n",
        EXPECTING + b"\r\n",
        EXPECTING.replace(b"1.1", b"1.0") + b"Content-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n",
    ],
)
def test_continue_is_not_wanted_without_a_body_to_wait_for(raw: bytes) -> None:
    reader = Http1Reader(LIMITS)
    reader.receive(raw)
    assert reader.head is not None
    assert not reader.wants_continue


def test_the_head_is_there_before_the_body_and_the_body_is_counted_decoded() -> None:
    reader = Http1Reader(LIMITS)
    seen = []
    for piece in (CHUNKED[:-1], CHUNKED[-1:], b"5;ext=1\r\nhel", b"lo\r\n0\r\n"):
        assert not reader.receive(piece)
        seen.append((reader.head is not None, reader.body_bytes_received))
    assert seen == [(False, 0), (True, 0), (True, 3), (True, 5)]
    assert reader.receive(b"\r\n" + NEXT)
    assert (reader.body, reader.rest) == (b"hello", NEXT)


def test_a_complete_request_takes_no_more_bytes() -> None:
    reader = Http1Reader(LIMITS)
    assert reader.receive(NEXT)
    with pytest.raises(RuntimeError):
        reader.receive(b"x")


def test_the_reason_names_what_is_wrong() -> None:
    with pytest.raises(RequestRefused, match="several Host fields"):
        read([b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"])


@pytest.mark.parametrize(
    ("prefix", "unit", "end"),
    [
        (b"GET /", b"a", b" HTTP/1.0\r\n\r\n"),
        (b"GET / HTTP/1.0\r\nA: ", b"b ", b"\r\n\r\n"),
        (b"GET / HTTP/1.0\r\n", b"a:b\r\n", b"\r\n"),
        (CHUNKED, b"1\r\nx\r\n", b"0\r\n\r\n"),
        (CHUNKED + b"0\r\n", b"a:b\r\n", b"\r\n"),
    ],
)
def test_byte_by_byte_the_work_stays_linear(prefix: bytes, unit: bytes, end: bytes) -> None:
    limits = WireLimits(1 << 24, 1 << 20, 1 << 24, 1 << 24)

    def best_time(size: int) -> float:
        pieces = one_by_one(prefix + unit * (size // len(unit)) + end)
        times = []
        for _ in range(3):
            begin = time.perf_counter()
            assert read(pieces, limits) is not None
            times.append(time.perf_counter() - begin)
        return min(times)

    # Eight times the size takes 8 times as long if linear and 64 times if quadratic.
    assert best_time(8 * 4_096) < 30 * best_time(4_096)
