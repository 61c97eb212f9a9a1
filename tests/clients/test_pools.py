"""Who shares connections with whom, how many there are, and when they close: seen from the upstream."""

from __future__ import annotations

import asyncio
import gc
import threading
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import pytest

from siphon import http
from siphon.client.outbound import serving
from siphon.config.settings import ClientSettings
from tests.clients.upstream import Upstream

if TYPE_CHECKING:
    from siphon.client.clients import Clients
    from siphon.client.outbound import Transport
    from tests.clients.conftest import MakeClients
    from tests.clients.upstream import Peer


def client_threads() -> int:
    """How many I/O threads this process has."""
    return sum(thread.name.startswith("siphon-client-") for thread in threading.enumerate())


def test_named_clients_share_connections_across_clients_loops_and_threads(make_clients: MakeClients) -> None:
    with Upstream() as upstream:
        clients = make_clients(api=ClientSettings(base_url=upstream.url))

        async def main() -> None:
            for _ in range(3):
                async with http.Client("api") as client:
                    await client.get("/")

        def on_a_thread() -> None:
            with serving(clients):
                asyncio.run(main())

        asyncio.run(main())
        thread = threading.Thread(target=on_a_thread)
        thread.start()
        thread.join(20)
        assert upstream.received.qsize() == 6
        assert upstream.connections == 1


