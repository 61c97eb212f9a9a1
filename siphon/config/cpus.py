"""The processors that this process may use."""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_PROC_SELF = Path("/proc/self")


def usable_cpus(proc_self: Path = _PROC_SELF) -> int:
    """The processors this process may use, at least 1: affinity and control-group quotas counted.

    A quota of 1.5 processors counts as 2. ``proc_self`` is the directory with the process's ``cgroup``
    and ``mountinfo``; where they cannot be read there is no quota.
    """
    available = os.process_cpu_count() or 1
    quota = min(_quotas(proc_self), default=math.inf)
    return max(1, min(available, math.ceil(quota))) if math.isfinite(quota) else available


def _quotas(proc_self: Path) -> Iterator[float]:
    """Every limit on the way from this process's control groups up to the roots it can see."""
    groups = [line.split(":", 2) for line in _lines(proc_self / "cgroup")]
    for line in _lines(proc_self / "mountinfo"):
        mount, _, origin = line.partition(" - ")
        fields, source = mount.split(), origin.split()
        if len(fields) < 5 or len(source) < 3:
            continue
        root, point, kind, options = fields[3], Path(fields[4]), source[0], source[2].split(",")
        if kind == "cgroup2":
            paths = [group[2] for group in groups if group[0] == "0" and len(group) == 3]
        elif kind == "cgroup" and "cpu" in options:
            paths = [group[2] for group in groups if len(group) == 3 and "cpu" in group[1].split(",")]
        else:
            continue
        read = _quota_v2 if kind == "cgroup2" else _quota_v1
        for path in paths:
            for directory in _upwards(point, root, path):
                quota = read(directory)
                if quota is not None:
                    yield quota


def _upwards(point: Path, root: str, path: str) -> Iterator[Path]:
    """The directories under the mount ``point`` of group ``path`` and of every group above it."""
    group = PurePosixPath(path)
    # In a container the group's path may lie outside what is mounted: then the mount itself is the group.
    inside = (
        group.relative_to(root) if group.is_relative_to(root) and ".." not in group.parts else PurePosixPath()
    )
    for part in (inside, *inside.parents) if inside.parts else (inside,):
        yield point / part


def _quota_v2(directory: Path) -> float | None:
    words = " ".join(_lines(directory / "cpu.max")).split()
    return _ratio(words[0], words[1]) if len(words) == 2 else None


def _quota_v1(directory: Path) -> float | None:
    quota = _lines(directory / "cpu.cfs_quota_us")
    period = _lines(directory / "cpu.cfs_period_us")
    return _ratio(quota[0], period[0]) if quota and period else None


def _ratio(quota: str, period: str) -> float | None:
    """Processors' worth of time, or None for no limit (``max`` in version 2, -1 in version 1)."""
    if not (quota.isdecimal() and period.isdecimal()) or int(quota) == 0 or int(period) == 0:
        return None
    return int(quota) / int(period)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []
