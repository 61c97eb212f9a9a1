"""One connection and its requests: keep-alive, pipelining, the forms of a target, bodies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.client import request

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.service import Service

SCRIPT = """
    import asyncio
    import threading

    from siphon import http

    served = []
    gate = threading.Event()
    entered = threading.Event()

    @http.route("/hello")
    async def hello(req):
        served.append(req.path)
        return http.Response(body="hello")

    @http.route("/sync/{name}")
    def sync(req):
        served.append(req.path)
        return http.Response(body=req.path_params["name"])

    @http.route("/async/{name}")
    async def asynchronous(req):
        served.append(req.path)
        return http.Response(body=req.path_params["name"])

    @http.route("/wait")
    def wait(req):
        entered.set()
        assert gate.wait(20)
        return http.Response(body="waited")

    @http.route("/never")
    async def never(req):
        await asyncio.Event().wait()

    @http.route("/close")
    async def close(req):
        return http.Response(headers={"Connection": "close"}, body="last")

    @http.route("/echo", methods=["POST"])
    async def echo(req):
        return http.Response(body=req.body())

    @http.route("/sync-echo", methods=["POST"])
    def sync_echo(req):
        return http.Response(body=req.body())

    @http.route("/host")
    async def host(req):
        return http.Response(body=f"{req.header('host')} {req.raw_path} {req.query}")

    @http.route("//double")
    async def double(req):
        return http.Response(body=req.raw_path)
