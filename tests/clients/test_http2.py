"""Calls over HTTP/2, to nginx, to nghttpd and to an upstream that looks at each frame."""

from __future__ import annotations

import asyncio
import gzip
import threading
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, PingAckReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes
from h2.stream import StreamState

from siphon import http
from siphon.client.http2 import Http2Connection
from siphon.config.settings import ClientSettings
from tests.clients.h2_upstream import H2Upstream, serve_well
from tests.clients.test_pools import client_threads

if TYPE_CHECKING:
    import socket

    from siphon.client.clients import Clients
    from tests.certificates import Certificates
    from tests.clients.conftest import MakeClients
    from tests.clients.h2_upstream import H2Peer

TEN_MB = bytes(range(256)) * 40_000


def h2c(url: str, **settings: Any) -> http.Client:
    """A client that speaks HTTP/2 from the first byte."""
    return http.Client(base_url=url, http2_prior_knowledge=True, **settings)


def ask(
    url: str, path: str = "/", method: str = "GET", settings: Any = None, **arguments: Any
) -> http.Response:
    """One call of an inline client."""

    async def main() -> http.Response:
        async with h2c(url, **settings or {}) as client:
            return await client.request(method, path, **arguments)

    return asyncio.run(main())


@pytest.fixture
def any_client(make_clients: MakeClients, certificates: Certificates) -> http.Client:
    """A client that trusts the tests' authority, negotiates HTTP/2, and speaks it to http URLs as well."""
    authority = str(certificates.authority.certificate)
    make_clients(any=ClientSettings(verify=authority, http2_prior_knowledge=True))
    return http.Client("any")


# What a call is -------------------------------------------------------------------------------------


def test_a_request_is_sent_as_http2_has_it(clients: Clients) -> None:
    received: list[Any] = []

    def behave(peer: H2Peer) -> None:
        while (request := peer.request()) is not None:
            received.append(request)
            peer.answer(request.stream)

    fields = [
        ("X-One", "a\xe9"),
        ("x-one", "b"),
        ("Cookie", "a=1; b=2"),
        ("TE", "trailers"),
        ("Connection", "close, X-Hop"),
        ("X-Hop", "left out"),
    ]
    with H2Upstream(behave) as upstream:
        ask(upstream.url, "/p?q=1", "POST", headers=fields, body=b"body")
        ask(upstream.url, "/", headers={"Host": "other.example", "TE": "gzip"})
    assert received[0].fields[:4] == [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", upstream.url.removeprefix("http://")),
        (":path", "/p?q=1"),
    ]
    assert received[0].fields[-4:] == [
        ("x-one", "a\xe9"),
        ("x-one", "b"),
        ("cookie", "a=1; b=2"),
        ("te", "trailers"),
    ]
    assert received[0].get("content-length") == "4"
    assert received[0].body == b"body"
    names = {name for name, _ in received[0].fields}
    assert not names & {"host", "connection", "x-hop"}
    assert received[1].get(":authority") == "other.example"
    assert received[1].get("te") is None


def test_a_response_is_what_http1_would_have_given(clients: Clients) -> None:
    def behave(peer: H2Peer) -> None:
        request = peer.request()
        assert request is not None
        peer.interim(request.stream, 103)
        peer.interim(request.stream, 100)
        peer.respond(request.stream, 201, ("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x", "\xe9"))
        peer.send(request.stream, b"part, ", end=False)
        peer.send(request.stream, b"", end=False)
        peer.send(request.stream, b"part", end=False)
        peer.trailers(request.stream, ("x-check", "1"))
        peer.wait_for_end()

    with H2Upstream(behave) as upstream:
        response = ask(upstream.url)
    assert (response.status, response.body) == (201, b"part, part")
    assert response.headers.pairs == [("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x", "\xe9")]


def test_an_encoded_body_is_decoded(clients: Clients) -> None:
    def behave(peer: H2Peer) -> None:
        while (request := peer.head()) is not None:
            peer.answer(request.stream, gzip.compress(TEN_MB), 200, ("content-encoding", "gzip"))

    with H2Upstream(behave) as upstream:
        assert ask(upstream.url).body == TEN_MB


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
@pytest.mark.parametrize("ends_with", ["head", "data"])
def test_responses_without_a_body_have_none(
    clients: Clients, method: str, status: int, ends_with: str
) -> None:
    def behave(peer: H2Peer) -> None:
        while (request := peer.head()) is not None:
            length = () if status == 204 else (("content-length", "12"),)
            peer.respond(request.stream, status, *length, end=ends_with == "head")
            if ends_with == "data":
                peer.send(request.stream, b"")

    with H2Upstream(behave) as upstream:

        async def main() -> None:
            async with h2c(upstream.url) as client:
                for _ in range(2):
                    response = await client.request(method, "/")
                    assert (response.status, response.body) == (status, b"")

        asyncio.run(main())
        assert upstream.connections == 1


