"""What the tests' own certificates say, according to a TLS stack."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, cast

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.certificates import Certificates, Identity


def handshake(
    identity: Identity, authority: Path, host: str, *, client: Identity | None = None
) -> ssl.SSLObject:
    """Shakes hands in memory, as a client that checks ``host``; returns the server's side."""
    here = ssl.create_default_context(cafile=str(authority))
    there = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority))
    there.load_cert_chain(*identity.pair)
    if client is not None:
        here.load_cert_chain(client.combined)
        there.verify_mode = ssl.CERT_REQUIRED
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [here.wrap_bio(down, up, server_hostname=host), there.wrap_bio(up, down, server_side=True)]
    for _ in range(4):
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    for side in sides:
        side.do_handshake()  # SSLWantReadError: it has not come to its end
    return sides[1]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_the_server_is_believed_under_each_of_its_names(certificates: Certificates, host: str) -> None:
    handshake(certificates.server, certificates.authority.certificate, host)


@pytest.mark.parametrize(
    ("kind", "problem"), [("expired", "certificate has expired"), ("other_host", "Hostname mismatch")]
)
def test_a_wrong_server_is_refused(certificates: Certificates, kind: str, problem: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=problem):
        handshake(getattr(certificates, kind), certificates.authority.certificate, "localhost")


def test_the_client_is_known_by_its_names(certificates: Certificates) -> None:
    authority = certificates.authority.certificate
    side = handshake(certificates.server, authority, "localhost", client=certificates.client)
    found = cast("dict[str, object]", side.getpeercert())
    assert found["subject"] == ((("commonName", "test client"),),)
    assert found["subjectAltName"] == (
        ("DNS", "client.example"),
        ("email", "client@example.org"),
        ("URI", "spiffe://example.org/client"),
    )


def test_a_stranger_is_refused(certificates: Certificates) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(
            certificates.server,
            certificates.authority.certificate,
            "localhost",
            client=certificates.stranger,
        )
