"""The blocking lane: one inbox, a stack of parked workers, and one of them being woken at a time."""

from __future__ import annotations

import threading
import traceback
from collections import deque
from typing import TYPE_CHECKING

from siphon.journal import journal
from siphon.wire.encode import Encoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from siphon.threads.exchange import Exchange
    from siphon.threads.held import Visit
    from siphon.threads.hooks import HookRun

type Item = Exchange | Visit | HookRun


class BlockingLane:
    """Runs sync work on elastic threads, from ``minimum`` to ``maximum`` of them.

    Any thread may submit. ``_lock`` guards the inbox, the stack of parked workers, the counts and
    the waking flag. Whoever adds work wakes at most one worker; a worker that takes an item and
    leaves others wakes (or starts) the next one before it enters user code. So a batch costs its
    submitter one wake-up, and no sleeper waits behind another.
    """

    def __init__(self, minimum: int, maximum: int, queue_max: int) -> None:
        self._maximum = maximum
        self._minimum = minimum
        self._queue_max = queue_max
        self._lock = threading.Lock()
        self._inbox: deque[Item] = deque()
        self._parked: list[BlockingWorker] = []
        self._workers: list[BlockingWorker] = []
        # A worker has been woken or started and has not come to the inbox yet.
        self._waking = False
        self._stopping = False
        # Workers that have an item.
        self._at_work = 0
        # Exchanges that wait or run here; visits count on their loop.
        self.load = 0

    def start(self) -> None:
        """Starts the workers that are there from the beginning."""
        with self._lock:
            fresh = [self._add_worker() for _ in range(self._minimum)]
        for worker in fresh:
            worker.start()

    def submit(self, exchanges: Sequence[Exchange]) -> Sequence[Exchange]:
        """Queues a batch and wakes one worker; returns those that the bound on the queue leaves out."""
        with self._lock:
            room = self._room()
            taken = exchanges[:room]
            self._inbox.extend(taken)
            self.load += len(taken)
            worker = self._next_to_wake()
        if worker is not None:
            self._wake(worker)
        return exchanges[room:]

    def submit_hook(self, hook: HookRun) -> None:
        """Queues a hook before everything else, on one more worker where all are at work: it must run."""
        with self._lock:
            if not self._parked:
                self._maximum = max(self._maximum, len(self._workers) + 1)
            self._inbox.appendleft(hook)
            worker = self._next_to_wake()
        if worker is not None:
            self._wake(worker)

    def submit_visit(self, visit: Visit) -> bool:
        """Queues one visit of an exchange that runs on a loop; False where the queue is full."""
        with self._lock:
            if not self._room():
                return False
            self._inbox.append(visit)
            worker = self._next_to_wake()
        if worker is not None:
            self._wake(worker)
        return True

    def stop(self) -> None:
        """Lets every worker end after the item it is at; what waits is not run any more."""
        with self._lock:
            self._stopping = True
            self._inbox.clear()
            parked, self._parked = self._parked, []
        for worker in parked:
            worker.gate.release()

    def join(self, timeout_s: float) -> bool:
        """Waits for the workers to end; False where one is still at user code after ``timeout_s``."""
        with self._lock:
            workers = list(self._workers)
        for worker in workers:
            worker.join(timeout_s)
        return not any(worker.is_alive() for worker in workers)

    @property
    def size(self) -> int:
        """How many workers there are."""
        with self._lock:
            return len(self._workers)

    def take(self, worker: BlockingWorker, done: Item | None) -> Item | None:
        """The next item for ``worker``, or None: it is parked then, or the lane has stopped."""
        with self._lock:
            if done is not None:
                self._at_work -= 1
                self.load -= done.counted
            if worker.woken:
                worker.woken = False
                self._waking = False
            if not self._inbox:
                if self._stopping:
                    worker.stopped = True
                else:
                    self._parked.append(worker)
                return None
            item = self._inbox.popleft()
            self._at_work += 1
            following = self._next_to_wake()
        if following is not None:
            self._wake(following)
        return item

    def _room(self) -> int:
        """How many more items may come; ``_lock`` is held.

        What a worker that is not at work, or not even started, is about to take does not count as waiting.
        """
        return max(0, self._queue_max + self._maximum - self._at_work - len(self._inbox))

    def _next_to_wake(self) -> BlockingWorker | None:
        """Whom to wake for what is in the inbox; ``_lock`` is held."""
        if not self._inbox or self._waking:
            return None
        if self._parked:
            worker = self._parked.pop()
        elif len(self._workers) < self._maximum:
            worker = self._add_worker()
        else:
            return None
        worker.woken = self._waking = True
        return worker

    def _add_worker(self) -> BlockingWorker:
        worker = BlockingWorker(self, len(self._workers))
        self._workers.append(worker)
        return worker

    def _wake(self, worker: BlockingWorker) -> None:
        if worker.begun:
            worker.gate.release()
            return
        try:
            worker.start()
        except RuntimeError as error:
            # The system gives no more threads: those that are there go on with the inbox.
            with self._lock:
                self._workers.remove(worker)
                self._waking = False
                self._maximum = max(1, len(self._workers))
            journal.log(
                "error", f"a blocking worker could not be started ({error}); going on with {self._maximum}"
            )


class BlockingWorker(threading.Thread):
    """A thread of the blocking lane. ``woken`` is guarded by the lane's lock."""

    def __init__(self, lane: BlockingLane, number: int) -> None:
        super().__init__(name=f"siphon-blocking-{number}", daemon=True)
        self._lane = lane
        self.encoder = Encoder()
        self.gate = threading.Lock()
        self.gate.acquire()
        self.begun = False
        self.woken = False
        self.stopped = False

    def start(self) -> None:
        self.begun = True
        super().start()

    def run(self) -> None:
        lane = self._lane
        item: Item | None = None
        while True:
            item = lane.take(self, item)
            if item is not None:
                self._work(item)
            elif self.stopped:
                return
            else:
                self.gate.acquire()

    def _work(self, item: Item) -> None:
        try:
            item.on_worker(self)
        except Exception as error:  # noqa: BLE001 - user code's errors are caught where they arise
            journal.log("error", f"a bug in siphon: {''.join(traceback.format_exception(error)).rstrip()}")
