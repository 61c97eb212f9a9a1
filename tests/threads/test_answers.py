"""Every row of the table of answers, over real sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from siphon.journal import journal
from tests.client import request

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.client import Answer
    from tests.service import Service

SCRIPT = """
    import asyncio
    import json
    import threading
    from siphon import http

    seen = []
    entered = threading.Event()
    gate = threading.Event()

    @http.middleware
    async def guard(req):
        seen.append((req.method, req.path))

    @http.route("/hello")
    async def hello(req):
        return http.Response(headers={"X-Method": req.method}, body="hello")

    @http.route("/sync")
    def sync(req):
        return http.Response(body="sync")

    @http.route("/items/{id}", methods=["GET", "DELETE"])
    async def item(req):
        return http.Response(body=req.path_params["id"])

    @http.route("/own-options", methods=["OPTIONS", "HEAD"])
    async def own_options(req):
        return http.Response(headers={"X-Own": req.method}, body="own")

    @http.route("/boom")
    async def boom(req):
        raise ValueError("secret")

    @http.route("/sync-boom")
    def sync_boom(req):
        raise ValueError("secret")

    @http.route("/quote", methods=["POST"])
    async def quote(req):
        raise ValueError(f"no such name: {json.loads(req.body())}")

    class Hollow(http.Response):
        def __init__(self):
            pass

    @http.route("/hollow")
    async def hollow(req):
        return Hollow()

    @http.route("/sync-hollow")
    def sync_hollow(req):
        return Hollow()

    @http.route("/none")
    async def none(req):
        return None

    @http.route("/sync-none")
    def sync_none(req):
        return "text"

    @http.route("/split")
    async def split(req):
        return http.Response(headers={"X-Bad": "a\\r\\nSet-Cookie: b"})

    @http.route("/sync-split")
    def sync_split(req):
        return http.Response(headers={"X-Bad": "a\\r\\nSet-Cookie: b"})

    @http.route("/never")
    async def never(req):
        await asyncio.Event().wait()

    @http.route("/wait")
    def wait(req):
        entered.set()
        assert gate.wait(20)
        return http.Response(body="waited")

    @http.route("/echo", methods=["*"])
    async def echo(req):
        return http.Response(headers={"X-Method": req.method}, body=req.body())
"""


def assert_plain(answer: Answer) -> None:
    """What all of siphon's own answers with a body have in common."""
    assert answer.get("content-type") == "text/plain; charset=utf-8"
    assert answer.get("content-length") == str(len(answer.body))
    assert answer.body.endswith(b"\n")


