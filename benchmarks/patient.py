"""``python -m benchmarks.patient``: siphon where everything takes fifty times as long, as below valgrind.

What siphon judges by the time that it takes, such as whether a handler is quick, is put off here, so that
requests take the way that they take elsewhere.
"""

from __future__ import annotations

import sys
from typing import Final

from siphon.cli import main
from siphon.threads import blocking_worker, lending, lent_reader

PUT_OFF: Final = (
    (lent_reader, "_QUICK_S", 10.0),
    (lending, "_TOO_LONG_S", 10.0),
    (lending, "_HELD", 1e9),
    (lending, "_OVERDUE_S", 60.0),
    (lending, "_BUSY", 2.0),
    (lending.Lending, "look_s", 5.0),
    (lending.RunnerLending, "look_s", 5.0),
    (blocking_worker, "_ROW_S", 10.0),
    (blocking_worker, "_COMPUTES_S", 100.0),
)


def put_off() -> None:
    """Sets each of them; raises AttributeError where siphon calls it by another name now."""
    for holder, name, value in PUT_OFF:
        getattr(holder, name)
        setattr(holder, name, value)


if __name__ == "__main__":
    put_off()
    sys.exit(main())
