"""The decorators of the ``http`` namespace, as a script uses them."""

from collections.abc import Callable
from typing import Any, assert_type

import pytest

from siphon import errors, http, messages
from siphon.errors import ScriptError
from siphon.script.registry import Registry


def registered(register: Callable[[], object]) -> Registry:
    registry = Registry()
    with registry.collecting():
        register()
    return registry


def handler(req: http.Request) -> http.Response:
    return http.Response()


async def async_handler(req: http.Request) -> http.Response:
    return http.Response()


def hook() -> None: ...


async def async_hook() -> None: ...


def test_the_namespace_offers_the_messages_and_the_errors() -> None:
    assert http.Request is messages.Request
    assert http.Response is messages.Response
    assert http.HTTPStatusError is errors.HTTPStatusError
    assert http.HttpStatusError is errors.HTTPStatusError
    assert http.RequestCancelled is errors.RequestCancelled


def test_a_route_takes_get_on_every_listener_unless_told_otherwise() -> None:
    registry = registered(lambda: http.route("/a")(handler))
    (route,) = registry.routes
    assert (route.pattern, route.methods, route.listeners, route.cancel_on_disconnect) == (
        "/a",
        ("GET",),
        None,
        None,
    )
    assert route.handler is handler
    assert str(route.place).startswith(f"{__file__}:")


def test_a_route_keeps_what_it_is_told() -> None:
    register = http.route("/a", ["POST"], listeners=["public", "admin"], cancel_on_disconnect=False)
    (route,) = registered(lambda: register(handler)).routes
    assert (route.methods, route.listeners, route.cancel_on_disconnect) == (
        ("POST",),
        ("public", "admin"),
        False,
    )


@pytest.mark.parametrize(
    ("methods", "expected"),
    [
        (["get"], ("GET",)),
        (["get", "Delete"], ("GET", "DELETE")),
        (("PUT", "put", "GET"), ("PUT", "GET")),
        ({"PUT", "GET", "DELETE"}, ("DELETE", "GET", "PUT")),
        (frozenset({"get"}), ("GET",)),
        (["*"], ("*",)),
        (["GET", "*"], ("*",)),
        (["m-search", "x!#$%&'*+.^_`|~9"], ("M-SEARCH", "X!#$%&'*+.^_`|~9")),
    ],
)
def test_methods_are_upper_cased_and_kept_once(methods: Any, expected: tuple[str, ...]) -> None:
    assert registered(lambda: http.route("/", methods)(handler)).routes[0].methods == expected


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"methods": "GET"}, r'methods must be a list of strings, not \'GET\': write methods=\["GET"\]'),
        ({"methods": 7}, "methods must be a list of strings, not 7"),
        ({"methods": {"GET": 1}}, "methods must be a list of strings"),
        ({"methods": ["GET", b"PUT"]}, r"b'PUT' is none"),
        ({"methods": [None]}, "None is none"),
        ({"listeners": "public"}, r'write listeners=\["public"\]'),
        ({"listeners": [1]}, "1 is none"),
        ({"path": 7}, "takes the path as a string.*not 7"),
        ({"path": None}, "takes the path as a string.*not None"),
        ({"cancel_on_disconnect": "no"}, "cancel_on_disconnect must be True, False or None, not 'no'"),
    ],
)
def test_an_argument_of_the_wrong_type_is_a_type_error(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(TypeError, match=complaint):
        registered(lambda: http.route(**{"path": "/", **arguments})(handler))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"methods": []}, "methods is empty"),
        ({"methods": ()}, "methods is empty"),
        ({"methods": set()}, "methods is empty"),
        ({"listeners": []}, "listeners is empty"),
        ({"methods": ["GET POST"]}, "'GET POST' is no HTTP method"),
        ({"methods": [""]}, "'' is no HTTP method"),
        ({"methods": ["GET\n"]}, "is no HTTP method"),
        ({"methods": ["M\u00c9THODE"]}, "is no HTTP method"),
        ({"methods": ["pa\u00df"]}, "'pa\u00df' is no HTTP method"),
        ({"methods": ["get", "connect"]}, "CONNECT asks for a tunnel"),
        ({"path": "/a/{b"}, "fill its whole segment"),
    ],
)
def test_an_argument_of_the_wrong_value_is_a_script_error_with_the_place(
    arguments: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ScriptError, match=complaint) as caught:
        registered(lambda: http.route(**{"path": "/", **arguments})(handler))
    assert str(caught.value).startswith(f"{__file__}:")


