"""The lines of the access log: of an exchange that is over, and of what was no request."""

from __future__ import annotations

import threading
from time import time
from typing import TYPE_CHECKING, Final

from siphon.messages import Request

if TYPE_CHECKING:
    from siphon.journal import Journal
    from siphon.messages import Response
    from siphon.threads.connection import Connection
    from siphon.threads.exchange import Exchange

# In the log and in metrics: the client had gone, or the stop did not wait. nginx uses it as well.
NO_ANSWER: Final = 499
# What one thread may have waiting: thousands of lines. Past it further ones are dropped and counted.
WAITING_MAX_BYTES: Final = 1024 * 1024


class AccessLines:
    """One thread's lines of the access log, until the log's writer comes for them.

    They are put together here, and the writer copies bytes: entries that it had to drop would go back to
    the thread that has made them by way of locks that all threads share, and took a third of hello's
    throughput. ``_lock`` guards ``_text`` and ``_announced``; the thread's own but for ``take``.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._show = journal.new_shower().access
        self._lock = threading.Lock()
        self._text = bytearray()
        # The writer knows that there is something here.
        self._announced = False

    def add_exchange(self, exchange: Exchange, status: int, body_bytes: int, duration_s: float) -> None:
        """Adds a request and what became of it. Once, by whoever has claimed it."""
        connection = exchange.connection
        method, target, minor_version, _, _, _, _ = exchange.head
        client = connection.peer if not connection.trusted_proxies else Request(exchange).client
        # A literal, and no constant of the module's: that would be counted by all threads; see RequestHead.
        no_body = method == "HEAD" or status in (204, 205, 304)
        queued_s = exchange.began - exchange.started if exchange.began else duration_s
        line = self._show(
            time(),
            client,
            method,
            target,
            connection.scheme,
            "HTTP/1.1" if minor_version == 1 else f"HTTP/1.{minor_version}",
            status,
            0 if no_body else body_bytes,
            duration_s * 1000,
            exchange.chain.lane,
            queued_s * 1000,
        )
        self.add(line)

    def add_refusal(self, connection: Connection, response: Response) -> None:
        """Adds what was no valid request; nothing of it is repeated."""
        scheme, status, size = connection.scheme, response.status, len(response.body)
        self.add(
            self._show(time(), connection.peer, "-", "-", scheme, "HTTP/1.1", status, size, 0.0, "-", 0.0)
        )

    def add(self, line: str) -> None:
        """Adds a line, its end included; drops and counts it where too much is waiting."""
        data = line.encode("utf-8", "backslashreplace")
        with self._lock:
            text = self._text
            has_room = len(text) + len(data) <= WAITING_MAX_BYTES
            if has_room:
                text += data
            known, self._announced = self._announced, True
        if not has_room:
            self._journal.count_dropped()
        if not known:
            self._journal.announce(self)

    def take(self) -> bytes:
        """All that waits, each line with its end. The log's writer."""
        with self._lock:
            text = bytes(self._text)
            self._text.clear()
            self._announced = False
        return text
