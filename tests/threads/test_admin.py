"""The admin listener: probes and metrics are answered whatever the lanes, or other clients, are at."""

from __future__ import annotations

import os
import signal
import socket
import statistics
import threading
from time import perf_counter
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from siphon import metrics
from siphon.config.settings import ListenerSettings, TcpAddress
from siphon.errors import StartError
from tests.client import Client, request
from tests.command import PORT_0, Command, write
from tests.service import Service
from tests.stress.leaks import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SCRIPT = """
    import asyncio
    import threading
    from siphon import http, metrics

    entered = threading.Semaphore(0)
    gate = threading.Event()
    scraping = threading.Semaphore(0)

    @http.route("/async/{id}")
    async def asynchronous(req):
        return http.Response(body="async")

    @http.route("/sync", methods=["GET", "POST"])
    def sync(req):
        return http.Response(status=201, body="sync")

    @http.route("/block")
    def block(req):
        entered.release()
        assert gate.wait(20)
        return http.Response(body="late")

    @http.route("/hold")
    async def hold(req):
        entered.release()
        assert gate.wait(20)  # wrong, and what users do: it holds the loop
        return http.Response(body="late")

    @http.on_startup
    def count():
        metrics.gauge("orders_open", "Orders that have not been sent yet.").set(3)
"""
PROBES = 40


@pytest.fixture
def admin(serve: Callable[..., Service]) -> Iterator[Callable[..., Service]]:
    """Starts a service with an admin listener; what it holds back is let go at the end."""
    running: list[Service] = []

    def start(source: str = SCRIPT, **settings: object) -> Service:
        running.append(serve(source, admin=TcpAddress("127.0.0.1", 0), **settings))
        return running[-1]

    yield start
    for service in running:
        if service._server is not None:
            service.module.gate.set()


def scrape(client: Client) -> dict[str, float]:
    """The samples by name and labels: ``siphon_threads{kind=loop}``."""
    answer = client.get("/metrics")
    assert answer.status == 200
    samples: dict[str, float] = {}
    for family in text_string_to_metric_families(answer.body.decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            name = f"{sample.name}{{{labels}}}" if labels else sample.name
            assert name not in samples
            samples[name] = sample.value
    return samples


def block_everything(service: Service) -> list[Client]:
    """Clients whose requests hold every loop and every blocking worker, and some that wait."""
    threads = service.settings.threads
    paths = ["/hold"] * threads.loops + ["/block"] * (threads.blocking_max + 2)
    clients = []
    for path in paths:
        clients.append(service.connect().send(request(path)))
    for _ in range(threads.loops + threads.blocking_max):
        assert service.module.entered.acquire(timeout=10)
    return clients


# Probes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [("/healthz", 200, b"ok\n"), ("/readyz", 200, b"ready\n"), ("/other", 404, b"not found\n")],
)
def test_a_probe_is_answered(admin: Callable[..., Service], path: str, status: int, body: bytes) -> None:
    with admin().connect_to_admin() as client:
        answer = client.get(path)
        assert (answer.status, answer.body) == (status, body)
        assert answer.get("cache-control") == "no-store"
        assert client.get(path, method="HEAD").status == status


def test_other_methods_and_bodies_are_refused(admin: Callable[..., Service]) -> None:
    service = admin()
    with service.connect_to_admin() as client:
        answer = client.get("/healthz", method="POST")
        assert (answer.status, answer.get("allow")) == (405, "GET, HEAD, OPTIONS")
        assert client.get("/healthz", method="OPTIONS").status == 204
        assert client.get("/metrics", method="POST", body=b"x").status == 413
    with service.connect() as client:
        assert client.get("/healthz").status == 404


