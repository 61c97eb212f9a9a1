"""A route's pattern, taken apart: ``/users/{id}`` is two segments, ``/static/{*rest}`` as well."""

import re
from dataclasses import dataclass
from enum import Enum

from siphon.errors import ScriptError
from siphon.script.place import Place

_PARAMETER = re.compile(r"\{(\*?)([^{}]*)\}")


class Kind(Enum):
    """What a segment of a pattern stands for."""

    STATIC = "static"
    """Itself: compared with the decoded segment of a path."""
    ONE = "{name}"
    """One segment that is not empty."""
    REST = "{*name}"
    """All that is left of the path, at least one character."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One part of a pattern between slashes; ``text`` is the literal, or the parameter's name."""

    kind: Kind
    text: str


def parse_pattern(pattern: str, place: Place) -> tuple[Segment, ...]:
    """Take a pattern apart; an empty segment (``/a/``, ``//a``) is a static one.

    Raises ScriptError, beginning with ``place``, if the pattern breaks a rule.
    """
    if not pattern.startswith("/"):
        raise ScriptError(f'{place}: pattern {pattern!r} must begin with "/"')
    for mark in "?#":
        if mark in pattern:
            raise ScriptError(f'{place}: pattern {pattern!r} has a "{mark}": only the path is matched')
    segments = tuple(_segment(text, pattern, place) for text in pattern[1:].split("/"))
    if any(segment.kind is Kind.REST for segment in segments[:-1]):
        raise ScriptError(f"{place}: pattern {pattern!r}: {{*name}} takes the rest, so it must come last")
    names = [segment.text for segment in segments if segment.kind is not Kind.STATIC]
    for name in names:
        if names.count(name) > 1:
            raise ScriptError(f"{place}: pattern {pattern!r} has two parameters named {name!r}")
    return segments


def _segment(text: str, pattern: str, place: Place) -> Segment:
    if "{" not in text and "}" not in text:
        return Segment(Kind.STATIC, text)
    found = _PARAMETER.fullmatch(text)
    if found is None:
        raise ScriptError(
            f"{place}: pattern {pattern!r}: a parameter must fill its whole segment, "
            f"as {{name}} or {{*name}}; {text!r} does not"
        )
    star, name = found.groups()
    if not name.isidentifier():
        raise ScriptError(f"{place}: pattern {pattern!r}: parameter name {name!r} is no Python identifier")
    return Segment(Kind.REST if star else Kind.ONE, name)
