"""Hooks: which thread runs them, in which order, and what a failing one does."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from siphon.config.settings import ListenerSettings, TcpAddress
from siphon.errors import ScriptError, StartError
from siphon.journal import journal
from tests.client import request
from tests.service import Service, refuse_threads

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCRIPT = """
    import asyncio
    import threading
    from siphon import http

    seen = []
    local = threading.local()

    def note(what):
        name = threading.current_thread().name
        # Which one of the blocking workers it is does not matter.
        seen.append((what, "siphon-blocking" if name.startswith("siphon-blocking-") else name))

    @http.route("/")
    async def handler(req):
        note("request")
        return http.Response(body=local.name)

    @http.on_startup
    async def first():
        await asyncio.sleep(0)
        note("startup 1")

    @http.on_startup
    def second():
        note("startup 2")

    def third():
        note("startup 3")
        return fourth()

    async def fourth():
        note("startup 3, awaited")

    http.on_startup(third)

    @http.on_loop_startup
    async def on_loop():
        await asyncio.sleep(0)
        note("loop startup 1")
        local.name = threading.current_thread().name
        local.loop = asyncio.get_running_loop()

    @http.on_loop_startup
    def on_loop_sync():
        note("loop startup 2")
        assert asyncio.get_running_loop() is local.loop

    @http.on_loop_shutdown
    async def off_loop():
        note("loop shutdown 1")
        assert asyncio.get_running_loop() is local.loop

    @http.on_loop_shutdown
    def off_loop_sync():
        note("loop shutdown 2")

    @http.on_shutdown
    async def last():
        note("shutdown 1")

    @http.on_shutdown
    def very_last():
        note("shutdown 2")
"""


def test_hooks_run_in_order_each_on_its_own_kind_of_thread(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, loops=2, blocking_min=1, blocking_max=1)
    module = service.module
    with service.connect() as client:
        assert client.get("/").body.startswith(b"siphon-loop-")
    assert service.stop()
    blocking = "siphon-blocking"
    loops = [f"siphon-loop-{number}" for number in range(2)]
    started = [
        ("startup 1", "siphon-loop-0"),
        ("startup 2", blocking),
        ("startup 3", blocking),
        ("startup 3, awaited", "siphon-loop-0"),
        *[("loop startup 1", loop) for loop in loops],
        *[("loop startup 2", loop) for loop in loops],
    ]
    stopped = [
        *[("loop shutdown 1", loop) for loop in loops],
        *[("loop shutdown 2", loop) for loop in loops],
        ("shutdown 1", "siphon-loop-0"),
        ("shutdown 2", blocking),
    ]
    assert module.seen[: len(started)] == started
    assert module.seen[len(started)][0] == "request"
    assert module.seen[len(started) + 1 :] == stopped


def test_what_a_loops_hook_sets_up_is_there_for_every_request_on_that_loop(
    serve: Callable[..., Service],
) -> None:
    service = serve(SCRIPT, loops=3)
    clients = [service.connect() for _ in range(9)]
    for client in clients:
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    names = {client.answer().body.decode() for client in clients}
    assert names <= {f"siphon-loop-{number}" for number in range(3)}
    for client in clients:
        client.close()


def test_nobody_is_accepted_before_the_startup_hooks_are_done(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    service = Service(
        f"""
        import socket
        from siphon import http

        results = []

        @http.route("/")
        async def handler(req):
            return http.Response()

        @http.on_loop_startup
        @http.on_startup
        def connect():
            with socket.socket() as client:
                client.settimeout(5)
                results.append(client.connect_ex(("127.0.0.1", {port})))
        """,
        tmp_path / "script",
        servers=(ListenerSettings(listen=TcpAddress("127.0.0.1", port)),),
        loops=1,
    )
    service.start()
    try:
        assert len(service.module.results) == 2
        assert 0 not in service.module.results
        with service.connect() as client:
            assert client.get("/").status == 200
    finally:
        service.stop()


@pytest.mark.parametrize("decorator", ["on_startup", "on_loop_startup"])
@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize("error", ["ValueError('the reason')", "SystemExit(1)"])
def test_a_failing_startup_hook_stops_the_start(
    tmp_path: Path, decorator: str, kind: str, error: str
) -> None:
    before = set(threading.enumerate())
    service = Service(
        f"""
        from pathlib import Path
        from siphon import http

        @http.route("/")
        async def handler(req):
            return http.Response()

        @http.{decorator}
        {kind} prepare():
            raise {error}

        @http.{decorator}
        def not_any_more():
            Path(__file__).with_name("ran").touch()

        @http.on_shutdown
        def neither_this():
            Path(__file__).with_name("ran").touch()
        """,
        tmp_path / "script",
    )
    with pytest.raises(ScriptError) as caught:
        service.start()
    message = str(caught.value)
    assert "the hook prepare at " in message
    assert "app.py:" in message
    assert f"raise {error}" in message
    assert "siphon/threads" not in message
    assert not (tmp_path / "script" / "ran").exists()
    left = [thread.name for thread in set(threading.enumerate()) - before if thread.name != "siphon-log"]
    assert left == []


def test_a_stop_does_not_wait_for_a_hook_whose_loop_is_blocked(
    serve: Callable[..., Service], capfd: pytest.CaptureFixture[str]
) -> None:
    service = serve(
        """
        import threading
        from siphon import http

        entered, gate, ran = threading.Event(), threading.Event(), []

        @http.route("/")
        async def handler(req):
            entered.set()
            gate.wait(60)  # wrong, and what users do: it holds the loop
            return http.Response()

        @http.on_shutdown
        async def goodbye():
            ran.append("loop")

        @http.on_shutdown
        def tidy():
            ran.append("worker")
            gate.set()
        """,
        loops=1,
        shutdown_timeout_ms=200,
    )
    module = service.module
    with service.connect() as client:
        client.send(request("/"))
        assert module.entered.wait(10)
        service.stop()
    assert module.ran[0] == "worker"
    assert journal.flush(5)
    log = capfd.readouterr().err
    assert "the hook goodbye at " in log
    assert "is left out: its thread is not free" in log


def test_a_loop_whose_shutdown_hook_fails_does_not_keep_the_others_from_theirs(
    serve: Callable[..., Service],
) -> None:
    service = serve(
        """
        import threading
        from siphon import http

        ran = []

        @http.route("/")
        async def handler(req):
            return http.Response()

        @http.on_loop_shutdown
        async def close_pool():
            ran.append(threading.current_thread().name)
            if len(ran) == 1:
                raise ValueError("no pool here")
        """,
        loops=3,
    )
    module = service.module
    assert service.stop()
    assert module.ran == [f"siphon-loop-{number}" for number in range(3)]


@pytest.mark.parametrize("decorator", ["on_shutdown", "on_loop_shutdown"])
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_failing_shutdown_hook_is_logged_and_the_others_run(
    serve: Callable[..., Service], decorator: str, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    service = serve(
        f"""
        from siphon import http

        seen = []

        @http.route("/")
        async def handler(req):
            return http.Response()

        @http.{decorator}
        {kind} tidy():
            raise ValueError("the reason")

        @http.{decorator}
        {kind} tidy_more():
            seen.append("more")

        @http.on_shutdown
        async def last():
            seen.append("last")
        """,
        loops=1,
    )
    module = service.module
    assert service.stop()
    assert module.seen == ["more", "last"]
    assert journal.flush(5)
    log = capfd.readouterr().err
    assert "the hook tidy at " in log
    assert "ValueError: the reason" in log


ALL_ASYNC = """
    from siphon import http

    seen = []

    @http.route("/")
    async def handler(req):
        return http.Response()

    @http.{decorator}
    def needs_a_thread():
        seen.append("ran")
