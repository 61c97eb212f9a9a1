"""The whole server: binds, starts the threads, runs the hooks, waits for a signal, drains, stops."""

from __future__ import annotations

import contextlib
import gc
import math
import os
import select
import signal
import sys
import time
from itertools import product
from typing import TYPE_CHECKING, Final

from siphon.dispatch import compile_chain
from siphon.errors import ConfigError, InternalError, ScriptError, StartError
from siphon.journal import journal, say
from siphon.routing import Router, routes_on
from siphon.script.interpreter import GilGuard
from siphon.script.loader import user_traceback
from siphon.script.place import name_of
from siphon.threads.acceptor import Acceptor
from siphon.threads.buffered import BufferedBytes
from siphon.threads.hooks import HookRun
from siphon.threads.lanes import Lanes
from siphon.threads.listener import Listener
from siphon.threads.mailbox import Mailbox
from siphon.threads.snapshot import log_snapshot
from siphon.threads.tally import Tally
from siphon.threads.watchdog import Watchdog

if TYPE_CHECKING:
    from types import FrameType

    from siphon.client.clients import Clients
    from siphon.config.settings import Address, Settings
    from siphon.dispatch import Chain
    from siphon.routing import Endpoint
    from siphon.script.registry import Hook, Registry
    from siphon.threads.admin import Admin, Condition
    from siphon.threads.loops import LoopWorker

_ABORT_GRACE_S = 10.0
_STOP_GRACE_S = 1.0


# A collection stops every thread: 5 ms alone, tens where more threads want to run than there are
# processors. It is counted by objects made, not by those freed on another thread, so the default of
# 2,000 came 60 times a second with a sync guard, and took a third of the time.
_COLLECT_AFTER: Final = 100_000


class Stopped(Exception):
    """A signal came before the server was ready."""


