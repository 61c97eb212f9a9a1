"""Answers with what the upstream says, and a route that asks nobody."""

from siphon import http

api = http.Client("api")


@http.route("/{path}")
async def relay(req: http.Request) -> http.Response:
    answer = await api.get(req.path)
    return http.Response(body=answer.body)


@http.route("/")
async def hello(req: http.Request) -> http.Response:
    return http.Response(body=b"ok")
