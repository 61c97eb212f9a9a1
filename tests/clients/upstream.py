"""An upstream that does as a test tells it: well, badly, slowly or not at all."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Self

import h11

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from types import TracebackType


class Received:
    """One request, as h11 understood it."""

    def __init__(self, head: h11.Request, body: bytes, number: int) -> None:
        self.method = head.method.decode()
        self.target = head.target.decode()
        self.fields = [(name.decode(), value.decode("latin-1")) for name, value in head.headers]
        self.body = body
        self.connection = number

    def get(self, name: str) -> str | None:
        """The value of a field; repeated ones joined with a comma."""
        values = [value for key, value in self.fields if key == name.lower()]
        return ", ".join(values) if values else None


class Peer:
    """The upstream's end of one connection. ``number`` counts connections from 1."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.sock = sock
        self.number = number
        self._parser = h11.Connection(h11.SERVER)

    def request(self) -> Received | None:
        """The next request, whole; None once the client has closed."""
        head: h11.Request | None = None
        body = b""
        if self._parser.states[h11.CLIENT] is not h11.IDLE:
            self._parser = h11.Connection(h11.SERVER)
        while True:
            event = self._parser.next_event()
            if event is h11.NEED_DATA:
                data = self.sock.recv(65_536)
                if not data and head is None:
                    return None
                self._parser.receive_data(data)
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                return Received(head, body, self.number)
            else:
                return None

    def send(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self.sock.sendall(data)

    def answer(self, body: bytes = b"ok", status: int = 200, *fields: str) -> None:
        """A well-formed response."""
        lines = [f"HTTP/1.1 {status} Reason", *fields, f"Content-Length: {len(body)}", "", ""]
        self.send("\r\n".join(lines).encode("latin-1") + body)

    def wait_for_end(self) -> None:
        """Returns once the client has closed or reset the connection."""
        with suppress(ConnectionResetError):
            while self.sock.recv(65_536):
                pass

    def reset(self) -> None:
        """Closes with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def serve_well(peer: Peer, upstream: Upstream) -> None:
    """Answers every request on a connection with 200 and ``ok``, and takes note of it."""
    while (request := peer.request()) is not None:
        upstream.received.put(request)
        peer.answer()


class Upstream:
    """Listens on 127.0.0.1, port 0; each connection is served by ``behave(peer, upstream)`` on a thread.

    ``received``: where a behaviour may put requests. ``connections``: how many there were. A behaviour
    ends when its client closes or at the test's end, when every socket is shut down.
    """

    def __init__(
        self, behave: Callable[[Peer, Upstream], None] = serve_well, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._behave = behave
        self._tls = tls
        self.received: SimpleQueue[Received] = SimpleQueue()
        self.released = threading.Event()
        """Set at the end, so that a behaviour may wait for it, or by a test."""
        self.failures: list[BaseException] = []
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many connections were accepted."""
        with self._lock:
            return len(self._sockets)

    def __enter__(self) -> Self:
        self._acceptor = threading.Thread(target=self._accept, name="upstream-acceptor")
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join(10)
        with self._lock:
            sockets, threads = list(self._sockets), list(self._threads)
        for sock in sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
        self._listener.close()
        if self.failures:
            raise AssertionError(f"the upstream's behaviour failed: {self.failures}") from error

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            # What is sent in pieces goes out in pieces, without a wait for the client's acknowledgement.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._sockets.append(sock)
                thread = threading.Thread(target=self._serve, args=(sock, len(self._sockets)))
                self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        served = sock
        try:
            if self._tls is not None:
                # A duplicate goes to TLS, which takes the descriptor away from the socket that is listed.
                served = self._tls.wrap_socket(sock.dup(), server_side=True)
            self._behave(Peer(served, number), self)
        except (OSError, h11.RemoteProtocolError):
            pass  # the client is gone, or was sent away at the end
        except BaseException as error:  # noqa: BLE001 - the test's own thread raises it
            self.failures.append(error)
        finally:
            served.close()
            sock.close()
