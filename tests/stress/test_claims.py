"""Answers that are ready at the very moment of something else: one answer or none, never two."""

from __future__ import annotations

import random
import threading
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from siphon.threads.connection import LATE
from siphon.threads.wheel import TICK_S
from tests.stress.contested import KIND_NAMES, KINDS, PLAIN
from tests.stress.leaks import open_connections, wait_until
from tests.stress.load import Aim, Load, Peer, Received, get

if TYPE_CHECKING:
    from collections.abc import Callable

    from siphon.threads.connection import Connection
    from siphon.threads.exchange import Exchange
    from tests.service import Service

pytestmark = pytest.mark.stress

MANY = 1_000_000  # requests, more than a storm has for one connection


class Contender(Peer):
    """Asks again and again for an answer that is ready when the 504 is, and for a mark behind each."""

    def __init__(
        self, load: Load, name: int, kind: str, rounds: int, aim: Aim, publish: Callable[[], None]
    ) -> None:
        self._name = name
        self._kind = kind
        self._rounds = rounds
        self._round = 0
        self._aim = aim
        self._publish = publish
        self._dice = random.Random(name)
        self._pipelined = False
        self._contested = True
        super().__init__(load)

    def begin(self) -> None:
        self._ask()

    def _ask(self) -> None:
        self._token = f"{self._name}-{self._round}"
        self._contested = True
        self._pipelined = self._dice.random() < 0.5
        self.send(get(f"/timed/{self._kind}/{self._token}") + (self._mark() if self._pipelined else b""))

    def _mark(self) -> bytes:
        return get(f"/mark/m{self._token}")

    def on_answer(self, answer: Received) -> None:
        if not self._contested:
            # What came twice would stand in the mark's place, or behind it. A mark may time out itself
            # on a machine that is busy with other things.
            assert answer.status == 504 or answer == Received(200, f"m{self._token}".encode())
            assert not self.reader.in_the_middle
            self._round += 1
            self._ask() if self._round < self._rounds else self.close()
            return
        self._contested = False
        assert answer.status == 504 or answer == Received(200, self._token.encode())
        self._aim.was(early=answer.status == 200)
        self._publish()
        if not self._pipelined:
            self.send(self._mark())


@pytest.mark.parametrize(("source", "kind"), [*KINDS, (PLAIN, "stubborn")], ids=[*KIND_NAMES, "stubborn"])
def test_a_handler_that_ends_with_its_504_gives_one_answer(
    storm: Callable[..., Service], note: Callable[..., None], full: bool, source: str, kind: str
) -> None:
    peers, rounds = (40, 50) if full else (40, 6)
    service = storm(
        source, request_timeout_ms=int(TICK_S * 1000), blocking_max=peers, keep_alive_timeout_ms=60_000
    )
    # Early: the handler was first, so it must come later next time.
    aim = Aim(50e-6)
    script = service.module

    def publish() -> None:
        script.aim.offset_s = aim.offset_s

    load = Load(("127.0.0.1", service.port))
    for name in range(peers):
        Contender(load, name, kind, rounds, aim, publish)
    load.run()
    note(collisions=peers * rounds, handler_first=aim.early, timeout_first=aim.late)
    assert aim.early + aim.late == peers * rounds
    if full:
        assert aim.early
        assert aim.late


def test_of_many_claims_at_once_one_wins(
    storm: Callable[..., Service], note: Callable[..., None], full: bool
) -> None:
    service = storm(PLAIN, keep_alive_requests=MANY)
    rounds, claimers = (2_000 if full else 300), 4
    verdicts: SimpleQueue[tuple[int, int]] = SimpleQueue()
    start = threading.Barrier(claimers + 1)
    contested: list[tuple[Connection, Exchange]] = []

    def claim(number: int) -> None:
        data = f"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}".encode()
        for _ in range(rounds):
            start.wait(30)
            connection, exchange = contested[-1]
            verdicts.put((number, connection.answer(exchange, data, True, monotonic())))

    threads = [threading.Thread(target=claim, args=[number]) for number in range(claimers)]
    for thread in threads:
        thread.start()
    wins = [0] * claimers
    with service.connect() as client:
        for round_number in range(rounds):
            client.send(get("/at/async/1e9/none"))
            contested.append(_running(service, round_number + 1))
            start.wait(30)
            won = [number for number, verdict in _take(verdicts, claimers) if verdict != LATE]
            assert len(won) == 1
            assert client.answer().body == str(won[0]).encode()
            wins[won[0]] += 1
            contested[-1][1].cancel()
        assert client.get("/mark/end").body == b"end"
    for thread in threads:
        thread.join(30)
    note(rounds=rounds, wins=wins)


