"""siphon's own threads begin with nothing of whoever starts them, and leave Thread's attributes alone."""

from __future__ import annotations

import contextvars
import threading
from pkgutil import walk_packages
from typing import TYPE_CHECKING

import siphon
from siphon.daemon import Daemon
from tests.test_architecture import FILES, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
# What Thread keeps on an instance: here, and in the versions that siphon runs on.
ATTRIBUTES_OF_THREADS = {"_context", "_handle", "_os_thread_handle", *vars(threading.Thread())}


def kinds(kind: type[Daemon] = Daemon) -> Iterator[type[Daemon]]:
    for one in kind.__subclasses__():
        yield one
        yield from kinds(one)


def test_a_daemon_begins_with_an_empty_context_whoever_starts_it() -> None:
    seen: list[list[object]] = []
    daemon = Daemon("siphon-test", lambda: seen.append(list(contextvars.copy_context().items())))
    token = variable.set("the starter's")
    daemon.start()
    daemon.join()
    variable.reset(token)
    assert seen == [[]]
    assert daemon.daemon


def test_no_daemon_has_an_attribute_of_a_thread() -> None:
    for module in walk_packages(siphon.__path__, "siphon."):
        if module.name != "siphon.__main__":
            __import__(module.name)
    found = list(kinds())
    assert {"Acceptor", "SecureAcceptor", "LoopWorker", "BlockingWorker", "ClientWorker"} <= {
        kind.__name__ for kind in found
    }
    for kind in found:
        own = {*vars(kind)["__static_attributes__"], *vars(kind)} - {"__init__", "run"}
        assert not own & ATTRIBUTES_OF_THREADS, kind


def test_no_thread_is_started_as_anything_else() -> None:
    others = [name_of(path) for path in FILES if "threading.Thread(" in path.read_text()]
    assert others == ["testing.server"]  # which runs a harness's code in the harness's context
