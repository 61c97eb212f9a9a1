"""Exchanges of handlers that compute: all run once, as many at once as have a place, none waits for ever."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from siphon.threads import computing
from siphon.threads.blocking import BlockingLane
from tests.stress.leaks import wait_until
from tests.stress.test_lanes import PATIENCE_S, Item, in_threads
from tests.stress.test_rows import Dealer, all_run_once, stops_under_load, submit_all
from tests.stress.test_rows import Exchange as Other

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.stress

CHAIN: Any = "the chain that computes"


class Exchange(Other):
    """Of a handler that is known to compute."""

    chain = CHAIN


def know(lane: BlockingLane) -> None:
    """Has the lane find that the chain computes, and stay with that whatever its exchanges do."""
    for _ in range(4):
        lane.computing.note(CHAIN, computed=True)
    lane.computing.note = lambda chain, *, computed: None  # type: ignore[method-assign]
    lane.pace._singly_until = float("inf")


@pytest.fixture
def dealer() -> Iterator[Callable[..., Dealer]]:
    """Makes a lane that knows a chain that computes, and who submits to it; nothing is left at the end."""
    made: list[tuple[Dealer, int]] = []

    def make(minimum: int, maximum: int, places: int, *, looks: bool = False) -> Dealer:
        lane = BlockingLane(minimum, maximum, 1_000_000, runners=places)
        lane.start()
        know(lane)
        one = Dealer(lane)
        one.looks = looks
        made.append((one, places))
        return one

    yield make
    for one, places in made:
        lane = one.lane
        assert wait_until(lambda lane=lane: lane.load == 0 and lane.resting == lane.size)  # type: ignore[misc]
        assert lane.waiting == lane.unfinished == len(lane.computing.begun) == 0
        assert len(lane.computing._free) == places
        one.end()
        lane.stop()
        assert lane.join(PATIENCE_S)


@pytest.mark.parametrize(("minimum", "maximum", "places"), [(0, 4, 1), (4, 4, 2), (8, 64, 4)])
@pytest.mark.parametrize("submitters", [1, 3])
def test_every_exchange_runs_exactly_once(
    dealer: Callable[..., Dealer], full: bool, submitters: int, minimum: int, maximum: int, places: int
) -> None:
    """Some block until their places are taken from them, and every third is of another chain."""
    each = 20_000 if full else 3_000
    one = dealer(minimum, maximum, places, looks=True)
    done: SimpleQueue[Item] = SimpleQueue()
    nobody_sets_it = threading.Event()

    def block() -> None:
        nobody_sets_it.wait(2 * computing.PATIENCE_S)

    def make(number: int) -> Item:
        kind = Exchange if number % 3 else Other
        return kind(done, inside=None if number % 500 else block)

    items: list[Any] = [make(number) for number in range(1, submitters * each + 1)]

    submit_all(one, items, submitters)
    all_run_once(items, done)


@pytest.mark.parametrize(("submitters", "places"), [(2, 1), (4, 2), (4, 4)])
def test_who_waits_for_each_exchange_is_never_forgotten(
    dealer: Callable[..., Dealer], full: bool, submitters: int, places: int
) -> None:
    """Nobody looks: who ends as another comes gives it the place, or it has found one."""
    one = dealer(4, 8, places)

    def submit(index: int) -> None:
        done: SimpleQueue[Item] = SimpleQueue()
        for _ in range(10_000 if full else 2_000):
            items: list[Any] = [Exchange(done) for _ in range(1 + index % 2)]
            one.submit(items)
            all_run_once(items, done)

    in_threads(submitters, submit)


@pytest.mark.parametrize("places", [1, 2, 4])
def test_no_more_run_at_once_than_there_are_places(
    dealer: Callable[..., Dealer], full: bool, places: int
) -> None:
    one = dealer(16, 16, places)
    done: SimpleQueue[Item] = SimpleQueue()
    lock = threading.Lock()
    running = most = 0

    def compute() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        for _ in range(300):
            pass
        with lock:
            running -= 1

    each = 5_000 if full else 1_000
    items: list[Any] = [Exchange(done, inside=compute) for _ in range(4 * each)]

    def submit(index: int) -> None:
        mine = items[index * each : (index + 1) * each]
        while mine:
            one.submit(mine[:3])
            del mine[:3]

    in_threads(4, submit)
    all_run_once(items, done)
    assert 1 <= most <= places


def test_those_that_do_not_compute_after_all_soon_run_at_once(dealer: Callable[..., Dealer]) -> None:
    one = dealer(16, 16, 2, looks=True)
    done: SimpleQueue[Item] = SimpleQueue()
    for _ in range(5):
        meeting = threading.Barrier(16)
        items: list[Any] = [
            Exchange(done, inside=lambda meeting=meeting: meeting.wait(PATIENCE_S))  # type: ignore[misc]
            for _ in range(16)
        ]
        one.submit(items)
        all_run_once(items, done)


def test_other_chains_do_not_wait_for_those_that_compute(dealer: Callable[..., Dealer]) -> None:
    one = dealer(4, 4, 1)
    done: SimpleQueue[Item] = SimpleQueue()
    gate = threading.Event()
    computing: list[Any] = [Exchange(done, inside=lambda: gate.wait(PATIENCE_S)), Exchange(done)]
    one.submit(computing)
    assert one.lane.computing.waiting == 1
    assert wait_until(lambda: one.lane.waiting == 1)
    others: list[Any] = [Other(done), Other(done)]
    one.submit(others)
    all_run_once(others, done)
    gate.set()
    all_run_once(computing, done)


def test_a_place_that_was_given_away_is_not_given_twice(dealer: Callable[..., Dealer]) -> None:
    """One has lost its place, ends, and another that waits stays where it is."""
    one = dealer(4, 4, 1)
    lane = one.lane
    done: SimpleQueue[Item] = SimpleQueue()
    gates = [threading.Event(), threading.Event()]
    items: list[Any] = [
        Exchange(done, inside=lambda gate=gate: gate.wait(PATIENCE_S))  # type: ignore[misc]
        for gate in gates
    ]
    last: list[Any] = [Exchange(done)]
    one.submit(items + last)
    assert lane.look(monotonic() + computing.PATIENCE_S) < float("inf"), "nobody would have looked again"
    assert wait_until(lambda: lane.waiting == 1)
    gates[0].set()
    all_run_once(items[:1], done)
    assert wait_until(lambda: lane.resting == 3)
    assert lane.waiting == 1
    gates[1].set()
    all_run_once(items[1:] + last, done)


def test_what_comes_while_a_place_becomes_free_has_it(dealer: Callable[..., Dealer]) -> None:
    one = dealer(4, 4, 1)
    done: SimpleQueue[Item] = SimpleQueue()
    gate = threading.Event()
    first: list[Any] = [Exchange(done, inside=lambda: gate.wait(PATIENCE_S))]
    late: list[Any] = [Exchange(done)]
    coming = [late]

    class Free(list[None]):
        def append(self, place: None) -> None:
            if coming:
                one.submit(coming.pop())
            super().append(place)

    one.submit(first)
    one.lane.computing._free = Free(one.lane.computing._free)
    gate.set()
    all_run_once(first + late, done)


def test_what_follows_does_not_wait_for_a_row_of_the_worker_that_ends(
    dealer: Callable[..., Dealer],
) -> None:
    """A runner has taken one that computes off the inbox, and was dealt a row meanwhile."""
    one = dealer(4, 4, 1)
    lane = one.lane
    done: SimpleQueue[Item] = SimpleQueue()
    in_row, singles, first, last = [threading.Event() for _ in range(4)]

    def behind(gate: threading.Event) -> Any:
        return Other(done, inside=lambda: gate.wait(PATIENCE_S))

    lane.pace._singly_until = 0.0
    row = [behind(in_row)]
    one.submit(row)  # makes a runner
    assert wait_until(lambda: any(worker.item is row[0] for worker in lane._runners))
    lane.pace._singly_until = float("inf")
    blocked = [behind(singles) for _ in range(3)]
    assert not lane.submit(blocked)
    computing: list[Any] = [Exchange(done, inside=lambda: first.wait(PATIENCE_S)), Exchange(done)]
    one.submit(computing)
    in_row.set()
    all_run_once(row, done)
    assert wait_until(lambda: any(worker.item is computing[0] for worker in lane._runners))
    lane.pace._singly_until = 0.0
    row = [behind(last), behind(last)]
    one.submit(row)
    singles.set()
    all_run_once(blocked, done)
    first.set()
    all_run_once(computing, done)
    last.set()
    all_run_once(row, done)


def test_a_lane_that_stops_meanwhile_ends_every_worker(full: bool) -> None:
    for number in range(200 if full else 30):
        lane = BlockingLane(4, 12, 1_000_000, runners=2)
        know(lane)
        stops_under_load(lane, Exchange, after_s=number % 5 * 0.0005)
