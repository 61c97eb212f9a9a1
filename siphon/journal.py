"""The log behind ``siphon.log``: callers queue an entry, one thread formats and writes.

A caller never waits for the descriptor: when ``QUEUE_MAX`` entries are waiting, or ``QUEUE_MAX_CHARS``,
further ones are dropped. So are those that cannot be written, on a full disk. Both are counted, and the
count is written when writing works again.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, NamedTuple

from siphon.config.settings import LogSettings
from siphon.entries import Line, shower

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from siphon.config.settings import LogLevel
    from siphon.entries import Access, Entry

QUEUE_MAX: Final = 20_000
QUEUE_MAX_CHARS: Final = 16 * 1024 * 1024
LEVELS: Final[dict[str, int]] = {"debug": 10, "info": 20, "warning": 30, "error": 40}
# How long the writer waits for more once it has been woken: waking it costs who logs more than a line does.
_GATHER_S: Final = 0.01


class Lost(NamedTuple):
    """Lines that were dropped and have not been reported yet."""

    too_fast: int
    unwritten: int
    why: str

    def note(self) -> Line:
        """The line that reports them."""
        reasons = []
        if self.unwritten:
            reasons.append(f"{self.unwritten} could not be written ({self.why})")
        if self.too_fast:
            reasons.append(f"{self.too_fast} came faster than the log could be written")
        total = self.too_fast + self.unwritten
        return Line(time.time(), "warning", f"{total} log lines were dropped: {', '.join(reasons)}")


_NOTHING_LOST: Final = Lost(0, 0, "")


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
        self._queue: list[Entry] = []
        self._queued_chars = 0
        self._lost = _NOTHING_LOST
        self._dropped = 0
        # The writer has been woken, and will look at the queue before it sleeps again.
        self._awake = False
        # Somebody waits for it to be idle.
        self._hurry = 0
        self._writer: threading.Thread | None = None
        # A writer that is to end once nothing is queued.
        self._closing: threading.Thread | None = None
        self._level = LEVELS["info"]
        self._show = shower(LogSettings())
        # The writer's own: the last line was cut off in the middle.
        self._torn = False

    def configure(self, settings: LogSettings) -> None:
        """Takes over level and format; what is queued already is written in the new format."""
        with self._lock:
            self._level = LEVELS[settings.level]
            self._show = shower(settings)

    def log(self, level: LogLevel, text: str) -> None:
        """Queues a line, unless ``level`` is below the one that is set; see ``recording`` as well."""
        record = _recorder.get()
        if record is not None:
            record(level, text)
        elif LEVELS[level] >= self._level:
            self._put(Line(time.time(), level, text), len(text))

    def put(self, entry: Access) -> None:
        """Queues an answered request; drops and counts it when the queue is full."""
        self._put(entry, len(entry.target))

    @property
    def dropped(self) -> int:
        """How many lines have been dropped since the start, for either reason."""
        with self._lock:
            return self._dropped

    def _put(self, entry: Entry, chars: int) -> None:
        with self._lock:
            if len(self._queue) >= QUEUE_MAX or self._queued_chars > QUEUE_MAX_CHARS:
                self._dropped += 1
                self._lost = self._lost._replace(too_fast=self._lost.too_fast + 1)
                return
            self._queue.append(entry)
            self._queued_chars += chars
            if self._writer is None:
                self._awake = True
                self._writer = threading.Thread(target=self._write, name="siphon-log", daemon=True)
                self._writer.start()
            elif not self._awake:
                self._awake = True
                self._more.notify()

    def flush(self, timeout_s: float = 1.0) -> bool:
        """Waits until all that was queued is written; False when ``timeout_s`` passed first."""
        with self._lock:
            self._hurry += 1
            self._more.notify_all()
            try:
                return self._idle.wait_for(lambda: not self._queue and not self._awake, timeout_s)
            finally:
                self._hurry -= 1

    def close(self, timeout_s: float = 1.0) -> bool:
        """Writes what is queued and ends the writer; False where its descriptor takes no more.

        The interpreter must not end around a thread that still runs: with the GIL on, 3.13 may crash.
        A line that comes later starts a new writer.
        """
        deadline = time.monotonic() + timeout_s
        self.flush(timeout_s)
        with self._lock:
            writer, self._writer = self._writer, None
            self._closing = writer
            self._more.notify_all()
        if writer is None:
            return True
        writer.join(max(0.0, deadline - time.monotonic()))
        return not writer.is_alive()

    # The writer's thread -----------------------------------------------------------------------

    def _write(self) -> None:
        me = threading.current_thread()
        while self._wait_for_entries(me):
            self._write_batch()
        # What was dropped is owed even where nothing comes after it.
        self._write_batch()

    def _write_batch(self) -> None:
        with self._lock:
            entries, self._queue = self._queue, []
            self._queued_chars = 0
            lost, self._lost = self._lost, _NOTHING_LOST
            show = self._show
        notes = [lost.note()] if lost != _NOTHING_LOST else []
        lines = [show(entry).encode("utf-8", "backslashreplace") for entry in [*entries, *notes]]
        written, why = self._emit(lines)
        if written < len(lines):
            self._take_back(lost, max(0, len(entries) - written), why)

    def _wait_for_entries(self, me: threading.Thread) -> bool:
        """Waits for something to write; False where ``me``, the writer, is to end instead."""
        with self._lock:
            if self._queue:
                return True
            self._awake = False
            self._idle.notify_all()
            while not self._queue:
                if self._closing is me:
                    return False
                self._more.wait()
            self._awake = True
            if not self._hurry and self._closing is not me:
                self._more.wait(_GATHER_S)
            return True

    def _take_back(self, lost: Lost, unwritten: int, why: str) -> None:
        """Its disk is full, or nobody reads it any more: counted, for when it works again."""
        with self._lock:
            self._dropped += unwritten
            self._lost = Lost(
                self._lost.too_fast + lost.too_fast, self._lost.unwritten + lost.unwritten + unwritten, why
            )

    def _emit(self, lines: list[bytes]) -> tuple[int, str]:
        """Writes ``lines``; how many were written whole, and why not all of them."""
        data = b"".join(lines)
        begin = b"\n" if self._torn else b""
        sent, why = self._send(begin + data)
        if sent:
            self._torn = not (begin + data)[:sent].endswith(b"\n")
        if not why:
            return len(lines), ""
        left = sent - len(begin)
        for number, line in enumerate(lines):
            left -= len(line)
            if left < 0:
                return number, why
        return len(lines), why

    def _send(self, data: bytes) -> tuple[int, str]:
        """How many bytes the descriptor took, and why it took no more, if it did not."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:
                # Somebody who shares the descriptor has made it non-blocking.
                writable = select.poll()
                writable.register(self._descriptor, select.POLLOUT)
                writable.poll()
            except OSError as error:
                return len(data) - len(rest), error.strerror or str(error)
        return len(data), ""


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
