"""How often each latency was measured, and the figures that are made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping

_OVER_US = 100_000


class LatencyFigures(TypedDict):
    """The part of ``Measured`` that is made of latencies."""

    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    over_100_ms: int


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts by latency in microseconds."""

    counts: Mapping[int, int]

    @classmethod
    def of_wrk(cls, counts: Mapping[int, int], requests: int, runtime_us: int, connections: int) -> Self:
        """What wrk measured, out of what it reports.

        wrk adds latencies that nobody measured: for one that is a multiple of the time from one request
        of a connection to its next (the mean of all of them), one for each time in between, since a
        client that keeps to a rate would have sent a request then. Its clients keep to no rate; and
        where several requests are sent at once the time is taken for too short, and most of what it
        reports is made up. What was added to a count is the count one such time later, so that it can
        be taken off again.
        """
        rounds = requests // connections
        if not rounds:
            return cls(counts)
        interval = runtime_us // rounds
        measured = {
            us: count - counts.get(us + interval, 0) if us > interval else count
            for us, count in counts.items()
        }
        if min(measured.values(), default=0) < 0:
            return cls(counts)  # a wrk that adds nothing
        return cls({us: count for us, count in measured.items() if count})

    def as_figures(self) -> LatencyFigures:
        """Percentiles, the greatest and how many took over 100 ms; zeros where nothing was measured."""
        return {
            "p50_ms": self.percentile_ms(50),
            "p99_ms": self.percentile_ms(99),
            "p999_ms": self.percentile_ms(99.9),
            "max_ms": max(self.counts, default=0) / 1000,
            "over_100_ms": sum(count for us, count in self.counts.items() if us > _OVER_US),
        }

    def percentile_ms(self, percent: float) -> float:
        """The least latency that so many of all were at most; 0 where nothing was measured."""
        wanted = sum(self.counts.values()) * percent / 100
        seen = 0
        for us in sorted(self.counts):
            seen += self.counts[us]
            if seen >= wanted:
                return us / 1000
        return 0.0
