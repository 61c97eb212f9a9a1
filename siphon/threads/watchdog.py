"""Notices lanes that have work and make no progress. The main thread looks, now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from siphon.threads.lanes import Lanes
    from siphon.threads.loops import LoopWorker

# Looks in the time after which a lane counts as stalled.
_LOOKS: Final = 4


class Notice(NamedTuple):
    """What is to be said of a lane: that it is stalled, or that it goes on after all."""

    stalled: bool
    text: str


class Beat:
    """Goes through a loop's inbox, to see whether the loop comes round."""

    __slots__ = ("arrived", "sent_at")

    def __init__(self, sent_at: float) -> None:
        self.sent_at = sent_at
        # Written by the loop's thread, read by the main thread.
        self.arrived = False

    def on_loop(self, worker: LoopWorker) -> None:
        """The loop has come round."""
        self.arrived = True


class Standstill:
    """Since when one lane has made no progress, and whether that was said."""

    def __init__(self, name: str, after_s: float) -> None:
        self._name = name
        self._after_s = after_s
        self._since: float | None = None
        self.said = False

    def ends(self) -> Notice | None:
        """The lane goes on, or has nothing to do."""
        self._since = None
        said, self.said = self.said, False
        return Notice(False, f"{self._name} goes on") if said else None

    def lasts(self, now: float, since: float, work: str) -> Notice | None:
        """The lane has work and none is done, ``since`` then or earlier."""
        if self._since is None:
            self._since = since
        if self.said or now - self._since < self._after_s:
            return None
        self.said = True
        return Notice(
            True, f"{self._name} is stalled: nothing has been done for {now - self._since:.1f} s, {work}"
        )


class Watchdog:
    """Compares what the lanes have done with what they had done before. Main thread only.

    The blocking lane is stalled when it has items and has finished none; a loop, when it has not come
    round: requests that are suspended there wait for something else, and it is none of its doing.
    """

    def __init__(self, lanes: Lanes, after_s: float) -> None:
        self._lanes = lanes
        self.pause_s = after_s / _LOOKS
        self._blocking = Standstill("the blocking lane", after_s)
        self._finished = -1
        self._after_s = after_s
        self._loops: dict[LoopWorker, Standstill] = {}
        self._beats: dict[LoopWorker, Beat] = {}

    @property
    def stalled_loops(self) -> int:
        """How many loops are stalled, as far as it has been said. Any thread."""
        return sum([standstill.said for standstill in self._loops.copy().values()])

    def look(self, now: float) -> list[Notice]:
        """What is to be said at ``now``, in monotonic seconds; once for each time that a lane stalls."""
        notices = [
            self._look_at_blocking(now),
            *[self._look_at_loop(worker, now) for worker in self._lanes.loops],
        ]
        return [notice for notice in notices if notice is not None]

    def _look_at_blocking(self, now: float) -> Notice | None:
        lane = self._lanes.blocking
        finished, unfinished = lane.finished, lane.unfinished
        ended = None
        if not unfinished or finished != self._finished:
            self._finished = finished
            ended = self._blocking.ends()
        if not unfinished:
            return ended
        waiting = lane.waiting
        lasts = self._blocking.lasts(now, now, f"{unfinished - waiting} in work and {waiting} waiting")
        return lasts or ended

    def _look_at_loop(self, worker: LoopWorker, now: float) -> Notice | None:
        standstill = self._loops.setdefault(worker, Standstill(worker.name, self._after_s))
        if worker in self._beats and not self._beats[worker].arrived:
            work = f"{worker.load} in work and {worker.waiting} waiting"
            return standstill.lasts(now, self._beats[worker].sent_at, work)
        self._beats[worker] = Beat(now)
        worker.post(self._beats[worker])
        return standstill.ends()
