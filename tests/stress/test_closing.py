"""Connections that close while they are being answered: no answer reaches another client."""

from __future__ import annotations

import random
import socket
import threading
from collections import Counter
from functools import partial
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Literal

import pytest

from tests.stress.leaks import wait_until
from tests.stress.load import Aim, Load, Peer, Received, get, run_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.service import Service

pytestmark = pytest.mark.stress

SCRIPT = """
    import asyncio
    from siphon import http

    @http.route("/async/{token}")
    async def at_once(req):
        return http.Response(body=req.path_params["token"])

    @http.route("/yielding/{token}")
    async def yielding(req):
        await asyncio.sleep(0)
        return http.Response(body=req.path_params["token"])

    @http.route("/sync/{token}")
    def sync(req):
        return http.Response(body=req.path_params["token"])

    @http.route("/never/{token}")
    async def never(req):
        await asyncio.Event().wait()

    @http.route("/large/{token}")
    async def large(req):
        return http.Response(body=req.path_params["token"] * 100_000)
"""
_LARGE: Final = 100_000

type Manner = Literal["reset", "read", "close", "half-close", "silent", "large"]
# In tenths of the visitors.
MANNERS: Final[tuple[Manner, ...]] = (
    *("reset",) * 4,
    *("read",) * 2,
    "close",
    "half-close",
    "silent",
    "large",
)


class Crowd:
    """How many visitors are still to come, and what became of those that were there. One load's thread."""

    def __init__(self, name: int, visitors: int) -> None:
        self.name = name
        self.left = visitors
        self.dice = random.Random(name)
        self.aim = Aim(5e-6, 3e-4)
        self.ends: Counter[str] = Counter()


class Visitor(Peer):
    """Asks for its own token and leaves in its own manner; the next one takes its place, and descriptor."""

    def __init__(self, load: Load, crowd: Crowd) -> None:
        crowd.left -= 1
        self._crowd = crowd
        self._token = f"v{crowd.name}-{crowd.left:06}"
        self._manner = crowd.dice.choice(MANNERS)
        if self._manner == "large":
            self.receive_buffer_bytes = 4_096
        super().__init__(load)

    def begin(self) -> None:
        manner = self._manner
        if manner == "silent":
            self.load.at(monotonic() + 0.003, self._leave_untold)
            return
        kind = "large" if manner == "large" else self._crowd.dice.choice(("async", "yielding", "sync"))
        self.send(get(f"/{kind}/{self._token}"))
        if manner == "reset":
            self.load.at(monotonic() + max(0.0, self._crowd.aim.offset_s), self._leave_untold)
        elif manner == "large":
            self.load.at(monotonic() + self._crowd.dice.random() * 0.003, self._leave_untold)
        elif manner == "half-close":
            self.half_close()
        elif manner == "close":
            self.close()
            self._over("closed unread")

    def _leave_untold(self) -> None:
        if not self.ended:
            self.receive()
        if self.ended:
            return
        if self._manner == "reset":
            self._crowd.aim.was(early=True)
        part = self.reader.partial_body
        assert part == (self._token * _LARGE)[: len(part)].encode()
        self.reset()
        self._over("reset inside an answer" if part else "reset before an answer")

    def on_answer(self, answer: Received) -> None:
        assert self._manner != "silent", f"an answer for somebody else: {answer.body[:40]!r}"
        token = self._token * (_LARGE if self._manner == "large" else 1)
        assert answer == Received(200, token.encode())
        assert not self.reader.in_the_middle
        if self._manner == "reset":
            self._crowd.aim.was(early=False)
        if self._manner == "read":
            self.close()
        else:
            self.reset()
        self._over("answered")

    def on_end(self, error: OSError | None) -> None:
        # A handler that was suspended when the FIN came is cancelled, and then nobody answers.
        assert self._manner == "half-close"
        assert error is None or isinstance(error, ConnectionResetError)
        self._over("cancelled")

    def _over(self, end: str) -> None:
        self._crowd.ends[end] += 1
        if self._crowd.left > 0:
            # Not from here: a long row of short visits would be one deep call.
            self.load.at(monotonic(), self._invite)

    def _invite(self) -> None:
        if self._crowd.left > 0:
            Visitor(self.load, self._crowd)


