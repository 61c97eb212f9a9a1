"""The figures of a round, their medians and spreads, and ratios that are taken within a round."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.rounds import Turn
    from benchmarks.scenario import Case, Scenario


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a turn, and how it is written."""

    title: str
    """Over its column."""
    of: Callable[[Turn, str], float]
    """The turn's number, for the load with the label; the server's own figures are the same for all."""
    form: str = ".2f"
    words: str = ""
    """As in "1.25 x the requests a second"; only what can be compared has some."""
    more_is_better: bool = False


FIGURES: Final = {
    "throughput": Figure(
        "req/s", lambda turn, load: turn.measured[load].per_second, ",.0f", "the requests a second", True
    ),
    "p50": Figure("p50 ms", lambda turn, load: turn.measured[load].p50_ms),
    "p99": Figure("p99 ms", lambda turn, load: turn.measured[load].p99_ms, words="the p99"),
    "p99.9": Figure("p99.9 ms", lambda turn, load: turn.measured[load].p999_ms),
    "over_100_ms": Figure("over 100 ms", lambda turn, load: turn.measured[load].over_100_ms, ",.0f"),
    "failed": Figure(
        "failed", lambda turn, load: turn.measured[load].failed + turn.measured[load].timed_out, ",.0f"
    ),
    "cpu": Figure(
        "server CPU us/req",
        lambda turn, load: turn.cpu_us_per_request,
        ".1f",
        "the server's processor time for a request",
    ),
    "rss": Figure("RSS MB", lambda turn, load: turn.after.rss_mb, ".1f", "the RSS"),
    "threads": Figure("threads", lambda turn, load: turn.after.threads, ".0f"),
    "kib_per_idle": Figure("RSS KiB per idle connection", lambda turn, load: turn.kib_per_idle),
    "start": Figure(
        "first answer ms", lambda turn, load: turn.start_ms, ".0f", "the time to the first answer"
    ),
    "rss_at_start": Figure("RSS MB", lambda turn, load: turn.at_start.rss_mb, ".1f", "the RSS"),
    "threads_at_start": Figure("threads", lambda turn, load: turn.at_start.threads, ".0f"),
}
OF_LOAD: Final = ("throughput", "p50", "p99", "p99.9", "cpu", "rss", "threads", "failed")
OF_START: Final = ("start", "rss_at_start", "threads_at_start")


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of a figure over the rounds, with its least and greatest."""

    median: float
    least: float
    greatest: float

    def text(self, form: str = ",.0f") -> str:
        """As in a table: ``60,100 (58,000-61,500)``, or ``0`` where all rounds agree."""
        middle, least, greatest = (f"{one:{form}}" for one in (self.median, self.least, self.greatest))
        return middle if least == greatest else f"{middle} ({least}-{greatest})"


def spread(values: Sequence[float]) -> Spread:
    """The spread of one figure's values, at least one."""
    return Spread(median(values), min(values), max(values))


def spread_of(figure: str, turns: Sequence[Turn], load: str) -> Spread:
    """The spread of one of ``FIGURES`` over a case's rounds."""
    return spread([FIGURES[figure].of(turn, load) for turn in turns])


@dataclass(frozen=True, slots=True)
class Ratio:
    """The first case's figures as multiples of another one's."""

    name: str
    is_rival: bool
    by_figure: dict[str, Spread]

    def text(self) -> str:
        """As in "1.25 (1.20-1.31) x the requests a second, 0.80 (0.75-0.84) x the p99"."""
        parts = (f"{one.text('.2f')} x {FIGURES[figure].words}" for figure, one in self.by_figure.items())
        return ", ".join(parts)


def best_of_families(scenario: Scenario, turns: dict[str, list[Turn]]) -> list[Case]:
    """One case of each family, in the order of the families: the one with the best median."""
    figure = FIGURES[scenario.merit]
    sign = 1 if figure.more_is_better else -1

    def merit(case: Case) -> float:
        return sign * spread_of(scenario.merit, turns[case.name], scenario.decisive).median

    best: dict[str, Case] = {}
    for case in scenario.cases:
        other = best.get(case.family)
        if other is None or merit(case) > merit(other):
            best[case.family] = case
    return list(best.values())


def ratios(scenario: Scenario, turns: dict[str, list[Turn]]) -> list[Ratio]:
    """The first case against the best of every other family, round by round."""
    first = scenario.cases[0]
    return [
        Ratio(case.name, case.is_rival, _ratios(scenario, turns[first.name], turns[case.name]))
        for case in best_of_families(scenario, turns)
        if case.family != first.family
    ]


def _ratios(scenario: Scenario, mine: list[Turn], theirs: list[Turn]) -> dict[str, Spread]:
    found = {}
    for name in scenario.figures:
        figure = FIGURES[name]
        if figure.words:
            values = [
                (figure.of(one, scenario.decisive), figure.of(other, scenario.decisive))
                for one, other in zip(mine, theirs, strict=True)
            ]
            found[name] = spread([one / other if other else float("inf") for one, other in values])
    return found
