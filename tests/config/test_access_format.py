"""What a line of the access log may be put together from."""

from __future__ import annotations

import re

import pytest

from siphon.config.access_format import ATOMS, DEFAULT, AccessFormat


@pytest.mark.parametrize(
    "text",
    [
        DEFAULT,
        "%(status)d",
        "100%% of\t%(path)-20s %(dt_ms)08.2f %(bytes)x %(lane)r",
        "no atoms at all",
        *[f"%({atom})s" for atom in ATOMS],
    ],
)
def test_atoms_are_taken_in_pythons_notation(text: str) -> None:
    assert AccessFormat().parse(text) == text
    assert text % ATOMS


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (5, "must be text with atoms such as %(status)d, not 5"),
        ("", 'must be text with atoms such as %(status)d, not ""'),
        ("%(stats)d", 'there is no atom "stats"; there are addr, time, dt_ms, status, path, query_string, '),
        ("%()s", 'there is no atom ""'),
        ("100%", 'a % that begins no atom is written %%, in "100%"'),
        ("%s", 'a % that begins no atom is written %%, in "%s"'),
        ("%d of %(status)d", "a % that begins no atom is written %%"),
        ("%(status)", "%(status) must go on as %(status)s does: s for text, d or .3f for numbers"),
        ("%(status)c", "%(status) must go on as %(status)s does"),
        ("%(status)*d", "%(status) must go on as %(status)s does"),
        ("%(status)1000d", "%(status) must go on as %(status)s does"),
        ("%(status", "a % that begins no atom is written %%"),
        ("%(path)d", "cannot be used: %d format: a real number is required, not str"),
        ("%(dt_ms)x", "cannot be used: %x format: an integer is required, not float"),
        ("a\nb", "must be one line, without control characters"),
        ("a\x1bb", "must be one line, without control characters"),
    ],
)
def test_what_cannot_be_a_line_is_refused(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        AccessFormat().parse(value)
