"""The connections of urllib3's pools, made so that they can be interrupted, and the exchange on them."""

from __future__ import annotations

import select
import ssl
from contextlib import suppress
from http.client import HTTPResponse
from socket import gaierror
from typing import TYPE_CHECKING, Any, Final

from urllib3.connection import HTTPConnection

from siphon.client.call import AWAITING, RECEIVING, SENDING, SHAKING_HANDS
from siphon.client.dial import Plug, dial
from siphon.client.failures import NoAddress, ProxyRefused
from siphon.client.tls import HTTP2

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from siphon.client.call import Call
    from siphon.client.request import OutboundRequest
    from siphon.client.resolver import Resolver
    from siphon.wire.response import ResponseReader

_RECV_BYTES: Final = 65_536
# A request up to this size is sent in one call: the system takes it whole, whatever the upstream does.
_SENT_AT_ONCE_BYTES: Final = 65_536
_WOULD_BLOCK: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class TunnelAnswer(HTTPResponse):
    """What a proxy answers to CONNECT, read to its end and no further: an origin may speak first."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp.close()
        self.fp = sock.makefile("rb", buffering=0)  # type: ignore[assignment]  # raw serves as well


class Connection(HTTPConnection):
    """A connection to an origin, or through a proxy to it. One I/O thread at a time uses it.

    urllib3 keeps it in its pool and knows how proxies make tunnels. Connecting, TLS and the exchange
    are siphon's, since whoever waits must be able to give up at any moment: sockets are blocking, no
    timeout is set on them, and what ends a call shuts the connection down.
    """

    # Nothing else is read by http.client.
    response_class = TunnelAnswer

    call: Call | None = None
    """Whom it works for, while it does."""

    def __init__(
        self,
        *args: Any,
        tls: Callable[[], ssl.SSLContext] | None,
        resolver: Resolver,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._tls = tls
        self._resolver = resolver
        self._plug: Plug | None = None
        self._poll: select.poll | None = None

    def _new_conn(self) -> socket.socket:
        assert self.call is not None
        try:
            sock, self._plug = dial(self.call, self._resolver, self._dns_host, self.port)
        except gaierror as error:
            # Perhaps a proxy's, and not the one that the call is for.
            raise NoAddress(f"{self._dns_host} has no address: {error.strerror}") from error
        return sock

    def connect(self) -> None:
        """Connects, through the tunnel that is set, if any, and shakes hands. Raises OSError, CallEnded."""
        try:
            super().connect()
        except OSError as error:
            if str(error).startswith("Tunnel connection failed"):
                raise ProxyRefused(f"the proxy {self.host}:{self.port} refuses: {error}") from error
            raise
        if self._tls is not None:
            assert self.call is not None
            self.call.phase = SHAKING_HANDS
            name = self._tunnel_host or self.host
            # An end of the stream without TLS's own could be anybody's doing: it is an error, not an end.
            self.sock = self._tls().wrap_socket(
                self.sock, server_hostname=name.rstrip("."), suppress_ragged_eofs=False
            )
        self._poll = select.poll()
        self._poll.register(self.sock, select.POLLIN)

    @property
    def speaks_http2(self) -> bool:
        """Whether TLS has settled on HTTP/2."""
        return isinstance(self.sock, ssl.SSLSocket) and self.sock.selected_alpn_protocol() == HTTP2

    @property
    def is_connected(self) -> bool:
        """Whether it can take a request: what can be read now is an end, or answers nothing."""
        return self._poll is not None and not self._poll.poll(0)

    def hand_over(self) -> socket.socket:
        """The socket, for a protocol of its own, once no call is attached to it."""
        sock = self.sock
        self.sock = None
        self.close()
        return sock

    def close(self) -> None:
        """Closes, once the call it works for cannot interrupt it any more."""
        if self.call is not None:
            self.call.let_go()
        super().close()
        self._poll = None
        if self._plug is not None:
            self._plug.close()
            self._plug = None

    def exchange(self, request: OutboundRequest, head: bytes, reader: ResponseReader) -> None:
        """Sends the request and reads the response into ``reader``, until it is whole.

        Raises OSError where the connection is lost, ResponseRefused. After an interruption either, or
        nothing: ``Call.detach`` tells.
        """
        call = self.call
        assert call is not None
        assert self._plug is not None
        call.attach(self._plug)
        call.phase = SENDING
        sent = self._send(head, request.body, reader)
        call.phase = AWAITING
        recv = self.sock.recv
        while not reader.is_whole:
            reader.receive(recv(_RECV_BYTES))
            call.phase = RECEIVING
        if not sent:
            reader.keep_alive = False

    def _send(self, head: bytes, body: bytes, reader: ResponseReader) -> bool:
        """Whether the request was sent whole; the upstream may have answered before, and read no more."""
        if len(head) + len(body) > _SENT_AT_ONCE_BYTES:
            return self._send_large(memoryview(head + body), reader)
        try:
            self.sock.sendall(head + body if body else head)
        except (BrokenPipeError, ConnectionResetError):
            # It may have answered first and closed then: what it said is still there to be read.
            return False
        return True

    def _send_large(self, data: memoryview, reader: ResponseReader) -> bool:
        """Sends and watches for an early answer: an upstream that refuses need not read what it refuses."""
        sock = self.sock
        poll = select.poll()
        poll.register(sock, select.POLLIN | select.POLLOUT)
        sock.setblocking(False)
        sent = 0
        while sent < len(data):
            with suppress(*_WOULD_BLOCK):
                try:
                    sent += sock.send(data[sent : sent + _SENT_AT_ONCE_BYTES])
                except (BrokenPipeError, ConnectionResetError):
                    break
                continue
            poll.poll()
            with suppress(*_WOULD_BLOCK):
                reader.receive(sock.recv(_RECV_BYTES))
            if reader.status is not None:
                break
        sock.setblocking(True)
        return sent == len(data)
