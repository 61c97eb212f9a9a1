"""Pipelined requests under load: nothing is lost, doubled or out of order."""

from __future__ import annotations

import random
import sys
import threading
from time import monotonic
from typing import TYPE_CHECKING, Self

import pytest

from siphon.threads.acceptor import Acceptor
from tests.stress.leaks import wait_until
from tests.stress.load import Load, Peer, Received, get, run_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.service import Service

pytestmark = pytest.mark.stress

ROUTES = """
    import asyncio
    import threading
    from siphon import http

    gate = threading.Event()

    @http.route("/async/{number}")
    async def at_once(req):
        return http.Response(body=req.path_params["number"])

    @http.route("/yielding/{number}")
    async def yielding(req):
        await asyncio.sleep(0)
        return http.Response(body=req.path_params["number"])

    @http.route("/sync/{number}")
    def sync(req):
        return http.Response(body=req.path_params["number"])

    @http.route("/gated/{number}")
    def gated(req):
        gate.wait(30)
        return http.Response(body=req.path_params["number"])

    @http.route("/never")
    async def never(req):
        await asyncio.Event().wait()
"""
MIXED = f"""{ROUTES}
    @http.middleware
    def guard(req):
        return None

    @http.middleware
    async def around(req, call_next):
        return await call_next(req)

    @http.middleware
    def holding(req, call_next):
        return call_next(req)
"""
REQUESTS = 50


class Numbered(Peer):
    """Sends numbered requests cut at random places, and expects their numbers back in order."""

    def __init__(self, load: Load, name: int, kinds: tuple[str, ...], dice: random.Random) -> None:
        self._expected = [f"{name}-{number}" for number in range(REQUESTS)]
        self._data = b"".join(
            get(f"/{dice.choice(kinds)}/{token}") for number, token in enumerate(self._expected)
        )
        self._dice = dice
        self._answered = 0
        super().__init__(load)

    def begin(self) -> None:
        self._send_more()

    def _send_more(self) -> None:
        if self.ended:
            return
        size = self._dice.choice((1, 40, 200, 3_000))
        data, self._data = self._data[:size], self._data[size:]
        self.send(data)
        if self._data:
            self.load.at(monotonic(), self._send_more)

    def on_answer(self, answer: Received) -> None:
        wanted = Received(200, self._expected[self._answered].encode())
        assert answer == wanted
        self._answered += 1
        if self._answered == REQUESTS:
            assert not self.reader.in_the_middle
            # A doubled last answer would come with or before this one.
            self._expected.append("last")
            self.send(get("/async/last"))
        elif self._answered > REQUESTS:
            self.close()


@pytest.mark.parametrize("acceptors", [1, 2])
@pytest.mark.parametrize(
    ("source", "kinds"),
    [(ROUTES, ("async", "yielding")), (ROUTES, ("sync",)), (MIXED, ("async", "yielding", "sync"))],
    ids=["async", "sync", "mixed"],
)
def test_pipelined_requests_are_all_answered_once_and_in_order(
    storm: Callable[..., Service],
    note: Callable[..., None],
    full: bool,
    source: str,
    kinds: tuple[str, ...],
    acceptors: int,
) -> None:
    service = storm(source, acceptors=acceptors, keep_alive_timeout_ms=60_000, blocking_queue_max=10_000)
    dice = random.Random(acceptors)
    connections, rounds = (300, 3) if full else (150, 1)
    began = monotonic()
    for _ in range(rounds):
        loads = [Load(("127.0.0.1", service.port)) for _ in range(2 if full else 1)]
        for name in range(connections):
            Numbered(loads[name % len(loads)], name, kinds, random.Random(dice.random()))
        run_all(loads)
    total = connections * rounds * (REQUESTS + 1)
    note(answers=total, per_second=round(total / (monotonic() - began)))


def test_a_connection_is_read_again_after_a_burst_past_the_read_ahead(
    storm: Callable[..., Service],
) -> None:
    """What is read ahead ends exactly where a request does: the pause in reading must end all the same."""
    service = storm(ROUTES, keep_alive_timeout_ms=2_000)
    burst = [
        f"GET /sync/{number} HTTP/1.1\r\nHost: test\r\nPad: {'x' * 900}\r\n\r\n" for number in range(100)
    ]
    with service.connect(timeout_s=10) as client:
        client.send(get("/gated/first")).send("".join(burst))
        # All of it is with the server: it has paused reading, or waits for more.
        acceptor = service.server._acceptors[0]
        whole = len("".join(burst))
        assert wait_until(
            lambda: [one.incoming.kept_bytes for one in acceptor.connections.values()] == [whole]
        )
        service.module.gate.set()
        assert client.answer().body == b"first"
        for number in range(len(burst)):
            assert client.answer().body == str(number).encode()
        assert client.get("/sync/next").body == b"next"


def test_what_is_pipelined_behind_a_504_is_run_at_once(storm: Callable[..., Service]) -> None:
    service = storm(ROUTES, request_timeout_ms=1_000)
    with service.connect() as client:
        client.send(get("/never") + get("/async/next"))
        assert client.answer().status == 504
        began = monotonic()
        assert client.answer().body == b"next"
        assert monotonic() - began < 0.5


def test_what_is_pipelined_behind_a_refusal_is_run_at_once(storm: Callable[..., Service]) -> None:
    service = storm(ROUTES, blocking_min=1, blocking_max=1, blocking_queue_max=1)
    with service.connect() as client, service.connect() as running, service.connect() as waiting:
        running.send(get("/gated/running"))
        waiting.send(get("/gated/waiting"))
        lane = service.server._lanes.blocking
        assert wait_until(lambda: lane.load == 2)
        client.send(get("/sync/refused") + get("/async/next"))
        assert client.answer().status == 503
        began = monotonic()
        assert client.answer().body == b"next"
        assert monotonic() - began < 0.5
        service.module.gate.set()
        assert running.answer().body == b"running"
        assert waiting.answer().body == b"waiting"


class StandingState(str):
    """A connection's state that one function cannot look at before the gate opens."""

    _gate: threading.Event
    _function: Callable[..., object]
    looked_at: threading.Event

    def __new__(cls, state: str, function: Callable[..., object], gate: threading.Event) -> Self:
        made = super().__new__(cls, state)
        made._function = function
        made._gate = gate
        made.looked_at = threading.Event()
        return made

    def _stand(self) -> None:
        if sys._getframe(2).f_code is self._function.__code__:
            self.looked_at.set()
            assert self._gate.wait(30)

    def __hash__(self) -> int:
        self._stand()
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        self._stand()
        return super().__eq__(other)


def test_input_that_comes_with_the_answer_is_not_overlooked(storm: Callable[..., Service]) -> None:
    """The acceptor finds a request being answered and notes that more has come: nobody answers in between."""
    service = storm(ROUTES, keep_alive_timeout_ms=60_000)
    (acceptor,) = service.server._acceptors
    with service.connect(timeout_s=5) as client:
        client.send(get("/gated/first"))
        assert wait_until(lambda: service.server._lanes.in_flight() == 1)
        (connection,) = acceptor.connections.values()
        gate = threading.Event()
        standing = StandingState(connection.state, Acceptor._keep, gate)
        with connection.lock:
            connection.state = standing
        client.send(get("/sync/second"))
        assert standing.looked_at.wait(30)
        service.module.gate.set()
        # The answer waits for the acceptor; without the lock it would be out by now, and no kick with it.
        overtaken = wait_until(lambda: connection.exchange is None, 0.3)
        gate.set()
        assert not overtaken
        assert client.answer().body == b"first"
        assert client.answer().body == b"second"
