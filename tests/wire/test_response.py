"""Reading an upstream's response: what is plain, what goes to h11, what is refused."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siphon.errors import ResponseRefused
from siphon.wire.response import ResponseReader

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\n wo\r\n0\r\nT: x\r\n\r\n"
)
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\nA: b\r\n\r\n"
UNTIL_END = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nall that comes"
WHOLE = [PLAIN, CHUNKED, INTERIM, UNTIL_END, b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx"]


def read(data: bytes, *cuts: int, method: str = "GET", max_body_bytes: int = 1_000_000) -> ResponseReader:
    """Reads ``data`` in pieces, and the end of the stream where that is not enough."""
    reader = ResponseReader(method, max_body_bytes)
    ends = [*sorted(cuts), len(data)]
    for begin, end in zip([0, *ends], ends, strict=False):
        if begin < end and not reader.is_whole:
            reader.receive(data[begin:end])
    if not reader.is_whole:
        reader.receive(b"")
    return reader


def seen(reader: ResponseReader) -> tuple[int | None, list[tuple[str, str]], bytes, bool]:
    return reader.status, reader.fields, reader.body, reader.keep_alive


def test_a_plain_response_is_read() -> None:
    fields = [("content-type", "text/plain"), ("content-length", "5")]
    assert seen(read(PLAIN)) == (200, fields, b"hello", True)


def test_a_chunked_body_is_decoded_and_its_trailers_are_dropped() -> None:
    assert seen(read(CHUNKED)) == (200, [("transfer-encoding", "chunked")], b"hello wo", True)


def test_interim_responses_are_passed_over() -> None:
    assert seen(read(INTERIM)) == (204, [("a", "b")], b"", True)


def test_without_a_length_the_body_ends_with_the_connection_which_is_not_used_again() -> None:
    assert seen(read(UNTIL_END)) == (200, [("a", "b")], b"all that comes", False)


@pytest.mark.parametrize("data", WHOLE)
@given(cuts=st.lists(st.integers(min_value=0, max_value=100), max_size=8))
def test_a_response_reads_the_same_however_it_is_cut(data: bytes, cuts: list[int]) -> None:
    assert seen(read(data, *cuts)) == seen(read(data))


@pytest.mark.parametrize("data", WHOLE)
def test_a_response_reads_the_same_byte_by_byte(data: bytes) -> None:
    assert seen(read(data, *range(len(data)))) == seen(read(data))


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 500\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n"),
    ],
)
def test_responses_without_a_body_end_with_their_head(method: str, head: bytes) -> None:
    reader = ResponseReader(method, 10)
    reader.receive(head)
    assert reader.is_whole
    assert reader.body == b""
    assert reader.keep_alive


@pytest.mark.parametrize(
    "data",
    [
        PLAIN + b"HTTP/1.1 200 OK\r\n",
        CHUNKED + b"x",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: upgrade, Keep-Alive\r\n\r\nx",
        b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    ],
)
def test_a_connection_that_may_be_out_of_step_is_not_used_again(data: bytes) -> None:
    reader = read(data)
    assert reader.is_whole
    assert not reader.keep_alive


@pytest.mark.parametrize(
    ("data", "broke_off"),
    [
        (b"", True),
        (b"HTTP/1.1 200 OK\r\nContent-Le", True),
        (PLAIN[:-1], True),
        (CHUNKED[:-4], True),
        (b"HTTP/1.1 20 OK\r\n\r\n", False),
        (b"SSH-2.0-OpenSSH\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nA b: c\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", False),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000, False),
        (b"HTTP/1.1 200 OK\r\nX: \0\r\n\r\n", False),
    ],
)
def test_what_is_no_whole_response_is_refused(data: bytes, broke_off: bool) -> None:
    with pytest.raises(ResponseRefused) as refusal:
        read(data)
    assert refusal.value.broke_off is broke_off


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n12345678901",
        b"HTTP/1.1 200 OK\r\n\r\n12345678901",
    ],
)
def test_a_body_over_the_bound_by_one_byte_is_refused(data: bytes) -> None:
    with pytest.raises(ResponseRefused, match="larger than 10 bytes"):
        read(data, max_body_bytes=10)
    assert read(PLAIN, max_body_bytes=5).body == b"hello"


@given(
    status=st.integers(min_value=200, max_value=599).filter(lambda status: status not in (204, 304)),
    fields=st.lists(
        st.tuples(
            st.from_regex(r"x-[a-z]{1,8}", fullmatch=True),
            st.from_regex(r"[!-~][ -~]{0,10}[!-~]", fullmatch=True),
        ),
        max_size=5,
    ),
    body=st.binary(max_size=50),
)
def test_what_the_plain_pass_reads_h11_reads_the_same(
    status: int, fields: list[tuple[str, str]], body: bytes
) -> None:
    lines = [f"HTTP/1.1 {status} Reason", *[f"{name}: {value}" for name, value in fields]]
    data = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body
    peer = h11.Connection(h11.CLIENT)
    peer.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    peer.send(h11.EndOfMessage())
    peer.receive_data(data)
    response = peer.next_event()
    assert isinstance(response, h11.Response)
    received = b""
    while isinstance(event := peer.next_event(), h11.Data):
        received += bytes(event.data)
    reader = read(data)
    expected = [(name.decode(), value.decode("latin-1")) for name, value in response.headers]
    assert (reader.status, reader.fields, reader.body) == (response.status_code, expected, received)
