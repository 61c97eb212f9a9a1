"""A real server in this process, for tests: a script's source in, a port out."""

from __future__ import annotations

import dataclasses
import sys
import textwrap
from typing import TYPE_CHECKING, cast

from siphon.client.clients import Clients
from siphon.client.outbound import serve_process
from siphon.config.settings import (
    AdminSettings,
    ListenerSettings,
    LogSettings,
    Settings,
    TcpAddress,
    ThreadSettings,
)
from siphon.script.loader import load
from siphon.threads.blocking_worker import BlockingWorker
from siphon.threads.server import Server
from tests.client import Client

if TYPE_CHECKING:
    import ssl
    from pathlib import Path
    from types import ModuleType

    import pytest


TOP = ("clients", "log", "max_buffered_bytes", "shutdown_delay_ms", "shutdown_timeout_ms")


class Service:
    """Serves ``source`` on 127.0.0.1, port 0.

    Settings are given by name: those of a listener (``request_timeout_ms=200``), of the threads
    (``loops=1``), those at the top (``shutdown_timeout_ms``, ``log=LogSettings(...)``), or ``servers=(...)``
    for several listeners. ``dev``: tracebacks in error pages. ``admin``: the address of an admin listener.
    ``client_tls``: what ``connect`` speaks TLS with.
    """

    def __init__(self, source: str, folder: Path, **given: object) -> None:
        folder.mkdir()
        self._dev = bool(given.pop("dev", False))
        self._client_tls = cast("ssl.SSLContext | None", given.pop("client_tls", None))
        self.path = folder / "app.py"
        self.path.write_text(textwrap.dedent(source))
        self.settings = _settings(given)
        self._server: Server | None = None
        self._module_name = ""

    @property
    def server(self) -> Server:
        """The running server."""
        assert self._server is not None
        return self._server

    @property
    def port(self) -> int:
        """The port of the first listener."""
        return self.server.listeners[0].port

    @property
    def module(self) -> ModuleType:
        """The script's own module, for what it recorded."""
        return sys.modules[self._module_name]

    def start(self) -> None:
        """Loads the script and starts the server; raises what the server raises."""
        before = set(sys.modules)
        clients = Clients(self.settings.clients, self.settings.threads.client_max)
        serve_process(clients)
        registry = load(self.path)
        self._module_name = next(
            name
            for name in set(sys.modules) - before
            if getattr(sys.modules[name], "__file__", None) == str(self.path)
        )
        try:
            server = Server(self.settings, registry, clients, dev=self._dev)
            server.start()
        except BaseException:
            self._forget_script()
            raise
        self._server = server

    def stop(self) -> bool:
        """Drains and stops; whether every thread ended. Harmless when called again."""
        if self._server is None:
            return True
        server, self._server = self._server, None
        self._forget_script()
        ended = server.stop()
        serve_process(None)
        return ended

    def _forget_script(self) -> None:
        sys.modules.pop(self._module_name, None)
        if str(self.path.parent) in sys.path:
            sys.path.remove(str(self.path.parent))

    def connect_to_admin(self, *, timeout_s: float = 30) -> Client:
        """A raw client connection to the admin listener."""
        assert self.server.admin is not None
        return Client(self.server.admin.listener.socket.getsockname(), timeout_s=timeout_s)

    def connect(self, *, listener: int = 0, timeout_s: float = 30, bare: bool = False) -> Client:
        """A raw client connection to a listener, the first unless told otherwise; ``bare``: without TLS."""
        sock = self.server.listeners[listener].socket
        return Client(sock.getsockname(), timeout_s=timeout_s, tls=None if bare else self._client_tls)


def refuse_threads(monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
    """Lets no blocking worker be started any more, as a system does that has no thread left."""

    def refuse(worker: BlockingWorker) -> None:
        raise error or RuntimeError("can't start new thread")

    monkeypatch.setattr(BlockingWorker, "start", refuse)


def _settings(given: dict[str, object]) -> Settings:
    threads = {field.name for field in dataclasses.fields(ThreadSettings)}
    listeners = {field.name for field in dataclasses.fields(ListenerSettings)}
    thread_options = {"loops": 2, **{key: given[key] for key in given if key in threads}}
    listener_options = {key: given[key] for key in given if key in listeners}
    unknown = set(given) - threads - listeners - {"servers", "admin", *TOP}
    assert not unknown, unknown
    servers = given.get("servers")
    if servers is None:
        options = {"listen": TcpAddress("127.0.0.1", 0), **listener_options}
        servers = (ListenerSettings(**options),)  # type: ignore[arg-type]
    top = {"shutdown_timeout_ms": 10_000, "log": LogSettings(access=False)}
    top |= {key: given[key] for key in given if key in TOP}
    return Settings(
        servers=servers,  # type: ignore[arg-type]
        threads=ThreadSettings(**thread_options),  # type: ignore[arg-type]
        admin=AdminSettings(given.get("admin")),  # type: ignore[arg-type]
        **top,  # type: ignore[arg-type]
    )
