"""One outbound request on its way: what the waiting loop and the thread that does the work share."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Protocol

from siphon.client.decoding import decoded
from siphon.client.response import ClientResponse
from siphon.errors import PoolTimeout, TimeoutError  # noqa: A004 - a client's TimeoutError

if TYPE_CHECKING:
    import asyncio

    from siphon.client.replies import Replies
    from siphon.client.request import OutboundRequest
    from siphon.config.settings import ClientSettings

# What a call is at, as its TimeoutError says.
IN_LINE: Final = "waiting for a connection"
LOOKING_UP: Final = "looking up the host"
CONNECTING: Final = "connecting"
SHAKING_HANDS: Final = "in the TLS handshake"
SENDING: Final = "sending the request"
AWAITING: Final = "waiting for the answer"
RECEIVING: Final = "receiving the answer"

# A part of an encoded body is a part of the code, not of what it says.
_PARTIAL_CONTENT: Final = 206


class Interruptible(Protocol):
    """What a thread waits for on behalf of a call."""

    def interrupt(self) -> None:
        """Ends the wait. Any thread, under the call's lock; returns at once."""


class CallEnded(Exception):
    """The call has its error already: whoever works for it is to stop and to throw its connection away."""


class Call:
    """A request, the future that waits for its answer, and whom to interrupt when nobody waits any more.

    The loop's thread makes it, waits and ends it. One I/O thread at a time works for it. ``_lock``
    guards ``ended`` and ``_attached``: an interruption reaches what the call waits for now, never what
    its connection is lent to next.
    """

    __slots__ = (
        "_attached",
        "_lock",
        "_replies",
        "ended",
        "error",
        "future",
        "is_resent",
        "phase",
        "request",
        "response",
        "settings",
    )

    def __init__(self, request: OutboundRequest, settings: ClientSettings, replies: Replies) -> None:
        self.request = request
        self.settings = settings
        self.phase = IN_LINE
        self.ended = False
        # Whether it was sent, and sent anew because the upstream had not processed it.
        self.is_resent = False
        self.future: asyncio.Future[ClientResponse] = replies.loop.create_future()
        self.response: ClientResponse | None = None
        self.error: BaseException | None = None
        self._replies = replies
        self._lock = threading.Lock()
        self._attached: Interruptible | None = None

    # The loop's thread -------------------------------------------------------------------------

    def expire(self) -> None:
        """The deadline has passed: the caller has its error now, and the work stops."""
        if self.future.done():
            return
        phase = self.phase
        kind = PoolTimeout if phase is IN_LINE else TimeoutError
        message = f"no answer within {self.settings.timeout_ms} ms, {phase} when they had passed"
        self.end()
        self.future.set_exception(kind(message, method=self.request.method, url=str(self.request.url)))

    def end(self) -> None:
        """Nobody waits any more: interrupts whatever works for the call. Any thread, any number of times."""
        with self._lock:
            self.ended = True
            if self._attached is not None:
                self._attached.interrupt()

    def arrive(self) -> None:
        """Hands the outcome to the coroutine that waits for it, if it still does."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            assert self.response is not None
            self.future.set_result(self.response)

    # The I/O thread ----------------------------------------------------------------------------

    def attach(self, waited_for: Interruptible) -> None:
        """From now on an end interrupts ``waited_for``. Raises CallEnded where it has come already."""
        with self._lock:
            if self.ended:
                raise CallEnded
            self._attached = waited_for

    def detach(self) -> None:
        """From now on an end interrupts nothing. Raises CallEnded where it has come already.

        What was received before this returns may be cut short by an interruption, and counts for nothing.
        """
        with self._lock:
            self._attached = None
            if self.ended:
                raise CallEnded

    def let_go(self) -> None:
        """From now on an end interrupts nothing: what was attached is about to be closed."""
        with self._lock:
            self._attached = None

    def deliver(self, status: int, fields: list[tuple[str, str]], body: bytes) -> None:
        """The answer, as it came; it is decoded here.

        Raises ResponseRefused where it cannot be, CallEnded where nobody waits for it any more.
        """
        request = self.request
        if self.settings.decode and body and status != _PARTIAL_CONTENT:
            fields, body = decoded(fields, body, self.settings.max_response_bytes, self._check_wanted)
        self.response = ClientResponse(status, fields, body, method=request.method, url=str(request.url))
        self._replies.put(self)

    def _check_wanted(self) -> None:
        if self.ended:
            raise CallEnded

    def fail(self, error: BaseException) -> None:
        """The call ends in ``error``."""
        self.error = error
        self._replies.put(self)
