"""The reader on a loop, whose own thread reads the requests that it runs."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from siphon.threads.lent_reader import LentReader

if TYPE_CHECKING:
    from asyncio import TimerHandle

    from siphon.threads.acceptor import Acceptor
    from siphon.threads.exchange import Exchange
    from siphon.threads.loops import LoopWorker


class LoopReader(LentReader):
    """Reads the connections that are lent to a loop, when its selector finds them ready."""

    def __init__(self, acceptor: Acceptor, worker: LoopWorker) -> None:
        super().__init__(acceptor, worker.records, worker.encoder)
        self._worker = worker
        # The loop's own: what has it look at deadlines, and when.
        self._timer: TimerHandle | None = None
        self._timer_due = inf

    def on_loop(self, worker: LoopWorker) -> None:
        """Begins to watch, on the loop's own thread."""
        worker.loop.add_reader(self.fd, self._on_ready)

    def _on_ready(self) -> None:
        """Takes a turn. One at a time: whatever has come meanwhile, the loop's tasks have theirs first."""
        exchanges = self._read_what_is_ready()
        if exchanges:
            self.begun += len(exchanges)
            self._worker.begin(exchanges)
            self.count_held(len(exchanges))

    def _read_what_is_ready(self) -> list[Exchange]:
        """A turn's share, those that the lanes have room for."""
        try:
            with self.turn:
                self.turns += 1
                self._look_around(0)
                for_loops, for_workers = self.take_exchanges()
                self._shed(self.lanes.submit_from_loop(for_loops, for_workers))
                self._keep_to(for_loops, for_workers)
                self._set_timer()
        except BaseException as error:
            self._acceptor.fail(error)
            raise
        return for_loops

    def _set_timer(self) -> None:
        due = self._wheel.next_due
        if self.now < self._timer_due <= due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = due
        self._timer = self._worker.loop.call_at(due, self._on_ready) if due != inf else None
