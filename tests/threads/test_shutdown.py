"""The drain: what is on its way is finished, what is idle is closed, and it ends in time."""

from __future__ import annotations

import errno
import socket
import threading
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from tests.client import request
from tests.stress.leaks import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.service import Service

SCRIPT = """
    import asyncio
    import threading
    from siphon import http

    seen = []
    entered = threading.Semaphore(0)
    gate = threading.Event()

    @http.route("/hello")
    async def hello(req):
        return http.Response(body="hello")

    @http.route("/sync")
    def sync(req):
        entered.release()
        assert gate.wait(20)
        return http.Response(body="sync")

    @http.route("/async")
    async def asynchronous(req):
        entered.release()
        while not gate.is_set():
            await asyncio.sleep(0.005)
        return http.Response(body="async")

    @http.route("/never")
    async def never(req):
        entered.release()
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cancelled")

    @http.route("/big")
    async def big(req):
        entered.release()
        return http.Response(body=bytes(20_000_000))

    @http.on_shutdown
    async def last():
        seen.append("shutdown hook")
"""


class Stop:
    """A stop on a thread of its own, as a signal would begin it."""

    def __init__(self, service: Service) -> None:
        self.clean: bool | None = None
        self.module = service.module
        self._service = service
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self.clean = self._service.stop()

    def join(self) -> bool:
        """Waits for its end; whether every thread has ended."""
        self.thread.join(15)
        assert self.clean is not None
        return self.clean


@pytest.fixture
def stopping() -> Iterator[Callable[[Service], Stop]]:
    """Begins a stop, and returns when the drain has begun: the listening socket has been closed by it."""
    stops: list[Stop] = []

    def begin(service: Service) -> Stop:
        stop = Stop(service)
        stops.append(stop)
        listener = service.server.listeners[0]
        stop.thread.start()
        assert wait_until(lambda: listener.socket.fileno() < 0)
        return stop

    yield begin
    for stop in stops:
        stop.module.gate.set()
        stop.thread.join(15)


type Stopping = Callable[[Service], Stop]


@pytest.mark.parametrize("path", ["/sync", "/async"])
def test_what_is_on_its_way_is_answered_with_connection_close(
    serve: Callable[..., Service], stopping: Stopping, path: str
) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        client.send(request(path))
        assert service.module.entered.acquire(timeout=5)
        stop = stopping(service)
        stop.module.gate.set()
        answer = client.answer()
        assert (answer.body, answer.get("connection")) == (path[1:].encode(), "close")
        assert client.read_to_end() == b""
    assert stop.join()
    assert stop.module.seen == ["shutdown hook"]


def test_a_request_that_is_arriving_is_answered(serve: Callable[..., Service], stopping: Stopping) -> None:
    service = serve(SCRIPT)
    raw = request("/hello")
    with service.connect() as used, service.connect() as fresh:
        used.get("/hello")
        used.send(raw[:20])
        fresh.send(raw[:1])
        with service.connect() as other:
            other.get("/hello")
        stop = stopping(service)
        for client, rest in ((used, raw[20:]), (fresh, raw[1:])):
            answer = client.send(rest).answer()
            assert (answer.body, answer.get("connection")) == (b"hello", "close")
    assert stop.join()


def test_pipelined_requests_are_answered_up_to_the_one_that_closes(
    serve: Callable[..., Service], stopping: Stopping
) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        client.send(request("/sync") + request("/hello"))
        assert service.module.entered.acquire(timeout=5)
        stop = stopping(service)
        stop.module.gate.set()
        assert client.answer().get("connection") == "close"
        assert client.read_to_end() == b""
    assert stop.join()


def test_a_large_answer_is_sent_to_its_end(serve: Callable[..., Service], stopping: Stopping) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        client.send(request("/big"))
        assert service.module.entered.acquire(timeout=5)
        stop = stopping(service)
        assert len(client.answer().body) == 20_000_000
    assert stop.join()


def test_an_error_during_the_drain_says_close_too(serve: Callable[..., Service], stopping: Stopping) -> None:
    service = serve(SCRIPT, request_timeout_ms=500)
    with service.connect() as client:
        client.send(request("/never"))
        assert service.module.entered.acquire(timeout=5)
        stop = stopping(service)
        answer = client.answer()
        assert (answer.status, answer.get("connection")) == (504, "close")
    assert stop.join()
    assert stop.module.seen == ["cancelled", "shutdown hook"]


def test_what_is_not_done_in_time_is_cancelled(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, shutdown_timeout_ms=150)
    module = service.module
    with service.connect() as client:
        client.send(request("/never"))
        assert module.entered.acquire(timeout=5)
        begun = monotonic()
        assert service.stop()
        assert 0.14 < monotonic() - begun < 5
        assert client.read_to_end() == b""
    assert module.seen == ["cancelled", "shutdown hook"]


def test_work_whose_client_has_gone_is_cancelled_in_time_too(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, shutdown_timeout_ms=150, cancel_on_disconnect=False)
    module = service.module
    client = service.connect().send(request("/never"))
    assert module.entered.acquire(timeout=5)
    client.reset()
    assert service.stop()
    assert sorted(module.seen) == ["cancelled", "shutdown hook"]