def test_a_route_without_a_path_says_how_to_write_it() -> None:
    with pytest.raises(TypeError, match=r'write @http\.route\("/path"\)'):
        http.route(handler)  # type: ignore[arg-type]


SIMPLE: list[tuple[str, Callable[..., Any]]] = [
    ("middleware", http.middleware),
    ("on_startup", http.on_startup),
    ("on_shutdown", http.on_shutdown),
    ("on_loop_startup", http.on_loop_startup),
    ("on_loop_shutdown", http.on_loop_shutdown),
]


@pytest.mark.parametrize(("name", "decorator"), SIMPLE)
def test_parentheses_where_there_are_none_say_how_to_write_it(
    name: str, decorator: Callable[..., Any]
) -> None:
    with pytest.raises(TypeError, match=rf"write @http\.{name} above"):
        registered(decorator)


@pytest.mark.parametrize(("name", "decorator"), [*SIMPLE, ("route", http.route("/"))])
def test_what_cannot_be_called_is_refused(name: str, decorator: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=rf"@http\.{name}.* decorates a function, not 'text'"):
        registered(lambda: decorator("text"))


@pytest.mark.parametrize(
    ("name", "decorator", "function"),
    [("route", http.route("/"), handler), ("middleware", http.middleware, handler)]
    + [(name, decorator, hook) for name, decorator in SIMPLE[1:]],
)
def test_registering_outside_a_load_is_an_error_that_says_so(
    name: str, decorator: Callable[..., Any], function: Callable[..., object]
) -> None:
    with pytest.raises(ScriptError, match=rf"@http\.{name} works only while siphon loads") as caught:
        decorator(function)
    assert str(caught.value).startswith(f"{__file__}:")


@pytest.mark.parametrize(("name", "decorator"), SIMPLE[1:])
def test_hooks_are_kept_in_the_order_of_registration(name: str, decorator: Callable[..., Any]) -> None:
    registry = registered(lambda: (decorator(hook), decorator(async_hook)))
    lists = {each: [one.function for one in getattr(registry, each)] for each, _ in SIMPLE[1:]}
    assert lists.pop(name) == [hook, async_hook]
    assert all(not others for others in lists.values())


def test_decorators_return_what_they_decorate_with_its_type() -> None:
    with Registry().collecting():
        assert http.route("/")(handler) is handler
        assert http.route("/")(async_handler) is async_handler
        assert http.on_startup(hook) is hook
        assert http.on_loop_shutdown(async_hook) is async_hook
        assert_type(http.on_startup(hook), Callable[[], None])

        @http.middleware
        async def guard(req: http.Request) -> http.Response | None:
            return None

        @http.middleware
        def sync_guard(req: http.Request) -> None:
            return None

        @http.middleware
        async def around(req: http.Request, call_next: http.CallNext) -> http.Response:
            return await call_next(req)

        @http.middleware
        def sync_around(req: http.Request, call_next: http.SyncCallNext) -> http.Response:
            return call_next(req)

        @http.route("/untyped")
        def untyped(req):  # type: ignore[no-untyped-def]
            return http.Response()

    assert [each.__name__ for each in (guard, sync_guard, around, sync_around, untyped)] == [
        "guard",
        "sync_guard",
        "around",
        "sync_around",
        "untyped",
    ]
