"""Slow clients in crowds, as slowhttptest makes them: hello goes on, they are cut off, nothing is left."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import threading
from typing import TYPE_CHECKING, Final

import pytest

from tests.command import PORT_0, Command, write
from tests.stress.leaks import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.stress

SCRIPT = """
from siphon import http

@http.route("/hello")
async def hello(req):
    return http.Response(body="hello")

@http.route("/upload", methods=["POST"])
async def upload(req):
    return http.Response(body=str(len(req.body())))

@http.route("/large", methods=["GET", "HEAD"])
async def large(req):
    return http.Response(body=b"x" * 20_000)
"""
# Longer than the throughput is measured: the crowd is there all the while.
SETTINGS = """
servers:
  - name: default
    header_timeout_ms: 12000
    body_grace_ms: 12000
    write_timeout_ms: 12000
    keep_alive_timeout_ms: 12000
    keep_alive_requests: 1000000
"""
# Every mode of slowhttptest; each pauses for a second between what it sends or reads.
MODES: Final = {
    "slow headers": ("-H", "-i", "1", "-x", "24", "-u", "/hello"),
    "slow body": ("-B", "-i", "1", "-x", "10", "-s", "8192", "-u", "/upload"),
    "ranges": ("-R", "-a", "5", "-b", "1000", "-t", "HEAD", "-u", "/large"),
    "slow read": ("-X", "-w", "512", "-y", "1024", "-n", "1", "-z", "32", "-k", "3", "-u", "/large"),
}
MEASURED_S: Final = 4
CLIENTS: Final = 32
CONNECTIONS: Final = 2_000
# The crowd polls without a pause and would take nine tenths of a processor, of which the server sees nothing.
# Real ones have processors of their own. With so much of each turn this one still sends all that it has to.
CROWD_TURN_S: Final = 0.1
CROWD_SHARE: Final = 0.2


class Throttle(threading.Thread):
    """Lets a process run for a share of the time only, until ``end``."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__(name="throttle", daemon=True)
        self._process = process
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(CROWD_TURN_S * CROWD_SHARE):
            self._process.send_signal(signal.SIGSTOP)
            self._over.wait(CROWD_TURN_S * (1 - CROWD_SHARE))
            self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Lets it run on for good."""
        self._over.set()
        self.join()


@pytest.fixture
def room() -> Iterator[None]:
    """Descriptors for the crowd, in the processes that are started here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def service(tmp_path: Path, room: None) -> Iterator[Command]:
    """The command, as it is run by anybody: what a process of tests holds would slow it down."""
    write(tmp_path, "app.py", SCRIPT)
    write(tmp_path, "http.yaml", SETTINGS)
    with Command("app.py", *PORT_0, "--no-access-log", cwd=tmp_path) as command:
        yield command.started()


@pytest.fixture
def attack(tmp_path: Path, full: bool, room: None) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts slowhttptest; it is ended with the test."""
    if not full:
        pytest.skip("takes a quarter of a minute, and a machine that is quiet: make stress")
    running: list[subprocess.Popen[bytes]] = []

    def start(port: int, mode: str) -> subprocess.Popen[bytes]:
        *options, path = MODES[mode]
        process = subprocess.Popen(
            [
                program("slowhttptest"),
                *options,
                f"http://127.0.0.1:{port}{path}",
                *("-c", str(CONNECTIONS), "-r", str(CONNECTIONS), "-l", "60"),
            ],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()


def program(name: str) -> str:
    """The path of a program that the test needs."""
    path = shutil.which(name)
    if path is None:
        pytest.fail(f"there is no {name}: run scripts/apt.sh test stress")
    return path


def output(*command: str) -> str:
    """What a program prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def throughput(port: int) -> float:
    """How many hellos a second ``CLIENTS`` connections get; each of them must be answered."""
    url = f"http://127.0.0.1:{port}/hello"
    report = output(program("wrk"), "-t1", f"-c{CLIENTS}", f"-d{MEASURED_S}s", url)
    assert "Non-2xx" not in report, report
    assert "Socket errors" not in report, report
    found = re.search(r"Requests/sec: +([0-9.]+)", report)
    assert found is not None, report
    return float(found[1])


def bytes_received(port: int) -> dict[str, int]:
    """How much has come on each connection that the server has, by the client's address."""
    lines = output(program("ss"), "-tniHO", "state", "established", f"sport = :{port}").splitlines()
    received = {}
    for line in lines:
        size = re.search(r"bytes_received:([0-9]+)", line)
        received[line.split()[3]] = int(size[1]) if size is not None else 0
    return received


@pytest.mark.parametrize("mode", MODES)
def test_hello_keeps_half_its_throughput_beside_a_crowd_of_slow_clients(
    attack: Callable[..., subprocess.Popen[bytes]],
    service: Command,
    note: Callable[..., None],
    mode: str,
) -> None:
    (port,) = service.ports
    folder = f"/proc/{service.process.pid}/fd"
    # Twice, and the lower counts: at first a module that is being imported may be open, and those that
    # measure the throughput go by and by.
    descriptors = len(os.listdir(folder))
    quiet = throughput(port)
    descriptors = min(descriptors, len(os.listdir(folder)))
    crowd = attack(port, mode)
    # Who asks for ranges is answered at once, and goes; the others come and stay.
    assert mode == "ranges" or wait_until(
        lambda: len(bytes_received(port)) > 0.98 * CONNECTIONS, within_s=30, every_s=0.1
    )
    throttle = Throttle(crowd)
    throttle.start()
    before = bytes_received(port)
    beside = throughput(port)
    after = bytes_received(port)
    throttle.end()
    ratio = beside / quiet
    sent = sum(after.get(client, 0) > size for client, size in before.items())
    note(
        mode=mode,
        quiet_per_second=round(quiet),
        beside_per_second=round(beside),
        ratio=f"{ratio:.2f}",
        connections=len(after),
        that_sent=sent,
    )
    assert ratio > 0.5
    # The crowd has been at it all the while. Who reads slowly sends nothing.
    assert mode == "ranges" or len(after) > 0.95 * CONNECTIONS
    assert mode in ("ranges", "slow read") or sent > 0.95 * CONNECTIONS
    # Each is cut off in time, whatever it goes on sending or reading; and nothing of it is kept.
    assert wait_until(lambda: len(os.listdir(folder)) <= descriptors, within_s=40)
    assert crowd.wait(60) == 0
    service.signal(signal.SIGTERM)
    code, _, log = service.ended()
    assert code == 0, log
    assert " error " not in log
