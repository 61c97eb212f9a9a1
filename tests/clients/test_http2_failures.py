"""Upstreams that misbehave over HTTP/2: who fails and who does not, what is sent anew, what errors say."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from h2.errors import ErrorCodes
from h2.events import StreamReset
from h2.settings import SettingCodes

from siphon import http
from siphon.config.settings import ClientSettings
from tests.clients.h2_upstream import H2Upstream, serve_well
from tests.clients.test_http2 import TEN_MB, ask, gather_heads, h2c
from tests.clients.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Callable

    from siphon.client.clients import Clients
    from tests.clients.conftest import MakeClients
    from tests.clients.h2_upstream import H2Peer
    from tests.clients.upstream import Peer

DATA, HEADERS, SETTINGS, PUSH_PROMISE, GOAWAY, WINDOW_UPDATE = 0, 1, 4, 5, 7, 8
END_HEADERS = 4


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame as it goes over the wire, right or wrong."""
    return b"%b%c%c%b%b" % (len(payload).to_bytes(3), kind, flags, stream.to_bytes(4), payload)


async def outcomes(client: http.Client, *paths: str, method: str = "GET") -> list[Any]:
    """A response or an error for each of several calls at once."""
    calls = [client.request(method, path) for path in paths]
    return list(await asyncio.gather(*calls, return_exceptions=True))


def two_at_once(url: str) -> tuple[Any, Any]:
    """What becomes of two calls of which the upstream treats the first badly, and of one after them."""

    async def main() -> tuple[Any, Any]:
        async with h2c(url) as client:
            bad, good = await outcomes(client, "/bad", "/good")
            assert (await client.get("/after")).body == b"/after"
            return bad, good

    return asyncio.run(main())


# One stream -----------------------------------------------------------------------------------------


def lies(*lengths: str, body: bytes, end: str = "data") -> Callable[[H2Peer, int], None]:
    def behave(peer: H2Peer, stream: int) -> None:
        peer.respond(stream, 200, *[("content-length", length) for length in lengths])
        peer.send(stream, body, end=end == "data")
        if end == "trailers":
            peer.trailers(stream, ("x-sum", "1"))

    return behave


def head(*fields: tuple[str, str], status: str = "200") -> Callable[[H2Peer, int], None]:
    def behave(peer: H2Peer, stream: int) -> None:
        peer.state.send_headers(stream, [(":status", status), *fields])
        peer.flush()

    return behave


def only(*fields: tuple[str, str]) -> Callable[[H2Peer, int], None]:
    def behave(peer: H2Peer, stream: int) -> None:
        peer.raw(frame(HEADERS, END_HEADERS, stream, peer.state.encoder.encode(fields)))

    return behave


def interim_101(peer: H2Peer, stream: int) -> None:
    peer.interim(stream, 101)


def bad_trailers(peer: H2Peer, stream: int) -> None:
    peer.respond(stream)
    peer.trailers(stream, (":status", "200"))


@pytest.mark.parametrize(
    ("behave", "complaint"),
    [
        (lies("5", body=b"four"), "the body ended after 4 of the 5 bytes of its Content-Length"),
        (lies("5", body=b"four", end="trailers"), "the body ended after 4 of the 5 bytes"),
        (lies("3", body=b"four"), "the body is longer than the 3 bytes of its Content-Length"),
        (lies("4", "5", body=b"four"), "the Content-Length of the answer is '4, 5'"),
        (lies("-4", body=b"four"), "the Content-Length of the answer is '-4'"),
        (lies("", body=b"four"), "the Content-Length of the answer is ''"),
        (head(("Upper", "a")), "breaks the rules of HTTP/2: 'Upper' is no field name"),
        (head(("a b", "a")), "'a b' is no field name"),
        (head(("a", "b\r\nc: d")), "the value of 'a' has characters"),
        (head(("a", " b")), "the value of 'a' has characters"),
        (head(("connection", "close")), "the field connection belongs to HTTP/1.1"),
        (head((":path", "/")), "':path' is no field name"),
        (head(status="20"), "does not begin with a status"),
        (head(status="2000"), "does not begin with a status"),
        (only(("a", "b")), "does not begin with a status"),
        (only(("a", "b"), (":status", "200")), "does not begin with a status"),
        (interim_101, "switched protocols"),
        (bad_trailers, "':status' is no field name"),
    ],
)
def test_a_malformed_response_fails_its_call_alone(
    clients: Clients, behave: Callable[[H2Peer, int], None], complaint: str
) -> None:
    def run(peer: H2Peer) -> None:
        bad, good = gather_heads(peer, 2)
        behave(peer, bad)
        peer.answer(good)
        serve_well(peer)

    with H2Upstream(run) as upstream:
        bad, good = two_at_once(upstream.url)
        assert type(bad) is http.ProtocolError
        assert complaint in str(bad)
        assert not bad.broke_off
        assert good.body == b"ok"
        assert upstream.connections == 1
    # Where the stream has ended there is nothing left to reset.
    assert {reset.error_code for reset in upstream.peers[0].resets} <= {ErrorCodes.PROTOCOL_ERROR}


