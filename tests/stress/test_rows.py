"""Rows of the blocking lane: every exchange runs once, and none waits for long behind one that blocks."""

from __future__ import annotations

import random
import select
import threading
from math import inf
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from siphon.threads import pace
from siphon.threads.blocking import LOOK_S, BlockingLane
from siphon.threads.blocking_worker import BlockingWorker
from siphon.threads.records import Records
from tests.stress.leaks import wait_until
from tests.stress.test_lanes import PATIENCE_S, Item, in_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.stress


class Exchange(Item):
    """Work for the blocking lane that may be dealt out in rows."""

    body = b""

    def goes_on_elsewhere(self, worker: object) -> bool:
        self.on_worker(worker)
        return False

    def release_body(self) -> None:
        """It has none."""


class Dealer:
    """Stands for an acceptor: submits, gets back, and looks from a thread of its own."""

    def __init__(self, lane: BlockingLane) -> None:
        self.lane = lane
        self.taken_back = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.looks = True
        self._thread = threading.Thread(target=self._look_on, daemon=True)
        self._thread.start()

    def take_back(self, row: object) -> None:
        with self._lock:
            self.taken_back += 1

    def submit(self, items: list[Any]) -> None:
        owner: Any = self
        assert not self.lane.submit(items, owner)

    def _look_on(self) -> None:
        while not self._stop.wait(LOOK_S):
            if self.looks and self.lane.look_at <= (now := monotonic()):
                self.lane.look(now)

    def end(self) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_S)


@pytest.fixture
def dealer(request: pytest.FixtureRequest) -> Iterator[Callable[..., Dealer]]:
    """Makes a lane with runners, and who deals to them; after the test all must rest and end."""
    made: list[Dealer] = []

    def make(minimum: int, maximum: int, runners: int) -> Dealer:
        lane = BlockingLane(minimum, maximum, 1_000_000, runners=runners)
        lane.start()
        made.append(Dealer(lane))
        return made[-1]

    yield make
    for one in made:
        one.looks = True
        lane = one.lane
        assert wait_until(lambda lane=lane: lane.load == 0 and lane.resting == lane.size)  # type: ignore[misc]
        assert lane.waiting == lane.unfinished == 0
        one.end()
        lane.stop()
        assert lane.join(PATIENCE_S)


def all_run_once(items: list[Any], done: SimpleQueue[Item]) -> None:
    for _ in items:
        done.get(timeout=PATIENCE_S)
    assert all(item.runs == 1 for item in items)
    assert done.empty()


def submit_all(one: Dealer, items: list[Any], submitters: int) -> None:
    """Submits ``items`` from so many threads at once, up to twelve at a time."""
    each = len(items) // submitters

    def submit(index: int) -> None:
        dice = random.Random(index)
        mine = items[index * each : (index + 1) * each]
        while mine:
            size = dice.randint(1, 12)
            one.submit(mine[:size])
            del mine[:size]

    in_threads(submitters, submit)


def stops_under_load(lane: BlockingLane, kind: type[Exchange], *, after_s: float) -> None:
    """Starts ``lane``, stops it while two submit to it, and sees every worker end."""
    lane.start()
    one = Dealer(lane)
    done: SimpleQueue[Item] = SimpleQueue()

    def submit(index: int) -> None:
        for _ in range(60):
            one.submit([kind(done) for _ in range(4)])

    submitter = threading.Thread(target=in_threads, args=[2, submit], daemon=True)
    submitter.start()
    threading.Event().wait(after_s)
    lane.stop()
    submitter.join(PATIENCE_S)
    assert not submitter.is_alive()
    assert lane.join(PATIENCE_S)
    one.end()


@pytest.mark.parametrize(("minimum", "maximum", "runners"), [(0, 4, 1), (2, 8, 2), (8, 64, 4)])
def test_every_exchange_of_many_dealers_runs_exactly_once(
    dealer: Callable[..., Dealer],
    note: Callable[..., None],
    full: bool,
    minimum: int,
    maximum: int,
    runners: int,
) -> None:
    """Some block for longer than it takes to look twice, so rows change hands all the time."""
    submitters, each = 3, 20_000 if full else 4_000
    one = dealer(minimum, maximum, runners)
    done: SimpleQueue[Item] = SimpleQueue()
    nobody_sets_it = threading.Event()

    def block() -> None:
        nobody_sets_it.wait(3 * LOOK_S)

    items: list[Any] = [Exchange(done, inside=None if n % 500 else block) for n in range(submitters * each)]

    submit_all(one, items, submitters)
    all_run_once(items, done)
    note(items=len(items), rows=one.taken_back)
    assert one.taken_back


