"""The threads that make outbound calls: elastic, capped, shared by all pools and all loops."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

from siphon.client.load import Load, total
from siphon.daemon import Daemon
from siphon.errors import ConnectError
from siphon.journal import journal
from siphon.wakeup import Gate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from siphon.client.call import Call


# For so long no more threads are started where the system has had none, or no descriptor for one.
_PAUSE_S: Final = 1.0


class Pool(Protocol):
    """The connections to one origin."""

    def serve(self, call: Call) -> bool:
        """Does a call's work and gives it its outcome; raises nothing. An I/O thread.

        False where the call's slot was given back on the way, by ``ClientThreads.retire``.
        """


class Multiplexed(Protocol):
    """A connection that carries many calls at once, and holds one thread for as long as it lives."""

    def submit(self, call: Call) -> bool:
        """Takes a call over; False where the connection takes no more. Any thread; returns at once."""

    def close_if_idle(self) -> bool:
        """Ends a connection without calls, so that its thread is free; whether it does. Any thread."""

    def finish(self) -> None:
        """Takes no more calls and ends after the last it has. Any thread; returns at once."""

    def load(self) -> Load:
        """What it is at: one connection. Any thread; returns at once."""


class Slots:
    """How many calls to one origin may be at work, and those in line for it. Guarded by ``ClientThreads``."""

    def __init__(self, pool: Pool, size: int) -> None:
        self.pool = pool
        self.size = size
        self.busy = 0
        # In order of arrival, and a call that has ended leaves from anywhere in it.
        self.in_line: OrderedDict[Call, None] = OrderedDict()
        # It waits for a thread, in ``ClientThreads._turns``.
        self.has_turn = False
        self.multiplexed: Multiplexed | None = None
        # Those that take no more calls, until the last they have is done.
        self.ending: list[Multiplexed] = []
        self.is_closed = False
        # Its connections are not kept once their calls are done.
        self.keeps_none = False
        self.last_used = 0.0

    @property
    def is_ready(self) -> bool:
        """Whether another call could begin if there was a thread for it."""
        return self.busy < self.size and bool(self.in_line)


type _Task = tuple[Slots, Call]


class ClientThreads:
    """Runs calls on at most ``maximum`` threads, which are started when they are needed and stay.

    Any thread may call any method. ``_lock`` guards the threads, the turns and every ``Slots``. While
    there are turns no thread is parked, and all that may be started have been.
    """

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._paused_until = 0.0
        self._lock = threading.Lock()
        self._workers: list[ClientWorker] = []
        self._parked: list[ClientWorker] = []
        # Slots that are ready but for a thread; each takes one call a turn, so that none starves.
        self._turns: deque[Slots] = deque()
        self._multiplexed: list[Multiplexed] = []
        self._stopping = False

    def submit(self, slots: Slots, call: Call) -> bool:
        """Puts a call in line; it begins as soon as its origin has a slot and a thread is free.

        False where ``slots`` have been closed.
        """
        now = monotonic()
        with self._lock:
            if slots.is_closed:
                return False
            slots.last_used = now
            if self._stopping:
                call.fail(_refused(call, "siphon is stopping"))
                return True
            if slots.multiplexed is not None and slots.multiplexed.submit(call):
                return True
            slots.in_line[call] = None
            if slots.busy >= slots.size:
                return True  # whoever is done takes it; the less is done here, the fewer wait for the lock
            assigned = self._assign(slots)
        self._wake(assigned)
        return True

    def withdraw(self, slots: Slots, call: Call) -> None:
        """Takes a call that has ended out of the line, if it is still in it."""
        with self._lock:
            slots.in_line.pop(call, None)

    def resize(self, slots: Slots, size: int) -> None:
        """Lets more calls to an origin be at work."""
        with self._lock:
            slots.size = size
            assigned = self._assign(slots)
        self._wake(assigned)

    def close_if_idle(self, slots: Slots) -> bool:
        """Lets ``slots`` take no more calls where nothing is in line and nothing at work; whether it does."""
        with self._lock:
            if not slots.in_line and not slots.busy:
                slots.is_closed = True
            return slots.is_closed

    def load(self, slots: Slots) -> Load:
        """What is at work and in line for one origin; its HTTP/1.1 connections are for its pool to count."""
        with self._lock:
            busy, waiting = slots.busy, len(slots.in_line)
            shared = slots.ending.copy()
            if slots.multiplexed is not None:
                # Its thread has a slot, and does no call's work alone.
                busy -= 1
                shared.append(slots.multiplexed)
        return total([Load(0, busy, waiting), *[connection.load() for connection in shared]])

    # Connections that carry many calls ---------------------------------------------------------

    def adopt(self, slots: Slots, connection: Multiplexed) -> None:
        """From now on ``connection`` takes the calls of ``slots``, those in line as well. Its own thread."""
        with self._lock:
            slots.multiplexed = connection
            self._multiplexed.append(connection)
            # Whoever closes from now on sees it; whoever has done so before did not.
            closing = self._stopping or slots.keeps_none
            while slots.in_line:
                call, _ = slots.in_line.popitem(last=False)
                if not connection.submit(call):
                    slots.in_line[call] = None
                    slots.in_line.move_to_end(call, last=False)
                    break
        if closing:
            connection.finish()

    def retire(self, slots: Slots, connection: Multiplexed) -> None:
        """``connection`` takes no more calls: the next one makes another. Its own thread, before it ends."""
        with self._lock:
            self._multiplexed.remove(connection)
            if slots.multiplexed is connection:
                slots.multiplexed = None
            slots.ending.append(connection)
            # The thread goes on with the calls that the connection has, and counts no longer.
            slots.busy -= 1
            assigned = self._assign(slots)
        self._wake(assigned)

    def ended(self, slots: Slots, connection: Multiplexed) -> None:
        """``connection``, which was retired, has closed. Its own thread."""
        with self._lock:
            slots.ending.remove(connection)

    def put_back(self, slots: Slots, calls: Sequence[Call]) -> None:
        """Calls that a connection took and has not processed go first on the next one. Its own thread."""
        with self._lock:
            refused = calls if slots.is_closed or self._stopping else ()
            if not refused:
                shared = slots.multiplexed
                left = [call for call in calls if shared is None or not shared.submit(call)]
                for call in reversed(left):
                    slots.in_line[call] = None
                    slots.in_line.move_to_end(call, last=False)
            assigned = self._assign(slots)
        for call in refused:
            call.fail(_refused(call, "its connection was closed, and there is to be no other"))
        self._wake(assigned)

    def lack_a_thread(self) -> bool:
        """Whether calls wait for a thread, and a connection that is idle had better end. Any thread."""
        with self._lock:
            return bool(self._turns)

    def close(self, slots: Slots) -> None:
        """From now on ``slots`` keep no connection whose calls are done."""
        with self._lock:
            slots.keeps_none = True
            connection = slots.multiplexed
        if connection is not None:
            connection.finish()

    # The threads' own --------------------------------------------------------------------------

    def next_task(self, worker: ClientWorker, done: Slots | None) -> _Task | None:
        """Gives back the slot of ``done``; the next call for ``worker``, or None: its gate will tell."""
        with self._lock:
            if done is not None:
                if done.in_line and not self._turns:
                    return done, done.in_line.popitem(last=False)[0]  # in its slot: nobody else has a turn
                done.busy -= 1
                self._give_turn(done)
            while self._turns:
                slots = self._turns.popleft()
                slots.has_turn = False
                if slots.is_ready:
                    task = self._begin(slots)
                    self._give_turn(slots)
                    return task
            if self._stopping:
                worker.hand(None)
            else:
                self._parked.append(worker)
            return None

    def _without(self, worker: ClientWorker, task: _Task, error: Exception) -> None:
        """The system gives no thread: those that are there take ``task`` over. Without any, nobody will."""
        slots, call = task
        with self._lock:
            self._workers.remove(worker)
            self._paused_until = monotonic() + _PAUSE_S
            slots.busy -= 1
            slots.in_line[call] = None
            slots.in_line.move_to_end(call, last=False)
            left = len(self._workers)
            if not left:
                self._turns.append(slots)
            refused = [] if left else self._empty_turns()
            assigned = self._assign(slots)
        journal.log("error", f"a client thread could not be started ({error}); going on with {left}")
        for each in refused:
            each.fail(_refused(each, f"no thread could be started: {error}"))
        self._wake(assigned)

    def _empty_turns(self) -> list[Call]:
        """Takes out all that waits for a thread; ``_lock`` is held."""
        waiting: list[Call] = []
        for slots in self._turns:
            waiting += slots.in_line
            slots.in_line.clear()
            slots.has_turn = False
        self._turns.clear()
        return waiting

    def stop(self) -> None:
        """Refuses what waits for a thread, and lets each thread end after the call it is at."""
        with self._lock:
            self._stopping = True
            parked, self._parked = self._parked, []
            refused = self._empty_turns()
            multiplexed = list(self._multiplexed)
        for call in refused:
            call.fail(_refused(call, "siphon is stopping"))
        for connection in multiplexed:
            connection.finish()
        for worker in parked:
            worker.hand(None)

    def join(self, timeout_s: float) -> bool:
        """Waits for the threads to end, after ``stop``; False where one is still at a call."""
        deadline = monotonic() + timeout_s
        with self._lock:
            workers = list(self._workers)
        for worker in workers:
            worker.join(max(0.0, deadline - monotonic()))
        return not any(worker.is_alive() for worker in workers)

    def _assign(self, slots: Slots) -> list[tuple[ClientWorker, _Task]]:
        """Gives the calls that may begin to threads, which the caller wakes; ``_lock`` is held."""
        assigned: list[tuple[ClientWorker, _Task]] = []
        # Those that have a turn are served by and by; a thread more is there for them as well.
        while slots.is_ready and (not slots.has_turn or self._may_grow()):
            if self._parked:
                worker = self._parked.pop()
            elif self._may_grow():
                worker = ClientWorker(self, len(self._workers))
                self._workers.append(worker)
            else:
                self._give_turn(slots)
                # A thread that only keeps a connection open is worth more elsewhere.
                any(connection.close_if_idle() for connection in self._multiplexed)
                break
            assigned.append((worker, self._begin(slots)))
        return assigned

    def _may_grow(self) -> bool:
        if len(self._workers) >= self._maximum:
            return False
        # Where there are none at all nobody would take a turn.
        return not self._workers or monotonic() >= self._paused_until

    def _begin(self, slots: Slots) -> _Task:
        call, _ = slots.in_line.popitem(last=False)
        slots.busy += 1
        return slots, call

    def _give_turn(self, slots: Slots) -> None:
        if slots.is_ready and not slots.has_turn:
            slots.has_turn = True
            self._turns.append(slots)

    def _wake(self, assigned: list[tuple[ClientWorker, _Task]]) -> None:
        for worker, task in assigned:
            if not worker.begun:
                try:
                    worker.start()
                except (RuntimeError, OSError) as error:
                    self._without(worker, task, error)
                    continue
            worker.hand(task)


def _refused(call: Call, why: str) -> ConnectError:
    return ConnectError(why, method=call.request.method, url=str(call.request.url))


class ClientWorker(Daemon):
    """A thread that makes outbound calls. Who takes it from ``ClientThreads`` hands it a task."""

    gate: Gate

    def __init__(self, threads: ClientThreads, number: int) -> None:
        super().__init__(f"siphon-client-{number}")
        self._threads = threads
        self._handed: _Task | None = None
        self.begun = False

    def start(self) -> None:
        """Starts the thread; raises RuntimeError or OSError where the system gives no more."""
        self.gate = Gate()
        try:
            super().start()
        except RuntimeError:
            self.gate.close()
            raise
        self.begun = True

    def run(self) -> None:
        task = self._next()
        while task is not None:
            slots, call = task
            holds_slot = slots.pool.serve(call)
            task = self._threads.next_task(self, slots if holds_slot else None) or self._next()
        self.gate.close()

    def hand(self, task: _Task | None) -> None:
        """Ends its wait; None ends the thread. Any thread, once for each time that it was parked."""
        self._handed = task
        self.gate.open()

    def _next(self) -> _Task | None:
        self.gate.wait()
        task, self._handed = self._handed, None
        return task