def _running(service: Service, requests: int) -> tuple[Connection, Exchange]:
    """The one connection, and the exchange that it waits for."""
    assert wait_until(
        lambda: [MANY - one.requests_left for one in open_connections(service.server)] == [requests],
        every_s=0.0005,
    )
    (connection,) = open_connections(service.server)
    assert wait_until(lambda: connection.exchange is not None, every_s=0.0005)
    exchange = connection.exchange
    assert exchange is not None
    return connection, exchange


def _take[T](queue: SimpleQueue[T], number: int) -> list[T]:
    return [queue.get(timeout=30) for _ in range(number)]


@pytest.mark.parametrize("lane", ["async", "sync"])
def test_what_is_answered_with_504_while_it_waits_is_never_run(
    storm: Callable[..., Service], lane: str
) -> None:
    service = storm(PLAIN, request_timeout_ms=100, loops=1, blocking_min=1, blocking_max=1)
    with service.connect() as hog:
        hog.send(get(f"/hog/{lane}"))
        assert wait_until(lambda: service.server._lanes.in_flight() == 1)
        waiting = [service.connect() for _ in range(20)]
        for number, client in enumerate(waiting):
            client.send(get(f"/run/{lane}/{number}"))
        for client in waiting:
            assert client.answer().status == 504
        assert hog.answer().status == 504
        assert wait_until(lambda: service.server._lanes.in_flight() == 0)
        assert service.module.ran == []
        for client in waiting:
            assert client.get(f"/run/{lane}/again").body == b"again"
            client.close()


class Quitter(Peer):
    """Resets its connection when the answer is due; then the next one takes its place, and descriptor."""

    def __init__(self, load: Load, kind: str, left: list[int], aim: Aim) -> None:
        self._kind = kind
        self._left = left
        self._aim = aim
        self._token = ""
        super().__init__(load)

    def begin(self) -> None:
        self._left[0] -= 1
        self._token = f"t{self._left[0]}"
        moment = monotonic() + 0.02
        self.send(get(f"/at/{self._kind}/{moment!r}/{self._token}"))
        self.load.at(moment - self._aim.offset_s, self._quit)

    def _quit(self) -> None:
        if not self.ended:
            # The answer may be there, unread: then it was first.
            self.receive()
        if not self.ended:
            self._aim.was(early=False)
            self._leave()

    def on_answer(self, answer: Received) -> None:
        assert answer == Received(200, self._token.encode())
        self._aim.was(early=True)
        self._leave()

    def _leave(self) -> None:
        self.reset()
        if self._left[0] > 0:
            Quitter(self.load, self._kind, self._left, self._aim)


class Witness(Peer):
    """Goes on asking for its own token while others come and go: nobody else's answer may reach it."""

    def __init__(self, load: Load, name: str, left: list[int]) -> None:
        self._name = name
        self._left = left
        self._asked = 0
        super().__init__(load)

    def begin(self) -> None:
        self.send(get(f"/mark/{self._name}-{self._asked}"))

    def on_answer(self, answer: Received) -> None:
        assert answer == Received(200, f"{self._name}-{self._asked}".encode())
        if self._left[0] <= 0:
            self.close()
            return
        self._asked += 1
        self.load.at(monotonic() + 0.002, self.begin)


@pytest.mark.parametrize(("source", "kind"), KINDS, ids=KIND_NAMES)
def test_a_handler_that_ends_with_its_clients_reset_leaves_nothing_behind(
    storm: Callable[..., Service], note: Callable[..., None], full: bool, source: str, kind: str
) -> None:
    service = storm(source, blocking_max=40, keep_alive_requests=MANY)
    collisions = 2_000 if full else 400
    aim = Aim(20e-6)
    left = [collisions]
    load = Load(("127.0.0.1", service.port))
    for name in range(2):
        Witness(load, f"w{name}", left)
    for _ in range(20):
        Quitter(load, kind, left, aim)
    load.run()
    note(collisions=aim.early + aim.late, answer_first=aim.early, reset_first=aim.late)
    assert aim.early + aim.late >= collisions
    if full:
        assert aim.early
        assert aim.late
