"""One run of a scenario: rounds that go through all its cases in turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import load
from benchmarks.crowd import Crowd
from benchmarks.process import Footprint, Running

if TYPE_CHECKING:
    from benchmarks.load import Measured
    from benchmarks.scenarios import Case, Scenario


@dataclass(frozen=True, slots=True)
class Turn:
    """One case in one round: what each load measured, and the server before and after it."""

    measured: dict[str, Measured]
    before: Footprint
    after: Footprint
    threads_at_start: int
    """Before the crowd came and before the warm-up."""

    @property
    def cpu_us_per_request(self) -> float:
        """The server's processor time for a request, over all loads."""
        requests = sum(one.requests for one in self.measured.values())
        return (self.after.cpu_s - self.before.cpu_s) / requests * 1e6


@dataclass(frozen=True, slots=True)
class Timing:
    """How many rounds, and how long each case is warmed up and measured in one of them."""

    rounds: int
    seconds: int
    warm_up_s: int


def play(scenario: Scenario, timing: Timing) -> dict[str, list[Turn]]:
    """Runs every case once a round (A B C A B C ...), each time on a fresh server; by case, in order."""
    turns: dict[str, list[Turn]] = {case.name: [] for case in scenario.cases}
    for number in range(timing.rounds):
        for case in scenario.cases:
            turn = _play_case(case, timing)
            turns[case.name].append(turn)
            decisive = turn.measured[scenario.decisive]
            print(
                f"  {scenario.name} {number + 1}/{timing.rounds}  {case.name:<28}"
                f"{decisive.per_second:>10,.0f} req/s  p99 {decisive.p99_ms:.2f} ms",
                flush=True,
            )
    return turns


def _play_case(case: Case, timing: Timing) -> Turn:
    with Running(case.server) as running:
        for one in case.loads:
            running.check(one.path, one.expected)
        threads = running.footprint().threads
        if case.crowd is None:
            return _measure(case, timing, running, threads)
        with Crowd(case.crowd, running.port) as crowd:
            turn = _measure(case, timing, running, threads)
            crowd.check()
            return turn


def _measure(case: Case, timing: Timing, running: Running, threads: int) -> Turn:
    if timing.warm_up_s:
        load.run(case.loads, running.port, timing.warm_up_s)
    before = running.footprint()
    measured = load.run(case.loads, running.port, timing.seconds)
    after = running.footprint()
    by_label = {one.label: seen for one, seen in zip(case.loads, measured, strict=True)}
    return Turn(by_label, before, after, threads)
