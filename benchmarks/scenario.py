"""What a scenario is: cases to compare, each a server under a load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.figures import OF_LOAD

if TYPE_CHECKING:
    from benchmarks.crowd import CrowdSize
    from benchmarks.load import Load
    from benchmarks.servers import Server


@dataclass(frozen=True, slots=True)
class Case:
    """One server under one load: a row, or several for loads that run side by side."""

    name: str
    family: str
    """Of several cases of one family the best counts in the ratios."""
    server: Server
    loads: tuple[Load, ...]
    crowd: CrowdSize | None = None

    @property
    def is_rival(self) -> bool:
        """Whether it is another server, that somebody might use instead."""
        return self.server.is_rival


@dataclass(frozen=True, slots=True)
class Scenario:
    """Cases to compare; ratios are taken of the first to each other one, on the load ``decisive``."""

    name: str
    about: str
    cases: tuple[Case, ...]
    decisive: str = ""
    merit: str = "throughput"
    """The figure that decides which of a family is best."""
    figures: tuple[str, ...] = OF_LOAD
    """The columns of the table, out of ``FIGURES``."""
    seconds_least: int = 1
    """How long each case has to be measured in a round for the figures to mean something."""
    is_timed: bool = True
    """Whether the loads run; else each is asked for once, and the start is what is measured."""
    upstream: Server | None = None
    """What the servers call: started once for the scenario, its URL in the servers' $UPSTREAM."""


def case(
    server: Server, loads: tuple[Load, ...], name: str | None = None, crowd: CrowdSize | None = None
) -> Case:
    """A case under the server's own name and family, or under a name that is its family too."""
    family = server.family if name is None else name
    return Case(server.name if name is None else name, family, server, loads, crowd)
