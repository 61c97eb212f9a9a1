"""One request and its answer: built by who reads, run by a lane, answered by whoever claims it first."""

from __future__ import annotations

import asyncio
import os
import traceback
from contextvars import Context, copy_context
from time import monotonic
from typing import TYPE_CHECKING, Literal

from siphon.dispatch import Call, Outcome, Paused
from siphon.errors import RequestCancelled, ResponseError
from siphon.journal import journal
from siphon.messages import Request, Response, plain
from siphon.threads.access import NO_ANSWER
from siphon.threads.cancellation import Cancellation
from siphon.threads.connection import LATE, OWNER_NEEDED, SENT
from siphon.threads.held import Held, Inner, Visit, take_over

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from siphon.client_certificate import ClientCertificate
    from siphon.config.settings import Network
    from siphon.dispatch import Chain
    from siphon.threads.connection import Connection
    from siphon.threads.lanes import Lanes
    from siphon.threads.loops import LoopWorker
    from siphon.threads.records import Records
    from siphon.threads.worker import Worker
    from siphon.wire.encode import Encoder
    from siphon.wire.head import RequestHead


class Exchange(Call):
    """A request on its way. One thread works on it at a time; any may call ``cancel``.

    ``connection.lock`` guards ``ended``, ``loop_worker`` and ``held``. ``task``,
    ``inner_tasks`` and ``visiting`` belong to the loop worker's thread.
    """

    __slots__ = (
        "began",
        "body",
        "connection",
        "handler",
        "head",
        "loop_worker",
        "path_params",
        "started",
    )
    # It takes a place of its own in a lane's load, as a visit does not.
    counted: Literal[True] = True

    # What few requests come to have. To set each for every request took as long as to match its route.
    # What the body counts for among all that is buffered, until the work ends.
    counted_bytes = 0
    was_cut_short = False
    """Its connection was closed before it was answered."""
    held: Held | None = None
    context: Context | None = None
    """Where a blocking worker has made it, or a test; else its task makes one."""
    paused: tuple[Paused, Request] | None = None
    """Where a loop goes on after a blocking worker, with the request it had made."""
    task: asyncio.Task[None] | None = None
    inner_tasks: set[asyncio.Task[None]] | None = None
    visiting: set[asyncio.Task[object] | None] | None = None
    """Those of its tasks that wait for sync members, until they go on with what came of it."""
    interrupted: set[asyncio.Task[None] | None] | None = None
    """Those of its tasks that were cancelled because of a FIN."""

    def __init__(
        self,
        connection: Connection,
        head: RequestHead,
        body: bytes,
        chain: Chain,
        path_params: dict[str, str] | None,
        now: float,
    ) -> None:
        self.connection = connection
        self.head, self.body = head, body
        if body:
            self.counted_bytes = len(body)
        # The chain is asked here, once: all threads share it.
        self.chain, self.handler, self.path_params = chain, chain.lone_handler, path_params
        self.started = now
        self.began = 0.0  # when a worker or a loop first turned to it, where that is recorded
        self.loop_worker: LoopWorker | None = None

    @property
    def disconnected(self) -> bool:
        """The client has sent FIN or is gone."""
        return self.was_cut_short or self.connection.end_of_input

    @property
    def lanes(self) -> Lanes:
        """The workers that it may be given to."""
        return self.connection.owner.lanes

    @property
    def label(self) -> str:
        """What is being worked on, for people."""
        return f"{self.head.method} {self.head.target}"

    @property
    def peer(self) -> str:
        """The socket's other end."""
        return self.connection.peer

    @property
    def scheme(self) -> str:
        """The connection's own."""
        return self.connection.scheme

    @property
    def client_certificate(self) -> ClientCertificate | None:
        """What the client has shown of itself, under mutual TLS."""
        return self.connection.channel.client_certificate

    @property
    def trusted_proxies(self) -> tuple[Network, ...]:
        """Whose word on the client's address counts."""
        return self.connection.trusted_proxies

    # On a loop ---------------------------------------------------------------------------------

    def on_loop(self, worker: LoopWorker) -> None:
        """Begins, or goes on: one that never suspends is done when this returns."""
        worker.run_in_turn([self], self.context)
        worker.records.settle()
        if self.task is None:
            self._go_back()

    def _go_back(self) -> None:
        """Has its reader drop it, which has made it: see Batch. A body does not wait for that."""
        if not self.body:
            self.connection.owner.take_back(self)

    def skip(self, worker: LoopWorker) -> None:
        """It was over before its turn came. The loop worker's thread."""
        worker.finished += 1
        self.release_body()
        if self.paused is not None:
            self.paused[0].discard()

    @property
    def request(self) -> Request:
        """What its members get: the one that they had before it ``paused``, if it has."""
        return Request(self) if self.paused is None else self.paused[1]

    def go_on(self, request: Request) -> Awaitable[Response]:
        """Runs the chain, or what is left of it. The loop worker's thread."""
        return self.proceed(0, request) if self.paused is None else self.resume(self.paused[0], request)

    def leave_loop(self, worker: LoopWorker) -> None:
        """Ends what the task has begun beside it: it has suspended, or there would be nothing."""
        for task in list(self.inner_tasks or ()):
            task.cancel()
        self.task = self.interrupted = None
        worker.suspended.discard(self)
        worker.records.settle()

    async def visit(self, index: int, request: Request) -> Outcome:
        """Sends the sync members from ``index`` on to a blocking worker, the exchange's own if it has one."""
        loop = asyncio.get_running_loop()
        assert self.loop_worker is not None
        context = copy_context()
        future: asyncio.Future[Outcome] = loop.create_future()
        visit = Visit(self, index, request, context, future, self.loop_worker)
        with self.connection.lock:
            held = self.held
            if held is None:
                self.held = Held()
            else:
                held.put(visit)
        if held is None and not self.lanes.blocking.submit_visit(visit):
            with self.connection.lock:
                self.held = None
            self.loop_worker.records.count_shed()
            return plain(503, "over capacity\n", ("Retry-After", "1"))
        if self.visiting is None:
            self.visiting = set()
        task = asyncio.current_task()
        self.visiting.add(task)
        try:
            outcome = await future
        except asyncio.CancelledError:
            if future.cancelled():
                # Sync code cannot be stopped: until it ends its place in flight is taken.
                self.loop_worker.abandoned += 1
                self.lanes.take_place()
            raise
        finally:
            self.visiting.discard(task)
            del future  # it keeps the error, whose traceback leads to this frame
            if self.disconnected:
                self.interrupt()  # it was left alone until now; what suspends next is not
        take_over(context)
        return outcome

    # On a blocking worker ----------------------------------------------------------------------

    def on_worker(self, worker: Worker) -> None:
        """Runs the chain's sync members, and answers or hands over to a loop."""
        is_over = not self.goes_on_elsewhere(worker)
        if worker.observes:
            worker.records.settle()
        if is_over:
            self.release_body()
            self._go_back()

    def goes_on_elsewhere(self, worker: Worker) -> bool:
        """Runs the sync members; whether a loop has been given the rest. Else the work is done."""
        if self.ended:
            return False
        if worker.observes:
            self.began = monotonic()
        request = Request(self)
        context = Context() if self.context is None else self.context
        handler = self.handler
        outcome: Outcome
        try:
            if handler is None:
                outcome = context.run(self.proceed_sync, 0, request)
            else:
                outcome = context.run(handler, request)
                if type(outcome) is not Response:
                    outcome = self.outcome_of_lone(outcome)
        except BaseException as error:  # noqa: BLE001 - as on a loop
            self.fail(error, request, worker)
            return False
        if type(outcome) is not Paused:
            self.answer(outcome, worker)
            return False
        # Not before: attributes that are set here make a dictionary, and the acceptor drops it; see Batch.
        self.paused, self.context, self.handler = (outcome, request), context, None
        if self.lanes.move_to_loop(self, worker.finished):
            return True
        outcome.discard()
        return False

    def hold(self, paused: Paused, request: Request) -> Response:
        """Runs the inner part on a loop and waits, serving this exchange's own sync members meanwhile."""
        with self.connection.lock:
            if self.ended:
                paused.discard()
                raise RequestCancelled("the request has ended")
            outermost = self.held is None
            if self.held is None:
                self.held = Held()
            held = self.held
            if self.loop_worker is None:
                self.loop_worker = self.lanes.least_loaded()
            worker = self.loop_worker
        inner = Inner(self, held, paused, request, copy_context())
        worker.post(inner)
        try:
            return held.wait(inner)
        finally:
            if outermost:
                self.leave_worker()

    def leave_worker(self) -> None:
        """Lets go of the blocking worker that this thread is, once nothing of this exchange waits for it."""
        while True:
            with self.connection.lock:
                visit = self.held.take() if self.held is not None else None
                if visit is None:
                    self.held = None
                    return
            visit.run()

    # Answers -----------------------------------------------------------------------------------

    def answer(self, response: Response, worker: Worker) -> None:
        """Encodes and sends ``response``, unless the exchange has been answered or is over."""
        connection, head, now = self.connection, self.head, monotonic()
        # The head's fields by their place, see RequestHead: the method, the version, keep_alive.
        may_keep = head[3] and not connection.draining
        try:
            data, large_body, keep_alive = worker.encoder.encode(
                response, head[0], head[2], may_keep, connection.server_header, now
            )
        except Exception as error:  # noqa: BLE001 - a subclass of Response may be anything
            what = error if isinstance(error, ResponseError) else traceback.format_exc().rstrip()
            journal.log("error", f"{self.label}: {what}")
            response = plain(500, "handler error\n")
            data, large_body, keep_alive = self._encode(response, worker.encoder, now)
        verdict = connection.answer(self, data, keep_alive, now, large_body)
        if large_body:
            os.sched_yield()  # the reader may wait for this processor: 1.08 times the throughput
        if verdict != SENT:
            if verdict == LATE:
                worker.records.count_late()
                return
            connection.kick_owner()
        if worker.observes:
            # As in the encoder: without a property on the way.
            worker.records.note(self, response._status, len(response._body))

    def _encode(self, response: Response, encoder: Encoder, now: float) -> tuple[bytes, bytes, bool]:
        connection, head = self.connection, self.head
        may_keep = head.keep_alive and not connection.draining
        return encoder.encode(
            response, head.method, head.minor_version, may_keep, connection.server_header, now
        )

    def overrule(self, response: Response, encoder: Encoder, records: Records) -> int:
        """Claims and answers the exchange instead of its handler, and ends the work; as ``answer`` returns.

        The connection's owner alone: LATE where a worker was first.
        """
        # Before the answer is out: what is still queued must not begin once it has been answered.
        self._end()
        now = monotonic()
        data, large_body, keep_alive = self._encode(response, encoder, now)
        verdict = self.connection.answer(self, data, keep_alive, now, large_body)
        if verdict != LATE:
            self.cancel()
            records.record(self, response.status, len(response.body))
        return verdict

    def took_too_long(self, encoder: Encoder, records: Records) -> int:
        """Answers 504 where nobody has answered; as ``overrule`` otherwise."""
        verdict = self.overrule(plain(504, "the handler took too long\n"), encoder, records)
        if verdict != LATE:
            journal.log("warning", f"504 for {self.label}: over request_timeout_ms")
        return verdict

    def fail(self, error: BaseException, request: Request, worker: Worker) -> None:
        """Answers what a member has raised, or ends without an answer. The thread that runs it."""
        if isinstance(error, asyncio.CancelledError | RequestCancelled) and (self.ended or self.disconnected):
            # Where it has ended, whoever ended it answers or has closed; else nobody will.
            if not self.ended and self.connection.abandon(self) == OWNER_NEEDED:
                self.connection.kick_owner()
                worker.records.record(self, NO_ANSWER, 0)
            self.forget_error()
            error.__traceback__ = None  # or the frames wait with it for the worker that has made it
            return
        self.answer(self.failure(error, request, dev=self.lanes.dev), worker)

    # Ends --------------------------------------------------------------------------------------

    @property
    def follows_client(self) -> bool:
        """Whether it ends when its client goes away: what the route says, else the listener."""
        own = self.chain.cancel_on_disconnect
        return self.connection.listener.settings.cancel_on_disconnect if own is None else own

    def release_body(self) -> None:
        """The work is over or will never begin: its body counts no more. Whoever works on it, once."""
        if self.counted_bytes:
            self.connection.listener.buffered.give(self.counted_bytes)
            self.counted_bytes = 0

    def _end(self) -> None:
        """Keeps what has not begun from beginning: the exchange is about to be answered. Any thread."""
        with self.connection.lock:
            self.ended = True

    def cancel(self) -> None:
        """Ends the work: it has been answered or will never be. What has not begun is not run.

        Any thread, after the claim. A sync handler that runs cannot be stopped; everything else is.
        """
        with self.connection.lock:
            self.ended = True
            worker = self.loop_worker
            if self.held is not None:
                self.held.cancel()
        if worker is not None:
            worker.post(Cancellation(self))

    def cut_short(self, records: Records, *, cancel: bool) -> None:
        """Its connection has been closed before it was answered. Whoever owned it until then.

        ``cancel``: ends the work whatever the route says.
        """
        self.was_cut_short = True
        records.record(self, NO_ANSWER, 0)
        if cancel or self.follows_client:
            self.cancel()

    def interrupt(self) -> None:
        """Its client has sent FIN, and may have half-closed: cancels async code that is suspended, if any."""
        with self.connection.lock:
            worker = None if self.ended else self.loop_worker
        if worker is not None and self.follows_client:
            worker.post(Cancellation(self, half_closed=True))
