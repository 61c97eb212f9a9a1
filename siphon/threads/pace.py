"""Whether sync exchanges are quick enough to be run one behind the other."""

from __future__ import annotations

import threading
from time import monotonic
from typing import Final

# For so long they are run singly once some have turned out to wait, or to compute for long.
_SINGLY_S: Final = 10.0
# One exchange may have met a garbage collection: it takes three that were slow, among fewer than fifty.
_SLOW: Final = 16
_TOO_SLOW: Final = 3 * _SLOW


class Pace:
    """What was found of the exchanges that were watched. Any thread; ``_lock`` guards the slowness."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Each exchange that was watched adds to it where it was slow, and takes one off where it was quick.
        self._slowness = 0
        self._singly_until = 0.0
        self.watches = False
        """Exchanges are to be watched: one row took longer than rows of quick ones do."""

    def is_quick(self) -> bool:
        """Whether one may wait behind another."""
        return monotonic() >= self._singly_until

    def note(self, *, quick: bool) -> None:
        """Hears of each exchange that was watched."""
        with self._lock:
            self._slowness = max(0, self._slowness - 1) if quick else self._slowness + _SLOW
            if self._slowness >= _TOO_SLOW:
                self._slowness = 0
                self._singly_until = monotonic() + _SINGLY_S