# Rows that leave the connection usable -----------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "target", "status", "body"),
    [
        ("GET", "/hello", 200, b"hello"),
        ("GET", "/sync", 200, b"sync"),
        ("GET", "/nope", 404, b"not found\n"),
        ("POST", "/hello", 405, b"method not allowed\n"),
        ("GET", "/boom", 500, b"handler error\n"),
        ("GET", "/sync-boom", 500, b"handler error\n"),
        ("GET", "/none", 500, b"bad response\n"),
        ("GET", "/sync-none", 500, b"bad response\n"),
        ("GET", "/split", 500, b"handler error\n"),
        ("GET", "/sync-split", 500, b"handler error\n"),
        ("HEAD", "/hello", 200, b""),
        ("OPTIONS", "/hello", 204, b""),
        ("OPTIONS", "*", 204, b""),
        ("CONNECT", "other:443", 405, b"method not allowed\n"),
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
        assert answer.get("connection") is None
        if status >= 400:
            assert_plain(answer)
        assert client.get("/hello").body == b"hello"
    assert service.module.seen == [(method, target), ("GET", "/hello")]


@pytest.mark.parametrize(
    ("method", "target", "status", "allow"),
    [
        ("POST", "/hello", 405, "GET, HEAD, OPTIONS"),
        ("get", "/hello", 405, "GET, HEAD, OPTIONS"),
        ("PATCH", "/items/7", 405, "DELETE, GET, HEAD, OPTIONS"),
        ("OPTIONS", "/items/7", 204, "DELETE, GET, HEAD, OPTIONS"),
        ("GET", "/own-options", 405, "HEAD, OPTIONS"),
    ],
)
def test_allow_names_what_the_path_takes(
    serve: Callable[..., Service], method: str, target: str, status: int, allow: str
) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        answer = client.get(target, method=method)
        assert (answer.status, answer.get("allow")) == (status, allow)
        if status == 204:
            assert answer.get("content-length") is None


@pytest.mark.parametrize("target", ["/hello", "/nope", "/boom"])
def test_head_is_the_same_as_get_without_the_body(serve: Callable[..., Service], target: str) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        get, head = client.get(target), client.get(target, method="HEAD")
        assert (head.status, head.body) == (get.status, b"")
        kept = {"content-length", "content-type", "server"}
        assert [f for f in head.fields if f[0] in kept] == [f for f in get.fields if f[0] in kept]
        if target == "/hello":
            assert head.get("x-method") == "HEAD"


@pytest.mark.parametrize("method", ["OPTIONS", "HEAD"])
def test_a_handler_of_its_own_takes_the_place_of_the_automatic_answer(
    serve: Callable[..., Service], method: str
) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        answer = client.get("/own-options", method=method)
        assert (answer.status, answer.get("x-own")) == (200, method)


def test_a_header_that_cannot_be_sent_is_named_in_the_log(
    serve: Callable[..., Service], capfd: pytest.CaptureFixture[str]
) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        assert client.get("/split").get("set-cookie") is None
    assert journal.flush(5)
    assert "GET /split: header 'X-Bad'" in capfd.readouterr().err


def test_a_page_shows_what_a_client_has_sent_even_if_it_is_no_text(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, dev=True)
    with service.connect(timeout_s=5) as client:
        answer = client.get("/quote", "Content-Type: application/json", method="POST", body=b'"\\ud800"')
    assert answer.status == 500
    assert b"no such name: \\ud800" in answer.body


@pytest.mark.parametrize("target", ["/hollow", "/sync-hollow"])
def test_a_response_that_cannot_be_encoded_is_500_at_once(
    serve: Callable[..., Service], target: str, capfd: pytest.CaptureFixture[str]
) -> None:
    service = serve(SCRIPT)
    with service.connect(timeout_s=5) as client:
        answer = client.get(target)
        assert (answer.status, answer.body) == (500, b"handler error\n")
        assert client.get("/hello").status == 200
    assert journal.flush(5)
    log = capfd.readouterr().err
    assert f"error   GET {target}: Traceback" in log
    assert "AttributeError" in log
    assert "bug in siphon" not in log


@pytest.mark.parametrize("dev", [False, True])
@pytest.mark.parametrize("target", ["/boom", "/sync-boom"])
def test_the_traceback_is_in_the_log_and_in_the_page_only_in_development(
    serve: Callable[..., Service], target: str, dev: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    service = serve(SCRIPT, dev=dev)
    with service.connect() as client:
        answer = client.get(target)
        assert answer.status == 500
        assert_plain(answer)
        assert answer.body.startswith(b"handler error\n")
        assert (b'raise ValueError("secret")' in answer.body) is dev
        assert (b"app.py" in answer.body) is dev
        assert b"siphon/threads" not in answer.body
    assert journal.flush(5)
    assert 'raise ValueError("secret")' in capfd.readouterr().err


@pytest.mark.parametrize("target", ["/never", "/wait"])
def test_a_slow_handler_gets_504_and_the_connection_goes_on(
    serve: Callable[..., Service], target: str
) -> None:
    service = serve(SCRIPT, request_timeout_ms=250)
    with service.connect() as client:
        answer = client.get(target)
        assert answer.status == 504
        assert_plain(answer)
        service.module.gate.set()
        assert client.get("/hello").body == b"hello"


# Capacity ----------------------------------------------------------------------------------------


def test_more_than_max_in_flight_is_refused_until_work_has_ended(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, max_in_flight=2, loops=1)
    with service.connect() as first, service.connect() as second, service.connect() as client:
        first.send(request("/wait"))
        assert service.module.entered.wait(5)
        service.module.entered.clear()
        second.send(request("/wait"))
        assert service.module.entered.wait(5)
        for target in ("/hello", "/sync"):
            answer = client.get(target)
            assert (answer.status, answer.get("retry-after")) == (503, "1")
            assert_plain(answer)
        service.module.gate.set()
        assert first.answer().body == second.answer().body == b"waited"
        while client.get("/hello").status == 503:  # the answer goes out a moment before its place is free
            continue
    assert ("GET", "/sync") not in service.module.seen


LANE = """
    import threading
    from siphon import http

    entered = threading.Semaphore(0)
    gate = threading.Event()

    @http.route("/wait")
    def wait(req):
        entered.release()
        assert gate.wait(20)
        return http.Response(body="waited")

    @http.route("/hello")
    async def hello(req):
        return http.Response(body="hello")
"""


def test_more_than_may_wait_for_a_blocking_worker_is_refused(serve: Callable[..., Service]) -> None:
    service = serve(LANE, blocking_min=1, blocking_max=2, blocking_queue_max=3)
    clients = [service.connect() for _ in range(8)]
    for client in clients[:2]:
        client.send(request("/wait"))
        assert service.module.entered.acquire(timeout=5)
    for client in clients[2:]:
        client.send(request("/wait"))
    refused = [clients[5].answer(), clients[6].answer(), clients[7].answer()]
    assert [(answer.status, answer.get("retry-after")) for answer in refused] == [(503, "1")] * 3
    assert_plain(refused[0])
    assert clients[7].get("/hello").body == b"hello"  # the other lane is not full
    service.module.gate.set()
    assert [client.answer().body for client in clients[:5]] == [b"waited"] * 5
    assert clients[6].get("/wait").body == b"waited"
    for client in clients:
        client.close()


@pytest.mark.parametrize("guard", ["", "@http.middleware\n    async def guard(req):\n        pass\n"])
def test_a_timed_out_sync_handler_keeps_its_place_until_it_has_ended(
    serve: Callable[..., Service], guard: str
) -> None:
    service = serve(f"{LANE}\n    {guard}", max_in_flight=1, request_timeout_ms=250)
    with service.connect() as client:
        assert client.get("/wait").status == 504
        assert client.get("/hello").status == 503
        service.module.gate.set()
        # 504: on a machine that is busy elsewhere.
        while (answer := client.get("/hello")).status in (503, 504):
            continue
        assert answer.body == b"hello"


# Rows that end the connection --------------------------------------------------------------------

LIMITS = {
    "max_body_bytes": 10,
    "max_header_bytes": 1_000,
    "max_headers": 5,
    "max_target_bytes": 100,
    "header_timeout_ms": 250,
    "body_grace_ms": 250,
    "min_body_bytes_per_s": 1_000_000,
}
REFUSALS = {
    "declared over the cap": (413, request("/echo", "Content-Length: 11", method="POST")),
    "declared and sent over the cap": (413, request("/echo", method="POST", body=bytes(5_000))),
    "chunked over the cap": (
        413,
        request("/echo", "Transfer-Encoding: chunked", method="POST") + b"6\r\nabcdef\r\n6\r\n",
    ),
    "one chunk over the cap": (413, request("/echo", "Transfer-Encoding: chunked", method="POST") + b"b\r\n"),
    "declared over the cap with an Expect": (
        413,
        request("/echo", "Expect: 100-continue", "Content-Length: 11", method="POST"),
    ),
    "an unknown expectation": (417, request("/echo", "Expect: payment", method="POST", body=b"a")),
    "a large head": (431, request("/hello", f"X: {'x' * 1_000}")),
    "many fields": (431, request("/hello", *["X: y"] * 5)),
    "a long target": (414, request(f"/{'x' * 100}")),
    "no end of a head": (408, b"GET /hello HTTP/1.1\r\nHost: a\r\n"),
    "no end of a request line": (408, b"GET /hel"),
    "no end of a body": (408, request("/echo", "Content-Length: 10", method="POST") + b"a"),
    "a bad request line": (400, b"GET  /hello HTTP/1.1\r\nHost: a\r\n\r\n"),
    "no Host": (400, b"GET /hello HTTP/1.1\r\n\r\n"),
    "two framings": (
        400,
        request("/echo", "Content-Length: 1", "Transfer-Encoding: chunked", method="POST"),
    ),
    "a bad chunk": (400, request("/echo", "Transfer-Encoding: chunked", method="POST") + b"x\r\n"),
    "a bad escape": (400, request("/%zz")),
    "an escape that is no UTF-8": (400, request("/items/%ff")),
    "another version": (505, b"GET /hello HTTP/3.0\r\nHost: a\r\n\r\n"),
    "bytes that are no HTTP": (400, b"\x17\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
}


@pytest.mark.parametrize("target", ["/%zz", "/echo"])
def test_a_refusal_of_head_has_no_body(serve: Callable[..., Service], target: str) -> None:
    service = serve(SCRIPT, max_body_bytes=10)
    fields = ("Content-Length: 11",) if target == "/echo" else ()
    with service.connect() as client:
        client.send(request(target, *fields, method="HEAD"))
        answer = client.read_to_end()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 " if fields else b"HTTP/1.1 400 ")
    assert b"Content-Length: " in head
    assert body == b""


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_plain_text_and_the_last_answer(serve: Callable[..., Service], name: str) -> None:
    service = serve(SCRIPT, **LIMITS)
    status, raw = REFUSALS[name]
    with service.connect() as client:
        client.send(raw)
        answer = client.answer()
        assert (answer.status, answer.get("connection"), answer.interim) == (status, "close", ())
        assert_plain(answer)
        client.send(request("/hello"))
        assert client.read_to_end() == b""
    with service.connect() as client:
        assert client.get("/sync").body == b"sync"
    # No middleware has seen it, nor what followed it.
    assert service.module.seen == [("GET", "/sync")]


def test_limits_are_reached_before_they_are_passed(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, **LIMITS)
    with service.connect() as client:
        assert client.get("/echo", method="POST", body=bytes(10)).body == bytes(10)
        client.send(request("/echo", "Transfer-Encoding: chunked", method="POST"))
        client.send(b"5\r\nabcde\r\n5\r\nabcde\r\n0\r\n\r\n")
        assert client.answer().body == b"abcdeabcde"
        assert client.get("/hello", *["X: y"] * 4).status == 200
        assert client.get(f"/{'x' * 99}").status == 404
        head_bytes = len(request("/hello", "X: "))
        assert client.get("/hello", f"X: {'x' * (1_000 - head_bytes)}").status == 200


# Expect ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("expectation", ["100-continue", "100-CONTINUE"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_welcome_is_asked_for(
    serve: Callable[..., Service], chunked: bool, expectation: str
) -> None:
    service = serve(SCRIPT)
    framing = "Transfer-Encoding: chunked" if chunked else "Content-Length: 4"
    with service.connect() as client:
        client.send(request("/echo", f"Expect: {expectation}", framing, method="PUT"))
        interim = b"HTTP/1.1 100 Continue\r\n\r\n"
        assert client.sock.recv(100) == interim
        client.send(b"4\r\nbody\r\n0\r\n\r\n" if chunked else b"body")
        answer = client.answer()
        assert (answer.status, answer.body, answer.interim) == (200, b"body", ())
        assert client.get("/hello").body == b"hello"


def test_a_body_that_is_there_already_is_not_asked_for(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        answer = client.get("/echo", "Expect: 100-continue", method="PUT", body=b"body")
        assert (answer.body, answer.interim) == (b"body", ())


def test_an_expectation_without_a_body_changes_nothing(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        answer = client.get("/hello", "Expect: 100-continue")
        assert (answer.body, answer.interim) == (b"hello", ())
