"""What the command line takes: its options, and the environment variables that stand for them."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from siphon.config.check import AddressText, Flag, Whole, settings_of
from siphon.config.load import Overrides, read_flag
from siphon.config.settings import ListenerSettings, LogSettings, ThreadSettings
from siphon.errors import Problem
from siphon.script.interpreter import describe, describe_build
from siphon.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from siphon.config.check import Setting

COMMANDS: Final = ("check", "routes")

_PURPOSES: Final = {
    "serve": "Serve a script. Other commands: siphon check script.py, siphon routes script.py. "
    "A script that is itself named check or routes is served as ./check.",
    "check": "Load a script and its configuration, bind nothing, and print what is wrong.",
    "routes": "List a script's routes: method, pattern, lane, handler and place.",
}
_EPILOG: Final = (
    "The variable in brackets stands for its option; the option wins over it, and both win over http.yaml."
)
_SECTIONS: Final = (ListenerSettings, ThreadSettings, LogSettings)
_DIGITS_MAX: Final = 18
# Where stdout is no terminal.
_COLUMNS: Final = 80


class _Help(argparse.HelpFormatter):
    """As wide as the terminal. Every option asks for a formatter; argparse's own imports shutil for that."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given):
        return int(given)
    try:
        return os.get_terminal_size(1).columns or _COLUMNS
    except OSError:
        return _COLUMNS


class _Version(argparse.Action):
    """Prints siphon's version and the interpreter's, and ends."""

    def __call__(self, parser: argparse.ArgumentParser, *unused: object) -> None:
        sys.stdout.write(f"siphon {__version__} on {describe()}, {describe_build()}\n")
        parser.exit()


def parser(command: str) -> argparse.ArgumentParser:
    """The parser of one command: ``serve``, ``check`` or ``routes``."""
    made = argparse.ArgumentParser(
        prog="siphon" if command == "serve" else f"siphon {command}",
        description=_PURPOSES[command],
        epilog=_EPILOG,
        allow_abbrev=False,
        formatter_class=_Help,
    )
    made.add_argument("script", metavar="script.py", help="the script that registers the routes")
    made.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="the configuration; by default http.yaml beside the script, if any [SIPHON_CONFIG]",
    )
    for section in _SECTIONS:
        for setting in settings_of(section).values():
            if setting.override is not None:
                _add(made, setting)
    made.add_argument(
        "--fd",
        dest="listen",
        action="append",
        type=_inherited,
        metavar="N",
        help="listen on a socket that the process has inherited as descriptor N, as --listen fd:N does; "
        "may be given several times",
    )
    made.add_argument(
        "--dev",
        action="store_true",
        default=None,
        help="show tracebacks in error pages, for development only [SIPHON_DEV]",
    )
    made.add_argument(
        "--allow-gil",
        action="store_true",
        default=None,
        help="start although the GIL is on [SIPHON_ALLOW_GIL]",
    )
    made.add_argument(
        "--version",
        action=_Version,
        nargs=0,
        help="show the versions of siphon and of the interpreter, and exit",
    )
    return made


def _add(made: argparse.ArgumentParser, setting: Setting) -> None:
    """An option for one setting, described as the setting is."""
    described = setting.doc.removesuffix(".").replace("%", "%%")
    variable = f"[{setting.variable}]"
    match setting.check:
        case AddressText():
            described += "; may be given several times"
            made.add_argument(
                setting.option, action="append", default=[], metavar="ADDRESS", help=f"{described} {variable}"
            )
        case Whole():
            made.add_argument(setting.option, type=_whole, metavar="N", help=f"{described} {variable}")
        case Flag():
            action = argparse.BooleanOptionalAction
            made.add_argument(setting.option, action=action, help=f"{described} {variable}")
        case check:
            made.add_argument(setting.option, metavar="WORD", help=f"{described}: {check.wants} {variable}")


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > _DIGITS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)


def _inherited(text: str) -> str:
    return f"fd:{_whole(text)}"


def overrides(options: argparse.Namespace) -> Overrides:
    """What the options say of the settings."""
    return Overrides(
        listen=tuple(options.listen),
        loops=options.loops,
        blocking_max=options.blocking_max,
        acceptors=options.acceptors,
        log_level=options.log_level,
        access_log=options.access_log,
    )


def flags(options: argparse.Namespace, environ: Mapping[str, str]) -> list[Problem]:
    """Settles ``dev`` and ``allow_gil`` where only a variable speaks of them; what is wrong with those."""
    problems = []
    for name in ("dev", "allow_gil"):
        variable = f"SIPHON_{name.upper()}"
        text = environ.get(variable, "")
        said = read_flag(text) if text else False
        if said is None:
            problems.append(Problem(variable, "", f"must be true or false, not {text!r}"))
        if getattr(options, name) is None:
            setattr(options, name, bool(said))
    return problems
