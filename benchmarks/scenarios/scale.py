"""Middlewares, routes and connections: what each of them adds to a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.crowd import CrowdSize
from benchmarks.figures import OF_LOAD
from benchmarks.load import Load
from benchmarks.peers import granian, granians
from benchmarks.scenario import Scenario, case
from benchmarks.scenarios.plain import HELLO
from benchmarks.servers import siphon

if TYPE_CHECKING:
    from benchmarks.scenario import Case

_ROUTES: Final = (10_000, 1_000, 10)
_IDLE: Final = CrowdSize(idle=10_000)
_UNFINISHED: Final = CrowdSize(idle=2_000, unfinished=500)


def middlewares() -> Scenario:
    """Async members of a chain."""
    return Scenario(
        "middlewares",
        "Two bytes, 64 connections, behind three async middlewares: a guard and two that see the response.",
        (
            case(siphon("siphon_middlewares"), HELLO, "siphon, three middlewares"),
            case(siphon("siphon_hello"), HELLO, "siphon, none"),
            *(case(server, HELLO) for server in granians("asgi", "asgi_middlewares", ", three middlewares")),
        ),
    )


def guard() -> Scenario:
    """A sync member of an async chain."""
    return Scenario(
        "guard",
        "What one sync guard before an async handler costs: a visit to a blocking worker and back.",
        (
            case(siphon("siphon_guard"), HELLO, "siphon, sync guard + async"),
            case(siphon("siphon_hello"), HELLO, "siphon, async"),
        ),
    )


def routes() -> Scenario:
    """Patterns to choose from."""

    def with_routes(count: int) -> Case:
        server = siphon("siphon_routes", environment={"ROUTES": str(count)})
        return case(server, (Load(f"/things{count // 2}/42/parts", 64),), f"siphon, {count:,} routes")

    return Scenario(
        "routes",
        "Two bytes from one of 10,000, 1,000 or 10 routes with a parameter, 64 connections.",
        tuple(with_routes(count) for count in _ROUTES),
    )


def idle() -> Scenario:
    """Connections that do nothing."""
    patient = siphon("siphon_hello", "patient.yaml")
    roomy = granian("rsgi", workers=1, connections_max=20_000)
    return Scenario(
        "idle",
        "Two bytes, 64 connections, alone and beside 10,000 idle ones, or 2,000 idle ones and 500 that have "
        "sent half a head.",
        (
            case(patient, HELLO, "siphon, 10,000 idle", _IDLE),
            case(patient, HELLO, "siphon, 2,000 idle, 500 unfinished", _UNFINISHED),
            case(patient, HELLO, "siphon, alone"),
            case(roomy, HELLO, "granian rsgi, 1 worker, 10,000 idle", _IDLE),
            case(roomy, HELLO, "granian rsgi, 1 worker, alone"),
        ),
        figures=(*OF_LOAD, "kib_per_idle"),
    )
