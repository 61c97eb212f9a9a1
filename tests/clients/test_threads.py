"""Whose turn it is where origins share the threads."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, cast

from siphon.client.threads import ClientThreads, Slots

if TYPE_CHECKING:
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
