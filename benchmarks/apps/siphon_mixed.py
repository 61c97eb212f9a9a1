"""Sleepers, burners and an async route side by side."""

from benchmarks.apps import work
from siphon import http


@http.route("/sleep")
def sleep(req: http.Request) -> http.Response:
    work.sleep()
    return http.Response(body=b"ok")


@http.route("/burn")
def burn(req: http.Request) -> http.Response:
    work.burn()
    return http.Response(body=b"ok")


@http.route("/fast")
async def fast(req: http.Request) -> http.Response:
    return http.Response(body=b"ok")