def test_heads_over_one_frame_go_both_ways(clients: Clients) -> None:
    large = "x" * 40_000

    def behave(peer: H2Peer) -> None:
        peer.state.decoder.max_header_list_size = 200_000
        while (request := peer.head()) is not None:
            peer.answer(request.stream, b"", 200, ("x-large", request.get("x-large") or ""))

    with H2Upstream(behave) as upstream:
        assert ask(upstream.url, headers={"X-Large": large}).header("x-large") == large


# Bodies and windows ---------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [65_535, 1000, 1])
def test_a_body_goes_through_any_window(clients: Clients, window: int) -> None:
    body = TEN_MB if window == 65_535 else TEN_MB[: 200 * window]

    def behave(peer: H2Peer) -> None:
        while (request := peer.request()) is not None:
            peer.answer(request.stream, request.body)

    with H2Upstream(behave, {SettingCodes.INITIAL_WINDOW_SIZE: window}) as upstream:
        assert ask(upstream.url, method="POST", body=body).body == body


def test_many_bodies_share_a_connection_both_ways(clients: Clients) -> None:
    """More than the connection's window each way, several times over, so that it reopens."""

    def behave(peer: H2Peer) -> None:
        bodies: dict[int, bytearray] = {}
        while (event := peer.event()) is not None:
            if isinstance(event, DataReceived):
                bodies.setdefault(event.stream_id, bytearray()).extend(event.data)
            elif isinstance(event, StreamEnded):
                peer.answer(event.stream_id, bytes(bodies.pop(event.stream_id)))

    with H2Upstream(behave) as upstream:

        async def main() -> None:
            async with h2c(upstream.url) as client:
                bodies = [bytes([number]) * 3_000_000 for number in range(16)]
                responses = await asyncio.gather(*[client.post("/", body=body) for body in bodies])
                assert [response.body for response in responses] == bodies

        asyncio.run(main())
        assert upstream.connections == 1


def test_a_window_that_shrinks_below_zero_is_waited_for(clients: Clients) -> None:
    def behave(peer: H2Peer) -> None:
        request = peer.head()
        assert request is not None
        received = 0
        while received < 65_535:
            event = peer.event_of(DataReceived)
            assert event is not None
            received += len(event.data)
        # The stream's window is used up: this makes it -64,535.
        peer.state.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1000})
        peer.flush()
        peer.state.acknowledge_received_data(received, request.stream)
        peer.state.increment_flow_control_window(100_000, request.stream)
        peer.flush()
        peer.reads = True
        while received < 80_000:
            event = peer.event_of(DataReceived)
            assert event is not None
            received += len(event.data)
        peer.answer(request.stream)
        peer.wait_for_end()

    with H2Upstream(behave, reads=False) as upstream:
        assert ask(upstream.url, method="POST", body=bytes(80_000)).body == b"ok"


def test_an_answer_that_comes_before_the_body_is_sent_stops_it(clients: Clients) -> None:
    ends: list[Any] = []

    def behave(peer: H2Peer) -> None:
        request = peer.head()
        assert request is not None
        peer.answer(request.stream, b"too large", 413)
        ends.append(peer.event_of(StreamReset))
        request = peer.head()
        assert request is not None
        peer.answer(request.stream)
        peer.wait_for_end()

    with H2Upstream(behave, reads=False) as upstream:

        async def main() -> None:
            async with h2c(upstream.url) as client:
                response = await client.post("/", body=TEN_MB)
                assert (response.status, response.body) == (413, b"too large")
                assert (await client.get("/")).status == 200

        asyncio.run(main())
        assert upstream.connections == 1
    assert ends[0] is not None
    assert ends[0].error_code == 0


