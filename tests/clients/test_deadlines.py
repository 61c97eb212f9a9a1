"""Deadlines and cancellation: whoever waits has an error at once, in every phase, and nothing is kept."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import pytest

from siphon import http
from siphon.client.request import make_request
from siphon.config.settings import ClientSettings
from siphon.url import parse_url
from tests.clients.stuck import PHASES
from tests.clients.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.clients.conftest import MakeClients
    from tests.clients.stuck import Stuck
    from tests.clients.upstream import Peer

type Phase = Callable[[pytest.MonkeyPatch], AbstractContextManager[Stuck]]

# What the caller may wait beyond its deadline, and its thread beyond that.
PROMPT_S = 0.1


async def call(client: http.Client, stuck: Stuck) -> http.Response:
    arguments = {"method": "GET", **stuck.arguments}
    return await client.request(path=f"{stuck.url}/", **arguments)


async def thread_is_free(client: http.Client, upstream: Upstream) -> float:
    """How long a call waits for the one thread there is."""
    began = time.monotonic()
    assert (await client.get(f"{upstream.url}/")).status == 200
    return time.monotonic() - began


def best_of_three(measure: Callable[[], tuple[float, float]]) -> tuple[float, float]:
    """The machine may be busy with something else for a moment, but not each time."""
    measured = [measure() for _ in range(3)]
    return min(late for late, _ in measured), min(busy for _, busy in measured)


@pytest.mark.parametrize("phase", PHASES)
def test_the_deadline_ends_a_call_and_frees_its_thread_in_every_phase(
    make_clients: MakeClients, monkeypatch: pytest.MonkeyPatch, phase: Phase
) -> None:
    make_clients(threads_max=1, any=ClientSettings(timeout_ms=300, verify=False), well=ClientSettings())

    async def measure(stuck: Stuck, upstream: Upstream) -> tuple[float, float]:
        client, well = http.Client("any"), http.Client("well")
        await well.get(f"{upstream.url}/")
        began = time.monotonic()
        with pytest.raises(http.TimeoutError) as error:
            await call(client, stuck)
        late = time.monotonic() - began - 0.3
        assert type(error.value) is http.TimeoutError
        assert f"no answer within 300 ms, {stuck.phase} when they had passed" in str(error.value)
        busy = await thread_is_free(well, upstream)
        assert await asyncio.to_thread(stuck.left.acquire, timeout=10)
        return late, busy

    with Upstream() as upstream, phase(monkeypatch) as stuck:
        late, busy = best_of_three(lambda: asyncio.run(measure(stuck, upstream)))
    assert -0.05 < late < PROMPT_S
    assert busy < PROMPT_S


@pytest.mark.parametrize("phase", PHASES)
def test_a_cancellation_ends_a_call_and_frees_its_thread_in_every_phase(
    make_clients: MakeClients, monkeypatch: pytest.MonkeyPatch, phase: Phase
) -> None:
    make_clients(threads_max=1, any=ClientSettings(verify=False), well=ClientSettings())

    async def measure(stuck: Stuck, upstream: Upstream) -> tuple[float, float]:
        client, well = http.Client("any"), http.Client("well")
        await well.get(f"{upstream.url}/")
        task = asyncio.create_task(call(client, stuck))
        await asyncio.sleep(0)
        assert await asyncio.to_thread(stuck.reached.acquire, timeout=10)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        late = time.monotonic() - began
        busy = await thread_is_free(well, upstream)
        assert await asyncio.to_thread(stuck.left.acquire, timeout=10)
        return late, busy

    with Upstream() as upstream, phase(monkeypatch) as stuck:
        late, busy = best_of_three(lambda: asyncio.run(measure(stuck, upstream)))
    assert late < PROMPT_S
    assert busy < PROMPT_S


def test_waiting_for_a_slot_counts_and_is_told_apart(make_clients: MakeClients) -> None:
    def hold(peer: Peer, upstream: Upstream) -> None:
        request = peer.request()
        assert request is not None
        upstream.received.put(request)
        upstream.released.wait(20)
        peer.answer()
        peer.wait_for_end()

    with Upstream(hold) as upstream:
        settings = ClientSettings(base_url=upstream.url, pool_size=1, timeout_ms=500)
        pools = make_clients(api=settings).named("api")

        async def main() -> None:
            # A call of the same client that has more time than its settings give.
            request = make_request(settings, parse_url(upstream.url), "GET", "/first")
            deadline = asyncio.get_running_loop().time() + 60
            first = asyncio.create_task(pools.send(request, deadline))
            await asyncio.to_thread(upstream.received.get, timeout=10)
            with pytest.raises(http.PoolTimeout, match="500 ms, waiting for a connection when") as error:
                await http.Client("api").get("/second")
            assert isinstance(error.value, http.TimeoutError)
            upstream.released.set()
            assert (await first).status == 200

        asyncio.run(main())
        assert upstream.connections == 1


def test_a_timeout_is_python_s_own_timeout_error_as_well(make_clients: MakeClients) -> None:
    make_clients(any=ClientSettings(timeout_ms=1))

    async def main(url: str) -> None:
        with pytest.raises(TimeoutError):
            await http.Client("any").get(url)

    with Upstream(lambda peer, upstream: peer.wait_for_end()) as upstream:
        asyncio.run(main(f"{upstream.url}/"))


def test_a_call_that_is_cancelled_before_it_begins_is_never_sent(make_clients: MakeClients) -> None:
    def hold(peer: Peer, upstream: Upstream) -> None:
        while (request := peer.request()) is not None:
            upstream.received.put(request)
            upstream.released.wait(20)
            peer.answer()

    with Upstream(hold) as upstream:
        make_clients(api=ClientSettings(base_url=upstream.url, pool_size=1))

        async def main() -> None:
            client = http.Client("api")
            first = asyncio.create_task(client.get("/first"))
            await asyncio.to_thread(upstream.received.get, timeout=10)
            waiting = [asyncio.create_task(client.get("/never")) for _ in range(50)]
            await asyncio.sleep(0)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            upstream.released.set()
            await first
            await client.get("/last")

        asyncio.run(main())
        assert upstream.received.get(timeout=10).target == "/last"
        assert upstream.connections == 1


def test_one_deadline_covers_redirects_and_retries(make_clients: MakeClients) -> None:
    def redirect(peer: Peer, upstream: Upstream) -> None:
        while peer.request() is not None:
            upstream.released.wait(0.15)
            peer.answer(b"", 302, "Location: /again")

    with Upstream(redirect) as upstream:
        make_clients(
            api=ClientSettings(base_url=upstream.url, follow_redirects=True, timeout_ms=500, retries=5)
        )

        async def main() -> float:
            began = time.monotonic()
            with pytest.raises(http.TimeoutError):
                await http.Client("api").get("/")
            return time.monotonic() - began

        assert 0.45 < asyncio.run(main()) < 5


def test_the_threads_that_look_names_up_are_bounded(
    make_clients: MakeClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking_up = PHASES[0]
    make_clients(any=ClientSettings(timeout_ms=300))

    async def main(stuck: Stuck) -> None:
        client = http.Client("any")
        calls = [call(client, stuck) for _ in range(30)]
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(error) for error in errors} <= {http.TimeoutError, http.PoolTimeout}

    with looking_up(monkeypatch) as stuck:
        asyncio.run(main(stuck))
        assert sum(thread.name == "siphon-resolver" for thread in threading.enumerate()) <= 4


def test_a_call_whose_coroutine_is_closed_leaves_its_connection_to_others(make_clients: MakeClients) -> None:
    arrived = threading.Semaphore(0)

    def hold_first(peer: Peer, upstream: Upstream) -> None:
        while peer.request() is not None:
            if peer.number == 1:
                arrived.release()
                peer.wait_for_end()
                return
            peer.answer()

    with Upstream(hold_first) as upstream:
        make_clients(api=ClientSettings(base_url=upstream.url, pool_size=1, timeout_ms=60_000))

        async def main() -> int:
            abandoned = http.Client("api").get("/")
            abandoned.send(None)
            assert await asyncio.to_thread(arrived.acquire, timeout=20)
            abandoned.close()
            async with asyncio.timeout(20):
                return (await http.Client("api").get("/")).status

        assert asyncio.run(main()) == 200
