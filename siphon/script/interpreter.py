"""The interpreter that runs siphon, and whether its global lock is off."""

import os
import sys
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from types import ModuleType, TracebackType
from typing import Self

from siphon.errors import StartError

_CONSEQUENCE = "handlers do not run in parallel"
_REMEDY = "pass --allow-gil to start all the same"


def is_free_threaded() -> bool:
    """Whether this is a build of CPython that can run without the GIL."""
    # As sysconfig says, too, whose data take as long to load as a small extension.
    return "free-threading build" in sys.version


def describe() -> str:
    """The interpreter in a few words: ``CPython 3.13.15 free-threaded, GIL off``."""
    name = "CPython" if sys.implementation.name == "cpython" else sys.implementation.name
    words = [name, sys.version.partition(" ")[0]]
    if is_free_threaded():
        words.append("free-threaded")
    return f"{' '.join(words)}, GIL {'on' if sys._is_gil_enabled() else 'off'}"


def describe_build() -> str:
    """How the interpreter was built, as far as that makes it fast or slow: ``optimised``."""
    import sysconfig

    if sysconfig.get_config_var("Py_DEBUG"):
        return "a debug build"
    arguments = sysconfig.get_config_var("CONFIG_ARGS") or ""
    return "optimised" if "--enable-optimizations" in arguments else "not optimised"


class GilGuard:
    """Put around the load of a script: refuses to go on with a GIL that an import has switched on.

    An extension module that does not declare its support for free threading does that, silently where
    a script filters warnings, and the server would use one core. So the guard watches extension
    modules being created instead of the interpreter's warning. One guard at a time, on the main thread.
    """

    def __init__(self, *, allow_gil: bool = False) -> None:
        self._allow_gil = allow_gil
        self._culprits: list[ModuleSpec] = []
        self._create_module = ExtensionFileLoader.create_module
        self.warning: str | None = None
        """What the operator must be told once the block has ended well; None where all is well."""

    def __enter__(self) -> Self:
        """Raises StartError if the GIL is on already, on a build that can do without."""
        if not is_free_threaded():
            self.warning = (
                f"this is {describe()}: {_CONSEQUENCE}; use a free-threaded build, such as python3.13t"
            )
        elif sys._is_gil_enabled():
            self._complain(_why_on_from_the_start())
        else:
            self._watch()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Raises StartError if the GIL is on now; an error of the block goes first."""
        ExtensionFileLoader.create_module = self._create_module  # type: ignore[method-assign]
        if error is None and self.warning is None and is_free_threaded() and sys._is_gil_enabled():
            self._complain(self._why_on_now())

    def _watch(self) -> None:
        create_module = self._create_module
        culprits = self._culprits

        def watched(self: ExtensionFileLoader, spec: ModuleSpec) -> ModuleType:
            was_on = sys._is_gil_enabled()
            try:
                return create_module(self, spec)
            finally:
                # While one module's C code imports another, the GIL is on for the time being: then
                # the outer one, which ends last, is the one to name.
                if not was_on and sys._is_gil_enabled():
                    culprits.append(spec)

        ExtensionFileLoader.create_module = watched  # type: ignore[method-assign]

    def _complain(self, why: str) -> None:
        if not self._allow_gil:
            raise StartError(f"{why}, so {_CONSEQUENCE}; {_REMEDY}")
        self.warning = f"{why}, so {_CONSEQUENCE}"

    def _why_on_now(self) -> str:
        if not self._culprits:
            return "something that the script imports has switched the GIL on"
        modules = " and ".join(f"{spec.name!r} ({spec.origin})" for spec in self._culprits)
        return (
            f"importing the extension module {modules} has switched the GIL on: "
            "this version of it does not support free threading"
        )


def _why_on_from_the_start() -> str:
    if sys._xoptions.get("gil") == "1":
        return "the interpreter's option -X gil=1 keeps the GIL on"
    if os.environ.get("PYTHON_GIL") == "1" and not sys.flags.ignore_environment:
        return "the environment variable PYTHON_GIL=1 keeps the GIL on"
    return "a module imported before the script (PyYAML below 6.0.3 is one) has switched the GIL on"
