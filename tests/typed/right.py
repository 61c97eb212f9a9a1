"""What type checkers must accept, and what they must take it for."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import assert_type

from siphon import http, log
from siphon.testing import HttpTestHarness, MockRequest, MockResponse
from siphon_sdk.http_testing import HttpTestHarness as SdkHarness

api = http.Client("api")
inline = http.Client(base_url="https://example.com", verify="ca.pem", cert=("c.pem", "k.pem"), timeout_ms=100)


@http.route("/sync")
def sync(req: http.Request) -> http.Response:
    assert_type(req.path_params, dict[str, str])
    assert_type(req.query_params, dict[str, str])
    assert_type(req.headers, dict[str, str])
    assert_type(req.header("x"), str | None)
    assert_type(req.body(), bytes)
    return http.Response(200, {"X-One": "1", "Vary": ["a", "b"]}, "text")


@http.route("/async", methods=["GET", "DELETE"])
async def on_loop(req: http.Request) -> http.Response:
    async with http.Client("api") as client:
        answer = await client.get("/x", headers={"a": "b"}, params={"q": 1})
        await client.post("/x", body=b"", headers=[("a", "b")])
        await client.put("/x", json={"a": 1})
        await client.patch("/x", body="text")
        await client.delete("/x")
    assert_type(answer.raise_for_status().body, bytes)
    assert_type(answer.headers["x"], str)
    return http.Response(answer.status, [("a", "b")], answer.body)


class Handler:
    async def __call__(self, req: http.Request) -> http.Response:
        return http.Response(body=None)

    def method(self, req: http.Request) -> http.Response:
        return http.Response()


http.route("/object")(Handler())
http.route("/method", {"GET"}, listeners=("public",), cancel_on_disconnect=False)(Handler().method)


def with_prefix(prefix: str, req: http.Request) -> http.Response:
    return http.Response(body=prefix + req.path)


http.route("/partial")(functools.partial(with_prefix, "a"))


def traced[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    return function


@http.route("/traced")
@traced
async def traced_handler(req: http.Request) -> http.Response:
    return http.Response()


assert_type(sync(MockRequest()), http.Response)
assert_type(asyncio.run(on_loop(MockRequest(path="/x"))), http.Response)


@http.middleware
def guard(req: http.Request) -> http.Response | None:
    return http.Response(401) if req.header("authorization") is None else None


@http.middleware
async def async_guard(req: http.Request) -> http.Response | None:
    return None


@http.middleware
def looks_only(req: http.Request) -> None:
    log.info(req.path)


@http.middleware
def wrap(req: http.Request, call_next: http.SyncCallNext) -> http.Response:
    return call_next(req)


@http.middleware
async def async_wrap(req: http.Request, call_next: http.CallNext) -> http.Response:
    response = await asyncio.create_task(call_next(req))
    response.headers["Vary"] = ["Accept", "Origin"]
    response.status = 201
    response.body = "text"
    return response


@http.middleware
async def spelled_out(
    req: http.Request, call_next: Callable[[http.Request], Awaitable[http.Response]]
) -> http.Response:
    try:
        return await call_next(req)
    except (http.TimeoutError, http.ConnectError, http.HTTPStatusError) as error:
        log.warning(error)
        return http.Response(502)


@http.on_startup
async def start() -> None:
    await api.get("/x")


@http.on_startup
def sync_start() -> None: ...


@http.on_shutdown
async def stop() -> None: ...


@http.on_loop_startup
async def loop_start() -> None: ...


@http.on_loop_shutdown
def loop_stop() -> None: ...


def test_of_a_user(siphon_harness: HttpTestHarness) -> None:
    siphon_harness.load_script("script.py")
    response = siphon_harness.request("GET", "/x", headers={"a": ["b"]}, query_params={"q": 1}, body="text")
    assert_type(response, http.Response)
    assert_type(siphon_harness.sent_requests[0]["path"], str)
    assert_type(siphon_harness.sent_requests[0]["body"], bytes)
    assert_type(siphon_harness.sent_requests[0]["headers"]["X"], str)
    siphon_harness.client_error("/x", http.TimeoutError)
    siphon_harness.client_error("/x", http.ConnectError("refused"))
    assert ("info", "ready") in siphon_harness.log.messages


def test_with_the_names_of_the_sdk() -> None:
    with SdkHarness({"servers": [{"max_body_bytes": 3}]}, strict=True) as harness:
        harness.add_response(MockResponse(status=200, body=b"{}"))
        harness.set_response("/x", MockResponse(404, {"a": "b"}))
        harness.set_default_response(MockResponse())
