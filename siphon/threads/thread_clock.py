"""What the system says of another thread: for how long it has run, and whether it wants to. Linux only."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from threading import Thread

_TASK: Final = "/proc/self/task/{}/{}"
_BYTES: Final = 512

KNOWN: Final = os.path.exists("/proc/self/schedstat")
"""Whether the system counts it."""


class Times(NamedTuple):
    """Of one thread, in seconds since it began."""

    ran_s: float
    waited_s: float
    """It could have run, but others had the processors; counted when it gets one."""


class ThreadClock:
    """Of a thread that has been started. Any thread may read it, until it is closed."""

    __slots__ = ("_fd", "_stat")

    def __init__(self, thread: Thread) -> None:
        """Raises OSError where there is no descriptor for it, or the system tells nothing."""
        self._fd = os.open(_TASK.format(thread.native_id, "schedstat"), os.O_RDONLY | os.O_CLOEXEC)
        self._stat = _TASK.format(thread.native_id, "stat")

    def read(self) -> Times:
        """What it has used so far; raises ProcessLookupError once the thread has ended."""
        ran_ns, waited_ns, _ = os.pread(self._fd, _BYTES, 0).split()
        return Times(int(ran_ns) / 1e9, int(waited_ns) / 1e9)

    def is_runnable(self) -> bool:
        """Whether it runs, or would if it had a processor; False where nobody can tell."""
        try:
            fd = os.open(self._stat, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            # Behind the name, which is in brackets and may have any in it.
            return os.read(fd, _BYTES).rpartition(b")")[2].split()[0] == b"R"
        finally:
            os.close(fd)

    def close(self) -> None:
        """Lets go of the descriptor."""
        os.close(self._fd)
