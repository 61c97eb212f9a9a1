"""What a script works with: ``from siphon import http``."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from siphon.client.client import Client
from siphon.client_certificate import ClientCertificate
from siphon.errors import (
    ClientError,
    ConnectError,
    HTTPStatusError,
    PoolTimeout,
    ProtocolError,
    RequestCancelled,
    TimeoutError,  # noqa: A004 - scripts write http.TimeoutError
    TLSError,
)
from siphon.messages import Request, Response
from siphon.script.registry import Names, current_or_raise

__all__ = [
    "CallNext",
    "Client",
    "ClientCertificate",
    "ClientError",
    "ConnectError",
    "HTTPStatusError",
    "HttpStatusError",
    "PoolTimeout",
    "ProtocolError",
    "Request",
    "RequestCancelled",
    "Response",
    "SyncCallNext",
    "TLSError",
    "TimeoutError",
    "middleware",
    "on_loop_shutdown",
    "on_loop_startup",
    "on_shutdown",
    "on_startup",
    "route",
]

HttpStatusError = HTTPStatusError

type CallNext = Callable[[Request], Coroutine[Any, Any, Response]]
"""The type of ``call_next`` in an async wrap-around."""
type SyncCallNext = Callable[[Request], Response]
"""The type of ``call_next`` in a sync wrap-around."""

# What a decorator used with parentheses is given; typed so that checkers speak of what it should be given.
_MISSING: Any = None

type Handler = Callable[[Request], Response | Awaitable[Response]]
type Guard = Callable[[Request], Response | Awaitable[Response | None] | None]
type WrapAround = (
    Callable[[Request, CallNext], Awaitable[Response]] | Callable[[Request, SyncCallNext], Response]
)


def route[F: Handler](
    path: str,
    methods: Names | None = None,
    *,
    listeners: Names | None = None,
    cancel_on_disconnect: bool | None = None,
) -> Callable[[F], F]:
    """Register the decorated function, sync or async, as the handler of a path.

    It is called with the Request alone and must return a Response.

    Args:
        path: A pattern: ``/users/{id}`` (one segment) or ``/static/{*rest}`` (all that is left).
        methods: HTTP methods in any case, ``["GET"]`` unless given; ``["*"]`` takes any.
        listeners: The names of the listeners that serve the route; all of them unless given.
        cancel_on_disconnect: Whether an async handler is cancelled when its client goes away;
            unless given, what the listener's setting says.

    Raises:
        TypeError: An argument has the wrong type.
        ScriptError: The pattern, a method or the handler's parameters break a rule, or no script is
            being loaded by siphon on this thread.
    """
    if callable(path):
        raise TypeError('@http.route needs a path: write @http.route("/path")')
    _check(path, str, '@http.route takes the path as a string, such as "/path"')
    _check(cancel_on_disconnect, bool | None, "cancel_on_disconnect must be True, False or None")

    def register(handler: F) -> F:
        _check_function(handler, "@http.route(...)")
        current_or_raise("@http.route").add_route(
            path, handler, methods=methods, listeners=listeners, cancel_on_disconnect=cancel_on_disconnect
        )
        return handler

    return register


def middleware[F: Guard | WrapAround](fn: F = _MISSING) -> F:
    """Register the decorated function, sync or async, as a middleware; the first registered is outermost.

    With one parameter, ``(req)``, it is a guard: it returns a Response to answer at once, or None to
    go on. With two, ``(req, call_next)``, it wraps the rest of the chain: it returns
    ``await call_next(req)`` (async) or ``call_next(req)`` (sync), or another Response.

    Raises TypeError if it is not given a function, and ScriptError for other parameters or outside a load.
    """
    given = _check_function(fn, "@http.middleware")
    current_or_raise("@http.middleware").add_middleware(given)
    return given


def on_startup[F: Callable[[], object]](fn: F = _MISSING) -> F:
    """Register a function that runs once, to completion, before any listener accepts.

    Raises TypeError if it is not given a function, and ScriptError for parameters or outside a load.
    """
    given = _check_function(fn, "@http.on_startup")
    registry = current_or_raise("@http.on_startup")
    registry.add_hook(registry.on_startup, "on_startup", given)
    return given


def on_shutdown[F: Callable[[], object]](fn: F = _MISSING) -> F:
    """Register a function that runs once when the server stops, after the last request has ended.

    Raises TypeError if it is not given a function, and ScriptError for parameters or outside a load.
    """
    given = _check_function(fn, "@http.on_shutdown")
    registry = current_or_raise("@http.on_shutdown")
    registry.add_hook(registry.on_shutdown, "on_shutdown", given)
    return given


def on_loop_startup[F: Callable[[], object]](fn: F = _MISSING) -> F:
    """Register a function that runs on every loop worker's own thread and loop, after ``on_startup``.

    Raises TypeError if it is not given a function, and ScriptError for parameters or outside a load.
    """
    given = _check_function(fn, "@http.on_loop_startup")
    registry = current_or_raise("@http.on_loop_startup")
    registry.add_hook(registry.on_loop_startup, "on_loop_startup", given)
    return given


def on_loop_shutdown[F: Callable[[], object]](fn: F = _MISSING) -> F:
    """Register a function that runs on every loop worker's own thread and loop, before ``on_shutdown``.

    Raises TypeError if it is not given a function, and ScriptError for parameters or outside a load.
    """
    given = _check_function(fn, "@http.on_loop_shutdown")
    registry = current_or_raise("@http.on_loop_shutdown")
    registry.add_hook(registry.on_loop_shutdown, "on_loop_shutdown", given)
    return given


def _check(value: object, types: Any, message: str) -> None:
    if not isinstance(value, types):
        raise TypeError(f"{message}, not {value!r}")


def _check_function[F](function: F | None, decorator: str) -> F:
    if function is None:
        raise TypeError(f"{decorator} is used without parentheses: write {decorator} above the function")
    if not callable(function):
        raise TypeError(f"{decorator} decorates a function, not {function!r}")
    return function
