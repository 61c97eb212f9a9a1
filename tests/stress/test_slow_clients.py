"""Slow clients in crowds, as slowhttptest makes them: hello goes on, they are cut off, nothing is left."""

from __future__ import annotations

import resource
import shutil
import socket
import struct
import subprocess
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.stress.leaks import wait_until
from tests.stress.load import Background, Load, Peer, Received, get

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from siphon.threads.acceptor import Acceptor
    from tests.service import Service

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
# Every mode of slowhttptest; each pauses for a second between what it sends or reads.
MODES: Final = {
    "slow headers": ("-H", "-i", "1", "-x", "24", "-u", "/hello"),
    "slow body": ("-B", "-i", "1", "-x", "10", "-s", "8192", "-u", "/upload"),
    "ranges": ("-R", "-a", "5", "-b", "1000", "-t", "HEAD", "-u", "/large"),
    "slow read": ("-X", "-w", "512", "-y", "1024", "-n", "1", "-z", "32", "-k", "3", "-u", "/large"),
}
MEASURED_S: Final = 4.0
# Longer than the throughput is measured: the crowd is there all the while.
PATIENCE_MS: Final = 12_000
CLIENTS: Final = 32
CONNECTIONS: Final = 2_000
# The crowd polls without a pause and takes nine tenths of a processor, of which the server sees nothing. Real
# ones have processors of their own. At the lowest priority this one still sends what it has to.
ATTACKER_PRIORITY: Final = "19"


class Steady(Peer):
    """Asks for hello again and again until a moment, and counts the answers."""

    def __init__(self, load: Load, until: float) -> None:
        self.until = until
        self.answers = 0
        super().__init__(load)

    def begin(self) -> None:
        self.send(get("/hello"))

    def on_answer(self, answer: Received) -> None:
        assert answer == Received(200, b"hello")
        self.answers += 1
        if monotonic() < self.until:
            self.send(get("/hello"))
        else:
            self.close()


def throughput(service: Service) -> float:
    """How many hellos a second ``CLIENTS`` connections get."""
    load = Load(("127.0.0.1", service.port))
    until = monotonic() + MEASURED_S
    peers = [Steady(load, until) for _ in range(CLIENTS)]
    Background(load).join()
    return sum(peer.answers for peer in peers) / MEASURED_S


@pytest.fixture
def descriptors() -> Iterator[None]:
    """Room for the crowd's connections in this process and in those it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def attack(tmp_path: Path, full: bool) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts slowhttptest; it is ended with the test."""
    if not full:
        pytest.skip("takes a quarter of a minute, and a machine that is quiet: make stress")
    program = shutil.which("slowhttptest")
    if program is None:
        pytest.fail("there is no slowhttptest: run scripts/apt.sh stress")
    running: list[subprocess.Popen[bytes]] = []

    def start(service: Service, mode: str) -> subprocess.Popen[bytes]:
        *options, path = MODES[mode]
        process = subprocess.Popen(
            [
                *("nice", "-n", ATTACKER_PRIORITY, program),
                *options,
                f"http://127.0.0.1:{service.port}{path}",
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


def bytes_received(acceptor: Acceptor) -> dict[int, int]:
    """What has come on each connection, by descriptor, as the system counts it."""
    at = {}
    for fd, connection in acceptor.connections.copy().items():
        sock = connection.channel.sock
        assert isinstance(sock, socket.socket)
        try:
            # struct tcp_info, tcpi_bytes_received: see tcp(7) and linux/tcp.h.
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 136)
        except OSError:
            continue  # closed meanwhile
        at[fd] = struct.unpack_from("Q", info, 128)[0]
    return at


@pytest.mark.usefixtures("descriptors")
@pytest.mark.parametrize("mode", MODES)
def test_hello_keeps_half_its_throughput_beside_a_crowd_of_slow_clients(
    storm: Callable[..., Service],
    attack: Callable[..., subprocess.Popen[bytes]],
    note: Callable[..., None],
    mode: str,
) -> None:
    patience: dict[str, Any] = dict.fromkeys(
        ("header_timeout_ms", "body_grace_ms", "write_timeout_ms", "keep_alive_timeout_ms"), PATIENCE_MS
    )
    service = storm(SCRIPT, keep_alive_requests=1_000_000, **patience)
    acceptor = service.server._acceptors[0]
    quiet = throughput(service)
    crowd = attack(service, mode)
    # Who asks for ranges is answered at once, and goes; most of the others are there by now.
    assert mode == "ranges" or wait_until(lambda: len(acceptor.connections) > 0.75 * CONNECTIONS, within_s=30)
    before = bytes_received(acceptor)
    beside = throughput(service)
    after = bytes_received(acceptor)
    ratio = beside / quiet
    sent = sum(after[fd] > size for fd, size in before.items() if fd in after)
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
    assert mode == "ranges" or len(after) > 0.75 * CONNECTIONS
    assert mode in ("ranges", "slow read") or sent > 0.75 * CONNECTIONS
    # Each is cut off in time, whatever it goes on sending or reading.
    assert wait_until(lambda: len(acceptor.connections) < 0.05 * CONNECTIONS, within_s=40)
    assert crowd.wait(60) == 0
