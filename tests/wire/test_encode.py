"""A response as bytes: framing, the fields that siphon has a say in, and no way to split a message."""

from __future__ import annotations

import re
from email.utils import formatdate, parsedate_to_datetime

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from siphon.errors import ResponseError
from siphon.messages import FieldsArgument, Response
from siphon.wire import encode
from siphon.wire.encode import Encoder

OURS = {"connection", "content-length", "date", "server", "transfer-encoding", "keep-alive"}


def sent(
    response: Response,
    method: str = "GET",
    *,
    minor_version: int = 1,
    keep_alive: bool = True,
    server_header: bool = True,
) -> tuple[bytes, bool]:
    encoded = Encoder().encode(response, method, minor_version, keep_alive, server_header, 0.0)
    return encoded[0] + encoded[1], encoded[2]


def read(data: bytes, method: str = "GET") -> tuple[h11.Response, bytes]:
    """What h11's client understands; asserts that nothing is left over and nothing is missing."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    head = client.next_event()
    assert isinstance(head, h11.Response), head
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage), event
    assert client.trailing_data[0] == b""
    return head, body


def fields(data: bytes) -> list[tuple[str, str]]:
    """The fields as they stand in the bytes, siphon's own Date and Server left out."""
    head = data.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
    pairs = [(name, value) for name, _, value in (line.partition(": ") for line in head)]
    return [pair for pair in pairs if pair[0] not in ("Date", "Server")]


# Framing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "method", "headers", "length", "body"),
    [
        (200, "GET", None, "4", b"body"),
        (404, "GET", None, "4", b"body"),
        (200, "HEAD", None, "4", b""),
        (404, "HEAD", None, "4", b""),
        (200, "HEAD", {"Content-Length": "1234"}, "1234", b""),
        (204, "GET", None, None, b""),
        (204, "GET", {"Content-Length": "4"}, None, b""),
        (204, "HEAD", None, None, b""),
        (205, "GET", None, "0", b""),
        (205, "HEAD", None, "0", b""),
        (304, "GET", None, None, b""),
        (304, "GET", {"Content-Length": "1234"}, "1234", b""),
        (304, "HEAD", None, None, b""),
        (200, "GET", {"content-LENGTH": "4"}, "4", b"body"),
        (200, "GET", {"Content-Length": "0004"}, "4", b"body"),
        (200, "GET", [("Content-Length", "4"), ("Content-Length", "4")], "4", b"body"),
        (599, "GET", None, "4", b"body"),
    ],
)
def test_a_message_is_framed_by_its_status_and_method(
    status: int, method: str, headers: FieldsArgument | None, length: str | None, body: bytes
) -> None:
    data, keep_alive = sent(Response(status, headers, "body"), method)
    head, read_body = read(data, method)
    assert head.status_code == status
    assert read_body == body
    assert dict(fields(data)).get("Content-Length") == length
    assert data.count(b"Content-Length") == (length is not None)
    assert keep_alive


def test_an_empty_body_has_a_length() -> None:
    assert fields(sent(Response())[0]) == [("Content-Length", "0")]


@pytest.mark.parametrize("value", ["5", "3", "", "-4", "+4", "4, 4", "4x", "0x4", "٤", "9" * 19])
def test_a_content_length_that_is_not_the_bodys_is_refused(value: str) -> None:
    with pytest.raises(ResponseError, match="Content-Length"):
        sent(Response(headers={"Content-Length": value}, body="body"))


def test_two_different_content_lengths_are_refused_even_without_a_body() -> None:
    with pytest.raises(ResponseError, match="Content-Length"):
        sent(Response(headers=[("Content-Length", "4"), ("Content-Length", "5")]), "HEAD")


@pytest.mark.parametrize("value", ["chunked", "identity", "gzip, chunked"])
def test_a_transfer_encoding_is_not_the_scripts_to_set(value: str) -> None:
    with pytest.raises(ResponseError, match="Transfer-Encoding"):
        sent(Response(headers={"transfer-encoding": value}))