def bytes_on_the_way(sock: socket.socket) -> tuple[int, ...]:
    """What the client has sent that is not acknowledged, and what has come that nobody has read."""
    ports = f"{sock.getpeername()[1]:04X}", f"{sock.getsockname()[1]:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    of_both = {(row[1][-4:], row[2][-4:]): row[4].split(":") for row in rows}
    return int(of_both[ports][0], 16), int(of_both[ports[::-1]][1], 16)


@pytest.mark.parametrize("tls", [False, True], ids=["h2c", "TLS"])
def test_an_upstream_that_does_not_read_delays_nobody_else(
    any_client: http.Client, certificates: Certificates, tls: bool
) -> None:
    may_read = threading.Event()

    def behave(peer: H2Peer) -> None:
        upload = peer.head()
        assert upload is not None
        peer.state.increment_flow_control_window(2**30)
        peer.state.increment_flow_control_window(2**30, upload.stream)
        peer.flush()
        other = peer.head()
        assert other is not None
        # The upload fills every buffer on the way, and then this answer comes.
        before: tuple[int, ...] = ()
        while (now := bytes_on_the_way(peer.sock)) != before or not now[0]:
            before = now
            may_read.wait(0.1)
        peer.answer(other.stream)
        assert may_read.wait(20)
        while (ended := peer.event_of(StreamEnded)) is not None and ended.stream_id != upload.stream:
            pass
        peer.answer(upload.stream)
        peer.wait_for_end()

    async def main(url: str) -> None:
        upload = asyncio.create_task(any_client.post(f"{url}/upload", body=TEN_MB * 3))
        await asyncio.sleep(0)
        assert (await any_client.get(f"{url}/other")).body == b"ok"
        may_read.set()
        assert (await upload).body == b"ok"

    identity = certificates.server if tls else None
    with H2Upstream(behave, reads=False, buffer_bytes=500_000, identity=identity) as upstream:
        asyncio.run(main(upstream.url))
        assert upstream.connections == 1


# Many calls -----------------------------------------------------------------------------------------


def gather_heads(peer: H2Peer, count: int) -> list[int]:
    """The streams of so many requests, which are on their way all at once."""
    streams = []
    for _ in range(count):
        request = peer.head()
        assert request is not None
        streams.append(request.stream)
    return streams


def answer_once_100_have_come(peer: H2Peer) -> None:
    for stream in reversed(gather_heads(peer, 100)):
        peer.answer(stream, str(stream).encode())
    peer.wait_for_end()


async def call_100_times(client: http.Client, url: str) -> None:
    responses = await asyncio.gather(*[client.get(f"{url}/") for _ in range(100)])
    assert sorted(int(response.body) for response in responses) == list(range(1, 200, 2))
    assert client_threads() == 1


@pytest.mark.parametrize("tls", [False, True], ids=["h2c", "TLS"])
def test_100_calls_at_once_are_one_connection_and_one_thread(
    any_client: http.Client, certificates: Certificates, tls: bool
) -> None:
    identity = certificates.server if tls else None
    with H2Upstream(answer_once_100_have_come, identity=identity) as upstream:
        asyncio.run(call_100_times(any_client, upstream.url))
        assert upstream.connections == 1


def test_calls_of_several_loops_share_a_connection(make_clients: MakeClients) -> None:
    make_clients(any=ClientSettings(http2_prior_knowledge=True))
    client = http.Client("any")

    async def main() -> list[bytes]:
        responses = await asyncio.gather(*[client.get(f"{upstream.url}/{n}") for n in range(50)])
        return [response.body for response in responses]

    with H2Upstream() as upstream:
        answered: list[list[bytes]] = []
        threads = [threading.Thread(target=lambda: answered.append(asyncio.run(main()))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert answered == [[f"/{number}".encode() for number in range(50)]] * 4
        assert upstream.connections == 1


def test_calls_beyond_the_upstream_s_limit_wait_for_a_stream(clients: Clients) -> None:
    most: list[int] = []

    def behave(peer: H2Peer) -> None:
        for stream in gather_heads(peer, 1):
            peer.answer(stream)
        open_now = gather_heads(peer, 3)
        for _ in range(17):
            most.append(peer.state.open_inbound_streams)
            peer.answer(open_now.pop())
            open_now += gather_heads(peer, 1)
        for stream in open_now:
            peer.answer(stream)
        peer.wait_for_end()

    with H2Upstream(behave, {SettingCodes.MAX_CONCURRENT_STREAMS: 3}) as upstream:

        async def main() -> None:
            async with h2c(upstream.url) as client:
                await client.get("/")
                responses = await asyncio.gather(*[client.get("/") for _ in range(20)])
                assert [response.status for response in responses] == [200] * 20

        asyncio.run(main())
        assert upstream.connections == 1
    assert most == [3] * 17


def test_a_call_that_gets_no_stream_in_time_ends_in_a_pool_timeout(make_clients: MakeClients) -> None:
    make_clients(any=ClientSettings(http2_prior_knowledge=True, timeout_ms=1_000))
    proceed = threading.Event()

    def behave(peer: H2Peer) -> None:
        for stream in gather_heads(peer, 1):
            peer.state.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 0})
            peer.answer(stream)
        assert proceed.wait(10)
        peer.state.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 1})
        peer.flush()
        serve_well(peer)

    with H2Upstream(behave) as upstream:

        async def main() -> None:
            client = http.Client("any")
            await client.get(f"{upstream.url}/")
            with pytest.raises(http.PoolTimeout, match="waiting for a connection"):
                await client.get(f"{upstream.url}/too-late")
            proceed.set()
            # The one that was too late is not sent.
            assert (await client.get(f"{upstream.url}/next")).body == b"/next"

        asyncio.run(main())
        assert upstream.connections == 1


