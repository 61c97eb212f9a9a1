"""What is shown: of each scenario the newest complete result, as tables and as a chart."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from benchmarks.chart import draw, standings
from benchmarks.publish import newest, publish
from benchmarks.report import as_record, write
from benchmarks.scenario import Scenario
from tests.benchmarks.runs import AT, CASES, run

if TYPE_CHECKING:
    from pathlib import Path

SVG = "{http://www.w3.org/2000/svg}"


def test_the_newest_complete_result_counts(tmp_path: Path) -> None:
    for minutes, is_complete in ((0, True), (1, True), (2, False)):
        write(run(at=AT + timedelta(minutes=minutes), is_complete=is_complete), tmp_path)
    write(run(Scenario("forgotten", "No longer measured.", CASES)), tmp_path)
    assert {name: path.name for name, path in newest(tmp_path).items()} == {
        "hello": "20260102-030505-hello.json"
    }


def test_tables_and_chart_are_written_and_what_is_missing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(run(Scenario("mixed", "Several loads.", CASES, merit="p99")), tmp_path)
    write(run(), tmp_path)
    publish(tmp_path, tmp_path)
    page = (tmp_path / "benchmarks.md").read_text()
    assert page.index("## hello") < page.index("## mixed")
    assert "left out: hello_sync, hello_all, echo," in capsys.readouterr().out
    ElementTree.parse(tmp_path / "benchmarks.svg")


def test_without_a_complete_result_nothing_is_published(tmp_path: Path) -> None:
    write(run(is_complete=False), tmp_path)
    with pytest.raises(SystemExit, match="no complete result"):
        publish(tmp_path, tmp_path)


def test_siphon_stands_against_the_best_other_and_more_is_always_better() -> None:
    hello = as_record(run())
    mixed = as_record(run(Scenario("mixed", "About.", CASES, merit="p99")))
    found = standings({"mixed": mixed, "hello": hello})
    assert [(one.label, one.times, one.rival) for one in found] == [
        ("hello, async", 1.5, "peer, 2"),
        ("fast beside slow: p99", 2.0, "peer, 1"),
    ]


def test_the_chart_has_a_bar_for_the_best_of_each_family_the_longest_first() -> None:
    image = ElementTree.fromstring(draw({"hello": as_record(run())}))
    texts = [element.text for element in image.iter(f"{SVG}text")]
    bars = [one for one in texts if one in {"siphon", "peer, 1", "peer, 2", "slow"}]
    assert bars == ["siphon", "peer, 2", "slow", "peer, 2"]
    assert {"60,000, p99 2.0 ms", "40,000, p99 8.0 ms", "5,000, p99 20.0 ms", "1.50 x"} <= set(texts)
