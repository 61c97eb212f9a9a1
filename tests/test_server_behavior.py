"""docs/server-behavior.md: each row of the first table is asked of a server, the others name their tests."""

from __future__ import annotations

import ast
import dataclasses
import re
import select
from typing import TYPE_CHECKING

import pytest

from siphon.config.settings import ListenerSettings, Settings, ThreadSettings
from siphon.threads.listener import LINGER_S
from siphon.threads.wheel import TICK_S
from tests.client import request
from tests.command import ROOT
from tests.test_documents import table, tables

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.client import Answer
    from tests.service import Service

PAGE = (ROOT / "docs/server-behavior.md").read_text(encoding="utf-8")
ANSWERS = table(PAGE, "## What siphon answers by itself")

SCRIPT = """
    import asyncio, threading
    from siphon import http

    entered, gate = threading.Event(), threading.Event()

    @http.middleware
    async def guard(req):
        if req.path == "/guard-raises":
            raise ValueError
        return 1 if req.path == "/guard" else None

    @http.middleware
    async def wrap(req, call_next):
        return None if req.path == "/wrap" else await call_next(req)

    @http.route("/", methods=["GET", "POST"])
    async def hello(req):
        return http.Response(body="hello")

    @http.route("/raises")
    async def raises(req):
        raise ValueError

    @http.route("/none")
    async def none(req):
        pass

    @http.route("/split")
    async def split(req):
        return http.Response(headers={"X-Bad": "a\\r\\nX: b"})

    @http.route("/never")
    async def never(req):
        await asyncio.Event().wait()

    @http.route("/wait")
    def wait(req):
        entered.set()
        assert gate.wait(20)
        return http.Response(body="waited")

    @http.route("/items/{id}")
    async def item(req):
        return http.Response()
"""
LIMITS = {
    "max_body_bytes": 10,
    "max_header_bytes": 1_000,
    "max_headers": 5,
    "max_target_bytes": 100,
    "header_timeout_ms": 250,
    "body_grace_ms": 250,
    "request_timeout_ms": 250,
    "min_body_bytes_per_s": 1_000_000,
}
# What to send for each row, by the beginning of its case; the rows with 503 have a test of their own.
ASKED = {
    "no pattern matches": [request("/nowhere")],
    "the best matching pattern": [request("/items/1", method="POST")],
    "CONNECT": [request("example.com:443", method="CONNECT")],
    "OPTIONS where": [request("/", method="OPTIONS"), request("*", method="OPTIONS")],
    "HEAD where": [request("/", method="HEAD")],
    "a handler raises": [request("/raises")],
    "a middleware raises": [request("/guard-raises")],
    "a handler returns": [request("/none")],
    "a guard returns": [request("/guard")],
    "a wrap-around returns": [request("/wrap")],
    "a response has": [request("/split")],
    "a handler takes": [request("/never")],
    "a body is welcome": [request("/", "Expect: 100-continue", "Content-Length: 1", method="POST")],
    "a request that breaks": [b"GET / HTTP/1.1\nHost: a\n\n", b"GET / HTTP/1.1\r\n\r\n", b"\x00"],
    "a path with": [request("/items/%zz"), request("/items/%ff")],
    "a head that is not": [b"GET / HTTP/1.1\r\nHost: a\r\n"],
    "a body that is slower": [request("/", "Content-Length: 9", method="POST") + b"a"],
    "a body over": [
        request("/", "Content-Length: 11", method="POST"),
        request("/", "Transfer-Encoding: chunked", method="POST") + b"b\r\n",
    ],
    "a target over": [request("/" + "x" * 100)],
    "an expectation": [request("/", "Expect: payment", method="POST", body=b"a")],
    "a head over": [request("/", f"X: {'x' * 1_000}")],
    "more than": [request("/", *["X: y"] * 5)],
    "a major version": [b"GET / HTTP/3.0\r\nHost: a\r\n\r\n"],
}


def asked_for(case: str) -> list[bytes]:
    """What to send for a row; none where it has a test of its own."""
    return next((sent for beginning, sent in ASKED.items() if case.startswith(beginning)), [])


