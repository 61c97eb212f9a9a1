"""The rules of RFC 9110 and RFC 9112 for what a server receives, line by line, and siphon's choices.

Each rule has requests that keep it or break it. However a request is cut, what becomes of it is the same:
whole, byte by byte, line by line and at random places. Where an RFC leaves a choice, siphon's is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siphon.errors import RequestRefused
from siphon.wire.incoming import Incoming
from tests.wire.hosts import INVALID_HOSTS, VALID_HOSTS
from tests.wire.reading import LIMITS, Counted, cut, one_by_one

if TYPE_CHECKING:
    from collections.abc import Iterable


class Seen(NamedTuple):
    """What a handler is to see of a request, and whether the connection goes on."""

    method: str = "GET"
    target: str = "/"
    body: bytes = b""
    keep_alive: bool = True


type Outcome = tuple[Seen | int, ...]
"""The requests in order; a number at the end is the status of a refusal."""

OK = (Seen(),)
BAD = (400,)
POSTED = (Seen("POST", "/", b"hello"),)
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
THEN = Seen("GET", "/next")


def line(text: bytes, *fields: bytes) -> bytes:
    """A request with this line, a Host and further fields."""
    return b"".join(part + b"\r\n" for part in (text, b"Host: a", *fields, b""))


def get(*fields: bytes) -> bytes:
    return line(b"GET / HTTP/1.1", *fields)


def post(*fields: bytes, body: bytes = b"hello") -> bytes:
    return line(b"POST / HTTP/1.1", *fields) + body


def chunked(body: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", body=body)


HELLO = b"5\r\nhello\r\n0\r\n\r\n"

RULES: dict[str, list[tuple[bytes, Outcome]]] = {
    # RFC 9112 section 2: the message ---------------------------------------------------------------
    "2.2: a message is parsed as octets; text beyond ASCII in a value ends no line": [
        (get(b"X: \xe5\x98\x8a\xe5\x98\x8d"), OK),
        (get(b"X: \x85\xa0"), OK),
    ],
    "2.2: lines end with CR LF; a bare LF, which may be taken, is not": [
        (b"GET / HTTP/1.1\nHost: a\r\n\r\n", BAD),
        (b"GET / HTTP/1.1\r\nHost: a\n\r\n", BAD),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\n\r\n", BAD),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n", BAD),
        (b"GET / HTTP/1.1\n\n", BAD),
        (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ],
    "2.2: a bare CR is invalid wherever it stands": [
        (b"GET / HTTP/1.1\rHost: a\r\n\r\n", BAD),
        (b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
        (b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", BAD),
        (get(b"X: a\rb"), BAD),
        (get(b"X: a\r"), BAD),
        (get(b"X\r: a"), BAD),
        (get(b"\rX: a"), BAD),
    ],
    "2.2: one empty line before a request line is ignored; a second one is not": [
        (b"\r\n" + NEXT, (THEN,)),
        (NEXT + b"\r\n" + NEXT, (THEN, THEN)),
        (b"\r\n\r\n" + NEXT, BAD),
    ],
    "2.2: whitespace between the request line and the first field": [
        (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", BAD),
        (b"GET / HTTP/1.1\r\n\tHost: a\r\n\r\n", BAD),
        (b"GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n", BAD),
    ],
    "2.2: what is no HTTP message is 400": [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", BAD),
        (b"*1\r\n$4\r\nPING\r\n", BAD),
        (b"SSH-2.0-OpenSSH_9.2\r\n", BAD),
        (b"{}\r\n", BAD),
        (b"\x00", BAD),
    ],
    "2.3: the version is HTTP, a slash, one digit, a dot, one digit": [
        (line(b"GET / HTTP/1"), BAD),
        (line(b"GET / HTTP/1."), BAD),
        (line(b"GET / HTTP/.1"), BAD),
        (line(b"GET / HTTP/01.1"), BAD),
        (line(b"GET / HTTP/1.01"), BAD),
        (line(b"GET / HTTP/1.10"), BAD),
        (line(b"GET / HTTP/11"), BAD),
        (line(b"GET / HTTP /1.1"), BAD),
        (line(b"GET / HTTP/ 1.1"), BAD),
        (line(b"GET / HTTP/1 .1"), BAD),
        (line(b"GET / HTTP/1.x"), BAD),
        (line(b"GET / HTTP/-1.1"), BAD),
        (line(b"GET / HTTPS/1.1"), BAD),
        (line(b"GET / XHTTP/1.1"), BAD),
        (line(b"GET /  1.1"), BAD),
        (b"GET /\r\n", BAD),
        (b"GET / \r\n", BAD),
    ],
    "2.3: HTTP is written in capitals": [(line(b"GET / http/1.1"), BAD), (line(b"GET / Http/1.1"), BAD)],
    "2.3: a higher minor version is served as 1.1": [
        (line(b"GET / HTTP/1.2"), OK),
        (line(b"GET / HTTP/1.9"), OK),
    ],
    "2.3: another major version is 505": [
        (line(b"GET / HTTP/2.0"), (505,)),
        (line(b"GET / HTTP/0.9"), (505,)),
        (line(b"GET / HTTP/3.1"), (505,)),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (505,)),
    ],
    # Section 3: the request line -------------------------------------------------------------------
    "3: single spaces separate its parts, and nothing follows the version": [
        (line(b"GET  / HTTP/1.1"), BAD),
        (line(b"GET /  HTTP/1.1"), BAD),
        (line(b"GET / HTTP/1.1 "), BAD),
        (line(b" GET / HTTP/1.1"), BAD),
        (line(b"GET\t/ HTTP/1.1"), BAD),
        (line(b"GET /\tHTTP/1.1"), BAD),
        (line(b"GET\x0b/ HTTP/1.1"), BAD),
        (line(b"GET / HTTP/1.1 HTTP/1.1"), BAD),
        (line(b"GET /a b HTTP/1.1"), BAD),
        (line(b"GET"), BAD),
        (line(b"GET HTTP/1.1"), BAD),
        (line(b"/ HTTP/1.1"), BAD),
    ],
    "3: a target that is too long is 414": [
        (line(b"GET /" + b"a" * 8_191 + b" HTTP/1.1"), (Seen(target="/" + "a" * 8_191),)),
        (line(b"GET /" + b"a" * 8_192 + b" HTTP/1.1"), (414,)),
    ],
    "3.1: the method is a token, in any case, and its case counts": [
        (line(b"get / HTTP/1.1"), (Seen("get"),)),
        (line(b"M-SEARCH / HTTP/1.1"), (Seen("M-SEARCH"),)),
        (line(b"!#$%&'*+-.^_`|~1 / HTTP/1.1"), (Seen("!#$%&'*+-.^_`|~1"),)),
        (line(b"G@T / HTTP/1.1"), BAD),
        (line(b"GE(T) / HTTP/1.1"), BAD),
        (line(b"G\x00T / HTTP/1.1"), BAD),
        (line(b"G\xc9T / HTTP/1.1"), BAD),
        (line(b'"GET" / HTTP/1.1'), BAD),
        (line(b"GET: / HTTP/1.1"), BAD),
        (line(b"[GET] / HTTP/1.1"), BAD),
    ],
    "3.2: HTTP/1.1 needs exactly one Host": [
        (b"GET / HTTP/1.1\r\n\r\n", BAD),
        (b"GET / HTTP/1.1\r\nX: y\r\n\r\n", BAD),
        (b"GET http://a/ HTTP/1.1\r\n\r\n", BAD),
        (get(b"Host: a"), BAD),
        (get(b"Host: b"), BAD),
        (get(b"hOST: b"), BAD),
        (line(b"GET / HTTP/1.0", b"Host: b"), BAD),
        (b"GET / HTTP/1.0\r\n\r\n", (Seen(keep_alive=False),)),
    ],
    "3.2: the Host is a host with an optional port": [
        *((b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % host, OK) for host in VALID_HOSTS),
        *((b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % host, BAD) for host in INVALID_HOSTS),
    ],
    "3.2: a fragment has no place in a target": [
        (line(b"GET /#a HTTP/1.1"), BAD),
        (line(b"GET /a?b#c HTTP/1.1"), BAD),
        (line(b"GET http://a/#b HTTP/1.1"), BAD),
    ],
    "3.2: a target is visible ASCII": [
        (line(b"GET /\x00 HTTP/1.1"), BAD),
        (line(b"GET /\x1f HTTP/1.1"), BAD),
        (line(b"GET /\x7f HTTP/1.1"), BAD),
        (line(b"GET /\xc3\xa9 HTTP/1.1"), BAD),
        (line(b"GET /\xc0\xaf HTTP/1.1"), BAD),
    ],
    "3.2.1: origin-form, as received": [
        (line(b"GET /a/b?c=d&e HTTP/1.1"), (Seen(target="/a/b?c=d&e"),)),
        (line(b"GET //a HTTP/1.1"), (Seen(target="//a"),)),
        (line(b"GET /../a HTTP/1.1"), (Seen(target="/../a"),)),
        (line(b"GET /%2e%2E/%00 HTTP/1.1"), (Seen(target="/%2e%2E/%00"),)),
        (line(b"GET /? HTTP/1.1"), (Seen(target="/?"),)),
        (line(b"GET /a?/?:@ HTTP/1.1"), (Seen(target="/a?/?:@"),)),
        (line(b"GET a HTTP/1.1"), BAD),
        (line(b"GET ?a HTTP/1.1"), BAD),
        (line(b"GET \\a HTTP/1.1"), BAD),
    ],
    "3.2.2: absolute-form is taken, and its authority stands for Host": [
        (line(b"GET http://b/c?d HTTP/1.1"), (Seen(target="/c?d"),)),
        (line(b"GET HTTP://b:80/ HTTP/1.1"), OK),
        (line(b"GET https://b HTTP/1.1"), OK),
        (line(b"GET http://b?c HTTP/1.1"), (Seen(target="/?c"),)),
        (line(b"GET http://[::1]:8080/c HTTP/1.1"), (Seen(target="/c"),)),
        (line(b"GET http://b/c HTTP/1.0"), (Seen(target="/c", keep_alive=False),)),
        (line(b"GET http:///c HTTP/1.1"), BAD),
        (line(b"GET http://u@b/ HTTP/1.1"), BAD),
        (line(b"GET http://u:p@b/ HTTP/1.1"), BAD),
        (line(b"GET http://b:x/ HTTP/1.1"), BAD),
        (line(b"GET http://b:65536/ HTTP/1.1"), BAD),
        (line(b"GET http:/b HTTP/1.1"), BAD),
        (line(b"GET ftp://b/ HTTP/1.1"), BAD),
        (line(b"GET b/c HTTP/1.1"), BAD),
    ],
    "3.2.3: authority-form belongs to CONNECT, which needs a valid port": [
        (line(b"CONNECT b:443 HTTP/1.1"), (Seen("CONNECT", "b:443"),)),
        (line(b"CONNECT b HTTP/1.1"), BAD),
        (line(b"CONNECT b: HTTP/1.1"), BAD),
        (line(b"CONNECT b:99999 HTTP/1.1"), BAD),
        (line(b"CONNECT :443 HTTP/1.1"), BAD),
        (line(b"CONNECT /b:443 HTTP/1.1"), BAD),
        (line(b"CONNECT http://b:443/ HTTP/1.1"), BAD),
        (line(b"CONNECT u@b:443 HTTP/1.1"), BAD),
        (line(b"GET b:443 HTTP/1.1"), BAD),
    ],
    "3.2.4: asterisk-form belongs to OPTIONS, and so does an absolute-form without a path": [
        (line(b"OPTIONS * HTTP/1.1"), (Seen("OPTIONS", "*"),)),
        (line(b"OPTIONS http://b HTTP/1.1"), (Seen("OPTIONS", "*"),)),
        (line(b"OPTIONS http://b/ HTTP/1.1"), (Seen("OPTIONS", "/"),)),
        (line(b"GET * HTTP/1.1"), BAD),
        (line(b"POST * HTTP/1.1"), BAD),
        (line(b"OPTIONS *a HTTP/1.1"), BAD),
        (line(b"OPTIONS /* HTTP/1.1"), (Seen("OPTIONS", "/*"),)),
    ],
    # Section 5: fields -------------------------------------------------------------------------------
    "5.1: nothing stands between a name and its colon": [
        (get(b"X : y"), BAD),
        (get(b"X\t: y"), BAD),
        (get(b"Content-Length : 0"), BAD),
        (get(b"Transfer-Encoding : chunked"), BAD),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", BAD),
    ],
    "5: a name is a token, and a colon follows": [
        (get(b"!#$%&'*+-.^_`|~aZ09: y"), OK),
        (get(b": y"), BAD),
        (get(b"X"), BAD),
        (get(b"X y: z"), BAD),
        *((get(b"X%c: y" % char), BAD) for char in b'"(),/;<=>?@[\\]{}'),
        *((get(b"X%c: y" % char), BAD) for char in (0x00, 0x01, 0x0B, 0x1F, 0x7F, 0x80, 0xC3, 0xFF)),
    ],
    "5: whitespace around a value is no part of it, and it may be empty": [
        (get(b"X:y", b"Y: \t y \t", b"Z:", b"Z: "), OK),
        (post(b"Content-Length: \t 5 \t"), POSTED),
        (post(b"Content-Length:5"), POSTED),
    ],
    "5.2: a folded line is 400": [
        (get(b"X: y", b" z"), BAD),
        (get(b"X: y", b"\tz"), BAD),
        (get(b"X: y", b" "), BAD),
        (get(b"X:", b" y"), BAD),
        (post(b"Content-Length: 5", b" 5"), BAD),
        (chunked(HELLO).replace(b" chunked", b"\r\n chunked"), BAD),
    ],
    "9110 5.5: a value has no control character but the tab": [
        (get(b"X: a\tb"), OK),
        *((get(b"X: a%cb" % char), BAD) for char in [*range(32), 0x7F] if char != 9),
        (get(b"X: \x00"), BAD),
    ],
    "9110 5.5: text beyond ASCII is taken": [(get(b"X: \x80\xff\xe9"), OK)],
    "5.4: fields beyond a limit are 431": [
        (get(*[b"X: y"] * 99), OK),
        (get(*[b"X: y"] * 100), (431,)),
        (get(b"X: " + b"y" * 16_384), (431,)),
        (get(b"X" * 16_384 + b": y"), (431,)),
    ],
    # Section 6: the body -----------------------------------------------------------------------------
    "6: a request without Content-Length and Transfer-Encoding has no body": [
        (post(body=b"") + NEXT, (Seen("POST"), THEN)),
        (get() + NEXT, (Seen(), THEN)),
    ],
    "6: a body does not depend on the method": [
        (get(b"Content-Length: 5") + b"hello" + NEXT, (Seen(body=b"hello"), THEN)),
        (line(b"HEAD / HTTP/1.1", b"Content-Length: 5") + b"hello", (Seen("HEAD", body=b"hello"),)),
        (line(b"PUT / HTTP/1.1", b"Transfer-Encoding: chunked") + HELLO, (Seen("PUT", body=b"hello"),)),
        (line(b"x / HTTP/1.1", b"Content-Length: 5") + b"hello", (Seen("x", body=b"hello"),)),
    ],
    "6.2: Content-Length counts the octets of the body": [
        (post(b"Content-Length: 5") + NEXT, (*POSTED, THEN)),
        (post(b"content-length: 5"), POSTED),
        (post(b"Content-Length: 0", body=b"") + NEXT, (Seen("POST"), THEN)),
        (post(b"Content-Length: 0005"), POSTED),
        (post(b"Content-Length: " + b"0" * 19 + b"5"), POSTED),
        (post(b"Content-Length: 5", body=b"\r\n\r\n\0"), (Seen("POST", body=b"\r\n\r\n\0"),)),
        (post(b"Content-Length: 6"), ()),  # not whole
    ],
    "6.3: Content-Length that is no number is 400": [
        *(
            (post(b"Content-Length: " + value), BAD)
            for value in (
                b"", b"+5", b"-5", b"-0", b"5.0", b"5e0", b"0x5", b"0o5", b"5_0", b"5 5", b"5,", b",5", b"5;",
                b'"5"', b"five", b"\xb2", b"5\xa0", b"5\x0b", b"5\x00", b"NaN", b"5,5", b"5, 5", b"5, 6",
            )
        ),
        (post(b"Content-Length: 5", b"Content-Length: 5"), BAD),
        (post(b"Content-Length: 5", b"content-LENGTH: 6"), BAD),
    ],
    "9110 8.6: a Content-Length beyond the limit is 413, however large": [
        (post(b"Content-Length: 1048577", body=b""), (413,)),
        (post(b"Content-Length: 18446744073709551621", body=b""), (413,)),
        (post(b"Content-Length: " + b"9" * 5_000, body=b""), (413,)),
    ],
    "6.1: chunked is decoded, in any case": [
        (chunked(HELLO), POSTED),
        (post(b"transfer-encoding: CHUNKED", body=HELLO), POSTED),
        (post(b"Transfer-Encoding:\tchunked ", body=HELLO), POSTED),
    ],
    "6.1: Transfer-Encoding other than exactly one chunked is 400": [
        *(
            (post(b"Transfer-Encoding: " + value, body=HELLO), BAD)
            for value in (
                b"", b"identity", b"gzip", b"gzip, chunked", b"chunked, gzip", b"chunked, chunked",
                b"chunked,", b", chunked", b"chunked;q=1", b"xchunked", b"chunkedx", b"chunk", b'"chunked"',
                b"'chunked'", b"chunked chunked", b"chu nked", b"\x0bchunked", b"chunked\x0c", b"chunked\x00",
                b"chunked\xa0",
            )
        ),
        (post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=HELLO), BAD),
        (post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=HELLO), BAD),
        (post(b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked", body=HELLO), BAD),
        (post(b"Transfer-Encoding:", b"Transfer-Encoding: chunked", body=HELLO), BAD),
    ],
    "6.1: Content-Length beside Transfer-Encoding is 400, and nothing behind it is a request": [
        (post(b"Content-Length: 15", b"Transfer-Encoding: chunked", body=HELLO) + NEXT, BAD),
        (post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=HELLO) + NEXT, BAD),
        (post(b"Transfer-Encoding: chunked", b"Content-Length: x", body=HELLO), BAD),
        (post(b"Transfer-Encoding: identity", b"Content-Length: 5"), BAD),
        (post(b"Content-Length: 0", b"Transfer-Encoding: chunked", body=HELLO), BAD),
    ],
    "6.1: HTTP/1.0 knows no Transfer-Encoding: 400": [
        (line(b"POST / HTTP/1.0", b"Transfer-Encoding: chunked") + HELLO, BAD),
        (line(b"POST / HTTP/1.0", b"Transfer-Encoding: chunked", b"Content-Length: 5") + HELLO, BAD),
    ],
    "6: a name that only looks like one that frames means nothing": [
        (get(b"Transfer_Encoding: chunked", b"Content_Length: 5", b"X-Content-Length: 5"), OK),
        (get(b"Transfer-Encodings: gzip", b"Content-Lengths: x"), OK),
    ],
    # Section 7: chunked ------------------------------------------------------------------------------
    "7.1: sizes are hexadecimal, in any case, with leading zeros": [
        (chunked(b"a\r\n0123456789\r\n0\r\n\r\n"), (Seen("POST", body=b"0123456789"),)),
        (chunked(b"A\r\n0123456789\r\n000\r\n\r\n"), (Seen("POST", body=b"0123456789"),)),
        (chunked(b"0" * 30 + HELLO), POSTED),
        (chunked(b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n") + NEXT, (*POSTED, THEN)),
        (chunked(b"0\r\n\r\n") + NEXT, (Seen("POST"), THEN)),
        (chunked(b"2\r\n\r\n\r\n0\r\n\r\n"), (Seen("POST", body=b"\r\n"),)),
        *(
            (chunked(size + b"\r\nhello\r\n0\r\n\r\n"), BAD)
            for size in (
                b"", b" 5", b"5 ", b"\t5", b"+5", b"-5", b"0x5", b"5h", b"5_", b"g", b"5.0", b"\xb5",
                b"5\x00", b"5,",
            )
        ),
    ],
    "7.1: a size beyond the limit is 413, however large": [
        (chunked(b"100001\r\n"), (413,)),
        (chunked(b"fffffffffffffffb\r\n"), (413,)),
        (chunked(b"1" + b"0" * 16 + b"5\r\nhello"), (413,)),
        (chunked(b"f" * 1_000 + b"\r\n"), (413,)),
        (chunked(b"80000\r\n" + bytes(0x80000) + b"\r\n80001\r\n"), (413,)),
    ],
    "7.1: every line and every chunk ends with CR LF": [
        (chunked(b"5\nhello\r\n0\r\n\r\n"), BAD),
        (chunked(b"5\rhello\r\n0\r\n\r\n"), BAD),
        (chunked(b"5\r\nhello\n0\r\n\r\n"), BAD),
        (chunked(b"5\r\nhello\r0\r\n\r\n"), BAD),
        (chunked(b"5\r\nhello0\r\n\r\n"), BAD),
        (chunked(b"5\r\nhello, \r\n0\r\n\r\n"), BAD),
        (chunked(b"5\r\nhell\r\n0\r\n\r\n"), BAD),
        (chunked(b"5\r\nhello\r\n0\n\r\n"), BAD),
        (chunked(b"5\r\nhello\r\n0\r\n\n"), BAD),
        (chunked(b"5\r\nhello\r\n0\r\n"), ()),  # not whole
        (chunked(b"5\r\nhello\r\n"), ()),
    ],
    "7.1.1: extensions are ignored, with whitespace around them and quoted values": [
        *(
            (chunked(b"5%b\r\nhello\r\n0%b\r\n\r\n" % (extension, extension)), POSTED)
            for extension in (
                b";a", b";a=b", b"; a = b", b" ;a", b"\t ;\t a\t=\t b", b";a;b=c;d", b';a="b c;d=e"',
                b';a="\\"\\\\"', b';a=""', b";a=\"\xe9\"",
            )
        ),
    ],
    "7.1.1: an extension that is malformed is 400": [
        *(
            (chunked(b"5%b\r\nhello\r\n0\r\n\r\n" % extension), BAD)
            for extension in (
                b";", b";;a", b";a;", b";=b", b";a=", b";a b", b";a=b c", b';a="b', b';a="b"c', b";a=b\x00",
                b";\x01",
                b";a\n", b";a\r", b';a="\x7f"', b" a", b"=a", b";a=\xe9",
            )
        ),
        (chunked(b"5;a\nb\r\nhello\r\n0\r\n\r\n"), BAD),
        (chunked(b"5;" + b"a" * 5_000), BAD),
    ],
    "7.1.2: trailers are read and dropped": [
        (chunked(b"5\r\nhello\r\n0\r\nX: y\r\nEtag:\r\n\r\n") + NEXT, (*POSTED, THEN)),
        (chunked(b"0\r\nX: y\r\nX: y\r\n\r\n"), (Seen("POST"),)),
    ],
    "7.1.2: a trailer that is malformed is 400": [
        (chunked(b"0\r\nX\r\n\r\n"), BAD),
        (chunked(b"0\r\nX : y\r\n\r\n"), BAD),
        (chunked(b"0\r\n X: y\r\n\r\n"), BAD),
        (chunked(b"0\r\nX: y\r\n z\r\n\r\n"), BAD),
        (chunked(b"0\r\nX: \x00\r\n\r\n"), BAD),
        (chunked(b"0\r\nX: y\n\r\n"), BAD),
        (chunked(b"0\r\nGET / HTTP/1.1\r\n\r\n"), BAD),
    ],
    "9110 6.5.1: a trailer that frames or routes is 400": [
        (chunked(b"0\r\n%b: 1\r\n\r\n" % name), BAD)
        for name in (
            b"Content-Length", b"Transfer-Encoding", b"HOST", b"Connection", b"Trailer", b"te", b"Upgrade",
        )
    ],
    "7.1.2: trailers beyond a limit are 431": [
        (chunked(b"0\r\n" + b"X: y\r\n" * 100 + b"\r\n"), (Seen("POST"),)),
        (chunked(b"0\r\n" + b"X: y\r\n" * 101), (431,)),
        (chunked(b"0\r\nX: " + b"y" * 16_384), (431,)),
    ],
    # Section 9: the connection -----------------------------------------------------------------------
    "9.3: HTTP/1.1 goes on unless close is said; HTTP/1.0 ends unless keep-alive is": [
        (get(b"Connection: close"), (Seen(keep_alive=False),)),
        (get(b"Connection: Close"), (Seen(keep_alive=False),)),
        (get(b"Connection: x,close, y"), (Seen(keep_alive=False),)),
        (get(b"Connection: , close ,"), (Seen(keep_alive=False),)),
        (get(b"Connection: x", b"Connection: close"), (Seen(keep_alive=False),)),
        (get(b"Connection: keep-alive, close"), (Seen(keep_alive=False),)),
        (get(b"Connection: keep-alive"), OK),
        (get(b"Connection: closed"), OK),
        (get(b"Connection:"), OK),
        (line(b"GET / HTTP/1.0"), (Seen(keep_alive=False),)),
        (line(b"GET / HTTP/1.0", b"Connection: Keep-Alive"), OK),
        (line(b"GET / HTTP/1.0", b"Connection: keep-alive, close"), (Seen(keep_alive=False),)),
    ],
    "9.3.2: pipelined requests come in order": [
        (NEXT + post(b"Content-Length: 5") + chunked(HELLO) + NEXT, (THEN, *POSTED, *POSTED, THEN)),
    ],
    "9110 7.8: Upgrade may be ignored, and is": [
        (get(b"Connection: upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"), OK),
        (get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: "), OK),
        (line(b"GET / HTTP/1.0", b"Upgrade: x", b"Connection: keep-alive"), OK),
        (post(b"Upgrade: x", b"Content-Length: 5") + NEXT, (*POSTED, THEN)),
    ],
    "9110 10.1.1: the one expectation is 100-continue; HTTP/1.0 has none": [
        (post(b"Expect: 100-continue", b"Content-Length: 5"), POSTED),
        (post(b"Expect: 100-Continue", b"Transfer-Encoding: chunked", body=HELLO), POSTED),
        (get(b"Expect: 100-continue"), OK),
        (get(b"Expect: 200-ok"), (417,)),
        (get(b"Expect: 100-continue, x"), (417,)),
        (line(b"GET / HTTP/1.0", b"Expect: x", b"Connection: keep-alive"), OK),
    ],
}  # fmt: skip

CASES = [(rule, raw, expected) for rule, cases in RULES.items() for raw, expected in cases]
IDS = [f"{rule.partition(':')[0]} {number}" for number, (rule, _, _) in enumerate(CASES)]
# Each is cut at random a few times: the short ones, or one run would take minutes.
SHORT = [(raw, expected) for _, raw, expected in CASES if len(raw) < 400]


def outcome(pieces: Iterable[bytes]) -> Outcome:
    """What becomes of the requests in the pieces, as an acceptor reads them."""
    incoming = Incoming(LIMITS, Counted())
    found: list[Seen | int] = []
    try:
        for piece in pieces:
            head = incoming.receive(piece)
            while head is not None:
                body = incoming.take_body()
                found.append(Seen(head.method, head.target, body, head.keep_alive))
                head = incoming.receive(b"")
    except RequestRefused as error:
        found.append(error.status)
    return tuple(found)


@pytest.mark.parametrize(("rule", "raw", "expected"), CASES, ids=IDS)
def test_the_rule_is_kept_however_the_request_is_cut(rule: str, raw: bytes, expected: Outcome) -> None:
    assert outcome([raw]) == expected, rule
    assert outcome(raw.splitlines(keepends=True)) == expected, rule
    if len(raw) < 20_000:
        assert outcome(one_by_one(raw)) == expected, rule


@settings(max_examples=1_500, deadline=None)
@given(
    st.lists(st.sampled_from(SHORT), min_size=1, max_size=3),
    st.lists(st.integers(min_value=0), max_size=8),
)
def test_requests_in_a_row_keep_the_rules_wherever_they_are_cut(
    cases: list[tuple[bytes, Outcome]], places: list[int]
) -> None:
    raw = b"".join(raw for raw, _ in cases)
    assert outcome(cut(raw, places)) == outcome([raw])


@pytest.mark.parametrize(("rule", "raw", "expected"), CASES, ids=IDS)
def test_nothing_behind_a_refused_request_is_read_as_one(rule: str, raw: bytes, expected: Outcome) -> None:
    if expected and isinstance(expected[-1], int):
        assert outcome([raw + NEXT * 3]) == expected, rule
