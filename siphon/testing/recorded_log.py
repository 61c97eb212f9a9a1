"""The lines that a script logs during a test."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from siphon.config.settings import LogLevel


class RecordedLog:
    """``messages``: level and text of every line, in order. Any thread may add one."""

    def __init__(self) -> None:
        self.messages: list[tuple[LogLevel, str]] = []

    def add(self, level: LogLevel, text: str) -> None:
        """Adds a line, and shows it on stderr: pytest prints that below a test that fails."""
        self.messages.append((level, text))
        # What a script can log, such as a lone surrogate, is not always what a stream can write.
        shown = text.encode("utf-8", "backslashreplace").decode()
        sys.stderr.write(f"{level:<7} {shown}\n")

    def clear(self) -> None:
        """Forgets what was logged."""
        self.messages.clear()

    def __repr__(self) -> str:
        return f"<RecordedLog {self.messages!r}>"
