"""How many more there is room for."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from siphon.config.settings import ThreadSettings
from siphon.threads.lanes import Lanes
from siphon.threads.room import Room

BOUND = 10


class Work:
    """What waits and runs under a bound, each item from when it is submitted until it ends."""

    def __init__(self) -> None:
        self.items = 0
        self.counted = 0

    def room(self) -> int:
        self.counted += 1
        return BOUND - self.items


@given(st.lists(st.tuples(st.integers(0, 2 * BOUND), st.integers(0, BOUND)), max_size=50))
def test_as_much_is_taken_as_the_bound_allows(steps: list[tuple[int, int]]) -> None:
    work = Work()
    room = Room(work.room)
    for wanted, ended in steps:
        allowed = min(wanted, BOUND - work.items)
        assert room.take(wanted) == allowed
        work.items += allowed
        work.items -= min(ended, work.items)


def test_what_is_far_from_the_bound_is_not_counted_anew() -> None:
    work = Work()
    room = Room(work.room)
    assert [room.take(1) for _ in range(BOUND)] == [1] * BOUND
    assert work.counted == 1
    assert room.take(1) == 1
    assert work.counted == 2


def test_nothing_is_left_where_there_is_more_than_the_bound_allows() -> None:
    work = Work()
    work.items = BOUND + 1
    room = Room(work.room)
    assert [room.take(1), room.take(0)] == [0, 0]
    work.items = BOUND - 1
    assert [room.take(1), room.take(0)] == [1, 0]


def test_a_visit_that_nobody_waits_for_takes_a_place() -> None:
    lanes = Lanes(ThreadSettings(), access_log=False, dev=False)
    rooms = iter([BOUND])
    lanes._room = Room(lambda: next(rooms, 0))
    exchanges: list[Any] = [None] * (BOUND - 2)
    assert not lanes._leave_out([], exchanges)
    lanes.take_place()
    exchanges = [None, None]
    assert len(lanes._leave_out([], exchanges)) == 2
