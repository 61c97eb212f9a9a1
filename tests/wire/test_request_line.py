"""Request lines: the four target forms, versions, and what is refused before the line is whole."""

from dataclasses import replace

import pytest

from siphon.errors import RequestRefused
from siphon.wire.request_line import RequestLine, check_line_so_far, parse_request_line
from tests.wire.reading import LIMITS


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"GET / HTTP/1.1", ("GET", "/", None, 1)),
        (b"GET //a HTTP/1.1", ("GET", "//a", None, 1)),
        (b"GET /a?b|c HTTP/1.0", ("GET", "/a?b|c", None, 0)),
        (b"GET / HTTP/1.9", ("GET", "/", None, 1)),
        (b"OPTIONS * HTTP/1.1", ("OPTIONS", "*", None, 1)),
        (b"GET http://h HTTP/1.1", ("GET", "/", b"h", 1)),
        (b"GET http://h:80/ HTTP/1.1", ("GET", "/", b"h:80", 1)),
        (b"GET HTTPS://h/a?b HTTP/1.1", ("GET", "/a?b", b"h", 1)),
        (b"GET http://h?b HTTP/1.1", ("GET", "/?b", b"h", 1)),
        (b"GET http://[::1]:8/a HTTP/1.1", ("GET", "/a", b"[::1]:8", 1)),
        (b"OPTIONS http://h:80 HTTP/1.1", ("OPTIONS", "*", b"h:80", 1)),
        (b"OPTIONS http://h:80/ HTTP/1.1", ("OPTIONS", "/", b"h:80", 1)),
        (b"OPTIONS http://h?a HTTP/1.1", ("OPTIONS", "/?a", b"h", 1)),
        (b"CONNECT h:443 HTTP/1.1", ("CONNECT", "h:443", None, 1)),
        (b"CONNECT [::1]:443 HTTP/1.1", ("CONNECT", "[::1]:443", None, 1)),
        (b"unknown / HTTP/1.1", ("unknown", "/", None, 1)),
    ],
)
def test_a_good_line_is_read(line: bytes, expected: tuple[str, str, bytes | None, int]) -> None:
    assert parse_request_line(line + b"\r\n") == RequestLine(*expected)


@pytest.mark.parametrize(
    "line",
    [
        b"GET /",
        b"GET",
        b"",
        b"GET / HTTP/1.1 ",
        b"GET / HTTP/1",
        b"GET / HTTP/1.10",
        b"GET / HTTP/11",
        b"GET / HTTP/a.b",
        b"GET / HTTP/1,1",
        b"GET / HTTPS/1.1",
        b"GET / Http/1.1",
        b"GET /a b HTTP/1.1",
        b"GET  / HTTP/1.1",
        b"GET\t/ HTTP/1.1",
        b"GET / HTTP/1.1\r",
        b"GET /\x00 HTTP/1.1",
        b"GET /\x7f HTTP/1.1",
        b"GET /\xc3\xa9 HTTP/1.1",
        b"GET /a#b HTTP/1.1",
        b"GET /# HTTP/1.1",
        b"GET a/b HTTP/1.1",
        b"GET ?a HTTP/1.1",
        b"GET * HTTP/1.1",
        b"OPTIONS ** HTTP/1.1",
        b"OPTIONS *?a HTTP/1.1",
        b"GET h:443 HTTP/1.1",
        b"GET ftp://h/ HTTP/1.1",
        b"GET http:/h/ HTTP/1.1",
        b"GET http:// HTTP/1.1",
        b"GET http:///a HTTP/1.1",
        b"GET http://u@h/ HTTP/1.1",
        b"GET http://u:p@h/ HTTP/1.1",
        b"GET http://h:x/ HTTP/1.1",
        b"GET http://h/#f HTTP/1.1",
        b"GET http://h#f HTTP/1.1",
        b"CONNECT / HTTP/1.1",
        b"CONNECT h HTTP/1.1",
        b"CONNECT h: HTTP/1.1",
        b"CONNECT h:65536 HTTP/1.1",
        b"CONNECT http://h:1/ HTTP/1.1",
        b"G@T / HTTP/1.1",
        b"G\xc9T / HTTP/1.1",
    ],
)
def test_a_malformed_line_is_400(line: bytes) -> None:
    with pytest.raises(RequestRefused) as caught:
        parse_request_line(line + b"\r\n")
    assert caught.value.status == 400


def test_a_line_without_a_carriage_return_is_400() -> None:
    with pytest.raises(RequestRefused) as caught:
        parse_request_line(b"GET / HTTP/1.1\n")
    assert caught.value.status == 400


@pytest.mark.parametrize("version", [b"0.9", b"2.0", b"3.1", b"9.9"])
def test_another_major_version_is_505(version: bytes) -> None:
    with pytest.raises(RequestRefused) as caught:
        parse_request_line(b"GET / HTTP/" + version + b"\r\n")
    assert caught.value.status == 505
    assert version.decode() in caught.value.reason


@pytest.mark.parametrize(
    "so_far", [b"G", b"GET ", b"GET /ab", b"GET /abc HTTP/1.1", b"GET /abc HTTP/1.1\r\n"]
)
def test_the_beginning_of_a_good_line_passes(so_far: bytes) -> None:
    check_line_so_far(so_far, len(so_far), replace(LIMITS, max_target_bytes=4))


@pytest.mark.parametrize(
    ("so_far", "status"),
    [
        (b"\x16", 400),
        (b"\r", 400),
        (b" ", 400),
        (b"GET /abcd", 414),
        (b"GET /abcd HTTP/1.1\r\n", 414),
        (b"GET / HTTP/1.1   ", 400),
        (b"GET / HTTP/1.1 \r\n", 400),
        (b"GET / and more than a version", 400),
    ],
)
def test_a_hopeless_line_is_refused_before_its_end(so_far: bytes, status: int) -> None:
    with pytest.raises(RequestRefused) as caught:
        check_line_so_far(so_far, len(so_far), replace(LIMITS, max_target_bytes=4))
    assert caught.value.status == status


def test_what_follows_the_line_is_not_judged() -> None:
    line = b"GET / HTTP/1.1\r\n"
    check_line_so_far(line + b"X" * 100 + b" ", len(line), replace(LIMITS, max_target_bytes=4))
