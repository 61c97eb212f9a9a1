"""Who works on the blocking lane, and the accounts of what they were given and have done."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Final

from siphon.errors import StartError
from siphon.journal import journal
from siphon.threads.room import Room

if TYPE_CHECKING:
    from siphon.threads.blocking_worker import BlockingWorker, Item

# For so long no more workers are started where the system has had no thread or descriptor for one.
_PAUSE_S: Final = 1.0


class Staff(ABC):
    """The workers of a lane, from ``minimum`` to ``maximum`` of them, and their figures.

    ``_lock`` guards the list of workers and what was submitted; what is finished the workers count.
    """

    def __init__(self, minimum: int, maximum: int, queue_max: int) -> None:
        self._minimum = minimum
        self._maximum = maximum
        self._queue_max = queue_max
        self._lock = threading.Lock()
        self._inbox: deque[Item] = deque()
        self._workers: list[BlockingWorker] = []
        self._submitted = 0
        self._submitted_exchanges = 0
        # How many more items may come; ``_lock`` is held.
        self._room = Room(self._count_room)
        self._paused_until = 0.0

    def start(self) -> None:
        """Starts the workers that are there from the beginning; raises StartError."""
        with self._lock:
            fresh = [self._add_worker() for _ in range(self._minimum)]
        try:
            for worker in fresh:
                worker.start()
        except (RuntimeError, OSError) as error:
            raise StartError(f"cannot start {self._minimum} blocking workers: {error}") from error

    def join(self, timeout_s: float) -> bool:
        """Waits for the workers to end; False where one is still at user code after ``timeout_s``."""
        with self._lock:
            workers = list(self._workers)
        deadline = monotonic() + timeout_s
        for worker in workers:
            worker.join(max(0.0, deadline - monotonic()))
        return not any(worker.is_alive() for worker in workers)

    @property
    def workers(self) -> list[BlockingWorker]:
        """The workers that there are."""
        with self._lock:
            return self._workers.copy()

    @property
    def size(self) -> int:
        """How many workers there are."""
        return len(self.workers)

    @property
    def maximum(self) -> int:
        """How many workers there may be."""
        with self._lock:
            return self._maximum

    @property
    def waiting(self) -> int:
        """Items that no worker has begun yet. A moment's figure."""
        return len(self._inbox) + sum([worker.waiting for worker in self.workers])

    @property
    def finished(self) -> int:
        """Items that have been worked on since the start. A moment's figure."""
        return sum([worker.finished for worker in self.workers])

    @property
    def unfinished(self) -> int:
        """Items that wait or are being worked on. A moment's figure."""
        with self._lock:
            return self._submitted - sum([worker.finished for worker in self._workers])

    @property
    def load(self) -> int:
        """Exchanges that wait or run here; visits count on their loop. A moment's figure, from any thread."""
        if not self._submitted_exchanges:
            return 0  # in a script that is all async; asked in each turn of an acceptor
        return self._submitted_exchanges - sum([worker.finished_exchanges for worker in self._workers])

    def _take_in(self, exchanges: int) -> int:
        """How many of so many exchanges there is room for; they count as submitted. ``_lock`` is held."""
        room = self._room.take(exchanges)
        self._submitted += room
        self._submitted_exchanges += room
        return room

    def _count_room(self) -> int:
        """``queue_max`` items wait and ``maximum`` run. ``_lock`` is held."""
        finished = sum([worker.finished for worker in self._workers])
        return self._queue_max + self._maximum - (self._submitted - finished)

    def _go_on_without(self, worker: BlockingWorker, error: Exception) -> None:
        """The system has had no thread or descriptor for ``worker``: the others go on with the inbox."""
        with self._lock:
            self._workers.remove(worker)
            self._paused_until = monotonic() + _PAUSE_S
            others = len(self._workers)
        journal.log("error", f"a blocking worker could not be started ({error}); going on with {others}")

    def _may_grow(self) -> bool:
        return len(self._workers) < self._maximum and monotonic() >= self._paused_until

    @abstractmethod
    def _add_worker(self) -> BlockingWorker:
        """Makes one more; ``_lock`` is held."""
