"""What one thread records of the answers it gives: counts, and lines of the access log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from siphon.threads.access import AccessLines
    from siphon.threads.tally import Cells


class Records:
    """A thread's own; its cells are None where nobody asks for counts, its lines where nothing is logged."""

    __slots__ = ("cells", "lines", "wanted")

    def __init__(self, cells: Cells | None = None, lines: AccessLines | None = None) -> None:
        self.cells = cells
        self.lines = lines
        # Whether anything is to be done about an exchange that has been answered.
        self.wanted = cells is not None or lines is not None

    def count_late(self) -> None:
        """Counts an answer that came when somebody else had answered, or the client had gone."""
        if self.cells is not None:
            self.cells.late += 1

    def count_shed(self) -> None:
        """Counts a request that was refused because the lanes were full."""
        if self.cells is not None:
            self.cells.shed += 1
