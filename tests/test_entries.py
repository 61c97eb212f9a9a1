"""How log entries look: text and JSON, the atoms of the access log, and what cannot be forged."""

from __future__ import annotations

import json
import re
import time
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siphon.config.access_format import ATOMS, DEFAULT
from siphon.config.settings import LogSettings
from siphon.entries import Line, shower

if TYPE_CHECKING:
    from siphon.config.settings import LogFormat

TEXT = LogSettings()
JSON = LogSettings(format="json")
AT = 1_000_000_000.25
FORMATS: list[LogFormat] = ["text", "json"]


class Access(NamedTuple):
    """What ``access`` is given."""

    at: float
    client: str
    method: str
    target: str
    scheme: str
    protocol: str
    status: int
    body_bytes: int
    duration_ms: float
    lane: str
    queued_ms: float


def access(
    target: str = "/a/b?c=d", client: str = "127.0.0.1:5000", method: str = "GET", at: float = AT
) -> Access:
    return Access(at, client, method, target, "http", "HTTP/1.1", 200, 12, 3.14159, "blocking", 0.5)


def shown(entry: Access | Line, form: LogFormat = "text", access_format: str = DEFAULT) -> str:
    show = shower(LogSettings(format=form, access_format=access_format))
    line = show.line(entry) if isinstance(entry, Line) else show.access(*entry)
    assert line.endswith("\n")
    return line[:-1]


# Text ------------------------------------------------------------------------------------------


def test_a_line_has_time_level_and_text() -> None:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(AT))
    assert shown(Line(AT, "warning", "something is é")) == f"[{stamp}.250] warning something is é"


def test_an_access_line_is_granians_and_bytes_lane_and_time_queued() -> None:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(AT))
    assert shown(access()) == (f'[{stamp}] 127.0.0.1:5000 - "GET /a/b HTTP/1.1" 200 3.142 12 blocking 0.500')


def test_an_access_lines_time_is_that_of_the_request() -> None:
    entry = access(at=AT)._replace(duration_ms=2_000.0)
    stamp = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(AT - 2))
    assert shown(entry, access_format="%(time)s") == stamp


@pytest.mark.parametrize(
    ("atom", "value"),
    [
        ("addr", "127.0.0.1:5000"),
        ("dt_ms", "3.14159"),
        ("status", "200"),
        ("path", "/a/b"),
        ("query_string", "c=d"),
        ("method", "GET"),
        ("scheme", "http"),
        ("protocol", "HTTP/1.1"),
        ("bytes", "12"),
        ("lane", "blocking"),
        ("queue_ms", "0.5"),
    ],
)
def test_every_atom_has_its_value(atom: str, value: str) -> None:
    assert shown(access(), access_format=f"<%({atom})s> 100%%") == f"<{value}> 100%"


def test_the_atoms_are_those_that_a_configuration_may_name() -> None:
    assert shown(access(), access_format=" ".join(f"%({atom})s" for atom in ATOMS))
    kinds = {atom: type(value) for atom, value in ATOMS.items()}
    given = {atom: shown(access(), access_format=f"%({atom})r") for atom in ATOMS}
    for atom, text in given.items():
        assert text.startswith("'") == (kinds[atom] is str)
        assert ("." in text) or kinds[atom] is not float


def test_stamps_follow_the_clock() -> None:
    show = shower(TEXT)
    lines = [show.line(Line(AT + second, "info", "x"))[:21] for second in (0, 0, 1, 3_600, 0)]
    assert lines[0] == lines[1] == lines[4]
    assert len(set(lines)) == 3


# JSON ------------------------------------------------------------------------------------------


def test_a_json_line_is_one_object() -> None:
    assert json.loads(shown(Line(AT, "error", 'two\nlines "é"'), "json")) == {
        "time": AT,
        "type": "log",
        "level": "error",
        "message": 'two\nlines "é"',
    }


def test_a_json_access_line_has_every_part() -> None:
    assert json.loads(shown(access('/"\\?q'), "json")) == {
        "time": AT,
        "type": "access",
        "client": "127.0.0.1:5000",
        "method": "GET",
        "target": '/"\\?q',
        "scheme": "http",
        "protocol": "HTTP/1.1",
        "status": 200,
        "bytes": 12,
        "duration_ms": 3.142,
        "lane": "blocking",
        "queue_ms": 0.5,
    }


# Escapes ---------------------------------------------------------------------------------------

CONTROLS = [chr(code) for code in [*range(32), *range(127, 160)]]
DISGUISES = ["\u2028", "\u2029", "\u202e", "\u2066"]
ANY_TEXT = st.text(st.one_of(st.characters(), st.sampled_from([*CONTROLS, *DISGUISES, '"', "%"])))


def hidden(line: str) -> list[str]:
    """What a terminal, or a program that reads lines, would take for something else than a character."""
    return [one for one in line if unicodedata.category(one) in ("Cc", "Zl", "Zp") or one in DISGUISES]


@given(text=ANY_TEXT)
def test_whatever_is_logged_is_one_entry(text: str) -> None:
    assert json.loads(shown(Line(AT, "info", text), "json"))["message"] == text
    assert not hidden(shown(Line(AT, "info", text), "json"))
    first, *others = shown(Line(AT, "info", text)).split("\n")
    assert first.startswith("[")
    assert all(other.startswith("    ") for other in others)
    assert not hidden("".join([first, *others]).replace("\t", ""))


@given(target=ANY_TEXT, method=ANY_TEXT, client=ANY_TEXT)
def test_whatever_a_client_sends_is_one_line_with_its_quotes_where_they_belong(
    target: str, method: str, client: str
) -> None:
    entry = access(target, client, method)
    assert json.loads(shown(entry, "json"))["target"] == target
    assert not hidden(shown(entry, "json"))
    line = shown(entry, access_format=f"{DEFAULT} %(query_string)s")
    assert not hidden(line)
    assert line.count('"') == 2


def test_escapes_are_readable() -> None:
    assert shown(Line(AT, "info", "a\x1b[31mb\x7f\x9b\0c\r\u202e")).endswith(
        r"a\x1b[31mb\x7f\x9b\x00c\x0d\u202e"
    )
    assert shown(access("/a\tb\n"), access_format="%(path)s") == r"/a\tb\n"


@pytest.mark.parametrize("form", FORMATS)
def test_a_forged_entry_stays_inside_its_line(form: LogFormat) -> None:
    line = shown(access('/x" 200 1\n[2026-01-01 00:00:00.000] error\t\x1b'), form)
    assert not hidden(line)
    assert re.search(r"forged|error", line)
    if form == "text":
        assert line.endswith('HTTP/1.1" 200 3.142 12 blocking 0.500')
