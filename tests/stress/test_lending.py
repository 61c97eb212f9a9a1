"""Connections that change hands between an acceptor and loops: nothing is lost, doubled or out of order."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, cast

import pytest

from siphon.threads import lending
from siphon.threads.acceptor import Acceptor
from siphon.threads.connection import Connection
from siphon.threads.lending import POSSIBLE, Lending, RunnerLending
from siphon.threads.lent import RunnerLent
from tests.client import request
from tests.stress.leaks import wait_until
from tests.stress.load import Load, Received, run_all
from tests.stress.test_pipelining import REQUESTS, ROUTES, Numbered

if TYPE_CHECKING:
    from collections.abc import Callable

    from siphon.threads.lent import Lent
    from tests.service import Service

pytestmark = [
    pytest.mark.stress,
    pytest.mark.skipif(not POSSIBLE, reason="needs epoll, and a clock for each thread"),
]


class Restless:
    """Has an acceptor lend at once, look all the time and recall at random, as if threads were held up.

    Now and then a runner is one no more, as if it were woken for the inbox.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.recalls = 0
        self.lent = {1: 0, -1: 0}  # to loops, to runners
        self._dice = random.Random(1)
        monkeypatch.setattr(lending, "_STREAK", 1)
        for kind in (Lending, RunnerLending):
            monkeypatch.setattr(kind, "look_s", 0.0005)
        for pause in ("_PAUSE_S", "_FIRST_PAUSE_S"):
            monkeypatch.setattr(lending, pause, 0.0)
        monkeypatch.setattr(Lending, "_is_held_up", self._is_held_up)
        monkeypatch.setattr(Lending, "_measure", self._measure)
        monkeypatch.setattr(RunnerLending, "_measure", self._measure)
        monkeypatch.setattr(RunnerLending, "_is_open", Lending._is_open)

    def _is_held_up(self, lent: Lent, now: float) -> bool:
        if isinstance(lent, RunnerLent) and self._dice.random() < 0.1:
            _retire(lent)
        if not lent.is_read:
            return bool(lent.reader.connections)
        lent.awake = True
        self.lent[-1 if isinstance(lent, RunnerLent) else 1] += len(lent.reader.connections)
        held_up = self._dice.random() < 0.3
        self.recalls += held_up
        return held_up

    def _measure(self, now: float) -> None:
        """As many threads as it likes: both."""


def _retire(lent: RunnerLent) -> None:
    runner = lent._runner
    if runner is not None and runner.retire():
        with lent._lane._lock:
            lent._lane._runners = tuple([one for one in lent._lane._runners if one is not runner])
        runner.gate.open()


class Leaving(Numbered):
    """Resets its connection somewhere in the middle, and comes back as another until it has done so often."""

    def __init__(
        self, load: Load, name: int, kinds: tuple[str, ...], dice: random.Random, times: int
    ) -> None:
        self._times = times
        self._kinds = kinds
        self._stays = dice.randrange(REQUESTS)
        self._name = name
        super().__init__(load, name, kinds, dice)

    def on_answer(self, answer: Received) -> None:
        super().on_answer(answer)
        if self._answered == self._stays:
            self.reset()
            if self._times:
                Leaving(self.load, self._name, self._kinds, self._dice, self._times - 1)


