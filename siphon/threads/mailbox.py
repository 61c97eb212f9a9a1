"""What the main thread waits for: signals, ended hooks, ended acceptors."""

from __future__ import annotations

import signal
import time
from collections import deque

from siphon.wakeup import Wakeup


class Mailbox[T]:
    """Any thread puts, signal handlers included; the main thread alone gets.

    It waits on a descriptor, and not on a lock: a signal that comes just before a lock is waited for
    is not noticed until the next one, while the C handler's byte in the descriptor ends any wait.
    """

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._wakeup = Wakeup(for_signals=True)
        self._heeds_signals = False

    def heed_signals(self) -> None:
        """Makes every signal end a wait, so that its Python handler runs. Main thread only."""
        self._heeds_signals = True
        signal.set_wakeup_fd(self._wakeup.write_fd, warn_on_full_buffer=False)

    def put(self, item: T) -> None:
        """Adds an item and ends the wait."""
        self._items.append(item)
        self._wakeup.set()

    def get(self, timeout_s: float | None = None) -> T | None:
        """The next item, or None when ``timeout_s`` has passed without one."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._items:
            left_s = None if deadline is None else deadline - time.monotonic()
            if left_s is not None and left_s <= 0:
                return None
            self._wakeup.wait(left_s)
            self._wakeup.clear()
        return self._items.popleft()

    def close(self) -> None:
        """Lets go of the descriptors, when nobody can put any more."""
        if self._heeds_signals:
            signal.set_wakeup_fd(-1)
        self._wakeup.close()
