"""The response on one stream: what it amounts to, and which are refused."""

import pytest

from siphon.errors import ResponseRefused
from siphon.wire.http2_fields import MalformedResponse
from siphon.wire.stream_response import StreamResponse


def head(status: int, *lengths: str) -> list[tuple[bytes, bytes]]:
    return [(b":status", b"%d" % status), *[(b"content-length", length.encode()) for length in lengths]]


def test_parts_make_a_body_and_trailers_are_dropped() -> None:
    response = StreamResponse("GET", 100)
    response.receive_interim(head(103))
    assert response.fields == []
    response.receive_head([*head(200), (b"x", b"\xe9")])
    for part in (b"one", b"", b"two"):
        response.receive(part)
    response.receive_trailers([(b"y", b"1")])
    response.finish()
    assert (response.status, response.fields, response.body) == (200, [("x", "\xe9")], b"onetwo")


@pytest.mark.parametrize("lengths", [(), ("3",), ("3", "3"), ("003",)])
def test_a_length_that_is_true_is_accepted(lengths: tuple[str, ...]) -> None:
    response = StreamResponse("GET", 3)
    response.receive_head(head(200, *lengths))
    response.receive(b"abc")
    response.finish()
    assert response.body == b"abc"


@pytest.mark.parametrize(
    "lengths", [("2", "3"), ("3, 3",), ("+3",), ("3.0",), ("",), ("0x3",), ("1" * 16,), ("\xb3",)]
)
def test_a_length_that_is_none_is_refused(lengths: tuple[str, ...]) -> None:
    with pytest.raises(MalformedResponse, match="the Content-Length of the answer is"):
        StreamResponse("GET", 3).receive_head(head(200, *lengths))


@pytest.mark.parametrize(
    ("body", "complaint"), [(b"ab", "ended after 2 of the 3"), (b"abcd", "longer than the 3")]
)
def test_a_length_that_lies_is_refused(body: bytes, complaint: str) -> None:
    response = StreamResponse("GET", 100)
    response.receive_head(head(200, "3"))
    with pytest.raises(MalformedResponse, match=complaint):
        _finish(response, body)


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_a_response_without_a_body_has_none_whatever_its_length_says(method: str, status: int) -> None:
    response = StreamResponse(method, 1)
    response.receive_head(head(status, "1000"))
    response.receive(b"")
    response.finish()
    assert response.body == b""
    with pytest.raises(MalformedResponse, match="the answer has a body, and cannot have one"):
        response.receive(b"x")


def test_a_body_over_the_limit_is_refused_as_soon_as_that_is_known() -> None:
    response = StreamResponse("GET", 3)
    with pytest.raises(ResponseRefused, match="larger than 3 bytes") as error:
        response.receive_head(head(200, "4"))
    assert not isinstance(error.value, MalformedResponse)
    response = StreamResponse("GET", 3)
    response.receive_head(head(200))
    response.receive(b"abc")
    with pytest.raises(ResponseRefused, match="larger than 3 bytes"):
        response.receive(b"d")


def test_a_switch_of_protocols_is_refused() -> None:
    with pytest.raises(MalformedResponse, match="switched protocols"):
        StreamResponse("GET", 3).receive_interim(head(101))


def _finish(response: StreamResponse, body: bytes) -> None:
    response.receive(body)
    response.finish()
