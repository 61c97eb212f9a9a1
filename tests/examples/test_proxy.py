"""examples/proxy.py: over sockets, in front of a real upstream, and without a listener."""

from __future__ import annotations

import json
import socket
import threading
from typing import TYPE_CHECKING

import h11
import pytest

from siphon import http
from siphon.testing import HttpTestHarness, MockResponse
from tests.curl import commands, first_lines
from tests.examples.serving import EXAMPLES, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.client import Client
    from tests.service import Service

SCRIPT = EXAMPLES / "proxy.py"

ECHO = """
import json
from siphon import http

@http.route("/", methods=["*"])
@http.route("/{*rest}", methods=["*"])
def echo(req):
    seen = {"method": req.method, "path": req.raw_path, "query": req.raw_query, "headers": req.headers}
    return http.Response(
        int(req.header("x-status") or 200),
        [("X-Seen", json.dumps(seen)), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")],
        req.body(),
    )
"""


class Upstream:
    """Answers the first request of each connection with given bytes; remembers the heads it got."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.heads: list[h11.Request] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(30)
                self._take(connection)
                connection.sendall(self._answer)

    def _take(self, connection: socket.socket) -> None:
        reader = h11.Connection(h11.SERVER)
        while not isinstance(event := reader.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                reader.receive_data(connection.recv(65_536))
            elif isinstance(event, h11.Request):
                self.heads.append(event)

    def close(self) -> None:
        """Ends the thread."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(30)


@pytest.fixture
def canned() -> Iterator[Callable[[bytes], Upstream]]:
    running: list[Upstream] = []

    def start(answer: bytes) -> Upstream:
        running.append(Upstream(answer))
        return running[-1]

    yield start
    for one in running:
        one.close()


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[Callable[[int], Client]]:
    """Serves the proxy in front of a port, and connects to it."""
    running = []

    def start(port: int) -> Client:
        running.append(serving("proxy.py", tmp_path, {"UPSTREAM_URL": f"http://127.0.0.1:{port}"}))
        return running[-1].__enter__().connect()

    yield start
    for one in running:
        one.__exit__(None, None, None)


def test_the_documented_commands_are_answered_as_they_should_be(
    tmp_path: Path, proxied: Callable[[int], Client]
) -> None:
    with serving("rest_api.py", tmp_path) as upstream:
        proxy = proxied(upstream.ports[0])
        port = proxy.sock.getpeername()[1]
        found = first_lines(commands(SCRIPT), {8080: upstream.ports[0], 8081: port}, cwd=tmp_path)
    assert found == [
        "HTTP/1.1 200 OK",
        "HTTP/1.1 200 OK",
        "HTTP/1.1 201 Created",
        "HTTP/1.1 401 Unauthorized",
        "HTTP/1.1 405 Method Not Allowed",
        "HTTP/1.1 200 OK",
    ]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE"])
def test_method_target_body_and_status_go_through_as_they_are(
    serve: Callable[..., Service], proxied: Callable[[int], Client], method: str
) -> None:
    proxy = proxied(serve(ECHO).port)
    target = "/a%2Fb/%C3%A9//c;d=1?x=1&x=%20&flag&y=+&z=%2f"
    body = bytes(range(256)) * 300 if method in ("POST", "PUT", "PATCH", "PURGE") else None
    answer = proxy.get(target, "X-Status: 418", method=method, body=body)
    seen = json.loads(answer.get("x-seen") or "")
    assert (answer.status, answer.body) == (418, body or b"")
    assert (seen["method"], f"{seen['path']}?{seen['query']}") == (method, target)


def test_head_is_relayed_as_head_with_the_length_of_get(
    serve: Callable[..., Service], proxied: Callable[[int], Client]
) -> None:
    app = """
        from siphon import http
        @http.route("/")
        def page(req):
            return http.Response(body="hello")
        """
    answer = proxied(serve(app).port).get("/", method="HEAD")
    assert (answer.status, answer.get("content-length"), answer.body) == (200, "5", b"")


def test_several_cookies_stay_several(
    serve: Callable[..., Service], proxied: Callable[[int], Client]
) -> None:
    answer = proxied(serve(ECHO).port).get("/")
    assert [value for name, value in answer.fields if name == "set-cookie"] == ["a=1", "b=2"]


