"""Context variables: fresh for each request, visible to what is further in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.client import request

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.service import Service

PREAMBLE = """
import asyncio
import threading
from contextvars import ContextVar

from siphon import http

var = ContextVar("var", default="unset")
entered = threading.Event()
blocked = threading.Event()
gate = threading.Event()
"""

SETTERS = {
    "sync wrap-around": """
@http.middleware
def set_it(req, call_next):
    token = var.set(var.get() + "+" + req.query_params["v"])
    try:
        return call_next(req)
    finally:
        var.reset(token)
""",
    "async wrap-around": """
@http.middleware
async def set_it(req, call_next):
    token = var.set(var.get() + "+" + req.query_params["v"])
    try:
        return await call_next(req)
    finally:
        var.reset(token)
""",
    "sync guard": """
@http.middleware
def set_it(req):
    var.set(var.get() + "+" + req.query_params["v"])
""",
    "async guard": """
@http.middleware
async def set_it(req):
    var.set(var.get() + "+" + req.query_params["v"])
""",
}
HANDLERS = {
    "sync": "def handler(req):\n    return http.Response(body=var.get())\n",
    "async": """async def handler(req):
    await asyncio.sleep(0)
    return http.Response(body=var.get())
""",
}
BETWEEN = {
    "nothing": "",
    "a sync guard": "\n@http.middleware\ndef between(req):\n    pass\n",
    "an async guard": "\n@http.middleware\nasync def between(req):\n    pass\n",
}


@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize("setter", SETTERS)
def test_what_a_middleware_sets_is_seen_further_in_and_by_no_other_request(
    serve: Callable[..., Service], setter: str, between: str, handler: str
) -> None:
    service = serve(
        f"{PREAMBLE}{SETTERS[setter]}{BETWEEN[between]}\n@http.route('/')\n{HANDLERS[handler]}",
        loops=1,
        blocking_min=1,
        blocking_max=1,
    )
    with service.connect() as client:
        for number in range(3):
            assert client.get(f"/?v={number}").body == f"unset+{number}".encode()


@pytest.mark.parametrize("handler", HANDLERS)
def test_what_a_handler_sets_is_gone_with_its_request(serve: Callable[..., Service], handler: str) -> None:
    body = HANDLERS[handler].replace("    return", "    before = var.get()\n    var.set('set')\n    return")
    service = serve(
        f"{PREAMBLE}\n@http.route('/')\n{body.replace('body=var.get()', 'body=before')}",
        loops=1,
        blocking_min=1,
        blocking_max=1,
    )
    with service.connect() as client:
        assert [client.get("/").body for _ in range(3)] == [b"unset"] * 3


def test_requests_that_share_a_loops_turn_share_no_context(serve: Callable[..., Service]) -> None:
    """The loop is woken from within one request's context, and starts another request in that turn."""
    service = serve(
        PREAMBLE
        + """
@http.middleware
async def first(req):
    req.seen = var.get()
    if req.path == "/block":
        await asyncio.sleep(0)
        blocked.set()
        assert gate.wait(20)  # holds the loop itself, on purpose

@http.middleware
def second(req, call_next):
    if req.path == "/wrapped":
        var.set("leaked")
        entered.set()
        assert blocked.wait(20)
    return call_next(req)

@http.route("/{name}")
async def handler(req):
    return http.Response(body=req.seen)
""",
        loops=1,
    )
    with service.connect() as blocking, service.connect() as wrapped, service.connect() as other:
        wrapped.send(request("/wrapped"))
        assert service.module.entered.wait(5)
        blocking.send(request("/block"))
        assert service.module.blocked.wait(5)
        _let_the_acceptor_pass(service)  # and the wrap-around on its way to the loop
        other.send(request("/other"))
        _let_the_acceptor_pass(service)
        service.module.gate.set()
        assert [client.answer().body for client in (wrapped, blocking, other)] == [b"unset"] * 3


def _let_the_acceptor_pass(service: Service) -> None:
    """Asks for answers that come from the acceptor alone."""
    for _ in range(10):
        with service.connect() as client:
            assert client.send("GET / HTTP/9\r\n\r\n").answer().status == 400
