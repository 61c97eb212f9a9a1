"""Mutual TLS: who is let in, and what a script sees of them."""

from __future__ import annotations

import hashlib
import json
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.client import Client

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.certificates import Certificates, Identity
    from tests.service import Service

SCRIPT = """
    import json
    from siphon import http

    def shown(req):
        c = req.client_cert
        return http.Response(body=json.dumps([c.subject, c.sans, c.fingerprint] if c else None))

    @http.route("/sync")
    def sync(req):
        return shown(req)

    @http.route("/async")
    async def asynchronous(req):
        return shown(req)
"""


@pytest.fixture
def service(serve: Callable[..., Service], certificates: Certificates) -> Service:
    """A listener that wants a certificate of its clients."""
    return serve(
        SCRIPT,
        tls=certificates.server_settings(mutual=True),
        client_tls=certificates.client_context(certificates.client),
    )


def fingerprint(identity: Identity) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(identity.certificate.read_text())).hexdigest()


@pytest.mark.parametrize("lane", ["sync", "async"])
def test_a_script_sees_who_the_client_is(service: Service, certificates: Certificates, lane: str) -> None:
    with service.connect() as client:
        for _ in range(2):
            subject, sans, digest = json.loads(client.get(f"/{lane}").body)
            assert subject == "CN=test client"
            assert sans == [
                "DNS:client.example",
                "email:client@example.org",
                "URI:spiffe://example.org/client",
            ]
            assert digest == fingerprint(certificates.client)


def test_each_connection_has_its_own_certificate(service: Service, certificates: Certificates) -> None:
    second = certificates.authority.issue("second", client=True)
    other = certificates.client_context(second)
    with service.connect() as one, Client(("127.0.0.1", service.port), tls=other) as two:
        for client, name in ((one, "CN=test client"), (two, "CN=second")) * 2:
            assert json.loads(client.get("/async").body)[0] == name
        assert json.loads(two.get("/async").body)[1:] == [[], fingerprint(second)]


def test_where_no_certificate_is_wanted_none_is_seen(
    serve: Callable[..., Service], certificates: Certificates
) -> None:
    service = serve(SCRIPT, tls=certificates.server_settings())
    with Client(("127.0.0.1", service.port), tls=certificates.client_context(certificates.client)) as client:
        assert json.loads(client.get("/async").body) is None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("kind", "alert", "reason"),
    [
        ("none", "certificate required|handshake failure", "peer did not return a certificate"),
        ("stranger", "unknown ca", "certificate verify failed: unable to get local issuer certificate"),
        ("past", "certificate expired", "certificate verify failed: certificate has expired"),
        ("server", "unsupported certificate", "certificate verify failed: unsuitable certificate purpose"),
    ],
)
def test_who_cannot_show_a_valid_certificate_is_told_why_and_logged_once(
    service: Service,
    certificates: Certificates,
    logged: Callable[[], list[str]],
    version: ssl.TLSVersion,
    kind: str,
    alert: str,
    reason: str,
) -> None:
    identities = {
        "none": None,
        "stranger": certificates.stranger,
        "past": certificates.authority.issue("past", client=True, expired=True),
        "server": certificates.server,
    }
    context = certificates.client_context(identities[kind])
    context.minimum_version = context.maximum_version = version
    for _ in range(3):
        # In TLS 1.3 a client takes its own handshake for complete before the server has looked at it.
        with (
            pytest.raises(ssl.SSLError, match=f"(?i)alert ({alert})"),
            Client(("127.0.0.1", service.port), tls=context) as client,
        ):
            client.get("/async")
    lines = logged()
    assert len(lines) == 1, lines
    assert f"a TLS connection has failed: {reason}; the first is 127.0.0.1:" in lines[0]
    with service.connect() as client:
        assert client.get("/async").status == 200


def test_curl_shows_its_certificate_as_one_pem(service: Service, certificates: Certificates) -> None:
    command = ["curl", "-sS", "--max-time", "20", "--cacert", str(certificates.authority.certificate)]
    url = f"https://localhost:{service.port}/sync"
    with_one = subprocess.run(
        [*command, "--cert", str(certificates.client.combined), url],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert json.loads(with_one.stdout)[0] == "CN=test client"
    without = subprocess.run([*command, url], capture_output=True, text=True, check=False, timeout=30)
    assert (without.stdout, without.returncode) == ("", 56)
    assert "certificate required" in without.stderr
