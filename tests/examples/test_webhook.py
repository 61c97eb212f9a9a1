"""examples/webhook.py: over a socket, and without a listener."""

from __future__ import annotations

import hashlib
import hmac
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from siphon.testing import HttpTestHarness
from tests.curl import commands, first_lines
from tests.examples.serving import EXAMPLES, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.client import Answer
    from tests.command import Command

SCRIPT = EXAMPLES / "webhook.py"
TOKEN = "Authorization: Bearer t"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    variables = {"WEBHOOK_TOKEN": "t", "WEBHOOK_KEY": "k"}
    with serving("webhook.py", tmp_path_factory.mktemp("webhook"), variables) as command:
        yield command


def signature(body: bytes, key: bytes = b"k") -> str:
    return f"X-Signature-256: sha256={hmac.new(key, body, hashlib.sha256).hexdigest()}"


def send(served: Command, body: bytes, *fields: str) -> Answer:
    return served.connect().get("/webhooks", *fields, method="POST", body=body)


def event(identifier: str) -> bytes:
    return json.dumps({"id": identifier, "type": "paid"}).encode()


def test_the_documented_commands_are_answered_as_they_should_be(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("webhook")
    with serving("webhook.py", folder) as command:
        found = first_lines(commands(SCRIPT), {8080: command.ports[0]}, cwd=folder)
    assert found == [
        "HTTP/1.1 202 Accepted",
        "HTTP/1.1 200 OK",
        "HTTP/1.1 403 Forbidden",
        "HTTP/1.1 403 Forbidden",
        "HTTP/1.1 401 Unauthorized",
    ]


@pytest.mark.parametrize(
    "fields",
    [
        (),
        ("Authorization: Bearer u",),
        ("Authorization: Bearer ",),
        ("Authorization: Bearer tt",),
        ("Authorization: bearer t",),
        ("Authorization: \xe9",),
    ],
)
def test_without_the_token_a_good_signature_is_not_even_looked_at(
    served: Command, fields: tuple[str, ...]
) -> None:
    body = event("never")
    answer = send(served, body, signature(body), *fields)
    assert (answer.status, answer.get("www-authenticate")) == (401, "Bearer")


def test_the_signature_covers_the_bytes_and_not_what_they_mean(served: Command) -> None:
    body = event("spaces")
    spaced = body.replace(b": ", b":  ")
    assert json.loads(body) == json.loads(spaced)
    assert send(served, spaced, TOKEN, signature(body)).status == 403
    assert send(served, spaced, TOKEN, signature(spaced)).status == 202


@pytest.mark.parametrize("field", ["X-Signature-256: ", "X-Signature-256: sha256=\xe9", "X-Other: 1"])
def test_a_signature_that_is_none_is_refused(served: Command, field: str) -> None:
    assert send(served, event("unsigned"), TOKEN, field).status == 403


def test_a_signature_with_another_key_is_refused(served: Command) -> None:
    body = event("foreign")
    assert send(served, body, TOKEN, signature(body, b"l")).status == 403


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"id": "1"}', b"1"])
def test_a_signed_body_that_is_no_event_is_the_senders_fault(served: Command, body: bytes) -> None:
    assert send(served, body, TOKEN, signature(body)).status == 400


def test_an_event_that_is_sent_by_many_at_once_is_taken_once(served: Command) -> None:
    body = event("once")
    connections = [served.connect() for _ in range(16)]
    fields = (TOKEN, signature(body))
    with ThreadPoolExecutor(16) as pool:
        asked = [pool.submit(one.get, "/webhooks", *fields, method="POST", body=body) for one in connections]
        statuses = sorted(one.result().status for one in asked)
    assert statuses == [200] * 15 + [202]


# Without a listener ------------------------------------------------------------------------------


def test_an_event_is_taken_logged_and_then_known() -> None:
    body = event("evt-7")
    headers = {"Authorization": "Bearer s3cr3t", "X-Signature-256": signature(body, b"k3y").partition(" ")[2]}
    with HttpTestHarness() as harness:
        harness.load_script(SCRIPT)
        statuses = [harness.request("POST", "/webhooks", headers=headers, body=body).status for _ in range(2)]
        assert statuses == [202, 200]
        assert harness.log.messages == [("info", "event evt-7: paid")]
