"""How a request's target finds its route: an immutable tree of patterns, and a dictionary in front of it."""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from sys import intern
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from siphon.errors import RequestRefused, ScriptError
from siphon.script.pattern import Kind, parse_pattern
from siphon.script.place import name_of
from siphon.script.registry import ANY_METHOD, Route

_MALFORMED_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Found:
    """A handler takes the request."""

    route: Route


@dataclass(frozen=True, slots=True)
class NotFound:
    """No pattern matches the path."""


@dataclass(frozen=True, slots=True)
class MethodNotAllowed:
    """The best matching pattern lacks the method; ``allow`` is the value of the Allow header."""

    allow: str


@dataclass(frozen=True, slots=True)
class Options:
    """OPTIONS where no handler takes it; ``allow`` is the value of the Allow header."""

    allow: str


type Endpoint = Found | NotFound | MethodNotAllowed | Options


class Entry(NamedTuple):
    """One line of a table of routes."""

    method: str
    pattern: str
    route: Route


def routes_on(listener: str | None, routes: Iterable[Route], known: Collection[str]) -> list[Route]:
    """The routes that the listener of this name serves, in order; one without a name has those for all.

    Raises ScriptError if a route names a listener that is not among ``known``, the names of all of them.
    """
    chosen = []
    for route in routes:
        for name in route.listeners or ():
            if name not in known:
                there_are = ", ".join(repr(each) for each in sorted(known)) or "none with a name"
                raise ScriptError(
                    f"{route.place}: route {route.pattern!r} names the listener {name!r}; "
                    f"the configuration has {there_are}"
                )
        if route.listeners is None or listener in route.listeners:
            chosen.append(route)
    return chosen


type _Answer[T] = tuple[T, tuple[str, ...]]
"""What is built from an endpoint, and the names of the path's parameters, in order."""


type _End[T] = tuple[dict[str, _Answer[T]], _Answer[T]]
"""Where patterns end: what answers by method, and what answers every other method.

The names differ by method: two routes of one shape may call their parameters differently.
"""

type _Node[T] = tuple[dict[str, _Node[T]], _Node[T] | None, _End[T] | None, _End[T] | None]
"""Where patterns agree so far: what follows a literal, ``{one}`` and ``{*rest}``, and what ends here.

A tuple, since each look into a slot takes a lock that all readers share where another thread has made what
is there.
"""


class Router[T]:
    """Finds what answers a method and a target. Immutable: any thread may call it at any time."""

    __slots__ = ("_asterisk", "_connect", "_entries", "_not_found", "_plain", "_plain_other", "_root")

    def __init__(self, routes: Sequence[Route], build: Callable[[Endpoint], T]) -> None:
        """Compile ``routes``; their order does not matter.

        Args:
            routes: The routes of one listener.
            build: Makes what ``match`` is to return from an endpoint; called here, once for each
                distinct endpoint.

        Raises:
            ScriptError: Two routes have patterns of one shape and a method in common.
        """
        self._entries = sorted(
            (Entry(method, route.pattern, route) for route in routes for method in route.methods),
            key=lambda entry: (entry.pattern, entry.method),
        )
        everywhere = _allow(entry.method for entry in self._entries)
        build = _BuildOnce(build)
        self._not_found = (build(NotFound()), None)
        self._asterisk = (build(Options(everywhere)), None)
        self._connect = (build(MethodNotAllowed(everywhere)), None)
        # The paths that are matched literally, with what answers them by method; a second table has
        # what answers their other methods.
        self._plain: dict[str, dict[str, tuple[T, None]]] = {}
        self._plain_other: dict[str, tuple[T, None]] = {}
        ends = {shape.key: self._end(shape, build) for shape in _shapes(routes)}
        self._root = _tree(list(ends.items()), 0)
        for key, end in ends.items():
            if all(isinstance(part, str) for part in key):
                self._add_plain("/" + "/".join(map(str, key)), end)

    def match(self, method: str, target: str) -> tuple[T, dict[str, str] | None]:
        """What answers ``method`` at ``target``, with the path's parameters, None where there are none.

        Args:
            method: As received; methods are case-sensitive (RFC 9110, section 9.1).
            target: In origin-form, the query included, or ``*`` (RFC 9112, section 3.2). With the
                method CONNECT, anything.

        Raises:
            RequestRefused: 400: an escape in the path is malformed or no UTF-8, or the target has
                another form.
        """
        path = target[: target.index("?")] if "?" in target else target
        # `in` and `[]`, not `get`: on 3.13 `dict.get` holds the dictionary's lock, and where it meets a key
        # that another thread made it takes the lock once more, which costs 25 us.
        plain = self._plain
        if path not in plain:
            return self._search(method, path)
        answers = plain[path]
        return answers[method] if method in answers else self._plain_other[path]

    def entries(self) -> list[Entry]:
        """Every method and pattern with its route, sorted by pattern, then by method."""
        return list(self._entries)

    def _end(self, shape: "_Shape", build: Callable[[Endpoint], T]) -> _End[T]:
        by_method = {
            method: (build(Found(route)), _parameter_names(route)) for method, route in shape.routes.items()
        }
        any_method = by_method.pop(ANY_METHOD, None)
        if "GET" in by_method:
            by_method.setdefault("HEAD", by_method["GET"])
        if any_method is None:
            allow = _allow(by_method)
            by_method.setdefault("OPTIONS", (build(Options(allow)), ()))
            any_method = (build(MethodNotAllowed(allow)), ())
        return by_method, any_method

    def _add_plain(self, path: str, end: _End[T]) -> None:
        # An escape in a raw path must be decoded before it is compared: that is left to the search.
        if "%" in path:
            return
        path = intern(path)
        self._plain[path] = {method: (built, None) for method, (built, _) in end[0].items()}
        self._plain[path]["CONNECT"] = self._connect
        self._plain_other[path] = (end[1][0], None)

    def _search(self, method: str, path: str) -> tuple[T, dict[str, str] | None]:
        if method == "CONNECT":
            return self._connect
        if not path.startswith("/"):
            if path == "*" and method == "OPTIONS":
                return self._asterisk
            raise RequestRefused(400, "the target is neither a path nor, with OPTIONS, an asterisk")
        segments = path.split("/")
        if "%" in path:
            segments = [_decoded(segment) if "%" in segment else segment for segment in segments]
        values: list[str] = []
        end = _best(self._root, segments, 1, values)  # nothing is before the first slash
        if end is None:
            return self._not_found
        by_method = end[0]
        built, names = by_method[method] if method in by_method else end[1]
        if len(names) == 1:  # as most that have any: this takes a third of the time
            return built, {names[0]: values[0]}
        # A 405 and a 204 name no parameters, and leave the values unused.
        return built, dict(zip(names, values, strict=False)) if names else None


