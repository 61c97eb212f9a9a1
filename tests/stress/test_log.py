"""The log under many threads: each line is written once and in its thread's order, or counted as dropped."""

from __future__ import annotations

import os
import re
import threading
from typing import TYPE_CHECKING

import pytest

from siphon.entries import Line, TextLines
from siphon.journal import Journal
from siphon.threads.access import AccessLines

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.stress

WRITERS = 6


class Reader:
    """Reads a pipe to its end, with pauses in which it fills up, and keeps what it has read."""

    def __init__(self, descriptor: int, pause_s: float) -> None:
        self._descriptor = descriptor
        self._pause = threading.Event()
        self._pause_s = pause_s
        self.text = ""
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        pieces: list[bytes] = []
        while piece := os.read(self._descriptor, 65_536):
            pieces.append(piece)
            self._pause.wait(self._pause_s)
        self.text = b"".join(pieces).decode()

    def hurry(self) -> None:
        """No pauses from now on."""
        self._pause.set()

    def join(self) -> None:
        """Waits for the end."""
        self._thread.join(60)
        assert not self._thread.is_alive()


WAYS = ["in small pieces", "in large pieces", "read slowly"]


def lines_each(way: str, *, full: bool) -> int:
    """How many lines each thread logs."""
    return (40_000 if full else 8_000) // (8 if way == "in small pieces" else 1)


def logged(
    way: str, lines: int, logger: Callable[[Journal, int], Callable[[int], None]]
) -> tuple[Journal, str]:
    """What is written where each of several threads logs its lines by number; the journal is closed by then.

    ``logger``: makes what logs a line by its number, on the thread of that name.
    """
    read_fd, write_fd = os.pipe()
    journal = Journal(write_fd)
    reader = Reader(read_fd, 0.005 if way == "read slowly" else 0.0)
    flushed: list[bool] = []

    def log(name: int) -> None:
        log_line = logger(journal, name)
        for number in range(lines):
            log_line(number)
            # While some wait for the writer, others go on: it takes a few lines at a time.
            if way == "in small pieces" and number % (10 + name) == 0:
                flushed.append(journal.flush(60))

    threads = [threading.Thread(target=log, args=(name,)) for name in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(200)
    reader.hurry()
    assert journal.flush(60)
    assert journal.close(60)
    os.close(write_fd)
    reader.join()
    os.close(read_fd)
    assert all(flushed)
    return journal, reader.text


@pytest.mark.parametrize("way", WAYS)
def test_every_line_is_written_once_or_counted(note: Callable[..., None], full: bool, way: str) -> None:
    lines = lines_each(way, full=full)
    journal, text = logged(
        way, lines, lambda journal, name: lambda number: journal.log("info", f"<{name}:{number}>")
    )
    written = [(int(name), int(number)) for name, number in re.findall(r"<(\d+):(\d+)>\n", text)]
    reported = sum(int(count) for count in re.findall(r"(\d+) log lines were dropped", text))
    note(lines=WRITERS * lines, dropped=journal.dropped)
    assert len(written) + journal.dropped == WRITERS * lines
    assert reported == journal.dropped
    for name in range(WRITERS):
        numbers = [number for who, number in written if who == name]
        assert numbers == sorted(set(numbers))


def access_logger(journal: Journal, name: int) -> Callable[[int], None]:
    """Logs to a thread's own access log; some take more room: together they have too little, unread."""
    mine = AccessLines(journal)
    filling = "x" * 100 * name
    return lambda number: mine.add(f"<{name}:{number}>{filling}\n")


@pytest.mark.parametrize("way", WAYS)
def test_every_access_line_is_written_once_or_counted(
    note: Callable[..., None], full: bool, way: str
) -> None:
    """Each thread's lines wait with it, and the writer fetches them while it adds to them."""
    lines = lines_each(way, full=full)
    journal, text = logged(way, lines, access_logger)
    written = re.findall(r"^<(\d+):(\d+)>(x*)$", text, re.MULTILINE)
    note(lines=WRITERS * lines, dropped=journal.dropped)
    assert len(written) + journal.dropped == WRITERS * lines
    assert len(written) == text.count("<")
    assert all(len(filling) == 100 * int(name) for name, _, filling in written)
    for name in range(WRITERS):
        numbers = [int(number) for who, number, _ in written if int(who) == name]
        assert numbers == sorted(set(numbers))


class AtOnce(TextLines):
    """Takes no time for a line."""

    def line(self, entry: Line) -> str:
        return "<>\n"


def test_a_writer_that_takes_a_few_lines_at_a_time_misses_none(note: Callable[..., None], full: bool) -> None:
    """The writer is this thread, which is quicker than those that log: it takes what is there, and again."""
    threads, lines = 2, (200_000 if full else 60_000)
    read_fd, write_fd = os.pipe()
    reader = Reader(read_fd, 0.0)
    journal = Journal(write_fd)
    journal._writer = threading.current_thread()
    journal._awake = True
    journal._show = AtOnce("")

    def log() -> None:
        for _ in range(lines):
            journal.log("info", "x")

    running = [threading.Thread(target=log) for _ in range(threads)]
    for thread in running:
        thread.start()
    batches = 0
    while any(thread.is_alive() for thread in running):
        journal._write_batch()
        batches += 1
    journal._write_batch()
    os.close(write_fd)
    reader.join()
    os.close(read_fd)
    note(lines=threads * lines, batches=batches, dropped=journal.dropped)
    # What is dropped is said in lines that look the same here.
    assert threads * lines <= reader.text.count("<>") + journal.dropped <= threads * lines + batches
