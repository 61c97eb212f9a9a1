"""Proxies in the environment, read as curl reads them, and real calls through a real proxy."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import threading
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived

from siphon import http
from siphon.client.proxies import proxy_for
from siphon.url import Origin, parse_url
from tests.clients.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from siphon.client.clients import Clients
    from tests.certificates import Certificates
    from tests.clients.nginx import Site
    from tests.clients.upstream import Peer

VARIABLES = ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY")
PLAIN = Origin("http", "a.example", 80)
SECURE = Origin("https", "a.example", 443)


@pytest.mark.parametrize(
    ("origin", "environ", "proxy"),
    [
        (PLAIN, {}, None),
        (PLAIN, {"http_proxy": "http://p:3128"}, "http://p:3128/"),
        (PLAIN, {"http_proxy": "p:3128"}, "http://p:3128/"),
        (PLAIN, {"http_proxy": ""}, None),
        # In a CGI program it is what the client sent as "Proxy:".
        (PLAIN, {"HTTP_PROXY": "http://p:3128"}, None),
        (PLAIN, {"https_proxy": "http://p:3128"}, None),
        (PLAIN, {"ALL_PROXY": "http://q"}, "http://q/"),
        (SECURE, {"HTTPS_PROXY": "http://p", "https_proxy": "http://q"}, "http://q/"),
        (SECURE, {"HTTPS_PROXY": "http://p", "all_proxy": "http://q"}, "http://p/"),
        (SECURE, {"http_proxy": "http://p"}, None),
    ],
)
def test_the_variables_are_read_as_curl_reads_them(
    origin: Origin, environ: dict[str, str], proxy: str | None
) -> None:
    found = proxy_for(origin, environ)
    assert (None if found is None else str(found)) == proxy


@pytest.mark.parametrize(
    ("host", "exceptions", "is_excepted"),
    [
        ("a.example", "*", True),
        ("a.example", "a.example", True),
        ("a.example", "example", True),
        ("a.example", ".example", True),
        ("a.example", "b.example, .example", True),
        ("a.example", "A.EXAMPLE", True),
        ("aa.example", "a.example", False),
        ("a.example", "a.example.com", False),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("::1", "[::1]", True),
        ("::1", "127.0.0.0/8", False),
        ("a.example", "", False),
    ],
)
def test_no_proxy_names_hosts_domains_and_networks(host: str, exceptions: str, is_excepted: bool) -> None:
    environ = {"all_proxy": "http://p", "NO_PROXY": exceptions}
    assert (proxy_for(Origin("http", host, 80), environ) is None) is is_excepted


@pytest.mark.parametrize("value", ["socks5://p:1080", "https://p", "http://p p"])
def test_a_proxy_of_another_kind_is_refused_with_the_variable(value: str) -> None:
    with pytest.raises(ValueError, match=r"^all_proxy: "):
        proxy_for(PLAIN, {"all_proxy": value})


def test_a_proxy_keeps_its_credentials() -> None:
    proxy = proxy_for(PLAIN, {"http_proxy": "http://me:secret@p"})
    assert proxy == parse_url("http://me:secret@p")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without proxies."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


class Tinyproxy:
    """A real proxy that wants a password. ``said``: the lines of its log so far."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://me:secret@127.0.0.1:{port}"
        self._configuration = folder / "tinyproxy.conf"
        self._configuration.write_text(
            f"Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 50\nLogLevel Info\nBasicAuth me secret\n"
        )
        self.said: SimpleQueue[str] = SimpleQueue()

    @contextmanager
    def running(self) -> Iterator[Tinyproxy]:
        """Starts it and waits until it serves; ends it with the block."""
        process = subprocess.Popen(
            ["tinyproxy", "-d", "-c", str(self._configuration)], stdout=subprocess.PIPE, text=True
        )
        reader = threading.Thread(target=self._read, args=(process,))
        reader.start()
        try:
            self.wait_for("Accepting connections")
            yield self
        finally:
            process.terminate()
            process.wait(timeout=20)
            reader.join()
            assert process.stdout is not None
            process.stdout.close()

    def wait_for(self, text: str) -> str:
        """The next line of the log with ``text`` in it."""
        while text not in (line := self.said.get(timeout=20)):
            pass
        return line

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.said.put(line)


