"""What the documents say against what the code does."""

from __future__ import annotations

import dataclasses
import re
import signal
from typing import TYPE_CHECKING, Any

import pytest

from siphon.config.access_format import ATOMS
from siphon.config.check import ListOf, Section, settings_of
from siphon.config.load import Overrides, load
from siphon.config.settings import AdminSettings, ListenerSettings, LogSettings, Settings, ThreadSettings
from siphon.wire.states import OWNERS, TABLE
from tests.client import Client
from tests.command import PORT_0, ROOT, Command, write

if TYPE_CHECKING:
    from pathlib import Path

README = (ROOT / "README.md").read_text(encoding="utf-8")
DESIGN = (ROOT / "docs/design.md").read_text(encoding="utf-8")
CONFIGURATION = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def tables(text: str) -> list[list[list[str]]]:
    """The bodies of all tables, as cells."""
    found: list[list[list[str]]] = []
    for match in re.finditer(r"^\|[^\n]*\|\n\|[-|]+\|\n((?:\|[^\n]*\|\n)*)", text, re.MULTILINE):
        rows = match[1].splitlines()
        found.append([[cell.strip() for cell in row.strip("|").split("|")] for row in rows])
    return found


def table(text: str, heading: str) -> list[list[str]]:
    """The first table under a heading."""
    return tables(text[text.index(f"\n{heading}\n") :])[0]


# The design ------------------------------------------------------------------------------------


def test_the_table_of_states_is_that_of_the_code() -> None:
    documented = {
        state: (owner, dict(move.split(" → ") for move in moves.split("; ")) if moves else {})
        for state, owner, moves in table(DESIGN, "## Who owns a connection")
    }
    assert documented == {state: (OWNERS[state], dict(moves)) for state, moves in TABLE.items()}


def test_every_file_that_the_design_names_is_there() -> None:
    named = re.findall(r"`((?:\w+/)*\w+\.py)`", DESIGN)
    assert len(named) > 15
    assert not [name for name in named if not (ROOT / "siphon" / name).exists()]


def test_the_threads_of_a_server_are_those_in_the_table(tmp_path: Path) -> None:
    write(tmp_path, "app.py", THREADS_SCRIPT)
    write(tmp_path, "http.yaml", "admin: {listen: '127.0.0.1:0'}")
    with Command("app.py", *PORT_0, "--acceptors", "2", "--loops", "3", cwd=tmp_path).started() as command:
        (admin,) = re.findall(r"  admin on http://127\.0\.0\.1:(\d+)\n", command.banner)
        with Client(("127.0.0.1", int(admin))) as client:
            client.get("/metrics")
        names = command.connect().get("/").body.decode().split()
        command.signal(signal.SIGTERM)
        assert command.ended()[0] == 0
    documented = {row[0].strip("`").replace("-N", "") for row in table(DESIGN, "## Threads")} - {"main"}
    assert {re.sub(r"-\d+$", "", name) for name in names} == documented | {"MainThread"}
    assert sum("acceptor" in name for name in names) == 2
    assert sum("loop" in name for name in names) == 3
    assert sum("blocking" in name for name in names) == ThreadSettings().blocking_min


THREADS_SCRIPT = """
import threading
from siphon import http, log

@http.route("/")
async def names(req):
    log.info("the log's own thread starts with the first line")
    return http.Response(body=" ".join(thread.name for thread in threading.enumerate()))
"""


def test_the_deadlines_name_settings_that_exist() -> None:
    known = {field.name for section in (ListenerSettings, Settings) for field in dataclasses.fields(section)}
    for _, setting, _ in table(DESIGN, "## Deadlines"):
        names = re.findall(r"`(\w+)`", setting)
        assert names
        assert set(names) <= known


# The configuration -----------------------------------------------------------------------------


def described(section: type[Any]) -> list[list[str]]:
    """The rows that a section's settings call for; sections in it have tables of their own."""
    rows = []
    for field in dataclasses.fields(section):
        setting = settings_of(section)[field.name]
        check = setting.check
        if isinstance(check, Section) or (isinstance(check, ListOf) and isinstance(check.entry, Section)):
            continue
        also = f"`{setting.option}`, `{setting.variable}`" if setting.override else ""
        rows.append([f"`{field.name}`", shown_default(field), setting.doc, also])
    return rows


def shown_default(field: dataclasses.Field[Any]) -> str:
    if field.default is dataclasses.MISSING:
        return "usable processors"
    if field.default is None:
        return "none"
    if field.default == ():
        return "[]"
    return str(field.default).lower() if isinstance(field.default, bool) else str(field.default)


@pytest.mark.parametrize(
    ("heading", "section"),
    [
        ("## `servers[]`", ListenerSettings),
        ("## `threads`", ThreadSettings),
        ("## `admin`", AdminSettings),
        ("## `log`", LogSettings),
        ("## At the top", Settings),
    ],
)
def test_every_setting_is_documented_with_its_default(heading: str, section: type[Any]) -> None:
    assert table(CONFIGURATION, heading) == described(section)


def test_every_atom_of_the_access_log_is_documented() -> None:
    rows = tables(CONFIGURATION[CONFIGURATION.index("\n## `log`\n") :])[1]
    assert [re.fullmatch(r"`%\((\w+)\)[sdf]`", row[0])[1] for row in rows] == list(ATOMS)  # type: ignore[index]


@pytest.mark.parametrize("text", blocks(CONFIGURATION, "yaml") + blocks(README, "yaml"))
def test_the_documented_configurations_are_valid(tmp_path: Path, text: str) -> None:
    write(tmp_path, "http.yaml", text)
    settings = load(tmp_path / "app.py", config=None, environ={}, overrides=Overrides())
    assert settings.servers[0].trusted_proxies


# The README and how to take part ---------------------------------------------------------------


def test_the_script_of_the_readme_starts_with_the_banner_that_is_shown(tmp_path: Path) -> None:
    write(tmp_path, "hello.py", blocks(README, "python")[0])
    shown = blocks(README, "console")[0]
    assert shown.startswith("$ python3.13t -m siphon hello.py\n")
    with Command("hello.py", *PORT_0, "--loops", "2", cwd=tmp_path).started() as command:
        expected = shown.splitlines()[2:]
        found = command.banner.replace(f":{command.ports[0]}", ":8080").splitlines()[1:]
        assert found == expected
        answer = command.connect().get("/reports/7")
        assert (answer.status, answer.body) == (200, b"report 7\n")
        assert (answer.get("server-timing") or "").startswith("app;dur=")


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_the_verbs_that_are_named_exist(text: str) -> None:
    verbs = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)", text)) | set(
        re.findall(r"^make ([a-z-]+)", text, re.MULTILINE)
    )
    assert named
    assert named <= verbs


@pytest.mark.parametrize("text", [README, CONTRIBUTING, DESIGN], ids=["README", "CONTRIBUTING", "design"])
def test_links_and_named_files_lead_somewhere(text: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("http")]
    files = re.findall(r"`((?:tests|examples|benchmarks|docs)/[\w/.]+\.\w+)`", text)
    assert not [name for name in links + files if not (ROOT / name).exists()]
