"""The admin listener: ``/healthz``, ``/readyz`` and ``/metrics``, whatever the lanes are at."""

from __future__ import annotations

from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Final, Literal

from siphon.config.settings import ListenerSettings, ThreadSettings
from siphon.dispatch import compile_chain
from siphon.messages import Response, plain
from siphon.routing import Router
from siphon.script.place import Place
from siphon.script.registry import Middleware, Route
from siphon.threads.acceptor import Acceptor
from siphon.threads.buffered import BufferedBytes
from siphon.threads.lanes import Lanes
from siphon.threads.listener import Listener
from siphon.threads.records import Records
from siphon.wire.encode import Encoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from siphon.config.settings import Address
    from siphon.messages import Request
    from siphon.threads.connection import Owner
    from siphon.threads.exchange import Exchange
    from siphon.threads.exposition import Exposition

type Condition = Literal["starting", "ready", "stopping"]

_HERE: Final = Place(__file__, 1)
_METRICS: Final = "/metrics"
_SCRAPES_WAITING_MAX: Final = 4
# Of what is read ahead, since bodies are not taken. A count of its own: no upload may keep a probe out.
_BUFFERED_MAX_BYTES: Final = 1_048_576


class Inline(Lanes):
    """The lanes of the admin listener: probes are answered by its acceptor's own thread, there and then.

    A scrape takes its time, and a gauge of the script's own may take any: scrapes have a blocking
    worker to themselves, so that no probe waits for one.
    """

    def __init__(self) -> None:
        settings = ThreadSettings(
            loops=0, blocking_min=0, blocking_max=1, blocking_queue_max=_SCRAPES_WAITING_MAX
        )
        super().__init__(settings, access_log=False, dev=False)
        self.blocking.name = "siphon-scrape"
        # What an exchange asks of the worker that runs it.
        self.encoder = Encoder()
        self.records = Records()
        self.observes = False
        self.finished = 0

    def submit(self, owner: Owner, for_loops: list[Exchange], for_workers: list[Exchange]) -> list[Exchange]:
        """Answers all but scrapes, which go to their worker; returns those that it has no room for."""
        scrapes: list[Exchange] = []
        for exchange in for_workers:
            if exchange.chain.pattern == _METRICS:
                scrapes.append(exchange)
            else:
                exchange.on_worker(self)
        return list(self.blocking.submit(scrapes)) if scrapes else []


class Admin:
    """The listener and its threads. The main thread makes, starts and stops it, and sets ``condition``.

    An acceptor of its own reads, keeps the deadlines and writes, as for every listener: a client that
    is slow holds nobody but itself.
    """

    def __init__(self, address: Address, exposition: Exposition, ended: Callable[[Acceptor], None]) -> None:
        """Binds the address; raises StartError. ``ended`` is called where the acceptor's thread ends."""
        # What /readyz says; read by the admin's own thread.
        self.condition: Condition = "starting"
        self._exposition = exposition
        # A sync member comes first in every chain, so that none begins on a loop, not even a 404.
        middlewares = [Middleware(_never_cached, _HERE, wraps=True)]
        router = Router(self._routes(), partial(compile_chain, middlewares))
        self.listener = Listener(_limits(address), router, BufferedBytes(_BUFFERED_MAX_BYTES))
        self._lanes = Inline()
        self._ended = ended
        self._acceptor: Acceptor | None = None

    def start(self) -> None:
        """Lets clients in; raises StartError."""
        self.listener.listen()
        self.listener.share(1)
        self._acceptor = Acceptor(0, [self.listener], self._lanes, self._ended)
        self._acceptor.name = "siphon-admin"
        self._acceptor.start()

    def stop(self, timeout_s: float) -> bool:
        """Closes everything; False where a scrape goes on after ``timeout_s``."""
        deadline = monotonic() + timeout_s
        acceptor = self._acceptor
        if acceptor is None:
            self.listener.close()
            return True
        self._lanes.blocking.stop()
        acceptor.drain()
        acceptor.abort()
        acceptor.join(max(0.0, deadline - monotonic()))
        ended = self._lanes.blocking.join(max(0.0, deadline - monotonic()))
        if not ended or acceptor.is_alive():
            return False
        acceptor.close()
        return True

    def _routes(self) -> list[Route]:
        handlers = {"/healthz": self._healthz, "/readyz": self._readyz, _METRICS: self._metrics}
        return [Route(pattern, ("GET",), handler, None, None, _HERE) for pattern, handler in handlers.items()]

    def _healthz(self, request: Request) -> Response:
        return plain(200, "ok\n")

    def _readyz(self, request: Request) -> Response:
        return plain(200 if self.condition == "ready" else 503, f"{self.condition}\n")

    def _metrics(self, request: Request) -> Response:
        content_type, body = self._exposition.render(request.header("accept") or "")
        return Response(200, {"Content-Type": content_type}, body)


def _limits(address: Address) -> ListenerSettings:
    """Those of a listener whose clients ask for little, and must not keep each other out."""
    return ListenerSettings(
        listen=address,
        max_body_bytes=0,
        header_timeout_ms=5_000,
        request_timeout_ms=10_000,
        write_timeout_ms=10_000,
        keep_alive_timeout_ms=75_000,
        max_connections=256,
        backlog=256,
    )


def _never_cached(request: Request, call_next: Callable[[Request], Response]) -> Response:
    response = call_next(request)
    response.headers["Cache-Control"] = "no-store"
    return response
