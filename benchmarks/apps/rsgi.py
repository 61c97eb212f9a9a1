"""Two bytes, as granian's own interface wants them."""

from typing import Any


async def app(scope: Any, protocol: Any) -> None:
    """An RSGI application."""
    protocol.response_bytes(200, [("content-type", "text/plain")], b"ok")