@pytest.mark.parametrize("fields", [(), (("content-length", "1001"),)])
def test_a_body_over_the_limit_is_cancelled(make_clients: MakeClients, fields: Any) -> None:
    make_clients(any=ClientSettings(http2_prior_knowledge=True, max_response_bytes=1000))

    def behave(peer: H2Peer) -> None:
        for stream in gather_heads(peer, 1):
            peer.respond(stream, 200, *fields)
            peer.send(stream, bytes(1001), end=False)
        assert peer.event_of(StreamReset) is not None
        for stream in gather_heads(peer, 1):
            peer.answer(stream, bytes(1000))
        peer.wait_for_end()

    with H2Upstream(behave) as upstream:

        async def main() -> None:
            client = http.Client("any")
            with pytest.raises(http.ProtocolError, match="the body is larger than 1000 bytes"):
                await client.get(f"{upstream.url}/")
            assert len((await client.get(f"{upstream.url}/")).body) == 1000

        asyncio.run(main())
        assert upstream.connections == 1
    assert [reset.error_code for reset in upstream.peers[0].resets] == [ErrorCodes.CANCEL]


def test_an_encoded_body_that_is_broken_fails_its_call_alone(clients: Clients) -> None:
    def behave(peer: H2Peer) -> None:
        bad, good = gather_heads(peer, 2)
        peer.answer(bad, b"no gzip", 200, ("content-encoding", "gzip"))
        peer.answer(good)
        serve_well(peer)

    with H2Upstream(behave) as upstream:
        bad, good = two_at_once(upstream.url)
    assert "the encoded body is broken" in str(bad)
    assert good.body == b"ok"


@pytest.mark.parametrize(
    ("code", "name"),
    [(ErrorCodes.INTERNAL_ERROR, "INTERNAL_ERROR"), (ErrorCodes.NO_ERROR, "NO_ERROR"), (77, "error 77")],
)
@pytest.mark.parametrize("answered", [False, True])
def test_a_reset_stream_fails_its_call_alone(clients: Clients, code: int, name: str, answered: bool) -> None:
    def behave(peer: H2Peer) -> None:
        bad, good = gather_heads(peer, 2)
        if answered:
            peer.respond(bad)
            peer.send(bad, b"part", end=False)
        peer.reset(bad, code)
        peer.answer(good)
        serve_well(peer)

    with H2Upstream(behave) as upstream:
        bad, good = two_at_once(upstream.url)
        assert upstream.connections == 1
    assert type(bad) is http.ProtocolError
    assert bad.broke_off
    assert f"the upstream reset the request's stream ({name})" in str(bad)
    assert good.body == b"ok"


