"""What a handler sees of a request: the same however it was sent, and exactly what was sent."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.client import request
from tests.service import Service
from tests.wire.reading import cut, one_by_one

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = """
    import json

    from siphon import http

    def seen(req):
        return http.Response(body=json.dumps({
            "method": req.method,
            "path": req.path,
            "raw_path": req.raw_path,
            "path_params": req.path_params,
            "query": req.query,
            "headers": req.headers,
            "host": req.host,
            "scheme": req.scheme,
            "body": req.body().decode("latin-1"),
        }))

    @http.route("/async/{name}/{*rest}", methods=["*"])
    async def asynchronous(req):
        return seen(req)

    @http.route("/sync/{name}/{*rest}", methods=["*"])
    def sync(req):
        return seen(req)
"""
CHUNKED = "Transfer-Encoding: chunked"
CASES: dict[str, tuple[bytes, dict[str, Any]]] = {
    "a decoded path": (
        request("/async/caf%C3%A9%2Fx/a+b/%7e/../c?q=1"),
        {
            "path": "/async/café/x/a+b/~/../c",
            "raw_path": "/async/caf%C3%A9%2Fx/a+b/%7e/../c",
            "path_params": {"name": "café/x", "rest": "a+b/~/../c"},
            "query": [["q", "1"]],
        },
    ),
    "a query": (
        request("/sync/a/b?x=1&x=2&e=&f&%C3%A9=%26+%2B&=g"),
        {"query": [["x", "1"], ["x", "2"], ["e", ""], ["f", ""], ["é", "& +"], ["", "g"]]},
    ),
    "repeated fields": (
        request("/async/a/b", "X-A: 1", "Cookie: a=1", "x-a:2", "COOKIE: b=2", "X-A:  3\t"),
        {"headers": {"host": "test", "x-a": "1, 2, 3", "cookie": "a=1; b=2"}},
    ),
    "text beyond ASCII in a field": (
        request("/sync/a/b", "X-A: \xe9\xff"),
        {"headers": {"host": "test", "x-a": "éÿ"}},
    ),
    "a body by its length": (
        request("/async/a/b", method="POST", body=b"a\r\n\r\nb\x00\xff"),
        {"method": "POST", "body": "a\r\n\r\nb\x00\xff"},
    ),
    "a chunked body": (
        request("/sync/a/b", CHUNKED, method="PUT")
        + b"3;x=y\r\nabc\r\nA\r\n0\r\n\r\n56789\r\n0\r\nT: u\r\n\r\n",
        {
            "method": "PUT",
            "body": "abc0\r\n\r\n56789",
            "headers": {"host": "test", "transfer-encoding": "chunked"},
        },
    ),
    "an absolute-form": (
        b"GET http://other:81/async/a/b?c HTTP/1.1\r\nHost: test\r\n\r\n",
        {"host": "other:81", "headers": {"host": "other:81"}, "query": [["c", ""]]},
    ),
    "HTTP/1.0 without a Host": (
        b"GET /sync/a/b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        {"host": "", "headers": {"connection": "keep-alive"}},
    ),
    "fields of a proxy that is not trusted": (
        request("/async/a/b", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil", "Forwarded: host=evil"),
        {"host": "test", "scheme": "http"},
    ),
    "a method of its own": (request("/async/a/b", method="x-Y"), {"method": "x-Y"}),
}


def pieces(raw: bytes, way: str) -> list[bytes]:
    if way == "whole":
        return [raw]
    if way == "by byte":
        return one_by_one(raw)
    if way == "by line":
        return raw.splitlines(keepends=True)
    return cut(raw, [len(raw) // 3, len(raw) // 2, len(raw) - 2])


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    made = Service(SCRIPT, tmp_path_factory.mktemp("arrives") / "script")
    made.start()
    yield made
    made.stop()


@pytest.mark.parametrize("way", ["whole", "by byte", "by line", "in pieces"])
@pytest.mark.parametrize("case", CASES)
def test_a_handler_sees_what_was_sent(service: Service, case: str, way: str) -> None:
    raw, expected = CASES[case]
    with service.connect() as client:
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces(raw, way):
            client.send(piece)
        answer = client.answer()
        assert answer.status == 200
        seen = json.loads(answer.body)
        assert {key: seen[key] for key in expected} == expected
