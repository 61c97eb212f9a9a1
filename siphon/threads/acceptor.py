"""The acceptor: accepts, reads, parses, keeps the deadlines, flushes and closes. It never calls a handler."""

from __future__ import annotations

import threading
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Final

from siphon.daemon import Daemon
from siphon.errors import OtherProtocol, RequestRefused
from siphon.messages import plain
from siphon.threads.admission import Admission
from siphon.threads.blocking import LOOK_S
from siphon.threads.connection import OWNER_NEEDED, TOO_SLOW, Connection, peer_name
from siphon.threads.exchange import Exchange
from siphon.threads.poller import READABLE, WRITABLE, make_poller
from siphon.threads.priority import serving
from siphon.threads.wheel import Wheel
from siphon.wakeup import Wakeup
from siphon.wire.encode import Encoder
from siphon.wire.states import BODY, CLOSED, HEAD, IDLE, LINGERING, RUNNING, SENDING

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from siphon.threads.batch import Batch
    from siphon.threads.lanes import Lanes
    from siphon.threads.listener import Listener
    from siphon.threads.tally import Fault

_HAND_OVERS_A_TURN: Final = 16  # a refusal lets the next pipelined request go ahead: a row must end
# What a client that speaks TLS understands: a fatal alert, "protocol version" (RFC 8446 section 6).
_ALERT: Final = b"\x15\x03\x01\x00\x02\x02\x46"
_BEING_ANSWERED: Final = frozenset({RUNNING, SENDING})
_ARRIVING: Final = frozenset({HEAD, BODY})


