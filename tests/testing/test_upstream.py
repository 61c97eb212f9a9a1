"""Outbound calls of a script under test: what is recorded, and what answers them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from siphon import http
from siphon.errors import UnexpectedCall
from siphon.testing import MockResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from siphon.testing import HttpTestHarness

    type Load = Callable[..., HttpTestHarness]

# Calls with what the body says, and answers with what came of it.
CALLER = """
import json

CLIENTS = {
    "api": lambda: http.Client("api"),
    "odd": lambda: http.Client("a name/with everything"),
    "inline": lambda: http.Client(base_url="https://user:secret@example.com/v1/", verify="no/such.pem"),
    "bare": lambda: http.Client(),
    "following": lambda: http.Client(base_url="http://here", follow_redirects=True),
    "stubborn": lambda: http.Client(base_url="http://here", retries=2),
}

@http.route("/{client}", methods=["POST"])
async def call(req):
    said = json.loads(req.body())
    async with CLIENTS[req.path_params["client"]]() as client:
        try:
            answer = await client.request(said.pop("method", "GET"), said.pop("path"), **said)
        except http.ClientError as error:
            return http.Response(502, body=f"{type(error).__name__}: {error}")
    fields = {"X-Names": ",".join(answer.headers), "X-URL": answer.url}
    return http.Response(answer.status, fields, answer.body)
"""


def call(harness: HttpTestHarness, client: str, **said: Any) -> http.Response:
    return harness.request("POST", f"/{client}", body=json.dumps(said))


def test_a_call_is_recorded_as_the_script_made_it(load: Load) -> None:
    harness = load(CALLER)
    call(harness, "api", method="post", path="/things?a=1", headers={"X-Trace": "7"}, body="caf\u00e9")
    call(harness, "inline", path="/a b", params={"q": "1"})
    call(harness, "bare", path="http://there/x")
    assert harness.sent_requests == [
        {
            "method": "POST",
            "path": "/things?a=1",
            "url": "/things?a=1",
            "name": "api",
            "base_url": None,
            "headers": {"X-Trace": "7"},
            "body": "caf\u00e9".encode(),
        },
        {
            "method": "GET",
            "path": "/a b",
            "url": "https://example.com/v1/a%20b?q=1",
            "name": None,
            "base_url": "https://user:secret@example.com/v1/",
            "headers": {},
            "body": b"",
        },
        {
            "method": "GET",
            "path": "http://there/x",
            "url": "http://there/x",
            "name": None,
            "base_url": None,
            "headers": {},
            "body": b"",
        },
    ]
    assert harness.sent_requests[0]["headers"]["x-trace"] == "7"


def test_a_client_of_any_name_is_there_and_one_that_is_configured_has_its_settings(load: Load) -> None:
    harness = load(CALLER, config={"clients": {"api": {"base_url": "https://api.example.com/v2"}}})
    assert call(harness, "odd", path="/x").status == 200
    assert call(harness, "api", path="/x").headers["X-URL"] == "https://api.example.com/v2/x"
    rows = [(row["name"], row["url"], row["base_url"]) for row in harness.sent_requests]
    assert rows == [
        ("a name/with everything", "/x", None),
        ("api", "https://api.example.com/v2/x", "https://api.example.com/v2"),
    ]


def test_answers_come_from_the_queue_then_by_path_then_by_default(load: Load) -> None:
    harness = load(CALLER)
    assert (call(harness, "api", path="/a").status, call(harness, "api", path="/a").body) == (200, b"")
    harness.set_default_response(MockResponse(204))
    harness.set_response("/a", MockResponse(201, {"X-Upper": "1", "x-lower": "2"}, "by path"))
    harness.add_response(MockResponse(503, body="first"))
    harness.add_response(MockResponse(504, body="second"))
    answers = [call(harness, "api", path=path) for path in ("/b", "/a", "/a", "/b", "/a?b=1")]
    assert [answer.status for answer in answers] == [503, 504, 201, 204, 204]
    assert answers[2].headers["X-Names"] == "x-upper,x-lower"
    harness.http.clear()
    assert call(harness, "api", path="/a").status == 200
    assert len(harness.sent_requests) == 1


def test_an_answer_that_the_script_changes_is_as_it_was_for_the_next_call(load: Load) -> None:
    harness = load("""
@http.route("/")
async def root(req):
    answer = await http.Client("api").get("/x")
    answer.headers["X-Changed"] = "1"
    answer.status = 500
    return http.Response(body=str(dict((await http.Client("api").get("/x")).headers)))
