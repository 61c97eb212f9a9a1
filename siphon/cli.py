"""The command line: ``siphon script.py``, ``siphon check script.py``, ``siphon routes script.py``.

Exit codes: 0 a clean stop, or nothing wrong; 1 a bug in siphon, or a stop that was forced by a second
signal; 2 configuration or usage; 3 the script or the start failed. A ``check`` or ``routes`` that is
interrupted exits with 130, as shells expect.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from siphon.client.clients import Clients
from siphon.client.outbound import serve_process
from siphon.config.activation import forget
from siphon.config.load import load
from siphon.config.settings import ClientSettings
from siphon.dispatch import compile_chain
from siphon.errors import ConfigError, ScriptError, StartError
from siphon.journal import journal, say
from siphon.options import COMMANDS, flags, overrides, parser
from siphon.routing import Found, Router, routes_on
from siphon.script.interpreter import GilGuard, describe
from siphon.script.loader import load as load_script
from siphon.script.place import name_of
from siphon.threads.server import Server
from siphon.version import __version__

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from types import FrameType

    from siphon.client.pools import Pools
    from siphon.config.settings import Settings
    from siphon.routing import Entry
    from siphon.script.registry import Registry

_BANNER_ROUTES_MAX = 12
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code. Raises SystemExit for wrong usage. Main thread only."""
    code = _main(arguments)
    if not journal.close():
        # Whoever reads the log has stopped reading: the interpreter is not to wait for it.
        os._exit(code)
    return code


def _main(arguments: Sequence[str] | None) -> int:
    _occupy_standard_descriptors()
    given = list(sys.argv[1:] if arguments is None else arguments)
    command = given.pop(0) if given and given[0] in COMMANDS else "serve"
    options = parser(command).parse_args(given)
    # Until the server has its own handlers, a stop from outside unwinds as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Until then nobody can say what it is at. Not SIG_IGN: what the script starts would inherit that.
    signal.signal(signal.SIGUSR1, _not_yet)
    try:
        return _run(command, options)
    except KeyboardInterrupt:
        return _fail(
            0 if command == "serve" else _INTERRUPTED, "siphon: stopped before the start was complete"
        )
    except ConfigError as error:
        return _fail(2, str(error))
    except (ScriptError, StartError) as error:
        return _fail(3, str(error))
    except Exception:  # noqa: BLE001 - whatever is left is a bug, and is reported as one
        text = traceback.format_exc()
        return _fail(1, f"{text}siphon: this is a bug in siphon, not in the script; please report it")


def _occupy_standard_descriptors() -> None:
    """Where one was closed, the next file to be opened would get its number, and what is logged with it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _not_yet(number: int, frame: FrameType | None) -> None:
    """There is no server yet to say anything of."""


def _fail(code: int, text: str) -> int:
    journal.flush()
    # Either may be closed, or on a disk that is full: the code says enough then.
    with suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"{text}\n")
    return code


def _run(command: str, options: argparse.Namespace) -> int:
    script = Path(options.script)
    if command == "check":
        return _check(script, options)
    settings = _settings(script, options)
    clients = _clients(settings)
    registry = _load(script, options)
    if command == "routes":
        return _routes(settings, registry)
    server = Server(settings, registry, clients, dev=options.dev, allow_gil=options.allow_gil)
    return server.serve(_banner(script, settings, registry))


def _settings(script: Path, options: argparse.Namespace) -> Settings:
    """The settings of this run; raises ConfigError with what is wrong in all sources together."""
    problems = flags(options, os.environ)
    try:
        settings = load(script, config=options.config, environ=os.environ, overrides=overrides(options))
    except ConfigError as error:
        raise ConfigError([*error.problems, *problems]) from None
    if problems:
        raise ConfigError(problems)
    journal.configure(settings.log)
    forget(os.environ)
    return settings


def _clients(settings: Settings) -> Clients:
    """What ``http.Client`` calls through in this process, from the script's first line on."""
    clients = Clients(settings.clients, settings.threads.client_max)
    serve_process(clients)
    return clients


def _load(script: Path, options: argparse.Namespace) -> Registry:
    with GilGuard(allow_gil=bool(options.allow_gil)) as guard:
        registry = load_script(script)
    if guard.warning is not None:
        sys.stderr.write(f"warning: {guard.warning}\n")
    return registry


# Commands --------------------------------------------------------------------------------------


class _AnyClients(Clients):
    """Clients of every name, where the file that would name them is wrong."""

    def named(self, name: str) -> Pools:
        return self.inline(ClientSettings())


def _check(script: Path, options: argparse.Namespace) -> int:
    """Loads and compiles what a server would, binds nothing, and goes on past a wrong configuration."""
    settings: Settings | None = None
    try:
        settings = _settings(script, options)
        _clients(settings)
    except ConfigError as error:
        _fail(2, str(error))
        serve_process(_AnyClients({}, 1))
    try:
        registry = _load(script, options)
        if settings is not None:
            _entries(settings, registry)
    except (ScriptError, StartError) as error:
        return _fail(3 if settings is not None else 2, str(error))
    if settings is None:
        return 2
    middlewares = _counted(len(registry.middlewares), "middleware")
    say(f"{script}: {_counted(len(registry.routes), 'route')}, {middlewares}, no problems found")
    return 0


def _routes(settings: Settings, registry: Registry) -> int:
    rows = [("METHOD", "PATTERN", "LANE", "HANDLER", "PLACE")]
    for method, pattern, route in _entries(settings, registry):
        lane = compile_chain(registry.middlewares, Found(route)).lane
        rows.append((method, pattern, lane, name_of(route.handler), str(route.place)))
    say(_table(rows))
    return 0


def _entries(settings: Settings, registry: Registry) -> list[Entry]:
    """Every route that some listener serves, once. Raises ScriptError where two contradict each other."""
    names = [server.name for server in settings.servers if server.name is not None]
    found: dict[Entry, None] = {}
    for server in settings.servers:
        router = Router(routes_on(server.name, registry.routes, names), _as_it_is)
        found.update(dict.fromkeys(router.entries()))
    return sorted(found, key=lambda entry: (entry.pattern, entry.method))


def _as_it_is(endpoint: object) -> object:
    return endpoint


def _banner(script: Path, settings: Settings, registry: Registry) -> str:
    """What the server prints before its addresses: the interpreter and, where they are few, the routes."""
    lines = [f"siphon {__version__} on {describe()}", f"  serving {script}"]
    entries = _entries(settings, registry)
    if len(entries) <= _BANNER_ROUTES_MAX:
        rows = [(entry.method, entry.pattern, name_of(entry.route.handler)) for entry in entries]
        lines += [f"    {line}" for line in _table(rows).splitlines()]
    return "\n".join(lines)


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
