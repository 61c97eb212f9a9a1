"""Which of an acceptor's connections are read by the loops that answer them, and when they come back."""

from __future__ import annotations

from math import inf
from operator import sub
from typing import TYPE_CHECKING, Final, NamedTuple

from siphon.journal import journal
from siphon.threads.loop_reader import LoopReader
from siphon.threads.poller import NESTS, ONCE, READABLE
from siphon.threads.thread_clock import KNOWN, ThreadClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from siphon.threads.acceptor import Acceptor
    from siphon.threads.exchange import Exchange
    from siphon.threads.loops import LoopWorker
    from siphon.threads.poller import Poller

POSSIBLE: Final = NESTS and KNOWN
"""Whether a loop can be watched from outside, as it must be where it reads."""

# So many requests in a row must have been for loops.
_STREAK: Final = 4
# A loop that has something to read and has not come round from one look to the next but one is held up.
_LOOK_S: Final = 0.005
# For so long nothing is lent once a loop was held up, or its requests have turned out to be long ones.
_PAUSE_S: Final = 10.0
# How late a look at a reader's deadlines may be.
_OVERDUE_S: Final = 0.1

# Over so long it is measured whether more loops should read, or fewer.
_WINDOW_S: Final = 0.05
_BUSY: Final = 0.7
# With fewer requests a turn one more loop that reads takes more for its own waking than it saves (measured).
_CROWD: Final = 8
# Unless they take so much of the processor's time each.
_LONG_S: Final = 0.0001
# Then they go by way of the acceptor: what that takes is little beside them, and evens the loops out.
_TOO_LONG_S: Final = 0.0003
# Of all the time in which loops read, so much may go to turns with exchanges that wait or compute for long.
_HELD: Final = 0.1
# What the latest window counts for in that: a pause of the collector is none.
_LATEST: Final = 0.3
# Exchanges from one look to the next, of who is in a long turn and goes on.
_PROGRESS: Final = 4
# One loop reads again when it has been enough for so long: so busy at most, or so few requests a turn.
_ENOUGH_S: Final = 1.0
_QUIET: Final = 0.3
_FEW: Final = 8


class Window(NamedTuple):
    """What one loop has done in a while."""

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


class Lent:
    """What an acceptor knows of one loop and its reader. The acceptor's thread alone."""

    __slots__ = ("_clock", "_late_since", "_progress", "_so_far", "_worker", "awake", "reader")

    def __init__(self, acceptor: Acceptor, worker: LoopWorker) -> None:
        """Raises OSError where there is no descriptor for it."""
        self._worker = worker
        self._clock = ThreadClock(worker)
        try:
            self.reader = LoopReader(acceptor, worker)
        except OSError:
            self._clock.close()
            raise
        # It has had something to do since the last look; else the poller tells.
        self.awake = False
        self._so_far = Window(0, 0, 0, 0.0, 0.0, 0.0)
        # Turns, exchanges finished: as of the last look.
        self._progress = 0, 0
        # When it was first found not to have come round though something waited, and for how long it had run.
        self._late_since: tuple[float, float] | None = None

    def begin(self) -> None:
        """Has the loop watch what will be lent to it."""
        self._worker.post(self.reader)

    def measure(self) -> Window:
        """What it has done since it was last asked."""
        reader, finished = self.reader, self._worker.finished
        ran_s, waited_s = self._clock.read()
        before = self._so_far
        self._so_far = Window(reader.turns, reader.begun, finished, ran_s, waited_s, reader.held_s)
        return Window._make(map(sub, self._so_far, before))

    def goes_on(self) -> bool:
        """Whether it has taken a turn since it was last asked, or gone on in a long one."""
        progress = self.reader.turns, self._worker.finished
        (turns, finished), self._progress = self._progress, progress
        return progress[0] != turns or progress[1] > finished + _PROGRESS

    def comes_round(self) -> None:
        """It is not late."""
        self._late_since = None

    def is_late(self, now: float) -> bool:
        """It has not come round. Whether that is so since a look ago, and not for want of a processor."""
        ran_s = self._clock.read().ran_s
        if self._late_since is None:
            self._late_since = now, ran_s
            return False
        since, ran_before_s = self._late_since
        if now - since < _LOOK_S:
            return False
        # Who computes has run, though perhaps not all the time; who waits for anything but a processor does
        # not want to.
        return ran_s - ran_before_s > _LOOK_S / 2 or not self._clock.is_runnable()

    def close(self) -> None:
        """Lets go of its descriptors."""
        self.reader.close()
        self._clock.close()


