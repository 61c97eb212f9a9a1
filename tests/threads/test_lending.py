"""Lending: loops read the connections whose requests they run, and give them back when they cannot."""

from __future__ import annotations

import errno
import threading
from contextlib import ExitStack
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from siphon.config.settings import ListenerSettings, LogSettings, TcpAddress, UnixAddress
from siphon.journal import journal
from siphon.threads import lending
from siphon.threads.acceptor import Acceptor
from siphon.threads.lending import POSSIBLE, Lending
from siphon.threads.lent import Lent, Window
from siphon.threads.loop_reader import LoopReader
from siphon.threads.reader import Reader
from siphon.threads.thread_clock import ThreadClock, Times
from tests.client import request
from tests.stress.leaks import open_connections, wait_until
from tests.threads.lent import ask_until_lent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from siphon.threads.exchange import Exchange
    from tests.client import Client
    from tests.service import Service

pytestmark = pytest.mark.skipif(not POSSIBLE, reason="needs epoll, and a clock for each thread")

SCRIPT = """
    import asyncio
    import threading
    import time
    from siphon import http

    entered = threading.Semaphore(0)
    gate = threading.Event()

    @http.route("/")
    async def thread(req):
        return http.Response(body=threading.current_thread().name)

    @http.route("/sync")
    def sync(req):
        return http.Response(body=threading.current_thread().name)

    @http.route("/sync/blocking")
    def sync_blocking(req):
        entered.release()
        gate.wait(20)
        return http.Response(body="late")

    @http.route("/sync/long")
    def sync_long(req):
        began = time.thread_time()
        while time.thread_time() < began + 0.001:
            pass
        return http.Response()

    @http.route("/blocking")
    async def blocking(req):
        entered.release()
        gate.wait(20)
        return http.Response(body="late")

    @http.route("/later")
    async def later(req):
        await asyncio.sleep(0)
        entered.release()
        gate.wait(20)
        return http.Response(body="late")

    @http.route("/suspended")
    async def suspended(req):
        entered.release()
        while not gate.is_set():
            await asyncio.sleep(0.005)
        return http.Response(body="done")

    @http.route("/long")
    async def long(req):
        began = time.thread_time()
        while time.thread_time() < began + 0.001:
            pass
        return http.Response()
"""


def lent_to(service: Service) -> list[int]:
    """How many connections each loop reads."""
    (acceptor,) = service.server._acceptors
    return [len(lent.reader.connections) for lent in acceptor._lendings[0]._lent]


def become_lent(service: Service, *clients: Client) -> None:
    """Asks until loops read the connections of ``clients``."""
    (acceptor,) = service.server._acceptors
    ask_until_lent(service, acceptor._lendings[0], clients)


