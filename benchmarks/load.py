"""Load on a server, each request sent when the one before is answered, and what was measured of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.histogram import Histogram

_SCRIPT = Path(__file__).with_name("wrk_figures.lua")
_MARK = "COUNTED "
_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Load:
    """So many connections that each send the request again as soon as they are answered."""

    path: str
    connections: int
    label: str = ""
    """Tells loads that run side by side apart."""
    expected: bytes = field(default=b"ok", repr=False)
    """The body of every answer; one is compared before anything is timed."""
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: str = field(default="", repr=False)
    depth: int = 1
    """Requests that a connection sends at once; its next ones follow when all of them are answered."""
    by_server: bool = False
    """The server makes the load: ``path?seconds=N`` has it call its upstream and answer with figures."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one load saw. Latencies are of all answers, from the request's first byte."""

    requests: int
    """Answered with 2xx or 3xx."""
    seconds: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    over_100_ms: int
    failed: int
    """Connections refused or broken, and answers other than 2xx and 3xx."""
    timed_out: int

    @property
    def per_second(self) -> float:
        """Requests answered a second."""
        return self.requests / self.seconds


def require_wrk() -> None:
    """Raises SystemExit where the load generator is missing."""
    if shutil.which("wrk") is None:
        raise SystemExit("there is no wrk: run scripts/apt.sh bench")


def run(loads: tuple[Load, ...], port: int, seconds: int) -> list[Measured]:
    """Runs every load at the same time, one wrk of one thread each; raises SystemExit where one fails."""
    if loads[0].by_server:
        return [_ask(load, port, seconds) for load in loads]
    processes = [
        subprocess.Popen(
            _wrk(load, port, seconds), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for load in loads
    ]
    try:
        outputs = [process.communicate(timeout=seconds + 2 * _TIMEOUT_S)[0] for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
    return [_read(output, load.connections) for output, load in zip(outputs, loads, strict=True)]


def _wrk(load: Load, port: int, seconds: int) -> list[str]:
    size = ("-t1", f"-c{load.connections}", f"-d{seconds}s", "--timeout", f"{_TIMEOUT_S}s")
    headers = [part for name, value in load.headers for part in ("-H", f"{name}: {value}")]
    url = f"http://127.0.0.1:{port}{load.path}"
    return ["wrk", *size, *headers, "-s", str(_SCRIPT), url, "--", load.method, str(load.depth), load.body]


def _ask(load: Load, port: int, seconds: int) -> Measured:
    url = f"http://127.0.0.1:{port}{load.path}?seconds={seconds}"
    with urllib.request.urlopen(url, timeout=seconds + 2 * _TIMEOUT_S) as answer:
        return Measured(**json.load(answer))


def _read(output: str, connections: int) -> Measured:
    lines = [line for line in output.splitlines() if line.startswith(_MARK)]
    if len(lines) != 1:
        raise SystemExit(f"wrk gave no figures; its output:\n{output}")
    counted = json.loads(lines[0].removeprefix(_MARK))
    histogram = Histogram.of_wrk(
        dict(counted["latency"]), counted["requests"], counted["runtime_us"], connections
    )
    return Measured(
        requests=counted["requests"] - counted["refused"],
        seconds=counted["runtime_us"] / 1e6,
        **histogram.as_figures(),
        failed=counted["refused"] + counted["broken"],
        timed_out=counted["timed_out"],
    )
