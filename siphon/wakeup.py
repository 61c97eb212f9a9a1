"""Ends another thread's wait in its selector."""

from __future__ import annotations

import os


class Wakeup:
    """A descriptor that becomes readable when any thread calls ``set``.

    ``for_signals``: ``write_fd`` also takes the single bytes that ``signal.set_wakeup_fd`` writes.
    """

    __slots__ = ("fd", "write_fd")

    def __init__(self, *, for_signals: bool = False) -> None:
        if hasattr(os, "eventfd") and not for_signals:
            self.fd = self.write_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        else:
            self.fd, self.write_fd = os.pipe()
            os.set_blocking(self.fd, False)
            os.set_blocking(self.write_fd, False)

    def set(self) -> None:
        """Makes the descriptor readable. Any thread; never blocks."""
        try:
            os.write(self.write_fd, b"\1\0\0\0\0\0\0\0")
        except BlockingIOError:
            # A wake-up that nobody has taken yet fills the pipe: this one is as good as done.
            return

    def clear(self) -> None:
        """Takes the wake-ups so far. The waiting thread alone."""
        try:
            os.read(self.fd, 65_536)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Closes the descriptors, after the last thread has called ``set``."""
        os.close(self.fd)
        if self.write_fd != self.fd:
            os.close(self.write_fd)
