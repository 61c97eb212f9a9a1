"""The log behind ``siphon.log``: callers queue a line, one thread formats and writes.

A caller never waits for the descriptor: when ``QUEUE_MAX`` lines are waiting, or ``QUEUE_MAX_CHARS``,
further ones are dropped. So are those that cannot be written, on a full disk. Both are counted, and the
count is written when writing works again. Lines of the access log wait with the threads that have
answered, and the writer fetches them.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from siphon.config.settings import LogSettings
from siphon.daemon import Daemon
from siphon.entries import Line, shower

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from siphon.config.settings import LogLevel
    from siphon.entries import Shower

QUEUE_MAX: Final = 20_000
QUEUE_MAX_CHARS: Final = 16 * 1024 * 1024
LEVELS: Final[dict[str, int]] = {"debug": 10, "info": 20, "warning": 30, "error": 40}
# How long the writer lets lines gather before it writes: to wake it costs who logs more than a line does, and
# under a steady stream it would come for each few lines by itself, without a pause.
_GATHER_S: Final = 0.01
# As many as are not left to gather any longer.
_CROWD: Final = QUEUE_MAX // 4


class Source(Protocol):
    """Who has lines of its own for the log."""

    def take(self) -> bytes:
        """All that waits, each line with its end. The log's writer."""


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


class Piece(NamedTuple):
    """What is written together: one line, which may go on below, or any number that do not."""

    text: bytes
    lines: int

    def count_from(self, begin: int) -> int:
        """How many lines end behind the first ``begin`` bytes."""
        return 1 if self.lines == 1 else self.text.count(b"\n", begin)


def _shown(line: Line, show: Shower) -> Piece:
    return Piece(show.line(line).encode("utf-8", "backslashreplace"), 1)


