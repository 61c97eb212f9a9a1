"""The harness: a script, asked in the process of a test, with canned answers to its outbound calls."""

from __future__ import annotations

import asyncio
import weakref
from contextvars import Context, copy_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from siphon.client.outbound import serving
from siphon.config.mapping import settings_from
from siphon.config.settings import ListenerSettings
from siphon.errors import RequestCancelled
from siphon.journal import recording
from siphon.routing import routes_on
from siphon.script.registry import Registry
from siphon.testing.message import Sender, request_bytes, response_of
from siphon.testing.recorded_log import RecordedLog
from siphon.testing.script import load_file, load_source
from siphon.testing.server import InProcessServer, make_site
from siphon.testing.upstream import Upstream
from siphon.threads.buffered import BufferedBytes

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from siphon.client_certificate import ClientCertificate
    from siphon.messages import FieldsArgument, Response
    from siphon.script.registry import Hook
    from siphon.testing.message import Body, QueryParams, Scheme
    from siphon.testing.script import LoadedScript
    from siphon.testing.upstream import SentRequest
    from siphon.threads.listener import Site


# What a server answers with a 500; beside these there are Ctrl-C and the outcomes of test frameworks.
_ANSWERED: Final = (Exception, SystemExit, GeneratorExit, asyncio.CancelledError, RequestCancelled)


