"""Requests that carry something, and answers that do."""

from __future__ import annotations

import json
from typing import Final

from benchmarks import gil
from benchmarks.apps import work
from benchmarks.load import Load
from benchmarks.peers import granians, uvicorn
from benchmarks.scenario import Scenario, case
from benchmarks.servers import siphon

_AGENT: Final = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
# What a browser sends with a request for a page.
_BROWSER: Final = (
    ("User-Agent", _AGENT),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Language", "de,en-US;q=0.7,en;q=0.3"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Cookie", "session=8e1f2c0a9b7d4e6f; theme=dark; consent=2026-01-15"),
    ("Upgrade-Insecure-Requests", "1"),
    ("Sec-Fetch-Dest", "document"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Site", "same-origin"),
    ("Sec-Fetch-User", "?1"),
    ("Priority", "u=0, i"),
)
_ECHO: Final = (
    Load(
        "/echo/alice?page=3&q=black+coffee&sort=name",
        64,
        headers=_BROWSER,
        expected=work.echo("alice", "black coffee", _AGENT),
    ),
)


def _order() -> str:
    """An order of 1 KiB, as JSON."""
    lines = [{"sku": f"A-{number:04}", "count": number, "cents": 100 + number} for number in range(1, 22)]
    text = json.dumps({"id": 4711, "lines": lines, "note": ""})
    return json.dumps({"id": 4711, "lines": lines, "note": "n" * (1_024 - len(text))})


_ORDER: Final = _order()
_JSON: Final = (
    Load(
        "/json",
        64,
        method="POST",
        headers=(("Content-Type", "application/json"),),
        body=_ORDER,
        expected=work.total(_ORDER.encode()),
    ),
)
_UPLOAD: Final = (
    Load(
        "/upload",
        64,
        method="POST",
        headers=(("Content-Type", "application/octet-stream"),),
        body="0123456789abcdef" * 4_096,
        expected=b"65536",
    ),
)
_DOWNLOAD: Final = (Load("/download", 16, expected=work.DOWNLOAD),)


def _among_async(name: str, about: str, loads: tuple[Load, ...]) -> Scenario:
    servers = (*granians("rsgi"), *granians("asgi"), uvicorn())
    return Scenario(
        name, about, (case(siphon("siphon_app"), loads), *(case(server, loads) for server in servers))
    )


def echo() -> Scenario:
    """A page's request as a browser makes it."""
    return _among_async(
        "echo",
        "A browser's eleven headers; the answer has a path parameter, a query parameter and a header in it.",
        _ECHO,
    )


def echo_gil() -> Scenario:
    """The same beside servers on a Python with a GIL."""
    servers = [
        make(workers)
        for make in (
            gil.uvicorn,
            lambda workers: gil.granian("rsgi", workers),
            lambda workers: gil.peregrine("asgi", workers),
            lambda workers: gil.fastpysgi("asgi", workers),
        )
        for workers in (1, 2)
    ]
    return Scenario(
        "echo_gil",
        "The same as echo: siphon on free-threaded Python, the others on one with a GIL.",
        (case(siphon("siphon_app"), _ECHO), *(case(server, _ECHO) for server in servers)),
    )


def json_post() -> Scenario:
    """A small document in and out."""
    return _among_async("json", "POST of 1 KiB of JSON that is read, summed up and answered in JSON.", _JSON)


def upload() -> Scenario:
    """A body that is larger than a read."""
    return _among_async("upload", "POST of 64 KiB, answered with its length.", _UPLOAD)


def download() -> Scenario:
    """A body that is larger than the system takes at once."""
    return _among_async("download", "An answer of 1 MiB, 16 connections.", _DOWNLOAD)