@pytest.fixture(scope="module")
def tinyproxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tinyproxy]:
    """A running proxy."""
    if shutil.which("tinyproxy") is None:
        if os.environ.get("CI"):
            pytest.fail("tinyproxy is missing: scripts/apt.sh test installs it")
        pytest.skip("tinyproxy is not installed")
    with Tinyproxy(tmp_path_factory.mktemp("tinyproxy")).running() as proxy:
        yield proxy


def get(url: str, **arguments: Any) -> http.Response:
    """One call of an inline client."""

    async def main() -> http.Response:
        async with http.Client(base_url=url, **arguments) as client:
            return await client.get("/who")

    return asyncio.run(main())


def test_http_goes_through_the_proxy_as_a_whole_url(
    clients: Clients, environment: pytest.MonkeyPatch, nginx: Site, tinyproxy: Tinyproxy
) -> None:
    environment.setenv("http_proxy", tinyproxy.url)
    assert get(nginx.plain).status == 200
    assert f"GET {nginx.plain}/who HTTP/1.1" in tinyproxy.wait_for("Request")


def test_https_goes_through_a_tunnel_and_is_verified_end_to_end(
    clients: Clients,
    environment: pytest.MonkeyPatch,
    nginx: Site,
    tinyproxy: Tinyproxy,
    certificates: Certificates,
) -> None:
    environment.setenv("HTTPS_PROXY", tinyproxy.url)
    roots = str(certificates.authority.certificate)
    assert get(nginx.tls, verify=roots).status == 200
    assert f"CONNECT {nginx.tls.removeprefix('https://')} HTTP/1.1" in tinyproxy.wait_for("Request")
    with pytest.raises(http.TLSError, match="the certificate is refused"):
        get(nginx.tls)


def test_a_proxy_that_refuses_is_a_connect_error_for_https_and_an_answer_for_http(
    clients: Clients, environment: pytest.MonkeyPatch, nginx: Site, tinyproxy: Tinyproxy
) -> None:
    environment.setenv("all_proxy", tinyproxy.url.replace("secret", "wrong"))
    with pytest.raises(http.ConnectError, match=r"the proxy 127\.0\.0\.1:\d+ refuses: .* 401") as error:
        get(nginx.tls)
    assert "wrong" not in str(error.value)
    assert get(nginx.plain).status == 401


def test_no_proxy_and_trust_env_lead_past_it(
    clients: Clients, environment: pytest.MonkeyPatch, nginx: Site
) -> None:
    with Upstream(lambda peer, upstream: peer.reset()) as proxy:
        environment.setenv("http_proxy", proxy.url)
        assert get(nginx.plain, trust_env=False).status == 200
        environment.setenv("no_proxy", "localhost,127.0.0.0/8")
        assert get(nginx.plain).status == 200
        assert proxy.connections == 0


def test_a_proxy_that_nobody_can_use_is_refused_with_the_variable(
    clients: Clients, environment: pytest.MonkeyPatch, nginx: Site
) -> None:
    environment.setenv("http_proxy", "socks5://127.0.0.1:1")
    with pytest.raises(ValueError, match=r"^http_proxy: .* is no http or https URL"):
        get(nginx.plain)


def test_an_origin_that_speaks_first_through_a_tunnel_is_heard(
    environment: pytest.MonkeyPatch, clients: Clients
) -> None:
    def tunnel(peer: Peer, upstream: Upstream) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += peer.sock.recv(1)
        assert head.startswith(b"CONNECT origin.example:80 ")
        state = H2Connection(H2Configuration(client_side=False))
        state.initiate_connection()
        peer.send(b"HTTP/1.1 200 OK\r\nVia: x\r\n\r\n" + state.data_to_send())
        while data := peer.sock.recv(65_536):
            for event in state.receive_data(data):
                if isinstance(event, RequestReceived):
                    state.send_headers(event.stream_id, [(":status", "204")], end_stream=True)
            peer.send(state.data_to_send())

    with Upstream(tunnel) as proxy:
        environment.setenv("http_proxy", proxy.url)
        assert get("http://origin.example", http2_prior_knowledge=True).status == 204


def test_a_proxy_without_an_address_is_named(environment: pytest.MonkeyPatch, clients: Clients) -> None:
    environment.setenv("http_proxy", "http://nowhere.invalid:3128")
    with pytest.raises(http.ConnectError, match=r"nowhere\.invalid has no address: "):
        get("http://origin.example")