# The start line and siphon's own fields ----------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (200, b"HTTP/1.1 200 OK\r\n"),
        (418, b"HTTP/1.1 418 I'm a Teapot\r\n"),
        (599, b"HTTP/1.1 599 \r\n"),
        (999, b"HTTP/1.1 999 \r\n"),
    ],
)
@pytest.mark.parametrize("minor_version", [0, 1])
def test_the_status_line_says_1_1_whoever_asks(status: int, line: bytes, minor_version: int) -> None:
    assert sent(Response(status), minor_version=minor_version)[0].startswith(line)


def test_the_date_is_now_and_made_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def date(second: int) -> str:
        made.append(second)
        return "a date"

    # The monotonic clock is 990 s behind; then the wall clock is set back by 700 s.
    seconds = [
        (1_000.25, 10.25),
        (1_000.5, 10.5),
        (1_000.99, 10.99),
        (1_001.0, 11.0),
        (301.5, 11.5),
        (302.0, 12.0),
    ]
    monkeypatch.setattr(encode, "_date", date)
    monkeypatch.setattr(encode, "time", lambda: seconds[0][0])
    encoder = Encoder()
    while seconds:
        assert b"\r\nDate: a date\r\n" in encoder.encode(Response(), "GET", 1, True, True, seconds[0][1])[0]
        del seconds[0]
    assert made == [1_000, 1_001, 302]


@given(st.integers(0, 253_402_300_799))
def test_a_date_is_what_the_standard_library_writes(second: int) -> None:
    assert encode._date(second) == formatdate(second, usegmt=True)


def test_the_date_can_be_read() -> None:
    date = dict(read(sent(Response())[0])[0].headers)[b"date"].decode()
    assert re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", date)
    parsedate_to_datetime(date)


def test_the_server_field_can_be_turned_off() -> None:
    assert b"\r\nServer: siphon\r\n" in sent(Response())[0]
    assert b"Server" not in sent(Response(), server_header=False)[0]
    assert b"Server" not in sent(Response(headers={"X": "y"}), server_header=False)[0]


@pytest.mark.parametrize("server_header", [True, False])
def test_the_scripts_date_and_server_take_the_place_of_siphons(server_header: bool) -> None:
    given = {"date": "Thu, 01 Jan 1970 00:00:00 GMT", "SERVER": "mine"}
    data, _ = sent(Response(headers=given), server_header=server_header)
    assert data.lower().count(b"\r\ndate:") == data.lower().count(b"\r\nserver:") == 1
    assert fields(data) == [*given.items(), ("Content-Length", "0")]


@pytest.mark.parametrize("server_header", [True, False])
def test_an_encoder_keeps_its_two_kinds_of_answers_apart(server_header: bool) -> None:
    encoder = Encoder()
    for kind in (True, False, server_header, True):
        assert (b"Server" in encoder.encode(Response(), "GET", 1, True, kind, 0.0)[0]) is kind


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("size", [0, 65_535, 65_536, 1_000_000])
def test_a_large_body_is_not_copied_behind_its_head(size: int, method: str) -> None:
    body = b"x" * size
    data, large_body, _ = Encoder().encode(Response(body=body), method, 1, True, True, 0.0)
    head, read_body = read(data + large_body, method)
    assert dict(head.headers)[b"content-length"] == b"%d" % size
    assert read_body == (body if method == "GET" else b"")
    assert large_body == b"" if method == "HEAD" or size < 65_536 else large_body is body


# The connection ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("minor_version", "allowed", "given", "line", "kept"),
    [
        (1, True, None, None, True),
        (1, False, None, "close", False),
        (0, True, None, "keep-alive", True),
        (0, False, None, "close", False),
        (1, True, "close", "close", False),
        (1, True, "x, CLOSE", "close", False),
        (0, True, "close", "close", False),
        (1, True, "keep-alive", None, True),
        (1, False, "keep-alive", "close", False),
        (0, False, "keep-alive", "close", False),
    ],
)
def test_the_connection_goes_on_only_where_all_agree(
    minor_version: int, allowed: bool, given: str | None, line: str | None, kept: bool
) -> None:
    response = Response(headers=None if given is None else {"Connection": given})
    data, keep_alive = sent(response, minor_version=minor_version, keep_alive=allowed)
    assert keep_alive is kept
    assert dict(fields(data)).get("Connection") == line
    assert data.count(b"Connection") == (line is not None)


