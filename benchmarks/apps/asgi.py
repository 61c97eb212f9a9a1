"""The routes as an ASGI application without a framework. Lifespan is left off, or not understood."""

from typing import Any
from urllib.parse import parse_qs

from benchmarks.apps import work


async def app(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application."""
    assert scope["type"] == "http", "no lifespan"
    path = scope["path"]
    if path == "/":
        await answer(send, b"ok")
    elif path.startswith("/echo/"):
        query = parse_qs(scope["query_string"].decode())["q"][-1]
        await answer(send, work.echo(path[6:], query, _header(scope, b"user-agent")))
    elif path == "/json":
        await answer(send, work.total(await _body(receive)), b"application/json")
    elif path == "/upload":
        await answer(send, b"%d" % len(await _body(receive)))
    elif path == "/download":
        await answer(send, work.DOWNLOAD)
    elif path == "/compute":
        await answer(send, work.compute())
    else:
        raise ValueError(f"no route {path}")


async def answer(send: Any, body: bytes, kind: bytes = b"text/plain") -> None:
    """Sends 200 and ``body``."""
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _header(scope: Any, name: bytes) -> str:
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return ""


async def _body(receive: Any) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)
