"""The lines of the access log: of an exchange that is over, and of what was no request."""

from __future__ import annotations

import threading
from time import monotonic, time
from typing import TYPE_CHECKING, Final

from siphon.messages import Request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from siphon.journal import Journal
    from siphon.messages import Response
    from siphon.threads.connection import Connection
    from siphon.threads.records import Noted

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

    def add_exchanges(self, noted: Sequence[Noted]) -> None:
        """Adds requests and what became of them."""
        show, to_wall_clock_s = self._show, time() - monotonic()
        lines = []
        for exchange, status, body_bytes, ended in noted:
            connection, started, began = exchange.connection, exchange.started, exchange.began
            method, target, minor_version, _, _, _, _, _ = exchange.head
            # A literal, and no constant of the module's, which all threads would count; see RequestHead.
            no_body = method == "HEAD" or (status != 200 and status in (204, 205, 304))
            line = show(
                ended + to_wall_clock_s,
                connection.peer if not connection.trusted_proxies else Request(exchange).client,
                method,
                target,
                connection.scheme,
                "HTTP/1.1" if minor_version == 1 else f"HTTP/1.{minor_version}",
                status,
                0 if no_body else body_bytes,
                (ended - started) * 1000,
                exchange.chain.lane,
                ((began or ended) - started) * 1000,
            )
            lines.append(line)
            # Dropped by whoever made it, most likely: see Batch.
            exchange.began = 0.0
        self.add("".join(lines), len(lines))

    def add_refusal(self, connection: Connection, response: Response) -> None:
        """Adds what was no valid request; nothing of it is repeated."""
        scheme, status, size = connection.scheme, response.status, len(response.body)
        self.add(
            self._show(time(), connection.peer, "-", "-", scheme, "HTTP/1.1", status, size, 0.0, "-", 0.0)
        )

    def add(self, lines: str, count: int = 1) -> None:
        """Adds ``count`` lines, each with its end; drops and counts them where too much is waiting."""
        data = lines.encode("utf-8", "backslashreplace")
        with self._lock:
            text = self._text
            has_room = len(text) + len(data) <= WAITING_MAX_BYTES
            if has_room:
                text += data
            known, self._announced = self._announced, True
        if not has_room:
            self._journal.count_dropped(count)
        if not known:
            self._journal.announce(self)

    def take(self) -> bytes:
        """All that waits, each line with its end. The log's writer."""
        with self._lock:
            text = bytes(self._text)
            self._text.clear()
            self._announced = False
        return text
