"""``http.Client`` as a script sees it: names, arguments, calls, what comes back."""

from __future__ import annotations

import asyncio
import base64
import gzip
import inspect
import json
from typing import TYPE_CHECKING, Any

import pytest

from siphon import http
from siphon.client.outbound import serve_process
from siphon.config.settings import ClientSettings
from tests.clients.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from siphon.client.clients import Clients
    from tests.clients.conftest import MakeClients
    from tests.clients.nginx import Site
    from tests.clients.upstream import Peer


def test_a_named_client_asks_the_upstream_that_is_configured(make_clients: MakeClients, nginx: Site) -> None:
    make_clients(api=ClientSettings(base_url=nginx.plain))

    async def main() -> http.Response:
        async with http.Client("api") as client:
            return (await client.get("/kib.txt")).raise_for_status()

    response = asyncio.run(main())
    assert (response.status, response.body) == (200, b"x" * 1024)
    assert response.header("Content-Type") == "text/plain"


def test_header_names_are_in_lower_case_and_repeated_ones_can_be_had(clients: Clients, nginx: Site) -> None:
    async def main() -> http.Response:
        async with http.Client(base_url=nginx.plain) as client:
            return await client.get("/kib.txt")

    response = asyncio.run(main())
    assert all(name == name.lower() for name in response.headers)
    assert response.headers.get_all("Set-Cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize("method", ["get", "head", "options", "delete", "post", "put", "patch"])
def test_every_verb_sends_its_method(clients: Clients, method: str) -> None:
    async def main(url: str) -> http.Response:
        async with http.Client(base_url=url) as client:
            verb: Callable[[str], Awaitable[http.Response]] = getattr(client, method)
            return await verb("/x")

    with Upstream() as upstream:
        assert asyncio.run(main(upstream.url)).status == 200
        request = upstream.received.get(timeout=10)
    assert (request.method, request.target) == (method.upper(), "/x")
    assert request.get("content-length") == ("0" if method in ("post", "put", "patch") else None)
    assert request.get("host") == upstream.url.removeprefix("http://")


def test_the_seed_s_signatures_hold() -> None:
    parameters = inspect.signature(http.Client).parameters
    assert parameters["name"].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    named = ["base_url", "verify", "cert", "timeout_ms", "http2_prior_knowledge"]
    assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in named)
    for verb in ("get", "delete", "post", "put", "patch", "head", "options", "request"):
        assert inspect.iscoroutinefunction(getattr(http.Client, verb))


@pytest.mark.parametrize(
    ("given", "sent", "content_type"),
    [
        ({"body": b"\x00raw"}, b"\x00raw", None),
        ({"body": "t\u00e4xt"}, "t\u00e4xt".encode(), None),
        ({"body": bytearray(b"x")}, b"x", None),
        ({"json": {"a": [1, None, "\u00e4"]}}, '{"a":[1,null,"\u00e4"]}'.encode(), "application/json"),
        (
            {"json": {}, "headers": {"content-type": "application/vnd.a+json"}},
            b"{}",
            "application/vnd.a+json",
        ),
    ],
)
def test_bodies_are_sent_as_given(
    clients: Clients, given: dict[str, Any], sent: bytes, content_type: str | None
) -> None:
    async def main(url: str) -> None:
        async with http.Client(base_url=url) as client:
            await client.post("/x", **given)

    with Upstream() as upstream:
        asyncio.run(main(upstream.url))
        request = upstream.received.get(timeout=10)
    assert request.body == sent
    assert request.get("content-type") == content_type
    assert request.get("content-length") == str(len(sent))


def test_params_are_appended_to_the_query(clients: Clients) -> None:
    async def main(url: str) -> None:
        async with http.Client(base_url=url) as client:
            await client.get("/x?a=1", params={"b": "2 3", "c": ["4", "5"], "d": 6})
            await client.get("/x", params=[("a", "&")])
            await client.get("/x#f", params={})

    with Upstream() as upstream:
        asyncio.run(main(upstream.url))
        targets = [upstream.received.get(timeout=10).target for _ in range(3)]
    assert targets == ["/x?a=1&b=2+3&c=4&c=5&d=6", "/x?a=%26", "/x"]


