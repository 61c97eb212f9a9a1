"""The command line: ``siphon script.py``, ``siphon check script.py``, ``siphon routes script.py``.

Exit codes: 0 a clean stop; 1 a bug of siphon's; 2 configuration or usage; 3 the script or the start failed.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from siphon.config.load import Overrides, load
from siphon.dispatch import compile_chain, is_async
from siphon.errors import ConfigError, ScriptError, StartError
from siphon.journal import journal, say
from siphon.routing import Router, routes_on
from siphon.script.interpreter import GilGuard, describe
from siphon.script.loader import load as load_script
from siphon.script.place import name_of
from siphon.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from siphon.config.settings import Settings
    from siphon.script.registry import Registry

_COMMANDS = ("check", "routes")
_TRUE = frozenset({"1", "true", "yes", "on"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code. Main thread only."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    command = given.pop(0) if given and given[0] in _COMMANDS else "serve"
    options = _parser(command).parse_args(given)
    try:
        return _run(command, options)
    except ConfigError as error:
        return _fail(2, f"{error}")
    except (ScriptError, StartError) as error:
        return _fail(3, f"{error}")


def _fail(code: int, text: str) -> int:
    sys.stdout.flush()
    sys.stderr.write(f"{text}\n")
    return code


def _run(command: str, options: argparse.Namespace) -> int:
    script = Path(options.script)
    settings = load(script, config=options.config, environ=os.environ, overrides=_overrides(options))
    journal.configure(settings.log)
    with GilGuard(allow_gil=options.allow_gil) as guard:
        registry = load_script(script)
    if guard.warning is not None:
        sys.stderr.write(f"warning: {guard.warning}\n")
    if command == "check":
        return _check(script, settings, registry)
    if command == "routes":
        return _routes(registry)
    return _serve(settings, registry, dev=options.dev, allow_gil=options.allow_gil)


def _overrides(options: argparse.Namespace) -> Overrides:
    return Overrides(
        listen=tuple(options.listen),
        loops=options.loops,
        blocking_max=options.blocking_max,
        acceptors=options.acceptors,
        log_level=options.log_level,
        access_log=False if options.no_access_log else None,
    )


def _serve(settings: Settings, registry: Registry, *, dev: bool, allow_gil: bool) -> int:
    from siphon.threads.server import Server

    return Server(settings, registry, dev=dev, allow_gil=allow_gil).serve(f"siphon {__version__} on {describe()}")


def _check(script: Path, settings: Settings, registry: Registry) -> int:
    """Compiles what a server would compile, and binds nothing."""
    names = [server.name for server in settings.servers if server.name is not None]
    for server in settings.servers:
        Router(routes_on(server.name, registry.routes, names), lambda endpoint: compile_chain((), endpoint))
    say(
        f"{script}: {len(registry.routes)} routes, {len(registry.middlewares)} middlewares, no problems found"
    )
    return 0


def _routes(registry: Registry) -> int:
    router = Router(registry.routes, lambda endpoint: endpoint)
    rows = [("METHOD", "PATTERN", "LANE", "HANDLER", "PLACE")]
    sync_before = any(not is_async(middleware.function) for middleware in registry.middlewares)
    async_before = any(is_async(middleware.function) for middleware in registry.middlewares)
    for method, pattern, route in router.entries():
        asynchronous = is_async(route.handler)
        on_loop = asynchronous or async_before
        on_worker = not asynchronous or sync_before
        lane = "both" if on_loop and on_worker else "loop" if on_loop else "blocking"
        rows.append((method, pattern, lane, name_of(route.handler), str(route.place)))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        say("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]))
    return 0


def _parser(command: str) -> argparse.ArgumentParser:
    program = "siphon" if command == "serve" else f"siphon {command}"
    purposes = {
        "serve": "Serve a script. Other commands: siphon check script.py, siphon routes script.py.",
        "check": "Load a script and its configuration, bind nothing, and print what is wrong.",
        "routes": "List a script's routes: method, pattern, lane, handler, place.",
    }
    parser = argparse.ArgumentParser(
        prog=program,
        description=purposes[command],
        epilog="Each option has an environment variable, such as SIPHON_LOOPS for --loops; the option wins.",
        allow_abbrev=False,
    )
    parser.add_argument("script", metavar="script.py", help="the script that registers the routes")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="default: http.yaml beside the script, if any"
    )
    parser.add_argument(
        "--listen",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="host:port, [v6]:port or unix:/path; repeatable",
    )
    parser.add_argument(
        "--loops", type=_count, metavar="N", help="event loop threads; default: the usable CPUs"
    )
    parser.add_argument("--blocking-max", type=_count, metavar="N", help="threads for sync handlers at most")
    parser.add_argument("--acceptors", type=_count, metavar="N", help="threads that accept, read and parse")
    parser.add_argument("--log-level", metavar="LEVEL", help="debug, info, warning or error")
    parser.add_argument("--no-access-log", action="store_true", help="no line per request")
    parser.add_argument(
        "--dev", action="store_true", default=_flag("SIPHON_DEV"), help="show tracebacks in error pages"
    )
    parser.add_argument(
        "--allow-gil",
        action="store_true",
        default=_flag("SIPHON_ALLOW_GIL"),
        help="start although the GIL is on",
    )
    parser.add_argument("--version", action="version", version=f"siphon {__version__} on {describe()}")
    return parser


def _count(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None


def _flag(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() in _TRUE
