"""What a ``Client`` calls through: the server's connections, or a test's canned answers."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from siphon.client.request import OutboundRequest
    from siphon.client.response import ClientResponse
    from siphon.config.settings import ClientSettings


class Transport(Protocol):
    """Sends the requests of all clients with equal settings. Any loop and any thread may call it."""

    @property
    def settings(self) -> ClientSettings:
        """What the clients were configured with."""

    async def send(self, request: OutboundRequest, deadline: float) -> ClientResponse:
        """One exchange: no redirect is followed, nothing is tried a second time but on a stale connection.

        ``deadline``: on the running loop's clock. Raises ClientError.
        """

    def release(self) -> None:
        """An inline client has been closed: the last one with these settings closes the connections."""

    def drop(self) -> None:
        """The same for one that is collected as garbage; takes no lock."""


class Outbound(Protocol):
    """Where clients get their transports."""

    def named(self, name: str) -> Transport:
        """That of ``clients.<name>``. Raises ValueError, which lists the names there are."""

    def inline(self, settings: ClientSettings) -> Transport:
        """One that clients with equal settings share, until each of them has released it."""


_in_context: ContextVar[Outbound | None] = ContextVar("siphon_outbound", default=None)
_lock = threading.Lock()
_of_process: Outbound | None = None


def current_outbound() -> Outbound:
    """What the running code's clients call through: its context's, else the process's."""
    outbound = _in_context.get() or _of_process
    if outbound is None:
        raise ValueError(
            "http.Client works in a script that siphon runs (python -m siphon script.py) or tests "
            "(siphon.testing.HttpTestHarness), and nobody has started either"
        )
    return outbound


def serve_process(outbound: Outbound | None) -> None:
    """Makes ``outbound`` what every client of this process calls through; None at the end. Any thread."""
    global _of_process
    with _lock:
        _of_process = outbound


@contextmanager
def serving(outbound: Outbound) -> Iterator[None]:
    """Makes ``outbound`` what clients call through in this context alone, as two tests at once need."""
    token = _in_context.set(outbound)
    try:
        yield
    finally:
        _in_context.reset(token)
