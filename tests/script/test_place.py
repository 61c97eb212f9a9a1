"""Where a function is said to be written, and what it is called."""

import functools
from collections.abc import Callable

import pytest

from siphon import http
from siphon.script.place import Place, name_of, place_of
from siphon.script.registry import Registry


def plain(req: http.Request) -> http.Response:
    return http.Response()


async def coroutine(req: http.Request) -> http.Response:
    return http.Response()


def logged(function: Callable[[http.Request], http.Response]) -> Callable[[http.Request], http.Response]:
    @functools.wraps(function)
    def wrapper(req: http.Request) -> http.Response:
        return function(req)

    return wrapper


@logged
def wrapped(req: http.Request) -> http.Response:
    return http.Response()


class Handler:
    """Has a method to register, and can be called itself."""

    def method(self, req: http.Request) -> http.Response:
        return http.Response()

    def __call__(self, req: http.Request) -> http.Response:
        return http.Response()


def line_of(text: str) -> int:
    with open(__file__, encoding="utf-8") as file:
        return next(number for number, line in enumerate(file, 1) if line.startswith(text))


@pytest.mark.parametrize(
    ("function", "text", "name"),
    [
        (plain, "def plain", "plain"),
        (coroutine, "async def coroutine", "coroutine"),
        (functools.partial(plain), "def plain", "partial of plain"),
        (functools.partial(functools.partial(plain)), "def plain", "partial of plain"),
        (Handler().method, "    def method", "Handler.method"),
        (functools.partial(Handler().method), "    def method", "partial of Handler.method"),
        (Handler(), "    def __call__", "Handler object"),
        (wrapped, "@logged", "wrapped"),
        (functools.partial(wrapped), "@logged", "partial of wrapped"),
    ],
)
def test_a_function_is_placed_where_it_is_written(
    function: Callable[..., object], text: str, name: str
) -> None:
    assert place_of(function) == Place(__file__, line_of(text))
    assert name_of(function) == name


def test_a_function_without_python_code_is_placed_where_it_is_registered() -> None:
    registry = Registry()
    with registry.collecting():
        register = http.route("/builtin")
        register(len)  # type: ignore[type-var]  # the marked line
    assert registry.routes[0].place == Place(__file__, line_of("        register(len)"))
    assert name_of(len) == "len"


def test_a_place_reads_as_file_and_line() -> None:
    assert str(Place("/srv/app.py", 12)) == "/srv/app.py:12"
