"""TLS with peers that others have written: versions and ciphers, names, resumption, curl and openssl."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.client import Client, request
from tests.tls_socket import TlsSocket

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

    @http.route("/echo", methods=["POST"])
    async def echo(req):
        return http.Response(body=req.body())
"""


@pytest.fixture
def service(serve: Callable[..., Service], certificates: Certificates) -> Service:
    """A listener that speaks TLS."""
    return serve(SCRIPT, tls=certificates.server_settings(), client_tls=certificates.client_context())


def s_client(service: Service, *options: str, said: str = "") -> subprocess.CompletedProcess[str]:
    """What ``openssl s_client`` makes of the listener, when it is told ``said`` and then the end."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{service.port}", *options]
    return subprocess.run(command, input=said, capture_output=True, text=True, check=False, timeout=30)


# Versions and ciphers ----------------------------------------------------------------------------

MODERN = {
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
}
SUITES = {name for name in MODERN if name.startswith("TLS_")} | {
    "TLS_AES_128_CCM_SHA256",
    "TLS_AES_128_CCM_8_SHA256",
}


@pytest.mark.parametrize(
    ("option", "version"),
    [("-tls1", None), ("-tls1_1", None), ("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")],
)
def test_tls_1_2_and_1_3_are_spoken_and_nothing_older(
    service: Service, option: str, version: str | None
) -> None:
    # The level lets this client offer what it would not by itself.
    ran = s_client(service, option, "-cipher", "ALL:@SECLEVEL=0")
    found = re.search(r"^New, (TLSv[0-9.]+), Cipher is", ran.stdout, re.MULTILINE)
    assert (None if found is None else found[1]) == version
    if version is None:
        assert re.search("alert protocol version|no protocols available", ran.stderr)


def ciphers(option: str, names: str) -> list[str]:
    """Every cipher that this openssl knows for a version."""
    listed = subprocess.run(
        ["openssl", "ciphers", "-s", option, names], capture_output=True, text=True, check=True, timeout=30
    )
    return listed.stdout.strip().split(":")


def test_every_cipher_that_openssl_knows_is_refused_but_the_modern_ones(service: Service) -> None:
    names = ciphers("-tls1_2", "ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    offered = {name: ("-tls1_2", "-cipher", f"{name}:@SECLEVEL=0") for name in names}
    offered |= {name: ("-tls1_3", "-ciphersuites", name) for name in SUITES}
    assert len(offered) > 60
    refused = {name for name in offered if "Cipher is (NONE)" in s_client(service, *offered[name]).stdout}
    assert set(offered) - refused == MODERN


def test_no_compression_and_no_renegotiation(service: Service) -> None:
    ran = s_client(service, "-tls1_2")
    assert "Compression: NONE" in ran.stdout
    assert "Secure Renegotiation IS supported" in ran.stdout  # a client may ask, and is refused
    # A line with R asks for it; -ign_eof would wait for the server's end.
    ran = s_client(service, "-tls1_2", said="R\n")
    assert "no renegotiation" in ran.stderr


def test_fresh_keys_are_given_to_who_asks(service: Service) -> None:
    """TLS 1.3's key update, for which a line with K makes openssl ask: the connection goes on."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{service.port}", "-tls1_3", "-crlf"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, bufsize=1) as peer:
        assert peer.stdin is not None
        assert peer.stdout is not None
        assert peer.stderr is not None
        for _ in range(20):
            peer.stdin.write("K\n")
            while (line := peer.stderr.readline()) != "KEYUPDATE\n":
                assert line
        peer.stdin.write("GET / HTTP/1.1\nHost: a\nConnection: close\n\n")
        lines = peer.stdout.read().splitlines()
    assert "HTTP/1.1 200 OK" in lines
    assert lines[-1] == "closed"


# Extensions --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["h2", "http/1.1"], "http/1.1"),
        (["http/1.1"], "http/1.1"),
        (["h2"], None),
        (["spdy/3", "x"], None),
        ([], None),
    ],
)
def test_http_1_1_is_chosen_by_alpn(
    service: Service, certificates: Certificates, offered: list[str], chosen: str | None
) -> None:
    context = certificates.client_context()
    if offered:
        context.set_alpn_protocols(offered)
    address = ("127.0.0.1", service.port)
    with Client(address, tls=context) as client:
        assert client.tls.tls.selected_alpn_protocol() == chosen
        assert client.get("/").body == b"hello"


