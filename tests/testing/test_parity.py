"""What the harness answers is what a server answers, byte for byte but for Date and Connection."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest

from siphon.testing import HttpTestHarness
from tests.client import request
from tests.testing.asked import LIMITS, REQUESTS, SCRIPT, Asked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.service import Service

type Told = tuple[int, list[tuple[str, str]], bytes]

# Without its middlewares the script's async handlers begin on a loop, and its sync ones stay on a thread.
BARE = re.sub(r"@http\.middleware\n", "", SCRIPT)


def over_the_socket(service: Service, asked: Asked) -> Told:
    fields = [f"{name}: {value}" for name, value in asked.fields]
    names = {name.lower() for name, _ in asked.fields}
    framed = bool({"content-length", "transfer-encoding"} & names)
    data = request(asked.target, *fields, method=asked.method, body=None if framed else asked.body)
    if "host" in names:
        data = data.replace(b"Host: test\r\n", b"", 1)
    with service.connect() as client:
        answer = client.send(data + (asked.body or b"" if framed else b"")).answer(asked.method)
    kept = [field for field in answer.fields if field[0] not in ("date", "connection")]
    return answer.status, kept, answer.body


def in_process(harness: HttpTestHarness, asked: Asked) -> Told:
    names = {name.lower() for name, _ in asked.fields}
    fields = asked.fields if "host" in names else (("Host", "test"), *asked.fields)
    answer = harness.request(asked.method, asked.target, headers=fields, body=asked.body)
    kept = [(name.lower(), value) for name, value in answer.headers.pairs]
    return answer.status, [field for field in kept if field[0] not in ("date", "connection")], answer.body


@pytest.fixture(params=[SCRIPT, BARE], ids=["middlewares", "bare"])
def both(
    request: pytest.FixtureRequest, serve: Callable[..., Service]
) -> Iterator[tuple[Service, HttpTestHarness]]:
    service = serve(request.param, trusted_proxies=(ip_network("127.0.0.1"),), **LIMITS)
    config = {"servers": [{**LIMITS, "trusted_proxies": ["127.0.0.1"]}]}
    with HttpTestHarness(config) as harness:
        harness.load_source(request.param)
        yield service, harness


def test_there_are_150_requests_and_no_two_alike() -> None:
    assert len(set(REQUESTS)) == len(REQUESTS) >= 150


def test_the_harness_answers_as_a_server_does(both: tuple[Service, HttpTestHarness]) -> None:
    service, harness = both
    differing = []
    statuses = set()
    for asked in REQUESTS:
        expected, found = over_the_socket(service, asked), in_process(harness, asked)
        statuses.add(expected[0])
        if found != expected:
            differing.append((asked, expected, found))
    assert not differing
    assert {200, 204, 304, 400, 404, 405, 408, 413, 414, 417, 431, 500, 504} <= statuses
