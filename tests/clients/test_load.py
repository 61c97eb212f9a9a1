"""What is said of clients' connections and calls, while they are at work."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from h2.settings import SettingCodes

from siphon import http
from siphon.client.load import Load, total
from siphon.config.settings import ClientSettings, TcpAddress
from tests.clients.h2_upstream import H2Upstream, serve_well
from tests.clients.upstream import Upstream
from tests.service import Service
from tests.stress.leaks import wait_until
from tests.threads.test_admin import scrape

if TYPE_CHECKING:
    from pathlib import Path

    from siphon.client.clients import Clients
    from tests.clients.conftest import MakeClients
    from tests.clients.h2_upstream import H2Peer
    from tests.clients.upstream import Peer

NOTHING = Load(0, 0, 0)


def hold(peer: Peer, upstream: Upstream) -> None:
    """Answers once the test says so."""
    while peer.request() is not None:
        upstream.released.wait(20)
        peer.answer()


async def shows(clients: Clients, name: str, load: Load) -> bool:
    return await asyncio.to_thread(wait_until, lambda: clients.loads()[name] == load)


def test_calls_beyond_the_pool_wait_and_its_connections_stay_when_they_are_done(
    make_clients: MakeClients,
) -> None:
    with Upstream(hold) as upstream:
        unused = ClientSettings(base_url=upstream.url)
        clients = make_clients(api=ClientSettings(base_url=upstream.url, pool_size=2), unused=unused)

        async def main() -> None:
            client = http.Client("api")
            assert clients.loads() == {"api": NOTHING, "unused": NOTHING, "inline": NOTHING}
            calls = [asyncio.create_task(client.get("/")) for _ in range(5)]
            assert await shows(clients, "api", Load(2, 2, 3))
            calls.pop().cancel()
            assert await shows(clients, "api", Load(2, 2, 2))
            upstream.released.set()
            await asyncio.gather(*calls)
            assert await shows(clients, "api", Load(2, 0, 0))
            assert clients.loads()["unused"] == clients.loads()["inline"] == NOTHING

        asyncio.run(main())


def test_a_connection_that_is_closed_is_none_any_more(make_clients: MakeClients) -> None:
    def answer_once(peer: Peer, upstream: Upstream) -> None:
        peer.request()
        peer.answer(b"ok", 200, "Connection: close")

    with Upstream(answer_once) as upstream:
        clients = make_clients(api=ClientSettings(base_url=upstream.url))

        async def main() -> None:
            assert (await http.Client("api").get("/")).body == b"ok"
            assert await shows(clients, "api", NOTHING)

        asyncio.run(main())


def test_inline_clients_and_all_origins_are_counted_together(clients: Clients) -> None:
    with Upstream(hold) as one, Upstream(hold) as two:

        async def main() -> None:
            async with http.Client(pool_size=1) as first, http.Client(pool_size=2) as second:
                calls = [asyncio.create_task(first.get(f"{url}/")) for url in (one.url, two.url) * 2]
                calls += [asyncio.create_task(second.get(f"{one.url}/"))]
                assert await shows(clients, "inline", Load(3, 3, 2))
                one.released.set()
                two.released.set()
                await asyncio.gather(*calls)
                assert await shows(clients, "inline", Load(3, 0, 0))
            assert clients.loads() == {"inline": NOTHING}

        asyncio.run(main())


def test_over_http2_one_connection_carries_all_that_the_upstream_takes(make_clients: MakeClients) -> None:
    gate = threading.Event()

    def behave(peer: H2Peer) -> None:
        heads = [peer.head() for _ in range(2)]
        assert gate.wait(20)
        for head in heads:
            assert head is not None
            peer.answer(head.stream)
        serve_well(peer)

    with H2Upstream(behave, {SettingCodes.MAX_CONCURRENT_STREAMS: 2}) as upstream:
        clients = make_clients(api=ClientSettings(base_url=upstream.url, http2_prior_knowledge=True))

        async def main() -> None:
            client = http.Client("api")
            calls = [asyncio.create_task(client.get("/"))]
            assert await shows(clients, "api", Load(1, 1, 0))
            (pool,) = clients.named("api")._by_origin.values()
            # Until it has been heard of the client opens more streams.
            assert await asyncio.to_thread(wait_until, lambda: limit_of(pool.slots.multiplexed) == 2)
            calls += [asyncio.create_task(client.get("/")) for _ in range(4)]
            assert await shows(clients, "api", Load(1, 2, 3))
            gate.set()
            await asyncio.gather(*calls)
            assert await shows(clients, "api", Load(1, 0, 0))

        asyncio.run(main())


def limit_of(connection: object) -> object:
    """How many streams the upstream has been heard to take; None before there is a connection."""
    return getattr(getattr(connection, "_streams", None), "_streams_max", None)


def test_a_connection_that_takes_no_more_calls_counts_until_its_last_is_done(
    make_clients: MakeClients,
) -> None:
    gate = threading.Event()

    def behave(peer: H2Peer) -> None:
        head = peer.head()
        assert head is not None
        if peer.number == 1:
            peer.go_away(head.stream)
            assert gate.wait(20)
            peer.respond(head.stream, end=True)
        else:
            peer.answer(head.stream)
        peer.wait_for_end()

    with H2Upstream(behave) as upstream:
        clients = make_clients(api=ClientSettings(base_url=upstream.url, http2_prior_knowledge=True))

        async def main() -> None:
            client = http.Client("api")
            first = asyncio.create_task(client.get("/"))
            assert await shows(clients, "api", Load(1, 1, 0))
            (pool,) = clients.named("api")._by_origin.values()
            assert await asyncio.to_thread(wait_until, lambda: bool(pool.slots.ending))
            assert clients.loads()["api"] == Load(1, 1, 0)
            assert (await client.get("/")).status == 200
            assert await shows(clients, "api", Load(2, 1, 0))
            gate.set()
            assert (await first).status == 200
            assert await shows(clients, "api", Load(1, 0, 0))

        asyncio.run(main())


def test_the_whole_is_the_sum_of_its_parts() -> None:
    assert total([]) == NOTHING
    assert total([Load(1, 2, 3), Load(10, 20, 30)]) == Load(11, 22, 33)


SCRIPT = """
    from siphon import http

    api = http.Client("api")

    @http.route("/")
    async def relay(req):
        return http.Response(body=(await api.get("/")).body)
"""


def test_metrics_show_them_by_client(tmp_path: Path) -> None:
    with Upstream(hold) as upstream:
        api = ClientSettings(base_url=upstream.url, pool_size=2)
        given = {"clients": {"api": api, "unused": api}, "admin": TcpAddress("127.0.0.1", 0)}
        service = Service(SCRIPT, tmp_path / "app", **given)
        service.start()
        callers = [service.connect().send("GET / HTTP/1.1\r\nHost: a\r\n\r\n") for _ in range(5)]
        with service.connect_to_admin() as admin:
            assert wait_until(lambda: shown(scrape(admin))["api"] == Load(2, 2, 3))
            upstream.released.set()
            for caller in callers:
                assert caller.answer().body == b"ok"
                caller.close()
            assert wait_until(lambda: shown(scrape(admin))["api"] == Load(2, 0, 0))
            assert shown(scrape(admin)) == {"api": Load(2, 0, 0), "unused": NOTHING, "inline": NOTHING}
        assert service.stop()


def shown(samples: dict[str, float]) -> dict[str, tuple[float, ...]]:
    """What a scrape says of each client."""
    names = ("siphon_client_connections", "siphon_client_calls_in_flight", "siphon_client_calls_waiting")
    clients = [name[:-1].partition("{client=")[2] for name in samples if name.startswith(names[0])]
    return {client: tuple(samples[f"{name}{{client={client}}}"] for name in names) for client in clients}