def test_headers_replace_the_client_s_own_and_may_repeat(clients: Clients) -> None:
    async def main(url: str) -> None:
        async with http.Client(base_url=url) as client:
            headers = {
                "User-Agent": "mine",
                "host": "other.example",
                "X-A": ["1", "2"],
                "accept-encoding": "br",
            }
            await client.get("/", headers=headers)

    with Upstream() as upstream:
        asyncio.run(main(upstream.url))
        request = upstream.received.get(timeout=10)
    assert [request.get(name) for name in ("user-agent", "host", "x-a", "accept-encoding")] == [
        "mine",
        "other.example",
        "1, 2",
        "br",
    ]


def test_credentials_in_the_base_url_are_sent_and_not_shown(clients: Clients) -> None:
    async def main(url: str) -> http.Response:
        async with http.Client(base_url=url.replace("http://", "http://me:s3cret@")) as client:
            return await client.get("/x")

    def refuse(peer: Peer, upstream: Upstream) -> None:
        request = peer.request()
        assert request is not None
        upstream.received.put(request)
        peer.answer(b"", 401)

    with Upstream(refuse) as upstream:
        response = asyncio.run(main(upstream.url))
        assert upstream.received.get(timeout=10).get("authorization") == "Basic bWU6czNjcmV0"
    with pytest.raises(http.HTTPStatusError) as error:
        response.raise_for_status()
    assert str(error.value) == f"GET {upstream.url}/x: 401 Unauthorized"
    assert (error.value.method, error.value.url) == ("GET", f"{upstream.url}/x")
    assert error.value.response is response


def test_an_unknown_name_is_refused_with_those_there_are(make_clients: MakeClients) -> None:
    make_clients(api=ClientSettings(), users=ClientSettings())
    with pytest.raises(ValueError, match="no client 'nope' under clients; there are: 'api', 'users'"):
        http.Client("nope")


def test_a_name_together_with_other_arguments_is_refused(make_clients: MakeClients) -> None:
    make_clients(api=ClientSettings())
    with pytest.raises(ValueError, match="leave out base_url, timeout_ms, or leave out the name"):
        http.Client("api", base_url="http://a", timeout_ms=5)
    with pytest.raises(ValueError, match="leave out http2_prior_knowledge"):
        http.Client("api", http2_prior_knowledge=True)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"base_url": "ftp://a"}, "base_url .*no http or https URL"),
        ({"base_url": 5}, "base_url must be a URL"),
        ({"timeout_ms": 0}, "timeout_ms must be a whole number from 1"),
        ({"timeout_ms": 1.5}, "timeout_ms must be a whole number from 1"),
        ({"pool_size": 0}, "pool_size must be"),
        ({"verify": "/nowhere.pem"}, "verify: cannot read '/nowhere.pem': No such file"),
        ({"cert": ("/nowhere.pem", "/none.key")}, "cert: cannot read '/nowhere.pem'"),
    ],
)
def test_a_wrong_argument_is_refused_when_the_client_is_made(
    clients: Clients, given: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        http.Client(**given)


def test_cert_of_another_shape_is_refused(clients: Clients) -> None:
    with pytest.raises(TypeError, match="a PEM file or a pair"):
        http.Client(cert=("a", "b", "c"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"path": "/x\r\nX: y"}, r"control character U\+000D"),
        ({"path": "http://other.example/"}, "base_url"),
        ({"method": "GE T"}, "no HTTP method"),
        ({"method": "GET\r\n"}, "no HTTP method"),
        ({"method": "CONNECT"}, "tunnel"),
        ({"headers": {"X-A": "a\r\nB: c"}}, "header X-A: .* has a character that no header value can have"),
        ({"headers": {"X-A": "snow \u2603"}}, "header X-A"),
        ({"headers": {"X A": "a"}}, "'X A' is no header name"),
        ({"headers": {"": "a"}}, "'' is no header name"),
        ({"headers": {"Transfer-Encoding": "chunked"}}, "header Transfer-Encoding is not for a request"),
        ({"headers": {"Content-Length": "5"}, "body": b"four"}, "Content-Length does not say 4"),
        ({"headers": [("Host", "a"), ("host", "b")]}, "Host is given twice"),
        ({"body": b"", "json": 1}, "body or json, not both"),
    ],
)
def test_a_wrong_argument_of_a_call_is_refused_and_nothing_is_sent(
    clients: Clients, arguments: dict[str, Any], complaint: str
) -> None:
    async def main(url: str) -> None:
        async with http.Client(base_url=url) as client:
            await client.request(**{"method": "GET", "path": "/", **arguments})

    with Upstream() as upstream:
        with pytest.raises(ValueError, match=complaint):
            asyncio.run(main(upstream.url))
        assert upstream.connections == 0


