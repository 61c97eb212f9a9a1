"""How a pattern is taken apart, and what is said of one that breaks a rule."""

import pytest

from siphon.errors import ScriptError
from siphon.script.pattern import Kind, Segment, parse_pattern
from siphon.script.place import Place

PLACE = Place("app.py", 7)


@pytest.mark.parametrize(
    ("pattern", "segments"),
    [
        ("/", [(Kind.STATIC, "")]),
        ("/a", [(Kind.STATIC, "a")]),
        ("/a/", [(Kind.STATIC, "a"), (Kind.STATIC, "")]),
        ("//a", [(Kind.STATIC, ""), (Kind.STATIC, "a")]),
        ("/{id}", [(Kind.ONE, "id")]),
        ("/{id}/", [(Kind.ONE, "id"), (Kind.STATIC, "")]),
        ("/{a}/x/{_b2}", [(Kind.ONE, "a"), (Kind.STATIC, "x"), (Kind.ONE, "_b2")]),
        ("/{*rest}", [(Kind.REST, "rest")]),
        ("/s/{*rest}", [(Kind.STATIC, "s"), (Kind.REST, "rest")]),
        ("/a%2Fb*:", [(Kind.STATIC, "a%2Fb*:")]),
    ],
)
def test_a_pattern_is_taken_apart_at_its_slashes(pattern: str, segments: list[tuple[Kind, str]]) -> None:
    assert parse_pattern(pattern, PLACE) == tuple(Segment(kind, text) for kind, text in segments)


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [
        ("", "must begin with"),
        ("a/b", "must begin with"),
        ("*", "must begin with"),
        ("/a?b", r'has a "\?"'),
        ("/a#b", 'has a "#"'),
        ("/a{id}", "fill its whole segment.*'a{id}'"),
        ("/{id}.json", "fill its whole segment"),
        ("/{a}{b}", "fill its whole segment"),
        ("/{id", "fill its whole segment"),
        ("/id}", "fill its whole segment"),
        ("/{{id}}", "fill its whole segment"),
        ("/{a/b}", "fill its whole segment"),
        ("/{}", "'' is no Python identifier"),
        ("/{*}", "'' is no Python identifier"),
        ("/{1a}", "'1a' is no Python identifier"),
        ("/{a-b}", "'a-b' is no Python identifier"),
        ("/{id:int}", "'id:int' is no Python identifier"),
        ("/{ id }", "' id ' is no Python identifier"),
        ("/{**rest}", r"'\*rest' is no Python identifier"),
        ("/{id}/x/{id}", "two parameters named 'id'"),
        ("/{id}/{*id}", "two parameters named 'id'"),
        ("/{*rest}/", "must come last"),
        ("/{*rest}/{id}", "must come last"),
    ],
)
def test_a_pattern_that_breaks_a_rule_is_an_error_with_its_place(pattern: str, complaint: str) -> None:
    with pytest.raises(ScriptError, match=complaint) as caught:
        parse_pattern(pattern, PLACE)
    assert str(caught.value).startswith(f"app.py:7: pattern {pattern!r}")
