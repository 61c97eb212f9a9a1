"""What the calling thread has had of a processor, and whether it has waited."""

from __future__ import annotations

import resource
from time import thread_time
from typing import Final

TELLS_WAITING: Final = hasattr(resource, "RUSAGE_THREAD")
"""Whether the system counts how often a thread has waited; only Linux does."""

# A lock of the interpreter's is no wait for something to happen: before it parks, a thread yields its
# processor so many times.
_YIELDS: Final = 40


class Spent:
    """The calling thread's counts up to now, where ``TELLS_WAITING``; to take and compare them takes 3 us."""

    __slots__ = ("_cpu_s", "_preempted", "_waits")

    def __init__(self) -> None:
        usage = resource.getrusage(resource.RUSAGE_THREAD)
        self._waits, self._preempted = usage.ru_nvcsw, usage.ru_nivcsw
        # Of the processor's time ``usage`` knows what there was at the last tick, which may be 10 ms ago.
        self._cpu_s = thread_time()

    def since(self) -> tuple[float, bool]:
        """The processor time since then, in seconds, and whether this thread, the same, has waited."""
        cpu_s = thread_time() - self._cpu_s
        usage = resource.getrusage(resource.RUSAGE_THREAD)
        return cpu_s, usage.ru_nvcsw > self._waits and usage.ru_nivcsw - self._preempted < _YIELDS
