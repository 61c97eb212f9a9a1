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
    from collections.abc import Mapping

    from benchmarks.load import Load
    from benchmarks.servers import Server

_START_S = 20.0
_STOP_S = 5.0
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
    """A server's process. A context manager: starts it, waits until it listens, and ends it."""

    def __init__(
        self, server: Server, environment: Mapping[str, str] | None = None, *, start_s: float = _START_S
    ) -> None:
        """``environment`` is added to that of this process and to the server's own.

        ``start_s``: how long it may take until it listens.
        """
        self._server = server
        self._environment = {**server.environment, **(environment or {})}
        self._start_s = start_s
        self.port = _free_port()
        self.start_ms = 0.0
        """From the start of the process to the end of the first answer."""
        self._began = 0.0
        self._has_answered = False
        self._scratch = tempfile.TemporaryDirectory(prefix="benchmark-")
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in stop()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **self._environment}
        # A server is measured with its bytecode: without, its start takes more time and memory.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        try:
            command = self._server.command(self.port, Path(self._scratch.name))
            self._began = time.perf_counter()
            self._process = subprocess.Popen(
                command,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                env=environment,
            )
            self._wait_until_it_listens(self._process)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def _wait_until_it_listens(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self._start_s
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                try:
                    process.wait(0.002)
                except subprocess.TimeoutExpired:
                    continue
                break
            else:
                return
        self._log.seek(0)
        output = self._log.read().decode(errors="replace")
        raise SystemExit(f"{self._server.name} did not start; its output:\n{output}")

    def check(self, load: Load) -> None:
        """Asks once and compares; raises SystemExit for another status or body than is measured."""
        if load.by_server:
            return  # its answer is the measurement, and the server compares each that it gets
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(load.method, load.path, load.body or None, dict(load.headers))
            answer = connection.getresponse()
            body = answer.read()
            if not self._has_answered:
                self._has_answered = True
                self.start_ms = (time.perf_counter() - self._began) * 1000
        finally:
            connection.close()
        if (answer.status, body) != (200, load.expected):
            shown = body if len(body) < 200 else body[:200] + b"..."
            raise SystemExit(f"{self._server.name} answers {load.path} with {answer.status} {shown!r}")

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self._process is not None
        return self._process.pid

    def footprint(self) -> Footprint:
        """What the server's process and its children use now."""
        assert self._process is not None
        pids = _tree(self._process.pid)
        memory = [_memory_mb(pid) for pid in pids]
        return Footprint(
            sum(cpu_s(pid) for pid in pids),
            sum(rss for rss, _ in memory),
            sum(pss for _, pss in memory),
            sum(len(os.listdir(f"/proc/{pid}/task")) for pid in pids),
        )

    def stop(self) -> None:
        """Ends the server and what is left of its children; harmless when called again."""
        process, self._process = self._process, None
        if process is not None:
            self._end(process)
        self._log.close()
        self._scratch.cleanup()

    def _end(self, process: subprocess.Popen[bytes]) -> None:
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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _stat(process: int | str) -> list[str]:
    """The fields of /proc/<process>/stat from the third on; the second may hold spaces and parentheses."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


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


def cpu_s(process: int | str) -> float:
    """The processor time that a process has taken so far, or one of its threads: ``<pid>/task/<tid>``."""
    fields = _stat(process)
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _memory_mb(pid: int) -> tuple[float, float]:
    sizes = {
        line.split()[0]: int(line.split()[1]) / 1024
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    }
    return sizes["Rss:"], sizes["Pss:"]