def test_clients_may_leave_while_their_connections_change_hands(
    storm: Callable[..., Service], full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    Restless(monkeypatch)
    service = storm(ROUTES, keep_alive_timeout_ms=60_000, blocking_queue_max=10_000)
    load = Load(("127.0.0.1", service.port))
    for name in range(50):
        Leaving(load, name, ("async", "async", "yielding", "sync"), random.Random(name), 100 if full else 10)
    run_all([load])


@pytest.mark.parametrize(
    ("kinds", "to"),
    [
        (("async", "yielding"), [1]),
        (("async", "async", "async", "yielding", "sync"), [1]),
        (("sync",), [-1]),
        (("sync", "sync", "sync", "async"), [-1, 1]),
    ],
    ids=["async", "mixed", "sync", "mostly sync"],
)
def test_requests_of_connections_that_change_hands_are_answered_once_and_in_order(
    storm: Callable[..., Service],
    note: Callable[..., None],
    full: bool,
    monkeypatch: pytest.MonkeyPatch,
    kinds: tuple[str, ...],
    to: list[int],
) -> None:
    restless = Restless(monkeypatch)
    service = storm(ROUTES, keep_alive_timeout_ms=60_000, blocking_queue_max=10_000)
    for one in service.server._acceptors[0]._lendings:
        one._width = 2
    dice = random.Random(2)
    rounds = 10 if full else 2
    for _ in range(rounds):
        load = Load(("127.0.0.1", service.port))
        for name in range(150):
            Numbered(load, name, kinds, random.Random(dice.random()))
        run_all([load])
    assert all(restless.lent[step] for step in to)
    note(answers=150 * rounds * (REQUESTS + 1), recalls=restless.recalls)


def test_who_is_kicked_for_a_connection_that_changes_hands_is_its_new_owner() -> None:
    """The old one may be stuck, and not pass it on for as long."""

    class Owner:
        def __init__(self) -> None:
            self.kicked = 0

        def kick(self, connection: Changing) -> None:
            self.kicked += 1
            connection.owner = connection.next

    class Changing:
        def __init__(self) -> None:
            self.owner = Owner()
            self.next = Owner()

    connection = Changing()
    old = connection.owner
    Connection.kick_owner(cast("Connection", connection))
    assert (old.kicked, connection.next.kicked) == (1, 1)


def test_a_connection_that_a_loop_gives_back_as_a_stop_begins_is_finished(
    storm: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop lets go of it after the acceptor has looked who was kicked, and before it has all back."""
    service = storm(ROUTES)
    (acceptor,) = service.server._acceptors
    end = Lending.end
    with service.connect(timeout_s=5) as client:
        for number in range(5):
            client.get(f"/async/{number}")
        assert not acceptor.connections

        def end_late(self: Lending) -> None:
            client.send(request("/gated/last"))
            assert wait_until(lambda: bool(acceptor._kicked), 10)
            end(self)

        monkeypatch.setattr(Lending, "end", end_late)
        stopping = threading.Thread(target=service.stop)
        gate = service.module.gate
        stopping.start()
        assert wait_until(lambda: acceptor._drain_begun or not acceptor.is_alive(), 10)
        gate.set()
        answer = client.answer()
        assert (answer.body, answer.get("connection")) == (b"last", "close")
        assert client.read_to_end() == b""
        stopping.join(10)


@pytest.mark.parametrize(("number", "kind"), [(0, "async"), (1, "sync")], ids=["a loop", "a runner"])
def test_who_reads_is_left_its_connections_by_a_recall_that_comes_meanwhile(
    storm: Callable[..., Service], monkeypatch: pytest.MonkeyPatch, number: int, kind: str
) -> None:
    """It stands still in the middle of its turn: the acceptor waits until it has read."""
    service = storm(ROUTES)
    (acceptor,) = service.server._acceptors
    reader = acceptor._lendings[number]._lent[0].reader
    reading, gate, recalled = threading.Event(), threading.Event(), threading.Event()
    read, take = reader._read, Acceptor.take

    def read_late(connection: Connection) -> None:
        reading.set()
        assert gate.wait(10)
        read(connection)

    def note_take(self: Acceptor, connection: Connection) -> None:
        take(self, connection)
        recalled.set()

    with service.connect(timeout_s=5) as client:
        # A row that was quick may look slow on a busy machine, and nothing is lent at first.
        assert wait_until(lambda: bool(client.get(f"/{kind}/1").body and reader.connections), every_s=0.001)
        monkeypatch.setattr(reader, "_read", read_late)
        monkeypatch.setattr(Acceptor, "take", note_take)
        client.send(request(f"/{kind}/last"))
        assert reading.wait(10)
        # The acceptor finds the thread held up by now, and asks for what is lent.
        assert not recalled.wait(0.1)
        gate.set()
        assert recalled.wait(10)
        assert client.answer().body == b"last"
        assert client.get(f"/{kind}/more").body == b"more"
