"""Handlers and middlewares may be any callable: partials, instances, methods, decorated functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from siphon.journal import journal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.service import Service

PREAMBLE = """
import asyncio
import functools

from siphon import http
"""
HANDLERS = {
    "sync": """
@http.route("/")
def handler(req):
    return http.Response(body=" ".join(req.trail))
""",
    "async": """
@http.route("/")
async def handler(req):
    return http.Response(body=" ".join(req.trail))
""",
}

SHAPES = {
    "a sync guard that returns an awaitable": """
async def work(req):
    req.trail = ["seen"]

@http.middleware
def guard(req):
    return work(req)
""",
    "a partial": """
async def work(prefix, req):
    req.trail = [prefix]

http.middleware(functools.partial(work, "seen"))
""",
    "a sync callable instance": """
class Guard:
    def __call__(self, req):
        req.trail = ["seen"]

http.middleware(Guard())
""",
    "an async callable instance": """
class Guard:
    async def __call__(self, req):
        req.trail = ["seen"]

http.middleware(Guard())
""",
    "a bound method": """
class Guards:
    async def guard(self, req):
        req.trail = ["seen"]

http.middleware(Guards().guard)
""",
    "a decorated async guard": """
def decorate(function):
    @functools.wraps(function)
    def wrapper(req):
        return function(req)
    return wrapper

@http.middleware
@decorate
async def guard(req):
    req.trail = ["seen"]
""",
    "a decorated async wrap-around": """
def decorate(function):
    @functools.wraps(function)
    def wrapper(req, call_next):
        return function(req, call_next)
    return wrapper

@http.middleware
@decorate
async def wrap(req, call_next):
    req.trail = ["seen"]
    return await call_next(req)
""",
    "a decorated async wrap-around over a sync one": """
def decorate(function):
    @functools.wraps(function)
    def wrapper(req, call_next):
        return function(req, call_next)
    return wrapper

@http.middleware
@decorate
async def wrap(req, call_next):
    return await call_next(req)

@http.middleware
def inner(req, call_next):
    req.trail = ["seen"]
    return call_next(req)
""",
}


@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_middleware_may_be_any_callable(serve: Callable[..., Service], shape: str, handler: str) -> None:
    service = serve(PREAMBLE + SHAPES[shape] + HANDLERS[handler], loops=1, request_timeout_ms=2_000)
    with service.connect(timeout_s=5) as client:
        answer = client.get("/")
        assert (answer.status, answer.body) == (200, b"seen")


@pytest.mark.parametrize(
    "handler",
    [
        "def sync(req): return asynchronous(req)\nhttp.route('/')(sync)",
        "http.route('/')(functools.partial(two, 'x'))",
        "http.route('/')(Callable())",
        "http.route('/')(lambda req: http.Response(body='x'))",
        "http.route('/')(lambda req: asynchronous(req))",
        "http.route('/')(Callable().method)",
    ],
)
def test_a_handler_may_be_any_callable(serve: Callable[..., Service], handler: str) -> None:
    service = serve(
        PREAMBLE
        + """
async def asynchronous(req):
    await asyncio.sleep(0)
    return http.Response(body="x")

async def two(text, req):
    return http.Response(body=text)

class Callable:
    async def __call__(self, req):
        return http.Response(body="x")
    def method(self, req):
        return http.Response(body="x")
"""
        + handler
    )
    with service.connect() as client:
        assert client.get("/").body == b"x"


def test_the_log_names_a_partial_by_its_function(
    serve: Callable[..., Service], capfd: pytest.CaptureFixture[str]
) -> None:
    service = serve(
        PREAMBLE + "def two(text, req): return text\nhttp.route('/')(functools.partial(two, 'x'))"
    )
    with service.connect() as client:
        assert client.get("/").body == b"bad response\n"
    assert journal.flush(5)
    assert "two returned a str, not a Response" in capfd.readouterr().err
