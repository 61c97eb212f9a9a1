"""Sync handlers that compute: as many exchanges begin at once as there are processors, the others wait."""

from __future__ import annotations

import threading
from collections import deque
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from siphon.dispatch import Chain
    from siphon.threads.blocking_worker import Item
    from siphon.threads.exchange import Exchange

PATIENCE_S: Final = 0.01
"""How long an exchange that has begun keeps another waiting: it may not be computing after all."""
# So many in a row that computed, of those that were watched; one that did not is enough to the contrary.
_ENOUGH: Final = 4


class Computing:
    """Which chains compute, and which of their exchanges have begun on a blocking lane.

    Sixteen threads that compute take two processors from one another: two at a time serve more, with half of
    the p99 (measured). An exchange that has taken longer than ``PATIENCE_S``, because it waits or has much to
    do, does not count any more: none waits for long behind another, and those that compute for long share
    the processors as threads do.

    ``_lock`` guards the scores; for ``admit``, ``run_out`` and ``clear`` the lane's lock is held. ``leave``
    needs none: an acceptor that met a worker there would yield its processor to threads that compute, 40
    times. Whoever takes an item out of ``begun`` has its place to give away. Ends of lists and deques are
    thread-safe, and whoever adds to one of ``_free`` and ``_waiting`` looks at the other afterwards: so none
    waits beside a free place.
    """

    def __init__(self, places: int) -> None:
        self._lock = threading.Lock()
        self._scores: dict[Chain, int] = {}
        # Those that have a place, the first to come first, and since when.
        self.begun: dict[Item, float] = {}
        self._waiting: deque[Exchange] = deque()
        self._free: list[None] = [None] * places
        self._plenty = 2 * places  # half a millisecond each or more: enough for an acceptor's pause
        self.due = inf
        """When one that waits may have waited long enough; monotonic seconds. A moment's answer."""

    @property
    def waiting(self) -> int:
        """Exchanges that have no place yet. A moment's figure."""
        return len(self._waiting)

    @property
    def has_plenty(self) -> bool:
        """Whether so many wait that the processors have enough to do for a while. A moment's answer."""
        return len(self._waiting) >= self._plenty

    def note(self, chain: Chain, *, computed: bool) -> None:
        """Hears of an exchange that was watched. Any thread."""
        with self._lock:
            if computed:
                self._scores[chain] = min(_ENOUGH, self._scores.get(chain, 0) + 1)
            else:
                self._scores.pop(chain, None)

    def admit(self, exchanges: list[Exchange]) -> list[Exchange]:
        """Keeps those that compute until they have a place; returns what may begin now."""
        if not self._scores:
            return exchanges
        now = monotonic()
        begin: list[Exchange] = []
        for exchange in exchanges:
            if self._scores.get(exchange.chain, 0) < _ENOUGH:
                begin.append(exchange)
            else:
                self._waiting.append(exchange)
        while (following := self._place_next(now)) is not None:
            begin.append(following)
        if self._waiting:
            self.due = min(self.due, now + PATIENCE_S)
        return begin

    def leave(self, item: Item) -> Exchange | None:
        """Gives the place that ``item`` may still have to what is returned, if anything waits. Any thread."""
        if self.begun.pop(item, None) is None:
            return None
        self._free.append(None)
        return self._place_next(monotonic())

    def _place_next(self, now: float) -> Exchange | None:
        while self._waiting:
            try:
                self._free.pop()
            except IndexError:
                break
            try:
                following = self._waiting.popleft()
            except IndexError:
                self._free.append(None)  # another was quicker; what has come since sees this, or is seen
            else:
                self.begun[following] = now
                return following
        return None

    def run_out(self, now: float) -> list[Exchange]:
        """Takes the places of those that have had them for too long, and returns what begins instead."""
        following: list[Exchange] = []
        if now < self.due:
            return following
        self.due = inf
        for item, began in self.begun.copy().items():
            if now < began + PATIENCE_S:
                break
            begins = self.leave(item)
            if begins is not None:
                following.append(begins)
        if self._waiting:
            self.due = min(self.begun.copy().values(), default=now) + PATIENCE_S
        return following

    def clear(self) -> None:
        """Drops what waits: it is not run any more."""
        self._waiting.clear()
