"""The metrics that a script makes."""

from __future__ import annotations

import threading

import pytest
from prometheus_client import REGISTRY

from siphon import metrics


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def test_each_kind_counts_as_prometheus_client_does() -> None:
    metrics.counter("test_cakes", "Cakes.", ["kind"]).labels(kind="plum").inc()
    metrics.gauge("test_ovens", "Ovens.").set(4)
    metrics.histogram("test_heat", "Heat.", buckets=[1, 2]).observe(1.5)
    assert value("test_cakes_total", kind="plum") == 1
    assert value("test_ovens") == 4
    assert value("test_heat_bucket", le="1.0") == 0
    assert value("test_heat_bucket", le="2.0") == 1


def test_the_same_name_gives_the_same_metric_so_that_a_script_may_be_loaded_again() -> None:
    first = metrics.counter("test_twice", "Twice.", ["a"])
    first.labels("x").inc(2)
    assert metrics.counter("test_twice", "Twice.", ("a",)) is first
    assert metrics.gauge("test_same", "Same.") is metrics.gauge("test_same", "Same.")
    assert metrics.histogram("test_heights", "H.") is metrics.histogram("test_heights", "H.")
    assert value("test_twice_total", a="x") == 2


def test_a_name_that_is_taken_by_something_else_is_refused() -> None:
    metrics.counter("test_taken", "Taken.")
    metrics.histogram("test_bins", "Bins.", buckets=[1])
    with pytest.raises(ValueError, match="there is a metric test_taken of another kind"):
        metrics.gauge("test_taken", "Taken.")
    with pytest.raises(ValueError, match="other labels"):
        metrics.counter("test_taken", "Taken.", ["a"])
    with pytest.raises(ValueError, match="or buckets"):
        metrics.histogram("test_bins", "Bins.", buckets=[2])


def test_a_name_that_prometheus_does_not_take_is_refused() -> None:
    with pytest.raises(ValueError, match="should not be empty"):
        metrics.counter("", "What.")


@pytest.mark.parametrize("name", ["siphon_requests", "siphon_of_my_own"])
def test_siphons_own_names_are_refused(name: str) -> None:
    for make in (metrics.counter, metrics.gauge, metrics.histogram):
        with pytest.raises(ValueError, match=f"{name}: names that begin with siphon_ are siphon's own"):
            make(name, "What.")


def test_labels_are_a_list() -> None:
    with pytest.raises(ValueError, match=r"labels are a list of names: write \['kind'\]"):
        metrics.counter("test_labels", "Labels.", "kind")


def test_threads_that_ask_at_once_get_one_metric() -> None:
    barrier = threading.Barrier(8)
    got: list[metrics.Counter] = []

    def ask() -> None:
        barrier.wait()
        counter = metrics.counter("test_once", "Once.")
        counter.inc()
        got.append(counter)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(got)) == 1
    assert value("test_once_total") == 8
