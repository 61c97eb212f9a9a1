"""Slow clients and full listeners: every deadline is absolute, and nobody is forgotten."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from tests.client import request
from tests.stress.leaks import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from siphon.threads.acceptor import Acceptor
    from tests.client import Client
    from tests.service import Service
    from tests.tls_socket import TlsSocket

SCRIPT = """
    import asyncio
    import threading

    from siphon import http

    entered = threading.Event()
    gate = threading.Event()

    @http.route("/hello")
    async def hello(req):
        return http.Response(body="hello")

    @http.route("/later/{ms}")
    async def later(req):
        await asyncio.sleep(int(req.path_params["ms"]) / 1000)
        return http.Response(body="later")

    @http.route("/wait")
    def wait(req):
        entered.set()
        assert gate.wait(20)
        return http.Response(body="waited")

    @http.route("/echo", methods=["POST"])
    async def echo(req):
        return http.Response(body=req.body())

    @http.route("/big/{size}")
    async def big(req):
        return http.Response(body=b"x" * int(req.path_params["size"]))
"""


def drip(client: Client, data: bytes) -> bytes:
    """Sends a byte every 20 ms, or every second one, until the server says something; what it says."""
    client.sock.settimeout(0.02)
    for byte in data:
        try:
            client.send(bytes([byte]))
            if received := client.sock.recv(4_096):
                return received
        except TimeoutError:
            continue
    raise AssertionError("the server has let everything drip in")


# Reading -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [False, True])
def test_a_head_that_drips_in_is_cut_off(serve: Callable[..., Service], first: bool) -> None:
    service = serve(SCRIPT, header_timeout_ms=200)
    with service.connect() as client:
        if not first:
            client.get("/hello")
        begun = monotonic()
        received = drip(client, request("/hello", f"X: {'x' * 200}"))
        assert received.startswith(b"HTTP/1.1 408 ")
        assert b"Connection: close" in received
        assert monotonic() - begun < 4


def test_a_client_that_never_says_anything_is_closed(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, header_timeout_ms=100)
    with service.connect(timeout_s=5) as client:
        assert client.read_to_end() == b""


@pytest.mark.parametrize(
    "head",
    [
        request("/echo", "Content-Length: 1000", method="POST"),
        request("/echo", "Transfer-Encoding: chunked", method="POST") + b"3e8\r\n",
        # What frames a body buys no time.
        request("/echo", "Transfer-Encoding: chunked", method="POST") + b"3e8;x=",
        request("/echo", "Transfer-Encoding: chunked", method="POST") + b"0\r\nX: ",
    ],
)
def test_a_body_that_drips_in_is_cut_off(serve: Callable[..., Service], head: bytes) -> None:
    service = serve(SCRIPT, body_grace_ms=100, min_body_bytes_per_s=1_000)
    with service.connect() as client:
        client.send(head)
        assert drip(client, bytes(1_000)).startswith(b"HTTP/1.1 408 ")


def test_a_body_within_the_rate_is_waited_for(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, body_grace_ms=100, min_body_bytes_per_s=5)
    with service.connect() as client, service.connect() as clock:
        client.send(request("/echo", "Content-Length: 60", method="POST"))
        for _ in range(6):
            client.send(b"0123456789")  # each buys 2 s
            clock.get("/later/80")
        assert client.answer().body == b"0123456789" * 6


def test_the_rate_counts_what_has_come_so_far(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, body_grace_ms=100, min_body_bytes_per_s=1_000)
    with service.connect() as client:
        begun = monotonic()
        client.send(request("/echo", "Content-Length: 1000", method="POST") + bytes(400))
        assert client.answer().status == 408
        assert 0.49 < monotonic() - begun < 5


def test_a_late_body_does_not_spend_the_time_of_its_handler(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, request_timeout_ms=500)
    with service.connect() as client, service.connect() as clock:
        client.send(request("/echo", "Content-Length: 2", method="POST") + b"a")
        for _ in range(2):
            clock.get("/later/300")
        client.send(b"b")
        assert client.answer().body == b"ab"


# Writing -----------------------------------------------------------------------------------------


def test_a_client_that_reads_nothing_is_closed_after_the_write_timeout(
    serve: Callable[..., Service],
) -> None:
    service = serve(SCRIPT, write_timeout_ms=150)
    with service.connect() as client, service.connect() as clock:
        client.send(request("/big/20000000"))
        clock.get("/later/500")
        assert len(client.read_to_end()) < 20_000_000


def test_a_client_that_reads_slowly_but_steadily_gets_everything(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, write_timeout_ms=600)
    with service.connect() as client, service.connect() as clock:
        client.send(request("/big/24000000"))
        received = 0
        while received < 24_000_000:
            for _ in range(40):
                received += len(client.sock.recv(65_536))
                if received >= 24_000_000:
                    break
            clock.get("/later/100")


@pytest.mark.parametrize("bytes_each_50_ms", [20_000, 400, 0])
def test_a_client_counts_as_reading_as_long_as_its_system_takes_enough(
    serve: Callable[..., Service], bytes_each_50_ms: int
) -> None:
    """A third of what the socket's buffer holds is more than the first takes within the time for a write."""
    service = serve(SCRIPT, write_timeout_ms=700)
    with service.connect() as client, service.connect() as clock:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        client.send(request("/big/6000000"))
        (acceptor,) = service.server._acceptors
        assert wait_until(lambda: is_sending(acceptor))
        received, looks = 0, 0
        while is_sending(acceptor) and looks < (40 if bytes_each_50_ms > 10_000 else 400):
            received += len(read_exactly(client.sock, bytes_each_50_ms))
            clock.get("/later/50")
            looks += 1
        assert is_sending(acceptor) is (bytes_each_50_ms > 10_000)
        if is_sending(acceptor):
            received += len(read_exactly(client.sock, 6_000_000 - received))


