"""Which route a method and a target find, and what is answered where there is none."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siphon.errors import RequestRefused, ScriptError
from siphon.routing import Endpoint, Found, MethodNotAllowed, NotFound, Options, Router, routes_on
from siphon.script.registry import Place, Route


def handler(req: object) -> None:
    """Never called: routing only passes it on."""


def route(pattern: str, *methods: str, line: int = 1, listeners: tuple[str, ...] | None = None) -> Route:
    return Route(pattern, methods or ("GET",), handler, listeners, None, Place("app.py", line))


def router(*routes: Route) -> Router[Endpoint]:
    return Router(routes, lambda endpoint: endpoint)


def found(routes: Router[Endpoint], method: str, target: str) -> tuple[str | None, dict[str, str] | None]:
    """The pattern that answers, None where none does, and the parameters."""
    endpoint, parameters = routes.match(method, target)
    return (endpoint.route.pattern if isinstance(endpoint, Found) else None), parameters


PATTERNS = (
    "/",
    "/users",
    "/users/",
    "/users/me",
    "/users/{id}",
    "/users/{id}/posts",
    "/users/me/friends",
    "/users/{id}/posts/{post}",
    "/static/{*rest}",
    "/static/{name}/raw",
    "//double",
    "/caf\u00e9",
    "/a b",
    "/per%2Fcent",
    "/mixed/{one}/x",
    "/mixed/{*all}",
    "/mixed/fixed/{one}",
)

TABLE: tuple[tuple[str, str | None, dict[str, str] | None], ...] = (
    ("/", "/", None),
    ("/?a=1", "/", None),
    ("/users", "/users", None),
    ("/users?x=/users/42", "/users", None),
    ("/users?", "/users", None),
    ("/users/", "/users/", None),
    ("/users/?", "/users/", None),
    ("/users/me", "/users/me", None),
    ("/users/%6de", "/users/me", None),
    ("/users/42", "/users/{id}", {"id": "42"}),
    ("/users/42?id=7", "/users/{id}", {"id": "42"}),
    ("/users/a+b", "/users/{id}", {"id": "a+b"}),
    ("/users/a%2Bb%20c", "/users/{id}", {"id": "a+b c"}),
    ("/users/a%2Fb", "/users/{id}", {"id": "a/b"}),
    ("/users/%2F", "/users/{id}", {"id": "/"}),
    ("/users/%25", "/users/{id}", {"id": "%"}),
    ("/users/caf%C3%A9", "/users/{id}", {"id": "caf\u00e9"}),
    ("/users/caf%c3%a9", "/users/{id}", {"id": "caf\u00e9"}),
    ("/users/..", "/users/{id}", {"id": ".."}),
    ("/users/me/friends", "/users/me/friends", None),
    ("/users/me/posts", "/users/{id}/posts", {"id": "me"}),
    ("/users/me/posts/7", "/users/{id}/posts/{post}", {"id": "me", "post": "7"}),
    ("/users/me/posts/", None, None),
    ("/users//posts", None, None),
    ("/users/42/", None, None),
    ("/users/42/none", None, None),
    ("/Users", None, None),
    ("/static/a/b%2Fc//d/", "/static/{*rest}", {"rest": "a/b/c//d/"}),
    ("/static/a", "/static/{*rest}", {"rest": "a"}),
    ("/static//", "/static/{*rest}", {"rest": "/"}),
    ("/static//a", "/static/{*rest}", {"rest": "/a"}),
    ("/static/", None, None),
    ("/static", None, None),
    ("/static/a/raw", "/static/{name}/raw", {"name": "a"}),
    ("/static//raw", "/static/{*rest}", {"rest": "/raw"}),
    ("//double", "//double", None),
    ("//", None, None),
    ("/double", None, None),
    ("/caf%C3%A9", "/caf\u00e9", None),
    ("/a%20b", "/a b", None),
    ("/a+b", None, None),
    ("/per%252Fcent", "/per%2Fcent", None),
    ("/per%2Fcent", None, None),
    ("/per/cent", None, None),
    ("/mixed/fixed/x", "/mixed/fixed/{one}", {"one": "x"}),
    ("/mixed/other/x", "/mixed/{one}/x", {"one": "other"}),
    ("/mixed/fixed/x/y", "/mixed/{*all}", {"all": "fixed/x/y"}),
    ("/mixed/fixed/", "/mixed/{*all}", {"all": "fixed/"}),
    ("/mixed/fixed", "/mixed/{*all}", {"all": "fixed"}),
)


@pytest.mark.parametrize(("target", "pattern", "parameters"), TABLE)
def test_the_best_pattern_answers(
    target: str, pattern: str | None, parameters: dict[str, str] | None
) -> None:
    assert found(router(*map(route, PATTERNS)), "GET", target) == (pattern, parameters)


def test_the_order_of_registration_does_not_matter() -> None:
    patterns = list(PATTERNS)
    shuffle = random.Random(7).shuffle
    for _ in range(20):
        shuffle(patterns)
        routes = router(*map(route, patterns))
        for target, pattern, parameters in TABLE:
            assert found(routes, "GET", target) == (pattern, parameters), (patterns, target)


def test_no_route_is_not_found_without_parameters() -> None:
    assert router(route("/a/{x}")).match("GET", "/b") == (NotFound(), None)


@pytest.mark.parametrize(
    "target",
    ["/users/%", "/users/%2", "/users/%zz", "/users/%2g", "/%%41", "/none/%f", "/users/%\uff11\uff11"],
)
def test_a_malformed_escape_is_refused(target: str) -> None:
    with pytest.raises(RequestRefused, match="malformed percent-escape") as caught:
        router(route("/users/{id}")).match("GET", target)
    assert caught.value.status == 400


@pytest.mark.parametrize("target", ["/users/%ff", "/users/%C3", "/users/%c0%af", "/%ed%a0%80", "/%c3/%a9"])
def test_an_escape_that_is_no_utf8_is_refused(target: str) -> None:
    with pytest.raises(RequestRefused, match="no UTF-8") as caught:
        router(route("/users/{id}")).match("GET", target)
    assert caught.value.status == 400


def test_an_escape_in_the_query_is_left_alone() -> None:
    assert found(router(route("/a")), "GET", "/a?x=%zz%ff") == ("/a", None)


@pytest.mark.parametrize("target", ["", "a", "?a", "http://example.com/", "example.com:80"])
def test_a_target_in_another_form_is_refused(target: str) -> None:
    with pytest.raises(RequestRefused) as caught:
        router(route("/")).match("GET", target)
    assert caught.value.status == 400


METHODS = router(
    route("/get"),
    route("/both", "POST", "GET"),
    route("/both/{id}", "DELETE"),
    route("/own", "GET"),
    route("/own", "HEAD", "OPTIONS", line=2),
    route("/any", "*"),
    route("/any/{id}", "*"),
    route("/rather", "GET"),
    route("/rather", "*", line=2),
    route("/best/fixed", "POST"),
    route("/best/{x}", "GET"),
    route("/best/{*x}", "PUT"),
)


@pytest.mark.parametrize(
    ("method", "target", "endpoint"),
    [
        ("POST", "/get", MethodNotAllowed("GET, HEAD, OPTIONS")),
        ("get", "/get", MethodNotAllowed("GET, HEAD, OPTIONS")),
        ("*", "/get", MethodNotAllowed("GET, HEAD, OPTIONS")),
        ("OPTIONS", "/get", Options("GET, HEAD, OPTIONS")),
        ("OPTIONS", "/get?x", Options("GET, HEAD, OPTIONS")),
        ("PUT", "/both", MethodNotAllowed("GET, HEAD, OPTIONS, POST")),
        ("GET", "/both/1", MethodNotAllowed("DELETE, OPTIONS")),
        ("HEAD", "/both/1", MethodNotAllowed("DELETE, OPTIONS")),
        ("OPTIONS", "/both/1", Options("DELETE, OPTIONS")),
        ("OPTIONS", "/none", NotFound()),
        ("GET", "/best/fixed", MethodNotAllowed("OPTIONS, POST")),
        ("PUT", "/best/other", MethodNotAllowed("GET, HEAD, OPTIONS")),
    ],
)
def test_the_best_pattern_decides_what_a_method_gets(method: str, target: str, endpoint: Endpoint) -> None:
    assert METHODS.match(method, target) == (endpoint, None)


@pytest.mark.parametrize(
    ("method", "target", "pattern", "line"),
    [
        ("GET", "/both", "/both", 1),
        ("POST", "/both", "/both", 1),
        ("HEAD", "/both", "/both", 1),
        ("GET", "/own", "/own", 1),
        ("HEAD", "/own", "/own", 2),
        ("OPTIONS", "/own", "/own", 2),
        ("GET", "/any", "/any", 1),
        ("HEAD", "/any", "/any", 1),
        ("OPTIONS", "/any", "/any", 1),
        ("BREW", "/any", "/any", 1),
        ("brew", "/any/7", "/any/{id}", 1),
        ("GET", "/rather", "/rather", 1),
        ("HEAD", "/rather", "/rather", 1),
        ("POST", "/rather", "/rather", 2),
        ("OPTIONS", "/rather", "/rather", 2),
        ("PUT", "/best/a/b", "/best/{*x}", 1),
    ],
)
def test_a_method_reaches_its_own_route(method: str, target: str, pattern: str, line: int) -> None:
    endpoint, _ = METHODS.match(method, target)
    assert isinstance(endpoint, Found)
    assert (endpoint.route.pattern, endpoint.route.place.line) == (pattern, line)


def test_options_of_the_server_names_the_methods_of_all_routes() -> None:
    allow = "DELETE, GET, HEAD, OPTIONS, POST, PUT"
    assert METHODS.match("OPTIONS", "*") == (Options(allow), None)
    with pytest.raises(RequestRefused):
        METHODS.match("GET", "*")


@pytest.mark.parametrize("target", ["example.com:443", "/get", "/any", "/any/7", "/none", "*", "/%zz"])
def test_connect_is_never_allowed(target: str) -> None:
    allow = "DELETE, GET, HEAD, OPTIONS, POST, PUT"
    assert METHODS.match("CONNECT", target) == (MethodNotAllowed(allow), None)


def test_routes_of_one_shape_keep_their_own_parameter_names() -> None:
    routes = router(route("/a/{x}/c", "GET"), route("/a/{y}/c", "POST"), route("/a/{z}/d"))
    assert found(routes, "GET", "/a/1/c") == ("/a/{x}/c", {"x": "1"})
    assert found(routes, "POST", "/a/1/c") == ("/a/{y}/c", {"y": "1"})
    assert found(routes, "GET", "/a/1/d") == ("/a/{z}/d", {"z": "1"})


def test_each_request_gets_parameters_of_its_own() -> None:
    routes = router(route("/a/{x}"))
    _, first = routes.match("GET", "/a/1")
    _, second = routes.match("GET", "/a/1")
    assert first == second
    assert first is not second


@pytest.mark.parametrize(
    ("first", "second", "methods"),
    [
        ("/a", "/a", ("GET",)),
        ("/a/{x}", "/a/{y}", ("POST", "GET")),
        ("/a/{*x}", "/a/{*y}", ("GET",)),
        ("/a/{x}/b", "/a/{y}/b", ("*",)),
    ],
)
def test_two_routes_with_one_shape_and_method_are_an_error_that_names_both_places(
    first: str, second: str, methods: tuple[str, ...]
) -> None:
    with pytest.raises(ScriptError) as caught:
        router(route(first, *methods, line=3), route(second, methods[-1], line=9))
    message = str(caught.value)
    assert message.startswith(f"app.py:9: {methods[-1]} {second} ")
    assert f"app.py:3 registers {first}" in message


def test_one_handler_registered_twice_for_one_route_is_an_error() -> None:
    with pytest.raises(ScriptError, match=r"app\.py:1"):
        router(route("/a"), route("/a"))


def test_what_answers_is_built_once_for_each_distinct_endpoint() -> None:
    built: list[Endpoint] = []

    def build(endpoint: Endpoint) -> int:
        built.append(endpoint)
        return len(built)

    routes = Router([route(f"/{number}", "GET", "POST") for number in range(50)], build)
    after = list(built)
    assert len(set(after)) == len(after)
    assert sum(isinstance(endpoint, Found) for endpoint in after) == 50
    for method in ("GET", "HEAD", "POST", "PUT", "OPTIONS", "CONNECT"):
        for target in ("/7", "/7?x", "/none", "/%37"):
            routes.match(method, target)
    assert built == after


def test_entries_are_sorted_by_pattern_and_method() -> None:
    routes = router(route("/b", "POST", "GET"), route("/a/{x}", "DELETE"), route("/a", "*"))
    assert [(entry.method, entry.pattern) for entry in routes.entries()] == [
        ("*", "/a"),
        ("DELETE", "/a/{x}"),
        ("GET", "/b"),
        ("POST", "/b"),
    ]


def test_a_path_far_deeper_than_every_pattern_is_answered() -> None:
    routes = router(route("/{a}/{b}/end"), route("/x/{*rest}"))
    assert found(routes, "GET", "/y" * 4000) == (None, None)
    assert found(routes, "GET", "/x" * 4000) == ("/x/{*rest}", {"rest": ("/x" * 3999)[1:]})


def reference(patterns: tuple[str, ...], path: str) -> str | None:
    """The best match by comparing every pattern: what the tree must agree with."""
    segments = path[1:].split("/")
    matches: list[tuple[list[int], str]] = []
    for pattern in patterns:
        parts = pattern[1:].split("/")
        if parts[-1].startswith("{*"):
            head, tail = parts[:-1], "/".join(segments[len(parts) - 1 :])
            if not tail:
                continue
        else:
            head, tail = parts, ""
            if len(parts) != len(segments):
                continue
        if len(head) > len(segments):
            continue
        pairs = list(zip(head, segments, strict=False))
        if all(part == segment or (part.startswith("{") and segment) for part, segment in pairs):
            ranks = [1 if part.startswith("{") else 0 for part in head]
            matches.append((ranks + ([2] if tail else []), pattern))
    return min(matches)[1] if matches else None


def shapes() -> Iterator[str]:
    parts = ("a", "b", "", "{p}")
    for first in parts:
        yield f"/{first}"
        for second in parts:
            yield f"/{first}/{second.replace('p', 'q')}"
            yield f"/{first}/{second.replace('p', 'q')}/{{*r}}"
        yield f"/{first}/{{*r}}"
    yield "/{*r}"


@given(
    st.sets(st.sampled_from(list(shapes())), min_size=1, max_size=8),
    st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=1, max_size=4),
)
def test_the_tree_agrees_with_a_comparison_of_every_pattern(patterns: set[str], segments: list[str]) -> None:
    path = "/" + "/".join(segments)
    routes = router(*map(route, sorted(patterns)))
    assert found(routes, "GET", path)[0] == reference(tuple(patterns), path)


LISTENED = (
    route("/all"),
    route("/public", listeners=("public",)),
    route("/two", listeners=("admin", "public")),
)


@pytest.mark.parametrize(
    ("listener", "patterns"),
    [("public", ["/all", "/public", "/two"]), ("admin", ["/all", "/two"]), ("x", ["/all"]), (None, ["/all"])],
)
def test_a_listener_serves_the_routes_that_name_it_or_none(listener: str | None, patterns: list[str]) -> None:
    chosen = routes_on(listener, LISTENED, ["public", "admin", "x"])
    assert [each.pattern for each in chosen] == patterns


def test_an_unknown_listener_is_an_error_that_names_the_place_and_the_listeners() -> None:
    with pytest.raises(ScriptError, match=r"app\.py:1: .*'/two' .*'admin'.*'internal', 'public'$"):
        routes_on("public", LISTENED, ["public", "internal"])
    with pytest.raises(ScriptError, match="none with a name"):
        routes_on(None, LISTENED, [])


def test_two_listeners_may_have_the_same_pattern() -> None:
    routes = (route("/", listeners=("a",), line=1), route("/", listeners=("b",), line=2))
    for name, line in (("a", 1), ("b", 2)):
        endpoint, _ = router(*routes_on(name, routes, ["a", "b"])).match("GET", "/")
        assert isinstance(endpoint, Found)
        assert endpoint.route.place.line == line
