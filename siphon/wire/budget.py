"""What the bytes that are buffered for requests are counted against."""

from __future__ import annotations

from typing import Protocol


class Budget(Protocol):
    """A number of bytes that every connection of the process draws on. Any thread may call it."""

    def take(self, size: int) -> bool:
        """Counts ``size`` bytes in, in any case; whether all that is counted is still within the limit."""

    def give(self, size: int) -> None:
        """Counts ``size`` bytes out."""
