"""The blocking lane: one inbox, a stack of parked workers, and one of them being woken at a time."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections import deque
from queue import SimpleQueue
from time import monotonic, thread_time
from typing import TYPE_CHECKING, Final

from siphon.journal import journal
from siphon.threads.records import Records
from siphon.wire.encode import Encoder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from siphon.threads.exchange import Exchange
    from siphon.threads.held import Visit
    from siphon.threads.hooks import HookRun

type Item = Exchange | Visit | HookRun


class BlockingLane:
    """Runs sync work on elastic threads, from ``minimum`` to ``maximum`` of them.

    Any thread may submit. Whoever adds work wakes at most one worker; a worker that takes an item and
    leaves others wakes (or starts) the next one before it enters user code. So a batch costs its
    submitter one wake-up, and no sleeper waits behind another.

    ``_lock`` guards the stack of parked workers, the waking flag, the list of workers and
    ``_submitted``. Items are added under it and taken without it, off a deque, whose ends are
    thread-safe: with the lock around every take, workers spent a tenth of their time contending for
    it. A worker is parked only under the lock and with the inbox empty, so none sleeps beside work.
    """

    def __init__(
        self, minimum: int, maximum: int, queue_max: int, new_records: Callable[[], Records] = Records
    ) -> None:
        # What its threads are called, before their number.
        self.name = "siphon-blocking"
        self._new_records = new_records
        self._maximum = maximum
        self._minimum = minimum
        self._queue_max = queue_max
        self._lock = threading.Lock()
        self._inbox: deque[Item] = deque()
        self._parked: list[BlockingWorker] = []
        self._workers: list[BlockingWorker] = []
        # A worker has been woken or started and has not come to the inbox yet: it will see what is there.
        self._waking = False
        self._stopping = False
        self._submitted = 0
        self._submitted_exchanges = 0

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
            self._submitted += len(taken)
            self._submitted_exchanges += len(taken)
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
            self._submitted += 1
            worker = self._next_to_wake()
        if worker is not None:
            self._wake(worker)

    def submit_visit(self, visit: Visit) -> bool:
        """Queues one visit of an exchange that runs on a loop; False where the queue is full."""
        with self._lock:
            if not self._room():
                return False
            self._inbox.append(visit)
            self._submitted += 1
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
            worker.gate.put(None)

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
        """Items that no worker has taken yet. A moment's figure."""
        return len(self._inbox)

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

    def serve(self, worker: BlockingWorker) -> None:
        """Gives ``worker`` one item after the other until the lane stops. The worker's own thread."""
        # Looked up once: who looks up what all workers share writes to its count, as they all do.
        inbox = self._inbox
        take = inbox.popleft
        while not worker.stopped:
            if worker.woken:
                with self._lock:
                    worker.woken = False
                    self._waking = False
            try:
                item = take()
            except IndexError:
                if self._park(worker):
                    worker.gate.get()
                continue
            # Where a worker is being woken, it sees what is left when it comes.
            if inbox and not self._waking:
                self._wake_another()
            worker.work(item)
            del item  # or it stays until another comes, and this thread drops it: see Batch

    def _wake_another(self) -> None:
        with self._lock:
            worker = self._next_to_wake()
        if worker is not None:
            self._wake(worker)

    def _park(self, worker: BlockingWorker) -> bool:
        """Has ``worker`` rest until it is woken, unless there is something to do after all."""
        with self._lock:
            if self._inbox:
                return False
            if self._stopping:
                worker.stopped = True
                return False
            self._parked.append(worker)
            return True

    def _room(self) -> int:
        """How many more items may come: ``queue_max`` wait and ``maximum`` run. ``_lock`` is held."""
        finished = sum([worker.finished for worker in self._workers])
        return max(0, self._queue_max + self._maximum - (self._submitted - finished))

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
        worker = BlockingWorker(self, len(self._workers), self._new_records())
        self._workers.append(worker)
        return worker

    def _wake(self, worker: BlockingWorker) -> None:
        if worker.begun:
            worker.gate.put(None)
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


# What takes longer than this may be computing; what has used more processor time than this is.
_LONG_S: Final = 0.002
_LONG_ITEMS: Final = 3
_LOWEST_PRIORITY: Final = 19


class BlockingWorker(threading.Thread):
    """A thread of the blocking lane. ``woken`` is guarded by the lane's lock.

    A worker whose items compute steps back, behind the acceptor and the loops, for the rest of its
    life: only a privileged process may raise a priority again. Beside 8 handlers that each compute for
    5 ms, on two processors, a fast async one then has a p99 of 7 ms instead of 65 ms (measured).
    Workers that only wait, or are quick, keep their priority: lowering all of them would cost a quick
    sync handler a sixth of its throughput.
    """

    def __init__(self, lane: BlockingLane, number: int, records: Records) -> None:
        super().__init__(name=f"{lane.name}-{number}", daemon=True)
        self._lane = lane
        self.encoder = Encoder()
        self.records = records
        self.observes = records.wanted
        # Not a Lock: on 3.13 a taken one is tried 40 times, with a sched_yield each, before it parks.
        self.gate: SimpleQueue[None] = SimpleQueue()
        self.begun = False
        self.woken = False
        self.stopped = False
        # Written by this thread alone: what it is at and since when, for those who look on.
        self.item: Item | None = None
        self.began = 0.0
        self.finished = 0
        self.finished_exchanges = 0
        # Long items in a row that computed. Only Linux gives a thread a priority of its own.
        self._long_items = 0
        self._may_step_back = sys.platform.startswith("linux")

    def start(self) -> None:
        self.begun = True
        super().start()

    def run(self) -> None:
        self._lane.serve(self)

    def work(self, item: Item) -> None:
        """Works on ``item``. This thread alone."""
        self.began = began = monotonic()
        self.item = item
        long_items = self._long_items
        # The processor's time costs a system call: it is asked for once an item has been long.
        began_cpu = thread_time() if long_items else 0.0
        try:
            item.on_worker(self)
        except Exception as error:  # noqa: BLE001 - user code's errors are caught where they arise
            journal.log("error", f"a bug in siphon: {''.join(traceback.format_exception(error)).rstrip()}")
        self.item = None
        self.finished += 1
        self.finished_exchanges += item.counted
        if monotonic() - began > _LONG_S:
            if self._may_step_back:
                self._note_long_item(began_cpu)
        elif long_items:
            self._long_items = 0

    def _note_long_item(self, began_cpu: float) -> None:
        if self._long_items and thread_time() - began_cpu < _LONG_S:
            self._long_items = 0
            return
        # Several in a row: a single one may have had a garbage collection to do.
        self._long_items += 1
        if self._long_items > _LONG_ITEMS:
            self._long_items = 0
            self._may_step_back = False
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)
