"""How a measured server is started; siphon itself, and the limit of what Python can do."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).parent.parent
# Imported to see whether one of them switches the GIL on, and named with their versions.
SIPHON_MODULES = ("siphon.cli", "siphon.threads.server", "urllib3")
SIPHON_PACKAGES = ("siphon-http", "h11", "PyYAML", "urllib3")


@dataclass(frozen=True, slots=True)
class Server:
    """A server with one choice of options; ``family`` joins the choices of which the best counts."""

    name: str
    family: str
    command: Callable[[int, Path], list[str]]
    """The command line that serves on 127.0.0.1 and the port it is given; files of its own go to the path."""
    environment: Mapping[str, str] = field(default_factory=dict)
    interpreter: str = "peers"
    """The one that it runs on: siphon's, the peers' (the same build), or one with a GIL."""
    is_rival: bool = True
    """Whether it is another server, that somebody might use instead."""


def siphon(
    script: str,
    config: str | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    has_access_log: bool = False,
) -> Server:
    """The server under test, with its defaults but for the file ``config``."""
    configuration = () if config is None else ("--config", str(ROOT / "benchmarks/config" / config))
    log = () if has_access_log else ("--no-access-log",)

    def command(port: int, scratch: Path) -> list[str]:
        path = str(ROOT / "benchmarks/apps" / f"{script}.py")
        where = ("--listen", f"127.0.0.1:{port}")
        return [sys.executable, "-m", "siphon", path, *where, *log, *configuration]

    return Server("siphon", "siphon", command, environment or {}, "siphon", is_rival=False)


def raw_epoll() -> Server:
    """One thread that answers whatever arrives with the same bytes: the limit, and no server."""
    name = "the limit: a bare epoll loop"
    script = str(ROOT / "benchmarks/apps/raw_epoll.py")
    return Server(
        name,
        name,
        lambda port, _: [sys.executable, script, str(port)],
        interpreter="siphon",
        is_rival=False,
    )
