"""The SDK's names, and its documentation's example as it is written there."""

from __future__ import annotations

import gc
import threading
from typing import TYPE_CHECKING

import pytest

import siphon_sdk
import siphon_sdk.http
import siphon_sdk.http_testing
from siphon import http, testing
from siphon_sdk.http import MockResponse
from siphon_sdk.http_testing import HttpTestHarness
from tests.command import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """The documentation's example closes no harness: the next test must not see it end."""
    before = set(threading.enumerate())
    yield
    gc.collect()
    for thread in set(threading.enumerate()) - before:
        if thread.name != "siphon-log":
            thread.join(20)
            assert not thread.is_alive()


def test_user_proxy():  # type: ignore[no-untyped-def] # as the documentation has it
    harness = HttpTestHarness()
    # canned upstream response for the outbound http.Client call
    harness.add_response(MockResponse(status=200, body=b'{"name":"alice"}'))
    harness.load_script("examples/rest_api.py")

    resp = harness.request("GET", "/users/42")
    assert resp.status == 200

    # assert on what the script sent upstream
    assert harness.sent_requests[0]["path"] == "/v1/users/42"


def test_the_sdks_names_are_siphons() -> None:
    assert siphon_sdk.HttpTestHarness is siphon_sdk.http_testing.HttpTestHarness is testing.HttpTestHarness
    assert siphon_sdk.http.MockResponse is http.Response
    assert siphon_sdk.http.MockRequest is testing.MockRequest
    assert issubclass(siphon_sdk.http.MockRequest, http.Request)
    assert siphon_sdk.http.MockClient is http.Client
    assert siphon_sdk.http.HttpStatusError is http.HTTPStatusError


def test_the_example_answers_502_where_the_users_server_does_not_answer() -> None:
    with HttpTestHarness() as harness:
        harness.load_script("examples/rest_api.py")
        harness.client_error("/v1/users/4%2F2", http.TimeoutError)
        assert harness.request("GET", "/users/4%2F2").status == 502