def test_a_whole_answer_counts_although_a_reset_follows(clients: Clients) -> None:
    """An upstream may so stop a request that it does not need all of (RFC 9113, section 8.1)."""

    def behave(peer: H2Peer) -> None:
        (stream,) = gather_heads(peer, 1)
        peer.respond(stream, 413)
        peer.state.send_data(stream, b"enough", end_stream=True)
        peer.state.reset_stream(stream, ErrorCodes.NO_ERROR)
        peer.flush()
        serve_well(peer)

    with H2Upstream(behave, reads=False) as upstream:

        async def main() -> None:
            async with h2c(upstream.url) as client:
                response = await client.post("/", body=TEN_MB)
                assert (response.status, response.body) == (413, b"enough")
                assert (await client.get("/after")).body == b"/after"

        asyncio.run(main())
        assert upstream.connections == 1


def test_a_window_that_overflows_fails_its_call_alone(clients: Clients) -> None:
    def behave(peer: H2Peer) -> None:
        bad, good = gather_heads(peer, 2)
        peer.raw(frame(WINDOW_UPDATE, 0, bad, b"\x7f\xff\xff\xff"))
        assert peer.event_of(StreamReset) is not None
        peer.answer(good)
        serve_well(peer)

    with H2Upstream(behave) as upstream:
        bad, good = two_at_once(upstream.url)
    assert "FLOW_CONTROL_ERROR" in str(bad)
    assert good.body == b"ok"


# Refused and going away -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refused_stream_is_sent_anew_once(clients: Clients, method: str) -> None:
    def behave(peer: H2Peer) -> None:
        for _ in range(3):
            for stream in gather_heads(peer, 1):
                peer.reset(stream, ErrorCodes.REFUSED_STREAM)
        serve_well(peer)

    with H2Upstream(behave) as upstream:

        async def main() -> None:
            async with h2c(upstream.url) as client:
                # Refused twice; then refused once.
                with pytest.raises(http.ProtocolError, match="the upstream refused the request") as error:
                    await client.request(method, "/first")
                assert error.value.broke_off
                assert (await client.request(method, "/second")).body == b"/second"

        asyncio.run(main())
        assert upstream.connections == 1


def test_an_upstream_that_takes_fewer_streams_than_were_sent_gets_them_later(clients: Clients) -> None:
    """Before its settings have come, siphon cannot know; the upstream refuses those above its limit."""

    def behave(peer: H2Peer) -> None:
        streams = gather_heads(peer, 50)
        for stream in streams[5:]:
            peer.state.reset_stream(stream, ErrorCodes.REFUSED_STREAM)
        peer.flush()
        for stream in streams[:5]:
            peer.answer(stream)
        serve_well(peer)

    with H2Upstream(behave, {SettingCodes.MAX_CONCURRENT_STREAMS: 50}) as upstream:

        async def main() -> None:
            async with h2c(upstream.url) as client:
                responses = await asyncio.gather(*[client.post("/") for _ in range(50)])
                assert {response.status for response in responses} == {200}

        asyncio.run(main())
        assert upstream.connections == 1


def test_after_goaway_what_was_begun_finishes_and_the_rest_goes_to_another_connection(
    make_clients: MakeClients,
) -> None:
    make_clients(any=ClientSettings(http2_prior_knowledge=True))
    gone = threading.Event()
    may_finish = threading.Event()

    def behave(peer: H2Peer) -> None:
        if peer.number > 1:
            serve_well(peer)
            return
        streams = gather_heads(peer, 4)
        peer.respond(streams[0])
        # As nginx and Envoy do it: first a warning, then the number.
        peer.go_away(2**31 - 1)
        peer.go_away(streams[1])
        gone.set()
        assert may_finish.wait(10)
        peer.send(streams[0], b"the first")
        peer.answer(streams[1], b"the second")
        peer.wait_for_end()

    with H2Upstream(behave) as upstream:

        async def main() -> None:
            client = http.Client("any")
            urls = [f"{upstream.url}/{number}" for number in range(4)]
            # POST: what was not processed may be sent anew whatever the method (RFC 9113, section 6.8).
            calls = [asyncio.create_task(client.post(url)) for url in urls]
            assert await asyncio.to_thread(gone.wait, 10)
            assert [(await call).body for call in calls[2:]] == [b"/2", b"/3"]
            assert (await client.get(f"{upstream.url}/new")).body == b"/new"
            may_finish.set()
            assert [(await call).body for call in calls[:2]] == [b"the first", b"the second"]

        asyncio.run(main())
        assert upstream.connections == 2


