"""Which descriptors are ready: epoll where the system has it, else what ``selectors`` offers."""

from __future__ import annotations

import select
import selectors
from typing import Final

# The values of EPOLLIN and EPOLLOUT, used for every kind of poller.
READABLE: Final = 0x001
WRITABLE: Final = 0x004
ONCE: Final = 1 << 30
"""Watched until it has been told of once. Where pollers nest."""
_EXCLUSIVE: Final = 1 << 28
NESTS: Final = hasattr(select, "epoll")
"""A poller has a descriptor of its own, which other pollers may watch."""


class SelectorPoller:
    """The same face over ``selectors.DefaultSelector``, for systems without epoll."""

    def __init__(self, selector: selectors.BaseSelector | None = None) -> None:
        self._selector = selector or selectors.DefaultSelector()

    def register(self, fd: int, *, exclusive: bool = False) -> None:
        """As ``EpollPoller.register``; without epoll every poller that watches ``fd`` is woken."""
        self._selector.register(fd, selectors.EVENT_READ)

    def modify(self, fd: int, events: int) -> None:
        """As ``EpollPoller.modify``; without events ``fd`` is not watched at all."""
        wanted = (selectors.EVENT_READ if events & READABLE else 0) | (
            selectors.EVENT_WRITE if events & WRITABLE else 0
        )
        known = fd in self._selector.get_map()
        if wanted and known:
            self._selector.modify(fd, wanted)
        elif wanted:
            self._selector.register(fd, wanted)
        elif known:
            self._selector.unregister(fd)

    def fileno(self) -> int:
        """None that others could watch."""
        raise NotImplementedError

    def unregister(self, fd: int) -> None:
        """Forgets ``fd``."""
        if fd in self._selector.get_map():
            self._selector.unregister(fd)

    def poll(self, timeout_s: float | None) -> list[tuple[int, int]]:
        """Waits up to ``timeout_s`` seconds, or for ever, for ``(fd, events)`` pairs."""
        ready = []
        for key, events in self._selector.select(timeout_s):
            mask = (READABLE if events & selectors.EVENT_READ else 0) | (
                WRITABLE if events & selectors.EVENT_WRITE else 0
            )
            ready.append((key.fd, mask))
        return ready

    def close(self) -> None:
        """Lets go of the selector."""
        self._selector.close()


class EpollPoller:
    """Level-triggered epoll. One thread uses it; errors and hang-ups come with whatever is watched."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self.poll = self._epoll.poll

    def register(self, fd: int, *, exclusive: bool = False) -> None:
        """Watches ``fd`` for reading; ``exclusive``: of several pollers that watch it one is woken."""
        self._epoll.register(fd, READABLE | (_EXCLUSIVE if exclusive else 0))

    def modify(self, fd: int, events: int) -> None:
        """Watches ``fd`` for ``events`` instead; none of them keeps it registered for errors."""
        self._epoll.modify(fd, events)

    def fileno(self) -> int:
        """Its own descriptor."""
        return self._epoll.fileno()

    def unregister(self, fd: int) -> None:
        """Forgets ``fd``."""
        self._epoll.unregister(fd)

    def close(self) -> None:
        """Lets go of the epoll descriptor."""
        self._epoll.close()


type Poller = EpollPoller | SelectorPoller


def make_poller() -> Poller:
    """The best poller of this system."""
    return EpollPoller() if NESTS else SelectorPoller()
