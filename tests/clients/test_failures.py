"""Upstreams that misbehave: each gives its own error, which names the call, and no wrong answer."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from siphon import http
from siphon.config.settings import ClientSettings
from tests.clients.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Callable

    from siphon.client.clients import Clients
    from tests.clients.conftest import MakeClients
    from tests.clients.nginx import Site
    from tests.clients.upstream import Peer

PART = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npart"


def says(*data: bytes, reset: bool = False) -> Callable[[Peer, Upstream], None]:
    """Reads each request, sends ``data`` and closes."""

    def behave(peer: Peer, upstream: Upstream) -> None:
        peer.request()
        for piece in data:
            peer.send(piece)
        if reset:
            peer.reset()

    return behave


@pytest.mark.parametrize(
    ("behave", "complaint", "broke_off"),
    [
        (says(), "closed before an answer", True),
        (says(reset=True), "the connection was lost: Connection reset by peer", True),
        (says(PART[:20]), "closed within the head", True),
        (says(PART), "closed with 6 bytes of the body missing", True),
        (says(PART, reset=True), "Connection reset by peer|6 bytes of the body missing", True),
        (says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe"), "breaks the rules", True),
        (says(b"what?\r\n\r\n"), "breaks the rules of HTTP/1.1", False),
        (
            says(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
            "breaks the rules",
            False,
        ),
        (
            says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: a\r\n\r\n"),
            "without a pending proposal",
            False,
        ),
    ],
)
def test_a_broken_answer_is_a_protocol_error(
    clients: Clients, behave: Callable[[Peer, Upstream], None], complaint: str, broke_off: bool
) -> None:
    async def main(url: str) -> None:
        async with http.Client(base_url=url) as client:
            with pytest.raises(http.ProtocolError, match=complaint) as error:
                await client.post("/x", body=b"y")
            assert str(error.value).startswith(f"POST {url}/x: ")
            assert (error.value.method, error.value.url) == ("POST", f"{url}/x")
            assert error.value.broke_off is broke_off
            assert error.value.__cause__ is not None

    with Upstream(behave) as upstream:
        asyncio.run(main(upstream.url))
        assert upstream.connections == 1


def test_nobody_who_listens_is_a_connect_error(clients: Clients) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    async def main() -> None:
        async with http.Client(base_url=f"http://u:secret@127.0.0.1:{port}") as client:
            with pytest.raises(http.ConnectError) as error:
                await client.get("/x")
            assert str(error.value) == f"GET http://127.0.0.1:{port}/x: Connection refused"
            assert isinstance(error.value.__cause__, ConnectionRefusedError)

    asyncio.run(main())


def test_a_name_without_an_address_is_a_connect_error(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = socket.getaddrinfo

    def unknown(host: bytes, port: int, **options: int) -> object:
        if options.get("flags"):
            return ask(host, port, **options)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    async def main() -> None:
        async with http.Client() as client:
            with pytest.raises(http.ConnectError, match=r"nowhere\.example has no address: Name or service"):
                await client.get("http://nowhere.example/")

    asyncio.run(main())


@pytest.mark.parametrize("name", ["a..example", "a" * 64 + ".example"])
def test_what_no_name_can_be_has_no_address(clients: Clients, name: str) -> None:
    async def main() -> None:
        async with http.Client() as client:
            with pytest.raises(http.ConnectError, match=f"{name} has no address: "):
                await client.get(f"http://{name}/")

    asyncio.run(main())


def test_each_address_of_a_name_is_tried(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        refused = closed.getsockname()
    with Upstream() as upstream:
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", address)
            for address in (refused, ("127.0.0.1", upstream.port))
        ]
        ask = socket.getaddrinfo

        def two(host: bytes, port: int, **options: int) -> object:
            return ask(host, port, **options) if options.get("flags") else found

        monkeypatch.setattr(socket, "getaddrinfo", two)

        async def main() -> http.Response:
            async with http.Client() as client:
                return await client.get("http://both.example/")

        assert asyncio.run(main()).body == b"ok"


def test_an_answer_before_the_request_is_sent_is_still_an_answer(clients: Clients) -> None:
    def refuse(peer: Peer, upstream: Upstream) -> None:
        while b"\r\n\r\n" not in peer.sock.recv(65_536):
            pass
        peer.answer(b"too much", 413, "Connection: close")
        upstream.released.wait(20)

    async def main(url: str) -> http.Response:
        async with http.Client(base_url=url) as client:
            return await client.post("/x", body=bytes(32 << 20))

    with Upstream(refuse) as upstream:
        response = asyncio.run(main(upstream.url))
    assert (response.status, response.body) == (413, b"too much")


def test_an_answer_before_the_request_is_sent_and_a_close_is_still_an_answer(clients: Clients) -> None:
    def refuse(peer: Peer, upstream: Upstream) -> None:
        while b"\r\n\r\n" not in peer.sock.recv(65_536):
            pass
        peer.answer(b"too much", 413)
        peer.sock.shutdown(socket.SHUT_RDWR)

    async def main(url: str) -> http.Response:
        async with http.Client(base_url=url) as client:
            return await client.post("/x", body=bytes(32 << 20))

    with Upstream(refuse) as upstream:
        response = asyncio.run(main(upstream.url))
        assert (response.status, response.body) == (413, b"too much")


def test_an_interim_answer_does_not_end_the_sending(clients: Clients) -> None:
    def go_on(peer: Peer, upstream: Upstream) -> None:
        peer.sock.recv(1, socket.MSG_PEEK)
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        request = peer.request()
        assert request is not None
        peer.answer(str(len(request.body)).encode())

    async def main(url: str) -> http.Response:
        async with http.Client(base_url=url) as client:
            return await client.put("/x", body=bytes(8 << 20), headers={"Expect": "100-continue"})

    with Upstream(go_on) as upstream:
        assert asyncio.run(main(upstream.url)).body == str(8 << 20).encode()


def test_a_body_over_max_response_bytes_is_refused_and_one_of_just_that_size_is_not(
    clients: Clients, nginx: Site
) -> None:
    async def main() -> None:
        async with http.Client(base_url=nginx.plain, max_response_bytes=1024) as client:
            assert len((await client.get("/kib.txt")).body) == 1024
        async with http.Client(base_url=nginx.plain, max_response_bytes=1023) as client:
            with pytest.raises(http.ProtocolError, match="larger than 1023 bytes"):
                await client.get("/kib.txt")

    asyncio.run(main())


@pytest.mark.parametrize("path", ["/large.txt", "/gzip", "/chunked", "/huge.bin"])
def test_large_compressed_and_chunked_bodies_arrive_whole(clients: Clients, nginx: Site, path: str) -> None:
    async def main() -> http.Response:
        async with http.Client(base_url=nginx.plain) as client:
            return await client.get(path)

    response = asyncio.run(main())
    assert response.body == (bytes(range(256)) * 65_536 if path == "/huge.bin" else nginx.large)
    assert "content-encoding" not in response.headers


def test_without_decoding_the_body_and_its_fields_are_as_they_came(clients: Clients, nginx: Site) -> None:
    async def main() -> http.Response:
        async with http.Client(base_url=nginx.plain, decode=False) as client:
            return await client.get("/gzip", headers={"Accept-Encoding": "gzip"})

    response = asyncio.run(main())
    assert response.header("content-encoding") == "gzip"
    assert response.body[:2] == b"\x1f\x8b"


def test_a_body_of_16_mib_is_uploaded(clients: Clients, nginx: Site) -> None:
    async def main() -> http.Response:
        async with http.Client(base_url=nginx.plain) as client:
            return await client.put("/upload", body=bytes(16 << 20))

    assert asyncio.run(main()).body.split() == [b"PUT", b"/echo", str(16 << 20).encode()]


# A reused connection that the upstream has closed ----------------------------------------------


def closes_on_the_second(peer: Peer, upstream: Upstream) -> None:
    """Answers the first request of a connection, and closes on the second without a word."""
    for _ in range(2):
        request = peer.request()
        if request is None:
            return
        upstream.received.put(request)
        if upstream.received.qsize() % 2 or peer.number > 1:
            peer.answer()
        else:
            return


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_an_idempotent_call_on_a_stale_connection_is_sent_once_more(
    make_clients: MakeClients, method: str
) -> None:
    with Upstream(closes_on_the_second) as upstream:
        make_clients(api=ClientSettings(base_url=upstream.url))

        async def main() -> None:
            client = http.Client("api")
            await client.get("/first")
            assert (await client.request(method, "/second")).status == 200

        asyncio.run(main())
        targets = [upstream.received.get(timeout=10).target for _ in range(3)]
    assert targets == ["/first", "/second", "/second"]
    assert upstream.connections == 2


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_call_that_is_not_idempotent_is_never_sent_twice(make_clients: MakeClients, method: str) -> None:
    with Upstream(closes_on_the_second) as upstream:
        make_clients(api=ClientSettings(base_url=upstream.url, retries=3))

        async def main() -> None:
            client = http.Client("api")
            await client.get("/first")
            with pytest.raises(http.ProtocolError, match="closed before an answer"):
                await client.request(method, "/second", body=b"pay")

        asyncio.run(main())
        targets = [upstream.received.get(timeout=10).target for _ in range(2)]
        assert targets == ["/first", "/second"]
        assert upstream.received.empty()
        assert upstream.connections == 1


def test_a_reset_of_a_reused_connection_is_stale_as_well(make_clients: MakeClients) -> None:
    def behave(peer: Peer, upstream: Upstream) -> None:
        while (request := peer.request()) is not None:
            if request.target == "/second" and peer.number == 1:
                peer.reset()
                return
            peer.answer()

    with Upstream(behave) as upstream:
        make_clients(api=ClientSettings(base_url=upstream.url))

        async def main() -> None:
            client = http.Client("api")
            await client.get("/first")
            assert (await client.get("/second")).status == 200

        asyncio.run(main())
        assert upstream.connections == 2


def test_a_post_on_a_connection_that_has_visibly_closed_goes_to_a_new_one(make_clients: MakeClients) -> None:
    def once(peer: Peer, upstream: Upstream) -> None:
        peer.request()
        peer.answer()
        peer.sock.shutdown(socket.SHUT_RDWR)
        upstream.released.set()

    with Upstream(once) as upstream:
        make_clients(api=ClientSettings(base_url=upstream.url))

        async def main() -> None:
            client = http.Client("api")
            await client.post("/first", body=b"1")
            assert await asyncio.to_thread(upstream.released.wait, 10)
            assert (await client.post("/second", body=b"2")).status == 200

        asyncio.run(main())
        assert upstream.connections == 2


def test_a_part_of_an_answer_is_no_stale_connection(make_clients: MakeClients) -> None:
    def behave(peer: Peer, upstream: Upstream) -> None:
        peer.request()
        peer.answer()
        peer.request()
        peer.send(b"H")

    with Upstream(behave) as upstream:
        make_clients(api=ClientSettings(base_url=upstream.url))

        async def main() -> None:
            client = http.Client("api")
            await client.get("/first")
            with pytest.raises(http.ProtocolError, match="closed within the head"):
                await client.get("/second")

        asyncio.run(main())
        assert upstream.connections == 1
