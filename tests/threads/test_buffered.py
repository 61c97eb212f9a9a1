"""What is buffered of request bodies over all connections: counted, bounded, given back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from siphon.threads.buffered import BufferedBytes
from tests.client import request
from tests.stress.leaks import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.client import Client
    from tests.service import Service

SCRIPT = """
    import asyncio
    import threading

    from siphon import http

    entered = threading.Event()
    gate = threading.Event()

    @http.route("/size", methods=["*"])
    async def size(req):
        return http.Response(body=str(len(req.body())))

    @http.route("/sync-size", methods=["*"])
    def sync_size(req):
        return http.Response(body=str(len(req.body())))

    @http.route("/hold", methods=["*"])
    def hold(req):
        entered.set()
        assert gate.wait(20)
        return http.Response(body="held")

    @http.route("/never", methods=["*"])
    async def never(req):
        entered.set()
        await asyncio.Event().wait()

    @http.route("/boom", methods=["*"])
    def boom(req):
        raise ValueError
"""
GUARDED = f"""{SCRIPT}
    @http.middleware
    def guard(req):
        return None
"""


def used(service: Service) -> int:
    return service.server.listeners[0].buffered.used


def upload(path: str, size: int, *, sent: int | None = None, chunked: bool = False) -> bytes:
    """A request with a body of ``size`` bytes, of which ``sent`` go with it."""
    body = b"x" * (size if sent is None else sent)
    if chunked:
        end = b"\r\n0\r\n\r\n" if sent is None else b""
        return request(path, "Transfer-Encoding: chunked", method="POST") + b"%x\r\n%b%b" % (size, body, end)
    return request(path, f"Content-Length: {size}", method="POST") + body


def assert_refused(client: Client) -> None:
    answer = client.answer()
    assert (answer.status, answer.get("retry-after"), answer.get("connection")) == (503, "1", "close")
    assert client.read_to_end() == b""


def test_what_is_taken_is_counted_until_it_is_given_back() -> None:
    buffered = BufferedBytes(10)
    assert buffered.take(10)
    assert not buffered.take(1)
    assert buffered.used == 11
    buffered.give(1)
    assert buffered.take(0)
    buffered.give(10)
    assert buffered.used == 0


@pytest.mark.parametrize("chunked", [False, True])
def test_uploads_together_may_have_what_is_set_and_not_one_byte_more(
    serve: Callable[..., Service], chunked: bool
) -> None:
    service = serve(SCRIPT, max_buffered_bytes=10_000)
    with service.connect() as first, service.connect() as second, service.connect() as third:
        first.send(upload("/size", 9_000, sent=8_999, chunked=chunked))
        assert wait_until(lambda: used(service) == 8_999)
        assert second.send(upload("/size", 1_001, chunked=chunked)).answer().body == b"1001"
        assert_refused(third.send(upload("/size", 1_002, chunked=chunked)))
        first.send(b"x\r\n0\r\n\r\n" if chunked else b"x")
        assert first.answer().body == b"9000"
        assert wait_until(lambda: used(service) == 0)
        assert first.send(upload("/size", 10_000, chunked=chunked)).answer().body == b"10000"


def test_an_upload_that_arrives_is_refused_when_it_passes_the_bound(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, max_buffered_bytes=10_000)
    with service.connect() as client:
        client.send(upload("/size", 100_000, sent=10_000))
        assert wait_until(lambda: used(service) == 10_000)
        assert_refused(client.send(b"x"))
        assert used(service) == 0


def test_a_request_without_a_body_is_served_when_no_body_is(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, max_buffered_bytes=0)
    with service.connect() as client:
        assert client.get("/size").body == b"0"
        assert_refused(client.send(upload("/size", 1)))


@pytest.mark.parametrize("source", [SCRIPT, GUARDED], ids=["direct", "behind a guard"])
@pytest.mark.parametrize("path", ["/size", "/sync-size", "/boom", "/none"])
def test_a_body_is_given_back_when_its_request_is_done(
    serve: Callable[..., Service], path: str, source: str
) -> None:
    service = serve(source)
    with service.connect() as client:
        for _ in range(3):
            assert client.send(upload(path, 1_000)).answer().status in (200, 404, 500)
            assert wait_until(lambda: used(service) == 0)


def test_a_body_counts_while_its_handler_runs(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, max_buffered_bytes=10_000)
    with service.connect() as held, service.connect() as other:
        held.send(upload("/hold", 6_000))
        assert service.module.entered.wait(5)
        assert used(service) == 6_000
        assert_refused(other.send(upload("/size", 5_000)))
        service.module.gate.set()
        assert held.answer().body == b"held"
        assert wait_until(lambda: used(service) == 0)


def test_a_body_counts_until_a_handler_that_is_too_late_returns(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, request_timeout_ms=100)
    with service.connect() as client:
        assert client.send(upload("/hold", 6_000)).answer().status == 504
        assert used(service) == 6_000
        service.module.gate.set()
        assert wait_until(lambda: used(service) == 0)


def test_a_body_is_given_back_by_a_cancelled_handler(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, request_timeout_ms=100)
    with service.connect() as client:
        assert client.send(upload("/never", 6_000)).answer().status == 504
        assert wait_until(lambda: used(service) == 0)
    service.module.entered.clear()
    with service.connect() as client:
        client.send(upload("/never", 6_000))
        assert service.module.entered.wait(5)
        client.reset()
        assert wait_until(lambda: used(service) == 0)


@pytest.mark.parametrize("path", ["/size", "/sync-size"])
def test_a_body_is_given_back_by_a_request_that_is_never_run(
    serve: Callable[..., Service], path: str
) -> None:
    service = serve(SCRIPT, blocking_min=1, blocking_max=1, max_in_flight=2, request_timeout_ms=300)
    with service.connect() as held, service.connect() as queued, service.connect() as refused:
        held.send(request("/hold"))
        assert service.module.entered.wait(5)
        queued.send(upload("/hold", 6_000))
        assert wait_until(lambda: used(service) == 6_000)
        assert refused.send(upload(path, 6_000)).answer().status == 503
        assert used(service) == 6_000
        assert queued.answer().status == 504  # it waits for the worker, and will not begin
        service.module.gate.set()
        assert wait_until(lambda: used(service) == 0)
        assert refused.get("/size").status == 200


@pytest.mark.parametrize("end", ["close", "reset", "half-close", "wait"])
def test_what_has_come_of_a_body_is_given_back_when_its_client_ends(
    serve: Callable[..., Service], end: str
) -> None:
    service = serve(SCRIPT, body_grace_ms=200, min_body_bytes_per_s=100_000)
    with service.connect() as client:
        client.send(upload("/size", 10_000, sent=6_000))
        assert wait_until(lambda: used(service) == 6_000)
        if end == "close":
            client.close()
        elif end == "reset":
            client.reset()
        elif end == "half-close":
            client.half_close()
        assert wait_until(lambda: used(service) == 0, within_s=20)


def test_what_a_refused_request_had_sent_is_given_back(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, max_body_bytes=10_000)
    with service.connect() as client:
        client.send(upload("/size", 6_000, sent=5_000, chunked=True))
        assert wait_until(lambda: used(service) == 5_000)
        client.send(b"x" * 1_000 + b"no line end")
        assert client.answer().status == 400
        assert used(service) == 0


def test_what_is_read_ahead_counts_until_it_is_read_as_requests(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    ahead = upload("/size", 20_000)
    with service.connect() as client:
        client.send(request("/hold"))
        assert service.module.entered.wait(5)
        client.send(ahead)
        assert wait_until(lambda: used(service) == len(ahead))
        service.module.gate.set()
        assert [client.answer().body for _ in range(2)] == [b"held", b"20000"]
        assert wait_until(lambda: used(service) == 0)


def test_what_comes_behind_a_request_without_a_body_counts_as_well(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    ahead = upload("/size", 20_000)
    with service.connect() as client:
        client.send(request("/hold") + ahead)
        assert service.module.entered.wait(5)
        assert wait_until(lambda: used(service) == len(ahead))
        service.module.gate.set()
        assert [client.answer().body for _ in range(2)] == [b"held", b"20000"]
        assert wait_until(lambda: used(service) == 0)


def test_pipelined_requests_without_bodies_are_served_whatever_is_buffered(
    serve: Callable[..., Service],
) -> None:
    service = serve(SCRIPT, max_buffered_bytes=1_000)
    with service.connect() as client:
        client.send(request("/size") * 400)
        assert [client.answer().body for _ in range(400)] == [b"0"] * 400
    assert wait_until(lambda: used(service) == 0)


def test_with_too_much_buffered_nothing_is_read_ahead_and_no_request_is_lost(
    serve: Callable[..., Service],
) -> None:
    service = serve(SCRIPT, max_buffered_bytes=1_000)
    with service.connect() as client:
        client.send(request("/hold"))
        assert service.module.entered.wait(5)
        client.send(request("/size", f"X: {'x' * 2_000}"))
        acceptor = service.server._acceptors[0]
        assert wait_until(lambda: not any(one.reading for one in acceptor.connections.values()))
        client.send(request("/size"))
        service.module.gate.set()
        assert [client.answer().body for _ in range(3)] == [b"held", b"0", b"0"]
        assert wait_until(lambda: used(service) == 0)
