"""A thread of the blocking lane: it runs single items, and rows of exchanges while those are quick."""

from __future__ import annotations

import threading
import traceback
from time import monotonic
from typing import TYPE_CHECKING, Final

from siphon.daemon import Daemon
from siphon.journal import journal
from siphon.threads.priority import step_back
from siphon.threads.spent import TELLS_WAITING, Spent
from siphon.wakeup import Gate
from siphon.wire.encode import Encoder

if TYPE_CHECKING:
    from siphon.threads.batch import Batch
    from siphon.threads.blocking import BlockingLane
    from siphon.threads.exchange import Exchange
    from siphon.threads.held import Visit
    from siphon.threads.hooks import HookRun
    from siphon.threads.records import Records
    from siphon.threads.runner_reader import RunnerReader

type Item = Exchange | Visit | HookRun

# What comes of dealing a worker a row.
QUEUED: Final = 0
WAKE: Final = 1
GONE: Final = 2

# What has used more of the processor's time than this computes: less than what is not quick, or handlers
# that take about as long as that would be both in turns.
_COMPUTES_S: Final = 0.0005
# So many that compute, one after the other, and their worker steps back: one may have had garbage to collect.
_COMPUTING_ITEMS: Final = 4
# So many long items are not watched after one that had waited, or where the worker has stepped back.
_UNWATCHED: Final = 7
# After a row that took longer than this for each exchange the next ones are watched, at 3 us for each. A
# thread that has lost its processor takes as long: it is watched, and found to be quick.
_ROW_S: Final = 0.0001
# What computes for longer than this is not quick either.
_QUICK_S: Final = 0.001


