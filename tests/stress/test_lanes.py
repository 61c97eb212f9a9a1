"""The lanes alone: every item runs exactly once, nobody sleeps beside work, nothing is forgotten."""

from __future__ import annotations

import random
import threading
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from siphon.config.settings import ThreadSettings
from siphon.threads.blocking import BlockingLane
from siphon.threads.lanes import Lanes
from siphon.threads.loops import LoopWorker
from siphon.threads.records import Records
from siphon.threads.room import Room
from tests.stress.leaks import wait_until
from tests.stress.load import Load, Peer, Received, get, run_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from siphon.threads.acceptor import Acceptor
    from siphon.threads.connection import Connection
    from tests.service import Service

pytestmark = pytest.mark.stress

PATIENCE_S = 20.0


class Item:
    """Work for either lane: counts its runs and reports the end to a queue."""

    counted = True
    chain: object = None

    def __init__(
        self, done: SimpleQueue[Item], number: int = 0, inside: Callable[[], object] | None = None
    ) -> None:
        self.number = number
        self.runs = 0
        self._inside = inside
        self._done = done

    def on_worker(self, worker: object) -> None:
        self.runs += 1
        if self._inside is not None:
            self._inside()
        self._done.put(self)

    def on_loop(self, worker: LoopWorker) -> None:
        worker.finished += 1
        self.on_worker(worker)


class Posted(Item):
    """An item that takes no place in a loop's load."""

    counted = False

    def on_loop(self, worker: LoopWorker) -> None:
        self.on_worker(worker)


type Items = list[Any]


@pytest.fixture
def lane() -> Iterator[Callable[[int, int, int], BlockingLane]]:
    """Makes and starts a lane; after the test its load must be 0 and its threads must end."""
    made: list[BlockingLane] = []

    def make(minimum: int, maximum: int, queue_max: int) -> BlockingLane:
        one = BlockingLane(minimum, maximum, queue_max)
        one.start()
        made.append(one)
        return one

    yield make
    for one in made:
        assert wait_until(lambda one=one: len(one._parked) == one.size)  # type: ignore[misc]
        assert one.load == 0
        one.stop()
        assert one.join(PATIENCE_S)


@pytest.fixture
def loop_worker() -> Iterator[LoopWorker]:
    """A running loop worker; after the test its load must be 0 and its thread must end."""
    worker = LoopWorker(0, Records())
    worker.start()
    yield worker
    assert wait_until(lambda: worker.load == 0)
    worker.stop()
    worker.join(PATIENCE_S)
    assert not worker.is_alive()
    worker.close()


