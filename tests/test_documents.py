"""What the documents say against what the code does."""

from __future__ import annotations

import dataclasses
import re
import signal
from typing import TYPE_CHECKING

import pytest

from scripts import tables as tables_drawn
from siphon import http, metrics
from siphon.client.clients import Clients
from siphon.config.access_format import ATOMS
from siphon.config.settings import ListenerSettings, Settings, ThreadSettings
from siphon.threads.exposition import Exposition
from siphon.threads.lanes import Lanes
from siphon.threads.tally import Tally
from siphon.threads.watchdog import Watchdog
from siphon.wire.states import OWNERS, TABLE
from tests.client import Client
from tests.command import PORT_0, ROOT, Command, write
from tests.page import blocks

if TYPE_CHECKING:
    from pathlib import Path

    from tests.certificates import Certificates

README = (ROOT / "README.md").read_text(encoding="utf-8")
DESIGN = (ROOT / "docs/design.md").read_text(encoding="utf-8")
CONFIGURATION = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
DEPLOYMENT = (ROOT / "docs/deployment.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


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


def test_every_file_that_the_design_names_is_there() -> None:
    named = re.findall(r"`((?:\w+/)*\w+\.py)`", DESIGN)
    assert len(named) > 15
    assert not [name for name in named if not (ROOT / "siphon" / name).exists()]


def test_the_threads_of_a_server_are_those_in_the_table(tmp_path: Path, certificates: Certificates) -> None:
    write(tmp_path, "app.py", THREADS_SCRIPT)
    servers = f"servers: [{{}}, {{tls: {{cert_path: {certificates.server.combined}}}}}]"
    write(tmp_path, "http.yaml", f"{servers}\nthreads: {{secure: 2}}\nadmin: {{listen: '127.0.0.1:0'}}\n")
    options = [*PORT_0, *PORT_0, "--acceptors", "2", "--loops", "3"]
    with Command("app.py", *options, cwd=tmp_path).started() as command:
        (admin,) = re.findall(r"  admin on http://127\.0\.0\.1:(\d+)\n", command.banner)
        with Client(("127.0.0.1", int(admin))) as client:
            client.get("/metrics")
        names = command.connect().get(f"/{command.ports[0]}").body.decode().split()
        command.signal(signal.SIGTERM)
        assert command.ended()[0] == 0
    documented = {row[0].strip("`").replace("-N", "") for row in table(DESIGN, "## Threads")} - {"main"}
    assert {re.sub(r"-\d+$", "", name) for name in names} == documented | {"MainThread"}
    assert sum("acceptor" in name for name in names) == 2
    assert sum("secure" in name for name in names) == 2
    assert sum("loop" in name for name in names) == 3
    assert sum("blocking" in name for name in names) == ThreadSettings().blocking_min


def test_the_threads_of_the_diagram_are_in_the_table() -> None:
    (diagram,) = [block.text for block in blocks(DESIGN) if block.language == "text"]
    documented = {row[0].strip("`") for row in table(DESIGN, "## Threads")}
    drawn = set(re.findall(r"│ +(siphon-[\w-]+|main) +│", diagram))
    assert drawn >= {"main", "siphon-acceptor-N", "siphon-loop-N", "siphon-blocking-N"}
    assert drawn <= documented


THREADS_SCRIPT = """
import socket
import threading
from siphon import http, log

seen = set()
ask = socket.getaddrinfo

def noted(*arguments, **options):
    seen.add(threading.current_thread().name)
    return ask(*arguments, **options)

socket.getaddrinfo = noted

@http.route("/{port}")
async def names(req):
    log.info("the log's own thread starts with the first line")
    async with http.Client(base_url=f"http://localhost:{req.path_params['port']}") as client:
        await client.get("/")
    seen.update(thread.name for thread in threading.enumerate())
    return http.Response(body=" ".join(seen))

@http.route("/blocking")
def blocking(req):
    return http.Response()
"""


def test_the_deadlines_name_settings_that_exist() -> None:
    known = {field.name for section in (ListenerSettings, Settings) for field in dataclasses.fields(section)}
    for _, setting, _ in table(DESIGN, "## Deadlines"):
        names = re.findall(r"`(\w+)`", setting)
        assert names
        assert set(names) <= known


# Tables that are drawn from the code --------------------------------------------------------------


@pytest.mark.parametrize("page", tables_drawn.pages(), ids=lambda page: page.name)
def test_the_tables_of_a_page_are_those_of_the_code(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == tables_drawn.drawn(text), "make format brings the tables up to date"


def test_every_section_of_the_configuration_has_a_table() -> None:
    headings = re.findall(r"^## (.+)$", tables_drawn.settings(), re.MULTILINE)
    sections = {"`servers[]`", "`servers[].tls`", "`threads`", "`clients.<name>`", "`log`", "At the top"}
    assert sections <= set(headings)
    rows = tables(tables_drawn.settings())
    assert len(rows) == len(headings)
    assert all(all(meaning for _, _, meaning, _ in one) for one in rows)


def test_every_atom_of_the_access_log_is_documented() -> None:
    rows = table(CONFIGURATION, "## The access log")
    assert [cell.strip("`sdf") for cell, _ in rows] == [f"%({atom})" for atom in ATOMS]


def test_every_metric_is_documented_with_its_labels() -> None:
    lanes = Lanes(ThreadSettings(), access_log=False, dev=False, tally=Tally())
    assert lanes.tally is not None
    lanes.tally.new_cells().answered("/", "GET", 200, 0.1)
    lanes.tally.new_cells()
    exposition = Exposition(lanes.tally, lanes, [], [], Watchdog(lanes, 1.0), Clients({}, 1))
    given = {family.name: tuple(getattr(family, "_labelnames", ())) for family in exposition._own()}
    documented = {
        re.sub(r"_total$|_info$", "", name.strip("`")): tuple(labels.split(", ")) if labels else ()
        for name, labels, _ in table(DEPLOYMENT, "## Watching it")
    }
    assert documented.pop("siphon_build") == ("version", "python")
    assert given.pop("siphon_build") == ()
    assert given == documented


def test_the_states_and_moves_are_all_drawn() -> None:
    (rows,) = tables(tables_drawn.states())
    assert {state: (owner, moves.count("→")) for state, owner, moves in rows} == {
        state: (OWNERS[state], len(moves)) for state, moves in TABLE.items()
    }


# The script API ----------------------------------------------------------------------------------


def test_every_name_that_a_script_can_use_is_in_the_script_api() -> None:
    page = (ROOT / "docs/script-api.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^::: siphon\.(?:\w+\.)*(\w+)$", page, re.MULTILINE))
    assert set(http.__all__) - shown == {"HttpStatusError"}
    assert "`http.HttpStatusError` is `http.HTTPStatusError`" in page
    assert "::: siphon.log\n" in page
    assert "::: siphon.metrics\n" in page
    assert metrics.__all__


# The README and how to take part ---------------------------------------------------------------


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_the_verbs_that_are_named_exist(text: str) -> None:
    verbs = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)", text)) | set(
        re.findall(r"^make ([a-z-]+)", text, re.MULTILINE)
    )
    assert named
    assert named <= verbs


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_named_files_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith(("http", "#"))]
    assert not [link for link in links if not (page.parent / link.partition("#")[0]).exists()]
    named = re.findall(r"`((?:tests|examples|benchmarks|deploy|docs|scripts)/[\w/.-]+\.\w+)`", text)
    assert not [name for name in named if not (ROOT / name).exists()]