def test_without_a_base_url_calls_take_whole_urls(clients: Clients) -> None:
    async def main(url: str) -> http.Response:
        async with http.Client() as client:
            with pytest.raises(ValueError, match="no whole URL, and the client has no base_url"):
                await client.get("/x")
            return await client.get(f"{url}/x")

    with Upstream() as upstream:
        assert asyncio.run(main(upstream.url)).body == b"ok"


def test_a_closed_client_refuses_calls_and_closing_twice_is_harmless(clients: Clients) -> None:
    async def main() -> None:
        client = http.Client(base_url="http://127.0.0.1:1")
        async with client:
            pass
        await client.aclose()
        with pytest.raises(RuntimeError, match="has been closed"):
            await client.get("/")

    asyncio.run(main())


def test_outside_siphon_a_client_says_what_is_missing() -> None:
    serve_process(None)  # whatever other tests have left
    with pytest.raises(ValueError, match=r"python -m siphon script\.py"):
        http.Client("api")


def test_a_json_answer_can_be_read(clients: Clients) -> None:
    def behave(peer: Peer, upstream: Upstream) -> None:
        peer.request()
        peer.answer(b'{"a":1}', 200, "Content-Type: application/json")

    async def main(url: str) -> http.Response:
        async with http.Client(base_url=url) as client:
            return await client.get("/")

    with Upstream(behave) as upstream:
        assert json.loads(asyncio.run(main(upstream.url)).body) == {"a": 1}


@pytest.mark.parametrize(
    ("userinfo", "sent"),
    [("token", "token:"), (":pass", ":pass"), ("a:b:c", "a:b:c"), ("%C3%BC:x", "ü:x"), ("", None)],
)
def test_credentials_are_a_user_and_a_password(clients: Clients, userinfo: str, sent: str | None) -> None:
    async def main(url: str) -> None:
        async with http.Client() as client:
            await client.get(url.replace("http://", f"http://{userinfo}@"))

    with Upstream() as upstream:
        asyncio.run(main(upstream.url))
        field = upstream.received.get(timeout=10).get("authorization")
    assert field == (None if sent is None else f"Basic {base64.b64encode(sent.encode()).decode()}")


def test_a_part_of_an_encoded_body_is_handed_over_as_it_is(clients: Clients) -> None:
    whole = gzip.compress(bytes(range(256)))

    def part(peer: Peer, upstream: Upstream) -> None:
        request = peer.request()
        assert request is not None
        upstream.received.put(request)
        fields = ("Content-Encoding: gzip", f"Content-Range: bytes 0-9/{len(whole)}")
        peer.answer(whole[:10], 206, *fields)

    async def main(url: str) -> http.Response:
        async with http.Client(base_url=url) as client:
            return await client.get("/", headers={"Range": "bytes=0-9"})

    with Upstream(part) as upstream:
        response = asyncio.run(main(upstream.url))
        assert upstream.received.get(timeout=10).get("accept-encoding") is None
    assert (response.status, response.body, response.header("content-encoding")) == (206, whole[:10], "gzip")
