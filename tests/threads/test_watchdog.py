"""The stall watchdog: work that waits and nothing that is done, said once for each time."""

from __future__ import annotations

import re
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from siphon.threads.watchdog import Notice, Watchdog
from tests.client import Client, request
from tests.command import PORT_0, Command, write
from tests.stress.leaks import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from siphon.threads.watchdog import Beat
    from tests.service import Service

SCRIPT = """
    import asyncio
    import threading
    from siphon import http

    entered = threading.Semaphore(0)
    gate = threading.Event()
    one = threading.Semaphore(0)

    @http.route("/quick")
    def quick(req):
        return http.Response(body="quick")

    @http.route("/block")
    def block(req):
        entered.release()
        assert gate.wait(20)
        return http.Response(body="late")

    @http.route("/hold")
    async def hold(req):
        entered.release()
        assert gate.wait(20)
        return http.Response(body="late")

    @http.route("/wait")
    async def wait(req):
        entered.release()
        while not gate.is_set():
            await asyncio.sleep(0.01)
        return http.Response(body="late")
"""
AFTER_S = 30.0


class Looks:
    """A watchdog over a real server, shown a clock of the test's own."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.watchdog = Watchdog(service.server._lanes, AFTER_S)
        self._clients: list[Client] = []

    def send(self, path: str) -> Client:
        """A request that has reached its handler."""
        client = self.service.connect().send(request(path))
        self._clients.append(client)
        assert self.service.module.entered.acquire(timeout=5)
        return client

    def at(self, now: float) -> list[Notice]:
        """What is said at ``now``, when every loop has come round since the last look."""
        beats: list[Beat] = list(self.watchdog._beats.values())
        assert wait_until(lambda: all(beat.arrived for beat in beats))
        return self.watchdog.look(now)

    def close(self) -> None:
        self.service.module.gate.set()
        for client in self._clients:
            client.close()


@pytest.fixture
def looks(serve: Callable[..., Service]) -> Iterator[Callable[..., Looks]]:
    made: list[Looks] = []

    def make(**settings: object) -> Looks:
        made.append(Looks(serve(SCRIPT, loops=1, **settings)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_server_without_work_is_never_stalled(looks: Callable[..., Looks]) -> None:
    look = looks()
    assert [look.at(now) for now in (0.0, 100.0, 200.0, 10_000.0)] == [[], [], [], []]


def test_a_blocking_lane_that_finishes_nothing_is_reported_once(looks: Callable[..., Looks]) -> None:
    look = looks(blocking_min=1, blocking_max=1)
    assert look.at(0.0) == []
    look.send("/block")
    with look.service.connect() as waiting:
        waiting.send(request("/quick"))
        assert wait_until(lambda: look.service.server._lanes.blocking.waiting == 1)
        assert look.at(1_000.0) == []  # however long nothing was to be done before
        assert look.at(1_000.0 + AFTER_S - 0.1) == []
        (notice,) = look.at(1_000.0 + AFTER_S)
        assert notice.stalled
        assert "the blocking lane is stalled" in notice.text
        assert "1 in work and 1 waiting" in notice.text
        assert look.at(1_100.0) == []
        look.service.module.gate.set()
        assert waiting.answer().body == b"quick"
    assert wait_until(lambda: look.service.server._lanes.blocking.unfinished == 0)
    assert look.at(1_200.0) == [Notice(False, "the blocking lane goes on")]
    assert look.at(1_300.0) == []


def test_it_is_reported_again_when_it_stalls_again(looks: Callable[..., Looks]) -> None:
    look = looks()
    said = []
    for now in (0.0, 1_000.0):
        look.service.module.gate.clear()
        client = look.send("/block")
        said += look.at(now) + look.at(now + AFTER_S) + look.at(now + AFTER_S + 10)
        look.service.module.gate.set()
        assert client.answer().body == b"late"
        assert wait_until(lambda: look.service.server._lanes.blocking.unfinished == 0)
        said += look.at(now + 100)
    assert [notice.stalled for notice in said] == [True, False, True, False]


def test_a_lane_that_finishes_something_now_and_then_is_not_stalled(looks: Callable[..., Looks]) -> None:
    look = looks()
    look.send("/block")
    for now in range(0, 300, 20):
        with look.service.connect() as client:
            client.get("/quick")
        assert wait_until(lambda: look.service.server._lanes.blocking.unfinished == 1)
        assert look.at(float(now)) == []


def test_a_loop_that_does_not_come_round_is_reported(looks: Callable[..., Looks]) -> None:
    look = looks()
    assert look.at(0.0) == []
    assert look.at(10.0) == []
    beat = next(iter(look.watchdog._beats.values()))
    assert wait_until(lambda: beat.arrived)
    client = look.send("/hold")
    assert look.watchdog.look(10.0) == []
    assert look.watchdog.look(10.0 + AFTER_S - 0.1) == []
    assert look.watchdog.stalled_loops == 0
    (notice,) = look.watchdog.look(10.0 + AFTER_S)
    assert notice.stalled
    assert "siphon-loop-0 is stalled" in notice.text
    assert look.watchdog.stalled_loops == 1
    assert look.watchdog.look(1_000.0) == []
    look.service.module.gate.set()
    assert client.answer().body == b"late"
    assert look.at(1_100.0) == [Notice(False, "siphon-loop-0 goes on")]
    assert look.watchdog.stalled_loops == 0


def test_a_request_that_waits_on_its_loop_does_not_stall_it(looks: Callable[..., Looks]) -> None:
    look = looks()
    look.send("/wait")
    assert [look.at(now) for now in (0.0, 100.0, 1_000.0)] == [[], [], []]


# In a process ------------------------------------------------------------------------------------

HANGS = """
import asyncio
import threading
from siphon import http

