"""What the harness makes of its measurements."""

from __future__ import annotations

from datetime import UTC, datetime

from benchmarks.figures import best_of_families, ratios, spread
from benchmarks.load import Load, Measured
from benchmarks.process import Footprint
from benchmarks.report import as_markdown
from benchmarks.rounds import Timing, Turn
from benchmarks.scenarios import Case, Scenario
from benchmarks.servers import Server

AT = datetime(2026, 1, 2, tzinfo=UTC)


def case(name: str, family: str) -> Case:
    return Case(name, family, Server(name, family, lambda port: []), (Load("/", 64),))


def turn(per_second: float, p99_ms: float) -> Turn:
    measured = Measured(round(per_second * 2), 2.0, 1.0, p99_ms, 9.0, 10.0, 3, 0, 0)
    before = Footprint(cpu_s=1.0, rss_mb=30.0, pss_mb=20.0, threads=12)
    after = Footprint(cpu_s=2.0, rss_mb=35.0, pss_mb=25.0, threads=14)
    return Turn({"": measured}, before, after, threads_at_start=11)


OURS = [turn(60_000, 2.0), turn(50_000, 2.0), turn(66_000, 4.0)]
ONE = [turn(30_000, 4.0), turn(50_000, 6.0), turn(33_000, 4.0)]
TWO = [turn(40_000, 8.0), turn(40_000, 8.0), turn(40_000, 8.0)]
SLOW = [turn(5_000, 20.0)] * 3
TURNS = {"ours": OURS, "peer, 1": ONE, "peer, 2": TWO, "slow": SLOW}
CASES = (case("ours", "ours"), case("peer, 1", "peer"), case("peer, 2", "peer"), case("slow", "slow"))
SCENARIO = Scenario("hello", "About.", CASES)


def test_a_spread_is_the_median_with_the_least_and_the_greatest() -> None:
    assert spread([3.0, 1.0, 2.0, 10.0]).text(".1f") == "2.5 (1.0-10.0)"


def test_the_best_of_a_family_counts() -> None:
    assert [one.name for one in best_of_families(SCENARIO, TURNS)] == ["ours", "peer, 2", "slow"]


def test_where_latency_decides_the_lowest_is_the_best() -> None:
    scenario = Scenario("mixed", "About.", CASES, by_latency=True)
    assert [one.name for one in best_of_families(scenario, TURNS)] == ["ours", "peer, 1", "slow"]


def test_ratios_are_taken_within_a_round() -> None:
    scenario = Scenario("hello", "About.", CASES, by_latency=True)
    ratio = ratios(scenario, TURNS)[0]
    assert ratio.name == "peer, 1"
    # Rounds give 2, 1 and 2 times; the ratio of the medians would be 60/33.
    assert (ratio.throughput.median, ratio.throughput.least, ratio.throughput.greatest) == (2.0, 1.0, 2.0)
    assert (ratio.p99.median, ratio.p99.least, ratio.p99.greatest) == (2.0, 1.0, 3.0)


def test_processor_time_is_per_request() -> None:
    assert turn(50_000, 1.0).cpu_us_per_request == 10.0


def test_the_table_has_a_row_for_each_load_and_the_ratios_below() -> None:
    text = as_markdown(SCENARIO, TURNS, Timing(3, 2, 1), {}, AT)
    row = next(line for line in text.splitlines() if line.startswith("| peer, 2 |"))
    assert "| 40,000 (40,000-40,000) |" in row
    assert "| 8.00 (8.00-8.00) |" in row
    assert "| 11 / 14 |" in row
    assert "- ours against peer, 2: 1.50 (1.25-1.65) times the requests a second" in text
    assert "against peer, 1" not in text
