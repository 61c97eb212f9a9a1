"""The routes of what blocks and computes, as a WSGI application."""

from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.apps import work


def app(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """A WSGI application."""
    path = environ["PATH_INFO"]
    body = b"ok"
    if path == "/compute":
        body = work.compute()
    elif path == "/block":
        work.block()
    elif path == "/sleep":
        work.sleep()
    elif path == "/burn":
        work.burn()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