@http.route("/block")
def block(req):
    forever()

def forever():
    threading.Event().wait()

@http.route("/wait")
async def wait(req):
    print("waiting", flush=True)
    await nobody_comes()

async def nobody_comes():
    await asyncio.Event().wait()
"""


def test_a_stall_is_logged_with_every_stack_and_what_each_worker_is_at(tmp_path: Path) -> None:
    write(tmp_path, "app.py", HANGS)
    write(tmp_path, "http.yaml", "threads: {stall_after_ms: 400, blocking_max: 2, loops: 2}")
    with Command("app.py", *PORT_0, cwd=tmp_path).started() as command:
        for _ in range(3):
            command.connect().send(request("/block?really=1"))
        log = command.log_until("the blocking lane is stalled")
        assert "2 in work and 1 waiting" in log
        log = command.log_until("MainThread") + command.log_until("serve")
        assert "blocking lane: 2 of 2 threads, 2 busy, 1 waiting" in log
        assert re.search(r"siphon-blocking-[01]: GET /block\?really=1 for \d\.\d s", log)
        stacks = re.findall(r"^ +(siphon-[^\n]*)\n((?: +File [^\n]*\n)+)", log, re.MULTILINE)
        (blocked,) = [calls for names, calls in stacks if names == "siphon-blocking-0, siphon-blocking-1"]
        *_, outer, inner = [line for line in blocked.splitlines() if "app.py" in line]
        assert outer.endswith("line 8 in block")
        assert inner.endswith("line 11 in forever")
        # It can be stopped all the same, by force.
        command.signal(signal.SIGTERM)
        command.log_until("stopping")
        command.signal(signal.SIGTERM)
        code, _, rest = command.ended()
    assert code == 1
    assert "is stalled" not in rest


def test_a_signal_has_every_stack_and_the_lanes_state_logged(tmp_path: Path) -> None:
    write(tmp_path, "app.py", HANGS)
    with Command("app.py", *PORT_0, "--loops", "1", cwd=tmp_path).started() as command:
        command.connect().send(request("/wait"))
        command.read_until("waiting")
        command.connect().get("/")  # its turn comes when the first has been suspended
        command.signal(signal.SIGUSR1)
        log = command.log_until("in nobody_comes")
        for part in (
            r"requests in work: [12] of 4096",
            r"siphon-loop-0: [12] in work, 1 of them suspended, 0 waiting",
            r"blocking lane: 8 of 64 threads, 0 busy, 0 waiting",
            r"siphon-acceptor-0",
            r"MainThread",
            r"siphon-loop-0: 1 requests are suspended",
            r"GET /wait for \d\.\d s",
            r'app.py", line 16 in wait',
        ):
            assert re.search(part, log), log
        # It goes on serving, and can be asked again.
        command.signal(signal.SIGUSR1)
        command.log_until("requests in work")
        command.signal(signal.SIGTERM)
        command.log_until("stopping")
        command.signal(signal.SIGUSR1)
        command.log_until("requests in work")


def test_a_signal_during_the_start_tells_what_it_hangs_at(tmp_path: Path) -> None:
    hook = "\n@http.on_startup\ndef warm():\n    print('warming', flush=True)\n    forever()\n"
    write(tmp_path, "app.py", HANGS + hook)
    with Command("app.py", *PORT_0, cwd=tmp_path) as command:
        command.read_until("warming")
        command.signal(signal.SIGUSR1)
        assert re.search(r"siphon-blocking-\d: the hook warm for", command.log_until("the hook warm"))


def test_stall_after_0_never_looks(tmp_path: Path) -> None:
    write(tmp_path, "app.py", HANGS)
    write(tmp_path, "http.yaml", "threads: {stall_after_ms: 0}\nshutdown_timeout_ms: 300")
    with Command("app.py", *PORT_0, cwd=tmp_path).started() as command:
        command.connect().send(request("/wait"))
        command.read_until("waiting")
        threading.Event().wait(0.5)  # what is tested: that this much time has passed
        command.signal(signal.SIGTERM)
        code, _, log = command.ended()
    assert code == 0
    assert "stalled" not in log