class Acceptor(Daemon):
    """A thread with a selector, and the connections it has accepted: no other touches them.

    Other threads call ``kick``, ``take_back``, ``drain`` and ``abort``. ``_lock`` guards what they leave:
    ``_kicked``, ``_woken``, ``_aborting``, ``draining``.
    """

    kind = "acceptor"
    # A turn's share: they are accepted faster than anything else is done.
    accepts_a_turn = 128

    def __init__(
        self, number: int, listeners: list[Listener], lanes: Lanes, drained: Callable[[Acceptor], None]
    ) -> None:
        super().__init__(f"siphon-{self.kind}-{number}")
        self.lanes = lanes
        self._drained = drained
        self._lock = threading.Lock()
        self._kicked: list[Connection] = []
        self._woken = self._aborting = self.draining = False
        # This thread's own.
        self._poller = make_poller()
        self._poll = self._poller.poll
        self._wakeup = Wakeup()
        self._encoder = Encoder()
        self._records = lanes.new_records()
        self.connections: dict[int, Connection] = {}
        self._drain_begun = False
        self.now = monotonic()
        self._wheel = Wheel(self.now)
        self._taken_back: list[Batch | Exchange] = []  # filled by other threads
        self._for_loops: list[Exchange] = []
        self._for_workers: list[Exchange] = []
        self._look_at = inf  # for blocking workers that do not go on
        self._poller.register(self._wakeup.fd)
        self._admission = Admission(self, listeners, self._poller)

    # Any thread --------------------------------------------------------------------------------

    def kick(self, connection: Connection) -> None:
        """Asks for a look at ``connection``; many kicks cost one wake-up."""
        with self._lock:
            self._kicked.append(connection)
            wake = not self._woken
            self._woken = True
        if wake:
            self._wakeup.set()

    def take_back(self, handed_over: Batch | Exchange) -> None:
        """Gets what it has handed over and nobody needs any more, to drop it in its next turn."""
        self._taken_back.append(handed_over)

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
            with serving.thread():
                while not (self._drain_begun and not self.connections):
                    self._turn()
        finally:
            self._poller.close()
            self._drained(self)

    def _turn(self) -> None:
        next_due = min(self._wheel.next_due, self._admission.resume_at, self._look_at)
        events = self._poll(None if next_due == inf else max(0.0, next_due - self.now))
        self.now = now = monotonic()
        # Dropped with this frame: whoever gives something back would wait for a list that drops what it has.
        back = self._taken_back[:]
        del self._taken_back[: len(back)]
        connections, read, readable = self.connections, self._read, READABLE
        for fd, mask in events:
            if fd in connections:
                connection = connections[fd]
                if mask != readable and mask & WRITABLE and connection.state == SENDING:
                    self._flush(connection)
                else:
                    read(connection)
            elif fd == self._wakeup.fd:
                self._attend_kicked()
            else:
                self._admission.accept(fd)
        if now >= self._wheel.next_due:
            for connection in self._wheel.due(now):
                self._look_at_deadline(connection)
        if now >= self._admission.resume_at:
            self._admission.resume()
        if now >= self._look_at:
            self._look_at = now + LOOK_S if self.lanes.blocking.look(now) else inf
        for _ in range(_HAND_OVERS_A_TURN):
            if not (self._for_loops or self._for_workers):
                break
            self._hand_over()
        else:
            self._wakeup.set()

    # Reading -----------------------------------------------------------------------------------

    def _read(self, connection: Connection) -> None:
        try:
            data = connection.recv(connection.incoming.appetite_bytes)
        except BlockingIOError:
            return
        except OSError:  # reset: nobody is left to answer
            self.close_connection(connection)
            return
        if not data:
            self._end_of_input(connection)
            return
        if connection.state == IDLE or connection.state in _ARRIVING:
            self._advance(connection, data)
        else:
            self._keep(connection, data)

    def _keep(self, connection: Connection, data: bytes) -> None:
        """Keeps what has come while an answer was awaited, if it still is."""
        with connection.lock:
            state = connection.state
            busy = state in _BEING_ANSWERED
            if busy:
                connection.kick_wanted = True
        if busy:
            if not connection.incoming.keep(data):
                connection.reading = False
                self._watch(connection)
        elif state != LINGERING:
            self._advance(connection, data)

    def _advance(self, connection: Connection, data: bytes) -> None:
        """Goes on with the request that is arriving; the connection is the acceptor's."""
        incoming, listener, now = connection.incoming, connection.listener, self.now
        head = None
        try:
            head = incoming.receive(data)
            if head is None:
                self._await_rest(connection)
                return
            chain, path_params = listener.match(head[0], head[1])  # the method and the target
        except RequestRefused as error:
            self._refuse(connection, error, "" if head is None else head[0])
            return
        connection.requests = requests = connection.requests + 1
        if requests >= listener.keep_alive_requests:
            connection.draining = True
        body = b""
        if not incoming.is_empty:
            body = incoming.take_body()
            if incoming.buffer or not connection.reading:
                connection.kick_wanted = True
        connection.exchange = exchange = Exchange(connection, head, body, chain, path_params, now)
        # Nobody else knows the exchange yet, so none of this needs the lock.
        connection.state = RUNNING  # as after DISPATCHED: it was the acceptor's, and no answer awaited
        connection.deadline = now + listener.request_timeout_s
        (self._for_loops if chain.first_is_async else self._for_workers).append(exchange)

    def _await_rest(self, connection: Connection) -> None:
        """The request is not whole: moves its deadline."""
        if connection.incoming.in_body:
            connection.body_arrives(self.now)
        elif connection.state == IDLE and connection.incoming.begun:
            connection.head_begins(self.now)

    def _hand_over(self) -> None:
        for_loops, self._for_loops = self._for_loops, []
        for_workers, self._for_workers = self._for_workers, []
        for exchange in self.lanes.submit(self, for_loops, for_workers):
            self._records.count_shed()
            response = plain(503, "over capacity\n", ("Retry-After", "1"))
            if exchange.overrule(response, self._encoder, self._records) == OWNER_NEEDED:
                self._attend(exchange.connection)
        if self._look_at == inf and self.lanes.blocking.wants_look:
            self._look_at = self.now + LOOK_S

    # Answers of the acceptor's own -------------------------------------------------------------

    def _refuse(self, connection: Connection, error: RequestRefused, method: str = "") -> None:
        """Answers what is no valid request, and reads nothing that follows as one."""
        if isinstance(error, OtherProtocol):
            self._count_turned_away(connection, "tls")
            self._turn_away(connection, _ALERT, error.reason)
            return
        if connection.refuse(error, self._encoder, self._records, method) == OWNER_NEEDED:
            self._attend(connection)

    def _turn_away(self, connection: Connection, data: bytes, why: str) -> None:
        """Ends a connection that does not speak this listener's protocol; ``data`` says so in its own."""
        connection.listener.log_once(why, connection.peer)
        connection.incoming.discard()
        if connection.answer(None, data, False) == OWNER_NEEDED:
            self._attend(connection)

    def _count_turned_away(self, connection: Connection, fault: Fault) -> None:
        if self._records.cells is not None:
            self._records.cells.turned_away(str(connection.listener.settings.listen), fault)

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
                connection.kick_wanted = connection.end_of_input
        if state == CLOSED:
            return
        if broken:
            self.close_connection(connection)
        elif state == SENDING:
            self._watch(connection)
        elif state == LINGERING:
            if connection.end_of_input:
                self.close_connection(connection)
            else:
                connection.reading = True
                self._watch(connection)
        elif state == IDLE:
            self._next_request(connection)

    def _next_request(self, connection: Connection) -> None:
        if connection.incoming.begun:
            self._advance(connection, b"")
        if connection.state == IDLE or connection.state in _ARRIVING:
            if connection.end_of_input:
                self.close_connection(connection)
            else:
                connection.reading = True
                self._watch(connection)
                if self.draining:
                    self._hurry(connection)

    def _flush(self, connection: Connection) -> None:
        more = connection.flush() == OWNER_NEEDED
        if not connection.broken:
            self._watch(connection)
        if not more:
            self._attend(connection)

    def _watch(self, connection: Connection) -> None:
        """Watches what the connection's state calls for; after a FIN nothing is left to read."""
        wanted = WRITABLE if connection.state == SENDING or connection.channel.blocked else 0
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
            connection.end_of_input = connection.kick_wanted = True
            state = connection.state
            exchange = connection.unanswered
        if state == IDLE and connection.incoming.begun:
            # Answered a moment ago, its worker's kick is still to come: more requests may have come whole.
            self._next_request(connection)
        elif state not in (RUNNING, SENDING):
            self.close_connection(connection)
        if connection.state == CLOSED:
            return
        self._watch(connection)
        if exchange is not None:
            exchange.interrupt()

    def close_connection(self, connection: Connection) -> None:
        """Closes it, and ends the exchange it has, if any. This thread alone."""
        self._forget(connection)
        exchange = connection.close()
        del self.connections[connection.fd]
        self._wheel.remove(connection)
        connection.listener.leave()
        if exchange is not None:
            exchange.cut_short(self._records, cancel=self._aborting)

    def _look_at_deadline(self, connection: Connection) -> None:
        """The connection's slot has come up: acts where its deadline has passed, else files it again."""
        with connection.lock:
            state = connection.state
            exchange = connection.unanswered
            connection.settle()
            passed = connection.deadline <= self.now
        if passed and exchange is not None:
            if exchange.took_too_long(self._encoder, self._records) == OWNER_NEEDED:
                self._attend(connection)
        elif passed and state in _ARRIVING:
            self._refuse(connection, RequestRefused(408, TOO_SLOW))
        elif passed and state != RUNNING:
            self.close_connection(connection)
        if connection.state != CLOSED:
            self._wheel.file(connection, self.now)

    # Accepting and stopping ---------------------------------------------------------------------

    def admit(self, sock: socket.socket, address: object, listener: Listener) -> None:
        """Takes over a client's socket that has just been accepted."""
        sock.setblocking(False)
        channel = listener.channel(sock)
        connection = Connection(channel, peer_name(sock, address), listener, self, self.now)
        self.connections[connection.fd] = connection
        self._watch(connection)
        self._wheel.file(connection, self.now)

    def _begin_drain(self) -> None:
        self._admission.end()
        self._drain_begun = True
        for connection in self.connections.values():
            connection.draining = connection.kick_wanted = True
            self._hurry(connection)

    def _hurry(self, connection: Connection) -> None:
        if connection.hurry(self.now):
            self._wheel.file(connection, self.now)

    def _close_everything(self) -> None:
        for connection in list(self.connections.values()):
            self.close_connection(connection)
