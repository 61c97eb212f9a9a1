"""What a request costs on each kind of thread, and how far that scales: ``python -m benchmarks.model``.

docs/performance.md has the formula, and the figures that this printed once.
"""

from __future__ import annotations

import asyncio
import http.client
import statistics
import sys
import threading
import time
from dataclasses import replace
from typing import Final, NamedTuple

from benchmarks import load, servers
from benchmarks.load import Load
from benchmarks.process import Running, cpu_s

_ROUNDS: Final = 5
_SECONDS: Final = 3
_CONNECTIONS: Final = 64
_TASKS: Final = 200_000
# With less than that for each request an acceptor only watches: its connections are lent.
_NOTHING_US: Final = 1.0


class Cost(NamedTuple):
    """Processor time that one request takes, in microseconds."""

    acceptor_us: float
    lane_us: float
    """On a loop or a blocking worker, what the handler itself takes included."""


def most_per_second(cost: Cost, *, acceptors: int, lane_threads: int, processors: int) -> float:
    """The requests a second at which the first of three has no time left: acceptors, lane, processors."""
    whole_us = cost.acceptor_us + cost.lane_us
    return 1e6 * min(acceptors / cost.acceptor_us, lane_threads / cost.lane_us, processors / whole_us)


def lane_threads_fed(cost: Cost) -> float:
    """How many threads of a lane one acceptor keeps busy: from there on another acceptor helps."""
    return cost.lane_us / cost.acceptor_us


def measure(path: str, *options: str) -> Cost:
    """The median of a few rounds, each on a fresh server."""
    costs = [_measure(path, *options) for _ in range(_ROUNDS)]
    return Cost(*[statistics.median(column) for column in zip(*costs, strict=True)])


def _measure(path: str, *options: str) -> Cost:
    server = servers.siphon("siphon_hello")
    command = server.command
    server = replace(server, command=lambda port, scratch: [*command(port, scratch), *options])
    with Running(server) as running:
        traffic = (Load(path, _CONNECTIONS),)
        load.run(traffic, running.port, 1)
        before = _by_kind(running)
        (measured,) = load.run(traffic, running.port, _SECONDS)
        after = _by_kind(running)
    used = {kind: (after[kind] - before.get(kind, 0.0)) / measured.requests * 1e6 for kind in after}
    return Cost(used["acceptor"], used.get("loop", 0.0) + used.get("blocking", 0.0))


def _by_kind(running: Running) -> dict[str, float]:
    """Processor seconds so far by kind of thread."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
    connection.request("GET", "/threads")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    seconds: dict[str, float] = {}
    for line in lines:
        thread, _, name = line.partition(" ")
        kind = name.split("-")[1] if name.startswith("siphon-") else "other"
        seconds[kind] = seconds.get(kind, 0.0) + cpu_s(f"{running.pid}/task/{thread}")
    return seconds


def eager_task_us(loops: int) -> float:
    """What an eager task that never suspends takes with so many loops at work at once, each on a thread."""
    gate = threading.Barrier(loops)
    took: list[float] = []

    async def nothing() -> None:
        return None

    async def make() -> None:
        loop = asyncio.get_running_loop()
        gate.wait()
        began = time.thread_time()
        for _ in range(_TASKS):
            asyncio.Task(nothing(), loop=loop, eager_start=True)
        took.append((time.thread_time() - began) / _TASKS * 1e6)

    threads = [threading.Thread(target=asyncio.run, args=(make(),)) for _ in range(loops)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statistics.mean(took)


def main() -> int:
    """Measures, and prints a table."""
    load.require_wrk()
    rows = [
        ("async", measure("/")),
        ("async, one loop", measure("/", "--loops", "1")),
        ("sync", measure("/sync")),
    ]
    print("| request | acceptor us | lane us | lane threads that one acceptor feeds | an acceptor's most |")
    print("|---|---|---|---|---|")
    for name, cost in rows:
        fed, most = "any number", "no bound"
        if cost.acceptor_us >= _NOTHING_US:
            fed = f"{lane_threads_fed(cost):.1f}"
            most = f"{most_per_second(cost, acceptors=1, lane_threads=1_000, processors=1_000):,.0f}/s"
        print(f"| {name} | {cost.acceptor_us:.1f} | {cost.lane_us:.1f} | {fed} | {most} |")
    tasks = [statistics.median(eager_task_us(loops) for _ in range(_ROUNDS)) for loops in (1, 2)]
    print(f"\nan eager task: {tasks[0]:.2f} us on one loop alone, {tasks[1]:.2f} us with two at once")
    return 0


if __name__ == "__main__":
    sys.exit(main())
