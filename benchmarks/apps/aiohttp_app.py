"""Two bytes, and the upstream's answer, on aiohttp's own server: ``aiohttp_app.py PORT PROCESSES``."""

import os
import sys
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

_session = web.AppKey("session", aiohttp.ClientSession)


async def hello(request: web.Request) -> web.Response:
    """Two bytes."""
    return web.Response(body=b"ok")


async def relay(request: web.Request) -> web.Response:
    """What the upstream says."""
    async with request.app[_session].get(request.path) as response:
        return web.Response(body=await response.read())


async def _session_of(app: web.Application) -> AsyncIterator[None]:
    connector = aiohttp.TCPConnector(limit=256)
    async with aiohttp.ClientSession(os.environ["UPSTREAM"], connector=connector) as session:
        app[_session] = session
        yield


def main(port: int, processes: int) -> None:
    """Serves; with several processes each listens on its own, and the system deals connections out."""
    app = web.Application()
    app.router.add_get("/", hello)
    if "UPSTREAM" in os.environ:
        app.cleanup_ctx.append(_session_of)
        app.router.add_get("/{path}", relay)
    for _ in range(processes - 1):
        if os.fork() == 0:
            break
    web.run_app(app, host="127.0.0.1", port=port, reuse_port=processes > 1, access_log=None, print=None)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
