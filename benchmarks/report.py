"""A run written down: JSON with every round, and a table for people."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figures import ratios, spread

if TYPE_CHECKING:
    from datetime import datetime

    from benchmarks.interpreter import Interpreter
    from benchmarks.rounds import Timing, Turn
    from benchmarks.scenarios import Case, Scenario

RESULTS = Path(__file__).parent / "results"

_COLUMNS = (
    "case",
    "req/s",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "over 100 ms",
    "server CPU us/req",
    "RSS MB",
    "threads at start / after",
    "failed",
)


def write(
    scenario: Scenario,
    turns: dict[str, list[Turn]],
    timing: Timing,
    interpreters: dict[str, Interpreter],
    at: datetime,
) -> Path:
    """Writes both files to benchmarks/results; returns the table's path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{at:%Y%m%d-%H%M%S}-{scenario.name}"
    record = {
        "scenario": scenario.name,
        "at": at.isoformat(timespec="seconds"),
        "machine": _machine(),
        "timing": asdict(timing),
        "interpreters": {name: asdict(one) for name, one in interpreters.items()},
        "cases": {name: [asdict(turn) for turn in rounds] for name, rounds in turns.items()},
    }
    path.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    table = path.with_suffix(".md")
    table.write_text(as_markdown(scenario, turns, timing, interpreters, at))
    return table


def as_markdown(
    scenario: Scenario,
    turns: dict[str, list[Turn]],
    timing: Timing,
    interpreters: dict[str, Interpreter],
    at: datetime,
) -> str:
    """The table, its ratios, and what it was measured on."""
    lines = [f"## {scenario.name}", "", scenario.about, ""]
    lines += ["| " + " | ".join(_COLUMNS) + " |", "|" + "---|" * len(_COLUMNS)]
    for case in scenario.cases:
        lines += ["| " + " | ".join(row) + " |" for row in _rows(case, turns[case.name])]
    first = scenario.cases[0].name + (f" ({scenario.decisive})" if scenario.decisive else "")
    lines.append("")
    for ratio in ratios(scenario, turns):
        lines.append(
            f"- {first} against {ratio.name}: {ratio.throughput.text('.2f')} times the requests a second, "
            f"the other's p99 is {ratio.p99.text('.2f')} times as long"
        )
    lines += ["", *_circumstances(timing, interpreters, at)]
    return "\n".join(lines) + "\n"


def _rows(case: Case, turns: list[Turn]) -> list[list[str]]:
    """One row for each load; the server's own figures are the same in all of them."""
    cpu = spread([turn.cpu_us_per_request for turn in turns]).text(".1f")
    rss = spread([turn.after.rss_mb for turn in turns]).text(".1f")
    at_start = max(turn.threads_at_start for turn in turns)
    after = max(turn.after.threads for turn in turns)
    rows = []
    for load in case.loads:
        mine = [turn.measured[load.label] for turn in turns]
        failed = sum(one.failed for one in mine)
        timed_out = sum(one.timed_out for one in mine)
        rows.append(
            [
                f"{case.name}: {load.label}" if load.label else case.name,
                spread([one.per_second for one in mine]).text(),
                spread([one.p50_ms for one in mine]).text(".2f"),
                spread([one.p99_ms for one in mine]).text(".2f"),
                spread([one.p999_ms for one in mine]).text(".2f"),
                f"{sum(one.over_100_ms for one in mine):,} of {sum(one.requests for one in mine):,}",
                cpu,
                rss,
                f"{at_start} / {after}",
                f"{failed}, {timed_out} timed out" if failed or timed_out else "0",
            ]
        )
    return rows


def _circumstances(timing: Timing, interpreters: dict[str, Interpreter], at: datetime) -> list[str]:
    machine = _machine()
    lines = [
        f"{timing.rounds} rounds of {timing.seconds} s, the cases in turn, each on a fresh server after a "
        f"warm-up of {timing.warm_up_s} s; median (least-greatest). wrk runs on the same "
        f"{machine['cpus']} processors, one thread a load. {machine['cpu']}, Linux {machine['kernel']}, "
        f"{at:%Y-%m-%d}.",
        "",
    ]
    for name, one in interpreters.items():
        packages = ", ".join(f"{package} {version}" for package, version in one.packages.items())
        faults = "; ".join(one.faults())
        lines.append(f"- {name}: {one.version}, {packages}{f'. NOT COMPARABLE: {faults}' if faults else ''}")
    return lines


def _machine() -> dict[str, object]:
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    cpu = names[0] if names else platform.machine()
    return {"cpu": cpu, "cpus": os.process_cpu_count() or 1, "kernel": platform.release()}