@pytest.mark.parametrize("acceptors", [1, 2])
def test_no_answer_reaches_another_client(
    storm: Callable[..., Service], note: Callable[..., None], full: bool, acceptors: int
) -> None:
    service = storm(SCRIPT, acceptors=acceptors, blocking_queue_max=10_000, keep_alive_timeout_ms=60_000)
    visitors = 50_000 if full else 3_000
    crowds = [Crowd(name, visitors // 2) for name in range(2)]
    loads = [Load(("127.0.0.1", service.port)) for _ in crowds]
    began = monotonic()
    for crowd, load in zip(crowds, loads, strict=True):
        for _ in range(12):
            Visitor(load, crowd)
    run_all(loads)
    ends = sum([crowd.ends for crowd in crowds], Counter[str]())
    note(visits=ends.total(), per_second=round(ends.total() / (monotonic() - began)), **ends)
    assert ends.total() == visitors
    for end in ("answered", "reset before an answer", "reset inside an answer", "closed unread"):
        assert ends[end], end


class Doorman(socket.socket):
    """A listener's real socket, which accepts connections as sockets of the kind that a test wants."""

    def __init__(self, fileno: int, make: Callable[[int], socket.socket]) -> None:
        super().__init__(fileno=fileno)
        self.setblocking(False)
        self._make = make

    def accept(self) -> tuple[socket.socket, Any]:
        accepted, address = super().accept()
        return self._make(accepted.detach()), address


def accept_as(service: Service, make: Callable[[int], socket.socket]) -> None:
    """From now on the first listener accepts connections as what ``make`` makes of their descriptors."""
    listener = service.server.listeners[0]
    listener.socket = Doorman(listener.socket.detach(), make)


class GatedSocket(socket.socket):
    """A connection's real socket, whose send stands still in the middle until the test opens the gate."""

    def __init__(self, fileno: int) -> None:
        super().__init__(fileno=fileno)
        self.sending = threading.Event()
        self.gate = threading.Event()
        self.closed = threading.Event()

    def send(self, data: object, flags: int = 0, /) -> int:
        self.sending.set()
        assert self.gate.wait(30)
        return super().send(data, flags)  # type: ignore[arg-type]

    def close(self) -> None:
        super().close()
        self.closed.set()


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_connection_is_not_closed_inside_a_send(storm: Callable[..., Service], kind: str) -> None:
    """Closed there, its descriptor could be another client's when the bytes are written."""
    service = storm(SCRIPT)
    accepted: SimpleQueue[GatedSocket] = SimpleQueue()

    def make(fileno: int) -> GatedSocket:
        accepted.put(gated := GatedSocket(fileno))
        return gated

    accept_as(service, make)
    with service.connect() as client:
        client.send(get(f"/{kind}/token"))
        gated = accepted.get(timeout=30)
        try:
            assert gated.sending.wait(30)
            client.reset()
            # The acceptor has seen the reset by now; had it not waited, it would have closed.
            assert not gated.closed.wait(0.3)
        finally:
            gated.gate.set()
    assert gated.closed.wait(30)


class WatchedSocket(socket.socket):
    """A connection's real socket that takes note of who closes it; ``broken``: its sends fail."""

    def __init__(self, fileno: int, closers: list[threading.Thread], *, broken: bool) -> None:
        super().__init__(fileno=fileno)
        self._closers = closers
        self._broken = broken

    def send(self, data: object, flags: int = 0, /) -> int:
        if self._broken:
            raise ConnectionResetError
        return super().send(data, flags)  # type: ignore[arg-type]

    def close(self) -> None:
        self._closers.append(threading.current_thread())
        super().close()


@pytest.mark.parametrize("end", ["failed send", "last answer", "abandoned"])
@pytest.mark.parametrize("kind", ["async", "yielding", "sync"])
def test_only_the_acceptor_closes(storm: Callable[..., Service], kind: str, end: str) -> None:
    """Whoever finds out that a connection is over leaves its descriptor to the acceptor."""
    service = storm(SCRIPT, keep_alive_timeout_ms=60_000)
    acceptor = service.server._acceptors[0]
    closers: list[threading.Thread] = []
    accept_as(service, partial(WatchedSocket, closers=closers, broken=end == "failed send"))
    target = "/never/token" if end == "abandoned" else f"/{kind}/token"
    with service.connect() as client:
        client.send(f"GET {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        if end == "last answer":
            assert client.answer().body == b"token"
            client.close()
        elif end == "abandoned":
            client.half_close()
        assert wait_until(lambda: bool(closers), every_s=0.001)
        assert wait_until(lambda: not acceptor.connections, every_s=0.001)
    assert closers == [acceptor]
