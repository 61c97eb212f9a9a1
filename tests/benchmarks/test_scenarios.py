"""The scenarios are consistent, and siphon answers them as they expect."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks import upstreams
from benchmarks.chart import CHARTED
from benchmarks.figures import FIGURES
from benchmarks.load import Load
from benchmarks.process import Running
from benchmarks.scenarios import SCENARIOS
from benchmarks.scenarios.messages import json_post, upload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.scenario import Scenario
    from benchmarks.servers import Server

has_nginx = shutil.which("nginx", path=upstreams.PROGRAMS) is not None


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=list(SCENARIOS))
def test_a_scenario_is_consistent(scenario: Scenario) -> None:
    names = [case.name for case in scenario.cases]
    assert len(set(names)) == len(names)
    assert set(scenario.figures) <= set(FIGURES)
    assert scenario.merit in scenario.figures
    for case in scenario.cases:
        labels = [load.label for load in case.loads]
        assert len(set(labels)) == len(labels)
        assert scenario.decisive in labels
    assert not scenario.cases[0].is_rival


def test_the_chart_shows_scenarios_that_there_are_and_that_have_rivals() -> None:
    for name, _ in CHARTED:
        assert any(case.is_rival for case in SCENARIOS[name].cases)


def test_bodies_have_the_size_that_the_scenarios_speak_of() -> None:
    assert len(json_post().cases[0].loads[0].body) == 1_024
    assert len(upload().cases[0].loads[0].body) == 65_536


def of_siphon() -> Iterator[tuple[Server, set[Load]]]:
    """Each way in which siphon is started, with all the loads that are put on it."""
    found: dict[str, tuple[Server, set[Load]]] = {}
    for scenario in SCENARIOS.values():
        for case in scenario.cases:
            server = case.server
            if server.interpreter == "siphon" and scenario.upstream is None:
                key = f"{server.command(0, Path())} {server.environment}"
                found.setdefault(key, (server, set()))[1].update(case.loads)
    yield from found.values()


@pytest.mark.parametrize(("server", "loads"), list(of_siphon()))
def test_siphon_answers_what_is_measured(server: Server, loads: set[Load]) -> None:
    with Running(server) as running:
        for one in loads:
            running.check(one)
        assert running.start_ms > 0


@pytest.mark.skipif(not has_nginx and not os.environ.get("CI"), reason="nginx is not installed")
def test_siphon_answers_with_what_its_upstream_says() -> None:
    scenario = SCENARIOS["proxied"]
    assert scenario.upstream is not None
    with Running(scenario.upstream) as upstream:
        upstream.check(Load("/kib", 1, expected=scenario.cases[0].loads[0].expected))
        environment = {"UPSTREAM": f"http://127.0.0.1:{upstream.port}"}
        with Running(scenario.cases[0].server, environment) as running:
            running.check(scenario.cases[0].loads[0])
