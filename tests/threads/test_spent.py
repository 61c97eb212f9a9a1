"""What a thread has had of a processor: computing and waiting are told apart."""

from __future__ import annotations

from select import select
from time import thread_time

import pytest

from siphon.threads.spent import TELLS_WAITING, Spent

pytestmark = pytest.mark.skipif(not TELLS_WAITING, reason="only Linux counts how often a thread has waited")


def compute(cpu_s: float) -> None:
    """Uses so much of the processor's time."""
    end = thread_time() + cpu_s
    while thread_time() < end:
        pass


def wait(wait_s: float) -> None:
    """For the system: who waits for a lock yields first, which takes as long on a busy machine."""
    select([], [], [], wait_s)


@pytest.mark.parametrize("cpu_s", [0.0005, 0.003])
def test_who_computes_has_used_the_processor_and_not_waited(cpu_s: float) -> None:
    """For less than a tick, too."""
    for _ in range(20):
        before = Spent()
        compute(cpu_s)
        used_s, waited = before.since()
        assert cpu_s <= used_s < cpu_s + 0.05
        assert not waited


def test_who_waits_has() -> None:
    before = Spent()
    wait(0.002)
    used_s, waited = before.since()
    assert waited
    assert used_s < 0.002


def test_who_waits_for_a_moment_and_computes_has_waited() -> None:
    before = Spent()
    compute(0.001)
    wait(0.001)
    used_s, waited = before.since()
    assert waited
    assert used_s >= 0.001
