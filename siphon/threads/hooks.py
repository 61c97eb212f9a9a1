"""Runs a script's start and stop hooks where they belong, while the main thread waits."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Literal

from siphon.dispatch import is_async
from siphon.script.place import name_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from siphon.script.registry import Hook
    from siphon.threads.lanes import Lanes
    from siphon.threads.loops import LoopWorker


class HookRun:
    """One run of one hook. ``finished`` is called with it, from the thread where the hook ended."""

    counted: Literal[False] = False
    ended = False

    def __init__(self, hook: Hook, loop_worker: LoopWorker, finished: Callable[[HookRun], None]) -> None:
        self.hook = hook
        self.error: BaseException | None = None
        self.begun = False
        """Its thread has come to it. Any thread may ask."""
        self._loop_worker = loop_worker
        self._finished = finished
        self._awaitable: Awaitable[object] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def label(self) -> str:
        """What is being worked on, for people."""
        return f"the hook {name_of(self.hook.function)}"

    def begin(self, lanes: Lanes) -> None:
        """An async hook goes to its loop, a sync one to a blocking worker. Main thread."""
        if is_async(self.hook.function):
            self.begin_on_loop()
        else:
            lanes.blocking.submit_hook(self)

    def begin_on_loop(self) -> None:
        """Runs the hook on its loop's own thread, even a sync one. Main thread."""
        self._loop_worker.post(self)

    def on_worker(self, worker: object) -> None:
        """Runs the hook on the worker's thread; what it returns to be awaited goes to the loop."""
        self.begun = True
        try:
            result = self.hook.function()
        except BaseException as error:  # noqa: BLE001 - the main thread reports it
            self._end(error)
            return
        if inspect.isawaitable(result):
            self._awaitable = result
            self.begin_on_loop()
        else:
            self._end(None)

    def on_loop(self, worker: LoopWorker) -> None:
        """Runs the hook as a task on the loop."""
        self.begun = True
        self._task = worker.loop.create_task(self._run())
        self._task.add_done_callback(self._done)

    async def _run(self) -> None:
        try:
            result = self.hook.function() if self._awaitable is None else self._awaitable
            if inspect.isawaitable(result):
                await result
        except BaseException as error:  # noqa: BLE001 - a SystemExit, too, is the main thread's to report
            self.error = error

    def _done(self, task: asyncio.Task[None]) -> None:
        # Cancelled before its first step, or _run would have caught it.
        self._end(asyncio.CancelledError() if task.cancelled() else self.error)

    def _end(self, error: BaseException | None) -> None:
        self.error = error
        self._finished(self)
