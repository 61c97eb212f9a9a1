"""Who gets a processor first where handlers compute: the threads that serve, as soon as they have to.

Linux only; elsewhere a thread has no priority of its own. A lower priority alone is not enough: since 6.6
a thread that runs is left its slice of some 3 ms, whoever is woken meanwhile. From 6.12 on one may ask for
a shorter slice, and takes the processor from those with longer ones.
"""

from __future__ import annotations

import os
import struct
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

# The least that Linux allows. With 0.4 ms the fast route's p99 beside computing ones was three times as long.
_SLICE_NS: Final = 100_000
_LOWEST_PRIORITY: Final = 19
# With short slices for those that serve this is far enough. At 8, beside 16 clients of a fast route, those
# that compute get 1.2 times as much, and the route a p99 that is 1.25 times as long.
_LEVELS_BACK: Final = 10
# struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period; see sched_setattr(2).
_ATTR: Final = struct.Struct("=IIQiIQQQ")
_RUNTIME: Final = 5
_SET: Final = 0
_GET: Final = 1
_SYSCALLS: Final = {"x86_64": (314, 315), "aarch64": (274, 275), "riscv64": (274, 275)}
_POSSIBLE: Final = sys.platform.startswith("linux")


class Serving:
    """The threads of the process that serve: acceptors and loops. Any thread may call any method.

    ``_lock`` guards the threads and whether they have been put first.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: set[int] = set()
        self._first = False

    @contextmanager
    def thread(self) -> Iterator[None]:
        """While the block runs, the calling thread is one of them."""
        native_id = threading.get_native_id()
        with self._lock:
            self._threads.add(native_id)
            if self._first:
                _shorten_slice(native_id)
        try:
            yield
        finally:
            with self._lock:
                self._threads.discard(native_id)

    def put_first(self) -> bool:
        """Has them take the processor from those that do not serve; whether the system can do that."""
        with self._lock:
            if not self._first:
                done = [_shorten_slice(native_id) for native_id in self._threads]
                self._first = all(done)
            return self._first


serving = Serving()


def step_back() -> None:
    """Has the calling thread, which computes, wait for those that serve, for the rest of its life.

    Only a privileged process may raise a priority again.
    """
    if not _POSSIBLE:
        return
    native_id = threading.get_native_id()
    level = _LOWEST_PRIORITY
    if serving.put_first():
        level = min(level, os.getpriority(os.PRIO_PROCESS, native_id) + _LEVELS_BACK)
    os.setpriority(os.PRIO_PROCESS, native_id, level)


def _shorten_slice(native_id: int) -> bool:
    """Gives a thread the shortest slice; False where the system has none, or does not allow it."""
    attributes = bytearray(_ATTR.size)
    if not _call(_GET, native_id, attributes):
        return False
    fields = list(_ATTR.unpack(attributes))
    fields[_RUNTIME] = _SLICE_NS
    _ATTR.pack_into(attributes, 0, *fields)
    if not _call(_SET, native_id, attributes) or not _call(_GET, native_id, attributes):
        return False
    # Before 6.12 it is taken, and forgotten.
    return bool(_ATTR.unpack(attributes)[_RUNTIME] == _SLICE_NS)


def _call(which: int, native_id: int, attributes: bytearray) -> bool:
    """sched_setattr or sched_getattr, which ``os`` does not have; whether it succeeded."""
    numbers = _SYSCALLS.get(os.uname().machine)
    if numbers is None:
        return False
    # Here, since few scripts compute: it takes a megabyte.
    import ctypes

    buffer = (ctypes.c_char * _ATTR.size).from_buffer(attributes)
    sizes_and_flags = (0,) if which == _SET else (_ATTR.size, 0)
    result: int = ctypes.CDLL(None).syscall(numbers[which], native_id, buffer, *sizes_and_flags)
    return result == 0
