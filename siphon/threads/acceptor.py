"""The acceptor: accepts, reads, parses, keeps the deadlines, flushes and closes. It never calls a handler."""

from __future__ import annotations

import errno
import socket
import threading
from time import monotonic
from typing import TYPE_CHECKING, Final

from siphon.errors import ProtocolError
from siphon.journal import journal
from siphon.messages import Response, plain
from siphon.threads.connection import LATE, OWNER_NEEDED, Connection
from siphon.threads.exchange import Exchange
from siphon.threads.poller import READABLE, WRITABLE, make_poller
from siphon.threads.wakeup import Wakeup
from siphon.threads.wheel import TICK_S, Wheel
from siphon.wire.encode import Encoder
from siphon.wire.states import (
    BODY,
    BODY_BEGUN,
    CLOSED,
    DISPATCHED,
    HEAD,
    HEAD_BEGUN,
    IDLE,
    LINGERING,
    RUNNING,
    SENDING,
    after,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from siphon.threads.lanes import Lanes
    from siphon.threads.listener import Listener
    from siphon.wire.head import RequestHead

_RECV_BYTES: Final = 65_536
# What is read ahead of a request that is being answered; past it the client waits.
_AHEAD_MAX_BYTES: Final = 65_536
_ACCEPTS_A_TURN: Final = 128
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_BEING_ANSWERED: Final = frozenset({RUNNING, SENDING})
_ARRIVING: Final = frozenset({HEAD, BODY})
_NO_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Acceptor(threading.Thread):
    """A thread with a selector, and the connections it has accepted: no other touches them.

    Other threads call ``kick``, ``drain`` and ``abort``. ``_lock`` guards what they leave:
    ``_kicked``, ``_woken``, ``_aborting``. ``draining`` is written under it and read by workers
    after they have set a connection idle under its own lock.
    """

    def __init__(
        self, number: int, listeners: list[Listener], lanes: Lanes, drained: Callable[[Acceptor], None]
    ) -> None:
        super().__init__(name=f"siphon-acceptor-{number}", daemon=True)
        self._listeners = {listener.socket.fileno(): listener for listener in listeners}
        self._lanes = lanes
        self._drained = drained
        self._lock = threading.Lock()
        self._kicked: list[Connection] = []
        self._woken = False
        self._aborting = False
        self.draining = False
        # This thread's own.
        self._poller = make_poller()
        self._wakeup = Wakeup()
        self._encoder = Encoder()
        self._connections: dict[int, Connection] = {}
        self._paused: dict[int, Listener] = {}
        self._resume_at = 0.0
        self._complained: set[Listener] = set()
        # Idle connections by the end of their keep-alive, the oldest last; made when room is needed.
        self._oldest: dict[Listener, list[tuple[float, Connection]]] = {}
        self._drain_begun = False
        self._now = monotonic()
        self._wheel = Wheel(self._now)
        self._for_loops: list[Exchange] = []
        self._for_workers: list[Exchange] = []
        self._poller.register(self._wakeup.fd)
        for fd in self._listeners:
            self._poller.register(fd, exclusive=True)

    # Any thread --------------------------------------------------------------------------------

    def kick(self, connection: Connection) -> None:
        """Asks for a look at ``connection``; many kicks cost one wake-up."""
        with self._lock:
            self._kicked.append(connection)
            wake = not self._woken
            self._woken = True
        if wake:
            self._wakeup.set()

    def drain(self) -> None:
        """Stops accepting, closes what is idle, and ends the thread when the last connection has gone."""
        with self._lock:
            self.draining = True
            self._woken = True
        self._wakeup.set()

    def abort(self) -> None:
        """Cancels what is still on its way and closes every connection. After ``drain``."""
        with self._lock:
            self._aborting = True
            self._woken = True
        self._wakeup.set()

    def close(self) -> None:
        """Lets go of the descriptors, once the thread has ended and no worker can kick any more."""
        self._wakeup.close()

    # The loop ----------------------------------------------------------------------------------

    def run(self) -> None:
        try:
            while not (self._drain_begun and not self._connections):
                self._turn()
        finally:
            self._poller.close()
            self._drained(self)

    def _turn(self) -> None:
        timeout_s = max(0.0, self._wheel.next_due - self._now)
        if self._paused:
            timeout_s = min(timeout_s, max(0.0, self._resume_at - self._now))
        events = self._poller.poll(None if timeout_s > 3600 else timeout_s)
        self._now = now = monotonic()
        connections = self._connections
        for fd, mask in events:
            if fd in connections:
                connection = connections[fd]
                if mask != READABLE and mask & WRITABLE and connection.state == SENDING:
                    self._flush(connection)
                else:
                    self._read(connection)
            elif fd == self._wakeup.fd:
                self._attend_kicked()
            elif fd in self._listeners:
                self._accept(self._listeners[fd])
        if now >= self._wheel.next_due:
            for connection in self._wheel.due(now):
                self._look_at_deadline(connection)
        if self._paused and now >= self._resume_at:
            self._resume_accepting()
        # More than once where a refusal lets the next pipelined request go ahead.
        while self._for_loops or self._for_workers:
            self._hand_over()

    # Reading -----------------------------------------------------------------------------------

    def _read(self, connection: Connection) -> None:
        try:
            data = connection.recv(_RECV_BYTES)
        except BlockingIOError:
            return
        except OSError:
            # Reset: nobody is left to answer.
            self._close(connection)
            return
        if not data:
            self._end_of_input(connection)
            return
        with connection.lock:
            state = connection.state
            busy = state in _BEING_ANSWERED
            if busy:
                connection.input_waits = True
        if busy:
            if connection.incoming.keep(data) > _AHEAD_MAX_BYTES:
                connection.reading = False
                self._watch(connection)
        elif state != LINGERING:
            self._advance(connection, data)

    def _advance(self, connection: Connection, data: bytes) -> None:
        """Goes on with the request that is arriving; the connection is the acceptor's."""
        try:
            head = connection.incoming.receive(data)
        except ProtocolError as error:
            self._refuse(connection, error)
            return
        if head is not None:
            self._dispatch(connection, head)
        elif connection.incoming.in_body:
            self._body_arrives(connection)
        elif connection.state == IDLE and connection.incoming.begun:
            connection.state = after(IDLE, HEAD_BEGUN)
            # Absolute: a head that drips in does not move it.
            connection.deadline = self._now + connection.listener.header_timeout_s

    def _dispatch(self, connection: Connection, head: RequestHead) -> None:
        try:
            chain, path_params = connection.listener.router.match(head.method, head.target)
        except ProtocolError as error:
            self._refuse(connection, error)
            return
        exchange = Exchange(
            connection, self._lanes, head, connection.incoming.body, chain, path_params, self._now
        )
        connection.requests += 1
        connection.exchange = exchange
        connection.state = after(connection.state, DISPATCHED)
        connection.deadline = self._now + connection.listener.request_timeout_s
        # Nobody else knows the exchange yet, so none of this needs the lock.
        connection.input_waits = connection.incoming.kept_bytes > 0 or not connection.reading
        (self._for_loops if chain.first_is_async else self._for_workers).append(exchange)

    def _body_arrives(self, connection: Connection) -> None:
        if connection.state != BODY:
            connection.state = after(connection.state, BODY_BEGUN)
            connection.body_since = self._now
        if connection.incoming.take_continue():
            self._send_continue(connection)
        listener = connection.listener
        rate = listener.settings.min_body_bytes_per_s
        # What has come buys time at the slowest rate that is allowed, on top of the grace.
        earned_s = connection.incoming.body_bytes_received / rate if rate else float("inf")
        connection.deadline = connection.body_since + listener.body_grace_s + min(earned_s, 1e6)

    def _send_continue(self, connection: Connection) -> None:
        # 25 bytes on a connection that awaits nothing: it is sent whole or the client is gone.
        try:
            connection.sock.send(_CONTINUE)
        except OSError:
            connection.broken = True

    def _hand_over(self) -> None:
        for_loops, self._for_loops = self._for_loops, []
        for_workers, self._for_workers = self._for_workers, []
        for exchange in self._lanes.submit(for_loops, for_workers):
            self._reply(exchange, plain(503, "over capacity\n", ("Retry-After", "1")))

    # Answers of the acceptor's own -------------------------------------------------------------

    def _refuse(self, connection: Connection, error: ProtocolError) -> None:
        """Answers what is no valid request, and reads nothing that follows as one."""
        response = plain(error.status, f"{error.reason}\n")
        data, _ = self._encoder.encode(response, "", 1, False, connection.listener.server_header)
        connection.requests += 1
        self._settle(connection, connection.answer(None, data, False))

    def _reply(self, exchange: Exchange, response: Response) -> bool:
        """Claims and answers an exchange; False where a worker was first."""
        connection = exchange.connection
        head = exchange.head
        keep_alive = head.keep_alive and not self.draining
        data, keep_alive = self._encoder.encode(
            response, head.method, head.minor_version, keep_alive, connection.listener.server_header
        )
        verdict = connection.answer(exchange, data, keep_alive)
        if verdict == LATE:
            return False
        exchange.cancel()
        if self._lanes.access_log:
            exchange.log_access(response)
        self._settle(connection, verdict)
        return True

    def _settle(self, connection: Connection, verdict: int) -> None:
        if verdict == OWNER_NEEDED:
            self._attend(connection)

    # Kicks: what a worker left to do -----------------------------------------------------------

    def _attend_kicked(self) -> None:
        self._wakeup.clear()
        with self._lock:
            kicked, self._kicked = self._kicked, []
            self._woken = False
            aborting = self._aborting
        for connection in kicked:
            self._attend(connection)
        if self.draining and not self._drain_begun:
            self._begin_drain()
        if aborting:
            self._close_everything()

    def _attend(self, connection: Connection) -> None:
        """Does what the connection's state calls for after an answer."""
        with connection.lock:
            state = connection.state
            broken = connection.broken
            if state == IDLE:
                connection.input_waits = False
        if state == CLOSED:
            return
        if broken:
            self._close(connection)
        elif state == SENDING:
            self._watch(connection)
        elif state == LINGERING:
            if connection.end_of_input:
                self._close(connection)
            else:
                connection.reading = True
                self._watch(connection)
        elif state == IDLE:
            self._next_request(connection)

    def _next_request(self, connection: Connection) -> None:
        if connection.incoming.begun:
            self._advance(connection, b"")
        if connection.state == IDLE or connection.state in _ARRIVING:
            if connection.end_of_input or (self.draining and not connection.incoming.begun):
                self._close(connection)
            else:
                connection.reading = True
                self._watch(connection)

    def _flush(self, connection: Connection) -> None:
        if connection.flush() == OWNER_NEEDED:
            return
        if not connection.broken:
            self._watch(connection)
        self._attend(connection)

    def _watch(self, connection: Connection) -> None:
        """Watches what the connection's state calls for; after a FIN nothing is left to read."""
        wanted = WRITABLE if connection.state == SENDING else 0
        if not connection.end_of_input:
            wanted |= READABLE if connection.reading else 0
        elif not wanted:
            self._forget(connection)
            return
        if connection.watched == wanted:
            return
        if connection.watched < 0:
            self._poller.register(connection.fd)
        connection.watched = wanted
        self._poller.modify(connection.fd, wanted)

    def _forget(self, connection: Connection) -> None:
        if connection.watched >= 0:
            connection.watched = -1
            self._poller.unregister(connection.fd)

    # Ends --------------------------------------------------------------------------------------

    def _end_of_input(self, connection: Connection) -> None:
        """The client has sent FIN. It may have half-closed: what had arrived whole is still answered."""
        with connection.lock:
            connection.end_of_input = True
            state = connection.state
            exchange = connection.exchange
        if state not in (RUNNING, SENDING):
            self._close(connection)
            return
        self._watch(connection)
        if exchange is not None:
            exchange.disconnected = True
            if self._cancels(exchange):
                exchange.interrupt()

    def _cancels(self, exchange: Exchange) -> bool:
        own = exchange.chain.cancel_on_disconnect
        return exchange.connection.listener.settings.cancel_on_disconnect if own is None else own

    def _close(self, connection: Connection) -> None:
        self._forget(connection)
        exchange = connection.close()
        del self._connections[connection.fd]
        self._wheel.remove(connection)
        connection.listener.leave()
        if exchange is not None:
            exchange.disconnected = True
            if self._aborting or self._cancels(exchange):
                exchange.cancel()

    def _look_at_deadline(self, connection: Connection) -> None:
        """The connection's slot has come up: acts where its deadline has passed, else files it again."""
        now = self._now
        with connection.lock:
            state = connection.state
            exchange = connection.exchange
            passed = connection.deadline <= now
        if passed:
            if state == RUNNING and exchange is not None:
                if self._reply(exchange, plain(504, "the handler took too long\n")):
                    journal.log(
                        "warning",
                        f"504 for {exchange.head.method} {exchange.head.target}: over request_timeout_ms",
                    )
            elif state in _ARRIVING:
                self._refuse(connection, ProtocolError(408, "the request took too long to arrive"))
            elif state != RUNNING:
                self._close(connection)
        if connection.state != CLOSED:
            self._wheel.file(connection, now)

    # Accepting ---------------------------------------------------------------------------------

    def _accept(self, listener: Listener) -> bool:
        """Accepts who waits, up to a turn's share; whether there may be more."""
        for number in range(_ACCEPTS_A_TURN):
            if not listener.enter():
                # Only the first is sure to be waited for; the poller tells of the next.
                if number:
                    return True
                if not (self._make_room(listener) and listener.enter()):
                    self._pause(listener, f"max_connections ({listener.settings.max_connections}) reached")
                    return False
            try:
                sock, address = listener.socket.accept()
            except OSError as error:
                listener.leave()
                if error.errno in _NO_DESCRIPTORS:
                    self._pause(listener, f"cannot accept: {error.strerror}")
                # Otherwise nobody waits any more, or the newcomer has gone again.
                return error.errno == errno.ECONNABORTED
            sock.setblocking(False)
            connection = Connection(sock, _peer_name(sock, address), listener, self, self._now)
            self._connections[connection.fd] = connection
            self._watch(connection)
            self._wheel.file(connection, self._now)
        return True

    def _make_room(self, listener: Listener) -> bool:
        """Closes the connection that has been idle longest; False where none is idle between requests."""
        while True:
            oldest = self._oldest.pop(listener, [])
            if not oldest:
                oldest = sorted(
                    [
                        (connection.deadline, connection)
                        for connection in self._connections.values()
                        if connection.listener is listener and _is_idle(connection)
                    ],
                    key=_by_deadline,
                    reverse=True,
                )
                if not oldest:
                    return False
            # The rest of the list serves the next newcomers: each is looked at again before it goes.
            self._oldest[listener] = oldest
            deadline, connection = oldest.pop()
            if connection.deadline == deadline and _is_idle(connection):
                self._close(connection)
                return True

    def _pause(self, listener: Listener, why: str) -> None:
        fd = listener.socket.fileno()
        self._poller.unregister(fd)
        self._paused[fd] = listener
        self._resume_at = self._now + TICK_S
        if listener not in self._complained:
            self._complained.add(listener)
            journal.log("warning", f"{listener.url}: {why}; newcomers wait in the backlog")

    def _resume_accepting(self) -> None:
        """Tries the paused listeners again, a tick after they were paused."""
        paused, self._paused = self._paused, {}
        for fd in paused:
            self._poller.register(fd, exclusive=True)

    # Stopping ----------------------------------------------------------------------------------

    def _begin_drain(self) -> None:
        for fd, listener in self._listeners.items():
            # Who is in the backlog has connected: they are served, not reset.
            while fd not in self._paused and self._accept(listener):
                pass
        for fd, listener in self._listeners.items():
            if fd not in self._paused:
                self._poller.unregister(fd)
            listener.release()
        self._listeners = {}
        self._paused = {}
        self._drain_begun = True
        for connection in list(self._connections.values()):
            if _is_idle(connection):
                self._close(connection)

    def _close_everything(self) -> None:
        for connection in list(self._connections.values()):
            self._close(connection)


def _is_idle(connection: Connection) -> bool:
    """Between two requests with nothing buffered; one that has not sent its first is not idle."""
    with connection.lock:
        return connection.state == IDLE and connection.requests > 0 and not connection.incoming.begun


def _by_deadline(entry: tuple[float, Connection]) -> float:
    return entry[0]


def _peer_name(sock: socket.socket, address: object) -> str:
    if sock.family == socket.AF_UNIX or not isinstance(address, tuple):
        return "unix:0"
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