def is_sending(acceptor: Acceptor) -> bool:
    return any(one.unsent for one in [*acceptor.connections.values()])


def read_exactly(sock: socket.socket | TlsSocket, size: int) -> bytes:
    """So many bytes, which are on their way."""
    received = bytearray()
    while len(received) < size:
        data = sock.recv(min(65_536, size - len(received)))
        assert data, "the connection was closed"
        received += data
    return bytes(received)


# Room --------------------------------------------------------------------------------------------


def test_the_oldest_idle_connection_makes_room(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, max_connections=3)
    with service.connect() as silent, service.connect() as older, service.connect() as younger:
        older.get("/hello")
        # An answer is out a moment before its time is noted.
        assert wait_until(lambda: service.server._lanes.in_flight() == 0)
        younger.get("/hello")
        with service.connect() as newcomer:
            assert newcomer.get("/hello").body == b"hello"
        assert older.read_to_end() == b""
        assert younger.get("/hello").body == b"hello"
        assert silent.get("/hello").body == b"hello"


def test_who_was_active_since_does_not_make_room(serve: Callable[..., Service]) -> None:
    """Who goes next is known from the first newcomer on, unless it asks for something meanwhile."""
    service = serve(SCRIPT, max_connections=4)
    with ExitStack() as stack:
        oldest, older, old, young = [stack.enter_context(service.connect()) for _ in range(4)]
        for client in (oldest, older, old, young):
            client.get("/hello")
            assert wait_until(lambda: service.server._lanes.in_flight() == 0)
        newcomers = [stack.enter_context(service.connect())]
        assert newcomers[0].get("/hello").body == b"hello"
        assert oldest.read_to_end() == b""
        older.get("/hello")
        newcomers.append(stack.enter_context(service.connect()))
        assert newcomers[1].get("/hello").body == b"hello"
        assert old.read_to_end() == b""
        assert [client.get("/hello").body for client in (older, young)] == [b"hello"] * 2


def test_newcomers_wait_where_nobody_is_idle(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, max_connections=2)
    with service.connect() as busy, service.connect() as silent, service.connect() as newcomer:
        busy.send(request("/wait"))
        assert service.module.entered.wait(5)
        newcomer.send(request("/hello"))
        newcomer.sock.settimeout(0.25)
        with pytest.raises(TimeoutError):
            newcomer.answer()
        newcomer.sock.settimeout(10)
        service.module.gate.set()
        assert busy.answer().body == b"waited"
        assert newcomer.answer().body == b"hello"
        assert busy.read_to_end() == b""  # idle by now, it made room
        assert silent.get("/hello").body == b"hello"


def test_a_connection_in_the_middle_of_a_head_is_not_idle(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, max_connections=2)
    with service.connect() as half, service.connect() as idle:
        half.get("/hello")
        half.send(b"GET /hello HT")
        idle.get("/hello")
        with service.connect() as newcomer:
            assert newcomer.get("/hello").body == b"hello"
        assert idle.read_to_end() == b""
        assert half.send(b"TP/1.1\r\nHost: a\r\n\r\n").answer().body == b"hello"


# Closing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [("Content-Length: 3000000",), ("Transfer-Encoding: chunked",)])
def test_a_client_that_goes_on_sending_still_reads_its_refusal(
    serve: Callable[..., Service], fields: tuple[str, ...]
) -> None:
    service = serve(SCRIPT, max_body_bytes=1_000)
    with service.connect() as client:
        client.send(request("/echo", *fields, method="POST") + b"2dc6c0\r\n" + bytes(3_000_000))
        answer = client.answer()
        assert (answer.status, answer.get("connection")) == (413, "close")
        assert client.read_to_end() == b""
