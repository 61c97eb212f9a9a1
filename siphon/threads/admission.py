"""Letting clients in: accepting, making room among idle connections, waiting where there is none."""

from __future__ import annotations

import errno
import math
from typing import TYPE_CHECKING, Final

from siphon.journal import journal
from siphon.threads.wheel import TICK_S

if TYPE_CHECKING:
    from siphon.threads.acceptor import Acceptor
    from siphon.threads.connection import Connection
    from siphon.threads.listener import Listener
    from siphon.threads.poller import Poller

_NO_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Admission:
    """One acceptor's share of the listening sockets. The acceptor's thread alone."""

    def __init__(self, acceptor: Acceptor, listeners: list[Listener], poller: Poller) -> None:
        self._acceptor = acceptor
        self._poller = poller
        self._listeners = {listener.socket.fileno(): listener for listener in listeners}
        self._paused: dict[int, Listener] = {}
        # When the paused listeners are tried again; never, where none is paused.
        self.resume_at = math.inf
        self._complained: set[tuple[Listener, str]] = set()
        # Idle connections by the end of their keep-alive, the oldest last; made when room is needed.
        self._oldest: dict[Listener, list[tuple[float, Connection]]] = {}
        for fd in self._listeners:
            poller.register(fd, exclusive=True)

    def accept(self, fd: int) -> None:
        """Accepts who waits at the socket ``fd``, up to a turn's share."""
        listener = self._listeners.get(fd)
        if listener is None:
            return
        for number in range(self._acceptor.accepts_a_turn):
            if not listener.enter():
                # Only the first is sure to be waited for; the poller tells of the next.
                if number:
                    return
                self._acceptor.recall()  # or those that are lent would not be among them
                if not (self._make_room(listener) and listener.enter()):
                    self._pause(fd, f"max_connections ({listener.settings.max_connections}) reached")
                    return
            if not self._accept_one(fd, listener):
                return

    def _accept_one(self, fd: int, listener: Listener) -> bool:
        """Accepts one client, who has been counted in; False where none can be had."""
        try:
            sock, address = listener.socket.accept()
        except OSError as error:
            listener.leave()
            if error.errno in _NO_DESCRIPTORS:
                self._pause(fd, f"cannot accept: {error.strerror}")
            # Otherwise nobody waits any more, or the newcomer has gone again.
            return error.errno == errno.ECONNABORTED
        self._acceptor.admit(sock, address, listener)
        return True

    def resume(self) -> None:
        """Watches the paused listeners again, a tick after they were paused."""
        self.resume_at = math.inf
        paused, self._paused = self._paused, {}
        for fd in paused:
            self._poller.register(fd, exclusive=True)

    def end(self) -> None:
        """Accepts no more. Who is in the backlog has connected: they are served, not reset."""
        self.resume()
        for fd, listener in self._listeners.items():
            # Past max_connections if need be, but no more than can have waited: others keep coming.
            for _ in range(listener.settings.backlog + 1):
                listener.enter(beyond_limit=True)
                if not self._accept_one(fd, listener):
                    break
            if fd not in self._paused:
                self._poller.unregister(fd)
            listener.release()
        self._listeners = {}
        self._paused = {}
        self.resume_at = math.inf

    def _make_room(self, listener: Listener) -> bool:
        """Closes the connection that has been idle longest; False where none is idle between requests."""
        while True:
            oldest = self._oldest.pop(listener, [])
            if not oldest:
                oldest = sorted(
                    [
                        (connection.deadline, connection)
                        for connection in self._acceptor.connections.values()
                        if connection.listener is listener and connection.is_idle()
                    ],
                    key=_deadline,
                    reverse=True,
                )
                if not oldest:
                    return False
            # The rest of the list serves the next newcomers: each is looked at again before it goes.
            self._oldest[listener] = oldest
            deadline, connection = oldest.pop()
            if connection.is_idle() and connection.deadline == deadline:
                self._acceptor.close_connection(connection)
                return True

    def _pause(self, fd: int, why: str) -> None:
        listener = self._listeners[fd]
        self._poller.unregister(fd)
        self._paused[fd] = listener
        self.resume_at = self._acceptor.now + TICK_S
        if (listener, why) not in self._complained:
            self._complained.add((listener, why))
            journal.log("warning", f"{listener.url}: {why}; newcomers wait in the backlog")


def _deadline(entry: tuple[float, Connection]) -> float:
    return entry[0]
