"""What one thread records of the answers it gives: counts, and lines of the access log."""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from siphon.threads.access import AccessLines
    from siphon.threads.exchange import Exchange
    from siphon.threads.tally import Cells


class Records:
    """A thread's own; its cells are None where nobody asks for counts, its lines where nothing is logged.

    An answer is noted when it is given, and settled with those of the same batch: what that takes is
    looked up once for all of them.
    """

    __slots__ = ("_lock", "_noted", "cells", "lines", "wanted")

    def __init__(self, cells: Cells | None = None, lines: AccessLines | None = None) -> None:
        self.cells = cells
        self.lines = lines
        # Whether anything is to be done about an exchange that has been answered.
        self.wanted = cells is not None or lines is not None
        # For settle, since cells and lines are for one: whoever gives up a stuck thread settles what it has.
        self._lock = threading.Lock()
        self._noted: list[Noted] = []

    def note(self, exchange: Exchange, status: int, body_bytes: int) -> None:
        """Notes what became of ``exchange``, until ``settle``. Once, by whoever has claimed it."""
        self._noted.append((exchange, status, body_bytes, monotonic()))

    def settle(self) -> None:
        """Puts the lines of what has been noted into the access log, and counts it.

        The thread itself, before it lets go of the exchanges, or whoever gives it up.
        """
        noted, cells, lines = self._noted, self.cells, self.lines
        with self._lock:
            taken = noted[:]
            # No more than that: what is noted meanwhile stays.
            del noted[: len(taken)]
            # Lines first: who finds an answer counted finds it in the log as well.
            if lines is not None and taken:
                lines.add_exchanges(taken)
            if cells is not None:
                for exchange, status, _, ended in taken:
                    # The method by its place, see RequestHead.
                    seconds = ended - exchange.started
                    cells.answered(exchange.chain.pattern, exchange.head[0], status, seconds)

    def record(self, exchange: Exchange, status: int, body_bytes: int) -> None:
        """Notes what became of ``exchange`` and settles it at once."""
        if self.wanted:
            self.note(exchange, status, body_bytes)
            self.settle()

    def count_late(self) -> None:
        """Counts an answer that came when somebody else had answered, or the client had gone."""
        if self.cells is not None:
            self.cells.late += 1

    def count_shed(self) -> None:
        """Counts a request that was refused because the lanes were full."""
        if self.cells is not None:
            self.cells.shed += 1


type Noted = tuple[Exchange, int, int, float]
"""An exchange, the status and the size of its answer, and when that was given, in monotonic seconds."""
