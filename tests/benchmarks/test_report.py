"""A run written down, for programs and for people."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks.interpreter import Interpreter
from benchmarks.report import as_markdown, as_record, write
from tests.benchmarks.runs import OURS, run

if TYPE_CHECKING:
    from pathlib import Path


def test_the_table_has_a_row_for_each_case_and_the_ratios_below() -> None:
    text = as_markdown(run())
    row = next(line for line in text.splitlines() if line.startswith("| peer, 1 |"))
    assert row == "| peer, 1 | 33,000 (30,000-50,000) | 1.00 | 4.00 (4.00-6.00) | 9.00 " + (
        "| 15.2 (10.0-16.7) | 35.0 | 14 | 3 |"
    )
    assert "- siphon against peer, 2: 1.50 (1.25-1.65) x the requests a second, 0.25 (0.25-0.50) x" in text
    assert "against peer, 1" not in text
    assert "- siphon: CPython 3.13.15 free-threaded (optimised), GIL off, h11 0.16.0\n" in text


def test_an_unfit_interpreter_is_told_of_but_for_the_one_that_has_a_gil() -> None:
    plain = Interpreter("CPython 3.11.2", False, False, True, {"uvloop": "0.23.0"})
    text = as_markdown(replace(run(), interpreters={"gil": plain, "peers": plain}))
    assert "- gil: CPython 3.11.2 (not optimised), GIL on, uvloop 0.23.0\n" in text
    assert "uvloop 0.23.0. NOT COMPARABLE: it is no free-threaded build;" in text


def test_the_record_has_every_round_and_the_summary() -> None:
    record = json.loads(json.dumps(as_record(run())))
    ours, one, two, _ = record["cases"]
    assert ours["figures"][""]["throughput"] == {"median": 60_000, "least": 50_000, "greatest": 66_000}
    assert [turn["measured"][""]["p99_ms"] for turn in ours["rounds"]] == [
        turn.measured[""].p99_ms for turn in OURS
    ]
    assert (one["is_best_of_family"], two["is_best_of_family"]) == (False, True)
    assert record["ratios"][0]["by_figure"]["throughput"]["median"] == 1.5


def test_a_run_is_written_under_its_time_and_name(tmp_path: Path) -> None:
    table = write(run(), tmp_path / "results")
    assert table.name == "20260102-030405-hello.md"
    assert json.loads(table.with_suffix(".json").read_text())["scenario"] == "hello"
