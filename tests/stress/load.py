"""Many clients on one thread: plain sockets under one selector, timed actions, answers read strictly."""

from __future__ import annotations

import heapq
import selectors
import socket
import struct
import threading
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.tls_socket import TlsSocket

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

_HEAD_END: Final = b"\r\n\r\n"
_RESETTING: Final = struct.pack("ii", 1, 0)
# Below this the selector's millisecond would miss the moment: the loop spins instead.
_SPIN_S: Final = 0.002


class Stuck(AssertionError):
    """Clients wait, and nothing has come for longer than a server may take."""


class Received(NamedTuple):
    """One answer as it came."""

    status: int
    body: bytes


class AnswerReader:
    """Cuts a stream into answers that are framed by Content-Length; raises AssertionError for other bytes."""

    def __init__(self) -> None:
        self._buffer = b""

    @property
    def in_the_middle(self) -> bool:
        """Whether a part of an answer has come and the rest has not."""
        return bool(self._buffer)

    @property
    def partial_body(self) -> bytes:
        """What has come of the body of an answer that is not whole."""
        return self._buffer.partition(_HEAD_END)[2]

    def feed(self, data: bytes) -> list[Received]:
        """The answers that ``data`` completes."""
        self._buffer += data
        found = []
        while (answer := self._next()) is not None:
            found.append(answer)
        return found

    def _next(self) -> Received | None:
        head, separator, rest = self._buffer.partition(_HEAD_END)
        if not separator:
            return None
        first, *fields = head.split(b"\r\n")
        version, status = first.split(b" ", 2)[:2]
        assert version == b"HTTP/1.1", first
        lengths = [line[15:] for line in fields if line.lower().startswith(b"content-length:")]
        assert len(lengths) == 1, head
        length = int(lengths[0])
        if len(rest) < length:
            return None
        self._buffer = rest[length:]
        return Received(int(status), rest[:length])


