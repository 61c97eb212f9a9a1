"""What is counted and logged under stress: each request once, whoever of several claims it."""

from __future__ import annotations

import re
import threading
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from siphon.config.settings import LogSettings, TcpAddress
from siphon.journal import journal
from siphon.threads.tally import Tally
from siphon.threads.wheel import TICK_S
from tests.stress.contested import KIND_NAMES, KINDS
from tests.stress.leaks import wait_until
from tests.stress.load import Aim, Load, Peer, Received, get
from tests.stress.test_claims import Contender

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.service import Service

pytestmark = pytest.mark.stress


def answered(service: Service) -> dict[int, int]:
    """The answers that have been counted, by status."""
    tally = service.server._lanes.tally
    assert tally is not None
    counts: dict[int, int] = {}
    for key, cell in tally.answers().items():
        counts[key.status] = counts.get(key.status, 0) + int(sum(cell[:-1]))
    return counts


def logged(capfd: pytest.CaptureFixture[str]) -> list[str]:
    """The targets of the lines of the access log so far, and what else was logged, which is put back."""
    assert journal.flush(10)
    return re.findall(r'"GET (\S+) HTTP/1\.1" \d{3} ', capfd.readouterr().err)


@pytest.mark.parametrize(("source", "kind"), KINDS, ids=KIND_NAMES)
def test_a_request_that_ends_with_its_504_is_counted_and_logged_once(
    storm: Callable[..., Service],
    note: Callable[..., None],
    capfd: pytest.CaptureFixture[str],
    full: bool,
    source: str,
    kind: str,
) -> None:
    peers, rounds = (40, 30) if full else (40, 5)
    service = storm(
        source,
        request_timeout_ms=int(TICK_S * 1000),
        blocking_max=peers,
        keep_alive_timeout_ms=60_000,
        admin=TcpAddress("127.0.0.1", 0),
        log=LogSettings(),
    )
    aim = Aim(50e-6)
    script = service.module

    def publish() -> None:
        script.aim.offset_s = aim.offset_s

    load = Load(("127.0.0.1", service.port))
    for name in range(peers):
        Contender(load, name, kind, rounds, aim, publish)
    load.run()
    # Each round is the contested request and the mark behind it.
    expected = peers * rounds * 2
    assert wait_until(lambda: sum(answered(service).values()) >= expected)
    assert wait_until(lambda: service.server._lanes.in_flight() == 0)
    counts = answered(service)
    assert sum(counts.values()) == expected
    assert set(counts) <= {200, 504}
    targets = logged(capfd)
    assert len(targets) == len(set(targets)) == expected
    assert service.server._lanes.tally is not None
    note(requests=expected, timeouts=counts.get(504, 0), late=service.server._lanes.tally.late)


def test_threads_that_count_at_once_lose_nothing(note: Callable[..., None], full: bool) -> None:
    tally = Tally()
    threads, count = 6, 200_000 if full else 20_000
    start = threading.Barrier(threads)

    def answer() -> None:
        cells = tally.new_cells()
        start.wait(30)
        for number in range(count):
            cells.answered(("/a", "/b")[number % 2], "GET", 200, 0.5)
            cells.shed += 1

    running = [threading.Thread(target=answer) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(120)
    assert {key.route: sum(cell[:-1]) for key, cell in tally.answers().items()} == dict.fromkeys(
        ["/a", "/b"], threads * count / 2
    )
    assert tally.shed == threads * count
    note(answers=threads * count)


class Leaver(Peer):
    """Sends FIN when its answer is due; the next one takes its place."""

    def __init__(self, load: Load, kind: str, left: list[int], aim: Aim) -> None:
        self._kind = kind
        self._left = left
        self._aim = aim
        super().__init__(load)

    def begin(self) -> None:
        self._left[0] -= 1
        moment = monotonic() + 0.02
        self.send(get(f"/at/{self._kind}/{moment!r}/t{self._left[0]}"))
        self.load.at(moment - self._aim.offset_s, self.half_close)

    def on_answer(self, answer: Received) -> None:
        assert answer.status == 200
        self._aim.was(early=True)
        self._follow()

    def on_end(self, error: OSError | None) -> None:
        self._aim.was(early=False)
        self._follow()

    def _follow(self) -> None:
        self.close()
        if self._left[0] > 0:
            Leaver(self.load, self._kind, self._left, self._aim)


@pytest.mark.parametrize(("source", "kind"), KINDS, ids=KIND_NAMES)
def test_a_request_that_ends_when_its_client_leaves_is_counted_and_logged_once(
    storm: Callable[..., Service],
    note: Callable[..., None],
    capfd: pytest.CaptureFixture[str],
    full: bool,
    source: str,
    kind: str,
) -> None:
    service = storm(source, blocking_max=40, admin=TcpAddress("127.0.0.1", 0), log=LogSettings())
    count = 2_000 if full else 300
    left = [count]
    load = Load(("127.0.0.1", service.port))
    for _ in range(20):
        Leaver(load, kind, left, Aim(20e-6))
    load.run()
    sent = count - left[0]
    assert wait_until(lambda: sum(answered(service).values()) >= sent)
    assert wait_until(lambda: service.server._lanes.in_flight() == 0)
    counts = answered(service)
    assert sum(counts.values()) == sent
    assert set(counts) <= {200, 499}
    targets = logged(capfd)
    assert len(targets) == len(set(targets)) == sent
    note(requests=sent, nobody_answered=counts.get(499, 0))
