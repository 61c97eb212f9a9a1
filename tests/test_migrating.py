"""docs/migrating.md: the scripts of each pair, asked the same, answer the same."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from siphon.testing import HttpTestHarness
from tests.command import ROOT, environment
from tests.page import blocks
from tests.tools import of_docs

if TYPE_CHECKING:
    from pathlib import Path

PAGE = blocks((ROOT / "docs/migrating.md").read_text(encoding="utf-8"))
TOKEN = {"Authorization": "Bearer s3cr3t", "Content-Type": "application/json"}
NOTES = [
    ("GET", "/notes", {}, ""),
    ("GET", "/notes?q=fir", {}, ""),
    ("GET", "/notes?q=second", {}, ""),
    ("GET", "/notes/1", {}, ""),
    ("POST", "/notes", {}, '{"text": "second"}'),
    ("POST", "/notes", TOKEN, '{"text": "second"}'),
    ("GET", "/notes/2", {}, ""),
    ("HEAD", "/notes/2", {}, ""),
]
STOCK = [
    ("GET", "/stock/gear", {}, ""),
    ("GET", "/stock/cog", {}, ""),
    ("POST", "/stock", TOKEN, '{"name": "cog", "count": 3}'),
    ("POST", "/stock", TOKEN, '{"name": "cog", "count": 4}'),
    ("GET", "/stock/cog", {}, ""),
]
# Without a body to compare: each words these in its own way.
REFUSED = {
    "notes": [("GET", "/notes/9", {}, ""), ("GET", "/notes/x", {}, ""), ("PUT", "/notes", TOKEN, "")],
    "stock": [("POST", "/stock", TOKEN, '{"name": "cog"}'), ("POST", "/stock", TOKEN, "[]")],
}

FLASK = """
import json, sys
from notes_flask import app
client = app.test_client()
def ask(method, path, headers, body):
    answer = client.open(path, method=method, headers=headers, data=body)
    return answer.status_code, dict(answer.headers), answer.text
print(json.dumps([ask(*one) for one in json.load(sys.stdin)]))
"""
FASTAPI = """
import asyncio, json, sys
import httpx
from stock_fastapi import app
async def main():
    async with app.router.lifespan_context(app):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            found = []
            for method, path, headers, body in json.load(sys.stdin):
                answer = await client.request(method, path, headers=headers, content=body)
                found.append((answer.status_code, dict(answer.headers), answer.text))
            print(json.dumps(found))
asyncio.run(main())
"""


def asked_before(program: str, requests: list[Any], folder: Path) -> list[Any]:
    """What the other framework's script answers, in the interpreter that has the framework."""
    done = subprocess.run(
        [of_docs("python"), "-c", program],
        input=json.dumps(requests),
        cwd=folder,
        env=environment({"PYTHONPATH": str(folder)}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


def asked_after(script: Path, requests: list[Any]) -> list[Any]:
    """What siphon's script answers."""
    with HttpTestHarness() as harness:
        harness.load_script(script)
        harness.run_startup()
        answers = [
            harness.request(method, path, headers=headers, body=body or None)
            for method, path, headers, body in requests
        ]
        harness.run_shutdown()
    return [(answer.status, dict(answer.headers), answer.body.decode()) for answer in answers]


@pytest.mark.parametrize(
    ("name", "program", "requests", "field"),
    [("notes", FLASK, NOTES, "cache-control"), ("stock", FASTAPI, STOCK, "x-served-by")],
)
def test_a_script_answers_as_the_one_it_replaces(
    tmp_path: Path, name: str, program: str, requests: list[Any], field: str
) -> None:
    for block in PAGE:
        (tmp_path / block.title).write_text(block.text, encoding="utf-8")
    asked = [*requests, *REFUSED[name]]
    before, after = asked_before(program, asked, tmp_path), asked_after(tmp_path / f"{name}.py", asked)
    assert [status for status, _, _ in after] == [status for status, _, _ in before]
    for (_, old, old_body), (_, new, new_body) in zip(before, after[: len(requests)], strict=False):
        assert meant(new_body) == meant(old_body)
        assert lower(new)[field] == lower(old)[field]
        if new_body.startswith(("{", "[", '"')):
            assert lower(new)["content-type"] == lower(old)["content-type"]


def meant(body: str) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body


def lower(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def test_every_block_of_the_page_is_of_a_pair() -> None:
    assert [block.title for block in PAGE] == [
        "notes_flask.py",
        "notes.py",
        "stock_fastapi.py",
        "stock.py",
    ]


def test_what_takes_the_place_of_blueprints_and_g(tmp_path: Path) -> None:
    (tmp_path / "admin.py").write_text(
        "from siphon import http\n"
        "@http.route('/admin')\n"
        "async def admin(req): return http.Response(body=req.user)\n"
    )
    (tmp_path / "app.py").write_text(
        "from siphon import http\nimport admin\n@http.middleware\ndef who(req): req.user = 'ada'\n"
    )
    with HttpTestHarness() as harness:
        harness.load_script(tmp_path / "app.py")
        assert harness.request("GET", "/admin").body == b"ada"
