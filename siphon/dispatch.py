"""One request's way through its chain: guards, wrap-arounds and the handler, sync and async mixed.

A chain is classified once, when the routes are compiled. Here is what happens on the way; which
thread it happens on is decided by the two methods that a ``Call`` leaves open: ``visit`` (a loop
sends sync members to a blocking worker) and ``hold`` (a blocking worker waits for a loop).
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal, final

from siphon.journal import journal
from siphon.messages import Request, Response, plain
from siphon.routing import Found, MethodNotAllowed, NotFound, Options
from siphon.script.loader import user_traceback

if TYPE_CHECKING:
    from collections.abc import Sequence

    from siphon.routing import Endpoint
    from siphon.script.registry import Middleware

type Function = Callable[..., Any]
type Kind = Literal["guard", "wrap-around", "handler"]
type Lane = Literal["loop", "blocking", "both"]


def is_async(function: Any) -> bool:
    """Whether calling ``function`` gives a coroutine.

    Looks through functools.partial and ``__call__``, never ``__wrapped__``: a sync wrapper around
    an async function is sync until its result says otherwise.
    """
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.iscoroutinefunction(function):
        return True
    return not inspect.isroutine(function) and inspect.iscoroutinefunction(type(function).__call__)


class Member:
    """One callable of a chain, classified."""

    __slots__ = ("function", "is_async", "kind")

    def __init__(self, function: Function, kind: Kind, *, asynchronous: bool | None = None) -> None:
        self.function = function
        self.kind = kind
        self.is_async = is_async(function) if asynchronous is None else asynchronous

    def accept(self, result: object) -> Response | None:
        """The response to go on with, or None where a guard lets the request pass."""
        if isinstance(result, Response) or (result is None and self.kind == "guard"):
            return result
        if self.kind == "handler":
            journal.log("error", f"{_name(self.function)} returned {_kind_of(result)}, not a Response")
            return plain(500, "bad response\n")
        wanted = "Response or None" if self.kind == "guard" else "Response"
        journal.log("error", f"middleware {_name(self.function)} returned {_kind_of(result)}, not {wanted}")
        return plain(500, f"middleware must return {wanted}\n")


def _name(function: Function) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__qualname__", None) or type(function).__qualname__


def _kind_of(result: object) -> str:
    return "None" if result is None else f"a {type(result).__name__}"


class Chain:
    """The members that a request passes, outside-in, the handler last. Immutable, shared by all threads."""

    __slots__ = ("cancel_on_disconnect", "first_is_async", "lane", "lone_handler", "members", "pattern")

    def __init__(
        self, members: Sequence[Member], cancel_on_disconnect: bool | None = None, pattern: str = "none"
    ) -> None:
        self.members = tuple(members)
        self.cancel_on_disconnect = cancel_on_disconnect
        # The route's, for metrics: interned strings are immortal, and counting with one touches no count.
        self.pattern = sys.intern(pattern)
        # Where it runs: on a loop, on a blocking worker, or on both.
        kinds = {member.is_async for member in self.members}
        self.lane: Lane = "both" if len(kinds) == 2 else "loop" if True in kinds else "blocking"
        self.first_is_async = self.members[0].is_async
        # A handler with nothing around it is called without going through Call.proceed or proceed_sync.
        self.lone_handler = self.members[0].function if len(members) == 1 else None


def compile_chain(middlewares: Sequence[Middleware], endpoint: Endpoint) -> Chain:
    """The chain of one endpoint: every middleware in the order of registration, then its handler."""
    members = [Member(one.function, "wrap-around" if one.wraps else "guard") for one in middlewares]
    # siphon's own answers run wherever the last middleware left off, to spare them a change of thread.
    on_loop = members[-1].is_async if members else True
    if isinstance(endpoint, Found):
        handler = Member(endpoint.route.handler, "handler")
        return Chain([*members, handler], endpoint.route.cancel_on_disconnect, endpoint.route.pattern)
    answer = _own_answer(endpoint)
    function = answer.on_loop if on_loop else answer.on_worker
    return Chain([*members, Member(function, "handler", asynchronous=on_loop)])


class OwnAnswer:
    """A response that siphon gives itself: made anew each time, since middlewares may change it."""

    __slots__ = ("_allow", "_status", "_text")

    def __init__(self, status: int, text: str, allow: str | None) -> None:
        self._status = status
        self._text = text
        self._allow = allow

    def on_worker(self, request: Request) -> Response:
        """The answer where the last middleware is sync."""
        if self._status == 204:
            return Response(204, {"Allow": self._allow or ""})
        return plain(self._status, self._text, *([] if self._allow is None else [("Allow", self._allow)]))

    async def on_loop(self, request: Request) -> Response:
        """The answer where there is no middleware, or the last one is async."""
        return self.on_worker(request)


def _own_answer(endpoint: NotFound | MethodNotAllowed | Options) -> OwnAnswer:
    if isinstance(endpoint, Options):
        return OwnAnswer(204, "", endpoint.allow)
    if isinstance(endpoint, MethodNotAllowed):
        return OwnAnswer(405, "method not allowed\n", endpoint.allow)
    return OwnAnswer(404, "not found\n", None)


@final
class Paused:
    """Where a blocking worker had to stop: the next step belongs on a loop.

    ``awaitable``: what the sync member at ``index`` returned and somebody must await; None where
    the member at ``index`` is async itself.
    """

    __slots__ = ("awaitable", "index")

    def __init__(self, index: int, awaitable: Awaitable[object] | None = None) -> None:
        self.index = index
        self.awaitable = awaitable

    def discard(self) -> None:
        """Nobody will go on from here: a coroutine that was never begun is closed without a warning."""
        if inspect.iscoroutine(self.awaitable):
            self.awaitable.close()


type Outcome = Response | Paused
type _Blame = tuple[BaseException, Kind]


class Call:
    """One request on its way through a chain. Made per request; subclasses say where members run."""

    __slots__ = ("__dict__", "chain")
    chain: Chain
    ended = False
    """Answered by somebody else, or not to be answered any more: what has not begun is not run."""
    _blame: _Blame | None = None

    async def visit(self, index: int, request: Request) -> Outcome:
        """Runs ``proceed_sync(index, request)`` on a blocking worker. Called on a loop."""
        raise NotImplementedError

    def hold(self, paused: Paused, request: Request) -> Response:
        """Runs ``resume(paused, request)`` on a loop and waits for it. Called on a blocking worker."""
        raise NotImplementedError

    async def proceed(self, index: int, request: Request) -> Response:
        """Runs the members from ``index`` on. On a loop."""
        members = self.chain.members
        while True:
            member = members[index]
            if not member.is_async:
                outcome = await self.visit(index, request)
                if isinstance(outcome, Response):
                    return outcome
                if outcome.awaitable is not None:
                    return await self.resume(outcome, request)
                index = outcome.index
                continue
            try:
                if member.kind == "wrap-around":
                    result = await member.function(request, functools.partial(self.proceed, index + 1))
                else:
                    result = await member.function(request)
            except BaseException as error:
                self._blame_for(error, member)
                raise
            if type(result) is Response:  # as most are: to ask accept takes as long as a short member
                return result
            response = member.accept(result)
            if response is not None:
                return response
            index += 1

    async def resume(self, paused: Paused, request: Request) -> Response:
        """Goes on from where a blocking worker stopped. On a loop."""
        if paused.awaitable is None:
            return await self.proceed(paused.index, request)
        member = self.chain.members[paused.index]
        try:
            response = member.accept(await paused.awaitable)
        except BaseException as error:
            self._blame_for(error, member)
            raise
        return response if response is not None else await self.proceed(paused.index + 1, request)

    def proceed_sync(self, index: int, request: Request) -> Outcome:
        """Runs the sync members from ``index`` on, up to the handler or the next async one. On a worker."""
        members = self.chain.members
        while True:
            member = members[index]
            if member.is_async:
                return Paused(index)
            try:
                if member.kind == "wrap-around":
                    result = member.function(request, SyncCallNext(self, index + 1))
                else:
                    result = member.function(request)
            except BaseException as error:
                self._blame_for(error, member)
                raise
            if type(result) is Response:  # as in proceed
                return result
            if result is not None and not isinstance(result, Response) and inspect.isawaitable(result):
                return Paused(index, result)
            response = member.accept(result)
            if response is not None:
                return response
            index += 1

    def response_of_lone(self, result: object) -> Response:
        """The response where an async handler with nothing around it has returned ``result``."""
        response = self.chain.members[0].accept(result)
        assert response is not None  # a handler's None has become a 500
        return response

    def outcome_of_lone(self, result: object) -> Outcome:
        """The same for a sync one: what it has returned may have to be awaited."""
        return Paused(0, result) if inspect.isawaitable(result) else self.response_of_lone(result)

    def _blame_for(self, error: BaseException, member: Member) -> None:
        """Remembers the innermost member that raised ``error``: outer ones only let it pass."""
        if self.ended:
            return
        if self._blame is None:
            self._blame = (error, member.kind)
            return
        blamed, kind = self._blame
        if error is blamed:
            return
        # What cannot cross between a loop and a worker as it is arrives as another error, caused by it.
        changed = error.__cause__ is blamed and isinstance(blamed, StopIteration | asyncio.CancelledError)
        self._blame = (error, kind if changed else member.kind)

    def forget_error(self) -> None:
        """Nobody will ask whose it was, and its traceback leads back here."""
        self._blame = None

    def failure(self, error: BaseException, request: Request, *, dev: bool) -> Response:
        """The 500 for an exception that no member caught; its traceback goes to the log."""
        kind = self._blame[1] if self._blame is not None and self._blame[0] is error else "handler"
        self._blame = None
        text = user_traceback(error)
        journal.log("error", f"{request.method} {request.raw_path}: {kind} raised\n{text.rstrip()}")
        title = "handler error\n" if kind == "handler" else "middleware error\n"
        if dev:
            # What a client has sent may be quoted in it, half of a surrogate pair for instance.
            title += "\n" + text.encode("utf-8", "backslashreplace").decode()
        return plain(500, title)


class SyncCallNext:
    """``call_next`` of a sync wrap-around: it keeps its blocking worker until the inner part has answered.

    A sync callable may turn out to wrap an async one, and return its coroutine: called from there, on
    a loop, this is awaited as an async one's is.
    """

    __slots__ = ("_call", "_index")

    def __init__(self, call: Call, index: int) -> None:
        self._call = call
        self._index = index

    def __call__(self, request: Request) -> Response | Awaitable[Response]:
        if asyncio._get_running_loop() is not None:
            return self._call.proceed(self._index, request)
        outcome = self._call.proceed_sync(self._index, request)
        return outcome if isinstance(outcome, Response) else self._call.hold(outcome, request)
