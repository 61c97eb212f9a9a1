"""``python -m benchmarks [scenario ...]``: measures siphon and others side by side."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import gil, load, peers, servers
from benchmarks.crowd import raise_descriptor_limit
from benchmarks.interpreter import Interpreter, probe
from benchmarks.publish import publish
from benchmarks.report import Run, write
from benchmarks.rounds import Timing, play
from benchmarks.scenarios import SCENARIOS

if TYPE_CHECKING:
    from benchmarks.scenario import Scenario

_ROUNDS_LEAST: Final = 5
_SECONDS_OF_ONE: Final = 1
_SECONDS_OF_ALL: Final = 3
_INTERPRETERS: Final = {
    "siphon": (Path(sys.executable), servers.SIPHON_MODULES, servers.SIPHON_PACKAGES),
    "peers": (peers.PEERS_PYTHON, peers.PEER_MODULES, peers.PEER_PACKAGES),
    "gil": (gil.GIL_PYTHON, gil.GIL_MODULES, gil.GIL_PACKAGES),
}


def main() -> int:
    """Measures the scenarios that were named, else all of them, which it publishes.

    Returns 1 where one of several failed.
    """
    options = _parser().parse_args()
    load.require_wrk()
    raise_descriptor_limit()
    names = options.scenario or list(SCENARIOS)
    if not options.scenario and not gil.GIL_PYTHON.exists():
        print(f"note: without {gil.GIL_PYTHON} nothing is measured on a Python with a GIL")
        names = [name for name in names if "gil" not in _needed(SCENARIOS[name])]
    needed = {one for name in names for one in _needed(SCENARIOS[name])}
    interpreters = {name: probe(*_INTERPRETERS[name]) for name in sorted(needed)}
    is_complete = _are_fit(interpreters, any_interpreter=options.any_interpreter) and options.only is None
    if options.rounds < _ROUNDS_LEAST:
        is_complete = False
        print(f"note: figures to be shown to anybody need at least {_ROUNDS_LEAST} rounds")
    if os.getloadavg()[0] > 1:
        print(f"note: the machine is busy with something else (load {os.getloadavg()[0]:.1f})")
    seconds = options.seconds or (_SECONDS_OF_ONE if options.scenario else _SECONDS_OF_ALL)
    timing = Timing(options.rounds, seconds, options.warm_up)
    code = 0
    for name in names:
        scenario = _chosen(SCENARIOS[name], options.only)
        at = datetime.now(UTC)
        used = {one: interpreters[one] for one in sorted(_needed(scenario))}
        try:
            turns = play(scenario, timing)
        except SystemExit as end:
            if len(names) == 1:
                raise
            print(f"{name} is left out: {end}\n", flush=True)
            code = 1
            continue
        run = Run(scenario, turns, timing, used, at, is_complete)
        table = write(run)
        print(
            f"\n{table.read_text()}\nwritten to {table} and {table.with_suffix('.json').name}\n", flush=True
        )
    if not options.scenario and is_complete:
        publish()
    return code


def _needed(scenario: Scenario) -> set[str]:
    return {case.server.interpreter for case in scenario.cases}


def _chosen(scenario: Scenario, only: str | None) -> Scenario:
    """The scenario with its first case, which the others are compared with, and those that ``only`` names."""
    if only is None:
        return scenario
    first, *others = scenario.cases
    return dataclasses.replace(scenario, cases=(first, *(case for case in others if only in case.name)))


def _are_fit(interpreters: dict[str, Interpreter], *, any_interpreter: bool) -> bool:
    """Whether the free-threaded ones are; ends the run where one is not and that was not allowed."""
    is_fit = True
    for name, interpreter in interpreters.items():
        if name == "gil":
            continue  # measured as it is, and reported so
        for fault in interpreter.faults():
            is_fit = False
            text = f"the interpreter of {name} is not fit to be measured: {fault}"
            if not any_interpreter:
                raise SystemExit(f"{text} (run scripts/bench.sh, or pass --any-interpreter)")
            print(f"warning: {text}")
    return is_fit


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog="Without a scenario all are measured, and docs/benchmarks.md and .svg are made of them; "
        "python -m benchmarks.publish makes both of what was measured before.",
    )
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO", type=_scenario, help=", ".join(SCENARIOS))
    parser.add_argument("--rounds", type=_at_least_one, default=5, help="default: 5")
    parser.add_argument(
        "--seconds",
        type=_at_least_one,
        help=f"each case in each round; default: {_SECONDS_OF_ONE}, or {_SECONDS_OF_ALL} for all scenarios",
    )
    parser.add_argument("--warm-up", type=_whole, default=1, metavar="SECONDS", help="default: 1")
    parser.add_argument("--only", metavar="TEXT", help="beside the first case, those with TEXT in their name")
    parser.add_argument(
        "--any-interpreter", action="store_true", help="measure on a plain build or with the GIL on"
    )
    return parser


def _scenario(text: str) -> str:
    if text not in SCENARIOS:
        raise argparse.ArgumentTypeError(f"no scenario {text!r}; there are: {', '.join(SCENARIOS)}")
    return text


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)


def _at_least_one(text: str) -> int:
    if _whole(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is less than 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
