"""What the soak serves: every answer begins with a checksum of its request."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from typing import TYPE_CHECKING

from siphon import http

if TYPE_CHECKING:
    from siphon.messages import Request, Response

loops: list[asyncio.AbstractEventLoop] = []
# Nobody sets it: waiting for it is what a sync handler does that blocks.
never = threading.Event()
itself = http.Client("itself")


@http.on_loop_startup
async def keep_loop() -> None:
    """Remembers each loop, for /tasks."""
    loops.append(asyncio.get_running_loop())


@http.middleware
async def guard(req: Request) -> Response | None:
    """A guard that sometimes suspends, in front of handlers of both kinds."""
    if "guarded" in req.query_params:
        await asyncio.sleep(0)
    return None


def checksum(req: Request) -> bytes:
    """Of the method, the target and the body: what the client has made of its own request."""
    target = req.raw_path + (f"?{req.raw_query}" if req.raw_query else "")
    return hashlib.sha256(f"{req.method} {target}\n".encode() + req.body()).hexdigest().encode()


def answer(req: Request, times: int = 1) -> Response:
    """The checksum, ``times`` over."""
    return http.Response(body=checksum(req) * times)


@http.route("/async/{token}", cancel_on_disconnect=False)
async def quick_async(req: Request) -> Response:
    """Answers at once."""
    return answer(req)


@http.route("/suspended/{token}")
async def suspended(req: Request) -> Response:
    """Answers after a pause that may be cancelled."""
    await asyncio.sleep(0.02)
    return answer(req)


@http.route("/sync/{token}", cancel_on_disconnect=False)
def quick_sync(req: Request) -> Response:
    """Answers at once, on the blocking lane."""
    return answer(req)


@http.route("/blocking/{token}")
def blocking(req: Request) -> Response:
    """Blocks its thread for a while."""
    never.wait(0.02)
    return answer(req)


@http.route("/echo", methods=["POST"])
async def echo(req: Request) -> Response:
    """Takes a body."""
    return answer(req)


@http.route("/sync-echo", methods=["POST"])
def sync_echo(req: Request) -> Response:
    """Takes a body, on the blocking lane."""
    return answer(req)


@http.route("/large/{times}")
async def large(req: Request) -> Response:
    """Is long."""
    return answer(req, int(req.path_params["times"]))


@http.route("/proxied/{token}")
async def proxied(req: Request) -> Response:
    """Asks this process itself, over TLS; the answer is that of the inner request, and then of this one."""
    inner = await itself.get(f"/blocking/{req.path_params['token']}")
    return http.Response(inner.status, body=inner.body + checksum(req))


@http.route("/late")
async def late(req: Request) -> Response:
    """Takes longer than a request may."""
    await asyncio.sleep(30)
    return answer(req)


@http.route("/fail")
async def fail(req: Request) -> Response:
    """Raises, with the request in the traceback's frames."""
    raise ValueError("planned")


@http.route("/tasks")
def tasks(req: Request) -> Response:
    """How many tasks all loops have."""
    return http.Response(body=str(sum(len(asyncio.all_tasks(loop)) for loop in loops)))
