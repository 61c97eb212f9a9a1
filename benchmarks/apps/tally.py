"""Counts calls that a server makes itself, in the form of the harness's own figures."""

from __future__ import annotations

import json
from collections import Counter
from time import perf_counter

from benchmarks.histogram import Histogram


class Tally:
    """Calls and how long each took. Any thread may count: a list's append is one step."""

    def __init__(self) -> None:
        self._took_us: list[int] = []
        self._began = perf_counter()

    def count(self, began: float) -> None:
        """Counts a call that began then, on perf_counter's clock, and ends now."""
        self._took_us.append(int((perf_counter() - began) * 1e6))

    def as_json(self) -> bytes:
        """The figures so far."""
        figures = {
            "requests": len(self._took_us),
            "seconds": perf_counter() - self._began,
            "failed": 0,
            "timed_out": 0,
            **Histogram(Counter(self._took_us)).as_figures(),
        }
        return json.dumps(figures).encode()
