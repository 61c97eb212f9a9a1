"""What is buffered, counted by several threads at once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from siphon.threads.buffered import BufferedBytes

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.stress

THREADS = 4


def test_what_threads_take_and_give_at_once_comes_out_even(full: bool, note: Callable[..., None]) -> None:
    rounds = 500_000 if full else 30_000
    buffered = BufferedBytes(1 << 50)
    together = threading.Barrier(THREADS)

    def take_and_give(size: int) -> None:
        together.wait()
        for _ in range(rounds):
            buffered.take(size)
            buffered.give(size)

    threads = [threading.Thread(target=take_and_give, args=(size,)) for size in range(1, THREADS + 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    note(rounds=rounds * THREADS)
    assert buffered.used == 0