class HttpTestHarness:
    """Runs a script without a listener, and asks it.

    Requests go through the server's own parser, router, middlewares, handlers and encoder, and are
    answered as over a socket, Content-Length, Date and Server included. Only the sockets are missing,
    and the network of ``http.Client``: its calls are recorded and answered by the test. No ``http.yaml``
    is read, and a client may have any name.

    Several harnesses do not see each other, on whichever threads they are. Any thread may call
    ``request``, several at once; the other methods are for one thread at a time. Async code runs on a
    thread of the harness's own, sync code on the one that calls ``request``.

    Args:
        config: What an ``http.yaml`` would say, as a dict: the limits of a listener, URLs of clients.
        strict: An outbound call for which no answer is set fails the test, with UnexpectedCall, instead
            of being answered with an empty 200.
        raise_exceptions: An exception that no middleware catches comes out of ``request``, instead of
            becoming a 500. KeyboardInterrupt and what pytest.fail raises always come out.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        *,
        strict: bool = False,
        raise_exceptions: bool = False,
    ) -> None:
        """Raises ConfigError where ``config`` is wrong."""
        settings = settings_from(config or {}, "config")
        self._servers = settings.servers if config and "servers" in config else ()
        self._http = Upstream(settings.clients, strict=strict)
        self._buffered = BufferedBytes(settings.max_buffered_bytes)
        self._log = RecordedLog()
        self._raise_exceptions = raise_exceptions
        self._context = Context().run(_context, self._http, self._log)
        self._scripts: list[LoadedScript] = []
        self._begin()

    def _begin(self) -> None:
        self._registry = Registry()
        self._sites: dict[str | None, Site] = {}
        self._server = server = InProcessServer(self._context)
        # A harness that is never closed ends its threads when it is collected.
        self._stop = weakref.finalize(self, server.stop)

    def _end(self) -> None:
        self._stop()
        for script in self._scripts:
            script.unload()
        self._scripts.clear()
        if not self._server.join():
            raise RuntimeError("a handler, hook or task of the script does not end, and keeps its thread")

    def _check_open(self) -> None:
        if not self._stop.alive:
            raise RuntimeError("this harness has been closed")

    # What a test looks at ----------------------------------------------------------------------

    @property
    def http(self) -> Upstream:
        """What outbound calls are answered with; the methods of the same name here are its own."""
        return self._http

    @property
    def sent_requests(self) -> list[SentRequest]:
        """The outbound calls of ``http.Client`` so far, in order."""
        return self._http.sent_requests

    @property
    def log(self) -> RecordedLog:
        """What was logged: ``("info", "ready") in harness.log.messages``."""
        return self._log

    # Answers to outbound calls -----------------------------------------------------------------

    def add_response(self, response: Response) -> None:
        """Queues the answer to the next outbound call, whichever it is; each answers one."""
        self._http.add_response(response)

    def set_response(self, path: str, response: Response) -> None:
        """Sets the answer to every outbound call of ``path``, once the queue is empty."""
        self._http.set_response(path, response)

    def set_default_response(self, response: Response) -> None:
        """Sets the answer to every outbound call that nothing else is set for."""
        self._http.set_default_response(response)

    def client_error(self, path: str, exc: BaseException | type[BaseException]) -> None:
        """Makes every outbound call of ``path`` raise ``exc``, such as ``http.TimeoutError``."""
        self._http.client_error(path, exc)

    # The script --------------------------------------------------------------------------------

    def load_script(self, path: str | os.PathLike[str]) -> None:
        """Loads a script as the server does, in addition to what is loaded. Raises ScriptError."""
        self._load(load_file, Path(path))

    def load_source(self, source: str, name: str = "<test>") -> None:
        """Loads a script from its text; ``name`` stands for its file in messages. Raises ScriptError."""
        self._load(load_source, source, name)

    def _load[*Arguments](self, load: Callable[[*Arguments], LoadedScript], *arguments: *Arguments) -> None:
        self._check_open()
        script = self._context.copy().run(load, *arguments)
        self._scripts.append(script)
        self._registry.extend(script.registry)
        self._sites.clear()

    def run_startup(self) -> None:
        """Runs the hooks that run before a server accepts: ``on_startup``, then ``on_loop_startup``.

        Raises what a hook raises.
        """
        self._check_open()
        for hook in self._registry.on_startup:
            self._server.run_hook(hook, on_loop=False)
        for hook in self._registry.on_loop_startup:
            self._server.run_hook(hook, on_loop=True)

    def run_shutdown(self) -> None:
        """Runs the hooks that run when a server stops: ``on_loop_shutdown``, then ``on_shutdown``.

        As on a server, all of them run; then what the first that failed has raised is raised.
        """
        self._check_open()
        errors: list[BaseException] = []
        for hook in self._registry.on_loop_shutdown:
            self._attempt(hook, errors, on_loop=True)
        for hook in self._registry.on_shutdown:
            self._attempt(hook, errors, on_loop=False)
        if errors:
            raise errors[0]

    def _attempt(self, hook: Hook, errors: list[BaseException], *, on_loop: bool) -> None:
        try:
            self._server.run_hook(hook, on_loop=on_loop)
        except _ANSWERED as error:  # raised once all hooks have run
            errors.append(error)

    # Requests ----------------------------------------------------------------------------------

    def request(
        self,
        method: str = "GET",
        path: str = "/",
        *,
        headers: FieldsArgument | None = None,
        query_params: QueryParams = None,
        path_params: dict[str, str] | None = None,
        body: Body = None,
        client: str = "127.0.0.1:0",
        listener: str | None = None,
        scheme: Scheme | None = None,
        client_cert: ClientCertificate | None = None,
    ) -> Response:
        """Sends a request to the script, and returns what a client would receive.

        Args:
            method: In any case.
            path: As a client sends it, with or without a query: percent-escapes are decoded, as on a
                server. Spaces and other characters that no request can have are encoded.
            headers: A mapping, whose values may be lists, or pairs. ``Host`` is added unless given.
            query_params: Put in front of the query in ``path``; a list of values repeats the name.
            path_params: What ``req.path_params`` is to be, instead of what the route finds.
            body: bytes, or str, which is sent as UTF-8.
            client: What ``req.client`` is to be.
            listener: The name of the listener that is asked: only its routes are served. Unless given,
                the first of ``config``, or one that serves all routes.
            scheme: What the client speaks, and so what ``req.scheme`` is unless a trusted proxy says
                otherwise: ``http`` or ``https``. Unless given, what the listener does.
            client_cert: What ``req.client_cert`` is to be; who shows one speaks https.

        Raises:
            RuntimeError: No script is loaded, or the harness has been closed.
            ValueError: There is no such listener, or no client can send that.
            UnexpectedCall: ``strict`` was asked for, and an outbound call had no answer.
        """
        self._check_open()
        sender = Sender(client, scheme, client_cert)
        message = request_bytes(method.upper(), path, headers, query_params, body)
        return self._ask(self._site(listener), message, sender, path_params)

    def _ask(
        self, site: Site, message: bytes, sender: Sender, path_params: dict[str, str] | None
    ) -> Response:
        answer, error = self._server.exchange(site, message, sender, path_params)
        try:
            unexpected = self._http.take_unexpected()
            if unexpected is not None:
                raise unexpected
            if error is not None and (self._raise_exceptions or not isinstance(error, _ANSWERED)):
                raise error
            return response_of(answer)
        finally:
            # Its traceback refers to this frame.
            del error

    def _site(self, listener: str | None) -> Site:
        if listener not in self._sites:
            self._sites[listener] = self._make_site(listener)
        return self._sites[listener]

    def _make_site(self, listener: str | None) -> Site:
        registry = self._registry
        if not self._scripts:
            raise RuntimeError("no script is loaded: call load_script or load_source first")
        names = {server.name for server in self._servers if server.name is not None}
        if not self._servers:
            names = {name for route in registry.routes for name in route.listeners or ()}
        if listener is not None and listener not in names:
            raise ValueError(
                f"there is no listener {listener!r}; there are {sorted(names) or 'none with a name'}"
            )
        settings = next((one for one in self._servers if listener in (None, one.name)), ListenerSettings())
        routes = registry.routes
        if self._servers or listener is not None:
            routes = routes_on(settings.name if listener is None else listener, routes, names)
        return make_site(settings, routes, registry.middlewares, self._buffered)

    # Ends --------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Forgets the script, its tasks, the canned answers and all that was recorded.

        Raises RuntimeError where code of the script's does not end, or the harness has been closed.
        """
        self._check_open()
        self._end()
        self._http.clear()
        self._log.clear()
        self._begin()

    def close(self) -> None:
        """Unloads the script and ends the harness's threads; what was recorded can still be looked at.

        Harmless when called again. Raises RuntimeError where code of the script's does not end.
        """
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _context(upstream: Upstream, log: RecordedLog) -> Context:
    """A context in which clients call ``upstream`` and lines go to ``log``."""
    with serving(upstream), recording(log.add):
        return copy_context()