# Fields ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        {"Set-Cookie": ["a=1", "b=2"], "X": "y"},
        {"Set-Cookie": ("a=1", "b=2"), "X": "y"},
        [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X", "y")],
    ],
)
def test_a_name_may_have_several_values(given: FieldsArgument) -> None:
    data, _ = sent(Response(headers=given))
    assert fields(data)[:3] == [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X", "y")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X", "a\r\nSet-Cookie: b"),
        ("X", "a\n"),
        ("X", "\r"),
        ("X", "a\0"),
        ("X", "a\x0bb"),
        ("X", "\x7f"),
        ("X", "日本"),
        ("X", "\udc80"),
        ("Location", "/a\r\n\r\n<script>"),
        ("X\r\nY", "a"),
        ("X ", "a"),
        ("X:", "a"),
        ("", "a"),
        ("Ä", "a"),
        ("X\n", "a"),
        ("Content-Type\0", "a"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_field_that_would_split_the_response_is_refused_by_name(name: str, value: str, method: str) -> None:
    encoder = Encoder()
    for _ in range(2):  # a refused field is not remembered as a good one
        with pytest.raises(ResponseError, match=re.escape(repr(name))):
            encoder.encode(Response(headers=[("A", "b"), (name, value)]), method, 1, True, True, 0.0)
    assert encoder.encode(Response(headers={"A": "b"}), method, 1, True, True, 0.0)[2]


NAMES = st.one_of(
    st.sampled_from(["Content-Type", "Set-Cookie", "X-A", "Date", "server", "Connection", "Content-Length"]),
    st.text(st.characters(codec="latin-1"), max_size=8),
    st.text(max_size=4),
)
VALUES = st.one_of(
    st.text(st.sampled_from("ab \t,;=é\r\n\0"), max_size=8),
    st.text(st.characters(codec="latin-1"), max_size=12),
    st.text(max_size=6),
)


@given(
    st.lists(st.tuples(NAMES, VALUES), max_size=6),
    st.binary(max_size=20),
    st.sampled_from([200, 201, 204, 304, 404, 500, 599]),
    st.sampled_from(["GET", "HEAD", "POST"]),
    st.booleans(),
)
@example([("X", " a\t")], b"", 200, "GET", True)
@example([("X", "")], b"", 200, "GET", True)
def test_whatever_is_given_is_refused_or_read_back_as_given(
    pairs: list[tuple[str, str]], body: bytes, status: int, method: str, keep_alive: bool
) -> None:
    response = Response(status, pairs, body)
    try:
        data, _ = sent(response, method, keep_alive=keep_alive)
    except ResponseError:
        return
    head, read_body = read(data, method)
    assert head.status_code == status
    assert read_body == (b"" if method == "HEAD" or status in (204, 304) else body)
    received = [(name.decode(), value.decode("latin-1")) for name, value in head.headers]
    given = [(name.lower(), value.strip(" \t")) for name, value in pairs]
    assert [pair for pair in received if pair[0] not in OURS] == [
        pair for pair in given if pair[0] not in OURS
    ]


@given(st.lists(st.tuples(NAMES, VALUES), max_size=3))
def test_an_encoder_that_has_seen_a_field_sends_it_alike(pairs: list[tuple[str, str]]) -> None:
    encoder = Encoder()
    outcomes = []
    for _ in range(3):
        try:
            data, _, _ = encoder.encode(Response(headers=pairs), "GET", 1, True, False, 0.0)
            outcomes.append(fields(data))
        except ResponseError as error:
            outcomes.append([("error", str(error))])
    assert outcomes[0] == outcomes[1] == outcomes[2]
