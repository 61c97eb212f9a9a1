"""Which of an acceptor's connections are read by those who answer them, and when they come back."""

from __future__ import annotations

from functools import partial
from math import inf
from typing import TYPE_CHECKING, Final

from siphon.journal import journal
from siphon.threads.blocking import LOOK_S
from siphon.threads.lent import Lent, LoopLent, RunnerLent, Window
from siphon.threads.poller import NESTS, ONCE, READABLE
from siphon.threads.thread_clock import KNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from siphon.threads.acceptor import Acceptor
    from siphon.threads.blocking import BlockingLane
    from siphon.threads.exchange import Exchange
    from siphon.threads.loops import LoopWorker
    from siphon.threads.poller import Poller

POSSIBLE: Final = NESTS and KNOWN
"""Whether a thread can be watched from outside, as it must be where it reads."""

# So many requests in a row must have been for the same lane.
_STREAK: Final = 4
# For so long nothing is lent once a thread was held up, or its requests have turned out to be long ones.
_PAUSE_S: Final = 10.0
# And once a runner was, which a look of a millisecond finds of who has collected garbage, too.
_FIRST_PAUSE_S: Final = 0.1
# Where nothing was recalled for so long, who goes on is looked at so many times more seldom: each look takes
# a processor from one of those that it looks at, and with four times as many the p99 is 1.2 times as long.
_PROVEN_S: Final = 1.0
_SELDOM: Final = 4
# How late a look at a reader's deadlines may be.
_OVERDUE_S: Final = 0.1

# Over so long it is measured whether more threads should read, or fewer.
_WINDOW_S: Final = 0.05
_BUSY: Final = 0.7
# With fewer requests a turn one more that reads takes more for its own waking than it saves (measured).
_CROWD: Final = 8
# Unless they take so much of the processor's time each.
_LONG_S: Final = 0.0001
# Then they go by way of the acceptor: what that takes is little beside them, and evens the threads out.
_TOO_LONG_S: Final = 0.0003
# Of all the time in which threads read, so much may go to turns with exchanges that wait or compute for long.
_HELD: Final = 0.1
# What the latest window counts for in that, and the most it may say: a pause of the collector is none.
_LATEST: Final = 0.3
_HELD_AT_MOST: Final = 0.25
# One thread reads again when it has been enough for so long: so busy at most, or so few requests a turn.
_ENOUGH_S: Final = 1.0
_QUIET: Final = 0.3
_FEW: Final = 8


