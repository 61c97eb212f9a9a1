"""All metrics as text, siphon's own and the script's. Imported only where they can be asked for."""

from __future__ import annotations

import platform
import sys
from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.exposition import choose_encoder

from siphon.journal import journal
from siphon.threads.tally import BOUNDS_S, FAULTS_IN_CLEARTEXT, FAULTS_OVER_TLS
from siphon.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric
    from prometheus_client.samples import Sample

    from siphon.client.clients import Clients
    from siphon.threads.acceptor import Acceptor
    from siphon.threads.lanes import Lanes
    from siphon.threads.listener import Listener
    from siphon.threads.tally import Key, Tally
    from siphon.threads.watchdog import Watchdog


class Exposition:
    """What one server's threads have counted, and what is in prometheus_client's registry.

    Any thread may call any method. No lock is taken that a request waits for longer than it takes to
    copy a list.
    """

    def __init__(
        self,
        tally: Tally,
        lanes: Lanes,
        listeners: list[Listener],
        acceptors: list[Acceptor],
        watchdog: Watchdog,
        clients: Clients,
    ) -> None:
        self._tally = tally
        self._lanes = lanes
        self._listeners = listeners
        self._acceptors = acceptors
        self._watchdog = watchdog
        self._clients = clients

    def render(self, accept: str) -> tuple[str, bytes]:
        """The content type and the text, in the format that the Accept field asks for."""
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):
            # A version that is none: what a client gets that asks for nothing.
            encode, content_type = choose_encoder("")
        return content_type, encode(self)

    def collect(self) -> Iterator[Metric]:
        """The families, each complete; what ``render`` encodes."""
        yield from self._own()
        # The script's, those of libraries it imports, and the process's.
        for family in REGISTRY.collect():
            family.samples = [_encodable(sample) for sample in family.samples]
            yield family

    def _own(self) -> Iterator[Metric]:
        yield from self._answers(self._tally.answers())
        yield from self._work()
        yield from self._connections()
        yield from self._outbound()
        yield from self._threads()
        yield from self._losses()
        yield GaugeMetricFamily("siphon_gil_enabled", "Whether the GIL is on.", sys._is_gil_enabled())
        yield InfoMetricFamily(
            "siphon_build",
            "The versions that run.",
            {"version": __version__, "python": platform.python_version()},
        )

    def _answers(self, answers: dict[Key, list[float]]) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "siphon_requests", "Requests that have been answered.", labels=["route", "method", "status"]
        )
        durations: dict[tuple[str, str], list[float]] = {}
        for key, cell in answers.items():
            requests.add_metric([key.route, key.method, str(key.status)], sum(cell[:-1]))
            total = durations.setdefault((key.route, key.method), [0] * len(cell))
            for index, value in enumerate(cell):
                total[index] += value
        yield requests
        histogram = HistogramMetricFamily(
            "siphon_request_duration_seconds",
            "From the complete request to its answer.",
            labels=["route", "method"],
        )
        for labels, cell in durations.items():
            histogram.add_metric(list(labels), _cumulated(cell[:-1]), cell[-1])
        yield histogram

    def _work(self) -> Iterator[Metric]:
        lanes = self._lanes
        blocking = lanes.blocking
        in_work = GaugeMetricFamily(
            "siphon_requests_in_flight", "Requests that wait or run.", labels=["lane"]
        )
        in_work.add_metric(["loop"], sum([worker.load for worker in lanes.loops]))
        in_work.add_metric(["blocking"], blocking.load)
        yield in_work
        waiting = GaugeMetricFamily("siphon_queue_depth", "What no worker has taken yet.", labels=["lane"])
        waiting.add_metric(["loop"], sum([worker.waiting for worker in lanes.loops]))
        waiting.add_metric(["blocking"], blocking.waiting)
        yield waiting

    def _connections(self) -> Iterator[Metric]:
        connections = GaugeMetricFamily("siphon_connections", "Open connections.", labels=["listener"])
        # Two listeners may have been given one address, with port 0: a series comes once.
        open_by_address: Counter[str] = Counter()
        for listener in self._listeners:
            open_by_address[str(listener.settings.listen)] += listener.connections
        for address, count in open_by_address.items():
            connections.add_metric([address], count)
        yield connections
        counts: dict[tuple[str, str], int] = {}
        for listener in self._listeners:
            # From the start on: who looks at the growth must see the first one as well.
            faults = FAULTS_IN_CLEARTEXT if listener.settings.tls is None else FAULTS_OVER_TLS
            counts |= dict.fromkeys([(str(listener.settings.listen), fault) for fault in faults], 0)
        turned_away = CounterMetricFamily(
            "siphon_connections_turned_away",
            "Connections that did not speak the listener's protocol.",
            labels=["listener", "reason"],
        )
        for labels, count in (counts | self._tally.turned_away()).items():
            turned_away.add_metric(list(labels), count)
        yield turned_away

    def _outbound(self) -> Iterator[Metric]:
        connections = GaugeMetricFamily(
            "siphon_client_connections",
            "Connections of http.Client that are open or being opened.",
            labels=["client"],
        )
        in_flight = GaugeMetricFamily(
            "siphon_client_calls_in_flight", "Calls that are at work.", labels=["client"]
        )
        waiting = GaugeMetricFamily(
            "siphon_client_calls_waiting", "Calls that wait for a connection.", labels=["client"]
        )
        for name, load in self._clients.loads().items():
            connections.add_metric([name], load.connections)
            in_flight.add_metric([name], load.in_flight)
            waiting.add_metric([name], load.waiting)
        yield from (connections, in_flight, waiting)

    def _threads(self) -> Iterator[Metric]:
        blocking = self._lanes.blocking
        workers = blocking.workers
        threads = GaugeMetricFamily("siphon_threads", "Threads that there are.", labels=["kind"])
        for kind in ("acceptor", "secure"):
            threads.add_metric([kind], len([one for one in self._acceptors if one.kind == kind]))
        threads.add_metric(["loop"], len(self._lanes.loops))
        threads.add_metric(["blocking"], len(workers))
        yield threads
        items = [worker.item for worker in workers]
        busy = len([item for item in items if item is not None])
        yield GaugeMetricFamily("siphon_blocking_threads_busy", "Blocking workers that run something.", busy)
        yield GaugeMetricFamily(
            "siphon_blocking_threads_max", "How many blocking workers there may be.", blocking.maximum
        )
        stalled = GaugeMetricFamily(
            "siphon_stalled_threads",
            "Blocking workers whose request has ended without them; loops that do not come round.",
            labels=["lane"],
        )
        stalled.add_metric(["loop"], self._watchdog.stalled_loops)
        stalled.add_metric(["blocking"], len([item for item in items if item is not None and item.ended]))
        yield stalled

    def _losses(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "siphon_requests_shed",
            "Requests that were refused because the lanes were full.",
            self._tally.shed,
        )
        yield CounterMetricFamily(
            "siphon_answers_late", "Answers that nobody waited for any more.", self._tally.late
        )
        yield CounterMetricFamily(
            "siphon_log_lines_dropped", "Log lines that could not be written.", journal.dropped
        )


def _encodable(sample: Sample) -> Sample:
    """With labels that UTF-8 can say, as it cannot half of a surrogate pair that a client has sent."""
    labels = {
        name: value.encode("utf-8", "backslashreplace").decode() for name, value in sample.labels.items()
    }
    return sample._replace(labels=labels)


def _cumulated(counts: list[float]) -> list[tuple[str, float]]:
    """The counts up to each bound, the last one for everything."""
    total = 0.0
    buckets = []
    for bound, count in zip((*BOUNDS_S, float("inf")), counts, strict=True):
        total += count
        buckets.append(("+Inf" if bound == float("inf") else repr(bound), total))
    return buckets
