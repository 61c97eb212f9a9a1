"""The scaling model: which of the three runs out of time first."""

from __future__ import annotations

import pytest

from benchmarks.model import Cost, eager_task_us, lane_threads_fed, measure, most_per_second
from tests.tools import needed

COST = Cost(acceptor_us=10.0, lane_us=30.0)


@pytest.mark.parametrize(
    ("acceptors", "lane_threads", "processors", "most"),
    [
        (1, 100, 100, 100_000),  # the acceptor: 10 us each
        (2, 100, 100, 200_000),
        (10, 3, 100, 100_000),  # the lane: 3 threads for 30 us each
        (10, 100, 2, 50_000),  # the processors: 2 of them for 40 us each
    ],
)
def test_what_runs_out_first_bounds_the_rate(
    acceptors: int, lane_threads: int, processors: int, most: float
) -> None:
    assert most_per_second(
        COST, acceptors=acceptors, lane_threads=lane_threads, processors=processors
    ) == pytest.approx(most)


def test_another_acceptor_helps_from_where_one_is_as_busy_as_its_lane() -> None:
    fed = lane_threads_fed(COST)
    at_most = most_per_second(COST, acceptors=1, lane_threads=1_000, processors=1_000)
    assert fed * 1e6 / COST.lane_us == pytest.approx(at_most)


def test_costs_are_those_of_the_threads_of_a_real_server(monkeypatch: pytest.MonkeyPatch) -> None:
    needed("wrk", "scripts/apt.sh test")
    monkeypatch.setattr("benchmarks.model._ROUNDS", 1)
    monkeypatch.setattr("benchmarks.model._SECONDS", 1)
    for path in ("/", "/sync"):
        cost = measure(path, "--loops", "1")
        assert 0 < cost.acceptor_us < 1_000
        assert 1 < cost.lane_us < 1_000


def test_an_eager_task_is_timed_on_each_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.model._TASKS", 100)
    assert 0 < eager_task_us(2) < 1_000
