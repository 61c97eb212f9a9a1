"""Servers that call others while they answer."""

from __future__ import annotations

from typing import Final

from benchmarks import upstreams
from benchmarks.load import Load
from benchmarks.peers import aiohttp, granians, uvicorn
from benchmarks.scenario import Case, Scenario, case
from benchmarks.servers import siphon

_KIB: Final = (Load("/kib", 32, expected=upstreams.KIB),)
_BESIDE: Final = (Load("/", 16, "hello"), Load("/slow", 100, "slow"))


def proxied() -> Scenario:
    """One call for each request."""
    return Scenario(
        "proxied",
        "Each request has the server ask nginx for 1 KiB and answer with it; 32 connections.",
        (
            case(siphon("siphon_proxy", "outbound.yaml"), _KIB),
            case(uvicorn("asgi_httpx", ", httpx"), _KIB),
            *(case(aiohttp(processes, compiled=False), _KIB) for processes in (1, 2)),
            *(case(aiohttp(processes), _KIB) for processes in (1, 2)),
            *(case(server, _KIB) for server in granians("asgi", "asgi_aiohttp", ", aiohttp client")),
        ),
        upstream=upstreams.nginx(),
    )


def client_cpu() -> Scenario:
    """Calls alone."""
    server = siphon("siphon_calls", "outbound.yaml")

    def calls(name: str, family: str, path: str) -> Case:
        return Case(name, family, server, (Load(path, 32, by_server=True),))

    return Scenario(
        "client_cpu",
        "Calls to nginx for 1 KiB, 32 at a time, in one process that has no other work. What counts is "
        "processor time per call. urllib3 is HTTPConnectionPool.urlopen, each call handed to a "
        "ThreadPoolExecutor; beside it threads that do nothing but call.",
        (
            calls("http.Client", "http.Client", "/client"),
            calls("urllib3, executor of 8", "urllib3, executor", "/executor/8"),
            calls("urllib3, executor of 32", "urllib3, executor", "/executor/32"),
            calls("urllib3, 8 threads", "urllib3, threads", "/threads/8"),
            calls("urllib3, 32 threads", "urllib3, threads", "/threads/32"),
        ),
        merit="cpu",
        upstream=upstreams.nginx(),
    )


def slow_upstream() -> Scenario:
    """Calls that take a second beside requests that take no time."""
    server = siphon("siphon_proxy", "slow_upstream.yaml")
    return Scenario(
        "slow_upstream",
        "An async hello on 16 connections, alone and beside 100 that wait a second each for an upstream.",
        (
            case(server, _BESIDE, "siphon, 100 calls in flight"),
            case(server, _BESIDE[:1], "siphon, alone"),
            case(aiohttp(1), _BESIDE, "aiohttp, 100 calls in flight"),
        ),
        decisive="hello",
        merit="p99",
        seconds_least=4,
        upstream=upstreams.slow(),
    )