class Lending:
    """Lends connections to the threads of a lane, and watches over those. The acceptor's thread alone.

    A thread that reads what it runs spares each request the way from one thread to another. But it cannot
    read while code of the script holds it up: then everything is recalled, and read by the acceptor. It
    is lent to as few threads as can do the work, since a turn with many requests takes less for each.
    """

    # A connection's streak counts up for loops, and down for runners.
    step = 1
    borrowers = "loops"
    # One that has something to read, and has not come round from one look to the next but one, is held up.
    look_s = 0.005

    def __init__(self, acceptor: Acceptor, makers: Sequence[Callable[[], Lent]], poller: Poller) -> None:
        """``makers``: of what is lent to each that may read, the first one first; ``poller``: the acceptor's.

        They are called at once: later there may be no descriptor left.
        """
        self._acceptor = acceptor
        self._poller = poller
        self._lent = (
            _make(makers, f"{acceptor.name} lends no connections to {self.borrowers}") if POSSIBLE else []
        )
        self._by_fd = {lent.reader.fd: lent for lent in self._lent}
        for fd, lent in self._by_fd.items():
            poller.register(fd)
            poller.modify(fd, READABLE | ONCE)
            lent.begin()
        # How many of the threads read.
        self._width = 1
        self._window_began = self._needed_at = 0.0
        # The share of their time that they were held of late.
        self._held = 0.0
        # In monotonic seconds: from when on connections are lent, and when to look at the readers.
        self.open_from = 0.0 if self._lent else inf
        self.look_at = inf

    def lend(self, for_loops: list[Exchange], for_workers: list[Exchange]) -> None:
        """Lends the connections that were for the lane often enough; what they ask is run as ever."""
        exchanges = for_loops if self.step > 0 else for_workers
        if not exchanges or not self._is_open():
            return
        for exchange in exchanges:
            connection = exchange.connection
            connection.streak += self.step
            # It may have been closed in the same turn.
            if abs(connection.streak) < _STREAK or not self._acceptor.owns(connection):
                continue
            read = [lent for lent in self._lent[: self._width] if lent.find_worker()]
            if not read:
                # Who has those is held up by something, for how long nobody knows: others are next.
                self._lent.append(self._lent.pop(0))
                return
            lent = min(read, key=_connections)
            reader, lent.awake = lent.reader, True
            reader.watched = True
            self._acceptor.let_go(connection)
            with reader.turn:
                reader.lend(connection)
            if self.look_at == inf:  # nothing was lent, or nothing went on
                self._begin_window(self._acceptor.now)
            self.look_at = min(self.look_at, self._acceptor.now + self.look_s)

    def _is_open(self) -> bool:
        return self._acceptor.now >= self.open_from

    def awaken(self, fd: int, now: float) -> bool:
        """Looks at the reader whose descriptor ``fd`` is from now on; False where it is none."""
        lent = self._by_fd.get(fd)
        if lent is None:
            return False
        lent.awake = lent.reader.watched = True
        lent.goes_on()
        self.look_at = min(self.look_at, now + self.look_s)
        return True

    def look(self, now: float) -> None:
        """Recalls everything where a thread does not come round, or where others should read it."""
        self.look_at = inf
        # Each is looked at, whatever another is found to be.
        late = [lent for lent in self._lent if self._is_held_up(lent, now)]
        if late:
            self.recall(now)
            for lent in late:
                lent.give_up()
        elif now >= self._window_began + _WINDOW_S:
            self._measure(now)
        for lent in self._lent:
            due = now + self._next_look_s(lent, now) if lent.awake else inf
            self.look_at = min(self.look_at, due, lent.reader.next_due + _OVERDUE_S)
        self.look_at = max(self.look_at, now + self.look_s)

    def _next_look_s(self, lent: Lent, now: float) -> float:
        return self.look_s

    def _is_held_up(self, lent: Lent, now: float) -> bool:
        if not lent.is_read:
            lent.awake = lent.reader.watched = False
            if lent.reader.connections:
                self._take_back(lent)
                return lent.is_left_waiting
        elif lent.goes_on():
            lent.awake = True
            lent.comes_round()
        elif lent.reader.next_due + _OVERDUE_S <= now or lent.has_to_do:
            lent.awake = True
            return lent.is_late(now, self.look_s)
        elif lent.awake:
            lent.comes_round()
            lent.reader.watched = False
            self._poller.modify(lent.reader.fd, READABLE | ONCE)
            # Its thread may have found just now that it is watched.
            lent.awake = lent.reader.watched = lent.has_to_do
        return False

    def _measure(self, now: float) -> None:
        """Has more threads read, or fewer, or none, by what they have done since it was last looked at."""
        window_s = now - self._window_began
        windows = self._begin_window(now)
        held_s = sum([max(0.0, window.held_s - window.waited_s) for window in windows])
        self._held += _LATEST * (min(held_s / window_s, _HELD_AT_MOST) - self._held)
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

    def _begin_window(self, now: float) -> list[Window]:
        """What those that read have done in the one that ends."""
        self._window_began = now
        return [lent.measure() for lent in self._lent[: self._width]]

    def _widen(self, width: int) -> None:
        """Has so many threads read. Connections change over with their next requests, and not all at once."""
        total = sum([_connections(lent) for lent in self._lent])
        self._width = width
        for number, lent in enumerate(self._lent):
            with lent.reader.turn:
                lent.reader.shrink_to(total // width if number < width else 0)
            lent.measure()

    def recall(self, now: float) -> None:
        """Takes every connection back, and lends none for a while."""
        for lent in self._lent:
            self._take_back(lent)
        self.open_from = max(self.open_from, now + self._pause_s(now))

    def _pause_s(self, now: float) -> float:
        """For how long nothing is lent now."""
        return _PAUSE_S

    def _take_back(self, lent: Lent) -> None:
        with lent.reader.turn:
            self._acceptor.take_back_from(lent.reader)
        lent.comes_round()

    def end(self) -> None:
        """Takes every connection back, and lends none any more."""
        for lent in self._lent:
            self._take_back(lent)
        self.open_from = inf

    def close(self) -> None:
        """Lets go of the readers' descriptors, once their threads have ended."""
        for lent in self._lent:
            lent.close()


class LoopLending(Lending):
    """Lends to loops."""

    def __init__(self, acceptor: Acceptor, loops: Sequence[LoopWorker], poller: Poller) -> None:
        """``loops``: those that may read, the first one first."""
        super().__init__(acceptor, [partial(LoopLent, acceptor, loop) for loop in loops], poller)


class RunnerLending(Lending):
    """Lends to the runners of the blocking lane, while sync handlers are quick."""

    step = -1
    borrowers = "blocking workers"
    # As rows: sync handlers may well wait.
    look_s = LOOK_S

    def __init__(self, acceptor: Acceptor, lane: BlockingLane, poller: Poller) -> None:
        super().__init__(acceptor, [partial(RunnerLent, acceptor, lane)] * lane.runners_max, poller)
        self._pace = lane.pace
        self._last_pause_s = 0.0
        self._well_since = acceptor.now

    def _pause_s(self, now: float) -> float:
        """Ten times as long as the last time, unless all went well for long: it may be the collector."""
        went_well = now - self.open_from > _PAUSE_S
        self._last_pause_s = _FIRST_PAUSE_S if went_well else min(10 * self._last_pause_s, _PAUSE_S)
        self._well_since = now + self._last_pause_s
        return self._last_pause_s

    def _next_look_s(self, lent: Lent, now: float) -> float:
        seldom = now >= self._well_since + _PROVEN_S and not lent.is_suspected
        return _SELDOM * self.look_s if seldom else self.look_s

    def _is_open(self) -> bool:
        return super()._is_open() and self._pace.is_quick() and not self._pace.watches

    def _measure(self, now: float) -> None:
        if self._pace.is_quick():
            super()._measure(now)
        else:
            self.recall(now)


def _connections(lent: Lent) -> int:
    return len(lent.reader.connections)


def _one_is_enough(windows: Sequence[Window], window_s: float) -> bool:
    """Whether one thread could do what these have done."""
    busy_s = sum([window.ran_s + window.waited_s for window in windows])
    if busy_s <= _QUIET * window_s:
        return True
    a_turn = sum([window.begun / max(window.turns, 1) for window in windows])
    return a_turn <= _FEW and busy_s <= _LONG_S * sum([window.finished for window in windows])


def _make(makers: Sequence[Callable[[], Lent]], failure: str) -> list[Lent]:
    """What ``makers`` make; nothing where there are not descriptors enough."""
    made: list[Lent] = []
    try:
        for make in makers:
            made.append(make())
    except OSError as error:
        journal.log("warning", f"{failure}: {error.strerror}")
        for lent in made:
            lent.close()
        return []
    return made
