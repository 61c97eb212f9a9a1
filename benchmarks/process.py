"""A measured server as a process: started, watched through /proc, ended by its pid."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from benchmarks.servers import ROOT

if TYPE_CHECKING:
    from benchmarks.servers import Server

_START_S = 20.0
_STOP_S = 15.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a server's processes use together at one moment."""

    cpu_s: float
    rss_mb: float
    """Resident memory; what processes share is counted in each of them."""
    pss_mb: float
    """Resident memory; what processes share is divided among them."""
    threads: int


class Running:
    """A server's process. A context manager: starts it, waits until it answers, and ends it."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.port = _free_port()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in stop()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        self._process = subprocess.Popen(
            self._server.command(self.port),
            stdout=self._log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
            env=environment,
        )
        try:
            self._wait_until_it_answers(self._process)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                try:
                    process.wait(0.02)
                except subprocess.TimeoutExpired:
                    continue
                break
            else:
                return
        self._log.seek(0)
        output = self._log.read().decode(errors="replace")
        raise SystemExit(f"{self._server.name} did not start; its output:\n{output}")

    def check(self, path: str, expected: bytes) -> None:
        """Asks once and compares; raises SystemExit for another status or body than is measured."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if (answer.status, body) != (200, expected):
            raise SystemExit(f"{self._server.name} answers {path} with {answer.status} {body!r}")

    def footprint(self) -> Footprint:
        """What the server's process and its children use now."""
        assert self._process is not None
        pids = _tree(self._process.pid)
        memory = [_memory_mb(pid) for pid in pids]
        return Footprint(
            sum(_cpu_s(pid) for pid in pids),
            sum(rss for rss, _ in memory),
            sum(pss for _, pss in memory),
            sum(len(os.listdir(f"/proc/{pid}/task")) for pid in pids),
        )

    def stop(self) -> None:
        """Ends the server and what is left of its children; harmless when called again."""
        process, self._process = self._process, None
        if process is None:
            return
        pids = _tree(process.pid)
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            print(f"    {self._server.name} did not stop in {_STOP_S:.0f} s and is killed")
            process.kill()
            process.wait()
        for pid in pids:
            if pid != process.pid and Path(f"/proc/{pid}").exists():
                os.kill(pid, signal.SIGKILL)
        self._log.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from the third on; the second may hold spaces and parentheses."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _tree(root: int) -> list[int]:
    """``root`` and all that descend from it; empty where it has ended."""
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            try:
                parents[int(entry)] = int(_stat(int(entry))[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    found = [root] if root in parents else []
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def _cpu_s(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _memory_mb(pid: int) -> tuple[float, float]:
    sizes = {
        line.split()[0]: int(line.split()[1]) / 1024
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    }
    return sizes["Rss:"], sizes["Pss:"]