def test_a_connection_whose_requests_are_for_loops_is_lent_to_one(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        for _ in range(3):
            client.get("/")
        assert lent_to(service) == [0, 0]
        for _ in range(20):
            client.get("/")
        assert lent_to(service) == [1, 0]
        assert {client.get("/").body for _ in range(20)} == {b"siphon-loop-0"}
        assert not service.server._acceptors[0].connections


def test_a_request_for_a_worker_brings_it_back(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        for _ in range(3):
            become_lent(service, client)
            client.send(request("/sync") * 2 + request("/") * 2)
            assert [client.answer().body[:15] for _ in range(2)] == [b"siphon-blocking"] * 2
            assert lent_to(service) == [0, 0]
            assert all(client.answer().body.startswith(b"siphon-loop") for _ in range(2))


def test_one_that_alternates_stays(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        for _ in range(10):
            for path in ("/", "/", "/sync"):
                client.get(path)
            assert lent_to(service) == [0, 0]


@pytest.mark.parametrize("path", ["/blocking", "/later"])
def test_a_loop_that_is_held_up_holds_up_no_other_connection(
    serve: Callable[..., Service], path: str
) -> None:
    service = serve(SCRIPT)
    with ExitStack() as stack:
        clients = [stack.enter_context(service.connect(timeout_s=5)) for _ in range(6)]
        become_lent(service, *clients)
        assert lent_to(service) == [6, 0]
        clients[0].send(request(path))
        assert service.module.entered.acquire(timeout=10)
        # Nor is anything lent for a while, as it may happen again.
        for client in [*clients[1:], *[clients[1]] * 10]:
            # Else the last one still counts, and both loops have as much to do.
            assert wait_until(lambda: service.server._lanes.in_flight() == 1)
            assert client.get("/").body == b"siphon-loop-1"
            assert lent_to(service) == [0, 0]
        service.module.gate.set()
        assert clients[0].answer().body == b"late"


def test_a_loop_that_is_held_up_by_what_is_no_request_is_noticed_too(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    with service.connect(timeout_s=5) as first, service.connect(timeout_s=5) as second:
        become_lent(service, first, second)
        loop = service.server._lanes.loops[0].loop
        loop.call_soon_threadsafe(service.module.gate.wait, 20)
        first.send(request("/"))  # for which no loop has less to do than the one that is held up
        assert second.get("/").body == b"siphon-loop-1"
        service.module.gate.set()
        assert first.answer().status == 200


def test_a_request_that_holds_up_its_loop_gets_its_504(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, request_timeout_ms=200)
    with service.connect(timeout_s=5) as client:
        become_lent(service, client)
        assert client.get("/blocking").status == 504
        service.module.gate.set()
        assert client.get("/").status == 200


def test_a_client_that_leaves_a_loop_that_is_held_up_is_let_go(serve: Callable[..., Service]) -> None:
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
        assert client.sock.recv(1) == b""
    assert wait_until(lambda: lent_to(service) == [0, 0])


def test_a_head_that_is_not_complete_in_time_gets_its_408_from_a_loop(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, header_timeout_ms=200)
    with service.connect(timeout_s=5) as client:
        become_lent(service, client)
        client.send("GET / HTTP/1.1\r\n")
        assert client.answer().status == 408


def test_what_a_loop_cannot_send_at_once_it_flushes(serve: Callable[..., Service]) -> None:
    service = serve(
        """
        from siphon import http

        @http.route("/")
        async def big(req):
            return http.Response(body=bytes(3_000_000) if req.query else b"")
        """
    )
    with service.connect(timeout_s=10) as client:
        become_lent(service, client)
        for _ in range(3):
            assert len(client.get("/?big").body) == 3_000_000
        assert lent_to(service) == [1, 0]


def test_among_idle_connections_those_that_are_lent_make_room(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, max_connections=2)
    with service.connect(timeout_s=5) as oldest, service.connect(timeout_s=5) as other:
        become_lent(service, oldest, other)
        with service.connect(timeout_s=5) as newcomer:
            assert newcomer.get("/").status == 200
            assert oldest.sock.recv(1) == b""
            assert other.get("/").status == 200


def test_a_stop_finishes_what_runs_on_lent_connections_and_closes_the_others(
    serve: Callable[..., Service],
) -> None:
    service = serve(SCRIPT)
    ended: list[bool] = []
    with service.connect(timeout_s=5) as idle, service.connect(timeout_s=5) as busy:
        become_lent(service, idle, busy)
        busy.send(request("/suspended"))
        gate = service.module.gate
        assert service.module.entered.acquire(timeout=10)
        stopping = threading.Thread(target=lambda: ended.append(service.stop()))
        stopping.start()
        assert idle.sock.recv(1) == b""
        gate.set()
        answer = busy.answer()
        assert (answer.body, answer.get("connection")) == (b"done", "close")
        stopping.join(10)
    assert ended == [True]


def test_max_in_flight_holds_for_what_loops_read(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, max_in_flight=2)
    with ExitStack() as stack:
        clients = [stack.enter_context(service.connect(timeout_s=5)) for _ in range(3)]
        become_lent(service, *clients)
        assert wait_until(lambda: service.server._lanes.in_flight() == 0)
        for client in clients[:2]:
            client.send(request("/suspended"))
            assert service.module.entered.acquire(timeout=10)
        clients[2].send(request("/") * 2)
        assert [clients[2].answer().status for _ in range(2)] == [503, 503]
        service.module.gate.set()
        assert [client.answer().body for client in clients[:2]] == [b"done"] * 2
        assert wait_until(lambda: clients[2].get("/").status == 200)


def test_long_requests_go_by_way_of_the_acceptor(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    (acceptor,) = service.server._acceptors
    with service.connect(timeout_s=5) as client:
        become_lent(service, client)
        client.send(request("/long") * 400)
        for _ in range(400):
            assert client.answer().status == 200
        assert acceptor._lendings[0].open_from > 0.0
        assert lent_to(service) == [0, 0]


def test_requests_of_lent_connections_are_logged(
    serve: Callable[..., Service], capfd: pytest.CaptureFixture[str]
) -> None:
    service = serve(SCRIPT, log=LogSettings(access=True))
    with service.connect() as client:
        for _ in range(10):
            client.get("/")
    assert service.stop()
    assert journal.flush(5)
    assert capfd.readouterr().err.count('"GET / HTTP/1.1" 200') == 10


def test_a_recall_does_not_put_off_the_end_of_a_keep_alive(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, keep_alive_timeout_ms=1_000)
    with service.connect(timeout_s=5) as client, service.connect(timeout_s=5) as other:
        become_lent(service, client)
        answered = monotonic()
        become_lent(service, other)
        other.send(request("/blocking"))
        assert service.module.entered.acquire(timeout=10)
        assert wait_until(lambda: lent_to(service) == [0, 0], every_s=0.001)
        assert client.sock.recv(1) == b""
        assert monotonic() - answered < 1.6
        service.module.gate.set()


def test_a_shorter_timeout_beside_a_longer_one_is_kept(serve: Callable[..., Service]) -> None:
    longer, shorter = (
        ListenerSettings(TcpAddress("127.0.0.1", 0), name=name, keep_alive_timeout_ms=timeout_ms)
        for name, timeout_ms in (("longer", 60_000), ("shorter", 300))
    )
    service = serve(SCRIPT, servers=(longer, shorter))
    with service.connect(timeout_s=5) as one, service.connect(listener=1, timeout_s=5) as other:
        become_lent(service, one)
        for _ in range(lending._STREAK):
            other.get("/")
        answered = monotonic()
        assert lent_to(service) == [2, 0]
        assert other.sock.recv(1) == b""
        assert monotonic() - answered < 1.4
        # No loop was late for it: then neither would be lent any more.
        assert wait_until(lambda: sum(lent_to(service)) < 2)
        assert lent_to(service) == [1, 0]


@pytest.mark.parametrize("behind", [b"", b"GET /"], ids=["a request", "half a head"])
def test_who_is_kicked_for_a_connection_of_a_loop_that_is_held_up_need_not_come_round(
    serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch, behind: bytes
) -> None:
    """What is answered in the turn that holds up the loop has more to do, of which the loop never hears."""
    monkeypatch.setattr(Lending, "look_s", 0.3)
    service = serve(SCRIPT, header_timeout_ms=500)
    with service.connect(timeout_s=5) as client, service.connect(timeout_s=5) as other:
        become_lent(service, client, other)
        standing, hold, gate = threading.Event(), threading.Event(), service.module.gate
        loop = service.server._lanes.loops[0].loop
        loop.call_soon_threadsafe(standing.set)
        loop.call_soon_threadsafe(hold.wait, 10)
        assert standing.wait(10)
        # Both are there when the loop goes on.
        client.send(request("/") + (behind or request("/")))
        other.send(request("/blocking"))
        hold.set()
        assert client.answer().status == 200
        assert client.answer().status == (408 if behind else 200)
        gate.set()


def test_what_a_loop_has_read_and_not_begun_is_recalled_as_well(
    serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a request that was refused the next one waits for another turn, which the loop never takes."""
    service = serve(SCRIPT, max_in_flight=1)
    module = service.module
    shed = LoopReader._shed

    def shed_and_hold_up(self: LoopReader, exchanges: list[Exchange]) -> None:
        shed(self, exchanges)
        if exchanges:
            self._worker.loop.call_soon(module.gate.wait, 10)

    with service.connect(timeout_s=5) as busy, service.connect(timeout_s=5) as client:
        become_lent(service, client)
        assert wait_until(lambda: service.server._lanes.in_flight() == 0)
        busy.send(request("/sync/blocking"))
        assert module.entered.acquire(timeout=10)
        monkeypatch.setattr(LoopReader, "_shed", shed_and_hold_up)
        client.send(request("/") * 2)
        assert [client.answer().status for _ in range(2)] == [503, 503]
        module.gate.set()
        assert busy.answer().status == 200


def test_an_acceptor_rests_while_a_loop_is_held_up(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    (acceptor,) = service.server._acceptors
    with service.connect(timeout_s=30) as client, service.connect(timeout_s=5) as other:
        become_lent(service, client, other)
        client.send(request("/blocking"))
        assert service.module.entered.acquire(timeout=10)
        assert other.get("/").status == 200
        clock = ThreadClock(acceptor)
        # Past the deadlines that the loop would have looked at.
        began, ran_s = monotonic(), clock.read().ran_s
        assert wait_until(lambda: monotonic() - began > 3.0)
        assert clock.read().ran_s - ran_s < 0.6
        clock.close()
        service.module.gate.set()


@pytest.mark.parametrize("gone", [False, True])
def test_what_is_refused_on_a_connection_that_is_lent_in_the_same_turn_is_its_new_owners(
    serve: Callable[..., Service], tmp_path: Path, gone: bool
) -> None:
    # Over a unix-domain socket the refusal itself finds out that its client has gone.
    service = serve(
        SCRIPT, max_in_flight=1, servers=(ListenerSettings(UnixAddress(str(tmp_path / "socket"))),)
    )
    (acceptor,) = service.server._acceptors
    with service.connect(timeout_s=5) as busy:
        busy.send(request("/suspended"))
        assert service.module.entered.acquire(timeout=10)
        for _ in range(300):
            with service.connect(timeout_s=5) as client:
                assert [client.get("/").status for _ in range(3)] == [503] * 3
                client.send(request("/"))
                if not gone:
                    assert client.answer().status == 503
        assert wait_until(lambda: service.server.listeners[0].connections == 1)
        assert acceptor.is_alive()
        service.module.gate.set()
        assert busy.answer().status == 200


def test_without_descriptors_for_it_nothing_is_lent(
    serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch, logged: Callable[[], list[str]]
) -> None:
    taken: list[ThreadClock] = []
    closed: list[ThreadClock] = []

    def lack(self: ThreadClock, thread: threading.Thread) -> None:
        if taken:
            raise OSError(errno.EMFILE, "Too many open files")
        take(self, thread)
        taken.append(self)

    def note_close(self: ThreadClock) -> None:
        close(self)
        closed.append(self)

    take, close = ThreadClock.__init__, ThreadClock.close
    monkeypatch.setattr(ThreadClock, "__init__", lack)
    monkeypatch.setattr(ThreadClock, "close", note_close)
    service = serve(SCRIPT)
    with service.connect() as client:
        for _ in range(10):
            assert client.get("/").status == 200
            assert client.get("/sync").status == 200
    assert closed == taken
    assert logged() == [
        "warning siphon-acceptor-0 lends no connections to loops: Too many open files",
    ]


@pytest.mark.parametrize("kind", ["/blocking", "/long"])
def test_handlers_that_block_for_a_few_milliseconds_share_the_loops(
    serve: Callable[..., Service], kind: str
) -> None:
    service = serve(
        """
        import threading, time
        from siphon import http

        @http.route("/")
        async def quick(req):
            return http.Response()

        @http.route("/blocking")
        async def blocking(req):
            time.sleep(0.002)
            return http.Response(body=threading.current_thread().name)

        @http.route("/long")
        async def long(req):
            began = time.thread_time()
            while time.thread_time() < began + 0.002:
                pass
            return http.Response(body=threading.current_thread().name)
        """
    )
    with service.connect(timeout_s=5) as one, service.connect(timeout_s=5) as other:
        become_lent(service, one, other)
        seen: set[bytes] = set()
        for _ in range(200):
            one.send(request(kind))
            other.send(request(kind))
            seen |= {one.answer().body, other.answer().body}
        assert lent_to(service) == [0, 0]
        assert seen == {b"siphon-loop-0", b"siphon-loop-1"}


@pytest.mark.parametrize(("kind", "path"), [(Acceptor, "/"), (LoopReader, "/sync"), (LoopReader, "/")])
def test_a_connection_may_end_in_the_turn_that_has_read_its_request(
    serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch, kind: type[Reader], path: str
) -> None:
    """As where a reset is found behind a kick: what has been read is for nobody then."""
    service = serve(SCRIPT)
    look_around = Reader._look_around
    closed = threading.Event()

    def look_and_close(self: Reader, timeout_s: float | None) -> None:
        look_around(self, timeout_s)
        for exchange in self._for_loops + self._for_workers:
            connection = exchange.connection
            if (
                isinstance(self, kind)
                and connection.requests_left < connection.listener.keep_alive_requests - lending._STREAK
            ):
                self.close_connection(connection)
                closed.set()

    with service.connect(timeout_s=5) as client, service.connect(timeout_s=5) as other:
        become_lent(service, client)
        if kind is Acceptor:
            client.get("/sync")
            # The answer may be there first.
            assert wait_until(lambda: lent_to(service) == [0, 0])
            for one in open_connections(service.server):
                one.streak = lending._STREAK
        monkeypatch.setattr(Reader, "_look_around", look_and_close)
        other.get("/")  # a turn that had begun before
        client.send(request(path))
        assert client.read_to_end() == b""
        assert closed.wait(5)
        monkeypatch.undo()
        assert other.get("/").status == 200


def test_an_error_of_siphons_own_on_a_loop_ends_the_acceptor(
    serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve(SCRIPT)
    (acceptor,) = service.server._acceptors
    raised: list[BaseException] = []

    class Bug(Exception):
        pass

    def fail(self: LoopReader, exchanges: object) -> None:
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
        monkeypatch.setattr(LoopReader, "_shed", fail)
        client.send(request("/"))
        assert wait_until(lambda: bool(raised))
        monkeypatch.undo()
    assert isinstance(raised[0], Bug)
    assert not acceptor._drain_begun


def test_connections_change_over_with_their_next_requests(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    acceptor = service.server._acceptors[0]
    with ExitStack() as stack:
        clients = [stack.enter_context(service.connect(timeout_s=5)) for _ in range(6)]
        become_lent(service, *clients)
        # The acceptor stands still meanwhile: it has nothing to do. Nor will it find that one is enough.
        acceptor._lendings[0]._needed_at = inf
        acceptor._lendings[0]._widen(2)
        for client in clients * 2:
            client.get("/")
        assert lent_to(service) == [3, 3]
        there = [client for client in clients if client.get("/").body == b"siphon-loop-1"]
        acceptor._lendings[0]._widen(1)
        for client in [one for one in clients if one is not there[0]] * 2:
            client.get("/")
        assert lent_to(service) == [5, 1]
        assert [there[0].get("/").body for _ in range(2)] == [b"siphon-loop-1", b"siphon-loop-0"]
        assert lent_to(service) == [6, 0]


def test_each_acceptor_lends_to_another_loop_first(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, acceptors=3)
    first = [acceptor._lendings[0]._lent[0]._worker for acceptor in service.server._acceptors]
    assert first == [service.server._lanes.loops[number] for number in (0, 1, 0)]


# Which loops are held up --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ran_ms", "runnable", "late"),
    [
        (0, False, True),  # waits for something
        (0, True, False),  # waits for a processor
        (3, True, True),  # computes, with a processor now and then
    ],
)
def test_who_is_late_for_want_of_a_processor_is_not_held_up(
    serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch, ran_ms: int, runnable: bool, late: bool
) -> None:
    lent = serve(SCRIPT).server._acceptors[0]._lendings[0]._lent[0]
    times = [Times(1.0, 0.0), Times(1.0 + ran_ms / 1000, 0.0)]
    monkeypatch.setattr(ThreadClock, "read", lambda _: times[0])
    monkeypatch.setattr(ThreadClock, "is_runnable", lambda _: runnable)
    assert not lent.is_late(10.0, 0.005)  # found out just now
    del times[0]
    assert not lent.is_late(10.0025, 0.005)  # not for long enough
    assert lent.is_late(10.0075, 0.005) is late
    lent.comes_round()
    assert not lent.is_late(10.015, 0.005)


# How many loops read ------------------------------------------------------------------------------


class Measured:
    """Stands for what was measured of each loop in a window of 50 ms."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, acceptor: Acceptor) -> None:
        # Its thread rests: nothing is lent.
        self.lending = acceptor._lendings[0]
        self.now = 100.0
        self.lending._window_began = self.now
        self._of_each = Window(0, 0, 0, 0.0, 0.0, 0.0)
        monkeypatch.setattr(Lent, "measure", lambda _: self._of_each)

    def pass_window(
        self, turns: int, begun: int, cpu_ms: int, waited_ms: int = 0, held_ms: int = 0, finished: int = 0
    ) -> tuple[int, bool]:
        """How many loops read after a window in which each did so much, and whether anything is lent."""
        self._of_each = Window(
            turns, begun, finished or begun, cpu_ms / 1000, waited_ms / 1000, held_ms / 1000
        )
        self.now += 0.05
        self.lending._measure(self.now)
        return self.lending._width, self.lending.open_from <= self.now


@pytest.fixture
def measured(serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch) -> Measured:
    return Measured(monkeypatch, serve(SCRIPT, loops=4).server._acceptors[0])


def test_more_loops_read_while_there_is_a_crowd(measured: Measured) -> None:
    assert measured.pass_window(10, 200, 30) == (1, True)  # not busy
    assert measured.pass_window(500, 1_000, 45) == (1, True)  # busy, with two at a time
    assert measured.pass_window(100, 1_300, 15, waited_ms=25) == (2, True)  # busy, had it a processor
    assert measured.pass_window(100, 1_300, 45) == (4, True)
    assert measured.pass_window(100, 1_300, 45) == (4, True)


def test_more_loops_read_where_each_request_takes_a_while(measured: Measured) -> None:
    assert measured.pass_window(300, 400, 45) == (2, True)


def test_what_is_handed_over_to_a_loop_counts_as_well(measured: Measured) -> None:
    assert measured.pass_window(10, 20, 45, finished=1_000) == (1, True)


def test_none_reads_where_turns_are_held_up_again_and_again(measured: Measured) -> None:
    assert measured.pass_window(10, 10, 2, held_ms=15) == (1, True)  # the collector, perhaps
    for _ in range(2):
        assert measured.pass_window(100, 200, 10) == (1, True)
    assert measured.pass_window(10, 10, 2, held_ms=10) == (1, True)
    assert measured.pass_window(10, 10, 2, held_ms=10) == (1, False)


def test_one_long_pause_is_not_taken_for_turns_that_are_held_up(measured: Measured) -> None:
    """As of the collector, which stops every thread for 0.1 s where there are many objects."""
    for _ in range(3):
        assert measured.pass_window(1, 10, 2, held_ms=100) == (1, True)
        for _ in range(6):
            assert measured.pass_window(100, 200, 10, held_ms=1) == (1, True)
    measured.pass_window(1, 10, 2, held_ms=100)
    assert measured.pass_window(1, 10, 2, held_ms=100) == (1, False)


def test_a_turn_that_had_to_wait_for_a_processor_was_not_held_up(measured: Measured) -> None:
    for _ in range(20):
        assert measured.pass_window(10, 10, 2, held_ms=20, waited_ms=18) == (1, True)


def test_none_reads_where_each_takes_long(measured: Measured) -> None:
    assert measured.pass_window(100, 100, 45) == (1, False)
    assert measured.lending.open_from == measured.now + lending._PAUSE_S


@pytest.mark.parametrize(("turns", "begun", "cpu_ms"), [(10, 20, 3), (400, 400, 38)], ids=["quiet", "few"])
def test_one_reads_again_when_it_has_been_enough_for_a_while(
    measured: Measured, turns: int, begun: int, cpu_ms: int
) -> None:
    measured.pass_window(100, 1_300, 45)
    assert measured.pass_window(100, 1_300, 45) == (4, True)
    for _ in range(19):
        assert measured.pass_window(turns, begun, cpu_ms) == (4, True)
    # One that is not begins anew.
    assert measured.pass_window(100, 1_300, 45) == (4, True)
    for _ in range(19):
        assert measured.pass_window(turns, begun, cpu_ms) == (4, True)
    measured.pass_window(turns, begun, cpu_ms)
    assert measured.pass_window(turns, begun, cpu_ms) == (1, True)


def test_nothing_is_lent_after_the_end(measured: Measured) -> None:
    measured.lending.end()
    measured.lending.recall(measured.now)
    assert measured.lending.open_from == inf
