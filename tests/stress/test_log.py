"""The log under many threads: each line is written once and in its thread's order, or counted as dropped."""

from __future__ import annotations

import os
import re
import threading
from typing import TYPE_CHECKING

import pytest

from siphon.journal import Journal

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

    def join(self) -> None:
        """Waits for the end, without pauses from now on."""
        self._pause.set()
        self._thread.join(60)
        assert not self._thread.is_alive()


@pytest.mark.parametrize("pause_s", [0.0, 0.005], ids=["read at once", "read slowly"])
def test_every_line_is_written_once_or_counted(note: Callable[..., None], full: bool, pause_s: float) -> None:
    lines = 40_000 if full else 8_000
    read_fd, write_fd = os.pipe()
    journal = Journal(write_fd)
    reader = Reader(read_fd, pause_s)
    flushed: list[bool] = []

    def log(name: int) -> None:
        for number in range(lines):
            journal.log("info", f"<{name}:{number}>")
            if number % 1_000 == 0 and not pause_s:
                flushed.append(journal.flush(30))

    threads = [threading.Thread(target=log, args=(name,)) for name in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    reader._pause.set()
    assert journal.flush(60)
    assert journal.close(60)
    os.close(write_fd)
    reader.join()
    os.close(read_fd)
    assert all(flushed)
    written = [(int(name), int(number)) for name, number in re.findall(r"<(\d+):(\d+)>\n", reader.text)]
    reported = sum(int(count) for count in re.findall(r"(\d+) log lines were dropped", reader.text))
    note(lines=WRITERS * lines, dropped=journal.dropped)
    assert len(written) + journal.dropped == WRITERS * lines
    assert reported == journal.dropped
    for name in range(WRITERS):
        numbers = [number for who, number in written if who == name]
        assert numbers == sorted(set(numbers))
