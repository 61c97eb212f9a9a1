"""A reader whose connections are lent: the thread that runs what they ask reads them as well."""

from __future__ import annotations

import threading
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Final

from siphon.threads.reader import Reader

if TYPE_CHECKING:
    from siphon.threads.acceptor import Acceptor
    from siphon.threads.connection import Connection
    from siphon.threads.exchange import Exchange
    from siphon.threads.records import Records
    from siphon.wire.encode import Encoder

# A quick exchange takes less, whatever it has to wait for.
_QUICK_S: Final = 0.0003


class LentReader(Reader):
    """Reads the connections that an acceptor has lent to a loop or a blocking worker, in turns of that.

    Whoever holds ``turn`` owns the connections: the thread that reads, but not while it runs what it has
    read, or the acceptor, which lends and recalls. The thread alone counts its ``turns``, the exchanges
    that it has ``begun`` in them, and for how long such turns have ``held`` it ``_s`` that took longer
    than those of quick exchanges do; any thread may look.
    """

    def __init__(self, acceptor: Acceptor, records: Records, encoder: Encoder) -> None:
        super().__init__(acceptor.lanes, records, encoder)
        self._acceptor = acceptor
        self.turn = threading.Lock()
        self.turns = self.begun = 0
        self.held_s = 0.0
        # The acceptor looks at it from time to time; else it must be told, by what makes ``fd`` readable.
        self.watched = False
        # So many connections go back to the acceptor, those that are active first. Of who holds ``turn``.
        self._surplus = 0

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
            self._wakeup.set()  # the thread waits for a later deadline

    def shrink_to(self, connections: int) -> None:
        """Has the thread give back those that are more, each with its next request."""
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

    # The thread that reads ----------------------------------------------------------------------

    def _keep_to(self, own: list[Exchange], others: list[Exchange]) -> None:
        """Has the acceptor have the connections of ``others``, which are not run here, and any surplus.

        Once ``own`` is what is run here. The thread has its turn.
        """
        for exchange in others:
            self._give_back(exchange.connection)
        if self._surplus:
            given = own[: self._surplus]
            self._surplus -= len(given)
            for exchange in given:
                self._give_back(exchange.connection)
        if self._for_loops or self._for_workers:
            self._wakeup.set()  # refusals have let pipelined requests go ahead

    def _give_back(self, connection: Connection) -> None:
        if self.owns(connection):
            self.let_go(connection)
            connection.owner = self._acceptor
            connection.kick_owner()

    def count_held(self, exchanges: int) -> None:
        """Counts what the turn has taken, now that its ``exchanges`` have been run."""
        held_s = monotonic() - self.now - exchanges * _QUICK_S
        if held_s > 0.0:
            self.held_s += held_s
