"""A run written down: JSON with every round, and a table for people."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figures import FIGURES, best_of_families, ratios, spread_of

if TYPE_CHECKING:
    from datetime import datetime

    from benchmarks.interpreter import Interpreter
    from benchmarks.rounds import Timing, Turn
    from benchmarks.scenario import Case, Scenario

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Run:
    """All that one run of a scenario gave, and how it came about."""

    scenario: Scenario
    turns: dict[str, list[Turn]]
    timing: Timing
    interpreters: dict[str, Interpreter]
    at: datetime
    is_complete: bool = True
    """Whether it may be shown: every case is there, the interpreters are fit, the rounds are enough."""


def write(run: Run, directory: Path = RESULTS) -> Path:
    """Writes both files, named after the time and the scenario; returns the table's path."""
    directory.mkdir(exist_ok=True)
    path = directory / f"{run.at:%Y%m%d-%H%M%S}-{run.scenario.name}"
    path.with_suffix(".json").write_text(json.dumps(as_record(run), indent=1) + "\n")
    table = path.with_suffix(".md")
    table.write_text(as_markdown(run))
    return table


def as_record(run: Run) -> dict[str, object]:
    """The run for programs: summaries, and each round as it was measured."""
    scenario = run.scenario
    best = {case.name for case in best_of_families(scenario, run.turns)}
    return {
        "scenario": scenario.name,
        "about": scenario.about,
        "decisive": scenario.decisive,
        "merit": scenario.merit,
        "at": run.at.isoformat(timespec="seconds"),
        "is_complete": run.is_complete,
        "machine": machine(),
        "timing": asdict(run.timing),
        "interpreters": {name: asdict(one) for name, one in run.interpreters.items()},
        "cases": [
            {
                "name": case.name,
                "family": case.family,
                "is_rival": case.is_rival,
                "is_best_of_family": case.name in best,
                "figures": {label: _summary(run, case, label) for label in _labels(case)},
                "rounds": [asdict(turn) for turn in run.turns[case.name]],
            }
            for case in scenario.cases
        ],
        "ratios": [asdict(one) for one in ratios(scenario, run.turns)],
    }


def _labels(case: Case) -> list[str]:
    return [load.label for load in case.loads]


def _summary(run: Run, case: Case, label: str) -> dict[str, object]:
    return {figure: asdict(spread_of(figure, run.turns[case.name], label)) for figure in run.scenario.figures}


def as_markdown(run: Run) -> str:
    """The table, its ratios, and what it was measured on."""
    scenario = run.scenario
    titles = ["case", *(FIGURES[name].title for name in scenario.figures)]
    lines = [f"## {scenario.name}", "", scenario.about, ""]
    lines += ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    for case in scenario.cases:
        lines += ["| " + " | ".join(row) + " |" for row in _rows(run, case)]
    first = scenario.cases[0].name + (f" ({scenario.decisive})" if scenario.decisive else "")
    lines.append("")
    lines += [f"- {first} against {one.name}: {one.text()}" for one in ratios(scenario, run.turns)]
    lines += ["", *_circumstances(run)]
    return "\n".join(lines) + "\n"


def _rows(run: Run, case: Case) -> list[list[str]]:
    """One row for each load; the server's own figures are the same in all of them."""
    rows = []
    for label in _labels(case):
        cells = [f"{case.name}: {label}" if label else case.name]
        for name in run.scenario.figures:
            cells.append(spread_of(name, run.turns[case.name], label).text(FIGURES[name].form))
        rows.append(cells)
    return rows


def _circumstances(run: Run) -> list[str]:
    timing, host = run.timing, machine()
    seconds = max(timing.seconds, run.scenario.seconds_least)
    what = (
        f"each measured for {seconds} s on a fresh server after {timing.warm_up_s} s of warm-up"
        if run.scenario.is_timed
        else "each started afresh"
    )
    lines = [
        f"{timing.rounds} rounds, the cases in turn, {what}; median (least-greatest), and ratios within the "
        f"round. The load runs on the same {host['cpus']} processors. {host['cpu']}, "
        f"Linux {host['kernel']}, {run.at:%Y-%m-%d}.",
        "",
    ]
    for name, one in run.interpreters.items():
        packages = ", ".join(f"{package} {version}" for package, version in one.packages.items())
        faults = "; ".join(one.faults())
        remark = "" if not faults or name == "gil" else f". NOT COMPARABLE: {faults}"
        lines.append(f"- {name}: {one.describe()}, {packages}{remark}")
    return lines


def machine() -> dict[str, object]:
    """The processor, how many of them this process may use, and the kernel."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    cpu = names[0] if names else platform.machine()
    return {"cpu": cpu, "cpus": os.process_cpu_count() or 1, "kernel": platform.release()}
