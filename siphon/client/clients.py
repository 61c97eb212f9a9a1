"""All clients of a process: those that ``http.yaml`` names, and the inline ones that are open."""

from __future__ import annotations

import threading
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from siphon.client.load import Load, total
from siphon.client.resolver import Resolver
from siphon.client.threads import ClientThreads

if TYPE_CHECKING:
    from collections.abc import Mapping

    from siphon.client.pools import Pools
    from siphon.config.settings import ClientSettings

# What stands for inline clients where those of http.yaml have their names.
INLINE: Final = "inline"


class Clients:
    """Gives clients their connections: an ``Outbound``. Any thread may call any method.

    ``_lock`` guards the dictionaries. An inline client that is dropped may be so by the garbage collector,
    in the middle of anything: it must not wait for a lock, so it is queued, and counted by whoever makes
    or releases the next one.
    """

    def __init__(self, settings: Mapping[str, ClientSettings], threads_max: int) -> None:
        self._settings = settings
        self.threads = ClientThreads(threads_max)
        self._resolver = Resolver()
        self._lock = threading.Lock()
        self._named: dict[str, Pools] = {}
        self._inline: dict[ClientSettings, Pools] = {}
        self._users: dict[ClientSettings, int] = {}
        self._released: SimpleQueue[ClientSettings] = SimpleQueue()

    def named(self, name: str) -> Pools:
        """That of ``clients.<name>``, made on first use. Raises ValueError, which lists the names."""
        make = _import_pools()
        with self._lock:
            if name not in self._named:
                if name not in self._settings:
                    there_are = ", ".join(repr(each) for each in sorted(self._settings)) or "none"
                    raise ValueError(
                        f"http.yaml has no client {name!r} under clients; there are: {there_are}"
                    )
                self._named[name] = make(self._settings[name], self.threads, self._resolver, self)
            return self._named[name]

    def inline(self, settings: ClientSettings) -> Pools:
        """That of every open client with equal settings. Raises ValueError where a file cannot be read."""
        self._settle()
        make = _import_pools()
        with self._lock:
            if settings not in self._inline:
                _check_files(settings)
                self._inline[settings] = make(settings, self.threads, self._resolver, self)
                self._users[settings] = 0
            self._users[settings] += 1
            return self._inline[settings]

    def release(self, settings: ClientSettings) -> None:
        """An inline client has been closed: the last of those with equal settings closes its connections."""
        self._released.put(settings)
        self._settle()

    def drop(self, settings: ClientSettings) -> None:
        """The same for a client that nobody has closed, at any moment of any thread."""
        self._released.put(settings)

    def loads(self) -> dict[str, Load]:
        """What each named client is at, those that nobody has used as well, and all inline ones together."""
        with self._lock:
            named = self._named.copy()
            inline = list(self._inline.values())
        loads = {name: named[name].load() if name in named else Load() for name in self._settings}
        return loads | {INLINE: total([loads.get(INLINE, Load()), *[pools.load() for pools in inline]])}

    def close(self, timeout_s: float) -> bool:
        """Ends the threads and closes every connection; False where a call is still at work after that."""
        self.threads.stop()
        with self._lock:
            pools = [*self._named.values(), *self._inline.values()]
        for each in pools:
            each.close()
        return self.threads.join(timeout_s)

    def _settle(self) -> None:
        unused: list[Pools] = []
        with self._lock:
            while True:
                try:
                    settings = self._released.get_nowait()
                except Empty:
                    break
                self._users[settings] -= 1
                if not self._users[settings]:
                    del self._users[settings]
                    unused.append(self._inline.pop(settings))
        for each in unused:
            each.close()


def _import_pools() -> type[Pools]:
    """Imported with the first client: urllib3 costs a script that makes no calls 50 ms and 10 MB.

    Under no lock: what an import runs may be a script's, and make a client.
    """
    from siphon.client.pools import Pools

    return Pools


def _check_files(settings: ClientSettings) -> None:
    for name in ("verify", "cert", "key"):
        file = getattr(settings, name)
        if isinstance(file, str):
            try:
                Path(file).open("rb").close()
            except OSError as error:
                raise ValueError(f"http.Client: {name}: cannot read {file!r}: {error.strerror}") from None
