"""What is compared: scenarios, and the cases of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from benchmarks.crowd import CrowdSize
from benchmarks.load import Load
from benchmarks.servers import Server, granian_rsgi, granian_wsgi, gunicorn, siphon, uvicorn


@dataclass(frozen=True, slots=True)
class Case:
    """One server under one load: a row, or several for loads that run side by side."""

    name: str
    family: str
    """Of several cases of one family the best counts in the ratios."""
    server: Server
    loads: tuple[Load, ...]
    crowd: CrowdSize | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """Cases to compare; ratios are taken against the first, on its load ``decisive``."""

    name: str
    about: str
    cases: tuple[Case, ...]
    decisive: str = ""
    by_latency: bool = False
    """Whether the 99th percentile decides which of a family is best, instead of requests a second."""


_HELLO: Final = (Load("/", 64),)
_SYNC: Final = (Load("/sync", 64),)
_MIXED: Final = (
    Load("/sleep", 8, "sleep"),
    Load("/burn", 8, "burn"),
    Load("/fast", 16, "fast"),
)


def _case(server: Server, loads: tuple[Load, ...], name: str | None = None) -> Case:
    own = server.name if name is None else name
    return Case(own, server.family if name is None else name, server, loads)


def _hello() -> Scenario:
    return Scenario(
        "hello",
        "Two bytes, 64 connections.",
        (
            _case(siphon("siphon_hello"), _HELLO, "siphon, async"),
            _case(siphon("siphon_hello"), _SYNC, "siphon, sync"),
            _case(granian_rsgi(1), _HELLO),
            _case(granian_rsgi(2), _HELLO),
            _case(granian_wsgi(), _HELLO),
            _case(uvicorn("asgi", "uvicorn + h11"), _HELLO),
            _case(uvicorn("starlette_app", "uvicorn + h11, Starlette"), _HELLO),
            _case(gunicorn(), _HELLO),
        ),
    )


def _mixed() -> Scenario:
    return Scenario(
        "mixed",
        "8 connections on a sync handler that sleeps 200 ms, 8 on one that burns 5 ms of processor time, "
        "16 on a fast one (async where the server has such).",
        (
            _case(siphon("siphon_mixed"), _MIXED),
            _case(granian_wsgi(), _MIXED),
            _case(gunicorn(), _MIXED),
            _case(uvicorn("starlette_app", "uvicorn + h11, Starlette"), _MIXED),
        ),
        decisive="fast",
        by_latency=True,
    )


def _guard() -> Scenario:
    return Scenario(
        "guard",
        "What one sync guard before an async handler costs: a visit to a blocking worker and back.",
        (
            _case(siphon("siphon_hello"), _HELLO, "siphon, async"),
            _case(siphon("siphon_guard"), _HELLO, "siphon, sync guard + async"),
        ),
    )


def _idle() -> Scenario:
    server = siphon("siphon_hello", "patient.yaml")
    crowd = CrowdSize(idle=2_000, unfinished=500)
    return Scenario(
        "idle",
        "Two bytes, 64 connections, alone and beside 2,000 idle connections and 500 with half a head.",
        (
            Case("siphon, alone", "siphon, alone", server, _HELLO),
            Case("siphon, 2,500 others", "siphon, 2,500 others", server, _HELLO, crowd),
        ),
    )


SCENARIOS: Final = {scenario.name: scenario for scenario in (_hello(), _mixed(), _guard(), _idle())}
