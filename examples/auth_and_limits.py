r"""API keys, and a rate limit for each of their owners: a token bucket under a lock.

Serve it with ``siphon examples/auth_and_limits.py``, then:

    curl -i http://127.0.0.1:8080/quote
    curl -i -H 'X-API-Key: ada-1815' http://127.0.0.1:8080/quote
    curl -i -H 'X-API-Key: guessed' http://127.0.0.1:8080/quote
    curl -s -o /dev/null -w '%{http_code}\n' -H 'X-API-Key: alan-1912' 'http://127.0.0.1:8080/quote?[1-12]'
    curl -i -H 'X-API-Key: alan-1912' http://127.0.0.1:8080/quote

The last but one asks twelve times: ten are answered 200, two are over the limit and get 429.
"""

import hashlib
import math
import threading
import time
from collections import OrderedDict
from contextvars import ContextVar
from dataclasses import dataclass

from siphon import http

# Keep digests of keys, not keys. These are of "ada-1815" and "alan-1912".
OWNERS = {
    "96e49c807ce3247818086f3fcd77bfe6b263e6bed2f0aeb6bcb959857135a6b4": "ada",
    "ee3fdaccc721297c4ed48887444ea612178bddd47308f2033e1c9e72c48376e8": "alan",
}
BURST = 10
PER_SECOND = 1 / 6
BUCKETS_MAX = 10_000

# A request's middlewares and its handler share one context, whichever threads they run on.
owner: ContextVar[str] = ContextVar("owner")


@dataclass(slots=True)
class Bucket:
    """Holds up to BURST tokens; PER_SECOND of them come back each second."""

    tokens: float
    filled_at: float

    def take(self, now: float) -> float:
        """Takes a token; else returns the seconds until there will be one."""
        self.tokens = min(BURST, self.tokens + (now - self.filled_at) * PER_SECOND)
        self.filled_at = now
        if self.tokens < 1:
            return (1 - self.tokens) / PER_SECOND
        self.tokens -= 1
        return 0.0


class Limiter:
    """A bucket for each name; of too many the one that was used least recently is forgotten.

    Any thread may call it. ``_lock`` guards the buckets and what is in them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, name: str) -> float:
        """Takes one of ``name``'s tokens; else returns the seconds until there will be one."""
        now = time.monotonic()
        with self._lock:
            bucket = self._buckets.setdefault(name, Bucket(BURST, now))
            self._buckets.move_to_end(name)
            if len(self._buckets) > BUCKETS_MAX:
                self._buckets.popitem(last=False)
            return bucket.take(now)


limiter = Limiter()


@http.middleware
async def say_who_asks(req: http.Request) -> None:
    digest = hashlib.sha256((req.header("x-api-key") or "").encode()).hexdigest()
    owner.set(OWNERS.get(digest, ""))


@http.middleware
async def nobody_asks_too_often(req: http.Request) -> http.Response | None:
    """Whoever guesses keys has a bucket as well, for the address."""
    wait_s = limiter.take(owner.get() or req.client.rpartition(":")[0])
    if wait_s > 0:
        return http.Response(429, {"Retry-After": str(math.ceil(wait_s))}, "too many requests\n")
    return None


@http.middleware
async def callers_have_a_key(req: http.Request) -> http.Response | None:
    if not owner.get():
        return http.Response(401, {"WWW-Authenticate": 'ApiKey header="X-API-Key"'}, "unauthorized\n")
    return None


@http.route("/quote")
async def quote(req: http.Request) -> http.Response:
    return http.Response(body=f"{owner.get()}: the engine weaves algebraic patterns\n")
