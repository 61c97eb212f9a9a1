"""What other Python servers were vulnerable to: siphon on the same bytes, and the table that says so."""

from __future__ import annotations

import re
import socket
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.client import request
from tests.command import ROOT
from tests.stress.leaks import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.service import Service

SCRIPT = """
    import threading

    from siphon import http

    served = []
    gate = threading.Event()

    @http.route("/", methods=["*"])
    async def echo(req):
        served.append(req.path)
        return http.Response(body=req.body())

    @http.route("/wait")
    def wait(req):
        gate.wait(20)
        return http.Response()

    @http.route("/big")
    def big(req):
        return http.Response(body=b"x" * 5_000_000)

    @http.route("/admin", methods=["*"])
    async def admin(req):
        served.append(req.path)
        return http.Response(body="smuggled")
"""
ADMIN = request("/admin")
DOCUMENT = ROOT / "docs/server-behavior.md"
HEADING = "## Known vulnerabilities of Python servers"


def refused(service: Service, raw: bytes, status: int = 400) -> None:
    """``raw`` is refused, and neither it nor the request that stands behind it reaches a handler."""
    with service.connect() as client:
        answer = client.send(raw + ADMIN).answer()
        assert (answer.status, answer.get("connection")) == (status, "close")
        assert client.read_to_end() == b""
    assert service.module.served == []


def post(*fields: str, body: bytes = b"") -> bytes:
    """A POST with just these fields."""
    return request("/", *fields, method="POST") + body


# Framing that two servers read differently -----------------------------------------------------------


