"""The two lanes together: which one an exchange goes to, and how many may be on their way at once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from siphon.config.cpus import usable_cpus
from siphon.journal import journal
from siphon.threads.access import AccessLines
from siphon.threads.batch import Batch, deal
from siphon.threads.blocking import BlockingLane
from siphon.threads.loops import LoopWorker, start_loops
from siphon.threads.records import Records
from siphon.threads.room import Room

if TYPE_CHECKING:
    from siphon.config.settings import ThreadSettings
    from siphon.threads.connection import Owner
    from siphon.threads.exchange import Exchange
    from siphon.threads.tally import Tally


class Lanes:
    """Every worker of the process. Any thread may call any method; ``_lock`` guards ``_room`` alone."""

    def __init__(
        self, settings: ThreadSettings, *, access_log: bool, dev: bool, tally: Tally | None = None
    ) -> None:
        self._settings = settings
        self._access_log = access_log
        self.dev = dev
        # Where answers are counted; None where nobody asks for the counts.
        self.tally = tally
        self.blocking = BlockingLane(
            settings.blocking_min,
            settings.blocking_max,
            settings.blocking_queue_max,
            self.new_records,
            runners=usable_cpus(),
        )
        self.loops: tuple[LoopWorker, ...] = ()
        self._lock = threading.Lock()
        self._room = Room(self._count_room)

    def start(self, *, blocking: bool) -> None:
        """Starts the loops, and the first blocking workers where ``blocking``; raises StartError.

        Without, there is a worker once there is something to do for it: each takes 90 KiB.
        """
        self.loops = tuple(start_loops(self._settings.loops, self.new_records))
        if blocking:
            self.blocking.start()

    def new_records(self) -> Records:
        """What one more thread that answers is to record."""
        cells = self.tally.new_cells() if self.tally is not None else None
        return Records(cells, AccessLines(journal) if self._access_log else None)

    def settle(self) -> None:
        """Records what threads that do not end had noted when they got stuck. After the stop."""
        for records in [
            *[loop.records for loop in self.loops],
            *[one.records for one in self.blocking.workers],
        ]:
            records.settle()

    @property
    def max_in_flight(self) -> int:
        """How many requests may wait or run at once."""
        return self._settings.max_in_flight

    def in_flight(self) -> int:
        """Requests that wait or run on either lane; a slot is free when its work has ended."""
        on_workers = self.blocking.load  # first: what moves on to a loop meanwhile is counted twice
        return on_workers + sum([worker.load for worker in self.loops])

    def least_loaded(self) -> LoopWorker:
        """The loop with the least to do."""
        return min(self.loops, key=_load)

    def submit(self, owner: Owner, for_loops: list[Exchange], for_workers: list[Exchange]) -> list[Exchange]:
        """Hands over one turn's exchanges: one wake-up a lane. Returns what the bounds leave out.

        ``owner``: the acceptor that calls, and has made them.
        """
        refused = self._submit_to_loops(owner, for_loops, for_workers)
        if for_workers:
            refused += self.blocking.submit(for_workers, owner)
        return refused

    def submit_from_loop(self, for_loops: list[Exchange], for_workers: list[Exchange]) -> list[Exchange]:
        """As ``submit`` for what a loop's own thread has read, which is to ``begin`` what is for loops.

        That is what is left of ``for_loops`` then. Sync ones are queued: a loop does not come by to look.
        """
        refused = self._leave_out(for_loops, for_workers)
        if for_workers:
            refused += self.blocking.submit(for_workers)
        return refused

    def submit_from_runner(
        self, owner: Owner, for_loops: list[Exchange], for_workers: list[Exchange]
    ) -> list[Exchange]:
        """As ``submit`` for what a runner of the blocking lane has read, which runs what is for workers.

        That is what is left of ``for_workers`` then. ``owner``: its reader.
        """
        refused = self._submit_to_loops(owner, for_loops, for_workers)
        if for_workers:
            refused += self.blocking.admit(for_workers)
        return refused

    def _count_room(self) -> int:
        return self._settings.max_in_flight - self.in_flight()

    def take_place(self) -> None:
        """Takes room for a visit that goes on although its exchange does not wait for it any more."""
        with self._lock:
            self._room.take(1)

    def _leave_out(self, for_loops: list[Exchange], for_workers: list[Exchange]) -> list[Exchange]:
        """Takes out of both what would be more than ``max_in_flight``, and returns it."""
        wanted = len(for_loops) + len(for_workers)
        if not wanted:
            return []
        with self._lock:
            room = self._room.take(wanted)
        refused: list[Exchange] = []
        if room < wanted:
            refused += for_loops[room:]
            del for_loops[room:]
            left = room - len(for_loops)
            refused += for_workers[left:]
            del for_workers[left:]
        return refused

    def _submit_to_loops(
        self, owner: Owner, for_loops: list[Exchange], for_workers: list[Exchange]
    ) -> list[Exchange]:
        """Hands over what is for loops, once what is too much is out of both, and returns that."""
        refused = self._leave_out(for_loops, for_workers)
        if for_loops:
            for number, dealt in deal(for_loops, [worker.load for worker in self.loops]):
                worker = self.loops[number]
                for exchange in dealt:
                    exchange.loop_worker = worker
                worker.submit_batch(Batch(owner, dealt))
        return refused

    def move_to_loop(self, exchange: Exchange, turn: int) -> bool:
        """Hands an exchange from its blocking worker to a loop; False where it has ended meanwhile.

        ``turn``: the worker's own count. Workers deal their exchanges out in turn: to ask every loop for
        its load each time would have them all read what the loops keep writing.
        """
        with exchange.connection.lock:
            if exchange.ended:
                return False
            if exchange.loop_worker is None:
                exchange.loop_worker = self.loops[turn % len(self.loops)]
            worker = exchange.loop_worker
        worker.submit([exchange])
        return True


def _load(worker: LoopWorker) -> int:
    return worker.load
