"""The acceptor: a thread that accepts, and reads what it has accepted. It never calls a handler."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from siphon.daemon import Daemon
from siphon.threads.admission import Admission
from siphon.threads.connection import Connection, peer_name
from siphon.threads.lending import Lending, LoopLending, RunnerLending
from siphon.threads.priority import serving
from siphon.threads.reader import Reader
from siphon.wire.encode import Encoder

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from siphon.threads.lanes import Lanes
    from siphon.threads.lent_reader import LentReader
    from siphon.threads.listener import Listener

# How long it lets requests come together while processors have enough to compute. To read each when it comes
# takes a processor from who computes, 70 to 95 us instead of 35 to 50: 1.04 times the throughput (measured).
_PAUSE_S: Final = 0.001
_HAND_OVERS_A_TURN: Final = 16  # a refusal lets the next pipelined request go ahead: a row must end


class Acceptor(Reader, Daemon):
    """A thread with a selector, and the connections it has accepted; it may lend them to who answers them.

    Other threads call ``kick``, ``take_back``, ``drain``, ``abort`` and ``fail``. ``_lock`` guards what
    they leave: ``_kicked``, ``_woken``, ``aborting``, ``draining``, ``_failure``.
    """

    kind = "acceptor"
    # A turn's share: they are accepted faster than anything else is done.
    accepts_a_turn = 128
    lends = True

    def __init__(
        self, number: int, listeners: list[Listener], lanes: Lanes, drained: Callable[[Acceptor], None]
    ) -> None:
        Daemon.__init__(self, f"siphon-{self.kind}-{number}")
        Reader.__init__(self, lanes, lanes.new_records(), Encoder())
        self._drained = drained
        self._failure: BaseException | None = None
        # This thread's own.
        self._drain_begun = False
        self._look_at = inf  # for blocking workers that do not go on
        self._computing = lanes.blocking.computing
        self._admission = Admission(self, listeners, self._poller)
        # Each acceptor has another loop read first.
        first = number % max(1, len(lanes.loops))
        loops = (*lanes.loops[first:], *lanes.loops[:first])
        self._lendings: tuple[Lending, ...] = ()
        if self.lends:
            self._lendings = (
                LoopLending(self, loops, self._poller),
                RunnerLending(self, lanes.blocking, self._poller),
            )

    # Any thread --------------------------------------------------------------------------------

    def drain(self) -> None:
        """Stops accepting, closes what is idle, and ends the thread when the last connection has gone."""
        with self._lock:
            self.draining = True
            self._woken = True
        self._wakeup.set()

    def abort(self) -> None:
        """Cancels what is still on its way and closes every connection. After ``drain``."""
        with self._lock:
            self.aborting = True
            self._woken = True
        self._wakeup.set()

    def fail(self, error: BaseException) -> None:
        """Ends the thread with ``error``, which another has met while it read connections of this."""
        with self._lock:
            self._failure = error
            self._woken = True
        self._wakeup.set()

    def close(self) -> None:
        """Lets go of the descriptors, once the thread has ended and no worker can kick any more."""
        for lending in self._lendings:
            lending.close()
        Reader.close(self)

    # The loop ----------------------------------------------------------------------------------

    def run(self) -> None:
        try:
            with serving.thread():
                while not (self._drain_begun and not self.connections):
                    self._turn()
        finally:
            self._drained(self)

    def _turn(self) -> None:
        if self.lends and self._computing.has_plenty:  # over TLS answers would wait for it as well
            self._wakeup.wait(_PAUSE_S)
        next_due = min(self._wheel.next_due, self._admission.resume_at, self._look_at)
        for lending in self._lendings:
            next_due = min(next_due, lending.look_at)
        self._look_around(None if next_due == inf else max(0.0, next_due - self.now))
        now = self.now
        if now >= self._admission.resume_at:
            self._admission.resume()
        if now >= self._look_at:
            self._look_at = self.lanes.blocking.look(now)
        for lending in self._lendings:
            if now >= lending.look_at:
                lending.look(now)
        for _ in range(_HAND_OVERS_A_TURN):
            if not (self._for_loops or self._for_workers):
                break
            self._hand_over()
        else:
            self._wakeup.set()

    def _on_other(self, fd: int) -> None:
        for lending in self._lendings:
            if lending.awaken(fd, self.now):
                return
        self._admission.accept(fd)

    def _hand_over(self) -> None:
        for_loops, self._for_loops = self._for_loops, []
        for_workers, self._for_workers = self._for_workers, []
        for lending in self._lendings:
            lending.lend(for_loops, for_workers)
        self._shed(self.lanes.submit(self, for_loops, for_workers))
        if for_workers:
            # Handlers that wait and begin together end together, so their clients ask together again: with 64
            # that sleep for 20 ms 0.95 as many answers, for 0.85 of the processor's time (measured).
            self.hands_over_singly = not self.lanes.blocking.pace.is_quick()
        self._look_at = min(self._look_at, self.lanes.blocking.look_at)

    def _attend_kicked(self) -> None:
        super()._attend_kicked()
        if self._failure is not None:
            raise self._failure
        if self.draining and not self._drain_begun:
            self._begin_drain()
        if self.aborting:
            self._close_everything()

    def _attend_strange(self, connection: Connection) -> None:
        if connection.owner is not self:
            connection.kick_owner()
        else:  # another has let go of it
            self.take(connection)
            self._attend(connection)

    # Accepting and stopping --------------------------------------------------------------------

    def admit(self, sock: socket.socket, address: object, listener: Listener) -> None:
        """Takes over a client's socket that has just been accepted."""
        sock.setblocking(False)
        channel = listener.channel(sock)
        self.take(Connection(channel, peer_name(sock, address), listener, self, self.now))

    def take_back_from(self, reader: LentReader) -> None:
        """Takes over all that another reads, and what was to be run there; the caller has its ``turn``."""
        for connection in reader.give_back_all():
            self.take(connection)
            self._attend(connection)  # a kick may wait for a thread that does not come round
        for_loops, for_workers = reader.take_exchanges()
        self._for_loops += for_loops
        self._for_workers += for_workers

    def recall(self) -> None:
        """Has every connection here that is lent."""
        for lending in self._lendings:
            lending.recall(self.now)

    def _begin_drain(self) -> None:
        for lending in self._lendings:
            lending.end()
        super()._attend_kicked()  # who was on the way back
        self._admission.end()
        self._drain_begun = True
        for connection in self.connections.values():
            connection.draining = connection.kick_wanted = True
            self._hurry(connection)

    def _close_everything(self) -> None:
        for connection in list(self.connections.values()):
            self.close_connection(connection)
