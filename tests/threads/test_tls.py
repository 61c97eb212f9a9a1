"""What TLS adds to a connection: its handshake, its records, its end."""

from __future__ import annotations

import socket
import ssl
import threading
from ipaddress import ip_network
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from siphon.config.settings import ListenerSettings, TcpAddress
from tests.client import request
from tests.tls_socket import TlsSocket, client_hello

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.certificates import Certificates
    from tests.service import Service

SCRIPT = """
    import asyncio
    import threading
    from siphon import http

    entered = threading.Event()
    gate = threading.Event()
    ended = threading.Event()

    @http.route("/")
    async def whence(req):
        return http.Response(body=f"{req.scheme} {req.client} {req.client_cert}")

    @http.route("/echo", methods=["POST"])
    def echo(req):
        return http.Response(body=req.body())

    @http.route("/wait")
    def wait(req):
        entered.set()
        assert gate.wait(20)
        return http.Response(body="waited")

    @http.route("/never")
    async def never(req):
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
"""
ANY_PORT = TcpAddress("127.0.0.1", 0)


@pytest.fixture
def secure(serve: Callable[..., Service], certificates: Certificates) -> Callable[..., Service]:
    """Serves the script over TLS."""

    def start(**settings: object) -> Service:
        client_tls = settings.pop("client_tls", None) or certificates.client_context()
        return serve(SCRIPT, tls=certificates.server_settings(), client_tls=client_tls, **settings)

    return start


def test_a_request_knows_that_it_came_over_tls(
    serve: Callable[..., Service], certificates: Certificates
) -> None:
    tls = certificates.server_settings()
    servers = (ListenerSettings(listen=ANY_PORT, tls=tls), ListenerSettings(listen=ANY_PORT))
    service = serve(SCRIPT, servers=servers, client_tls=certificates.client_context())
    with service.connect() as client:
        assert client.get("/").body.startswith(b"https 127.0.0.1:")
        assert client.get("/").body.endswith(b" None")
    with service.connect(listener=1, bare=True) as client:
        assert client.get("/").body.startswith(b"http 127.0.0.1:")


# Records -----------------------------------------------------------------------------------------


def test_records_that_come_byte_by_byte_are_read(secure: Callable[..., Service]) -> None:
    service = secure()
    with service.connect() as client:
        for byte in client.tls.seal(request("/echo", method="POST", body=b"in pieces")):
            client.tls.raw.sendall(bytes([byte]))
        assert client.answer().body == b"in pieces"


def test_many_small_records_are_one_request(secure: Callable[..., Service]) -> None:
    service = secure()
    with service.connect() as client:
        records = [
            client.tls.seal(bytes([byte])) for byte in request("/echo", method="POST", body=b"x" * 900)
        ]
        client.tls.raw.sendall(b"".join(records))
        assert client.answer().body == b"x" * 900


def test_a_body_of_many_records_comes_back_whole(secure: Callable[..., Service]) -> None:
    service = secure(max_body_bytes=4_000_000)
    body = bytes(range(256)) * 14_000
    with service.connect() as client:
        sender = threading.Thread(
            target=client.send, args=[request("/echo", method="POST", body=body) + request("/")]
        )
        sender.start()
        sender.join(30)
        assert client.answer().body == body
        assert client.answer().status == 200


def test_a_record_that_is_broken_ends_the_connection_and_no_other(
    secure: Callable[..., Service], logged: Callable[[], list[str]]
) -> None:
    service = secure()
    with service.connect() as client, service.connect() as other:
        client.get("/")
        record = bytearray(client.tls.seal(request("/")))
        record[-1] ^= 1
        client.tls.raw.sendall(record)
        with pytest.raises(ssl.SSLError, match=r"(?i)bad record mac"):
            client.answer()
        assert other.get("/").status == 200
    assert [line for line in logged() if "bad record mac" in line]


def test_a_broken_record_ends_the_request_that_is_being_answered(secure: Callable[..., Service]) -> None:
    service = secure()
    with service.connect() as client:
        client.send(request("/never"))
        assert service.module.entered.wait(5)
        client.tls.raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
        assert service.module.ended.wait(5)


# The handshake -----------------------------------------------------------------------------------


def test_who_is_silent_is_closed_when_a_head_should_have_come(secure: Callable[..., Service]) -> None:
    service = secure(header_timeout_ms=300)
    begun = monotonic()
    with service.connect(bare=True) as silent:
        assert silent.read_to_end() == b""
        assert 0.25 < monotonic() - begun < 5


