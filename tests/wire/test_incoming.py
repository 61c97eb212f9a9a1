"""The bytes of a connection as requests: however they are cut, the same requests come out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siphon.errors import RequestRefused
from siphon.wire.head import WireLimits
from siphon.wire.incoming import Incoming
from tests.client import request
from tests.wire.reading import LIMITS, Counted, cut, one_by_one

if TYPE_CHECKING:
    from collections.abc import Iterable

    from siphon.wire.head import Repeated


class Got(NamedTuple):
    """What a request came to."""

    method: str
    target: str
    fields: list[tuple[bytes, bytes]]
    body: bytes


CHUNKED = request("/c", "Transfer-Encoding: chunked", method="POST")
# Some for the scanner, some for h11.
REQUESTS = {
    "plain": request("/hello"),
    "with fields": request("/a?b=c", "X: 1", "Accept: */*"),
    "with a body": request("/b", method="POST", body=b"body \r\n\r\n GET / HTTP/1.1"),
    "with an empty body": request("/b", method="POST", body=b""),
    "chunked": CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
    "chunked, with a trailer": CHUNKED + b"1;x=y\r\n!\r\n0\r\nX-Sum: 1\r\n\r\n",
    "absolute-form": b"GET http://other/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "expecting": request("/e", "Expect: 100-continue", method="PUT", body=b"later"),
    "of HTTP/1.0": b"GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "a blank line first": b"\r\n" + request("/after"),
}


def requests_of(
    pieces: Iterable[bytes], limits: WireLimits = LIMITS, budget: Counted | None = None
) -> list[Got]:
    """Every request in the pieces, as an acceptor reads them."""
    budget = budget or Counted()
    incoming = Incoming(limits, budget)
    found = []
    for piece in pieces:
        head = incoming.receive(piece)
        while head is not None:
            body = incoming.take_body()
            budget.give(len(body))
            found.append(Got(head.method, head.target, head.fields(), body))
            head = incoming.receive(b"")
    return found


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_the_same_whole_and_byte_by_byte(name: str) -> None:
    (whole,) = requests_of([REQUESTS[name]])
    assert requests_of(one_by_one(REQUESTS[name])) == [whole]
    assert requests_of([REQUESTS[name][:-1]]) == []


@given(
    st.lists(st.sampled_from(list(REQUESTS.values())), max_size=6),
    st.lists(st.integers(min_value=0), max_size=8),
)
def test_pipelined_requests_come_out_in_order_however_they_are_cut(
    requests: list[bytes], places: list[int]
) -> None:
    expected = [got for each in requests for got in requests_of([each])]
    assert len(expected) == len(requests)
    assert requests_of(cut(b"".join(requests), places)) == expected


@given(st.lists(st.sampled_from(list(REQUESTS.values())), max_size=3), st.data())
def test_a_refusal_comes_after_the_requests_before_it_however_all_is_cut(
    requests: list[bytes], data: st.DataObject
) -> None:
    bad, status = data.draw(
        st.sampled_from(
            [
                (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
                (b"GET / HTTP/1.1\r\n\r\n", 400),
                (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
                (request("/", "Content-Length: 99999999"), 413),
                (request("/", "Expect: more"), 417),
                (request("/" + "a" * 9_000), 414),
                (request("/", f"X: {'a' * 20_000}"), 431),
                (CHUNKED + b"fffffff\r\n", 413),
            ]
        )
    )
    raw = b"".join(requests) + bad + REQUESTS["plain"]
    incoming = Incoming(LIMITS, Counted())
    found = 0
    with pytest.raises(RequestRefused) as caught:  # noqa: PT012 - which piece it is does not matter
        for piece in cut(raw, data.draw(st.lists(st.integers(min_value=0), max_size=6))):
            head = incoming.receive(piece)
            while head is not None:
                found += 1
                head = incoming.receive(b"")
    assert (found, caught.value.status) == (len(requests), status)


@pytest.mark.parametrize("piece_bytes", [1_000, 65_536, 10_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_big_body_comes_out_whole(chunked: bool, piece_bytes: int) -> None:
    limits = WireLimits(
        max_header_bytes=16_384, max_headers=100, max_target_bytes=8_192, max_body_bytes=5_000_000
    )
    body = bytes(number % 251 for number in range(5_000_000))
    if chunked:
        raw = CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    else:
        raw = request("/", method="POST", body=body)
    raw += REQUESTS["plain"]
    pieces = [raw[at : at + piece_bytes] for at in range(0, len(raw), piece_bytes)]
    first, second = requests_of(pieces, limits)
    assert first.body == body
    assert second.target == "/hello"


def test_what_is_known_of_fields_is_shared_by_the_requests_that_repeat_them() -> None:
    incoming = Incoming(LIMITS, Counted())
    first, other = "x" * 200, "y" * 200

    def known(cookie: str) -> Repeated | None:
        head = incoming.receive(request("/", f"Cookie: {cookie}"))
        assert head is not None
        assert head.value("cookie") == head.by_name()["cookie"] == cookie
        return head.repeated

    assert known(first) is None
    repeated = known(first)
    assert repeated is not None
    assert known(first) is repeated
    assert known(other) is None
    assert known(other) not in (None, repeated)
    assert known("short") is None


def test_what_is_kept_while_a_request_runs_is_read_after_it() -> None:
    incoming = Incoming(LIMITS, Counted())
    assert incoming.receive(request("/a") + b"GET /b HT") is not None
    assert incoming.kept_bytes == 9
    rest = b"TP/1.1\r\nHost: a\r\n\r\n"
    assert incoming.keep(rest)
    assert incoming.kept_bytes == 9 + len(rest)
    head = incoming.receive(b"")
    assert head is not None
    assert head.target == "/b"
    assert incoming.kept_bytes == 0
    assert incoming.receive(b"") is None


@pytest.mark.parametrize(
    "head",
    [
        request("/", "Content-Length: 10", method="POST"),
        CHUNKED + b"a\r\n",
    ],
)
def test_the_progress_of_a_request_can_be_followed(head: bytes) -> None:
    incoming = Incoming(LIMITS, Counted())
    assert _progress(incoming) == (False, False, 0)
    incoming.receive(head[:20])
    assert _progress(incoming) == (True, False, 0)
    incoming.receive(head[20:])
    assert _progress(incoming) == (True, True, 0)
    incoming.receive(b"0123")
    assert _progress(incoming) == (True, True, 4)
    end = b"\r\n0\r\n\r\n" if head.startswith(CHUNKED) else b""
    assert incoming.receive(b"456789" + end) is not None
    assert incoming.take_body() == b"0123456789"
    assert _progress(incoming) == (False, False, 0)


def _progress(incoming: Incoming) -> tuple[bool, bool, int]:
    return incoming.begun, incoming.in_body, incoming.body_bytes_received


def test_continue_is_wanted_once_and_only_while_the_body_is_awaited() -> None:
    raw = REQUESTS["expecting"]
    incoming = Incoming(LIMITS, Counted())
    assert not incoming.take_continue()
    assert incoming.receive(raw[:-5]) is None
    assert incoming.take_continue()
    assert not incoming.take_continue()
    assert incoming.receive(raw[-5:]) is not None
    assert incoming.take_body() == b"later"
    assert not incoming.take_continue()


def test_no_continue_is_wanted_once_the_body_is_coming() -> None:
    incoming = Incoming(LIMITS, Counted())
    assert incoming.receive(REQUESTS["expecting"][:-3]) is None
    assert not incoming.take_continue()


def test_no_continue_is_wanted_where_it_was_refused() -> None:
    incoming = Incoming(LIMITS, Counted())
    with pytest.raises(RequestRefused):
        incoming.receive(request("/", "Expect: 100-continue", "Content-Length: 99999999"))
    assert not incoming.take_continue()


# What is counted ---------------------------------------------------------------------------------

BODY = b"0123456789" * 10
UPLOADS = {
    "plain": request("/", method="POST", body=BODY),
    "read by h11": request("/", "Expect: 100-continue", method="POST", body=BODY),
    "chunked": CHUNKED + b"32\r\n%b\r\n32\r\n%b\r\n0\r\n\r\n" % (BODY[:50], BODY[50:]),
}


@pytest.mark.parametrize("name", UPLOADS)
@pytest.mark.parametrize("piece_bytes", [1, 7, 1_000])
def test_a_body_counts_as_it_comes_and_until_it_is_given_back(name: str, piece_bytes: int) -> None:
    budget = Counted()
    incoming = Incoming(LIMITS, budget)
    raw = UPLOADS[name]
    head = None
    for at in range(0, len(raw), piece_bytes):
        head = incoming.receive(raw[at : at + piece_bytes])
        assert budget.used == (incoming.body_bytes_received if head is None else 100)
    assert head is not None
    body = incoming.take_body()
    assert (body, budget.used) == (BODY, 100)
    incoming.discard()
    assert budget.used == 100  # it is no longer the connection's


@pytest.mark.parametrize("name", UPLOADS)
@pytest.mark.parametrize("piece_bytes", [1, 7, 1_000])
def test_a_body_beyond_what_may_be_buffered_is_503(name: str, piece_bytes: int) -> None:
    raw = UPLOADS[name]
    budget = Counted(limit=150)
    budget.take(50)
    assert len(requests_of([raw], budget=budget)) == 1
    budget.take(1)
    incoming = Incoming(LIMITS, budget)
    with pytest.raises(RequestRefused) as caught:  # noqa: PT012 - which piece it is does not matter
        for at in range(0, len(raw), piece_bytes):
            incoming.receive(raw[at : at + piece_bytes])
    assert (caught.value.status, caught.value.fields) == (503, (("Retry-After", "1"),))
    incoming.discard()
    assert budget.used == 51


def test_what_is_read_ahead_counts_and_is_bounded() -> None:
    budget = Counted(limit=100_000)
    incoming = Incoming(LIMITS, budget)
    incoming.receive(request("/a"))
    assert incoming.keep(bytes(60_000))
    assert budget.used == 60_000
    assert not incoming.keep(bytes(6_000))  # more than is read ahead
    budget.take(40_000)
    other = Incoming(LIMITS, budget)
    other.receive(request("/a"))
    assert not other.keep(b"x")  # more than may be buffered
    other.discard()
    incoming.discard()
    assert budget.used == 40_000


@given(
    st.lists(st.sampled_from([*REQUESTS.values(), *UPLOADS.values()]), max_size=5),
    st.lists(st.integers(min_value=0), max_size=8),
    st.booleans(),
)
def test_nothing_is_left_counted_however_all_is_cut(
    requests: list[bytes], places: list[int], ahead: bool
) -> None:
    budget = Counted()
    incoming = Incoming(LIMITS, budget)
    pieces = iter(cut(b"".join(requests), places))
    for piece in pieces:
        head = incoming.receive(piece)
        while head is not None:
            if ahead:
                incoming.keep(next(pieces, b""))
            budget.give(len(incoming.take_body()))
            head = incoming.receive(b"")
    incoming.discard()
    assert budget.used == 0


def test_a_body_in_crumbs_is_read_in_small_helpings() -> None:
    incoming = Incoming(LIMITS, Counted())
    incoming.receive(CHUNKED)
    assert incoming.appetite_bytes == 65_536
    incoming.receive(b"1\r\nx\r\n" * 1_000)
    assert incoming.appetite_bytes == 4_096
    incoming.receive(b"8000\r\n" + bytes(0x8000) + b"\r\n")
    assert incoming.appetite_bytes == 4_096
    incoming.receive(b"8000\r\n" + bytes(0x8000) + b"\r\n")
    assert incoming.appetite_bytes == 65_536
    incoming.receive(b"1\r\nx\r\n" * 3_000)
    assert incoming.appetite_bytes == 4_096
    assert incoming.receive(b"0\r\n\r\n") is not None
    assert incoming.appetite_bytes == 65_536


@pytest.mark.parametrize("unit", [b"a", b"a:b\r\n"])
def test_a_head_that_drips_in_takes_linear_time(unit: bytes) -> None:
    limits = WireLimits(1 << 24, 1 << 20, 1 << 24, 1 << 24)

    def best_time(size: int) -> float:
        start = b"GET / HTTP/1.1\r\nHost: a\r\n" if b":" in unit else b"GET / HTTP/1.1\r\nA: "
        pieces = one_by_one(start + unit * (size // len(unit)))
        times = []
        for _ in range(3):
            incoming = Incoming(limits, Counted())
            begin = time.perf_counter()
            for piece in pieces:
                incoming.receive(piece)
            times.append(time.perf_counter() - begin)
        return min(times)

    # Eight times the size takes 8 times as long if linear and 64 times if quadratic.
    assert best_time(8 * 4_096) < 30 * best_time(4_096)
