"""Clients to call with, and real upstreams to call."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from siphon.client.clients import Clients
from siphon.client.outbound import serving
from tests.certificates import Certificates
from tests.clients.nghttpd import nghttpd
from tests.clients.nginx import Nginx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from siphon.config.settings import ClientSettings
    from tests.clients.nginx import Site

type MakeClients = Callable[..., Clients]


@pytest.fixture
def make_clients() -> Iterator[MakeClients]:
    """Makes what ``http.Client`` calls through in the test: ``make_clients(api=ClientSettings(...))``.

    ``threads_max``: how many I/O threads. At the end everything is closed, and every thread has ended.
    """
    entered: list[tuple[Clients, AbstractContextManager[None]]] = []

    def make(*, threads_max: int = 64, **settings: ClientSettings) -> Clients:
        made = Clients(settings, threads_max)
        block = serving(made)
        block.__enter__()
        entered.append((made, block))
        return made

    yield make
    for made, block in reversed(entered):
        block.__exit__(None, None, None)
        assert made.close(10)


@pytest.fixture
def clients(make_clients: MakeClients) -> Clients:
    """Inline clients, and none that is named."""
    return make_clients()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates of an authority of the tests' own."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def nginx(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Site]:
    """A real nginx with what the tests ask it for."""
    _require("nginx")
    with Nginx(tmp_path_factory.mktemp("nginx"), certificates).running() as site:
        yield site


@pytest.fixture(scope="session")
def nghttp2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real nghttpd, which speaks HTTP/2 without TLS and serves ``huge.bin``."""
    _require("nghttpd")
    with nghttpd(_files(tmp_path_factory)) as url:
        yield url


@pytest.fixture(scope="session")
def nghttp2_tls(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[str]:
    """The same over TLS."""
    _require("nghttpd")
    with nghttpd(_files(tmp_path_factory), certificates.server) as url:
        yield url


def _files(factory: pytest.TempPathFactory) -> Path:
    folder = factory.mktemp("nghttpd")
    (folder / "huge.bin").write_bytes(bytes(range(256)) * 65_536)
    return folder


def _require(command: str) -> None:
    if shutil.which(command) is None:
        if os.environ.get("CI"):
            pytest.fail(f"{command} is missing: scripts/apt.sh test installs it")
        pytest.skip(f"{command} is not installed")