def test_a_handshake_that_drips_is_closed_when_a_head_should_have_come(
    secure: Callable[..., Service], certificates: Certificates
) -> None:
    service = secure(header_timeout_ms=300)
    hello = client_hello(certificates.client_context())
    begun = monotonic()
    pause = threading.Event()
    with service.connect(bare=True) as slow:
        slow.sock.settimeout(0.01)
        for byte in hello[:-1]:
            try:
                slow.send(bytes([byte]))
            except OSError:
                break
            try:
                if slow.sock.recv(1) == b"":
                    break
            except TimeoutError:
                pause.wait(0.02)
            except ConnectionResetError:
                break
        assert 0.25 < monotonic() - begun < 5


def test_the_time_for_the_handshake_is_part_of_that_for_the_head(secure: Callable[..., Service]) -> None:
    service = secure(header_timeout_ms=400)
    begun = monotonic()
    with service.connect() as client:
        assert client.send("GET / HT").answer().status == 408
        assert 0.3 < monotonic() - begun < 5


def test_half_a_handshake_holds_up_nobody(secure: Callable[..., Service], certificates: Certificates) -> None:
    service = secure()
    hello = client_hello(certificates.client_context())
    halves = [service.connect(bare=True).send(hello[: len(hello) // 2]) for _ in range(50)]
    with service.connect() as client:
        assert client.get("/").status == 200
    for number, half in enumerate(halves):
        half.send(hello[len(hello) // 2 :]) if number % 2 else half.reset()
    with service.connect() as client:
        assert client.get("/").status == 200
    for half in halves:
        half.close()


class StandingStill(ssl.SSLObject):
    """A connection whose handshake stands still until the test opens the gate."""

    begun = threading.Event()
    gate = threading.Event()

    def do_handshake(self) -> None:
        self.begun.set()
        assert self.gate.wait(20)
        super().do_handshake()


def test_a_handshake_does_not_hold_cleartext_listeners(
    serve: Callable[..., Service], certificates: Certificates
) -> None:
    tls = certificates.server_settings()
    servers = (ListenerSettings(listen=ANY_PORT, tls=tls), ListenerSettings(listen=ANY_PORT))
    service = serve(SCRIPT, servers=servers)
    context = service.server.listeners[0].tls
    assert context is not None
    context.sslobject_class = StandingStill
    try:
        with service.connect(bare=True) as slow:
            slow.send(client_hello(certificates.client_context()))
            assert StandingStill.begun.wait(5)
            with service.connect(listener=1, bare=True) as client:
                assert client.get("/").status == 200
    finally:
        StandingStill.gate.set()


def test_a_client_beyond_max_connections_waits_with_its_handshake(secure: Callable[..., Service]) -> None:
    service = secure(max_connections=2)
    with service.connect() as busy, service.connect() as silent:
        busy.send(request("/wait"))
        assert service.module.entered.wait(5)
        in_time: list[bool] = []

        def come() -> None:
            with service.connect() as newcomer:
                in_time.append(service.module.gate.is_set())
                assert newcomer.get("/").status == 200

        coming = threading.Thread(target=come)
        coming.start()
        coming.join(0.25)
        assert coming.is_alive()
        service.module.gate.set()
        assert busy.answer().body == b"waited"
        coming.join(20)
        assert in_time == [True]
        assert busy.read_to_end() == b""  # idle by now, it made room
        assert busy.tls.close_notify_received
        assert silent.get("/").status == 200


# Another protocol --------------------------------------------------------------------------------


def test_plain_http_is_told_so_and_logged_once(
    secure: Callable[..., Service], logged: Callable[[], list[str]]
) -> None:
    service = secure()
    for _ in range(20):
        with service.connect(bare=True) as client:
            answer = client.get("/")
            assert (answer.status, answer.get("connection")) == (400, "close")
            assert answer.body == b"this port speaks TLS: use https\n"
            assert client.read_to_end() == b""
    (line,) = logged()
    assert "a client speaks plain HTTP to this port, which is TLS; the first is 127.0.0.1:" in line


def test_tls_on_a_plain_port_gets_an_alert_and_is_logged_once(
    serve: Callable[..., Service], certificates: Certificates, logged: Callable[[], list[str]]
) -> None:
    service = serve(SCRIPT, client_tls=certificates.client_context())
    for _ in range(20):
        with pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version"):
            service.connect()
    with service.connect(bare=True) as client:
        client.send(client_hello(certificates.client_context()))
        assert client.read_to_end()[0] == 0x15
    (line,) = logged()
    assert "a client speaks TLS to this port, which is plain HTTP; the first is 127.0.0.1:" in line


@pytest.mark.parametrize(
    "data", [b"\x00\x01\x02", b"ssh-2.0", b"\x80\x2e\x01\x03\x00", b"\x15\x03\x01\x00\x02\x02\x46"]
)
def test_what_is_neither_is_closed_and_logged_once(
    secure: Callable[..., Service], logged: Callable[[], list[str]], data: bytes
) -> None:
    service = secure()
    for _ in range(5):
        with service.connect(bare=True) as client:
            assert client.send(data).read_to_end() == b""
    (line,) = logged()
    assert "a TLS connection has failed: what is no TLS" in line


# The PROXY protocol ------------------------------------------------------------------------------

HEADER = b"PROXY TCP4 203.0.113.7 192.0.2.1 51000 443\r\n"


@pytest.mark.parametrize(("trusted", "believed"), [("127.0.0.0/8", True), ("10.0.0.0/8", False)])
def test_where_proxies_are_named_only_their_header_is_believed(
    secure: Callable[..., Service], certificates: Certificates, trusted: str, believed: bool
) -> None:
    service = secure(proxy_protocol=True, trusted_proxies=(ip_network(trusted),))
    client = service.connect(bare=True).send(HEADER)
    assert isinstance(client.sock, socket.socket)
    client.sock = TlsSocket(client.sock, certificates.client_context())
    with client:
        own = "{}:{}".format(*client.sock.getsockname())
        for _ in range(2):
            shown = client.get("/").body.decode()
            assert shown == f"https {'203.0.113.7:51000' if believed else own} None"


@pytest.mark.parametrize("pieces", [1, 7])
def test_a_proxy_header_comes_before_the_handshake(
    secure: Callable[..., Service], certificates: Certificates, pieces: int
) -> None:
    service = secure(proxy_protocol=True)
    client = service.connect(bare=True)
    for begin in range(0, len(HEADER), len(HEADER) // pieces):
        client.send(HEADER[begin : begin + len(HEADER) // pieces])
    assert isinstance(client.sock, socket.socket)
    client.sock = TlsSocket(client.sock, certificates.client_context())
    with client:
        assert client.get("/").body == b"https 203.0.113.7:51000 None"
        assert client.get("/").body == b"https 203.0.113.7:51000 None"


def test_a_header_and_a_handshake_in_one_piece_are_told_apart(
    secure: Callable[..., Service], certificates: Certificates
) -> None:
    service = secure(proxy_protocol=True)
    with service.connect(bare=True) as client:
        client.send(HEADER + client_hello(certificates.client_context()))
        assert client.sock.recv(1) == b"\x16"


@pytest.mark.parametrize("first", [b"", b"PROXY what\r\n"], ids=["none", "malformed"])
def test_without_a_valid_proxy_header_there_is_no_handshake(
    secure: Callable[..., Service], certificates: Certificates, logged: Callable[[], list[str]], first: bytes
) -> None:
    service = secure(proxy_protocol=True)
    for _ in range(3):
        with service.connect(bare=True) as client:
            assert client.send(first + client_hello(certificates.client_context())).read_to_end() == b""
    (line,) = logged()
    assert "a TLS connection has failed: no valid PROXY header" in line


# The end -----------------------------------------------------------------------------------------


def test_the_last_answer_is_followed_by_close_notify(secure: Callable[..., Service]) -> None:
    service = secure()
    with service.connect() as client:
        assert client.get("/", "Connection: close").status == 200
        assert client.read_to_end() == b""
        assert client.tls.close_notify_received


def test_an_idle_connection_ends_with_close_notify(secure: Callable[..., Service]) -> None:
    service = secure(keep_alive_timeout_ms=100)
    with service.connect() as client:
        assert client.get("/").status == 200
        assert client.read_to_end() == b""
        assert client.tls.close_notify_received


def test_a_stop_ends_connections_with_close_notify(secure: Callable[..., Service]) -> None:
    service = secure()
    with service.connect() as client:
        assert client.get("/").status == 200
        assert service.stop()
        assert client.read_to_end() == b""
        assert client.tls.close_notify_received


@pytest.mark.parametrize("target", ["/", "/wait"])
def test_a_close_notify_right_behind_a_request_does_not_cost_its_answer(
    secure: Callable[..., Service], target: str
) -> None:
    """In one piece: the socket has nothing more to tell when the request has been read."""
    service = secure(keep_alive_timeout_ms=60_000)
    with service.connect() as client:
        client.tls.raw.sendall(client.tls.seal(request(target)) + client.tls.seal_end())
        if target == "/wait":
            assert service.module.entered.wait(5)
            service.module.gate.set()
        assert client.answer().status == 200
        assert client.read_to_end() == b""
        assert client.tls.close_notify_received


def test_a_close_notify_is_answered(secure: Callable[..., Service]) -> None:
    service = secure(keep_alive_timeout_ms=60_000)
    with service.connect() as client:
        assert client.get("/").status == 200
        assert client.half_close().read_to_end() == b""
        assert client.tls.close_notify_received


def test_a_fin_without_close_notify_does_not_cost_an_answer(secure: Callable[..., Service]) -> None:
    service = secure()
    with service.connect() as client:
        client.send(request("/wait"))
        assert service.module.entered.wait(5)
        client.tls.raw.shutdown(socket.SHUT_WR)
        service.module.gate.set()
        assert client.answer().body == b"waited"
        assert client.read_to_end() == b""
