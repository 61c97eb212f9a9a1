"""The blocking lane: an inbox, a stack of parked workers, and a few workers that are dealt rows."""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Final

from siphon.errors import StartError
from siphon.threads.batch import Batch, deal
from siphon.threads.blocking_worker import GONE, QUEUED, WAKE, BlockingWorker
from siphon.threads.computing import Computing
from siphon.threads.pace import Pace
from siphon.threads.records import Records
from siphon.threads.spent import TELLS_WAITING
from siphon.threads.staff import Staff

if TYPE_CHECKING:
    from collections.abc import Callable

    from siphon.threads.blocking_worker import Item
    from siphon.threads.connection import Owner
    from siphon.threads.exchange import Exchange
    from siphon.threads.held import Visit
    from siphon.threads.hooks import HookRun

LOOK_S: Final = 0.001
"""How long a runner may be at one exchange while others wait in a row that it was dealt."""
# So many workers for one runner: the others are for what waits.
_WORKERS_A_RUNNER: Final = 4


class BlockingLane(Staff):
    """Runs sync work on elastic threads, from ``minimum`` to ``maximum`` of them.

    Any thread may submit. Whoever adds to the inbox wakes at most one worker; a worker that takes an
    item and leaves others wakes (or starts) the next one before it enters user code. So a batch costs
    its submitter one wake-up, and no sleeper waits behind another.

    While exchanges are quick, an acceptor's are dealt out in rows instead, evenly, to ``runners``: as
    many workers as there are processors, each with its own row to run one after the other: no worker
    wakes another, which serves 1.24 times as many (measured). None waits for long behind another, since
    acceptors ``look``: where a runner has not come to the next one, what is left of its row goes to the
    inbox. A runner may be lent connections as well: what it reads itself is a row, too, of which others
    take what is left.

    Once several have turned out to wait, or to compute for long, each goes to a parked worker of its own, or
    to the inbox: 0.9 of the processor's time that waking one another takes (measured). What is known to
    compute begins as others of its kind end: see ``Computing``.

    ``_lock`` guards the stack of parked workers, the runners and the waking flag, too. Items are added under
    it, but by a worker that comes to the inbox next, and taken without it, off a deque or a list, whose ends
    are thread-safe: with the lock around every take, workers spent a tenth of their time contending for it.
    A worker is parked only under the lock and with nothing to do, so none sleeps beside work.
    """

    def __init__(
        self,
        minimum: int,
        maximum: int,
        queue_max: int,
        new_records: Callable[[], Records] = Records,
        *,
        runners: int = 0,
    ) -> None:
        super().__init__(minimum, maximum, queue_max)
        self.name = "siphon-blocking"  # of its threads, before their number
        self._new_records = new_records
        self._parked: list[BlockingWorker] = []
        # A worker has been woken or started and has not come to the inbox yet: it will see what is there.
        self._waking = False
        self._stopping = False
        # None without a way to tell whether they wait.
        self.runners_max = min(runners, maximum // _WORKERS_A_RUNNER) if TELLS_WAITING else 0
        self._runners: tuple[BlockingWorker, ...] = ()
        # Whether there are rows for now: all goes to the inbox once some have turned out to be slow.
        self.pace = Pace()
        self.computing = Computing(max(1, runners))
        self._runners_due = inf
        # When to ``look``, since exchanges may wait behind others; in monotonic seconds, and for acceptors.
        self.look_at = inf

    def submit(self, exchanges: list[Exchange], owner: Owner | None = None) -> list[Exchange]:
        """Queues a batch and wakes whom it takes; returns those that the bound on the queue leaves out.

        ``owner``: the acceptor that calls, and will ``look``; without one nothing is dealt out in rows.
        """
        quick = self.pace.is_quick()
        fresh: list[BlockingWorker] = []
        runners: tuple[BlockingWorker, ...] = ()
        parked: list[BlockingWorker] = []
        with self._lock:
            room = self._take_in(len(exchanges))
            left = exchanges[:room]
            if quick and owner is not None:
                runners = self._present_runners(fresh)
            elif not quick:
                left = self._admit(left) if owner is not None else left
                parked = self._unpark(len(left))
        for worker in fresh:
            self._wake(worker)
        for worker in parked:
            worker.hand(left.pop(0))
        if owner is not None and runners:
            left = self._deal(owner, left, runners)
        if left:
            self._queue(left)
        return exchanges[room:]

    def _admit(self, exchanges: list[Exchange]) -> list[Exchange]:
        """What may begin of them, and of those that wait for a place. ``_lock`` is held."""
        begin = self.computing.admit(exchanges)
        self.look_at = min(self.look_at, self.computing.due)
        return begin

    def admit(self, exchanges: list[Exchange]) -> list[Exchange]:
        """Counts what one of its runners has read to run it itself; takes out what there is no room for."""
        with self._lock:
            room = self._take_in(len(exchanges))
        refused = exchanges[room:]
        if refused:
            del exchanges[room:]
        return refused

    @property
    def runner_without_reader(self) -> BlockingWorker | None:
        """One that could be lent a reader, if there is any. A moment's answer, from any thread."""
        return next((worker for worker in self._runners if worker.reader is None), None)

    def _deal(
        self, owner: Owner, exchanges: list[Exchange], runners: tuple[BlockingWorker, ...]
    ) -> list[Exchange]:
        """Deals ``exchanges`` out to the runners; returns those of runners that are none any more."""
        left: list[Exchange] = []
        some_wait = False
        for number, dealt in deal(exchanges, [worker.load for worker in runners]):
            worker = runners[number]
            verdict = worker.add_row(Batch(owner, dealt))
            if verdict == GONE:
                left += dealt
                continue
            if verdict == WAKE:
                self._wake(worker)
            if verdict == QUEUED or len(dealt) > 1:
                some_wait = True
        if some_wait:
            with self._lock:  # or a look that has not seen them would take it back
                self._runners_due = min(self._runners_due, monotonic() + LOOK_S)
                self.look_at = min(self.look_at, self._runners_due)
        return left

    def _queue(self, exchanges: list[Exchange]) -> None:
        with self._lock:
            self._inbox.extend(exchanges)
        self._wake_another()

    def submit_hook(self, hook: HookRun) -> None:
        """Queues a hook before everything else, on one more worker where all are at work: it must run.

        Raises StartError where there is no worker at all, nor a thread for one.
        """
        with self._lock:
            if not self._parked:
                self._maximum = max(self._maximum, len(self._workers) + 1)
            self._inbox.appendleft(hook)
            self._room.take(1)  # or more than there is
            self._submitted += 1
        self._wake_another()
        with self._lock:
            if not self._workers:
                self._inbox.remove(hook)
                self._submitted -= 1
                raise StartError(f"the system gives no thread for {hook.label}")

    def submit_visit(self, visit: Visit) -> bool:
        """Queues one visit of an exchange that runs on a loop; False where the queue is full."""
        with self._lock:
            if not self._room.take(1):
                return False
            self._inbox.append(visit)
            self._submitted += 1
        self._wake_another()
        return True

    def stop(self) -> None:
        """Lets every worker end after the item it is at; what waits is not run any more."""
        with self._lock:
            self._stopping = True
            self._inbox.clear()
            self.computing.clear()
            parked, self._parked = self._parked, []
            runners, self._runners, self.runners_max = self._runners, (), 0
        for worker in runners:
            worker.relieve(stuck=False)
        for worker in parked + [worker for worker in runners if worker.rise()]:
            worker.gate.open()

    @property
    def waiting(self) -> int:
        """Items that no worker has begun yet. A moment's figure."""
        return super().waiting + self.computing.waiting

    @property
    def resting(self) -> int:
        """Workers that have nothing to do. A moment's figure."""
        with self._lock:
            return len(self._parked) + sum([worker.resting for worker in self._runners])

    def look(self, now: float) -> float:
        """Lets what waits for too long behind others begin; when an acceptor, which calls, is to look again.

        ``now``: monotonic seconds, as what is returned.
        """
        relieved: list[BlockingWorker] = []
        with self._lock:
            left = self.computing.run_out(now)
            if now >= self._runners_due:
                relieved = self._relieve(left)
                again = any([worker.waiting for worker in self._runners])  # noqa: C419 - see Batch
                self._runners_due = now + LOOK_S if again else inf
            self.look_at = look_at = min(self._runners_due, self.computing.due)
        if left:
            self._queue(left)
        for worker in relieved:
            worker.records.settle()  # of what it had answered before one would hear when it goes on
        return look_at

    def _relieve(self, left: list[Exchange]) -> list[BlockingWorker]:
        """Who has not gone on since this was asked last; ``left`` gets what it had. ``_lock`` is held."""
        relieved: list[BlockingWorker] = []
        for worker in self._runners:
            rest = worker.relieve()
            if rest is not None:
                relieved.append(worker)
                left += rest
        self._runners = tuple([worker for worker in self._runners if worker not in relieved])
        return relieved

    def drop_runner(self, worker: BlockingWorker) -> None:
        """Deals ``worker`` no more rows, and others what it had still to run. Any thread."""
        with self._lock:
            self._runners = tuple([one for one in self._runners if one is not worker])
        left = worker.relieve(stuck=False)
        if left:
            self._queue(left)

    def serve(self, worker: BlockingWorker) -> None:
        """Gives ``worker`` one item after the other until the lane stops. The worker's own thread."""
        # Looked up once: who looks up what all workers share writes to its count, as they all do.
        inbox = self._inbox
        take = inbox.popleft
        begun = self.computing.begun
        while not worker.stopped:
            if worker.woken:
                with self._lock:
                    worker.woken = False
                    self._waking = False
            row = worker.take_row()
            if row is not None:
                self._run_turns(worker)
                row.give_back()
                del row  # as below
            if worker.reader is not None and self._run_own(worker, worker.read()) and not inbox:
                continue
            item = worker.handed
            if item is not None:
                worker.handed = None
            else:
                try:
                    item = take()
                except IndexError:
                    self._idle(worker)
                    continue
                # Where a worker is being woken, it sees what is left when it comes.
                if inbox and not self._waking:
                    self._wake_another()
            worker.work(item)
            if begun:
                self._give_place(worker, item)
            del item  # or it stays until another comes, and this thread drops it: see Batch

    def _run_turns(self, worker: BlockingWorker) -> None:
        watches = self.pace.watches
        was_slow = not worker.run_turns(watched=watches)
        if was_slow != watches:  # or all runners would write to it in each turn
            self.pace.watches = was_slow

    def _run_own(self, worker: BlockingWorker, exchanges: list[Exchange]) -> bool:
        """Has ``worker`` run what it has read itself; whether that was anything. Its own thread."""
        reader, count = worker.reader, len(exchanges)
        if not count or reader is None:
            return False
        if worker.take_own(exchanges):
            if count > 1:
                reader.have_watched()
            self._run_turns(worker)
            reader.count_held(count)
        else:
            self._queue(exchanges)
        return True

    def _give_place(self, worker: BlockingWorker, item: Item) -> None:
        """Has another begin in the place of ``item``, if it has one. Its worker's own thread."""
        following = self.computing.leave(item)
        if following is not None:
            self._inbox.append(following)  # this worker takes it, unless another does: nobody is woken for it
            if worker.is_runner:
                self._wake_another()  # it may have a row to run first

    def _idle(self, worker: BlockingWorker) -> None:
        """Has ``worker`` wait until there is something to do. Its own thread."""
        if worker.is_runner:
            if self._rest(worker):
                self._run_own(worker, worker.wait())
        elif worker.reader is None and self._park(worker):  # or it is to leave that first
            worker.gate.wait()

    def _wake_another(self) -> None:
        """Wakes or starts whom it takes for what is in the inbox."""
        with self._lock:
            worker = self._next_to_wake()
        if worker is not None:
            self._wake(worker)

    def _rest(self, worker: BlockingWorker) -> bool:
        """Has a runner rest until it is woken, unless there is something to do after all."""
        if not worker.rest():
            return False
        # Who has queued something since finds that it rests; or it finds here what was queued before.
        return not ((self._inbox or self._stopping) and worker.rise())

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

    def _present_runners(self, fresh: list[BlockingWorker]) -> tuple[BlockingWorker, ...]:
        """Who is dealt rows, if anybody; ``fresh`` gets those to be started. ``_lock`` is held."""
        while len(self._runners) < self.runners_max:
            # The one that was parked last; none that has stepped back: rows are of quick exchanges.
            parked = next((one for one in reversed(self._parked) if not one.stepped_back), None)
            if parked is not None:
                worker = parked
                self._parked.remove(worker)
            elif self._may_grow():
                worker = self._add_worker()
                fresh.append(worker)
            else:
                break
            worker.become_runner()
            self._runners += (worker,)
        return self._runners

    def _unpark(self, count: int) -> list[BlockingWorker]:
        """Takes up to ``count`` parked workers off the stack, to be handed something. ``_lock`` is held."""
        first = max(0, len(self._parked) - count)
        taken = self._parked[first:]
        del self._parked[first:]
        return taken

    def _next_to_wake(self) -> BlockingWorker | None:
        """Whom to wake for what is in the inbox; ``_lock`` is held."""
        if not self._inbox or self._waking:
            return None
        if self._parked:
            worker = self._parked.pop()
        elif self._may_grow():
            worker = self._add_worker()
        else:
            resting = next((worker for worker in self._runners if worker.retire()), None)
            if resting is None:
                return None
            worker = resting
            self._runners = tuple([one for one in self._runners if one is not worker])
        worker.woken = self._waking = True
        return worker

    def _add_worker(self) -> BlockingWorker:
        worker = BlockingWorker(self, len(self._workers), self._new_records())
        self._workers.append(worker)
        return worker

    def _wake(self, worker: BlockingWorker) -> None:
        if worker.begun:
            worker.gate.open()
            return
        try:
            worker.start()
        except (RuntimeError, OSError) as error:
            self._go_on_without(worker, error)
            with self._lock:
                self._waking &= not worker.woken
            self.drop_runner(worker)
            self._wake_another()