class Journal:
    """Queues lines and writes them on a thread of its own. Any thread may call any method.

    ``_lock`` guards the queue, its counters and the settings; the writer holds it only to take
    what is queued, never while it formats or writes.
    """

    def __init__(self, descriptor: int = 2) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        # Where the writer waits; each has its own. Not a Condition: on 3.13 a timed wait for one begins with
        # 40 sched_yields, and a busy server's writer waits a hundred times a second.
        self._gate: SimpleQueue[None] = SimpleQueue()
        self._idle = threading.Condition(self._lock)
        self._queue: list[Line] = []
        self._queued_chars = 0
        # Those who have something for the writer to fetch.
        self._sources: list[Source] = []
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
        self._settings = LogSettings()
        self._show = shower(self._settings)
        # The writer's own: the last line was cut off in the middle.
        self._torn = False

    def configure(self, settings: LogSettings) -> None:
        """Takes over level and format; what is queued already is written in the new format."""
        with self._lock:
            self._level = LEVELS[settings.level]
            self._settings = settings
            self._show = shower(settings)

    def new_shower(self) -> Shower:
        """What makes lines as the settings say; for one thread."""
        with self._lock:
            return shower(self._settings)

    def log(self, level: LogLevel, text: str) -> None:
        """Queues a line, unless ``level`` is below the one that is set; see ``recording`` as well."""
        record = _recorder.get()
        if record is not None:
            record(level, text)
        elif LEVELS[level] >= self._level:
            self._put(Line(time.time(), level, text))

    def announce(self, source: Source) -> None:
        """Has the writer fetch what ``source`` has, and what that gets until the writer is there."""
        with self._lock:
            self._sources.append(source)
            self._wake_writer()

    def count_dropped(self, count: int) -> None:
        """Lines have been dropped by who had them: reported with those that are dropped here."""
        with self._lock:
            self._drop(count)

    @property
    def dropped(self) -> int:
        """How many lines have been dropped since the start, for either reason."""
        with self._lock:
            return self._dropped

    def _put(self, line: Line) -> None:
        with self._lock:
            if len(self._queue) >= QUEUE_MAX or self._queued_chars > QUEUE_MAX_CHARS:
                self._drop(1)
                return
            self._queue.append(line)
            self._queued_chars += len(line.text)
            self._wake_writer()
            if len(self._queue) == _CROWD:
                self._gate.put(None)

    def _drop(self, count: int) -> None:
        """Counts lines that came too fast; ``_lock`` is held."""
        self._dropped += count
        self._lost = self._lost._replace(too_fast=self._lost.too_fast + count)

    def _wake_writer(self) -> None:
        """Sees to it that the writer comes by; ``_lock`` is held."""
        if self._writer is None:
            gate: SimpleQueue[None] = SimpleQueue()
            writer = Daemon("siphon-log", partial(self._write, gate))
            try:
                writer.start()
            except RuntimeError:
                return  # the system has no thread: what is queued waits for the next line, or the end
            self._gate, self._writer, self._awake = gate, writer, True
        elif not self._awake:
            self._awake = True
            self._gate.put(None)

    def flush(self, timeout_s: float = 1.0) -> bool:
        """Waits until all that was queued is written; False where that took too long, or cannot be."""
        with self._lock:
            if self._has_more():
                self._wake_writer()
                if self._writer is None:
                    return False
            self._hurry += 1
            self._gate.put(None)
            try:
                return self._idle.wait_for(lambda: not self._has_more() and not self._awake, timeout_s)
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
            self._gate.put(None)
            left = self._has_more()
        if writer is None:
            if left:  # there was no thread to write it
                self._write_batch()
            return True
        writer.join(max(0.0, deadline - time.monotonic()))
        return not writer.is_alive()

    # The writer's thread -----------------------------------------------------------------------

    def _write(self, gate: SimpleQueue[None]) -> None:
        me = threading.current_thread()
        while self._wait_for_entries(me, gate):
            self._write_batch()
        # What was dropped is owed even where nothing comes after it.
        self._write_batch()

    def _write_batch(self) -> None:
        with self._lock:
            queue, self._queue = self._queue, []
            self._queued_chars = 0
            sources, self._sources = self._sources, []
            lost, self._lost = self._lost, _NOTHING_LOST
            show = self._show
        notes = [lost.note()] if lost != _NOTHING_LOST else []
        pieces = [_shown(line, show) for line in queue]
        pieces += [Piece(text, text.count(b"\n")) for text in [source.take() for source in sources]]
        pieces += [_shown(line, show) for line in notes]
        unwritten, why = self._emit(pieces)
        if unwritten:
            self._take_back(lost, unwritten - len(notes), why)

    def _wait_for_entries(self, me: threading.Thread, gate: SimpleQueue[None]) -> bool:
        """Waits for something to write; False where ``me``, the writer, is to end instead."""
        while True:
            with self._lock:
                if self._has_more():
                    self._awake = True
                    gathers = not self._hurry and self._closing is not me and len(self._queue) < _CROWD
                    break
                self._awake = False
                self._idle.notify_all()
                if self._closing is me:
                    return False
            gate.get()
        if gathers:
            # A wake-up that has been overtaken ends it early, once.
            with suppress(Empty):
                gate.get(timeout=_GATHER_S)
        return True

    def _has_more(self) -> bool:
        return bool(self._queue or self._sources)

    def _take_back(self, lost: Lost, unwritten: int, why: str) -> None:
        """Its disk is full, or nobody reads it any more: counted, for when it works again."""
        with self._lock:
            self._dropped += unwritten
            self._lost = Lost(
                self._lost.too_fast + lost.too_fast, self._lost.unwritten + lost.unwritten + unwritten, why
            )

    def _emit(self, pieces: list[Piece]) -> tuple[int, str]:
        """Writes ``pieces``; how many lines of them were not written whole, and why."""
        data = b"".join([piece.text for piece in pieces])
        begin = b"\n" if self._torn else b""
        sent, why = self._send(begin + data)
        if sent:
            self._torn = not (begin + data)[:sent].endswith(b"\n")
        if not why:
            return 0, ""
        written_bytes = max(0, sent - len(begin))
        unwritten = 0
        for piece in pieces:
            if written_bytes < len(piece.text):
                unwritten += piece.count_from(written_bytes)
            written_bytes = max(0, written_bytes - len(piece.text))
        return unwritten, why

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
    """Writes a line to stdout at once, for the person at the terminal. Main thread only.

    What it has no character for is escaped. Where nobody reads it any more, as in ``siphon app.py | head
    -1``, or its disk is full, this and all that follows is lost.
    """
    if sys.stdout is None:
        return  # it was closed before the start
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"  # a script may have put anything in its place
    try:
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        sys.stdout.flush()
    except ValueError:
        return  # the script has closed it
    except OSError:
        # What is left in the buffer would fail again at the exit.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
