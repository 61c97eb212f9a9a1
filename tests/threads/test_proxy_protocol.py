"""A listener behind a proxy that speaks the PROXY protocol."""

from __future__ import annotations

import struct
from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest

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
ADDRESSES = bytes([203, 0, 113, 7, 192, 0, 2, 1]) + struct.pack("!HH", 51_000, 443)
TLV = b"\x04\x00\x02xx"
BINARY_HEADER = b"\r\n\r\n\x00\r\nQUIT\n" + struct.pack("!BBH", 0x21, 0x11, 17) + ADDRESSES + TLV


def test_the_header_names_the_client_of_every_request(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, proxy_protocol=True)
    with service.connect() as client:
        client.send(HEADER + request("/") + request("/"))
        assert client.answer().body == b"203.0.113.7:51000"
        assert client.answer().body == b"203.0.113.7:51000"


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(("trusted", "believed"), [("127.0.0.0/8", True), ("10.0.0.0/8", False)])
def test_where_proxies_are_named_only_their_header_is_believed(
    serve: Callable[..., Service], version: int, trusted: str, believed: bool
) -> None:
    service = serve(SCRIPT, proxy_protocol=True, trusted_proxies=(ip_network(trusted),))
    header = HEADER if version == 1 else BINARY_HEADER
    with service.connect() as client:
        client.send(header + request("/"))
        own = "{}:{}".format(*client.sock.getsockname())
        assert client.answer().body.decode() == ("203.0.113.7:51000" if believed else own)


def test_a_proxy_behind_the_header_is_believed_if_it_is_trusted(serve: Callable[..., Service]) -> None:
    trusted = (ip_network("127.0.0.0/8"), ip_network("203.0.113.7"))
    service = serve(SCRIPT, proxy_protocol=True, trusted_proxies=trusted)
    with service.connect() as client:
        client.send(HEADER)
        assert client.get("/", "X-Forwarded-For: 1.1.1.1, 198.51.100.1").body == b"198.51.100.1:0"
    with service.connect() as client:
        client.send(HEADER.replace(b"203.0.113.7", b"203.0.113.8"))
        assert client.get("/", "X-Forwarded-For: 198.51.100.1").body == b"203.0.113.8:51000"


def test_a_connection_of_the_proxys_own_keeps_its_address(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, proxy_protocol=True)
    with service.connect() as client:
        client.send(BINARY_HEADER[:12] + b"\x20\x00\x00\x00")
        assert client.get("/").body.decode() == "{}:{}".format(*client.sock.getsockname())


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
