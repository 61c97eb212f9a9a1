"""Ends another thread's wait: in its selector, or where it is parked."""

from __future__ import annotations

import os
import select


class Wakeup:
    """A descriptor that becomes readable when any thread calls ``set``.

    ``for_signals``: ``write_fd`` also takes the single bytes that ``signal.set_wakeup_fd`` writes.
    """

    __slots__ = ("_size", "fd", "write_fd")

    def __init__(self, *, for_signals: bool = False) -> None:
        if hasattr(os, "eventfd") and not for_signals:
            self.fd = self.write_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self._size = 8
        else:
            self.fd, self.write_fd = os.pipe()
            self._size = 65_536
            os.set_blocking(self.fd, False)
            os.set_blocking(self.write_fd, False)

    def set(self) -> None:
        """Makes the descriptor readable. Any thread; never blocks."""
        try:
            os.write(self.write_fd, b"\1\0\0\0\0\0\0\0")
        except BlockingIOError:
            # A wake-up that nobody has taken yet fills the pipe: this one is as good as done.
            return

    def wait(self, timeout_s: float | None) -> None:
        """Waits until it is set, or for so long at most. The waiting thread alone."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        poll.poll(None if timeout_s is None else timeout_s * 1000)

    def clear(self) -> None:
        """Takes the wake-ups so far. The waiting thread alone."""
        try:
            os.read(self.fd, self._size)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Closes the descriptors, after the last thread has called ``set``."""
        os.close(self.fd)
        if self.write_fd != self.fd:
            os.close(self.write_fd)


class Gate:
    """Where one thread is parked until another opens the gate, once for each time.

    A read of a descriptor, and not a lock or a queue. Whoever returns from those meets the lock that its
    waker still holds, and tries it 40 times with a sched_yield each: a quarter of all samples on two
    processors (measured).
    """

    __slots__ = ("_write_fd", "fd")

    def __init__(self) -> None:
        if hasattr(os, "eventfd"):
            self.fd = self._write_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_SEMAPHORE)
        else:
            self.fd, self._write_fd = os.pipe()

    def open(self) -> None:
        """Lets the parked thread go, or the next one that comes. Any thread."""
        os.write(self._write_fd, b"\1\0\0\0\0\0\0\0")

    def wait(self) -> None:
        """Parks the calling thread until the gate is opened."""
        os.read(self.fd, 8)

    def close(self) -> None:
        """Closes the descriptors, after the last ``open`` and ``wait``."""
        os.close(self.fd)
        if self._write_fd != self.fd:
            os.close(self._write_fd)
