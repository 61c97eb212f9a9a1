"""Takes webhooks: a bearer guard, then a signature over the raw body, each event once.

Serve it with ``siphon examples/webhook.py``, then:

    curl -i -H 'Authorization: Bearer s3cr3t' -H 'X-Signature-256: sha256=72f36a0e032e7da951bda636a852b4cfc805606c7520d8c0e884412cc7cfe8f2' -d '{"id": "evt-1", "type": "paid"}' http://127.0.0.1:8080/webhooks
    curl -i -H 'Authorization: Bearer s3cr3t' -H 'X-Signature-256: sha256=72f36a0e032e7da951bda636a852b4cfc805606c7520d8c0e884412cc7cfe8f2' -d '{"id": "evt-1", "type": "paid"}' http://127.0.0.1:8080/webhooks
    curl -i -H 'Authorization: Bearer s3cr3t' -H 'X-Signature-256: sha256=72f36a0e032e7da951bda636a852b4cfc805606c7520d8c0e884412cc7cfe8f2' -d '{"id": "evt-1", "type": "void"}' http://127.0.0.1:8080/webhooks
    curl -i -H 'Authorization: Bearer s3cr3t' -d '{"id": "evt-1", "type": "paid"}' http://127.0.0.1:8080/webhooks
    curl -i -H 'Authorization: Bearer guessed' -d '{"id": "evt-1", "type": "paid"}' http://127.0.0.1:8080/webhooks

WEBHOOK_TOKEN and WEBHOOK_KEY replace the two secrets that these commands are made with.
"""  # noqa: E501 - a command is one line

import hashlib
import hmac
import json
import os
import threading
from collections import OrderedDict

from siphon import http, log

TOKEN = os.environ.get("WEBHOOK_TOKEN", "s3cr3t").encode()
KEY = os.environ.get("WEBHOOK_KEY", "k3y").encode()
REMEMBERED_MAX = 10_000

# A sender repeats an event whose answer it has not seen. For more than one process keep this in a database.
_seen: OrderedDict[str, None] = OrderedDict()
_seen_lock = threading.Lock()


@http.middleware
async def senders_have_the_token(req: http.Request) -> http.Response | None:
    given = (req.header("authorization") or "").encode()
    # compare_digest takes as long for a wrong first letter as for a wrong last one.
    if not hmac.compare_digest(given, b"Bearer " + TOKEN):
        return http.Response(401, {"WWW-Authenticate": "Bearer"}, "unauthorized\n")
    return None


@http.route("/webhooks", methods=["POST"])
async def take(req: http.Request) -> http.Response:
    # The bytes as they came: JSON that is read and written again need not be the same bytes.
    body = req.body()
    if not signed(body, req.header("x-signature-256") or ""):
        return http.Response(403, body="the signature does not fit the body\n")
    try:
        event = json.loads(body)
        identifier, kind = str(event["id"]), str(event["type"])
    except (ValueError, KeyError, TypeError):
        return http.Response(400, body='the body is JSON with an "id" and a "type"\n')
    if not first_time(identifier):
        return http.Response(body="known already\n")
    log.info(f"event {identifier}: {kind}")
    return http.Response(202, body="taken\n")


def signed(body: bytes, signature: str) -> bool:
    expected = "sha256=" + hmac.new(KEY, body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(signature.encode(), expected.encode())


def first_time(identifier: str) -> bool:
    with _seen_lock:
        if identifier in _seen:
            return False
        _seen[identifier] = None
        if len(_seen) > REMEMBERED_MAX:
            _seen.popitem(last=False)
        return True
