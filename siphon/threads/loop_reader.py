"""The reader on a loop, whose own thread reads the requests that it runs."""

from __future__ import annotations

import threading
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Final

from siphon.threads.reader import Reader

if TYPE_CHECKING:
    from asyncio import TimerHandle

    from siphon.threads.acceptor import Acceptor
    from siphon.threads.connection import Connection
    from siphon.threads.exchange import Exchange
    from siphon.threads.loops import LoopWorker

# A quick exchange takes less, whatever it has to wait for.
_QUICK_S: Final = 0.0003


class LoopReader(Reader):
    """Reads the connections that an acceptor has lent to a loop, in turns that the loop takes.

    Whoever holds ``turn`` owns the connections: the loop's thread while it reads, but not while it runs
    what it has read, or the acceptor, which lends and recalls. The loop alone counts its ``turns``, the
    exchanges that it has ``begun`` in them, and for how long such turns have ``held`` it ``_s`` that took
    longer than those of quick exchanges do; any thread may look.
    """

    def __init__(self, acceptor: Acceptor, worker: LoopWorker) -> None:
        super().__init__(acceptor.lanes, worker.records, worker.encoder)
        self._acceptor = acceptor
        self._worker = worker
        self.turn = threading.Lock()
        self.turns = self.begun = 0
        self.held_s = 0.0
        # So many connections go back to the acceptor, those that are active first. Of who holds ``turn``.
        self._surplus = 0
        # The loop's own.
        self._timer: TimerHandle | None = None

    @property
    def fd(self) -> int:
        """Readable when something is to be done."""
        return self._poller.fileno()

    @property
    def next_due(self) -> float:
        """When a deadline is to be looked at at the earliest. A moment's figure, from any thread."""
        return self._wheel.next_due if self.connections else inf

    def is_ready(self) -> bool:
        """Whether anything is ready to be read or attended to. Any thread."""
        return bool(self._poller.poll(0))

    # The acceptor, which holds ``turn`` ---------------------------------------------------------

    def lend(self, connection: Connection) -> None:
        """Takes a connection that its acceptor has let go of."""
        due = self._wheel.next_due
        self.take(connection)
        if self._wheel.next_due < due:
            self._wakeup.set()  # the loop's timer is for a later deadline

    def shrink_to(self, connections: int) -> None:
        """Has the loop give back those that are more, each with its next request."""
        self._surplus = max(0, len(self.connections) - connections)

    def give_back_all(self) -> list[Connection]:
        """Lets go of every connection; returns them. Who is kicked for one meanwhile may stay so for long."""
        self._surplus = 0
        connections = list(self.connections.values())
        for connection in connections:
            self.let_go(connection)
        return connections

    def take_exchanges(self) -> tuple[list[Exchange], list[Exchange]]:
        """What it has read and not begun: for loops, and for workers."""
        for_loops, self._for_loops = self._for_loops, []
        for_workers, self._for_workers = self._for_workers, []
        return for_loops, for_workers

    # The loop's thread --------------------------------------------------------------------------

    def on_loop(self, worker: LoopWorker) -> None:
        """Begins to watch, on the loop's own thread."""
        worker.loop.add_reader(self.fd, self._on_ready)

    def _on_ready(self) -> None:
        """Takes a turn. One at a time: whatever has come meanwhile, the loop's tasks have theirs first."""
        exchanges = self._read_what_is_ready()
        if exchanges:
            self.begun += len(exchanges)
            self._worker.begin(exchanges)
            held_s = monotonic() - self.now - len(exchanges) * _QUICK_S
            if held_s > 0.0:
                self.held_s += held_s

    def _read_what_is_ready(self) -> list[Exchange]:
        """A turn's share, those that the lanes have room for."""
        try:
            with self.turn:
                self.turns += 1
                self._look_around(0)
                for_loops, for_workers = self.take_exchanges()
                self._shed(self.lanes.submit_beside(for_loops, for_workers))
                for exchange in for_workers:
                    self._give_back(exchange.connection)
                if self._surplus:
                    self._give_back_surplus(for_loops)
                if self._for_loops or self._for_workers:
                    self._wakeup.set()  # refusals have let pipelined requests go ahead
                self._set_timer()
        except BaseException as error:
            self._acceptor.fail(error)
            raise
        return for_loops

    def _give_back(self, connection: Connection) -> None:
        """Has the acceptor take a connection whose request is none for a loop."""
        if self.owns(connection):
            self.let_go(connection)
            connection.owner = self._acceptor
            connection.kick_owner()

    def _give_back_surplus(self, exchanges: list[Exchange]) -> None:
        given = exchanges[: self._surplus]
        self._surplus -= len(given)
        for exchange in given:
            self._give_back(exchange.connection)

    def _set_timer(self) -> None:
        due = self._wheel.next_due
        timer = self._timer
        if timer is not None and (timer.when() > due or timer.when() <= self.now):
            timer.cancel()
            timer = None
        if timer is None and due != inf:
            timer = self._worker.loop.call_at(due, self._on_ready)
        self._timer = timer
