"""HTTP/2 with real servers: nginx, and nghttpd, which pads its frames and ends bodies with trailers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from siphon import http
from siphon.config.settings import ClientSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.certificates import Certificates
    from tests.clients.conftest import MakeClients
    from tests.clients.nginx import Site

HUGE = bytes(range(256)) * 65_536
UPLOAD = HUGE[:10_000_000]

type Upstreams = Callable[[str], str]


@pytest.fixture
def base(request: pytest.FixtureRequest) -> Upstreams:
    """The URL of an upstream by name; only the one that is asked for is started."""

    def url(name: str) -> str:
        if name.startswith("nginx"):
            site: Site = request.getfixturevalue("nginx")
            return site.h2c if name == "nginx, h2c" else site.http2
        found: str = request.getfixturevalue("nghttp2" if name == "nghttpd, h2c" else "nghttp2_tls")
        return found

    return url


@pytest.fixture
def client(make_clients: MakeClients, certificates: Certificates) -> http.Client:
    """Speaks h2c to http URLs, and over TLS what is negotiated."""
    settings = ClientSettings(http2_prior_knowledge=True, verify=str(certificates.authority.certificate))
    make_clients(any=settings)
    return http.Client("any")


PEERS = pytest.mark.parametrize("peer", ["nginx, h2c", "nginx, TLS", "nghttpd, h2c", "nghttpd, TLS"])


@PEERS
def test_a_large_body_comes_whole_and_head_has_none(client: http.Client, base: Upstreams, peer: str) -> None:
    async def main(url: str) -> None:
        response = await client.get(f"{url}/huge.bin")
        assert (response.status, response.body == HUGE) == (200, True)
        response = await client.head(f"{url}/huge.bin")
        assert (response.status, response.body) == (200, b"")
        assert response.header("content-length") == str(len(HUGE))
        assert (await client.get(f"{url}/none")).status == 404

    asyncio.run(main(base(peer)))


@PEERS
def test_many_large_bodies_come_at_once(client: http.Client, base: Upstreams, peer: str) -> None:
    async def main(url: str) -> None:
        responses = await asyncio.gather(*[client.get(f"{url}/huge.bin") for _ in range(3)])
        assert all(response.body == HUGE for response in responses)

    asyncio.run(main(base(peer)))


@pytest.mark.parametrize("peer", ["nghttpd, h2c", "nghttpd, TLS"])
def test_ten_megabytes_go_up_and_come_back(client: http.Client, base: Upstreams, peer: str) -> None:
    async def main(url: str) -> None:
        responses = await asyncio.gather(*[client.put(f"{url}/echo", body=UPLOAD) for _ in range(3)])
        assert all(response.body == UPLOAD for response in responses)
        assert all(response.header("x-check") is None for response in responses)

    asyncio.run(main(base(peer)))


@pytest.mark.parametrize("peer", ["nginx, h2c", "nginx, TLS"])
def test_ten_megabytes_go_up_to_nginx(client: http.Client, base: Upstreams, peer: str) -> None:
    async def main(url: str) -> None:
        response = await client.post(f"{url}/upload", body=UPLOAD)
        assert response.body == f"POST /echo  {len(UPLOAD)}\n".encode()

    asyncio.run(main(base(peer)))


@pytest.mark.parametrize("peer", ["nginx, h2c", "nginx, TLS"])
def test_300_calls_at_once_share_one_connection_to_nginx(
    client: http.Client, base: Upstreams, peer: str
) -> None:
    """Nginx takes 128 streams at a time, and says on which connection it was asked."""

    async def main(url: str) -> None:
        responses = await asyncio.gather(*[client.get(f"{url}/who") for _ in range(300)])
        said = {response.body.split()[0] for response in responses}
        assert len(said) == 1
        assert {response.body.split()[1] for response in responses} == {b"HTTP/2.0"}
        assert responses[0].headers.get_all("set-cookie") == ["a=1", "b=2"]

    asyncio.run(main(base(peer)))


@pytest.mark.parametrize("peer", ["nghttpd, h2c", "nghttpd, TLS"])
def test_300_calls_at_once_to_an_upstream_that_takes_ten(
    client: http.Client, base: Upstreams, peer: str
) -> None:
    async def main(url: str) -> None:
        responses = await asyncio.gather(*[client.post(f"{url}/echo", body=b"x" * n) for n in range(300)])
        assert [len(response.body) for response in responses if response.status == 200] == list(range(300))

    asyncio.run(main(base(peer)))


@PEERS
def test_calls_that_are_cancelled_leave_the_others_alone(
    client: http.Client, base: Upstreams, peer: str
) -> None:
    async def main(url: str) -> None:
        for _ in range(3):
            doomed = [asyncio.create_task(client.get(f"{url}/huge.bin")) for _ in range(5)]
            kept = asyncio.create_task(client.get(f"{url}/huge.bin"))
            await asyncio.sleep(0)
            for task in doomed:
                task.cancel()
            assert (await kept).body == HUGE

    asyncio.run(main(base(peer)))


def test_a_server_that_speaks_no_http2_is_asked_in_http1(
    client: http.Client, nginx: Site, certificates: Certificates
) -> None:
    async def main() -> None:
        responses = await asyncio.gather(*[client.get(f"{nginx.tls}/who") for _ in range(20)])
        assert {response.body.split()[1] for response in responses} == {b"HTTP/1.1"}

    asyncio.run(main())


def test_prior_knowledge_of_what_is_not_so_is_named(client: http.Client, nginx: Site) -> None:
    async def main() -> None:
        with pytest.raises(http.ProtocolError, match="HTTP/2"):
            await client.get(f"{nginx.plain}/who")

    asyncio.run(main())
