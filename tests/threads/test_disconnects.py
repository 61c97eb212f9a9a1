"""The client goes away: half-closes and resets, before, while and after its request is run."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from siphon.threads.cancellation import Cancellation
from siphon.threads.held import Visit
from siphon.threads.loops import LoopWorker
from tests.client import request
from tests.garbage import without_collections
from tests.stress.leaks import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from siphon.threads.loops import Item
    from tests.service import Service

SCRIPT = """
    import asyncio
    import threading

    from siphon import http

    served = []
    entered = threading.Event()
    cancelled = threading.Event()
    ended = threading.Event()
    gate = threading.Event()

    async def until_disconnected(req):
        entered.set()
        while not req.is_disconnected():
            await asyncio.sleep(0)
        served.append(req.path)

    async def suspended(req):
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            served.append("cancelled")
            cancelled.set()
            raise

    @http.route("/hello")
    async def hello(req):
        served.append(req.path)
        return http.Response(body="hello")

    @http.route("/sync")
    def sync(req):
        served.append(req.path)
        return http.Response(body="sync")

    @http.route("/wait")
    def wait(req):
        entered.set()
        assert gate.wait(20)
        served.append(req.path)
        return http.Response(body=f"disconnected: {req.is_disconnected()}")

    @http.route("/suspended")
    async def by_default(req):
        await suspended(req)

    @http.route("/cancelled", cancel_on_disconnect=True)
    async def cancelled_by_route(req):
        await suspended(req)

    @http.route("/kept", cancel_on_disconnect=False)
    async def kept(req):
        await until_disconnected(req)
        return http.Response(body="kept")

    @http.route("/noticed")
    async def noticed(req):
        await until_disconnected(req)
        return http.Response(body="noticed")

    @http.route("/stubborn")
    async def stubborn(req):
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return http.Response(body=f"disconnected: {req.is_disconnected()}")

    @http.route("/sync-watch")
    def sync_watch(req):
        entered.set()
        while not req.is_disconnected():
            if gate.wait(0.001):
                return None
        served.append(req.path)
        ended.set()
        return http.Response(body="seen")
