"""Connections that send nothing, or nothing that means anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.client import request

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.service import Service

SCRIPT = """
    from siphon import http

    @http.route("/", methods=["GET", "POST"])
    async def hello(req):
        return http.Response(body=req.body())
"""


def test_a_line_end_after_a_body_is_no_beginning_of_a_request(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, header_timeout_ms=100, keep_alive_timeout_ms=300)
    with service.connect() as client:
        client.send(request("/", method="POST", body=b"body") + b"\r\n")
        assert client.answer().body == b"body"
        assert client.read_to_end() == b""  # idle until the keep-alive ends, and no 408


def test_a_line_end_before_the_next_request_is_ignored(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        client.send(request("/", method="POST", body=b"body") + b"\r\n")
        assert client.answer().body == b"body"
        assert client.get("/").status == 200


def test_two_line_ends_are_not(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        client.send(request("/", method="POST", body=b"body") + b"\r\n")
        assert client.answer().body == b"body"
        assert client.send(b"\r\n" + request("/")).answer().status == 400


def test_a_connection_that_has_sent_nothing_is_closed_without_a_word(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, header_timeout_ms=100)
    with service.connect() as client:
        assert client.read_to_end() == b""


def test_a_connection_that_has_sent_nothing_holds_a_drain_for_a_moment_only(
    serve: Callable[..., Service],
) -> None:
    service = serve(SCRIPT, header_timeout_ms=3_600_000, shutdown_timeout_ms=30_000)
    with service.connect(timeout_s=15) as client:
        with service.connect() as later:
            assert later.get("/").status == 200  # by now the silent one has been accepted, too
        assert service.stop()
        assert client.read_to_end() == b""
