"""examples/rest_api.py without a listener; tests/test_examples.py asks it over a socket."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from siphon import http
from siphon.testing import HttpTestHarness, MockResponse
from tests.examples.serving import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = {"Authorization": "Bearer s3cr3t"}


@pytest.fixture
def harness() -> Iterator[HttpTestHarness]:
    with HttpTestHarness(strict=True) as harness:
        harness.load_script(EXAMPLES / "rest_api.py")
        harness.run_startup()
        yield harness


def test_the_index_greets_the_client(harness: HttpTestHarness) -> None:
    response = harness.request("GET", "/", client="192.0.2.7:4711")
    assert (response.status, response.body) == (200, b"hello, 192.0.2.7:4711\n")


def test_every_answer_says_how_long_it_took(harness: HttpTestHarness) -> None:
    for path in ("/", "/items", "/nowhere"):
        assert harness.request("GET", path).headers["server-timing"].startswith("app;dur=")


def test_items_are_listed_up_to_the_limit(harness: HttpTestHarness) -> None:
    gear, spring = {"id": 1, "name": "gear"}, {"id": 2, "name": "spring"}
    assert json.loads(harness.request("GET", "/items").body) == [gear, spring]
    assert json.loads(harness.request("GET", "/items", query_params={"limit": 1}).body) == [gear]
    assert harness.request("GET", "/items?limit=few").status == 400


def test_an_item_is_added_shown_and_removed(harness: HttpTestHarness) -> None:
    added = harness.request("POST", "/items", headers=TOKEN, body='{"name": "cog"}')
    assert (added.status, json.loads(added.body)) == (201, {"id": 3, "name": "cog"})
    assert harness.request("GET", "/items/3").status == 200
    assert harness.request("DELETE", "/items/3", headers=TOKEN).status == 204
    assert harness.request("GET", "/items/3").status == 404


@pytest.mark.parametrize("body", ["", "[]", "{}", "cog"])
def test_what_is_no_item_is_refused(harness: HttpTestHarness, body: str) -> None:
    assert harness.request("POST", "/items", headers=TOKEN, body=body).status == 400


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_writers_need_the_token(harness: HttpTestHarness, method: str) -> None:
    response = harness.request(method, "/items/1", headers={"Authorization": "Bearer guessed"})
    assert (response.status, response.headers["www-authenticate"]) == (401, "Bearer")


def test_a_user_comes_from_the_api(harness: HttpTestHarness) -> None:
    harness.add_response(MockResponse(200, body=b'{"name":"alice"}'))
    assert harness.request("GET", "/users/42").body == b'{"name":"alice"}'
    (sent,) = harness.sent_requests
    assert (sent["method"], sent["name"], sent["path"]) == ("GET", "api", "/v1/users/42")


def test_without_the_api_there_is_no_user(harness: HttpTestHarness) -> None:
    harness.client_error("/v1/users/42", http.ConnectError)
    assert harness.request("GET", "/users/42").status == 502
    assert harness.log.messages[-1][0] == "warning"


def test_the_shelf_is_counted_at_the_end(harness: HttpTestHarness) -> None:
    harness.run_shutdown()
    assert ("info", "2 items were on the shelf") in harness.log.messages
