"""What a registry accepts, in which order it keeps it, and when it is the current one."""

import contextvars
import functools
import threading
from collections.abc import Callable

import pytest

from siphon import http
from siphon.errors import ScriptError
from siphon.script import registry as module
from siphon.script.registry import Registry


class Members:
    """Callables of every make."""

    def one(self, req: object) -> None: ...

    def two(self, req: object, call_next: object) -> None: ...

    def none(self) -> None: ...

    def __call__(self, req: object) -> None: ...


class Wrapping:
    def __call__(self, req: object, call_next: object) -> None: ...


def one(req: object) -> None: ...


async def one_async(req: object) -> None: ...


def one_positional_only(req: object, /) -> None: ...


def one_and_optional(req: object, extra: int = 0, *, flag: bool = False) -> None: ...


def one_and_rest(req: object, *rest: object, **options: object) -> None: ...


def two(req: object, call_next: object) -> None: ...


async def two_async(req: object, call_next: object) -> None: ...


def three(req: object, call_next: object, extra: object) -> None: ...


def none() -> None: ...


def optional(req: object = None) -> None: ...


def anything(*arguments: object, **options: object) -> None: ...


def keyword(req: object, *, flag: bool) -> None: ...


@functools.wraps(two)
def one_around_two(req: object) -> None: ...


ONES: list[Callable[..., object]] = [
    one,
    one_async,
    one_positional_only,
    one_and_optional,
    one_and_rest,
    one_around_two,
    Members().one,
    Members(),
    functools.partial(two, None),
    functools.partial(Members().two, call_next=None),
    lambda req: None,
]
TWOS: list[Callable[..., object]] = [
    two,
    two_async,
    Members().two,
    Wrapping(),
    functools.partial(three, None),
]


@pytest.mark.parametrize("function", [*ONES, optional, anything])
def test_a_handler_is_whatever_can_be_called_with_the_request_alone(function: Callable[..., object]) -> None:
    registry = Registry()
    registry.add_route("/a", function)
    assert [route.handler for route in registry.routes] == [function]


@pytest.mark.parametrize("function", [*TWOS, none, three, keyword, Members().none, Members.one])
def test_a_handler_with_other_parameters_is_an_error_that_names_it(function: Callable[..., object]) -> None:
    with pytest.raises(ScriptError, match="must take exactly one parameter, the request") as caught:
        Registry().add_route("/a", function)
    assert __file__ in str(caught.value)


def test_the_error_shows_the_handler_with_its_parameters() -> None:
    with pytest.raises(ScriptError, match=r"test_registry\.py:\d+: handler Members\.none\(\) must take"):
        Registry().add_route("/a", Members().none)


@pytest.mark.parametrize("function", ONES)
def test_a_middleware_of_one_required_parameter_is_a_guard(function: Callable[..., object]) -> None:
    registry = Registry()
    registry.add_middleware(function)
    assert [(each.function, each.wraps) for each in registry.middlewares] == [(function, False)]


@pytest.mark.parametrize("function", TWOS)
def test_a_middleware_of_two_required_parameters_wraps(function: Callable[..., object]) -> None:
    registry = Registry()
    registry.add_middleware(function)
    assert [(each.function, each.wraps) for each in registry.middlewares] == [(function, True)]


@pytest.mark.parametrize("function", [none, three, optional, anything, keyword, Members().none])
def test_a_middleware_of_other_parameters_is_an_error_that_names_it(function: Callable[..., object]) -> None:
    with pytest.raises(ScriptError, match=r"middleware \S+\(.*\) must take one parameter, \(req\)") as caught:
        Registry().add_middleware(function)
    assert __file__ in str(caught.value)


@pytest.mark.parametrize("function", [one, two, keyword])
def test_a_hook_with_a_parameter_is_an_error_that_names_it(function: Callable[..., object]) -> None:
    registry = Registry()
    with pytest.raises(ScriptError, match=r"on_startup hook \w+\(.*\) must take no parameters"):
        registry.add_hook(registry.on_startup, "on_startup", function)


def test_a_callable_whose_parameters_cannot_be_told_is_an_error() -> None:
    with pytest.raises(ScriptError, match="cannot tell which parameters"):
        Registry().add_route("/a", getattr)


def test_a_bad_pattern_is_an_error_at_the_handler() -> None:
    with pytest.raises(ScriptError, match=r"test_registry\.py:\d+: pattern 'a'"):
        Registry().add_route("a", one)


def test_outside_a_load_there_is_no_current_registry() -> None:
    assert module.current() is None
    registry = Registry()
    with registry.collecting():
        assert module.current() is registry
    assert module.current() is None


def test_an_inner_load_hands_back_to_the_outer_one() -> None:
    outer, inner = Registry(), Registry()
    with outer.collecting():
        with inner.collecting():
            assert module.current() is inner
        assert module.current() is outer


def test_a_load_that_fails_is_no_longer_current() -> None:
    with pytest.raises(ZeroDivisionError), Registry().collecting():
        raise ZeroDivisionError
    assert module.current() is None


def test_another_thread_does_not_register_in_a_load() -> None:
    seen: list[Registry | None] = []
    with Registry().collecting():
        thread = threading.Thread(target=lambda: seen.append(module.current()))
        thread.start()
        thread.join()
    assert seen == [None]


def test_a_context_copied_during_the_load_cannot_register_after_it() -> None:
    with Registry().collecting():
        context = contextvars.copy_context()
    assert context.run(module.current) is None
    with pytest.raises(ScriptError, match="only while siphon loads the script"):
        context.run(http.on_startup, none)