@pytest.mark.parametrize("row", [row for row in ANSWERS if row[1] != "503"], ids=lambda row: row[0][:40])
def test_each_case_is_answered_as_the_table_says(serve: Callable[..., Service], row: list[str]) -> None:
    case, status, body, connection = row
    limited = serve(SCRIPT, **LIMITS)
    messages = asked_for(case)
    assert messages, f"nobody asks for {case!r}"
    for message in messages:
        with limited.connect() as client:
            client.send(message)
            if status.startswith("100"):
                assert client.sock.recv(1_000).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
                client.send(b"a")
            method = message.partition(b" ")[0]
            answer = client.answer(method.decode() if method.isalpha() else "GET")
            assert answer.status == (int(status) if status.isdigit() else 200)
            check_body(answer, body)
            assert answer.get("connection") == ("close" if connection == "closed" else None)
            if connection == "closed":
                assert client.read_to_end() == b""
            else:
                assert client.get("/").body == b"hello"
            if "`Allow`" in case:
                assert answer.get("allow")


def check_body(answer: Answer, shown: str) -> None:
    """Holds an answer's body to a cell of the table: literal text, with N for a number, or words."""
    if shown in ("none", "dropped"):
        assert answer.body in (b"", b"hello")
        return
    assert answer.get("content-type") == "text/plain; charset=utf-8"
    pattern = re.escape(shown.strip("`")).replace("\\ N\\ ", r"\ [0-9]+\ ") if shown[0] == "`" else "[^\n]+"
    assert re.fullmatch(f"{pattern}\n", answer.body.decode())


@pytest.mark.parametrize(
    "settings", [{"max_in_flight": 1}, {"blocking_min": 1, "blocking_max": 1, "blocking_queue_max": 1}]
)
def test_over_capacity_is_503_as_the_table_says(
    serve: Callable[..., Service], settings: dict[str, int]
) -> None:
    service = serve(SCRIPT, **settings)
    rows = [row for row in ANSWERS if row[1] == "503" and "`threads." in row[0]]
    assert [next(iter(re.findall(r"threads\.(\w+)", row[0]))) for row in rows] == [
        "max_in_flight",
        "blocking_queue_max",
    ]
    with service.connect() as first, service.connect() as second, service.connect() as third:
        first.send(request("/wait"))
        assert service.module.entered.wait(20)
        second.send(request("/wait"))
        if "blocking_queue_max" in settings:
            third.send(request("/wait"))
        # Which of the two comes first and waits, and which is refused, is not for the test to say.
        answered, _, _ = select.select([second.sock, third.sock], [], [], 20)
        answer = (second if second.sock in answered else third).answer()
        assert (answer.status, answer.get("retry-after"), answer.get("connection")) == (503, "1", None)
        check_body(answer, rows[0][2])
        service.module.gate.set()
        assert first.answer().body == b"waited"


def test_bodies_past_the_bound_are_503_as_the_table_says(serve: Callable[..., Service]) -> None:
    (row,) = [row for row in ANSWERS if "`max_buffered_bytes`" in row[0]]
    with serve(SCRIPT, max_buffered_bytes=3).connect() as client:
        answer = client.get("/", method="POST", body=b"four")
        assert (answer.status, answer.get("retry-after"), answer.get("connection")) == (503, "1", "close")
        check_body(answer, row[2])


def test_every_case_that_is_asked_is_in_the_table() -> None:
    cases = [case for case, *_ in ANSWERS]
    assert not [beginning for beginning in ASKED if not any(case.startswith(beginning) for case in cases)]


def test_every_test_that_a_row_names_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)
    assert len(named) > 25
    for path, name in named:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert not name or name in functions, f"{path} has no {name}"
    for header, rows in zip(re.findall(r"^(\|.+\|)\n\|-", PAGE, re.MULTILINE), tables(PAGE), strict=True):
        if header.endswith("| held by |"):
            assert all(re.search(r"`tests/", row[-1]) for row in rows)


def test_the_defaults_are_those_of_the_settings() -> None:
    defaults = {
        field.name: field.default
        for section in (ListenerSettings, ThreadSettings, Settings)
        for field in dataclasses.fields(section)
    }
    rows = table(PAGE, "## Timeouts") + table(PAGE, "## Limits")
    assert {row[0].strip("`"): row[1] for row in rows} == {
        row[0].strip("`"): str(defaults[row[0].strip("`")]) for row in rows
    }


def test_every_timeout_and_limit_of_a_listener_is_in_a_table() -> None:
    shown = {row[0].strip("`") for row in table(PAGE, "## Timeouts") + table(PAGE, "## Limits")}
    numbers = {field.name for field in dataclasses.fields(ListenerSettings) if type(field.default) is int}
    assert numbers - shown == {"min_body_bytes_per_s"}  # it is in the row of body_grace_ms


def test_the_times_that_nobody_can_set_are_those_of_the_code() -> None:
    assert LINGER_S == 2.0
    assert "is read for up\nto 2 s" in PAGE
    assert TICK_S == 0.1
    assert "ten times a second" in PAGE
