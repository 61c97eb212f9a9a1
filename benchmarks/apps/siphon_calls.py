"""32 calls at a time to the upstream, without a server's part: over http.Client, and over bare urllib3."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from urllib.parse import urlsplit

import urllib3

from benchmarks.apps.tally import Tally
from siphon import http

CALLS_AT_ONCE = 32
# Long enough that the threads rarely run dry between two of them.
BATCH = 1_024
KIB = 1_024

api = http.Client("api")


@http.route("/client")
async def client(req: http.Request) -> http.Response:
    tally = Tally()
    end = perf_counter() + float(req.query_params["seconds"])

    async def caller() -> None:
        while (began := perf_counter()) < end:
            response = await api.get("/kib")
            assert len(response.body) == KIB
            tally.count(began)

    await asyncio.gather(*(caller() for _ in range(CALLS_AT_ONCE)))
    return http.Response(body=tally.as_json())


def _pool_and_call(tally: Tally, threads: int) -> tuple[urllib3.HTTPConnectionPool, Callable[[int], None]]:
    upstream = urlsplit(os.environ["UPSTREAM"])
    assert upstream.hostname is not None
    pool = urllib3.HTTPConnectionPool(upstream.hostname, upstream.port, maxsize=threads, block=True)

    def call(_: int) -> None:
        began = perf_counter()
        response = pool.urlopen("GET", "/kib")
        assert len(response.data) == KIB
        tally.count(began)

    return pool, call


@http.route("/executor/{threads}")
def executor(req: http.Request) -> http.Response:
    """Each call is given to a pool of threads, as a caller does who is not to be blocked."""
    threads = int(req.path_params["threads"])
    tally = Tally()
    end = perf_counter() + float(req.query_params["seconds"])
    pool, call = _pool_and_call(tally, threads)
    with pool, ThreadPoolExecutor(threads) as workers:
        while perf_counter() < end:
            list(workers.map(call, range(BATCH)))
    return http.Response(body=tally.as_json())


@http.route("/threads/{threads}")
def only_calling(req: http.Request) -> http.Response:
    """Threads that do nothing but call: no call is handed over, which no server can do."""
    threads = int(req.path_params["threads"])
    tally = Tally()
    end = perf_counter() + float(req.query_params["seconds"])
    pool, call = _pool_and_call(tally, threads)

    def worker(_: int) -> None:
        while perf_counter() < end:
            call(0)

    with pool, ThreadPoolExecutor(threads) as workers:
        list(workers.map(worker, range(threads)))
    return http.Response(body=tally.as_json())
