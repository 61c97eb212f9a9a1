"""A script with a bit of everything, and 150 requests for it: good ones and bad ones."""

from __future__ import annotations

from typing import NamedTuple

SCRIPT = """
import asyncio
import functools
import json
from contextvars import ContextVar

from siphon import http

seen = ContextVar("seen", default="")


@http.middleware
def sync_guard(req):
    seen.set(seen.get() + "sync guard ")
    if req.path.startswith("/guard/sync"):
        return http.Response(401, {"WWW-Authenticate": "Bearer"}, "who are you?")
    if req.path == "/guard/nonsense":
        return "go on"
    if req.path == "/guard/raises":
        raise PermissionError("the guard fell over")


@http.middleware
async def async_wrap(req, call_next):
    seen.set(seen.get() + "async wrap ")
    try:
        response = await call_next(req)
    except LookupError as error:
        return http.Response(418, body=f"caught {error}")
    response.headers["X-Async"] = "1"
    if req.path == "/wrap/nothing":
        return None
    if req.path == "/wrap/raises":
        raise OSError("after all was done")
    return response


@http.middleware
def sync_wrap(req, call_next):
    seen.set(seen.get() + "sync wrap ")
    if req.path == "/wrap/short":
        return http.Response(203, body="short")
    response = call_next(req)
    response.headers.add("X-Sync", str(len(response.body)))
    return response


@http.middleware
async def async_guard(req):
    seen.set(seen.get() + "async guard ")
    await asyncio.sleep(0)
    if req.path.startswith("/guard/async"):
        return http.Response(403, body="not you")
    return None


def echo(req):
    told = {
        "method": req.method, "path": req.path, "raw_path": req.raw_path, "params": req.path_params,
        "query": req.query, "query_params": req.query_params, "headers": req.headers,
        "body": req.body().decode("latin-1"), "client": req.client.rpartition(":")[0], "seen": seen.get(),
    }
    return http.Response(200, {"Content-Type": "application/json"}, json.dumps(told))


@http.route("/", methods=["GET", "POST", "PUT", "DELETE"])
async def index(req):
    return echo(req)


@http.route("/sync", methods=["GET", "POST"])
def sync(req):
    return echo(req)


@http.route("/any", methods=["*"])
def anything(req):
    return echo(req)


@http.route("/users/{id}")
async def user(req):
    return echo(req)


@http.route("/users/me")
def me(req):
    return http.Response(body="me")


@http.route("/users/{id}/books/{book}", methods=["GET", "PATCH"])
def book(req):
    return echo(req)


@http.route("/files/{*rest}")
async def files(req):
    return echo(req)


@http.route("/slash/")
def slash(req):
    return http.Response(body="with a slash")


@http.route("/guard/{*rest}")
async def guarded(req):
    return http.Response(body="let in")


@http.route("/wrap/{kind}")
def wrapped(req):
    return http.Response(body="wrapped")


@http.route("/status/{code}", methods=["GET", "POST"])
async def status(req):
    return http.Response(int(req.path_params["code"]), body="a body")


@http.route("/sync-status/{code}")
def sync_status(req):
    return http.Response(int(req.path_params["code"]), {"X-Code": req.path_params["code"]}, "a body")


@http.route("/returns/{what}")
async def returns(req):
    return {"none": None, "text": "text", "number": 7, "type": http.Response}[req.path_params["what"]]


@http.route("/sync-returns/{what}")
def sync_returns(req):
    return {"none": None, "text": "text", "number": 7, "type": http.Response}[req.path_params["what"]]


ERRORS = {
    "value": ValueError,
    "lookup": LookupError,
    "exit": SystemExit,
    "cancelled": asyncio.CancelledError,
    "stop": StopIteration,
}


@http.route("/raises/{what}")
async def raises(req):
    raise ERRORS[req.path_params["what"]]("here")


@http.route("/sync-raises/{what}")
def sync_raises(req):
    raise ERRORS[req.path_params["what"]]("here")


HEADERS = {
    "several": [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("x-lower", "1"), ("X-Upper", "2")],
    "list": {"Vary": ["Accept", "Origin"]},
    "split": {"X-Bad": "a\\r\\nSet-Cookie: stolen"},
    "name": {"X Bad": "1"},
    "snow": {"X-Snow": "\\u2603"},
    "latin": {"X-Latin": "caf\\u00e9"},
    "length": {"Content-Length": "3"},
    "wrong-length": {"Content-Length": "4"},
    "no-length": {"Content-Length": "many"},
    "coding": {"Transfer-Encoding": "chunked"},
    "close": {"Connection": "close"},
    "server": {"Server": "mine"},
    "type": {"Content-Type": "text/html; charset=utf-8"},
    "empty": {"X-Empty": ""},
}


@http.route("/headers/{which}")
async def headers(req):
    return http.Response(200, HEADERS[req.path_params["which"]], "abc")


@http.route("/sync-headers/{which}")
def sync_headers(req):
    return http.Response(200, HEADERS[req.path_params["which"]], "abc")


@http.route("/slow")
async def slow(req):
    await asyncio.Event().wait()


def wrapper(function):
    @functools.wraps(function)
    def wrapped(req):
        return function(req)
    return wrapped


@http.route("/wrapped-async")
@wrapper
async def wrapped_async(req):
    await asyncio.sleep(0)
    return http.Response(body=seen.get())
"""

