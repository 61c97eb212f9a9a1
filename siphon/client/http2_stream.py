"""One call on an HTTP/2 connection."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Protocol

from siphon.client.call import AWAITING, IN_LINE, SENDING, CallEnded
from siphon.client.failures import failure_of
from siphon.errors import ResponseRefused
from siphon.wire.http2_fields import request_fields
from siphon.wire.stream_response import StreamResponse

if TYPE_CHECKING:
    from siphon.client.call import Call


class Canceller(Protocol):
    """Who tells a connection's thread that a call has ended."""

    def cancel(self, stream: Stream) -> None:
        """Any thread, under the call's lock; returns at once."""


class Stream:
    """A call, its request as far as it is not sent, and its response as far as it has come.

    For the connection's thread, but ``interrupt``. ``id`` is 0 until the connection has room for it.
    Of ``deliver``, ``fail`` and ``refuse`` one is called, once, and then nothing interrupts any more.
    """

    __slots__ = ("_canceller", "begun", "call", "id", "opened_at", "response", "sent_bytes")

    def __init__(self, call: Call, canceller: Canceller) -> None:
        self.call = call
        self.id = 0
        self.opened_at = 0.0
        # Of the body.
        self.sent_bytes = 0
        self.response = StreamResponse(call.request.method, call.settings.max_response_bytes)
        # Whether the upstream has said anything about it.
        self.begun = False
        self._canceller = canceller

    @property
    def has_unsent(self) -> bool:
        """Whether some of the body has not been sent."""
        return self.sent_bytes < len(self.call.request.body)

    def take_part(self, size: int) -> bytes:
        """The next ``size`` bytes of the body, which are about to be sent."""
        begin = self.sent_bytes
        self.sent_bytes = begin + size
        return self.call.request.body[begin : self.sent_bytes]

    def interrupt(self) -> None:
        """Nobody waits for the call any more. Any thread."""
        self._canceller.cancel(self)

    def fields(self) -> list[tuple[bytes, bytes]]:
        """The request's head."""
        request = self.call.request
        origin = request.url.origin
        return request_fields(
            request.method, origin.scheme, origin.authority, request.url.target, request.fields
        )

    def was_opened(self, stream_id: int) -> None:
        """The head of the request has been sent."""
        self.id = stream_id
        self.opened_at = monotonic()
        self.call.phase = SENDING if self.has_unsent else AWAITING

    def deliver(self) -> None:
        """The response is whole: the call ends in it, or in what is wrong with it."""
        call, response = self.call, self.response
        try:
            call.detach()
            response.finish()
            assert response.status is not None
            call.deliver(response.status, response.fields, response.body)
        except CallEnded:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, it concerns this call alone
            call.fail(failure_of(error, call))

    def fail(self, error: Exception) -> None:
        """The call ends in ``error``."""
        try:
            self.call.detach()
        except CallEnded:
            return
        self.call.fail(failure_of(error, self.call))

    def refuse(self, error: Exception | None = None) -> bool:
        """The upstream has not processed the call: whether it may be sent anew.

        Without an ``error`` nothing of it was sent; else it is sent once more at most, and ends in that.
        """
        call = self.call
        if error is not None and call.is_resent:
            self.fail(error)
            return False
        try:
            call.detach()
        except CallEnded:
            return False
        call.is_resent = call.is_resent or error is not None
        call.phase = IN_LINE
        return True

    def may_be_sent_anew(self, error: Exception) -> bool:
        """Whether it is so safe after its connection, which was kept from earlier calls, has ended.

        As over HTTP/1.1: the upstream may have acted on it, so only where that does no harm.
        """
        broke_off = isinstance(error, OSError) or (isinstance(error, ResponseRefused) and error.broke_off)
        return broke_off and not self.begun and self.call.request.is_idempotent
