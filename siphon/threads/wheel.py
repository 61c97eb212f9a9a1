"""A timing wheel: each connection sits in at most one slot, and its deadline is a number on itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from siphon.threads.connection import Connection

TICK_S: Final = 0.1
# More than the longest that anything is filed ahead, which is LINGER_S: each takes 200 bytes.
_SLOTS: Final = 64


class Wheel:
    """Which connections to look at when. Whoever owns the connections alone touches it.

    Who moves a deadline only writes ``connection.deadline``: when the slot comes up, the owner reads
    it and files the connection again. A deadline may move nearer than the slot, so a connection is
    never filed further ahead than its listener's shortest timeout.
    """

    def __init__(self, now: float) -> None:
        self._slots: list[set[Connection]] = [set() for _ in range(_SLOTS)]
        self._tick = int(now / TICK_S)
        self._filed = 0
        self.next_due = math.inf

    def file(self, connection: Connection, now: float) -> None:
        """Files a connection by its deadline; it leaves the slot that it sits in, if any."""
        self.remove(connection)
        ahead_s = min(connection.deadline - now, connection.listener.shortest_timeout_s)
        tick = max(math.ceil((now + ahead_s) / TICK_S), self._tick + 1)
        tick = min(tick, self._tick + _SLOTS - 1)
        slot = tick % _SLOTS
        self._slots[slot].add(connection)
        connection.slot = slot
        self._filed += 1
        self.next_due = min(self.next_due, tick * TICK_S)

    def remove(self, connection: Connection) -> None:
        """Takes a connection out of its slot; nothing happens to one that sits in none."""
        if connection.slot < 0:
            return
        members = self._slots[connection.slot]
        members.discard(connection)
        if not members:
            # Else a crowd that has come and gone would keep its table, in one slot after the other.
            members.clear()
        connection.slot = -1
        self._filed -= 1

    def due(self, now: float) -> list[Connection]:
        """Takes out and returns the connections whose slots have come up by ``now``."""
        found: list[Connection] = []
        last = int(now / TICK_S)
        # After a long pause one turn of the wheel has seen every slot.
        for tick in range(max(self._tick + 1, last - _SLOTS + 1), last + 1):
            slot = tick % _SLOTS
            if self._slots[slot]:
                found += self._slots[slot]
                self._slots[slot] = set()
        self._tick = max(last, self._tick)
        for connection in found:
            connection.slot = -1
        self._filed -= len(found)
        self.next_due = self._first_due()
        return found

    def _first_due(self) -> float:
        if not self._filed:
            return math.inf
        for tick in range(self._tick + 1, self._tick + _SLOTS):
            if self._slots[tick % _SLOTS]:
                return tick * TICK_S
        return math.inf
