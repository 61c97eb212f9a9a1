"""Handlers that compute or block, alone and beside quick ones."""

from __future__ import annotations

from typing import Final

from benchmarks.apps import work
from benchmarks.figures import OF_LOAD
from benchmarks.load import Load
from benchmarks.peers import cheroot, granian, granians, gunicorn, uvicorn, waitress
from benchmarks.scenario import Scenario, case
from benchmarks.servers import siphon

_COMPUTE: Final = (Load("/compute", 16, expected=work.compute()),)
_BLOCK: Final = (Load("/block", 64),)
_MIXED: Final = (
    Load("/sleep", 8, "sleep"),
    Load("/burn", 8, "burn"),
    Load("/fast", 16, "fast"),
)
_CLIENTS: Final = 64


def compute() -> Scenario:
    """Whether more cores give more."""
    servers = (*granians("rsgi"), *granians("wsgi"), gunicorn(), waitress(), cheroot())
    return Scenario(
        "compute",
        "About 0.5 ms of computing in Python, 16 connections; the WSGI servers have 16 threads.",
        (
            case(siphon("siphon_app"), _COMPUTE),
            case(siphon("siphon_app", "one_worker.yaml"), _COMPUTE, "siphon, one worker"),
            *(case(server, _COMPUTE) for server in servers),
        ),
    )


def blocking() -> Scenario:
    """Whether everybody who waits can wait at once."""
    servers = (gunicorn(_CLIENTS), waitress(_CLIENTS), cheroot(_CLIENTS))
    return Scenario(
        "blocking",
        "A handler that sleeps 20 ms, 64 connections, so that 3,200 req/s is the most there can be; the "
        "WSGI servers have 64 threads.",
        (
            case(siphon("siphon_app"), _BLOCK),
            case(granian("wsgi", workers=1, threads=_CLIENTS), _BLOCK),
            *(case(server, _BLOCK) for server in servers),
        ),
        seconds_least=2,
    )


def mixed() -> Scenario:
    """Whether slow requests hold up quick ones."""
    return Scenario(
        "mixed",
        "8 connections on a sync handler that sleeps 200 ms, 8 on one that burns 5 ms of processor time, "
        "16 on a fast one (async where the server has such).",
        (
            case(siphon("siphon_app"), _MIXED),
            *(case(server, _MIXED) for server in granians("wsgi")),
            case(gunicorn(), _MIXED),
            case(waitress(), _MIXED),
            case(cheroot(), _MIXED),
            case(uvicorn("starlette_app", ", Starlette"), _MIXED),
            *(case(server, _MIXED) for server in granians("asgi", "starlette_app", ", Starlette")),
        ),
        decisive="fast",
        merit="p99",
        figures=(*OF_LOAD, "over_100_ms"),
        seconds_least=3,
    )
