"""How many more there is room for, under a bound on what waits and runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Room:
    """What is left under a bound; counted anew only once that seems to be too little.

    What ends meanwhile leaves more, so nobody is refused anything that there is room for, and nothing is let
    in beyond the bound but what is taken and not submitted yet while another thread counts. To ask all
    threads for what they have ended took as long in each turn as half a request. Whoever calls holds a
    lock, always the same.
    """

    __slots__ = ("_count", "_left")

    def __init__(self, count: Callable[[], int]) -> None:
        """``count``: says how many more may come; what was taken counts there once it is submitted."""
        self._count = count
        self._left = 0

    def take(self, wanted: int) -> int:
        """How many of ``wanted`` may come; they take that much of it."""
        if wanted > self._left:
            self._left = max(0, self._count())
            wanted = min(wanted, self._left)
        self._left -= wanted
        return wanted
