"""Answers with what the upstream says, asked by an aiohttp session for each event loop."""

import os
import threading
from typing import Any

import aiohttp

from benchmarks.apps.asgi import answer

_UPSTREAM = os.environ["UPSTREAM"]
# Without a GIL granian's workers are threads of one process, and a session belongs to one loop.
_of_loop = threading.local()


async def app(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application; the server runs it with its lifespan protocol off."""
    if scope["path"] == "/":
        await answer(send, b"ok")
        return
    session: aiohttp.ClientSession | None = getattr(_of_loop, "session", None)
    if session is None:
        session = aiohttp.ClientSession(_UPSTREAM, connector=aiohttp.TCPConnector(limit=256))
        _of_loop.session = session
    async with session.get(scope["path"]) as response:
        await answer(send, await response.read())
