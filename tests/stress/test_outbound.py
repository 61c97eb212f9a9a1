"""Outbound calls ended at random moments: nothing is lost or kept, and no answer is mixed up."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from siphon import http
from siphon.client.clients import Clients
from siphon.client.outbound import serving
from siphon.config.settings import ClientSettings
from tests.clients.upstream import Upstream
from tests.stress.leaks import open_descriptors, wait_until
from tests.stress.load import Load, Peer, Received, get

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.clients.upstream import Peer as Served
    from tests.service import Service


def echo(peer: Served, upstream: Upstream) -> None:
    """Answers with the request's own target, in two pieces, after as long as its query says.

    Takes requests apart by hand: a real parser would be what is measured.
    """
    received = b""
    while True:
        while b"\r\n\r\n" not in received:
            data = peer.sock.recv(65_536)
            if not data:
                return
            received += data
        head, _, received = received.partition(b"\r\n\r\n")
        target = head.split(b" ", 2)[1]
        wait_us = int(target.partition(b"?")[2])
        if wait_us:
            upstream.released.wait(wait_us / 1_000_000)
        body = target * 50
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:7])
        peer.send(body[7:])


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(echo) as made:
        yield made


@pytest.fixture
def api(upstream: Upstream) -> Iterator[Clients]:
    """Client ``api`` with few connections; afterwards nothing is left of it."""
    clients = Clients(
        {"api": ClientSettings(base_url=upstream.url, pool_size=6, timeout_ms=20_000)}, threads_max=4
    )
    before = open_descriptors()
    with serving(clients):
        yield clients
    slots = clients.named("api")._by_origin
    assert wait_until(lambda: all(not pool.slots.busy and not pool.slots.in_line for pool in slots.values()))
    assert wait_until(lambda: len(clients.threads._parked) == len(clients.threads._workers))
    assert len(clients.threads._workers) <= 4
    assert clients.close(10)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("siphon-client-")]
    # Each end of a connection is a descriptor of this process, and the upstream closes its own.
    assert wait_until(lambda: open_descriptors() <= before)


async def ask(client: http.Client, path: str, wait_us: int) -> None:
    target = f"{path}?{wait_us}"
    response = await client.get(target)
    assert response.body == target.encode() * 50


async def storm(rounds: int, end_at_random: Callable[[asyncio.Task[None], random.Random], None]) -> int:
    """Rounds of 200 calls; how many ended with an answer."""
    client = http.Client("api")
    chance = random.Random(7)
    answered = 0
    for number in range(rounds):
        tasks = [
            asyncio.create_task(ask(client, f"/{number}/{index}", chance.choice([0, 0, 200, 1_000])))
            for index in range(200)
        ]
        for task in tasks:
            end_at_random(task, chance)
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert outcome is None or isinstance(outcome, asyncio.CancelledError), outcome
            answered += outcome is None
    return answered


@pytest.mark.stress
def test_calls_cancelled_at_random_moments_lose_nothing(
    api: Clients, upstream: Upstream, full: bool, note: Callable[..., None]
) -> None:
    def cancel_later(task: asyncio.Task[None], chance: random.Random) -> None:
        asyncio.get_running_loop().call_later(chance.expovariate(1 / 0.1), task.cancel)

    rounds = 50 if full else 5
    answered = asyncio.run(storm(rounds, cancel_later))
    note(rounds=rounds, answered=answered, connections=upstream.connections)
    assert 0 < answered < rounds * 200


@pytest.mark.stress
def test_loops_that_call_at_once_get_their_own_answers(
    api: Clients, upstream: Upstream, full: bool, note: Callable[..., None]
) -> None:
    rounds = 20 if full else 2
    answered: list[int] = []

    def on_a_thread() -> None:
        with serving(api):
            answered.append(asyncio.run(storm(rounds, lambda task, chance: None)))

    threads = [threading.Thread(target=on_a_thread) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(200)
    note(answered=sum(answered), connections=upstream.connections)
    assert answered == [rounds * 200] * 4
    assert upstream.connections <= 6


@pytest.mark.stress
def test_what_is_read_of_calls_at_work_is_never_more_than_there_can_be(
    api: Clients, upstream: Upstream, full: bool, note: Callable[..., None]
) -> None:
    done = threading.Event()
    readings: set[tuple[int, int]] = set()
    failures: list[Exception] = []

    def read() -> None:
        try:
            while not done.is_set():
                load = api.loads()["api"]
                assert load.waiting >= 0
                readings.add((load.connections, load.in_flight))
        except Exception as error:  # noqa: BLE001 - the test's own thread raises it
            failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    asyncio.run(storm(20 if full else 5, lambda task, chance: None))
    done.set()
    reader.join(20)
    if failures:
        raise failures[0]
    note(readings=len(readings))
    # Six connections, and four threads.
    assert all(0 <= connections <= 6 and 0 <= in_flight <= 4 for connections, in_flight in readings)
    assert wait_until(lambda: api.loads()["api"][1:] == (0, 0))
    assert api.loads()["api"].connections == upstream.connections


@pytest.mark.stress
def test_an_end_never_reaches_the_call_that_has_the_connection_next(
    api: Clients, upstream: Upstream, full: bool
) -> None:
    """One task's cancellation comes as its answer does; the next call has the same connection."""

    async def main() -> None:
        client = http.Client("api")
        chance = random.Random(11)
        for number in range(4_000 if full else 600):
            doomed = asyncio.create_task(ask(client, f"/doomed/{number}", 0))
            kept = asyncio.create_task(ask(client, f"/kept/{number}", 0))
            asyncio.get_running_loop().call_later(chance.uniform(0, 0.002), doomed.cancel)
            await kept
            with suppress(asyncio.CancelledError):
                await doomed

    asyncio.run(main())


