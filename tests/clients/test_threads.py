"""Whose turn it is where origins share the threads."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from siphon.client import threads as threads_module
from siphon.client.threads import ClientThreads, ClientWorker, Slots

if TYPE_CHECKING:
    from collections.abc import Callable

    from siphon.client.call import Call


class Recording:
    """A pool that notes whose call it serves; none is done before the gate opens."""

    def __init__(self, served: SimpleQueue[str], gate: threading.Event) -> None:
        self._served = served
        self._gate = gate

    def serve(self, call: Call) -> bool:
        self._served.put(cast("str", call))
        assert self._gate.wait(20)
        return True


def test_origins_that_share_a_thread_take_turns() -> None:
    served: SimpleQueue[str] = SimpleQueue()
    gate = threading.Event()
    threads = ClientThreads(1)
    first, second = [Slots(Recording(served, gate), 8) for _ in range(2)]
    for slots, call in ((first, "a1"), (first, "a2"), (first, "a3"), (second, "b1"), (second, "b2")):
        assert threads.submit(slots, cast("Call", call))
    gate.set()
    assert [served.get(timeout=10) for _ in range(5)] == ["a1", "a2", "b1", "a3", "b2"]
    threads.stop()
    assert threads.join(10)


def test_who_is_done_takes_the_next_call_of_an_origin_that_has_no_slot_left() -> None:
    served: SimpleQueue[str] = SimpleQueue()
    gate = threading.Event()
    threads = ClientThreads(8)
    slots = Slots(Recording(served, gate), 1)
    for number in range(4):
        assert threads.submit(slots, cast("Call", str(number)))
    assert threads.load(slots).in_flight == 1
    assert threads.load(slots).waiting == 3
    gate.set()
    assert [served.get(timeout=10) for _ in range(4)] == ["0", "1", "2", "3"]
    threads.stop()
    assert threads.join(10)
    assert threads.load(slots).in_flight == 0


# Where the system has no thread ----------------------------------------------------------------


class Refused:
    """A call that notes why it was refused."""

    def __init__(self) -> None:
        self.request = SimpleNamespace(method="GET", url="http://a/")
        self.errors: list[BaseException] = []

    def fail(self, error: BaseException) -> None:
        self.errors.append(error)


def refuse_to_start(
    monkeypatch: pytest.MonkeyPatch, error: Exception, meanwhile: Callable[[], object] = lambda: None
) -> None:
    """Lets no client thread be started any more; before that is known, ``meanwhile`` happens."""

    def refuse(worker: ClientWorker) -> None:
        meanwhile()
        raise error

    monkeypatch.setattr(ClientWorker, "start", refuse)


NO_THREAD = [RuntimeError("can't start new thread"), OSError(24, "Too many open files")]


@pytest.mark.parametrize("error", NO_THREAD, ids=["thread", "descriptor"])
def test_those_that_are_there_go_on_and_later_more_are_started_again(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    served: SimpleQueue[str] = SimpleQueue()
    gate = threading.Event()
    threads = ClientThreads(3)
    slots = Slots(Recording(served, gate), 8)
    assert threads.submit(slots, cast("Call", "a"))
    assert served.get(timeout=10) == "a"
    starts: list[None] = []
    with monkeypatch.context() as patched:
        refuse_to_start(patched, error, lambda: starts.append(None))
        for call in ("b", "c"):
            assert threads.submit(slots, cast("Call", call))
    assert len(starts) == 1  # for a while it is not even tried
    monkeypatch.setattr(threads_module, "monotonic", lambda: float("inf"))
    assert threads.submit(slots, cast("Call", "d"))
    # On threads of their own, since the first one is still at "a": that others wait for it changes nothing.
    assert {served.get(timeout=10) for _ in range(2)} == {"b", "c"}
    gate.set()
    assert served.get(timeout=10) == "d"
    monkeypatch.undo()
    threads.stop()
    assert threads.join(10)


def test_a_call_that_could_get_no_thread_goes_to_one_that_has_come_free_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served: SimpleQueue[str] = SimpleQueue()
    gate, parked = threading.Event(), threading.Event()
    threads = ClientThreads(2)
    slots = Slots(Recording(served, gate), 8)
    next_task = threads.next_task

    def note_parking(worker: ClientWorker, done: Slots | None) -> object:
        task = next_task(worker, done)
        parked.set()
        return task

    monkeypatch.setattr(threads, "next_task", note_parking)
    assert threads.submit(slots, cast("Call", "a"))

    def finish_first() -> None:
        gate.set()
        assert parked.wait(20)

    refuse_to_start(monkeypatch, NO_THREAD[0], finish_first)
    assert threads.submit(slots, cast("Call", "b"))
    assert [served.get(timeout=10) for _ in range(2)] == ["a", "b"]
    threads.stop()
    assert threads.join(10)


def test_without_any_thread_everything_that_waits_for_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = ClientThreads(1)
    first, second = [Slots(Recording(SimpleQueue(), threading.Event()), 1) for _ in range(2)]
    calls = [Refused() for _ in range(4)]

    def submit_more() -> None:
        if not calls[1].errors and not second.in_line:
            for slots, call in ((first, calls[1]), (second, calls[2])):
                assert threads.submit(slots, cast("Call", call))

    refuse_to_start(monkeypatch, NO_THREAD[0], submit_more)
    assert threads.submit(first, cast("Call", calls[0]))
    assert threads.submit(second, cast("Call", calls[3]))  # tried again, pause or not
    for call in calls:
        (error,) = call.errors
        assert "no thread could be started: can't start new thread" in str(error)
    assert threads.load(first).in_flight == threads.load(second).in_flight == 0
