"""Calls over HTTP/2 under load: cancelled at random moments, and with upstreams that go away all the time."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from h2.events import RequestReceived

from siphon import http
from siphon.client.call import Call, CallEnded
from siphon.client.clients import Clients
from siphon.client.http2 import Http2Connection
from siphon.client.outbound import serving
from siphon.client.replies import Replies
from siphon.client.request import make_request
from siphon.config.settings import ClientSettings
from tests.clients.h2_upstream import H2Request, H2Upstream
from tests.stress.leaks import open_descriptors, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from siphon.client.call import Interruptible
    from tests.clients.h2_upstream import H2Peer

pytestmark = pytest.mark.stress


def echo(peer: H2Peer) -> None:
    """Answers with the path, in two pieces; calls whose path says so when nothing else comes, or never."""
    later: list[H2Request] = []
    while True:
        if not peer.has_event(0.002):
            for request in later:
                respond(peer, request)
            later.clear()
        event = peer.event()
        if event is None:
            return
        if isinstance(event, RequestReceived):
            request = H2Request(event, peer.number)
            assert request.path is not None
            if request.path.endswith("later"):
                later.append(request)
            elif not request.path.endswith("never"):
                respond(peer, request)


def respond(peer: H2Peer, request: H2Request) -> None:
    """Unless its reset has come meanwhile."""
    assert request.path is not None
    stream = peer.state.streams.get(request.stream)
    if stream is not None and stream.open:
        body = request.path.encode() * 50
        peer.respond(request.stream)
        peer.send(request.stream, body[:7], end=False)
        peer.send(request.stream, body[7:])


async def ask(client: http.Client, path: str, method: str = "GET") -> None:
    response = await client.request(method, path, body=b"x" * 20_000 if method == "PUT" else None)
    assert response.body == path.encode() * 50


def connection_of(clients: Clients) -> Http2Connection:
    (pool,) = clients.named("api")._by_origin.values()
    connection = pool.slots.multiplexed
    assert isinstance(connection, Http2Connection)
    return connection


@pytest.fixture
def api() -> Iterator[tuple[Clients, H2Upstream]]:
    """Client ``api`` of an upstream that echoes; afterwards nothing is left of either."""
    before = open_descriptors()
    with H2Upstream(echo) as upstream:
        settings = ClientSettings(base_url=upstream.url, http2_prior_knowledge=True, timeout_ms=20_000)
        clients = Clients({"api": settings}, threads_max=4)
        with serving(clients):
            yield clients, upstream
        streams = connection_of(clients)._streams
        assert wait_until(lambda: streams.is_idle and not streams.outgoing and not streams._sending)
        assert len(clients.threads._workers) == upstream.connections == 1
        assert clients.close(10)
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("siphon-client-")]
        # Its own state is at rest as well, which only the thread that has ended could have changed.
        assert streams._state.open_outbound_streams == 0
    assert wait_until(lambda: open_descriptors() == before)


def test_calls_cancelled_at_random_moments_leave_nothing_on_the_connection(
    api: tuple[Clients, H2Upstream], full: bool, note: Callable[..., None]
) -> None:
    rounds = 50 if full else 5

    async def main() -> Counter[str]:
        client = http.Client("api")
        chance = random.Random(7)
        counted: Counter[str] = Counter()
        # The connection is made for a call, and ends with it if that is cancelled meanwhile.
        await ask(client, "/first")
        loop = asyncio.get_running_loop()
        for number in range(rounds):
            tasks = []
            for index in range(200):
                kind = chance.choice(["now", "now", "later", "never"])
                method = chance.choice(["GET", "PUT"])
                tasks.append(asyncio.create_task(ask(client, f"/{number}/{index}/{kind}", method)))
                late = chance.uniform(0.1, 0.2) if kind == "never" else chance.expovariate(1 / 0.1)
                loop.call_later(late, tasks[-1].cancel)
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                assert outcome is None or isinstance(outcome, asyncio.CancelledError), outcome
                counted["cancelled" if outcome else "answered"] += 1
        return counted

    _, upstream = api
    counted = asyncio.run(main())
    note(rounds=rounds, **counted, resets=len(upstream.peers[0].resets))
    assert counted["cancelled"] > rounds * 50
    assert counted["answered"] > 0


def test_loops_that_call_at_once_get_their_own_answers_over_one_connection(
    api: tuple[Clients, H2Upstream], full: bool
) -> None:
    clients, _ = api
    rounds = 40 if full else 5
    answered: list[int] = []

    async def main() -> int:
        client = http.Client("api")
        count = 0
        for number in range(rounds):
            await asyncio.gather(*[ask(client, f"/{number}/{index}") for index in range(50)])
            count += 50
        return count

    def on_a_thread() -> None:
        with serving(clients):
            answered.append(asyncio.run(main()))

    threads = [threading.Thread(target=on_a_thread) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(200)
    assert answered == [rounds * 50] * 4


class Counted(Call):
    """A call that has ended, which may therefore be submitted any number of times."""

    taken = 0

    def attach(self, waited_for: Interruptible) -> None:
        self.taken += 1  # by the connection's thread alone
        raise CallEnded


def test_no_call_is_lost_on_its_way_to_the_connection_s_thread(
    api: tuple[Clients, H2Upstream], full: bool
) -> None:
    """From more threads than there are processors, each of which may be stopped half-way through."""
    clients, upstream = api
    times = 400_000 if full else 50_000
    loop = asyncio.new_event_loop()
    loop.run_until_complete(ask(http.Client("api"), "/first"))
    connection = connection_of(clients)
    settings = ClientSettings()
    request = make_request(settings, None, "GET", upstream.url)
    calls = [Counted(request, settings, Replies(loop)) for _ in range(6)]

    def submit(call: Call) -> None:
        for _ in range(times):
            assert connection.submit(call)

    threads = [threading.Thread(target=submit, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(200)
    # Whatever was submitted before this has been taken when it is answered.
    loop.run_until_complete(ask(http.Client("api"), "/last"))
    loop.close()
    assert [call.taken for call in calls] == [times] * len(calls)


def test_upstreams_that_go_away_at_any_moment_lose_no_call_and_get_none_twice(
    full: bool, note: Callable[..., None]
) -> None:
    """POSTs: one that is sent anew after it was processed would be seen twice."""
    chance = random.Random(11)
    processed: Counter[str] = Counter()

    def behave(peer: H2Peer) -> None:
        last = 0
        for _ in range(chance.randrange(1, 40)):
            request = peer.head()
            if request is None:
                return
            assert request.path is not None
            last = request.stream
            processed[request.path] += 1
            peer.answer(last, request.path.encode() * 50)
        peer.go_away(last)
        peer.wait_for_end()

    async def main() -> None:
        client = http.Client("api")
        for number in range(40 if full else 5):
            calls = [ask_until_processed(client, f"/{number}/{index}") for index in range(100)]
            await asyncio.gather(*calls)

    async def ask_until_processed(client: http.Client, path: str) -> None:
        while True:
            with suppress(http.ProtocolError):
                await ask(client, path, "POST")
                return
            # Refused twice: nobody has processed it.
            assert not processed[path]

    before = open_descriptors()
    with H2Upstream(behave) as upstream:
        settings = ClientSettings(base_url=upstream.url, http2_prior_knowledge=True, timeout_ms=20_000)
        clients = Clients({"api": settings}, threads_max=4)
        with serving(clients):
            asyncio.run(main())
        assert clients.close(10)
    assert len(processed) == (4000 if full else 500)
    assert set(processed.values()) == {1}
    note(processed=len(processed), connections=upstream.connections)
    assert wait_until(lambda: open_descriptors() == before)


def test_calls_that_come_as_a_connection_ends_are_taken_or_go_elsewhere(
    full: bool, note: Callable[..., None]
) -> None:
    """Each connection takes a few calls and goes away, while several loops call one after the other."""
    chance = random.Random(13)

    def behave(peer: H2Peer) -> None:
        last = 0
        for _ in range(chance.randrange(1, 4)):
            request = peer.head()
            if request is None:
                return
            last = request.stream
            respond(peer, request)
        peer.go_away(last)
        peer.wait_for_end()

    answered: list[int] = []

    async def main(loop: int) -> int:
        client = http.Client("api")
        for number in range(1_000 if full else 150):
            with suppress(http.ProtocolError):  # refused twice
                await ask(client, f"/{loop}/{number}")
        return loop

    def on_a_thread(clients: Clients, loop: int) -> None:
        with serving(clients):
            answered.append(asyncio.run(main(loop)))

    before = open_descriptors()
    with H2Upstream(behave) as upstream:
        settings = ClientSettings(base_url=upstream.url, http2_prior_knowledge=True, timeout_ms=20_000)
        clients = Clients({"api": settings}, threads_max=4)
        threads = [threading.Thread(target=on_a_thread, args=(clients, loop)) for loop in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(200)
        assert clients.close(10)
    assert sorted(answered) == [0, 1, 2, 3]
    note(connections=upstream.connections)
    assert wait_until(lambda: open_descriptors() == before)
