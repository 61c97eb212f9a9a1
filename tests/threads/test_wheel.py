"""The timing wheel alone: when connections are due, and what a crowd that has gone leaves behind."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

from siphon.threads.wheel import TICK_S, Wheel


def a_connection(deadline: float) -> Any:
    """As much of a connection as the wheel looks at."""
    return _Filed(deadline)


class _Filed:
    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.listener = SimpleNamespace(shortest_timeout_s=5.0)
        self.slot = -1


def test_a_connection_is_due_once_its_deadline_has_passed() -> None:
    wheel = Wheel(0.0)
    connection = a_connection(1.0)
    wheel.file(connection, 0.0)
    assert wheel.due(1.0 - 2 * TICK_S) == []
    assert wheel.due(1.0 + TICK_S) == [connection]
    assert wheel.due(60.0) == []


def test_a_crowd_that_has_gone_leaves_no_table_behind() -> None:
    wheel = Wheel(0.0)
    empty_bytes = sum(sys.getsizeof(slot) for slot in wheel._slots)
    crowd = [a_connection(1.0 + number % 100 * TICK_S) for number in range(10_000)]
    for connection in crowd:
        wheel.file(connection, 0.0)
    for connection in crowd:
        wheel.remove(connection)
    assert sum(sys.getsizeof(slot) for slot in wheel._slots) == empty_bytes