"""

HELLO = request("/hello")


# Keep-alive --------------------------------------------------------------------------------------


def test_a_connection_ends_after_its_last_allowed_request(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, keep_alive_requests=3)
    with service.connect() as client:
        assert [client.get("/hello").get("connection") for _ in range(3)] == [None, None, "close"]
        assert client.read_to_end() == b""


def test_an_idle_connection_is_closed_after_the_keep_alive_timeout(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, keep_alive_timeout_ms=100)
    with service.connect() as client:
        assert client.get("/hello").get("connection") is None
        assert client.read_to_end() == b""


def test_each_request_starts_the_keep_alive_timeout_anew(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, keep_alive_timeout_ms=600)
    with service.connect() as busy, service.connect() as idle:
        idle.get("/hello")
        busy.get("/hello")
        idle.sock.settimeout(0.02)
        while True:  # the idle connection's end tells the time; the busy one asks again and again
            assert busy.get("/hello").status == 200
            try:
                assert idle.read_to_end() == b""
                break
            except TimeoutError:
                continue
        assert busy.get("/hello").status == 200


def test_connection_close_from_the_client_ends_the_connection(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        answer = client.get("/hello", "Connection: close")
        assert (answer.body, answer.get("connection")) == (b"hello", "close")
        assert client.read_to_end() == b""


def test_connection_close_from_the_script_ends_the_connection(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        answer = client.get("/close")
        assert (answer.body, answer.get("connection")) == (b"last", "close")
        assert client.read_to_end() == b""


def test_nothing_after_a_last_request_is_read_as_one(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        client.send(request("/async/a", "Connection: close") + request("/async/b"))
        assert client.answer().body == b"a"
        assert client.read_to_end() == b""
    assert service.module.served == ["/async/a"]


@pytest.mark.parametrize("path", ["/async/a", "/sync/a"])
def test_http_1_0_closes_unless_it_asks_for_more(serve: Callable[..., Service], path: str) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        client.send(f"GET {path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        answer = client.answer()
        assert (answer.body, answer.get("connection")) == (b"a", "keep-alive")
        client.send(f"GET {path} HTTP/1.0\r\n\r\n")
        answer = client.answer()
        assert (answer.body, answer.get("connection")) == (b"a", "close")
        assert client.read_to_end() == b""


# Pipelining --------------------------------------------------------------------------------------


def test_pipelined_requests_are_answered_in_order(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    paths = [f"/{'sync' if number % 3 else 'async'}/{number}" for number in range(60)]
    with service.connect() as client:
        client.send(b"".join(request(path) for path in paths))
        assert [client.answer().body.decode() for _ in paths] == [path.split("/")[2] for path in paths]
    assert service.module.served == paths


def test_pipelined_requests_wait_behind_a_slow_one(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        client.send(request("/wait") + request("/async/a") + request("/sync/b"))
        assert service.module.entered.wait(5)
        assert service.module.served == []
        service.module.gate.set()
        assert [client.answer().body for _ in range(3)] == [b"waited", b"a", b"b"]


def test_a_request_sent_while_one_is_running_is_answered_after_it(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        client.send(request("/wait"))
        assert service.module.entered.wait(5)
        client.send(HELLO[:10])
        with service.connect() as other:  # whose answer shows that the acceptor has read on
            other.get("/hello")
        client.send(HELLO[10:])
        service.module.gate.set()
        assert [client.answer().body for _ in range(2)] == [b"waited", b"hello"]


def test_a_pipelined_request_behind_a_timed_out_one_is_served_at_once(
    serve: Callable[..., Service],
) -> None:
    service = serve(SCRIPT, request_timeout_ms=800, keep_alive_timeout_ms=20_000)
    with service.connect() as client:
        client.send(request("/never") + HELLO)
        assert client.answer().status == 504
        client.sock.settimeout(0.6)  # much less than another deadline
        assert client.answer().status == 200


def test_a_pipelined_request_behind_one_refused_for_capacity_is_served_at_once(
    serve: Callable[..., Service],
) -> None:
    service = serve(SCRIPT, blocking_min=1, blocking_max=1, blocking_queue_max=1)
    with service.connect() as running, service.connect() as queued, service.connect() as client:
        running.send(request("/wait"))
        assert service.module.entered.wait(5)
        queued.send(request("/sync/queued"))
        queued_is_in = service.connect()
        queued_is_in.get("/hello")
        client.send(request("/sync/refused") + HELLO)
        assert client.answer().status == 503
        client.sock.settimeout(0.8)
        assert client.answer().body == b"hello"
        queued_is_in.close()
        service.module.gate.set()
        assert running.answer().body == b"waited"
        assert queued.answer().body == b"queued"


def test_after_much_was_read_ahead_the_connection_is_read_again(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    with service.connect(timeout_s=5) as client:
        client.send(request("/wait"))
        assert service.module.entered.wait(5)
        body = bytes(100_000)  # more than is read ahead of a running request
        client.send(request("/echo", method="POST", body=body))
        with service.connect() as other:
            other.get("/hello")
        service.module.gate.set()
        assert client.answer().body == b"waited"
        assert client.answer().body == body
        assert client.get("/hello").body == b"hello"


def test_a_request_that_ends_where_reading_ahead_stopped_leaves_the_connection_usable(
    serve: Callable[..., Service],
) -> None:
    service = serve(SCRIPT, keep_alive_timeout_ms=20_000)
    with service.connect(timeout_s=3) as client:
        client.send(request("/wait"))
        assert service.module.entered.wait(5)
        # Both reads end at a request's end, and together pass what is read ahead.
        client.send(
            request("/echo", method="POST", body=bytes(65_300)) + request("/hello", f"X: {'x' * 400}")
        )
        for _ in range(3):
            with service.connect() as other:
                other.get("/hello")
        service.module.gate.set()
        assert [client.answer().status for _ in range(3)] == [200, 200, 200]
        assert client.get("/hello").body == b"hello"


@pytest.mark.parametrize("slow", [False, True])
def test_nothing_behind_a_malformed_request_is_read_as_one(serve: Callable[..., Service], slow: bool) -> None:
    service = serve(SCRIPT)
    bad = b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"
    with service.connect() as client:
        client.send(request("/wait" if slow else "/async/first") + bad + HELLO)
        service.module.gate.set()
        assert client.answer().status == 200
        answer = client.answer()
        assert (answer.status, answer.get("connection")) == (400, "close")
        client.send(HELLO)
        assert client.read_to_end() == b""
    assert "/hello" not in service.module.served


def test_a_blank_line_after_a_body_is_neither_a_request_nor_its_beginning(
    serve: Callable[..., Service],
) -> None:
    service = serve(SCRIPT, header_timeout_ms=100, keep_alive_timeout_ms=300)
    with service.connect() as client:
        client.send(request("/echo", method="POST", body=b"a") + b"\r\n" + HELLO + b"\r\n")
        assert [client.answer().body for _ in range(2)] == [b"a", b"hello"]
        assert client.read_to_end() == b""  # and not an unasked-for 408


# Targets -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "status", "body"),
    [
        ("GET http://other:81/host?a=1 HTTP/1.1", 200, b"other:81 /host [('a', '1')]"),
        ("GET http://other/nope HTTP/1.1", 404, b"not found\n"),
        ("OPTIONS * HTTP/1.1", 204, b""),
        ("CONNECT other:443 HTTP/1.1", 405, b"method not allowed\n"),
        ("GET //double HTTP/1.1", 200, b"//double"),
        ("GET /hello/ HTTP/1.1", 404, b"not found\n"),
    ],
)
def test_each_form_of_a_target_is_understood(
    serve: Callable[..., Service], line: str, status: int, body: bytes
) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        client.send(f"{line}\r\nHost: test\r\n\r\n")
        answer = client.answer()
        assert (answer.status, answer.body) == (status, body)
        if status in (204, 405):
            assert answer.get("allow") is not None
        assert client.get("/hello").body == b"hello"


# Bodies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/echo", "/sync-echo"])
@pytest.mark.parametrize("size", [0, 1, 65_536, 1_048_576])
def test_a_body_up_to_the_cap_comes_back(serve: Callable[..., Service], path: str, size: int) -> None:
    service = serve(SCRIPT)
    body = bytes(number % 251 for number in range(size))
    with service.connect() as client:
        assert client.get(path, method="POST", body=body).body == body
        assert client.get("/hello").body == b"hello"


@pytest.mark.parametrize("path", ["/echo", "/sync-echo"])
def test_a_chunked_body_comes_back_whole(serve: Callable[..., Service], path: str) -> None:
    service = serve(SCRIPT)
    pieces = [bytes([65 + number]) * (number * 997 + 1) for number in range(20)]
    with service.connect() as client:
        client.send(request(path, "Transfer-Encoding: chunked", method="POST"))
        for piece in pieces:
            client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        client.send(b"0\r\n\r\n" + HELLO)
        assert client.answer().body == b"".join(pieces)
        assert client.answer().body == b"hello"


def test_a_request_may_arrive_byte_by_byte(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        for byte in request("/echo", method="POST", body=b"hi") + HELLO:
            client.send(bytes([byte]))
        assert [client.answer().body for _ in range(2)] == [b"hi", b"hello"]


def test_a_large_answer_reaches_a_client_that_reads_late(serve: Callable[..., Service]) -> None:
    service = serve(
        """
        from siphon import http

        @http.route("/{size}")
        async def big(req):
            return http.Response(body=b"x" * int(req.path_params["size"]))
        """
    )
    size = 20_000_000
    with service.connect() as slow:
        slow.send(request(f"/{size}") + request("/3"))
        with service.connect() as other:
            assert other.get("/5").body == b"xxxxx"
        assert len(slow.answer().body) == size
        assert slow.answer().body == b"xxx"
        assert slow.get("/2").body == b"xx"
