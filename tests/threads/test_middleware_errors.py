"""What goes wrong inside a chain: who is named, what may be caught, and how a request's end is felt."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from siphon.journal import journal
from tests.client import request
from tests.garbage import without_collections

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.service import Service

PREAMBLE = """
import asyncio
import threading

from siphon import http

seen = []
entered = threading.Event()
ended = threading.Event()
gate = threading.Event()

@http.route("/hello")
async def hello(req):
    return http.Response(body="hello")
"""

KINDS = ["sync", "async"]


def function(kind: str, name: str, parameters: str, body: str) -> str:
    """A function's source; ``body`` may say AWAIT, which is nothing in a sync one."""
    text = body.replace("AWAIT ", "await " if kind == "async" else "")
    head = f"{'async ' if kind == 'async' else ''}def {name}({parameters}):"
    return "\n".join([head, *[f"    {line}" for line in text.strip().splitlines()], ""])


def middleware(kind: str, body: str, parameters: str = "req, call_next", name: str = "wrap") -> str:
    return f"\n@http.middleware\n{function(kind, name, parameters, body)}"


def handler(kind: str, body: str) -> str:
    return f"\n@http.route('/')\n{function(kind, 'handler', 'req', body)}"


PASS = "return AWAIT call_next(req)"


# Who is named ------------------------------------------------------------------------------------


@pytest.mark.parametrize("outer", KINDS)
@pytest.mark.parametrize("inner", KINDS)
def test_a_handlers_error_is_the_handlers_however_it_travels(
    serve: Callable[..., Service], outer: str, inner: str, capfd: pytest.CaptureFixture[str]
) -> None:
    service = serve(PREAMBLE + middleware(outer, PASS) + handler(inner, "raise ValueError('the reason')"))
    with service.connect() as client:
        answer = client.get("/")
        assert (answer.status, answer.body) == (500, b"handler error\n")
        assert answer.get("content-type") == "text/plain; charset=utf-8"
        assert client.get("/hello").body == b"hello"
    assert journal.flush(5)
    log = capfd.readouterr().err
    assert "GET /: handler raised" in log
    assert "ValueError: the reason" in log
    assert "app.py" in log


@pytest.mark.parametrize("outer", KINDS)
@pytest.mark.parametrize("inner", KINDS)
@pytest.mark.parametrize("parameters", ["req", "req, call_next"])
def test_a_middlewares_error_is_the_middlewares(
    serve: Callable[..., Service], outer: str, inner: str, parameters: str
) -> None:
    service = serve(
        PREAMBLE
        + middleware(outer, PASS, name="outer")
        + middleware(inner, "raise ValueError('secret')", parameters)
        + handler("async", "return http.Response()")
    )
    with service.connect() as client:
        answer = client.get("/")
        assert (answer.status, answer.body) == (500, b"middleware error\n")
        assert client.get("/nope").body == b"middleware error\n"


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_after_call_next_is_the_middlewares(serve: Callable[..., Service], kind: str) -> None:
    service = serve(
        PREAMBLE
        + middleware(kind, "AWAIT call_next(req)\nraise ValueError")
        + handler("async", "return http.Response()")
    )
    with service.connect() as client:
        assert client.get("/").body == b"middleware error\n"


@pytest.mark.parametrize("kind", KINDS)
def test_another_error_raised_for_the_handlers_is_the_middlewares(
    serve: Callable[..., Service], kind: str
) -> None:
    body = """
try:
    return AWAIT call_next(req)
except KeyError as error:
    raise ValueError("another") from error
"""
    service = serve(PREAMBLE + middleware(kind, body) + handler("sync", "raise KeyError('first')"))
    with service.connect() as client:
        assert client.get("/").body == b"middleware error\n"


@pytest.mark.parametrize("outer", KINDS)
@pytest.mark.parametrize("inner", KINDS)
def test_a_wrap_around_may_catch_the_handlers_error(
    serve: Callable[..., Service], outer: str, inner: str
) -> None:
    body = """
try:
    return AWAIT call_next(req)
except KeyError as error:
    return http.Response(404, body=f"no {error}")
"""
    service = serve(PREAMBLE + middleware(outer, body) + handler(inner, "raise KeyError('item')"))
    with service.connect() as client:
        answer = client.get("/")
        assert (answer.status, answer.body) == (404, b"no 'item'")


