"""Two bytes from each lane, and which thread is which."""

import threading

from siphon import http


@http.route("/")
async def on_a_loop(req: http.Request) -> http.Response:
    return http.Response(body=b"ok")


@http.route("/sync")
def on_a_worker(req: http.Request) -> http.Response:
    return http.Response(body=b"ok")


@http.route("/threads")
async def threads(req: http.Request) -> http.Response:
    lines = [f"{thread.native_id} {thread.name}" for thread in threading.enumerate()]
    return http.Response(body="\n".join(lines))
