"""What the system says of a thread: how long it has run, and whether it would."""

from __future__ import annotations

import threading
from time import monotonic, thread_time

import pytest

from siphon.threads.thread_clock import KNOWN, ThreadClock
from tests.stress.leaks import wait_until

pytestmark = pytest.mark.skipif(not KNOWN, reason="needs Linux's schedstat")


def test_a_thread_that_waits_does_not_run_and_is_not_runnable() -> None:
    gate = threading.Event()
    thread = threading.Thread(target=gate.wait, args=[20], name="in) (brackets")
    thread.start()
    clock = ThreadClock(thread)
    assert wait_until(lambda: not clock.is_runnable())
    before = clock.read()
    began = monotonic()
    assert wait_until(lambda: monotonic() - began > 0.1)
    assert clock.read() == before
    gate.set()
    thread.join()
    clock.close()


def test_a_thread_that_computes_runs() -> None:
    done: list[float] = []

    def compute() -> None:
        assert gate.wait(20)
        while thread_time() < 0.1:
            pass
        done.append(clocks[0].read().ran_s)

    clocks: list[ThreadClock] = []
    gate = threading.Event()
    thread = threading.Thread(target=compute)
    thread.start()
    clocks.append(ThreadClock(thread))
    gate.set()
    assert wait_until(clocks[0].is_runnable, every_s=0.001)
    thread.join()
    assert done[0] >= 0.09
    with pytest.raises(ProcessLookupError):
        clocks[0].read()
    assert not clocks[0].is_runnable()
    clocks[0].close()