def test_a_bare_lf_ends_no_field_line(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    refused(service, post(f"Content-Length: {len(ADMIN)}", "X-Header: x\nContent-Length: 0"))
    refused(service, post("X-Header: x\nTransfer-Encoding: chunked", body=b"0\r\n\r\n"))


@pytest.mark.parametrize(
    "coding", ["identity, chunked", "chunked, identity", "gzip, chunked", "\r\n chunked", "chunked,identity"]
)
def test_a_list_of_transfer_codings_is_not_taken_for_one(serve: Callable[..., Service], coding: str) -> None:
    service = serve(SCRIPT)
    refused(service, post(f"Transfer-Encoding: {coding}", body=b"0\r\n\r\n"))
    refused(service, post("Content-Length: 5", f"Transfer-Encoding: {coding}", body=b"0\r\n\r\n"))


@pytest.mark.parametrize("space", ["\x0b", "\x0c", "\x1c", "\x85", "\xa0"])
def test_whitespace_that_is_none_in_http_is_not_stripped(serve: Callable[..., Service], space: str) -> None:
    service = serve(SCRIPT)
    for fields in (
        ("Content-Length: 10", f"Transfer-Encoding: {space}chunked"),
        (f"Transfer-Encoding: chunked{space}",),
        (f"Content-Length: {space}5",),
        (f"Content-Length{space}: 5",),
        (f"Transfer-Encoding{space}: chunked",),
    ):
        refused(service, post(*fields, body=b"0\r\n\r\n"))


@pytest.mark.parametrize("number", ["+5", "-5", "0x5", "0o5", "5_0", "5.0", " 5 5", "\u00b2"])
def test_a_number_is_digits_and_nothing_else(serve: Callable[..., Service], number: str) -> None:
    service = serve(SCRIPT)
    refused(service, post(f"Content-Length: {number}", body=b"hello"))
    refused(service, post("Transfer-Encoding: chunked", body=f"{number}\r\nhello\r\n".encode("latin-1")))


@pytest.mark.parametrize("extension", ["\x00", "a\x01", "a\nb", "a\r", "a=\x7f", '"', "a b"])
def test_a_chunk_extension_is_checked_though_it_is_ignored(
    serve: Callable[..., Service], extension: str
) -> None:
    service = serve(SCRIPT)
    body = f"5;{extension}\r\nhello\r\n0\r\n\r\n".encode("latin-1")
    refused(service, post("Transfer-Encoding: chunked", body=body))


def test_several_transfer_encodings_are_not_one(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    for first, second in (("chunked", "identity"), ("identity", "chunked"), ("chunked", "chunked")):
        fields = (f"Transfer-Encoding: {first}", f"Transfer-Encoding: {second}")
        refused(service, post(*fields, body=b"0\r\n\r\n"))
        refused(service, post(*fields, "Content-Length: 5", body=b"0\r\n\r\n"))


@pytest.mark.parametrize("coding", ["xchunked", "chunked;q=1", "chunk", "", '"chunked"', "identity"])
def test_an_unknown_transfer_coding_does_not_fall_back_to_content_length(
    serve: Callable[..., Service], coding: str
) -> None:
    service = serve(SCRIPT)
    fields = ("Content-Length: 5", f"Transfer-Encoding: {coding}")
    refused(service, post(*fields, body=b"hello"))
    refused(service, post(*reversed(fields), body=b"hello"))


def test_a_bare_cr_separates_nothing(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    body = b"1\r\nA\r\n0\r\n\r\n"
    refused(service, post("X-Abc: \rxTransfer-Encoding: chunked", body=body))
    refused(service, post("X-Abc:\rTransfer-Encoding: chunked", body=body))
    refused(service, post("X-Abc: x\r", body=body))


def test_a_header_that_only_a_lenient_parser_reads_is_refused(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    for field in ("Content-Length : 5", "Content-Length: +5", "X: a\x00b", "X: a\rb", " X: y", "X"):
        refused(service, post(field, body=b"hello"))


def test_letters_beyond_ascii_are_no_letters_of_a_coding(serve: Callable[..., Service]) -> None:
    """U+017F and U+212A fold to "s" and "k"; as octets they are neither."""
    service = serve(SCRIPT)
    for coding in (b"chun\xe2\x84\xaaed", b"chun\xc5\xbfed", b"\xe3hunked"):
        refused(service, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: %b\r\n\r\n0\r\n\r\n" % coding)


def test_two_hosts_are_refused(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    refused(service, request("/", "Host: test"))
    refused(service, request("/", "host: other"))


@pytest.mark.parametrize("ending", [b"xx", b"\n\n", b"\r", b"\r\r", b"\n", b"0\r", b""])
def test_chunk_data_ends_with_cr_lf(serve: Callable[..., Service], ending: bytes) -> None:
    service = serve(SCRIPT)
    refused(service, post("Transfer-Encoding: chunked", body=b"5\r\nhello" + ending + b"0\r\n\r\n"))


# Work and memory that a client can ask for -----------------------------------------------------------


def test_many_chunks_take_little_time_and_are_bounded(serve: Callable[..., Service]) -> None:
    """1 MB in one-byte chunks is refused after 87,000 of them; what is allowed is decoded in linear time."""
    service = serve(SCRIPT)
    acceptor = service.server._acceptors[0]
    assert acceptor.ident is not None
    clock = time.pthread_getcpuclockid(acceptor.ident)
    with service.connect() as client:
        before_s = time.clock_gettime(clock)
        client.send(post("Transfer-Encoding: chunked", body=b"1\r\nx\r\n" * 80_000 + b"0\r\n\r\n"))
        assert client.answer().body == b"x" * 80_000
        # 0.1 s of processor time where nothing else runs; one second was the attack.
        assert time.clock_gettime(clock) - before_s < 1.0
    with service.connect() as client:
        client.send(post("Transfer-Encoding: chunked"))
        client.send(b"1\r\nx\r\n" * 90_000)
        assert client.answer().status == 400
    assert service.module.served == ["/"]


@pytest.mark.parametrize("line", [b"X: y\r\n", b"X: " + b"y" * 1_000 + b"\r\n"])
def test_trailers_are_bounded_like_headers(serve: Callable[..., Service], line: bytes) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        client.send(post("Transfer-Encoding: chunked", body=b"0\r\n" + line * 200))
        assert client.answer().status == 431
    with service.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + line * 200)
        assert client.answer().status == 431
    assert service.module.served == []


def test_pipelined_requests_do_not_pile_up(serve: Callable[..., Service]) -> None:
    """Behind a request that is being answered only so much is read; the rest waits with the client."""
    service = serve(SCRIPT)
    with service.connect() as client:
        client.send(request("/wait"))
        sock = client.sock
        assert isinstance(sock, socket.socket)
        sock.settimeout(0.5)
        sent = 0
        with pytest.raises(TimeoutError):  # noqa: PT012 - some send does not go through
            while sent < 500_000_000:
                sent += sock.send(request("/") * 10_000)
        (connection,) = service.server._acceptors[0].connections.values()
        assert connection.incoming.kept_bytes <= 2 * 65_536
        assert not connection.reading
        service.module.gate.set()


# Threads that disagree about a connection ------------------------------------------------------------


def test_nothing_behind_an_oversized_first_request_is_run(serve: Callable[..., Service]) -> None:
    """Whatever part of it has been read when the refusal goes out."""
    service = serve(SCRIPT, max_header_bytes=1_000, acceptors=2)
    for size in (990, 1_000, 2_000, 65_400, 65_536, 70_000):
        for _ in range(5):
            with service.connect() as client:
                client.send(request("/", f"X: {'x' * size}") + ADMIN * 3)
                assert client.answer().status == 431
                assert client.read_to_end() == b""
    assert service.module.served == []


def test_clients_that_are_gone_before_they_are_accepted_leave_nothing(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, max_connections=1)
    acceptor = service.server._acceptors[0]
    assert acceptor.ident is not None
    with service.connect() as only:
        only.send(request("/wait"))
        assert wait_until(lambda: bool(acceptor.connections))
        for number in range(24):  # they wait in the backlog, and go
            gone = service.connect()
            gone.send(request("/"))
            if number % 2:
                gone.reset()
            else:
                gone.close()
        service.module.gate.set()
        assert only.answer().status == 200
    assert wait_until(lambda: not acceptor.connections and not service.server.listeners[0]._connections)
    with service.connect() as client:
        assert client.get("/").status == 200
        # The acceptor rests: it does not look at descriptors again and again that nobody has any more.
        clock = time.pthread_getcpuclockid(acceptor.ident)
        before_s = time.clock_gettime(clock)
        client.sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.sock.recv(1)
        assert time.clock_gettime(clock) - before_s < 0.1


def test_a_client_that_goes_while_it_is_answered_ends_no_thread(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, blocking_min=8)
    acceptor = service.server._acceptors[0]
    for _ in range(40):
        clients = [service.connect() for _ in range(5)]
        for client in clients:
            client.send(request("/big") + request("/"))
        for client in clients:
            client.reset()
    assert acceptor.is_alive()
    assert wait_until(lambda: not acceptor.connections)
    with service.connect() as client:
        assert client.get("/").status == 200


# The table -------------------------------------------------------------------------------------------


def documented() -> list[list[str]]:
    text = DOCUMENT.read_text(encoding="utf-8")
    section = text[text.index(HEADING) :].partition("\n## ")[0]
    rows = re.findall(r"^\| (CVE-.*) \|$", section, re.MULTILINE)
    return [[cell.strip() for cell in row.split("|")] for row in rows]


NAMED = (
    "CVE-2019-16785", "CVE-2019-16786", "CVE-2019-16789", "CVE-2022-24761", "CVE-2022-31015",
    "CVE-2024-49768", "CVE-2024-49769", "CVE-2024-1135", "CVE-2024-6827", "CVE-2023-37276",
    "CVE-2023-47627", "CVE-2025-69229", "CVE-2026-22815", "CVE-2025-43859",
)  # fmt: skip


def test_the_table_has_every_vulnerability_that_it_must_have() -> None:
    assert set(NAMED) <= {row[0] for row in documented()}


def test_each_row_names_tests_that_exist() -> None:
    for number, _, _, tests in documented():
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", tests)
        assert named, number
        for path, name in named:
            assert f"\ndef {name}(" in (ROOT / path).read_text(encoding="utf-8"), (number, path, name)


def test_each_test_of_a_vulnerability_is_in_the_table() -> None:
    here = {name for name in dir(sys.modules[__name__]) if name.startswith("test_")}
    named = {name for row in documented() for name in re.findall(r"::(\w+)`", row[3])}
    assert here - named <= {name for name in here if "table" in name or "row" in name}
