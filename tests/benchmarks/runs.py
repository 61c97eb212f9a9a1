"""A run as the harness might have measured it."""

from __future__ import annotations

from datetime import UTC, datetime

from benchmarks.interpreter import Interpreter
from benchmarks.load import Load, Measured
from benchmarks.process import Footprint
from benchmarks.report import Run
from benchmarks.rounds import Timing, Turn
from benchmarks.scenario import Case, Scenario
from benchmarks.servers import Server

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FREE_THREADED = Interpreter("CPython 3.13.15", True, True, False, {"h11": "0.16.0"})


def case(name: str, family: str, *, is_rival: bool = True, label: str = "") -> Case:
    server = Server(name, family, lambda port, scratch: [], is_rival=is_rival)
    return Case(name, family, server, (Load("/", 64, label),))


def turn(per_second: float, p99_ms: float, label: str = "", start_ms: float = 100.0) -> Turn:
    measured = Measured(round(per_second * 2), 2.0, 1.0, p99_ms, 9.0, 10.0, 3, 1, 2)
    at_start = Footprint(cpu_s=0.5, rss_mb=25.0, pss_mb=15.0, threads=11)
    before = Footprint(cpu_s=1.0, rss_mb=30.0, pss_mb=20.0, threads=12)
    after = Footprint(cpu_s=2.0, rss_mb=35.0, pss_mb=25.0, threads=14)
    return Turn({label: measured}, start_ms, at_start, before, after)


OURS = [turn(60_000, 2.0), turn(50_000, 2.0), turn(66_000, 4.0)]
ONE = [turn(30_000, 4.0), turn(50_000, 6.0), turn(33_000, 4.0)]
TWO = [turn(40_000, 8.0), turn(40_000, 8.0), turn(40_000, 8.0)]
SLOW = [turn(5_000, 20.0)] * 3
TURNS = {"siphon": OURS, "peer, 1": ONE, "peer, 2": TWO, "slow": SLOW}
CASES = (
    case("siphon", "siphon", is_rival=False),
    case("peer, 1", "peer"),
    case("peer, 2", "peer"),
    case("slow", "slow"),
)
SCENARIO = Scenario("hello", "About.", CASES)


def run(scenario: Scenario = SCENARIO, at: datetime = AT, *, is_complete: bool = True) -> Run:
    return Run(scenario, TURNS, Timing(3, 2, 1), {"siphon": FREE_THREADED}, at, is_complete=is_complete)