class BlockingWorker(Daemon):
    """A thread of the blocking lane, whose lock guards ``woken``.

    Its own lock guards what it is dealt as a runner: ``is_runner``, ``resting``, ``_rows``, ``_seen``; it
    may be lent a ``reader`` then, whose connections it reads itself.

    A worker whose items compute steps back, behind the acceptor and the loops, for the rest of its life.
    Beside 8 handlers that each compute for 5 ms, on two processors, a fast async one then has a p99 of
    4 ms instead of 65 ms (measured). Workers that only wait, or are quick, keep their priority: lowering
    all of them would cost a quick sync handler a sixth of its throughput.
    """

    # What each exchange writes to: in the dictionary of a Thread, which is a large one, that takes longer.
    __slots__ = ("finished_exchanges", "handed", "item")
    gate: Gate

    def __init__(self, lane: BlockingLane, number: int, records: Records) -> None:
        super().__init__(f"{lane.name}-{number}")
        self._lane = lane
        self.encoder = Encoder()
        self.records = records
        self.observes = records.wanted
        self.begun = False
        self.woken = False
        self.stopped = False
        self._lock = threading.Lock()
        self.is_runner = False
        # As a runner: whether it is parked, the rows to come, and how much it had finished at the last look.
        self.resting = False
        self._rows: list[Batch] = []
        self._seen = -1
        # What is left of the row it is at, the next exchange last. This thread takes it off without the lock.
        self._turns: list[Exchange] = []
        # What it reads with as a runner, if anything, and whether it has come to that yet.
        self.reader: RunnerReader | None = None
        self._has_come = False
        # What it is to work on next: of whoever takes it off the stack of parked workers, until it is woken.
        self.handed: Item | None = None
        # Written by this thread alone: what it is at and since when, for those who look on.
        self.item: Item | None = None
        self.began = 0.0
        self.finished_exchanges = 0
        self.finished_others = 0
        # Whether the next item is watched, and how many that take their time are not.
        self._watches = False
        self._unwatched = 0
        # Watched items in a row that computed; and whether it is behind those that serve.
        self._computing_items = 0
        self.stepped_back = False

    def start(self) -> None:
        """Starts the thread; raises RuntimeError or OSError where the system gives no more."""
        self.gate = Gate()
        # Before it runs: it may rest, and be woken, before this returns.
        self.begun = True
        try:
            super().start()
        except RuntimeError:
            self.gate.close()
            raise

    def run(self) -> None:
        self._lane.serve(self)
        self.gate.close()

    def work(self, item: Item) -> None:
        """Works on ``item``. This thread alone."""
        self.began = began = monotonic()
        self.item = item
        # What the system says of this thread costs a system call: it is asked where items take their time.
        before = Spent() if self._watches else None
        try:
            item.on_worker(self)
        except Exception as error:  # noqa: BLE001 - user code's errors are caught where they arise
            _log_bug(error)
        self.item = None
        self.finished_exchanges += item.counted
        self.finished_others += not item.counted
        is_long = monotonic() - began > _COMPUTES_S
        if before is not None:
            self._look_back(item, before)
        elif is_long and self._unwatched:
            self._unwatched -= 1
        self._watches = is_long and not self._unwatched and TELLS_WAITING

    def _look_back(self, item: Item, before: Spent) -> None:
        """Finds out whether an item has computed."""
        used_s, waited = before.since()
        computed = not waited and used_s > _COMPUTES_S
        if item.counted:
            self._lane.computing.note(item.chain, computed=computed)
        self._computing_items = self._computing_items + 1 if computed else 0
        if self._computing_items >= _COMPUTING_ITEMS and not self.stepped_back:
            self.stepped_back = True
            step_back()
            if self.is_runner:
                self._lane.drop_runner(self)
        if waited or self.stepped_back:
            self._unwatched = _UNWATCHED

    def hand(self, item: Item) -> None:
        """Wakes it to work on ``item``. Whoever has taken it off the stack of parked workers."""
        self.handed = item
        self.gate.open()

    # Rows --------------------------------------------------------------------------------------

    @property
    def finished(self) -> int:
        """Items that it has worked on. A moment's figure, from any thread."""
        return self.finished_exchanges + self.finished_others

    @property
    def waiting(self) -> int:
        """Exchanges it was given and has not begun. A moment's figure, from any thread."""
        rows = self._rows
        in_rows = sum([len(row.exchanges) for row in rows.copy()]) if rows else 0
        return len(self._turns) + in_rows + (self.handed is not None)

    @property
    def load(self) -> int:
        """What it has to do as a runner. A moment's figure, from any thread."""
        return self.waiting + (self.item is not None)

    def become_runner(self) -> None:
        """Is dealt rows from now on; it is parked, or about to begin. The lane's lock is held."""
        with self._lock:
            self.is_runner, self.resting = True, self.begun

    def add_row(self, row: Batch) -> int:
        """Deals it a row: QUEUED, WAKE where the caller is to wake it, or GONE. Any thread."""
        with self._lock:
            if not self.is_runner:
                return GONE
            self._rows.append(row)
            if not self.resting:
                return QUEUED
            self.resting = False
            self._seen = -1
            return WAKE

    def retire(self) -> bool:
        """Is no runner any more, if it rests, and to be woken then; whether it did. Any thread."""
        with self._lock:
            rested, self.resting = self.resting, False
            if rested:
                self.is_runner = False
            return rested

    def relieve(self, *, stuck: bool = True) -> list[Exchange] | None:
        """Is no runner any more; returns what it has not begun, for others to run. Any thread.

        ``stuck``: only if exchanges wait and none has ended since this was asked last; else None.
        """
        with self._lock:
            seen, self._seen = self._seen, self.finished
            if stuck and (not self.waiting or seen != self._seen):
                return None
            self.is_runner = False
            rest: list[Exchange] = []
            turns = self._turns
            while turns:
                try:
                    rest.append(turns.pop())
                except IndexError:
                    break  # it has gone on after all, and has taken the last one
            rows, self._rows = self._rows, []
        return rest + [exchange for row in rows for exchange in row.exchanges]

    def rest(self) -> bool:
        """Whether it rests now, until it is woken. This thread, as a runner."""
        with self._lock:
            self.resting = self.is_runner and not self._rows
            return self.resting

    def rise(self) -> bool:
        """Whether it rests no more. False where another thread is about to wake it. This thread."""
        with self._lock:
            rested, self.resting = self.resting, False
            return rested

    def take_row(self) -> Batch | None:
        """The next row, to be run now. This thread."""
        if not self._rows:
            return None
        # Under the lock, or others might find the row nowhere and not wait for it.
        with self._lock:
            if not self._rows:
                return None
            row = self._rows.pop(0)
            self._turns = row.exchanges[::-1]
            return row

    def take_own(self, exchanges: list[Exchange]) -> bool:
        """Has what it has read itself for its row; False where it is no runner any more. This thread."""
        with self._lock:
            if not self.is_runner:
                return False
            exchanges.reverse()
            self._turns = exchanges
            return True

    def run_turns(self, *, watched: bool) -> bool:
        """Runs what it has taken, as far as nobody takes it away meanwhile; whether that was quick.

        ``watched``: tells the lane of each exchange whether it was. This thread alone.
        """
        # For all of them: who looks at it takes tenths of a second, and rows end before, or are relieved.
        self.began = row_began = began = monotonic()
        turns = self._turns
        first = finished = self.finished_exchanges
        exchange: Exchange | None = None
        while turns:
            try:
                exchange = turns.pop()
            except IndexError:
                break
            self.item = exchange
            before: Spent | None = None
            if watched:
                before, began = Spent(), monotonic()
            try:
                if not exchange.goes_on_elsewhere(self) and exchange.body:
                    exchange.release_body()
            except Exception as error:  # noqa: BLE001 - as above
                _log_bug(error)
            self.finished_exchanges = finished = finished + 1
            if before is not None:
                self._lane.pace.note(quick=_was_quick(before, monotonic() - began))
        self.item = exchange = None
        if self.observes:
            self.records.settle()
        return monotonic() - row_began <= _ROW_S * (finished - first)

    # Reading -----------------------------------------------------------------------------------

    def lend(self, reader: RunnerReader) -> bool:
        """Has it read with ``reader`` from now on; False where it is no runner, or has one. Any thread."""
        with self._lock:
            if not self.is_runner or self.reader is not None:
                return False
            self.reader = reader
            rested, self.resting = self.resting, False
        if rested:
            self.gate.open()
        return True

    def read(self) -> list[Exchange]:
        """What its reader has for it to run. This thread, which has one; no more where it is no runner."""
        if not self.is_runner:
            self._leave_reader()
        reader = self._come_to_reader()
        if reader is None:
            return []
        events = reader.poll()
        return reader.read(events) if events or reader.next_due <= monotonic() else []

    def wait(self) -> list[Exchange]:
        """Waits until it is woken, or its reader has something for it to run. This thread, at rest."""
        reader = self._come_to_reader()
        if reader is None:
            self.gate.wait()
            return []
        events = reader.wait()
        if reader.is_opened(events) or not self.rise():
            self.gate.wait()
            return []
        exchanges = reader.read(events)
        if not (events or exchanges or reader.connections):
            self._leave_reader()  # another acceptor may want this runner
        return exchanges

    def _come_to_reader(self) -> RunnerReader | None:
        reader = self.reader
        if reader is not None and not self._has_come:
            self._has_come = True
            reader.come(self)
        return reader

    def _leave_reader(self) -> None:
        """Lets others read with its reader, if it has one. This thread."""
        reader = self.reader
        if reader is None:
            return
        if self._has_come:
            self._has_come = False
            reader.leave()
        self.reader = None


def _was_quick(before: Spent, took_s: float) -> bool:
    """Whether what this thread has run since ``before`` has not waited, nor computed for long."""
    if took_s <= _ROW_S:
        return True
    used_s, waited = before.since()
    return not waited and used_s < _QUICK_S


def _log_bug(error: Exception) -> None:
    journal.log("error", f"a bug in siphon: {''.join(traceback.format_exception(error)).rstrip()}")
