"""The connections of all clients with equal settings: one urllib3 pool manager."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, Final, Protocol

from urllib3 import PoolManager

from siphon.client.call import Call
from siphon.client.load import total
from siphon.client.pool import OriginPool
from siphon.client.proxies import proxy_for
from siphon.client.replies import replies_of
from siphon.client.tls import make_context
from siphon.url import Origin

if TYPE_CHECKING:
    import ssl

    from urllib3.poolmanager import PoolKey

    from siphon.client.load import Load
    from siphon.client.request import OutboundRequest
    from siphon.client.resolver import Resolver
    from siphon.client.response import ClientResponse
    from siphon.client.threads import ClientThreads
    from siphon.config.settings import ClientSettings

# How many origins keep their connections; past it those are closed where nothing is at work or in line.
_POOLS_MAX: Final = 128


class Owner(Protocol):
    """Who counts the clients of each ``Pools``."""

    def release(self, settings: ClientSettings) -> None:
        """A client is closed."""

    def drop(self, settings: ClientSettings) -> None:
        """A client has become garbage."""


class Pools(PoolManager):
    """A pool for each origin that clients with equal settings call. Any thread and any loop may use it.

    ``_lock`` guards the pools, and ``_tls_lock`` the making of the one TLS context.
    """

    def __init__(
        self,
        settings: ClientSettings,
        threads: ClientThreads,
        resolver: Resolver,
        owner: Owner,
    ) -> None:
        # urllib3 would drop the pool that was used least recently, at work or not.
        super().__init__(num_pools=sys.maxsize)
        self.settings = settings
        self._threads = threads
        self._resolver = resolver
        self._owner = owner
        self._lock = threading.Lock()
        self._by_origin: dict[Origin, OriginPool] = {}
        self._tls_lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None

    async def send(self, request: OutboundRequest, deadline: float) -> ClientResponse:
        """One exchange with the request's origin; see ``siphon.client.outbound.Transport``."""
        loop = asyncio.get_running_loop()
        call = Call(request, self.settings, replies_of(loop))
        pool = self._submit(request.url.origin, call)
        timer = loop.call_at(deadline, call.expire)
        try:
            return await call.future
        except BaseException:
            call.end()  # cancelled, or closed with its loop: nobody waits any more
            raise
        finally:
            timer.cancel()
            if call.ended:
                self._threads.withdraw(pool.slots, call)

    def release(self) -> None:
        """One client fewer uses it; the last one closes it."""
        self._owner.release(self.settings)

    def drop(self) -> None:
        """The same where a client is collected as garbage: takes no lock."""
        self._owner.drop(self.settings)

    def load(self) -> Load:
        """The connections to all origins, and their calls."""
        with self._lock:
            pools = list(self._by_origin.values())
        return total([pool.load() for pool in pools])

    def close(self) -> None:
        """Closes the idle connections; the others close when their calls are done."""
        with self._lock:
            pools = list(self._by_origin.values())
        for pool in pools:
            pool.close()

    def tls(self) -> ssl.SSLContext:
        """The context of every https connection, made for the first one. An I/O thread: it reads files."""
        with self._tls_lock:
            if self._tls is None:
                self._tls = make_context(self.settings)
            return self._tls

    def _submit(self, origin: Origin, call: Call) -> OriginPool:
        while True:
            try:
                pool = self._by_origin[origin]
            except KeyError:
                pool = self._make(origin)
            if self._threads.submit(pool.slots, call):
                return pool

    def _make(self, origin: Origin) -> OriginPool:
        with self._lock:
            if origin not in self._by_origin:
                if len(self._by_origin) >= _POOLS_MAX:
                    self._close_idle()
                pool = self.connection_from_host(origin.host, origin.port, origin.scheme)
                assert isinstance(pool, OriginPool)
                self._by_origin[origin] = pool
            return self._by_origin[origin]

    def _close_idle(self) -> None:
        """Closes a quarter of the pools: those that were used least recently, and are not at work."""
        by_use = sorted(self._by_origin.items(), key=_last_used)
        for origin, pool in by_use[: len(by_use) // 4]:
            if self._threads.close_if_idle(pool.slots):
                del self._by_origin[origin]
                keys: set[PoolKey] = self.pools.keys()  # it cannot be iterated itself
                for key in keys:
                    if self.pools[key] is pool:
                        del self.pools[key]
                pool.close()

    def _new_pool(
        self, scheme: str, host: str, port: int, request_context: dict[str, Any] | None = None
    ) -> OriginPool:
        origin = Origin(scheme, host, port)
        return OriginPool(
            origin,
            settings=self.settings,
            proxy=proxy_for(origin, os.environ) if self.settings.trust_env else None,
            tls=self.tls if scheme == "https" else None,
            threads=self._threads,
            resolver=self._resolver,
        )


def _last_used(item: tuple[Origin, OriginPool]) -> float:
    return item[1].slots.last_used
