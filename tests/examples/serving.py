"""Serves an example as a process of its own, with the http.yaml beside it."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.command import PORT_0, ROOT, Command

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

EXAMPLES = ROOT / "examples"


@contextmanager
def serving(name: str, cwd: Path, variables: Mapping[str, str] | None = None) -> Iterator[Command]:
    """Serves it on a free port; at the end it is stopped, and must have logged no traceback."""
    with Command(str(EXAMPLES / name), *PORT_0, cwd=cwd, variables=variables).started() as command:
        yield command
        command.signal(signal.SIGTERM)
        code, _, log = command.ended()
        assert code == 0
        assert "Traceback" not in log
