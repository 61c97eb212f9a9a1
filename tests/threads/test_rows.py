"""Quick sync handlers are run in rows; one that blocks is left behind by those that were dealt after it."""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING, cast

import pytest

from siphon.threads import blocking, staff
from siphon.threads.blocking import BlockingLane
from siphon.threads.blocking_worker import BlockingWorker
from tests.service import refuse_threads
from tests.stress.leaks import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from siphon.threads.exchange import Exchange
    from tests.service import Service

SCRIPT = """
    import threading
    from siphon import http

    gate = threading.Event()
    blocked = threading.Semaphore(0)

    @http.route("/quick")
    def quick(req):
        return http.Response(body=threading.current_thread().name)

    @http.route("/block")
    def block(req):
        blocked.release()
        gate.wait(30)
        return http.Response(body="at last")
"""


def test_no_quick_handler_waits_for_those_that_block(serve: Callable[..., Service]) -> None:
    """Also the first ones that block, of which nobody could know."""
    service = serve(SCRIPT)
    clients = [service.connect() for _ in range(12)]
    quick = service.connect()
    assert quick.get("/quick").status == 200
    for client in clients:
        client.send(b"GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
        assert quick.get("/quick").status == 200
    for _ in clients:
        assert service.module.blocked.acquire(timeout=10), "one waits behind another"
    service.module.gate.set()
    for client in [*clients, quick]:
        client.close()


def test_quick_handlers_are_run_by_the_same_few_workers(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, blocking_min=8, blocking_max=64)
    clients = [service.connect() for _ in range(16)]
    names = set()
    for _ in range(20):
        for client in clients:
            client.send(b"GET /quick HTTP/1.1\r\nHost: x\r\n\r\n")
        names |= {client.answer().body for client in clients}
    lane = service.server._lanes.blocking
    assert names <= {worker.name.encode() for worker in lane.workers}
    assert len(names) <= 2 * lane.runners_max, "a few, and those that have relieved them"
    assert lane.size == 8
    for client in clients:
        client.close()
    assert wait_until(lambda: lane.resting == lane.size)


def test_where_few_workers_are_allowed_nothing_is_dealt_in_rows(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, blocking_min=1, blocking_max=3)
    with service.connect() as client:
        assert client.get("/quick").status == 200
    assert service.server._lanes.blocking._runners == ()


@pytest.mark.parametrize(
    ("singly_until", "steps"),
    [(float("inf"), ["read", "handed", "read", "handed"]), (0.0, ["read", "read", "dealt", "dealt"])],
)
def test_a_request_for_handlers_that_wait_is_handed_over_before_the_next_is_read(
    serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch, singly_until: float, steps: list[str]
) -> None:
    """Else those of one turn begin together, end together, and come in one turn again."""
    service = serve(SCRIPT)
    (acceptor,) = service.server._acceptors
    taken: list[str] = []

    def note(step: str, method: Callable[..., object]) -> Callable[..., object]:
        def noted(*arguments: object) -> object:
            taken.append(step)
            return method(*arguments)

        return noted

    with service.connect() as one, service.connect() as other:
        fds = {connection.fd for connection in acceptor.connections.values()}
        poll = acceptor._poll

        def poll_for_both(timeout_s: float | None) -> list[tuple[int, int]]:
            """Once one of them has asked, waits for the other."""
            events = poll(timeout_s)
            while len(fds & {fd for fd, _ in events}) == 1:
                events = poll(1.0)
            return events

        service.server._lanes.blocking.pace._singly_until = singly_until
        acceptor.hands_over_singly = singly_until > monotonic()
        monkeypatch.setattr(acceptor, "_poll", poll_for_both)
        monkeypatch.setattr(acceptor, "_read", note("read", acceptor._read))
        monkeypatch.setattr(BlockingWorker, "hand", note("handed", BlockingWorker.hand))
        monkeypatch.setattr(BlockingWorker, "add_row", note("dealt", BlockingWorker.add_row))
        for client in (one, other):
            client.send(b"GET /quick HTTP/1.1\r\nHost: x\r\n\r\n")
        assert {client.answer().status for client in (one, other)} == {200}
        assert taken == steps


@pytest.mark.parametrize(
    "error", [RuntimeError("can't start new thread"), OSError(24, "Too many open files")]
)
def test_where_no_more_workers_can_be_started_those_that_are_there_do_it_all(
    serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    service = serve(SCRIPT, blocking_min=2, blocking_max=64)
    refuse_threads(monkeypatch, error)
    clients = [service.connect() for _ in range(20)]
    blocked = service.connect().send(b"GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
    assert service.module.blocked.acquire(timeout=10)
    for _ in range(10):
        for client in clients:
            client.send(b"GET /quick HTTP/1.1\r\nHost: x\r\n\r\n")
        assert {client.answer().status for client in clients} == {200}
    service.module.gate.set()
    assert blocked.answer().body == b"at last"
    assert service.server._lanes.blocking.size == 2
    for client in [*clients, blocked]:
        client.close()


class Noted:
    """An item that says that it was run."""

    counted = True

    def __init__(self) -> None:
        self.was_run = threading.Event()

    def on_worker(self, worker: object) -> None:
        self.was_run.set()


def test_where_not_even_the_first_worker_can_be_started_what_waits_is_run_once_one_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lane = BlockingLane(1, 8, 8, runners=2)
    items = [Noted(), Noted()]
    now = monotonic()
    for module in (blocking, staff):
        monkeypatch.setattr(module, "monotonic", lambda: now)
    with monkeypatch.context() as refusing:
        refuse_threads(refusing)
        assert lane.submit(cast("list[Exchange]", items[:1])) == []
        assert lane.size == 0
        assert lane.waiting == 1
    now += 1.1
    lane.submit(cast("list[Exchange]", items[1:]))
    for item in items:
        assert item.was_run.wait(10)
    lane.stop()
    assert lane.join(10)
