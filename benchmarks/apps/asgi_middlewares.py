"""Three middlewares around the ASGI application: a guard and two that see the response."""

from typing import Any

from benchmarks.apps import asgi


class Guard:
    """Lets everything through."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """An ASGI application."""
        await self._inner(scope, receive, send)


class Around:
    """Sees each message of the response."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """An ASGI application."""

        async def seen(message: Any) -> None:
            await send(message)

        await self._inner(scope, receive, seen)


app = Guard(Around(Around(asgi.app)))
