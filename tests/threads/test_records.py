"""What a thread has noted of its answers is counted once, whoever settles it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from siphon.config.settings import ThreadSettings
from siphon.threads.lanes import Lanes
from siphon.threads.records import Noted, Records
from siphon.threads.tally import Key, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from siphon.threads.access import AccessLines
    from siphon.threads.exchange import Exchange
    from siphon.threads.loops import LoopWorker

ROUNDS = 300
NOTED = 200


@dataclass
class Pattern:
    pattern: str = "/"


class Answered:
    """What records need of an exchange that has been answered."""

    def __init__(self) -> None:
        self.chain = Pattern()
        self.head = ("GET",)
        self.started = 0.0


def answered() -> Exchange:
    return cast("Exchange", Answered())


def count(tally: Tally) -> float:
    return sum(tally.answers().get(Key("/", "GET", 200), [0])[:-1])


def test_what_is_noted_is_counted_when_it_is_settled() -> None:
    tally = Tally()
    records = Records(tally.new_cells())
    records.note(answered(), 200, 0)
    records.note(answered(), 200, 0)
    assert count(tally) == 0
    records.settle()
    assert count(tally) == 2
    records.settle()
    assert count(tally) == 2


def test_two_that_settle_at_once_count_nothing_twice_and_lose_nothing() -> None:
    """The thread itself, and whoever gives it up and is wrong."""
    tally = Tally()
    records = Records(tally.new_cells())
    done = threading.Event()

    def settle_again_and_again() -> None:
        while not done.is_set():
            records.settle()

    thread = threading.Thread(target=settle_again_and_again)
    thread.start()
    for _ in range(ROUNDS):
        for _ in range(NOTED):
            records.note(answered(), 200, 0)
        records.settle()
    done.set()
    thread.join(20)
    records.settle()
    assert count(tally) == ROUNDS * NOTED


class CountedBefore:
    """Lines of a log that knows how many answers were counted when they came."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self.counts: list[float] = []

    def add_exchanges(self, noted: Sequence[Noted]) -> None:
        self.counts += [count(self._tally)] * len(noted)


def test_what_is_counted_is_in_the_log_already() -> None:
    tally = Tally()
    lines = CountedBefore(tally)
    records = Records(tally.new_cells(), cast("AccessLines", lines))
    records.note(answered(), 200, 0)
    records.note(answered(), 200, 0)
    records.settle()
    assert lines.counts == [0, 0]
    assert count(tally) == 2


class Overtaken(list[Noted]):
    """Has somebody else settle once it has been read, before anything is taken out of it."""

    def __init__(self, settle: Callable[[], None]) -> None:
        super().__init__()
        self.other = threading.Thread(target=settle)

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        if self.other.ident is None:
            self.other.start()
            self.other.join(1)  # who settles meanwhile waits for this one, and the time passes
        return found


def test_who_settles_while_another_does_waits_for_it() -> None:
    tally = Tally()
    records = Records(tally.new_cells())
    other = Records(tally.new_cells())
    records._noted = noted = Overtaken(other.settle)
    other._noted, other._lock = noted, records._lock
    records.note(answered(), 200, 0)
    records.settle()
    noted.other.join(20)
    assert count(tally) == 1


class Stuck:
    """Answers, and does not come to an end before the gate opens."""

    def __init__(self) -> None:
        self.answered = threading.Event()
        self.gate = threading.Event()

    def on_loop(self, worker: LoopWorker) -> None:
        worker.records.note(answered(), 200, 0)
        self.answered.set()
        assert self.gate.wait(20)
        worker.records.settle()


def test_what_a_thread_has_noted_before_it_got_stuck_is_settled_for_it() -> None:
    tally = Tally()
    lanes = Lanes(ThreadSettings(loops=1), access_log=False, dev=False, tally=tally)
    lanes.start(blocking=False)
    (loop,) = lanes.loops
    stuck = Stuck()
    loop.post(cast("Exchange", stuck))
    assert stuck.answered.wait(10)
    lanes.settle()
    assert count(tally) == 1
    stuck.gate.set()
    loop.stop()
    loop.join(10)
    loop.close()
    assert count(tally) == 1
