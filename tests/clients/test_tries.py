"""Retries and redirects: none unless they are asked for, and then within the rules."""

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

    from tests.clients.conftest import MakeClients
    from tests.clients.nginx import Site
    from tests.clients.upstream import Peer


def fails_first(times: int) -> Callable[[Peer, Upstream], None]:
    """Closes the first connections without an answer."""

    def behave(peer: Peer, upstream: Upstream) -> None:
        request = peer.request()
        if request is not None:
            upstream.received.put(request)
            if peer.number > times:
                peer.answer()

    return behave


@pytest.mark.parametrize(("retries", "connections"), [(0, 1), (1, 2), (2, 3)])
def test_an_idempotent_call_that_lost_its_connection_is_retried_as_often_as_is_said(
    make_clients: MakeClients, retries: int, connections: int
) -> None:
    with Upstream(fails_first(10)) as upstream:
        make_clients(api=ClientSettings(base_url=upstream.url, retries=retries))

        async def main() -> None:
            with pytest.raises(http.ProtocolError, match="closed before an answer"):
                await http.Client("api").get("/")

        asyncio.run(main())
        assert upstream.connections == connections


def test_a_retry_that_succeeds_is_the_answer(make_clients: MakeClients) -> None:
    with Upstream(fails_first(1)) as upstream:
        make_clients(api=ClientSettings(base_url=upstream.url, retries=1))

        async def main() -> http.Response:
            return await http.Client("api").get("/")

        assert asyncio.run(main()).status == 200


def test_a_post_is_retried_only_where_there_was_no_connection(make_clients: MakeClients) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    make_clients(api=ClientSettings(base_url=f"http://127.0.0.1:{port}", retries=1))

    async def main() -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(http.ConnectError):
            await http.Client("api").post("/")
        assert loop.time() - began < 0.4  # the first further try comes at once

    asyncio.run(main())
    with Upstream(fails_first(10)) as upstream:
        make_clients(other=ClientSettings(base_url=upstream.url, retries=3))

        async def lost() -> None:
            with pytest.raises(http.ProtocolError):
                await http.Client("other").post("/")

        asyncio.run(lost())
        assert upstream.connections == 1


def test_a_status_is_never_retried(make_clients: MakeClients) -> None:
    def unavailable(peer: Peer, upstream: Upstream) -> None:
        while (request := peer.request()) is not None:
            upstream.received.put(request)
            peer.answer(b"", 503)

    with Upstream(unavailable) as upstream:
        make_clients(api=ClientSettings(base_url=upstream.url, retries=5))

        async def main() -> http.Response:
            return await http.Client("api").get("/")

        assert asyncio.run(main()).status == 503
        assert upstream.received.qsize() == 1


def test_a_redirect_is_the_answer_unless_it_is_to_be_followed(make_clients: MakeClients, nginx: Site) -> None:
    make_clients(
        stays=ClientSettings(base_url=nginx.plain),
        follows=ClientSettings(base_url=nginx.plain, follow_redirects=True),
    )

    async def main() -> list[http.Response]:
        return [await http.Client(name).get("/moved") for name in ("stays", "follows")]

    stayed, followed = asyncio.run(main())
    assert stayed.status == 302
    assert followed.status == 200
    assert b"HTTP/1.1" in followed.body


def redirects(status: int, location: str) -> Callable[[Peer, Upstream], None]:
    def behave(peer: Peer, upstream: Upstream) -> None:
        while (request := peer.request()) is not None:
            upstream.received.put(request)
            if request.target == "/from":
                peer.answer(b"", status, f"Location: {location}")
            else:
                peer.answer()

    return behave


@pytest.mark.parametrize(
    ("status", "method", "then", "body"),
    [
        (301, "GET", "GET", b""),
        (301, "POST", "GET", b""),
        (302, "POST", "GET", b""),
        (302, "PUT", "PUT", b"x"),
        (303, "PUT", "GET", b""),
        (303, "HEAD", "HEAD", b""),
        (307, "POST", "POST", b"x"),
        (308, "POST", "POST", b"x"),
    ],
)
def test_a_redirect_keeps_or_changes_the_method_as_http_says(
    make_clients: MakeClients, status: int, method: str, then: str, body: bytes
) -> None:
    with Upstream(redirects(status, "/to")) as upstream:
        make_clients(api=ClientSettings(base_url=upstream.url, follow_redirects=True))

        async def main() -> http.Response:
            content = None if method in ("GET", "HEAD") else b"x"
            return await http.Client("api").request(method, "/from", body=content)

        assert asyncio.run(main()).status == 200
        upstream.received.get(timeout=10)
        followed = upstream.received.get(timeout=10)
    assert (followed.method, followed.target, followed.body) == (then, "/to", body)


def test_credentials_do_not_follow_a_redirect_to_another_origin(make_clients: MakeClients) -> None:
    with Upstream() as other, Upstream(redirects(302, f"{other.url}/to")) as upstream:
        make_clients(api=ClientSettings(base_url=upstream.url, follow_redirects=True))

        async def main() -> http.Response:
            headers = {"Authorization": "Bearer s", "Cookie": "a=b", "X-Kept": "yes"}
            return await http.Client("api").get("/from", headers=headers)

        response = asyncio.run(main())
        followed = other.received.get(timeout=10)
    assert str(getattr(response, "url", "")) == f"{other.url}/to"
    assert followed.get("host") == other.url.removeprefix("http://")
    assert [followed.get(name) for name in ("authorization", "cookie", "x-kept")] == [None, None, "yes"]


@pytest.mark.parametrize(
    ("location", "complaint"),
    [("/from", "redirected over 20 times"), ("ftp://a/", "the redirect leads nowhere: .*no http or https")],
)
def test_a_redirect_that_leads_nowhere_is_a_protocol_error(
    make_clients: MakeClients, location: str, complaint: str
) -> None:
    with Upstream(redirects(302, location)) as upstream:
        make_clients(api=ClientSettings(base_url=upstream.url, follow_redirects=True))

        async def main() -> None:
            with pytest.raises(http.ProtocolError, match=complaint):
                await http.Client("api").get("/from")

        asyncio.run(main())


def test_a_redirect_may_name_its_path_in_bare_utf_8(make_clients: MakeClients) -> None:
    def behave(peer: Peer, upstream: Upstream) -> None:
        while (request := peer.request()) is not None:
            upstream.received.put(request)
            location = () if peer.number > 1 or request.target != "/" else ("Location: /caf\xc3\xa9",)
            peer.answer(b"", 302 if location else 200, *location)

    with Upstream(behave) as upstream:
        make_clients(api=ClientSettings(base_url=upstream.url, follow_redirects=True))
        assert asyncio.run(http.Client("api").get("/")).status == 200
        targets = [upstream.received.get(timeout=10).target for _ in range(2)]
    assert targets == ["/", "/caf%C3%A9"]
