"""The routes of most scenarios: async ones where nothing blocks or computes for long, else sync ones."""

from benchmarks.apps import work
from siphon import http

_JSON = {"Content-Type": "application/json"}


@http.route("/echo/{name}")
async def echo(req: http.Request) -> http.Response:
    agent = req.header("user-agent") or ""
    return http.Response(body=work.echo(req.path_params["name"], req.query_params["q"], agent))


@http.route("/json", methods=["POST"])
async def json(req: http.Request) -> http.Response:
    return http.Response(headers=_JSON, body=work.total(req.body()))


@http.route("/upload", methods=["POST"])
async def upload(req: http.Request) -> http.Response:
    return http.Response(body=b"%d" % len(req.body()))


@http.route("/download")
async def download(req: http.Request) -> http.Response:
    return http.Response(body=work.DOWNLOAD)


@http.route("/compute")
def compute(req: http.Request) -> http.Response:
    return http.Response(body=work.compute())


@http.route("/block")
def block(req: http.Request) -> http.Response:
    work.block()
    return http.Response(body=b"ok")


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
