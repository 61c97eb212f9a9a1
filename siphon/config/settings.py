"""What can be set: frozen dataclasses, each field with its default, its check and its documentation."""

from dataclasses import dataclass
from typing import Literal, get_args

from siphon.config.address import Address, TcpAddress, UnixAddress
from siphon.config.check import (
    AddressText,
    Choice,
    Flag,
    ListOf,
    Network,
    NetworkText,
    Section,
    Text,
    Whole,
    computed_setting,
    setting,
)
from siphon.config.cpus import usable_cpus

__all__ = [
    "Address",
    "ListenerSettings",
    "LogFormat",
    "LogLevel",
    "LogSettings",
    "Network",
    "Settings",
    "TcpAddress",
    "ThreadSettings",
    "UnixAddress",
    "usable_cpus",
]

type LogLevel = Literal["debug", "info", "warning", "error"]
type LogFormat = Literal["text", "json"]

_MILLISECONDS = Whole(1, 2_147_483_647)  # about 24 days
_PER_LISTENER = Whole(1, 1_000_000)
_THREADS = Whole(1, 10_000)


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """One entry of ``servers``: an address and the limits of its connections."""

    listen: Address = setting(
        TcpAddress("127.0.0.1", 8080),
        AddressText(),
        "Where to listen: host:port, [v6]:port or unix:/path; port 0 lets the system choose.",
        override="listen",
    )
    name: str | None = setting(None, Text(), "The name by which a route says that it is served here; unique.")
    max_body_bytes: int = setting(1_048_576, Whole(0), "The largest request body in bytes; past it 413.")
    request_timeout_ms: int = setting(
        30_000, _MILLISECONDS, "Time from the complete request to its answer, queueing included; past it 504."
    )
    trusted_proxies: tuple[Network, ...] = setting(
        (), ListOf(NetworkText()), "Peers whose X-Forwarded-For is believed: addresses and networks."
    )
    max_header_bytes: int = setting(
        16_384, Whole(256, 1_048_576), "The largest request head in bytes; past it 431."
    )
    max_headers: int = setting(100, Whole(1, 10_000), "The most header fields in one request; past it 431.")
    max_target_bytes: int = setting(
        8_192, Whole(64, 1_048_576), "The longest request target in bytes; past it 414."
    )
    header_timeout_ms: int = setting(
        10_000, _MILLISECONDS, "Time for a request head to arrive whole; past it 408."
    )
    min_body_bytes_per_s: int = setting(
        500, Whole(1, 2_147_483_647), "The slowest rate at which a body may arrive, after body_grace_ms."
    )
    body_grace_ms: int = setting(5_000, _MILLISECONDS, "Time before a body's rate counts against the client.")
    write_timeout_ms: int = setting(
        30_000, _MILLISECONDS, "Time that an answer may make no progress before the connection is closed."
    )
    keep_alive_timeout_ms: int = setting(
        5_000, _MILLISECONDS, "Time that a connection may be idle between two requests."
    )
    keep_alive_requests: int = setting(
        1_000, Whole(1, 2_147_483_647), "The most requests that one connection may send."
    )
    max_connections: int = setting(
        10_000, _PER_LISTENER, "The most connections open at once; past it the oldest idle one is closed."
    )
    backlog: int = setting(2_048, Whole(1, 65_535), "Connections that may wait in the system to be accepted.")
    cancel_on_disconnect: bool = setting(
        True, Flag(), "Whether an async handler is cancelled when its client goes away."
    )
    proxy_protocol: bool = setting(
        False, Flag(), "Whether every connection begins with a PROXY protocol header."
    )
    reuse_port: bool = setting(False, Flag(), "Whether another process may listen on the same port.")
    server_header: bool = setting(True, Flag(), "Whether answers carry a Server header.")


@dataclass(frozen=True, slots=True)
class ThreadSettings:
    """How many threads of each kind, and how much work may wait for them."""

    acceptors: int = setting(
        1, Whole(1, 64), "Threads that accept connections and read requests.", override="acceptors"
    )
    loops: int = computed_setting(
        usable_cpus,
        Whole(1, 1_024),
        "Threads with an event loop for async handlers; by default one for each usable processor.",
        override="loops",
    )
    blocking_min: int = setting(
        8, _THREADS, "Threads for sync handlers that are always there; never over blocking_max by default."
    )
    blocking_max: int = setting(64, _THREADS, "The most threads for sync handlers.", override="blocking_max")
    blocking_queue_max: int = setting(
        256,
        _PER_LISTENER,
        "Requests that may wait for a sync handler's thread, by default 4 x blocking_max; past it 503.",
    )
    max_in_flight: int = setting(4_096, _PER_LISTENER, "Requests in work at once; past it 503.")


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is logged, and how a line looks."""

    level: LogLevel = setting(
        "info",
        Choice(get_args(LogLevel.__value__), {"warn": "warning"}),
        "The least severe lines that are written.",
        override="log_level",
    )
    format: LogFormat = setting(
        "text", Choice(get_args(LogFormat.__value__)), "Lines for people, or one JSON object a line."
    )
    access: bool = setting(True, Flag(), "Whether every request is logged.", override="access_log")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that ``http.yaml``, the environment and the command line say."""

    servers: tuple[ListenerSettings, ...] = setting(
        (ListenerSettings(),), ListOf(Section(ListenerSettings), at_least=1), "The listeners."
    )
    threads: ThreadSettings = computed_setting(
        ThreadSettings, Section(ThreadSettings), "Threads, and work that waits for them."
    )
    shutdown_timeout_ms: int = setting(
        30_000, _MILLISECONDS, "Time for requests in work to finish on a stop; then they are cancelled."
    )
    log: LogSettings = setting(LogSettings(), Section(LogSettings), "What is logged, and how.")