""")
    harness.set_response("/x", MockResponse(headers={"X-One": "1"}))
    assert harness.request().body == b"{'x-one': '1'}"


def test_a_call_can_be_made_to_fail(load: Load) -> None:
    harness = load(CALLER)
    harness.client_error("/slow", http.TimeoutError)
    harness.client_error("/gone", http.ConnectError("nobody is there"))
    assert call(harness, "api", path="/slow").body == b"TimeoutError: GET http://api/slow: set by the test"
    assert call(harness, "api", path="/gone").body == b"ConnectError: nobody is there"
    assert call(harness, "api", path="/other").status == 200
    assert len(harness.sent_requests) == 3
    harness.client_error("/broken", KeyError)
    assert call(harness, "api", path="/broken").status == 500


@pytest.mark.parametrize("nonsense", ["text", 7, int, http.HTTPStatusError])
def test_what_is_no_error_of_a_call_is_refused(load: Load, nonsense: Any) -> None:
    with pytest.raises(TypeError):
        load(CALLER).client_error("/x", nonsense)


@pytest.mark.parametrize("method", ["add_response", "set_default_response"])
def test_what_is_no_answer_is_refused(load: Load, method: str) -> None:
    with pytest.raises(TypeError, match="an answer is a MockResponse, not 200"):
        getattr(load(CALLER), method)(200)


def test_an_error_status_is_raised_where_the_script_asks_for_it(load: Load) -> None:
    harness = load("""
@http.route("/")
async def root(req):
    try:
        (await http.Client("api").get("/x")).raise_for_status()
    except http.HTTPStatusError as error:
        return http.Response(502, body=str(error))
""")
    harness.set_response("/x", MockResponse(404))
    assert harness.request().body == b"GET http://api/x: 404 Not Found"


def test_redirects_and_retries_are_those_of_the_client(load: Load) -> None:
    harness = load(CALLER)
    harness.set_response("/old", MockResponse(302, {"Location": "/new?a=1"}))
    harness.set_response("/new?a=1", MockResponse(body="new"))
    assert call(harness, "following", path="/old").body == b"new"
    assert [row["path"] for row in harness.sent_requests] == ["/old", "/new?a=1"]
    harness.http.clear()
    harness.client_error("/gone", http.ConnectError)
    assert call(harness, "stubborn", path="/gone").status == 502
    assert len(harness.sent_requests) == 3


def test_a_wrong_argument_is_refused_as_on_a_server(load: Load) -> None:
    harness = load(CALLER, raise_exceptions=True)
    with pytest.raises(ValueError, match="X-Bad"):
        call(harness, "api", path="/x", headers={"X-Bad": "a\r\nb"})
    assert harness.sent_requests == []


# Strict ------------------------------------------------------------------------------------------


def test_a_strict_harness_fails_a_test_whose_script_makes_a_call_without_an_answer(load: Load) -> None:
    harness = load(CALLER, strict=True)
    harness.set_response("/known", MockResponse(201))
    assert call(harness, "api", path="/known").status == 201
    with pytest.raises(UnexpectedCall, match="GET /x: no answer is set"):
        call(harness, "api", path="/x")
    assert call(harness, "api", path="/known").status == 201


def test_a_strict_harness_does_so_even_if_the_script_catches_everything(load: Load) -> None:
    harness = load(
        """
@http.route("/")
async def root(req):
    try:
        await http.Client("api").get("/x")
    except Exception:
        return http.Response(body="as if nothing had happened")
""",
        strict=True,
    )
    with pytest.raises(AssertionError, match="GET /x"):
        harness.request()
    harness.set_default_response(MockResponse())
    assert harness.request().status == 500


# Where calls come from ---------------------------------------------------------------------------


def test_clients_work_wherever_a_script_uses_them(load: Load) -> None:
    harness = load("""
import asyncio

shared = http.Client("of the module")

@http.on_startup
async def start(): await shared.get("/startup")

@http.on_startup
def sync_start(): asyncio.run(http.Client("sync").get("/sync startup"))

@http.on_loop_startup
async def loop_start(): await http.Client("loop").get("/loop startup")

@http.middleware
async def guard(req): await http.Client("guard").get("/guard")

@http.route("/")
def root(req): return http.Response(asyncio.run(http.Client("sync").get("/handler")).status)

@http.route("/tasks")
async def tasks(req):
    answers = await asyncio.gather(*[shared.get("/task") for _ in range(3)])
    threaded = await asyncio.to_thread(asyncio.run, shared.get("/thread"))
    return http.Response(body=str(len(answers)))

@http.on_shutdown
async def stop(): await shared.delete("/registry")
""")
    harness.run_startup()
    assert harness.request().status == 200
    assert harness.request("GET", "/tasks").body == b"3"
    harness.run_shutdown()
    called = [f"{row['name']}: {row['method']} {row['path']}" for row in harness.sent_requests]
    assert called == [
        "of the module: GET /startup",
        "sync: GET /sync startup",
        "loop: GET /loop startup",
        "guard: GET /guard",
        "sync: GET /handler",
        "guard: GET /guard",
        *["of the module: GET /task"] * 3,
        "of the module: GET /thread",
        "of the module: DELETE /registry",
    ]
