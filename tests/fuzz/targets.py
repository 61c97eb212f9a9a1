"""What is fuzzed: each target takes any bytes, holds properties, and says what it has seen."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final
from zlib import crc32

import h11

from siphon.errors import RequestRefused, ResponseError
from siphon.forwarded import Asked, as_forwarded
from siphon.messages import Response
from siphon.routing import Endpoint, Router
from siphon.script.place import Place
from siphon.script.registry import Route
from siphon.wire.encode import Encoder
from siphon.wire.head import NEED_MORE, RequestHead, WireLimits, scan, scan_after
from siphon.wire.incoming import Incoming
from siphon.wire.proxied import ProxiedIncoming
from siphon.wire.proxy import read_header
from tests.wire.reading import LIMITS, Counted, Read, cut, meaning_of, one_by_one, outcome
from tests.wire.test_differential import check_against_h11
from tests.wire.test_rules import RULES

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from tests.fuzz.guided import Target

SMALL: Final = WireLimits(max_header_bytes=200, max_headers=6, max_target_bytes=24, max_body_bytes=40)
STATUSES: Final = frozenset({400, 413, 414, 417, 431, 503, 505})
TRUSTED: Final = (ip_network("10.0.0.0/8"),)


class Peer:
    """A connection as the PROXY header sees it."""

    def __init__(self) -> None:
        self.peer = "10.0.0.1:5000"


def _played(incoming: Incoming, budget: Counted, pieces: Iterable[bytes]) -> tuple[Hashable, ...]:
    """Every request in the pieces, or its refusal at the end; nothing may stay counted."""
    found: list[Hashable] = []
    try:
        for piece in pieces:
            head = incoming.receive(piece)
            while head is not None:
                body = incoming.take_body()
                budget.give(len(body))
                found.append((*meaning_of(head)[:5], tuple(head.fields()), body))
                head = incoming.receive(b"")
    except RequestRefused as error:
        if error.status not in STATUSES:
            raise AssertionError(f"an unexpected {error.status}: {error}") from error
        found.append((error.status, error.reason))
    incoming.discard()
    assert budget.used == 0
    return tuple(found)


def _plain(limits: WireLimits, pieces: Iterable[bytes]) -> tuple[Hashable, ...]:
    budget = Counted()
    return _played(Incoming(limits, budget), budget, pieces)


def _in_pieces(data: bytes) -> list[bytes]:
    """One way to cut ``data``, always the same for the same bytes."""
    way = crc32(data)
    if way % 4 == 0:
        return one_by_one(data)
    if way % 4 == 1:
        return data.splitlines(keepends=True)
    return cut(data, [way // 4, way // 1_024, way // 65_536][: way % 4])


def requests(data: bytes) -> Iterable[Hashable]:
    """A connection's bytes come to the same requests whole and in pieces, for any limits."""
    for limits in (LIMITS, SMALL):
        whole = _plain(limits, [data])
        assert _without_reason(_plain(limits, _in_pieces(data))) == _without_reason(whole)
        yield len(whole)
        yield whole[-1] if whole and len(whole[-1]) == 2 else None  # type: ignore[arg-type]


def _without_reason(found: tuple[Hashable, ...]) -> tuple[Hashable, ...]:
    """Which of two faults is named may depend on how much has come; the status may not."""
    last = found[-1] if found else ()
    return (*found[:-1], last[0]) if isinstance(last, tuple) and len(last) == 2 else found


