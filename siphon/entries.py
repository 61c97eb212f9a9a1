"""What is logged, and how it looks as text and as JSON."""

from __future__ import annotations

import time
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

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


class Shower(Protocol):
    """What makes lines of entries, for one thread: it remembers the stamp of the last second."""

    def line(self, entry: Line) -> str:
        """Something that was logged, its end included."""

    def access(
        self,
        at: float,
        client: str,
        method: str,
        target: str,
        scheme: str,
        protocol: str,
        status: int,
        body_bytes: int,
        duration_ms: float,
        lane: str,
        queued_ms: float,
    ) -> str:
        """A request that was answered ``at`` that time, as one line, its end included.

        ``duration_ms`` runs from the complete request to its answer; ``queued_ms`` is the part of it
        before a loop or a blocking worker turned to it; ``lane`` says which.
        """


def shower(settings: LogSettings) -> Shower:
    """What makes lines as ``settings`` say, for one thread."""
    return JsonLines() if settings.format == "json" else TextLines(settings.access_format)


class TextLines:
    """Lines for people. ``access_format`` has been checked: it names atoms only."""

    def __init__(self, access_format: str) -> None:
        self._access_format = _positional(f"{access_format}\n")
        self._pick = _picker(access_format)
        self._second = -1
        self._stamp = ""
        self._access_second = -1.0
        self._access_stamp = ""

    def line(self, entry: Line) -> str:
        """The entry as a line; what follows its first line is indented."""
        # A second line is indented: none can pass for an entry of its own.
        text = entry.text.translate(_ESCAPES).replace("\n", "\n    ")
        whole = int(entry.at)
        if self._second != whole:
            self._second = whole
            self._stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(whole))
        return f"[{self._stamp}.{int((entry.at - whole) * 1000):03d}] {entry.level:<7} {text}\n"

    def access(
        self,
        at: float,
        client: str,
        method: str,
        target: str,
        scheme: str,
        protocol: str,
        status: int,
        body_bytes: int,
        duration_ms: float,
        lane: str,
        queued_ms: float,
    ) -> str:
        """As the format says; see ``Shower``."""
        begun = (at - duration_ms / 1000) // 1  # a call of int() costs more
        if self._access_second != begun:
            self._access_second = begun
            self._access_stamp = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(begun))
        # All that a client has a say in. Nothing that is escaped is printable but the quote, and hardly
        # anything needs to be.
        said = client + method + target
        if not said.isprintable() or '"' in said:
            client, method, target = [text.translate(_ESCAPES_IN_QUOTES) for text in (client, method, target)]
        path, query = target, ""
        if "?" in target:
            path, _, query = target.partition("?")
        atoms = (  # in the order of ATOMS
            client,
            self._access_stamp,
            duration_ms,
            status,
            path,
            query,
            method,
            scheme,
            protocol,
            body_bytes,
            lane,
            queued_ms,
        )
        return self._access_format % self._pick(atoms)


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


class JsonLines:
    """Lines for machines: one JSON object each."""

    def __init__(self) -> None:
        import json  # only here: most logs are text

        self._encode = json.JSONEncoder(ensure_ascii=False).encode

    def line(self, entry: Line) -> str:
        """The entry as one JSON object."""
        return self._shown(
            {"time": round(entry.at, 3), "type": "log", "level": entry.level, "message": entry.text}
        )

    def access(
        self,
        at: float,
        client: str,
        method: str,
        target: str,
        scheme: str,
        protocol: str,
        status: int,
        body_bytes: int,
        duration_ms: float,
        lane: str,
        queued_ms: float,
    ) -> str:
        """As one JSON object; see ``Shower``."""
        return self._shown(
            {
                "time": round(at, 3),
                "type": "access",
                "client": client,
                "method": method,
                "target": target,
                "scheme": scheme,
                "protocol": protocol,
                "status": status,
                "bytes": body_bytes,
                "duration_ms": round(duration_ms, 3),
                "lane": lane,
                "queue_ms": round(queued_ms, 3),
            }
        )

    def _shown(self, row: dict[str, object]) -> str:
        line = self._encode(row)
        return f"{line if line.isprintable() else line.translate(_ESCAPES_JSON)}\n"