def test_a_sync_handler_that_does_not_end_is_left_behind(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, shutdown_timeout_ms=100, blocking_min=4)
    module = service.module
    clients = [service.connect().send(request("/sync")) for _ in range(4)]
    for _ in clients:
        assert module.entered.acquire(timeout=5)
    begun = monotonic()
    try:
        assert service.stop() is False
        assert monotonic() - begun < 3  # one grace for all of them, not one for each
        assert module.seen == ["shutdown hook"]
    finally:
        module.gate.set()
        for client in clients:
            client.close()


def test_a_client_that_reads_nothing_does_not_hold_the_stop_up(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, shutdown_timeout_ms=200)
    module = service.module
    with service.connect() as client:
        client.send(request("/big"))
        assert module.entered.acquire(timeout=5)
        assert service.stop()
        assert len(client.read_to_end()) < 20_000_000


def test_who_is_in_the_backlog_is_served(serve: Callable[..., Service]) -> None:
    service = serve(
        """
        from siphon import http

        @http.route("/hello")
        async def hello(req):
            return http.Response(body="hello")
        """,
        max_connections=2,
        header_timeout_ms=5_000,
    )
    with service.connect() as first, service.connect() as second:
        # The listener is full, so that the newcomers' connections stay in the backlog.
        first.send("GET /hello HT")
        second.send("GET /hello HT")
        waiting = [service.connect().send(request("/hello")) for _ in range(3)]
        waiting[0].sock.settimeout(0.15)
        with pytest.raises(TimeoutError):
            waiting[0].answer()
        waiting[0].sock.settimeout(10)
        (acceptor,) = service.server._acceptors
        stop = threading.Thread(target=service.stop)
        stop.start()
        assert wait_until(lambda: acceptor._drain_begun)
        for client in (first, second):
            client.send("TP/1.1\r\nHost: a\r\n\r\n")
            assert client.answer().get("connection") == "close"
    for client in waiting:
        assert client.answer().body == b"hello"
        client.close()
    stop.join(15)


def test_many_newcomers_at_the_moment_of_the_stop_are_all_served(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    clients = [service.connect() for _ in range(400)]
    for client in clients:
        client.send(request("/hello"))
    stop = threading.Thread(target=service.stop)
    stop.start()
    assert {client.answer().status for client in clients} == {200}
    for client in clients:
        client.close()
    stop.join(15)


def test_newcomers_are_turned_away_while_the_drain_goes_on(
    serve: Callable[..., Service], stopping: Stopping
) -> None:
    service = serve(SCRIPT)
    address = service.server.listeners[0].socket.getsockname()
    with service.connect() as client:
        client.send(request("/sync"))
        assert service.module.entered.acquire(timeout=5)
        stop = stopping(service)
        with socket.socket() as newcomer:
            newcomer.settimeout(5)
            assert newcomer.connect_ex(address) == errno.ECONNREFUSED
        stop.module.gate.set()
        assert client.answer().body == b"sync"
    assert stop.join()


def test_a_request_on_an_idle_connection_is_answered_after_the_stop_has_begun(
    serve: Callable[..., Service], stopping: Stopping
) -> None:
    service = serve(SCRIPT)
    with service.connect() as idle:
        assert idle.get("/hello").get("connection") is None
        stop = stopping(service)
        answer = idle.get("/hello")
        assert (answer.body, answer.get("connection")) == (b"hello", "close")
        assert idle.read_to_end() == b""
    assert stop.join()


def test_an_answer_that_kept_the_connection_leaves_it_a_moment_too(
    serve: Callable[..., Service], stopping: Stopping
) -> None:
    """The drain comes while a large answer is being fetched, whose head has promised to go on."""
    service = serve(SCRIPT)
    with service.connect() as client:
        client.send(request("/big"))
        assert service.module.entered.acquire(timeout=5)
        client.wait_for_answer()
        stop = stopping(service)
        assert client.answer().get("connection") is None
        assert client.get("/hello").get("connection") == "close"
    assert stop.join()


def test_a_kick_that_comes_late_does_not_shorten_the_moment(
    serve: Callable[..., Service], stopping: Stopping
) -> None:
    """A worker may have answered before the drain and kick after it."""
    service = serve(SCRIPT)
    with service.connect() as client:
        client.get("/hello")
        (acceptor,) = service.server._acceptors
        (connection,) = acceptor.connections.values()
        stop = stopping(service)
        for _ in range(3):
            acceptor.kick(connection)
        threading.Event().wait(0.3)  # what is tested: that it is still open by then
        assert client.get("/hello").get("connection") == "close"
    assert stop.join()


def test_a_connection_that_stays_idle_holds_the_stop_for_a_second(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, keep_alive_timeout_ms=60_000)
    with service.connect() as idle:
        idle.get("/hello")
        begun = monotonic()
        assert service.stop()
        assert 0.9 < monotonic() - begun < 8
        assert idle.read_to_end() == b""


def test_a_connection_that_has_been_idle_for_long_is_closed_at_once(
    serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("siphon.threads.connection._DRAIN_PATIENCE_S", 60.0)
    service = serve(SCRIPT, acceptors=2, keep_alive_timeout_ms=600_000)
    with service.connect() as idle:
        idle.get("/hello")
        connections = [one for acceptor in service.server._acceptors for one in acceptor.connections.values()]
        # As if it had been answered that much earlier; who answers holds the lock until that is set.
        with connections[0].lock:
            connections[0].answered_at -= 61.0
        begun = monotonic()
        assert service.stop()
        assert monotonic() - begun < 8  # and not the 10 s after which it would have been cut off
        assert idle.read_to_end() == b""
