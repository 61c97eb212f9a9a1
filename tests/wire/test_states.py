"""The table of a connection's states: complete, owned, and strict."""

from __future__ import annotations

import itertools

import pytest

from siphon.errors import IllegalMove
from siphon.wire import states
from siphon.wire.states import CLOSED, CLOSING, IDLE, OWNERS, TABLE, after

EVENTS = sorted({event for moves in TABLE.values() for event in moves})
LEGAL = [(state, event, follower) for state, moves in TABLE.items() for event, follower in moves.items()]
ILLEGAL = [pair for pair in itertools.product(TABLE, EVENTS) if pair[1] not in TABLE[pair[0]]]


def test_every_state_has_an_owner_and_its_moves() -> None:
    assert set(OWNERS) == set(TABLE)
    assert all(OWNERS.values())


def test_every_named_state_and_event_is_in_the_table() -> None:
    named = {value for name, value in vars(states).items() if name.isupper() and isinstance(value, str)}
    assert named == set(TABLE) | set(EVENTS)


def test_every_move_leads_to_a_state_of_the_table() -> None:
    assert {follower for _, _, follower in LEGAL} <= set(TABLE)


@pytest.mark.parametrize(("state", "event", "follower"), LEGAL)
def test_a_legal_move_leads_where_the_table_says(state: str, event: str, follower: str) -> None:
    assert after(state, event) == follower


@pytest.mark.parametrize(("state", "event"), ILLEGAL)
def test_an_illegal_move_is_an_error_that_names_both(state: str, event: str) -> None:
    with pytest.raises(IllegalMove, match=f"a connection that is {state} cannot be {event}"):
        after(state, event)


def test_a_state_that_is_none_is_an_error() -> None:
    with pytest.raises(IllegalMove):
        after("asleep", CLOSING)


def test_every_state_can_be_reached_and_every_open_one_can_be_closed() -> None:
    reached, new = {IDLE}, {IDLE}
    while new:
        new = {follower for state, _, follower in LEGAL if state in new} - reached
        reached |= new
    assert reached == set(TABLE)
    assert {state for state, moves in TABLE.items() if CLOSING in moves} == set(TABLE) - {CLOSED}
    assert TABLE[CLOSED] == {}