@pytest.mark.parametrize("most", [1, 150])
def test_a_limit_that_changes_is_followed(clients: Clients, most: int) -> None:
    def behave(peer: H2Peer) -> None:
        for stream in gather_heads(peer, 1):
            peer.state.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: most})
            peer.answer(stream)
        for stream in gather_heads(peer, most):
            peer.answer(stream)
        serve_well(peer)

    with H2Upstream(behave) as upstream:

        async def main() -> None:
            async with h2c(upstream.url) as client:
                await client.get("/")
                responses = await asyncio.gather(*[client.get("/") for _ in range(150)])
                assert [response.status for response in responses] == [200] * 150

        asyncio.run(main())
        assert upstream.connections == 1


# Ends -----------------------------------------------------------------------------------------------


def test_a_call_that_is_cancelled_resets_its_stream_and_no_other(clients: Clients) -> None:
    arrived = threading.Event()

    def behave(peer: H2Peer) -> None:
        given_up, kept = gather_heads(peer, 2)
        peer.respond(given_up)
        peer.send(given_up, b"a part", end=False)
        arrived.set()
        assert peer.event_of(StreamReset) is not None
        # What was on its way when the stream was reset. It must neither use up the connection's window
        # for good nor be answered with a reset each.
        peer.state.streams[given_up].state_machine.state = StreamState.OPEN
        for _ in range(100):
            peer.send(given_up, bytes(8_000), end=False)
        peer.answer(kept, TEN_MB * 2)
        serve_well(peer)

    with H2Upstream(behave) as upstream:

        async def main() -> None:
            async with h2c(upstream.url) as client:
                given_up = asyncio.create_task(client.get("/given-up"))
                kept = asyncio.create_task(client.get("/kept"))
                assert await asyncio.to_thread(arrived.wait, 10)
                given_up.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await given_up
                assert (await kept).body == TEN_MB * 2
                assert (await client.get("/next")).body == b"/next"

        asyncio.run(main())
        assert upstream.connections == 1
    assert [reset.error_code for reset in upstream.peers[0].resets] == [ErrorCodes.CANCEL]


