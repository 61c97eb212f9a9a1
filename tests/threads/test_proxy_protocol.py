"""A listener behind a proxy that speaks the PROXY protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.client import request

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.service import Service

SCRIPT = """
    from siphon import http

    @http.route("/")
    async def who(req):
        return http.Response(body=req.client)
"""
HEADER = b"PROXY TCP4 203.0.113.7 192.0.2.1 51000 443\r\n"


def test_the_header_names_the_client_of_every_request(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, proxy_protocol=True)
    with service.connect() as client:
        client.send(HEADER + request("/") + request("/"))
        assert client.answer().body == b"203.0.113.7:51000"
        assert client.answer().body == b"203.0.113.7:51000"


def test_a_header_that_drips_in_is_read(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, proxy_protocol=True)
    with service.connect() as client:
        for byte in HEADER:
            client.send(bytes([byte]))
        assert client.get("/").body == b"203.0.113.7:51000"


def test_a_client_without_the_header_is_refused(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, proxy_protocol=True)
    with service.connect() as client:
        assert client.get("/").status == 400
        assert client.read_to_end() == b""


def test_half_a_header_gets_408(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, proxy_protocol=True, header_timeout_ms=100)
    with service.connect() as client:
        assert client.send(b"PROXY TCP4 203").answer().status == 408


def test_without_the_setting_the_header_is_no_request(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        assert client.send(HEADER + request("/")).answer().status == 400
