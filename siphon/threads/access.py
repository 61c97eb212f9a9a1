"""The lines of the access log: of an exchange that is over, and of what was no request."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Final

from siphon.entries import Access
from siphon.journal import journal
from siphon.messages import Request

if TYPE_CHECKING:
    from siphon.messages import Response
    from siphon.threads.connection import Connection
    from siphon.threads.exchange import Exchange

# In the log and in metrics: the client had gone, or the stop did not wait. nginx uses it as well.
NO_ANSWER: Final = 499
# Statuses whose bodies are not sent.
_BODYLESS: Final = frozenset({204, 205, 304})


def log_exchange(exchange: Exchange, status: int, body_bytes: int, duration_s: float) -> None:
    """Puts a request and what became of it into the access log. Once, by whoever has claimed it."""
    head = exchange.head
    client = exchange.peer if not exchange.trusted_proxies else Request(exchange).client
    no_body = head.method == "HEAD" or status in _BODYLESS
    queued_s = exchange.began - exchange.started if exchange.began else duration_s
    journal.put(
        Access(
            time(),
            client,
            head.method,
            head.target,
            exchange.scheme,
            "HTTP/1.1" if head.minor_version == 1 else f"HTTP/1.{head.minor_version}",
            status,
            0 if no_body else body_bytes,
            duration_s * 1000,
            exchange.chain.lane,
            queued_s * 1000,
        )
    )


def log_refusal(connection: Connection, response: Response) -> None:
    """Puts what was no valid request into the access log; nothing of it is repeated there."""
    scheme, size = connection.listener.scheme, len(response.body)
    journal.put(
        Access(time(), connection.peer, "-", "-", scheme, "HTTP/1.1", response.status, size, 0.0, "-", 0.0)
    )