"""


def test_a_startup_hook_for_which_the_system_gives_no_thread_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_threads(monkeypatch)
    service = Service(ALL_ASYNC.format(decorator="on_startup"), tmp_path / "script")
    with pytest.raises(StartError, match="the system gives no thread for the hook needs_a_thread"):
        service.start()


def test_a_shutdown_hook_for_which_the_system_gives_no_thread_holds_up_no_stop(
    serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    service = serve(ALL_ASYNC.format(decorator="on_shutdown"))
    module = service.module
    refuse_threads(monkeypatch)
    assert service.stop()
    assert module.seen == []
    assert journal.flush(5)
    assert "the system gives no thread for the hook needs_a_thread" in capfd.readouterr().err


def test_a_task_left_running_by_a_hook_ends_with_its_loop(serve: Callable[..., Service]) -> None:
    service = serve(
        """
        import asyncio
        from siphon import http

        seen = []
        tasks = []

        async def background():
            try:
                await asyncio.Event().wait()
            finally:
                seen.append("ended")

        @http.on_loop_startup
        async def begin():
            tasks.append(asyncio.create_task(background()))
            await asyncio.sleep(0)

        @http.route("/")
        async def handler(req):
            return http.Response()
        """,
        loops=2,
    )
    module = service.module
    assert service.stop()
    assert module.seen == ["ended", "ended"]


ONE_HANDLER = """
    from siphon import http

    @http.route("/")
    {}def handler(req):
        return http.Response()
"""
GUARD = """
    @http.middleware
    def guard(req):
        return None
"""
SYNC_HOOK = """
    @http.on_startup
    def warm():
        pass
"""


@pytest.mark.parametrize(
    ("script", "workers"),
    [
        (ONE_HANDLER.format(""), 3),
        (ONE_HANDLER.format("async ") + GUARD, 3),
        (ONE_HANDLER.format("async "), 0),
        (ONE_HANDLER.format("async ") + SYNC_HOOK, 1),
    ],
)
def test_blocking_workers_are_there_from_the_start_where_requests_need_them(
    serve: Callable[..., Service], script: str, workers: int
) -> None:
    service = serve(script, blocking_min=3)
    assert service.server._lanes.blocking.size == workers
    with service.connect() as client:
        assert client.get("/").status == 200
    assert service.server._lanes.blocking.size == workers
