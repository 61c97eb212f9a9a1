"""Upstreams that keep a call in one phase for as long as the test lasts."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.clients.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

    from tests.clients.upstream import Peer


@dataclass
class Stuck:
    """A call that stays in ``phase``; ``reached`` is released when it is there, ``left`` once it is gone."""

    phase: str
    url: str
    arguments: dict[str, Any] = field(default_factory=dict)
    reached: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    left: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


@contextmanager
def looking_up(patch: pytest.MonkeyPatch) -> Iterator[Stuck]:
    """The system's resolver answers when the test ends."""
    stuck = Stuck("looking up the host", "http://slow.example")
    stuck.left.release(1_000_000)  # nothing was connected, so nothing is to be seen from outside
    ended = threading.Event()
    ask = socket.getaddrinfo

    def slow(host: bytes, port: int, **options: Any) -> Any:
        if host != b"slow.example" or options.get("flags"):
            return ask(host, port, **options)
        stuck.reached.release()
        ended.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    patch.setattr(socket, "getaddrinfo", slow)
    try:
        yield stuck
    finally:
        ended.set()


@contextmanager
def connecting(patch: pytest.MonkeyPatch) -> Iterator[Stuck]:
    """A listener with a full queue, which lets TCP's handshake wait."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = listener.getsockname()[1]
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        stuck = Stuck("connecting", f"http://127.0.0.1:{port}")
        stuck.reached.release(1_000_000)
        stuck.left.release(1_000_000)
        yield stuck


def _behaviour(name: str, stuck: Stuck, behave: Callable[[Peer], None]) -> Callable[[Peer, Upstream], None]:
    def run(peer: Peer, upstream: Upstream) -> None:
        behave(peer)
        stuck.reached.release()
        peer.wait_for_end()
        stuck.left.release()

    return run


@contextmanager
def shaking_hands(patch: pytest.MonkeyPatch) -> Iterator[Stuck]:
    """Accepts, and never says a word of TLS."""
    stuck = Stuck("in the TLS handshake", "")
    with Upstream(_behaviour("silent", stuck, lambda peer: None)) as upstream:
        stuck.url = upstream.url.replace("http:", "https:")
        yield stuck


@contextmanager
def sending(patch: pytest.MonkeyPatch) -> Iterator[Stuck]:
    """Does not read a request that fits in no buffer."""
    stuck = Stuck("sending the request", "", {"method": "PUT", "body": bytes(32 << 20)})

    def run(peer: Peer, upstream: Upstream) -> None:
        peer.sock.recv(1)
        stuck.reached.release()
        upstream.released.wait(30)

    with Upstream(run) as upstream:
        stuck.url = upstream.url
        # Whether it has gone cannot be told without reading, and then it would not be stuck.
        stuck.left.release(1_000_000)
        yield stuck


@contextmanager
def awaiting(patch: pytest.MonkeyPatch) -> Iterator[Stuck]:
    """Reads the request, and says nothing."""
    stuck = Stuck("waiting for the answer", "")
    with Upstream(_behaviour("mute", stuck, lambda peer: (peer.request(), None)[1])) as upstream:
        stuck.url = upstream.url
        yield stuck


@contextmanager
def receiving(patch: pytest.MonkeyPatch) -> Iterator[Stuck]:
    """Sends a body a byte at a time, faster than any timeout for a single read would notice."""
    stuck = Stuck("receiving the answer", "")

    def drip(peer: Peer, upstream: Upstream) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        stuck.reached.release()
        try:
            while not upstream.released.wait(0.02):
                peer.send(b"x")
        except OSError:
            stuck.left.release()

    with Upstream(drip) as upstream:
        stuck.url = upstream.url
        yield stuck


PHASES = (looking_up, connecting, shaking_hands, sending, awaiting, receiving)
