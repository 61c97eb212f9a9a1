"""What one thread records of the answers it gives: counts, and lines of the access log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from siphon.threads.access import AccessLines
    from siphon.threads.tally import Cells


class Records:
    """A thread's own; its cells are None where nobody asks for counts, its lines where nothing is logged."""

    __slots__ = ("cells", "lines")

    def __init__(self, cells: Cells | None = None, lines: AccessLines | None = None) -> None:
        self.cells = cells
        self.lines = lines