def in_threads(number: int, work: Callable[[int], None]) -> None:
    """Runs ``work(0)`` to ``work(number - 1)`` at once, each on its thread; raises the first error."""
    errors: SimpleQueue[BaseException] = SimpleQueue()

    def run(index: int) -> None:
        try:
            work(index)
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.put(error)

    threads = [threading.Thread(target=run, args=[index], daemon=True) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    if not errors.empty():
        raise errors.get()


# The blocking lane --------------------------------------------------------------------------------


@pytest.mark.parametrize(("minimum", "maximum"), [(1, 1), (1, 8), (4, 4)])
def test_every_item_of_many_submitters_runs_exactly_once(
    lane: Callable[..., BlockingLane], note: Callable[..., None], full: bool, minimum: int, maximum: int
) -> None:
    submitters, each = 4, 25_000 if full else 4_000
    one = lane(minimum, maximum, submitters * each)
    done: SimpleQueue[Item] = SimpleQueue()
    items: Items = [Item(done) for _ in range(submitters * each)]

    def submit(index: int) -> None:
        dice = random.Random(index)
        mine = items[index * each : (index + 1) * each]
        while mine:
            size = dice.randint(1, 8)
            assert not one.submit(mine[:size])
            del mine[:size]

    began = monotonic()
    in_threads(submitters, submit)
    for _ in items:
        done.get(timeout=PATIENCE_S)
    assert all(item.runs == 1 for item in items)
    note(items=len(items), per_second=round(len(items) / (monotonic() - began)))


@pytest.mark.parametrize("submitters", [1, 4])
@pytest.mark.parametrize(("minimum", "maximum"), [(1, 1), (2, 4)])
def test_a_submitter_that_waits_for_each_item_is_never_forgotten(
    lane: Callable[..., BlockingLane],
    note: Callable[..., None],
    full: bool,
    minimum: int,
    maximum: int,
    submitters: int,
) -> None:
    """Nobody comes after it to wake the worker that was not woken, or that went to rest beside work."""
    one = lane(minimum, maximum, 100)
    rounds = 20_000 if full else 2_000

    def submit(index: int) -> None:
        done: SimpleQueue[Item] = SimpleQueue()
        for _ in range(rounds):
            item: Any = Item(done)
            assert not one.submit([item])
            done.get(timeout=PATIENCE_S)

    in_threads(submitters, submit)
    note(rounds=rounds * submitters)


@pytest.mark.parametrize(("minimum", "workers"), [(2, 2), (8, 8), (1, 8)])
def test_a_batch_of_sleepers_runs_on_as_many_workers_at_once(
    lane: Callable[..., BlockingLane], note: Callable[..., None], full: bool, minimum: int, workers: int
) -> None:
    """Each item waits for all the others: one that is left behind a sleeper would wait for ever."""
    one = lane(minimum, workers, 100)
    rounds = 2_000 if full else 200
    done: SimpleQueue[Item] = SimpleQueue()
    meeting = threading.Barrier(workers)
    for _ in range(rounds):
        batch: Items = [Item(done, inside=lambda: meeting.wait(PATIENCE_S)) for _ in range(workers)]
        assert not one.submit(batch)
        for _ in batch:
            assert done.get(timeout=PATIENCE_S).runs == 1
    assert one.size == workers
    note(rounds=rounds, workers=workers)


@pytest.mark.parametrize("submitters", [1, 4])
def test_the_queue_takes_what_its_bound_allows_and_no_more(
    lane: Callable[..., BlockingLane], submitters: int
) -> None:
    workers, queue_max = 4, 8
    one = lane(1, workers, queue_max)
    done: SimpleQueue[Item] = SimpleQueue()
    for _ in range(20):
        gate = threading.Event()
        refused: SimpleQueue[int] = SimpleQueue()

        def submit(index: int, gate: threading.Event = gate, refused: SimpleQueue[int] = refused) -> None:
            for _ in range(100 // submitters):
                item: Any = Item(done, inside=lambda: gate.wait(PATIENCE_S))
                refused.put(len(one.submit([item])))

        in_threads(submitters, submit)
        # All that was taken waits or runs: the gate is still shut.
        assert one.load == workers + queue_max
        assert sum(refused.get() for _ in range(100)) == 100 - workers - queue_max
        gate.set()
        for _ in range(workers + queue_max):
            assert done.get(timeout=PATIENCE_S).runs == 1
        assert wait_until(lambda: one.load == 0, every_s=0.001)
    assert done.empty()


@pytest.mark.parametrize("submitters", [2, 4])
def test_no_more_is_in_flight_than_is_allowed(submitters: int, full: bool) -> None:
    """Many threads at once take what room there is: all of it, and no more."""
    at_once = 3
    allowed = at_once * (70_000 if full else 14_000)
    lanes = Lanes(ThreadSettings(), access_log=False, dev=False)
    rooms = iter([allowed])
    lanes._room = Room(lambda: next(rooms, 0))
    start = threading.Barrier(submitters)
    let_in: SimpleQueue[int] = SimpleQueue()

    def submit() -> None:
        count = 0
        start.wait(30)
        while True:
            exchanges: Items = [None] * at_once
            refused = lanes._leave_out([], exchanges)
            count += len(exchanges)
            if refused:
                let_in.put(count)
                return

    threads = [threading.Thread(target=submit) for _ in range(submitters)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(let_in.get(timeout=1) for _ in threads) == allowed


def test_a_lane_that_stops_under_load_ends_every_worker(full: bool) -> None:
    for number in range(200 if full else 20):
        one = BlockingLane(2, 6, 1_000)
        one.start()
        done: SimpleQueue[Item] = SimpleQueue()
        began = threading.Event()

        def submit(index: int, one: BlockingLane = one, done: SimpleQueue[Item] = done) -> None:
            for item in [Item(done) for _ in range(200)]:
                given: Any = item
                one.submit([given])

        submitter = threading.Thread(target=in_threads, args=[2, submit], daemon=True)
        submitter.start()
        began.wait(number % 5 * 0.0005)
        one.stop()
        submitter.join(PATIENCE_S)
        assert one.join(PATIENCE_S)


# A loop worker ------------------------------------------------------------------------------------


def test_a_loop_runs_every_item_once_and_each_submitters_in_order(
    loop_worker: LoopWorker, note: Callable[..., None], full: bool
) -> None:
    submitters, each = 4, 50_000 if full else 10_000
    done: SimpleQueue[Item] = SimpleQueue()
    items: Items = [(Item, Posted)[number % 2](done, number) for number in range(submitters * each)]

    def submit(index: int) -> None:
        for item in items[index * each : (index + 1) * each]:
            if item.counted:
                loop_worker.submit([item])
            else:
                loop_worker.post(item)

    in_threads(submitters, submit)
    last = [-1] * submitters
    for _ in items:
        number = done.get(timeout=PATIENCE_S).number
        assert last[number // each] < number
        last[number // each] = number
    assert all(item.runs == 1 for item in items)
    assert loop_worker.submitted == sum(item.counted for item in items)
    note(items=len(items))


@pytest.mark.parametrize("submitters", [1, 2, 6])
def test_a_submitter_that_waits_for_the_loop_is_never_forgotten(
    loop_worker: LoopWorker, note: Callable[..., None], full: bool, submitters: int
) -> None:
    """What is queued while a drain ends must start another: nobody else comes to do it."""
    rounds = 20_000 if full else 2_000

    def submit(index: int) -> None:
        done: SimpleQueue[Item] = SimpleQueue()
        for _ in range(rounds):
            item: Any = Item(done)
            loop_worker.submit([item])
            done.get(timeout=PATIENCE_S)

    in_threads(submitters, submit)
    note(rounds=rounds * submitters)


def test_an_inbox_that_never_runs_dry_leaves_the_loop_its_turns(loop_worker: LoopWorker) -> None:
    """An item that queues the next one from inside a drain may not hold up what the loop has to do."""
    done: SimpleQueue[Item] = SimpleQueue()
    stop = threading.Event()
    turned = threading.Event()

    def again() -> None:
        if not stop.is_set():
            item: Any = Posted(done, inside=again)
            loop_worker.post(item)

    again()
    loop_worker.loop.call_soon_threadsafe(turned.set)
    assert turned.wait(PATIENCE_S)
    stop.set()


# The acceptor -------------------------------------------------------------------------------------

PAIRS = """
    from siphon import http

    @http.route("/{token}")
    async def own(req):
        return http.Response(body=req.path_params["token"])
"""


class Pairs(Peer):
    """Sends two requests at once, waits for both answers, and again: every second one needs a kick."""

    def __init__(self, load: Load, name: int, rounds: int) -> None:
        self._name = name
        self._rounds = rounds
        self._expected: list[bytes] = []
        super().__init__(load)

    def begin(self) -> None:
        if not self._rounds:
            self.close()
            return
        self._rounds -= 1
        tokens = [f"{self._name}-{self._rounds}-{which}" for which in "ab"]
        self._expected = [token.encode() for token in tokens]
        self.send(b"".join(get(f"/{token}") for token in tokens))

    def on_answer(self, answer: Received) -> None:
        assert answer == Received(200, self._expected.pop(0))
        if not self._expected:
            self.begin()


def test_kicks_from_everywhere_are_attended_to(
    storm: Callable[..., Service], note: Callable[..., None], full: bool
) -> None:
    service = storm(PAIRS, keep_alive_requests=1_000_000, keep_alive_timeout_ms=60_000)
    acceptor = service.server._acceptors[0]
    rounds = 5_000 if full else 400
    load = Load(("127.0.0.1", service.port))
    for name in range(8):
        Pairs(load, name, rounds)
    assert wait_until(lambda: len(acceptor.connections) == 8)
    connections = list(acceptor.connections.values())
    finished = threading.Event()
    kicks: SimpleQueue[int] = SimpleQueue()
    kickers = [
        threading.Thread(target=_kick_until, args=[finished, acceptor, connections, kicks]) for _ in range(2)
    ]
    for kicker in kickers:
        kicker.start()
    try:
        run_all([load])
    finally:
        finished.set()
        for kicker in kickers:
            kicker.join(PATIENCE_S)
    # Closed connections have been kicked too, and that was harmless.
    note(pairs=8 * rounds, kicks=kicks.get() + kicks.get())


def _kick_until(
    finished: threading.Event, acceptor: Acceptor, connections: list[Connection], kicks: SimpleQueue[int]
) -> None:
    number = 0
    # A breath between two volleys: the acceptor has its own work, too.
    while not finished.wait(0.0005):
        for connection in connections:
            acceptor.kick(connection)
            number += 1
    kicks.put(number)


@pytest.mark.parametrize("kickers", [1, 4])
def test_no_kick_is_slept_through(
    storm: Callable[..., Service], note: Callable[..., None], full: bool, kickers: int
) -> None:
    """Nothing else happens on this server, so a lost wake-up would stay lost."""
    service = storm(PAIRS, keep_alive_timeout_ms=60_000)
    acceptor = service.server._acceptors[0]
    clients = [service.connect() for _ in range(kickers)]
    assert wait_until(lambda: len(acceptor.connections) == kickers)
    connections = list(acceptor.connections.values())
    rounds = 3_000 if full else 300

    def kick(index: int) -> None:
        connection = connections[index]
        for _ in range(rounds):
            with connection.lock:
                # What an acceptor clears when it attends to an idle connection.
                connection.kick_wanted = True
            acceptor.kick(connection)
            assert wait_until(lambda: not connection.kick_wanted, 5.0, every_s=0.0002)

    in_threads(kickers, kick)
    for client in clients:
        assert client.get("/still-there").body == b"still-there"
        client.close()
    note(kicks=rounds * kickers)
