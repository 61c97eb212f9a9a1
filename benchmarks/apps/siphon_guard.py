"""A sync guard before an async handler: every request visits a blocking worker and comes back."""

from siphon import http


@http.middleware
def guard(req: http.Request) -> None:
    return None


@http.route("/")
async def hello(req: http.Request) -> http.Response:
    return http.Response(body=b"ok")