class Lending:
    """Lends connections to loops, and watches over those. The acceptor's thread alone.

    A loop that reads what it runs spares each request the way from one thread to another. But it cannot
    read while code of the script holds it up: then everything is recalled, and read by the acceptor. It
    is lent to as few loops as can do the work, since a turn with many requests takes less for each.
    """

    def __init__(self, acceptor: Acceptor, loops: Sequence[LoopWorker], poller: Poller) -> None:
        """``loops``: those that may read, the first one first; ``poller``: the acceptor's."""
        self._acceptor = acceptor
        self._poller = poller
        # From the start on: later there may be no descriptor left for them.
        self._lent = _make(acceptor, loops) if POSSIBLE else []
        self._by_fd = {lent.reader.fd: lent for lent in self._lent}
        for fd, lent in self._by_fd.items():
            poller.register(fd)
            poller.modify(fd, READABLE | ONCE)
            lent.begin()
        # How many of the loops read.
        self._width = 1
        self._window_began = self._needed_at = 0.0
        # The share of their time that loops were held of late.
        self._held = 0.0
        # In monotonic seconds: from when on connections are lent, and when to look at the readers.
        self.open_from = 0.0 if self._lent else inf
        self.look_at = inf

    def lend(self, exchanges: list[Exchange]) -> None:
        """Lends the connections of those that were for a loop often enough; what they ask is run as ever."""
        for exchange in exchanges:
            connection = exchange.connection
            connection.streak += 1
            # It may have been closed in the same turn.
            if connection.streak < _STREAK or not self._acceptor.owns(connection):
                continue
            reader = min(self._lent[: self._width], key=_connections).reader
            self._acceptor.let_go(connection)
            with reader.turn:
                reader.lend(connection)
            self.look_at = min(self.look_at, max(reader.next_due + _OVERDUE_S, self._acceptor.now + _LOOK_S))

    def awaken(self, fd: int, now: float) -> bool:
        """Looks at the reader whose descriptor ``fd`` is from now on; False where it is none."""
        lent = self._by_fd.get(fd)
        if lent is None:
            return False
        lent.awake = True
        lent.goes_on()
        self.look_at = min(self.look_at, now + _LOOK_S)
        return True

    def look(self, now: float) -> None:
        """Recalls everything where a loop does not come round, or where others should read it."""
        self.look_at = inf
        # Each is looked at, whatever another is found to be.
        if [lent for lent in self._lent if self._is_held_up(lent, now)]:
            self.recall(now)
        elif now >= self._window_began + _WINDOW_S:
            self._measure(now)
        for lent in self._lent:
            due = now + _LOOK_S if lent.awake else inf
            self.look_at = min(self.look_at, due, lent.reader.next_due + _OVERDUE_S)
        self.look_at = max(self.look_at, now + _LOOK_S)

    def _is_held_up(self, lent: Lent, now: float) -> bool:
        if lent.goes_on():
            lent.awake = True
            lent.comes_round()
        elif lent.reader.next_due + _OVERDUE_S <= now or lent.reader.is_ready():
            lent.awake = True
            return lent.is_late(now)
        elif lent.awake:
            lent.awake = False
            lent.comes_round()
            self._poller.modify(lent.reader.fd, READABLE | ONCE)
        return False

    def _measure(self, now: float) -> None:
        """Has more loops read, or fewer, or none, by what they have done since it was last looked at."""
        window_s, self._window_began = now - self._window_began, now
        windows = [lent.measure() for lent in self._lent[: self._width]]
        held_s = sum([max(0.0, window.held_s - window.waited_s) for window in windows])
        self._held += _LATEST * (held_s / window_s - self._held)
        if self._held > _HELD:
            self._held = 0.0
            self.recall(now)
            return
        for window in windows:
            if window.ran_s + window.waited_s < _BUSY * window_s:
                continue
            if window.ran_s > window.finished * _TOO_LONG_S:
                self.recall(now)
                return
            crowded = window.begun > window.turns * _CROWD or window.ran_s > window.finished * _LONG_S
            if crowded and self._width < len(self._lent):
                self._needed_at = now
                self._widen(min(2 * self._width, len(self._lent)))
                return
        if _one_is_enough(windows, window_s):
            if self._width > 1 and now > self._needed_at + _ENOUGH_S:
                self._widen(1)
        else:
            self._needed_at = now

    def _widen(self, width: int) -> None:
        """Has so many loops read. Connections change over with their next requests, and not all at once."""
        total = sum([_connections(lent) for lent in self._lent])
        self._width = width
        for number, lent in enumerate(self._lent):
            with lent.reader.turn:
                lent.reader.shrink_to(total // width if number < width else 0)
            lent.measure()

    def recall(self, now: float) -> None:
        """Takes every connection back, and lends none for a while."""
        self._take_back()
        self.open_from = max(self.open_from, now + _PAUSE_S)

    def _take_back(self) -> None:
        for lent in self._lent:
            with lent.reader.turn:
                self._acceptor.take_back_from(lent.reader)
            lent.comes_round()

    def end(self) -> None:
        """Takes every connection back, and lends none any more."""
        self.open_from = inf
        self._take_back()

    def close(self) -> None:
        """Lets go of the readers' descriptors, once their loops have ended."""
        for lent in self._lent:
            lent.close()


def _connections(lent: Lent) -> int:
    return len(lent.reader.connections)


def _one_is_enough(windows: Sequence[Window], window_s: float) -> bool:
    """Whether one loop could do what these have done."""
    busy_s = sum([window.ran_s + window.waited_s for window in windows])
    if busy_s <= _QUIET * window_s:
        return True
    a_turn = sum([window.begun / max(window.turns, 1) for window in windows])
    return a_turn <= _FEW and busy_s <= _LONG_S * sum([window.finished for window in windows])


def _make(acceptor: Acceptor, loops: Sequence[LoopWorker]) -> list[Lent]:
    """What lending takes for each of ``loops``; nothing where there are not descriptors enough."""
    made: list[Lent] = []
    try:
        for worker in loops:
            made.append(Lent(acceptor, worker))
    except OSError as error:
        journal.log("warning", f"{acceptor.name} lends no connections to loops: {error.strerror}")
        for lent in made:
            lent.close()
        return []
    return made