LIMITS = {
    "max_body_bytes": 1000,
    "max_headers": 20,
    "max_target_bytes": 300,
    "max_header_bytes": 3000,
    "request_timeout_ms": 300,
    "body_grace_ms": 100,
}


class Asked(NamedTuple):
    """One request; Host and Content-Length are added where ``fields`` lack them."""

    method: str
    target: str
    fields: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None


def _get(*targets: str) -> list[Asked]:
    return [Asked("GET", target) for target in targets]


def _with(*fields: tuple[str, str]) -> Asked:
    return Asked("GET", "/", fields)


_HEADERS = [
    *("several", "list", "split", "name", "snow", "latin", "length", "wrong-length", "no-length", "coding"),
    *("close", "server", "type", "empty"),
]

REQUESTS: list[Asked] = [
    # Targets
    *_get("/", "/sync", "/any", "/users/7", "/users/me", "/users/7/books/9", "/files/a", "/files/a/b/c"),
    *_get("/users/", "/users", "/users/7/", "/files/", "/slash/", "/slash", "//", "//users/7", "/nothing"),
    *_get("/users/a%20b", "/users/a%2Fb", "/users/%E2%98%83", "/users/%ff", "/users/%zz", "/users/%4", "/%"),
    *_get(
        "/users/a+b",
        "/users/..",
        "/users/.",
        "/files/../secret",
        "/users/a;b=c",
        "/users/a:b@c",
        "/us%65rs/7",
    ),
    *_get(
        "/?a=1&b=2", "/?a=1&a=2", "/?a=", "/?a", "/?", "/?a=%20+%2B", "/?%E2%98%83=%ff", "/?a=1?b=2", "/?&&"
    ),
    *_get(
        "/users/7?id=8",
        "/sync?x=%zz",
        "/#part",
        "/users/7#part",
        "users/7",
        "?a=1",
        "*",
        "http://there/users/7",
    ),
    *_get(
        "http://there",
        "HTTPS://there/sync?a=1",
        "http:///sync",
        "ftp://there/",
        "/" + "a" * 299,
        "/" + "a" * 300,
    ),
    # Methods
    *[
        Asked(method, "/")
        for method in ("HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW")
    ],
    *[Asked(method, "/any") for method in ("HEAD", "OPTIONS", "POST", "BREW")],
    *[Asked(method, "/users/7/books/9") for method in ("HEAD", "OPTIONS", "PATCH", "POST")],
    *[Asked(method, "/nothing") for method in ("HEAD", "OPTIONS", "POST")],
    *[Asked("OPTIONS", "*"), Asked("CONNECT", "there:443"), Asked("CONNECT", "/"), Asked("HEAD", "/sync")],
    # Bodies
    *[Asked("POST", "/", body=body) for body in (b"", b"text", bytes(range(256)), b"x" * 1000, b"x" * 1001)],
    *[Asked("POST", "/sync", body=body) for body in (b"", b"text", b"x" * 1001)],
    Asked("PUT", "/", (("Content-Type", "application/json"),), b'{"a": 1}'),
    Asked("GET", "/", body=b"with a GET"),
    Asked("POST", "/", (("Transfer-Encoding", "chunked"),), b"4\r\ntext\r\n0\r\n\r\n"),
    Asked("POST", "/", (("Transfer-Encoding", "chunked"),), b"4;a=b\r\ntext\r\n0\r\nX-Sum: 1\r\n\r\n"),
    Asked("POST", "/", (("Transfer-Encoding", "chunked"),), b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n"),
    Asked("POST", "/", (("Transfer-Encoding", "chunked"),), b"nonsense\r\n"),
    Asked("POST", "/", (("Transfer-Encoding", "gzip"),), b"text"),
    Asked("POST", "/", (("Transfer-Encoding", "chunked"), ("Content-Length", "4")), b"text"),
    Asked("POST", "/", (("Content-Length", "9999"),), b"text"),
    Asked("POST", "/", (("Content-Length", "5"),), b"four"),
    Asked("POST", "/", (("Content-Length", "+4"),), b"four"),
    Asked("POST", "/", (("Content-Length", "4"), ("Content-Length", "4")), b"four"),
    Asked("POST", "/", (("Expect", "100-continue"),), b"text"),
    Asked("POST", "/", (("Expect", "a miracle"),), b"text"),
    # Fields
    _with(("X-One", "1"), ("x-one", "2")),
    _with(("Cookie", "a=1"), ("Cookie", "b=2")),
    _with(("X-Spaces", "  in the middle  ")),
    _with(("X-Latin", "caf\u00e9")),
    _with(("X-Control", "a\x01b")),
    _with(("X-Nul", "a\x00b")),
    _with(("X Space", "1")),
    _with(("", "no name")),
    _with(("Host", "other.example:8080")),
    _with(("Host", "user@there")),
    _with(("Host", "a"), ("Host", "b")),
    _with(("Connection", "close")),
    _with(("Connection", "keep-alive, x")),
    _with(("Upgrade", "websocket"), ("Connection", "upgrade")),
    _with(*[(f"X-{number}", "1") for number in range(19)]),
    _with(*[(f"X-{number}", "1") for number in range(20)]),
    _with(("X-Long", "a" * 2900)),
    _with(("X-Long", "a" * 3000)),
    _with(("X-Forwarded-For", "203.0.113.9")),
    _with(("X-Forwarded-For", "203.0.113.9, 127.0.0.1")),
    _with(("X-Forwarded-For", "nonsense")),
    # Chains
    *_get("/guard/sync", "/guard/async", "/guard/in", "/guard/nonsense", "/guard/raises"),
    *_get("/wrap/on", "/wrap/nothing", "/wrap/raises", "/wrap/short", "/wrapped-async", "/slow"),
    # Answers
    *_get(
        "/status/204",
        "/status/205",
        "/status/304",
        "/status/404",
        "/status/299",
        "/status/99",
        "/status/1000",
    ),
    *_get("/sync-status/204", "/sync-status/500", "/sync-status/x"),
    *[Asked("HEAD", "/status/200"), Asked("HEAD", "/status/304"), Asked("POST", "/status/201", body=b"x")],
    *_get(*[f"/returns/{what}" for what in ("none", "text", "number", "type")]),
    *_get(*[f"/sync-returns/{what}" for what in ("none", "text", "type")]),
    *_get(*[f"/raises/{what}" for what in ("value", "lookup", "exit", "cancelled")]),
    *_get(*[f"/sync-raises/{what}" for what in ("value", "lookup", "exit", "stop")]),
    *_get(*[f"/headers/{which}" for which in _HEADERS]),
    *_get(*[f"/sync-headers/{which}" for which in ("several", "split", "coding", "wrong-length")]),
]
