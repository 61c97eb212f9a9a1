"""The states of an HTTP/1 connection, who owns each, and every legal move between them.

States and events are plain strings: interned, hence immortal, so that several threads can read
them without touching one another's reference counts.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from siphon.errors import IllegalMove

if TYPE_CHECKING:
    from collections.abc import Mapping

# States.
IDLE: Final = "idle"
HEAD: Final = "head"
BODY: Final = "body"
RUNNING: Final = "running"
SENDING: Final = "sending"
LINGERING: Final = "lingering"
CLOSED: Final = "closed"

# Events.
HEAD_BEGUN: Final = "head begun"
BODY_BEGUN: Final = "body begun"
DISPATCHED: Final = "dispatched"
ANSWERED: Final = "answered"
ANSWERED_LAST: Final = "answered, the last one"
ANSWERED_PARTLY: Final = "answered, not all of it sent"
FLUSHED: Final = "flushed"
FLUSHED_LAST: Final = "flushed, the last one"
CLOSING: Final = "closing"

OWNERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        IDLE: "who reads it",
        HEAD: "who reads it",
        BODY: "who reads it",
        RUNNING: "whoever claims the exchange",
        SENDING: "who reads it",
        LINGERING: "who reads it",
        CLOSED: "nobody",
    }
)

_ANSWERS = {ANSWERED: IDLE, ANSWERED_LAST: LINGERING, ANSWERED_PARTLY: SENDING, CLOSING: CLOSED}

TABLE: Final[Mapping[str, Mapping[str, str]]] = {
    IDLE: {HEAD_BEGUN: HEAD, BODY_BEGUN: BODY, DISPATCHED: RUNNING, **_ANSWERS},
    HEAD: {BODY_BEGUN: BODY, DISPATCHED: RUNNING, **_ANSWERS},
    BODY: {DISPATCHED: RUNNING, **_ANSWERS},
    RUNNING: _ANSWERS,
    SENDING: {FLUSHED: IDLE, FLUSHED_LAST: LINGERING, CLOSING: CLOSED},
    LINGERING: {CLOSING: CLOSED},
    CLOSED: {},
}


def after(state: str, event: str) -> str:
    """The state that follows ``event`` in ``state``; raises IllegalMove where the table has none."""
    try:
        return TABLE[state][event]
    except KeyError:
        raise IllegalMove(f"a connection that is {state} cannot be {event}") from None
