"""Passing an exchange's members between a loop and the one blocking worker that the exchange may hold."""

from __future__ import annotations

import asyncio
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, Literal

from siphon.dispatch import Paused
from siphon.errors import RequestCancelled

if TYPE_CHECKING:
    from contextvars import Context

    from siphon.dispatch import Outcome
    from siphon.messages import Request, Response
    from siphon.threads.blocking_worker import BlockingWorker
    from siphon.threads.exchange import Exchange
    from siphon.threads.loops import LoopWorker


class Visit:
    """Sync members that a loop sends to a blocking worker. The future belongs to the loop."""

    __slots__ = (
        "_context",
        "_error",
        "_exchange",
        "_index",
        "_loop_worker",
        "_outcome",
        "_request",
        "future",
    )
    counted: Literal[False] = False

    def __init__(
        self,
        exchange: Exchange,
        index: int,
        request: Request,
        context: Context,
        future: asyncio.Future[Outcome],
        loop_worker: LoopWorker,
    ) -> None:
        self._exchange = exchange
        self._index = index
        self._request = request
        self._context = context
        self._loop_worker = loop_worker
        self._outcome: Outcome | None = None
        self._error: BaseException | None = None
        self.future = future

    @property
    def label(self) -> str:
        """What is being worked on, for people."""
        return self._exchange.label

    @property
    def ended(self) -> bool:
        """Whether its request has been answered, or will not be."""
        return self._exchange.ended

    def on_worker(self, worker: BlockingWorker) -> None:
        """Runs the members on the worker's thread, and then what else of this exchange waits for it."""
        self.run()
        self._exchange.leave_worker()

    def run(self) -> None:
        """Runs the members, unless the exchange is over, and hands the outcome to the loop."""
        try:
            if self._exchange.ended:
                raise RequestCancelled("the request has ended")
            self._outcome = self._context.run(self._exchange.proceed_sync, self._index, self._request)
        except BaseException as error:  # noqa: BLE001 - it is raised again where the visit is awaited
            # What nobody will ask for ends here: on another thread it would wait for this one to come by.
            over = self._exchange.ended
            self._error = RequestCancelled("the request has ended") if over else error
        self._loop_worker.post(self)

    def on_loop(self, worker: LoopWorker) -> None:
        """Resolves the future, on its loop."""
        future = self.future
        del self.future  # an error's traceback leads to the frame of run, and so to this visit
        if future.cancelled():
            worker.abandoned -= 1
            self._error = None
            self._exchange.forget_error()
            if isinstance(self._outcome, Paused):
                self._outcome.discard()
            return
        if self._error is None:
            assert self._outcome is not None
            future.set_result(self._outcome)
        elif isinstance(self._error, StopIteration):
            error = RuntimeError("a sync member raised StopIteration")
            error.__cause__ = self._error
            future.set_exception(error)
        else:
            future.set_exception(self._error)
        self._error = None


class Inner:
    """The inner part of a sync wrap-around, on its way to a loop and back to the worker that waits."""

    __slots__ = ("_context", "_error", "_exchange", "_held", "_paused", "_request", "_response", "arrived")

    def __init__(
        self, exchange: Exchange, held: Held, paused: Paused, request: Request, context: Context
    ) -> None:
        self._exchange = exchange
        self._held = held
        self._paused = paused
        self._request = request
        self._context = context
        self._response: Response | None = None
        self._error: BaseException | None = None
        # Set and read by the waiting worker alone.
        self.arrived = False

    def on_loop(self, worker: LoopWorker) -> None:
        """Starts the inner part as a task of its own."""
        exchange = self._exchange
        if exchange.inner_tasks is None:
            exchange.inner_tasks = set()
        task = asyncio.Task(self._run(), loop=worker.loop, context=self._context)
        exchange.inner_tasks.add(task)
        # A task that is cancelled before its first step never runs _run.
        task.add_done_callback(self._done)
        if exchange.ended:
            task.cancel()
        elif exchange.disconnected:
            exchange.interrupt()  # the FIN came before this was here, where it would have been found

    async def _run(self) -> None:
        try:
            self._response = await self._exchange.resume(self._paused, self._request)
        except BaseException as error:  # noqa: BLE001 - it is raised again by the sync call_next that waits
            self._error = error

    def _done(self, task: asyncio.Task[None]) -> None:
        assert self._exchange.inner_tasks is not None
        self._exchange.inner_tasks.discard(task)
        if task.cancelled():
            # Before its first step, or _run would have caught it.
            self._paused.discard()
        if self._exchange.ended:
            self._error = None  # nobody will fetch it, and its traceback leads back here
        self._held.put(self)

    def result(self) -> Response:
        """The inner response; raises what the inner part raised, or RequestCancelled."""
        error, self._error = self._error, None
        if error is None and self._response is not None:
            return self._response
        if error is None or isinstance(error, asyncio.CancelledError):
            raise RequestCancelled("the request has ended") from error
        try:
            raise error
        finally:
            del error  # its traceback leads to this frame


class Wakening:
    """Wakes a worker that waits, so that it looks around."""


WAKE_UP: Final = Wakening()


class Held:
    """The blocking worker that an exchange has: what waits for it, and what it waits for.

    Any thread may call ``put`` and ``cancel``; the worker alone ``wait`` and ``take``. Whoever puts a
    visit or takes the last one holds the connection's lock, so that none is left behind.
    """

    __slots__ = ("_cancelled", "_queue")

    def __init__(self) -> None:
        self._queue: SimpleQueue[Visit | Inner | Wakening] = SimpleQueue()
        self._cancelled = False

    def put(self, item: Visit | Inner) -> None:
        """Adds a visit to run, or the inner part whose end is awaited."""
        self._queue.put(item)

    def cancel(self) -> None:
        """Makes every ``wait``, now and later, raise RequestCancelled."""
        self._cancelled = True
        self._queue.put(WAKE_UP)

    def wait(self, inner: Inner) -> Response:
        """Waits for ``inner``, running visits meanwhile: otherwise a full lane would wait for itself."""
        while not inner.arrived:
            if self._cancelled:
                raise RequestCancelled("the request has ended")
            item = self._next()
            if isinstance(item, Visit):
                item.run()
            elif isinstance(item, Inner):
                item.arrived = True
        return inner.result()

    def _next(self) -> Visit | Inner | Wakening:
        return self._queue.get()

    def take(self) -> Visit | None:
        """A visit that still waits, if any."""
        while True:
            try:
                item = self._queue.get_nowait()
            except Empty:
                return None
            if isinstance(item, Visit):
                return item


def take_over(context: Context) -> None:
    """Sets here what sync members have set in their copy of the exchange's context."""
    unset = object()
    for variable, value in context.items():
        if variable.get(unset) is not value:
            variable.set(value)
