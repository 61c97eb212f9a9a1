"""A page of the documentation, played from top to bottom: its files are written, its commands are run.

What a block of a page is for:

- One with a title is a file: ``python title="app.py"`` is written into the page's folder. A script must
  load without a complaint, ``http.yaml`` must be valid, and ``test_*.py`` must pass.
- ``console``: lines that begin with ``$`` are commands, the lines below each are what it prints. ``...``
  stands for anything. A command whose output says where it listens is a server; it goes on until the next
  one, or the end of the page, and its port takes the place of 8080 in what follows.
- ``sh``: commands that are not for a test to run; ``tests/test_pages.py`` knows what to check of each.
- ``text`` is a drawing.
- A block that only includes a file of the repository is that file, which has tests of its own.
"""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from siphon.config.load import Overrides, load
from tests.command import PORT_0, ROOT, Command, environment, run
from tests.tools import needed

if TYPE_CHECKING:
    from collections.abc import Iterator

_FENCE: Final = re.compile(r"^```(\w*)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INCLUDED: Final = re.compile(r'--8<-- "([^"]+)"\n')
_ASSIGNMENT: Final = re.compile(r"([A-Z_]+)=(\S+) ")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    language: str
    title: str
    text: str
    line: int

    @property
    def included(self) -> str:
        """The file that the block includes; empty where it has a text of its own."""
        match = _INCLUDED.fullmatch(self.text)
        return match[1] if match else ""


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order. Raises ValueError for a fence that is not understood."""
    found = [
        Block(match[1], match[2] or "", match[3], text.count("\n", 0, match.start()) + 1)
        for match in _FENCE.finditer(text)
    ]
    fences = len(re.findall(r"^ *```", text, re.MULTILINE))
    if fences != 2 * len(found):
        raise ValueError(f"{fences} fences make {len(found)} blocks")
    return found


def commands(text: str) -> Iterator[tuple[str, str]]:
    """The commands of a console block, each with what it is to print."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        while command.endswith("\\"):
            more, _, expected = expected.partition("\n")
            command = f"{command[:-1].rstrip()} {more.strip()}"
        yield command, expected


def agrees(printed: str, expected: str) -> bool:
    """Whether what was printed is what a page shows; ``...`` stands for anything."""
    pattern = ".*?".join(re.escape(part) for part in expected.strip("\n").split("..."))
    return re.fullmatch(pattern, printed.strip("\n"), re.DOTALL) is not None


class Player:
    """Plays the blocks of one page in a folder. A context manager: ends the server that is running."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: Command | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *exception: object) -> None:
        if self._server is not None and kind is not None:
            self._server.__exit__()
        else:
            self._stop()

    def play(self, block: Block) -> None:
        """Plays one block. Raises AssertionError where it does not do what the page says."""
        if block.included:
            assert block.included.startswith(("examples/", "deploy/"))
            assert (ROOT / block.included).is_file()
        elif block.title:
            self._file(block)
        elif block.language == "console":
            for command, expected in commands(block.text):
                self._command(command, expected)
        else:
            assert block.language in ("sh", "text"), f"line {block.line}: nobody tests {block.language!r}"

    def _file(self, block: Block) -> None:
        path = self._folder / block.title
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")
        if path.name == "http.yaml":
            load(self._folder / "app.py", config=None, environ={}, overrides=Overrides())
        elif path.name.startswith("test_"):
            printed = self._run(f"python -m pytest -q -p no:cacheprovider {block.title}")
            assert " passed in " in printed, printed
        elif path.suffix == ".py":
            ended = run("check", block.title, cwd=self._folder)
            assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr

    def _command(self, command: str, expected: str) -> None:
        serves = "  listening on " in expected
        printed = self._serve(command, expected) if serves else self._run(command)
        assert agrees(printed, expected), f"$ {command}\n{printed}"

    def _serve(self, command: str, expected: str) -> str:
        """Starts a server on as many free ports as the page shows; its banner, as the page would show it."""
        self._stop()
        variables = dict(_ASSIGNMENT.findall(command))
        arguments = shlex.split(_ASSIGNMENT.sub("", command))
        name = arguments.pop(0)
        if name == "python3.13t":
            assert arguments[:2] == ["-m", "siphon"]
            del arguments[:2]
        else:
            assert name == "siphon", command
        documented = re.findall(r"  listening on http://127\.0\.0\.1:([0-9]+)\n", expected)
        listening = PORT_0 * len(documented)
        self._server = Command(*arguments, *listening, "--loops", "2", cwd=self._folder, variables=variables)
        banner = self._server.started().banner
        # The first line is the interpreter's, which is whichever the tests run on.
        banner = f"{expected.splitlines()[0]}\n{banner.partition('\n')[2]}"
        for port, real in zip(documented, self._server.ports, strict=True):
            banner = banner.replace(f":{real}\n", f":{port}\n")
        return banner

    def _run(self, command: str) -> str:
        if "curl " in command:
            needed("curl", "run scripts/apt.sh test")
        if self._server is not None:
            command = command.replace("127.0.0.1:8080", f"127.0.0.1:{self._server.ports[0]}")
        path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        done = subprocess.run(
            ["bash", "-c", f"curl() {{ command curl -sS --noproxy '*' --max-time 30 \"$@\"; }}; {command}"],
            cwd=self._folder,
            env=environment({"PATH": path}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
        return done.stdout

    def _stop(self) -> None:
        if self._server is None:
            return
        server, self._server = self._server, None
        with server:
            server.signal(signal.SIGTERM)
            code, _, log = server.ended()
        assert code == 0, log
