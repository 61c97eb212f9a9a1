"""Rolling restarts: generations of the command on one address, and clients that must not notice."""

from __future__ import annotations

import signal
import threading
from time import monotonic
from typing import TYPE_CHECKING, Self

from tests.client import Client
from tests.command import Command

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SCRIPT = """
from siphon import http

@http.route("/async/{token}")
async def asynchronous(req):
    return http.Response(body=req.path_params["token"])

@http.route("/sync/{token}")
def sync(req):
    return http.Response(body=req.path_params["token"])
"""


class Generations:
    """Processes that serve ``app.py`` of a folder, one after the other. A context manager."""

    def __init__(self, folder: Path, options: Sequence[str], pass_fds: Sequence[int] = ()) -> None:
        self._folder = folder
        self._options = options
        self._pass_fds = pass_fds
        self.running = self._begin()

    def _begin(self) -> Command:
        options = ("app.py", *self._options, "--no-access-log")
        return Command(*options, cwd=self._folder, pass_fds=self._pass_fds).started()

    def replace(self) -> None:
        """Starts the next one, and stops the one before when it serves; that must end well."""
        following = self._begin()
        before, self.running = self.running, following
        with before:
            before.signal(signal.SIGTERM)
            code, _, log = before.ended()
        assert (code, " error " in log) == (0, False), log

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.running.__exit__()


class Clients:
    """Clients that send one request after the other, each on a thread of its own, until ``stop``.

    Half of them keep their connection until they are told that it closes; some pause between two requests.
    What got no answer, or a wrong one, is in ``lost``.
    """

    def __init__(self, address: tuple[str, int], count: int) -> None:
        self._address = address
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"client-{number}")
            for number in range(count)
        ]
        self.answered = [0] * count
        self.connected = [0] * count
        self.lost: list[str] = []
        for thread in self._threads:
            thread.start()

    def _run(self, number: int) -> None:
        lane = ("async", "sync")[number % 2]
        keeps, pause_s = number % 4 < 2, (0.0, 0.03)[number % 8 < 4]
        client: Client | None = None
        since = monotonic()
        fields = () if keeps else ("Connection: close",)
        while not self._stop.wait(pause_s):
            try:
                if client is None:
                    client = Client(self._address)
                    self.connected[number] += 1
                token = f"{number}.{self.answered[number]}"
                answer = client.get(f"/{lane}/{token}", *fields)
                assert answer.body == token.encode(), answer
            except (OSError, EOFError, AssertionError) as error:
                paused_s = monotonic() - since
                kind = "kept" if keeps else "fresh"
                self.lost.append(f"client {number}, {kind}, after {paused_s:.2f} s: {error!r}")
                closes = True
            else:
                self.answered[number] += 1
                closes = answer.get("connection") == "close"
                since = monotonic()
            if client is not None and closes:
                client.close()
                client = None
        if client is not None:
            client.close()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
