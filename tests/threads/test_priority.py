"""Workers whose items compute step back behind the acceptor and the loops; the others do not."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.service import Service

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux gives a thread a priority of its own"
)

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


def test_a_worker_whose_items_compute_steps_back_and_a_loop_does_not(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, blocking_min=1, blocking_max=1)
    with service.connect() as client:
        workers = {client.get("/burn").body for _ in range(10)}
        assert [niceness(worker) for worker in workers] == [19]
        assert niceness(client.get("/").body) == os.getpriority(os.PRIO_PROCESS, 0)


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
