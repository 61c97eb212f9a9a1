"""What a script registers: routes, middlewares and hooks, in the order of their registration."""

import inspect
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from siphon.errors import ScriptError
from siphon.script.pattern import parse_pattern
from siphon.script.place import Place, calling_place, name_of, place_of

__all__ = ["Hook", "Middleware", "Place", "Registry", "Route", "current"]

ANY_METHOD = "*"
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, section 5.6.2
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

type Names = list[str] | tuple[str, ...] | set[str] | frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """A handler, and the requests that reach it."""

    pattern: str
    """As written: ``/users/{id}``."""
    methods: tuple[str, ...]
    """Upper case, without repetition; ``("*",)`` stands for any."""
    handler: Callable[..., object]
    listeners: tuple[str, ...] | None
    """The names of the listeners that serve it; None means all."""
    cancel_on_disconnect: bool | None
    """None means what the listener says."""
    place: Place


@dataclass(frozen=True, slots=True, eq=False)
class Middleware:
    """A function that sees requests before the handler does."""

    function: Callable[..., object]
    place: Place
    wraps: bool
    """True if it takes ``(req, call_next)``, False if it is a guard that takes ``(req)``."""


@dataclass(frozen=True, slots=True, eq=False)
class Hook:
    """A function that is run when the server starts or stops."""

    function: Callable[[], object]
    place: Place


