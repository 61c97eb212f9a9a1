"""Medians and spreads over rounds, and ratios that are taken within a round."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.rounds import Turn
    from benchmarks.scenarios import Case, Scenario


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of a figure over the rounds, with its least and greatest."""

    median: float
    least: float
    greatest: float

    def text(self, form: str = ",.0f") -> str:
        """As in a table: ``60,100 (58,000-61,500)``."""
        return f"{self.median:{form}} ({self.least:{form}}-{self.greatest:{form}})"


def spread(values: Sequence[float]) -> Spread:
    """The spread of one figure's values, at least one."""
    return Spread(median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times the requests a second, and the 99th percentile, of the first case another one has."""

    name: str
    throughput: Spread
    p99: Spread


def best_of_families(scenario: Scenario, turns: dict[str, list[Turn]]) -> list[Case]:
    """One case of each family, in the scenario's order: the one with the best median."""
    best: dict[str, Case] = {}
    for case in scenario.cases:
        other = best.get(case.family)
        if other is None or _merit(scenario, turns[case.name]) > _merit(scenario, turns[other.name]):
            best[case.family] = case
    return list(best.values())


def _merit(scenario: Scenario, turns: Sequence[Turn]) -> float:
    decisive = [turn.measured[scenario.decisive] for turn in turns]
    if scenario.by_latency:
        return -median(one.p99_ms for one in decisive)
    return median(one.per_second for one in decisive)


def ratios(scenario: Scenario, turns: dict[str, list[Turn]]) -> list[Ratio]:
    """The first case against the best of every other family, round by round."""
    first = [turn.measured[scenario.decisive] for turn in turns[scenario.cases[0].name]]
    found = []
    for case in best_of_families(scenario, turns):
        if case.family == scenario.cases[0].family:
            continue
        other = [turn.measured[scenario.decisive] for turn in turns[case.name]]
        pairs = list(zip(first, other, strict=True))
        found.append(
            Ratio(
                case.name,
                spread([mine.per_second / theirs.per_second for mine, theirs in pairs]),
                spread([theirs.p99_ms / mine.p99_ms for mine, theirs in pairs]),
            )
        )
    return found
