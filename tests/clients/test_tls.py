"""TLS to real servers: whom a client trusts, who it says it is, and what it says when that fails."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from siphon import http
from siphon.config.settings import ClientSettings
from tests.clients.h2_upstream import H2Peer
from tests.clients.h2_upstream import serve_well as serve_http2_well
from tests.clients.upstream import Peer, Upstream

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from siphon.client.clients import Clients
    from tests.certificates import Certificates, Identity
    from tests.clients.conftest import MakeClients
    from tests.clients.nginx import Site


def get(url: str, **arguments: Any) -> http.Response:
    """One call of an inline client."""

    async def main() -> http.Response:
        async with http.Client(base_url=url, **arguments) as client:
            return await client.get("/who")

    return asyncio.run(main())


def context(identity: Identity) -> ssl.SSLContext:
    """A server's context."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(*identity.pair)
    return made


def test_a_custom_authority_is_trusted(clients: Clients, nginx: Site, certificates: Certificates) -> None:
    assert get(nginx.tls, verify=str(certificates.authority.certificate)).status == 200


def test_the_system_s_roots_are_trusted_unless_others_are_given(
    clients: Clients, nginx: Site, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(http.TLSError, match="the certificate is refused: unable to get local issuer"):
        get(nginx.tls)
    # What OpenSSL takes for the system's file of roots.
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority.certificate))
    assert get(nginx.tls).status == 200


def test_whoever_verifies_nothing_trusts_anybody(clients: Clients, nginx: Site) -> None:
    assert get(nginx.tls, verify=False).status == 200


@pytest.mark.parametrize(
    ("choose", "reason"),
    [
        (lambda made: made.expired, "certificate has expired"),
        (lambda made: made.other_host, "IP address mismatch, certificate is not valid for '127.0.0.1'"),
        (lambda made: made.stranger, "unable to get local issuer certificate"),
    ],
    ids=["expired", "another host's", "another authority's"],
)
def test_a_wrong_certificate_is_a_tls_error_with_the_reason(
    clients: Clients, certificates: Certificates, choose: Callable[[Certificates], Identity], reason: str
) -> None:
    with (
        Upstream(tls=context(choose(certificates))) as upstream,
        pytest.raises(
            http.TLSError, match=f"^GET {upstream.url}/who: the certificate is refused: .*{reason}"
        ) as error,
    ):
        get(upstream.url, verify=str(certificates.authority.certificate))
    assert isinstance(error.value.__cause__, ssl.SSLCertVerificationError)
    assert upstream.received.empty()


@pytest.mark.parametrize("as_pair", [True, False], ids=["pair", "combined"])
def test_a_client_shows_its_certificate(
    clients: Clients, nginx: Site, certificates: Certificates, as_pair: bool
) -> None:
    identity = certificates.client
    cert = identity.pair if as_pair else str(identity.combined)
    response = get(nginx.mutual, verify=str(certificates.authority.certificate), cert=cert)
    assert b"CN=test client" in response.body


def test_a_named_client_takes_its_files_from_the_configuration(
    make_clients: MakeClients, nginx: Site, certificates: Certificates
) -> None:
    identity = certificates.client
    make_clients(
        api=ClientSettings(
            base_url=nginx.mutual,
            verify=str(certificates.authority.certificate),
            cert=str(identity.certificate),
            key=str(identity.key),
        )
    )

    async def main() -> http.Response:
        return await http.Client("api").get("/who")

    assert b"CN=test client" in asyncio.run(main()).body


def test_without_a_certificate_a_server_that_asks_for_one_refuses(
    clients: Clients, nginx: Site, certificates: Certificates
) -> None:
    response = get(nginx.mutual, verify=str(certificates.authority.certificate))
    assert response.status == 400  # nginx says so in HTTP


