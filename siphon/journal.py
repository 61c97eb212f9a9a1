"""The log behind ``siphon.log``: callers queue a line, one thread formats and writes.

A caller never waits for the descriptor: when ``QUEUE_MAX`` lines are waiting, further ones are
dropped and counted, and the count is written when there is room again.
"""

from __future__ import annotations

import json
import os
import select
import sys
import threading
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from siphon.config.settings import LogFormat, LogLevel, LogSettings

QUEUE_MAX: Final = 20_000
LEVELS: Final[dict[str, int]] = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_ESCAPES: Final = {code: f"\\x{code:02x}" for code in [*range(32), *range(127, 160)] if code not in (9, 10)}
_ESCAPES_ONE_LINE: Final = {**_ESCAPES, 9: "\\t", 10: "\\n"}
_ESCAPES_JSON: Final = {code: f"\\u{code:04x}" for code in range(127, 160)}


class Line(NamedTuple):
    """Something that was logged."""

    at: float
    level: LogLevel
    text: str


class Access(NamedTuple):
    """A request that was answered; ``duration_ms`` runs from the complete request to its answer."""

    at: float
    peer: str
    method: str
    target: str
    minor_version: int
    status: int
    body_bytes: int
    duration_ms: float


class Journal:
    """Queues entries and writes them on a thread of its own. Any thread may call any method.

    ``_lock`` guards the queue, its counters and the settings; the writer holds it only to take
    what is queued, never while it formats or writes.
    """

    def __init__(self, descriptor: int = 2) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._more = threading.Condition(self._lock)
        self._idle = threading.Condition(self._lock)
        self._queue: list[Line | Access] = []
        self._dropped = 0
        self._writing = False
        self._writer: threading.Thread | None = None
        # A writer that is to end once nothing is queued.
        self._closing: threading.Thread | None = None
        self._level = LEVELS["info"]
        self._format: LogFormat = "text"

    def configure(self, settings: LogSettings) -> None:
        """Takes over level and format; what is queued already is written in the new format."""
        with self._lock:
            self._level = LEVELS[settings.level]
            self._format = settings.format

    def log(self, level: LogLevel, text: str) -> None:
        """Queues a line, unless ``level`` is below the one that is set; see ``recording`` as well."""
        record = _recorder.get()
        if record is not None:
            record(level, text)
        elif LEVELS[level] >= self._level:
            self.put(Line(time.time(), level, text))

    def put(self, entry: Line | Access) -> None:
        """Queues an entry; drops and counts it when the queue is full."""
        with self._lock:
            if len(self._queue) >= QUEUE_MAX:
                self._dropped += 1
                return
            self._queue.append(entry)
            if self._writer is None:
                self._writer = threading.Thread(target=self._write, name="siphon-log", daemon=True)
                self._writer.start()
            elif not self._writing:
                self._writing = True
                self._more.notify()

    def flush(self, timeout_s: float = 1.0) -> bool:
        """Waits until all that was queued is written; False when ``timeout_s`` passed first."""
        with self._lock:
            return self._idle.wait_for(lambda: not self._queue and not self._writing, timeout_s)

    def close(self, timeout_s: float = 1.0) -> bool:
        """Writes what is queued and ends the writer; False where its descriptor takes no more.

        The interpreter must not end around a thread that still runs: with the GIL on, 3.13 may crash.
        A line that comes later starts a new writer.
        """
        self.flush(timeout_s)
        with self._lock:
            writer, self._writer = self._writer, None
            self._closing = writer
            self._more.notify_all()
        if writer is None:
            return True
        writer.join(timeout_s)
        return not writer.is_alive()

    def _write(self) -> None:
        me = threading.current_thread()
        while True:
            with self._lock:
                self._writing = bool(self._queue)
                if not self._writing:
                    self._idle.notify_all()
                while not self._queue:
                    if self._closing is me:
                        return
                    self._more.wait()
                self._writing = True
                entries, self._queue = self._queue, []
                dropped, self._dropped = self._dropped, 0
                as_json = self._format == "json"
            count = dropped + len(entries)
            if dropped:
                note = f"{dropped} log lines were dropped: the log could not be written fast enough"
                entries.append(Line(time.time(), "warning", note))
            show = _json_line if as_json else _text_line
            text = "".join([show(entry) for entry in entries])
            if not self._emit(text.encode("utf-8", "backslashreplace")):
                # Its disk is full, or nobody reads it any more: counted, for when it works again.
                with self._lock:
                    self._dropped += count

    def _emit(self, data: bytes) -> bool:
        """Writes all of ``data``; False where the descriptor takes no more."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:
                # Somebody who shares the descriptor has made it non-blocking.
                writable = select.poll()
                writable.register(self._descriptor, select.POLLOUT)
                writable.poll()
            except OSError:
                return False
        return True


_second = (-1, "")


def _stamp(at: float) -> str:
    """Local time with milliseconds; only the writer calls it, so its one-entry cache needs no lock."""
    global _second
    whole = int(at)
    if _second[0] != whole:
        _second = (whole, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(whole)))
    return f"{_second[1]}.{int((at - whole) * 1000):03d}"


def _text_line(entry: Line | Access) -> str:
    if isinstance(entry, Access):
        target = entry.target.translate(_ESCAPES_ONE_LINE).replace('"', "%22")
        return (
            f"[{_stamp(entry.at)}] {entry.peer} - "
            f'"{entry.method} {target} HTTP/1.{entry.minor_version}" {entry.status} {entry.duration_ms:.3f}\n'
        )
    # A second line is indented: none can pass for an entry of its own.
    text = entry.text.translate(_ESCAPES).replace("\n", "\n    ")
    return f"[{_stamp(entry.at)}] {entry.level:<7} {text}\n"


def _json_line(entry: Line | Access) -> str:
    row: dict[str, object] = {"time": round(entry.at, 3)}
    if isinstance(entry, Access):
        row |= {
            "type": "access",
            "client": entry.peer,
            "method": entry.method,
            "target": entry.target,
            "protocol": f"HTTP/1.{entry.minor_version}",
            "status": entry.status,
            "bytes": entry.body_bytes,
            "duration_ms": round(entry.duration_ms, 3),
        }
    else:
        row |= {"type": "log", "level": entry.level, "message": entry.text}
    return json.dumps(row, ensure_ascii=False).translate(_ESCAPES_JSON) + "\n"


journal = Journal()

_recorder: ContextVar[Callable[[LogLevel, str], None] | None] = ContextVar("siphon_recorder", default=None)


@contextmanager
def recording(record: Callable[[LogLevel, str], None]) -> Iterator[None]:
    """Gives the lines of this context alone, whatever their level, to ``record`` instead of the log.

    Two tests at once need that. ``record`` is called on the thread that logs.
    """
    token = _recorder.set(record)
    try:
        yield
    finally:
        _recorder.reset(token)


def say(text: str) -> None:
    """Writes a line to stdout at once, for the person at the terminal. Main thread only."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
