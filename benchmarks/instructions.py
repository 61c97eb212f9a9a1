"""``python -m benchmarks.instructions [scenario ...]``: what a request takes outside the kernel.

valgrind's callgrind counts instructions: as many whatever else the machine does, while processor time
differs by a tenth and more from one second to the next. docs/performance.md has what this printed once.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from benchmarks.process import Running
from benchmarks.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.load import Load
    from benchmarks.servers import Server

_DEFAULT: Final = ("hello", "hello_sync", "echo", "json")
_CONNECTIONS: Final = 16
"""That ask in one turn: with fewer a turn's own share counts for more."""
_TURNS: Final = 200
_WARM_UP_TURNS: Final = 40
_START_S: Final = 120.0


def per_request(server: Server, load: Load, *, turns: int = _TURNS) -> int:
    """What a request takes of ``server``'s process, with 16 connections that ask at once."""
    dumps: list[Path] = []

    def command(port: int, scratch: Path) -> list[str]:
        dumps.append(scratch / "callgrind.out.1")
        counting = ("valgrind", "--tool=callgrind", "--fair-sched=yes")
        return [*counting, f"--callgrind-out-file={scratch}/callgrind.out", *_patient(server, port, scratch)]

    with Running(replace(server, command=command), start_s=_START_S) as running:
        sockets = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(_CONNECTIONS)]
        try:
            _ask(sockets, load, running.port, _WARM_UP_TURNS)
            _control("--zero", running.pid)
            _ask(sockets, load, running.port, turns)
            _control("--dump", running.pid)
        finally:
            for sock in sockets:
                sock.close()
        return total(dumps[0].read_text()) // (turns * _CONNECTIONS)


def _patient(server: Server, port: int, scratch: Path) -> list[str]:
    """The server's command; siphon's with what it judges by time put off."""
    command = server.command(port, scratch)
    return ["benchmarks.patient" if part == "siphon" else part for part in command]


def _ask(sockets: Sequence[socket.socket], load: Load, port: int, turns: int) -> None:
    """Sends the request on every connection, then awaits every answer."""
    fields = [("Host", f"127.0.0.1:{port}"), *load.headers]
    if load.body:
        fields.append(("Content-Length", str(len(load.body))))
    lines = [f"{load.method} {load.path} HTTP/1.1", *[f"{name}: {value}" for name, value in fields]]
    request = "\r\n".join([*lines, "", load.body]).encode()
    for _ in range(turns):
        for sock in sockets:
            sock.sendall(request)
        for sock in sockets:
            _await_answer(sock, load)


def _await_answer(sock: socket.socket, load: Load) -> None:
    answer = b""
    while not answer.endswith(load.expected) or b"\r\n\r\n" not in answer:
        data = sock.recv(65_536)
        answer += data
        if not data or not answer.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"{load.path} was answered with {answer[:200]!r}")


def _control(what: str, pid: int) -> None:
    subprocess.run(["callgrind_control", what, str(pid)], check=True, capture_output=True)


def total(dump: str) -> int:
    """The instructions in a dump of callgrind's; raises ValueError where it has no total."""
    for line in reversed(dump.splitlines()):
        name, _, value = line.partition(": ")
        if name == "totals":
            return int(value)
    raise ValueError("the dump has no totals")


def main() -> int:
    """Counts each server of the scenarios, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", nargs="*", default=_DEFAULT, choices=[*SCENARIOS])
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        raise SystemExit("there is no valgrind: run scripts/apt.sh bench")
    print("| scenario | case | instructions a request |\n|---|---|---|")
    for name in options.scenario:
        for case in SCENARIOS[name].cases:
            if case.server.interpreter != "gil":
                print(f"| {name} | {case.name} | {per_request(case.server, case.loads[0]):,} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