"""


# FIN ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "body"), [("/hello", b"hello"), ("/sync", b"sync")])
def test_a_whole_request_before_a_fin_is_answered(
    serve: Callable[..., Service], path: str, body: bytes
) -> None:
    service = serve(SCRIPT)
    for _ in range(20):  # the FIN may be seen with the request, while it runs, or after its answer
        with service.connect() as client:
            client.send(request(path)).half_close()
            assert client.answer().body == body
            assert client.read_to_end() == b""


def test_pipelined_requests_before_a_fin_are_all_answered(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        client.send(request("/sync") * 5 + request("/hello") * 5).half_close()
        assert [client.answer().body for _ in range(10)] == [b"sync"] * 5 + [b"hello"] * 5
        assert client.read_to_end() == b""


def test_a_fin_between_an_answer_and_the_next_request_loses_none(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    for _ in range(200):
        with service.connect() as client:
            client.send(request("/sync") * 3 + request("/hello") * 3)
            bodies = [client.answer().body]
            # Now and then it comes between a worker's answer and the acceptor's look at what waits behind.
            client.half_close()
            bodies += [client.answer().body for _ in range(5)]
            assert bodies == [b"sync"] * 3 + [b"hello"] * 3


def test_the_last_answer_to_a_client_that_has_half_closed_ends_the_connection(
    serve: Callable[..., Service],
) -> None:
    service = serve(SCRIPT)
    with service.connect(timeout_s=5) as client:
        client.send(request("/wait") + request("/hello")).half_close()
        (acceptor,) = service.server._acceptors
        assert wait_until(lambda: any(one.end_of_input for one in [*acceptor.connections.values()]))
        # Both are asked for when the acceptor has seen the end: it is told of the second answer as well.
        service.module.gate.set()
        assert client.answer().body == b"disconnected: True"
        assert client.answer().body == b"hello"
        assert client.read_to_end() == b""


def test_a_sync_handler_answers_a_client_that_has_half_closed(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        client.send(request("/sync-watch")).half_close()
        assert client.answer().body == b"seen"
        assert client.read_to_end() == b""


def test_a_suspended_async_handler_is_cancelled_by_a_fin(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        client.send(request("/suspended"))
        assert service.module.entered.wait(5)
        client.half_close()
        assert service.module.cancelled.wait(5)
        assert client.read_to_end() == b""
    with service.connect() as client:
        assert client.get("/hello").body == b"hello"


def test_async_code_that_suspends_after_a_fin_is_cancelled(serve: Callable[..., Service]) -> None:
    """What is behind a sync guard, a pipelined request, and one that suspends again after a sync member."""
    service = serve(
        """
        import asyncio, threading
        from siphon import http

        entered, gate, done = threading.Semaphore(0), threading.Event(), threading.Semaphore(0)

        @http.middleware
        def guard(req):
            if req.path == "/guarded":
                entered.release()
                assert gate.wait(20)

        @http.middleware
        async def waits(req, call_next):
            response = await call_next(req)
            if req.path == "/visited":
                await until_cancelled()
            return response

        async def until_cancelled():
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                done.release()
                await asyncio.sleep(0)  # it is cancelled once: this goes on
                done.release()
                raise

        @http.route("/guarded")
        async def guarded(req):
            await until_cancelled()

        @http.route("/held")
        async def held(req):
            entered.release()
            assert gate.wait(20)  # on its loop: both the acceptor and the loop will have seen the FIN
            await until_cancelled()

        @http.route("/visited")
        def visited(req):
            entered.release()
            assert gate.wait(20)
            return http.Response()
        """
    )
    script = service.module
    (acceptor,) = service.server._acceptors
    paths = ("/guarded", "/held", "/visited")
    for sent in [*map(request, paths), request("/nothing") + request("/guarded")]:
        with service.connect() as client:
            client.send(sent)
            assert script.entered.acquire(timeout=10)
            client.half_close()
            assert wait_until(lambda: any(one.end_of_input for one in [*acceptor.connections.values()]))
            script.gate.set()
            for _ in range(2):
                assert script.done.acquire(timeout=10)
            client.read_to_end()
            script.gate.clear()


def test_what_is_cancelled_for_a_fin_cleans_up_in_peace(
    serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop sees the FIN as the handler suspends; the acceptor, which has read it, tells it only then."""
    service = serve(
        """
        import asyncio, threading
        from siphon import http

        entered, gate, told, done = [threading.Event() for _ in range(4)]
        cleaning = threading.Event()

        @http.route("/")
        async def handler(req):
            entered.set()
            assert gate.wait(20)
            try:
                await asyncio.Event().wait()
            finally:
                cleaning.set()
                while not told.is_set():
                    await asyncio.sleep(0)
                for _ in range(50):
                    await asyncio.sleep(0)
                done.set()
        """
    )
    script = service.module
    (acceptor,) = service.server._acceptors
    post = LoopWorker.post

    def post_late(self: LoopWorker, item: Item) -> None:
        tells = threading.current_thread() is acceptor
        if tells:
            assert script.cleaning.wait(10)
        post(self, item)
        if tells:
            script.told.set()

    monkeypatch.setattr(LoopWorker, "post", post_late)
    with service.connect() as client:
        client.send(request("/"))
        assert script.entered.wait(10)
        client.half_close()
        assert wait_until(lambda: any(one.end_of_input for one in [*acceptor.connections.values()]))
        script.gate.set()
        assert script.done.wait(10)


def test_a_fin_is_heard_of_where_a_timeout_is_cleaning_up(serve: Callable[..., Service]) -> None:
    service = serve(
        """
        import asyncio, threading
        from siphon import http

        cleaning, cancelled = threading.Event(), threading.Event()

        @http.route("/")
        async def handler(req):
            try:
                async with asyncio.timeout(0.01):
                    try:
                        await asyncio.Event().wait()
                    finally:
                        cleaning.set()
                        await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise
        """
    )
    with service.connect() as client:
        client.send(request("/"))
        assert service.module.cleaning.wait(10)
        client.half_close()
        assert service.module.cancelled.wait(10)


