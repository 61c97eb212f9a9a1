"""The loop workers: one asyncio event loop on each thread, and an inbox in front of it."""

from __future__ import annotations

import asyncio
import threading
from asyncio import Task, current_task
from contextvars import Context
from sys import getrefcount
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import finalize, getweakrefcount

from siphon.daemon import Daemon
from siphon.errors import StartError
from siphon.journal import journal
from siphon.messages import Request, Response
from siphon.script.loader import user_traceback
from siphon.threads.batch import Batch
from siphon.threads.priority import serving
from siphon.wakeup import Wakeup
from siphon.wire.encode import Encoder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from siphon.threads.cancellation import Cancellation
    from siphon.threads.exchange import Exchange
    from siphon.threads.held import Inner, Visit
    from siphon.threads.hooks import HookRun
    from siphon.threads.loop_reader import LoopReader
    from siphon.threads.records import Records
    from siphon.threads.snapshot import Roll
    from siphon.threads.watchdog import Beat

type Item = Batch | Exchange | Visit | Inner | Cancellation | HookRun | Beat | Roll | LoopReader


class LoopWorker(Daemon):
    """A thread that runs one event loop.

    Any thread may ``post`` and ``submit``. ``_lock`` guards the inbox, ``_scheduled`` and
    ``submitted``; ``finished`` and ``abandoned`` are written by this thread alone.

    It is woken by a descriptor of its own: ``call_soon_threadsafe`` makes a handle that this thread then
    drops, and wakes through a socket that asyncio reads twice, which took a twentieth of the time of a hello.
    """

    # What each exchange writes to: in the dictionary of a Thread, which is a large one, that takes longer.
    __slots__ = ("finished",)

    def __init__(self, number: int, records: Records, context: Context | None = None) -> None:
        """``context``: what every task begins with; nothing unless given."""
        super().__init__(f"siphon-loop-{number}")
        self.encoder = Encoder()
        self.records = records
        self.observes = records.wanted
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(_log_loop_error)
        # Drains run in a context of their own: tasks that begin there must not inherit from whoever posted.
        self._own_context = Context() if context is None else context
        self._wakeup = Wakeup()
        # By itself where nobody closes it, as a harness may not be: who cannot reach this cannot wake it.
        self._let_go = finalize(self, self._wakeup.close)
        self._let_go.atexit = False  # type: ignore[misc]  # not among the slots that its stub has
        self._lock = threading.Lock()
        self._inbox: list[Item] = []
        # A drain is scheduled or under way, and will see what is added now.
        self._scheduled = False
        self._stopping = False
        self.submitted = 0
        # Exchanges whose task waits for something; this thread's own.
        self.suspended: set[Exchange] = set()
        # Those whose turn is still to come, the last one first.
        self._turns: list[Exchange] = []
        self.finished = 0
        # Visits to the blocking lane that go on although their exchange no longer waits for them.
        self.abandoned = 0

    @property
    def load(self) -> int:
        """Exchanges that wait or run here. A moment's figure, from any thread."""
        return self.submitted - self.finished + self.abandoned

    @property
    def waiting(self) -> int:
        """Items that the loop has not taken yet. A moment's figure, from any thread."""
        return sum([len(item.exchanges) if isinstance(item, Batch) else 1 for item in self._inbox.copy()])

    def submit_batch(self, batch: Batch) -> None:
        """Queues what an acceptor has for this loop, and wakes it at most once."""
        self._queue([batch], len(batch.exchanges))

    def submit(self, exchanges: Sequence[Exchange]) -> None:
        """Queues exchanges that other threads than an acceptor have had, and wakes the loop at most once."""
        self._queue(exchanges, len(exchanges))

    def post(self, item: Item) -> None:
        """Queues something that is no new exchange."""
        self._queue([item], 0)

    def _queue(self, items: Sequence[Item], exchanges: int) -> None:
        with self._lock:
            self._inbox.extend(items)
            self.submitted += exchanges
            wake = not self._scheduled
            self._scheduled = True
        # Not under the lock: whoever is woken may take this thread's processor, and asks for it at once.
        if wake:
            self._wakeup.set()

    def begin(self, exchanges: list[Exchange]) -> None:
        """Begins exchanges that this thread has read itself."""
        for exchange in exchanges:
            exchange.loop_worker = self
        # Whoever ends one from now on finds it here; who has ended one before is heard of before it begins.
        with self._lock:
            self.submitted += len(exchanges)
        self.run_in_turn(exchanges)
        if self.observes:
            self.records.settle()

    def _on_wakeup(self) -> None:
        self._wakeup.clear()
        self._drain()

    def _drain(self) -> None:
        """Takes what was queued when it began, then lets the loop's suspended tasks have their turn."""
        with self._lock:
            items, self._inbox = self._inbox, []
        for item in items:
            item.on_loop(self)
        with self._lock:
            self._scheduled = bool(self._inbox)
            again = self._scheduled
        if again:
            self.loop.call_soon(self._drain, context=self._own_context)

    def run_in_turn(self, exchanges: Sequence[Exchange], context: Context | None = None) -> None:
        """Begins each of ``exchanges``, or goes on with it; those that never suspend may share a task.

        A task costs as much as a short handler, and all loops write into asyncio's one table of current
        tasks with each: one for every exchange took 7 to 14 % of the processor's time. This thread alone.

        ``context``: of those that have begun on a blocking worker; else each begins with an empty one.
        """
        self._turns = turns = list(exchanges)
        turns.reverse()
        while turns:
            own = Context() if context is None else context
            task = Task(self._take_turns(own), loop=self.loop, context=own, eager_start=True)
            if not task.done():
                self.keep(exchanges[-1 - len(turns)], task)

    async def _take_turns(self, context: Context) -> None:
        """Runs one exchange after another, until one has suspended or has left a trace on their task.

        Who has suspended finds, when it goes on, that all have had their turn.
        """
        task = current_task()
        assert task is not None
        response: Any
        turns, observes = self._turns, self.observes
        # Looked up once.
        cancelling, references_to, weak_references_to = task.cancelling, getrefcount, getweakrefcount
        references = references_to(task)
        while turns:
            exchange = turns.pop()
            if exchange.ended:
                exchange.skip(self)
                continue
            if observes and not exchange.began:
                exchange.began = monotonic()
            handler = exchange.handler
            request = Request(exchange) if handler is not None else exchange.request
            try:
                if handler is None:
                    response = await exchange.go_on(request)
                else:
                    response = await handler(request)
                    if type(response) is not Response:
                        response = exchange.response_of_lone(response)
            except BaseException as error:  # noqa: BLE001 - whatever a handler raises is its answer, or its end
                exchange.fail(error, request, self)
            else:
                exchange.answer(response, self)
            finally:
                if exchange.task is not None:
                    exchange.leave_loop(self)
                self.finished += 1
                if exchange.body:
                    exchange.release_body()
            # Nothing of a request may be found by the next: not its context, nor what it has asked of its
            # task, nor that whoever has kept the task takes it for its own.
            if context or cancelling() or references_to(task) != references or weak_references_to(task):
                return
            response = None  # nor is it kept while the next one waits for something

    def keep(self, exchange: Exchange, task: Task[None]) -> None:
        """Sees to it that ``task``, in which ``exchange`` has suspended, stays. This thread alone."""
        exchange.task = task
        # The event loop itself keeps only weak references to tasks.
        self.suspended.add(exchange)
        if exchange.disconnected:
            exchange.interrupt()  # the FIN came before it was here, where it would have been found

    def run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self._own_context.run(self.loop.add_reader, self._wakeup.fd, self._on_wakeup)
        try:
            with serving.thread():
                while not self._stopping:
                    self._run_on()
        finally:
            self._close()

    def _run_on(self) -> None:
        try:
            self.loop.run_forever()
        except (SystemExit, KeyboardInterrupt) as error:
            # asyncio lets these two out of a task that the script has made; the others go on.
            journal.log("error", f"a task on {self.name} raised {error!r}\n{user_traceback(error).rstrip()}")

    def stop(self) -> None:
        """Ends the loop after its current turn. Any thread."""
        self._stopping = True
        self.loop.call_soon_threadsafe(self.loop.stop)

    def _close(self) -> None:
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        self.loop.remove_reader(self._wakeup.fd)
        self.loop.close()

    def close(self) -> None:
        """Lets go of the descriptor, once the thread has ended and nobody hands it anything any more.

        Harmless when called again.
        """
        self._let_go()


def _log_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What asyncio could not raise anywhere, such as a task's exception that nobody fetched."""
    error = context.get("exception")
    text = f"\n{user_traceback(error).rstrip()}" if error is not None else ""
    journal.log("error", f"{context.get('message', 'an event loop reported an error')}{text}")


def start_loops(count: int, new_records: Callable[[], Records]) -> list[LoopWorker]:
    """Starts ``count`` loop workers; raises StartError where the system gives no thread."""
    workers = [LoopWorker(number, new_records()) for number in range(count)]
    try:
        for worker in workers:
            worker.start()
    except RuntimeError as error:
        raise StartError(f"cannot start {count} loop workers: {error}") from error
    return workers