def test_the_fields_of_one_hop_go_no_further(
    serve: Callable[..., Service], proxied: Callable[[int], Client]
) -> None:
    answer = proxied(serve(ECHO).port).get(
        "/",
        "Connection: keep-alive, X-Mine, x-other",
        "X-Mine: 1",
        "X-Other: 2",
        "Keep-Alive: timeout=5",
        "Proxy-Authorization: Basic eDp5",
        "Proxy-Connection: keep-alive",
        "TE: trailers",
        "Trailer: X-Sum",
        "Upgrade: h2c",
        "X-Kept: 3",
    )
    headers = json.loads(answer.get("x-seen") or "")["headers"]
    assert headers["x-kept"] == "3"
    gone = {"x-mine", "x-other", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer"}
    assert not gone & set(headers)
    assert "upgrade" not in headers


def test_the_upstream_s_fields_of_one_hop_go_no_further(
    canned: Callable[[bytes], Upstream], proxied: Callable[[int], Client]
) -> None:
    upstream = canned(
        b"HTTP/1.1 203 Fine\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\n"
        b"Proxy-Authenticate: Basic\r\nTrailer: X-Sum\r\nUpgrade: h2c\r\nX-Kept: 3\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"
    )
    proxy = proxied(upstream.port)
    answer = proxy.get("/")
    assert (answer.status, answer.body, answer.get("x-kept")) == (203, b"hello", "3")
    names = {name for name, _ in answer.fields}
    gone = {"x-mine", "keep-alive", "proxy-authenticate", "trailer", "upgrade", "connection", "x-sum"}
    assert not gone & names
    assert answer.get("content-length") == "5"
    # The upstream's "close" was for its own connection: this one goes on.
    assert proxy.get("/").status == 203


def test_a_compressed_body_is_passed_on_as_it_is(
    canned: Callable[[bytes], Upstream], proxied: Callable[[int], Client]
) -> None:
    upstream = canned(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\nConnection: close\r\n\r\nzzzz"
    )
    answer = proxied(upstream.port).get("/", "Accept-Encoding: gzip")
    assert (answer.body, answer.get("content-encoding")) == (b"zzzz", "gzip")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((), "127.0.0.1"),
        (("X-Forwarded-For: 192.0.2.7",), "192.0.2.7, 127.0.0.1"),
        (("X-Forwarded-For: 192.0.2.7, 10.0.0.1",), "192.0.2.7, 10.0.0.1, 127.0.0.1"),
        (("X-Forwarded-For: 192.0.2.7", "X-Forwarded-For: 10.0.0.1"), "192.0.2.7, 10.0.0.1, 127.0.0.1"),
    ],
)
def test_who_asks_is_appended_to_x_forwarded_for(
    canned: Callable[[bytes], Upstream],
    proxied: Callable[[int], Client],
    before: tuple[str, ...],
    after: str,
) -> None:
    upstream = canned(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
    proxied(upstream.port).get("/", *before)
    fields = [(name, value.decode()) for name, value in upstream.heads[0].headers]
    assert [value for name, value in fields if name == b"x-forwarded-for"] == [after]
    assert (b"via", "1.1 siphon") in fields
    assert (b"host", f"127.0.0.1:{upstream.port}") in fields


def test_an_upstream_that_is_not_there_is_502(proxied: Callable[[int], Client]) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        answer = proxied(held.getsockname()[1]).get("/")
    assert (answer.status, answer.body) == (502, b"the upstream cannot be reached\n")


def test_an_upstream_that_breaks_off_is_502(
    canned: Callable[[bytes], Upstream], proxied: Callable[[int], Client]
) -> None:
    upstream = canned(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
    assert proxied(upstream.port).get("/", method="POST", body=b"x").status == 502


# Without a listener ------------------------------------------------------------------------------


@pytest.fixture
def harness() -> Iterator[HttpTestHarness]:
    with HttpTestHarness(strict=True) as harness:
        harness.load_script(SCRIPT)
        yield harness


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (http.ConnectError, 502),
        (http.TLSError, 502),
        (http.ProtocolError, 502),
        (http.TimeoutError, 504),
        (http.PoolTimeout, 504),
    ],
)
def test_each_failure_of_the_upstream_has_its_status(
    harness: HttpTestHarness, error: type[Exception], status: int
) -> None:
    harness.client_error("/items", error)
    assert harness.request("GET", "/items").status == status
    assert [level for level, _ in harness.log.messages] == ["warning"]


def test_what_is_sent_upstream_is_what_came(harness: HttpTestHarness) -> None:
    harness.add_response(MockResponse(201, {"Location": "/items/3"}, b"made"))
    response = harness.request(
        "POST",
        "/items?b=2&a",
        headers={"X-Kept": "1", "Expect": "100-continue"},
        body=b"raw",
        client="[2001:db8::1]:9",
    )
    assert (response.status, response.headers["location"], response.body) == (201, "/items/3", b"made")
    (sent,) = harness.sent_requests
    assert (sent["method"], sent["name"], sent["path"], sent["body"]) == (
        "POST",
        "upstream",
        "/items?b=2&a",
        b"raw",
    )
    assert dict(sent["headers"]) == {"x-kept": "1", "x-forwarded-for": "2001:db8::1", "via": "1.1 siphon"}
