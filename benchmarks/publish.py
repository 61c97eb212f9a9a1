"""What is shown of the newest results: docs/benchmarks.md has the tables, benchmarks.svg the chart."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from benchmarks.chart import draw
from benchmarks.report import RESULTS
from benchmarks.scenarios import SCENARIOS
from benchmarks.servers import ROOT

if TYPE_CHECKING:
    from pathlib import Path

DOCS: Final = ROOT / "docs"

_HEAD: Final = """\
# Benchmarks

`make bench` has written this page. It starts each server as a real process on the loopback interface, goes
through the servers in turns, A B C A B C, and takes ratios within a round: those hold on other machines, the
figures do not. The load generator is wrk, on the same processors. Before anything is timed each answer is
asked for once and compared.

All servers run on one build of free-threaded CPython, but for the tables whose name ends in `_gil`: there the
others run on a Python with a GIL. Of servers measured with several choices of options the best counts in the
lines below a table. "Server CPU" is the processor time of the server's processes for one request; in "RSS"
memory that several processes share counts in each. Latencies are those of requests that were sent: what wrk
adds to its own percentiles, for those that a client of another kind would have sent meanwhile, is taken off.
wrk sends the same bytes again and again, as few clients but those of an API do. siphon profits from that: it
compares fields that repeat instead of reading them anew, in `echo`, the one scenario with many, for a tenth.

![siphon beside other servers](benchmarks.svg)
"""


def publish(results: Path = RESULTS, docs: Path = DOCS) -> None:
    """Writes both files from the newest complete result of each scenario, and says what there is none of."""
    found = newest(results)
    if not found:
        raise SystemExit(f"there is no complete result in {results} to publish")
    missing = [name for name in SCENARIOS if name not in found]
    if missing:
        print(f"note: without a complete result, and so left out: {', '.join(missing)}")
    tables = [found[name].with_suffix(".md").read_text() for name in SCENARIOS if name in found]
    records = {name: json.loads(path.read_text()) for name, path in found.items()}
    (docs / "benchmarks.md").write_text("\n".join([_HEAD, *tables]))
    (docs / "benchmarks.svg").write_text(draw(records))
    print(f"written to {docs / 'benchmarks.md'} and benchmarks.svg")


def newest(results: Path) -> dict[str, Path]:
    """The newest complete record of each scenario that still exists."""
    found = {}
    for path in sorted(results.glob("*.json")):  # their names begin with the time
        record: dict[str, Any] = json.loads(path.read_text())
        if record.get("is_complete") and record["scenario"] in SCENARIOS:
            found[str(record["scenario"])] = path
    return found


if __name__ == "__main__":
    publish()
