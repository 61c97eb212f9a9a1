"""What can be set: frozen dataclasses, each field with its default, its check and its documentation."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from siphon.config.access_format import DEFAULT as DEFAULT_ACCESS_FORMAT
from siphon.config.access_format import AccessFormat
from siphon.config.address import Address, FdAddress, TcpAddress, UnixAddress
from siphon.config.check import (
    AddressText,
    Choice,
    FileText,
    Flag,
    ListOf,
    MapOf,
    Network,
    NetworkText,
    Section,
    Text,
    UrlText,
    Whole,
    computed_setting,
    required_setting,
    setting,
)
from siphon.config.cpus import usable_cpus

__all__ = [
    "Address",
    "AdminSettings",
    "ClientSettings",
    "FdAddress",
    "ListenerSettings",
    "LogFormat",
    "LogLevel",
    "LogSettings",
    "Network",
    "Settings",
    "TcpAddress",
    "ThreadSettings",
    "TlsSettings",
    "UnixAddress",
    "usable_cpus",
]

type LogLevel = Literal["debug", "info", "warning", "error"]
type LogFormat = Literal["text", "json"]

_MILLISECONDS = Whole(1, 2_147_483_647)  # about 24 days
_PER_LISTENER = Whole(1, 1_000_000)
_THREADS = Whole(1, 10_000)


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """The ``tls`` of one listener; its paths are complete once they have been read from ``http.yaml``."""

    cert_path: str = required_setting(FileText(), "The certificate in PEM, then those that lead to its CA.")
    key_path: str | None = setting(
        None, FileText(), "The private key in PEM; it is in the file of cert_path unless it is given."
    )
    client_ca: str | None = setting(
        None,
        FileText(),
        "CA certificates in PEM: only clients with a certificate that these vouch for are let in.",
    )


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """One entry of ``servers``: an address and the limits of its connections."""

    listen: Address = setting(
        TcpAddress("127.0.0.1", 8080),
        AddressText(),
        "Where to listen: host:port, [v6]:port, unix:/path or fd:N; port 0 lets the system choose.",
        override="listen",
    )
    name: str | None = setting(None, Text(), "The name by which a route says that it is served here; unique.")
    tls: TlsSettings | None = setting(
        None, Section(TlsSettings), "The certificate of a listener that speaks TLS; without it, cleartext."
    )
    max_body_bytes: int = setting(1_048_576, Whole(0), "The largest request body in bytes; past it 413.")
    request_timeout_ms: int = setting(
        30_000, _MILLISECONDS, "Time from the complete request to its answer, queueing included; past it 504."
    )
    trusted_proxies: tuple[Network, ...] = setting(
        (),
        ListOf(NetworkText()),
        "Peers whose word on the client counts: addresses and networks; see Behind a proxy.",
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
        False, Flag(), "Whether every connection begins with a PROXY protocol header, version 1 or 2."
    )
    reuse_port: bool = setting(False, Flag(), "Whether another process may listen on the same port.")
    server_header: bool = setting(True, Flag(), "Whether answers carry a Server header.")


@dataclass(frozen=True, slots=True)
class ThreadSettings:
    """How many threads of each kind, and how much work may wait for them."""

    acceptors: int = setting(
        1, Whole(1, 64), "Threads that accept connections and read requests.", override="acceptors"
    )
    secure: int = setting(1, Whole(1, 64), "Threads that do the same for listeners that speak TLS.")
    loops: int = computed_setting(
        usable_cpus,
        Whole(1, 1_024),
        "Threads with an event loop for async handlers; by default one for each usable processor.",
        override="loops",
    )
    blocking_min: int = setting(
        8,
        _THREADS,
        "Threads that are always there in a script with sync handlers or middlewares; never over "
        "blocking_max by default.",
    )
    blocking_max: int = setting(64, _THREADS, "The most threads for sync handlers.", override="blocking_max")
    blocking_queue_max: int = setting(
        256,
        _PER_LISTENER,
        "Requests that may wait for a sync handler's thread, by default 4 x blocking_max; past it 503.",
    )
    client_max: int = setting(
        64, _THREADS, "The most threads for the connections of http.Client, over all clients."
    )
    max_in_flight: int = setting(4_096, _PER_LISTENER, "Requests in work at once; past it 503.")
    stall_after_ms: int = setting(
        30_000,
        Whole(0, 2_147_483_647),
        "Time without progress after which a lane that has work is logged, stacks included; 0: never.",
    )


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """One entry of ``clients``, or an inline ``http.Client``: those with equal ones share connections."""

    base_url: str | None = setting(
        None, UrlText(), "What the client's paths are joined onto; without it calls take whole URLs."
    )
    timeout_ms: int = setting(
        30_000, _MILLISECONDS, "Time for a whole call, from the wait for a connection to the last byte."
    )
    pool_size: int = setting(8, Whole(1, 10_000), "The most HTTP/1.1 connections to one host and port.")
    verify: str | bool = setting(
        True,
        FileText(or_flag=True),
        "A file of CA certificates to trust instead of the system's; false trusts anybody.",
    )
    cert: str | None = setting(
        None,
        FileText(),
        "The client's certificate chain in PEM, for mutual TLS; its key as well unless key is given.",
    )
    key: str | None = setting(None, FileText(), "The private key of cert.")
    http2_prior_knowledge: bool = setting(
        False, Flag(), "Whether http URLs are called in HTTP/2 from the first byte (h2c)."
    )
    max_response_bytes: int = setting(
        67_108_864, Whole(0), "The largest response body in bytes, decoded; past it the call fails."
    )
    decode: bool = setting(True, Flag(), "Whether gzip and deflate are asked for and decoded.")
    follow_redirects: bool = setting(False, Flag(), "Whether a redirect is followed, up to 20 times.")
    retries: int = setting(
        0,
        Whole(0, 100),
        "How many more times a call is tried that found no connection or, if idempotent, lost it.",
    )
    trust_env: bool = setting(
        True, Flag(), "Whether http_proxy, HTTPS_PROXY, ALL_PROXY and NO_PROXY are honoured."
    )


@dataclass(frozen=True, slots=True)
class AdminSettings:
    """The listener for probes and metrics."""

    listen: Address | None = setting(
        None, AddressText(), "Where /healthz, /readyz and /metrics are answered, for nobody but operators."
    )


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
    access_format: str = setting(
        DEFAULT_ACCESS_FORMAT, AccessFormat(), "How a request's line looks as text; its atoms are below."
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that ``http.yaml``, the environment and the command line say."""

    servers: tuple[ListenerSettings, ...] = setting(
        (ListenerSettings(),), ListOf(Section(ListenerSettings), at_least=1), "The listeners."
    )
    threads: ThreadSettings = computed_setting(
        ThreadSettings, Section(ThreadSettings), "Threads, and work that waits for them."
    )
    clients: Mapping[str, ClientSettings] = setting(
        MappingProxyType({}), MapOf(Section(ClientSettings)), "What http.Client(name) stands for."
    )
    max_buffered_bytes: int = setting(
        268_435_456,
        Whole(0),
        "Bytes of request bodies in memory at once, over all connections; past it 503.",
    )
    shutdown_timeout_ms: int = setting(
        30_000, _MILLISECONDS, "Time for requests in work to finish on a stop; then they are cancelled."
    )
    shutdown_delay_ms: int = setting(
        0, Whole(0, 2_147_483_647), "Time on a stop with /readyz at 503 while clients are still accepted."
    )
    admin: AdminSettings = setting(
        AdminSettings(), Section(AdminSettings), "Probes and metrics, on a thread of their own."
    )
    log: LogSettings = setting(LogSettings(), Section(LogSettings), "What is logged, and how.")
