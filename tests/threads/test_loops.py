"""Exchanges that never suspend share a task, unless one has left something on it that another could find."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, cast
from weakref import WeakKeyDictionary

import pytest

from siphon.messages import Response
from siphon.threads.loops import LoopWorker
from siphon.threads.records import Records

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from siphon.messages import Request
    from siphon.threads.exchange import Exchange

type Work = Callable[[], Awaitable[None]]

variable: ContextVar[str] = ContextVar("variable", default="unset")


class Errand:
    """What a loop needs of an exchange; it notes the name of the task that it is run in."""

    method = "GET"
    body = b""
    began = 0.0
    disconnected = False

    def __init__(self, work: Work, *, over: bool = False) -> None:
        self._work = work
        self.ended = over
        self.task: asyncio.Task[None] | None = None
        self.names: list[str] = []
        self.is_answered = False

    async def handler(self, request: Request) -> Response:
        self.names.append(name_of_task())
        await self._work()
        assert name_of_task() == self.names[0]
        return Response()

    def answer(self, response: Response, worker: LoopWorker) -> None:
        assert response.status == 200
        self.is_answered = True

    def fail(self, error: BaseException, request: Request, worker: LoopWorker) -> None:
        raise error

    def skip(self, worker: LoopWorker) -> None:
        assert self.ended

    def leave_loop(self, worker: LoopWorker) -> None:
        worker.suspended.discard(cast("Exchange", self))


class Turn:
    """Hands errands to a loop as one batch."""

    def __init__(self, *works: Work, over: frozenset[int] = frozenset()) -> None:
        self.errands = [Errand(work, over=number in over) for number, work in enumerate(works)]
        self.begun = threading.Event()

    def on_loop(self, worker: LoopWorker) -> None:
        worker.run_in_turn(cast("list[Exchange]", self.errands))
        self.begun.set()

    @property
    def names(self) -> list[str]:
        """The tasks' names, of those errands that were run."""
        assert all(len(errand.names) <= 1 for errand in self.errands)
        return [name for errand in self.errands for name in errand.names]


def name_of_task() -> str:
    task = asyncio.current_task()
    assert task is not None
    return task.get_name()


@pytest.fixture
def worker() -> Iterator[LoopWorker]:
    worker = LoopWorker(0, Records())
    worker.start()
    yield worker
    worker.stop()
    worker.join(10)
    assert not worker.is_alive()
    # A sync handler may go on after the loops have ended, and have something for them.
    worker.post(cast("Exchange", Turn()))
    worker.close()


@pytest.fixture
def run(worker: LoopWorker) -> Callable[..., Turn]:
    """Runs what it is given in one turn of the loop."""

    def run(*works: Work, over: frozenset[int] = frozenset()) -> Turn:
        turn = Turn(*works, over=over)
        worker.post(cast("Exchange", turn))
        assert turn.begun.wait(10)
        return turn

    return run


async def nothing() -> None:
    pass


def test_those_that_leave_nothing_behind_share_a_task(run: Callable[..., Turn]) -> None:
    async def sets_and_resets() -> None:
        variable.reset(variable.set("set"))

    async def has_a_timeout() -> None:
        async with asyncio.timeout(10):
            pass

    names = run(nothing, sets_and_resets, nothing, has_a_timeout, nothing).names
    assert len(names) == 5
    assert len(set(names)) == 1


def test_one_that_is_over_is_left_out(run: Callable[..., Turn]) -> None:
    turn = run(nothing, nothing, nothing, over=frozenset({1}))
    assert [len(errand.names) for errand in turn.errands] == [1, 0, 1]
    assert [errand.is_answered for errand in turn.errands] == [True, False, True]


def test_a_context_is_not_found_by_the_next(run: Callable[..., Turn]) -> None:
    found: list[str] = []

    async def sets() -> None:
        variable.set("mine")

    async def looks() -> None:
        found.append(variable.get())

    first, second = run(sets, looks).names
    assert found == ["unset"]
    assert first != second


def test_a_task_that_somebody_has_kept_is_not_the_nexts(run: Callable[..., Turn]) -> None:
    sessions: dict[asyncio.Task[None] | None, str] = {}
    watched: WeakKeyDictionary[asyncio.Task[None], str] = WeakKeyDictionary()
    found: list[object] = []

    async def keeps() -> None:
        sessions[asyncio.current_task()] = "mine"

    async def watches() -> None:
        task = asyncio.current_task()
        assert task is not None
        watched[task] = "mine"

    async def looks() -> None:
        task = asyncio.current_task()
        assert task is not None
        found.extend((sessions.get(task), watched.get(task)))

    names = run(keeps, looks, watches, looks).names
    assert found == [None] * 4
    assert len(set(names)) == 3  # the first look leaves nothing behind


def test_a_cancellation_that_one_asked_for_does_not_reach_the_next(
    run: Callable[..., Turn], worker: LoopWorker
) -> None:
    ended = threading.Event()

    async def cancels() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    async def waits() -> None:
        await asyncio.sleep(0)
        ended.set()

    first, second = run(cancels, waits).names
    assert ended.wait(10)
    assert first != second


def test_one_that_suspends_keeps_its_task_and_holds_nobody_up(
    run: Callable[..., Turn], worker: LoopWorker
) -> None:
    gates: list[asyncio.Future[None]] = []
    resumed: list[str] = []
    done = threading.Event()

    async def waits() -> None:
        gates.append(worker.loop.create_future())
        await gates[-1]
        resumed.append(name_of_task())
        if len(resumed) == 2:
            done.set()

    turn = run(nothing, waits, nothing, waits, nothing)
    names = turn.names
    assert names[0] == names[1]
    assert names[2] == names[3]
    assert len(set(names)) == 3
    assert len(worker.suspended) == 2
    # What comes meanwhile is not run by those that go on.
    later = run(nothing, nothing)
    for gate in gates:
        worker.loop.call_soon_threadsafe(gate.set_result, None)
    assert done.wait(10)
    assert resumed == [names[1], names[3]]
    assert len(turn.names) == 5
    assert len(later.names) == 2
    assert not set(later.names) & set(names)