@pytest.mark.parametrize("outer", [None, *KINDS])
@pytest.mark.parametrize("inner", KINDS)
@pytest.mark.parametrize(
    "error", ["SystemExit(3)", "KeyboardInterrupt()", "asyncio.CancelledError()", "StopIteration()"]
)
def test_errors_with_a_meaning_of_their_own_are_a_500_and_nothing_more(
    serve: Callable[..., Service], error: str, inner: str, outer: str | None
) -> None:
    around = "" if outer is None else middleware(outer, PASS)
    service = serve(PREAMBLE + around + handler(inner, f"raise {error}"), loops=1, blocking_min=1)
    with service.connect(timeout_s=5) as client:
        for _ in range(2):
            answer = client.get("/")
            assert (answer.status, answer.body) == (500, b"handler error\n")
        assert client.get("/hello").body == b"hello"


@pytest.mark.parametrize("way", ["await asyncio.gather(leave())", "asyncio.create_task(leave())"])
def test_a_task_that_exits_does_not_take_its_loop_along(
    serve: Callable[..., Service], way: str, capfd: pytest.CaptureFixture[str]
) -> None:
    service = serve(
        PREAMBLE
        + "async def leave():\n    raise SystemExit(3)\n"
        + handler("async", f"task = {way}\nawait asyncio.sleep(0)\nreturn http.Response(body='after')"),
        loops=1,
        request_timeout_ms=2_000,
    )
    with service.connect(timeout_s=5) as client:
        for _ in range(2):
            assert client.get("/").status in (200, 500)
            assert client.get("/hello").body == b"hello"
    assert service.stop()
    gc.collect()  # a task whose exception nobody has fetched says so here, and not in another test's log
    assert journal.flush(5)
    assert "SystemExit: 3" in capfd.readouterr().err


@pytest.mark.parametrize("outer", KINDS)
def test_a_sync_guards_stop_iteration_is_the_middlewares(serve: Callable[..., Service], outer: str) -> None:
    service = serve(
        PREAMBLE
        + middleware(outer, PASS)
        + middleware("sync", "next(iter([]))", "req", "guard")
        + handler("async", "return http.Response()")
    )
    with service.connect() as client:
        assert client.get("/").body == b"middleware error\n"


# Wrong results -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("parameters", "body"),
    [
        ("req", b"middleware must return Response or None\n"),
        ("req, call_next", b"middleware must return Response\n"),
    ],
)
def test_a_middleware_that_returns_something_else_is_a_500(
    serve: Callable[..., Service],
    kind: str,
    parameters: str,
    body: bytes,
    capfd: pytest.CaptureFixture[str],
) -> None:
    service = serve(
        PREAMBLE + middleware(kind, "return 'text'", parameters) + handler("async", "return http.Response()")
    )
    with service.connect() as client:
        answer = client.get("/")
        assert (answer.status, answer.body) == (500, body)
    assert journal.flush(5)
    assert "wrap returned a str" in capfd.readouterr().err


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrap_around_that_returns_none_is_a_500(serve: Callable[..., Service], kind: str) -> None:
    service = serve(
        PREAMBLE + middleware(kind, "AWAIT call_next(req)") + handler("async", "return http.Response()")
    )
    with service.connect() as client:
        answer = client.get("/")
        assert (answer.status, answer.body) == (500, b"middleware must return Response\n")


@pytest.mark.parametrize("outer", KINDS)
@pytest.mark.parametrize("inner", KINDS)
def test_a_bad_response_reaches_the_wrap_around_as_a_500(
    serve: Callable[..., Service], outer: str, inner: str
) -> None:
    body = """
response = AWAIT call_next(req)
seen.append((response.status, response.body))
return response
"""
    service = serve(PREAMBLE + middleware(outer, body) + handler(inner, "return {'a': 1}"))
    with service.connect() as client:
        assert client.get("/").body == b"bad response\n"
    assert service.module.seen == [(500, b"bad response\n")]


# The request's end, as a sync wrap-around sees it ------------------------------------------------

CANCELLED = """
try:
    return call_next(req)
except Exception:
    seen.append("Exception")
    raise
except http.RequestCancelled:
    seen.append("RequestCancelled")
    raise
finally:
    ended.set()
"""
NEVER = "entered.set()\nawait asyncio.Event().wait()"


