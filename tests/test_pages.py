"""Every code block of the documents is run, and every claim about a command is checked."""

from __future__ import annotations

import re
import shutil
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.command import ROOT
from tests.page import Player, agrees, blocks, commands

if TYPE_CHECKING:
    from pathlib import Path

    from tests.certificates import Certificates

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# That page has scripts for other frameworks as well: tests/test_migrating.py runs them.
PLAYED = [page for page in PAGES if page.name != "migrating.md"]
NAME = re.search(r'^name = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
VERBS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))

FILES = ("--file", "--filename")


@pytest.mark.parametrize("page", PLAYED, ids=lambda page: page.name)
def test_every_block_of_a_page_does_what_it_says(
    page: Path, tmp_path: Path, certificates: Certificates
) -> None:
    named = {"cert.pem": certificates.server.certificate, "key.pem": certificates.server.key}
    for name, path in (named | {"clients.pem": certificates.authority.certificate}).items():
        shutil.copy(path, tmp_path / name)
    with Player(tmp_path) as player:
        for block in blocks(page.read_text(encoding="utf-8")):
            player.play(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_only_shown_can_be_given(page: Path) -> None:
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.language != "sh":
            continue
        for line in block.text.splitlines():
            command = line.partition("  #")[0].strip()
            if command:
                assert can_be_given(command), f"{page.name}:{block.line}: {command}"


def can_be_given(command: str) -> bool:
    """Whether a command names what is there: a verb, this distribution, a file of the repository."""
    assert NAME is not None
    words = command.split()
    match words:
        case ["make", verb, *rest]:
            return verb in VERBS and all((ROOT / one.partition("=")[2]).exists() for one in rest)
        case ["pip", "install", distribution]:
            return distribution == NAME[1]
        case ["git", "clone", _] | ["cd", _]:
            return True
        case ["docker" | "kubectl", *options]:
            files = [value for name, value in pairwise(options) if name in FILES]
            return bool(files) and all((ROOT / one).exists() for one in files)
        case _:
            return False


def test_the_player_is_not_easily_content() -> None:
    assert agrees("a\nb\n", "a\n...\n")
    assert agrees("a 12 b", "a ... b")
    assert not agrees("a\nb\n", "a\n")
    assert not agrees("a\n", "a\nb\n")
    assert list(commands("$ one \\\n    two\nsaid\n$ three\n")) == [("one two", "said\n"), ("three", "")]
    with pytest.raises(ValueError, match="3 fences"):
        blocks("```sh\nls\n```\n\n```")


def test_the_player_fails_where_a_page_is_wrong(tmp_path: Path) -> None:
    for text in (
        '```python title="app.py"\nraise ValueError\n```\n',
        '```yaml title="http.yaml"\nserver: []\n```\n',
        "```console\n$ echo a\nb\n```\n",
        "```rust\n```\n",
        '```python\n--8<-- "examples/none.py"\n```\n',
    ):
        (block,) = blocks(text)
        with Player(tmp_path) as player, pytest.raises(Exception):  # noqa: B017, PT011 - any will do
            player.play(block)