def scanner(data: bytes) -> Iterable[Hashable]:
    """What the scanner accepts means the same to the reader and to h11, and so does what the reader takes."""
    for limits in (LIMITS, SMALL):
        head = scan(data, limits)
        read = outcome([data], limits)
        if isinstance(read, Read):
            check_against_h11(data, read)
        if isinstance(head, RequestHead):
            whole = data.ljust(head.end + head.content_length, b"x")
            end = head.end + head.content_length
            assert outcome([whole], limits) == Read(meaning_of(head), whole[head.end : end], whole[end:])
            for size in range(0, head.end, 1 + head.end // 16):
                assert scan(data[:size], limits) is NEED_MORE
            # It may help to read what follows, and may not change what that is found to be.
            for start in (0, head.end):
                after, plain = scan_after(head, data, limits, start), scan(data, limits, start)
                if isinstance(after, RequestHead) and isinstance(plain, RequestHead):
                    assert after.by_name() == plain.by_name()
                    after = after._replace(repeated=None)
                assert after == plain
        yield type(head).__name__, type(read).__name__, read if isinstance(read, int) else None


def chunks(data: bytes) -> Iterable[Hashable]:
    """The bytes as a chunked body."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    raw = head + data
    read = outcome([raw])
    in_pieces = _plain(LIMITS, [head, *_in_pieces(data)])
    assert _without_reason(in_pieces) == _without_reason(_plain(LIMITS, [raw]))
    if isinstance(read, Read):
        check_against_h11(raw, read)
        yield len(read.body).bit_length(), bool(read.rest)
    yield read if isinstance(read, int) else None


def proxy_header(data: bytes) -> Iterable[Hashable]:
    """A PROXY header is the same however it comes, and its peer is one that can be."""
    results: list[tuple[Hashable, ...]] = []
    for pieces in ([data], _in_pieces(data)):
        for trusted in ((), TRUSTED, (ip_network("192.0.2.0/24"),)):
            budget, peer = Counted(), Peer()
            played = _played(ProxiedIncoming(SMALL, budget, peer, trusted), budget, pieces)
            if trusted and trusted != TRUSTED:
                assert peer.peer == Peer().peer
            if peer.peer != "unix:0":
                ip_address(peer.peer.rpartition(":")[0].strip("[]"))
            results.append((_without_reason(played), peer.peer))
    assert results[:3] == results[3:]
    try:
        header = read_header(data)
    except RequestRefused as error:
        yield error.reason.partition(":")[0]
    else:
        yield header is None, header is not None and header.peer is None


def forwarded(data: bytes) -> Iterable[Hashable]:
    """Whatever stands in the fields, what comes out is well-formed, and the trusted hop's word counts."""
    text = data.decode("latin-1")
    own = Asked("10.0.0.1:5000", "http", "own")
    for name in ("forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"):
        asked = as_forwarded(own, {name: text}, TRUSTED)
        assert asked.scheme in ("http", "https")
        ip_address(asked.client.rpartition(":")[0].strip("[]"))
        assert re.fullmatch(r"[\x21-\x7e]*", asked.host)
        assert as_forwarded(Asked("192.0.2.1:1", "http", "own"), {name: text}, TRUSTED).host == "own"
        yield name, asked != own, asked.client == own.client, asked.host == own.host
    hop = "for=198.51.100.1;proto=https;host=h"
    assert as_forwarded(own, {"forwarded": f"{text}, {hop}"}, TRUSTED) == ("198.51.100.1:0", "https", "h")
    named = as_forwarded(own, {"x-forwarded-for": f"{text}, 198.51.100.1"}, TRUSTED)
    assert named.client == "198.51.100.1:0"


def encoder(data: bytes) -> Iterable[Hashable]:
    """A response is one response to h11, with the fields that the script set, or it is refused."""
    flags, *parts = data.decode("latin-1").split("\n") if data else ["\0"]
    number = ord(flags[0]) if flags else 0
    status = (200, 204, 205, 304, 404, 500, 599, 299)[number % 8]
    method = ("GET", "HEAD", "POST", "OPTIONS")[number // 8 % 4]
    body = parts.pop().encode("latin-1") if parts else b""
    pairs = [(name, value) for name, _, value in (part.partition("=") for part in parts)]
    response = Response(status, pairs, body)
    keep = bool(number & 64)
    try:
        raw, large_body, kept = Encoder().encode(
            response, method, int(number < 128), keep, server_header=keep, now=0.0
        )
    except ResponseError as error:
        yield str(error).partition("'")[0]
        return
    assert keep or not kept
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(raw + large_body)
    head = client.next_event()
    assert isinstance(head, h11.Response)
    assert head.status_code == status
    got = b""
    while isinstance(event := client.next_event(), h11.Data):
        got += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage)
    assert client.trailing_data[0] == b""
    assert got == (b"" if method == "HEAD" or status in (204, 205, 304) else body)
    ours = {b"content-length", b"connection", b"keep-alive", b"date", b"server"}
    theirs = [(name.lower().encode(), value.strip(" \t").encode("latin-1")) for name, value in pairs]
    assert [one for one in theirs if one[0] not in ours] == [
        one for one in head.headers if one[0] not in ours
    ]
    yield status, method, kept, len(theirs)


def _handler(request: object) -> None:
    """Stands for the handler of every route."""


def _router() -> Router[Endpoint]:
    place = Place("app.py", 1)
    patterns = ("/", "/a", "/a/{x}", "/a/{x}/b", "/c/{*rest}", "/c/d/{y}")
    return Router([Route(one, ("GET", "POST"), _handler, None, None, place) for one in patterns], _itself)


def _itself(endpoint: Endpoint) -> Endpoint:
    return endpoint


def router(data: bytes) -> Iterable[Hashable]:
    """Any target finds an endpoint or is 400, and its parameters are text without surprises."""
    target = "/" + data.decode("latin-1").encode("ascii", "ignore").decode()
    for method in ("GET", "PUT", "OPTIONS"):
        try:
            endpoint, params = ROUTER.match(method, target)
        except RequestRefused as error:
            if error.status != 400:
                raise AssertionError(f"an unexpected {error.status}: {error}") from error
            yield error.reason
        else:
            for value in (params or {}).values():
                value.encode()
                assert value
            yield type(endpoint).__name__, len(params or ())


ROUTER: Final = _router()

_REQUESTS: Final = [raw for cases in RULES.values() for raw, _ in cases if len(raw) < 2_000]
TARGETS: Final[dict[str, tuple[Target, list[bytes]]]] = {
    "requests": (requests, _REQUESTS),
    "scanner": (scanner, _REQUESTS),
    "chunks": (chunks, [raw.partition(b"\r\n\r\n")[2] for raw in _REQUESTS if b"chunked" in raw]),
    "proxy header": (
        proxy_header,
        [
            b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n" + _REQUESTS[0],
            b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n",
            b"PROXY UNKNOWN\r\n",
            b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12) + _REQUESTS[0],
            b"\r\n\r\n\x00\r\nQUIT\n\x21\x21\x00\x28" + bytes(40),
            b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00" + _REQUESTS[0],
        ],
    ),
    "forwarded": (
        forwarded,
        [b"for=1.2.3.4;proto=https;host=h, for=10.0.0.2", b'for="[2001:db8::1]:80"', b"1.1.1.1, 10.0.0.3"],
    ),
    "encoder": (
        encoder,
        [b"@\nX-A=1\nbody", b"\x08\nContent-Length=4\nbody", b"A\nConnection=close\nDate=x\n"],
    ),
    "router": (router, [b"a/b%2Fc/b?x", b"c/%C3%A9/y", b"%zz", b"a//b/./.."]),
}
