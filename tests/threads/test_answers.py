"""Every row of the table of answers, over real sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.service import Service

SCRIPT = """
    import asyncio
    from siphon import http

    @http.route("/hello")
    async def hello(req):
        return http.Response(body="hello")

    @http.route("/sync")
    def sync(req):
        return http.Response(body="sync")

    @http.route("/boom")
    async def boom(req):
        raise ValueError("secret")

    @http.route("/none")
    async def none(req):
        return None

    @http.route("/never")
    async def never(req):
        await asyncio.Event().wait()

    @http.route("/echo", methods=["*"])
    async def echo(req):
        return http.Response(headers={"X-Method": req.method}, body=req.body())
"""


@pytest.mark.parametrize(
    ("method", "target", "status", "body"),
    [
        ("GET", "/hello", 200, b"hello"),
        ("GET", "/sync", 200, b"sync"),
        ("GET", "/nope", 404, b"not found\n"),
        ("POST", "/hello", 405, b"method not allowed\n"),
        ("GET", "/boom", 500, b"handler error\n"),
        ("GET", "/none", 500, b"bad response\n"),
        ("HEAD", "/hello", 200, b""),
        ("OPTIONS", "/hello", 204, b""),
        ("BREW", "/echo", 200, b""),
    ],
)
def test_each_row_is_answered_and_the_connection_goes_on(
    serve: Callable[..., Service], method: str, target: str, status: int, body: bytes
) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        answer = client.get(target, method=method)
        assert (answer.status, answer.body) == (status, body)
        assert client.get("/hello").body == b"hello"


def test_a_slow_handler_gets_504_and_the_connection_goes_on(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, request_timeout_ms=100)
    with service.connect() as client:
        assert client.get("/never").status == 504
        assert client.get("/hello").body == b"hello"
