"""Rolling restarts under load: on an inherited socket nobody is lost; with reuse_port some may be."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.command import write
from tests.rolling import SCRIPT, Clients, Generations

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.stress

CLIENTS = 24


@pytest.mark.parametrize("way", ["inherited", "reuse_port"])
def test_restarts_under_load(tmp_path: Path, note: Callable[..., None], full: bool, way: str) -> None:
    write(tmp_path, "app.py", SCRIPT)
    restarts = 30 if full else 4
    with socket.socket() as sock:
        if way == "reuse_port":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # With reuse_port it only keeps the port: a socket that does not listen is given no connections.
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        options: tuple[str, ...] = ()
        if way == "reuse_port":
            write(tmp_path, "http.yaml", f"servers: [{{listen: '127.0.0.1:{port}', reuse_port: true}}]")
        else:
            sock.listen(1_024)
            options = ("--fd", str(sock.fileno()))
        with Generations(tmp_path, options, pass_fds=[sock.fileno()]) as generations:
            clients = Clients(("127.0.0.1", port), CLIENTS)
            try:
                for _ in range(restarts):
                    generations.replace()
            finally:
                clients.stop()
    note(restarts=restarts, answered=sum(clients.answered), lost=len(clients.lost))
    assert sum(clients.connected) > CLIENTS + restarts * CLIENTS / 4
    if way == "inherited":
        assert not clients.lost
    else:
        # One at most for each client and restart would be a failure of its own.
        assert len(clients.lost) < restarts * CLIENTS / 4
