"""Lending to the blocking lane: its runners read the connections whose sync requests they run."""

from __future__ import annotations

import errno
import select
import threading
from contextlib import ExitStack
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import pytest

from siphon.config.settings import LogSettings
from siphon.journal import journal
from siphon.threads import lending
from siphon.threads.acceptor import Acceptor
from siphon.threads.blocking import BlockingLane
from siphon.threads.blocking_worker import BlockingWorker
from siphon.threads.lending import POSSIBLE, RunnerLending
from siphon.threads.lent import RunnerLent
from siphon.threads.poller import READABLE
from siphon.threads.records import Records
from siphon.threads.runner_reader import RunnerReader
from siphon.threads.thread_clock import ThreadClock
from siphon.wakeup import Gate
from tests.client import request
from tests.stress.leaks import open_connections, wait_until
from tests.threads.lent import ask_until_lent

if TYPE_CHECKING:
    from collections.abc import Callable

    from siphon.threads.exchange import Exchange
    from tests.client import Client
    from tests.service import Service

pytestmark = pytest.mark.skipif(not POSSIBLE, reason="needs epoll, and a clock for each thread")

SCRIPT = """
    import select
    import threading
    import time
    from siphon import http

    entered = threading.Semaphore(0)
    gate = threading.Event()
    first_gate = threading.Event()

    @http.route("/")
    def thread(req):
        return http.Response(body=threading.current_thread().name)

    @http.route("/async")
    async def on_loop(req):
        return http.Response(body=threading.current_thread().name)

    @http.route("/blocking")
    def blocking(req):
        entered.release()
        gate.wait(20)
        return http.Response(body="late")

    @http.route("/first")
    def first(req):
        entered.release()
        first_gate.wait(20)
        return http.Response()

    @http.route("/waiting")
    def waiting(req):
        select.select([], [], [], 0.003)
        return http.Response()

    @http.route("/long")
    def long(req):
        began = time.thread_time()
        while time.thread_time() < began + 0.001:
            pass
        return http.Response()

    @http.route("/middling")
    def middling(req):
        began = time.thread_time()
        while time.thread_time() < began + 0.0004:
            pass
        return http.Response()

    @http.route("/big")
    def big(req):
        return http.Response(body=bytes(3_000_000))
"""


def lending_of(service: Service) -> RunnerLending:
    """What its acceptor lends to runners."""
    (acceptor,) = service.server._acceptors
    found = acceptor._lendings[1]
    assert isinstance(found, RunnerLending)
    return found


def lent_to(service: Service) -> list[int]:
    """How many connections each runner reads."""
    return [len(lent.reader.connections) for lent in lending_of(service)._lent]


def become_lent(service: Service, *clients: Client) -> None:
    """Asks until runners read the connections of ``clients``."""
    ask_until_lent(service, lending_of(service), clients)


def runner_of(service: Service, client: Client) -> BlockingWorker:
    """Asks until a runner reads the connection, the only one; returns the runner."""
    found: list[BlockingWorker] = []

    def asks() -> bool:
        assert client.get("/").status == 200
        workers = service.server._lanes.blocking.workers
        found[:] = [worker for worker in workers if worker.reader is not None and worker.is_runner]
        return sum(lent_to(service)) == len(found) == 1

    assert wait_until(asks, every_s=0.001)
    return found[0]


def test_a_connection_whose_requests_are_for_workers_is_lent_to_a_runner(
    serve: Callable[..., Service],
) -> None:
    service = serve(SCRIPT)
    (acceptor,) = service.server._acceptors
    with service.connect() as client:
        for _ in range(3):
            client.get("/")
        assert lent_to(service) == [0, 0]
        become_lent(service, client)
        assert lent_to(service) == [1, 0]
        assert not acceptor.connections
        reader = lending_of(service)._lent[0].reader
        begun = reader.begun
        (name,) = {client.get("/").body for _ in range(20)}
        assert name.startswith(b"siphon-blocking-")
        assert reader.begun == begun + 20
        # Everything counts as ever.
        assert wait_until(lambda: service.server._lanes.in_flight() == 0)


