"""Middlewares: guards and wrap-arounds, sync and async in every mixture, over real sockets."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.service import Service

PREAMBLE = """
import asyncio
import functools
import threading
from contextvars import ContextVar

from siphon import http

seen = []
var = ContextVar("var", default="unset")

@http.route("/hello")
async def hello(req):
    return http.Response(body="hello")
"""

# What each kind of member looks like; `name` is put in.
MEMBERS = {
    "sync guard": """
@http.middleware
def {name}(req):
    req.trail = [*getattr(req, "trail", []), "{name}"]
""",
    "async guard": """
@http.middleware
async def {name}(req):
    await asyncio.sleep(0)
    req.trail = [*getattr(req, "trail", []), "{name}"]
""",
    "sync wrap": """
@http.middleware
def {name}(req, call_next):
    req.trail = [*getattr(req, "trail", []), "{name}"]
    response = call_next(req)
    response.headers.add("X-Way-Out", "{name}")
    return response
""",
    "async wrap": """
@http.middleware
async def {name}(req, call_next):
    await asyncio.sleep(0)
    req.trail = [*getattr(req, "trail", []), "{name}"]
    response = await call_next(req)
    response.headers.add("X-Way-Out", "{name}")
    return response
""",
}
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


@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.parametrize("kinds", list(itertools.product(MEMBERS, repeat=3)), ids=" + ".join)
def test_every_mixture_runs_outside_in_and_answers_inside_out(
    serve: Callable[..., Service], kinds: tuple[str, ...], handler: str
) -> None:
    names = [f"m{number}" for number in range(len(kinds))]
    members = [MEMBERS[kind].format(name=name) for kind, name in zip(kinds, names, strict=True)]
    service = serve(PREAMBLE + "".join(members) + HANDLERS[handler], loops=1, blocking_min=1)
    wraps = [name for kind, name in zip(kinds, names, strict=True) if kind.endswith("wrap")]
    with service.connect() as client:
        for _ in range(2):
            answer = client.get("/")
            assert (answer.status, answer.body) == (200, " ".join(names).encode())
            assert answer.get("x-way-out") == (", ".join(reversed(wraps)) or None)


@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.parametrize(
    "middleware",
    [
        "def guard(req):\n    return http.Response(401, body='no')",
        "async def guard(req):\n    return http.Response(401, body='no')",
        "def wrap(req, call_next):\n    return http.Response(401, body='no')",
        "async def wrap(req, call_next):\n    return http.Response(401, body='no')",
    ],
)
def test_a_middleware_that_answers_itself_spares_the_rest(
    serve: Callable[..., Service], middleware: str, handler: str
) -> None:
    inner = MEMBERS["sync guard"].format(name="inner") + "    seen.append('inner')\n"
    service = serve(f"{PREAMBLE}\n@http.middleware\n{middleware}\n{inner}{HANDLERS[handler]}")
    with service.connect() as client:
        answer = client.get("/")
        assert (answer.status, answer.body) == (401, b"no")
    assert service.module.seen == []


# Rewriting ---------------------------------------------------------------------------------------

REWRITES = {
    "sync": "response = call_next(req)",
    "async": "response = await call_next(req)",
}


@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.parametrize("kind", REWRITES)
def test_a_wrap_around_may_rewrite_the_response(
    serve: Callable[..., Service], kind: str, handler: str
) -> None:
    service = serve(
        PREAMBLE
        + f"""
@http.middleware
{"async " if kind == "async" else ""}def rewrite(req, call_next):
    req.trail = ["body"]
    {REWRITES[kind]}
    response.status = 201
    response.headers["x-new"] = "1"
    response.body = response.body.upper()
    return response
"""
        + HANDLERS[handler]
    )
    with service.connect() as client:
        answer = client.get("/")
        assert (answer.status, answer.get("x-new"), answer.body) == (201, "1", b"BODY")
        assert client.get("/nope").status == 201  # siphon's own answers pass through as well
        assert client.get("/", method="POST").body == b"METHOD NOT ALLOWED\n"
        assert client.get("/", method="OPTIONS").status == 201


def test_siphons_own_answers_are_made_anew_each_time(serve: Callable[..., Service]) -> None:
    service = serve(
        PREAMBLE
        + """
@http.middleware
async def grow(req, call_next):
    response = await call_next(req)
    response.body += b"+"
    response.headers.add("X-Grown", "1")
    return response
"""
    )
    with service.connect() as client:
        for _ in range(3):
            answer = client.get("/nope")
            assert (answer.body, answer.get("x-grown")) == (b"not found\n+", "1")


# call_next ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("handler", ["sync", "async"])
@pytest.mark.parametrize(
    "middleware",
    [
        """
@http.middleware
def twice(req, call_next):
    first, second = call_next(req), call_next(req)
    return http.Response(body=first.body + second.body)
""",
        """
@http.middleware
async def twice(req, call_next):
    first, second = await call_next(req), await call_next(req)
    return http.Response(body=first.body + second.body)
""",
        """
@http.middleware
async def together(req, call_next):
    first, second = await asyncio.gather(call_next(req), call_next(req))
    return http.Response(body=first.body + second.body)
""",
        """
@http.middleware
async def together(req, call_next):
    first, second = await asyncio.gather(call_next(req), call_next(req))
    return http.Response(body=first.body + second.body)

@http.middleware
def between(req, call_next):
    return call_next(req)
""",
    ],
    ids=["sync twice", "async twice", "async together", "async together over sync"],
)
def test_call_next_may_be_called_twice(serve: Callable[..., Service], middleware: str, handler: str) -> None:
    service = serve(
        PREAMBLE
        + middleware
        + f"""
@http.route("/")
{"async " if handler == "async" else ""}def handler(req):
    seen.append(1)
    {"await asyncio.sleep(0)" if handler == "async" else ""}
    return http.Response(body="x")
""",
        blocking_min=1,
        blocking_max=1,
    )
    with service.connect(timeout_s=5) as client:
        assert client.get("/").body == b"xx"
    assert len(service.module.seen) == 2


def test_gathered_calls_run_side_by_side_where_they_are_async(serve: Callable[..., Service]) -> None:
    service = serve(
        PREAMBLE
        + """
@http.middleware
async def together(req, call_next):
    req.both = asyncio.Barrier(2)
    first, second = await asyncio.gather(call_next(req), call_next(req))
    return http.Response(body=first.body + second.body)

@http.route("/")
async def handler(req):
    await req.both.wait()
    return http.Response(body="x")
"""
    )
    with service.connect(timeout_s=5) as client:
        assert client.get("/").body == b"xx"


@pytest.mark.parametrize("blocking_max", [1, 2])
@pytest.mark.parametrize("inner", ["async", "sync", "async guard, then sync"])
def test_a_lane_full_of_sync_wrap_arounds_does_not_wait_for_itself(
    serve: Callable[..., Service], inner: str, blocking_max: int
) -> None:
    middle = MEMBERS["async guard"].format(name="between") if "guard" in inner else ""
    service = serve(
        PREAMBLE
        + MEMBERS["sync wrap"].format(name="outer")
        + middle
        + f"""
@http.route("/")
{"async " if inner == "async" else ""}def handler(req):
    {"await asyncio.sleep(0.001)" if inner == "async" else "pass"}
    return http.Response(body="x")
""",
        blocking_min=1,
        blocking_max=blocking_max,
        request_timeout_ms=10_000,
    )
    clients = [service.connect(timeout_s=20) for _ in range(30)]
    for client in clients:
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert [client.answer().status for client in clients] == [200] * len(clients)
    for client in clients:
        client.close()