def test_calls_in_line_go_to_another_connection_after_goaway(clients: Clients) -> None:
    def behave(peer: H2Peer) -> None:
        if peer.number > 1:
            serve_well(peer)
            return
        for stream in gather_heads(peer, 1):
            peer.answer(stream)
        (stream,) = gather_heads(peer, 1)
        peer.go_away(stream)
        peer.answer(stream)
        peer.wait_for_end()

    with H2Upstream(behave, {SettingCodes.MAX_CONCURRENT_STREAMS: 1}) as upstream:

        async def main() -> None:
            async with h2c(upstream.url) as client:
                await client.post("/")
                responses = await asyncio.gather(*[client.post("/") for _ in range(50)])
                assert {response.status for response in responses} == {200}

        asyncio.run(main())
        assert upstream.connections == 2


def test_an_upstream_that_always_goes_away_is_asked_twice(clients: Clients) -> None:
    def behave(peer: H2Peer) -> None:
        gather_heads(peer, 1)
        peer.go_away(0, ErrorCodes.ENHANCE_YOUR_CALM, b"too many of you")
        peer.wait_for_end()

    with H2Upstream(behave) as upstream:
        with pytest.raises(http.ProtocolError, match="it is going away: 'too many of you'") as error:
            ask(upstream.url, method="POST")
        assert error.value.broke_off
        assert upstream.connections == 2


def test_goaway_with_an_error_and_an_end_names_the_error(clients: Clients) -> None:
    def behave(peer: H2Peer) -> None:
        (stream,) = gather_heads(peer, 1)
        peer.go_away(stream, ErrorCodes.INTERNAL_ERROR, b"out of memory")

    with H2Upstream(behave) as upstream, pytest.raises(http.ProtocolError) as error:
        ask(upstream.url)
    assert "closed before the answer ended (INTERNAL_ERROR: 'out of memory')" in str(error.value)


# The whole connection -------------------------------------------------------------------------------


@pytest.mark.parametrize("after", ["nothing", "head", "part"])
def test_an_end_in_the_middle_fails_every_call_that_was_sent(clients: Clients, after: str) -> None:
    def behave(peer: H2Peer) -> None:
        if peer.number > 1:
            serve_well(peer)
            return
        first, _ = gather_heads(peer, 2)
        if after != "nothing":
            peer.respond(first, 200, ("content-length", "10"))
        if after == "part":
            peer.send(first, b"part", end=False)

    with H2Upstream(behave) as upstream:

        async def main() -> None:
            async with h2c(upstream.url) as client:
                for error in await outcomes(client, "/a", "/b"):
                    assert type(error) is http.ProtocolError
                    assert error.broke_off
                    assert "the connection was " in str(error)
                assert (await client.get("/after")).body == b"/after"

        asyncio.run(main())
        assert upstream.connections == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("how", ["closed", "reset"])
def test_a_kept_connection_that_has_ended_is_replaced_once_for_what_is_idempotent(
    clients: Clients, method: str, how: str
) -> None:
    received: list[int] = []

    def behave(peer: H2Peer) -> None:
        for stream in gather_heads(peer, 1):
            peer.answer(stream)
        if peer.number > 1:
            peer.wait_for_end()
            return
        received.extend(gather_heads(peer, 1))
        if how == "reset":
            peer.abort()

    with H2Upstream(behave) as upstream:

        async def main() -> None:
            async with h2c(upstream.url) as client:
                await client.get("/")
                (outcome,) = await outcomes(client, "/", method=method)
                if method == "GET":
                    assert outcome.status == 200
                else:
                    assert type(outcome) is http.ProtocolError
                    assert outcome.broke_off

        asyncio.run(main())
        assert upstream.connections == (2 if method == "GET" else 1)
    assert len(received) == 1


