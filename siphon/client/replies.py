"""Finished calls on their way back to the event loop that waits for them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from siphon.journal import journal

if TYPE_CHECKING:
    import asyncio

    from siphon.client.call import Call


class Replies:
    """One loop's finished calls: those that finish together wake the loop once.

    Any thread may ``put``. ``_lock`` guards the list and ``_scheduled``.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._lock = threading.Lock()
        self._finished: list[Call] = []
        # The loop has been woken and has not come for the list yet: it will see what is added now.
        self._scheduled = False

    def put(self, call: Call) -> None:
        """Adds a call whose outcome is set."""
        with self._lock:
            self._finished.append(call)
            wake = not self._scheduled
            self._scheduled = True
        if wake:
            try:
                self.loop.call_soon_threadsafe(self._hand_out)
            except RuntimeError:
                # The loop was closed under the calls: nobody waits for their answers.
                journal.log("debug", "answers came for an event loop that has been closed")

    def _hand_out(self) -> None:
        with self._lock:
            finished, self._finished = self._finished, []
            self._scheduled = False
        for call in finished:
            call.arrive()


class _OfThread(threading.local):
    replies: Replies | None = None


_of_thread = _OfThread()


def replies_of(loop: asyncio.AbstractEventLoop) -> Replies:
    """The replies of the loop that runs on this thread; one object as long as the thread runs that loop."""
    replies = _of_thread.replies
    if replies is None or replies.loop is not loop:
        replies = _of_thread.replies = Replies(loop)
    return replies