class Server:
    """One process's server. The main thread makes it and calls ``serve``; it only waits after that."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        clients: Clients,
        *,
        dev: bool = False,
        allow_gil: bool = False,
    ) -> None:
        """Binds every address; raises StartError or ScriptError.

        ``clients``: closed at the end of a stop. ``dev``: tracebacks in error pages. ``allow_gil``: a
        hook may switch the GIL on.
        """
        self._settings = settings
        self._registry = registry
        self._clients = clients
        self._events: Mailbox[int | HookRun | Acceptor] = Mailbox()
        tally = Tally() if settings.admin.listen is not None else None
        self._lanes = Lanes(settings.threads, access_log=settings.log.access, dev=dev, tally=tally)
        self._watchdog = Watchdog(self._lanes, settings.threads.stall_after_ms / 1000)
        self.listeners: list[Listener] = []
        self._acceptors: list[Acceptor] = []
        self.admin: Admin | None = None
        self._started = False
        self._allow_gil = allow_gil
        try:
            self._bind()
            if settings.admin.listen is not None and tally is not None:
                self.admin = self._make_admin(settings.admin.listen, tally)
        except BaseException:
            self._close_listeners()
            self._events.close()
            raise

    def _bind(self) -> None:
        registry = self._registry
        chains: dict[Endpoint, Chain] = {}

        def build(endpoint: Endpoint) -> Chain:
            if endpoint not in chains:
                chains[endpoint] = compile_chain(registry.middlewares, endpoint)
            return chains[endpoint]

        buffered = BufferedBytes(self._settings.max_buffered_bytes)
        names = [server.name for server in self._settings.servers if server.name is not None]
        for server in self._settings.servers:
            router = Router(routes_on(server.name, registry.routes, names), build)
            self.listeners.append(Listener(server, router, buffered))
        self._runs_sync_code = any(chain.lane != "loop" for chain in chains.values())

    def _make_admin(self, address: Address, tally: Tally) -> Admin:
        # Both stand on prometheus_client, whose import takes time and memory.
        from siphon.threads.admin import Admin
        from siphon.threads.exposition import Exposition

        exposition = Exposition(
            tally, self._lanes, self.listeners, self._acceptors, self._watchdog, self._clients
        )
        return Admin(address, exposition, self._events.put)

    def serve(self, banner: str) -> int:
        """Serves until SIGTERM or SIGINT; returns the process's exit code. Raises ScriptError, StartError.

        ``banner`` is printed, with what is listened on, once clients are accepted. A second signal
        ends the process at once, with code 1. Main thread only.
        """
        self._catch_signals()
        gc.set_threshold(_COLLECT_AFTER, *gc.get_threshold()[1:])
        gc.enable()
        try:
            self.start()
            say(self._announce(banner))
            _settle_down()
            self._wait_for_signal()
        except Stopped:
            journal.log("info", "stopped before the start was complete")
        return self._leave(clean=self.stop())

    # Start -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the threads, runs the hooks, and lets clients in. Raises ScriptError, StartError."""
        try:
            if self.admin is not None:
                self.admin.start()
            self._lanes.start(blocking=self._runs_sync_code)
            # A hook may import what switches the GIL on, as the script itself may.
            with GilGuard(allow_gil=self._allow_gil):
                for hook in self._registry.on_startup:
                    self._run_hook(hook)
                for hook, loop in product(self._registry.on_loop_startup, self._lanes.loops):
                    self._run_hook(hook, loop)
            plain = [listener for listener in self.listeners if listener.tls is None]
            secure = [listener for listener in self.listeners if listener.tls is not None]
            self._listen(Acceptor, plain, self._settings.threads.acceptors)
            if secure:
                from siphon.threads.secure import SecureAcceptor

                self._listen(SecureAcceptor, secure, self._settings.threads.secure)
            for acceptor in self._acceptors:
                acceptor.start()
        except (ScriptError, StartError):
            self._stop_threads()
            raise
        self._started = True
        self._set_condition("ready")

    def _set_condition(self, condition: Condition) -> None:
        if self.admin is not None:
            self.admin.condition = condition

    def _listen(self, kind: type[Acceptor], listeners: list[Listener], threads: int) -> None:
        """Lets clients connect to ``listeners``, and makes the acceptors that share them."""
        if not listeners:
            return
        for listener in listeners:
            listener.listen()
            listener.share(threads)
        for number in range(threads):
            self._acceptors.append(kind(number, listeners, self._lanes, self._events.put))

    def _announce(self, banner: str) -> str:
        threads = self._settings.threads
        lines = [banner]
        lines += [f"  listening on {listener.url}" for listener in self.listeners]
        if self.admin is not None:
            lines.append(f"  admin on {self.admin.listener.url}")
        acceptors = sum(type(acceptor) is Acceptor for acceptor in self._acceptors)
        secure = len(self._acceptors) - acceptors
        lines.append(
            f"  threads: {acceptors} acceptor{'' if acceptors == 1 else 's'},"
            f"{f' {secure} secure,' if secure else ''}"
            f" {threads.loops} loop{'s' if threads.loops > 1 else ''},"
            f" {threads.blocking_min} to {threads.blocking_max} blocking"
        )
        lines.append(
            f"  routes: {len(self._registry.routes)}, middlewares: {len(self._registry.middlewares)}"
        )
        return "\n".join(lines)

    # Hooks -------------------------------------------------------------------------------------

    def _run_hook(self, hook: Hook, loop: LoopWorker | None = None, begin_within_s: float = math.inf) -> None:
        """Runs a hook to its end, on ``loop`` or where it belongs; raises ScriptError, StartError."""
        deadline = time.monotonic() + begin_within_s
        run = HookRun(hook, loop or self._lanes.loops[0], self._events.put)
        if loop is None:
            run.begin(self._lanes)
        else:
            run.begin_on_loop()
        while True:
            event = self._next_event(math.inf if run.begun else deadline)
            if event is run:
                break
            if event is None and not run.begun:
                raise StartError(f"{run.label} at {hook.place} is left out: its thread is not free")
            if isinstance(event, int):
                raise Stopped
        if run.error is not None:
            what = f"the hook {name_of(run.hook.function)} at {run.hook.place} failed"
            raise ScriptError(f"{what}\n{user_traceback(run.error).rstrip()}") from run.error

    # Signals -----------------------------------------------------------------------------------

    def _catch_signals(self) -> None:
        self._signals = 0
        self._events.heed_signals()
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        # Where there is nothing to reload it stays what it is: the terminal's end, and the server's.
        if any(listener.tls is not None for listener in self.listeners):
            signal.signal(signal.SIGHUP, self._on_request)
        signal.signal(signal.SIGUSR1, self._on_request)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals > 1:
            _write_if_possible(b"siphon: second signal, ending at once\n")
            os._exit(1)
        self._events.put(number)

    def _on_request(self, number: int, frame: FrameType | None) -> None:
        # After the end of a stop nobody is left to ask.
        with contextlib.suppress(OSError):
            self._events.put(number)

    def _next_event(self, deadline: float = math.inf) -> int | HookRun | Acceptor | None:
        """The next one, or None at ``deadline``. What signals ask for is done meanwhile, except to stop."""
        while True:
            left_s = None if deadline == math.inf else max(0.0, deadline - time.monotonic())
            event = self._events.get(left_s)
            if event == signal.SIGUSR1:
                log_snapshot(self._lanes)
            elif event == signal.SIGHUP:
                self._reload_certificates()
            else:
                return event

    def _wait_for_signal(self) -> None:
        """Watches the lanes meanwhile."""
        pause_s = self._watchdog.pause_s or math.inf
        while True:
            event = self._next_event(time.monotonic() + pause_s)
            if isinstance(event, int):
                return
            if isinstance(event, Acceptor):
                raise InternalError(f"{event.name} has ended unexpectedly; its traceback is above")
            notices = self._watchdog.look(time.monotonic())
            for notice in notices:
                journal.log("error" if notice.stalled else "info", notice.text)
            if any(notice.stalled for notice in notices):
                log_snapshot(self._lanes)

    def _reload_certificates(self) -> None:
        """Reads the certificates again, for new connections. Where that fails the old one stays in use."""
        for listener in self.listeners:
            if listener.tls is None:
                continue
            try:
                listener.reload_certificates()
            except ConfigError as error:
                journal.log("error", f"{error}; {listener.url} keeps the certificate that it has")
            else:
                journal.log("info", f"{listener.url}: the certificate has been read again")

    # Stop --------------------------------------------------------------------------------------

    def stop(self) -> bool:
        """The start in reverse: no more clients, the drain, the hooks. False where user code keeps a thread.

        A failing hook is logged. Hooks of a start that was not completed are not run.
        """
        self._set_condition("stopping")
        if self._started:
            self._delay()
            journal.log("info", "stopping: accepting no more, finishing what is on its way")
            self._drain()
            self._run_shutdown_hooks()
        return self._stop_threads()

    def _delay(self) -> None:
        """Goes on as before for a while: who looks at /readyz can send its clients elsewhere."""
        if not self._settings.shutdown_delay_ms:
            return
        journal.log("info", f"stopping in {self._settings.shutdown_delay_ms} ms: no longer ready")
        deadline = time.monotonic() + self._settings.shutdown_delay_ms / 1000
        while (event := self._next_event(deadline)) is not None:
            if isinstance(event, Acceptor):
                raise InternalError(f"{event.name} has ended unexpectedly; its traceback is above")

    def _run_shutdown_hooks(self) -> None:
        runs: list[tuple[Hook, LoopWorker | None]] = []
        runs += product(self._registry.on_loop_shutdown, self._lanes.loops)
        runs += [(hook, None) for hook in self._registry.on_shutdown]
        for hook, loop in runs:
            try:
                self._run_hook(hook, loop, _STOP_GRACE_S)
            except (ScriptError, StartError) as error:
                journal.log("error", str(error))

    def _stop_threads(self) -> bool:
        """Ends the lanes' threads and lets go of the addresses; False where user code keeps a thread."""
        self._close_listeners()
        for worker in self._lanes.loops:
            worker.stop()
        self._lanes.blocking.stop()
        deadline = time.monotonic() + _STOP_GRACE_S
        for acceptor in [one for one in self._acceptors if one.ident is not None]:
            acceptor.join(max(0.0, deadline - time.monotonic()))
        for worker in self._lanes.loops:
            worker.join(max(0.0, deadline - time.monotonic()))
        ended = self._lanes.blocking.join(max(0.0, deadline - time.monotonic()))
        self._lanes.settle()
        # The loops have cancelled what was left on them, and with it every call that they waited for.
        ended = self._clients.close(max(0.0, deadline - time.monotonic())) and ended
        if self.admin is not None:
            # However long the others took: it has nothing to finish but a scrape.
            ended = self.admin.stop(_STOP_GRACE_S) and ended
        threads = [*self._acceptors, *self._lanes.loops]
        if not ended or any(thread.is_alive() for thread in threads):
            return False
        # Nobody is left who could write into these descriptors.
        for acceptor in self._acceptors:
            acceptor.close()
        for worker in self._lanes.loops:
            worker.close()
        self._events.close()
        return True

    def _drain(self) -> None:
        for acceptor in self._acceptors:
            acceptor.drain()
        waiting = set(self._acceptors)
        deadline = time.monotonic() + self._settings.shutdown_timeout_ms / 1000
        aborted = False
        while waiting:
            event = self._next_event(deadline)
            if isinstance(event, Acceptor):
                waiting.discard(event)
            elif event is None and aborted:
                raise InternalError("an acceptor did not end")
            elif event is None:
                aborted = True
                deadline = time.monotonic() + _ABORT_GRACE_S
                journal.log("warning", "shutdown_timeout_ms has passed: cancelling what is left")
                for acceptor in waiting:
                    acceptor.abort()

    def _close_listeners(self) -> None:
        for listener in self.listeners:
            listener.close()

    def _leave(self, *, clean: bool) -> int:
        if clean:
            return 0
        # A sync handler cannot be stopped; the interpreter would wait for it, or trip over it.
        journal.log("warning", "some handler did not end; leaving without it")
        journal.flush()
        with contextlib.suppress(OSError, ValueError, AttributeError):  # it may be closed, or full
            sys.stdout.flush()
        os._exit(0)


def _write_if_possible(text: bytes) -> None:
    """To stderr, unless that is a pipe that nobody reads: nothing may hold up the end."""
    with contextlib.suppress(OSError):
        if select.select([], [2], [], 0)[1]:
            os.write(2, text)


def _settle_down() -> None:
    """What the first answer need not wait for."""
    # Here and not where it is first needed: by then there may be no descriptor left to read it with.
    import siphon.wire.http1  # noqa: F401

    # What lives now lives until the end: the collector need not look at it again.
    gc.collect()
    gc.freeze()
