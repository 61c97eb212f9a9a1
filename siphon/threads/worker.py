"""What a thread needs to run exchanges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from siphon.threads.records import Records
    from siphon.wire.encode import Encoder


class Worker(Protocol):
    """A thread that runs exchanges, also one of a test's; what it has for answering them is its own."""

    encoder: Encoder
    records: Records
    observes: bool
    """Whether its records want anything."""

    @property
    def finished(self) -> int:
        """What it has worked on."""
