"""Three async middlewares around an async handler: a guard and two that see the response."""

from siphon import http


@http.middleware
async def guard(req: http.Request) -> None:
    return None


@http.middleware
async def outer(req: http.Request, call_next: http.CallNext) -> http.Response:
    return await call_next(req)


@http.middleware
async def inner(req: http.Request, call_next: http.CallNext) -> http.Response:
    return await call_next(req)


@http.route("/")
async def hello(req: http.Request) -> http.Response:
    return http.Response(body=b"ok")
