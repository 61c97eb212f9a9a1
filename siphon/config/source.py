"""Which ``http.yaml`` is read, and its text."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from siphon.config.report import Place, Report

_BESIDE = "http.yaml"
_VARIABLE = "SIPHON_CONFIG"


@dataclass(frozen=True, slots=True)
class Source:
    """A configuration file's text, and its name in messages."""

    name: str
    text: str


def find(script: Path, config: Path | None, environ: Mapping[str, str], report: Report) -> Source | None:
    """The file that ``--config`` or ``SIPHON_CONFIG`` names, else the one beside ``script``, else None.

    A file that was asked for and is not there is a problem; the one beside the script may be missing.
    """
    if config is not None:
        return _read(config, str(config), Place("--config"), report)
    if variable := environ.get(_VARIABLE):
        return _read(Path(variable), variable, Place(_VARIABLE), report)
    beside = script.parent / _BESIDE
    return _read(beside, _shorter_name(beside), None, report)


def _shorter_name(path: Path) -> str:
    return min(str(path), os.path.relpath(path), key=len)


def _read(path: Path, name: str, asked_by: Place | None, report: Report) -> Source | None:
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        if asked_by is not None:
            report.add(asked_by, "", f"there is no file {name}")
        return None
    except OSError as error:
        report.add(Place(name), "", f"cannot be read: {error.strerror}")
        return None
    try:
        return Source(name, data.decode("utf-8"))
    except UnicodeDecodeError as error:
        before = data[: error.start]
        place = Place(name, before.count(b"\n") + 1, error.start - before.rfind(b"\n"))
        report.add(place, "", "the file must be UTF-8 text")
        return None
