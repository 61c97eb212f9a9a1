"""wrk: closed-loop load on one path, and what it measured."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = Path(__file__).with_name("wrk_figures.lua")
_MARK = "FIGURES "
_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Load:
    """So many connections that each ask for ``path`` again as soon as they are answered."""

    path: str
    connections: int
    label: str = ""
    """Tells loads that run side by side apart."""
    expected: bytes = b"ok"


@dataclass(frozen=True, slots=True)
class Measured:
    """What one wrk saw. Latencies are of answered requests, from the request's first byte."""

    requests: int
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
    processes = [
        subprocess.Popen(
            [
                *("wrk", "-t1", f"-c{load.connections}", f"-d{seconds}s", "--timeout", f"{_TIMEOUT_S}s"),
                *("-s", str(_SCRIPT), f"http://127.0.0.1:{port}{load.path}"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
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
    return [_read(output) for output in outputs]


def _read(output: str) -> Measured:
    lines = [line for line in output.splitlines() if line.startswith(_MARK)]
    if len(lines) != 1:
        raise SystemExit(f"wrk gave no figures; its output:\n{output}")
    measured = Measured(**json.loads(lines[0].removeprefix(_MARK)))
    if not measured.requests:
        raise SystemExit(f"not one request was answered; wrk's output:\n{output}")
    return measured
