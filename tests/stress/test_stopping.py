"""Answers that are ready at the very moment of a stop: one or none, and nothing is left behind."""

from __future__ import annotations

import threading
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from tests.stress.contested import PLAIN, SCRIPT
from tests.stress.leaks import open_descriptors, wait_until
from tests.stress.load import Aim, Background, Load, Peer, Received, get

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.service import Service

pytestmark = pytest.mark.stress


class Waiting(Peer):
    """Waits for one answer that is due at a moment when the server stops."""

    def __init__(self, load: Load, kind: str, moment: float, token: str) -> None:
        self._target = f"/at/{kind}/{moment!r}/{token}"
        self._token = token
        self.answers = 0
        super().__init__(load)

    def begin(self) -> None:
        self.send(get(self._target))

    def on_answer(self, answer: Received) -> None:
        assert answer == Received(200, self._token.encode())
        self.answers += 1

    def on_end(self, error: OSError | None) -> None:
        assert not self.reader.in_the_middle
        assert self.answers <= 1


def _open_are(descriptors: int) -> bool:
    return open_descriptors() == descriptors


@pytest.mark.parametrize("phase", ["drain begins", "drain timeout"])
@pytest.mark.parametrize("source", [PLAIN, SCRIPT], ids=["plain", "held"])
def test_a_handler_that_ends_with_the_stop_gives_one_answer_or_none(
    storm: Callable[..., Service], note: Callable[..., None], full: bool, source: str, phase: str
) -> None:
    """At the begin of the drain nobody may go without an answer; at its timeout some do."""
    aborted = phase == "drain timeout"
    clients, rounds = (50, 40) if full else (50, 6)
    aim = Aim(300e-6)
    answered = 0
    for _ in range(rounds):
        descriptors = open_descriptors()
        service = storm(
            source,
            blocking_max=clients,
            shutdown_timeout_ms=100 if aborted else 20_000,
            keep_alive_timeout_ms=60_000,
        )
        stop_at = monotonic() + 0.15
        due = stop_at + (0.1 + aim.offset_s if aborted else 0.0)
        load = Load(("127.0.0.1", service.port))
        peers = [
            Waiting(load, ("async", "sync")[number % 2], due + (number - clients / 2) * 20e-6, f"t{number}")
            for number in range(clients)
        ]
        background = Background(load)
        threading.Event().wait(max(0.0, stop_at - monotonic()))
        server = service.server
        assert service.stop()
        took_s = monotonic() - stop_at
        background.join()
        assert wait_until(partial(_open_are, descriptors))
        assert server._lanes.in_flight() == 0
        got = sum(peer.answers for peer in peers)
        answered += got
        aim.was(early=got > clients // 2)
        if not aborted:
            assert got == clients
            assert took_s < 5, "a connection was left idle at the drain"
    note(collisions=clients * rounds, answered=answered, cut_off=clients * rounds - answered)
    if full and aborted:
        assert 0 < answered < clients * rounds
