"""The processors counted, with control groups laid out in a directory."""

import os
from pathlib import Path

import pytest

from siphon.config.cpus import usable_cpus


class Machine:
    """A ``/proc/self`` and a ``/sys/fs/cgroup`` of one's own."""

    def __init__(self, root: Path) -> None:
        self.proc = root / "proc"
        self.groups = root / "cgroup"
        self.proc.mkdir()

    def mount(self, kind: str, options: str, path: str, *, controllers: str = "", root: str = "/") -> None:
        number = "0" if kind == "cgroup2" else "4"
        (self.proc / "cgroup").write_text(f"7:memory:/elsewhere\n{number}:{controllers}:{path}\n")
        (self.proc / "mountinfo").write_text(
            "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
            f"32 31 0:29 {root} {self.groups} rw,nosuid shared:9 - {kind} {kind} {options}\n"
        )

    def limit_v2(self, group: str, words: str) -> None:
        directory = self.groups / group
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "cpu.max").write_text(words + "\n")

    def limit_v1(self, group: str, quota: int, period: int) -> None:
        directory = self.groups / group
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "cpu.cfs_quota_us").write_text(f"{quota}\n")
        (directory / "cpu.cfs_period_us").write_text(f"{period}\n")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with eight processors and no control group yet."""
    monkeypatch.setattr(os, "process_cpu_count", lambda: 8)
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("words", "cpus"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("1000 100000", 1),
        ("50000 20000", 3),
        ("6400000 100000", 8),
        ("0 100000", 8),
        ("100000", 8),
        ("lots 100000", 8),
    ],
)
def test_a_version_2_quota_is_rounded_up(machine: Machine, words: str, cpus: int) -> None:
    machine.mount("cgroup2", "rw", "/")
    machine.limit_v2(".", words)
    assert usable_cpus(machine.proc) == cpus


@pytest.mark.parametrize(
    ("quota", "period", "cpus"),
    [(-1, 100_000, 8), (250_000, 100_000, 3), (20_000, 100_000, 1), (100_000, 0, 8)],
)
def test_a_version_1_quota_is_rounded_up(machine: Machine, quota: int, period: int, cpus: int) -> None:
    machine.mount("cgroup", "rw,cpu,cpuacct", "/", controllers="cpu,cpuacct")
    machine.limit_v1(".", quota, period)
    assert usable_cpus(machine.proc) == cpus


def test_the_tightest_group_on_the_way_up_counts(machine: Machine) -> None:
    machine.mount("cgroup2", "rw", "/team/service")
    machine.limit_v2("team/service", "500000 100000")
    machine.limit_v2("team", "300000 100000")
    machine.limit_v2("other", "100000 100000")
    assert usable_cpus(machine.proc) == 3


@pytest.mark.parametrize(
    ("path", "root"), [("/docker/1f", "/docker/1f"), ("/", "/docker/1f"), ("/../x", "/")]
)
def test_in_a_container_the_mounted_group_counts(machine: Machine, path: str, root: str) -> None:
    machine.mount("cgroup", "rw,cpu", path, controllers="cpu", root=root)
    machine.limit_v1(".", 400_000, 100_000)
    assert usable_cpus(machine.proc) == 4


def test_a_version_1_hierarchy_of_another_controller_is_passed_over(machine: Machine) -> None:
    machine.mount("cgroup", "rw,cpuset", "/", controllers="cpuset")
    machine.limit_v1(".", 100_000, 100_000)
    assert usable_cpus(machine.proc) == 8


def test_without_control_groups_affinity_alone_counts(machine: Machine) -> None:
    assert usable_cpus(machine.proc) == 8


def test_one_processor_is_the_least(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "process_cpu_count", lambda: None)
    assert usable_cpus(machine.proc) == 1