def test_one_client_serves_many_loops_at_once(make_clients: MakeClients) -> None:
    with Upstream() as upstream:
        make_clients(api=ClientSettings(base_url=upstream.url, pool_size=2))
        client = http.Client("api")

        async def main() -> int:
            responses = await asyncio.gather(*[client.get("/") for _ in range(25)])
            return sum(response.status == 200 for response in responses)

        answered: list[int] = []
        threads = [threading.Thread(target=lambda: answered.append(asyncio.run(main()))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert answered == [25] * 4
        assert upstream.connections <= 2


def test_pool_size_caps_the_connections_of_an_origin(make_clients: MakeClients) -> None:
    arrived = threading.Semaphore(0)

    def hold(peer: Peer, upstream: Upstream) -> None:
        while peer.request() is not None:
            arrived.release()
            upstream.released.wait(20)
            peer.answer()

    with Upstream(hold) as upstream:
        make_clients(api=ClientSettings(base_url=upstream.url, pool_size=3))

        async def main() -> None:
            client = http.Client("api")
            calls = [asyncio.create_task(client.get("/")) for _ in range(20)]
            for _ in range(3):
                assert await asyncio.to_thread(arrived.acquire, timeout=10)
            assert upstream.connections == 3
            # Seventeen wait, and hold no thread.
            assert client_threads() == 3
            upstream.released.set()
            assert [response.status for response in await asyncio.gather(*calls)] == [200] * 20

        asyncio.run(main())
        assert upstream.connections == 3


def test_each_origin_has_a_cap_of_its_own(make_clients: MakeClients) -> None:
    with Upstream() as first, Upstream() as second:
        make_clients(any=ClientSettings(pool_size=1))

        async def main() -> None:
            client = http.Client("any")
            for upstream in (first, second, first, second):
                await client.get(f"{upstream.url}/")

        asyncio.run(main())
        assert (first.connections, second.connections) == (1, 1)


def test_threads_are_capped_over_all_clients_and_none_starves(make_clients: MakeClients) -> None:
    with Upstream() as first, Upstream() as second:
        make_clients(
            threads_max=2,
            a=ClientSettings(base_url=first.url, pool_size=8),
            b=ClientSettings(base_url=second.url, pool_size=8),
        )

        async def main() -> None:
            named = [http.Client("a"), http.Client("b")]
            responses = await asyncio.gather(*[named[number % 2].get("/") for number in range(200)])
            assert {response.status for response in responses} == {200}

        asyncio.run(main())
        assert client_threads() == 2
        assert first.received.qsize() == second.received.qsize() == 100


def test_a_thousand_waiting_calls_cost_no_thread_each(make_clients: MakeClients) -> None:
    with Upstream() as upstream:
        make_clients(api=ClientSettings(base_url=upstream.url, pool_size=4))

        async def main() -> None:
            client = http.Client("api")
            responses = await asyncio.gather(*[client.get("/") for _ in range(1000)])
            assert {response.body for response in responses} == {b"ok"}

        asyncio.run(main())
        assert client_threads() == 4


def test_equal_inline_clients_share_connections_and_the_last_one_closes_them(clients: Clients) -> None:
    closed = threading.Event()

    def behave(peer: Peer, upstream: Upstream) -> None:
        while peer.request() is not None:
            peer.answer()
        closed.set()

    with Upstream(behave) as upstream:

        async def main() -> None:
            async with http.Client(base_url=upstream.url) as first:
                async with http.Client(base_url=upstream.url) as second:
                    await first.get("/")
                    await second.get("/")
                assert not closed.is_set()
                await first.get("/")
                async with http.Client(base_url=upstream.url, timeout_ms=1234) as other:
                    await other.get("/")
            assert await asyncio.to_thread(closed.wait, 10)

        asyncio.run(main())
        assert upstream.connections == 2


def test_leaving_a_block_closes_no_named_client(make_clients: MakeClients) -> None:
    with Upstream() as upstream:
        make_clients(api=ClientSettings(base_url=upstream.url))

        async def main() -> None:
            client = http.Client("api")
            for _ in range(2):
                async with client:
                    await client.get("/")

        asyncio.run(main())
        assert upstream.connections == 1


def test_a_client_that_nobody_closes_is_counted_out_when_it_is_collected(clients: Clients) -> None:
    closed = threading.Event()

    def behave(peer: Peer, upstream: Upstream) -> None:
        while peer.request() is not None:
            peer.answer()
        closed.set()

    async def forget(url: str) -> None:
        await http.Client(base_url=url).get("/")

    with Upstream(behave) as upstream:
        asyncio.run(forget(upstream.url))
        gc.collect()
        # It takes effect with the next client that is made or closed.
        http.Client(base_url="http://127.0.0.1:1")
        assert closed.wait(10)


def test_past_the_bound_pools_that_are_not_at_work_are_closed_and_no_other(
    make_clients: MakeClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("siphon.client.pools._POOLS_MAX", 4)
    hold = threading.Event()

    def behave(peer: Peer, upstream: Upstream) -> None:
        while (request := peer.request()) is not None:
            upstream.received.put(request)
            if request.target == "/hold":
                hold.wait(20)
            peer.answer()

    make_clients(any=ClientSettings())
    client = http.Client("any")

    async def main(first: Upstream, others: list[Upstream]) -> None:
        held = asyncio.create_task(client.get(f"{first.url}/hold"))
        await asyncio.to_thread(first.received.get, timeout=10)
        for upstream in others * 2:
            await client.get(f"{upstream.url}/")
        hold.set()
        assert (await held).status == 200
        await client.get(f"{first.url}/")

    with ExitStack() as stack:
        first, *others = [stack.enter_context(Upstream(behave)) for _ in range(9)]
        asyncio.run(main(first, others))
        assert first.connections == 1
        assert {upstream.connections for upstream in others} == {2}


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"],
)
def test_a_connection_that_may_be_out_of_step_is_closed(make_clients: MakeClients, answer: bytes) -> None:
    def behave(peer: Peer, upstream: Upstream) -> None:
        while peer.request() is not None:
            peer.send(answer)

    with Upstream(behave) as upstream:
        make_clients(api=ClientSettings(base_url=upstream.url))

        async def main() -> None:
            client = http.Client("api")
            for _ in range(3):
                assert (await client.get("/")).body == b"ok"

        asyncio.run(main())
        assert upstream.connections == 3


class ReadAtOnce(http.Client):
    """Two threads that look at its transport, if they may, both have looked before either goes on."""

    readers = threading.Barrier(2)

    @property
    def _transport(self) -> Transport | None:
        transport: Transport | None = vars(self)["transport"]
        if threading.current_thread().name == "closes":
            with suppress(threading.BrokenBarrierError):
                self.readers.wait(0.5)
        return transport

    @_transport.setter
    def _transport(self, transport: Transport | None) -> None:
        vars(self)["transport"] = transport


def test_a_client_that_two_threads_close_at_once_is_released_once(make_clients: MakeClients) -> None:
    make_clients()
    with Upstream() as upstream:
        kept = http.Client(base_url=upstream.url)
        assert asyncio.run(kept.get("/")).status == 200
        shared = ReadAtOnce(base_url=upstream.url)
        threads = [
            threading.Thread(target=lambda: asyncio.run(shared.aclose()), name="closes") for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert asyncio.run(kept.get("/")).status == 200
        assert upstream.connections == 1  # the one that is open keeps them


def test_calls_in_line_are_still_made_when_their_client_is_closed(make_clients: MakeClients) -> None:
    make_clients()
    arrived = threading.Semaphore(0)

    def hold(peer: Peer, upstream: Upstream) -> None:
        while peer.request() is not None:
            arrived.release()
            assert closed.wait(20)
            peer.answer()

    closed = threading.Event()
    with Upstream(hold) as upstream:

        async def main() -> list[int]:
            async with http.Client(base_url=upstream.url, pool_size=1) as client:
                tasks = [asyncio.create_task(client.get("/")) for _ in range(3)]
                assert await asyncio.to_thread(arrived.acquire, timeout=20)
            closed.set()
            return [(await task).status for task in tasks]

        assert asyncio.run(main()) == [200] * 3
