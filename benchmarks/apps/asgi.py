"""Two bytes, from an ASGI application without a framework."""

from typing import Any

_START = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
_BODY = {"type": "http.response.body", "body": b"ok"}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application; the server runs it with its lifespan protocol off."""
    await send(_START)
    await send(_BODY)
