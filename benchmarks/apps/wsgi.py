"""Two bytes, and the mixed scenario's routes, as a WSGI application."""

from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.apps import work


def app(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """A WSGI application."""
    path = environ["PATH_INFO"]
    if path == "/sleep":
        work.sleep()
    elif path == "/burn":
        work.burn()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]
