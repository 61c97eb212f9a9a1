"""A registry of SIP trunks, and a gateway that is registered there for as long as it runs.

Serve the registry, and on another port a gateway that registers itself, sends heartbeats and, when it
stops, takes itself off the list:

    siphon examples/trunk_registry.py
    GATEWAY=north siphon examples/trunk_registry.py --listen 127.0.0.1:8081

and then:

    curl -i http://127.0.0.1:8080/trunks
    curl -i -X PUT -d '{"address": "sip:south.example.net"}' http://127.0.0.1:8080/trunks/south
    curl -i -X POST http://127.0.0.1:8080/trunks/south/heartbeat
    curl -i http://127.0.0.1:8081/peers
    curl -i -X DELETE http://127.0.0.1:8080/trunks/south
    curl -i -X POST http://127.0.0.1:8080/trunks/south/heartbeat

A trunk that sends no heartbeat for LEASE_S is taken off. The registry's dict is for illustration: it is
lost when the process ends. The client ``registry`` is in http.yaml.
"""

import asyncio
import json
import os
import threading
import time
from urllib.parse import quote

from siphon import http, log

GATEWAY = os.environ.get("GATEWAY", "")
ADDRESS = os.environ.get("GATEWAY_ADDRESS", f"sip:{GATEWAY}.example.net")
HEARTBEAT_S = float(os.environ.get("HEARTBEAT_S", "5"))
LEASE_S = 3 * HEARTBEAT_S


@http.middleware
async def timed(req: http.Request, call_next: http.CallNext) -> http.Response:
    began = time.perf_counter()
    response = await call_next(req)
    response.headers["Server-Timing"] = f"app;dur={(time.perf_counter() - began) * 1000:.3f}"
    return response


# The registry ----------------------------------------------------------------------------------


class Trunks:
    """The trunks that are alive. Any thread may call it; ``_lock`` guards the dict."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leases: dict[str, tuple[str, float]] = {}
        """By name: the address, and when its lease ends."""

    def register(self, name: str, address: str, now: float) -> bool:
        """Whether it is a new one."""
        with self._lock:
            self._drop_dead(now)
            known = name in self._leases
            self._leases[name] = (address, now + LEASE_S)
            return not known

    def renew(self, name: str, now: float) -> bool:
        """Whether it was there to be renewed."""
        with self._lock:
            self._drop_dead(now)
            if name not in self._leases:
                return False
            self._leases[name] = (self._leases[name][0], now + LEASE_S)
            return True

    def remove(self, name: str) -> bool:
        """Whether it was there."""
        with self._lock:
            return self._leases.pop(name, None) is not None

    def alive(self, now: float) -> dict[str, str]:
        """Names and addresses."""
        with self._lock:
            self._drop_dead(now)
            return {name: address for name, (address, _) in sorted(self._leases.items())}

    def _drop_dead(self, now: float) -> None:
        for name in [name for name, (_, ends) in self._leases.items() if ends <= now]:
            del self._leases[name]


trunks = Trunks()


@http.route("/trunks")
async def discover(req: http.Request) -> http.Response:
    return as_json(200, trunks.alive(time.monotonic()))


@http.route("/trunks/{name}", methods=["PUT"])
async def register(req: http.Request) -> http.Response:
    try:
        address = str(json.loads(req.body())["address"])
    except (ValueError, KeyError, TypeError):
        return http.Response(400, body='the body is JSON with an "address"\n')
    name = req.path_params["name"]
    is_new = trunks.register(name, address, time.monotonic())
    return as_json(201 if is_new else 200, {"name": name, "lease_s": LEASE_S})


@http.route("/trunks/{name}/heartbeat", methods=["POST"])
async def heartbeat(req: http.Request) -> http.Response:
    if trunks.renew(req.path_params["name"], time.monotonic()):
        return http.Response(204)
    return http.Response(404, body="not registered\n")


@http.route("/trunks/{name}", methods=["DELETE"])
async def deregister(req: http.Request) -> http.Response:
    if trunks.remove(req.path_params["name"]):
        return http.Response(204)
    return http.Response(404, body="not registered\n")


def as_json(status: int, value: object) -> http.Response:
    return http.Response(status, {"Content-Type": "application/json"}, json.dumps(value) + "\n")


# The gateway -----------------------------------------------------------------------------------

_registry = http.Client("registry")
_path = f"/trunks/{quote(GATEWAY, safe='')}"
_beating: list[asyncio.Task[None]] = []


@http.on_startup
async def join() -> None:
    """A gateway that cannot register does not start: siphon says why, and exits with 3."""
    if GATEWAY:
        await put_on_the_list()
        # Hooks run on the first loop, and the task goes on there.
        _beating.append(asyncio.create_task(beat()))


@http.on_shutdown
async def leave() -> None:
    """Runs after the last request has been answered; no signal handler is needed for it."""
    if not _beating:
        return
    _beating.pop().cancel()
    try:
        (await _registry.delete(_path)).raise_for_status()
        log.info(f"{GATEWAY} is off the list")
    except http.ClientError as error:
        log.warning(f"{GATEWAY} stays on the list until its lease ends: {error}")


async def put_on_the_list() -> None:
    (await _registry.put(_path, json={"address": ADDRESS})).raise_for_status()
    log.info(f"{GATEWAY} is on the list")


async def beat() -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_S)
        try:
            answer = await _registry.post(f"{_path}/heartbeat")
            if answer.status == 404:
                # The registry has forgotten it: it was started anew, or the lease had ended.
                await put_on_the_list()
            else:
                answer.raise_for_status()
        except http.ClientError as error:
            log.warning(f"no heartbeat: {error}")


@http.route("/peers")
async def peers(req: http.Request) -> http.Response:
    """The other gateways, as the registry knows them."""
    try:
        answer = (await _registry.get("/trunks")).raise_for_status()
    except http.ClientError as error:
        log.warning(error)
        return http.Response(502, body="the registry cannot be reached\n")
    others = {name: address for name, address in json.loads(answer.body).items() if name != GATEWAY}
    return as_json(200, others)
