"""The problems found so far, and where each value was written."""

from typing import NamedTuple

from siphon.errors import ConfigError, Problem

_SHOWN_MAX = 60


class Place(NamedTuple):
    """Where something was written: a file with its line and column (from 1), an option or a variable."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


class Report:
    """Collects problems so that all of them reach the operator at once. For one thread."""

    def __init__(self) -> None:
        self._found: list[tuple[Place, Problem]] = []

    def add(self, place: Place, key: str, message: str) -> None:
        """Notes that ``message`` is wrong with ``key`` (a dotted path, may be empty) at ``place``."""
        self._found.append((place, Problem(str(place), key, message)))

    def raise_if_any(self) -> None:
        """Raises ConfigError with the file's problems in file order, then those of variables and options."""
        if self._found:
            ordered = sorted(self._found, key=_file_order)
            raise ConfigError([problem for _, problem in ordered])


def _file_order(found: tuple[Place, Problem]) -> tuple[bool, int, int]:
    place = found[0]
    return place.line == 0, place.line, place.column


def shown(value: object) -> str:
    """A value as a message shows it: text in quotes and cut short, nothing at all as ``empty``."""
    match value:
        case None:
            return "empty"
        case bool():
            return "true" if value else "false"
        case str():
            cut = value if len(value) <= _SHOWN_MAX else value[: _SHOWN_MAX - 3] + "..."
            return quoted(cut)
        case _:
            return str(value)


def quoted(text: str) -> str:
    """Text in quotes and whole, such as the path of a file: of a long one the end is what matters."""
    import json  # for messages alone: its import is not for every start

    return json.dumps(text, ensure_ascii=False)


def joined(path: str, key: str) -> str:
    """The dotted path of ``key`` inside ``path``; a key that would garble the message is quoted."""
    plain = key if key and key.isprintable() and len(key) <= _SHOWN_MAX else shown(key)
    return f"{path}.{plain}" if path else plain
