"""Every limit of a listener: what it allows is served, and one more is not."""

from __future__ import annotations

import importlib
import socket
import struct
from typing import TYPE_CHECKING, Final

import pytest

from siphon.config.check import Whole, settings_of
from siphon.config.settings import ListenerSettings
from tests.client import request
from tests.stress.leaks import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.service import Service

SCRIPT = """
    import threading

    from siphon import http

    entered = threading.Event()
    gate = threading.Event()

    @http.route("/", methods=["*"])
    @http.route("/{*rest}", methods=["*"])
    async def echo(req):
        return http.Response(body=req.body())

    @http.route("/wait")
    def wait(req):
        entered.set()
        assert gate.wait(20)
        return http.Response(body="waited")
"""
HERE: Final = "tests.threads.test_limits"
DEADLINES: Final = "tests.threads.test_deadlines"
# Every number that a listener can be given, and the test that goes over it.
TESTS: Final = {
    "max_body_bytes": f"{HERE}.test_a_limit_of_a_request_holds_for_what_it_allows_and_not_for_one_more",
    "max_header_bytes": f"{HERE}.test_a_limit_of_a_request_holds_for_what_it_allows_and_not_for_one_more",
    "max_headers": f"{HERE}.test_a_limit_of_a_request_holds_for_what_it_allows_and_not_for_one_more",
    "max_target_bytes": f"{HERE}.test_a_limit_of_a_request_holds_for_what_it_allows_and_not_for_one_more",
    "request_timeout_ms": "tests.threads.test_answers."
    "test_a_slow_handler_gets_504_and_the_connection_goes_on",
    "header_timeout_ms": f"{DEADLINES}.test_a_head_that_drips_in_is_cut_off",
    "min_body_bytes_per_s": f"{DEADLINES}.test_the_rate_counts_what_has_come_so_far",
    "body_grace_ms": f"{DEADLINES}.test_a_body_that_drips_in_is_cut_off",
    "write_timeout_ms": f"{DEADLINES}.test_a_client_that_reads_nothing_is_closed_after_the_write_timeout",
    "keep_alive_timeout_ms": "tests.threads.test_connections."
    "test_an_idle_connection_is_closed_after_the_keep_alive_timeout",
    "keep_alive_requests": f"{HERE}.test_the_last_request_that_a_connection_may_send_closes_it",
    "max_connections": f"{HERE}.test_one_connection_more_than_allowed_waits",
    "backlog": f"{HERE}.test_the_backlog_is_what_is_set_and_one_more_does_not_connect",
}


def test_every_limit_has_its_test() -> None:
    numbers = {name for name, one in settings_of(ListenerSettings).items() if isinstance(one.check, Whole)}
    assert set(TESTS) == numbers
    for path in TESTS.values():
        module, _, name = path.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))


def sized(size: int, *fields: str) -> bytes:
    """A request whose head has ``size`` bytes."""
    empty = request("/", "X: ", *fields)
    return request("/", f"X: {'x' * (size - len(empty))}", *fields)


# For the scanner, and for h11.
WAYS: Final = {"scanned": (), "read by h11": ("Expect: 100-continue",)}


def cases(*fields: str) -> dict[str, tuple[int, bytes, bytes, int]]:
    """By setting: a limit, a request at it, one that is over it by one, and the answer to that."""
    chunked = request("/", "Transfer-Encoding: chunked", method="POST")
    return {
        "max_header_bytes": (300, sized(300, *fields), sized(301, *fields), 431),
        "max_headers": (
            8,
            request("/", *["X: y"] * (7 - len(fields)), *fields),
            request("/", *["X: y"] * (8 - len(fields)), *fields),
            431,
        ),
        "max_target_bytes": (64, request("/" + "a" * 63, *fields), request("/" + "a" * 64, *fields), 414),
        "max_body_bytes": (
            10,
            request("/", *fields, method="POST", body=b"0123456789"),
            request("/", *fields, method="POST", body=b"0123456789a"),
            413,
        ),
        "max_body_bytes, chunked": (
            10,
            chunked + b"5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n",
            chunked + b"5\r\n01234\r\n6\r\n56789a\r\n0\r\n\r\n",
            413,
        ),
    }


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("limit", cases())
def test_a_limit_of_a_request_holds_for_what_it_allows_and_not_for_one_more(
    serve: Callable[..., Service], limit: str, way: str
) -> None:
    value, good, bad, status = cases(*WAYS[way])[limit]
    service = serve(SCRIPT, **{limit.partition(",")[0]: value})
    with service.connect() as client:
        assert client.send(good).answer().status == 200
        answer = client.send(bad).answer()
        assert (answer.status, answer.get("connection")) == (status, "close")
        assert answer.get("content-type") == "text/plain; charset=utf-8"
        assert client.read_to_end() == b""