@pytest.mark.parametrize(("minimum", "maximum", "runners"), [(0, 4, 1), (2, 8, 2)])
@pytest.mark.parametrize("submitters", [1, 4])
def test_a_dealer_that_waits_for_each_exchange_is_never_forgotten(
    dealer: Callable[..., Dealer], full: bool, submitters: int, minimum: int, maximum: int, runners: int
) -> None:
    """Some come in rows and some by the inbox: no runner may go to rest beside either."""
    one = dealer(minimum, maximum, runners)
    one.looks = False  # nor may it take a look to find them

    def submit(index: int) -> None:
        done: SimpleQueue[Item] = SimpleQueue()
        for number in range(10_000 if full else 1_500):
            item: Any = Exchange(done)
            if (number + index) % 3:
                one.submit([item])
            else:
                assert not one.lane.submit([item])
            done.get(timeout=PATIENCE_S)

    in_threads(submitters, submit)


@pytest.mark.parametrize(("minimum", "maximum", "runners"), [(1, 4, 1), (2, 8, 2), (8, 8, 2), (1, 16, 4)])
def test_rows_of_sleepers_run_on_all_workers_at_once(
    dealer: Callable[..., Dealer], full: bool, minimum: int, maximum: int, runners: int
) -> None:
    """Each waits for all the others: one that is left in a row behind a sleeper would wait for ever."""
    one = dealer(minimum, maximum, runners)
    done: SimpleQueue[Item] = SimpleQueue()
    meeting = threading.Barrier(maximum)
    for _ in range(300 if full else 30):
        one.lane.pace._singly_until = 0.0  # in rows again, whatever was learnt
        items: list[Any] = [Exchange(done, inside=lambda: meeting.wait(PATIENCE_S)) for _ in range(maximum)]
        one.submit(items)
        all_run_once(items, done)
    assert one.lane.size == maximum


def test_what_is_dealt_behind_one_that_blocks_is_taken_over_by_another(dealer: Callable[..., Dealer]) -> None:
    one = dealer(1, 4, 1)
    done: SimpleQueue[Item] = SimpleQueue()
    began, gate = threading.Event(), threading.Event()

    def block() -> None:
        began.set()
        assert gate.wait(PATIENCE_S)

    blocked: Any = Exchange(done, inside=block)
    one.submit([blocked])
    assert began.wait(PATIENCE_S)
    # The one runner is at it; there is no other yet, so these are dealt to nobody else.
    behind: list[Any] = [Exchange(done) for _ in range(5)]
    one.submit(behind)
    all_run_once(behind, done)
    gate.set()
    assert done.get(timeout=PATIENCE_S) is blocked


def test_a_runner_that_works_for_the_inbox_does_not_keep_its_row_waiting(
    dealer: Callable[..., Dealer],
) -> None:
    one = dealer(4, 4, 1)
    done: SimpleQueue[Item] = SimpleQueue()
    quick: Any = Exchange(done)
    one.submit([quick])  # makes one of the four a runner
    done.get(timeout=PATIENCE_S)
    meeting = threading.Barrier(5)
    singles: list[Any] = [Exchange(done, inside=lambda: meeting.wait(PATIENCE_S)) for _ in range(4)]
    assert not one.lane.submit(singles)
    assert wait_until(lambda: meeting.n_waiting == 4), "the runner that rested was not woken"
    row: list[Any] = [Exchange(done) for _ in range(2)]
    one.submit(row)
    assert one.lane.waiting == 2
    meeting.wait(PATIENCE_S)
    all_run_once([*singles, *row], done)


