"""The upstream's end of an HTTP/2 connection, which does as a test tells it; h2 keeps its state."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections import deque
from typing import TYPE_CHECKING

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, RequestReceived, StreamEnded, StreamReset
from hyperframe.frame import GoAwayFrame

from tests.clients.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from h2.events import Event
    from h2.settings import SettingCodes

    from tests.certificates import Identity
    from tests.clients.upstream import Peer

type Fields = list[tuple[str, str]]


class H2Request:
    """A request's head, and its body once it was read."""

    def __init__(self, event: RequestReceived, connection: int) -> None:
        assert event.headers is not None
        self.stream = event.stream_id
        self.fields: Fields = [(str(name), str(value)) for name, value in event.headers]
        self.method = self.get(":method")
        self.path = self.get(":path")
        self.connection = connection
        self.body = b""

    def get(self, name: str) -> str | None:
        """The value of a field, the first of several."""
        return next((value for key, value in self.fields if key == name), None)


class H2Peer:
    """Sends and receives frames on a blocking socket. For the thread that serves the connection.

    ``settings``: what it announces. ``reads``: whether it acknowledges bodies, so that windows reopen.
    ``resets``: every RST_STREAM that has come; ``goodbyes``: every GOAWAY.
    """

    def __init__(
        self, peer: Peer, settings: Mapping[SettingCodes | int, int] | None = None, *, reads: bool = True
    ) -> None:
        self.sock = peer.sock
        self.abort = peer.reset
        self.number = peer.number
        self.reads = reads
        self.resets: list[StreamReset] = []
        self.goodbyes: list[ConnectionTerminated] = []
        self.state = H2Connection(
            H2Configuration(
                client_side=False,
                header_encoding="latin-1",
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
                normalize_inbound_headers=False,
            )
        )
        self.state.initiate_connection()
        # h2 holds the client to these once it has acknowledged them.
        self.state.update_settings(dict(settings or {}))
        self._events: deque[Event] = deque()
        self.flush()

    # Receiving ---------------------------------------------------------------------------------

    def event(self) -> Event | None:
        """The next event; None once the client has closed."""
        while not self._events:
            if not self._receive():
                return None
        return self._events.popleft()

    def has_event(self, within_s: float) -> bool:
        """Whether the client has sent something, or does so in time."""
        return bool(self._events or select.select([self.sock], [], [], within_s)[0])

    def event_of[E: Event](self, kind: type[E]) -> E | None:
        """The next event of a kind; those before it are passed over. None once the client has closed."""
        while (event := self.event()) is not None:
            if isinstance(event, kind):
                return event
        return None

    def head(self) -> H2Request | None:
        """The next request without its body; None once the client has closed."""
        event = self.event_of(RequestReceived)
        return None if event is None else H2Request(event, self.number)

    def request(self) -> H2Request | None:
        """The next request, whole, from a client that sends one at a time."""
        request = self.head()
        while request is not None:
            event = self.event()
            if isinstance(event, DataReceived):
                request.body += event.data
            elif isinstance(event, StreamEnded):
                return request
            elif event is None:
                return None
        return None

    def wait_for_end(self) -> None:
        """Returns once the client has closed."""
        while self.event() is not None:
            pass

    def _receive(self) -> bool:
        data = self.sock.recv(65_536)
        if not data:
            return False
        for event in self.state.receive_data(data):
            if isinstance(event, DataReceived) and self.reads and event.flow_controlled_length:
                self.state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if isinstance(event, StreamReset):
                self.resets.append(event)
            if isinstance(event, ConnectionTerminated):
                self.goodbyes.append(event)
            self._events.append(event)
        if not self.goodbyes:
            self.flush()
        return True

    # Sending -----------------------------------------------------------------------------------

    def flush(self) -> None:
        """Sends what h2 has made."""
        self.sock.sendall(self.state.data_to_send())

    def interim(self, stream: int, status: int) -> None:
        """The head of an interim response."""
        self.state.send_headers(stream, [(":status", str(status)), ("link", "</style.css>")])
        self.flush()

    def respond(self, stream: int, status: int = 200, *fields: tuple[str, str], end: bool = False) -> None:
        """The head of a response."""
        self.state.send_headers(stream, _encoded((":status", str(status)), *fields), end_stream=end)
        self.flush()

    def send(self, stream: int, body: bytes, *, end: bool = True) -> None:
        """A body, as fast as the client's windows allow; events that come meanwhile are kept."""
        left = memoryview(body)
        while True:
            room = min(self.state.local_flow_control_window(stream), self.state.max_outbound_frame_size)
            if not room and left:
                kept, self._events = self._events, deque()
                assert self._receive(), "the client closed while a body was sent"
                kept.extend(self._events)
                self._events = kept
                if any(isinstance(event, StreamReset) and event.stream_id == stream for event in kept):
                    return
                continue
            part, left = left[:room], left[room:]
            self.state.send_data(stream, part, end_stream=end and not left)
            self.flush()
            if not left:
                return

    def answer(self, stream: int, body: bytes = b"ok", status: int = 200, *fields: tuple[str, str]) -> None:
        """A well-formed response."""
        self.respond(stream, status, ("content-length", str(len(body))), *fields)
        self.send(stream, body)

    def trailers(self, stream: int, *fields: tuple[str, str]) -> None:
        """Ends a response with trailers."""
        self.state.send_headers(stream, _encoded(*fields), end_stream=True)
        self.flush()

    def reset(self, stream: int, code: int) -> None:
        """RST_STREAM."""
        self.state.reset_stream(stream, code)
        self.flush()

    def go_away(self, last_stream: int, code: int = 0, debug: bytes = b"") -> None:
        """GOAWAY, after which h2 would send nothing any more; a test may."""
        self.raw(GoAwayFrame(0, last_stream, code, debug).serialize())

    def raw(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self.sock.sendall(data)


def _encoded(*fields: tuple[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]


def serve_well(peer: H2Peer) -> None:
    """Answers every request with 200 and its path, as soon as its head has come."""
    while (request := peer.head()) is not None:
        assert request.path is not None
        peer.answer(request.stream, request.path.encode())


class H2Upstream(Upstream):
    """An upstream that speaks HTTP/2 alone: each connection is served by ``behave(peer)``.

    Over TLS if it is given a server's identity; then HTTP/2 is what ALPN offers. ``peers``: one for
    each connection, to be looked at once its thread has ended; ``ended`` is released for each then.
    ``buffer_bytes``: how much the system receives that nobody has read; else it may be dozens of MB.
    """

    def __init__(
        self,
        behave: Callable[[H2Peer], None] = serve_well,
        settings: Mapping[SettingCodes | int, int] | None = None,
        *,
        reads: bool = True,
        buffer_bytes: int | None = None,
        identity: Identity | None = None,
    ) -> None:
        self.peers: list[H2Peer] = []
        self.ended = threading.Semaphore(0)
        tls: ssl.SSLContext | None = None
        if identity is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(*identity.pair)
            tls.set_alpn_protocols(["h2"])

        def serve(peer: Peer, upstream: Upstream) -> None:
            self.peers.append(H2Peer(peer, settings, reads=reads))
            behave(self.peers[-1])
            self.ended.release()

        super().__init__(serve, tls=tls)
        if buffer_bytes is not None:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
