"""What a server still holds after a storm: connections, tasks, slots in flight, workers, descriptors."""

from __future__ import annotations

import asyncio
import os
import threading
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from siphon.threads.connection import Connection
    from siphon.threads.loops import LoopWorker
    from siphon.threads.reader import Reader
    from siphon.threads.server import Server


def open_descriptors() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))


def wait_until(condition: Callable[[], bool], within_s: float = 15.0, every_s: float = 0.01) -> bool:
    """Looks every ``every_s``, for what nothing can notify; whether ``condition`` came true in time."""
    deadline = monotonic() + within_s
    pause = threading.Event()
    while not condition():
        if monotonic() > deadline:
            return False
        pause.wait(every_s)
    return True


def readers(server: Server) -> list[Reader]:
    """The acceptors, and what they lend connections to."""
    lent = [
        lent.reader
        for acceptor in server._acceptors
        for lending in acceptor._lendings
        for lent in lending._lent
    ]
    return [*server._acceptors, *lent]


def open_connections(server: Server) -> list[Connection]:
    """Every connection that is open."""
    return [connection for reader in readers(server) for connection in list(reader.connections.values())]


def holdings(server: Server) -> dict[str, int]:
    """Everything that must be zero on a server that has nothing to do."""
    lanes = server._lanes
    return {
        "connections": len(open_connections(server)),
        "counted connections": sum(listener._connections for listener in server.listeners),
        "buffered bytes": server.listeners[0].buffered.used,
        "filed deadlines": sum(reader._wheel._filed for reader in readers(server)),
        "in flight": lanes.in_flight(),
        "on the blocking lane": lanes.blocking.load,
        "busy workers": lanes.blocking.size - lanes.blocking.resting,
        "suspended": sum(len(worker.suspended) for worker in lanes.loops),
        "tasks": sum(_tasks_of(worker) for worker in lanes.loops),
    }


def _tasks_of(worker: LoopWorker) -> int:
    answer: SimpleQueue[int] = SimpleQueue()
    # Only the loop's own thread may look at its tasks without a race.
    worker.loop.call_soon_threadsafe(_count_tasks, worker.loop, answer)
    return answer.get(timeout=15)


def _count_tasks(loop: asyncio.AbstractEventLoop, answer: SimpleQueue[int]) -> None:
    answer.put(len(asyncio.all_tasks(loop)))


class Watch:
    """Takes a server's descriptors when it is made, right after the start; ``check`` compares."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._descriptors = self._open_descriptors()

    def _open_descriptors(self) -> int:
        """Without those at which blocking workers wait, and those that watch them: a load adds some."""
        to_runners = [lending for one in self._server._acceptors for lending in one._lendings[1:]]
        clocks = [lent._clock for lending in to_runners for lent in lending._lent if lent._clock]
        return open_descriptors() - self._server._lanes.blocking.size - len(clocks)

    def check(self) -> None:
        """Waits for the server to come to rest; fails with what it still holds."""
        wait_until(self._at_rest)
        left = {name: number for name, number in holdings(self._server).items() if number}
        assert not left
        assert self._open_descriptors() == self._descriptors

    def _at_rest(self) -> bool:
        return not any(holdings(self._server).values()) and self._open_descriptors() == self._descriptors