def test_a_fin_is_heard_of_by_what_a_sync_wrap_around_calls_later(serve: Callable[..., Service]) -> None:
    service = serve(
        """
        import asyncio, threading
        from siphon import http

        entered, gate, cancelled = threading.Event(), threading.Event(), threading.Event()

        @http.middleware
        def around(req, call_next):
            entered.set()
            assert gate.wait(20)
            return call_next(req)

        @http.route("/")
        async def handler(req):
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
        """
    )
    (acceptor,) = service.server._acceptors
    with service.connect() as client:
        client.send(request("/"))
        assert service.module.entered.wait(10)
        client.half_close()
        assert wait_until(lambda: any(one.end_of_input for one in [*acceptor.connections.values()]))
        service.module.gate.set()
        assert service.module.cancelled.wait(10)


def test_an_answer_made_on_cancellation_is_sent(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        client.send(request("/stubborn"))
        assert service.module.entered.wait(5)
        client.half_close()
        assert client.answer().body == b"disconnected: True"


@pytest.mark.parametrize(("path", "body"), [("/kept", b"kept"), ("/noticed", b"noticed")])
def test_a_suspended_async_handler_may_be_kept_by_route_or_listener(
    serve: Callable[..., Service], path: str, body: bytes
) -> None:
    service = serve(SCRIPT, cancel_on_disconnect=path == "/kept")
    with service.connect() as client:
        client.send(request(path))
        assert service.module.entered.wait(5)
        client.half_close()
        assert client.answer().body == body
        assert client.read_to_end() == b""


def test_a_route_may_be_cancelled_where_its_listener_keeps(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, cancel_on_disconnect=False)
    with service.connect() as client:
        client.send(request("/cancelled"))
        assert service.module.entered.wait(5)
        client.half_close()
        assert service.module.cancelled.wait(5)
        assert client.read_to_end() == b""


@pytest.mark.parametrize(
    "part",
    [
        b"GET /hello HTTP/1.1\r\nHost: te",
        b"POST /hello HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nab",
        b"POST /hello HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ],
)
def test_a_request_cut_short_by_a_fin_is_not_run(serve: Callable[..., Service], part: bytes) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        client.get("/sync")
        client.send(part).half_close()
        assert b"200" not in client.read_to_end()
    assert service.module.served == ["/sync"]


def test_a_large_answer_goes_out_whole_after_a_fin(serve: Callable[..., Service]) -> None:
    service = serve(
        """
        from siphon import http

        @http.route("/")
        def big(req):
            return http.Response(body=bytes(15_000_000))
        """
    )
    with service.connect() as client:
        client.send(request("/")).half_close()
        assert len(client.answer().body) == 15_000_000
        assert client.read_to_end() == b""


# RST ---------------------------------------------------------------------------------------------


def test_a_reset_cancels_a_suspended_async_handler(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    client = service.connect().send(request("/suspended"))
    assert service.module.entered.wait(5)
    client.reset()
    assert service.module.cancelled.wait(5)
    with service.connect() as other:
        assert other.get("/hello").body == b"hello"


def test_a_sync_handler_can_see_a_reset(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    client = service.connect().send(request("/sync-watch"))
    assert service.module.entered.wait(5)
    client.reset()
    assert service.module.ended.wait(5)
    with service.connect() as other:
        assert other.get("/hello").body == b"hello"


def test_a_queued_request_whose_client_resets_is_never_run(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, blocking_min=1, blocking_max=1)
    with service.connect() as running, service.connect() as other:
        running.send(request("/wait"))
        assert service.module.entered.wait(5)
        queued = service.connect().send(request("/sync"))
        other.get("/hello")
        queued.reset()
        other.get("/hello")
        service.module.gate.set()
        assert running.answer().body == b"disconnected: False"
        assert other.get("/hello").status == 200
    assert "/sync" not in service.module.served


def test_a_queued_request_whose_client_half_closes_is_run(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, blocking_min=1, blocking_max=1)
    with service.connect() as running, service.connect() as other, service.connect() as queued:
        running.send(request("/wait"))
        assert service.module.entered.wait(5)
        queued.send(request("/sync")).half_close()
        other.get("/hello")
        service.module.gate.set()
        assert running.answer().status == 200
        assert queued.answer().body == b"sync"


def test_resets_at_every_moment_leave_the_server_whole(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, max_in_flight=50)
    for path in ["/hello", "/sync", "/suspended", "/nope"] * 40:
        client = service.connect().send(request(path) * 3)
        if path != "/suspended":
            client.answer()
        client.reset()
    with service.connect() as client:  # nothing is left that counts as in flight for good
        answers = [client.get(path).status for path in ["/hello", "/sync"] * 20]
        assert answers == [200] * 40


SYNC_AROUND_ASYNC = """
    import asyncio, threading
    from siphon import http

    entered = threading.Semaphore(0)

    @http.middleware
    async def guard(req):
        return None

    @http.middleware
    def around(req, call_next):
        return call_next(req)

    @http.route("/suspended")
    async def suspended(req):
        entered.release()
        await asyncio.Event().wait()
"""


def test_clients_that_go_leave_no_traceback_to_the_collector(serve: Callable[..., Service]) -> None:
    """Their requests would stay in memory with it, connection and all, until the next collection.

    What has no traceback only waits for the thread that has made it.
    """
    service = serve(
        SYNC_AROUND_ASYNC
        + """
    gate = threading.Event()

    @http.route("/blocking")
    def blocking(req):
        entered.release()
        gate.wait(10)
        return http.Response()
    """
    )
    script = service.module
    with without_collections() as errors_left:
        for path in ("/suspended", "/blocking") * 5:
            client = service.connect().send(request(path))
            assert script.entered.acquire(timeout=10)
            client.reset()
        assert wait_until(lambda: not service.server._acceptors[0].connections)
        script.gate.set()
        assert wait_until(lambda: service.server._lanes.in_flight() == 0)
        assert not errors_left()


def test_a_visit_that_is_over_before_its_loop_hears_of_it_leaves_no_traceback_either(
    serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker notices the end first, and what it raises travels through the task that awaits it."""
    service = serve(SYNC_AROUND_ASYNC)
    resolved = threading.Semaphore(0)
    post, on_loop = LoopWorker.post, Visit.on_loop

    def post_later(self: LoopWorker, item: Item) -> None:
        if isinstance(item, Cancellation):
            assert resolved.acquire(timeout=10)
        post(self, item)

    def resolve(self: Visit, worker: LoopWorker) -> None:
        on_loop(self, worker)
        resolved.release()

    monkeypatch.setattr(LoopWorker, "post", post_later)
    monkeypatch.setattr(Visit, "on_loop", resolve)
    with without_collections() as errors_left:
        for _ in range(5):
            client = service.connect().send(request("/suspended"))
            assert service.module.entered.acquire(timeout=10)
            client.reset()
        assert wait_until(lambda: not service.server._acceptors[0].connections)
        assert wait_until(lambda: service.server._lanes.in_flight() == 0)
        assert not errors_left()


def test_a_sync_handler_behind_an_async_guard_answers_a_client_that_has_half_closed(
    serve: Callable[..., Service],
) -> None:
    service = serve(
        """
        import threading
        from siphon import http

        entered = threading.Event()
        gate = threading.Event()

        @http.middleware
        async def guard(req):
            return None

        @http.route("/")
        def handler(req):
            entered.set()
            while not req.is_disconnected():
                gate.wait(0.01)
            return http.Response(body="all the same")
        """
    )
    with service.connect() as client:
        client.send(request("/"))
        assert service.module.entered.wait(10)
        client.half_close()
        assert client.answer().body == b"all the same"


def test_the_answer_of_a_sync_handler_outruns_the_half_close_that_interrupts_async_code(
    serve: Callable[..., Service],
) -> None:
    service = serve(
        """
        import threading
        from siphon import http

        sources = []
        loop_blocked = threading.Event()
        open_loop = threading.Event()
        entered = threading.Event()
        gate = threading.Event()

        @http.middleware
        async def guard(req):
            if req.path == "/block":
                loop_blocked.set()
                assert open_loop.wait(20)

        @http.route("/")
        @http.route("/block")
        def handler(req):
            sources.append(req._source)
            entered.set()
            assert gate.wait(20)
            return http.Response(body="all the same")
        """,
        loops=1,
    )
    script = service.module
    with service.connect() as client, service.connect() as blocking:
        client.send(request("/"))
        assert script.entered.wait(10)
        blocking.send(request("/block"))
        assert script.loop_blocked.wait(10)
        # The answer waits for the loop, and no worker has anything of this request any more.
        script.gate.set()
        assert wait_until(lambda: script.sources[0].held is None)
        client.half_close()
        assert wait_until(lambda: script.sources[0].disconnected)
        script.open_loop.set()
        assert client.answer().body == b"all the same"
