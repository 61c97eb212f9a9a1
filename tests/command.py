"""The siphon command as a process of its own, for tests of what an operator sees."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.client import Client

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parent.parent
SIPHON = [sys.executable, "-m", "siphon"]
HELLO = """
from siphon import http, log

@http.route("/")
async def hello(req):
    log.info("said hello")
    return http.Response(body="hello")

@http.route("/boom")
async def boom(req):
    raise ValueError("a secret")
"""
PORT_0 = ("--listen", "127.0.0.1:0")
_URL = re.compile(r"  listening on https?://127\.0\.0\.1:([0-9]+)\n")


def write(folder: Path, name: str, text: str) -> None:
    """Puts a file into a folder."""
    (folder / name).write_text(text, encoding="utf-8")


def environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of this process without siphon's variables and without a say in the GIL."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("SIPHON_") and key not in ("PYTHON_GIL", "PYTHONWARNINGS")
    }
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **(variables or {})}


def run(
    *arguments: str, cwd: Path, variables: Mapping[str, str] | None = None, timeout_s: float = 60
) -> subprocess.CompletedProcess[str]:
    """Runs siphon to its end."""
    return subprocess.run(
        [*SIPHON, *arguments],
        cwd=cwd,
        env=environment(variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )


class Command:
    """A siphon process that serves. A context manager: kills what still runs at its end.

    ``pass_fds``: descriptors that it inherits. ``prefix``: a command that ends in running siphon.
    ``stdout``: the descriptor that it gets; by default a pipe that is read here.
    """

    def __init__(
        self,
        *arguments: str,
        cwd: Path,
        variables: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        prefix: Sequence[str] = (),
        stdout: int = subprocess.PIPE,
    ) -> None:
        self.process = subprocess.Popen(
            [*prefix, *SIPHON, *arguments],
            pass_fds=pass_fds,
            cwd=cwd,
            env=environment(variables),
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.banner = ""
        self.ports: list[int] = []
        self._clients: list[Client] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for client in self._clients:
            client.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def started(self) -> Self:
        """Reads the banner to its last line, and the ports from it."""
        self.banner = self.read_until("  routes: ")
        self.ports = [int(port) for port in _URL.findall(self.banner)]
        return self

    def read_until(self, beginning: str) -> str:
        """Reads stdout up to the line that begins so."""
        assert self.process.stdout is not None
        read = ""
        for line in self.process.stdout:
            read += line
            if line.startswith(beginning):
                return read
        raise AssertionError(f"siphon ended with {self.process.wait()}:\n{read}\n{self._rest()}")

    def log_until(self, text: str) -> str:
        """Reads stderr up to the line that holds ``text``."""
        assert self.process.stderr is not None
        read = ""
        for line in self.process.stderr:
            read += line
            if text in line:
                return read
        raise AssertionError(f"{text!r} was not logged:\n{read}")

    def _rest(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def connect(self, number: int = 0) -> Client:
        """A connection to the listener of this number; it is closed when the command is."""
        client = Client(("127.0.0.1", self.ports[number]))
        self._clients.append(client)
        return client

    def signal(self, number: int) -> None:
        """Sends a signal to the process."""
        self.process.send_signal(number)

    def ended(self, timeout_s: float = 30) -> tuple[int, str, str]:
        """Waits for the end: the exit code, and what is left of stdout and stderr."""
        out, err = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, out, err
