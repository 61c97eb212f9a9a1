"""The other servers, on the same build of free-threaded Python, each with its access log off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.servers import ROOT, Server

if TYPE_CHECKING:
    from pathlib import Path

PEERS_PYTHON = ROOT / ".venv-bench/bin/python"
PEER_MODULES = (
    *("aiohttp.web", "cheroot.wsgi", "granian._granian", "gunicorn.workers.gthread", "httpx"),
    *("hypercorn.asyncio", "starlette.applications", "tornado.web", "uvicorn.protocols.http.h11_impl"),
    "waitress",
)
PEER_PACKAGES = (
    *("aiohttp", "cheroot", "granian", "gunicorn", "h11", "httpx", "hypercorn", "multidict", "starlette"),
    *("tornado", "uvicorn", "waitress", "yarl"),
)

_APPS = "benchmarks.apps"
_THREADS = 16


def granian(
    interface: str,
    *,
    workers: int,
    app: str | None = None,
    suffix: str = "",
    threads: int = _THREADS,
    connections_max: int | None = None,
    has_access_log: bool = False,
) -> Server:
    """Granian over ``rsgi``, ``asgi`` or ``wsgi`` (there with so many threads for the application)."""
    blocking = ("--blocking-threads", str(threads)) if interface == "wsgi" else ()
    limit = str(connections_max)
    room = () if connections_max is None else ("--backlog", limit, "--backpressure", limit)
    log = "--access-log" if has_access_log else "--no-access-log"
    level = "info" if has_access_log else "warning"
    target = f"{_APPS}.{app or interface}:app"

    def command(port: int, scratch: Path) -> list[str]:
        where = ("--host", "127.0.0.1", "--port", str(port), "--workers", str(workers))
        # asginl: ASGI without its lifespan protocol, which the applications do not speak.
        spoken = "asginl" if interface == "asgi" else interface
        how = ("--interface", spoken, *blocking, log, "--log-level", level)
        return _python("granian", *where, *how, *room, target)

    family = f"granian {interface}{suffix}"
    return Server(f"{family}, {_counted(workers, 'worker', 'workers')}", family, command)


def granians(interface: str, app: str | None = None, suffix: str = "") -> tuple[Server, Server]:
    """Granian with one worker and with two."""
    one, two = (granian(interface, workers=workers, app=app, suffix=suffix) for workers in (1, 2))
    return one, two


def uvicorn(app: str = "asgi", suffix: str = "") -> Server:
    """One uvicorn process with h11 and asyncio."""
    name = f"uvicorn + h11{suffix}"

    def command(port: int, scratch: Path) -> list[str]:
        where = ("--host", "127.0.0.1", "--port", str(port))
        stack = ("--http", "h11", "--loop", "asyncio", "--lifespan", "off", "--workers", "1")
        quiet = ("--no-access-log", "--log-level", "warning")
        return _python("uvicorn", *where, *stack, *quiet, f"{_APPS}.{app}:app")

    return Server(name, name, command)


def hypercorn() -> Server:
    """One hypercorn worker on asyncio."""

    def command(port: int, scratch: Path) -> list[str]:
        options = ("--worker-class", "asyncio", "--workers", "1", "--log-level", "warning")
        return _python("hypercorn", "--bind", f"127.0.0.1:{port}", *options, f"{_APPS}.asgi:app")

    return Server("hypercorn", "hypercorn", command)


def gunicorn(threads: int = _THREADS) -> Server:
    """One gunicorn process of so many threads."""

    def command(port: int, scratch: Path) -> list[str]:
        where = ("--bind", f"127.0.0.1:{port}", "--workers", "1", "--worker-class", "gthread")
        options = ("--threads", str(threads), "--keep-alive", "75", "--log-level", "warning")
        return _python("gunicorn", *where, *options, "--no-control-socket", f"{_APPS}.wsgi:app")

    return Server("gunicorn gthread", "gunicorn gthread", command)


def waitress(threads: int = _THREADS) -> Server:
    """Waitress with so many threads."""

    def command(port: int, scratch: Path) -> list[str]:
        options = (f"--threads={threads}", "--connection-limit=1000")
        return _python("waitress", f"--listen=127.0.0.1:{port}", *options, f"{_APPS}.wsgi:app")

    return Server("waitress", "waitress", command)


def cheroot(threads: int = _THREADS) -> Server:
    """Cheroot with so many threads."""

    def command(port: int, scratch: Path) -> list[str]:
        options = ("--bind", f"127.0.0.1:{port}", "--threads", str(threads))
        return _python("cheroot", *options, f"{_APPS}.wsgi:app")

    return Server("cheroot", "cheroot", command)


def aiohttp(processes: int = 1, *, compiled: bool = True) -> Server:
    """Aiohttp's own server and client, in so many processes.

    ``compiled``: with the extensions, which are built from source; without them it is what pip installs.
    """
    family = "aiohttp" if compiled else "aiohttp, its wheel"
    return Server(
        f"{family}, {_counted(processes, 'process', 'processes')}",
        family,
        lambda port, _: _python(f"{_APPS}.aiohttp_app", str(port), str(processes)),
        {} if compiled else {"AIOHTTP_NO_EXTENSIONS": "1"},
    )


def tornado() -> Server:
    """Tornado's own server."""
    return Server("tornado", "tornado", lambda port, _: _python(f"{_APPS}.tornado_app", str(port)))


def _python(module: str, *arguments: str) -> list[str]:
    return [str(PEERS_PYTHON), "-m", module, *arguments]


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
