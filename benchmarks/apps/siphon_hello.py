"""Two bytes from each lane."""

from siphon import http


@http.route("/")
async def on_a_loop(req: http.Request) -> http.Response:
    return http.Response(body=b"ok")


@http.route("/sync")
def on_a_worker(req: http.Request) -> http.Response:
    return http.Response(body=b"ok")