def test_a_file_that_is_no_certificate_is_a_tls_error_that_names_it(
    clients: Clients, nginx: Site, tmp_path: Path, certificates: Certificates
) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("nothing")
    with pytest.raises(http.TLSError, match=f"verify: {wrong} is no file of CA certificates in PEM"):
        get(nginx.tls, verify=str(wrong))
    with pytest.raises(http.TLSError, match=f"cert: {wrong} and {wrong} hold no certificate and its key"):
        get(nginx.tls, cert=(str(wrong), str(wrong)))
    mismatched = (str(certificates.client.certificate), str(certificates.server.key))
    with pytest.raises(http.TLSError, match=r"hold no certificate and its key.*key values mismatch"):
        get(nginx.tls, cert=mismatched)


def test_a_server_that_speaks_no_tls_is_a_tls_error(clients: Clients) -> None:
    def plain(peer: Any, upstream: Upstream) -> None:
        peer.sock.recv(65_536)
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with Upstream(plain) as upstream, pytest.raises(http.TLSError):
        get(upstream.url.replace("http:", "https:"))


def test_the_files_are_read_once_for_a_client(
    clients: Clients, nginx: Site, certificates: Certificates, tmp_path: Path
) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_bytes(certificates.authority.certificate.read_bytes())

    async def main() -> None:
        async with http.Client(verify=str(roots)) as client:
            assert (await client.get(f"{nginx.tls}/who")).status == 200
            roots.write_text("nothing")
            assert (await client.get(f"{nginx.tls.replace('127.0.0.1', 'localhost')}/who")).status == 200

    asyncio.run(main())


def test_http_1_1_over_tls_uses_as_many_connections_as_the_pool_has(
    make_clients: MakeClients, certificates: Certificates
) -> None:
    with Upstream(tls=context(certificates.server)) as upstream:
        make_clients(
            api=ClientSettings(
                base_url=upstream.url, verify=str(certificates.authority.certificate), pool_size=4
            )
        )

        async def main() -> None:
            client = http.Client("api")
            responses = await asyncio.gather(*[client.get("/") for _ in range(100)])
            assert {response.status for response in responses} == {200}

        asyncio.run(main())
        assert 1 <= upstream.connections <= 4


@pytest.mark.parametrize("says_goodbye", [True, False])
def test_a_body_ends_with_the_connection_only_where_tls_says_so(
    clients: Clients, certificates: Certificates, says_goodbye: bool
) -> None:
    def until_the_end(peer: Peer, upstream: Upstream) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nall of it, or is it?")
        assert isinstance(peer.sock, ssl.SSLSocket)
        if says_goodbye:
            peer.sock.unwrap()
        else:
            peer.sock.shutdown(socket.SHUT_RDWR)

    roots = str(certificates.authority.certificate)
    with Upstream(until_the_end, tls=context(certificates.server)) as upstream:
        if says_goodbye:
            assert get(upstream.url, verify=roots).body == b"all of it, or is it?"
        else:
            with pytest.raises(http.ProtocolError, match="the connection was lost"):
                get(upstream.url, verify=roots)


def test_a_kept_connection_may_be_replaced_by_one_that_speaks_http_2(
    make_clients: MakeClients, certificates: Certificates
) -> None:
    def behave(peer: Peer, upstream: Upstream) -> None:
        tls = context(certificates.server)
        tls.set_alpn_protocols(["http/1.1"] if peer.number == 1 else ["h2"])
        with tls.wrap_socket(peer.sock.dup(), server_side=True) as sock:
            secure = Peer(sock, peer.number)
            if peer.number > 1:
                serve_http2_well(H2Peer(secure))
                return
            assert secure.request() is not None
            secure.answer()
            secure.request()  # closed instead of an answer
            peer.sock.shutdown(socket.SHUT_RDWR)

    with Upstream(behave) as upstream:
        settings = ClientSettings(
            base_url=f"https://127.0.0.1:{upstream.port}", verify=str(certificates.authority.certificate)
        )
        make_clients(api=settings)

        async def main() -> list[bytes]:
            return [(await http.Client("api").get(path)).body for path in ("/1", "/2", "/3")]

        assert asyncio.run(main()) == [b"ok", b"/2", b"/3"]
        assert upstream.connections == 2
