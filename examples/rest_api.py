"""A small REST API: items in a dict, a bearer guard, a wrap-around that times, hooks.

Serve it with ``make run`` (or ``python3.13t -m siphon examples/rest_api.py``), then:

    curl -i http://127.0.0.1:8080/
    curl -i http://127.0.0.1:8080/items
    curl -i http://127.0.0.1:8080/items?limit=1
    curl -i http://127.0.0.1:8080/items/1
    curl -i http://127.0.0.1:8080/items/99
    curl -i -X POST -H 'Authorization: Bearer s3cr3t' -d '{"name": "cog"}' http://127.0.0.1:8080/items
    curl -i -X POST -d '{"name": "cog"}' http://127.0.0.1:8080/items
    curl -i -X DELETE -H 'Authorization: Bearer s3cr3t' http://127.0.0.1:8080/items/1
    curl -i -X PUT http://127.0.0.1:8080/items
    curl -i -X OPTIONS http://127.0.0.1:8080/items
    curl -i -I http://127.0.0.1:8080/items
    curl -i http://127.0.0.1:8080/report
    curl -i http://127.0.0.1:8080/files/css/site.css

The dict below is for illustration. Handlers run on several threads at once: it has a lock, it is
lost when the process ends, and another process does not see it. Keep real state in a database.
"""

import json
import threading
import time
from urllib.parse import quote

from siphon import http, log

_items: dict[int, str] = {}
_items_lock = threading.Lock()


@http.on_startup
async def fill() -> None:
    with _items_lock:
        _items.update({1: "gear", 2: "spring"})
    log.info("the shelf is filled")


@http.on_shutdown
def say_goodbye() -> None:
    log.info(f"{len(_items)} items were on the shelf")


@http.middleware
async def timed(req: http.Request, call_next: http.CallNext) -> http.Response:
    began = time.perf_counter()
    response = await call_next(req)
    response.headers["Server-Timing"] = f"app;dur={(time.perf_counter() - began) * 1000:.3f}"
    return response


@http.middleware
async def writers_need_the_token(req: http.Request) -> http.Response | None:
    if req.method in ("POST", "DELETE") and req.header("authorization") != "Bearer s3cr3t":
        return http.Response(401, {"WWW-Authenticate": "Bearer"}, "unauthorized\n")
    return None


@http.route("/")
async def index(req: http.Request) -> http.Response:
    return http.Response(body=f"hello, {req.client}\n")


@http.route("/items")
async def list_items(req: http.Request) -> http.Response:
    limit = req.query_params.get("limit", "100")
    if not limit.isdecimal():
        return http.Response(400, body="limit is a number\n")
    with _items_lock:
        rows = [{"id": key, "name": name} for key, name in sorted(_items.items())]
    return as_json(200, rows[: int(limit)])


@http.route("/items", methods=["POST"])
async def add_item(req: http.Request) -> http.Response:
    try:
        name = str(json.loads(req.body())["name"])
    except (ValueError, KeyError, TypeError):
        return http.Response(400, body='the body is JSON with a "name"\n')
    with _items_lock:
        key = max(_items, default=0) + 1
        _items[key] = name
    return as_json(201, {"id": key, "name": name})


@http.route("/items/{id}", methods=["GET", "DELETE"])
async def item(req: http.Request) -> http.Response:
    key = int(req.path_params["id"]) if req.path_params["id"].isdecimal() else 0
    with _items_lock:
        name = _items.pop(key, None) if req.method == "DELETE" else _items.get(key)
    if name is None:
        return http.Response(404, body="no such item\n")
    if req.method == "DELETE":
        return http.Response(204)
    return as_json(200, {"id": key, "name": name})


@http.route("/users/{id}")
async def user(req: http.Request) -> http.Response:
    """Asks another server, which ``clients.api`` of http.yaml names."""
    async with http.Client("api") as api:
        try:
            answer = await api.get(f"/v1/users/{quote(req.path_params['id'], safe='')}")
        except http.ClientError as error:
            log.warning(f"no user: {error}")
            return http.Response(502, body="the users' server does not answer\n")
    return http.Response(answer.status, {"Content-Type": "application/json"}, answer.body)


@http.route("/report")
def report(req: http.Request) -> http.Response:
    """A sync handler may block: it has a thread of its own, and delays nobody."""
    time.sleep(0.2)
    return http.Response(body="the report took a while\n")


@http.route("/files/{*rest}")
async def files(req: http.Request) -> http.Response:
    return http.Response(body=f"you asked for {req.path_params['rest']}\n")


def as_json(status: int, value: object) -> http.Response:
    return http.Response(status, {"Content-Type": "application/json"}, json.dumps(value) + "\n")
