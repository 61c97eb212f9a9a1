"""What a process holds when it has nothing to do, and whether that grows from minute to minute."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

RSS_TOLERANCE: Final = 0.05


class Held(NamedTuple):
    """One look at a process."""

    rss_kib: int
    descriptors: int
    threads: int
    tasks: int


def look(pid: int, tasks: int) -> Held:
    """What the process holds now; how many tasks its loops have, only itself can tell."""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    descriptors = len(os.listdir(f"/proc/{pid}/fd"))
    return Held(int(fields["VmRSS"].split()[0]), descriptors, int(fields["Threads"]), tasks)


def growth(looks: Sequence[Held], warm: int) -> list[str]:
    """What has grown after the first ``warm`` looks, in words; nothing, where the process is steady.

    The memory may lie ``RSS_TOLERANCE`` above or below what it was at the end of the warm-up. Of the
    others there may not be more than there once were during the warm-up.
    """
    if len(looks) <= warm:
        raise ValueError(f"{len(looks)} looks do not reach past a warm-up of {warm}")
    found = []
    reference_kib = looks[warm - 1].rss_kib
    for minute, held in enumerate(looks[warm:], warm + 1):
        change = held.rss_kib / reference_kib - 1
        if abs(change) > RSS_TOLERANCE:
            found.append(f"RSS is {held.rss_kib} KiB after round {minute}: {change:+.1%}")
    for name in ("descriptors", "threads", "tasks"):
        most = max(getattr(held, name) for held in looks[:warm])
        last = getattr(looks[-1], name)
        if last > most:
            found.append(f"{last} {name} are left at the end, and were never more than {most} in the warm-up")
    return found
