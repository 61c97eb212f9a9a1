"""The curl commands at the head of the examples, run as they are written."""

from __future__ import annotations

import ast
import shlex
import subprocess
from typing import TYPE_CHECKING

from tests.command import environment
from tests.tools import needed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

DOCUMENTED = "http://127.0.0.1:8080"


def commands(script: Path) -> list[str]:
    """The commands in a script's docstring that call curl, as they are written."""
    docstring = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
    return [line.strip() for line in docstring.splitlines() if line.strip().startswith("curl ")]


def curl(command: str, ports: Mapping[int, int], *, cwd: Path) -> str:
    """Runs one command with the real ports in the place of the documented ones; what it prints."""
    needed("curl", "run scripts/apt.sh test")
    for documented, real in ports.items():
        command = command.replace(f"http://127.0.0.1:{documented}", f"http://127.0.0.1:{real}")
    done = subprocess.run(
        [*shlex.split(command), "--silent", "--show-error", "--max-time", "30", "--noproxy", "*"],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def first_lines(asked: Sequence[str], ports: Mapping[int, int], *, cwd: Path) -> list[str]:
    """The first line of the answer to each command, asked in this order."""
    return [curl(command, ports, cwd=cwd).partition("\n")[0].strip() for command in asked]