@dataclass(slots=True, eq=False)
class Registry:
    """All that one script has registered. Filled by the one thread that loads the script, then only read."""

    routes: list[Route] = field(default_factory=list)
    middlewares: list[Middleware] = field(default_factory=list)
    on_startup: list[Hook] = field(default_factory=list)
    on_shutdown: list[Hook] = field(default_factory=list)
    on_loop_startup: list[Hook] = field(default_factory=list)
    on_loop_shutdown: list[Hook] = field(default_factory=list)
    _loading_thread: int | None = field(default=None, init=False, repr=False)

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Make this the registry that decorators fill, for this thread and until the block ends."""
        token = _current.set(self)
        self._loading_thread = threading.get_ident()
        try:
            yield
        finally:
            self._loading_thread = None
            _current.reset(token)

    @property
    def is_open(self) -> bool:
        """Whether the calling thread is still loading the script that fills it."""
        return self._loading_thread == threading.get_ident()

    def extend(self, other: "Registry") -> None:
        """Takes over what another script has registered, behind what is there."""
        self.routes += other.routes
        self.middlewares += other.middlewares
        self.on_startup += other.on_startup
        self.on_shutdown += other.on_shutdown
        self.on_loop_startup += other.on_loop_startup
        self.on_loop_shutdown += other.on_loop_shutdown

    def add_route(
        self,
        pattern: str,
        handler: Callable[..., object],
        *,
        methods: Names | None = None,
        listeners: Names | None = None,
        cancel_on_disconnect: bool | None = None,
    ) -> None:
        """Register ``handler``; ``methods`` default to GET.

        Raises TypeError for an argument of the wrong type and ScriptError for one of the wrong value,
        or a handler that cannot be called with the request alone.
        """
        place = place_of(handler)
        parse_pattern(pattern, place)
        if not _can_be_called_with(1, handler, place):
            raise ScriptError(
                f"{place}: handler {_signature_text(handler)} must take exactly one parameter, the request"
            )
        self.routes.append(
            Route(
                pattern,
                ("GET",) if methods is None else _checked_methods(methods, place),
                handler,
                None if listeners is None else _checked_names("listeners", listeners, '["public"]', place),
                cancel_on_disconnect,
                place,
            )
        )

    def add_middleware(self, function: Callable[..., object]) -> None:
        """Register a guard or a wrap-around. Raises ScriptError if it is neither."""
        place = place_of(function)
        required = _required_positionals(function, place)
        if required not in (1, 2):
            raise ScriptError(
                f"{place}: middleware {_signature_text(function)} must take one parameter, (req), "
                "or two, (req, call_next), none of them optional"
            )
        self.middlewares.append(Middleware(function, place, wraps=required == 2))

    def add_hook(self, hooks: list[Hook], kind: str, function: Callable[[], object]) -> None:
        """Register a hook in ``hooks``, one of this registry's lists; ``kind`` is its name in messages.

        Raises ScriptError if it cannot be called without arguments.
        """
        place = place_of(function)
        if not _can_be_called_with(0, function, place):
            raise ScriptError(f"{place}: {kind} hook {_signature_text(function)} must take no parameters")
        hooks.append(Hook(function, place))


_current: ContextVar[Registry | None] = ContextVar("siphon_registry", default=None)


def current() -> Registry | None:
    """The registry of the script that this thread is loading; None outside a load."""
    registry = _current.get()
    # A context copied during the load (by a task, say, or on 3.14 by a thread that was started) outlives it
    # and must not add routes later, nor beside it.
    return registry if registry is not None and registry.is_open else None


def current_or_raise(decorator: str) -> Registry:
    """The registry that ``decorator`` is to fill. Raises ScriptError outside a load."""
    registry = current()
    if registry is None:
        raise ScriptError(
            f"{calling_place()}: {decorator} works only while siphon loads the script: at its top level, not "
            "in a handler, a hook or another thread, and not where the script is imported without siphon "
            "(start it with: python -m siphon script.py)"
        )
    return registry


def _checked_methods(methods: Names, place: Place) -> tuple[str, ...]:
    given = _checked_names("methods", methods, '["GET"]', place)
    for name in given:
        # Before it is upper-cased, which makes ASCII of some letters that are none.
        if _TOKEN.fullmatch(name) is None:
            raise ScriptError(f"{place}: {name!r} is no HTTP method")
    names = tuple(dict.fromkeys(name.upper() for name in given))
    if "CONNECT" in names:
        raise ScriptError(f"{place}: CONNECT asks for a tunnel, which siphon refuses: no route can take it")
    return (ANY_METHOD,) if ANY_METHOD in names else names


def _checked_names(argument: str, names: Names, example: str, place: Place) -> tuple[str, ...]:
    # Wrong types are what a script written without a type checker passes; mypy rules them out.
    given: object = names
    if not isinstance(given, list | tuple | set | frozenset):
        raise TypeError(f"{argument} must be a list of strings, not {given!r}: write {argument}={example}")
    for name in given:
        if not isinstance(name, str):
            raise TypeError(f"{argument} must be a list of strings, and {name!r} is none")
    if not given:
        raise ScriptError(f"{place}: {argument} is empty: name at least one, or leave {argument} out")
    return tuple(sorted(given)) if isinstance(given, set | frozenset) else tuple(given)


def _signature(function: Callable[..., object], place: Place) -> inspect.Signature:
    try:
        # What a wrapper accepts is what counts, not what it wraps.
        return inspect.signature(function, follow_wrapped=False)
    except ValueError as error:
        raise ScriptError(f"{place}: cannot tell which parameters {name_of(function)} takes") from error


def _signature_text(function: Callable[..., object]) -> str:
    signature = inspect.signature(function, follow_wrapped=False)
    bare = [parameter.replace(annotation=parameter.empty) for parameter in signature.parameters.values()]
    return f"{name_of(function)}{inspect.Signature(bare)}"


def _can_be_called_with(count: int, function: Callable[..., object], place: Place) -> bool:
    try:
        _signature(function, place).bind(*(None,) * count)
    except TypeError:
        return False
    return True


def _required_positionals(function: Callable[..., object], place: Place) -> int | None:
    """How many positional arguments it must be given; None if it also needs a keyword argument."""
    parameters = _signature(function, place).parameters.values()
    required = [p for p in parameters if p.default is p.empty and p.kind is not p.VAR_POSITIONAL]
    if any(p.kind is p.KEYWORD_ONLY for p in required):
        return None
    return sum(p.kind in _POSITIONAL for p in required)
