"""Sync wrap-arounds that hold a worker each, on a lane that has no other: it finishes and leaks nothing."""

from __future__ import annotations

import random
import threading
from collections import Counter
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from siphon.threads.exchange import Exchange
from tests.stress.leaks import wait_until
from tests.stress.load import Load, Peer, Received, get

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.service import Service

pytestmark = pytest.mark.stress

SCRIPT = """
    import asyncio
    import threading
    from siphon import http

    never = threading.Event()
    meeting = threading.Barrier(WORKERS)
    entered = []
    left = []

    @http.middleware
    def outermost(req, call_next):
        entered.append(1)
        try:
            if req.raw_path.startswith("/meet"):
                meeting.wait(20)
            return call_next(req)
        finally:
            left.append(1)

    @http.middleware
    async def between(req, call_next):
        await asyncio.sleep(0)
        return await call_next(req)

    @http.middleware
    def nested(req, call_next):
        entered.append(1)
        try:
            return call_next(req)
        finally:
            left.append(1)

    @http.middleware
    def guard(req):
        return None

    @http.route("/meet/async/{token}")
    @http.route("/async/{token}")
    async def quick_async(req):
        await asyncio.sleep(0.001)
        return http.Response(body=req.path_params["token"])

    @http.route("/meet/sync/{token}")
    @http.route("/sync/{token}")
    def quick_sync(req):
        return http.Response(body=req.path_params["token"])

    @http.route("/awaited/{token}")
    def awaited(req):
        return quick_async(req)

    @http.route("/slow/async/{token}")
    async def slow_async(req):
        await asyncio.sleep(5)
        return http.Response(body=req.path_params["token"])

    @http.route("/slow/sync/{token}")
    def slow_sync(req):
        never.wait(0.08)
        return http.Response(body=req.path_params["token"])
"""
QUICK = ("/async/", "/sync/", "/awaited/")
SLOW = ("/slow/async/", "/slow/sync/")


class Guest(Peer):
    """Asks for its own token, quickly or slowly, and may reset its connection meanwhile."""

    def __init__(self, load: Load, name: int, rounds: int, dice: random.Random, ends: Counter[str]) -> None:
        self._name = name
        self._rounds = rounds
        self._dice = dice
        self._ends = ends
        self._token = ""
        super().__init__(load)

    def begin(self) -> None:
        if not self._rounds:
            self.close()
            return
        self._rounds -= 1
        self._token = f"{self._name}-{self._rounds}"
        self._slow = self._dice.random() < 0.1
        self.send(get(self._dice.choice(SLOW if self._slow else QUICK) + self._token))
        if self._dice.random() < 0.1:
            self.load.at(monotonic() + self._dice.random() * 0.02, self._reset)

    def on_answer(self, answer: Received) -> None:
        if answer.status == 200:
            assert answer.body == self._token.encode()
        else:
            # Queueing counts: on a full lane a quick one may time out, too.
            assert answer.status == 504
        assert not self.reader.in_the_middle
        self._ends[str(answer.status)] += 1
        self.begin()

    def _reset(self) -> None:
        if self.ended:
            return
        self._ends["reset"] += 1
        self.reset()
        Guest(self.load, self._name, self._rounds, self._dice, self._ends)


@pytest.mark.parametrize("workers", [2, 4])
def test_a_full_lane_of_wrap_arounds_finishes(
    storm: Callable[..., Service], note: Callable[..., None], full: bool, workers: int
) -> None:
    service = storm(
        SCRIPT.replace("WORKERS", str(workers)),
        blocking_min=1,
        blocking_max=workers,
        request_timeout_ms=150,
        keep_alive_timeout_ms=60_000,
    )
    ends: Counter[str] = Counter()
    load = Load(("127.0.0.1", service.port))
    for name in range(16):
        Guest(load, name, 250 if full else 25, random.Random(name), ends)
    load.run()
    note(**{f"answered_{end}": number for end, number in ends.items()})
    script = service.module
    assert wait_until(lambda: len(script.entered) == len(script.left))
    assert ends["200"]
    assert ends["504"]
    assert ends["reset"]


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_every_worker_held_at_once_is_no_deadlock(
    storm: Callable[..., Service], full: bool, workers: int, kind: str
) -> None:
    """All of them wait for an inner part that needs a worker in its turn: each finds its own."""
    service = storm(
        SCRIPT.replace("WORKERS", str(workers)),
        blocking_min=1,
        blocking_max=workers,
        request_timeout_ms=10_000,
    )
    rounds = 200 if full else 20
    clients = [service.connect() for _ in range(workers)]
    for number in range(rounds):
        for index, client in enumerate(clients):
            client.send(get(f"/meet/{kind}/{index}-{number}"))
        for index, client in enumerate(clients):
            assert client.answer().body == f"{index}-{number}".encode()
    for client in clients:
        client.close()
    script = service.module
    assert len(script.entered) == len(script.left) == 2 * rounds * workers


STUBBORN = """
    import asyncio
    import threading
    from siphon import http

    over = threading.Event()

    @http.middleware
    def holding(req, call_next):
        return call_next(req)

    @http.route("/stubborn")
    async def stubborn(req):
        while not over.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                pass
        return http.Response()

    @http.route("/next")
    def next_one(req):
        return http.Response(body="next")
"""


def test_a_504_frees_the_worker_that_waits_for_a_handler_which_will_not_end(
    storm: Callable[..., Service],
) -> None:
    service = storm(STUBBORN, blocking_min=1, blocking_max=1, request_timeout_ms=1_000)
    with service.connect() as client:
        try:
            assert client.get("/stubborn").status == 504
            # The only worker is free, though the handler still runs.
            assert client.get("/next").body == b"next"
            assert wait_until(lambda: service.server._lanes.blocking.load == 0)
        finally:
            service.module.over.set()


CAUGHT_OUT = """
    import threading
    from siphon import http

    ended = threading.Event()

    @http.middleware
    def holding(req, call_next):
        assert ended.wait(20)
        return call_next(req)

    @http.route("/")
    async def never(req):
        return http.Response(body="too late")
"""


def test_a_member_that_finds_its_request_ended_leaves_the_answer_to_whoever_has_ended_it(
    storm: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The acceptor stands still between ending the work and answering; the worker fails just then."""
    service = storm(CAUGHT_OUT, request_timeout_ms=100)
    failed = threading.Event()
    encode, fail = Exchange._encode, Exchange.fail

    def encode_once_it_has_failed(exchange: Exchange, *arguments: Any) -> tuple[bytes, bytes, bool]:
        assert exchange.ended
        service.module.ended.set()
        assert failed.wait(20)
        return encode(exchange, *arguments)

    def fail_and_tell(exchange: Exchange, *arguments: Any) -> None:
        fail(exchange, *arguments)
        failed.set()

    monkeypatch.setattr(Exchange, "_encode", encode_once_it_has_failed)
    monkeypatch.setattr(Exchange, "fail", fail_and_tell)
    with service.connect() as client:
        assert client.get("/").status == 504
