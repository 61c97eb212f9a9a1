"""Where in the user's files something is written, for messages that a person must act on."""

import functools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, MethodType

_PACKAGE = str(Path(__file__).parent.parent) + "/"
_STANDARD_LIBRARY = str(Path(os.__file__).parent) + "/"
_SITE_PACKAGES = (f"{_STANDARD_LIBRARY}site-packages/", f"{_STANDARD_LIBRARY}dist-packages/")


@dataclass(frozen=True, slots=True)
class Place:
    """A file and a line in it, counted from 1. ``str()`` is ``file:line``."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def belongs_to_siphon(file: str) -> bool:
    """Whether ``file``, as a code object names it, is part of this package."""
    return file.startswith(_PACKAGE)


def belongs_to_the_user(file: str) -> bool:
    """Whether ``file``, as a code object names it, is neither siphon's nor the standard library's."""
    if file.startswith(_STANDARD_LIBRARY) and not file.startswith(_SITE_PACKAGES):
        return False
    return not belongs_to_siphon(file) and not file.startswith("<frozen ")


def registers(file: str) -> bool:
    """Whether ``file``, as a code object names it, is where siphon's decorators are written."""
    return file == f"{_PACKAGE}http.py" or file.startswith(f"{_PACKAGE}script/")


def calling_place() -> Place:
    """The line outside siphon that called into it: the innermost such frame of this thread."""
    frame = sys._getframe(1)
    while belongs_to_siphon(frame.f_code.co_filename) and frame.f_back is not None:
        frame = frame.f_back
    return Place(frame.f_code.co_filename, frame.f_lineno)


def place_of(function: Callable[..., object]) -> Place:
    """Where ``function`` is written, decorators included; else the line that called into siphon.

    Unlike everything that decides how a function is called, this follows ``__wrapped__``: the place
    of a wrapper would name the same line of a library for every handler it wraps.
    """
    code = _code_of(function)
    return Place(code.co_filename, code.co_firstlineno) if code is not None else calling_place()


def _code_of(function: object) -> CodeType | None:
    seen: set[int] = set()
    while id(function) not in seen:
        seen.add(id(function))
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, MethodType):
            function = function.__func__
        elif (wrapped := getattr(function, "__wrapped__", None)) is not None:
            function = wrapped
        elif isinstance(function, FunctionType):
            return function.__code__
        elif not isinstance(function, type):
            function = getattr(type(function), "__call__", None)  # noqa: B004 - the method itself is wanted
    return None


def name_of(function: object) -> str:
    """What a message calls ``function``: its qualified name, or that of what it wraps or is made from."""
    if isinstance(function, functools.partial):
        return f"partial of {name_of(function.func)}"
    name = getattr(function, "__qualname__", None)
    return name if isinstance(name, str) else f"{type(function).__qualname__} object"
