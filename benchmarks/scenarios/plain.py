"""Two bytes: what a server costs that has nothing to do."""

from __future__ import annotations

from typing import Final

from benchmarks import gil
from benchmarks.figures import OF_START
from benchmarks.load import Load
from benchmarks.peers import (
    aiohttp,
    cheroot,
    granian,
    granians,
    gunicorn,
    hypercorn,
    tornado,
    uvicorn,
    waitress,
)
from benchmarks.scenario import Case, Scenario, case
from benchmarks.servers import raw_epoll, siphon

HELLO: Final = (Load("/", 64),)
SYNC: Final = (Load("/sync", 64),)
_PIPELINED: Final = (Load("/", 64, depth=16),)


def hello() -> Scenario:
    """The short comparison."""
    return Scenario(
        "hello",
        "Two bytes from an async handler, 64 connections.",
        (
            case(siphon("siphon_hello"), HELLO, "siphon, async"),
            case(siphon("siphon_hello"), SYNC, "siphon, sync"),
            *(case(server, HELLO) for server in granians("rsgi")),
            case(uvicorn(), HELLO),
            case(raw_epoll(), HELLO),
        ),
    )


def hello_sync() -> Scenario:
    """The same from functions that may block."""
    servers = (*granians("wsgi"), gunicorn(), waitress(), cheroot())
    return Scenario(
        "hello_sync",
        "Two bytes from a sync handler, 64 connections; the WSGI servers have 16 threads.",
        (
            case(siphon("siphon_hello"), SYNC, "siphon, sync"),
            *(case(server, HELLO) for server in granians("rsgi")),
            *(case(server, HELLO) for server in servers),
        ),
    )


def hello_all() -> Scenario:
    """Everybody who runs on a free-threaded Python."""
    servers = (*granians("rsgi"), *granians("asgi"), *granians("wsgi"), uvicorn(), hypercorn())
    more = (gunicorn(), waitress(), cheroot(), aiohttp(1), aiohttp(2), tornado())
    return Scenario(
        "hello_all",
        "Two bytes, 64 connections, from every server that runs on a free-threaded Python.",
        (
            case(siphon("siphon_hello"), HELLO, "siphon, async"),
            case(siphon("siphon_hello"), SYNC, "siphon, sync"),
            *(case(server, HELLO) for server in (*servers, *more)),
            case(uvicorn("starlette_app", ", Starlette"), HELLO),
            case(raw_epoll(), HELLO),
        ),
    )


def hello_gil() -> Scenario:
    """Everybody who runs best, or only, with a GIL."""
    return Scenario(
        "hello_gil",
        "Two bytes, 64 connections: siphon on free-threaded Python, the others on one with a GIL.",
        (
            case(siphon("siphon_hello"), HELLO, "siphon, async"),
            case(siphon("siphon_hello"), SYNC, "siphon, sync"),
            *(case(gil.uvicorn(workers), HELLO) for workers in (1, 2)),
            *(case(gil.granian("rsgi", workers), HELLO) for workers in (1, 2)),
            *(case(gil.peregrine("asgi", workers), HELLO) for workers in (1, 2)),
            *(case(gil.peregrine("wsgi", workers), HELLO) for workers in (1, 2)),
            *(case(gil.fastpysgi("asgi", workers), HELLO) for workers in (1, 2)),
            *(case(gil.fastpysgi("wsgi", workers), HELLO) for workers in (1, 2)),
        ),
    )


def pipelined() -> Scenario:
    """Requests that do not wait for the answer before."""
    return Scenario(
        "pipelined",
        "Two bytes, 64 connections that send 16 requests at once; latencies are of all 16.",
        (
            case(siphon("siphon_hello"), _PIPELINED),
            *(case(server, _PIPELINED) for server in granians("rsgi")),
            case(uvicorn(), _PIPELINED),
            case(raw_epoll(), _PIPELINED),
        ),
    )


def access_log() -> Scenario:
    """What a line for each request costs."""

    def granian_with_log(workers: int) -> Case:
        server = granian("rsgi", workers=workers, has_access_log=True)
        return Case(f"{server.name}, with", f"{server.family}, with", server, HELLO)

    return Scenario(
        "access_log",
        "Two bytes, 64 connections, with an access log (to a file) and without.",
        (
            case(siphon("siphon_hello", has_access_log=True), HELLO, "siphon, with"),
            case(siphon("siphon_hello"), HELLO, "siphon, without"),
            *(granian_with_log(workers) for workers in (1, 2)),
            *(case(server, HELLO) for server in granians("rsgi")),
        ),
    )


def startup() -> Scenario:
    """From nothing to the first answer."""
    servers = (granian("rsgi", workers=1), granian("asgi", workers=1), uvicorn(), hypercorn(), gunicorn())
    return Scenario(
        "startup",
        "From starting the process to the end of its first answer, and its memory then.",
        (
            case(siphon("siphon_hello"), HELLO),
            *(case(server, HELLO) for server in (*servers, waitress(), cheroot(), aiohttp(1), tornado())),
        ),
        merit="start",
        figures=OF_START,
        is_timed=False,
    )
