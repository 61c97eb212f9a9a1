"""Requests on their way from an acceptor to a worker, and what is left of them on the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from siphon.threads.connection import Owner
    from siphon.threads.exchange import Exchange
    from siphon.threads.loops import LoopWorker


class Batch:
    """What one turn of an acceptor has for one worker, which gives it back when all of it has begun.

    CPython 3.13t has whoever drops the last foreign reference to an object queue it for the thread that
    has made it, under a lock that many share. So a worker drops nothing that an acceptor has made, or a
    sixth of its time goes there and into waiting for it.
    """

    __slots__ = ("_owner", "_returns", "exchanges")

    def __init__(self, owner: Owner, exchanges: list[Exchange]) -> None:
        self._owner = owner
        self.exchanges = exchanges
        # Bodies do not wait until the acceptor comes by: they may be large.
        self._returns = not any([exchange.body for exchange in exchanges])  # noqa: C419 - a third quicker

    def on_loop(self, worker: LoopWorker) -> None:
        """Begins each exchange, on the loop's own thread."""
        worker.run_in_turn(self.exchanges)
        if worker.observes:
            worker.records.settle()
        self.give_back()

    def give_back(self) -> None:
        """Has the acceptor drop it. Whoever has run it."""
        if self._returns:
            self._owner.take_back(self)


def deal(exchanges: list[Exchange], loads: list[int]) -> list[tuple[int, list[Exchange]]]:
    """Deals ``exchanges`` out so that the workers' ``loads`` come out even: who gets which, by number."""
    share = -(-(sum(loads) + len(exchanges)) // len(loads))
    dealt = []
    begin = 0
    for number in sorted(range(len(loads)), key=loads.__getitem__):
        end = begin + max(0, share - loads[number])
        if end > begin:
            dealt.append((number, exchanges[begin:end]))
        begin = end
        if begin >= len(exchanges):
            break
    return dealt
