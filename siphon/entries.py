"""What is logged, and how an entry looks as text and as JSON. Only the log's writer shows entries."""

from __future__ import annotations

import time
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from siphon.config.access_format import ATOMS, CONVERSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from siphon.config.settings import LogLevel, LogSettings

# Controls, and what else can make one line look like two or its end like its beginning: separators of
# lines and paragraphs, marks and overrides of the writing direction.
_DISGUISES: Final = (0x2028, 0x2029, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_ESCAPES: Final = {
    **{code: f"\\x{code:02x}" for code in [*range(32), *range(127, 160)] if code not in (9, 10)},
    **{code: f"\\u{code:04x}" for code in _DISGUISES},
}
_ESCAPES_ONE_LINE: Final = {**_ESCAPES, 9: "\\t", 10: "\\n"}
_ESCAPES_JSON: Final = {code: f"\\u{code:04x}" for code in (*range(127, 160), *_DISGUISES)}
# A quote would end the part of a line that the format puts in quotes.
_ESCAPES_IN_QUOTES: Final = {**_ESCAPES_ONE_LINE, ord('"'): "%22"}


class Line(NamedTuple):
    """Something that was logged."""

    at: float
    level: LogLevel
    text: str


class Access(NamedTuple):
    """A request that was answered. ``duration_ms`` runs from the complete request to its answer.

    ``queued_ms`` is the part of it before a loop or a blocking worker turned to it; ``lane`` says which.
    """

    at: float
    client: str
    method: str
    target: str
    scheme: str
    protocol: str
    status: int
    body_bytes: int
    duration_ms: float
    lane: str
    queued_ms: float


type Entry = Line | Access


def shower(settings: LogSettings) -> Callable[[Entry], str]:
    """What turns an entry into a line, its end included, as ``settings`` say."""
    return JsonLines() if settings.format == "json" else TextLines(settings.access_format)


class TextLines:
    """Lines for people. ``access_format`` has been checked: it names atoms only."""

    def __init__(self, access_format: str) -> None:
        self._access_format = _positional(f"{access_format}\n")
        self._pick = _picker(access_format)
        self._stamp = (-1, "")
        self._access_stamp = (-1, "")

    def __call__(self, entry: Entry) -> str:
        """The entry as a line; what follows its first line is indented."""
        if isinstance(entry, Access):
            return self._access_format % self._pick(self._atoms(entry))
        # A second line is indented: none can pass for an entry of its own.
        text = entry.text.translate(_ESCAPES).replace("\n", "\n    ")
        whole = int(entry.at)
        if self._stamp[0] != whole:
            self._stamp = (whole, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(whole)))
        return f"[{self._stamp[1]}.{int((entry.at - whole) * 1000):03d}] {entry.level:<7} {text}\n"

    def _atoms(self, entry: Access) -> tuple[object, ...]:
        """What each atom stands for, in the order of ``ATOMS``."""
        begun = int(entry.at - entry.duration_ms / 1000)
        if self._access_stamp[0] != begun:
            self._access_stamp = (begun, time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(begun)))
        path, _, query = _quotable(entry.target).partition("?")
        return (
            _quotable(entry.client),
            self._access_stamp[1],
            entry.duration_ms,
            entry.status,
            path,
            query,
            _quotable(entry.method),
            entry.scheme,
            entry.protocol,
            entry.body_bytes,
            entry.lane,
            entry.queued_ms,
        )


def _positional(access_format: str) -> str:
    """The format with its atoms in a row: to look each up by name takes twice as long."""
    return CONVERSION.sub(lambda found: f"%{found['shape']}" if found["atom"] else found[0], access_format)


def _picker(access_format: str) -> Callable[[tuple[object, ...]], tuple[object, ...]]:
    """What takes the atoms that the format names out of all of them."""
    names = list(ATOMS)
    places = [names.index(found["atom"]) for found in CONVERSION.finditer(access_format) if found["atom"]]
    if len(places) > 1:
        return itemgetter(*places)
    return lambda atoms: tuple([atoms[place] for place in places])


def _quotable(text: str) -> str:
    # Nothing that is escaped is printable but the quote, and hardly anything needs to be.
    if text.isprintable() and '"' not in text:
        return text
    return text.translate(_ESCAPES_IN_QUOTES)


class JsonLines:
    """Lines for machines: one JSON object each."""

    def __init__(self) -> None:
        import json  # only here: most logs are text

        self._encode = json.JSONEncoder(ensure_ascii=False).encode

    def __call__(self, entry: Entry) -> str:
        """The entry as one JSON object and a line end."""
        row: dict[str, object] = {"time": round(entry.at, 3)}
        if isinstance(entry, Access):
            row |= {
                "type": "access",
                "client": entry.client,
                "method": entry.method,
                "target": entry.target,
                "scheme": entry.scheme,
                "protocol": entry.protocol,
                "status": entry.status,
                "bytes": entry.body_bytes,
                "duration_ms": round(entry.duration_ms, 3),
                "lane": entry.lane,
                "queue_ms": round(entry.queued_ms, 3),
            }
        else:
            row |= {"type": "log", "level": entry.level, "message": entry.text}
        line = self._encode(row)
        return f"{line if line.isprintable() else line.translate(_ESCAPES_JSON)}\n"
