"""Sync handlers that compute are found out, and begin as others of their kind end."""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack
from itertools import pairwise
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from siphon.threads import computing
from siphon.threads.computing import Computing
from tests.stress.leaks import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.client import Client
    from tests.service import Service

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux counts how often a thread has waited"
)

SCRIPT = """
    import threading
    import time
    from select import select
    from siphon import http

    gate = threading.Event()
    entered = threading.Semaphore(0)

    @http.route("/compute")
    def compute(req):
        if "wait" in req.query_params:
            entered.release()
            gate.wait(20)
        if "sleep" in req.query_params:
            select([], [], [], 0.001)
        end = time.thread_time() + 0.002
        while time.thread_time() < end:
            pass
        return http.Response(body=b"computed")

    @http.route("/sleep")
    def sleep(req):
        select([], [], [], 0.004)
        return http.Response(body=b"slept")

    @http.route("/quick")
    def quick(req):
        return http.Response(body=b"quick")
"""


def send(clients: list[Client], target: str) -> None:
    """Has each of them ask for ``target``."""
    for client in clients:
        client.send(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")


def bodies(clients: list[Client]) -> set[bytes]:
    """What they are answered."""
    return {client.answer().body for client in clients}


def known(service: Service) -> list[str]:
    """The patterns of the routes that are known to compute."""
    scores = service.server._lanes.blocking.computing._scores
    return [chain.pattern for chain, score in scores.copy().items() if score == 4]


def become_known(service: Service, clients: list[Client]) -> None:
    """Asks for what computes until that is known, and nothing is run in rows."""
    lane = service.server._lanes.blocking

    def asks() -> bool:
        send(clients, "/compute")
        assert bodies(clients) == {b"computed"}
        return known(service) == ["/compute"] and not lane.pace.is_quick()

    assert wait_until(asks)
    assert wait_until(lambda: lane.resting == lane.size)


@pytest.fixture
def clients(serve: Callable[..., Service]) -> Iterator[tuple[Service, list[Client]]]:
    service = serve(SCRIPT, blocking_min=8, blocking_max=8)
    with ExitStack() as stack:
        yield service, [stack.enter_context(service.connect(timeout_s=20)) for _ in range(6)]


def test_a_handler_that_computes_is_known_to(clients: tuple[Service, list[Client]]) -> None:
    service, six = clients
    become_known(service, six)


def test_handlers_that_wait_or_are_quick_are_not(clients: tuple[Service, list[Client]]) -> None:
    service, six = clients
    for path in ["/sleep", "/quick"] * 10:
        send(six, path)
        assert {client.answer().status for client in six} == {200}
    assert known(service) == []


def test_one_that_waits_after_all_is_not_any_more(clients: tuple[Service, list[Client]]) -> None:
    """All six are at it soon, although others had the places; and what they do is found out."""
    service, six = clients
    become_known(service, six)
    send(six, "/compute?wait=1")
    for _ in six:
        assert service.module.entered.acquire(timeout=20), "one waits for those that wait"
    service.module.gate.set()
    assert bodies(six) == {b"computed"}

    def asks() -> bool:
        send(six, "/compute?sleep=1")
        assert bodies(six) == {b"computed"}
        return known(service) == []

    assert wait_until(asks)


def test_another_route_does_not_wait_for_those_that_compute(
    clients: tuple[Service, list[Client]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor for the end of the patience with them, which is longer here than the client's."""
    service, six = clients
    become_known(service, six)
    lane = service.server._lanes.blocking
    monkeypatch.setattr(computing, "PATIENCE_S", 60.0)
    held = six[:4]
    send(held, "/compute?wait=1")
    assert six[5].get("/quick").body == b"quick"
    service.module.gate.set()
    assert bodies(held) == {b"computed"}
    assert wait_until(lambda: lane.unfinished == lane.waiting == 0)


def test_what_waits_for_a_place_is_answered_in_a_drain(clients: tuple[Service, list[Client]]) -> None:
    service, six = clients
    become_known(service, six)
    send(six, "/compute?wait=1")
    assert wait_until(lambda: service.server._lanes.blocking.load == len(six))
    listener, gate = service.server.listeners[0], service.module.gate
    stop = threading.Thread(target=service.stop)
    stop.start()
    try:
        assert wait_until(lambda: listener.socket.fileno() < 0)
    finally:
        gate.set()
    assert bodies(six) == {b"computed"}
    stop.join(20)
    assert not stop.is_alive()


def test_requests_are_read_together_while_there_is_enough_to_compute(
    clients: tuple[Service, list[Client]], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, six = clients
    become_known(service, six)
    (acceptor,) = service.server._acceptors
    looks: list[float] = []
    poll = acceptor._poll

    def noted(timeout_s: float | None) -> list[tuple[int, int]]:
        looks.append(monotonic())
        return poll(timeout_s)

    monkeypatch.setattr(acceptor, "_poll", noted)
    monkeypatch.setattr(Computing, "has_plenty", True)
    for _ in range(20):
        send(six, "/compute")
        assert bodies(six) == {b"computed"}
    gaps = [after - before for before, after in pairwise(looks)]
    assert len(gaps) > 20
    assert min(gaps[1:]) >= 0.001  # the first may have begun before


class Asked:
    """What is known of an exchange here."""

    def __init__(self, chain: Any) -> None:
        self.chain = chain


def test_there_is_enough_where_two_wait_for_each_processor() -> None:
    chain: Any = object()
    exchanges: list[Any] = [Asked(chain) for _ in range(6)]
    places = Computing(2)
    for _ in range(4):
        places.note(chain, computed=True)
    plenty = []
    assert places.admit(exchanges[:5]) == exchanges[:2]
    plenty.append(places.has_plenty)
    assert places.admit(exchanges[5:]) == []
    plenty.append(places.has_plenty)
    assert places.leave(exchanges[0]) is exchanges[2]
    plenty.append(places.has_plenty)
    assert plenty == [False, True, False]
