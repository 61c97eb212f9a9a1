"""What somebody might choose instead on a Python with a GIL: servers that run only, or best, there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.servers import ROOT, Server

if TYPE_CHECKING:
    from pathlib import Path

GIL_PYTHON = ROOT / ".venv-bench-gil/bin/python"
GIL_MODULES = ("fastpysgi", "granian._granian", "httptools", "peregrine", "uvicorn", "uvloop")
GIL_PACKAGES = ("fastpysgi", "granian", "httptools", "peregrine-server", "uvicorn", "uvloop")

_APPS = "benchmarks.apps"


def uvicorn(workers: int) -> Server:
    """Uvicorn with its compiled parser and loop."""
    stack = ("--http", "httptools", "--loop", "uvloop", "--lifespan", "off", "--workers", str(workers))
    quiet = ("--no-access-log", "--log-level", "warning")
    return _server("uvicorn + uvloop + httptools", workers, "uvicorn", *stack, *quiet, f"{_APPS}.asgi:app")


def granian(interface: str, workers: int) -> Server:
    """The newest granian, over ``rsgi`` or ``asgi``."""
    spoken = "asginl" if interface == "asgi" else interface
    how = ("--interface", spoken, "--workers", str(workers))
    quiet = ("--no-access-log", "--log-level", "warning")
    return _server(f"granian {interface}", workers, "granian", *how, *quiet, f"{_APPS}.{interface}:app")


def peregrine(interface: str, workers: int) -> Server:
    """peregrine-server over ``asgi`` or ``wsgi``."""
    how = ("--protocol", interface, "--workers", str(workers), "--log-level", "warning", "--no-lifespan")
    return _server(f"peregrine {interface}", workers, "peregrine", *how, f"{_APPS}.{interface}:app")


def fastpysgi(interface: str, workers: int) -> Server:
    """Fastpysgi over ``asgi`` or ``wsgi``."""

    def command(port: int, scratch: Path) -> list[str]:
        return [str(GIL_PYTHON), "-m", f"{_APPS}.fastpysgi_app", str(port), interface, str(workers)]

    return Server(_named(f"fastpysgi {interface}", workers), f"fastpysgi {interface}", command, {}, "gil")


def _server(family: str, workers: int, module: str, *arguments: str) -> Server:
    def command(port: int, scratch: Path) -> list[str]:
        where = ("--host", "127.0.0.1", "--port", str(port))
        return [str(GIL_PYTHON), "-m", module, *where, *arguments]

    return Server(_named(family, workers), family, command, {}, "gil")


def _named(family: str, workers: int) -> str:
    return f"{family}, {workers} worker{'' if workers == 1 else 's'}"