@pytest.mark.stress
def test_calls_that_end_while_they_wait_leave_the_line(api: Clients, upstream: Upstream) -> None:
    async def main() -> None:
        client = http.Client("api")
        tasks = [asyncio.create_task(ask(client, f"/{number}", 20_000)) for number in range(300)]
        await asyncio.sleep(0)
        for task in tasks[20:]:
            task.cancel()
        await asyncio.gather(*tasks[20:], return_exceptions=True)
        (pool,) = api.named("api")._by_origin.values()
        assert len(pool.slots.in_line) <= 20
        await asyncio.gather(*tasks[:20])

    asyncio.run(main())
    assert upstream.connections <= 4


@pytest.mark.stress
def test_a_call_that_ends_as_it_begins_holds_no_thread(full: bool) -> None:
    def mute(peer: Served, upstream: Upstream) -> None:
        peer.wait_for_end()

    with Upstream(mute) as silent, Upstream(echo) as well:
        clients = Clients(
            {name: ClientSettings(base_url=each.url) for name, each in (("mute", silent), ("well", well))}, 2
        )
        chance = random.Random(13)

        async def main() -> None:
            for number in range(2_000 if full else 400):
                doomed = asyncio.create_task(http.Client("mute").get("/"))
                asyncio.get_running_loop().call_later(chance.uniform(0, 0.001), doomed.cancel)
                with suppress(asyncio.CancelledError):
                    await doomed
                async with asyncio.timeout(10):
                    await ask(http.Client("well"), f"/{number}", 0)

        with serving(clients):
            asyncio.run(main())
        assert clients.close(10)


RELAY = """
    from siphon import http

    @http.route("/{token}")
    async def relay(req):
        answer = await http.Client("api").get(f"{req.raw_path}?{req.query[0][0]}")
        return http.Response(body=answer.body)
"""


class Impatient(Peer):
    """Asks for its own token, and leaves without a word at a random moment if it has not been answered."""

    def __init__(self, load: Load, token: str, wait_us: int, patience_s: float, ends: Counter[str]) -> None:
        self._target = f"/{token}?{wait_us}"
        self._patience_s = patience_s
        self._ends = ends
        super().__init__(load)

    def begin(self) -> None:
        self.send(get(self._target))
        self.load.at(monotonic() + self._patience_s, self._leave)

    def _leave(self) -> None:
        if not self.ended:
            self._ends["left"] += 1
            self.reset()

    def on_answer(self, answer: Received) -> None:
        assert answer == Received(200, self._target.encode() * 50)
        self._ends["answered"] += 1
        self.close()


@pytest.mark.stress
def test_handlers_whose_clients_leave_at_random_moments_take_their_calls_with_them(
    upstream: Upstream, storm: Callable[..., Service], full: bool, note: Callable[..., None]
) -> None:
    settings = ClientSettings(base_url=upstream.url, pool_size=6, timeout_ms=20_000)
    service = storm(RELAY, clients={"api": settings}, client_max=4)
    chance = random.Random(17)
    ends: Counter[str] = Counter()
    rounds = 50 if full else 3
    for number in range(rounds):
        load = Load(service.server.listeners[0].socket.getsockname())
        for index in range(200):
            wait_us = chance.choice([0, 200, 1_000])
            Impatient(load, f"{number}-{index}", wait_us, chance.expovariate(1 / 0.1), ends)
        load.run()
    note(rounds=rounds, **ends, connections=upstream.connections)
    assert ends.total() == rounds * 200
    assert min(ends["left"], ends["answered"]) > rounds
    clients = service.server._clients
    (pool,) = clients.named("api")._by_origin.values()
    assert wait_until(lambda: not pool.slots.busy and not pool.slots.in_line)
    assert len(clients.threads._workers) <= 4
    # Descriptors are counted at the end of the test, and those of an idle client are its own.
    assert clients.close(10)
