"""Exchanges that go singly, each to a parked worker of its own: all run once, none waits for another."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest

from siphon.threads.blocking import BlockingLane
from tests.stress.leaks import wait_until
from tests.stress.test_lanes import PATIENCE_S, Item, in_threads
from tests.stress.test_rows import Exchange, all_run_once, stops_under_load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from siphon.wakeup import Gate

pytestmark = pytest.mark.stress


class Visit(Item):
    """What comes by the inbox."""

    counted = False


class SlowGate:
    """A worker's gate that is opened later, when the test says so."""

    def __init__(self, gate: Gate) -> None:
        self.wait = gate.wait
        self.close = gate.close
        self.open_now = gate.open

    def open(self) -> None:
        """Not yet."""


@pytest.fixture
def lane() -> Iterator[Callable[..., BlockingLane]]:
    """Makes a lane whose exchanges have turned out to wait; after the test all must rest and end."""
    made: list[BlockingLane] = []

    def make(minimum: int, maximum: int, queue_max: int = 1_000_000) -> BlockingLane:
        one = BlockingLane(minimum, maximum, queue_max, runners=2)
        one.start()
        one.pace._singly_until = float("inf")
        made.append(one)
        assert wait_until(lambda: one.resting == minimum)
        return one

    yield make
    for one in made:
        assert wait_until(lambda one=one: one.resting == one.size)  # type: ignore[misc]
        assert one.load == one.waiting == one.unfinished == 0
        one.stop()
        assert one.join(PATIENCE_S)


@pytest.mark.parametrize(("minimum", "maximum"), [(0, 4), (4, 4), (8, 64)])
@pytest.mark.parametrize("submitters", [1, 3])
def test_every_exchange_runs_exactly_once(
    lane: Callable[..., BlockingLane], full: bool, submitters: int, minimum: int, maximum: int
) -> None:
    """More come than there are workers, so that some go by the inbox, as visits do anyhow."""
    each = 20_000 if full else 3_000
    one = lane(minimum, maximum)
    done: SimpleQueue[Item] = SimpleQueue()
    items: list[Any] = [Exchange(done) if n % 7 else Visit(done) for n in range(submitters * each)]

    def submit(index: int) -> None:
        mine = items[index * each : (index + 1) * each]
        while mine:
            assert one.submit([item for item in mine[:7] if item.counted]) == []
            assert all(one.submit_visit(item) for item in mine[:7] if not item.counted)
            del mine[:7]

    in_threads(submitters, submit)
    all_run_once(items, done)


def test_who_waits_for_each_exchange_is_never_forgotten(
    lane: Callable[..., BlockingLane], full: bool
) -> None:
    """Workers park while others are taken off the stack."""
    one = lane(4, 8)

    def submit(index: int) -> None:
        done: SimpleQueue[Item] = SimpleQueue()
        for _ in range(5_000 if full else 1_000):
            items: list[Any] = [Exchange(done), Exchange(done)]
            one.submit(items)
            all_run_once(items, done)

    in_threads(4, submit)


def test_as_many_run_at_once_as_there_are_workers(lane: Callable[..., BlockingLane]) -> None:
    one = lane(16, 16)
    done: SimpleQueue[Item] = SimpleQueue()
    all_are_there = threading.Barrier(16)
    for _ in range(20):
        items: list[Any] = [Exchange(done, inside=lambda: all_are_there.wait(PATIENCE_S)) for _ in range(16)]
        one.submit(items)
        all_run_once(items, done)
        assert wait_until(lambda: one.resting == 16)


def test_a_full_lane_refuses_and_keeps_its_workers(lane: Callable[..., BlockingLane]) -> None:
    """Nobody is taken off the stack for what is refused."""
    one = lane(4, 4, 0)
    done: SimpleQueue[Item] = SimpleQueue()
    gate = threading.Event()
    for waiting in (3, 4):
        blocked: list[Any] = [Exchange(done, inside=lambda: gate.wait(PATIENCE_S)) for _ in range(waiting)]
        assert one.submit(blocked) == []
        more: list[Any] = [Exchange(done, inside=lambda: gate.wait(PATIENCE_S)) for _ in range(5 - waiting)]
        assert one.submit(more) == more[-1:]
        assert one.submit(more[-1:]) == more[-1:]
        gate.set()
        all_run_once(blocked + more[:-1], done)
        assert wait_until(lambda: one.resting == 4)
        gate.clear()


def test_who_has_been_handed_one_and_not_begun_counts_as_waiting(
    lane: Callable[..., BlockingLane], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = lane(1, 1)
    (worker,) = one.workers
    done: SimpleQueue[Item] = SimpleQueue()
    items: list[Any] = [Exchange(done)]
    gate = SlowGate(worker.gate)
    monkeypatch.setattr(worker, "gate", gate)
    one.submit(items)
    assert (one.waiting, one.load, one.resting) == (1, 1, 0)
    gate.open_now()
    all_run_once(items, done)


def test_a_lane_that_stops_meanwhile_ends_every_worker(full: bool) -> None:
    for number in range(200 if full else 30):
        one = BlockingLane(4, 12, 1_000_000, runners=2)
        one.pace._singly_until = float("inf")
        stops_under_load(one, Exchange, after_s=number % 5 * 0.0005)
