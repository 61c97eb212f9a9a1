"""Soaks: ``python -m tests.soak [--minutes N] [--round-s N] [--customers N] [--seed N]``.

Rounds of mixed load, each with a new certificate. After each the process rests, and what it holds is
noted. Exit code 1: an answer was wrong, something was logged that nobody had planned, or memory,
descriptors, threads or tasks grew after the warm-up, which is a sixth of the time.
"""

from __future__ import annotations

import argparse
import sys
from time import time_ns

from tests.soak.site import Soak


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--round-s", type=float, default=60.0, help="seconds of load before each rest")
    parser.add_argument("--customers", type=int, default=60, help="connections at a time")
    parser.add_argument("--seed", type=int, default=time_ns() % 1_000_000_000, help="by default another one")
    return parser.parse_args()


def main() -> int:
    """Runs the soak; the exit code."""
    arguments = _arguments()

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    say(f"seed {arguments.seed}")
    with Soak(arguments.customers, arguments.seed) as soak:
        soak.run(arguments.minutes * 60, arguments.round_s, say)
        faults = soak.faults or soak.growth()
    for fault in faults:
        say(f"WRONG     {fault}")
    say("not steady" if faults else "steady: nothing grew, and every answer was right")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