def test_a_declared_body_over_the_limit_is_refused_before_it_comes(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, max_body_bytes=10)
    for framing, start in (("Content-Length: 11", b""), ("Transfer-Encoding: chunked", b"b\r\n")):
        for expect in ((), ("Expect: 100-continue",)):
            with service.connect() as client:
                answer = client.send(request("/", framing, *expect, method="POST") + start).answer()
                if expect and start:
                    assert answer.interim in ((), (100,))  # the head alone, or with the chunk's size
                else:
                    assert answer.interim == ()
                assert (answer.status, answer.get("connection")) == (413, "close")


def test_the_last_request_that_a_connection_may_send_closes_it(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, keep_alive_requests=2)
    with service.connect() as client:
        client.send(request("/") * 3)
        assert [client.answer().get("connection") for _ in range(2)] == [None, "close"]
        assert client.read_to_end() == b""


def test_one_connection_more_than_allowed_waits(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, max_connections=2)
    with service.connect() as first, service.connect() as second, service.connect() as third:
        second.send(request("/wait"))
        assert service.module.entered.wait(5)
        third.send(request("/")).sock.settimeout(0.25)
        with pytest.raises(TimeoutError):
            third.answer()
        first.close()
        third.sock.settimeout(10)
        assert third.answer().status == 200
        service.module.gate.set()
        assert second.answer().body == b"waited"


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="the system does not tell")
def test_the_backlog_is_what_is_set_and_one_more_does_not_connect(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, max_connections=1, backlog=3)
    listener = service.server.listeners[0].socket
    waiting = []
    with service.connect() as only:
        only.send(request("/wait"))
        assert service.module.entered.wait(5)
        # Linux lets one more wait than the number says.
        waiting = [service.connect() for _ in range(4)]
        info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        assert struct.unpack_from("II", info, 24) == (4, 3)
        with socket.socket() as one_more, pytest.raises(TimeoutError):  # noqa: PT012
            one_more.settimeout(0.2)
            one_more.connect(listener.getsockname())
        service.module.gate.set()
        assert only.answer().body == b"waited"
    for client in waiting:
        assert client.get("/", "Connection: close").status == 200
        client.close()


# Lingering ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("sends_on", [False, True])
def test_a_refused_client_that_stays_is_closed_all_the_same(
    serve: Callable[..., Service], sends_on: bool
) -> None:
    service = serve(SCRIPT)
    acceptor = service.server._acceptors[0]
    with service.connect() as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert client.answer().status == 400
        assert client.read_to_end() == b""  # half-closed: the answer is whole
        assert len(acceptor.connections) == 1
        if sends_on:
            client.sock.settimeout(0.05)
            with pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):  # noqa: PT012 - some send fails
                while True:
                    client.send(b"x")
        assert wait_until(lambda: not acceptor.connections, within_s=6)


def test_a_row_of_refused_requests_does_not_hold_up_other_clients(serve: Callable[..., Service]) -> None:
    """Each refusal lets the next pipelined request go ahead; others must come in between."""
    lane_of_one = {"blocking_min": 1, "blocking_max": 1, "blocking_queue_max": 1}
    service = serve(SCRIPT, keep_alive_requests=10_000, **lane_of_one)
    number = 600  # their answers fit into the receive buffer
    with service.connect() as running, service.connect() as queued, service.connect() as other:
        running.send(request("/wait"))
        assert service.module.entered.wait(5)
        queued.send(request("/wait"))
        assert wait_until(lambda: service.server._lanes.blocking.load == 2)

        def refused_before_another_is_served() -> int:
            with service.connect() as flooding:
                sock = flooding.sock
                assert isinstance(sock, socket.socket)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
                flooding.send(request("/wait") * number)
                sock.recv(1, socket.MSG_PEEK)  # the row has begun
                other.get("/")
                refused = sock.recv(1 << 20, socket.MSG_PEEK).count(b"HTTP/1.1 503 ")
                assert {flooding.answer().status for _ in range(number)} == {503}
                return refused

        assert min(refused_before_another_is_served() for _ in range(10)) < number
        service.module.gate.set()
        assert running.answer().body == queued.answer().body == b"waited"
