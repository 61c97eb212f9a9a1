"""What is counted for each request, in cells that one thread each writes: no lock, no wait."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final, Literal, NamedTuple

# Upper bounds of the durations' buckets, in seconds; one more bucket has what took longer.
BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# The route where none was found, and the method as well where what came was no request.
NONE: Final = "none"
# What a client may send as a method, and still have a series of its own: the rest are one.
_METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", NONE}
)
_OTHER: Final = "other"

# Why a connection was turned away, none of which is a request: TLS to a listener without; the others to
# one with.
type Fault = Literal[
    "tls", "plain_http", "not_tls", "proxy_header", "handshake_failed", "handshake_timeout", "bad_record"
]
FAULTS_IN_CLEARTEXT: Final[tuple[Fault, ...]] = ("tls",)
FAULTS_OVER_TLS: Final[tuple[Fault, ...]] = (
    "plain_http",
    "not_tls",
    "proxy_header",
    "handshake_failed",
    "handshake_timeout",
    "bad_record",
)


class Key(NamedTuple):
    """Which answers a cell counts. ``route`` is the pattern, as registered."""

    route: str
    method: str
    status: int


class Cells:
    """What one thread has counted. That thread alone writes; any thread may read, at any time.

    A reader may find an answer in its bucket and its duration not in the sum yet: both are there the
    next time. The answers of one key are a list: a number for each bucket, then the sum of durations.
    """

    __slots__ = ("_cells", "_turned_away", "late", "shed")

    def __init__(self) -> None:
        self._cells: dict[tuple[str, str, int], list[float]] = {}
        self._turned_away: dict[tuple[str, Fault], int] = {}
        # Answers that came when somebody else had answered, or the client had gone.
        self.late = 0
        # Requests that were refused because the lanes were full.
        self.shed = 0

    def answered(self, route: str, method: str, status: int, duration_s: float) -> None:
        """Counts one answer."""
        try:
            cell = self._cells[route, method, status]
        except KeyError:
            cell = self._cell(route, method, status)
        cell[bisect_left(BOUNDS_S, duration_s)] += 1
        cell[-1] += duration_s

    def _cell(self, route: str, method: str, status: int) -> list[float]:
        # A client chooses its method: what it makes up must not take memory each time.
        key = Key(route, method if method in _METHODS else _OTHER, status)
        return self._cells.setdefault(key, [0] * (len(BOUNDS_S) + 2))

    def turned_away(self, listener: str, fault: Fault) -> None:
        """Counts a connection to ``listener`` that speaks another protocol than that, or speaks it badly."""
        key = (listener, fault)
        self._turned_away[key] = self._turned_away.get(key, 0) + 1

    def read_turned_away(self) -> dict[tuple[str, Fault], int]:
        """A copy of what has been counted so far."""
        return self._turned_away.copy()

    def read(self) -> dict[tuple[str, str, int], list[float]]:
        """A copy of what has been counted so far; the lists in it go on changing."""
        return self._cells.copy()


class Tally:
    """The cells of all threads. Any thread may call any method: the list's append and copy are whole."""

    def __init__(self) -> None:
        self._all: list[Cells] = []

    def new_cells(self) -> Cells:
        """Cells for one more thread; they count for as long as the tally is there."""
        cells = Cells()
        self._all.append(cells)
        return cells

    def answers(self) -> dict[Key, list[float]]:
        """Answers by key, summed over all threads: a number for each bucket, then the durations' sum."""
        total: dict[Key, list[float]] = {}
        for cells in self._all.copy():
            for key, cell in cells.read().items():
                sums = total.setdefault(Key(*key), [0] * (len(BOUNDS_S) + 2))
                for index, value in enumerate(cell):
                    sums[index] += value
        return total

    def turned_away(self) -> dict[tuple[str, Fault], int]:
        """Connections that were turned away, by listener and fault, summed over all threads."""
        total: dict[tuple[str, Fault], int] = {}
        for cells in self._all.copy():
            for key, count in cells.read_turned_away().items():
                total[key] = total.get(key, 0) + count
        return total

    @property
    def late(self) -> int:
        """Answers that nobody waited for any more."""
        return sum([cells.late for cells in self._all.copy()])

    @property
    def shed(self) -> int:
        """Requests that were refused because the lanes were full."""
        return sum([cells.shed for cells in self._all.copy()])