def test_an_idle_connection_says_good_bye_after_a_while(
    make_clients: MakeClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("siphon.client.http2._IDLE_S", 0.1)
    make_clients(any=ClientSettings(http2_prior_knowledge=True))
    said: SimpleQueue[Any] = SimpleQueue()

    def behave(peer: H2Peer) -> None:
        for stream in gather_heads(peer, 1):
            peer.answer(stream)
        said.put(peer.event_of(ConnectionTerminated))
        said.put(peer.event())

    with H2Upstream(behave) as upstream:

        async def main() -> None:
            client = http.Client("any")
            for _ in range(2):
                await client.get(f"{upstream.url}/")
                goodbye = await asyncio.to_thread(said.get, timeout=10)
                assert goodbye.error_code == 0
                assert await asyncio.to_thread(said.get, timeout=10) is None

        asyncio.run(main())
        assert upstream.connections == 2


def test_a_thread_that_only_keeps_a_connection_is_given_to_who_needs_it(make_clients: MakeClients) -> None:
    make_clients(threads_max=1, any=ClientSettings(http2_prior_knowledge=True, timeout_ms=10_000))
    with H2Upstream() as first, H2Upstream() as second:

        async def main() -> None:
            client = http.Client("any")
            # At once, when the connection has just become idle, and while it is busy.
            for _ in range(20):
                for upstream in (first, second):
                    assert (await client.get(f"{upstream.url}/")).status == 200
                await asyncio.gather(*[client.get(f"{upstream.url}/") for upstream in (first, second)])
            assert client_threads() == 1

        asyncio.run(main())
        assert first.connections > 10
        assert second.connections > 10


def test_a_connection_that_has_used_up_its_streams_is_replaced(make_clients: MakeClients) -> None:
    clients = make_clients(any=ClientSettings(http2_prior_knowledge=True))
    with H2Upstream() as upstream:

        async def main() -> None:
            client = http.Client("any")
            await client.get(f"{upstream.url}/")
            (pool,) = clients.named("any")._by_origin.values()
            connection = pool.slots.multiplexed
            assert isinstance(connection, Http2Connection)
            # It is idle: its thread looks at this when the next call comes.
            connection._streams._state.highest_outbound_stream_id = 2**31 - 5
            for number in range(5):
                assert (await client.post(f"{upstream.url}/{number}")).body == f"/{number}".encode()

        asyncio.run(main())
        assert upstream.connections == 2


def test_a_closed_client_lets_its_calls_finish_and_then_its_connection_ends(clients: Clients) -> None:
    closed = threading.Event()
    said: SimpleQueue[Any] = SimpleQueue()

    def behave(peer: H2Peer) -> None:
        streams = gather_heads(peer, 2)
        said.put(None)
        assert closed.wait(10)
        for stream in streams:
            peer.answer(stream)
        said.put(peer.event_of(ConnectionTerminated))

    with H2Upstream(behave) as upstream:

        async def main() -> None:
            client = h2c(upstream.url)
            calls = [asyncio.create_task(client.get("/")) for _ in range(2)]
            await asyncio.to_thread(said.get, timeout=10)
            await client.aclose()
            closed.set()
            assert [response.status for response in await asyncio.gather(*calls)] == [200] * 2
            assert await asyncio.to_thread(said.get, timeout=10) is not None

        asyncio.run(main())


def test_a_stop_waits_for_calls_and_not_for_idle_connections(make_clients: MakeClients) -> None:
    clients = make_clients(any=ClientSettings(http2_prior_knowledge=True))
    with H2Upstream() as upstream:
        asyncio.run(_get(http.Client("any"), f"{upstream.url}/"))
        assert client_threads() == 1
        assert clients.close(5)
        assert client_threads() == 0


async def _get(client: http.Client, url: str) -> http.Response:
    return await client.get(url)


def test_a_ping_is_answered(clients: Clients) -> None:
    answers: list[Any] = []

    def behave(peer: H2Peer) -> None:
        request = peer.head()
        assert request is not None
        peer.state.ping(b"anybody?")
        peer.flush()
        answers.append(peer.event_of(PingAckReceived))
        peer.answer(request.stream)
        peer.wait_for_end()

    with H2Upstream(behave) as upstream:
        ask(upstream.url)
    assert answers[0].ping_data == b"anybody?"


def test_an_upstream_that_has_gone_silent_gets_no_more_calls(
    make_clients: MakeClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("siphon.client.http2_streams.SILENCE_S", 0.1)
    monkeypatch.setattr("siphon.client.http2.SILENCE_S", 0.1)
    make_clients(any=ClientSettings(http2_prior_knowledge=True, timeout_ms=300))

    def behave(peer: H2Peer) -> None:
        if peer.number > 1:
            serve_well(peer)
            return
        for stream in gather_heads(peer, 1):
            peer.answer(stream)
        # As after a power cut: whatever comes is not looked at.
        while peer.sock.recv(65_536):
            pass

    with H2Upstream(behave) as upstream:

        async def main() -> None:
            client = http.Client("any")
            await client.get(f"{upstream.url}/")
            with pytest.raises(http.TimeoutError):
                await client.get(f"{upstream.url}/")
            # One more may be given to it while it has time to answer the PING.
            with suppress(http.TimeoutError):
                await client.get(f"{upstream.url}/")
            assert (await client.get(f"{upstream.url}/")).status == 200

        asyncio.run(main())
        assert upstream.connections == 2
