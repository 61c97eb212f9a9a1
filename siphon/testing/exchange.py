"""One request of a test on its way: the server's own exchange, on a socket in memory."""

from __future__ import annotations

from queue import Empty
from time import monotonic
from typing import TYPE_CHECKING

from siphon.threads.exchange import Exchange
from siphon.threads.held import WAKE_UP, Held, Visit
from siphon.threads.records import Records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from siphon.client_certificate import ClientCertificate
    from siphon.messages import Request, Response
    from siphon.testing.message import Sender
    from siphon.threads.held import Inner, Wakening
    from siphon.threads.worker import Worker
    from siphon.wire.encode import Encoder


class MemorySocket:
    """The server's end of a connection that leads nowhere: what is sent on it is kept."""

    def __init__(self) -> None:
        self.sent = b""
        self.caller: Caller | None = None
        """Who waits for what is sent."""

    def send(self, data: bytes | memoryview) -> int:
        """Takes all of ``data``. One thread at a time: the connection's lock is held."""
        self.sent += data
        if self.caller is not None:
            self.caller.wake()
        return len(data)

    def sendmsg(self, parts: Sequence[bytes]) -> int:
        """Takes all of it, as ``send`` does."""
        return self.send(b"".join(parts))

    def recv(self, size: int) -> bytes:
        """There is nothing to read: the test's request has come whole."""
        raise BlockingIOError

    def fileno(self) -> int:
        """No descriptor."""
        return -1

    def shutdown(self, how: int, /) -> None:
        """Nobody is at the other end."""

    def close(self) -> None:
        """There is nothing to close."""


class HarnessExchange(Exchange):
    """An exchange that keeps the exception which it answers with a 500, and never answers late.

    What the connection would tell of its other end is as the test says.
    """

    __slots__ = ("deadline", "error", "sender")
    error: BaseException | None
    deadline: float
    sender: Sender

    @property
    def scheme(self) -> str:
        return self.sender.scheme_on(self.connection.scheme)

    @property
    def client_certificate(self) -> ClientCertificate | None:
        return self.sender.certificate

    def failure(self, error: BaseException, request: Request, *, dev: bool) -> Response:
        self.error = error
        return super().failure(error, request, dev=dev)

    def take_error(self) -> BaseException | None:
        """The exception behind the answer, if any: what came after a 504 is nobody's.

        Its traceback refers to this exchange and to the frames of its caller, so neither may keep it.
        """
        try:
            return None if self.ended else self.error
        finally:
            self.error = None

    def answer(self, response: Response, worker: Worker) -> None:
        # The server's acceptor would have answered meanwhile; sync code on the calling thread keeps it busy.
        if monotonic() < self.deadline:
            super().answer(response, worker)
        else:
            self.took_too_long(worker.encoder, worker.records)


class Caller(Held):
    """The thread that called ``request``: it waits for the answer, and keeps the deadline.

    Meanwhile it is the blocking worker of its exchange, so that a sync handler costs no change of thread.
    """

    __slots__ = ("_exchange", "encoder", "finished", "observes", "records")

    def __init__(self, exchange: HarnessExchange, encoder: Encoder) -> None:
        super().__init__()
        self._exchange = exchange
        self.encoder = encoder
        self.records = Records()
        self.observes = False
        self.finished = 0

    def wake(self) -> None:
        """An answer has been sent. Any thread."""
        self._queue.put(WAKE_UP)

    def serve(self, sock: MemorySocket) -> None:
        """Runs the exchange's sync members until it has been answered."""
        while not sock.sent:
            item = self._next()
            if isinstance(item, Visit):
                item.run()
        self._exchange.leave_worker()
        # Or all of it would be left to the collector.
        sock.caller = None

    def _next(self) -> Visit | Inner | Wakening:
        try:
            return self._queue.get(timeout=max(0.0, self._exchange.deadline - monotonic()))
        except Empty:
            self._exchange.took_too_long(self.encoder, self.records)
            return WAKE_UP