def test_what_is_queued_while_a_runner_goes_to_rest_is_seen_by_it(
    dealer: Callable[..., Dealer], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = dealer(4, 4, 1)
    done: SimpleQueue[Item] = SimpleQueue()
    meeting = threading.Barrier(4)
    singles: list[Any] = [Exchange(done, inside=lambda: meeting.wait(PATIENCE_S)) for _ in range(3)]
    quick: list[Any] = [Exchange(done)]
    late: list[Any] = [Exchange(done)]
    rest = BlockingWorker.rest

    def queue_and_rest(worker: BlockingWorker) -> bool:
        if not late[0].runs and not one.lane.waiting:
            assert not one.lane.submit(late)
        return rest(worker)

    assert not one.lane.submit(singles)
    assert wait_until(lambda: meeting.n_waiting == 3)
    monkeypatch.setattr(BlockingWorker, "rest", queue_and_rest)
    one.submit(quick)  # to the one that is left
    all_run_once([*quick, *late], done)
    meeting.wait(PATIENCE_S)
    all_run_once(singles, done)


def test_what_is_dealt_to_one_that_was_just_relieved_goes_to_another(
    dealer: Callable[..., Dealer], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = dealer(4, 4, 1)
    one.looks = False
    done: SimpleQueue[Item] = SimpleQueue()
    began, gate = threading.Event(), threading.Event()

    def block() -> None:
        began.set()
        assert gate.wait(PATIENCE_S)

    blocked: list[Any] = [Exchange(done, inside=block)]
    one.submit(blocked)
    assert began.wait(PATIENCE_S)
    add_row = BlockingWorker.add_row

    def relieve_and_add_row(worker: BlockingWorker, row: Any) -> int:
        one.lane.drop_runner(worker)
        return add_row(worker, row)

    monkeypatch.setattr(BlockingWorker, "add_row", relieve_and_add_row)
    dealt: list[Any] = [Exchange(done)]
    one.submit(dealt)
    all_run_once(dealt, done)
    gate.set()
    all_run_once(blocked, done)


def test_a_row_that_is_being_taken_is_not_overlooked(dealer: Callable[..., Dealer]) -> None:
    one = dealer(4, 4, 1)
    one.looks = False
    done: SimpleQueue[Item] = SimpleQueue()
    quick: list[Any] = [Exchange(done)]
    one.submit(quick)  # makes a runner
    all_run_once(quick, done)
    (runner,) = one.lane._runners
    answers: SimpleQueue[float] = SimpleQueue()

    class Rows(list[Any]):
        def pop(self, index: Any = -1) -> Any:
            row = super().pop(index)
            later = monotonic() + LOOK_S  # it is due then
            looker = threading.Thread(target=lambda: answers.put(one.lane.look(later)), daemon=True)
            looker.start()
            looker.join(0.1)  # it would have ended by now if it did not have to wait
            return row

    assert wait_until(lambda: runner.resting)
    runner._rows = Rows()
    gate = threading.Event()
    row: list[Any] = [Exchange(done, inside=lambda: gate.wait(PATIENCE_S)), Exchange(done)]
    one.submit(row)
    assert answers.get(timeout=PATIENCE_S) < inf, "nobody would have looked again"
    gate.set()
    all_run_once(row, done)


def test_what_was_answered_before_one_that_blocks_is_recorded_meanwhile() -> None:
    class Settled(Records):
        def __init__(self) -> None:
            super().__init__()
            self.by_others = threading.Event()

        def settle(self) -> None:
            if threading.current_thread() is not runner:
                self.by_others.set()

    records = Settled()
    lane = BlockingLane(1, 4, 100, lambda: records, runners=1)
    lane.start()
    (runner,) = lane.workers
    one = Dealer(lane)
    done: SimpleQueue[Item] = SimpleQueue()
    gate = threading.Event()
    items: list[Any] = [Exchange(done), Exchange(done, inside=lambda: gate.wait(PATIENCE_S)), Exchange(done)]
    one.submit(items)
    assert records.by_others.wait(PATIENCE_S)
    gate.set()
    all_run_once(items, done)
    one.end()
    lane.stop()
    assert lane.join(PATIENCE_S)


def test_exchanges_that_wait_are_soon_dealt_out_singly_and_quick_ones_in_rows_again(
    dealer: Callable[..., Dealer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "_SINGLY_S", 0.3)
    one = dealer(8, 32, 2)
    done: SimpleQueue[Item] = SimpleQueue()
    for _ in range(10):
        # Not for an Event: before that it yields 40 times, which on a busy machine is taken for a lock.
        items: list[Any] = [
            Exchange(done, inside=lambda: select.select([], [], [], 0.001)) for _ in range(16)
        ]
        one.submit(items)
        all_run_once(items, done)
    assert one.lane.pace._singly_until > monotonic()
    assert wait_until(lambda: one.lane.pace._singly_until < monotonic())
    rows = one.taken_back

    def come_in_rows() -> bool:
        quick: list[Any] = [Exchange(done) for _ in range(16)]
        one.submit(quick)
        all_run_once(quick, done)
        return one.taken_back >= rows + 2

    # Again and again: on a busy machine some may be taken for held up, and others go singly for a while.
    assert wait_until(come_in_rows)


def test_exchanges_that_compute_for_long_are_soon_dealt_out_singly(dealer: Callable[..., Dealer]) -> None:
    one = dealer(8, 32, 2)
    done: SimpleQueue[Item] = SimpleQueue()

    def compute() -> None:
        end = monotonic() + 0.004
        while monotonic() < end:
            pass

    for _ in range(10):
        items: list[Any] = [Exchange(done, inside=compute) for _ in range(8)]
        one.submit(items)
        all_run_once(items, done)
    assert one.lane.pace._singly_until > monotonic()


def test_quick_exchanges_stay_in_rows(dealer: Callable[..., Dealer]) -> None:
    """Also where another thread takes the processor away, or the interpreter's locks are contended."""
    one = dealer(8, 32, 2)
    done: SimpleQueue[Item] = SimpleQueue()
    for _ in range(300):
        items: list[Any] = [Exchange(done) for _ in range(16)]
        one.submit(items)
        all_run_once(items, done)
    assert one.lane.pace._singly_until == 0.0


def test_a_lane_that_stops_with_rows_ends_every_worker(full: bool) -> None:
    for number in range(200 if full else 30):
        lane = BlockingLane(number % 3, 12, 1_000_000, runners=3)
        stops_under_load(lane, Exchange, after_s=number % 5 * 0.0005)