class Peer:
    """One client connection under a ``Load``, over TLS if that has a context; subclasses say what it does.

    All of it runs on the load's thread. ``ended`` is set once the connection is closed on this side.
    """

    receive_buffer_bytes = 0
    """The size of the socket's receive buffer; 0 leaves it to the system."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.reader = AnswerReader()
        self.ended = False
        self.sock = socket.socket()
        if self.receive_buffer_bytes:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer_bytes)
        self.sock.settimeout(30)
        self.sock.connect(load.address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._tls = None if load.tls is None else TlsSocket(self.sock, load.tls)
        self.sock.setblocking(False)
        self._outgoing = b""
        load.watch(self, selectors.EVENT_READ)
        self.begin()

    def begin(self) -> None:
        """Called once the connection is there."""

    def on_answer(self, answer: Received) -> None:
        """Called with each whole answer."""
        raise NotImplementedError

    def on_end(self, error: OSError | None) -> None:
        """Called when the server has closed (None) or the connection is broken."""
        raise AssertionError(f"{self} was closed by the server: {error!r}")

    def send(self, data: bytes) -> None:
        """Sends ``data``, what does not fit now as soon as there is room."""
        self._outgoing += data if self._tls is None else self._tls.seal(data)
        self.flush()

    def flush(self) -> None:
        """Sends what is left, as far as there is room."""
        try:
            while self._outgoing and not self.ended:
                self._outgoing = self._outgoing[self.sock.send(self._outgoing) :]
        except BlockingIOError:
            self.load.watch(self, selectors.EVENT_READ | selectors.EVENT_WRITE)
            return
        except OSError:
            self._outgoing = b""
        if not self.ended:
            self.load.watch(self, selectors.EVENT_READ)

    def receive(self) -> None:
        """Reads once and passes on what is there."""
        try:
            data = self.sock.recv(262_144)
        except BlockingIOError:
            return
        except OSError as error:
            self.close()
            self.on_end(error)
            return
        ended = not data
        if self._tls is not None and data:
            data = self._tls.unseal(data)
            ended = self._tls.close_notify_received
        for answer in self.reader.feed(data):
            self.on_answer(answer)
        if ended and not self.ended:
            self.close()
            self.on_end(None)

    def reset(self) -> None:
        """Closes with RST."""
        if not self.ended:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESETTING)
            self.close()

    def half_close(self) -> None:
        """Sends FIN, or close_notify over TLS, and goes on reading."""
        if self.ended:
            return
        if self._tls is None:
            self.sock.shutdown(socket.SHUT_WR)
        else:
            self._outgoing += self._tls.seal_end()
            self.flush()

    def close(self) -> None:
        """Closes; harmless when called again."""
        if not self.ended:
            self.ended = True
            self.load.forget(self)
            self.sock.close()


class Load:
    """The peers of one thread and their timed actions."""

    def __init__(self, address: tuple[str, int], tls: ssl.SSLContext | None = None) -> None:
        self.address = address
        self.tls = tls
        self._selector = selectors.DefaultSelector()
        self._watched: dict[Peer, int] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def watch(self, peer: Peer, events: int) -> None:
        """Watches a peer's socket for ``events``."""
        known = self._watched.get(peer)
        if known == events:
            return
        self._watched[peer] = events
        if known is None:
            self._selector.register(peer.sock, events, peer)
        else:
            self._selector.modify(peer.sock, events, peer)

    def forget(self, peer: Peer) -> None:
        """Stops watching a peer that is about to be closed."""
        del self._watched[peer]
        self._selector.unregister(peer.sock)

    def at(self, moment: float, action: Callable[[], None]) -> None:
        """Calls ``action`` at ``moment`` (monotonic seconds)."""
        heapq.heappush(self._timers, (moment, next(self._order), action))

    def run(self, quiet_s: float = 20.0) -> None:
        """Runs until no peer is left; raises Stuck where nothing happens for ``quiet_s``."""
        heard = monotonic()
        try:
            while self._watched or self._timers:
                events = self._selector.select(self._timeout_s())
                for key, mask in events:
                    peer: Peer = key.data
                    if mask & selectors.EVENT_WRITE and not peer.ended:
                        peer.flush()
                    if mask & selectors.EVENT_READ and not peer.ended:
                        peer.receive()
                now = monotonic()
                if self._act(now) or events:
                    heard = now
                elif now - heard > quiet_s:
                    raise Stuck(f"{len(self._watched)} clients wait, and nothing has come for {quiet_s} s")
        finally:
            for peer in list(self._watched):
                peer.reset()
            self._selector.close()

    def _timeout_s(self) -> float:
        if not self._timers:
            return 0.5
        left_s = self._timers[0][0] - monotonic()
        return 0.0 if left_s < _SPIN_S else min(left_s - _SPIN_S / 2, 0.5)

    def _act(self, now: float) -> bool:
        acted = False
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()
            acted = True
        return acted


class Aim:
    """Finds the moment at which two sides meet: each outcome moves it against the side that won.

    ``offset_s`` is added to a moment; only the load's thread calls ``was``, any thread may read.
    """

    def __init__(self, step_s: float, begin_s: float = 0.0) -> None:
        self.offset_s = begin_s
        self.early = 0
        self.late = 0
        self._step_s = step_s

    def was(self, *, early: bool) -> None:
        """Takes note of an outcome: ``early`` where the aim came before the other side."""
        if early:
            self.early += 1
            self.offset_s += self._step_s
        else:
            self.late += 1
            self.offset_s -= self._step_s


class Background:
    """A load on a thread of its own; ``join`` raises what it raised."""

    def __init__(self, load: Load, quiet_s: float = 20.0) -> None:
        self._load = load
        self._quiet_s = quiet_s
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._load.run(self._quiet_s)
        except BaseException as error:  # noqa: BLE001 - it is raised again by join
            self._error = error

    def join(self, timeout_s: float = 120.0) -> None:
        """Waits for the last peer to end."""
        self._thread.join(timeout_s)
        assert not self._thread.is_alive(), f"the load has not ended after {timeout_s} s"
        if self._error is not None:
            raise self._error


def run_all(loads: Sequence[Load]) -> None:
    """Runs each load on a thread of its own until all have ended; raises the first error."""
    running = [Background(load) for load in loads]
    for one in running:
        one.join()


def get(target: str) -> bytes:
    """The bytes of a GET request."""
    return f"GET {target} HTTP/1.1\r\nHost: test\r\n\r\n".encode("ascii")