def test_probes_are_quick_while_every_worker_is_blocked(admin: Callable[..., Service]) -> None:
    service = admin(loops=2, blocking_min=2, blocking_max=4)
    clients = block_everything(service)
    took_ms: dict[str, list[float]] = {"/healthz": [], "/readyz": [], "/metrics": []}
    for path, times in took_ms.items():
        for number in range(PROBES):
            begun = perf_counter()
            with service.connect_to_admin() as client:
                assert client.get(path).status == 200
            if number:  # the first scrape starts its thread
                times.append((perf_counter() - begun) * 1_000)
    service.module.gate.set()
    for client in clients:
        assert client.answer().body == b"late"
        client.close()
    # The machine that runs this may be busy: half of them is what siphon can be held to.
    assert statistics.median(took_ms["/healthz"]) < 20
    assert statistics.median(took_ms["/readyz"]) < 20


def test_a_slow_client_does_not_hold_the_next_probe(admin: Callable[..., Service]) -> None:
    service = admin()
    with service.connect_to_admin() as slow, service.connect_to_admin() as deaf:
        slow.send("GET /healthz HT")
        # It never reads what it asks for, far more than fits into its buffers.
        deaf.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        deaf.send(request("/metrics") * 200)
        with service.connect_to_admin() as client:
            for _ in range(5):
                assert client.get("/healthz").body == b"ok\n"
                assert scrape(client)["orders_open"] == 3
        assert slow.send("TP/1.1\r\nHost: a\r\n\r\n").answer().body == b"ok\n"


def test_a_gauge_that_hangs_holds_scrapes_and_nothing_else(admin: Callable[..., Service]) -> None:
    service = admin(
        SCRIPT
        + """
    class Hangs:
        def collect(self):
            scraping.release()
            assert gate.wait(20)
            return []

        def describe(self):
            return []

    from prometheus_client import REGISTRY
    hangs = Hangs()
    REGISTRY.register(hangs)

    @http.on_shutdown
    def forget():
        REGISTRY.unregister(hangs)
"""
    )
    with service.connect_to_admin() as scraper, service.connect_to_admin() as probe:
        scraper.send(request("/metrics"))
        assert service.module.scraping.acquire(timeout=5)
        for _ in range(10):
            assert probe.get("/healthz").body == b"ok\n"
            with service.connect() as client:
                assert client.get("/async/1").body == b"async"
                assert client.get("/sync").body == b"sync"
        service.module.gate.set()
        assert scraper.answer().status == 200


# Metrics -----------------------------------------------------------------------------------------


def test_requests_are_counted_by_route_method_and_status(admin: Callable[..., Service]) -> None:
    service = admin(acceptors=2)
    with service.connect() as client:
        for number in range(5):
            client.get(f"/async/{number}")
        client.get("/sync")
        client.get("/sync", method="POST", body=b"")
        client.get("/sync", method="PUT")
        client.get("/nothing", method="BREW")
        client.send("GET / HTTP/1.1\r\n\r\n").answer()
    counted = {
        "method=GET,route=/async/{id},status=200": 5,
        "method=GET,route=/sync,status=201": 1,
        "method=POST,route=/sync,status=201": 1,
        "method=PUT,route=none,status=405": 1,
        "method=other,route=none,status=404": 1,
        "method=none,route=none,status=400": 1,
    }
    with service.connect_to_admin() as client:
        # An answer is counted right after it was sent.
        assert wait_until(lambda: answers(scrape(client)) == sum(counted.values()))
        samples = scrape(client)
    for labels, count in counted.items():
        assert samples[f"siphon_requests_total{{{labels}}}"] == count
    bucket = "siphon_request_duration_seconds_bucket{{le={},method=GET,route=/async/{{id}}}}"
    assert samples[bucket.format("+Inf")] == 5
    assert samples[bucket.format("10.0")] == 5
    assert samples["siphon_request_duration_seconds_count{method=GET,route=/async/{id}}"] == 5
    assert 0 < samples["siphon_request_duration_seconds_sum{method=GET,route=/async/{id}}"] < 5


def answers(samples: dict[str, float]) -> float:
    return sum(value for name, value in samples.items() if name.startswith("siphon_requests_total{"))


