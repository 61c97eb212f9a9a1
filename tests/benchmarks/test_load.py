"""wrk sends what a load says, and what it saw is read back."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
from time import perf_counter

import pytest

from benchmarks import load
from benchmarks.apps.tally import Tally
from benchmarks.load import Load
from benchmarks.process import Running
from benchmarks.scenarios import SCENARIOS
from benchmarks.servers import siphon

pytestmark = pytest.mark.skipif(
    shutil.which("wrk") is None and not os.environ.get("CI"), reason="wrk is not installed"
)


def test_methods_headers_and_bodies_are_sent() -> None:
    with Running(siphon("siphon_app")) as running:
        for name in ("json", "echo"):
            loads = SCENARIOS[name].cases[0].loads
            (measured,) = load.run(loads, running.port, 1)
            assert measured.requests > 100
            # Without its body or its query parameter a request would be answered with a 500.
            assert (measured.failed, measured.timed_out) == (0, 0)
        (measured,) = load.run((Load("/json", 2, method="POST"),), running.port, 1)
        assert measured.failed > measured.requests == 0


def test_as_many_requests_as_the_load_says_are_sent_before_the_first_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        port = listener.getsockname()[1]
        received = b""

        def receive() -> None:
            nonlocal received
            sock, _ = listener.accept()  # wrk's first connection tries whether anybody is there
            sock.close()
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(30)
                while data := sock.recv(65_536):
                    received += data

        receiver = threading.Thread(target=receive)
        receiver.start()
        load.run((Load("/", 1, depth=16),), port, 1)
        receiver.join()
    assert received.count(b"GET / HTTP/1.1\r\n") == 16


def test_what_is_no_answer_of_wrk_ends_the_run() -> None:
    with pytest.raises(SystemExit, match="unable to connect"):
        load.run((Load("/", 1),), 1, 1)


def test_a_tally_gives_what_the_harness_reads() -> None:
    tally = Tally()
    assert load.Measured(**json.loads(tally.as_json())).requests == 0
    tally.count(perf_counter() - 0.2)
    figures = load.Measured(**json.loads(tally.as_json()))
    assert (figures.requests, figures.over_100_ms) == (1, 1)
    assert 200 <= figures.p50_ms == figures.p999_ms == figures.max_ms
