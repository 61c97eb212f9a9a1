"""What is counted of clients that do not speak their listener's protocol: they make no requests."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from siphon.config.settings import ListenerSettings, LogSettings, TcpAddress, UnixAddress
from tests.client import Client, request
from tests.stress.leaks import wait_until
from tests.threads.test_admin import scrape
from tests.tls_socket import client_hello

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.certificates import Certificates
    from tests.service import Service

SCRIPT = """
    from siphon import http

    @http.route("/")
    async def hello(req):
        return http.Response(body="hello")
"""
ANY_PORT = TcpAddress("127.0.0.1", 0)
PLAIN, SECURE, PROXIED, MUTUAL = range(4)


@pytest.fixture
def service(serve: Callable[..., Service], certificates: Certificates, tmp_path: Path) -> Service:
    """Four listeners, whose clients are told apart by their addresses."""
    tls = certificates.server_settings()
    servers = (
        ListenerSettings(listen=UnixAddress(str(tmp_path / "plain"))),
        ListenerSettings(listen=UnixAddress(str(tmp_path / "secure")), tls=tls, header_timeout_ms=300),
        ListenerSettings(listen=UnixAddress(str(tmp_path / "proxied")), tls=tls, proxy_protocol=True),
        ListenerSettings(
            listen=UnixAddress(str(tmp_path / "mutual")), tls=certificates.server_settings(mutual=True)
        ),
    )
    return serve(SCRIPT, servers=servers, admin=ANY_PORT, log=LogSettings(access=True))


def turned_away(client: Client, service: Service, listener: int, reason: str) -> float:
    name = str(service.server.listeners[listener].settings.listen)
    return scrape(client)[f"siphon_connections_turned_away_total{{listener={name},reason={reason}}}"]


def all_turned_away(client: Client) -> dict[str, float]:
    samples = scrape(client)
    return {name: samples[name] for name in samples if name.startswith("siphon_connections_turned_away")}


def cleartext(data: bytes) -> Callable[[Client, Certificates], None]:
    def send(client: Client, certificates: Certificates) -> None:
        client.send(data).read_to_end()

    return send


def hello(client: Client, certificates: Certificates) -> None:
    client.send(client_hello(certificates.client_context())).read_to_end()


def old_tls(client: Client, certificates: Certificates) -> None:
    context = certificates.client_context()
    context.set_ciphers("AES128-SHA")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    client.send(client_hello(context)).read_to_end()


def half_a_hello(client: Client, certificates: Certificates) -> None:
    data = client_hello(certificates.client_context())
    client.send(data[: len(data) // 2]).read_to_end()


def nothing(client: Client, certificates: Certificates) -> None:
    client.read_to_end()


@pytest.mark.parametrize(
    ("listener", "reason", "behave"),
    [
        (PLAIN, "tls", hello),
        (SECURE, "plain_http", cleartext(request("/"))),
        (SECURE, "not_tls", cleartext(b"\x00\x01\x02")),
        (SECURE, "handshake_failed", old_tls),
        (SECURE, "handshake_timeout", half_a_hello),
        (SECURE, "handshake_timeout", nothing),
        (PROXIED, "proxy_header", hello),
    ],
)
def test_who_speaks_another_protocol_is_counted_and_has_no_line_in_the_access_log(
    service: Service,
    certificates: Certificates,
    capfd: pytest.CaptureFixture[str],
    listener: int,
    reason: str,
    behave: Callable[[Client, Certificates], None],
) -> None:
    with service.connect_to_admin() as admin:
        before = all_turned_away(admin)
        assert set(before.values()) == {0}
        for _ in range(2):
            with service.connect(listener=listener, bare=True) as client:
                behave(client, certificates)
        assert wait_until(lambda: turned_away(admin, service, listener, reason) == 2)
        assert sum(all_turned_away(admin).values()) == 2
        assert not [name for name in scrape(admin) if name.startswith("siphon_requests_total")]
    assert service.stop()
    assert "HTTP/1.1" not in capfd.readouterr().err


def test_who_shows_no_certificate_is_counted_as_a_failed_handshake(
    service: Service, certificates: Certificates
) -> None:
    address = service.server.listeners[MUTUAL].socket.getsockname()
    with service.connect_to_admin() as admin:
        with pytest.raises(ssl.SSLError), Client(address, tls=certificates.client_context()) as client:
            client.get("/")
        assert wait_until(lambda: turned_away(admin, service, MUTUAL, "handshake_failed") == 1)
        with Client(address, tls=certificates.client_context(certificates.client)) as client:
            assert client.get("/").status == 200
        assert sum(all_turned_away(admin).values()) == 1


def test_a_broken_record_is_counted_and_a_good_connection_is_not(
    service: Service, certificates: Certificates
) -> None:
    address = service.server.listeners[SECURE].socket.getsockname()
    with service.connect_to_admin() as admin:
        with Client(address, tls=certificates.client_context()) as client:
            assert client.get("/").status == 200
            client.tls.raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
            with pytest.raises(ssl.SSLError):
                client.answer()
        assert wait_until(lambda: turned_away(admin, service, SECURE, "bad_record") == 1)
        assert sum(all_turned_away(admin).values()) == 1


def test_who_leaves_or_is_sent_away_by_a_stop_is_not_counted(
    service: Service, certificates: Certificates
) -> None:
    tally = service.server._lanes.tally
    assert tally is not None
    half = client_hello(certificates.client_context())[:20]
    with service.connect(listener=MUTUAL, bare=True) as waits:
        waits.send(half)
        with service.connect(listener=MUTUAL, bare=True) as client:
            client.send(half).reset()
        with service.connect(listener=MUTUAL, bare=True) as client:
            assert client.send(half).half_close().read_to_end() == b""
        assert service.stop()
        assert waits.read_to_end() == b""
    assert tally.turned_away() == {}
