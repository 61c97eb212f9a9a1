"""What is made of measurements: spreads, the best of a family, ratios."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.figures import FIGURES, OF_START, best_of_families, ratios, spread
from tests.benchmarks.runs import SCENARIO, TURNS, turn


def test_a_spread_is_the_median_with_the_least_and_the_greatest() -> None:
    assert spread([3.0, 1.0, 2.0, 10.0]).text(".1f") == "2.5 (1.0-10.0)"


def test_a_spread_without_extent_is_one_number() -> None:
    assert spread([2.04, 2.01, 2.02]).text(".1f") == "2.0"


def test_the_best_of_a_family_counts() -> None:
    assert [one.name for one in best_of_families(SCENARIO, TURNS)] == ["siphon", "peer, 2", "slow"]


def test_where_latency_decides_the_lowest_is_the_best() -> None:
    scenario = replace(SCENARIO, merit="p99")
    assert [one.name for one in best_of_families(scenario, TURNS)] == ["siphon", "peer, 1", "slow"]


def test_ratios_are_taken_within_a_round() -> None:
    ratio = ratios(replace(SCENARIO, merit="p99"), TURNS)[0]
    assert ratio.name == "peer, 1"
    throughput, p99, cpu = (ratio.by_figure[name] for name in ("throughput", "p99", "cpu"))
    # Rounds give 2, 1 and 2 times; the ratio of the medians would be 60/33.
    assert (throughput.median, throughput.least, throughput.greatest) == (2.0, 1.0, 2.0)
    assert (p99.median, p99.least, p99.greatest) == (0.5, 1 / 3, 1.0)
    assert (cpu.median, cpu.least, cpu.greatest) == (0.5, 0.5, 1.0)


def test_only_what_the_scenario_shows_is_compared() -> None:
    scenario = replace(SCENARIO, merit="start", figures=OF_START)
    turns = {name: [turn(1, 1, start_ms=100 * number)] for number, name in enumerate(TURNS, 1)}
    first = ratios(scenario, turns)[0]
    assert list(first.by_figure) == ["start", "rss_at_start"]
    assert first.by_figure["start"].median == 0.5
    assert first.text() == "0.50 x the time to the first answer, 1.00 x the RSS"


def test_processor_time_is_per_request() -> None:
    assert turn(50_000, 1.0).cpu_us_per_request == 10.0


def test_what_timed_out_has_failed() -> None:
    assert FIGURES["failed"].of(turn(50_000, 1.0), "") == 3