def test_listeners_with_one_configured_address_share_a_series(admin: Callable[..., Service]) -> None:
    service = admin(servers=(ListenerSettings(listen=TcpAddress("127.0.0.1", 0)),) * 2)
    with service.connect() as one, service.connect(listener=1) as other, service.connect() as third:
        for client in (one, other, third):
            assert client.get("/async/1").status == 200
        with service.connect_to_admin() as admin_client:
            assert scrape(admin_client)["siphon_connections{listener=127.0.0.1:0}"] == 3


def test_the_lanes_state_is_shown(admin: Callable[..., Service]) -> None:
    service = admin(
        loops=2, blocking_min=2, blocking_max=3, blocking_queue_max=2, request_timeout_ms=600, acceptors=2
    )
    clients = block_everything(service)
    with service.connect() as client, service.connect_to_admin() as admin_client:
        assert client.get("/sync").status == 503
        for one in clients:
            assert one.answer().status == 504
        samples = scrape(admin_client)
        assert {
            name: samples[name]
            for name in (
                "siphon_threads{kind=acceptor}",
                "siphon_threads{kind=secure}",
                "siphon_threads{kind=loop}",
                "siphon_threads{kind=blocking}",
                "siphon_blocking_threads_busy",
                "siphon_blocking_threads_max",
                "siphon_queue_depth{lane=blocking}",
                "siphon_requests_in_flight{lane=loop}",
                "siphon_requests_in_flight{lane=blocking}",
                "siphon_stalled_threads{lane=blocking}",
                "siphon_requests_shed_total",
                "siphon_connections{listener=127.0.0.1:0}",
            )
        } == {
            "siphon_threads{kind=acceptor}": 2,
            "siphon_threads{kind=secure}": 0,
            "siphon_threads{kind=loop}": 2,
            "siphon_threads{kind=blocking}": 3,
            "siphon_blocking_threads_busy": 3,
            "siphon_blocking_threads_max": 3,
            "siphon_queue_depth{lane=blocking}": 2,
            "siphon_requests_in_flight{lane=loop}": 2,
            "siphon_requests_in_flight{lane=blocking}": 5,
            "siphon_stalled_threads{lane=blocking}": 3,
            "siphon_requests_shed_total": 1,
            "siphon_connections{listener=127.0.0.1:0}": len(clients) + 1,
        }
        service.module.gate.set()
        # The two on the loops and the three that ran; two were never begun.
        assert wait_until(lambda: scrape(admin_client)["siphon_answers_late_total"] == 5)
        # A late answer is counted before its worker is done.
        assert wait_until(lambda: scrape(admin_client)["siphon_stalled_threads{lane=blocking}"] == 0)
    for one in clients:
        one.close()


def test_the_scripts_own_metrics_and_the_process_are_shown(admin: Callable[..., Service]) -> None:
    with admin().connect_to_admin() as client:
        samples = scrape(client)
    assert samples["orders_open"] == 3
    assert samples["process_open_fds"] > 0
    assert samples["siphon_gil_enabled"] in (0, 1)
    assert any(name.startswith("siphon_build_info{python=3.") for name in samples)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4"),
        ("*/*", "text/plain; version=0.0.4"),
        ("application/openmetrics-text; version=1.0.0, */*", "application/openmetrics-text; version=1.0.0"),
        ("application/openmetrics-text; version=x", "text/plain; version=0.0.4"),
    ],
)
def test_the_format_is_the_one_that_is_asked_for(
    admin: Callable[..., Service], accept: str, content_type: str
) -> None:
    with admin().connect_to_admin() as client:
        answer = client.get("/metrics", f"Accept: {accept}")
    assert answer.status == 200
    assert (answer.get("content-type") or "").startswith(content_type)
    assert answer.body.endswith(b"# EOF\n") == content_type.startswith("application")


# Start and stop ----------------------------------------------------------------------------------


