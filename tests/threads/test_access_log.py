"""The access log: one line for each request, whatever becomes of it, and none of them ever waited for."""

from __future__ import annotations

import json
import re
import signal
import threading
from ipaddress import ip_network
from typing import TYPE_CHECKING, NamedTuple

import pytest

from siphon.config.settings import LogSettings
from siphon.journal import journal
from tests.client import request
from tests.command import PORT_0, Command, write
from tests.stress.leaks import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.service import Service

SCRIPT = """
    import asyncio
    import threading
    from siphon import http

    entered = threading.Semaphore(0)
    gate = threading.Event()

    @http.route("/async")
    async def asynchronous(req):
        return http.Response(body="async")

    @http.route("/sync")
    def sync(req):
        return http.Response(body="sync")

    @http.route("/empty")
    def empty(req):
        return http.Response(status=204)

    @http.route("/hold")
    def hold(req):
        entered.release()
        assert gate.wait(20)
        return http.Response(body="held")

    @http.route("/never", cancel_on_disconnect=True)
    async def never(req):
        entered.release()
        await asyncio.Event().wait()
"""
GUARDED = (
    SCRIPT
    + """
    @http.middleware
    def guard(req):
        return None
"""
)
LINE = re.compile(
    r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] (?P<addr>\S+) - "
    r'"(?P<method>\S+) (?P<path>\S+) HTTP/(?P<version>1\.\d)" (?P<status>\d{3}) (?P<ms>[\d.]+) '
    r"(?P<size>\d+) (?P<lane>\S+) (?P<queued>[\d.]+)"
)


class Logged(NamedTuple):
    """One line, without its times."""

    method: str
    path: str
    status: int
    size: int
    lane: str


class Lines:
    """The access log of this process, read from its stderr."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd
        self._read: list[re.Match[str]] = []

    def _more(self, count: int) -> bool:
        assert journal.flush(5)
        for line in self._capfd.readouterr().err.splitlines():
            match = LINE.fullmatch(line)
            if match is not None:
                assert float(match["queued"]) <= float(match["ms"])
                self._read.append(match)
        return len(self._read) >= count

    def wait_for(self, count: int) -> list[Logged]:
        """The lines once ``count`` are there: they are written after the answers."""
        assert wait_until(lambda: self._more(count))
        lines, self._read = self._read, []
        return [
            Logged(line["method"], line["path"], int(line["status"]), int(line["size"]), line["lane"])
            for line in lines
        ]

    def matches(self, count: int) -> list[re.Match[str]]:
        """The same, as matched."""
        assert wait_until(lambda: self._more(count))
        return self._read


@pytest.fixture
def lines(capfd: pytest.CaptureFixture[str]) -> Lines:
    return Lines(capfd)


@pytest.fixture
def logging(serve: Callable[..., Service]) -> Iterator[Callable[..., Service]]:
    """Starts a service that logs every request; what it holds back is let go at the end."""
    running: list[Service] = []

    def start(source: str = SCRIPT, **settings: object) -> Service:
        running.append(serve(source, log=LogSettings(), **settings))
        return running[-1]

    yield start
    for service in running:
        if service._server is not None:
            service.module.gate.set()


def test_a_line_tells_what_was_answered_how_many_bytes_and_on_which_lane(
    logging: Callable[..., Service], lines: Lines
) -> None:
    service = logging()
    with service.connect() as client:
        client.get("/async?q=secret")
        client.get("/sync")
        client.get("/sync", method="HEAD")
        client.get("/empty")
        client.get("/nothing")
        client.get("/sync", method="PUT")
        assert sorted(lines.wait_for(6)) == [
            Logged("GET", "/async", 200, 5, "loop"),
            Logged("GET", "/empty", 204, 0, "blocking"),
            Logged("GET", "/nothing", 404, 10, "loop"),
            Logged("GET", "/sync", 200, 4, "blocking"),
            Logged("HEAD", "/sync", 200, 0, "blocking"),
            Logged("PUT", "/sync", 405, 19, "loop"),
        ]


def test_a_chain_that_runs_on_both_lanes_says_so(logging: Callable[..., Service], lines: Lines) -> None:
    service = logging(GUARDED)
    with service.connect() as client:
        client.get("/async")
        client.get("/sync")
        assert sorted(lines.wait_for(2)) == [
            Logged("GET", "/async", 200, 5, "both"),
            Logged("GET", "/sync", 200, 4, "blocking"),
        ]


def test_the_address_is_the_clients_own_behind_a_trusted_proxy(
    logging: Callable[..., Service], lines: Lines
) -> None:
    service = logging(trusted_proxies=(ip_network("127.0.0.1"),))
    with service.connect() as client:
        client.get("/async", "X-Forwarded-For: 192.0.2.7")
        client.get("/async")
        # In whichever order: each loop has lines of its own.
        addresses = sorted([line["addr"] for line in lines.matches(2)])
    assert addresses[0].startswith("127.0.0.1:")
    assert addresses[1] == "192.0.2.7:0"


def test_time_in_the_queue_is_told_apart(logging: Callable[..., Service], lines: Lines) -> None:
    service = logging(blocking_min=1, blocking_max=1)
    module = service.module
    with service.connect() as first, service.connect() as second:
        first.send(request("/hold"))
        assert module.entered.acquire(timeout=5)
        second.send(request("/hold"))
        assert wait_until(lambda: service.server._lanes.blocking.waiting == 1)
        threading.Event().wait(0.1)  # what is measured: that it waits
        module.gate.set()
        assert first.answer().body == second.answer().body == b"held"
        ran, waited = sorted(lines.matches(2), key=lambda line: float(line["queued"]))
    assert float(ran["queued"]) < 90 < float(ran["ms"])
    assert float(waited["queued"]) > 90


def test_what_is_refused_or_given_up_has_its_line(logging: Callable[..., Service], lines: Lines) -> None:
    service = logging(blocking_min=1, blocking_max=1, blocking_queue_max=1, request_timeout_ms=300)
    module = service.module
    clients = [service.connect() for _ in range(3)]
    with service.connect() as bad:
        bad.send("GET / HTTP/1.1\r\n\r\n")
        refused = bad.answer()
        assert refused.status == 400
    clients[0].send(request("/hold"))
    assert module.entered.acquire(timeout=5)
    clients[1].send(request("/hold"))
    assert wait_until(lambda: service.server._lanes.blocking.waiting == 1)
    assert clients[2].get("/hold").status == 503
    assert [client.answer().status for client in clients[:2]] == [504, 504]
    module.gate.set()
    assert sorted(lines.wait_for(4)) == [
        Logged("-", "-", 400, len(refused.body), "-"),
        Logged("GET", "/hold", 503, 14, "blocking"),
        Logged("GET", "/hold", 504, 26, "blocking"),
        Logged("GET", "/hold", 504, 26, "blocking"),
    ]
    for client in clients:
        client.close()


@pytest.mark.parametrize("way", ["reset", "half_close"])
def test_a_request_whose_client_goes_away_is_logged_once_with_499(
    logging: Callable[..., Service], lines: Lines, way: str
) -> None:
    service = logging()
    client = service.connect().send(request("/never"))
    assert service.module.entered.acquire(timeout=5)
    getattr(client, way)()
    assert lines.wait_for(1) == [Logged("GET", "/never", 499, 0, "loop")]
    if way == "half_close":
        client.close()
    client = service.connect().send(request("/hold"))
    assert service.module.entered.acquire(timeout=5)
    client.reset()
    assert lines.wait_for(1) == [Logged("GET", "/hold", 499, 0, "blocking")]
    service.module.gate.set()
    with service.connect() as after:
        after.get("/async")
    assert lines.wait_for(1) == [Logged("GET", "/async", 200, 5, "loop")]


# As processes ------------------------------------------------------------------------------------

HELLO = """
from siphon import http