def test_a_request_for_a_loop_brings_it_back(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        for _ in range(3):
            become_lent(service, client)
            client.send(request("/async") * 2 + request("/") * 2)
            assert [client.answer().body[:11] for _ in range(2)] == [b"siphon-loop"] * 2
            assert [client.answer().body[:15] for _ in range(2)] == [b"siphon-blocking"] * 2
            assert lent_to(service) == [0, 0]


def test_one_that_alternates_stays(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        for _ in range(10):
            for path in ("/", "/", "/async", "/async", "/async", "/"):
                client.get(path)
            assert lent_to(service) == [0, 0]


def test_a_runner_that_is_held_up_holds_up_no_other_connection(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    with ExitStack() as stack:
        clients = [stack.enter_context(service.connect(timeout_s=5)) for _ in range(6)]
        become_lent(service, *clients)
        # Two that block, in one turn or in two, and others that come with them.
        for client in clients[:2]:
            client.send(request("/blocking"))
        for client in clients[2:]:
            client.send(request("/") * 3)
        for client in clients[2:]:
            assert [client.answer().status for _ in range(3)] == [200] * 3
        for _ in range(2):
            assert service.module.entered.acquire(timeout=10)
        assert lent_to(service) == [0, 0]
        assert lending_of(service).open_from > 0.0
        service.module.gate.set()
        assert [client.answer().body for client in clients[:2]] == [b"late"] * 2


def test_what_was_read_behind_a_request_that_blocks_is_run_by_others(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    with ExitStack() as stack:
        clients = [stack.enter_context(service.connect(timeout_s=5)) for _ in range(4)]
        become_lent(service, *clients)
        (reader,) = [lent.reader for lent in lending_of(service)._lent if lent.reader.connections]
        with reader.turn:  # all are ready when its next turn begins
            clients[0].send(request("/blocking"))
            for client in clients[1:]:
                client.send(request("/"))
        for client in clients[1:]:
            assert client.answer().status == 200
        service.module.gate.set()
        assert clients[0].answer().body == b"late"


def test_a_runner_that_is_none_any_more_gives_back_what_it_reads(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    lane = service.server._lanes.blocking
    with service.connect(timeout_s=5) as client:
        for _ in range(3):
            runner = runner_of(service, client)
            assert wait_until(runner.retire)  # as for the inbox, where nobody else is there
            lane.drop_runner(runner)
            runner.gate.open()
            assert wait_until(lambda: lent_to(service) == [0, 0])
        # Nothing was held up: another one reads it soon.
        assert lending_of(service).open_from == 0.0
        runner_of(service, client)


def test_nothing_is_lent_for_a_while_where_a_look_at_the_rows_has_found_one_that_blocks(
    serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunnerLending, "look_s", 0.2)
    service = serve(SCRIPT)
    with service.connect(timeout_s=5) as client, service.connect(timeout_s=5) as other:
        runner = runner_of(service, client)
        become_lent(service, other)
        client.send(request("/blocking"))
        assert service.module.entered.acquire(timeout=10)
        service.server._lanes.blocking.drop_runner(runner)
        assert other.get("/").status == 200
        assert wait_until(lambda: lending_of(service).open_from > 0.0)
        service.module.gate.set()
        assert client.answer().body == b"late"


def test_a_worker_that_lowers_its_priority_reads_no_more(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    lane = service.server._lanes.blocking
    with service.connect(timeout_s=5) as client:
        runner = runner_of(service, client)
        lane.drop_runner(runner)
        if runner.rise():  # one that works would not have rested
            runner.gate.open()
        assert client.get("/").status == 200
        assert wait_until(lambda: runner.reader is None)
        become_lent(service, client)


def test_what_was_read_in_the_turn_that_is_held_up_is_run_by_others(
    serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is ready then, and no deadline is near."""
    monkeypatch.setattr(RunnerLending, "look_s", 0.1)
    told: list[RunnerReader] = []
    have_watched = RunnerReader.have_watched

    def note_watched(self: RunnerReader) -> None:
        told.append(self)
        have_watched(self)

    monkeypatch.setattr(RunnerReader, "have_watched", note_watched)
    service = serve(SCRIPT)
    with ExitStack() as stack:
        clients = [stack.enter_context(service.connect(timeout_s=5)) for _ in range(3)]
        become_lent(service, *clients)
        before, blocked, behind = clients
        before.send(request("/first"))
        assert service.module.entered.acquire(timeout=10)
        blocked.send(request("/blocking"))
        behind.send(request("/"))
        service.module.first_gate.set()
        began = monotonic()
        assert before.answer().status == 200
        assert behind.answer().status == 200
        assert monotonic() - began < 1.0
        assert told
        service.module.gate.set()
        assert blocked.answer().body == b"late"


def test_who_has_gone_on_for_a_second_is_looked_at_more_seldom(serve: Callable[..., Service]) -> None:
    lending = lending_of(serve(SCRIPT))
    (lent, _) = lending._lent
    often, seldom = lending.look_s, 4 * lending.look_s
    began = lending._well_since
    assert lending._next_look_s(lent, began + 0.9) == often
    assert lending._next_look_s(lent, began + 1.0) == seldom
    lent._late_since = began + 2.0, 0.0
    assert lending._next_look_s(lent, began + 2.0) == often
    lent.comes_round()
    assert lending._next_look_s(lent, began + 2.0) == seldom
    lending.recall(began + 2.0)
    assert lending._next_look_s(lent, lending.open_from + 0.9) == often
    assert lending._next_look_s(lent, lending.open_from + 1.0) == seldom


def test_a_reader_that_nobody_looks_at_becomes_ready_before_several_are_run(
    serve: Callable[..., Service],
) -> None:
    reader = lending_of(serve(SCRIPT))._lent[0].reader
    assert isinstance(reader, RunnerReader)
    reader.watched = True
    reader.have_watched()
    assert not reader.is_ready()
    reader.watched = False
    reader.have_watched()
    assert reader.is_ready()


def test_a_runner_that_is_given_up_while_it_rests_leaves_its_reader(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    lane = service.server._lanes.blocking
    with service.connect(timeout_s=5) as client:
        runner = runner_of(service, client)
        assert wait_until(lambda: runner.resting)
        lending_of(service)._lent[0].give_up()
        # At once, and not with the next deadline, which is due in two seconds.
        assert wait_until(lambda: runner in lane._parked, 1.0)
        assert client.get("/").status == 200


def test_while_one_runner_is_held_up_another_reads(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    to_runners = lending_of(service)
    with service.connect(timeout_s=5) as client, service.connect(timeout_s=5) as other:
        become_lent(service, client)
        client.send(request("/blocking"))
        assert service.module.entered.acquire(timeout=10)
        assert wait_until(lambda: to_runners.open_from > 0.0)
        to_runners.open_from = 0.0
        become_lent(service, other)
        service.module.gate.set()
        assert client.answer().body == b"late"


def test_the_pauses_grow_while_runners_are_held_up_again_and_again(serve: Callable[..., Service]) -> None:
    to_runners = lending_of(serve(SCRIPT))
    now = 100.0
    for pause_s in (0.1, 1.0, 10.0, 10.0):
        to_runners.recall(now)
        assert to_runners.open_from == now + pause_s
        now += pause_s + 1.0
    now += 10.0
    to_runners.recall(now)
    assert to_runners.open_from == now + 0.1


def test_who_is_held_up_is_given_up_once(
    serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve(SCRIPT)
    to_runners = lending_of(service)
    recalls: list[float] = []
    recall = to_runners.recall

    def note_recall(now: float) -> None:
        recalls.append(now)
        recall(now)

    monkeypatch.setattr(to_runners, "recall", note_recall)
    with service.connect(timeout_s=5) as client:
        become_lent(service, client)
        client.send(request("/blocking"))
        assert service.module.entered.acquire(timeout=10)
        assert wait_until(lambda: bool(recalls))
        lent_first = to_runners._lent[0]
        lent_first.reader._wakeup.set()  # as a kick that comes late does
        assert wait_until(lambda: not lent_first.is_read)
        assert not wait_until(lambda: len(recalls) > 1, 0.3)
        # Nor does it count in what those do that read.
        assert lent_first.measure().ran_s == 0.0
        service.module.gate.set()
        assert client.answer().body == b"late"


def test_a_deadline_is_looked_at_between_items_of_the_inbox() -> None:
    class Due:
        next_due = 0.0

        def poll(self) -> list[tuple[int, int]]:
            return []

        def read(self, events: list[tuple[int, int]]) -> list[Exchange]:
            looked.append(events)
            return []

    looked: list[list[tuple[int, int]]] = []
    worker = BlockingWorker(BlockingLane(1, 1, 1), 0, Records())
    worker.reader, worker._has_come = cast("RunnerReader", Due()), True
    worker.become_runner()
    assert worker.read() == []
    assert looked == [[]]


def test_a_runner_is_left_to_other_acceptors_when_its_connections_have_gone(
    serve: Callable[..., Service],
) -> None:
    service = serve(SCRIPT, acceptors=2)
    lane = service.server._lanes.blocking
    with ExitStack() as stack:
        clients = [stack.enter_context(service.connect(timeout_s=5)) for _ in range(8)]
        assert wait_until(
            lambda: (
                {client.get("/").status for client in clients} == {200}
                and any(worker.reader is not None for worker in lane.workers)
            ),
            every_s=0.001,
        )
    assert wait_until(lambda: not any(worker.reader is not None for worker in lane.workers))


def test_what_is_read_by_one_that_is_no_runner_any_more_is_run_by_others(
    serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve(SCRIPT)
    lane = service.server._lanes.blocking
    read = RunnerReader.read

    def read_and_drop(self: RunnerReader, events: list[tuple[int, int]]) -> list[Exchange]:
        exchanges = read(self, events)
        if len(exchanges) == 4:
            (runner,) = [worker for worker in lane.workers if worker.reader is self]
            lane.drop_runner(runner)
        return exchanges

    with ExitStack() as stack:
        clients = [stack.enter_context(service.connect(timeout_s=5)) for _ in range(4)]
        become_lent(service, *clients)
        monkeypatch.setattr(RunnerReader, "read", read_and_drop)
        (reader,) = [lent.reader for lent in lending_of(service)._lent if lent.reader.connections]
        with reader.turn:  # all are ready when its next turn begins
            clients[0].send(request("/blocking"))
            for client in clients[1:]:
                client.send(request("/"))
        for client in clients[1:]:
            assert client.answer().status == 200
        service.module.gate.set()
        assert clients[0].answer().body == b"late"


def test_who_is_being_woken_waits_for_it_and_reads_nothing() -> None:
    """Else the gate would be open when it rests next, and it would work while it counts as resting."""

    class Ready:
        def wait(self) -> list[tuple[int, int]]:
            return [(0, READABLE)]

        def is_opened(self, events: list[tuple[int, int]]) -> bool:
            return False

        def read(self, events: list[tuple[int, int]]) -> list[Exchange]:
            raise AssertionError

    worker = BlockingWorker(BlockingLane(1, 1, 1), 0, Records())
    worker.gate, worker.reader, worker._has_come = Gate(), cast("RunnerReader", Ready()), True
    worker.become_runner()
    assert not worker.resting
    worker.gate.open()
    assert worker.wait() == []
    assert select.select([worker.gate.fd], [], [], 0)[0] == []
    worker.gate.close()


def test_what_takes_a_while_is_not_lent(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    with service.connect(timeout_s=5) as client:
        for _ in range(50):
            client.get("/middling")
            assert lent_to(service) == [0, 0]
        become_lent(service, client)


def test_a_request_that_holds_up_its_runner_gets_its_504(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, request_timeout_ms=200)
    with service.connect(timeout_s=5) as client:
        become_lent(service, client)
        assert client.get("/blocking").status == 504
        service.module.gate.set()
        assert client.get("/").status == 200


def test_a_client_that_leaves_a_runner_that_is_held_up_is_let_go(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    with service.connect(timeout_s=5) as client:
        become_lent(service, client)
        client.send(request("/blocking"))
        assert service.module.entered.acquire(timeout=10)
        client.reset()
        assert wait_until(lambda: service.server.listeners[0].connections == 0)
        service.module.gate.set()


def test_an_idle_connection_that_is_lent_is_closed_in_time(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, keep_alive_timeout_ms=300)
    with service.connect(timeout_s=5) as client:
        become_lent(service, client)
        answered = monotonic()
        assert client.sock.recv(1) == b""
        assert monotonic() - answered < 1.4
    # Its runner was not late.
    assert lending_of(service).open_from == 0.0


def test_a_head_that_is_not_complete_in_time_gets_its_408_from_a_runner(
    serve: Callable[..., Service],
) -> None:
    service = serve(SCRIPT, header_timeout_ms=200)
    with service.connect(timeout_s=5) as client:
        become_lent(service, client)
        client.send("GET / HTTP/1.1\r\n")
        assert client.answer().status == 408


def test_what_a_runner_cannot_send_at_once_it_flushes(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    with service.connect(timeout_s=10) as client:
        become_lent(service, client)
        for _ in range(3):
            assert len(client.get("/big").body) == 3_000_000


def test_a_stop_finishes_what_runs_on_lent_connections_and_closes_the_others(
    serve: Callable[..., Service],
) -> None:
    service = serve(SCRIPT)
    ended: list[bool] = []
    with service.connect(timeout_s=5) as idle, service.connect(timeout_s=5) as busy:
        become_lent(service, idle, busy)
        busy.send(request("/blocking"))
        gate = service.module.gate
        assert service.module.entered.acquire(timeout=10)
        stopping = threading.Thread(target=lambda: ended.append(service.stop()))
        stopping.start()
        assert idle.sock.recv(1) == b""
        gate.set()
        answer = busy.answer()
        assert (answer.body, answer.get("connection")) == (b"late", "close")
        stopping.join(10)
    assert ended == [True]


def test_max_in_flight_holds_for_what_runners_read(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, max_in_flight=2)
    with ExitStack() as stack:
        clients = [stack.enter_context(service.connect(timeout_s=5)) for _ in range(3)]
        become_lent(service, *clients)
        assert wait_until(lambda: service.server._lanes.in_flight() == 0)
        for client in clients[:2]:
            client.send(request("/blocking"))
            assert service.module.entered.acquire(timeout=10)
        clients[2].send(request("/") * 2)
        assert [clients[2].answer().status for _ in range(2)] == [503, 503]
        service.module.gate.set()
        assert [client.answer().body for client in clients[:2]] == [b"late"] * 2
        assert wait_until(lambda: clients[2].get("/").status == 200)


def test_what_a_runner_has_read_is_left_out_where_there_is_no_room() -> None:
    lane = BlockingLane(1, 1, 2)
    exchanges: list[Any] = [*range(5)]
    refused: list[Any] = lane.admit(exchanges)
    assert (exchanges, refused) == ([0, 1, 2], [3, 4])
    assert lane.load == 3
    assert lane.admit(exchanges)
    assert not exchanges


def test_the_bound_on_the_queue_holds_while_runners_are_held_up(serve: Callable[..., Service]) -> None:
    """It is 8 workers and 2 that wait: of what is read at once the rest is refused."""
    service = serve(SCRIPT, blocking_min=8, blocking_max=8, blocking_queue_max=2)
    with ExitStack() as stack:
        clients = [stack.enter_context(service.connect(timeout_s=5)) for _ in range(12)]
        become_lent(service, *clients)
        for client in clients[:8]:
            client.send(request("/blocking"))
        for _ in range(8):
            assert service.module.entered.acquire(timeout=10)
        for client in clients[8:]:
            client.send(request("/"))
        assert [client.answer().status for client in clients[10:]] == [503, 503]
        service.module.gate.set()
        assert [client.answer().status for client in clients[:10]] == [200] * 10


def test_requests_that_runners_read_are_logged(
    serve: Callable[..., Service], capfd: pytest.CaptureFixture[str]
) -> None:
    service = serve(SCRIPT, log=LogSettings(access=True))
    reader = lending_of(service)._lent[0].reader
    with service.connect() as client:
        for _ in range(100):
            client.get("/")
    assert reader.begun
    assert service.stop()
    assert journal.flush(5)
    assert capfd.readouterr().err.count('"GET / HTTP/1.1" 200') == 100


@pytest.mark.parametrize("kind", ["/waiting", "/long"])
def test_handlers_that_wait_or_compute_for_a_while_are_handed_over(
    serve: Callable[..., Service], kind: str
) -> None:
    service = serve(SCRIPT)
    with service.connect(timeout_s=5) as one, service.connect(timeout_s=5) as other:
        become_lent(service, one, other)

        def ask() -> bool:
            one.send(request(kind))
            other.send(request(kind))
            assert {one.answer().status, other.answer().status} == {200}
            return lent_to(service) == [0, 0]

        assert wait_until(ask, every_s=0.0)
        # Nor are they lent as long as they take so long.
        for _ in range(100):
            assert ask()


def test_where_the_lane_is_small_nothing_is_lent(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, blocking_min=1, blocking_max=3)
    with service.connect() as client:
        for _ in range(20):
            assert client.get("/").body.startswith(b"siphon-blocking-")
        assert lent_to(service) == []


def test_without_a_descriptor_to_watch_a_runner_nothing_is_lent(
    serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve(SCRIPT)

    def lack(self: ThreadClock, thread: threading.Thread) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with service.connect() as client:
        with monkeypatch.context() as lacking:
            lacking.setattr(ThreadClock, "__init__", lack)
            for _ in range(20):
                assert client.get("/").status == 200
            assert lent_to(service) == [0, 0]
        become_lent(service, client)


def test_a_runner_that_rests_is_woken_to_read(serve: Callable[..., Service]) -> None:
    """Else it would not hear of what is lent to it until it has something else to do."""
    service = serve(SCRIPT)
    lane = service.server._lanes.blocking
    with service.connect(timeout_s=5) as client:
        client.get("/")
        assert wait_until(lambda: lane.resting == lane.size)
        first = lending_of(service)._lent[0]
        assert isinstance(first, RunnerLent)
        assert first.find_worker()
        runner = first._runner
        assert runner is not None
        assert wait_until(lambda: runner._has_come)
        assert client.get("/").status == 200


def test_a_connection_may_end_in_the_turn_that_has_read_its_request(
    serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve(SCRIPT)
    attend_to = RunnerReader._attend_to
    closed = threading.Event()

    def attend_and_close(self: RunnerReader, events: list[tuple[int, int]]) -> None:
        attend_to(self, events)
        for exchange in self._for_workers:
            if exchange.head.target == "/?ends":
                self.close_connection(exchange.connection)
                closed.set()

    with service.connect(timeout_s=5) as client, service.connect(timeout_s=5) as other:
        become_lent(service, client, other)
        monkeypatch.setattr(RunnerReader, "_attend_to", attend_and_close)
        client.send(request("/?ends"))
        assert client.read_to_end() == b""
        assert closed.wait(5)
        assert other.get("/").status == 200


def test_an_error_of_siphons_own_on_a_runner_ends_the_acceptor(
    serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve(SCRIPT)
    raised: list[BaseException] = []

    class Bug(Exception):
        pass

    def fail(self: RunnerReader, exchanges: list[Exchange]) -> None:
        raise Bug

    def attend(self: Acceptor) -> None:
        """The acceptor goes on, for the test's end."""
        if self._failure is not None:
            raised.append(self._failure)
            self._failure = None
        attend_kicked(self)

    attend_kicked = Acceptor._attend_kicked
    monkeypatch.setattr(Acceptor, "_attend_kicked", attend)
    with service.connect() as client:
        become_lent(service, client)
        monkeypatch.setattr(RunnerReader, "_shed", fail)
        client.send(request("/"))
        assert wait_until(lambda: bool(raised))
        monkeypatch.undo()
    assert isinstance(raised[0], Bug)


def test_connections_change_over_with_their_next_requests(
    serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve(SCRIPT)
    monkeypatch.setattr(lending, "_ENOUGH_S", 100.0)
    to_runners = lending_of(service)
    with ExitStack() as stack:
        clients = [stack.enter_context(service.connect(timeout_s=5)) for _ in range(6)]
        become_lent(service, *clients)
        to_runners._needed_at = monotonic()
        to_runners._widen(2)

        def spread() -> bool:
            for client in clients:
                client.get("/")
            return min(lent_to(service)) == 3

        assert wait_until(spread, every_s=0.0)
        names = {client.get("/").body for client in clients}
        assert len(names) == 2
    assert wait_until(lambda: not open_connections(service.server))
