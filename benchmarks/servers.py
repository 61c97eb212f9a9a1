"""How each measured server is started. All run on one free-threaded interpreter, access log off."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent
PEERS_PYTHON = ROOT / ".venv-bench/bin/python"
# Imported to see whether one of them switches the GIL on, and named with their versions.
PEER_MODULES = ("granian._granian", "gunicorn.workers.gthread", "h11", "starlette.applications", "uvicorn")
PEER_PACKAGES = ("granian", "gunicorn", "h11", "starlette", "uvicorn")
SIPHON_MODULES = ("siphon.cli", "siphon.threads.server")
SIPHON_PACKAGES = ("siphon-http", "h11", "PyYAML")

_APPS = "benchmarks.apps"
_THREADS = 16


@dataclass(frozen=True, slots=True)
class Server:
    """A server with one choice of options; ``family`` joins the choices of which the best counts."""

    name: str
    family: str
    command: Callable[[int], list[str]]
    """The command line that serves on 127.0.0.1 and the port it is given."""


def siphon(script: str, config: str | None = None) -> Server:
    """The server under test on the harness's interpreter, with its defaults but for the file ``config``."""
    options = [] if config is None else ["--config", str(ROOT / "benchmarks" / config)]

    def command(port: int) -> list[str]:
        path = str(ROOT / "benchmarks/apps" / f"{script}.py")
        listen = ["--listen", f"127.0.0.1:{port}", "--no-access-log"]
        return [sys.executable, "-m", "siphon", path, *listen, *options]

    return Server("siphon", "siphon", command)


def granian_rsgi(workers: int) -> Server:
    """One granian with its own interface and ``workers`` processes."""
    name = f"granian rsgi, {workers} worker{'s' if workers > 1 else ''}"
    return Server(name, "granian rsgi", lambda port: _granian(port, "rsgi", "rsgi", workers))


def granian_wsgi() -> Server:
    """One granian with WSGI and 16 threads for the application."""
    options = ["--blocking-threads", str(_THREADS)]
    return Server("granian wsgi", "granian wsgi", lambda port: _granian(port, "wsgi", "wsgi", 1) + options)


def _granian(port: int, interface: str, app: str, workers: int) -> list[str]:
    where = ["--host", "127.0.0.1", "--port", str(port), "--interface", interface, "--workers", str(workers)]
    options = ["--no-access-log", "--log-level", "warning"]
    return [str(PEERS_PYTHON), "-m", "granian", *where, *options, f"{_APPS}.{app}:app"]


def uvicorn(app: str, name: str) -> Server:
    """One uvicorn with h11 and asyncio, a single process."""

    def command(port: int) -> list[str]:
        where = ["--host", "127.0.0.1", "--port", str(port)]
        stack = ["--http", "h11", "--loop", "asyncio", "--lifespan", "off", "--workers", "1"]
        options = ["--no-access-log", "--log-level", "warning"]
        return [str(PEERS_PYTHON), "-m", "uvicorn", *where, *stack, *options, f"{_APPS}.{app}:app"]

    return Server(name, name, command)


def gunicorn() -> Server:
    """One gunicorn process of 16 threads."""

    def command(port: int) -> list[str]:
        where = ["--bind", f"127.0.0.1:{port}", "--workers", "1", "--worker-class", "gthread"]
        options = ["--threads", str(_THREADS), "--keep-alive", "75", "--log-level", "warning"]
        quiet = ["--no-control-socket"]
        return [str(PEERS_PYTHON), "-m", "gunicorn", *where, *options, *quiet, f"{_APPS}.wsgi:app"]

    return Server("gunicorn gthread", "gunicorn gthread", command)
