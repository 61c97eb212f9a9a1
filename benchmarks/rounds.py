"""One run of a scenario: rounds that go through all its cases in turn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmarks import load
from benchmarks.crowd import Crowd
from benchmarks.figures import FIGURES
from benchmarks.process import Footprint, Running

if TYPE_CHECKING:
    from benchmarks.load import Measured
    from benchmarks.scenario import Case, Scenario


@dataclass(frozen=True, slots=True)
class Turn:
    """One case in one round: what each load measured, and the server at its start, before and after."""

    measured: dict[str, Measured]
    start_ms: float
    at_start: Footprint
    """After the first answer."""
    before: Footprint
    """Before the measurement: after the warm-up, and with the crowd where there is one."""
    after: Footprint
    kib_per_idle: float = 0.0
    """By how much a connection of the crowd made the process grow."""

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
    timing = replace(timing, seconds=max(timing.seconds, scenario.seconds_least))
    if scenario.upstream is None:
        return _rounds(scenario, timing, {})
    with Running(scenario.upstream) as upstream:
        return _rounds(scenario, timing, {"UPSTREAM": f"http://127.0.0.1:{upstream.port}"})


def _rounds(scenario: Scenario, timing: Timing, environment: dict[str, str]) -> dict[str, list[Turn]]:
    turns: dict[str, list[Turn]] = {case.name: [] for case in scenario.cases}
    for number in range(timing.rounds):
        for case in scenario.cases:
            turn = _play_case(scenario, case, timing, environment)
            turns[case.name].append(turn)
            seen = ((FIGURES[name], FIGURES[name].of(turn, scenario.decisive)) for name in scenario.figures)
            shown = ", ".join(f"{figure.title} {value:{figure.form}}" for figure, value in seen)
            print(f"  {scenario.name} {number + 1}/{timing.rounds}  {case.name}: {shown}", flush=True)
    return turns


def _play_case(scenario: Scenario, case: Case, timing: Timing, environment: dict[str, str]) -> Turn:
    with Running(case.server, environment) as running:
        for one in case.loads:
            running.check(one)
        at_start = running.footprint()
        if not scenario.is_timed:
            return Turn({}, running.start_ms, at_start, at_start, at_start)
        if timing.warm_up_s:
            load.run(case.loads, running.port, timing.warm_up_s)
        if case.crowd is None:
            return _measure(case, timing, running, at_start)
        without = running.footprint()
        with Crowd(case.crowd, running.port) as crowd:
            turn = _measure(case, timing, running, at_start)
            crowd.check()
        grown_kib = (turn.before.rss_mb - without.rss_mb) * 1024
        return replace(turn, kib_per_idle=grown_kib / case.crowd.total)


def _measure(case: Case, timing: Timing, running: Running, at_start: Footprint) -> Turn:
    before = running.footprint()
    measured = load.run(case.loads, running.port, timing.seconds)
    after = running.footprint()
    by_label = {one.label: seen for one, seen in zip(case.loads, measured, strict=True)}
    for one in case.loads:
        if not by_label[one.label].requests:
            raise SystemExit(f"{case.name} answered not one request for {one.path}")
    return Turn(by_label, running.start_ms, at_start, before, after)
