"""``from siphon import metrics``: a script's own counters, gauges and histograms, shown at ``/metrics``.

They are prometheus_client's, in its default registry, so what a script or a library makes with
prometheus_client itself is shown as well. Any thread may call these and use what they return.
"""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

__all__ = ["Counter", "Gauge", "Histogram", "counter", "gauge", "histogram"]

type _Shape = tuple[tuple[str, ...], tuple[float, ...]]

# Guards _made: a script that is loaded anew asks for what is there already, with what it has counted.
_lock: Final = threading.Lock()
_made: Final[dict[str, tuple[Counter | Gauge | Histogram, _Shape]]] = {}


def counter(name: str, documentation: str, labels: Sequence[str] = ()) -> Counter:
    """The counter ``name``, which only goes up: ``inc()``, or ``labels(...).inc()`` where it has labels.

    The same name gives the same counter. Raises ValueError for a name that is taken by something else,
    or by other labels, that begins with ``siphon_``, or that Prometheus does not take.
    """
    return _get(Counter, name, _shape(labels), partial(Counter, name, documentation, labels))


def gauge(name: str, documentation: str, labels: Sequence[str] = ()) -> Gauge:
    """The gauge ``name``, which goes up and down: ``set(5)``, ``inc()``, ``dec()``.

    The same name gives the same gauge. Raises ValueError as ``counter`` does.
    """
    return _get(Gauge, name, _shape(labels), partial(Gauge, name, documentation, labels))


def histogram(
    name: str,
    documentation: str,
    labels: Sequence[str] = (),
    *,
    buckets: Sequence[float] = Histogram.DEFAULT_BUCKETS,
) -> Histogram:
    """The histogram ``name``: ``observe(0.2)``. ``buckets``: upper bounds, in the unit of what is observed.

    The same name gives the same histogram. Raises ValueError as ``counter`` does, and for other buckets.
    """
    make = partial(Histogram, name, documentation, labels, buckets=buckets)
    return _get(Histogram, name, _shape(labels, buckets), make)


def _shape(labels: Sequence[str], buckets: Sequence[float] = ()) -> _Shape:
    if isinstance(labels, str):
        raise ValueError(f"labels are a list of names: write [{labels!r}]")
    return tuple(labels), tuple(buckets)


def _get[M: (Counter, Gauge, Histogram)](kind: type[M], name: str, shape: _Shape, make: Callable[[], M]) -> M:
    if name.startswith("siphon_"):
        raise ValueError(f"{name}: names that begin with siphon_ are siphon's own")
    with _lock:
        if name not in _made:
            _made[name] = (make(), shape)
        made, known = _made[name]
        if not isinstance(made, kind) or known != shape:
            raise ValueError(f"there is a metric {name} of another kind, or with other labels or buckets")
        return made
