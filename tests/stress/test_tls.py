"""TLS under load: answers handed over to the one thread that encrypts, and handshakes that hold up nobody."""

from __future__ import annotations

import os
import random
import shutil
import socket
import ssl
import threading
from collections import Counter
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any

import pytest

from siphon.config.settings import TlsSettings
from siphon.threads.wheel import TICK_S
from tests.stress.contested import KIND_NAMES, KINDS, PLAIN
from tests.stress.leaks import wait_until
from tests.stress.load import Aim, Background, Load, Peer, Received, get, run_all
from tests.stress.test_claims import Contender
from tests.stress.test_closing import SCRIPT, Crowd, Visitor, accept_as
from tests.stress.test_pipelining import MIXED, Numbered
from tests.stress.test_pipelining import REQUESTS as PIPELINED
from tests.stress.test_stopping import Waiting
from tests.tls_socket import client_hello

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.certificates import Certificates
    from tests.client import Client
    from tests.service import Service

pytestmark = pytest.mark.stress


class Site:
    """What it takes to serve over TLS, and clients that speak it."""

    def __init__(self, storm: Callable[..., Service], certificates: Certificates) -> None:
        self._storm = storm
        self._certificates = certificates
        self._client_tls = certificates.client_context()

    def serve(self, source: str, **settings: Any) -> Service:
        """Serves ``source`` over TLS."""
        options = {"tls": self._certificates.server_settings(), "client_tls": self._client_tls}
        return self._storm(source, **(options | settings))

    def load(self, service: Service) -> Load:
        """Clients of that service."""
        return Load(("127.0.0.1", service.port), self._client_tls)


@pytest.fixture
def site(storm: Callable[..., Service], certificates: Certificates) -> Site:
    """A TLS site whose servers are checked for leaks."""
    return Site(storm, certificates)


# Answers that are handed over ----------------------------------------------------------------------


@pytest.mark.parametrize("secure", [1, 2])
def test_pipelined_requests_are_all_answered_once_and_in_order(
    site: Site, note: Callable[..., None], full: bool, secure: int
) -> None:
    service = site.serve(MIXED, secure=secure, keep_alive_timeout_ms=60_000, blocking_queue_max=10_000)
    connections, rounds = (200, 3) if full else (60, 1)
    began = monotonic()
    for turn in range(rounds):
        loads = [site.load(service) for _ in range(2)]
        for name in range(connections):
            dice = random.Random(turn * connections + name)
            Numbered(loads[name % 2], name, ("async", "yielding", "sync"), dice)
        run_all(loads)
    total = connections * rounds * (PIPELINED + 1)
    note(answers=total, per_second=round(total / (monotonic() - began)))


