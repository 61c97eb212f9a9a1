"""Answers with what the upstream says, asked by one shared httpx client."""

import os
from typing import Any

import httpx

from benchmarks.apps.asgi import answer

_LIMITS = httpx.Limits(max_connections=256, max_keepalive_connections=256)
_client = httpx.AsyncClient(base_url=os.environ["UPSTREAM"], limits=_LIMITS)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application; the server runs it with its lifespan protocol off, on one loop."""
    if scope["path"] == "/":
        await answer(send, b"ok")
    else:
        await answer(send, (await _client.get(scope["path"])).content)
