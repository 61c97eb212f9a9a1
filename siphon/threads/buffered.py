"""How many bytes of requests are in memory, over all connections."""

from __future__ import annotations

import threading


class BufferedBytes:
    """Counts what has been received of bodies until the work on their requests ends.

    Any thread may call it. ``_lock`` guards ``_used``.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._used = 0

    @property
    def used(self) -> int:
        """How many bytes are counted. A moment's figure, from any thread."""
        return self._used

    def take(self, size: int) -> bool:
        """Counts ``size`` bytes in, in any case; whether all that is counted is still within the limit."""
        with self._lock:
            self._used += size
            return self._used <= self._limit

    def give(self, size: int) -> None:
        """Counts ``size`` bytes out."""
        with self._lock:
            self._used -= size
