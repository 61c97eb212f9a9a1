"""What the whole server is doing at the moment, as text for the log."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from siphon.journal import journal
from siphon.threads.stacks import stacks

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator
    from types import CodeType, FrameType
    from typing import Any

    from siphon.threads.exchange import Exchange
    from siphon.threads.lanes import Lanes
    from siphon.threads.loops import LoopWorker

_SUSPENDED_SHOWN: Final = 20
_CALLS_SHOWN: Final = 50


def log_snapshot(lanes: Lanes) -> None:
    """Logs the lanes' state, every thread's stack and, from each loop, where its suspended requests wait.

    Any thread but a loop's. A loop that does not come back logs nothing; its thread's stack says why.
    """
    journal.log("info", f"{pool_state(lanes)}\nstacks, the outermost call first:\n{stacks()}")
    for worker in lanes.loops:
        worker.post(Roll())


def pool_state(lanes: Lanes) -> str:
    """What waits and runs on each lane, and what each busy worker is at. Any thread."""
    lane = lanes.blocking
    workers = lane.workers
    now = monotonic()
    at = [(worker.name, worker.item, now - worker.began) for worker in workers]
    busy = [(name, item, since_s) for name, item, since_s in at if item is not None]
    lines = [f"requests in work: {lanes.in_flight()} of {lanes.max_in_flight}"]
    lines += [
        f"{worker.name}: {worker.load} in work, {len(worker.suspended)} of them suspended, "
        f"{worker.waiting} waiting"
        for worker in lanes.loops
    ]
    lines.append(
        f"blocking lane: {len(workers)} of {lane.maximum} threads, {len(busy)} busy, {lane.waiting} waiting"
    )
    for name, item, since_s in busy:
        over = ", its client has been answered" if item.ended else ""
        lines.append(f"{name}: {item.label} for {max(0.0, since_s):.1f} s{over}")
    return "\n".join(lines)


class Roll:
    """Logs a loop's suspended requests and where each of them waits, on the loop's own thread."""

    def on_loop(self, worker: LoopWorker) -> None:
        """Logs them, the oldest first."""
        suspended = sorted(worker.suspended, key=_started)
        if not suspended:
            return
        lines = [f"{worker.name}: {len(suspended)} requests are suspended"]
        now = monotonic()
        for exchange in suspended[:_SUSPENDED_SHOWN]:
            lines.append(f"{exchange.label} for {now - exchange.started:.1f} s")
            if exchange.task is not None:
                lines += _awaited_by(exchange.task)
        journal.log("info", "\n".join(lines))


def _started(exchange: Exchange) -> float:
    return exchange.started


def _awaited_by(task: asyncio.Task[None]) -> list[str]:
    """Where a suspended task stands: one line for each coroutine that awaits the next."""
    calls = list(_calls(task.get_coro()))[-_CALLS_SHOWN:]
    return [f'  File "{code.co_filename}", line {line} in {code.co_name}' for code, line in calls]


def _calls(awaited: Any) -> Iterator[tuple[CodeType, int]]:
    while awaited is not None:
        frame: FrameType | None = (
            getattr(awaited, "cr_frame", None)
            or getattr(awaited, "gi_frame", None)
            or getattr(awaited, "ag_frame", None)
        )
        if frame is not None:
            yield frame.f_code, frame.f_lineno
        awaited = (
            getattr(awaited, "cr_await", None)
            or getattr(awaited, "gi_yieldfrom", None)
            or getattr(awaited, "ag_await", None)
        )