@pytest.mark.parametrize("host", ["localhost", "nobody.example", "127.0.0.1", None, "x" * 63 + ".example"])
def test_whatever_name_a_client_asks_for_it_gets_the_one_certificate(
    service: Service, certificates: Certificates, host: str | None
) -> None:
    context = certificates.client_context()
    context.check_hostname = False
    with service.connect(bare=True) as client:
        assert isinstance(client.sock, socket.socket)
        client.sock = TlsSocket(client.sock, context, host)
        shown = client.tls.tls.getpeercert(binary_form=True)
        assert shown == ssl.PEM_cert_to_DER_cert(certificates.server.certificate.read_text())
        assert client.get("/").status == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("mutual", [False, True])
def test_a_session_is_resumed(
    serve: Callable[..., Service], certificates: Certificates, version: ssl.TLSVersion, mutual: bool
) -> None:
    service = serve(
        """
        from siphon import http

        @http.route("/")
        async def who(req):
            return http.Response(body=str(req.client_cert and req.client_cert.subject))
        """,
        tls=certificates.server_settings(mutual=mutual),
    )
    context = certificates.client_context(certificates.client)
    context.minimum_version = context.maximum_version = version
    session: ssl.SSLSession | None = None
    for resumed in (False, True):
        with (
            socket.create_connection(("127.0.0.1", service.port), 10) as raw,
            context.wrap_socket(raw, server_hostname="localhost", session=session) as sock,
        ):
            sock.sendall(request("/", "Connection: close"))
            answer = b""
            while data := sock.recv(65_536):
                answer += data
            assert sock.session_reused is resumed
            assert answer.endswith(b"CN=test client" if mutual else b"None")
            session = sock.session


# Whole programs ----------------------------------------------------------------------------------


def test_curl_makes_several_requests_on_one_connection(
    service: Service, certificates: Certificates, tmp_path: Path
) -> None:
    body = tmp_path / "body"
    body.write_bytes(bytes(range(256)) * 3_000)
    command = ["curl", "-sS", "--cacert", str(certificates.authority.certificate), "--max-time", "20"]
    url = f"https://localhost:{service.port}"
    upload = ["--data-binary", f"@{body}", "-o", str(tmp_path / "back"), f"{url}/echo"]
    figures = ["-w", "%{http_code} %{http_version} %{num_connects} %{ssl_verify_result}\n"]
    ran = subprocess.run(
        [*command, *figures, *upload, "--next", *command[1:], *figures, "-o", str(tmp_path / "x"), f"{url}/"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert ran.stdout.split("\n") == ["200 1.1 1 0", "200 1.1 0 0", ""]
    assert (tmp_path / "back").read_bytes() == body.read_bytes()
    assert (tmp_path / "x").read_bytes() == b"hello"


def test_python_s_own_client_is_served(service: Service, certificates: Certificates) -> None:
    url = f"https://127.0.0.1:{service.port}/"
    with urllib.request.urlopen(url, timeout=10, context=certificates.client_context()) as answer:
        assert (answer.status, answer.read()) == (200, b"hello")


NODE = """
const https = require("https"), fs = require("fs");
const agent = new https.Agent({keepAlive: true, maxSockets: 1, ca: fs.readFileSync(process.argv[2])});
const get = () => new Promise((done, fail) =>
  https.get({host: "localhost", port: process.argv[1], agent, family: 4}, (res) => {
    let body = ""; res.on("data", (d) => body += d); res.on("end", () => done(body + res.req.reusedSocket));
  }).on("error", fail));
(async () => { console.log(await get(), await get()); agent.destroy(); })();
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_node_keeps_its_connection(service: Service, certificates: Certificates) -> None:
    ran = subprocess.run(
        ["node", "-e", NODE, str(service.port), str(certificates.authority.certificate)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (ran.stdout, ran.stderr) == ("hellofalse hellotrue\n", "")
