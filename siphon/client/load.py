"""What the connections of a client are at, in numbers, for whoever watches."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Load(NamedTuple):
    """Connections that are open or being opened, calls that they carry, and calls that wait for one."""

    connections: int = 0
    in_flight: int = 0
    waiting: int = 0


def total(loads: Iterable[Load]) -> Load:
    """All of them together."""
    return Load(*[sum(column) for column in zip(Load(), *loads, strict=True)])