@pytest.mark.parametrize("secure", [1, 2])
def test_no_answer_reaches_another_client(
    site: Site, note: Callable[..., None], full: bool, secure: int
) -> None:
    service = site.serve(SCRIPT, secure=secure, blocking_queue_max=10_000, keep_alive_timeout_ms=60_000)
    visitors = 10_000 if full else 1_000
    crowds = [Crowd(name, visitors // 2) for name in range(2)]
    loads = [site.load(service) for _ in crowds]
    began = monotonic()
    for crowd, load in zip(crowds, loads, strict=True):
        for _ in range(8):
            Visitor(load, crowd)
    run_all(loads)
    ends = sum([crowd.ends for crowd in crowds], Counter[str]())
    note(visits=ends.total(), per_second=round(ends.total() / (monotonic() - began)), **ends)
    assert ends.total() == visitors
    for end in ("answered", "reset before an answer", "closed unread"):
        assert ends[end], end


@pytest.mark.parametrize(("source", "kind"), KINDS, ids=KIND_NAMES)
def test_a_handler_that_ends_with_its_504_gives_one_answer(
    site: Site, note: Callable[..., None], full: bool, source: str, kind: str
) -> None:
    peers, rounds = (30, 40) if full else (30, 5)
    service = site.serve(
        source, request_timeout_ms=int(TICK_S * 1000), blocking_max=peers, keep_alive_timeout_ms=60_000
    )
    aim = Aim(50e-6)
    script = service.module

    def publish() -> None:
        script.aim.offset_s = aim.offset_s

    load = site.load(service)
    for name in range(peers):
        Contender(load, name, kind, rounds, aim, publish)
    load.run()
    note(collisions=peers * rounds, handler_first=aim.early, timeout_first=aim.late)
    assert aim.early + aim.late == peers * rounds


def test_a_handler_that_ends_with_the_stop_gives_an_answer(
    site: Site, note: Callable[..., None], full: bool
) -> None:
    clients, rounds = (40, 20) if full else (40, 4)
    for _ in range(rounds):
        service = site.serve(PLAIN, blocking_max=clients, keep_alive_timeout_ms=60_000)
        load = site.load(service)
        due = monotonic() + 0.6
        peers = [
            Waiting(load, ("async", "sync")[number % 2], due + (number - clients / 2) * 20e-6, f"t{number}")
            for number in range(clients)
        ]
        background = Background(load)
        threading.Event().wait(max(0.0, due - monotonic()))
        assert service.stop()
        background.join()
        assert [peer.answers for peer in peers] == [1] * clients
    note(collisions=clients * rounds)


class Reader(Peer):
    """Fetches large answers through a small window, several in a row."""

    receive_buffer_bytes = 4_096

    def __init__(self, load: Load, name: int, left: int) -> None:
        self._token = f"r{name:04}-"
        self._left = left
        super().__init__(load)

    def begin(self) -> None:
        self.send(get(f"/large/{self._token}"))

    def on_answer(self, answer: Received) -> None:
        assert answer.status == 200
        assert answer.body == (self._token * 100_000).encode()
        self._left -= 1
        self.begin() if self._left else self.close()


def narrow(fileno: int) -> socket.socket:
    """A connection's real socket, which takes little at a time."""
    sock = socket.socket(fileno=fileno)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8_192)
    return sock


def test_answers_larger_than_what_a_socket_takes_are_whole(site: Site, full: bool) -> None:
    service = site.serve(SCRIPT, keep_alive_timeout_ms=60_000)
    accept_as(service, narrow)
    load = site.load(service)
    for name in range(12 if full else 4):
        Reader(load, name, 5 if full else 2)
    load.run()


class Leaver(Peer):
    """Sends its request and its close_notify in one piece, and has its answer before the server's end."""

    def begin(self) -> None:
        assert self._tls is not None
        self._answered = False
        self._outgoing += self._tls.seal(get("/async/token")) + self._tls.seal_end()
        self.flush()

    def on_answer(self, answer: Received) -> None:
        assert answer == Received(200, b"token")
        self._answered = True

    def on_end(self, error: OSError | None) -> None:
        assert error is None
        assert self._answered


def test_an_end_that_comes_with_a_request_is_noticed(site: Site, full: bool) -> None:
    service = site.serve(SCRIPT, keep_alive_timeout_ms=60_000)
    load = site.load(service)
    for _ in range(200 if full else 40):
        Leaver(load)
    load.run(quiet_s=10)


class Watched(ssl.SSLObject):
    """The server's side of a connection, which takes note of the threads that use it."""

    threads: set[threading.Thread]

    def do_handshake(self) -> None:
        self.threads.add(threading.current_thread())
        super().do_handshake()

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002 - as in ssl
        self.threads.add(threading.current_thread())
        return super().read(len, buffer)

    def write(self, data: Any) -> int:
        self.threads.add(threading.current_thread())
        return super().write(data)

    def unwrap(self) -> None:
        self.threads.add(threading.current_thread())
        super().unwrap()


def test_only_the_secure_thread_touches_tls(site: Site) -> None:
    service = site.serve(SCRIPT, keep_alive_timeout_ms=60_000)
    (acceptor,) = service.server._acceptors
    context = service.server.listeners[0].tls
    assert context is not None
    context.sslobject_class = Watched
    Watched.threads = set()
    crowd = Crowd(0, 200)
    load = site.load(service)
    for _ in range(8):
        Visitor(load, crowd)
    load.run()
    with service.connect() as client:
        assert client.get("/async/last").body == b"last"
        assert service.stop()
    assert Watched.threads == {acceptor}


# Handshakes ----------------------------------------------------------------------------------------


class Stubborn(socket.socket):
    """A connection's real socket that takes nothing for a while, though it could."""

    def __init__(self, fileno: int) -> None:
        super().__init__(fileno=fileno)
        self._refusals = 5

    def send(self, data: object, flags: int = 0, /) -> int:
        if self._refusals:
            self._refusals -= 1
            raise BlockingIOError
        return super().send(data, flags)  # type: ignore[arg-type]


def test_a_handshake_for_which_there_is_no_room_goes_on_when_there_is(site: Site) -> None:
    service = site.serve(SCRIPT, header_timeout_ms=5_000)
    accept_as(service, Stubborn)
    with service.connect(timeout_s=10) as client:
        assert client.get("/async/token").body == b"token"


class Gated(ssl.SSLObject):
    """The server's side of a connection: handshakes are counted, and stand still at a gate; so are reads."""

    gate: threading.Event
    reached: threading.Event
    steps: int
    steps_before_read: list[int]

    def do_handshake(self) -> None:
        Gated.steps += 1
        self.reached.set()
        assert self.gate.wait(30)
        super().do_handshake()

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002 - as in ssl
        self.steps_before_read.append(Gated.steps)
        return super().read(len, buffer)


def test_established_connections_go_before_handshakes(site: Site, certificates: Certificates) -> None:
    """Fifty newcomers and one request are there at once: the request waits for one step, not for fifty."""
    service = site.serve(SCRIPT)
    context = service.server.listeners[0].tls
    assert context is not None
    context.sslobject_class = Gated
    Gated.gate, Gated.reached = threading.Event(), threading.Event()
    Gated.gate.set()
    Gated.steps, Gated.steps_before_read = 0, []
    hello = client_hello(certificates.client_context())
    (acceptor,) = service.server._acceptors
    newcomers: list[Client] = []
    try:
        with service.connect() as client:
            assert client.get("/async/first").body == b"first"
            newcomers += [service.connect(bare=True) for _ in range(50)]
            assert wait_until(lambda: len(acceptor.connections) == 51)
            Gated.gate.clear()
            Gated.reached.clear()
            Gated.steps, Gated.steps_before_read = 0, []
            newcomers[0].send(hello)
            assert Gated.reached.wait(10)
            for newcomer in newcomers[1:]:
                newcomer.send(hello)
            client.send(get("/async/second"))
            Gated.gate.set()
            assert client.answer().body == b"second"
            assert wait_until(lambda: Gated.steps == 50)
    finally:
        for newcomer in newcomers:
            newcomer.close()
    assert Gated.steps_before_read[0] == 1


def test_a_thousand_reconnects_do_not_keep_refusals_waiting(
    site: Site, note: Callable[..., None], full: bool
) -> None:
    """The lanes are full: every newcomer gets its 503, and who is there already gets it at once."""
    service = site.serve(FULL, max_in_flight=4, blocking_max=2, blocking_queue_max=2, loops=1)
    hogs = [service.connect() for _ in range(4)]
    for number, hog in enumerate(hogs):
        hog.send(get(f"/hog/{('async', 'sync')[number % 2]}"))
    assert wait_until(lambda: service.server._lanes.in_flight() == 4)
    load = site.load(service)
    storm = Reconnects(1_000 if full else 200)
    for _ in range(8):
        Reconnecting(load, storm)
    background = Background(load)
    waits_ms: list[float] = []
    pause = threading.Event()
    with service.connect() as client:
        while storm.refused < storm.wanted and not pause.wait(0.002):
            began = perf_counter()
            assert client.get("/async").status == 503
            waits_ms.append((perf_counter() - began) * 1000)
    background.join()
    waits_ms.sort()
    note(
        reconnects=storm.refused,
        refusals=len(waits_ms),
        median_ms=round(waits_ms[len(waits_ms) // 2], 2),
        p99_ms=round(waits_ms[len(waits_ms) * 99 // 100], 2),
        longest_ms=round(waits_ms[-1], 2),
    )
    service.module.gate.set()
    for hog in hogs:
        assert hog.answer().status == 200
        hog.close()
    assert storm.refused == storm.wanted
    if full:
        # The median: what a shared machine adds to single ones says nothing of the server.
        assert waits_ms[len(waits_ms) // 2] < 5


FULL = """
    import asyncio
    import threading
    from siphon import http

    gate = threading.Event()

    @http.route("/hog/async")
    async def hog_async(req):
        while not gate.is_set():
            await asyncio.sleep(0.02)
        return http.Response()

    @http.route("/hog/sync")
    def hog_sync(req):
        assert gate.wait(60)
        return http.Response()

    @http.route("/async")
    async def at_once(req):
        return http.Response()

    @http.route("/sync")
    def sync(req):
        return http.Response()
"""


class Reconnects:
    """How many newcomers are still to come, and how many have been refused."""

    def __init__(self, wanted: int) -> None:
        self.wanted = self.left = wanted
        self.refused = 0


class Reconnecting(Peer):
    """Connects, is refused, closes and comes again."""

    def __init__(self, load: Load, storm: Reconnects) -> None:
        storm.left -= 1
        self._storm = storm
        super().__init__(load)

    def begin(self) -> None:
        self.send(get(("/async", "/sync")[self._storm.left % 2]))

    def on_answer(self, answer: Received) -> None:
        assert answer == Received(503, b"over capacity\n")
        self._storm.refused += 1
        self.close()
        if self._storm.left > 0:
            self.load.at(monotonic(), self._again)

    def _again(self) -> None:
        if self._storm.left > 0:
            Reconnecting(self.load, self._storm)


# Certificates --------------------------------------------------------------------------------------


def test_reloads_while_clients_come_and_go_cost_no_connection(
    site: Site, certificates: Certificates, tmp_path: Path, note: Callable[..., None], full: bool
) -> None:
    """Every visitor is served, by a certificate old or new, and those who stay are served throughout."""
    renewed = certificates.authority.issue("renewed", "DNS:localhost", "IP:127.0.0.1")
    one_pem = tmp_path / "server.pem"
    shutil.copy(certificates.server.combined, one_pem)
    service = site.serve(MIXED, tls=TlsSettings(str(one_pem)), keep_alive_timeout_ms=60_000)
    load = site.load(service)
    stop = threading.Event()
    reloads = [0]

    def reload() -> None:
        while not stop.wait(0.01):
            identity = (renewed, certificates.server)[reloads[0] % 2]
            shutil.copy(identity.combined, tmp_path / "next.pem")
            os.replace(tmp_path / "next.pem", one_pem)
            service.server._reload_certificates()
            reloads[0] += 1

    reloading = threading.Thread(target=reload)
    reloading.start()
    connections = 200 if full else 60
    try:
        for name in range(connections):
            Numbered(load, name, ("async", "yielding", "sync"), random.Random(name))
        load.run()
    finally:
        stop.set()
        reloading.join(30)
    note(connections=connections, reloads=reloads[0])
    assert reloads[0] > 1


class StandingSet(set[str]):
    """What has been told of a listener; who looks it up first stands still until the gate opens."""

    def __init__(self) -> None:
        super().__init__()
        self.looked_at = threading.Event()
        self.gate = threading.Event()

    def __contains__(self, item: object) -> bool:
        found = super().__contains__(item)
        if not self.looked_at.is_set():
            self.looked_at.set()
            assert self.gate.wait(30)
        return found


def test_of_two_who_find_the_same_one_logs_it(site: Site, logged: Callable[[], list[str]]) -> None:
    listener = site.serve(SCRIPT).server.listeners[0]
    told = listener._told = StandingSet()
    finders = [threading.Thread(target=listener.log_once, args=["a find", "a client"]) for _ in range(2)]
    finders[0].start()
    assert told.looked_at.wait(10)
    finders[1].start()
    # It waits for the first; without the lock it would have told by now.
    finders[1].join(0.3)
    overtaken = not finders[1].is_alive()
    told.gate.set()
    for finder in finders:
        finder.join(10)
    assert not overtaken
    (line,) = logged()
    assert "a find; the first is a client" in line