@http.route("/{*rest}")
async def hello(req):
    return http.Response(body="hello")

@http.route("/sync/{*rest}")
def sync(req):
    return http.Response(body="hello")
"""


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("stderr", ["a pipe that nobody reads", "/dev/full"])
def test_a_log_that_cannot_be_written_holds_no_request_and_no_stop(
    tmp_path: Path, stderr: str, form: str
) -> None:
    write(tmp_path, "app.py", HELLO)
    write(tmp_path, "http.yaml", f"log: {{format: {form}}}")
    # In place of the pipe that the command gives it.
    prefix = ["sh", "-c", 'exec 2>/dev/full "$@"', "sh"] if stderr == "/dev/full" else []
    with Command("app.py", *PORT_0, cwd=tmp_path, prefix=prefix).started() as command:
        client = command.connect()
        # Far more than the 64 KiB that a pipe holds.
        for number in range(300):
            lane = ("", "/sync")[number % 2]
            assert client.get(f"{lane}/{'x' * 2_000}").status == 200
        client.close()
        command.signal(signal.SIGTERM)
        assert command.process.wait(timeout=30) == 0


def test_a_second_signal_ends_the_process_although_its_log_is_stuck(tmp_path: Path) -> None:
    write(tmp_path, "app.py", HELLO + HANGS_AT_THE_END)
    with Command("app.py", *PORT_0, cwd=tmp_path).started() as command:
        client = command.connect()
        for _ in range(20):
            client.get(f"/{'x' * 7_000}")
        command.signal(signal.SIGTERM)
        command.read_until("at the end")
        command.signal(signal.SIGTERM)
        assert command.process.wait(timeout=30) == 1


HANGS_AT_THE_END = """
import os

@http.on_shutdown
def hang():
    print("at the end", flush=True)
    os.read(os.pipe()[0], 1)
"""


def test_json_lines_of_a_process_can_be_read_by_a_program(tmp_path: Path) -> None:
    write(tmp_path, "app.py", HELLO)
    write(tmp_path, "http.yaml", "log: {format: json}")
    with Command("app.py", *PORT_0, cwd=tmp_path).started() as command:
        command.connect().get("/a%0Ab?c=1")
        command.signal(signal.SIGTERM)
        rows = [json.loads(line) for line in command.ended()[2].splitlines()]
    (row,) = [row for row in rows if row["type"] == "access"]
    assert (row["target"], row["status"], row["bytes"], row["lane"]) == ("/a%0Ab?c=1", 200, 5, "loop")
    assert 0 <= row["queue_ms"] <= row["duration_ms"]


def test_the_format_is_the_configurations(tmp_path: Path) -> None:
    write(tmp_path, "app.py", HELLO)
    write(tmp_path, "http.yaml", "log: {access_format: 'saw %(path)s and %(query_string)s'}")
    with Command("app.py", *PORT_0, cwd=tmp_path).started() as command:
        command.connect().get("/a?b=c")
        assert command.log_until("saw") == "saw /a and b=c\n"