type _Key = tuple[str | Kind, ...]
"""A pattern without the names of its parameters: routes with one key match the same paths."""


@dataclass(slots=True)
class _Shape:
    """The routes that share one key, by method."""

    key: _Key
    routes: dict[str, Route] = field(default_factory=dict)

    def add(self, route: Route) -> None:
        """Raises ScriptError if a method of ``route`` is taken."""
        for method in route.methods:
            first = self.routes.setdefault(method, route)
            if first is not route:
                raise ScriptError(
                    f"{route.place}: {method} {route.pattern} ({name_of(route.handler)}) is taken: "
                    f"{first.place} registers {first.pattern} ({name_of(first.handler)})"
                )


def _parameter_names(route: Route) -> tuple[str, ...]:
    segments = parse_pattern(route.pattern, route.place)
    return tuple(segment.text for segment in segments if segment.kind is not Kind.STATIC)


def _shapes(routes: Iterable[Route]) -> list[_Shape]:
    shapes: dict[_Key, _Shape] = {}
    for route in routes:
        segments = parse_pattern(route.pattern, route.place)
        key = tuple(s.text if s.kind is Kind.STATIC else s.kind for s in segments)
        shapes.setdefault(key, _Shape(key)).add(route)
    return list(shapes.values())


class _BuildOnce[T]:
    """Calls ``build`` once for each distinct endpoint: ten thousand routes share few 405 answers."""

    def __init__(self, build: Callable[[Endpoint], T]) -> None:
        self._build = build
        self._built: dict[Endpoint, T] = {}

    def __call__(self, endpoint: Endpoint) -> T:
        if endpoint not in self._built:
            self._built[endpoint] = self._build(endpoint)
        return self._built[endpoint]


def _tree[T](ends: "Sequence[tuple[_Key, _End[T]]]", depth: int) -> _Node[T]:
    """The node of the patterns of ``ends``, which agree in their first ``depth`` parts."""
    end: _End[T] | None = None
    rest: _End[T] | None = None
    branches: dict[str | Kind, list[tuple[_Key, _End[T]]]] = {}
    for key, one_end in ends:
        if len(key) == depth:
            end = one_end
        elif key[depth] is Kind.REST:
            rest = one_end
        else:
            branches.setdefault(key[depth], []).append((key, one_end))
    nodes = {part: _tree(branch, depth + 1) for part, branch in branches.items()}
    one = nodes.pop(Kind.ONE, None)
    return {intern(str(part)): node for part, node in nodes.items()}, one, rest, end


def _best[T](node: _Node[T], segments: list[str], index: int, values: list[str]) -> _End[T] | None:
    """Where the best pattern ends that matches the segments from ``index`` on; None if there is none.

    On success ``values`` has gained what the parameters stand for, and else perhaps something. A node is
    visited at most once, since one path leads to it, so the work is bounded by the patterns, whatever the
    client sends.
    """
    count = len(segments)
    while index < count:
        segment, index = segments[index], index + 1
        static, one, rest = node[0], node[1], node[2]
        if segment in static:
            if one is None and rest is None:  # as nearly everywhere: there is nothing to come back for
                node = static[segment]
                continue
            known = len(values)
            found = _best(static[segment], segments, index, values)
            if found is not None:
                return found
            del values[known:]
        if one is not None and segment:
            if rest is None:
                values.append(segment)
                node = one
                continue
            known = len(values)
            values.append(segment)
            found = _best(one, segments, index, values)
            if found is not None:
                return found
            del values[known:]
        if rest is not None and (tail := "/".join(segments[index - 1 :])):
            values.append(tail)
            return rest
        return None
    return node[3]


def _allow(methods: Iterable[str]) -> str:
    """The value of the Allow header where ``methods`` are registered (RFC 9110, section 10.2.1)."""
    allowed = {"OPTIONS", *methods} - {ANY_METHOD}
    if "GET" in allowed:
        allowed.add("HEAD")
    return ", ".join(sorted(allowed))


def _decoded(segment: str) -> str:
    if _MALFORMED_ESCAPE.search(segment) is not None:
        raise RequestRefused(400, "malformed percent-escape in the path")
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        raise RequestRefused(400, "percent-escape in the path that is no UTF-8") from None