def test_a_label_that_is_no_text_does_not_cost_the_others_their_figures(
    admin: Callable[..., Service],
) -> None:
    service = admin()
    metrics.counter("test_visits", "Visits.", ["of"]).labels("\ud800").inc()
    with service.connect_to_admin() as client:
        answer = client.get("/metrics")
    assert answer.status == 200
    assert b'test_visits_total{of="\\\\ud800"} 1.0' in answer.body
    assert b"siphon_connections" in answer.body


def test_readiness_follows_start_and_stop(tmp_path: Path) -> None:
    write(tmp_path, "app.py", WAITS)
    os.mkfifo(tmp_path / "gate")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        number = listening.fileno()
        write(tmp_path, "http.yaml", f"admin: {{listen: 'fd:{number}'}}\nshutdown_delay_ms: 60000")
        with (
            Command("app.py", *PORT_0, cwd=tmp_path, pass_fds=[number]) as command,
            Client(listening.getsockname()) as client,
        ):
            assert client.get("/healthz").status == 200
            starting = client.get("/readyz")
            assert (starting.status, starting.body) == (503, b"starting\n")
            (tmp_path / "gate").write_text("go")
            command.started()
            assert client.get("/readyz").status == 200
            port_client = command.connect()
            command.signal(signal.SIGTERM)
            command.log_until("no longer ready")
            stopping = client.get("/readyz")
            assert (stopping.status, stopping.body) == (503, b"stopping\n")
            assert client.get("/healthz").status == 200
            # As before, for those who have not heard of it yet.
            assert port_client.get("/").get("connection") is None
            assert command.connect().get("/").status == 200
            command.signal(signal.SIGTERM)
            assert command.ended()[0] == 1


WAITS = """
from siphon import http

@http.route("/")
async def hello(req):
    return http.Response(body="hello")

@http.on_startup
def warm():
    with open("gate") as gate:
        gate.read()
"""


def test_after_the_delay_the_stop_goes_on(admin: Callable[..., Service]) -> None:
    service = admin(shutdown_delay_ms=300)
    address = ("127.0.0.1", service.port)
    took_s: list[float] = []

    def stop() -> None:
        begun = perf_counter()
        assert service.stop()
        took_s.append(perf_counter() - begun)

    stopping = threading.Thread(target=stop)
    with service.connect_to_admin() as probe:
        stopping.start()
        assert wait_until(lambda: probe.get("/readyz").status == 503)
        with Client(address) as client:
            answer = client.get("/async/1")
            assert (answer.status, answer.get("connection")) == (200, None)
            client.close()
        stopping.join(10)
    assert 0.29 < took_s[0] < 5


def test_a_stop_closes_the_admin_listener_and_its_connections(admin: Callable[..., Service]) -> None:
    service = admin()
    with service.connect_to_admin() as client:
        scrape(client)
        names = {thread.name for thread in threading.enumerate()}
        assert {"siphon-admin", "siphon-scrape-0"} <= names
        begun = perf_counter()
        assert service.stop()
        assert perf_counter() - begun < 0.9
        assert client.read_to_end() == b""
    assert not {"siphon-admin", "siphon-scrape-0"} & {thread.name for thread in threading.enumerate()}


def test_a_taken_admin_port_stops_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        service = Service(SCRIPT, tmp_path / "script", admin=TcpAddress("127.0.0.1", port))
        with pytest.raises(StartError, match=f"cannot bind 127.0.0.1:{port}: Address already in use"):
            service.start()


def test_without_an_admin_listener_prometheus_client_is_not_imported(tmp_path: Path) -> None:
    write(tmp_path, "app.py", IMPORTS)
    with Command("app.py", *PORT_0, cwd=tmp_path).started() as command:
        assert command.connect().get("/").body == b"[]"


IMPORTS = """
import sys
from siphon import http

@http.route("/")
async def imported(req):
    return http.Response(body=str([name for name in list(sys.modules) if "prometheus" in name]))
"""
