"""A server without listeners: the real lanes, routes and exchanges, in the process of a test."""

from __future__ import annotations

import asyncio
import functools
import threading
from concurrent.futures import Future
from dataclasses import replace
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Final

from siphon.config.settings import ThreadSettings
from siphon.dispatch import compile_chain, is_async
from siphon.errors import RequestRefused
from siphon.routing import Router
from siphon.testing.exchange import Caller, HarnessExchange, MemorySocket
from siphon.threads.channel import Cleartext
from siphon.threads.connection import TOO_SLOW, Connection
from siphon.threads.hooks import HookRun
from siphon.threads.lanes import Lanes
from siphon.threads.listener import Site
from siphon.threads.loops import LoopWorker
from siphon.threads.records import Records
from siphon.wire.encode import Encoder
from siphon.wire.states import DISPATCHED, after

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextvars import Context

    from siphon.config.settings import ListenerSettings
    from siphon.script.registry import Hook, Middleware, Route
    from siphon.testing.message import Sender
    from siphon.threads.batch import Batch
    from siphon.threads.buffered import BufferedBytes
    from siphon.threads.exchange import Exchange

_STOP_GRACE_S: Final = 5.0
# Sync members run on the thread that makes the request. These are for what goes on after its answer.
_THREADS: Final = ThreadSettings(loops=1, blocking_min=1)


def make_site(
    settings: ListenerSettings,
    routes: Sequence[Route],
    middlewares: Sequence[Middleware],
    buffered: BufferedBytes,
) -> Site:
    """What one listener serves; raises ScriptError where two routes contradict each other."""
    # A test says itself who its client is.
    settings = replace(settings, proxy_protocol=False)
    return Site(settings, Router(routes, functools.partial(compile_chain, middlewares)), buffered)


class InProcessServer:
    """One event loop on a thread of its own; everything else runs on the thread that makes a request.

    Any thread may call any method, also one that runs an event loop itself: then what is sync runs on
    another, since on a server no sync code finds a running loop.
    """

    draining = False

    def __init__(self, context: Context) -> None:
        """``context``: what every request, hook and task begins with."""
        self._context = context
        self.lanes = Lanes(_THREADS, access_log=False, dev=False)
        self._loop = LoopWorker(0, Records(), context.copy())
        self.lanes.loops = (self._loop,)
        self._loop.start()

    def kick(self, connection: Connection) -> None:
        """Nothing is ever left to do for a connection in memory."""

    def take_back(self, handed_over: Batch | Exchange) -> None:
        """It is dropped by whoever has it."""

    # Requests ----------------------------------------------------------------------------------

    def exchange(
        self, site: Site, message: bytes, sender: Sender, path_params: dict[str, str] | None
    ) -> tuple[bytes, BaseException | None]:
        """The answer to ``message``, and the exception behind a 500 if there is one.

        ``path_params``: instead of what the route finds. Raises ValueError where ``message`` is more
        than one request.
        """
        return self._off_loop(self._exchange, site, message, sender, path_params)

    def _exchange(
        self, site: Site, message: bytes, sender: Sender, path_params: dict[str, str] | None
    ) -> tuple[bytes, BaseException | None]:
        sock = MemorySocket()
        now = monotonic()
        connection = Connection(Cleartext(sock), sender.client, site, self, now)
        encoder = Encoder()
        head = None
        try:
            head = connection.incoming.receive(message)
            if head is None:
                raise RequestRefused(408, TOO_SLOW)
            if connection.incoming.begun:
                connection.incoming.discard()
                raise ValueError("the body is longer than the request's fields say")
            chain, found = site.match(head.method, head.target)
        except RequestRefused as error:
            connection.refuse(error, encoder, Records(), "" if head is None else head.method)
            return sock.sent, None
        if path_params is not None:
            found = dict(path_params)
        body = connection.incoming.take_body()
        connection.requests_left -= 1
        exchange = HarnessExchange(connection, head, body, chain, found, now)
        exchange.deadline = now + site.request_timeout_s
        exchange.error = None
        exchange.sender = sender
        exchange.context = self._context.copy()
        connection.exchange = exchange
        connection.state = after(connection.state, DISPATCHED)
        sock.caller = exchange.held = caller = Caller(exchange, encoder)
        if chain.first_is_async:
            exchange.loop_worker = self._loop
            self._loop.submit([exchange])
        else:
            exchange.on_worker(caller)
        caller.serve(sock)
        connection.exchange = None  # or both would be left to the collector
        return sock.sent, exchange.take_error()

    def _off_loop[*Arguments, Result](
        self, function: Callable[[*Arguments], Result], *arguments: *Arguments
    ) -> Result:
        """Calls ``function`` in a context of its own, on a thread that runs no event loop."""
        run = self._context.copy().run
        if asyncio._get_running_loop() is None:
            return run(function, *arguments)
        outcome: Future[Result] = Future()
        thread = threading.Thread(
            target=_settle, args=(outcome, functools.partial(run, function, *arguments)), daemon=True
        )
        thread.start()
        thread.join()
        return outcome.result()

    # Hooks -------------------------------------------------------------------------------------

    def run_hook(self, hook: Hook, *, on_loop: bool) -> None:
        """Runs a hook to completion; raises what it raises. ``on_loop``: even a sync one runs on the loop."""
        ended: SimpleQueue[HookRun] = SimpleQueue()
        run = HookRun(hook, self._loop, ended.put)
        if on_loop or is_async(hook.function):
            run.begin_on_loop()
        else:
            self._off_loop(run.on_worker, None)
        ended.get()
        if run.error is not None:
            raise run.error

    # End ---------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Cancels what is left, and lets the threads end. Once; any thread."""
        self._loop.stop()
        self.lanes.blocking.stop()

    def join(self) -> bool:
        """Waits for the threads after ``stop``; False where one is still at code of the script's."""
        self._loop.join(_STOP_GRACE_S)
        if not self.lanes.blocking.join(_STOP_GRACE_S) or self._loop.is_alive():
            return False
        self._loop.close()
        return True


def _settle[T](outcome: Future[T], function: Callable[[], T]) -> None:
    try:
        outcome.set_result(function())
    except BaseException as error:  # noqa: BLE001 - it is raised again on the thread that waits
        outcome.set_exception(error)
