"""Workers whose items compute step back behind the acceptor and the loops; the others do not."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from siphon.threads import priority
from siphon.threads.priority import Serving
from tests.stress.leaks import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.service import Service

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux gives a thread a priority of its own"
)

LINUX = tuple(map(int, os.uname().release.split(".")[:2]))
SHORT_SLICES = LINUX >= (6, 12) and os.uname().machine in priority._SYSCALLS
SCRIPT = """
    import threading
    import time
    from siphon import http

    asleep = threading.Event()

    @http.route("/burn")
    def burn(req):
        end = time.thread_time() + 0.004
        while time.thread_time() < end:
            pass
        return http.Response(body=str(threading.get_native_id()))

    @http.route("/sleep")
    def sleep(req):
        asleep.wait(0.004)
        return http.Response(body=str(threading.get_native_id()))

    @http.route("/quick")
    def quick(req):
        return http.Response(body=str(threading.get_native_id()))

    @http.route("/")
    async def hello(req):
        return http.Response(body=str(threading.get_native_id()))
"""


def niceness(native_id: bytes) -> int:
    """The niceness of one thread of this process."""
    after_name = Path(f"/proc/self/task/{int(native_id)}/stat").read_text().rpartition(")")[2]
    return int(after_name.split()[16])


def slice_ns(native_id: int) -> int:
    """How long a thread may run before another gets its turn, as the scheduler says."""
    attributes = bytearray(priority._ATTR.size)
    assert priority._call(priority._GET, native_id, attributes)
    return int(priority._ATTR.unpack(attributes)[priority._RUNTIME])


def test_a_worker_whose_items_compute_steps_back_and_a_loop_does_not(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, blocking_min=1, blocking_max=1)
    with service.connect() as client:
        workers = {client.get("/burn").body for _ in range(10)}
        own = os.getpriority(os.PRIO_PROCESS, 0)
        assert [niceness(worker) for worker in workers] == [min(19, own + 10) if SHORT_SLICES else 19]
        assert niceness(client.get("/").body) == own


@pytest.mark.skipif(not SHORT_SLICES, reason="Linux before 6.12 has no slices of a thread's own")
def test_those_that_serve_have_short_slices_once_one_computes(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, blocking_min=1, blocking_max=1)
    with service.connect() as client:
        loop = int(client.get("/").body)
        worker = {int(client.get("/burn").body) for _ in range(10)}.pop()
        (acceptor,) = service.server._acceptors
        assert acceptor.native_id is not None
        assert [slice_ns(loop), slice_ns(acceptor.native_id)] == [100_000, 100_000]
        assert slice_ns(worker) > 1_000_000


def test_a_thread_that_begins_to_serve_later_is_put_first_too() -> None:
    serving = Serving()
    able = serving.put_first()
    slices: list[int] = []

    def serve_now() -> None:
        with serving.thread():
            slices.append(slice_ns(threading.get_native_id()))
        assert not serving._threads

    thread = threading.Thread(target=serve_now)
    thread.start()
    thread.join(20)
    assert able
    assert (slices == [100_000]) is SHORT_SLICES


@pytest.mark.parametrize("refused", [priority._SET, priority._GET])
def test_where_the_system_refuses_a_worker_steps_back_all_the_way(
    serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch, refused: int
) -> None:
    """As in a container that does not allow the call, or on a machine of another kind."""
    monkeypatch.setattr(priority, "_call", lambda which, native_id, attributes: which != refused)
    monkeypatch.setattr(priority, "serving", Serving())
    with priority.serving.thread():
        service = serve(SCRIPT, blocking_min=1, blocking_max=1)
        with service.connect() as client:
            workers = {client.get("/burn").body for _ in range(10)}
            assert [niceness(worker) for worker in workers] == [19]


def test_a_worker_whose_items_only_wait_keeps_its_priority(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, blocking_min=1, blocking_max=1)
    with service.connect() as client:
        workers = {client.get("/sleep").body for _ in range(10)}
        assert [niceness(worker) for worker in workers] == [os.getpriority(os.PRIO_PROCESS, 0)]


def test_long_items_in_a_row_count_and_no_others(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, blocking_min=1, blocking_max=1)
    with service.connect() as client:
        workers = {client.get(path).body for path in ["/burn", "/burn", "/quick"] * 5}
        assert [niceness(worker) for worker in workers] == [os.getpriority(os.PRIO_PROCESS, 0)]


def test_who_has_stepped_back_runs_no_quick_handlers_any_more(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, blocking_min=8, blocking_max=8)
    clients = [service.connect() for _ in range(4)]
    lane = service.server._lanes.blocking
    try:
        for _ in range(20):
            for client in clients:
                client.send("GET /burn HTTP/1.1\r\nHost: x\r\n\r\n")
            for client in clients:
                assert client.answer().status == 200
        assert wait_until(lambda: lane.resting == lane.size)
        back = [worker for worker in lane.workers if worker.stepped_back]
        assert back
        lane.pace._singly_until = 0.0  # in rows from now on
        clients[0].get("/quick")
        assert not [worker for worker in lane._runners if worker.stepped_back]
        assert not [worker for worker in back if worker.is_runner]
    finally:
        for client in clients:
            client.close()
