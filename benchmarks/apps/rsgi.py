"""The routes as granian's own interface wants them."""

from typing import Any
from urllib.parse import parse_qs

from benchmarks.apps import work

_TEXT = [("content-type", "text/plain")]
_JSON = [("content-type", "application/json")]


async def app(scope: Any, protocol: Any) -> None:
    """An RSGI application."""
    path = scope.path
    if path == "/":
        protocol.response_bytes(200, _TEXT, b"ok")
    elif path.startswith("/echo/"):
        query = parse_qs(scope.query_string)["q"][-1]
        agent = scope.headers.get("user-agent") or ""
        protocol.response_bytes(200, _TEXT, work.echo(path[6:], query, agent))
    elif path == "/json":
        protocol.response_bytes(200, _JSON, work.total(await protocol()))
    elif path == "/upload":
        protocol.response_bytes(200, _TEXT, b"%d" % len(await protocol()))
    elif path == "/download":
        protocol.response_bytes(200, _TEXT, work.DOWNLOAD)
    elif path == "/compute":
        protocol.response_bytes(200, _TEXT, work.compute())
    else:
        raise ValueError(f"no route {path}")
