"""Ending an exchange's async work from another thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from siphon.threads.exchange import Exchange
    from siphon.threads.loops import LoopWorker


class Cancellation:
    """Cancels an exchange's tasks, on the thread they belong to."""

    __slots__ = ("_exchange", "_half_closed")

    def __init__(self, exchange: Exchange, *, half_closed: bool = False) -> None:
        self._exchange = exchange
        self._half_closed = half_closed

    def on_loop(self, worker: LoopWorker) -> None:
        """Cancels them, unless they have not begun: then ``ended`` keeps them from it."""
        exchange = self._exchange
        tasks = {exchange.task, *(exchange.inner_tasks or ())}
        if self._half_closed:
            # Sync members cannot be stopped, and what they answer may still be fetched. It may be on its
            # way to the task by now: only the task's own thread can tell whether it has arrived.
            tasks -= exchange.visiting or set()
            # Once for a FIN, which several may have seen: what a task does about it may take a while.
            tasks -= exchange.interrupted or set()
            exchange.interrupted = tasks | (exchange.interrupted or set())
        for task in tasks:
            if task is not None:
                task.cancel()
