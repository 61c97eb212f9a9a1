"""Percentiles, and what wrk adds to its latencies taken off again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.histogram import Histogram


def corrected(counts: dict[int, int], interval: int) -> dict[int, int]:
    """What wrk 4 makes of its latencies: one more for each interval that fits into one."""
    found = dict(counts)
    for us, count in counts.items():
        for added in range(us - interval, interval, -interval):
            found[added] = found.get(added, 0) + count
    return found


@given(
    st.dictionaries(st.integers(1, 2_000), st.integers(1, 50), min_size=1),
    st.integers(1, 64),
    st.integers(1, 16),
    st.integers(1, 1_000),
)
def test_what_wrk_has_added_is_taken_off_again(
    counts: dict[int, int], connections: int, depth: int, interval: int
) -> None:
    requests = sum(counts.values()) * depth
    rounds = requests // connections
    reported = corrected(counts, interval) if rounds else counts
    found = Histogram.of_wrk(reported, requests, max(rounds, 1) * interval, connections)
    assert found.counts == counts


def test_counts_to_which_nothing_was_added_stay() -> None:
    counts = {100: 1, 250: 3, 400: 5}  # taking off 150 us later would leave less than nothing
    assert Histogram.of_wrk(counts, 9, 1_350, 1).counts == counts


def test_a_percentile_is_the_least_latency_that_so_many_were_at_most() -> None:
    histogram = Histogram({1_000: 98, 2_000: 1, 150_000: 1})
    assert histogram.as_figures() == {
        "p50_ms": 1.0,
        "p99_ms": 2.0,
        "p999_ms": 150.0,
        "max_ms": 150.0,
        "over_100_ms": 1,
    }


def test_nothing_measured_is_all_zeros() -> None:
    assert set(Histogram({}).as_figures().values()) == {0}
