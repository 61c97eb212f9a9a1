"""What an acceptor knows of one of those that it lends connections to, and of the thread that reads them."""

from __future__ import annotations

from operator import sub
from typing import TYPE_CHECKING, Final, NamedTuple

from siphon.threads.loop_reader import LoopReader
from siphon.threads.runner_reader import RunnerReader
from siphon.threads.thread_clock import ThreadClock

if TYPE_CHECKING:
    from siphon.threads.acceptor import Acceptor
    from siphon.threads.blocking import BlockingLane
    from siphon.threads.blocking_worker import BlockingWorker
    from siphon.threads.lent_reader import LentReader
    from siphon.threads.loops import LoopWorker

# Of the time from one look to the next: a look may come a moment early.
_A_LOOK: Final = 0.8


class Window(NamedTuple):
    """What one thread that reads has done in a while."""

    turns: int
    begun: int
    """Exchanges that it had read itself."""
    finished: int
    """Exchanges, those included that were handed over to it."""
    ran_s: float
    waited_s: float
    """It had something to do, but others had the processors."""
    held_s: float
    """Its turns took so much longer than those of quick exchanges do."""


_NOTHING: Final = Window(0, 0, 0, 0.0, 0.0, 0.0)


class Lent:
    """A reader, and who takes its turns. The acceptor's thread alone."""

    __slots__ = ("_clock", "_late_since", "_progress", "_so_far", "_worker", "awake", "reader")
    # Who is in a long turn goes on where it has finished more exchanges than that since the last look.
    few = 4

    def __init__(self, reader: LentReader) -> None:
        self.reader = reader
        self._worker: LoopWorker | BlockingWorker | None = None
        self._clock: ThreadClock | None = None
        # It has had something to do since the last look; else the poller tells.
        self.awake = False
        self._so_far = _NOTHING
        # Turns, exchanges finished: as of the last look.
        self._progress = 0, 0
        # When it was first found not to have come round though something waited, and for how long it had run.
        self._late_since: tuple[float, float] | None = None

    def begin(self) -> None:
        """Has it read, as soon as anything is lent."""

    @property
    def is_read(self) -> bool:
        """Whether somebody takes its turns."""
        return self._worker is not None

    def find_worker(self) -> bool:
        """Sees to it that somebody takes its turns; whether anybody does."""
        return self.is_read

    def _watch(self, worker: LoopWorker | BlockingWorker, clock: ThreadClock) -> None:
        self._worker, self._clock = worker, clock
        self.measure()

    def measure(self) -> Window:
        """What it has done since it was last asked."""
        if self._worker is None or self._clock is None or not self.is_read:
            return _NOTHING
        reader, finished = self.reader, self._worker.finished
        ran_s, waited_s = self._clock.read()
        before = self._so_far
        self._so_far = Window(reader.turns, reader.begun, finished, ran_s, waited_s, reader.held_s)
        return Window._make(map(sub, self._so_far, before))

    def goes_on(self) -> bool:
        """Whether it has taken a turn since it was last asked, or gone on in a long one."""
        progress = self.reader.turns, self._worker.finished if self._worker is not None else 0
        (turns, finished), self._progress = self._progress, progress
        return progress[0] != turns or progress[1] > finished + self.few

    @property
    def is_left_waiting(self) -> bool:
        """Whether who has left it waits for something, as handlers that block do."""
        return False

    @property
    def has_to_do(self) -> bool:
        """Whether its thread has something to do there. A moment's answer."""
        return self.reader.is_ready()

    def give_up(self) -> None:
        """Leaves the thread, which is held up, to what holds it."""

    @property
    def is_suspected(self) -> bool:
        """It was found late, and the next look says whether it is held up."""
        return self._late_since is not None

    def comes_round(self) -> None:
        """It is not late."""
        self._late_since = None

    def is_late(self, now: float, look_s: float) -> bool:
        """It has not come round. Whether that is so since a look ago, and not for want of a processor."""
        if self._clock is None:
            return True
        ran_s = self._clock.read().ran_s
        if self._late_since is None:
            self._late_since = now, ran_s
            return False
        since, ran_before_s = self._late_since
        if now - since < _A_LOOK * look_s:
            return False
        # Who computes has run, though perhaps not all the time; who waits for anything but a processor does
        # not want to.
        return ran_s - ran_before_s > look_s / 2 or not self._clock.is_runnable()

    def close(self) -> None:
        """Lets go of its descriptors."""
        self.reader.close()
        if self._clock is not None:
            self._clock.close()


class LoopLent(Lent):
    """What is lent to a loop."""

    __slots__ = ("_loop", "_loop_reader")

    def __init__(self, acceptor: Acceptor, worker: LoopWorker) -> None:
        """Raises OSError where there is no descriptor for it."""
        clock = ThreadClock(worker)
        try:
            reader = LoopReader(acceptor, worker)
        except OSError:
            clock.close()
            raise
        super().__init__(reader)
        self._loop_reader = reader
        self._loop = worker
        self._watch(worker, clock)

    def begin(self) -> None:
        """Has the loop watch for it."""
        self._loop.post(self._loop_reader)


class RunnerLent(Lent):
    """What is lent to a runner of the blocking lane: another one, where the last one is none any more."""

    __slots__ = ("_lane", "_runner", "_runner_reader")
    few = 0  # looks are nearer

    def __init__(self, acceptor: Acceptor, lane: BlockingLane) -> None:
        """Raises OSError where there is no descriptor for it."""
        self._lane = lane
        self._runner_reader = RunnerReader(acceptor)
        super().__init__(self._runner_reader)
        self._runner: BlockingWorker | None = None

    @property
    def is_read(self) -> bool:
        """Whether somebody takes its turns."""
        runner = self._runner
        return runner is not None and runner.is_runner and runner.reader is self.reader

    def find_worker(self) -> bool:
        """Sees to it that somebody takes its turns; whether anybody does."""
        if self.is_read:
            return True
        if self._runner is not None and self._runner.reader is self.reader:
            return False  # who has had it is still to leave it
        runner = self._lane.runner_without_reader
        if runner is None:
            return False
        try:
            clock = ThreadClock(runner)
        except OSError:  # no descriptor; or it has not begun yet
            return False
        if not runner.lend(self._runner_reader):
            clock.close()
            return False
        if self._clock is not None:
            self._clock.close()
        self._runner = runner
        self._watch(runner, clock)
        return True

    @property
    def is_left_waiting(self) -> bool:
        """Whether who has left it waits for something, as handlers that block do."""
        at_work = self._runner is not None and self._runner.item is not None
        return at_work and self._clock is not None and not self._clock.is_runnable()

    @property
    def has_to_do(self) -> bool:
        """Whether its runner has something to do there, or behind what it is at. A moment's answer."""
        return self._runner is not None and (self._runner.waiting > 0 or self.reader.is_ready())

    def give_up(self) -> None:
        """Has the lane take another runner, and others run what this one has not begun."""
        if self._runner is not None:
            self._lane.drop_runner(self._runner)
            if self._runner.rise():  # it rested after all, and is in nobody's list now
                self._runner.gate.open()
