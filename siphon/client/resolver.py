"""Name resolution, which nothing can interrupt, on bounded threads of its own."""

from __future__ import annotations

import socket
import threading
from collections import deque
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from siphon.daemon import Daemon

if TYPE_CHECKING:
    from siphon.client.call import Call

_THREADS_MAX: Final = 4

type Address = tuple[socket.AddressFamily, Any]


class _LookUp:
    """One name that a call's I/O thread waits for."""

    __slots__ = ("_outcome", "host", "is_wanted", "port")

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.is_wanted = True
        self._outcome: SimpleQueue[list[Address] | OSError | None] = SimpleQueue()

    def interrupt(self) -> None:
        """Ends the wait; a look-up that has not begun is left out."""
        self.is_wanted = False
        self._outcome.put(None)

    def run(self) -> None:
        """Asks the system. A resolver thread."""
        try:
            self._outcome.put(_ask(self.host, self.port))
        except OSError as error:
            self._outcome.put(error)

    def wait(self) -> list[Address] | OSError | None:
        """What was found, or the error; None after an interruption."""
        return self._outcome.get()


class Resolver:
    """Looks names up for I/O threads. Any thread may call ``resolve``.

    ``_lock`` guards the queue and the count of threads, of which each takes what is queued until
    nothing is left, and ends.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[_LookUp] = deque()
        self._threads = 0

    def resolve(self, call: Call, host: str, port: int) -> list[Address]:
        """The addresses of ``host``, best first; an IP address is its own.

        Raises OSError (socket.gaierror) where there are none, CallEnded once the call has ended.
        """
        with suppress(socket.gaierror):
            return _ask(host, port, socket.AI_NUMERICHOST)
        look_up = _LookUp(host, port)
        call.attach(look_up)
        self._queue_up(look_up)
        outcome = look_up.wait()
        call.detach()
        if isinstance(outcome, OSError):
            raise outcome
        assert outcome is not None  # only an end interrupts, and then detach has raised
        return outcome

    def _queue_up(self, look_up: _LookUp) -> None:
        with self._lock:
            self._queue.append(look_up)
            if self._threads == _THREADS_MAX:
                return
            self._threads += 1
        try:
            Daemon("siphon-resolver", self._work).start()
        except RuntimeError:
            # The system gives no thread: this one asks, and cannot be interrupted meanwhile.
            self._work()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._queue:
                    self._threads -= 1
                    return
                look_up = self._queue.popleft()
            if look_up.is_wanted:
                look_up.run()


def _ask(host: str, port: int, flags: int = 0) -> list[Address]:
    # As bytes, since it is encoded: of a str, getaddrinfo would refuse in its own words what no name can be.
    found = socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM, flags=flags)
    return [(family, address) for family, _, _, _, address in found]
