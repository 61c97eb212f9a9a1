"""Fuzzes for a while: ``python -m tests.fuzz [--minutes N] [--jobs N] [--seed N] [TARGET ...]``.

The targets share the time. Exit code 1: a property does not hold, and the input is printed, shrunk; put it
into the tests of the module at fault.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from time import time_ns

from tests.fuzz.guided import Finding, fuzz
from tests.fuzz.targets import TARGETS


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"any of: {', '.join(TARGETS)}")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=time_ns() % 1_000_000_000, help="by default another one")
    parser.add_argument("--alone", action="store_true", help="this target, in this process")
    arguments = parser.parse_args()
    for name in arguments.targets:
        if name not in TARGETS:
            parser.error(f"no target {name!r}; there are: {', '.join(TARGETS)}")
    return arguments


def _alone(name: str, seconds: float, seed: int) -> int:
    target, seeds = TARGETS[name]
    try:
        report = fuzz(target, seeds, seconds=seconds, seed=seed)
    except Finding as finding:
        sys.stdout.write(f"{name}, seed {seed}: {finding}\n")
        return 1
    sys.stdout.write(
        f"{name}, seed {seed}: clean after {report.executions} inputs in {seconds:.0f} s, "
        f"{report.features} branches and outcomes, {report.kept} inputs kept\n"
    )
    return 0


def main() -> int:
    """Runs the targets, each in a process of its own."""
    arguments = _arguments()
    names = arguments.targets or list(TARGETS)
    if arguments.alone:
        return _alone(names[0], arguments.minutes * 60, arguments.seed)
    minutes = arguments.minutes * min(arguments.jobs, len(names)) / len(names)
    command = [
        sys.executable,
        "-m",
        "tests.fuzz",
        "--alone",
        f"--minutes={minutes}",
        f"--seed={arguments.seed}",
    ]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        codes = list(pool.map(lambda name: subprocess.run([*command, name], check=False).returncode, names))
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