def test_an_idle_connection_that_the_upstream_closes_is_not_used_again(clients: Clients) -> None:
    def behave(peer: H2Peer) -> None:
        (stream,) = gather_heads(peer, 1)
        peer.answer(stream)
        peer.go_away(stream)
        peer.wait_for_end()

    with H2Upstream(behave) as upstream:

        async def main() -> None:
            async with h2c(upstream.url) as client:
                for _ in range(3):
                    assert (await client.post("/")).status == 200
                    assert await asyncio.to_thread(upstream.ended.acquire, timeout=10)

        asyncio.run(main())
        assert upstream.connections == 3


@pytest.mark.parametrize(
    ("says", "complaint"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "answers in HTTP/1.1: it does not speak HTTP/2 here"),
        (b"220 mail.example ESMTP\r\n", "does not speak HTTP/2: its first frame is no SETTINGS"),
        (b"\0\0\0\4\1\0\0\0\0", "its first frame is no SETTINGS"),
        (b"", "closed before anything in HTTP/2 came: does the upstream speak it?"),
        (b"HTTP/", "closed before anything in HTTP/2 came"),
    ],
)
def test_an_upstream_that_speaks_something_else_is_told_apart(
    clients: Clients, says: bytes, complaint: str
) -> None:
    def behave(peer: Peer, upstream: Upstream) -> None:
        peer.sock.recv(24)
        peer.send(says)

    with Upstream(behave) as upstream:
        with pytest.raises(http.ProtocolError) as error:
            ask(upstream.url)
        assert complaint in str(error.value)
        assert f"GET {upstream.url}/" in str(error.value)
        assert upstream.connections == 1


@pytest.mark.parametrize(
    ("broken", "complaint", "code"),
    [
        (frame(DATA, 0, 0, b"x"), "Received frame with invalid header", ErrorCodes.PROTOCOL_ERROR),
        (frame(DATA, 0, 99, b"x"), "a frame on stream 99, which is not open", ErrorCodes.PROTOCOL_ERROR),
        (frame(DATA, 0, 1, b"x"), "cannot receive data before headers", ErrorCodes.PROTOCOL_ERROR),
        (frame(DATA, 0, 1, bytes(16_385)), "a frame of 16385 bytes", ErrorCodes.PROTOCOL_ERROR),
        (frame(HEADERS, END_HEADERS, 2, b"\x88"), "a request on stream 2", ErrorCodes.PROTOCOL_ERROR),
        (frame(HEADERS, END_HEADERS, 1, b"\xff" * 9), "header block", ErrorCodes.PROTOCOL_ERROR),
        (
            frame(SETTINGS, 0, 0, b"\0\4\xff\xff\xff\xff"),
            "invalid value",
            ErrorCodes.FLOW_CONTROL_ERROR,
        ),
        (frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), "window past", ErrorCodes.FLOW_CONTROL_ERROR),
        (frame(GOAWAY, 0, 0, b"short"), "a malformed GOAWAY", ErrorCodes.PROTOCOL_ERROR),
        (frame(GOAWAY, 0, 1, bytes(8)), "a malformed GOAWAY", ErrorCodes.PROTOCOL_ERROR),
        (frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2\x88"), "Received pushed", ErrorCodes.PROTOCOL_ERROR),
    ],
)
def test_a_broken_rule_of_the_connection_fails_every_call_with_the_reason(
    clients: Clients, broken: bytes, complaint: str, code: ErrorCodes
) -> None:
    def behave(peer: H2Peer) -> None:
        gather_heads(peer, 2)
        peer.raw(broken)
        peer.wait_for_end()

    with H2Upstream(behave) as upstream:

        async def main() -> None:
            async with h2c(upstream.url) as client:
                for error in await outcomes(client, "/a", "/b"):
                    assert type(error) is http.ProtocolError
                    assert "the upstream breaks the rules of HTTP/2: " in str(error)
                    assert complaint in str(error)
                    assert not str(error).endswith(": ")
                    assert not error.broke_off
            assert await asyncio.to_thread(upstream.ended.acquire, timeout=10)

        asyncio.run(main())
    assert [goodbye.error_code for goodbye in upstream.peers[0].goodbyes] == [code]
