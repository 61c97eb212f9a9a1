"""The tables of the documents that are drawn from the code.

``python scripts/tables.py`` writes them into the pages, between the comments that name them;
``tests/test_documents.py`` holds the pages to what it would write. ``make format`` runs it as well.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from siphon.config.check import ListOf, MapOf, Section, settings_of
from siphon.config.cpus import usable_cpus
from siphon.config.settings import Settings
from siphon.options import parser
from siphon.wire.states import OWNERS, TABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from siphon.config.check import Check, Setting

ROOT: Final = Path(__file__).resolve().parent.parent
_REGION: Final = re.compile(r"(<!-- drawn from the code: (\w+) -->\n)(.*?)(<!-- end -->\n)", re.DOTALL)


def main() -> None:
    """Writes the pages that are behind the code."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        fresh = drawn(text)
        if fresh != text:
            page.write_text(fresh, encoding="utf-8")
            print(f"{page.relative_to(ROOT)} has been brought up to date")


def pages() -> list[Path]:
    """The pages that have a table from here."""
    return [
        page
        for page in sorted((ROOT / "docs").glob("*.md"))
        if _REGION.search(page.read_text(encoding="utf-8"))
    ]


def drawn(text: str) -> str:
    """A page's text with its tables as the code has them. Raises KeyError for a table of no such name."""
    return _REGION.sub(lambda match: f"{match[1]}\n{DRAWINGS[match[2]]()}\n{match[4]}", text)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(cells)} |\n" for cells in (header, *rows)]
    return "".join([lines[0], f"|{'---|' * len(header)}\n", *lines[1:]])


# The settings ----------------------------------------------------------------------------------


def settings() -> str:
    """Every section of ``http.yaml``, with a heading, what it is for and its keys."""
    return "\n".join(_described("", Settings, "What belongs to no section."))


def _described(path: str, section: type[Any], doc: str) -> Iterator[str]:
    """The sections inside first, then the section's own keys."""
    inner = {name: one for name, one in settings_of(section).items() if _section(one.check) is not None}
    below = [
        text
        for name, one in inner.items()
        for text in _described(f"{path}.{name}".strip(".") + _suffix(one.check), _section(one.check), one.doc)
    ]
    own = [_row(field, settings_of(section)[field.name]) for field in dataclasses.fields(section)]
    rows = [
        row for field, row in zip(dataclasses.fields(section), own, strict=True) if field.name not in inner
    ]
    heading = f"## `{path}`" if path else "## At the top"
    here = f"{heading}\n\n{doc}\n\n{table(('key', 'default', 'meaning', 'also'), rows)}"
    yield from [here, *below] if path else [*below, here]


def _section(check: Check) -> Any:
    """The dataclass of the section that a check takes, alone, in a list or in a mapping; else None."""
    if isinstance(check, ListOf | MapOf):
        check = check.entry
    return check.of if isinstance(check, Section) else None


def _suffix(check: Check) -> str:
    return "[]" if isinstance(check, ListOf) else ".<name>" if isinstance(check, MapOf) else ""


def _row(field: dataclasses.Field[Any], one: Setting) -> tuple[str, str, str, str]:
    also = f"`{one.option}`, `{one.variable}`" if one.override else ""
    return f"`{field.name}`", _default(field), one.doc, also


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is usable_cpus:
        return "usable processors"
    if field.default is dataclasses.MISSING:
        return "required"
    if field.default is None:
        return "none"
    if field.default == ():
        return "[]"
    return str(field.default).lower() if isinstance(field.default, bool) else str(field.default)


# The command line ------------------------------------------------------------------------------


def options() -> str:
    """The options of ``siphon script.py``, with the variables that stand for them."""
    rows = []
    for action in parser("serve")._actions:
        if not action.option_strings or isinstance(action, argparse._HelpAction | argparse._VersionAction):
            continue
        described, _, variable = str(action.help).replace("%%", "%").partition(" [SIPHON_")
        names = ", ".join(f"`{name} {action.metavar or ''}".rstrip() + "`" for name in action.option_strings)
        rows.append((names, f"`SIPHON_{variable.rstrip(']')}`" if variable else "", described))
    return table(("option", "variable", "meaning"), rows)


# The states ------------------------------------------------------------------------------------


def states() -> str:
    """The states of a connection, who owns each, and the moves out of it."""
    rows = [
        (state, OWNERS[state], "; ".join(f"{event} → {then}" for event, then in moves.items()))
        for state, moves in TABLE.items()
    ]
    return table(("state", "owner", "moves"), rows)


DRAWINGS: Final[dict[str, Callable[[], str]]] = {"options": options, "settings": settings, "states": states}


if __name__ == "__main__":
    main()
