"""``python -m benchmarks [scenario ...]``: measures siphon and its peers side by side."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import load, report
from benchmarks.crowd import raise_descriptor_limit
from benchmarks.interpreter import Interpreter, probe
from benchmarks.rounds import Timing, play
from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.servers import PEER_MODULES, PEER_PACKAGES, PEERS_PYTHON, SIPHON_MODULES, SIPHON_PACKAGES

_ROUNDS_LEAST = 5


def main() -> int:
    """Measures the scenarios that were named, else all of them."""
    options = _parser().parse_args()
    load.require_wrk()
    raise_descriptor_limit()
    interpreters = {
        "siphon": probe(Path(sys.executable), SIPHON_MODULES, SIPHON_PACKAGES),
        "peers": probe(PEERS_PYTHON, PEER_MODULES, PEER_PACKAGES),
    }
    _refuse_unfit(interpreters, any_interpreter=options.any_interpreter)
    if options.rounds < _ROUNDS_LEAST:
        print(f"note: figures to be shown to anybody need at least {_ROUNDS_LEAST} rounds")
    timing = Timing(options.rounds, options.seconds, options.warm_up)
    for name in options.scenario or SCENARIOS:
        scenario = _chosen(SCENARIOS[name], options.only)
        at = datetime.now(UTC)
        turns = play(scenario, timing)
        table = report.write(scenario, turns, timing, interpreters, at)
        print(
            f"\n{table.read_text()}\nwritten to {table} and {table.with_suffix('.json').name}\n", flush=True
        )
    return 0


def _chosen(scenario: Scenario, only: str | None) -> Scenario:
    """The scenario with its first case, which the others are compared with, and those that ``only`` names."""
    if only is None:
        return scenario
    first, *others = scenario.cases
    return dataclasses.replace(scenario, cases=(first, *(case for case in others if only in case.name)))


def _refuse_unfit(interpreters: dict[str, Interpreter], *, any_interpreter: bool) -> None:
    for name, interpreter in interpreters.items():
        for fault in interpreter.faults():
            text = f"the interpreter of {name} is not fit to be measured: {fault}"
            if not any_interpreter:
                raise SystemExit(f"{text} (run scripts/bench.sh, or pass --any-interpreter)")
            print(f"warning: {text}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO", type=_scenario, help=", ".join(SCENARIOS))
    parser.add_argument("--rounds", type=_at_least_one, default=5, help="default: 5")
    parser.add_argument(
        "--seconds", type=_at_least_one, default=6, help="each case in each round; default: 6"
    )
    parser.add_argument("--warm-up", type=int, default=2, metavar="SECONDS", help="default: 2")
    parser.add_argument("--only", metavar="TEXT", help="beside the first case, those with TEXT in their name")
    parser.add_argument(
        "--any-interpreter", action="store_true", help="measure on a plain build or with the GIL on"
    )
    return parser


def _scenario(text: str) -> str:
    if text not in SCENARIOS:
        raise argparse.ArgumentTypeError(f"no scenario {text!r}; there are: {', '.join(SCENARIOS)}")
    return text


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 up")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
