"""The connections to one origin: urllib3's pool, and the calls that siphon's threads make on it."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from queue import Empty
from typing import TYPE_CHECKING, Any, cast

from urllib3 import HTTPConnectionPool
from urllib3.exceptions import ClosedPoolError
from urllib3.util.url import parse_url

from siphon.client.call import CallEnded
from siphon.client.failures import failure_of
from siphon.client.http1 import Connection
from siphon.client.load import Load, total
from siphon.client.request import basic
from siphon.client.threads import Slots
from siphon.errors import ResponseRefused
from siphon.wire.response import ResponseReader

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

    from siphon.client.call import Call
    from siphon.client.request import OutboundRequest
    from siphon.client.resolver import Resolver
    from siphon.client.threads import ClientThreads
    from siphon.config.settings import ClientSettings
    from siphon.url import Origin, Url


class _Places:
    """The places of a pool, in the stead of a LifoQueue: nobody ever waits for one.

    A deque, whose ends are thread-safe, is enough for that, and spares each call two locks (4 µs).
    """

    def __init__(self, maxsize: int) -> None:
        self._places: deque[Connection | None] = deque(maxlen=maxsize)

    def get(self, block: bool = True, timeout: float | None = None) -> Connection | None:
        """The place that was given back last. Raises queue.Empty."""
        try:
            return self._places.pop()
        except IndexError:
            raise Empty from None

    def in_use(self) -> int:
        """How many places are not free: they have a connection, or somebody has them. Any thread.

        One place after the other, while others go on: a copy of a deque that changes meanwhile fails.
        """
        places = self._places
        free = 0
        with suppress(IndexError):
            for index in range(len(places)):
                free += places[index] is None
        return (places.maxlen or 0) - free

    def put(self, item: Connection | None, block: bool = True, timeout: float | None = None) -> None:
        """Gives a place back."""
        self._places.append(item)


class OriginPool(HTTPConnectionPool):
    """The connections to one origin. ``slots`` has as many places as the pool has connections.

    urllib3's pool keeps the idle ones; its ``urlopen`` is not used: it sets timeouts where siphon has a
    deadline, and costs five times as much as the exchange here (measured). While it is not known
    whether an https origin speaks HTTP/2 there is one place: its first call finds out.
    """

    ConnectionCls = Connection
    QueueCls = _Places  # type: ignore[assignment]

    def __init__(
        self,
        origin: Origin,
        *,
        settings: ClientSettings,
        proxy: Url | None,
        tls: Callable[[], ssl.SSLContext] | None,
        threads: ClientThreads,
        resolver: Resolver,
    ) -> None:
        self._origin = origin
        self._settings = settings
        self._threads = threads
        options: dict[str, Any] = {"tls": tls, "resolver": resolver}
        if proxy is not None:
            options |= {"_proxy": parse_url(str(proxy.origin)), "_proxy_headers": _credentials(proxy)}
        super().__init__(origin.host, origin.port, maxsize=settings.pool_size, block=True, **options)
        self.scheme = origin.scheme
        self._proxy = proxy
        self._tunnels = proxy is not None and (tls is not None or settings.http2_prior_knowledge)
        self._speaks_h2c = tls is None and settings.http2_prior_knowledge
        self.slots = Slots(self, 1 if tls is not None or self._speaks_h2c else settings.pool_size)

    def _new_conn(self) -> Connection:
        to = self._origin if self._proxy is None else self._proxy.origin
        return Connection(to.host, to.port, **self.conn_kw)

    def serve(self, call: Call) -> bool:
        """Does a call's work and gives it its outcome. False where its slot was given back on the way."""
        try:
            return self._serve(call)
        except CallEnded:
            return True
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller must not wait for ever
            if not call.ended:
                call.fail(failure_of(error, call))
            return True

    def _serve(self, call: Call) -> bool:
        connection = self._connection()
        kept: Connection | None = None
        handed_over: socket.socket | None = None
        try:
            connection.call = call
            reader = None if connection.sock is None else self._exchange_on_kept(connection, call)
            if reader is None:
                self._connect(connection)
                if not (self._speaks_h2c or connection.speaks_http2):
                    reader = self._exchange(connection, call)
            call.detach()
            if reader is None:
                handed_over = connection.hand_over()
            elif reader.keep_alive:
                kept = connection
        finally:
            if kept is None:
                connection.close()
            connection.call = None
            self._put_conn(kept)
        if handed_over is not None:
            return self._multiplex(handed_over, call)
        assert reader is not None
        assert reader.status is not None
        call.deliver(reader.status, reader.fields, reader.body)
        return True

    def load(self) -> Load:
        """The connections to this origin, and its calls. Any thread."""
        # None once the pool is closed.
        places = cast("_Places | None", self.pool)
        own = Load(0 if places is None else places.in_use())
        return total([own, self._threads.load(self.slots)])

    def close(self) -> None:
        """Closes the idle connections, and one that carries many calls after its last."""
        super().close()
        self._threads.close(self.slots)

    def _connect(self, connection: Connection) -> None:
        if self._tunnels:
            connection.set_tunnel(self._origin.host, self._origin.port, self.proxy_headers)
        connection.connect()
        if self.slots.size != self._settings.pool_size and not (self._speaks_h2c or connection.speaks_http2):
            self._threads.resize(self.slots, self._settings.pool_size)

    def _exchange_on_kept(self, connection: Connection, call: Call) -> ResponseReader | None:
        """The response, whole; None, and no connection, where that had ended before its first byte."""
        reader = self._new_reader(call)
        try:
            connection.exchange(call.request, self._head(call.request), reader)
        except (OSError, ResponseRefused):
            # The upstream may have acted on the request before it closed: only where that does no harm.
            if reader.begun or not call.request.is_idempotent:
                raise
            call.detach()
            connection.close()
            return None
        return reader

    def _exchange(self, connection: Connection, call: Call) -> ResponseReader:
        """The response, whole."""
        reader = self._new_reader(call)
        connection.exchange(call.request, self._head(call.request), reader)
        return reader

    def _new_reader(self, call: Call) -> ResponseReader:
        return ResponseReader(call.request.method, self._settings.max_response_bytes)

    def _connection(self) -> Connection:
        """One that is idle, or has yet to connect. Never waits: whoever has a slot finds a place."""
        try:
            return cast("Connection", self._get_conn())
        except ClosedPoolError:
            return self._new_conn()  # the pool's last client is closed, and its calls are still made

    def _head(self, request: OutboundRequest) -> bytes:
        target = request.url.target
        fields = request.fields
        if self._proxy is not None and not self._tunnels:
            # A proxy that forwards is given the whole URL (RFC 9112, section 3.2.2).
            target = str(request.url)
            fields = (*fields, *self.proxy_headers.items())
        lines = [
            f"{request.method} {target} HTTP/1.1",
            *[f"{name}: {value}" for name, value in fields],
            "",
            "",
        ]
        return "\r\n".join(lines).encode("latin-1")

    def _multiplex(self, sock: socket.socket, call: Call) -> bool:
        """Makes a connection one that carries many calls; this thread is its own until it ends."""
        # Imported where it is first needed: h2 and hpack cost 2 MB.
        from siphon.client.http2 import Http2Connection

        try:
            shared = Http2Connection(sock)
        except OSError:
            sock.close()
            raise
        shared.submit(call)
        self._threads.adopt(self.slots, shared)
        shared.run(self._threads, self.slots)
        self._threads.ended(self.slots, shared)
        return False


def _credentials(proxy: Url) -> dict[str, str]:
    return {"Proxy-Authorization": basic(proxy.userinfo)} if proxy.userinfo else {}
