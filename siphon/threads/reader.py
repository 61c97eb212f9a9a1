"""Who reads connections: their bytes, deadlines, refusals and ends. It calls no handler."""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING, Final

from siphon.errors import OtherProtocol, RequestRefused
from siphon.messages import plain
from siphon.threads.connection import OWNER_NEEDED, TOO_SLOW, Connection
from siphon.threads.exchange import Exchange
from siphon.threads.poller import READABLE, WRITABLE, make_poller
from siphon.threads.wheel import Wheel
from siphon.wakeup import Wakeup
from siphon.wire.states import BODY, CLOSED, HEAD, IDLE, LINGERING, RUNNING, SENDING

if TYPE_CHECKING:
    from siphon.threads.batch import Batch
    from siphon.threads.lanes import Lanes
    from siphon.threads.records import Records
    from siphon.threads.tally import Fault
    from siphon.wire.encode import Encoder

# What a client that speaks TLS understands: a fatal alert, "protocol version" (RFC 8446 section 6).
_ALERT: Final = b"\x15\x03\x01\x00\x02\x02\x46"
_BEING_ANSWERED: Final = frozenset({RUNNING, SENDING})
_ARRIVING: Final = frozenset({HEAD, BODY})


class Reader:
    """A selector and its connections: reads requests, keeps the deadlines, flushes and closes.

    What it has read is for whoever takes its turns, an acceptor's thread or a loop's: the only one that
    touches its connections. Other threads call ``kick`` and ``take_back``. ``_lock`` guards what they
    leave: ``_kicked`` and ``_woken``.
    """

    draining = False
    """No connection is kept after its answer any more."""
    aborting = False
    """The work of connections that are closed is ended, whatever their routes say."""
    hands_over_singly = False
    """Each sync request that was read is handed over before the next is read."""

    def __init__(self, lanes: Lanes, records: Records, encoder: Encoder) -> None:
        """``records``, ``encoder``: those of the thread that takes the turns."""
        self.lanes = lanes
        self._records = records
        self._encoder = encoder
        self._lock = threading.Lock()
        self._kicked: list[Connection] = []
        self._woken = False
        # Of the thread whose turn it is.
        self._poller = make_poller()
        self._poll = self._poller.poll
        self._wakeup = Wakeup()
        self.connections: dict[int, Connection] = {}
        self.now = monotonic()
        self._wheel = Wheel(self.now)
        self._taken_back: list[Batch | Exchange] = []  # filled by other threads
        self._for_loops: list[Exchange] = []
        self._for_workers: list[Exchange] = []
        self._poller.register(self._wakeup.fd)

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

    def close(self) -> None:
        """Lets go of the descriptors, once its thread has ended and no worker can kick any more."""
        self._poller.close()
        self._wakeup.close()

    # A turn ------------------------------------------------------------------------------------

    def _look_around(self, timeout_s: float | None) -> None:
        """Waits for what is ready and attends to it."""
        self._attend_to(self._poll(timeout_s))

    def _attend_to(self, events: list[tuple[int, int]]) -> None:
        """Reads what is ready, and keeps the deadlines: requests are for the lanes then."""
        self.now = now = monotonic()
        # Dropped with this frame: whoever gives something back would wait for a list that drops what it has.
        back = self._taken_back[:]
        del self._taken_back[: len(back)]
        connections, read, readable = self.connections, self._read, READABLE
        singly = self.hands_over_singly
        for fd, mask in events:
            if fd in connections:
                connection = connections[fd]
                if mask != readable and mask & WRITABLE and connection.state == SENDING:
                    self._flush(connection)
                else:
                    read(connection)
                    if singly and self._for_workers:
                        self._hand_over()
            elif fd == self._wakeup.fd:
                self._wakeup.clear()
                self._attend_kicked()
            else:
                self._on_other(fd)
        if now >= self._wheel.next_due:
            for connection in self._wheel.due(now):
                self._look_at_deadline(connection)

    def _hand_over(self) -> None:
        """Hands what has been read to the lanes."""

    def _on_other(self, fd: int) -> None:
        """Something is ready that is no connection of its own."""

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
        """Goes on with the request that is arriving; the connection is this thread's."""
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
        connection.requests_left = left = connection.requests_left - 1
        if left <= 0:
            connection.draining = True
        body = b""
        if not incoming.is_empty:
            body = incoming.take_body()
            if incoming.buffer or not connection.reading:
                connection.kick_wanted = True
        connection.exchange = exchange = Exchange(connection, head, body, chain, path_params, now)
        # Nobody else knows the exchange yet, so none of this needs the lock.
        connection.state = RUNNING  # as after DISPATCHED: it was this thread's, and no answer awaited
        if chain.first_is_async:
            if connection.streak < 0:
                connection.streak = 0
            self._for_loops.append(exchange)
        else:
            if connection.streak > 0:
                connection.streak = 0
            self._for_workers.append(exchange)

    def _await_rest(self, connection: Connection) -> None:
        """The request is not whole: moves its deadline."""
        if connection.incoming.in_body:
            connection.body_arrives(self.now)
        elif connection.state == IDLE and connection.incoming.begun:
            connection.head_begins(self.now)

    # Answers of its own ------------------------------------------------------------------------

    def _refuse(self, connection: Connection, error: RequestRefused, method: str = "") -> None:
        """Answers what is no valid request, and reads nothing that follows as one."""
        if isinstance(error, OtherProtocol):
            self._count_turned_away(connection, "tls")
            self._turn_away(connection, _ALERT, error.reason)
            return
        if connection.refuse(error, self._encoder, self._records, method) == OWNER_NEEDED:
            self._attend(connection)

    def _shed(self, exchanges: list[Exchange]) -> None:
        """Answers requests for which there is no room on the lanes."""
        for exchange in exchanges:
            exchange.release_body()
            self._records.count_shed()
            response = plain(503, "over capacity\n", ("Retry-After", "1"))
            if exchange.overrule(response, self._encoder, self._records) != OWNER_NEEDED:
                continue
            if self.owns(exchange.connection):
                self._attend(exchange.connection)
            else:  # given back when the request before it was refused
                exchange.connection.kick_owner()

    def _turn_away(self, connection: Connection, data: bytes, why: str) -> None:
        """Ends a connection that does not speak this listener's protocol; ``data`` says so in its own."""
        connection.listener.log_once(why, connection.peer)
        connection.incoming.discard()
        if connection.answer(None, data, False, self.now) == OWNER_NEEDED:
            self._attend(connection)

    def _count_turned_away(self, connection: Connection, fault: Fault) -> None:
        if self._records.cells is not None:
            self._records.cells.turned_away(str(connection.listener.settings.listen), fault)

    # Kicks: what a worker left to do -----------------------------------------------------------

    def _attend_kicked(self) -> None:
        for connection in self._take_kicked():
            if self.owns(connection):
                self._attend(connection)
            elif connection.state != CLOSED:
                self._attend_strange(connection)

    def _take_kicked(self) -> list[Connection]:
        with self._lock:
            kicked, self._kicked = self._kicked, []
            self._woken = False
        return kicked

    def _attend_strange(self, connection: Connection) -> None:
        """It was kicked for a connection that has changed its owner meanwhile."""
        connection.kick_owner()

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

    def _hurry(self, connection: Connection) -> None:
        if connection.hurry(self.now):
            self._wheel.file(connection, self.now)

    # Coming and going --------------------------------------------------------------------------

    def owns(self, connection: Connection) -> bool:
        """Whether it is open, and this one's. Whoever takes the turns."""
        return self.connections.get(connection.fd) is connection

    def take(self, connection: Connection) -> None:
        """Becomes the owner of ``connection``."""
        connection.owner = self
        self.connections[connection.fd] = connection
        self._watch(connection)
        with connection.lock:
            connection.settle()
        self._wheel.file(connection, monotonic())

    def let_go(self, connection: Connection) -> None:
        """Is the owner of ``connection`` no more, for another to take it."""
        self._forget(connection)
        del self.connections[connection.fd]
        self._wheel.remove(connection)

    # Ends --------------------------------------------------------------------------------------

    def _end_of_input(self, connection: Connection) -> None:
        """The client has sent FIN. It may have half-closed: what had arrived whole is still answered."""
        with connection.lock:
            connection.end_of_input = connection.kick_wanted = True
            state = connection.state
            exchange = connection.exchange
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
            exchange.cut_short(self._records, cancel=self.aborting)

    def _look_at_deadline(self, connection: Connection) -> None:
        """The connection's slot has come up: acts where its deadline has passed, else files it again."""
        with connection.lock:
            state = connection.state
            exchange = connection.exchange
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