def test_call_next_raises_request_cancelled_on_a_504(serve: Callable[..., Service]) -> None:
    service = serve(
        PREAMBLE + middleware("sync", CANCELLED) + handler("async", NEVER), request_timeout_ms=250
    )
    with service.connect() as client:
        assert client.get("/").status == 504
        assert service.module.ended.wait(5)
        assert client.get("/hello").body == b"hello"
    assert service.module.seen == ["RequestCancelled"]


@pytest.mark.parametrize("ending", ["reset", "half_close"])
def test_call_next_raises_request_cancelled_when_the_client_goes(
    serve: Callable[..., Service], ending: str
) -> None:
    service = serve(PREAMBLE + middleware("sync", CANCELLED) + handler("async", NEVER))
    client = service.connect().send(request("/"))
    assert service.module.entered.wait(5)
    getattr(client, ending)()
    assert service.module.ended.wait(5)
    client.close()
    with service.connect() as other:
        assert other.get("/hello").body == b"hello"
    assert service.module.seen == ["RequestCancelled"]


def test_an_async_wrap_around_is_cancelled_with_what_it_awaits(serve: Callable[..., Service]) -> None:
    body = """
try:
    return await call_next(req)
except asyncio.CancelledError:
    seen.append("outer")
    ended.set()
    raise
"""
    service = serve(PREAMBLE + middleware("async", body) + handler("async", NEVER), request_timeout_ms=250)
    with service.connect() as client:
        assert client.get("/").status == 504
        assert service.module.ended.wait(5)
    assert service.module.seen == ["outer"]


def test_the_worker_of_a_cancelled_wrap_around_is_free_again(serve: Callable[..., Service]) -> None:
    service = serve(
        PREAMBLE
        + """
@http.route("/sync")
def sync(req):
    return http.Response(body="sync")
"""
        + middleware("sync", "return call_next(req)")
        + handler("async", NEVER),
        request_timeout_ms=250,
        blocking_min=1,
        blocking_max=1,
    )
    with service.connect() as client:
        for _ in range(2):
            assert client.get("/").status == 504
            assert client.get("/sync").body == b"sync"


def test_a_late_response_after_a_504_is_dropped(serve: Callable[..., Service]) -> None:
    service = serve(
        PREAMBLE + handler("sync", "assert gate.wait(20)\nended.set()\nreturn http.Response(body='late')"),
        request_timeout_ms=250,
    )
    with service.connect() as client:
        assert client.get("/").status == 504
        service.module.gate.set()
        assert service.module.ended.wait(5)
        for _ in range(5):
            assert client.get("/hello").body == b"hello"


def test_a_request_answered_while_it_was_queued_is_never_run(serve: Callable[..., Service]) -> None:
    service = serve(
        PREAMBLE
        + handler(
            "sync", "seen.append(req.query)\nentered.set()\nassert gate.wait(20)\nreturn http.Response()"
        ),
        request_timeout_ms=300,
        blocking_min=1,
        blocking_max=1,
    )
    with service.connect() as running, service.connect() as queued:
        running.send(request("/?running"))
        assert service.module.entered.wait(5)
        queued.send(request("/?queued"))
        assert running.answer().status == 504
        assert queued.answer().status == 504
        service.module.gate.set()
        assert running.get("/?next").status == 200
    assert service.module.seen == [[("running", "")], [("next", "")]]


@pytest.mark.parametrize("handled", KINDS)
@pytest.mark.parametrize("inner", KINDS)
@pytest.mark.parametrize("outer", KINDS)
def test_an_error_leaves_no_cycle_wherever_it_travels(
    serve: Callable[..., Service], outer: str, inner: str, handled: str
) -> None:
    """Each would keep a request, its connection and its frames until the next collection.

    The last one of a thread may wait for it: who counts references to what another thread has made tells it.
    """
    service = serve(
        PREAMBLE
        + middleware(outer, PASS, name="outer")
        + middleware(inner, PASS, name="inner")
        + handler(handled, 'raise KeyError("it is not there")')
    )
    with service.connect() as client, without_collections() as errors_left:
        for _ in range(20):
            assert client.get("/").status == 500
        assert len(errors_left()) <= 4
